"""A film: a recording (`termgym.cast`) played through our own emulator, as the frames that a page only has to draw.

A frame is the lines that changed. A line that was there before, at any place, is stored once, so that scrolling costs
nothing. Pauses are as long as players make them, `LONGEST_PAUSE_S` at most, and a turn takes `TURN_S` at least: a quick
policy is over in a blink.
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from termgym.cast import LONGEST_PAUSE_S
from termgym.screen import DEFAULT_ATTRIBUTE, Emulator

FRAME_S = 0.05
TURN_S = 0.8
MAX_FRAMES = 4_000
MAX_READ_BYTES = 32 << 20
"""Of a recording: a program may print without end."""
MAX_LINE_BYTES = 2 << 20
"""Of all different lines."""
WIDE, ODD = 1 << 16, 1 << 17
"""Beside the attribute: a character of two cells, and one that fonts may draw in another width than a cell's."""

Line = str | list[str | int]
"""Text in the default colours; or text, attribute, text, attribute, ... without the blanks that end it."""


class Film:
    """Grows by what was printed and by markers, each at a time in seconds."""

    def __init__(self, rows: int, cols: int) -> None:
        """It begins with an empty screen."""
        self._emulator = Emulator(rows, cols)
        self._lines: list[Line] = [""]
        self._numbers: dict[bytes, int] = {}
        self._shown = [0] * rows
        self._frames: list[list[Any]] = []
        self._marks: list[float] = []
        self._fed_s, self._shot_s, self._pending = 0.0, -FRAME_S, True
        self.line_bytes = 0

    def print(self, time_s: float, text: str) -> None:
        """Take output."""
        self._until(time_s)
        self._emulator.feed(text.encode("utf-8", "replace"))
        self._fed_s, self._pending = time_s, True

    def mark(self, time_s: float) -> None:
        """Note where a turn begins, with what the screen shows then."""
        self._shoot()
        self._marks.append(time_s)

    def close(self, end_s: float) -> dict[str, Any]:
        """The film for JSON; times in milliseconds, a frame as [time, cursor's row, its column, [row, line, ...]]."""
        self._shoot()
        self._emulator.close()
        marks = [_ms(time_s) for time_s in self._marks]
        size = {"rows": self._emulator.rows, "cols": self._emulator.cols}
        return size | {"end": _ms(end_s), "marks": marks, "lines": self._lines, "frames": self._frames}

    @property
    def full(self) -> bool:
        """Whether it is as long as a film may be."""
        return len(self._frames) >= MAX_FRAMES or self.line_bytes >= MAX_LINE_BYTES

    def _until(self, time_s: float) -> None:
        if time_s - self._shot_s >= FRAME_S:
            self._shoot()

    def _shoot(self) -> None:
        """Keep what the screen shows, at the time of the last output."""
        if not self._pending:
            return
        self._pending, self._shot_s = False, self._fed_s
        chars, attributes = self._emulator.cells()
        changed: list[int] = []
        for row in range(self._emulator.rows):
            number = self._number(chars[row], attributes[row])
            if number != self._shown[row]:
                self._shown[row] = number
                changed += [row, number]
        self._frames.append([_ms(self._shot_s), *self._emulator.cursor, changed])

    def _number(self, chars: NDArray[np.int32], attributes: NDArray[np.uint16]) -> int:
        key = chars.tobytes() + attributes.tobytes()
        if key not in self._numbers:
            line = line_of(chars, attributes)
            self.line_bytes += len(json.dumps(line))
            self._numbers[key] = len(self._lines) if line else 0
            self._lines += [line] if line else []
        return self._numbers[key]


def filmed(path: Path) -> dict[str, Any] | None:
    """The film of a recording; None where there is none, or none that can be read.

    "cut" says whether it is longer than a film may be.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            header = json.loads(file.readline(1 << 16))
            made = Film(min(int(header["height"]), 200), min(int(header["width"]), 500))
            return _played(made, file)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _played(made: Film, file: TextIO) -> dict[str, Any]:
    now_s = before_s = turn_s = 0.0
    for time_s, code, text in _events(file):
        if made.full:
            break
        now_s += min(max(0.0, time_s - before_s), LONGEST_PAUSE_S)
        before_s = time_s
        if code == "o":
            made.print(now_s, text)
        elif code == "m":
            turn_s = now_s = max(now_s, turn_s + TURN_S)
            made.mark(now_s)
    return made.close(max(now_s, turn_s + TURN_S)) | {"cut": made.full or file.read(1) != ""}


def _events(file: TextIO) -> Iterator[tuple[float, str, str]]:
    """Until the end, or a line that was cut off when its run was killed."""
    left = MAX_READ_BYTES
    while left > 0 and (line := file.readline(left)):
        left -= len(line)
        try:
            time_s, code, text = json.loads(line)
        except ValueError:
            return
        yield float(time_s), str(code), str(text)


def line_of(chars: NDArray[np.int32], attributes: NDArray[np.uint16]) -> Line:
    """One row of `Emulator.cells`."""
    # A wide character's second cell is 0: the text leaves it out, and the cell before is drawn twice as wide.
    wide = np.append(chars[1:] == 0, False) & (chars != 0)
    odd = ~wide & (chars > 0xFF) & ((chars < 0x2500) | (chars > 0x259F))
    styles = attributes.astype(np.int32) | wide * WIDE | odd * ODD
    used = np.flatnonzero((chars != ord(" ")) | (styles != DEFAULT_ATTRIBUTE))
    kept = np.flatnonzero(chars[: used[-1] + 1]) if len(used) else used
    chars, styles = chars[kept], styles[kept]
    starts = np.flatnonzero(np.diff(styles, prepend=-1)).tolist()
    line: list[str | int] = []
    for start, end in pairwise([*starts, len(chars)]):
        line += [chars[start:end].astype("<u4").tobytes().decode("utf-32-le", "replace"), int(styles[start])]
    return line[0] if line[1:] == [DEFAULT_ATTRIBUTE] and isinstance(line[0], str) else line or ""


def _ms(time_s: float) -> int:
    return round(1000 * time_s)
