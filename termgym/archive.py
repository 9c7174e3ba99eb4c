"""An archive of task folders: a tar file, compressed by gzip or not, out of which single tasks are read.

Opening it takes one pass over all of it, which notes where each task's members begin and end, and no more: an archive
of 45,000 tasks takes some ten megabytes of memory, however large it is. gzip cannot be read from the middle; so the
pass keeps the state of the decompressor every few megabytes, from where it goes on to any task after them.
Nothing is ever unpacked to a disk.
"""

import io
import re
import tarfile
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from termgym.errors import TaskError
from termgym.task import File

EVERY_BYTES = 8 << 20
"""Between two states that are kept of a decompressor, each some 40 kB."""
CHUNK_BYTES = 1 << 18
MAX_TASK_BYTES = 256 << 20
GZIP = b"\x1f\x8b"
BLOCK = tarfile.BLOCKSIZE
LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE)
GLOBAL = tarfile.XGLTYPE
MAX_PATH_BYTES = 1 << 16


class _Spot(NamedTuple):
    """Where a decompressor was, in what it reads and in what it makes, and its state."""

    read: int
    made: int
    state: Any


class Inflated(io.RawIOBase):
    """A gzip file as what is in it, which can be read from any place that was passed once."""

    def __init__(self, file: BinaryIO) -> None:
        """`file` is closed with it."""
        self._file = file
        self._spots = [_Spot(0, 0, zlib.decompressobj(zlib.MAX_WBITS | 16))]
        self._ready = b""
        self._at = 0
        self._go_to(self._spots[0])

    def _go_to(self, spot: _Spot) -> None:
        self._read, self._made, self._state = spot.read, spot.made, spot.state.copy()
        self._ready = b""

    def readable(self) -> bool:
        """As `io.IOBase`."""
        return True

    def seekable(self) -> bool:
        """As `io.IOBase`."""
        return True

    def tell(self) -> int:
        """As `io.IOBase`."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As `io.IOBase`, but not from the end."""
        assert whence != io.SEEK_END
        self._at = offset if whence == io.SEEK_SET else self._at + offset
        if self._at < self._made - len(self._ready) or self._spot(self._at).made > self._made:
            self._go_to(self._spot(self._at))
        return self._at

    def _spot(self, offset: int) -> _Spot:
        return next(spot for spot in reversed(self._spots) if spot.made <= offset)

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As `io.RawIOBase`."""
        while self._at >= self._made:
            if not self._inflate():
                return 0
        begin = self._at - (self._made - len(self._ready))
        data = self._ready[begin : begin + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _inflate(self) -> bool:
        """Make some more; whether there was more."""
        if self._made - self._spots[-1].made >= EVERY_BYTES:
            self._spots.append(_Spot(self._read, self._made, self._state.copy()))
        self._file.seek(self._read)
        chunk = self._file.read(CHUNK_BYTES)
        self._read += len(chunk)
        self._ready = self._state.decompress(chunk)
        if self._state.eof:  # the next of several members, which one gzip file may have
            self._read -= len(self._state.unused_data)
            self._state = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._made += len(self._ready)
        return bool(chunk)

    def close(self) -> None:
        """As `io.IOBase`."""
        self._file.close()
        super().close()


class Archive:
    """The task folders in a tar file, by their names."""

    def __init__(self, path: Path, folder: re.Pattern[str]) -> None:
        """Open it. `folder` matches the beginning of a member's path, the task's folder being its first group.

        Raises:
            TaskError: It cannot be read.
        """
        self._path, self._folder = path, folder
        try:
            self._file = _opened(path)
            weakref.finalize(self, self._file.close)
            self.spans = self._scan()
        except (OSError, tarfile.TarError, zlib.error, EOFError) as error:
            raise TaskError(f"{path}: cannot be read as an archive: {error}") from error

    def _scan(self) -> dict[str, list[tuple[int, int]]]:
        """Name -> where its members are: they follow each other in most archives."""
        spans: dict[str, list[tuple[int, int]]] = {}
        for begin, end, path in _members(self._file):
            found = self._folder.match(path)
            if not found:
                continue
            of_task = spans.setdefault(found[1], [])
            if of_task and of_task[-1][1] == begin:
                begin = of_task.pop()[0]
            of_task.append((begin, end))
        return spans

    def files(self, name: str) -> dict[str, File]:
        """Path below a task's folder -> file.

        Raises:
            TaskError: A member of it is no regular file, or leads outside, or the task is too large.
        """
        if sum(end - begin for begin, end in self.spans[name]) > MAX_TASK_BYTES:
            raise TaskError(f"{self._path}: {name}: is larger than {MAX_TASK_BYTES >> 20} MiB")
        files: dict[str, File] = {}
        for begin, end in self.spans[name]:
            self._file.seek(begin)
            with tarfile.open(fileobj=io.BytesIO(self._file.read(end - begin)), mode="r:") as tar:
                for member in tar:
                    self._add(tar, member, name, files)
        return files

    def _add(self, tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, files: dict[str, File]) -> None:
        found = self._folder.match(member.name)
        if member.isdir() or found is None:
            return
        path = member.name[found.end() :]
        if not member.isreg():
            raise TaskError(f"{self._path}: {member.name}: is no regular file; expected regular files and folders only")
        if ".." in path.split("/") or path.startswith("/"):
            raise TaskError(f"{self._path}: {member.name}: leads out of the task's folder")
        content = tar.extractfile(member)
        assert content is not None
        files[path] = File(content.read(), member.mode & 0o777)


def _opened(path: Path) -> BinaryIO:
    file = path.open("rb")
    zipped = file.read(len(GZIP)) == GZIP
    file.seek(0)
    return io.BufferedReader(Inflated(file), CHUNK_BYTES) if zipped else file


def _members(file: BinaryIO) -> Iterator[tuple[int, int, str]]:
    """Where each member begins and ends, and its path. tarfile takes several times as long for it."""
    begin = at = 0
    path = b""
    while (block := _block(file)) != bytes(BLOCK):
        size, kind = _number(block[124:136]), block[156:157]
        end = at + BLOCK + (0 if kind in LINKS else -(-size // BLOCK) * BLOCK)
        if kind in LONG:
            path = _long_path(kind, file.read(min(size, MAX_PATH_BYTES))) or path
        elif kind != GLOBAL:
            parts = (block[345:500].partition(b"\0")[0], block[:100].partition(b"\0")[0])
            path = path or b"/".join(part for part in parts if part)
            yield begin, end, path.decode(errors="surrogateescape")
            begin, path = end, b""
        at = end
        file.seek(at)


def _block(file: BinaryIO) -> bytes:
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise EOFError("it is cut off")
    if any(block) and sum(block) - sum(block[148:156]) + 8 * ord(" ") != _number(block[148:156]):
        raise tarfile.ReadError("it is no tar file, or damaged")
    return block


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field[1:])
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise tarfile.ReadError("it is no tar file, or damaged")
    return int(digits or b"0", 8)


def _long_path(kind: bytes, content: bytes) -> bytes:
    """The path of the member to come, which was too long for its header."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return content.rstrip(b"\0")
    found = re.search(rb"\d+ path=([^\n]*)\n", content) if kind == tarfile.XHDTYPE else None
    return found[1] if found else b""
