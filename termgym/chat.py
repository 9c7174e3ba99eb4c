"""A chat in tokens: what a model's chat template makes of a conversation that only ever grows.

The template is asked once for the first prompt. From then on what was given and emitted stays as it is, and what the
template puts between two answers is put behind it: no token that a model emitted is ever made from text again, and a
template that would strip thinking from the history, as Qwen3's does, does not get to see it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from termgym.errors import TaskError
from termgym.policy import Message
from termgym.protocol import THINK, THOUGHT

_ANSWER = "an answer that no template knows"
_SHOWN = "what {} shows, in place"


class Chat:
    """The chat template of a tokenizer of Hugging Face's transformers."""

    def __init__(self, tokenizer: Any, thinking: bool | None = None) -> None:
        """`thinking` is for templates that can switch it, by `enable_thinking`; None leaves it to the template.

        Raises:
            TaskError: The tokenizer has no chat template.
        """
        if not tokenizer.chat_template:
            raise TaskError(f"the tokenizer of {tokenizer.name_or_path} has no chat template; use an instruct model")
        self.tokenizer = tokenizer
        self._options: Mapping[str, Any] = {} if thinking is None else {"enable_thinking": thinking}
        added = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, added)) or r"(?!)")

    def opened(self, messages: Sequence[Message]) -> list[int]:
        """The prompt of a conversation that begins, up to where the model answers."""
        return self._encode(messages, after="")

    def continued(self, context: Sequence[int], message: Message) -> list[int]:
        """The prompt that follows on `context`, all that the model was given and emitted, and a message to it.

        An answer that was cut off is ended as the template ends answers: these tokens are none of the model's.
        """
        answered = [Message("user", "?"), Message("assistant", _ANSWER), message]
        behind = self._encode(answered, after=_ANSWER)
        return [*context, *(behind[1:] if context[-1:] == behind[:1] else behind)]

    def answer(self, text: str) -> list[int]:
        """The tokens of an answer that no model emitted here, ended as the template ends answers: to train on text."""
        thought, end, rest = text.partition(THOUGHT) if text.startswith(THINK) else ("", "", text)
        pieces = [self._tokens(THINK), self._plain(thought.removeprefix(THINK)), self._tokens(end)] if end else []
        return [*(token for piece in pieces for token in piece), *self._plain(rest), *self._behind[:1]]

    def text(self, prompt: Sequence[int], answer: Sequence[int]) -> str:
        """The text of an answer, with the thinking that its prompt has opened for it."""
        text = self.tokenizer.decode(list(answer), skip_special_tokens=False)
        text = text.removesuffix(self.tokenizer.decode(list(answer[-1:]))) if self.ended(answer) else text
        opened = self.tokenizer.decode(list(prompt[-8:])).rstrip().endswith(THINK)
        return f"{THINK}\n{text}" if opened else text

    def ended(self, answer: Sequence[int]) -> bool:
        """Whether an answer ends with a token that ends answers, rather than being cut off."""
        return bool(answer) and answer[-1] in self.stops

    @cached_property
    def stops(self) -> frozenset[int]:
        """Tokens that end an answer: the tokenizer's own, and what the template puts behind answers."""
        return frozenset({self.tokenizer.eos_token_id, *self._behind[:1]} - {None})

    @cached_property
    def _behind(self) -> list[int]:
        """What the template puts behind an answer."""
        return self._encode([Message("user", "?"), Message("assistant", _ANSWER), Message("user", "?")], _ANSWER)

    def _encode(self, messages: Sequence[Message], after: str) -> list[int]:
        """The tokens of a conversation behind the text `after`, and of nothing that a message could smuggle in.

        A screen that shows `<|im_end|>` ends no message: such words of a message are cut in two before they are read.
        """
        cut: list[Message] = []
        smuggled: dict[str, str] = {}
        for number, message in enumerate(messages):
            if message.content != after and self._special.search(message.content):
                smuggled[_SHOWN.format(number)] = message.content
                message = Message(message.role, _SHOWN.format(number))
            cut.append(message)
        text = self._render(cut)
        if after and after not in text:
            name = self.tokenizer.name_or_path
            raise TaskError(f"the chat template of {name} leaves out what an assistant said: it takes no plain text")
        text = text[text.rindex(after) + len(after) :] if after else text
        return [token for piece in self._pieces(text, smuggled) for token in piece]

    def _pieces(self, text: str, smuggled: Mapping[str, str]) -> Iterator[list[int]]:
        for place, content in smuggled.items():
            before, text = text.split(place, 1)
            yield self._tokens(before)
            yield self._plain(content)
        yield self._tokens(text)

    def _plain(self, content: str) -> list[int]:
        """The tokens of a text, none of which is one that the model's text could not be made of."""
        begin, found = 0, list[int]()
        for match in self._special.finditer(content):
            found += self._tokens(content[begin : match.start() + 1])
            begin = match.start() + 1
        return found + self._tokens(content[begin:])

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False) if text else []

    def _render(self, messages: Sequence[Message]) -> str:
        said = [{"role": message.role, "content": message.content} for message in messages]
        return self.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True, **self._options)
