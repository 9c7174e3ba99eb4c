"""Reports: the formulas against numbers worked out by hand, and what counts as what."""

import json
from typing import Any

import pytest
from rich.console import Console

from termgym.outcome import Outcome
from termgym.report import Report, pass_at_k, wilson
from termgym.trajectory import Trajectory, TurnRecord

PHASES = {"create": 0.1, "reset": 0.2, "step": 0.3, "verify": 0.4, "close": 0.5}


def episode(outcome: Outcome, dense: float | None = None, **fields: Any) -> Trajectory:
    fields = {"task": "f@1.1", "family": "f", "timings": PHASES} | fields
    return Trajectory(digest="d", policy="p", outcome=outcome, dense=dense, **fields)


def report(*episodes: Trajectory) -> Report:
    made = Report()
    for one in episodes:
        made.add(one)
    return made


# (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), with z² = 3.841459:
# 8 of 10: (0.8 + 0.192073 ± 1.959964 √(0.016 + 0.0096036)) / 1.384146 = (0.992073 ± 0.313613) / 1.384146
# 0 of 10: (0.192073 ± 1.959964 √0.0096036) / 1.384146 = (0.192073 ± 0.192073) / 1.384146
@pytest.mark.parametrize(
    ("solved", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (0, 0, 0.0, 1.0)],
)
def test_wilson(solved: int, n: int, low: float, high: float) -> None:
    assert wilson(solved, n) == pytest.approx((low, high), abs=1e-4)


# 5 attempts, 2 of them good: of the 10 pairs 3 have none of these; of the 10 triples 1; of 4 attempts none.
@pytest.mark.parametrize(
    ("n", "solved", "k", "chance"),
    [(5, 2, 1, 0.4), (5, 2, 2, 0.7), (5, 2, 3, 0.9), (5, 2, 4, 1.0), (4, 0, 2, 0.0), (1, 1, 1, 1.0)],
)
def test_pass_at_k(n: int, solved: int, k: int, chance: float) -> None:
    assert pass_at_k(n, solved, k) == pytest.approx(chance)


def test_invalid_episodes_are_counted_and_change_nothing_else() -> None:
    valid = [episode(Outcome.SOLVED, 1.0), episode(Outcome.OUT_OF_TURNS, 0.5)]
    alone = report(*valid).to_dict()["total"]
    mixed = report(*valid, episode(Outcome.INFRA_ERROR), episode(Outcome.VERIFIER_ERROR)).to_dict()["total"]
    assert (mixed["n"], mixed["invalid"], mixed["solved"], mixed["mean_dense"]) == (2, 2, 1, 0.75)
    assert mixed["outcomes"] == {"infra_error": 1, "out_of_turns": 1, "solved": 1, "verifier_error": 1}
    assert {**alone, "invalid": 2, "outcomes": mixed["outcomes"]} == mixed


def test_nothing_valid_has_no_rates() -> None:
    total = report(episode(Outcome.INFRA_ERROR)).to_dict()["total"]
    assert (total["n"], total["mean_dense"], total["pass_at"], total["pass_at_1_interval_95"]) == (0, None, {}, None)


def test_pass_at_k_is_the_mean_over_tasks_with_enough_valid_attempts() -> None:
    outcomes = {"a": [True, False, False, False], "b": [True, True, False, False], "c": [False]}
    episodes = [
        episode(Outcome.SOLVED if solved else Outcome.FAILED, float(solved), task=task)
        for task, row in outcomes.items()
        for solved in row
    ]
    passed = report(*episodes, episode(Outcome.INFRA_ERROR, task="c")).total.pass_at()
    assert passed == pytest.approx({1: (1 / 4 + 2 / 4 + 0) / 3, 2: (3 / 6 + 5 / 6) / 2, 4: 1.0})


def test_tasks_of_one_name_and_other_content_are_not_one_task() -> None:
    other = Trajectory(task="f@1.1", digest="other", policy="p", outcome=Outcome.SOLVED, dense=1.0, timings=PHASES)
    assert list(report(episode(Outcome.SOLVED, 1.0), other).total.pass_at()) == [1]


def test_families_are_apart_and_folders_go_by_their_own_name() -> None:
    made = report(episode(Outcome.SOLVED, 1.0), episode(Outcome.FAILED, 0.0, task="folder", family=""))
    assert {name: scores.solved for name, scores in made.families.items()} == {"f": 1, "folder": 0}


def test_phases_are_those_of_each_step_and_each_valid_episode() -> None:
    turns = tuple(TurnRecord("", "", step_s=seconds) for seconds in (0.1, 0.2, 0.3))
    made = report(episode(Outcome.SOLVED, 1.0, turns=turns), episode(Outcome.INFRA_ERROR, timings={}))
    made.wall_s = 1.5
    phases = made.phases()
    # Linear between the ordered three: p90 lies 0.8 of the way from the second to the third, p99 0.98 of it.
    assert phases["step"] == pytest.approx({"median_s": 0.2, "p90_s": 0.28, "p99_s": 0.298})
    assert phases["verify"]["median_s"] == pytest.approx(0.4)
    assert (made.steps, made.steps_per_s) == (3, 2.0)


def test_json_is_json_and_the_tables_say_the_same() -> None:
    made = report(episode(Outcome.SOLVED, 1.0), episode(Outcome.FAILED, 0.5), episode(Outcome.INFRA_ERROR))
    assert json.loads(json.dumps(made.to_dict(), allow_nan=False))["families"]["f"]["solved"] == 1
    console = Console(width=100)
    with console.capture() as capture:
        console.print(made.table(), made.outcome_table(), made.timing_table())
    rows = [line.split() for line in capture.get().splitlines()]
    assert ["f", "1/2", "50%", "9-91", "100%", "0.75"] in rows
    assert ["family", "solved", "failed", "infra_error!"] in rows and ["total", "1", "1", "1"] in rows
    assert ["verify", "400.0", "400.0", "400.0"] in rows


def test_pass_at_8_fits_80_columns() -> None:
    name = "config/edit-in-editor"
    tries = [episode(Outcome.SOLVED if n < 5 else Outcome.OUT_OF_TURNS, n / 8, family=name) for n in range(8)]
    console = Console(width=80)
    with console.capture() as capture:
        console.print(
            report(*tries, episode(Outcome.VERIFIER_ERROR, family=name), episode(Outcome.FAILED, 0.0)).table()
        )
    assert all(part in capture.get() for part in (name, "pass@8", "dense", "5/8")) and "…" not in capture.get()
