"""A language model in vLLM: in this process by its AsyncLLM, or in a vLLM server. Tokens in, tokens out.

vLLM batches and caches prefixes itself. New weights are read in place from a checkpoint's folder, best on a file system
in memory (/dev/shm), whatever the number of GPUs. On a GPU that is shared with a trainer, `sleep` frees its memory
meanwhile, where the engine was made with `enable_sleep_mode=True`. A server needs `VLLM_SERVER_DEV_MODE=1` for these,
and `--logprobs-mode processed_logprobs` so that its logprobs are those that tokens were drawn by.

On a CPU vLLM (0.32) fails where a request has a seed of its own and its prompt is read in parts: there it has none.
A processor without AVX-512 wants `dtype="float32"`: torch multiplies bfloat16 there one number after another.
"""

import asyncio
import os
from collections.abc import Sequence
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from termgym.agent import Agent, Completion, Model, Sampling
from termgym.chat import Chat
from termgym.errors import ModelError, TaskError
from termgym.policy import shared
from termgym.task import Task

RETRIES = 6
TIMEOUT_S = 900.0


class VLLMModel:
    """vLLM in this process, for one event loop; it is started by the first completion. To be closed."""

    def __init__(self, name: str, *, thinking: bool | None = None, context: int | None = None, **engine: Any) -> None:
        """`name` is a folder or of the hub's cache; `engine` are more of vLLM's `AsyncEngineArgs`.

        Raises:
            TaskError: vLLM is not installed, or there is no such tokenizer.
        """
        self.name, self.chat, self.version = name, _chat(name, thinking), 0
        self.context = context or int(_config(name).max_position_embeddings)
        self._vllm, self._engine, self._numbers = _imported("vllm", "vllm"), None, count()
        self._seeded = not import_module("vllm.platforms").current_platform.is_cpu()
        self._options = {"max_model_len": self.context, "disable_log_stats": True} | engine

    async def complete(self, prompt_ids: Sequence[int], sampling: Sampling, seed: int) -> Completion:
        """See `termgym.agent.Model`."""
        engine, version = self._started(), self.version
        params = self._vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k or -1,
            max_tokens=sampling.max_tokens,
            stop_token_ids=sorted(self.chat.stops),
            seed=seed % 2**31 if self._seeded else None,
            logprobs=0,
            detokenize=False,
            output_kind=import_module("vllm.sampling_params").RequestOutputKind.FINAL_ONLY,
        )
        try:
            request = engine.generate({"prompt_token_ids": list(prompt_ids)}, params, f"{next(self._numbers)}")
            answers = [answer async for answer in request]
        except (ValueError, RuntimeError) as error:  # vLLM's own errors are RuntimeErrors
            raise ModelError(f"{self.name}: {type(error).__name__}: {error}") from error
        output: Any = answers[-1].outputs[0] if answers else None
        if output is None or output.finish_reason not in ("stop", "length"):
            raise ModelError(f"{self.name}: vLLM gave no answer: {output and output.finish_reason}")
        logprobs = (step[token].logprob for token, step in zip(output.token_ids, output.logprobs, strict=True))
        return Completion(tuple(output.token_ids), tuple(map(float, logprobs)), output.finish_reason, version)

    def _started(self) -> Any:
        if self._engine is None:
            made = self._vllm.AsyncEngineArgs(
                model=self.name, logprobs_mode="processed_logprobs", enable_prefix_caching=True, **self._options
            )
            self._engine = self._vllm.AsyncLLMEngine.from_engine_args(made)
        return self._engine

    async def update(self, folder: str | Path) -> None:
        """Take the weights of a checkpoint's folder, in place, and forget what was cached by the old ones."""
        engine = self._started()
        await engine.pause_generation(mode="wait")
        await engine.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        await engine.reset_prefix_cache()
        await engine.resume_generation()
        self.version += 1

    async def sleep(self, level: int = 1) -> None:
        """Free the GPU's memory: at level 1 weights are kept in the host's, at 2 nothing is."""
        await self._started().sleep(level)

    async def wake(self) -> None:
        """Take the memory again."""
        await self._started().wake_up()

    async def close(self) -> None:
        """End vLLM; the next completion starts it again."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.shutdown)


class VLLMServer:
    """A vLLM server, by its completions of tokens. To be closed."""

    def __init__(
        self,
        endpoint: str,
        name: str,
        *,
        tokenizer: str = "",
        thinking: bool | None = None,
        context: int | None = None,
        seeded: bool = True,
    ) -> None:
        """`endpoint` goes up to /v1; `tokenizer` is a folder or of the hub's cache, the model's own unless given.

        `seeded` gives each request a seed, without which engines that share the work may say the same. vLLM's CPU
        backend cannot have that.

        Raises:
            TaskError: openai is not installed, or there is no such tokenizer.
        """
        self.name, self.chat, self.version = name, _chat(tokenizer or name, thinking), 0
        self.context = context or int(_config(tokenizer or name).max_position_embeddings)
        self._seeded = seeded
        self._endpoint, self._client, self._openai = endpoint.rstrip("/"), None, _imported("openai", "openai")

    async def complete(self, prompt_ids: Sequence[int], sampling: Sampling, seed: int) -> Completion:
        """See `termgym.agent.Model`."""
        more = {"return_token_ids": True, "top_k": sampling.top_k or -1, "stop_token_ids": sorted(self.chat.stops)}
        version = self.version
        try:
            reply = await self._connected().completions.create(
                model=self.name,
                prompt=list(prompt_ids),
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=seed % 2**31 if self._seeded else None,
                logprobs=0,
                extra_body=more,
            )
            choice = reply.choices[0]
            tokens, logprobs = tuple(choice.token_ids), tuple(choice.logprobs.token_logprobs)
        except (self._openai.OpenAIError, AttributeError, IndexError, TypeError) as error:
            raise ModelError(f"{self._endpoint}: {type(error).__name__}: {error}") from error
        return Completion(tokens, logprobs, choice.finish_reason, version)

    def _connected(self) -> Any:
        if self._client is None:
            key = os.environ.get("OPENAI_API_KEY", "none")
            made = self._openai.AsyncOpenAI
            self._client = made(base_url=self._endpoint, api_key=key, max_retries=RETRIES, timeout=TIMEOUT_S)
        return self._client

    async def update(self, folder: str | Path) -> None:
        """Take the weights of a checkpoint's folder that the server sees, in place."""
        await self._post("/pause?mode=wait")
        await self._post("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
        await self._post("/reset_prefix_cache")
        await self._post("/resume")
        self.version += 1

    async def sleep(self, level: int = 1) -> None:
        """Free the GPU's memory."""
        await self._post(f"/sleep?level={level}")

    async def wake(self) -> None:
        """Take the memory again."""
        await self._post("/wake_up")

    async def _post(self, path: str, body: dict[str, Any] | None = None) -> None:
        root = self._endpoint.removesuffix("/v1")
        try:
            await self._connected().post(f"{root}{path}", body=body, cast_to=object)
        except self._openai.OpenAIError as error:
            hint = "a vLLM server does that with VLLM_SERVER_DEV_MODE=1"
            raise ModelError(f"{root}{path}: {type(error).__name__}: {error}; {hint}") from error

    async def close(self) -> None:
        """Close its connections; the next completion opens them again."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def new(
    task: Task,
    seed: int,
    model: str,
    endpoint: str = "",
    tokenizer: str = "",
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    max_tokens: int = 2048,
    context: int | None = None,
    thinking: bool | None = None,
    full: str = "end",
    seeded: bool = True,
    engine: dict[str, Any] | None = None,
) -> Agent:
    """An agent of a model in this process, or with an `endpoint` of one in a server; all episodes share it.

    `full` is what happens when the context is: "end", or "summarize". `engine` are more of vLLM's engine arguments.
    """
    sampling = Sampling(temperature, top_p, top_k, max_tokens)

    def load() -> Model:
        how: dict[str, Any] = {"thinking": thinking, "context": context}
        if endpoint:
            return VLLMServer(endpoint, model, tokenizer=tokenizer, seeded=seeded, **how)
        return VLLMModel(model, **how, **(engine or {}))

    key = ("vllm", model, endpoint, tokenizer, thinking, context, seeded, repr(engine))
    return Agent(shared(key, load), sampling, seed, full)


def _imported(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise TaskError(f"policy 'vllm' needs {module}: pip install 'termgym[{extra}]'") from error


def _chat(name: str, thinking: bool | None) -> Chat:
    transformers = _imported("transformers", "vllm")
    try:
        return Chat(transformers.AutoTokenizer.from_pretrained(name), thinking)
    except (OSError, ValueError) as error:
        raise TaskError(f"policy 'vllm': there is no tokenizer {name!r}: {error}") from error


def _config(name: str) -> Any:
    return import_module("transformers").AutoConfig.from_pretrained(name)
