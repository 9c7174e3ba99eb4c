"""The folder of a generation, from which it goes on after it was stopped.

journal.jsonl           a line for each brief that is done: accepted or rejected, and why; tokens
replies/KEY-N.json      what the model answered, as soon as it did: what was paid for is not asked again
tasks/KEY/              accepted tasks, as Harbor task folders
rejected/KEY/           why.txt, and the draft as a task folder where it got that far
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from termgym.errors import TaskError
from termgym.generate.endpoint import Answer
from termgym.resumption import go_on
from termgym.task import Task

JOURNAL = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one brief."""

    key: str
    accepted: bool
    reason: str = ""
    """Why it was rejected."""
    tokens: int = 0
    """That it cost."""
    attempts: int = 1
    """Drafts that were made."""


class Store:
    """A generation's folder."""

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        """Open it; `settings` is what the briefs follow from, and must be the same when a run goes on.

        Raises:
            TaskError: It is a run of other settings, or its journal cannot be read.
        """
        self.folder = folder
        for name in ("replies", "tasks", "rejected"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        go_on(folder / "settings.json", settings)
        self.entries = {entry.key: entry for entry in self._read()}

    def _read(self) -> list[Entry]:
        path = self.folder / JOURNAL
        if not path.exists():
            return []
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]  # a line that was being written when the run was killed
        if whole != data:
            os.truncate(path, len(whole))
        try:
            return [Entry(**json.loads(line)) for line in whole.splitlines()]
        except (ValueError, TypeError) as error:
            raise TaskError(f"{path}: is no journal of a generation: {error}") from error

    @property
    def tokens(self) -> int:
        """All that was spent, by runs before too, and for briefs that are not done yet."""
        return sum(answer.tokens for answer in map(_load, sorted(self.folder.glob("replies/*.json"))))

    def answer(self, key: str, number: int) -> Answer | None:
        """The answer number N to a brief, if it came before."""
        path = self.folder / "replies" / f"{key}-{number}.json"
        return _load(path) if path.exists() else None

    def keep(self, key: str, number: int, answer: Answer) -> None:
        """Keep an answer."""
        _write(self.folder / "replies" / f"{key}-{number}.json", json.dumps(asdict(answer), indent=1) + "\n")

    def accept(self, entry: Entry, task: Task) -> None:
        """Keep a task, and note it."""
        if not (self.folder / "tasks" / entry.key).exists():
            task.save(self.folder / "tasks" / entry.key)
        self._note(entry)

    def reject(self, entry: Entry, task: Task | None) -> None:
        """Keep a draft and why it is rejected, and note it."""
        folder = self.folder / "rejected" / entry.key
        folder.mkdir(exist_ok=True)
        (folder / "why.txt").write_text(entry.reason + "\n", encoding="utf-8")
        if task and not (folder / "task").exists():
            try:
                task.save(folder / "task")
            except TaskError as error:
                (folder / "why.txt").write_text(f"{entry.reason}\n{error}\n", encoding="utf-8")
        self._note(entry)

    def _note(self, entry: Entry) -> None:
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
        self.entries[entry.key] = entry


def _load(path: Path) -> Answer:
    try:
        return Answer(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise TaskError(f"{path}: is no answer of a model: {error}; remove it to ask again") from error


def _write(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.rename(path)
