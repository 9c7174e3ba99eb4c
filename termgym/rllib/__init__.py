"""RLlib on terminals: training of language models and of ordinary networks.

model.py      CausalLM: a language model of Hugging Face's transformers as an RLModule
learner.py    Learners: what an optimizer step is, and its losses
runner.py     Runner: an EnvRunner with sandboxes and an engine, which runs groups of whole episodes
config.py     LanguageConfig: what both algorithms are configured with
algorithm.py  LanguageAlgorithm: evaluation on held-out tasks, and what both keep in a checkpoint
sft.py        SFTConfig, SFT: supervised training on conversations
grpo.py       GRPOConfig, GRPO: policy optimization by groups of episodes
"""

from termgym.rllib.grpo import GRPO, GRPOConfig
from termgym.rllib.sft import SFT, SFTConfig

__all__ = ["GRPO", "SFT", "GRPOConfig", "SFTConfig"]
