"""From the bytes of a PTY to what a person would see: `Emulator.feed(bytes)`, then `screen()` or `cells()`.

The emulator is libghostty-vt (PyPI `pyghostty`): its text equals that of xterm.js and tmux on recorded
sessions, and it is over ten times as fast as a pure Python one. The first `Emulator` loads it, no import.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from termgym import display

BOLD, FAINT, ITALIC, UNDERLINE, BLINK, INVERSE, INVISIBLE, STRIKETHROUGH = (1 << bit for bit in range(8, 16))
DEFAULT_ATTRIBUTE = 7  # white on black, nothing else

# A cell of libghostty is 64 bits, opaque by its C header; but a screen takes 10 ms when it is asked cell by
# cell, and under 1 ms from the bits. Their layout in pyghostty 0.1.3 (the tests compare it with what was
# printed), from bit 0: tag (2 bits; 0, 1 text, 2 palette background, 3 RGB background), content (24), style
# (16), width (2; 2 second half).
_CONTENT, _STYLE, _WIDTH = (np.uint64(bit) for bit in (2, 26, 42))
# GhosttyStyle of the C header. Flags: bold italic faint blink inverse invisible strikethrough overline.
_STYLE_DTYPE = np.dtype(
    {
        "names": ["fg_tag", "fg", "bg_tag", "bg", "flags", "underline"],
        "formats": ["i4", ("u1", 3), "i4", ("u1", 3), ("u1", 8), "i4"],
        "offsets": [8, 16, 24, 32, 56, 64],
        "itemsize": 72,
    }
)
# How pyghostty calls what takes a union by value, which cffi alone cannot.
_GRID_REF = "GhosttyResult(*)(GhosttyTerminal, GhosttyPointS, GhosttyGridRef*)"
_NORMAL = "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5"
_BRIGHT = "7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff"
_CUBE = (0, 95, 135, 175, 215, 255)

# DA1, DA2, DSR and CPR: digits only, so that nothing an agent prints can choose what is typed. Titles,
# colours, the clipboard, modes and settings stay unanswered.
_ANSWER = re.compile(rb"\x1b\[(?:[?>][0-9;]{1,32}c|0n|[0-9]{1,5};[0-9]{1,5}R)")
# libghostty begins what it writes with the colours of its palette.
_PALETTE = re.compile(rb"\x1b\]4;[^\x1b]*\x1b\\")
_MAX_ANSWERS = 16  # per feed: a flood of queries must not fill the program's input


@dataclass(frozen=True, slots=True)
class Screen:
    """What the terminal shows.

    `text` is exactly `rows` lines joined by newlines, without the spaces that end a line; blank rows are
    kept, as `tmux capture-pane -p` does. It always encodes to UTF-8, and holds no other control character.
    """

    text: str
    rows: int
    cols: int
    cursor: tuple[int, int]
    """Row and column, from 0."""
    alternate: bool
    """Whether the alternate screen is in use, as in vim and less."""

    def _repr_html_(self) -> str:
        return display.screen(self.text)


class Emulator:
    """An xterm of `rows` x `cols` cells without a window: bytes in, screen out.

    `feed` takes any bytes: it raises nothing of its own, and its memory stays bounded. `reply` gets the
    answers to device queries (DA1, DA2, DSR, CPR; no other), to be typed back to the program. Lines that
    leave the screen are lost unless `scrollback` lines shall be kept. Not for two threads at once, nor after
    `close`.
    """

    def __init__(
        self,
        rows: int = 40,
        cols: int = 160,
        reply: Callable[[bytes], None] | None = None,
        *,
        scrollback: int = 0,
    ) -> None:
        """Make it, in 0.04 ms; the first one of a process loads the library, in 0.2 s."""
        self.rows, self.cols = rows, cols
        self._core = _ghostty()
        self._term = self._core.Terminal(cols, rows, scrollback)
        self._fields: dict[str, tuple[int, Any]] = {}
        self._limit_memory(scrollback)
        self._reply, self._answers = reply, list[bytes]()
        if reply:
            self._term.on_reply(self._answers.append)

    def feed(self, data: bytes) -> None:
        """Take what the program printed, in pieces of any size. An exception of `reply` passes through."""
        self._term.feed(bytes(data).translate(None, b"\x7f"))  # libghostty shows DEL, which terminals ignore
        if (self._get("COLS"), self._get("ROWS")) != (
            self.cols,
            self.rows,
        ):  # DECCOLM: a program may not change the window
            self.resize(self.rows, self.cols)
        answers, self._answers[:] = self._answers[:], []
        for answer in list(filter(_ANSWER.fullmatch, answers))[:_MAX_ANSWERS]:
            if self._reply:
                self._reply(answer)

    def screen(self) -> Screen:
        """The visible screen."""
        lines = self._text((0, 0), (self.cols - 1, self.rows - 1)).split("\n")
        lines += [""] * (self.rows - len(lines))
        return Screen("\n".join(lines), self.rows, self.cols, self.cursor, self.alternate)

    def cells(self) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
        """The visible screen as two arrays of shape (rows, cols): characters, int32, and attributes, uint16.

        A character is its first code point; a blank is 32; the second cell of a wide character is 0. In an
        attribute bits 0-3 are the foreground and 4-7 the background: 0-7 as in SGR 30-37, 8-15 as in SGR
        90-97; other colours become the nearest of these; the defaults are 7 and 0. The bits from 8 up are
        `BOLD, FAINT, ITALIC, UNDERLINE, BLINK, INVERSE, INVISIBLE, STRIKETHROUGH`, in this order.
        """
        raw = self._raw_cells()
        tag, content = raw & np.uint64(3), raw >> _CONTENT
        chars = np.where(tag < 2, content & np.uint64(0x1FFFFF), 0).astype(np.int32)
        chars[(chars == 0) & (raw >> _WIDTH & np.uint64(3) != 2)] = ord(" ")
        attributes = np.empty(raw.shape, np.uint16)
        for page in self._pages():
            attributes[page] = self._attributes(raw[page] >> _STYLE & np.uint64(0xFFFF), page.start)
        painted = tag >= 2  # blanks that only have a background keep it in the place of the character
        if painted.any():
            colors = content[painted].astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3]
            attributes[painted] = DEFAULT_ATTRIBUTE | _nearest(tag[painted] - np.uint64(1), colors, 0) << 4
        return chars, attributes

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column, from 0."""
        return self._get("CURSOR_Y"), self._get("CURSOR_X")

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is in use."""
        return bool(self._get("ACTIVE_SCREEN", "GhosttyTerminalScreen"))

    @property
    def application_cursor(self) -> bool:
        """Whether arrow keys are sent as ESC O A rather than ESC [ A (DECCKM)."""
        return self._term.mode(1)

    @property
    def wrapping(self) -> bool:
        """Whether the line is full, so that the next character goes to a new row."""
        return self._get("CURSOR_PENDING_WRAP", "bool")

    @property
    def ground(self) -> bool:
        """Whether the bytes so far end outside any escape sequence."""
        return self._get("VT_GROUND", "bool")

    def line(self) -> str:
        """The row of the cursor, without the spaces that end it."""
        row, _ = self.cursor
        return self._text((0, row), (self.cols - 1, row))

    def drain(self) -> list[str]:
        """Take out the lines that left the screen. The bytes so far must end outside any escape sequence."""
        if not (count := self._get("SCROLLBACK_ROWS", "size_t")):
            return []
        lines = self._text((0, 0), (self.cols - 1, count - 1), "HISTORY").split("\n")
        self._term.feed(b"\x1b[3J")
        return lines + [""] * (count - len(lines))

    def resize(self, rows: int, cols: int) -> None:
        """Change the window; lines are wrapped anew as xterm and tmux do."""
        self._term.resize(cols, rows)
        self.rows, self.cols = rows, cols

    def close(self) -> None:
        """Free the emulator now rather than when it is collected. A second call does nothing."""
        if self._term._t is not None:
            self._term.close()

    def _limit_memory(self, scrollback: int) -> None:
        # Zero lines alone would still keep a page of them, and a clipboard write may hold 64 MiB by default.
        ffi, lib = self._core.ffi, self._core.lib
        limits = {
            lib.GHOSTTY_TERMINAL_OPT_SCROLLBACK_MAX_BYTES: scrollback << 16,
            lib.GHOSTTY_TERMINAL_OPT_CLIPBOARD_WRITE_MAX_BYTES: 0,
            lib.GHOSTTY_TERMINAL_OPT_APC_MAX_BYTES: 0,
            lib.GHOSTTY_TERMINAL_OPT_KITTY_IMAGE_STORAGE_LIMIT: 0,
        }
        for option, value in limits.items():
            done = lib.ghostty_terminal_set(self._term._t[0], option, ffi.new("uint64_t*", value))
            self._core.check(done, "limit")

    def dump(self) -> bytes:
        """What makes another emulator of this size show the same, cursor and colours too, fed to it at any time."""
        vt = self._text((0, 0), (self.cols - 1, self.rows - 1), emit="VT").encode()
        row, col = self.cursor
        return b"\x1b[0m\x1b[H\x1b[2J" + _PALETTE.sub(b"", vt) + b"\x1b[0m\x1b[%d;%dH" % (row + 1, col + 1)

    def _get(self, name: str, kind: str = "uint16_t") -> Any:
        """A property of the terminal: `pyghostty.core.Terminal.get` in a fifth of the time."""
        if name not in self._fields:
            constant = getattr(self._core.lib, f"GHOSTTY_TERMINAL_DATA_{name}")
            self._fields[name] = constant, self._core.ffi.new(f"{kind}*")
        constant, value = self._fields[name]
        self._core.check(self._core.lib.ghostty_terminal_get(self._term._t[0], constant, value), name)
        return value[0]

    @cached_property
    def _selection(self) -> tuple[Any, Any, Any, Any]:
        """A selection, the options that format it, a point and a cell's reference; filled in at each use."""
        selection = self._core.init_sized("GhosttySelection")
        options = self._core.init_sized("GhosttyTerminalSelectionFormatOptions")
        options.trim, options.selection = True, selection
        return selection, options, self._core.ffi.new("GhosttyPointS*"), self._core.init_sized("GhosttyGridRef")

    def _text(self, start: tuple[int, int], end: tuple[int, int], tag: str = "ACTIVE", emit: str = "PLAIN") -> str:
        """The text between two cells (x, y), both included; blank lines that end it are not there."""
        ffi, lib = self._core.ffi, self._core.lib
        selection, options, point, ref = self._selection
        find = self._core.union_fn("ghostty_terminal_grid_ref", _GRID_REF)
        point.tag = getattr(lib, f"GHOSTTY_POINT_TAG_{tag}")
        for which, cell in (("start", start), ("end", end)):
            point.value.x, point.value.y = cell
            self._core.check(find(self._term._t[0], point[0], ref), "find a cell")
            setattr(selection, which, ref[0])
        options.emit = getattr(lib, f"GHOSTTY_FORMATTER_FORMAT_{emit}")
        text, size = ffi.new("uint8_t**"), ffi.new("size_t*")
        done = lib.ghostty_terminal_selection_format_alloc(self._term._t[0], ffi.NULL, options[0], text, size)
        self._core.check(done, "format")
        try:
            return ffi.buffer(text[0], size[0])[:].decode("utf-8", "replace")
        finally:
            lib.ghostty_free(ffi.NULL, text[0], size[0])

    def _raw_cells(self) -> NDArray[np.uint64]:
        """The screen as libghostty's opaque cell values; equal values on one page are equal cells."""
        ffi, lib = self._core.ffi, self._core.lib
        view, raw = ffi.new("GhosttyCellsView*"), bytearray()
        state, rows = ffi.new("GhosttyRenderState*"), ffi.new("GhosttyRenderStateRowIterator*")
        lib.ghostty_render_state_new(ffi.NULL, state)
        lib.ghostty_render_state_row_iterator_new(ffi.NULL, rows)
        try:
            lib.ghostty_render_state_update(state[0], self._term._t[0])
            lib.ghostty_render_state_get(state[0], lib.GHOSTTY_RENDER_STATE_DATA_ROW_ITERATOR, rows)
            while lib.ghostty_render_state_row_iterator_next(rows[0]):
                lib.ghostty_render_state_row_get(rows[0], lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS_RAW, view)
                raw += ffi.buffer(view.ptr, view.len * 8)
        finally:
            lib.ghostty_render_state_row_iterator_free(rows[0])
            lib.ghostty_render_state_free(state[0])
        return np.frombuffer(raw, np.uint64).reshape(self.rows, self.cols)

    def _pages(self) -> list[slice]:
        """The rows of each page of libghostty's memory: a style's number means something on its page only."""
        nodes = [self._term.ref(0, 0).node, self._term.ref(0, self.rows - 1).node]
        if nodes[0] == nodes[1]:
            return [slice(0, self.rows)]
        nodes = [self._term.ref(0, row).node for row in range(self.rows)]
        starts = [row for row in range(self.rows) if row == 0 or nodes[row] != nodes[row - 1]]
        return [slice(*ends) for ends in zip(starts, [*starts[1:], self.rows], strict=True)]

    def _attributes(self, styles: NDArray[np.uint64], top: int) -> NDArray[np.uint16]:
        """The attributes of these rows, the first of which is `top`, from the numbers of their styles."""
        _, first, inverse = np.unique(styles, return_index=True, return_inverse=True)
        style, ref = self._core.init_sized("GhosttyStyle"), self._term.ref
        known = bytearray()
        for index in first:
            row, col = divmod(int(index), self.cols)
            self._core.lib.ghostty_grid_ref_style(ref(col, top + row), style)
            known += self._core.ffi.buffer(style)
        return _decode(np.frombuffer(known, _STYLE_DTYPE))[inverse.reshape(styles.shape)]


@cache
def _ghostty() -> Any:
    return import_module("pyghostty.core")  # 0.2 s, so not on import


def _decode(styles: NDArray[np.void]) -> NDArray[np.uint16]:
    """The attribute of each `GhosttyStyle`."""
    bits = np.array([BOLD, ITALIC, FAINT, BLINK, INVERSE, INVISIBLE, STRIKETHROUGH, 0], np.uint16)
    flags = styles["flags"] @ bits | (styles["underline"] > 0) * np.uint16(UNDERLINE)
    fg, bg = _nearest(styles["fg_tag"], styles["fg"], 7), _nearest(styles["bg_tag"], styles["bg"], 0)
    return (flags | fg | bg << 4).astype(np.uint16)


def _nearest(tag: NDArray[Any], value: NDArray[np.uint8], default: int) -> NDArray[np.uint16]:
    """The nearest of the 16 colours. `tag` (n,): 0 none, 1 palette, 2 RGB; `value` (n, 3): index, or RGB."""
    palette = _palette()
    rgb = np.where((tag == 1)[:, None], palette[value[:, 0]], value)
    nearest = ((rgb[:, None, :] - palette[:16]) ** 2).sum(-1).argmin(-1)
    exact = (tag == 1) & (value[:, 0] < 16)
    return np.select([tag == 0, exact], [default, value[:, 0]], nearest).astype(np.uint16)


@cache
def _palette() -> NDArray[np.int32]:
    """The 256 colours of xterm, (256, 3): 8 normal and 8 bright ones, a 6x6x6 cube, 24 greys."""
    cube = [(r, g, b) for r in _CUBE for g in _CUBE for b in _CUBE]
    greys = [(level,) * 3 for level in range(8, 248, 10)]
    named = [tuple(bytes.fromhex(color)) for color in f"{_NORMAL} {_BRIGHT}".split()]
    return np.array([*named, *cube, *greys], np.int32)
