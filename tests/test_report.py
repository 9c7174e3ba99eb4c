"""Reports: what counts as what, and what is shown."""

import json
from typing import Any

import pytest
from rich.console import Console

from termgym.outcome import Outcome
from termgym.report import Report
from termgym.trajectory import Trajectory, TurnRecord

PHASES = {"create": 0.1, "reset": 0.2, "step": 0.3, "verify": 0.4, "close": 0.5}


def episode(outcome: Outcome, dense: float | None = None, **fields: Any) -> Trajectory:
    fields = {"task": "f@1.1", "family": "f", "timings": PHASES} | fields
    return Trajectory(digest="d", policy="p", outcome=outcome, dense=dense, **fields)


def report(*episodes: Trajectory) -> Report:
    return Report.of(episodes)


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
    total = report(*episodes, episode(Outcome.INFRA_ERROR, task="c")).total
    assert total.pass_at() == pytest.approx({1: (1 / 4 + 2 / 4 + 0) / 3, 2: (3 / 6 + 5 / 6) / 2, 4: 1.0})
    assert total.pass_hat() == pytest.approx({1: (1 / 4 + 2 / 4 + 0) / 3, 2: (0 + 1 / 6) / 2, 4: 0.0})


def test_the_interval_is_over_tasks_and_that_of_one_task_over_its_attempts() -> None:
    attempts = [episode(Outcome.SOLVED, 1.0, task="a")] * 8 + [episode(Outcome.FAILED, 0.0, task="a")] * 2
    assert report(*attempts).total.interval() == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson's of 8 of 10
    other = [episode(Outcome.FAILED, 0.0, task="b")] * 1000
    low, high = report(*attempts, *other).total.to_dict()["pass_at_1_interval_95"]
    assert (low, high) == pytest.approx((0.0, 0.8))  # of two tasks a quarter of the resamples has the same one twice


def test_tasks_of_one_name_and_other_content_are_not_one_task() -> None:
    other = Trajectory(task="f@1.1", digest="other", policy="p", outcome=Outcome.SOLVED, dense=1.0, timings=PHASES)
    assert list(report(episode(Outcome.SOLVED, 1.0), other).total.pass_at()) == [1]


def test_families_are_apart_and_folders_go_by_their_own_name() -> None:
    made = report(episode(Outcome.SOLVED, 1.0), episode(Outcome.FAILED, 0.0, task="folder", family=""))
    assert {name: scores.solved for name, scores in made.families.items()} == {"f": 1, "folder": 0}


def test_domains_and_levels_are_apart_too() -> None:
    hard = episode(Outcome.FAILED, 0.0, domain="security", level=10)
    made = report(episode(Outcome.SOLVED, 1.0, domain="data", level=2), hard, episode(Outcome.INFRA_ERROR))
    found = made.to_dict()
    assert {name: one["solved"] for name, one in found["domains"].items()} == {"data": 1, "security": 0, "none": 0}
    assert [(name, one["n"], one["invalid"]) for name, one in found["levels"].items()] == [
        ("none", 0, 1),
        ("2", 1, 0),
        ("10", 1, 0),
    ]
    assert found["levels"]["2"]["pass_hat"] == {"1": 1.0}
    assert [table.columns[0].header for table in made.tables()] == ["family", "domain", "level", "family", "phase (ms)"]


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
    assert ["f", "1/2", "50%", "9-91", "100%", "0%", "0.75", "1"] in rows
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
    assert (
        all(part in capture.get() for part in (name, "pass@8", "pass^8", "invalid", "5/8")) and "…" not in capture.get()
    )
