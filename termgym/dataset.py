"""A data set: rows of somebody's problems, which a source makes tasks of.

    PATH.jsonl, PATH.jsonl.gz       a JSON object per line
    PATH.json                       the same, or one list of objects, or one object
    PATH.parquet                    or a folder of such files
    hf://ORG/NAME                   of the Hugging Face hub, where it can be reached; `split` and `config` choose

Rows are read one by one, when they are asked for. Public sets call the same thing by many names, so a source asks for a
column by all of them; `columns=problem:question,answer:meta.gold` says what a set of one's own has instead, where dots
lead into nested columns.
"""

import bisect
import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from hashlib import sha256
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any, cast, overload

from termgym.errors import TaskError
from termgym.parquet import open_file
from termgym.sources import Shelf
from termgym.task import Task

OPTIONS = ("columns", "split", "config", "licence")
HUB = "hf:/"
TRIED = 10
"""If none of so many first rows is of the form, the set is not."""
SHOWN = 120
LINES = (".jsonl", ".jsonl.gz", ".ndjson")


@dataclass(frozen=True)
class Row:
    """One row."""

    where: str
    """`aime.jsonl, line 17`: for errors."""
    number: int
    columns: Mapping[str, object]
    renamed: Mapping[str, str]
    """Column that is asked for -> what it is called here."""
    set: str = ""
    """What the set is called."""
    set_licence: str = ""
    """Of the whole set."""

    def get(self, *names: str) -> object:
        """The first of these columns that is there and neither null nor empty, else None."""
        for name in (self.renamed.get(names[0], ""), *names):
            value = self._at(name) if name else None
            if value not in (None, "", [], {}):
                return value
        return None

    def need(self, *names: str) -> object:
        """As `get`.

        Raises:
            TaskError: It is not there.
        """
        value = self.get(*names)
        if value is None:
            raise self.error(names[0], f"expected one of the columns {', '.join(names)}; {self._known(names)}")
        return value

    def text(self, *names: str) -> str:
        """A column's text: a number's too, and the last message of somebody's in a conversation.

        Raises:
            TaskError: It is not there, or none of these.
        """
        value = self.need(*names)
        if isinstance(value, list):
            value = _table(cast("list[object]", value)[-1]).get("content")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.error(names[0], f"is {value!r:.{SHOWN}}; expected text")
        return str(value)

    def error(self, column: str, what: str) -> TaskError:
        """What is wrong with a column."""
        return TaskError(f"{self.where}: {self.renamed.get(column, column)}: {what}")

    @cached_property
    def digest(self) -> bytes:
        """Of all that it holds, to choose words by."""
        return sha256(json.dumps(self.columns, sort_keys=True, default=str).encode()).digest()

    def choose(self, among: Sequence[str]) -> str:
        """One of several, always the same for this row."""
        return among[int.from_bytes(self.digest[:4], "big") % len(among)]

    @property
    def level(self) -> int:
        """Its difficulty, 1 to 5 (MATH says "Level 4"), or 0 if it says none."""
        found = re.fullmatch(r"(?:Level )?([1-5])", str(self.get("level") or ""))
        return int(found[1]) if found else 0

    @property
    def licence(self) -> str:
        """What it says of its licence, or else the set's."""
        return str(self.get("licence", "license") or self.set_licence)

    @property
    def provenance(self) -> str:
        """What it says of where it comes from, or else the set."""
        return str(self.get("provenance", "source", "data_source") or self.set)

    @property
    def id(self) -> str:
        """Its own, or its number; from 0."""
        own = self.get("id", "task_id", "instance_id", "name", "unique_id", "problem_id")
        return re.sub(r"[^\w.@-]+", "-", str(own))[:80] if isinstance(own, str | int) else str(self.number)

    def _at(self, name: str) -> object:
        value: object = self.columns
        for part in [name] if name in self.columns else name.split("."):
            value = _table(value).get(part)
        return value

    def _known(self, names: Sequence[str]) -> str:
        close = [found for name in names for found in get_close_matches(name, list(self.columns), 1, 0.7)]
        meant = f"did you mean columns={names[0]}:{close[0]}? " if close else ""
        return f"{meant}There are {', '.join(self.columns) or 'none'}"


def _table(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


class Rows(Sequence[Mapping[str, object]]):
    """The rows of one file or set, by number; `where` says which one a number is."""

    def __init__(self, size: int, load: Callable[[int], Mapping[str, object]], where: Callable[[int], str]) -> None:
        self._size, self._load, self.where = size, load, where

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Mapping[str, object]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, object]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, object] | Sequence[Mapping[str, object]]:
        if isinstance(index, slice):
            return [self._load(number) for number in range(self._size)[index]]
        return self._load(range(self._size)[index])


def shelf(path: Path, options: Mapping[str, str], name: str, make: Callable[[Row], Task]) -> Shelf:
    """The tasks that `make` makes of the rows at a path; at none, of those that ship with termgym as NAME.jsonl.

    Raises:
        TaskError: There is no data set, it cannot be read, or none of its first rows is of the form.
    """
    called, licence = path.name.partition(".")[0] or "termgym", options.get("licence", "")
    path = path if path.name else shipped(name)
    rows, renamed = read(path, options), _renamed(options.get("columns", ""))

    def load(key: str) -> Task:
        number = int(key)
        return make(Row(rows.where(number), number, rows[number], renamed, called, licence))

    _refuse_at_once(load, len(rows))
    return Shelf([str(number) for number in range(len(rows))], load)


def shipped(name: str) -> Path:
    """The data set of this name that ships with termgym."""
    import termgym.envs

    return next(
        found for folder in termgym.envs.__path__ if (found := Path(folder, "datasets", f"{name}.jsonl")).exists()
    )


def _renamed(text: str) -> dict[str, str]:
    pairs = [pair.partition(":") for pair in text.split(",") if pair]
    if wrong := [name for name, colon, _ in pairs if not colon]:
        raise TaskError(f"columns: {wrong[0]!r}: expected NAME:COLUMN, as in columns=problem:question,answer:gold")
    return {name.strip(): column.strip() for name, _, column in pairs}


def _refuse_at_once(load: Callable[[str], Task], size: int) -> None:
    errors: list[TaskError] = []
    for number in range(min(TRIED, size)):
        try:
            load(str(number))
            return
        except TaskError as error:
            errors.append(error)
    raise errors[0]


def read(path: Path, options: Mapping[str, str]) -> Rows:
    """The rows at a path.

    Raises:
        TaskError: There are none, or they cannot be read.
    """
    if str(path).startswith(HUB):
        rows = _hub(str(path).removeprefix(HUB).lstrip("/"), options)
    elif path.is_dir():
        rows = _parquet(sorted(path.glob("**/*.parquet")), str(path))
    elif not path.is_file():
        raise TaskError(f"{path}: there is no such file")
    elif path.suffix == ".parquet":
        rows = _parquet([path], path.name)
    elif path.suffix == ".json":
        rows = _document(path.name, _data(path))
    elif path.name.endswith(LINES):
        rows = _lines(path.name, _data(path))
    else:
        raise TaskError(
            f"{path}: expected a file .jsonl, .jsonl.gz or .parquet, a folder of .parquet, or hf://ORG/NAME"
        )
    if not len(rows):
        raise TaskError(f"{path}: holds no rows")
    return rows


def _data(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise TaskError(f"{path}: cannot be read: {error}") from error


def _document(name: str, data: bytes) -> Rows:
    """A list's elements, or else one row; where it is no single document, its lines."""
    try:
        value: Any = json.loads(data)
    except ValueError:
        return _lines(name, data)
    rows, where = cast("list[object]", value) if isinstance(value, list) else [value], _rows_of(name)
    return Rows(len(rows), lambda index: _object(rows[index], where(index)), where)


def _rows_of(name: str) -> Callable[[int], str]:
    return lambda index: f"{name}, row {index}"


def _object(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TaskError(f"{where}: is {value!r:.{SHOWN}}; expected an object, column -> value")
    return cast("dict[str, object]", value)


def _lines(name: str, data: bytes) -> Rows:
    """Blank lines are no rows."""
    found = [(number, *match.span()) for number, match in enumerate(re.finditer(rb"[^\n]*\n?", data), 1)]
    spans = [(number, begin, end) for number, begin, end in found if data[begin:end].strip()]

    def where(index: int) -> str:
        return f"{name}, line {spans[index][0]}"

    def load(index: int) -> Mapping[str, object]:
        _, begin, end = spans[index]
        try:
            value: object = json.loads(data[begin:end])
        except ValueError as error:
            raise TaskError(f"{where(index)}: not JSON: {error}") from error
        return _object(value, where(index))

    return Rows(len(spans), load, where)


def _parquet(paths: Sequence[Path], name: str) -> Rows:
    files = [open_file(path) for path in paths]
    groups = [(file, group) for file in files for group in range(file.num_row_groups)]
    sizes = [file.metadata.row_group(group).num_rows for file, group in groups]
    ends = list(accumulate(sizes))

    @lru_cache(maxsize=2)
    def group(number: int) -> Any:
        file, index = groups[number]
        return file.read_row_group(index)

    def load(index: int) -> Mapping[str, object]:
        number = bisect.bisect_right(ends, index)
        row: list[Mapping[str, object]] = group(number).slice(index - ends[number] + sizes[number], 1).to_pylist()
        return row[0]

    return Rows(sum(sizes), load, _rows_of(name))


def _hub(name: str, options: Mapping[str, str]) -> Rows:
    split = options.get("split", "train")
    try:
        found: Any = import_module("datasets").load_dataset(name, options.get("config"), split=split)
    except ImportError as error:
        raise TaskError("hf:// needs the datasets library: pip install 'termgym[datasets]'") from error
    except Exception as error:  # of many kinds: no network, no such set, no such split
        raise TaskError(f"hf://{name}: cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    return Rows(len(found), lambda index: found[index], lambda index: f"hf://{name} {split}, row {index}")
