"""A tiny language model made on the spot: a Llama that knows nothing yet, with a tokenizer for what it is to read.

It is what the demonstration and the tests train where no model can be had: no download, seconds of work. Its tokens are
words, and phrases that most conversations repeat, as in SuperBPE (arXiv 2503.13423): a prompt of 2,000 characters is
fewer than 100 tokens, which is what makes training on two CPU cores possible.
"""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
import json
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

START, END = "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML."""
PHRASE = 200
"""Characters of a phrase, at most."""


def make(
    folder: Path,
    conversations: Sequence[str],
    texts: Sequence[str] = (),
    *,
    words: int = 1024,
    hidden: int = 128,
    layers: int = 3,
    heads: int = 4,
    context: int = 2048,
    seed: int = 0,
) -> Path:
    """Write the model and its tokenizer into a folder, and say where.

    Args:
        folder: Where to.
        conversations: All that is said in each: the tokens are made from these.
        texts: More to learn words from, as the instructions of other tasks.
        words: Tokens of words and their parts; phrases come on top.
        hidden: Numbers that a token is known by.
        layers: Of the model.
        heads: Of attention.
        context: Tokens of a conversation, at most.
        seed: Of its weights.
    """
    tokenizer = _tokenizer(conversations, texts, words)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        initializer_range=hidden**-0.5,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(conversations: Sequence[str], texts: Sequence[str], words: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE (GPT-2's), so that no text is out of its vocabulary, with phrases."""
    vocabulary, merges = _phrases(conversations, *_words([*conversations, *texts], words))
    made = Tokenizer(models.BPE(vocabulary, merges))
    made.add_special_tokens([START, END])
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, pad_token=END)
    fast.chat_template = TEMPLATE
    return fast


def _words(texts: Sequence[str], count: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """BPE that does not go beyond words: its vocabulary and its merges."""
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=count, special_tokens=[START, END], initial_alphabet=alphabet, show_progress=False
    )
    learned.train_from_iterator(texts, trainer)
    known = json.loads(learned.to_str())["model"]
    return known["vocab"], [(left, right) for left, right in known["merges"]]


def _phrases(
    conversations: Sequence[str], vocabulary: dict[str, int], merges: list[tuple[str, str]]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Both with what is added to them: tokens that follow each other in most conversations become one."""
    split = Tokenizer(models.BPE(vocabulary, merges))
    split.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    texts = [split.encode(text).tokens for text in conversations]
    while pairs := _frequent(texts):
        for pair in sorted(pairs):
            vocabulary.setdefault("".join(pair), len(vocabulary))
            merges.append(pair)
        texts = [_merged(text, pairs) for text in texts]
    return vocabulary, merges


def _frequent(texts: Sequence[Sequence[str]]) -> set[tuple[str, str]]:
    """Pairs of tokens that most texts have, with no token in two of them, so that none is in another's way."""
    found = Counter(pair for text in texts for pair in set(pairwise(text)) if len("".join(pair)) <= PHRASE)
    chosen: set[tuple[str, str]] = set()
    used: set[str] = set()
    for pair, often in found.most_common():
        if 2 * often > len(texts) and used.isdisjoint(pair):
            chosen.add(pair)
            used.update(pair)
    return chosen


def _merged(text: Sequence[str], pairs: Collection[tuple[str, str]]) -> list[str]:
    out: list[str] = []
    for token in text:
        if out and (out[-1], token) in pairs:
            out[-1] += token
        else:
            out.append(token)
    return out
