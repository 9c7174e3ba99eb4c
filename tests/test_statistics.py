"""Statistics against numbers by hand, by enumeration and by simulation; comparisons of runs."""

import json
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from termgym.cli import app
from termgym.comparison import Comparison
from termgym.errors import TaskError
from termgym.outcome import Outcome
from termgym.statistics import bootstrap, pass_at_k, pass_hat_k, pass_interval, sign_flip, wilson
from termgym.trajectory import Trajectory

PHASES = {"create": 0.1, "reset": 0.2, "step": 0.3, "verify": 0.4, "close": 0.5}


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


# 5 attempts, 3 of them good: of the 10 pairs 3 are of these alone; of the 10 triples 1.
@pytest.mark.parametrize(
    ("n", "solved", "k", "chance"),
    [(5, 3, 1, 0.6), (5, 3, 2, 0.3), (5, 3, 3, 0.1), (5, 3, 4, 0.0), (4, 4, 4, 1.0), (3, 0, 1, 0.0)],
)
def test_pass_hat_k(n: int, solved: int, k: int, chance: float) -> None:
    assert pass_hat_k(n, solved, k) == pytest.approx(chance)


# Intervals.


def test_the_bootstrap_is_that_of_all_resamples() -> None:
    values = [0.0, 0.1, 0.5, 1.0]
    means = [mean(resample) for resample in product(values, repeat=4)]  # all 256, as likely as each other
    assert bootstrap(values) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.03)


def test_the_bootstrap_is_the_same_again_and_in_any_order() -> None:
    values = list(np.random.default_rng(1).random(50))
    assert bootstrap(values) == bootstrap(values) == bootstrap(values[::-1])


def test_a_task_is_one_unit_however_often_it_is_tried() -> None:
    tasks = [[True] * 3 + [False]] * 5 + [[False] * 4] * 5
    more = [attempts * 50 for attempts in tasks]
    assert pass_interval(tasks) == pass_interval(more)


def test_tasks_of_one_rate_are_one_trial_each() -> None:
    assert pass_interval([[True, True]] * 10) == pytest.approx((0.7225, 1.0), abs=1e-4)  # Wilson's of 10 of 10
    assert pass_interval([[True, False]] * 10) == pytest.approx(wilson(5, 10))


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(7)
    held = narrow = 0
    for _ in range(300):
        rates = random.beta(0.6, 0.6, 30)  # tasks differ much; their mean is a half
        tasks = [[bool(one) for one in row] for row in random.random((30, 4)) < rates[:, None]]
        low, high = pass_interval(tasks)
        held += low <= 0.5 <= high
        low, high = wilson(sum(map(sum, tasks)), 120)
        narrow += low <= 0.5 <= high
    assert 0.90 <= held / 300 <= 0.98
    assert narrow / 300 < 0.85  # what takes the attempts as independent does not


# p-values.


# 3, 1, -1: the sums of the 8 flips are ±5, ±3 twice, ±1 ... 3+1+1=5, 3+1-1=3, 3-1+1=3, 3-1-1=1, and the negatives.
# At least 3 from 0: six of eight.
@pytest.mark.parametrize(
    ("differences", "p"),
    [([3, 1, -1], 6 / 8), ([1, 1, 1], 2 / 8), ([1, 1, 1, 0, 0], 2 / 8), ([0.1] * 10, 2 / 1024), ([0, 0], 1.0)],
)
def test_sign_flips_are_all_tried_where_they_are_few(differences: list[float], p: float) -> None:
    assert sign_flip(differences) == pytest.approx(p)


def test_random_flips_agree_with_all_and_count_the_data_itself() -> None:
    differences = [0.3, -0.1, 0.2, 0.4, -0.2, 0.1, 0.5, -0.3, 0.1, 0.2, 0.3, -0.1, 0.2, 0.1]  # 2^14 flips: too many
    signs = np.array(list(product((-1, 1), repeat=14)))
    exact = np.mean(np.abs(signs @ np.abs(differences)) >= sum(differences) - 1e-9)
    assert sign_flip(differences) == pytest.approx(exact, abs=0.01)
    assert sign_flip([1.0] * 100) == 1 / 10_001


def test_under_the_null_p_is_uniform() -> None:
    random = np.random.default_rng(3)
    found = np.array([sign_flip(list(random.normal(size=20))) for _ in range(400)])
    for share in (0.05, 0.25, 0.5, 0.75):
        assert np.mean(found <= share) == pytest.approx(share, abs=3 * (share * (1 - share) / 400) ** 0.5)


# Comparisons.


def episode(task: str, solved: bool, **fields: Any) -> Trajectory:
    outcome = Outcome.SOLVED if solved else Outcome.FAILED
    fields = {"digest": "d", "family": "f", "outcome": outcome, "dense": float(solved), "timings": PHASES} | fields
    return Trajectory(task=task, policy="p", **fields)


FIRST = [episode("a", False), episode("a", True), episode("b", False), episode("c", False), episode("x", True)]
SECOND = [episode("a", True), episode("b", True), episode("c", False), episode("c", False), episode("y", True)]


def test_runs_are_compared_on_the_tasks_that_they_share() -> None:
    found = Comparison(FIRST, SECOND).total
    assert (found.shared, found.only_first, found.only_second) == (3, 1, 1)
    assert found.pass_at_1 == pytest.approx((0.5 / 3, 2 / 3)) and found.difference == pytest.approx(0.5)
    assert found.interval_95 == pytest.approx((0.0, 1.0))  # 0.5, 1, 0: each thrice in 1 of 27 resamples, over 2.5 %
    assert found.p_value == 0.5  # 0.5 and 1: of four flips two reach 1.5


def test_another_digest_is_another_task_and_an_invalid_attempt_is_none() -> None:
    invalid = episode("b", False, outcome=Outcome.INFRA_ERROR, dense=None, timings={})
    found = Comparison(FIRST, [episode("a", True), episode("c", True, digest="new"), invalid])
    assert (found.total.shared, found.total.only_first, found.total.only_second) == (1, 3, 1)
    assert found.total.interval_95 is None and found.to_dict()["invalid"] == [0, 1]


def test_nothing_shared_is_an_error() -> None:
    with pytest.raises(TaskError, match="share no task"):
        Comparison(FIRST, [episode("z", True)])


def test_families_are_compared_apart() -> None:
    other = episode("g", True, family="g")
    found = Comparison([*FIRST, other], [*SECOND, other])
    assert {name: pairs.shared for name, pairs in found.families.items()} == {"f": 3, "g": 1}
    console = Console(width=80)
    with console.capture() as capture:
        console.print(found.table())
    rows = [line.split() for line in capture.get().splitlines()]
    assert ["f", "17%", "67%", "+50", "+0", "to", "+100", "0.500", "3", "1/1"] in rows and "…" not in capture.get()


def test_compare_by_the_command_line(tmp_path: Path) -> None:
    for name, run in (("a", FIRST), ("b", SECOND), ("z", [episode("z", True)])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "episodes.jsonl").write_text("".join(one.to_json() + "\n" for one in run))
    a, b, z = (str(tmp_path / name) for name in "abz")
    done = CliRunner().invoke(app, ["compare", a, b, "--json"])
    assert json.loads(done.stdout)["families"]["f"]["difference"] == pytest.approx(0.5)
    assert "+50" in CliRunner().invoke(app, ["compare", a, b]).stdout
    wrong = CliRunner().invoke(app, ["compare", a, z])
    assert wrong.exit_code == 2 and "share no task" in wrong.stderr
