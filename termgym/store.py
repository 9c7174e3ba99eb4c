"""A store of trajectories: a folder to which they are added one by one, and that survives a kill at any moment.

    episodes.jsonl           a trajectory per line, in the order in which they ended
    episodes-00000.parquet   a thousand of them, moved out of the lines when there were that many, where pyarrow is
                             installed: the fields to select by as columns, and the line as `json`

A line that a kill cut off is dropped when the store is opened again. A part is there whole or not at all; the lines
that it holds are removed after it is there, or else when the store is opened again.
"""

import fcntl
import json
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from termgym import parquet
from termgym.errors import TaskError
from termgym.image.files import locked
from termgym.trajectory import Trajectory

LINES = "episodes.jsonl"
PART = 1000
"""Lines that become a part."""
_COLUMNS = "task digest policy model outcome dense binary attempt group retry family seed level domain date".split()
_MOVED = b"termgym.lines"  # what a part took out of the lines: how many bytes, and their CRC
_HINT = "give the episodes.jsonl that `termgym eval` wrote, or its folder"


class Store:
    """A folder, open for adding, by one process at a time. To be closed, or used in a `with` statement."""

    def __init__(self, folder: Path, part: int = PART) -> None:
        """Open it, or begin one.

        Raises:
            TaskError: Another process has it open.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._part, self._held = folder, part, ExitStack()
        try:
            self._held.enter_context(locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            raise TaskError(f"another process is writing to {folder}; name another folder") from None
        self._mend()
        self._file = self._held.enter_context((folder / LINES).open("ab"))
        self._count = (folder / LINES).read_bytes().count(b"\n")

    def add(self, trajectory: Trajectory) -> None:
        """Add one; it is with the kernel when this returns."""
        self._file.write(trajectory.to_json().encode() + b"\n")
        self._file.flush()
        self._count += 1
        if self._count >= self._part and parquet.installed():
            self._pack()

    def __iter__(self) -> Iterator[Trajectory]:
        """All that is there."""
        return stream(self.folder)

    def close(self) -> None:
        """Close it. Closing twice is allowed."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _mend(self) -> None:
        """Drop a line that was cut off, and lines that are in a part already."""
        path = self.folder / LINES
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if parts := _parts(self.folder):
            length, crc = map(int, parquet.open_file(parts[-1]).schema_arrow.metadata[_MOVED].split())
            if len(whole) >= length and zlib.crc32(whole[:length]) == crc:
                whole = whole[length:]
        if whole != data:
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(whole)
            unfinished.rename(path)

    def _pack(self) -> None:
        library, data = parquet.library(), (self.folder / LINES).read_bytes()
        path = self.folder / f"episodes-{len(_parts(self.folder)):05}.parquet"
        unfinished = path.with_suffix(".part")
        table = parquet.table([_row(line.decode()) for line in data.splitlines()])
        moved = {_MOVED: f"{len(data)} {zlib.crc32(data)}"}
        library.write_table(table.replace_schema_metadata(moved), unfinished, compression="zstd")
        unfinished.rename(path)
        self._file.truncate(0)
        self._count = 0


def _row(line: str) -> dict[str, Any]:
    fields = json.loads(line)
    return {name: fields[name] for name in _COLUMNS} | {"json": line}


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("episodes-[0-9]*.parquet"))


def stream(record: Path) -> Iterator[Trajectory]:
    """The trajectories of a folder or of one file, in order, one at a time; a line that is cut off is left out.

    Raises:
        TaskError: There is no such record, or a line is no trajectory.
    """
    return _read(record, [])


def read(record: Path) -> tuple[list[Trajectory], list[str]]:
    """All of them, and what there is to remark.

    Raises:
        TaskError: There is no such record, or a line is no trajectory.
    """
    remarks: list[str] = []
    return list(_read(record, remarks)), remarks


def _read(record: Path, remarks: list[str]) -> Iterator[Trajectory]:
    paths = [*_parts(record), record / LINES] if record.is_dir() else [record]
    for path in paths:
        lines = _of_part(path) if path.suffix == ".parquet" else _of_lines(path, remarks)
        for number, line in lines:
            try:
                yield Trajectory.from_json(line)
            except TaskError as error:
                raise TaskError(f"{path}:{number}: {error}; {_HINT}") from error


def _of_part(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    for batch in parquet.open_file(path).iter_batches(batch_size=64, columns=["json"]):
        for line in batch.column(0).to_pylist():
            number += 1
            yield number, line


def _of_lines(path: Path, remarks: list[str]) -> Iterator[tuple[int, str]]:
    try:
        file = path.open(encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise TaskError(f"cannot read {path}: {error.strerror}; {_HINT}") from error
    with file:
        for number, line in enumerate(file, 1):
            if line.endswith("\n") or _whole(line):
                yield number, line
            else:
                remarks.append(f"{path}:{number}: the last line is cut off, and left out: its run was killed")


def _whole(line: str) -> bool:
    try:
        Trajectory.from_json(line)
    except TaskError:
        return False
    return True
