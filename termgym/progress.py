"""A progress line for evaluations: how many episodes ended and how, and steps per second."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Line

from termgym.trajectory import Trajectory


class Progress:
    """Shown on standard error while its `with` statement lasts, and only if that is a terminal."""

    def __init__(self, episodes: int, title: str = "", shown: bool = True, retries: int = 0) -> None:
        """`episodes` is how many there will be, not counting invalid ones that are made again, `retries` times each."""
        self._retries = retries
        console = Console(stderr=True)
        text = "{task.fields[solved]} solved, {task.fields[failed]} failed, {task.fields[invalid]} invalid"
        columns = (TextColumn("{task.description}"), BarColumn(12), MofNCompleteColumn(), TextColumn(text))
        rate = TextColumn("{task.fields[rate]:.0f} steps/s")
        disable = not (shown and console.is_terminal)
        self._line = Line(*columns, rate, TimeElapsedColumn(), console=console, transient=True, disable=disable)
        self._counts: dict[str, Any] = {"solved": 0, "failed": 0, "invalid": 0}
        self._task = self._line.add_task(title, total=episodes, rate=0.0, **self._counts)
        self._begin, self._steps = time.monotonic(), 0

    def stepped(self) -> None:
        """Count one step."""
        self._steps += 1
        self._line.update(self._task, rate=self._steps / (time.monotonic() - self._begin))

    def ended(self, trajectory: Trajectory) -> None:
        """Count one episode."""
        self._counts["solved" if trajectory.solved else "failed" if trajectory.valid else "invalid"] += 1
        ended = trajectory.valid or trajectory.retry >= self._retries
        self._line.update(self._task, advance=int(ended), **self._counts)

    def __enter__(self) -> "Progress":
        self._line.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._line.stop()
