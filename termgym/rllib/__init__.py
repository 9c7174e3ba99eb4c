"""RLlib on terminals: training of language models and of ordinary networks.

model.py      CausalLM: a language model of Hugging Face's transformers as an RLModule
learner.py    Learners: what an optimizer step is, and its losses
runner.py     Runner: an EnvRunner with sandboxes and an engine, which runs groups of whole episodes
config.py     LanguageConfig: what both algorithms are configured with
algorithm.py  LanguageAlgorithm: evaluation on held-out tasks, and what both keep in a checkpoint
sft.py        SFTConfig, SFT: supervised training on conversations
grpo.py       GRPOConfig, GRPO: policy optimization by groups of episodes

network.py         ScreenNetwork: from what `TerminalGrid-v0` shows to how good each key is
screen.py          ScreenModule: the same as an RLModule, for RLlib's own PPO, APPO and BC
endings.py         Endings: a callback that tells RLlib how a terminal's episodes end
demonstrations.py  known solutions as offline data, for BC
exam.py            a policy's scores on held-out tasks
session.py         a run: Ray, its folder, a line for each iteration, a checkpoint
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from termgym.rllib.grpo import GRPO, GRPOConfig
    from termgym.rllib.sft import SFT, SFTConfig

__all__ = ["GRPO", "SFT", "GRPOConfig", "SFTConfig"]


def __getattr__(name: str) -> Any:
    """The algorithms on language models, imported when they are asked for: a grid needs no transformers."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{name.removesuffix('Config').lower()}"), name)
