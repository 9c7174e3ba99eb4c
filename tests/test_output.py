"""The record of what a terminal printed since a mark."""

import fcntl
import os
import pty
import random
import select
import signal
import struct
import termios
import time

import pytest

from termgym import output
from termgym.output import KEEP, Output, limit, render_output
from termgym.screen import Emulator

SEQ_5000 = b"".join(b"%d\r\n" % i for i in range(1, 5001))


class Printer:
    """An emulator and its record, fed together; the mark stands behind a prompt."""

    def __init__(self, before: bytes = b"old output\r\n$ ") -> None:
        self.emulator = Emulator()
        self.emulator.feed(before)
        self.output = Output(self.emulator)

    def print(self, data: bytes) -> "Printer":
        for start in range(0, len(data), 1000):
            self.emulator.feed(data[start : start + 1000])
            self.output.add(data[start : start + 1000])
        return self


LINEAR = {
    "nothing": (b"", "$"),
    "a command": (b"ls\r\na  b\r\n$ ", "$ ls\na  b\n$"),
    "colour, title, paste": (
        b"\x1b[?2004l\x1b]0;t\x07\x1b[31mred\x1b[m\x1b(B\x1b[K\r\n\x1b[?2004h$ ",
        "$ red\n$",
    ),
    "backspace and DEL": (b"lx\b \bs\x7f\r\n", "$ ls"),
    "progress": (b"get\r\n 10%\r 50%\r100%\r\ndone", "$ get\n100%\ndone"),
    "erased to the end": (b"make\r\nlong text\r\x1b[Kok", "$ make\nok"),
    "wrapped": (b"x" * 30, "$ xxxxxxxxxxxxxxxxxx\nxxxxxxxxxxxx"),
    "blank lines": (b"\r\n\r\na\r\n\r\nb\r\n\r\n", "$\n\na\n\nb"),
    "insert, delete": (b"cd\x1b[1Db\x1b[1@a\x1b[P", "$ cba"),
    "up within the output": (
        b"pull\r\na: 1%\r\nb: 1%\r\x1b[1Aa: 9%\r\n\x1b[2Kb: 9%\r\n",
        "$ pull\na: 9%\nb: 9%",
    ),
    "shell erases below": (b"\x1b[Jls\r\n\x1b[0Ja", "$ ls\na"),
    "cut sequence": (b"a\x1b[3", "$ a"),
    "broken utf-8": (b"\xff\xc3", "$ \ufffd"),
    "after clear": (b"clear\r\n\x1b[H\x1b[2J\x1b[3J$ ls\r\na", "$ ls\na"),
    "after ^L": (b"\x1b[H\x1b[2J$ ls\r\na", "$ ls\na"),
    "after reset": (b"x\x1bc$ ls\r\na", "$ ls\na"),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear(name: str) -> None:
    data, text = LINEAR[name]
    rendered = render_output("$ ", data, 20)
    assert rendered == text


NOT_LINEAR = {
    "addressing": b"a\x1b[5;5Hb",
    "column and row": b"\x1b[3d",
    "erase display": b"a\x1b[2J",
    "scroll region": b"\x1b[2;9r",
    "up above the mark": b"a\x1b[A",
    "up by nothing": b"a\x1b[0A",
    "far up": b"a\r\nb\x1b[2A",
    "reverse index": b"a\r\n\x1bM",
    "restore cursor": b"a\x1b8",
    "alternate screen": b"\x1b[?1049hx",
    "alternate screen, then clear": b"\x1b[?1049hx\x1b[?1049l\x1b[H\x1b[2J$ ",
    "old alternate screen": b"\x1b[?47hx",
    "with other modes": b"\x1b[?1;1049h",
    "repeat": b"a\x1b[65535b",
    "insert lines": b"\x1b[L",
    "device control": b"\x1bPq\x1b\\",
    "control in a sequence": b"\x1b[\r3m",
    "control in a title": b"\x1b]0;a\nb\x07",
    "down": b"\x1b[B",
}


@pytest.mark.parametrize("name", NOT_LINEAR)
def test_not_linear(name: str) -> None:
    assert render_output("$ ", NOT_LINEAR[name], 20) is None


def test_it_is_what_the_screen_shows() -> None:
    """Random linear output: the text is the bottom of the real screen, whatever stood above the mark."""
    rng = random.Random(5)
    pieces = [b"word ", b"\r\n", b"\r", b"\b", b"\x1b[31m", b"\x1b[K", b"\x1b[2K", b"\x1b[A", b"\x1b[2A"]
    pieces += [
        b"\x1b[J",
        b"\t",
        b"\x1b[3C",
        b"\x1b[2D",
        b"\x1b[P",
        b"\x1b[2@",
        b"\x1b[5G",
        "中".encode(),
        b"x" * 50,
    ]
    checked = 0
    for _ in range(600):
        emulator = Emulator(12, 40)
        emulator.feed(b"old\r\n" * rng.randrange(30) + b"$ ")
        output, data = Output(emulator), b"".join(rng.choices(pieces, k=rng.randrange(60)))
        emulator.feed(data)
        output.add(data)
        if text := output.text():
            lines, screen = text.split("\n"), emulator.screen().text.rstrip("\n").split("\n")
            common = min(len(lines), len(screen))
            assert lines[-common:] == screen[-common:]
            checked += 1
    assert checked > 100


KEYS = [  # what is typed into bash, and the lines that a person then sees
    ("echo " + "x" * 300 + "\r", ["$ echo " + "x" * 153, "x" * 147, "x" * 160, "x" * 140, "$"]),
    (  # history, and editing at the start of two lines
        "\x1b[A\x01\x04\x04\x04\x04printf\x05 z\r",
        ["$ printf " + "x" * 151, "x" * 149 + " z", "x" * 160, "x" * 140 + "$"],
    ),
    ("\r", ["x" * 140 + "$", "$"]),
    ("echo a c\x1b[D\x7f\x7f-b\r", ["$ echo -bc", "-bc", "$"]),
    ("cd /pr\t\r", ["$ cd /proc/", "$"]),  # completion
    ("\x0cecho hi\r", ["$ echo hi", "hi", "$"]),  # ^L
    ("clear; seq 3\r", ["1", "2", "3", "$"]),
    ("seq 200\r", ["$ seq 200", *map(str, range(1, 201)), "$"]),
    ("cat\r", ["$ cat"]),
    ("1\r", ["1", "1"]),
    ("\x03", ["^C", "$"]),
    ("tput cup 3 3\r", None),
]


def test_bash_at_the_prompt() -> None:
    pid, master = pty.fork()
    if pid == 0:
        env = {"TERM": "xterm-256color", "PS1": "$ ", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        os.execve("/bin/bash", ["bash", "--norc", "--noprofile"], env)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    emulator = Emulator()
    output = Output(emulator)

    def show(typed: str) -> str | None:
        output.reset()
        os.write(master, typed.encode())
        while select.select([master], [], [], 0.1)[0]:
            data = os.read(master, 65536)
            emulator.feed(data)
            output.add(data)
        return output.text()

    try:
        show("")
        for typed, lines in KEYS:
            text = show(typed)
            assert text == (lines and "\n".join(lines)), typed
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)


def test_the_line_at_the_mark_and_what_is_typed_into_it() -> None:
    printer = Printer(b"$ ls foo\b\b\b")  # the cursor went back to the f
    assert printer.print(b"\x1b[1@x\r\nno such file").output.text() == "$ ls xfoo\nno such file"


def test_a_full_line_at_the_mark() -> None:
    printer = Printer(b"y" * 160)
    assert printer.print(b"z").output.text() == "y" * 160 + "\nz"


def test_seq_shows_both_ends_and_the_count_between() -> None:
    text = Printer().print(b"seq 1 5000\r\n" + SEQ_5000 + b"$ ").output.text()
    assert text is not None
    lines = text.split("\n")
    assert lines[:3] == ["$ seq 1 5000", "1", "2"] and lines[-2:] == ["5000", "$"]
    whole = len("$ seq 1 5000\n$") + sum(len(f"{i}\n") for i in range(1, 5001))
    assert f"[... {whole - 10_000} bytes left out ...]" in lines


def test_nothing_is_lost_where_the_limit_allows_it() -> None:
    text = Printer().print(b"seq 1 5000\r\n" + SEQ_5000 + b"$ ").output.text(10**6)
    assert text == "\n".join(["$ seq 1 5000", *map(str, range(1, 5001)), "$"])


def test_output_beyond_what_is_kept() -> None:
    printer = Printer().print(b"yes\r\n" + SEQ_5000 * 40 + b"$ ")
    text = printer.output.text()
    assert text is not None and text.startswith("$ yes\n1\n2\n") and text.endswith("\n4999\n5000\n$")
    assert len(text) < 10_100 and " bytes left out ...]\n" in text
    kept = len(printer.output._head) + len(printer.output._tail)
    assert printer.output.count == 7 + len(SEQ_5000) * 40 and kept <= 3 * KEEP


def test_beyond_what_is_kept_without_newlines() -> None:
    text = Printer().print("é".encode() * 200_000).output.text()
    assert text is not None and text.startswith("$ éé") and text.endswith("éé") and "\ufffd" not in text


def test_clear_after_a_flood_and_a_flood_after_clear() -> None:
    clear = b"clear\r\n\x1b[H\x1b[2J\x1b[3J"
    assert Printer().print(SEQ_5000 * 10 + clear + b"$ ls\r\na").output.text() == "$ ls\na"
    text = Printer().print(clear + SEQ_5000 + b"$ ").output.text()
    assert text is not None and text.startswith("1\n2\n3\n") and text.endswith("\n4999\n5000\n$")


def test_reset_marks_here() -> None:
    printer = Printer().print(b"ls\r\na\r\n$ ")
    printer.output.reset()
    assert printer.output.count == 0 and printer.print(b"pwd\r\n/\r\n$ ").output.text() == "$ pwd\n/\n$"


def test_the_alternate_screen_is_never_linear() -> None:
    printer = Printer()
    printer.print(b"vim\r\n\x1b[?1049h")
    assert printer.output.text() is None
    printer.output.reset()
    assert printer.print(b"typed").output.text() is None
    printer.print(b"\x1b[?1049l\r\n$ ")
    assert printer.output.text() is None
    printer.output.reset()
    assert printer.print(b"ls\r\n").output.text() == "$ ls"


def test_a_mark_inside_a_sequence_is_not_linear() -> None:
    assert Printer(b"$ \x1b[3").print(b"1mred").output.text() is None


def test_fuzz() -> None:
    rng, deadline = random.Random(3), time.monotonic() + 2
    pieces = [
        b"\x1b",
        b"[",
        b"]",
        b"0;",
        b"A",
        b"J",
        b"H",
        b"m",
        b"\x07",
        b"\n",
        b"\r",
        b"\b",
        b"\xff",
        b"\x1b[A",
    ]
    for _ in range(1000):
        text = render_output("$ ", b"".join(rng.choices(pieces, k=40)) + rng.randbytes(20), 30)
        assert text is None or text.encode()
        if time.monotonic() > deadline:
            break


def test_many_blank_lines_stay_cheap() -> None:
    started = time.monotonic()
    assert render_output("", b"\n" * KEEP + b"x\v\f" * KEEP, 160) is not None
    assert time.monotonic() - started < 2


# --- limit


def test_a_text_that_fits_is_left_alone() -> None:
    assert limit("é" * 5000) == "é" * 5000


@pytest.mark.parametrize("max_bytes", [100, 101, 102, 103])
def test_limit_cuts_at_characters(max_bytes: int) -> None:
    text = "aé中😀" * 100
    head, marker, tail = limit(text, max_bytes).split("\n")
    assert text.startswith(head) and text.endswith(tail)
    kept = len((head + tail).encode())
    assert max_bytes - 8 <= kept <= max_bytes
    assert marker == f"[... {len(text.encode()) - kept} bytes left out ...]"


def test_limit_counts_what_was_dropped_before() -> None:
    assert limit("abcdef", 100, dropped=7) == "abc\n[... 7 bytes left out ...]\ndef"
    assert limit("abcdef", 2, dropped=7) == "a\n[... 11 bytes left out ...]\nf"


def test_the_plain_path_gives_what_the_emulator_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [b"ls -l", b"\r\n", b"\x1b[?2004h", b"\r\n\x1b[?2004l\r", b"   ", b"x" * 30, b"# ", b"~{}"]
    rng = random.Random(7)
    taken = 0
    for _ in range(400):
        data = b"".join(rng.choice(pieces) for _ in range(rng.randrange(12)))
        before, cols = "root@box:~#"[: rng.randrange(12)].rstrip(), 80
        column = rng.choice([None, len(before), len(before) + 1])
        fast = output._plain(before, data, cols, column)
        with monkeypatch.context() as patch:
            patch.setattr(output, "_plain", lambda *_: None)
            slow = render_output(before, data, cols, column=column)
        taken += fast is not None
        assert fast in (None, slow), (before, data, column)
    assert taken > 200
