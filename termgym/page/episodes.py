"""The episodes of a page: a row of each, and of as many as there is room for what opens when it is chosen."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from termgym.evaluation import cast_of
from termgym.page.account import details, row
from termgym.page.document import packed
from termgym.page.film import filmed
from termgym.trajectory import Trajectory

RECORDINGS = 200
MAX_BYTES = 30 << 20
"""Of what is embedded of episodes: browsers open such a page at once."""


class Episodes:
    """Grow by one trajectory at a time, and keep what the page needs of each compressed."""

    def __init__(self, recordings: int = RECORDINGS) -> None:
        """Begin without any; with at most so many recordings."""
        self.rows: list[dict[str, Any]] = []
        self._recordings = recordings
        self._details: list[str] = []
        self._casts: dict[Path, int] = {}
        self._names: dict[str, set[str]] = {"policies": set(), "models": set(), "dates": set()}

    def add(self, trajectory: Trajectory, folder: Path, **more: Any) -> None:
        """Take one more, of the evaluation in this folder, with more for its row."""
        # An attempt that was tried again wrote over its recording: the last one's is there.
        self._casts[cast_of(folder, trajectory.task, trajectory.attempt)] = len(self.rows)
        self.rows.append(row(trajectory) | more)
        self._details.append(packed(details(trajectory)))
        for name, value in zip(self._names, (trajectory.policy, trajectory.model, trajectory.date), strict=True):
            self._names[name] |= {value} if value else set()

    def index(self) -> dict[str, Any]:
        """What the page shows of them all."""
        return {name: sorted(values) for name, values in self._names.items()} | {"episodes": self.rows}

    def embedded(self, order: Sequence[int]) -> dict[str, str]:
        """The name of each element -> an episode's details or film, as many as there is room for, in this order.

        Recordings are read, and played through the emulator, only now.
        """
        blobs: dict[str, str] = {}
        left, films, casts = MAX_BYTES, self._recordings, {number: path for path, number in self._casts.items()}
        for number in order:
            size = len(self._details[number])
            if size > left:
                continue
            blobs[f"details-{number}"], left = self._details[number], left - size
            shot = filmed(casts[number]) if films > 0 and number in casts else None
            films -= bool(shot)
            if shot and (film := packed(shot)) and len(film) <= left:
                blobs[f"film-{number}"], left = film, left - len(film)
        return blobs


def counted(blobs: dict[str, str]) -> dict[str, int]:
    """How many films and details are embedded."""
    counts = Counter(name.partition("-")[0] for name in blobs)
    return {"films": counts["film"], "details": counts["details"]}
