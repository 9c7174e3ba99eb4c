"""A plain root folder as a layer: the tar of it, which is the same whenever the folder is the same."""

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from termgym.errors import ImageError

PIECE = 1 << 20


class Packing:
    """The tar of the folder at `root`, as a stream.

    Devices, sockets and other file systems mounted below are left out, and so are extended attributes. Names come in
    order, and files with several names once with content and then as hard links, so that equal folders have equal tars.
    """

    def __init__(self, root: Path) -> None:
        self._pieces, self._rest = _pieces(root), memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        while not self._rest:  # a piece may be empty, and that is not the end
            try:
                self._rest = memoryview(next(self._pieces))
            except StopIteration:
                return b""
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)


def _pieces(root: Path) -> Iterator[bytes]:
    device, seen = root.stat().st_dev, dict[tuple[int, int], str]()
    for path, name in _walk(root, "."):
        status = path.lstat()
        if status.st_dev != device or not (kind := _KINDS.get(stat.S_IFMT(status.st_mode))):
            continue
        header = _header(name, kind, status)
        first = seen.setdefault((status.st_dev, status.st_ino), name)
        if kind != tarfile.DIRTYPE and first != name:
            header.type, header.linkname, header.size = tarfile.LNKTYPE, first, 0
        elif kind == tarfile.SYMTYPE:
            header.linkname = str(path.readlink())
        yield header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        if header.type == tarfile.REGTYPE:
            yield from _content(path, header.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def _walk(folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    """The folder and all below it: a path to look at, and its name in the tar."""
    todo = [(folder, name)]
    device = folder.stat().st_dev
    while todo:
        path, name = todo.pop()
        yield path, name
        if path.is_dir() and not path.is_symlink() and path.stat().st_dev == device:
            todo += [(path / child, f"{name}/{child}") for child in sorted(os.listdir(path), reverse=True)]  # noqa: PTH208


def _header(name: str, kind: bytes, status: os.stat_result) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.mode = kind, stat.S_IMODE(status.st_mode)
    header.uid, header.gid, header.mtime = status.st_uid, status.st_gid, int(status.st_mtime)
    header.size = status.st_size if kind == tarfile.REGTYPE else 0
    return header


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left:
            piece = file.read(min(left, PIECE))
            if not piece:
                raise ImageError(f"{path} became shorter while it was read; import the folder when nothing changes it")
            left -= len(piece)
            yield piece
    yield bytes(-size % tarfile.BLOCKSIZE)
