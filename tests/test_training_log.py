"""Training logs: what is kept of a run that was stopped, and its evaluations in order."""

import json
import math
from pathlib import Path

import pytest

from termgym.errors import TaskError
from termgym.outcome import Outcome
from termgym.report import Report
from termgym.statistics import wilson
from termgym.training_log import Evaluated, TrainingLog, TrainingStep, evaluations, read_steps, stages
from tests.pages import episode, run_of

SOLVED, FAILED = Outcome.SOLVED, Outcome.FAILED


def step(number: int, stage: str = "grpo") -> TrainingStep:
    return TrainingStep(stage, number, {"loss": number / 8, "tokens": 8192}, {"learn": 1.5})


def written(folder: Path, *steps: TrainingStep) -> Path:
    with TrainingLog(folder, 0) as log:
        for one in steps:
            log.add(one)
    return folder


def test_a_step_is_there_when_it_is_added(tmp_path: Path) -> None:
    with TrainingLog(tmp_path / "run", 1) as log:
        for number in (1, 2):
            log.add(step(number))
            assert read_steps(tmp_path / "run") == [step(one) for one in range(1, number + 1)]
    line = (tmp_path / "run" / "steps.jsonl").read_text().splitlines()[0]
    assert json.loads(line) == {"stage": "grpo", "step": 1, "loss": 0.125, "tokens": 8192, "seconds": {"learn": 1.5}}


def test_going_on_drops_what_comes_again_and_what_was_cut_off(tmp_path: Path) -> None:
    path = written(tmp_path, *map(step, range(1, 6))) / "steps.jsonl"
    strange = '{"stage": "grpo", "step": 0, "why": "kept as it is"}\n'
    path.write_text(strange + path.read_text() + step(6).to_json()[:20])
    assert [one.step for one in read_steps(tmp_path)] == [0, 1, 2, 3, 4, 5]
    with TrainingLog(tmp_path, 4) as log:
        assert [one.step for one in read_steps(tmp_path)] == [0, 1, 2, 3]
        log.add(step(4))
    assert [one.step for one in read_steps(tmp_path)] == [0, 1, 2, 3, 4]
    assert path.read_text().startswith(strange)


def test_numbers_that_are_none_are_left_out_and_those_that_are_not_finite_kept() -> None:
    numbers = '"loss": NaN, "lr": Infinity, "new": 2, "who": "x", "ok": true, "seconds": {"a": null}'
    read = TrainingStep.from_json('{"stage": "sft", "step": 3, ' + numbers + "}")
    assert math.isnan(read.numbers["loss"]) and read.numbers["lr"] == math.inf and read.seconds == {}
    assert read.numbers.keys() == {"loss", "lr", "new"}
    assert TrainingStep.from_json(read.to_json()).numbers["lr"] == math.inf


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"stage": "sft"}', '{"stage": "sft", "step": Infinity}', '{"st'])
def test_a_line_in_the_middle_that_is_no_step_is_told(line: str, tmp_path: Path) -> None:
    (tmp_path / "steps.jsonl").write_text(f"{step(1).to_json()}\n{line}\n{step(2).to_json()}\n")
    with pytest.raises(TaskError, match=r"steps\.jsonl:2: this line is no training step"):
        read_steps(tmp_path)


def test_evaluations_are_in_order_of_step_and_over_the_valid_episodes(tmp_path: Path) -> None:
    for at, outcomes in {100000: [SOLVED], 0: [FAILED, FAILED, Outcome.INFRA_ERROR], 12: [SOLVED, FAILED]}.items():
        tasks = [episode(f"t{number}", outcome) for number, outcome in enumerate(outcomes)]
        run_of(tmp_path / "evaluations" / f"{at:05}", *tasks)
    for name in ("begun", "00020"):
        (tmp_path / "evaluations" / name).mkdir()
    assert evaluations(tmp_path) == [
        Evaluated(0, 0, 2, 1, 0.0, wilson(0, 2)),
        Evaluated(12, 1, 2, 0, 0.5, wilson(1, 2)),
        Evaluated(100000, 1, 1, 0, 1.0, wilson(1, 1)),
    ]
    assert evaluations(tmp_path / "none") == []


def test_attempts_at_one_task_do_not_count_as_many_tasks() -> None:
    episodes = [episode(task, outcome) for task, outcome in (("a", SOLVED), ("b", FAILED)) for _ in range(50)]
    scores = Report.of(episodes).total
    assert Evaluated.of(3, scores) == Evaluated(3, 50, 100, 0, 0.5, scores.interval())
    assert Evaluated.of(3, Report().total).interval_95 is None


def test_stages_are_in_the_order_in_which_they_are_run(tmp_path: Path) -> None:
    for name, stage in (("rl", "ppo"), ("grpo", "grpo"), ("warm", "sft"), ("again", "grpo")):
        written(tmp_path / name, step(1, stage))
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "steps.jsonl").write_text('{"stage": "s')
    (tmp_path / "other").mkdir()
    found = [(label, path.name) for label, path in stages(tmp_path)]
    assert found == [("SFT", "sft"), ("warm", "warm"), ("again", "again"), ("GRPO", "grpo"), ("rl", "rl")]
    assert stages(tmp_path / "warm") == [("SFT", tmp_path / "warm")]
    assert stages(tmp_path / "other") == [] == stages(tmp_path / "none")
