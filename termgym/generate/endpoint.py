"""The model, behind any OpenAI-compatible endpoint: vLLM, Ollama, llama.cpp, or a service."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from termgym.errors import ModelError, TaskError

RETRIES = 6
"""Of one request, after errors that may pass: 408, 409, 429, 5xx, no connection. Waits grow, or are the server's."""
TIMEOUT_S = 600.0


class EndpointError(ModelError):
    """Raised when a model cannot be asked, retries included; says what the endpoint said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered."""

    text: str
    tokens: int
    """Of the prompt and the answer; counted by words where the endpoint does not tell."""
    finished: bool
    """Whether it came to its end, rather than to the limit on tokens."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is, and how it is asked. The key is OPENAI_API_KEY, where one is needed."""

    url: str
    model: str
    max_tokens: int = 16_384
    """Of one answer."""
    temperature: float = 1.0
    timeout_s: float = TIMEOUT_S
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """More fields of the request, such as `reasoning_effort`."""

    def connect(self) -> "Connection":
        """A connection, for one event loop.

        Raises:
            TaskError: The package openai is not installed.
        """
        try:
            openai: Any = import_module("openai")
        except ImportError as error:
            raise TaskError("a model's endpoint needs openai: pip install 'termgym[openai]'") from error
        key = os.environ.get("OPENAI_API_KEY", "none")
        client = openai.AsyncOpenAI(base_url=self.url, api_key=key, max_retries=RETRIES, timeout=self.timeout_s)
        return Connection(self, client, openai.OpenAIError)


class Connection:
    """Asks the model of an endpoint."""

    def __init__(self, endpoint: Endpoint, client: Any, error: type[Exception]) -> None:
        """`error` is what the client raises."""
        self._endpoint, self._client, self._error = endpoint, client, error

    async def ask(self, messages: Sequence[Mapping[str, str]]) -> Answer:
        """The answer to a conversation.

        Raises:
            EndpointError: There is none.
        """
        endpoint = self._endpoint
        try:
            reply = await self._client.chat.completions.create(
                model=endpoint.model,
                messages=list(messages),
                max_tokens=endpoint.max_tokens,
                temperature=endpoint.temperature,
                extra_body=dict(endpoint.options),
            )
            choice = reply.choices[0]
            text = choice.message.content or ""
        except (self._error, ValueError, IndexError, AttributeError, TypeError) as error:
            raise EndpointError(f"{endpoint.url}: {type(error).__name__}: {error}") from error
        counted = sum(len(message["content"].split()) for message in messages) + len(text.split())
        return Answer(text, reply.usage.total_tokens if reply.usage else counted, choice.finish_reason != "length")

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()
