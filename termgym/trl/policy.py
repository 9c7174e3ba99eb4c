"""The trainer's model as the policy of episodes, and an episode as what the trainer is told of it."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from termgym.agent import Agent, Model, Sampling
from termgym.errors import TaskError
from termgym.policy import Message
from termgym.sample import samples
from termgym.trajectory import Trajectory

Row = dict[str, Any]


class Bounded(Agent):
    """An agent whose conversation has room for `longest` tokens behind its first prompt."""

    def __init__(self, model: Model, sampling: Sampling, seed: int, longest: int) -> None:
        super().__init__(model, sampling, seed)
        self._model, self._longest = model, longest

    def _prompt(self, conversation: Sequence[Message]) -> list[int]:
        prompt = super()._prompt(conversation)
        if len(conversation) == 1:
            self._limit = min(self._model.context, len(prompt) + self._longest)
        return prompt


@contextmanager
def model_of(trainer: Any, sampling: Sampling, thinking: bool | None, seed: int) -> Generator[Model]:
    """A trainer's model as it is now: its own weights, or the vLLM server to which it gave them.

    Raises:
        TaskError: It has vLLM in its own process.
    """
    if trainer.use_vllm:
        yield _server(trainer, thinking)
        return
    utils, hf = import_module("trl.models.utils"), import_module("termgym.policies.hf")
    how = {"gradient_checkpointing_kwargs": trainer.args.gradient_checkpointing_kwargs}
    with utils.unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator, **how) as model:
        learns, bare = model.training, getattr(model, "get_base_model", lambda: model)()
        try:
            yield hf.HFModel(bare, trainer.processing_class, sampling=sampling, thinking=thinking, seed=seed)
        finally:
            model.train(learns)


def _server(trainer: Any, thinking: bool | None) -> Model:
    if trainer.vllm_mode != "server":
        raise TaskError("rollout_func needs vllm_mode='server', and `vllm serve` as TRL's documentation starts it")
    generation, vllm = trainer.vllm_generation, import_module("termgym.policies.vllm")
    base = generation.server_base_url or f"http://{generation.server_host}:{generation.server_port}"
    tokenizer = trainer.processing_class.name_or_path
    return vllm.VLLMServer(f"{base}/v1", trainer.model.name_or_path, tokenizer=tokenizer, thinking=thinking)


def row(one: Trajectory, score: float | None, blank: int) -> Row:
    """What TRL is told of an episode; one that is invalid or without tokens, for which `blank` stands, teaches nothing.

    `env_mask` is 1 where the model emitted a token, 0 where the environment did.
    """
    told: Row = {"reward": score, "outcome": one.outcome.value}
    if not (found := samples(one)):
        return told | {"prompt_ids": [blank], "completion_ids": [blank], "logprobs": [0.0], "env_mask": [0]}
    (sample,) = found  # of a conversation that is never cut
    begin = int(sample.loss_mask.argmax())
    return told | {
        "prompt_ids": sample.token_ids[:begin].tolist(),
        "completion_ids": sample.token_ids[begin:].tolist(),
        "logprobs": sample.logprobs[begin:].tolist(),
        "env_mask": (sample.loss_mask[begin:] & one.valid).astype(int).tolist(),
    }
