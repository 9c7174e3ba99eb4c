"""The page of training: the curves of its stages, their evaluations, and the episodes of all of these."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import termgym
from termgym.page.document import document
from termgym.page.episodes import RECORDINGS, Episodes, counted
from termgym.page.sampling import before_and_after
from termgym.page.series import series
from termgym.report import Scores
from termgym.store import stream
from termgym.training_log import Evaluated, evaluation_folders, read_steps


class TrainingPage:
    """Grows by one stage at a time."""

    def __init__(self, run: str, *, recordings: int = RECORDINGS) -> None:
        """Begin the page of what is called `run`, with at most so many recordings."""
        self._run = run
        self._episodes = Episodes(recordings)
        self._stages: list[dict[str, Any]] = []
        self._evaluations: list[dict[str, Any]] = []

    def add(self, label: str, folder: Path) -> None:
        """Take one more stage, the training run in a folder."""
        for step, evaluation in evaluation_folders(folder):
            self._evaluate(step, evaluation)
        self._stages.append({"label": label, **series(read_steps(folder))})

    def _evaluate(self, step: int, folder: Path) -> None:
        scores = Scores()
        for trajectory in stream(folder):
            scores.add(trajectory)
            self._episodes.add(trajectory, folder, when=len(self._evaluations))
        if scores.outcomes:
            found = Evaluated.of(step, scores)
            self._evaluations.append({"stage": len(self._stages), **asdict(found)})

    def html(self) -> str:
        """The page."""
        blobs = self._episodes.embedded(before_and_after(self._episodes.rows))
        index: dict[str, Any] = {"run": self._run, "termgym": termgym.__version__}
        index |= self._episodes.index() | counted(blobs)
        index["training"] = {"stages": self._stages, "evaluations": self._evaluations}
        return document(self._run, index, blobs)
