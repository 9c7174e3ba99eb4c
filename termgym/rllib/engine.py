"""Engines: what answers in a runner, with weights that a learner changes."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Protocol

from termgym.agent import Model
from termgym.errors import TaskError
from termgym.rllib.model import CausalLM


class Engine(Protocol):
    """A model for agents, by weights that are the module's."""

    model: Model

    def updating(self) -> Any:
        """A context in which the module is given other weights; at its end the model has them."""
        ...

    async def close(self) -> None:
        """End it; what is asked for next starts it again."""
        ...


def new_engine(module: CausalLM, config: Any) -> Engine:
    """The engine that a `LanguageConfig` names."""
    return {"hf": InPlace, "vllm": Copied}[config.engine](module, config)


def tokenizer_of(name: str) -> Any:
    """A model's tokenizer.

    Raises:
        TaskError: There is none.
    """
    transformers = import_module("transformers")
    try:
        return transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise TaskError(f"model {name!r}: its tokenizer cannot be loaded: {error}") from error


class InPlace:
    """transformers' continuous batching, over the module's own weights."""

    def __init__(self, module: CausalLM, config: Any) -> None:
        torch = import_module("torch")
        hf = import_module("termgym.policies.hf")
        bare = module.model.get_base_model() if module.loading.lora is not None else module.model
        module.to("cuda" if config.num_gpus_per_env_runner and torch.cuda.is_available() else "cpu").eval()
        how = {"sampling": config.sampling, "thinking": config.thinking, "context": config.context}
        self.model: Any = hf.HFModel(bare, tokenizer_of(module.loading.model), seed=config.seed or 0, **how)

    def updating(self) -> Any:
        """See `Engine`."""
        return self.model.updating()

    async def close(self) -> None:
        """See `Engine`."""
        await self.model.close()


class Copied:
    """vLLM, which reads the weights from a folder, in memory where there is such a file system."""

    def __init__(self, module: CausalLM, config: Any) -> None:
        vllm = import_module("termgym.policies.vllm")
        name = module.loading.model
        self._module, self._tokenizer = module, tokenizer_of(name)
        self.model: Any = vllm.VLLMModel(
            name, thinking=config.thinking, context=config.context, **config.engine_options
        )

    @asynccontextmanager
    async def updating(self) -> AsyncGenerator[None]:
        """See `Engine`."""
        yield
        memory = Path("/dev/shm")
        with TemporaryDirectory(prefix="termgym-", dir=memory if memory.is_dir() else gettempdir()) as folder:
            self._module.save(folder, self._tokenizer)
            await self.model.update(folder)

    async def close(self) -> None:
        """See `Engine`."""
        await self.model.close()
