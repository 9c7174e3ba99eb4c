"""Key names: what a tmux key name sends to the program in a terminal."""

import re
from functools import lru_cache

_TEXT = {
    **{"enter": "\r", "escape": "\x1b", "tab": "\t", "btab": "\x1b[Z", "bspace": "\x7f", "kpenter": "\n"},
    **{f"kp{char}": char for char in "0123456789/*-+."},
}
_ARROWS = {"up": "A", "down": "B", "right": "C", "left": "D"}
_FINALS = _ARROWS | {"home": "H", "end": "F", "f1": "P", "f2": "Q", "f3": "R", "f4": "S"}
_NUMBERS = {
    **{"ic": 2, "insert": 2, "dc": 3, "delete": 3},
    **{"ppage": 5, "pageup": 5, "pgup": 5, "npage": 6, "pagedown": 6, "pgdn": 6},
    **{"f5": 15, "f6": 17, "f7": 18, "f8": 19, "f9": 20, "f10": 21, "f11": 23, "f12": 24},
}
_HOME_END = {"home": "\x1b[1~", "end": "\x1b[4~"}
_CONTROL = {
    **{chr(code): chr(code & 0x1F) for code in (*range(0x40, 0x60), *range(0x61, 0x7B))},
    **{" ": "\0", "?": "\x7f"},
}
_CONTROL_ALONE = {
    **dict.fromkeys("!#'()+,.01345789:;<=>`", ""),
    **{"2": "\0", "6": "\x1e", "/": "\x1f", "-": "\x1f"},
}
_NAME = re.compile(r"(\^?)((?:[CcMmSs]-)*)(.+)", re.DOTALL)

NAMES: tuple[str, ...] = (
    *("Enter", "Escape", "Tab", "BTab", "BSpace", "Space"),
    *("Up", "Down", "Left", "Right", "Home", "End", "PPage", "NPage", "IC", "DC"),
    *(f"F{number}" for number in range(1, 13)),
    *(f"C-{letter}" for letter in "abcdefghjklnopqrstuvwxyz"),
    *("C-Space", "C-\\", "C-]", "C-^", "C-_", "C-Up", "C-Down", "C-Left", "C-Right"),
    *("M-b", "M-d", "M-f", "M-.", "M-BSpace"),
)
"""One name for each key worth an action of its own; C-i, C-m and C-[ are Tab, Enter and Escape."""


def encode(keystrokes: str, *, application_cursor: bool = False) -> bytes:
    r"""The bytes that these keystrokes send to the program in the terminal.

    A string that is exactly one tmux key name ("C-c", "Enter", "C-S-Up") sends that key, as tmux 3.3a does:
    names in any case, `^x` for `C-x`, modifiers C, M and S, arrows as the program's cursor mode asks,
    keypad keys as plain characters. A key with no code of its own, such as C-Enter, sends nothing. All else
    is typed verbatim as UTF-8, "\n" as LF; a lone surrogate becomes "?".

    Three traps of `tmux send-keys`, and so of Harbor, are left out: "0x41 and more" is not one character, a
    final ";" is not lost, and "User0" is not swallowed.
    """
    key = (_short_key if len(keystrokes) <= _SHORT else _key)(keystrokes, application_cursor)
    return (keystrokes if key is None else key).encode("utf-8", "replace")


def _key(keystrokes: str, application_cursor: bool) -> str | None:
    """What a key name sends, or None for text that is no key name."""
    match = _NAME.fullmatch(keystrokes)
    if match is None:
        return None
    held = {*match[2].upper()} - {"-"} | ({"C"} if match[1] else set[str]())
    base = match[3]
    # Unicode folds U+212A to "k"; tmux compares bytes.
    name = base.lower() if base.isascii() else base
    if name in _FINALS or name in _NUMBERS:
        return _motion(name, held, application_cursor)
    if name in _TEXT:
        return _named(_TEXT[name], held)
    char = " " if name == "space" else base
    return _character(char, held) if len(char) == 1 else None


_SHORT = 64
_short_key = lru_cache(maxsize=1024)(_key)  # episodes type the same lines again and again


def _motion(name: str, held: set[str], application_cursor: bool) -> str:
    """A key that xterm numbers: modifiers go in as 1 + Shift 1 + Meta 2 + Control 4."""
    modifier = 1 + ("S" in held) + 2 * ("M" in held) + 4 * ("C" in held)
    if name in _NUMBERS:
        return f"\x1b[{_NUMBERS[name]}~" if modifier == 1 else f"\x1b[{_NUMBERS[name]};{modifier}~"
    if modifier > 1:
        return f"\x1b[1;{modifier}{_FINALS[name]}"
    if name in _HOME_END:
        return _HOME_END[name]
    single_shift = application_cursor or name not in _ARROWS
    return ("\x1bO" if single_shift else "\x1b[") + _FINALS[name]


def _named(text: str, held: set[str]) -> str | None:
    if held <= {"M"}:
        return "\x1b" + text if held else text
    return "" if held == {"C"} else None


def _character(char: str, held: set[str]) -> str | None:
    """One character with modifiers held; beyond ASCII, tmux drops all but Meta."""
    if char.isascii():
        if "S" in held or not char.isprintable():
            return None
        if "C" in held:
            return _control(char, "M" in held)
    return "\x1b" + char if "M" in held else char


def _control(char: str, meta: bool) -> str | None:
    if char in _CONTROL:
        return "\x1b" + _CONTROL[char] if meta else _CONTROL[char]
    return None if meta else _CONTROL_ALONE.get(char)
