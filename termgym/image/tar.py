"""A tar as a stream: its members one after another, each with its content, in bounded memory.

The forms are those of POSIX (ustar and pax) and GNU's for long names and large numbers, as container tools write them.
Python's tarfile would keep every member, read what a header claims to be long into memory, and take a cut-off archive
for one that ends.
"""

import io
import math
import os
import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from termgym.errors import ImageError

BLOCK = 512
CHUNK = 1 << 20
MAX_HEADER_BYTES = 1 << 20
"""Of one extended header: a path takes 4,096 at most."""
MAX_SIZE = 1 << 62

FILE, HARD_LINK, SYMLINK, CHARACTER, DEVICE, FOLDER, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_ZERO = bytes(BLOCK)


class Readable(Protocol):
    """What bytes come from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class Member(NamedTuple):
    """One member. Names are bytes, as on disk."""

    name: bytes
    kind: bytes
    """One of FILE, HARD_LINK, SYMLINK, CHARACTER, DEVICE, FOLDER, FIFO."""
    size: int
    """Bytes of content."""
    mode: int
    uid: int
    gid: int
    mtime: float
    """Seconds since the epoch."""
    link: bytes

    @property
    def shown(self) -> str:
        """Its name, for messages."""
        return repr(self.name.decode(errors="backslashreplace"))


class Tar:
    """The members of the tar that `stream` holds; what is not read of one is skipped.

    Raises:
        ImageError: It is cut off, or no tar.
    """

    def __init__(self, stream: Readable, seekable: bool = False) -> None:
        self._stream, self._seek = stream, stream.seek if seekable and isinstance(stream, io.IOBase) else None
        self._left = self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        extended: dict[bytes, bytes] = {}
        while (block := self._block()) != _ZERO:
            kind = block[156:157]
            self._expect(_size(block))
            if kind in (_LONG_NAME, _LONG_LINK):
                extended[b"path" if kind == _LONG_NAME else b"linkpath"] = self._header().rstrip(b"\0")
            elif kind == _PAX:
                extended |= _records(self._header())
            elif kind != _PAX_GLOBAL:
                member = _member(block, extended)
                self._expect(member.size)
                yield member
                extended = {}
            self.skip()

    def content(self) -> Iterator[bytes]:
        """The content of the member that came last, in pieces."""
        while self._left:
            piece = self._some(min(self._left, CHUNK))
            self._left -= len(piece)
            yield piece

    def skip(self) -> None:
        """Go on to where the next member begins."""
        if self._seek:
            self._seek(self._left + self._padding, os.SEEK_CUR)
            self._left = 0
        else:
            for _ in self.content():
                pass
            self._exactly(self._padding)
        self._padding = 0

    def _expect(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK

    def _header(self) -> bytes:
        if self._left > MAX_HEADER_BYTES:
            raise ImageError(f"an extended header of {self._left} bytes; {MAX_HEADER_BYTES} at most are read")
        return b"".join(self.content())

    def _block(self) -> bytes:
        """The next header. Some tools write no end, and what is cut off there does not have the right digest."""
        data = self._stream.read(BLOCK)
        return data + self._exactly(BLOCK - len(data)) if data else _ZERO

    def _exactly(self, size: int) -> bytes:
        data = self._some(size) if size else b""
        while len(data) < size:
            data += self._some(size - len(data))
        return data

    def _some(self, size: int) -> bytes:
        data = self._stream.read(size)
        if not data:
            raise ImageError("the tar is cut off")
        return data


def _size(block: bytes) -> int:
    """The size that a header gives, once it is sure that it is one."""
    # The sum is over the header with its own field taken for spaces.
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if _number(block[148:156]) != total:
        raise ImageError("no tar: a header with a wrong checksum")
    return _size_of(_number(block[124:136]), block[156:157])


def _size_of(size: int, kind: bytes) -> int:
    if not 0 <= size < MAX_SIZE:
        raise ImageError(f"a member of {size} bytes")
    return 0 if kind in (HARD_LINK, SYMLINK, CHARACTER, DEVICE, FOLDER, FIFO) else size


def _member(block: bytes, extended: dict[bytes, bytes]) -> Member:
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = prefix + b"/" + name
    name = extended.get(b"path", name)
    kind = block[156:157]
    if any(key.startswith(b"GNU.sparse") for key in extended) or kind == b"S":
        raise ImageError(f"{name!r} is a sparse file, which layers do not have; write the tar without --sparse")
    if kind in (b"\0", b"7"):
        kind = FOLDER if name.endswith(b"/") else FILE
    if kind not in (FILE, HARD_LINK, SYMLINK, CHARACTER, DEVICE, FOLDER, FIFO):
        raise ImageError(f"{name!r} is of a type that is not known, {kind!r}")
    numbers = {key: _decimal(extended[key]) for key in (b"size", b"uid", b"gid", b"mtime") if key in extended}
    return Member(
        name,
        kind,
        _size_of(int(numbers.get(b"size", _number(block[124:136]))), kind),
        _number(block[100:108]) & 0o7777,
        int(numbers.get(b"uid", _number(block[108:116]))),
        int(numbers.get(b"gid", _number(block[116:124]))),
        numbers.get(b"mtime", _number(block[136:148])),
        extended.get(b"linkpath", _text(block[157:257])),
    )


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    """Octal digits; or, with the highest bit set, GNU's base 256."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:])
        return value - (1 << 8 * len(field) - 1) if field[0] & 0x40 else value
    digits = field.partition(b"\0")[0].strip()
    if not re.fullmatch(rb"[0-7]*", digits):
        raise ImageError(f"no tar: {field!r} where a number should be")
    return int(digits or b"0", 8)


def _decimal(text: bytes) -> float:
    if not re.fullmatch(rb"-?[0-9]{1,20}(\.[0-9]*)?", text) or not math.isfinite(value := float(text)):
        raise ImageError(f"a pax header with {text[:40]!r} where a number should be")
    return value if b"." in text else int(text)


def _records(data: bytes) -> dict[bytes, bytes]:
    """The records of a pax header, each `LENGTH KEY=VALUE` and a newline (POSIX, pax Extended Header)."""
    records: dict[bytes, bytes] = {}
    place = 0
    while place < len(data):
        space = data.find(b" ", place, place + 8)
        length = data[place:space]
        end = place + int(length) if space > place and length.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or end > len(data) or data[end - 1 : end] != b"\n":
            raise ImageError("a pax header that is none")
        records[key] = value
        place = end
    return records
