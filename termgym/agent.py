"""An agent: a language model as a policy, token by token. What it was given and what it emitted is exactly known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from termgym.chat import Chat
from termgym.errors import UnknownName
from termgym.policy import ContextFull, Message, Reply
from termgym.protocol import answer

FULL = ("end", "summarize")
ROOM = 128
"""Tokens that an answer must have room for, else the context counts as full."""
SUMMARY = 1024
"""Tokens of a summary, at most."""
SUMMARIZE = """\
Your context is full, and you will go on without what was said so far. Write down, for yourself, what you need to
finish the task: what you found out, what you have changed and where, what is still to be done, and what did not work.
Do not answer as a JSON object now."""
RESUMED = "What you wrote down for yourself, from what was done before:"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn."""

    temperature: float = 1.0
    """0 takes the most probable token."""
    top_p: float = 1.0
    top_k: int = 0
    """0 is all."""
    max_tokens: int = 2048
    """Of one answer."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model emitted."""

    token_ids: tuple[int, ...]
    """With the token that ended it, if one did."""
    logprobs: tuple[float, ...]
    finish: str
    """ "stop" or "length"."""
    version: int = 0
    """Of the weights: how often they had been updated."""


class Model(Protocol):
    """Completes prompts of tokens, many at a time."""

    name: str
    chat: Chat
    context: int
    """Tokens of a prompt and its completion together, at most."""

    async def complete(self, prompt_ids: Sequence[int], sampling: Sampling, seed: int) -> Completion:
        """What the model says after these tokens.

        Raises:
            ModelError: It cannot be asked, or gave no answer.
        """
        ...

    async def close(self) -> None:
        """See `termgym.policy.Closable`."""
        ...


class Agent:
    """Acts in one episode through a model."""

    def __init__(self, model: Model, sampling: Sampling | None = None, seed: int = 0, full: str = "end") -> None:
        """`full` is what happens when the context is: "end" the episode as out of tokens, or "summarize" and go on."""
        if full not in FULL:
            raise UnknownName("way to go on when the context is full", full, FULL)
        self._model, self._sampling, self._seed, self._full = model, sampling or Sampling(), seed, full
        self._context: list[int] = []
        self._messages = self._answers = 0

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        prompt = self._prompt(conversation)
        if len(prompt) + self._needed > self._limit:
            prompt = await self._summarized(conversation)
        return await self._answer(prompt, len(conversation))

    def _prompt(self, conversation: Sequence[Message]) -> list[int]:
        if self._context and len(conversation) == self._messages + 2:
            return self._model.chat.continued(self._context, conversation[-1])
        return self._model.chat.opened(conversation)

    @property
    def _needed(self) -> int:
        return min(ROOM, self._sampling.max_tokens)

    @cached_property
    def _limit(self) -> int:
        """Tokens of a prompt and its answer, at most: a summary is to have room behind them."""
        if self._full != "summarize":
            return self._model.context
        request = self._model.chat.continued([], Message("user", SUMMARIZE))
        return self._model.context - len(request) - min(SUMMARY, self._model.context // 8)

    async def _answer(self, prompt: list[int], messages: int) -> Reply:
        completion = await self._complete(prompt, min(self._sampling.max_tokens, self._limit - len(prompt)))
        self._context, self._messages = [*prompt, *completion.token_ids], messages
        return Reply(
            self._model.chat.text(prompt, completion.token_ids),
            completion.token_ids,
            completion.logprobs,
            tuple(prompt),
            completion.finish,
            completion.version,
            self._model.name,
        )

    async def _complete(self, prompt: Sequence[int], most: int) -> Completion:
        self._answers += 1
        return await self._model.complete(prompt, replace(self._sampling, max_tokens=most), self._seed + self._answers)

    async def _summarized(self, conversation: Sequence[Message]) -> list[int]:
        """A prompt that begins anew: the task, what the model wrote down for itself, and what it is to answer.

        Where that is not possible, at the first turn or if the last answer left no room, it goes without.
        """
        if self._full != "summarize":
            raise ContextFull(f"the conversation is longer than the {self._model.context} tokens that the model reads")
        chat, noted = self._model.chat, ""
        asked = chat.continued(self._context, Message("user", SUMMARIZE)) if self._context else []
        if asked and (room := min(SUMMARY, self._model.context - len(asked))) > 0:
            written = await self._complete(asked, room)
            noted = f"{RESUMED}\n{answer(chat.text(asked, written.token_ids)).strip()}\n\n"
        first, last = conversation[0].content, conversation[-1].content
        prompt = chat.opened([Message("user", f"{first}\n\n{noted}{last}" if len(conversation) > 1 else first)])
        if len(prompt) + self._needed > self._limit:
            raise ContextFull(f"the task and a screen alone are longer than the {self._model.context} tokens")
        return prompt
