"""A page: all that a run came to, as one HTML file that needs nothing else, neither a network nor a server.

What an agent wrote is hostile. It is carried as compressed data, which the page's script puts into the document as text
alone, and the page's own policy (CSP) lets no script run but that one.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import termgym
from termgym.errors import TaskError
from termgym.page.account import seconds
from termgym.page.document import document, save
from termgym.page.episodes import RECORDINGS, Episodes, counted
from termgym.page.sampling import by_kind
from termgym.page.training import TrainingPage
from termgym.report import Report
from termgym.store import stream
from termgym.trajectory import Trajectory


class Page:
    """The page of an evaluation. Grows by one trajectory at a time."""

    def __init__(self, folder: Path, *, recordings: int = RECORDINGS) -> None:
        """Begin the page of the run in `folder`, with at most so many recordings."""
        self.report = Report()
        self._folder, self._episodes = folder, Episodes(recordings)
        self._seconds: Counter[str] = Counter()

    def add(self, trajectory: Trajectory) -> None:
        """Take one more episode."""
        self.report.add(trajectory)
        self._episodes.add(trajectory, self._folder)
        self._seconds.update(seconds(trajectory))

    def html(self) -> str:
        """The page."""
        run, blobs = self._folder.resolve().name, self._episodes.embedded(by_kind(self._episodes.rows))
        index: dict[str, Any] = {"run": run, "termgym": termgym.__version__}
        index |= self._episodes.index() | counted(blobs)
        index |= {"report": self.report.to_dict(), "seconds": dict(self._seconds)}
        return document(run, index, blobs)


def write(run: Path, out: Path | None = None, *, recordings: int = RECORDINGS) -> Path:
    """Write the page of a run, and say where.

    Args:
        run: The folder of an evaluation, or its episodes.jsonl.
        out: The file; without it report.html in the folder.
        recordings: How many recordings are embedded at most.

    Raises:
        TaskError: It is no run.
    """
    folder = run if run.is_dir() else run.parent
    page = Page(folder, recordings=recordings)
    for trajectory in stream(run):
        page.add(trajectory)
    return save(page.html(), out or folder / "report.html")


def write_training(stages: Sequence[tuple[str, Path]], out: Path, *, recordings: int = RECORDINGS) -> Path:
    """Write one page of training runs that follow each other, and say where.

    Args:
        stages: (label, folder) of each; see `termgym.training_log.stages`.
        out: The file.
        recordings: How many recordings are embedded at most, those of the first and the last evaluation first.

    Raises:
        TaskError: There is no stage, or a line of one is none of its kind.
    """
    if not stages:
        raise TaskError("there is no training run to write of")
    folder = stages[0][1].resolve()
    page = TrainingPage(folder.name if len(stages) == 1 else folder.parent.name, recordings=recordings)
    for label, run in stages:
        page.add(label, run)
    return save(page.html(), out)
