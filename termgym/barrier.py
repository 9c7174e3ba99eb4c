"""A barrier: what tells that all that programs have printed so far has arrived.

A mark is written to the terminal's slave side, behind whatever the programs wrote there, and cut out where it arrives.
"""

import os
import secrets


class Barrier:
    """The barrier of one terminal, by its slave side; one mark at a time."""

    def __init__(self, slave: int) -> None:
        self._slave = slave
        self._mark: bytes = b""
        self._unsent: bytes = b""
        self._held: bytes = b""

    @property
    def awaited(self) -> bool:
        """Whether a mark is on its way."""
        return bool(self._mark)

    def begin(self) -> None:
        """A new mark, to be sent; first what is left of one that was begun, or all that comes would belong to it."""
        self._mark = b"\x1b]7777;%d\x1b\\" % secrets.randbits(63)
        self._unsent += self._mark

    def send(self) -> bool:
        """Write what is not written yet; False where the terminal's queue is full.

        Raises:
            OSError: The terminal is gone.
        """
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._slave, self._unsent) :]
        except BlockingIOError:
            return False
        return True

    def cut(self, data: bytes) -> bytes:
        """What came, without the mark, which may come in two pieces: its beginning is held back."""
        if not self._mark:
            return data
        data, self._held = self._held + data, b""
        before, found, after = data.partition(self._mark)
        if found:
            self._mark = b""
            return before + after
        for size in range(min(len(self._mark) - 1, len(data)), 0, -1):
            if data.endswith(self._mark[:size]):
                self._held = data[-size:]
                return data[:-size]
        return data

    def end(self) -> bytes:
        """Await it no longer; returns what was held back.

        Should it come late, an emulator takes it for a sequence that shows nothing.
        """
        if self._unsent.endswith(self._mark):
            self._unsent = self._unsent.removesuffix(self._mark)
        held, self._mark, self._held = self._held, b"", b""
        return held
