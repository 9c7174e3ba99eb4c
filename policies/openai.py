"""A language model behind any OpenAI-compatible endpoint: vLLM, Ollama, llama.cpp, or a service.

An answer is streamed, and cut off when its JSON is complete. Errors that may pass, 429 with its Retry-After among them,
are tried again by the client. Thinking is kept in the record, and not sent back.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from termgym.agent import FULL, RESUMED, SUMMARIZE, SUMMARY
from termgym.errors import ModelError, TaskError, UnknownName
from termgym.policy import ContextFull, Message, Reply, shared
from termgym.protocol import REPAIRED, THINK, THOUGHT, answer, parse
from termgym.task import Task

RETRIES = 6
TIMEOUT_S = 900.0
FULL_WORDS = ("context_length_exceeded", "maximum context length", "exceed_context_size", "context size", "too long")
"""What servers say of a conversation that is longer than their model reads."""


class Endpoint:
    """Where a model is, and how it is asked. The key is OPENAI_API_KEY, where one is needed."""

    def __init__(self, url: str, model: str, request: Mapping[str, Any], concurrency: int, tokens: bool) -> None:
        """`request` are fields of each request; `tokens` asks a vLLM server for tokens and logprobs.

        Raises:
            TaskError: openai is not installed.
        """
        try:
            self._openai: Any = import_module("openai")
        except ImportError as error:
            raise TaskError("policy 'openai' needs openai: pip install 'termgym[openai]'") from error
        self.url, self.model, self._request = url, model, request
        self._more: dict[str, Any] = {"logprobs": True} if tokens else {}
        self._extra = {"return_token_ids": True} if tokens else {}
        self._concurrency, self._free, self._client = concurrency, asyncio.Semaphore(concurrency), None

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int, **more: Any) -> Reply:
        """The answer to a conversation.

        Raises:
            ContextFull: It is too long.
            ModelError: There is none.
        """
        extra = {**self._request.get("extra_body", {}), **self._extra}
        request = {**self._request, **self._more, "seed": seed % 2**31, "stream": True, "extra_body": extra, **more}
        try:
            async with self._free:
                stream = await self._connected().chat.completions.create(
                    model=self.model, messages=list(messages), **request
                )
                return await self._read(stream)
        except self._openai.BadRequestError as error:
            if any(words in str(error).lower() for words in FULL_WORDS):
                raise ContextFull(f"{self.url}: {error}") from error
            raise ModelError(f"{self.url}: {type(error).__name__}: {error}") from error
        except (self._openai.OpenAIError, OSError) as error:
            raise ModelError(f"{self.url}: {type(error).__name__}: {error}") from error

    async def _read(self, stream: Any) -> Reply:
        read = _Read()
        async with stream:
            async for chunk in stream:
                if read.add(chunk):
                    break
        return read.reply(self.model)

    def _connected(self) -> Any:
        if self._client is None:
            key = os.environ.get("OPENAI_API_KEY", "none")
            made = self._openai.AsyncOpenAI
            self._client = made(base_url=self.url, api_key=key, max_retries=RETRIES, timeout=TIMEOUT_S)
        return self._client

    async def close(self) -> None:
        """See `termgym.policy.Closable`."""
        client, self._client = self._client, None
        self._free = asyncio.Semaphore(self._concurrency)
        if client is not None:
            await client.close()


class _Read:
    """An answer as it comes."""

    def __init__(self) -> None:
        self._content = self._thought = self._finish = ""
        self._tokens: list[int] = []
        self._prompt: tuple[int, ...] = ()
        self._logprobs: list[float] = []

    def add(self, chunk: Any) -> bool:
        """Take a piece of it; whether it is complete."""
        self._prompt = self._prompt or tuple(getattr(chunk, "prompt_token_ids", None) or ())
        for choice in chunk.choices:
            delta, piece = choice.delta, choice.delta.content or ""
            self._content += piece
            self._thought += getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None) or ""
            self._tokens += getattr(choice, "token_ids", None) or ()
            self._logprobs += [one.logprob for one in (choice.logprobs and choice.logprobs.content) or ()]
            self._finish = choice.finish_reason or self._finish
            if "}" in piece and _complete(answer(self._content)):
                return True
        return False

    def reply(self, model: str) -> Reply:
        thought = f"{THINK}\n{self._thought.strip()}\n{THOUGHT}\n\n" if self._thought else ""
        finish = "length" if self._finish == "length" else "stop"
        told = len(self._tokens) == len(self._logprobs)
        logprobs = tuple(self._logprobs) if told else ()
        return Reply(thought + self._content, tuple(self._tokens), logprobs, self._prompt, finish, 0, model)


def _complete(text: str) -> bool:
    parsed = parse(text)
    return parsed.action is not None and not any(warning.startswith(REPAIRED) for warning in parsed.warnings)


class Chatting:
    """Acts in one episode through an endpoint."""

    def __init__(self, endpoint: Endpoint, seed: int, full: str) -> None:
        """`full` is what happens when the context is: "end", or "summarize"."""
        if full not in FULL:
            raise UnknownName("way to go on when the context is full", full, FULL)
        self._endpoint, self._seed, self._full = endpoint, seed, full
        self._opening = ""
        self._forgotten = 0
        """So many messages of the conversation are in the opening, as a summary."""

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        seed = self._seed + len(conversation)
        try:
            return await self._endpoint.ask(self._messages(conversation), seed)
        except ContextFull:
            if self._full != "summarize" or len(conversation) - self._forgotten < 3:
                raise
        await self._summarize(conversation, seed)
        return await self._endpoint.ask(self._messages(conversation), seed)

    def _messages(self, conversation: Sequence[Message]) -> list[dict[str, str]]:
        kept = [{"role": one.role, "content": _said(one)} for one in conversation[self._forgotten :]]
        if self._forgotten:
            kept[0]["content"] = f"{self._opening}\n\n{kept[0]['content']}"
        return kept

    async def _summarize(self, conversation: Sequence[Message], seed: int) -> None:
        """Let the model write down what it needs, and begin anew with the last observation."""
        messages = self._messages(conversation[:-1])
        asked = [*messages, {"role": "user", "content": SUMMARIZE}]
        written = answer((await self._endpoint.ask(asked, seed, max_tokens=SUMMARY)).text).strip()
        self._opening = f"{conversation[0].content}\n\n{RESUMED}\n{written}"
        self._forgotten = len(conversation) - 1


def _said(message: Message) -> str:
    return (message.role == "assistant" and answer(message.content).strip()) or message.content


def new(
    task: Task,
    seed: int,
    model: str,
    endpoint: str = "",
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_tokens: int = 2048,
    concurrency: int = 64,
    tokens: bool = False,
    full: str = "end",
    request: dict[str, Any] | None = None,
) -> Chatting:
    """A model's name at an endpoint, up to /v1: OPENAI_BASE_URL unless given.

    `concurrency` bounds requests at a time; `tokens` asks for exact tokens, which vLLM tells; `request` is more of each
    request, such as {"extra_body": {"chat_template_kwargs": {"enable_thinking": false}}}.

    Raises:
        TaskError: There is no endpoint, or openai is not installed.
    """
    url = endpoint or os.environ.get("OPENAI_BASE_URL", "")
    if not url:
        raise TaskError("policy 'openai' has no endpoint: --option endpoint=http://localhost:8000/v1")
    fields = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, **(request or {})}
    key = ("openai", url, model, concurrency, tokens, repr(sorted(fields.items())))
    return Chatting(shared(key, lambda: Endpoint(url, model, fields, concurrency, tokens)), seed, full)
