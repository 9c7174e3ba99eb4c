"""A training log: the steps of a training run as lines, and the evaluations between them.

A run's folder holds

    steps.jsonl          a step per line, in order: {"stage": "grpo", "step": 3, "loss": 0.01, "seconds": {...}, ...}
    evaluations/00012/   an evaluation's folder (`termgym.evaluation`), named by the step after which it was run

A line that a kill cut off is left out when the steps are read, and dropped when the run is gone on with.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from termgym.errors import TaskError
from termgym.report import Scores
from termgym.statistics import wilson
from termgym.store import LINES, stream

STEPS = "steps.jsonl"
EVALUATIONS = "evaluations"
STAGES = ("sft", "grpo")
"""In the order in which they are run; others come after."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One step of training."""

    stage: str
    step: int
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])
    """Loss, reward, ..., as far as they are known; they may be infinite, or no number."""
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    """Where the time went: generate, environment, verify, learn."""

    def to_json(self) -> str:
        """This step as one line. What is not finite is written as Python does: NaN, Infinity."""
        times = {"seconds": dict(self.seconds)} if self.seconds else {}
        return json.dumps({"stage": self.stage, "step": self.step, **self.numbers, **times})

    @classmethod
    def from_json(cls, line: str) -> "TrainingStep":
        """Read what `to_json` wrote, and leave out what is no number.

        Raises:
            TaskError: It is no step.
        """
        try:
            fields: dict[str, Any] = json.loads(line)
            stage, step, seconds = str(fields.pop("stage")), int(fields.pop("step")), fields.pop("seconds", {})
            return cls(stage, step, _numbers(fields), _numbers(seconds))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise TaskError(f"this line is no training step ({error!r}): {line[:60]!r}") from error


def _numbers(fields: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in fields.items() if type(value) in (int, float)}


class TrainingLog:
    """The steps of a run, open for adding. To be closed, or used in a `with` statement."""

    def __init__(self, folder: Path, first: int) -> None:
        """Open it, or begin one; what comes next is step `first`: those there from it on are dropped."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / STEPS
        unfinished = path.with_suffix(".part")
        kept = [line for line, step in _read(path) if step.step < first]
        unfinished.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        unfinished.rename(path)
        self._file = path.open("a", encoding="utf-8")

    def add(self, step: TrainingStep) -> None:
        """Add one; it is with the kernel when this returns."""
        self._file.write(step.to_json() + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close it. Closing twice is allowed."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_steps(folder: Path) -> list[TrainingStep]:
    """The steps of a run, in order; none where there is no such file.

    Raises:
        TaskError: A line is no step.
    """
    return [step for _, step in _read(folder / STEPS)]


def _read(path: Path) -> Iterator[tuple[str, TrainingStep]]:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            yield line, TrainingStep.from_json(line)
        except TaskError as error:
            if number < len(lines):  # the last one is cut off, or empty
                raise TaskError(f"{path}:{number}: {error}") from error


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What the model of a step solved, over the valid episodes."""

    step: int
    solved: int
    n: int
    invalid: int
    pass_at_1: float | None
    """The mean over tasks; None, as the interval, where nothing is valid."""
    interval_95: tuple[float, float] | None

    @classmethod
    def of(cls, step: int, scores: Scores) -> "Evaluated":
        """Of an evaluation's scores."""
        counts = scores.solved, scores.n, scores.invalid
        if not scores.n:
            return cls(step, *counts, None, None)
        # Attempts at one task are not independent of each other: only of tasks that were tried once is it Wilson's.
        once = len(scores.tasks) == scores.n
        interval = wilson(scores.solved, scores.n) if once else scores.interval()
        return cls(step, *counts, scores.pass_at()[1], interval)


def evaluations(folder: Path) -> list[Evaluated]:
    """The evaluations of a run, in order of step.

    Raises:
        TaskError: A line of one is no trajectory.
    """
    found: list[Evaluated] = []
    for step, path in evaluation_folders(folder):
        scores = Scores()
        for trajectory in stream(path):
            scores.add(trajectory)
        found.append(Evaluated.of(step, scores))
    return found


def evaluation_folders(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of the evaluations of a run that have begun, in order of step."""
    found = [lines.parent for lines in (folder / EVALUATIONS).glob(f"*/{LINES}") if lines.parent.name.isdecimal()]
    return sorted((int(path.name), path) for path in found)


def stages(folder: Path) -> list[tuple[str, Path]]:
    """(label, folder) of a training run, or of those beneath a folder, in the order in which they are run."""
    if (folder / STEPS).exists():
        return [(_stage(folder).upper(), folder)]
    found = sorted(lines.parent for lines in folder.glob(f"*/{STEPS}"))
    found.sort(key=lambda run: STAGES.index(_stage(run)) if _stage(run) in STAGES else len(STAGES))
    return [(run.name.upper() if run.name == _stage(run) else run.name, run) for run in found]


def _stage(run: Path) -> str:
    """As its first step tells; the folder's name where there is no step yet."""
    with (run / STEPS).open(encoding="utf-8", errors="replace") as file:
        try:
            return TrainingStep.from_json(file.readline()).stage
        except TaskError:
            return run.resolve().name
