"""Text that two tasks share: n-grams of words, and near-duplicates by MinHash.

The n-gram rule (14 words in a row, letter case and punctuation aside) is the Nemotron-Terminal paper's, section 4.4,
which drops prompts by it; here it is tried on all text of a task. Near-duplicates are tasks whose sets of 5 words in
a row have a Jaccard similarity of 0.8 or more, as MinHash with 128 permutations estimates it (A. Z. Broder, 1997).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from termgym.errors import TaskError
from termgym.task import Task

NGRAM = 14
SHINGLE = 5
SIMILAR = 0.8
PERMUTATIONS = 128
FILE_BYTES = 1_000_000
"""Of a file; what is longer is read so far."""
TEXT_BYTES = 20_000
"""Of each of a task's files."""
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def ngrams(text: str, n: int) -> Iterator[str]:
    """Every `n` words in a row."""
    found = words(text)
    return (" ".join(found[at : at + n]) for at in range(len(found) - n + 1))


def text_of(task: Task) -> str:
    """What an agent reads of a task: its instruction, and its files as far as they are text."""
    files = (file.content[:TEXT_BYTES].decode(errors="ignore") for file in task.files.values())
    return "\n".join([task.instruction, *(step.instruction for step in task.steps), *files, task.setup[:TEXT_BYTES]])


@dataclass(frozen=True, slots=True)
class Overlap:
    """Why a task is too much like others."""

    path: str
    """The other's file."""
    ngram: str = ""
    """The words that both have; empty where they are nearly the same without so many in a row."""

    def __str__(self) -> str:
        return f"{self.path} has {self.ngram!r} too" if self.ngram else f"{self.path} is nearly the same"


class Index:
    """The n-grams of folders of tasks, and their near-duplicates, to hold other tasks against."""

    def __init__(self, folders: Sequence[Path], n: int = NGRAM) -> None:
        """Read every text file at and below the folders.

        Raises:
            TaskError: There is no such folder, no text in it, or rensa is not installed.
        """
        self.n, self._found, self._paths, self._near = n, dict[str, str](), list[str](), NearDuplicates()
        for path, text in (pair for folder in folders for pair in _texts(folder)):
            self._found |= dict.fromkeys(ngrams(text, n), str(path))
            self._paths.append(str(path))
            self._near.add(text)

    def __len__(self) -> int:
        return len(self._found)

    def overlap(self, task: Task) -> Overlap | None:
        """The first n-gram that the task shares, or else the file that its instruction nearly is."""
        tests = (file.content.decode(errors="ignore") for file in task.tests.values())
        text = "\n".join([text_of(task), *tests, *(check.script for check in task.checks)])
        near = self._near.find(task.opening)
        return self.shares(text) or (None if near is None else Overlap(self._paths[near]))

    def shares(self, text: str) -> Overlap | None:
        """The first n-gram that a text shares."""
        gram = next((gram for gram in ngrams(text, self.n) if gram in self._found), "")
        return Overlap(self._found[gram], gram) if gram else None


def _texts(folder: Path) -> Iterator[tuple[Path, str]]:
    if not folder.is_dir():
        raise TaskError(f"{folder}: {'is not a folder' if folder.exists() else 'there is no such folder'}")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    texts = [(path, _text(path)) for path in paths]
    if not any(text for _, text in texts):
        raise TaskError(f"{folder}: holds no text to compare with")
    yield from texts


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(FILE_BYTES)
    return "" if b"\0" in data else data.decode(errors="ignore")


class NearDuplicates:
    """Texts seen so far, by MinHash; deterministic."""

    def __init__(self, similar: float = SIMILAR) -> None:
        """Raises TaskError where rensa is not installed."""
        self._similar = similar
        self._hashes: list[Any] = []
        self._index = _rensa().RMinHashLSH(threshold=similar, num_perm=PERMUTATIONS, num_bands=16)

    def add(self, text: str) -> int | None:
        """Add a text; the number of an earlier one that it nearly is, from 0, if there is one."""
        near, hashed = self._nearest(text)
        self._index.insert(len(self._hashes), hashed)
        self._hashes.append(hashed)
        return near

    def find(self, text: str) -> int | None:
        """The number of a text that this one nearly is, if there is one."""
        return self._nearest(text)[0]

    def _nearest(self, text: str) -> tuple[int | None, Any]:
        hashed = _rensa().RMinHash(num_perm=PERMUTATIONS, seed=1)
        hashed.update(list(ngrams(text, SHINGLE)) or [text])  # a text of fewer words
        found = (one for one in sorted(self._index.query(hashed)) if self._hashes[one].jaccard(hashed) >= self._similar)
        return next(found, None), hashed


def share(texts: Iterable[str]) -> float:
    """The share of texts that are nearly an earlier one."""
    seen = NearDuplicates()
    found = [seen.add(text) is not None for text in texts]
    return sum(found) / max(1, len(found))


def _rensa() -> Any:
    try:
        return import_module("rensa")
    except ImportError as error:
        raise TaskError("near-duplicates need rensa: pip install 'termgym[data]'") from error
