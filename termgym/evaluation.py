"""An evaluation: attempts run to their ends, each written down as it ends, and what they came to.

Its folder holds

    run.json                     what it was begun with: it goes on with the same
    episodes.jsonl               the trajectories, as `termgym.store` keeps them
    casts/<task>-<attempt>.cast  recordings, for `asciinema play`
    summary.json                 the report; also of a run that was interrupted
    report.html                  the same for people, with recordings (`termgym.page`); by `termgym eval`
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from termgym.aio import run_apart
from termgym.attempt import Attempt, Patience
from termgym.episode import EpisodeConfig
from termgym.errors import TaskError
from termgym.policy import close_models
from termgym.report import Report
from termgym.resumption import go_on
from termgym.rollout import RETRIES, Rollout
from termgym.sandbox import close_shared
from termgym.store import LINES, Store
from termgym.trajectory import Trajectory

SUMMARY, CASTS = "summary.json", "casts"
KNOWING = ("oracle", "teacher")
"""Policies that are given the solution."""
Key = tuple[str, str, int]


class Evaluation:
    """A run in a folder, begun or gone on with, and its report so far."""

    def __init__(self, folder: Path, settings: Mapping[str, object] | None = None, retries: int = RETRIES) -> None:
        """Open the folder; `settings` are what the attempts follow from, and must be those of the run that it holds.

        Raises:
            TaskError: They are others.
        """
        self.folder, self.episodes, self.retries = folder, folder / LINES, retries
        if self.episodes.exists() and not (folder / "run.json").exists():
            raise TaskError(f"{folder} holds the episodes of another run; name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        go_on(folder / "run.json", settings or {})
        self.report = Report()
        self.report.wall_s = self._spent_s()
        self.done: set[Key] = set()
        """(task, digest, attempt) of the episodes that have a score."""
        self.surprises: list[str] = []
        """What should not have happened: invalid episodes, a known solution that failed, idling that did not."""
        self.usage: dict[str, float] = {}
        """How long the policies thought and waited, of the last `run`: see `termgym.places`."""

    def run(
        self,
        attempts: Iterable[Attempt],
        *,
        concurrency: int = 8,
        config: EpisodeConfig | None = None,
        patience: Patience | None = None,
        on_turn: Callable[[], object] | None = None,
        on_end: Callable[[Trajectory], object] | None = None,
    ) -> None:
        """Run what is not done yet, on an event loop of its own; called back after each turn and each episode.

        `on_end` is told of the episodes of before, too.

        Raises:
            KeyboardInterrupt: C-c. What ended before is written, and every sandbox closed.
            SandboxUnavailable: This host cannot run such sandboxes.
            SandboxError: Sandboxes fail one after the other.
            TaskError: A policy cannot act in its task, or another process writes to the folder.
        """
        begin = time.monotonic()
        how: dict[str, Any] = {"concurrency": concurrency, "config": config, "patience": patience, "on_turn": on_turn}
        try:
            with Store(self.folder) as store:
                for trajectory in store:
                    self._count(trajectory, on_end, again=True)
                todo = self.left(attempts)
                rollout = Rollout(todo, retries=self.retries, casts=self.cast_of, **how)
                run_apart(self._gather(rollout, store, on_end))
                self.usage = rollout.places.to_dict()
        finally:
            self._summarize(time.monotonic() - begin)

    def left(self, attempts: Iterable[Attempt]) -> Iterator[Attempt]:
        """Those that have no score yet."""
        return (attempt for attempt in attempts if _key_of(attempt) not in self.done)

    def resume(self) -> None:
        """Count what is there, where others run what is not done yet, and have it written down by `record`."""
        with Store(self.folder) as store:
            for trajectory in store:
                self._count(trajectory, None, again=True)

    def record(self, trajectories: Iterable[Trajectory], casts: Mapping[str, bytes], wall_s: float) -> None:
        """Write down episodes that were run elsewhere, and their recordings by the names of their files."""
        (self.folder / CASTS).mkdir(exist_ok=True)
        for name, data in casts.items():
            (self.folder / CASTS / name).write_bytes(data)
        with Store(self.folder) as store:
            for trajectory in trajectories:
                store.add(trajectory)
                self._count(trajectory, None)
        self._summarize(wall_s)

    def _summarize(self, wall_s: float) -> None:
        self.report.wall_s += wall_s
        summary = json.dumps(self.report.to_dict(), indent=2)
        (self.folder / SUMMARY).write_text(summary + "\n", encoding="utf-8")

    async def _gather(self, rollout: Rollout, store: Store, on_end: Callable[[Trajectory], object] | None) -> None:
        try:
            async with aclosing(rollout.trajectories()) as trajectories:
                async for trajectory in trajectories:
                    store.add(trajectory)
                    self._count(trajectory, on_end)
        finally:
            await close_models()
            await close_shared()

    def _spent_s(self) -> float:
        try:
            return float(json.loads((self.folder / SUMMARY).read_text(encoding="utf-8"))["wall_s"])
        except (OSError, ValueError, KeyError):  # it is a figure for people, and no reason to stop
            return 0.0

    def cast_of(self, attempt: Attempt) -> Path:
        """Where the recording of an attempt goes."""
        return cast_of(self.folder, attempt.task.id, attempt.number)

    def _count(
        self, trajectory: Trajectory, on_end: Callable[[Trajectory], object] | None, again: bool = False
    ) -> None:
        """Count an episode; `again` of those that are invalid is for those of before, which are made again now."""
        self.report.add(trajectory)
        if trajectory.valid:
            self.done.add((trajectory.task, trajectory.digest, trajectory.attempt))
        surprise = surprise_of(trajectory, self.retries)
        if surprise and not (again and not trajectory.valid):
            self.surprises.append(surprise)
        if on_end:
            on_end(trajectory)


def cast_of(folder: Path, task: str, attempt: int) -> Path:
    """Where the recording of an attempt at a task, by its id, lies in an evaluation's folder."""
    return folder / CASTS / f"{task.replace('/', '_')}-{attempt}.cast"


def _key_of(attempt: Attempt) -> Key:
    return attempt.task.id, attempt.task.digest, attempt.number


def surprise_of(trajectory: Trajectory, retries: int = 0) -> str:
    """Why this episode should not have come out as it did, or nothing; an invalid one may have been made again."""
    who = f"{trajectory.task} attempt {trajectory.attempt}"
    if not trajectory.valid:
        again = trajectory.retry < retries
        return "" if again else f"{who} is invalid: {trajectory.outcome.value}: {trajectory.error}"
    if trajectory.policy in KNOWING and not trajectory.solved:
        lost = ", ".join(check.name for check in trajectory.checks if check.score < 1)
        return f"{who}: the {trajectory.policy} did not solve it: {trajectory.outcome.value}, not passed: {lost}"
    if trajectory.policy == "idle" and trajectory.solved:
        return f"{who}: solved by doing nothing"
    return ""
