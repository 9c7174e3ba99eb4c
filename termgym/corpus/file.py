"""Files of a corpus: read in whatever form they are, and written whole or not at all, the same bytes each time."""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

from termgym import dataset, parquet
from termgym.corpus import atif, chat, folder, nemotron, recording
from termgym.corpus.record import Record
from termgym.dataset import Row
from termgym.errors import TaskError, UnknownName
from termgym.evaluation import cast_of
from termgym.outcome import Outcome
from termgym.store import LINES, stream
from termgym.trajectory import Trajectory, TurnRecord
from termgym.verifier import CheckResult

BATCH = 256
"""Rows of a row group of parquet."""
Wrong = Callable[[TaskError], object]
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")


class Form(NamedTuple):
    """A form of rows."""

    write: Callable[[Record], dict[str, Any]]
    read: Callable[[Row], Record]


FORMS = {
    "nemotron": Form(nemotron.columns, nemotron.record),
    "sharegpt": Form(chat.sharegpt, chat.of_sharegpt),
    "messages": Form(chat.messages, chat.of_messages),
    "atif": Form(atif.document, atif.record),
}


def form_of(name: str) -> Form:
    """The form of this name.

    Raises:
        UnknownName: There is none.
    """
    if name not in FORMS:
        raise UnknownName("form of a corpus", name, [*FORMS, "asciicast"])
    return FORMS[name]


def read(path: Path, wrong: Wrong) -> Iterator[Record]:
    """The records of a run's folder, a file of rows in any of the forms, a recording, or a folder of Harbor's trials.

    Args:
        path: Where they are.
        wrong: Told of each row that is none; the others are read.

    Raises:
        TaskError: There is nothing to read.
    """
    if path.suffix == ".cast":
        yield recording.record(path)
    elif (path / LINES).exists() or path.name == LINES:
        yield from _tried(stream(path), lambda one: _episode(path, one), wrong)
    elif trials := sorted(path.rglob(folder.TRAJECTORY)):
        yield from _tried(trials, folder.trial, wrong)
    else:
        rows = dataset.read(path, {})
        yield from _tried(range(len(rows)), lambda number: _record(rows, number), wrong)


def _tried(items: Iterable[Any], make: Callable[[Any], Record], wrong: Wrong) -> Iterator[Record]:
    for item in items:
        try:
            yield make(item)
        except TaskError as error:
            wrong(error)


def _episode(run: Path, one: Trajectory) -> Record:
    own = cast_of(run if run.is_dir() else run.parent, one.task, one.attempt)
    return replace(Record.of(one), recording=own if own.exists() else None)


def _record(rows: dataset.Rows, number: int) -> Record:
    row = Row(rows.where(number), number, rows[number], {})
    return FORMS[_named(row)].read(row)


def _named(row: Row) -> str:
    """The name of a row's form, by its columns."""
    if "steps" in row.columns:
        return "atif"
    if "messages" in row.columns:
        return "messages"
    said: Any = row.get("conversations")
    first = cast("list[Any]", said)[0] if isinstance(said, list) and said else None
    if isinstance(first, Mapping):
        return "sharegpt" if "from" in first else "nemotron"
    there = ", ".join(row.columns)
    if "conversations" in row.columns:
        return "nemotron"
    raise TaskError(f"{row.where}: expected a column conversations, messages or steps; there are {there}")


def write(path: Path, records: Iterable[Record], form: str) -> int:
    """Write records in a form: as a file, or as a folder with a file for each; how many.

    Raises:
        UnknownName: There is no such form.
        TaskError: A file or a folder of this name cannot be, or a record cannot be in this form.
    """
    if form == "asciicast" or (form == "atif" and not path.suffix):
        return folder.write(path, records, form)
    make = form_of(form).write
    if not path.name.endswith(SUFFIXES) or (form == "atif" and path.suffix == ".parquet"):
        raise TaskError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}; documents of ATIF are no parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        count = (_write_parquet if path.suffix == ".parquet" else _write_lines)(unfinished, map(make, records), form)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]], form: str) -> int:
    count, packed = 0, path.name.endswith(".gz.part")
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if packed else raw as file:
        for row in rows:
            file.write(json.dumps(row).encode() + b"\n")
            count += 1
    return count


def _write_parquet(path: Path, rows: Iterable[Mapping[str, Any]], form: str) -> int:
    library, count = parquet.library(), 0
    schema = parquet.table([FORMS[form].write(Record.of(_FULL))]).schema
    with library.ParquetWriter(path, schema, compression="zstd") as writer:
        waiting = iter(rows)
        while batch := [_encodable(row) for row in islice(waiting, BATCH)]:
            table = parquet.table(batch, schema)
            writer.write_table(table, row_group_size=BATCH)
            count += table.num_rows
    return count


def _encodable(value: Any) -> Any:
    """Half of a surrogate pair, which a model may write as JSON, is no character that parquet can hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {name: _encodable(one) for name, one in cast("dict[str, Any]", value).items()}
    return [_encodable(one) for one in cast("list[Any]", value)] if isinstance(value, list | tuple) else value


# Every column with a value: what the types of a file's columns follow from.
_TURN = TurnRecord("", "", ("",), ("",), "", 0.0, 0.0, (0,), (0.0,), 0, (0,), "", 0)
_CHECK = CheckResult("", 0.0)
_FULL = Trajectory(
    "", "", "", Outcome.SOLVED, 0.0, 0.0, (_CHECK,), turns=(_TURN,), timings={"step": 0.0}, seed=0, level=0
)
