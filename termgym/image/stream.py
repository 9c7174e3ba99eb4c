"""The bytes of a layer on their way: decompressed, counted, hashed."""

import bz2
import contextlib
import gzip
import hashlib
import importlib
import io
import lzma
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from termgym.errors import ImageError
from termgym.image.tar import Readable


@dataclass(slots=True)
class Budget:
    """What unpacking one image may take; whoever unpacks takes from it."""

    max_bytes: int = 64 << 30
    """Of its layers, decompressed."""
    max_entries: int = 4_000_000
    """Files, folders and links."""
    on_bytes: Callable[[int], None] = lambda _: None
    """Told of the bytes of layers that were read, as they are."""

    def take_bytes(self, count: int) -> None:
        """Take `count` bytes, or raise ImageError."""
        self.max_bytes -= count
        if self.max_bytes < 0:
            raise ImageError("its layers are larger than an image may be")
        self.on_bytes(count)

    def take_entry(self) -> None:
        """Take an entry, or raise ImageError."""
        self.max_entries -= 1
        if self.max_entries < 0:
            raise ImageError("it has more files than an image may have")


class Hashed(io.RawIOBase):
    """What `stream` holds, hashed and taken from a budget as it is read."""

    def __init__(self, stream: Readable, budget: Budget) -> None:
        self._stream, self._budget, self._hash = stream, budget, hashlib.sha256()

    def readable(self) -> bool:
        """As `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """As `io.RawIOBase`."""
        data = self._stream.read(len(buffer))
        self._budget.take_bytes(len(data))
        self._hash.update(data)
        buffer[: len(data)] = data
        return len(data)

    def digest(self) -> str:
        """SHA-256, in hex, of all that there was, the rest included."""
        while self.read(1 << 20):
            pass
        return self._hash.hexdigest()


@contextlib.contextmanager
def reading() -> Generator[None]:
    """Make an ImageError of what libraries raise when data are broken or cut off."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise ImageError(f"compressed data are broken or cut off: {error}") from error
    except OSError as error:
        raise ImageError(str(error)) from error


class Peeked:
    """A stream of which `head` has been read already."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end."""
        if not self._head:
            return self._stream.read(size)
        size = len(self._head) if size < 0 else size
        data, self._head = self._head[:size], self._head[size:]
        return data


def decompressed(stream: Readable) -> Readable:
    """What `stream` holds: gzip, bzip2, xz or zstd by its first bytes, else as it is."""
    head = b""
    while len(head) < 6 and (more := stream.read(6 - len(head))):
        head += more
    whole: Any = Peeked(head, stream)
    for magic, opened in _FORMATS.items():
        if head.startswith(magic):
            return opened(whole)
    return whole


def _zstd(stream: Any) -> Readable:
    try:
        return io.BufferedReader(importlib.import_module("compression.zstd").ZstdFile(stream))
    except ImportError:
        raise ImageError(
            "compressed with zstd, which takes Python 3.14 or newer; `docker save` writes layers without"
        ) from None


_FORMATS: dict[bytes, Callable[[Any], Readable]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _zstd,
}
