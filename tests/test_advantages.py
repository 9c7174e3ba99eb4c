"""Advantages: by hand, and as TRL's own trainers have them."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from termgym.advantages import advantages, returns, turn_advantages
from termgym.errors import UnknownName
from termgym.outcome import Outcome
from termgym.trajectory import Trajectory, TurnRecord
from tests import tiny
from tests.told import PROMPT, Case, Told

pytestmark = pytest.mark.filterwarnings("default")
trl: Any = import_module("trl")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told(tmp_path_factory.mktemp("trl"))


def episode(*errors: str) -> Trajectory:
    turns = tuple(TurnRecord("", "", error=error) for error in errors)
    return Trajectory("task", "digest", "policy", Outcome.FAILED, turns=turns)


def test_group_by_hand() -> None:
    assert np.allclose(advantages([1, 0, 0, 1]), np.array([1, -1, -1, 1]) * 0.5 / (np.sqrt(1 / 3) + 1e-4))
    assert np.allclose(advantages([0.2, 0.5]), np.array([-1, 1]) * 0.15 / (0.3 / np.sqrt(2) + 1e-4))


def test_leave_one_out_by_hand() -> None:
    assert np.allclose(advantages([1, 0, 0.5, 0], "leave_one_out"), [1 - 0.5 / 3, -0.5, 0.5 - 1 / 3, -0.5])


def test_mean_by_hand() -> None:
    assert np.allclose(advantages([1, 0, 0.5, 0.5], "mean"), [0.5, -0.5, 0, 0])


@pytest.mark.parametrize("baseline", ["group", "leave_one_out", "mean"])
def test_scores_that_are_alike_teach_nothing(baseline: str) -> None:
    assert np.allclose(advantages([0.1] * 3, baseline), 0)
    assert np.allclose(advantages([0.7], baseline), 0)


def test_an_unknown_baseline_is_told() -> None:
    with pytest.raises(UnknownName, match="group"):
        advantages([1, 0], "groups")


@pytest.mark.parametrize(("baseline", "scale"), [("group", "group"), ("mean", "none")])
@pytest.mark.parametrize("seed", range(5))
def test_as_trl_grpo(told: Told, baseline: str, scale: str, seed: int) -> None:
    size = 2 + seed
    case = Case.random(seed, size=size)
    theirs = told.batch(case, scale_rewards=scale)["advantages"].numpy()
    ours = [advantages(case.rewards[begin : begin + size], baseline) for begin in range(0, 3 * size, size)]
    assert np.abs(theirs).max() > 0.1
    assert np.allclose(np.concatenate(ours), theirs, atol=1e-5)


def test_as_trl_rloo(tmp_path: Path) -> None:
    scores = [1.0, 0.0, 0.25, 0.0, 1.0, 1.0, 0.5, 0.0]
    args = trl.RLOOConfig(
        str(tmp_path), use_cpu=True, bf16=False, report_to="none", beta=0.0, max_completion_length=2,
        num_generations=4, per_device_train_batch_size=8,
    )  # fmt: skip
    trainer: Any = trl.RLOOTrainer(
        model=tiny.model(),
        processing_class=tiny.tokenizer(),
        args=args,
        reward_funcs=lambda **_: scores,
        train_dataset=Dataset.from_list([{"prompt": PROMPT}]),
    )
    theirs = trainer._generate_and_score_completions([{"prompt": PROMPT}] * 8)["advantages"].numpy()
    ours = [advantages(scores[begin : begin + 4], "leave_one_out") for begin in (0, 4)]
    assert np.allclose(np.concatenate(ours), theirs, atol=1e-5)


def test_returns_by_hand() -> None:
    assert returns(episode("", "", ""), 1.0, discount=0.5).tolist() == [0.25, 0.5, 1.0]
    assert np.allclose(returns(episode("", "no JSON", ""), 1.0, unusable=0.1), [0.9, 0.9, 1.0])
    assert np.allclose(returns(episode("no", "no"), 0.0, discount=0.5, unusable=0.2), [-0.3, -0.2])
    assert returns(episode(), 1.0).tolist() == []


def test_turns_share_a_baseline() -> None:
    found = turn_advantages([np.array([1.0, 1.0, 1.0]), np.array([0.0])], "mean")
    assert [one.tolist() for one in found] == [[0.25] * 3, [-0.75]]
    led = [np.array([0.5, 1.0]), np.array([]), np.array([0.0])]
    found = turn_advantages(led)
    assert [len(one) for one in found] == [2, 0, 1]
    assert np.allclose(np.concatenate(found), advantages([0.5, 1.0, 0.0]))
