import json
from collections import Counter
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from typer.testing import CliRunner

import termgym  # noqa: F401
from termgym.calibration import Calibration, Rate
from termgym.cli import app
from termgym.curriculum import Curriculum, informative
from termgym.errors import TaskError
from termgym.outcome import Outcome
from termgym.trajectory import Trajectory

EASY, HARD = "files/rename-by-date", "sql/query"


def played(
    solved: bool, family: str = EASY, level: int = 1, dense: float | None = None, valid: bool = True
) -> Trajectory:
    outcome = Outcome.SOLVED if solved else Outcome.FAILED if valid else Outcome.INFRA_ERROR
    scores = (1.0 if solved else dense or 0.0, float(solved)) if valid else (None, None)
    return Trajectory(f"{family}@1.{level}", "d", "mine", outcome, *scores, family=family, seed=1, level=level)


def rates(**cells: tuple[int, int]) -> Calibration:
    names = {"easy": EASY, "hard": HARD}
    found = {(names[key[:4]], int(key[4:])): Rate(n, solved, solved) for key, (n, solved) in cells.items()}
    return Calibration("mine", found)


def test_rates_are_counted_stored_and_shown(tmp_path: Path) -> None:
    episodes = [played(True), played(False, dense=0.5), played(False, valid=False), played(True, HARD, 3)]
    run = tmp_path / "run"
    run.mkdir()
    (run / "episodes.jsonl").write_text("".join(one.to_json() + "\n" for one in episodes))
    out = tmp_path / "deep" / "rates.json"
    done = CliRunner().invoke(app, ["calibrate", str(run), "--out", str(out)], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    assert EASY in done.output and "50" in done.output and "100" in done.output
    read = Calibration.load(out)
    assert read == Calibration.read([run])
    assert read.rates == {(EASY, 1): Rate(2, 1, 1.5), (HARD, 3): Rate(1, 1, 1.0)}


def test_bad_records_are_told(tmp_path: Path) -> None:
    (tmp_path / "episodes.jsonl").write_text(played(True).to_json() + "\n{nonsense\n")
    with pytest.raises(TaskError, match=r"episodes\.jsonl:2: "):
        Calibration.read([tmp_path])
    with pytest.raises(TaskError, match="cannot be read"):
        Calibration.read([tmp_path / "none"])
    with pytest.raises(TaskError, match="nothing to calibrate by"):
        Calibration.of([played(False, valid=False)])
    with pytest.raises(TaskError, match="several policies"):
        Calibration.of([played(True), Trajectory("x", "d", "other", Outcome.FAILED)])
    (tmp_path / "rates.json").write_text(json.dumps({"format": 9}))
    with pytest.raises(TaskError, match="is no calibration: format is 9"):
        Calibration.load(tmp_path / "rates.json")


def test_tasks_in_the_band_are_preferred() -> None:
    measured = {f"{name}{level}": (10, 10) for name in ("easy", "hard") for level in (1, 2, 3, 4, 5)}
    curriculum = Curriculum([EASY, HARD], rates(**{**measured, "hard2": (10, 4), "easy3": (10, 0)}), explore=0.2)
    assert curriculum.preferred() == [(HARD, 2)]
    rng = np.random.default_rng(0)
    drawn = Counter(curriculum.draw(rng).id.partition("@")[0] for _ in range(300))
    assert drawn[HARD] > 240 and drawn[EASY]
    none = Curriculum([HARD], rates(**{**measured, "hard2": (20, 19)}))
    assert none.preferred() == [(HARD, 2)]  # 0.95 is nearest to the band


def test_what_was_not_measured_is_drawn_too() -> None:
    curriculum = Curriculum("sql/query", rates(hard1=(10, 10)))
    assert (HARD, 1) not in curriculum.preferred() and len(curriculum.preferred()) >= 2


def test_draws_are_the_same_for_the_same_seed_and_episodes() -> None:
    def draws() -> list[str]:
        curriculum, rng = Curriculum([EASY, HARD]), np.random.default_rng(7)
        first = [curriculum.draw(rng).id for _ in range(10)]
        curriculum.update([played(True, level=1)] * 9 + [played(False, HARD, 2)] * 9)
        return first + [curriculum.draw(rng).id for _ in range(30)]

    assert draws() == draws()


def test_it_learns_and_forgets() -> None:
    curriculum = Curriculum([EASY], rates(easy1=(1000, 0)))
    assert (EASY, 1) not in curriculum.preferred()
    curriculum.update([played(True)] * 64 + [played(True, "no/such")] * 5 + [played(False, valid=False)])
    assert curriculum.calibration.rates[EASY, 1].share == 0.5
    assert (EASY, 1) in curriculum.preferred()


def test_groups_without_variance_are_dropped() -> None:
    same, mixed = [played(True)] * 3, [played(True), played(False), played(False, valid=False)]
    partial = [played(False, dense=0.2), played(False, dense=0.4)]
    alone = [played(True), played(False, valid=False)]
    assert informative([same, mixed, partial, alone]) == [mixed]
    assert informative([same, mixed, partial, alone], "dense") == [mixed, partial]


def test_an_environment_draws_from_it() -> None:
    curriculum = Curriculum([EASY, HARD], rates(**{f"easy{level}": (9, 9) for level in (1, 2, 3, 4, 5)}), explore=0)
    envs = gym.make_vec("Terminal-v0", num_envs=2, task=curriculum)
    try:
        first = list(envs.reset(seed=3)[1]["task"])
        assert all(task.startswith(HARD) for task in first)
        assert first == list(envs.reset(seed=3)[1]["task"])
    finally:
        envs.close()
    with pytest.raises(TaskError, match="leave them out"):
        gym.make("Terminal-v0", task=curriculum, level=2)


def test_only_families_have_levels() -> None:
    with pytest.raises(TaskError, match="draws from families"):
        Curriculum([EASY, "harbor:tests/tasks/harbor/valid"])
    with pytest.raises(TaskError, match="band is"):
        Curriculum(EASY, band=(0.9, 0.1))
