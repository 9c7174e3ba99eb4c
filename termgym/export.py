"""Exports tasks by the thousand: as Harbor task folders, or as parquet files whose rows hold such folders.

The same selection gives the same bytes. What is there already is not made again, so that an export that was stopped
goes on where it was: a folder or a file that is there is whole.
"""

import fcntl
import json
import multiprocessing
import shutil
import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import count, islice
from pathlib import Path
from typing import Any

from termgym import parquet
from termgym.duplicates import Index, Overlap
from termgym.errors import TaskError, UnknownName
from termgym.family import Family, find_family
from termgym.harbor import SCRATCH, folder_name, to_files
from termgym.image.files import locked
from termgym.launcher import linux
from termgym.source import TaskSource, Wanted
from termgym.split import find_split
from termgym.task import Task

FORMATS = {"harbor": 20, "parquet": 500}
"""Format -> how many tasks are written at a time; of parquet, those of one file."""
GROUP = 20
"""Rows of a parquet file that are read at a time."""
COLUMNS = "id digest domain skills level instruction oracle checks requires licence provenance files".split()


@dataclass(frozen=True, slots=True)
class Made:
    """What makes one task."""

    family: str
    seed: int
    level: int

    @property
    def id(self) -> str:
        """The task's."""
        return f"{self.family}@{self.seed}.{self.level}"

    def task(self) -> Task:
        """Make it."""
        return find_family(self.family).task(self.seed, self.level)


@dataclass(frozen=True, slots=True)
class Given:
    """A task that is there."""

    given: Task

    @property
    def id(self) -> str:
        """The task's."""
        return self.given.id

    def task(self) -> Task:
        """It."""
        return self.given


Selected = Made | Given


def selection(
    wanted: Sequence[Wanted] | None, split: str, n: int | None = None, seed: int = 0, level: int | None = None
) -> list[Selected]:
    """`n` tasks of a split (None: one of each level of each family): families in turn, each with its levels in turn.

    `wanted` is as for `TaskSource`; None is all families of the split, a family by its name is taken in any case.
    `seed` is counted from the first of the split's. Of tasks that are no family's there is one each.

    Raises:
        UnknownName: There is no such split or family.
        TaskError: A task cannot be used.
    """
    found = find_split(split)
    source = TaskSource([f"split={split}"] if wanted is None else wanted, level)
    families = [choice for choice in source.choices if isinstance(choice, Family)]
    many = sum(1 if source.level else family.levels for family in families) if n is None else n
    selected: list[Selected] = list(_in_turn(families, many, found.seeds[seed:], source.level)) if families else []
    for choice in source.choices:
        if not isinstance(choice, Family):
            selected += [Given(task) for task in ([choice] if isinstance(choice, Task) else choice)]
    return selected


def _in_turn(families: Sequence[Family], n: int, seeds: Sequence[int], level: int | None) -> Iterator[Made]:
    rounds = ((family, number) for number in count() for family in families)
    for family, number in islice(rounds, n):
        yield Made(family.name, seeds[number], level or 1 + number % family.levels)


@dataclass(frozen=True, slots=True)
class Part:
    """What one process writes at a time."""

    number: int
    selected: Sequence[Selected]


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a part."""

    count: int
    """How many of its tasks are there."""
    dropped: Mapping[str, Overlap]
    """Id -> why it was left out."""


class Writer:
    """Writes parts below a folder, but for tasks that overlap others."""

    def __init__(self, out: Path, form: str, against: Sequence[Path] = ()) -> None:
        """`form` is one of `FORMATS`; `against` are folders of tasks that are not to be met.

        Raises:
            UnknownName: There is no such format.
            TaskError: There is no such folder, or parquet cannot be written as pyarrow is not installed.
        """
        if form not in FORMATS:
            raise UnknownName("format of tasks", form, FORMATS)
        if form == "parquet":
            parquet.library()
        out.mkdir(parents=True, exist_ok=True)
        self.out, self._form, self._against = out, form, against
        self._index = Index(against) if against else None

    def __reduce__(self) -> tuple[type["Writer"], tuple[Path, str, Sequence[Path]]]:
        """Another process reads the folders itself."""
        return Writer, (self.out, self._form, self._against)

    def parts(self, selected: Sequence[Selected]) -> Iterator[Part]:
        """What to write, in pieces."""
        size = FORMATS[self._form]
        for number, at in enumerate(range(0, len(selected), size)):
            yield Part(number, selected[at : at + size])

    def write(self, part: Part) -> Written:
        """Write one; what is there already stays."""
        dropped: dict[str, Overlap] = {}
        if self._form == "parquet":
            return self._rows(part, dropped)
        for made in part.selected:
            folder = self.out / folder_name(made.id)
            if not folder.exists() and (task := self._kept(made, dropped)):
                task.save(folder)
        return Written(len(part.selected) - len(dropped), dropped)

    def _rows(self, part: Part, dropped: dict[str, Overlap]) -> Written:
        path = self.out / f"tasks-{part.number:05}.parquet"
        if path.exists():
            return Written(parquet.open_file(path).metadata.num_rows, {})
        rows = [row(task) for made in part.selected if (task := self._kept(made, dropped))]
        unfinished = path.with_suffix(".part")
        parquet.library().write_table(_table(rows), unfinished, row_group_size=GROUP)
        unfinished.rename(path)
        return Written(len(rows), dropped)

    def _kept(self, made: Selected, dropped: dict[str, Overlap]) -> Task | None:
        task = made.task()
        if self._index and (overlap := self._index.overlap(task)):
            dropped[made.id] = overlap
            return None
        return task


_writer: Writer | None = None


def _begin(writer: Writer) -> None:
    global _writer
    _writer = writer
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)  # or it would write on beside the export that goes on


def _write(part: Part) -> Written:
    assert _writer
    return _writer.write(part)


def export(selected: Sequence[Selected], writer: Writer, processes: int | None = None) -> Iterator[Written]:
    """Write the tasks by so many processes (None: of all processors), and hand out what came of each part.

    Raises:
        TaskError: A task cannot be written, or another export writes there.
    """
    with _alone(writer.out), multiprocessing.get_context("spawn").Pool(processes, _begin, (writer,)) as pool:
        yield from pool.imap_unordered(_write, list(writer.parts(selected)))


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Nobody else exports there meanwhile; and what one that was killed had begun is removed."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise TaskError(f"{folder}: another export is writing there; wait for it, or stop it") from error
        except OSError:
            pass  # a file system that has no locks
        for begun in folder.glob(f"{SCRATCH}*"):
            shutil.rmtree(begun)
        yield


def row(task: Task) -> dict[str, Any]:
    """A task as a row of `COLUMNS`: what one selects by, and its task folder in `files`."""
    files = to_files(task, folder_name(task.id))
    return {
        "id": task.id,
        "digest": task.digest,
        "domain": task.domain,
        "skills": list(task.skills),
        "level": task.level,
        "instruction": task.opening,
        "oracle": json.dumps([command.keystrokes for command in task.oracle]),
        "checks": json.dumps({check.name: check.weight for check in task.checks}),
        "requires": list(task.requires),
        "licence": task.licence,
        "provenance": task.provenance,
        "files": [{"path": path, "mode": file.mode, "content": file.content} for path, file in sorted(files.items())],
    }


def _table(rows: list[dict[str, Any]]) -> Any:
    pyarrow: Any = import_module("pyarrow")
    file = pyarrow.struct([("path", pyarrow.string()), ("mode", pyarrow.int32()), ("content", pyarrow.binary())])
    words = pyarrow.list_(pyarrow.string())
    types = {"skills": words, "requires": words, "level": pyarrow.int32(), "files": pyarrow.list_(file)}
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in COLUMNS])
    return pyarrow.Table.from_pylist(rows, schema)
