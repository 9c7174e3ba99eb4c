"""Bytes on their way into a descriptor that does not always take them at once."""

import asyncio
import os

CHUNK = 1 << 16


class Outbox:
    """A queue of bytes before a non-blocking descriptor, written as that takes them. For one event loop."""

    def __init__(self, fd: int) -> None:
        self._fd, self._loop = fd, asyncio.get_running_loop()
        self._waiting = bytearray()

    def __len__(self) -> int:
        """How many bytes wait."""
        return len(self._waiting)

    def write(self, data: bytes) -> None:
        """Write, or let it wait. Whoever is gone gets nothing more."""
        self._waiting += data
        self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(self._fd, self._waiting[:CHUNK])]
            self._loop.remove_writer(self._fd)
        except BlockingIOError:
            self._loop.add_writer(self._fd, self._flush)
        except OSError:
            self.clear()

    def clear(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        if self._fd >= 0:
            self._loop.remove_writer(self._fd)

    def close(self) -> None:
        """Drop what waits, before the descriptor is closed."""
        self.clear()
        self._fd = -1
