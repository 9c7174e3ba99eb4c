"""What a terminal printed since a mark, as the lines that a person would have seen scroll by.

The visible screen alone loses what scrolled off it. Terminus 2 looks for its last screen in tmux's history
instead, and so loses output after `clear` and beyond 2,000 lines. Here the bytes themselves are kept and
rendered.
"""

import re

from termgym.screen import Emulator

KEEP = 64 * 1024
"""Raw bytes kept of the beginning of the output, and again of its end."""

# What linear output may hold: moves within a line or up, erasing a line or all below, what shows nothing.
_LINEAR = re.compile(
    rb"\x1b(?:"
    rb"\[[0-9;:]*m|\[[012]?K|\[0?J|\[[0-9]{0,4}[ACDG@PX]"  # colours; erasing; moves up and within a line
    rb"|\[\?(?:1|12|25|1004|1034|2004|2026)[hl]|[=>]|[()][0AB]"  # input modes, cursor, paste marks; charsets
    rb"|\[[56]n|\[>?0?c|\[[0-6]? q|\[2[23];[012](?:;[012])?t"  # queries, cursor shape, title stack
    rb"|\][^\x00-\x1f]*(?:\x07|\x1b\\|\Z)"  # OSC: titles, links, shell marks
    rb"|\[[0-?]*[ -/]*\Z|[()]?\Z)"  # a sequence not yet complete
)
# All that `clear`, `reset` and ^L send.
_CLEAR = re.compile(rb"(?:\x1b\[(?:1;1)?H(?:\x1b\[0?J|\x1b\[2J)|\x1bc)(?:\x1b\[3J)?")
# Printable ASCII and line ends, with bash's switching of bracketed paste around a command.
_PLAIN = re.compile(rb"(?:[ -~]++|\r\n(?:\x1b\[\?2004l\r)?|\x1b\[\?2004h)*+")
_ALTERNATE = re.compile(rb"\x1b\[\?[0-9;]*(?:47|1047|1049)[hl]")
_UP = re.compile(rb"\x1b\[([0-9]*)A")
_MAX_UPS = 4096  # each costs some microseconds
_CONTINUATION = bytes(range(0x80, 0xC0))  # of a UTF-8 character whose start is lost
_SCROLLBACK = 100_000  # more lines than a slice can make
# A scratch emulator needs 8 bytes a cell, so it gets few lines at once. A line ends outside any sequence.
_SLICE = re.compile(rb"(?:[^\n-\f]*[\n-\f]){1,512}|[^\n-\f]+")


class Output:
    """The bytes that `emulator` was fed since a mark: the first and last `KEEP` of them, however many came.

    Call `add` with just what `feed` got, in the same order, and `reset` where the next record shall begin.
    """

    def __init__(self, emulator: Emulator) -> None:
        """Mark here, as `reset` does."""
        self._emulator = emulator
        self.reset()

    def reset(self) -> None:
        """Forget what came, and mark here: the cursor's line, normally the prompt, begins the next text."""
        self._head, self._tail, self._count = bytearray(), bytearray(), 0
        self._linear = self._emulator.ground and not self._emulator.alternate
        self._line = self._emulator.line()
        self._column = None if self._emulator.wrapping else self._emulator.cursor[1]

    def add(self, data: bytes) -> None:
        """Record bytes that the terminal printed."""
        self._count += len(data)
        space = KEEP - len(self._head)
        self._head += data[:space]
        self._tail += data[space:][-KEEP:]
        if len(self._tail) > 2 * KEEP:
            del self._tail[:-KEEP]

    @property
    def count(self) -> int:
        """How many bytes came since the mark."""
        return self._count

    def text(self, max_bytes: int = 10_000) -> str | None:
        """The output as `render_output` gives it, limited to `max_bytes` as `limit` does it.

        None where the output is not linear: show the visible screen then.
        """
        if not self._linear or self._emulator.alternate:
            return None
        size, head, tail = self._emulator, bytes(self._head), bytes(self._tail)
        if self._count == len(head) + len(tail):
            whole = self._render(head + tail)
            return None if whole is None else limit(whole, max_bytes)
        tail = tail[-KEEP:]
        tail = tail[tail.find(b"\n") + 1 :].lstrip(_CONTINUATION)
        first, last = self._render(head), render_output("", tail, size.cols, rows=size.rows)
        if first is None or last is None:
            return None
        if _CLEAR.search(tail):
            return limit(last, max_bytes)
        return _join(first.encode(), last.encode(), max_bytes, self._count - len(head) - len(tail))

    def _render(self, data: bytes) -> str | None:
        size = self._emulator
        return render_output(self._line, data, size.cols, rows=size.rows, column=self._column)


def render_output(before: str, data: bytes, cols: int, *, rows: int = 40, column: int | None = None) -> str | None:
    """`data` as the lines it makes on a terminal, after `before` on the first of them.

    Colours are gone, carriage returns and backspaces applied, lines wrapped at `cols`. Blank lines that end
    the text are left out, and so is what stood before the last `clear`. `column` is where the cursor stands
    in `before`, from 0; by default behind it.

    Returns:
        None when the output is not linear, that is when it depends on where on the screen it was printed:
        alternate screen, cursor addressing, scroll regions, moves above the first line, anything unknown.
    """
    if (plain := _plain(before, data, cols, column)) is not None:
        return plain
    if _ALTERNATE.search(data):
        return None
    *_, end = [0, *(clear.end() for clear in _CLEAR.finditer(data))]
    if end:
        before, data, column = "", data[end:], None
    if b"\x1b" in _LINEAR.sub(b"", data):
        return None
    scratch = Emulator(rows, cols, scrollback=_SCROLLBACK)
    scratch.feed(before.encode(errors="replace"))
    if column is not None:
        scratch.feed(b"\x1b[%dG" % (column + 1))
    return _replay(scratch, data)


def _plain(before: str, data: bytes, cols: int, column: int | None) -> str | None:
    """The same without an emulator, in a tenth of the time, for output as plain as that of most commands; else None."""
    column = len(before) if column is None else column
    if column < len(before) or not before.isascii() or not _PLAIN.fullmatch(data):
        return None
    printed = data.replace(b"\x1b[?2004l\r", b"").replace(b"\x1b[?2004h", b"").decode()
    lines = (before.ljust(column) + printed).split("\r\n")
    if max(map(len, lines)) >= cols:
        return None
    return "\n".join([line.rstrip(" ") for line in lines]).rstrip("\n")


def limit(text: str, max_bytes: int = 10_000, dropped: int = 0) -> str:
    """The first and last half of `max_bytes` of the text's UTF-8, and between them how much is left out.

    `dropped` bytes count as left out of the middle beforehand. A text that fits is returned as it is.
    """
    data = text.encode()
    if len(data) <= max_bytes and not dropped:
        return text
    middle = len(data) // 2
    return _join(data[:middle], data[middle:], max_bytes, dropped)


def _join(first: bytes, last: bytes, max_bytes: int, dropped: int) -> str:
    half = max_bytes // 2
    head = first[:half].decode(errors="ignore")
    tail = last[max(0, len(last) - half) :].decode(errors="ignore")
    left_out = len(first) + len(last) - len((head + tail).encode()) + dropped
    return f"{head}\n[... {left_out} bytes left out ...]\n{tail}"


def _replay(scratch: Emulator, data: bytes) -> str | None:
    """The lines that linear `data` makes; None where it goes above the first: the real screen may differ."""
    pieces = re.split(rb"(?=\x1b\[[0-9]*A)", data)
    if len(pieces) > _MAX_UPS:
        return None
    lines: list[str] = []
    for piece in pieces:
        up = _UP.match(piece)
        if up and max(1, int(up[1] or 1)) > scratch.cursor[0]:
            return None
        for part in _SLICE.findall(piece):
            scratch.feed(part)
            lines += scratch.drain()
    return "\n".join([*lines, scratch.screen().text]).rstrip("\n")
