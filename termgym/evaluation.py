"""An evaluation: attempts run to their ends, each written down as it ends, and what they came to.

Its folder holds

    episodes.jsonl               a trajectory per line, in the order in which they ended
    casts/<task>-<attempt>.cast  recordings, for `asciinema play`
    summary.json                 the report; also of a run that was interrupted
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import TextIO

from termgym.aio import Loop
from termgym.episode import EpisodeConfig
from termgym.errors import TaskError
from termgym.plan import Attempt
from termgym.report import Report
from termgym.rollout import rollout
from termgym.sandbox import close_shared
from termgym.trajectory import Trajectory


class Evaluation:
    """A run under way in a folder, and its report so far."""

    def __init__(self, folder: Path) -> None:
        """Begin one in a new folder, or one that no other run has used.

        Raises:
            TaskError: Another run has used it.
        """
        self.folder, self.episodes = folder, folder / "episodes.jsonl"
        if self.episodes.exists() and self.episodes.stat().st_size:
            raise TaskError(f"{folder} holds the episodes of another run; name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        self.report = Report()
        self.surprises: list[str] = []
        """What should not have happened: invalid episodes, an oracle that failed, an idle policy that did not."""

    def run(
        self,
        attempts: Iterable[Attempt],
        *,
        concurrency: int = 8,
        config: EpisodeConfig | None = None,
        on_turn: Callable[[], object] | None = None,
        on_end: Callable[[Trajectory], object] | None = None,
    ) -> None:
        """Run all attempts on an event loop of their own; called back after each turn and each episode.

        Raises:
            KeyboardInterrupt: C-c. What ended before is written, and every sandbox closed.
            SandboxUnavailable: This host cannot run such sandboxes.
            TaskError: A policy cannot act in its task.
        """
        begin = time.monotonic()
        trajectories = rollout(attempts, concurrency=concurrency, config=config, casts=self.cast_of, on_turn=on_turn)

        async def gather(file: TextIO) -> None:
            try:
                async with aclosing(trajectories):
                    async for trajectory in trajectories:
                        self._add(trajectory, file)
                        if on_end:
                            on_end(trajectory)
            finally:
                await close_shared()

        try:
            with self.episodes.open("a", encoding="utf-8") as file, asyncio.Runner(loop_factory=Loop) as runner:
                runner.run(gather(file))
        finally:
            self.report.wall_s += time.monotonic() - begin
            summary = json.dumps(self.report.to_dict(), indent=2)
            (self.folder / "summary.json").write_text(summary + "\n", encoding="utf-8")

    def cast_of(self, attempt: Attempt) -> Path:
        """Where the recording of an attempt goes."""
        return self.folder / "casts" / f"{attempt.task.id.replace('/', '_')}-{attempt.number}.cast"

    def _add(self, trajectory: Trajectory, file: TextIO) -> None:
        file.write(trajectory.to_json() + "\n")
        file.flush()
        self.report.add(trajectory)
        if surprise := surprise_of(trajectory):
            self.surprises.append(surprise)


def surprise_of(trajectory: Trajectory) -> str:
    """Why this episode should not have come out as it did, or nothing."""
    who = f"{trajectory.task} attempt {trajectory.attempt}"
    if not trajectory.valid:
        return f"{who} is invalid: {trajectory.outcome.value}: {trajectory.error}"
    if trajectory.policy == "oracle" and not trajectory.solved:
        lost = ", ".join(check.name for check in trajectory.checks if check.score < 1)
        return f"{who}: the oracle did not solve it: {trajectory.outcome.value}, not passed: {lost}"
    if trajectory.policy == "idle" and trajectory.solved:
        return f"{who}: solved by doing nothing"
    return ""
