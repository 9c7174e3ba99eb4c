"""A transformers model as a policy: what it recorded is what it computes, over turns, batches and new weights."""

import asyncio
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from termgym.agent import Agent, Sampling
from termgym.attempt import Attempt
from termgym.errors import TaskError, UnknownName
from termgym.launcher_client import close_launcher
from termgym.outcome import Outcome
from termgym.policy import close_models, find_policy
from termgym.rollout import Rollout, rollout
from termgym.sample import Sample, samples
from termgym.task import Check, Limits, Task
from termgym.trajectory import Trajectory
from tests import tiny

HFModel: Any = import_module("termgym.policies.hf").HFModel
TASK = Task(id="family/name@17.2", instruction="Write yes.", checks=(Check("answer", "grep -qx yes answer"),))
SHORT = Sampling(max_tokens=24)


def logprobs(model: torch.nn.Module, sample: Sample) -> torch.Tensor:
    """What the model gives each token of a sample, after those before it."""
    ids = torch.tensor(sample.token_ids.astype("int64"))
    with torch.no_grad():
        logits = model(ids[None]).logits[0, :-1].float().log_softmax(-1)
    return torch.cat([torch.zeros(1), logits.gather(1, ids[1:, None])[:, 0]])


def check(model: torch.nn.Module, trajectories: Sequence[Trajectory]) -> None:
    """The recorded logprobs are those that the model computes over the whole sample."""
    for one in trajectories:
        (sample,) = samples(one)
        mask = torch.tensor(sample.loss_mask)
        assert int(mask.sum()) == sum(len(turn.token_ids) for turn in one.turns) > 0
        assert torch.allclose(logprobs(model, sample)[mask], torch.tensor(sample.logprobs)[mask], atol=2e-4)


def run(model: Any, number: int, turns: int = 3, concurrency: int = 6) -> list[Trajectory]:
    async def main() -> list[Trajectory]:
        attempts = [
            Attempt(TASK, lambda task, seed: Agent(model, SHORT, seed), n, limits=Limits(turns=turns))
            for n in range(number)
        ]
        try:
            return [one async for one in Rollout(attempts, concurrency=concurrency)]
        finally:
            await model.close()
            await close_launcher()

    return asyncio.run(main())


def test_what_is_recorded_is_what_the_model_computes() -> None:
    made = tiny.model()
    model = HFModel(made, tiny.tokenizer(), sampling=SHORT)
    first = run(model, 8)
    assert {one.outcome for one in first} == {Outcome.OUT_OF_TURNS} and {len(one.turns) for one in first} == {3}
    check(made, first)
    replies = {turn.reply for one in first for turn in one.turns}
    assert len(replies) > 12  # draws differ


def test_new_weights_count_from_the_next_answer() -> None:
    made = tiny.model()
    model = HFModel(made, tiny.tokenizer(), sampling=SHORT)
    check(made, run(model, 2))

    async def update() -> None:
        async with model.updating() as weights, asyncio.timeout(20):
            weights.load_state_dict(tiny.model(seed=1).state_dict())

    asyncio.run(update())
    again = run(model, 2)
    check(made, again)
    assert {turn.version for one in again for turn in one.turns} == {1}


def test_a_context_that_is_full_ends_the_episode() -> None:
    model = HFModel(tiny.model(context=1 << 13), tiny.tokenizer(), sampling=SHORT, context=2600)
    (one,) = run(model, 1, turns=40)
    assert one.outcome is Outcome.OUT_OF_TOKENS and 0 < len(one.turns) < 40


def test_the_policy_shares_one_model_of_a_folder(tmp_path: Path) -> None:
    folder = tiny.saved(tmp_path / "model")
    options = {"model": folder, "max_tokens": 8, "temperature": 0}

    async def main() -> list[Trajectory]:
        try:
            limits = Limits(turns=2)
            return [one async for one in rollout("hf", [TASK], group_size=3, options=options, limits=limits)]
        finally:
            await close_models()
            await close_launcher()

    done = asyncio.run(main())
    assert {one.model for one in done} == {folder}
    assert len({tuple(turn.token_ids for turn in one.turns) for one in done}) == 1  # the most probable, each time
    again = asyncio.run(main())  # on another event loop
    assert again[0].turns[0].token_ids == done[0].turns[0].token_ids


def test_what_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="model '/nowhere' cannot be loaded"):
        find_policy("hf", model="/nowhere")(TASK, 0)
    with pytest.raises(UnknownName, match="temperature"):
        find_policy("hf", model="x", temperatur=1)
    with pytest.raises(UnknownName, match="did you mean summarize"):
        find_policy("hf", model=tiny.saved(tmp_path), full="summarise")(TASK, 0)
    bare = tiny.saved(tmp_path / "bare")
    (tmp_path / "bare" / "chat_template.jinja").unlink()
    with pytest.raises(TaskError, match="no chat template"):
        find_policy("hf", model=bare)(TASK, 0)
