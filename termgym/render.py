"""What a person sees of a terminal: its text, a picture, or the screen drawn on this process's terminal."""

import os
import sys
import unicodedata
from functools import cache
from itertools import groupby

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from termgym.screen import BOLD, FAINT, INVERSE, INVISIBLE, ITALIC, STRIKETHROUGH, UNDERLINE
from termgym.terminal import Terminal

_NORMAL = "000000 cd3131 0dbc79 c5c510 2472c8 bc3fbc 11a8cd cccccc"  # xterm's own blue is hard to read on black
_BRIGHT = "666666 f14c4c 23d18b f5f543 3b8eea d670d6 29b8db ffffff"
_PALETTE = np.array([tuple(bytes.fromhex(color)) for color in f"{_NORMAL} {_BRIGHT}".split()], np.uint8)  # (16, 3)
_SGR = {BOLD: 1, FAINT: 2, ITALIC: 3, UNDERLINE: 4, INVERSE: 7, INVISIBLE: 8, STRIKETHROUGH: 9}

_WIDTH, _HEIGHT = 6, 11  # of a cell, in pixels: Pillow's built-in font
_LOOKALIKES = str.maketrans("‘’“”‐‑–—−•…←→●✓✗❯", "''\"\"-----·.<>·vx>")  # noqa: RUF001 - as they are printed
_ARMS = {"LEFT": "L", "RIGHT": "R", "UP": "U", "DOWN": "D", "HORIZONTAL": "LR", "VERTICAL": "UD"}


def render(terminal: Terminal, mode: str) -> str | NDArray[np.uint8] | None:
    """Show a terminal, also one whose shell has ended.

    Args:
        terminal: The terminal; it is only looked at.
        mode: "ansi" for its text, `rows` lines; "rgb_array" for a picture, (11 * rows, 6 * cols, 3), uint8;
            "human" to draw it on standard output, in place if that is a terminal.

    Raises:
        DependencyNotInstalled: "rgb_array" needs Pillow.
    """
    if mode == "ansi":
        return terminal.emulator.screen().text
    if mode == "rgb_array":
        return picture(terminal)
    show(terminal)
    return None


# On standard output.


def show(terminal: Terminal) -> None:
    """Draw the screen with its colours on standard output, or print its text where that is no terminal."""
    if sys.stdout.isatty():
        lines = _colored(terminal)[: os.get_terminal_size(sys.stdout.fileno()).lines]
        # In one write, each line over the old one and no screen cleared, so nothing flickers; ?7 is wrapping.
        text = "\x1b[?7l\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[J\x1b[?7h"
    else:
        text = terminal.emulator.screen().text + "\n"
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _colored(terminal: Terminal) -> list[str]:
    """The lines of the screen, with escape sequences for the colours and the cursor."""
    chars, attributes = terminal.emulator.cells()
    attributes[terminal.emulator.cursor] ^= INVERSE
    return [
        "".join(
            _sgr(attribute) + "".join(chr(char) for char, _ in run if char and chr(char).isprintable())
            for attribute, run in groupby(zip(*row, strict=True), lambda cell: cell[1])
        )
        + "\x1b[0m"
        for row in zip(chars.tolist(), attributes.tolist(), strict=True)
    ]


def _sgr(attribute: int) -> str:
    """The escape sequence that sets an attribute; the default colours stay the user's own."""
    codes = [code for bit, code in _SGR.items() if attribute & bit]
    fg, bg = attribute & 15, attribute >> 4 & 15
    codes += [fg + (30 if fg < 8 else 82)] * (fg != 7) + [bg + (40 if bg < 8 else 92)] * (bg != 0)
    return f"\x1b[{';'.join(map(str, [0, *codes]))}m"


# As a picture.


def picture(terminal: Terminal) -> NDArray[np.uint8]:
    """The screen drawn with Pillow's built-in font, (11 * rows, 6 * cols, 3), uint8.

    Raises:
        DependencyNotInstalled: Pillow is missing.
    """
    chars, attributes = terminal.emulator.cells()
    attributes[terminal.emulator.cursor] ^= INVERSE
    known, place = np.unique(chars, return_inverse=True)
    ink = np.stack([_glyph(int(code)) for code in known])[place.reshape(chars.shape)]  # (rows, cols, 11, 6)
    _style(ink, attributes)
    fg, bg = (color[:, :, None, None] for color in _paint(attributes))
    pixels = np.where(ink[..., None], fg, bg)  # (rows, cols, 11, 6, 3)
    rows, cols = chars.shape
    return pixels.swapaxes(1, 2).reshape(rows * _HEIGHT, cols * _WIDTH, 3)


def _style(ink: NDArray[np.bool_], attributes: NDArray[np.uint16]) -> None:
    """Change the glyphs of a screen, in place, as their attributes say."""
    ink[attributes & UNDERLINE > 0, -1] = True
    ink[attributes & STRIKETHROUGH > 0, _HEIGHT // 2] = True
    ink[attributes & INVISIBLE > 0] = False


def _paint(attributes: NDArray[np.uint16]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The colours of ink and ground, each (rows, cols, 3). Bold is bright: thicker strokes would touch."""
    bright = np.where(attributes & BOLD > 0, 8, 0)
    fg, bg = _PALETTE[attributes & 15 | bright], _PALETTE[attributes >> 4 & 15]
    fg[attributes & FAINT > 0] //= 2
    inverse = (attributes & INVERSE > 0)[..., None]
    return np.where(inverse, bg, fg), np.where(inverse, fg, bg)


@cache
def _glyph(code: int) -> NDArray[np.bool_]:
    """Where a character has ink, (11, 6)."""
    char = chr(code or 32)  # 0 is the second half of a wide character
    if "\u2500" <= char <= "\u257f":
        return _lines(unicodedata.name(char))
    if "\u2580" <= char <= "\u2593":
        return _block(code)
    if char > "\xff":
        char = unicodedata.normalize("NFKD", char.translate(_LOOKALIKES))[0]
    return _drawn(char) if char <= "\xff" else _unknown()


def _drawn(char: str) -> NDArray[np.bool_]:
    """A Latin-1 character, by Pillow."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        message = 'pictures need Pillow: pip install "termgym[render]"'
        raise gym.error.DependencyNotInstalled(message) from error
    image = Image.new("1", (_WIDTH, _HEIGHT))
    ImageDraw.Draw(image).text((0, 0), char, fill=1, font=ImageFont.load_default_imagefont())
    return np.asarray(image, np.bool_)


def _lines(name: str) -> NDArray[np.bool_]:
    """A box-drawing character; its name says which arms it has: "BOX DRAWINGS LIGHT DOWN AND RIGHT"."""
    ink = np.zeros((_HEIGHT, _WIDTH), np.bool_)
    arms = "".join(_ARMS.get(word, "") for word in name.split())
    row, col = _HEIGHT // 2, _WIDTH // 2
    ink[row, : col + 1] = "L" in arms
    ink[row, col:] |= "R" in arms
    ink[: row + 1, col] |= "U" in arms
    ink[row:, col] |= "D" in arms
    return ink


def _block(code: int) -> NDArray[np.bool_]:
    """U+2580 to U+2593: the upper half, eighths from below, eighths from the left, the right half, shades."""
    ink = np.zeros((_HEIGHT, _WIDTH), np.bool_)
    eighths = code - 0x2580
    if eighths == 0:
        ink[: _HEIGHT // 2] = True
    elif eighths <= 8:
        ink[_HEIGHT - round(_HEIGHT * eighths / 8) :] = True
    elif eighths < 16:
        ink[:, : round(_WIDTH * (16 - eighths) / 8)] = True
    elif eighths == 16:
        ink[:, _WIDTH // 2 :] = True
    else:
        row, col = np.indices(ink.shape)
        ink[:] = (row + col) % 2 == 0 if eighths == 18 else ((row + 2 * col) % 4 == 0) ^ (eighths == 19)
    return ink


def _unknown() -> NDArray[np.bool_]:
    """A hollow box, for what the font has no glyph of."""
    ink = np.zeros((_HEIGHT, _WIDTH), np.bool_)
    ink[2:9, 1:5] = True
    ink[3:8, 2:4] = False
    return ink
