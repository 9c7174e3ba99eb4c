"""Recordings of a terminal in asciicast v2, which `asciinema play` and web players show.

One JSON value per line: a header, then `[seconds, code, text]` with code "o" for what was printed, "i" for what was
typed, and "m" for a marker. Format: https://docs.asciinema.org/manual/asciicast/v2/
"""

import codecs
import json
import time
from pathlib import Path
from typing import Any

from termgym.keys import encode
from termgym.screen import Screen

MAX_BYTES = 32 << 20
"""Of a recording, counted in characters: an agent may print without end, and it is our disk."""
LONGEST_PAUSE_S = 2.0
"""Players shorten pauses to this: a policy may think for minutes."""


class Cast:
    """A recording under way. To be closed, or used in a `with` statement."""

    def __init__(self, path: Path, screen: Screen, title: str = "") -> None:
        """Begin the recording at `path`, with what the terminal shows already."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._begin, self._written = time.monotonic(), 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        header = {
            "version": 2,
            "width": screen.cols,
            "height": screen.rows,
            "timestamp": int(time.time()),
            "idle_time_limit": LONGEST_PAUSE_S,
            "title": title,
            "env": {"SHELL": "/bin/bash", "TERM": "xterm-256color"},
        }
        self._write(header)
        self.printed(_painted(screen).encode())

    def printed(self, data: bytes) -> None:
        """Note output; a character may come in pieces."""
        text = self._decoder.decode(data)
        if text:
            self._event("o", text)

    def typed(self, keystrokes: str) -> None:
        """Note input, as of an action's command."""
        data = encode(keystrokes)
        if data:
            self._event("i", data.decode())

    def marked(self, label: str) -> None:
        """Note a point in time to jump to."""
        self._event("m", label)

    def close(self) -> None:
        """End the recording. Closing twice is allowed."""
        self._file.close()

    def _event(self, code: str, text: str) -> None:
        if self._written > MAX_BYTES:
            return
        self._write([round(time.monotonic() - self._begin, 6), code, text])
        if self._written > MAX_BYTES:
            self._write([round(time.monotonic() - self._begin, 6), "m", "too long: the recording ends here"])

    def _write(self, value: Any) -> None:
        self._written += self._file.write(json.dumps(value, ensure_ascii=False) + "\n")

    def __enter__(self) -> "Cast":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _painted(screen: Screen) -> str:
    """What draws this screen on an empty terminal."""
    row, col = screen.cursor
    return screen.text.rstrip().replace("\n", "\r\n") + f"\x1b[{row + 1};{col + 1}H"
