"""tmux key names: a table, and the real tmux that the table was read from."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from termgym.keys import NAMES, encode

TABLE: dict[str, bytes] = {
    **{"Enter": b"\r", "Escape": b"\x1b", "Space": b" ", "Tab": b"\t", "BTab": b"\x1b[Z", "BSpace": b"\x7f"},
    **{"Home": b"\x1b[1~", "End": b"\x1b[4~", "IC": b"\x1b[2~", "Insert": b"\x1b[2~", "DC": b"\x1b[3~"},
    **{"Delete": b"\x1b[3~", "PPage": b"\x1b[5~", "PageUp": b"\x1b[5~", "PgUp": b"\x1b[5~"},
    **{"NPage": b"\x1b[6~", "PageDown": b"\x1b[6~", "PgDn": b"\x1b[6~"},
    **{"F1": b"\x1bOP", "F2": b"\x1bOQ", "F3": b"\x1bOR", "F4": b"\x1bOS", "F5": b"\x1b[15~"},
    **{"F6": b"\x1b[17~", "F7": b"\x1b[18~", "F8": b"\x1b[19~", "F9": b"\x1b[20~", "F10": b"\x1b[21~"},
    **{"F11": b"\x1b[23~", "F12": b"\x1b[24~", "F13": b"F13", "F0": b"F0"},
    **{"KP0": b"0", "KP5": b"5", "KP*": b"*", "KP/": b"/", "KP+": b"+", "KP-": b"-", "KP.": b"."},
    **{"KPEnter": b"\n", "M-KP5": b"\x1b5", "C-KP5": b"", "S-KP5": b"S-KP5"},
    # Control.
    **{"C-a": b"\x01", "C-c": b"\x03", "C-d": b"\x04", "C-z": b"\x1a", "C-i": b"\t", "C-m": b"\r"},
    **{"C-Space": b"\0", "C-@": b"\0", "C-[": b"\x1b", "C-\\": b"\x1c", "C-]": b"\x1d", "C-^": b"\x1e"},
    **{"C-_": b"\x1f", "C-?": b"\x7f", "C-/": b"\x1f", "C--": b"\x1f", "C-2": b"\0", "C-6": b"\x1e"},
    **{"C-1": b"", "C-3": b"", "C-9": b"", "C-!": b"", "C-`": b"", "C-Enter": b"", "C-Tab": b""},
    **{"C-BSpace": b"", "C-Escape": b"", "C-é": "é".encode(), "C-~": b"C-~", "C-$": b"C-$"},
    **{"^c": b"\x03", "^C": b"\x03", "^^": b"\x1e", "^[": b"\x1b", "^?": b"\x7f", "^": b"^"},
    # Meta, Shift and several at once.
    **{"^Up": b"\x1b[1;5A", "C-M-1": b"C-M-1", "C-M-2": b"C-M-2"},
    **{"M-x": b"\x1bx", "M-X": b"\x1bX", "M-Enter": b"\x1b\r", "M-BSpace": b"\x1b\x7f", "M-Space": b"\x1b "},
    **{"M--": b"\x1b-", "M-BTab": b"\x1b\x1b[Z", "M-é": b"\x1b\xc3\xa9", "M-Escape": b"\x1b\x1b"},
    **{"C-M-x": b"\x1b\x18", "M-C-x": b"\x1b\x18", "C-M-Space": b"\x1b\0"},
    **{"C-M-Enter": b"C-M-Enter", "^M-c": b"\x1b\x03", "M-^c": b"M-^c", "C-C-Up": b"\x1b[1;5A"},
    **{"S-Up": b"\x1b[1;2A", "M-Up": b"\x1b[1;3A", "M-S-Up": b"\x1b[1;4A", "C-Left": b"\x1b[1;5D"},
    **{"C-S-Up": b"\x1b[1;6A", "C-M-Up": b"\x1b[1;7A", "C-M-S-Up": b"\x1b[1;8A", "S-C-Up": b"\x1b[1;6A"},
    **{"C-Home": b"\x1b[1;5H", "S-End": b"\x1b[1;2F", "C-PPage": b"\x1b[5;5~", "C-DC": b"\x1b[3;5~"},
    **{"S-F1": b"\x1b[1;2P", "C-F5": b"\x1b[15;5~", "M-F12": b"\x1b[24;3~"},
    **{"S-a": b"S-a", "S-Tab": b"S-Tab", "S-Enter": b"S-Enter", "S-é": "é".encode(), "C-S-c": b"C-S-c"},
    # Any case.
    **{"enter": b"\r", "ESCAPE": b"\x1b", "c-C": b"\x03", "m-up": b"\x1b[1;3A", "f5": b"\x1b[15~"},
    # No key name.
    **{"C-": b"C-", "M-": b"M-", "-": b"-", "--": b"--", "C-cc": b"C-cc", "C-cC-c": b"C-cC-c"},
    **{"Up ": b"Up ", " Up": b" Up", "Esc": b"Esc", "Return": b"Return", "Any": b"Any"},
    **{"\u212aP5": "\u212aP5".encode(), "\u017f-Up": "\u017f-Up".encode(), "FocusIn": b"FocusIn"},
    **{"WheelUpPane": b"WheelUpPane", "C-c\n": b"C-c\n"},
    **{"ls -la\n": b"ls -la\n", "a;b": b"a;b", "a": b"a", "\n": b"\n", "\r": b"\r", "\t": b"\t"},
    **{"\x03": b"\x03", "\x1b[A": b"\x1b[A"},
    **{"M-\n": b"M-\n", "日本😀": "日本😀".encode(), "e\u0301": "e\u0301".encode()},
}  # fmt: skip
ARROWS = {"Up": b"\x1b[A", "Down": b"\x1b[B", "Right": b"\x1b[C", "Left": b"\x1b[D"}
APPLICATION_ARROWS = {name: code.replace(b"[", b"O") for name, code in ARROWS.items()}

READER = """
import os, sys, tty
tty.setraw(0)
os.write(1, sys.argv[2].encode() + b"ready")
with open(sys.argv[1], "wb", buffering=0) as out:
    while data := os.read(0, 65536):
        out.write(data)
"""
END = "<end>"


@pytest.mark.parametrize(("name", "sent"), (TABLE | ARROWS).items())
def test_encode(name: str, sent: bytes) -> None:
    assert encode(name) == sent


@pytest.mark.parametrize(("name", "sent"), (TABLE | APPLICATION_ARROWS).items())
def test_encode_in_application_cursor_mode(name: str, sent: bytes) -> None:
    assert encode(name, application_cursor=True) == sent


@pytest.mark.parametrize("text", ["", "\0", "ls;", ";", "M-;;", "x \\;", "0x41", "0x41 rest\n", "User0", "x" * 100_000])
def test_text_that_tmux_would_spoil_is_typed_verbatim(text: str) -> None:
    assert encode(text) == text.encode()


def test_a_semicolon_is_a_key_like_any_other() -> None:
    assert encode("M-;") == b"\x1b;"


def test_a_lone_surrogate_is_replaced() -> None:
    assert encode("a\ud800\n") == b"a?\n"


def test_a_long_row_of_modifiers_is_read_in_linear_time() -> None:
    text = "C-" * 2_500_000
    started = time.process_time()
    assert encode(text) == text.encode()
    assert time.process_time() - started < 2.0


def test_names_are_distinct_keys() -> None:
    codes = [encode(name) for name in NAMES]
    assert all(codes)
    assert len(set(codes)) == len(NAMES)
    assert not any(code == name.encode() for name, code in zip(NAMES, codes, strict=True))


@pytest.fixture
def tmux(tmp_path: Path) -> list[str]:
    """The start of a tmux command line with a server of its own."""
    return ["tmux", "-S", str(tmp_path / "tmux.sock"), "-f", os.devnull, "-u"]


def received(tmux: list[str], folder: Path, names: list[str], mode: str) -> list[bytes]:
    """What a raw program in tmux reads for each name, after it printed `mode`."""
    out = folder / "received"
    reader = [sys.executable, "-c", READER, str(out), mode]
    subprocess.run([*tmux, "new-session", "-d", "-s", "keys", *reader], check=True, timeout=10)
    try:
        wait_for(lambda: b"ready" in subprocess.check_output([*tmux, "capture-pane", "-p"], timeout=10))
        sends: list[str] = []
        for name in names:
            sends += ["send-keys", "--", name, ";", "send-keys", "-l", END, ";"]
        subprocess.run([*tmux, *sends], check=True, timeout=10)
        wait_for(lambda: out.read_bytes().count(END.encode()) == len(names))
    finally:
        subprocess.run([*tmux, "kill-server"], check=True, timeout=10)
    return out.read_bytes().split(END.encode())[:-1]


def wait_for(ready: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < deadline, "tmux did not get there in time"
        time.sleep(0.02)


@pytest.mark.tmux
@pytest.mark.parametrize(
    ("mode", "arrows"),
    [("\x1b[?1l", ARROWS), ("\x1b[?1h", APPLICATION_ARROWS)],
    ids=["normal", "application"],
)
def test_the_table_is_what_tmux_sends(tmux: list[str], tmp_path: Path, mode: str, arrows: dict[str, bytes]) -> None:
    table = TABLE | arrows | {name: encode(name, application_cursor="h" in mode) for name in NAMES}
    sent = received(tmux, tmp_path, list(table), mode)
    assert dict(zip(table, sent, strict=True)) == table
