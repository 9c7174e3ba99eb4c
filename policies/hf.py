"""A language model of Hugging Face's transformers, in this process, on its CPU or GPU.

All episodes share one model, by transformers' continuous batching: whoever waits for an answer is in the next batch,
and what a conversation began with stays in the paged KV cache from turn to turn.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from itertools import count
from typing import Any

from termgym.agent import Agent, Completion, Sampling
from termgym.chat import Chat
from termgym.errors import ModelError, TaskError
from termgym.policy import shared
from termgym.task import Task

PAGE = 32
"""Tokens of a page of the KV cache: whole pages are shared by conversations that begin alike."""
CONVERSATIONS = 16
"""Of full length, that the KV cache has room for on a CPU; on a GPU it takes what memory there is."""
BATCH_TOKENS = 512


class HFModel:
    """A causal language model with its chat and a queue, for one event loop. To be closed.

    The seed of a single completion does not count: a batch has one for all.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        sampling: Sampling | None = None,
        thinking: bool | None = None,
        context: int | None = None,
        seed: int = 0,
    ) -> None:
        """Nothing runs before the first completion.

        Args:
            model: A `PreTrainedModel`. Inside `updating`, a trainer may change its weights.
            tokenizer: Its tokenizer, with a chat template.
            sampling: How answers are drawn, of all episodes.
            thinking: For templates that can switch it.
            context: Tokens of a conversation, at most; the model's own limit unless given.
            seed: Of the draws.
        """
        self.name, self.chat = str(model.name_or_path or "hf"), Chat(tokenizer, thinking)
        self.context = context or int(model.config.max_position_embeddings)
        self.version = 0
        self._model, self._sampling, self._seed = model, sampling or Sampling(), seed
        self._manager: Any = None
        self._numbers = count()

    async def complete(self, prompt_ids: Sequence[int], sampling: Sampling, seed: int) -> Completion:
        """See `termgym.agent.Model`."""
        if self._manager is None:
            self._manager = self._start()
        output = await self._queued(list(prompt_ids), sampling.max_tokens)
        if output.error:
            raise ModelError(f"{self.name}: {output.error}")
        tokens = tuple(map(int, output.generated_tokens))
        finish = "stop" if self.chat.ended(tokens) else "length"
        return Completion(tokens, tuple(map(float, output.logprobs)), finish, self.version)

    async def _queued(self, prompt_ids: list[int], most: int) -> Any:
        manager, name, ended = self._manager, f"{next(self._numbers)}", asyncio.get_running_loop().create_future()
        if not manager.is_running():
            raise ModelError(f"{self.name}: its generation has ended: {manager.background_thread_status.fatal_error!r}")

        def tell(output: Any) -> None:
            if not ended.done():
                ended.set_result(output)

        manager.register_result_handler(name, tell)
        manager.add_request(prompt_ids, request_id=name, max_new_tokens=most)
        try:
            return await ended
        except asyncio.CancelledError:
            manager.cancel_request(name)
            raise

    @asynccontextmanager
    async def updating(self) -> AsyncGenerator[Any]:
        """The model itself, with nothing running on it: to be trained, or given other weights. It counts as an update.

        What is under way is waited for, and what the KV cache holds is forgotten: it is the old weights'.
        """
        await self.close()
        yield self._model
        self.version += 1

    def _start(self) -> Any:
        transformers, drawn = import_module("transformers"), self._sampling.temperature > 0
        stops, sampling = sorted(self.chat.stops), self._sampling
        how = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k} if drawn else {}
        generation = transformers.GenerationConfig(
            do_sample=drawn, eos_token_id=stops, pad_token_id=stops[0], max_new_tokens=sampling.max_tokens, **how
        )
        small = self._model.device.type == "cpu"
        batching = transformers.ContinuousBatchingConfig(
            page_size=PAGE,
            num_blocks=CONVERSATIONS * self.context // PAGE if small else None,
            max_batch_tokens=BATCH_TOKENS if small else None,
            return_logprobs=True,
            seed=self._seed + self.version,  # other weights, other draws
        )
        manager = self._model.init_continuous_batching(
            generation_config=generation, continuous_batching_config=batching
        )
        manager.start()
        return manager

    async def close(self) -> None:
        """End its generation; the next completion starts it again."""
        manager, self._manager = self._manager, None
        if manager is not None:
            await asyncio.to_thread(manager.stop, block=True)


def new(
    task: Task,
    seed: int,
    model: str,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    max_tokens: int = 2048,
    context: int | None = None,
    thinking: bool | None = None,
    full: str = "end",
    dtype: str = "auto",
    device: str = "",
) -> Agent:
    """An agent of the model in a folder, or of a name that the hub's cache has; all episodes share it.

    `full` is what happens when the context is: "end", or "summarize". `device` is a GPU where there is one.
    """
    sampling = Sampling(temperature, top_p, top_k, max_tokens)

    def load() -> HFModel:
        return HFModel(*_loaded(model, dtype, device), sampling=sampling, thinking=thinking, context=context, seed=0)

    return Agent(shared(("hf", model, dtype, device, sampling, thinking, context), load), sampling, seed, full)


def _loaded(name: str, dtype: str, device: str) -> tuple[Any, Any]:
    """The model and its tokenizer.

    Raises:
        TaskError: They cannot be loaded, or transformers is not installed.
    """
    try:
        torch, transformers = import_module("torch"), import_module("transformers")
    except ImportError as error:
        raise TaskError("policy 'hf' needs torch and transformers: pip install 'termgym[hf]'") from error
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        return transformers.AutoModelForCausalLM.from_pretrained(name, dtype=dtype).to(where), tokenizer
    except (OSError, ValueError) as error:
        raise TaskError(f"policy 'hf': model {name!r} cannot be loaded: {error}") from error
