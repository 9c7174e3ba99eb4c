"""A tokenizer and a Llama made on the spot: small enough that everything real runs in a moment."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ["<|im_start|>", "<|im_end|>"]
TEXT = ["the file has lines, the screen shows root@termgym:/app# ls -la", '{"analysis": "", "plan": ""}'] * 20
PLAIN = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Every message as it is."""
SYSTEM = "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}" + PLAIN
"""A system message of its own."""
THINKING = (
    "{% for message in messages %}{% set said = message.content %}"
    "{% if message.role == 'assistant' and '</think>' in said %}{% set said = said.split('</think>')[-1].lstrip() %}"
    "{% endif %}{{ '<|im_start|>' + message.role + '\n' + said + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
"""Strips what was thought from the history, and switches thinking off by an empty block: as Qwen3's does."""
OPENED = PLAIN.replace("assistant\n' }}{% endif", "assistant\n<think>\n' }}{% endif")
"""Opens the block itself, as those of models do that always think."""
TRIMMED = PLAIN.replace("message.content +", "message.content.strip() +")
TEMPLATES = {"plain": PLAIN, "system": SYSTEM, "thinking": THINKING, "opened": OPENED, "trimmed": TRIMMED}


@cache
def tokenizer(template: str = "plain") -> Any:
    """A byte-level BPE tokenizer with one of the templates."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXT, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|im_end|>")
    fast.add_tokens(["<think>", "</think>"])
    fast.chat_template = TEMPLATES[template]
    return fast


def model(seed: int = 0, context: int = 4096) -> Any:
    """A Llama that knows nothing."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer()), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=context, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def saved(folder: Path, template: str = "plain") -> str:
    """Both in a folder, as `from_pretrained` takes it."""
    model().save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    return str(folder)
