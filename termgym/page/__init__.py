"""A page: all that a run came to, as one HTML file that needs nothing else, neither a network nor a server.

What an agent wrote is hostile. It is carried as compressed data, which the page's script puts into the document as text
alone, and the page's own policy (CSP) lets no script run but that one.
"""

import base64
import hashlib
import html
import json
import zlib
from collections import Counter
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import termgym
from termgym.evaluation import cast_of
from termgym.page.account import details, row, seconds
from termgym.page.film import filmed
from termgym.report import Report
from termgym.store import stream
from termgym.trajectory import Trajectory

RECORDINGS = 200
MAX_BYTES = 30 << 20
"""Of what is embedded of episodes: browsers open such a page at once."""
_SCRIPTS = ("dom", "charts", "scores", "episodes", "screen", "turn", "player", "main")


class Page:
    """Grows by one trajectory at a time, and keeps what it needs of each compressed."""

    def __init__(self, folder: Path, *, recordings: int = RECORDINGS) -> None:
        """Begin the page of the run in `folder`, with at most so many recordings."""
        self.report = Report()
        self._folder, self._recordings = folder, recordings
        self._rows: list[dict[str, Any]] = []
        self._details: list[str] = []
        self._casts: dict[Path, int] = {}
        self._seconds: Counter[str] = Counter()
        self._names: dict[str, set[str]] = {"policies": set(), "models": set(), "dates": set()}

    def add(self, trajectory: Trajectory) -> None:
        """Take one more episode."""
        self.report.add(trajectory)
        # An attempt that was tried again wrote over its recording: the last one's is there.
        self._casts[cast_of(self._folder, trajectory.task, trajectory.attempt)] = len(self._rows)
        self._rows.append(row(trajectory))
        self._details.append(_packed(details(trajectory)))
        self._seconds.update(seconds(trajectory))
        for name, value in zip(self._names, (trajectory.policy, trajectory.model, trajectory.date), strict=True):
            self._names[name] |= {value} if value else set()

    def html(self) -> str:
        """The page. Recordings are read, and played through the emulator, only now."""
        blobs = self._blobs()
        counts = Counter(name.partition("-")[0] for name in blobs)
        run = self._folder.resolve().name
        index: dict[str, Any] = {name: sorted(values) for name, values in self._names.items()}
        index |= {
            "run": run,
            "termgym": termgym.__version__,
            "report": self.report.to_dict(),
            "seconds": dict(self._seconds),
            "episodes": self._rows,
            "films": counts["film"],
            "details": counts["details"],
        }
        return _document(run, {"index": index, **blobs})

    def _blobs(self) -> dict[str, str]:
        """The name of each element -> an episode's details or film, as many as there is room for."""
        blobs: dict[str, str] = {}
        left, films, casts = MAX_BYTES, self._recordings, {number: path for path, number in self._casts.items()}
        for number in self._order():
            size = len(self._details[number])
            if size > left:
                continue
            blobs[f"details-{number}"], left = self._details[number], left - size
            shot = filmed(casts[number]) if films > 0 and number in casts else None
            films -= bool(shot)
            if shot and (packed := _packed(shot)) and len(packed) <= left:
                blobs[f"film-{number}"], left = packed, left - len(packed)
        return blobs

    def _order(self) -> list[int]:
        """Which episodes are embedded first: one of each family and outcome, failures before the rest, then another."""
        met: Counter[tuple[str, str]] = Counter()
        ranks: list[tuple[int, bool, int]] = []
        for number, one in enumerate(self._rows):
            kind = one["family"], one["outcome"]
            ranks.append((met[kind], one["outcome"] == "solved", number))
            met[kind] += 1
        return [number for *_, number in sorted(ranks)]


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
    path = out or folder / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.html(), encoding="utf-8")
    return path


def _document(title: str, data: dict[str, Any]) -> str:
    parts = files(__name__)
    style = parts.joinpath("page.css").read_text(encoding="utf-8")
    script = "\n".join(parts.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    blocks = [f'<script type="application/json" id="{name}">{_json(value)}</script>' for name, value in data.items()]
    return Template(parts.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data="\n".join(blocks),
    )


def _json(value: Any) -> str:
    """ASCII in which nothing can end the element or begin another."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _packed(value: Any) -> str:
    return base64.b64encode(zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 6)).decode()


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
