"""The emulator alone, under attack, and side by side with tmux."""

import fcntl
import os
import pty
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from termgym import screen as s
from termgym.screen import Emulator

ROWS, COLS = 40, 160


def shown(data: bytes, rows: int = 4, cols: int = 20) -> str:
    """The screen after these bytes, without the blank rows below."""
    emulator = Emulator(rows, cols)
    emulator.feed(data)
    return emulator.screen().text.rstrip("\n")


def test_import_does_not_load_the_emulator() -> None:
    code, root = "import sys, termgym.output; sys.exit('pyghostty' in sys.modules)", Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, timeout=30, check=True)


def test_an_empty_screen_has_all_its_rows() -> None:
    assert Emulator(3, 10).screen() == s.Screen("\n\n", 3, 10, (0, 0), False)


def test_blank_rows_are_kept_and_line_ends_trimmed() -> None:
    emulator = Emulator(5, 10)
    emulator.feed(b"\r\n a  \r\n\r\nb ")
    assert emulator.screen() == s.Screen("\n a\n\nb\n", 5, 10, (3, 2), False)


def test_modes() -> None:
    emulator = Emulator()
    emulator.feed(b"shell\x1b[?1049h\x1b[?1h\x1b[Hvim")
    assert emulator.alternate and emulator.application_cursor and emulator.screen().text.startswith("vim")
    emulator.feed(b"\x1b[?1l\x1b[?1049l")
    assert not emulator.alternate and not emulator.application_cursor and emulator.line() == "shell"


def test_ground_tells_an_open_sequence() -> None:
    emulator = Emulator()
    assert emulator.ground
    emulator.feed(b"\x1b[3")
    assert not emulator.ground


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\x7f\x7fb", "ab"),
        (b"a\0b\0", "ab"),
        (b"\xff|\xc3(|\xe2\x82|\xf0\x9f\x98", "\ufffd|\ufffd(|\ufffd|"),
        (b"\xed\xa0\x80|", "\ufffd\ufffd\ufffd|"),
        (b"\x9b31m", "\ufffd31m"),
        (b"\xc2\x9b31m", "31m"),
        ("e\u0301 中|".encode(), "e\u0301 中|"),
        (b"\x1b(0lqqk\x1b(B", "┌──┐"),
    ],
)
def test_odd_bytes(data: bytes, text: str) -> None:
    assert shown(data) == text


def test_a_program_cannot_resize_the_window() -> None:
    emulator = Emulator()
    emulator.feed(b"\x1b[?40h\x1b[?3h\x1b[8;100;200t" + b"x" * 150)
    screen = emulator.screen()
    assert len(screen.text.split("\n")) == ROWS and "x" * 150 in screen.text
    assert emulator.cells()[0].shape == (ROWS, COLS)


def test_resize_wraps_anew_and_close_is_idempotent() -> None:
    emulator = Emulator(4, 10)
    emulator.feed(b"abcdefghijkl")
    emulator.resize(5, 6)
    assert emulator.screen().text == "abcdef\nghijkl\n\n\n" and emulator.cells()[0].shape == (5, 6)
    emulator.close()
    emulator.close()


def test_scrollback_is_off_unless_asked_for() -> None:
    emulator, keeper = Emulator(3, 10), Emulator(3, 10, scrollback=100)
    for each in (emulator, keeper):
        each.feed(b"1\r\n\r\n2\r\n3\r\n4")
    assert emulator.drain() == []
    assert keeper.drain() == ["1", ""] and keeper.drain() == [] and keeper.screen().text == "2\n3\n4"


# --- cells


def test_cells_characters() -> None:
    emulator = Emulator(2, 8)
    emulator.feed("a中e\u0301 😀".encode())
    chars, attributes = emulator.cells()
    assert chars.dtype == np.int32 and attributes.dtype == np.uint16
    assert chars.tolist() == [[97, 0x4E2D, 0, 101, 32, 0x1F600, 0, 32], [32] * 8]
    assert (attributes == s.DEFAULT_ATTRIBUTE).all()


@pytest.mark.parametrize(
    ("sgr", "attribute"),
    [
        ("31", 1),
        ("91", 9),
        ("44", 7 | 4 << 4),
        ("107", 7 | 15 << 4),
        ("38;5;12", 12),
        ("38;5;196", 9),
        ("38;2;0;200;10", 2),
        ("48;2;250;250;0", 7 | 11 << 4),
        ("38;5;244", 8),
        ("1", 7 | s.BOLD),
        ("2", 7 | s.FAINT),
        ("3", 7 | s.ITALIC),
        ("4", 7 | s.UNDERLINE),
        ("4:3", 7 | s.UNDERLINE),
        ("5", 7 | s.BLINK),
        ("7", 7 | s.INVERSE),
        ("8", 7 | s.INVISIBLE),
        ("9", 7 | s.STRIKETHROUGH),
        ("53", 7),
        ("1;4;35;46", 5 | 6 << 4 | s.BOLD | s.UNDERLINE),
    ],
)
def test_cells_attributes(sgr: str, attribute: int) -> None:
    emulator = Emulator(1, 4)
    emulator.feed(f"\x1b[{sgr}mx\x1b[0my".encode())
    assert emulator.cells()[1].tolist() == [[attribute, 7, 7, 7]]


def test_cells_background_of_erased_cells() -> None:
    emulator = Emulator(2, 3)
    emulator.feed(b"\x1b[41m\x1b[K\r\n\x1b[48;2;0;0;230m\x1b[K")
    chars, attributes = emulator.cells()
    assert (chars == 32).all() and attributes.tolist() == [[7 | 1 << 4] * 3, [7 | 4 << 4] * 3]


def test_cells_agree_with_text_across_pages() -> None:
    """Many lines kept make libghostty spread the screen over pages, each with style numbers of its own."""
    emulator = Emulator(40, 20, scrollback=10_000)
    several = 0
    for line in range(3000):
        emulator.feed(b"\x1b[3%dm\x1b[4%dm%d\r\n" % (line % 7, (line + 1) % 7, line))
        if line > 2000 and len(emulator._pages()) > 1:
            several += 1
            chars, attributes = emulator.cells()
            text = emulator.screen().text.split("\n")
            assert ["".join(map(chr, row)).rstrip() for row in chars] == text
            numbers = np.array([int(row) for row in text[:-1]])
            assert (attributes[:-1, 0] == numbers % 7 | (numbers + 1) % 7 << 4).all()
    assert several


# --- answers to queries

ANSWERED = {
    b"\x1b[c": rb"\x1b[?62;22c",
    b"\x1bZ": rb"\x1b[?62;22c",
    b"\x1b[>c": rb"\x1b[>1;0;0c",
    b"\x1b[5n": rb"\x1b[0n",
    b"\x1b[3;7H\x1b[6n": rb"\x1b[3;7R",
}
REFUSED = [
    b"\x05",  # ENQ answerback
    b"\x1b]0;rm -rf /\r\x07\x1b[21t",  # title
    b"\x1b[20t",
    b"\x1b[14t\x1b[18t",  # sizes
    b"\x1b]10;?\x07\x1b]11;?\x1b\\\x1b]4;1;?\x07",  # colours
    b"\x1b]52;c;?\x07",  # clipboard
    b"\x1b]52;c;cm0gLXJm\x07\x1b]52;c;?\x07",
    b"\x1bP+q544e\x1b\\",  # XTGETTCAP
    b"\x1bP$qm\x1b\\\x1bP$qr\x1b\\",  # DECRQSS
    b"\x1b[=c",  # DA3
    b"\x1b[>q",  # XTVERSION
    b"\x1b[?2004$p\x1b[4$p",  # DECRQM
    b"\x1b[?u",  # kitty keyboard
    b"\x1b[?996n",  # colour scheme
    b"\x1b_Gi=1,a=q;AAAA\x1b\\",  # kitty graphics
    b"\x1b[x\x1b[?15n\x1b[?25n\x1b[1;1;1;1;1;1*y",
    b"\x1b[?1004h\x1b[?1000h\x1b[?2048h\x1b[?2031h",  # focus, mouse, size, scheme reports
]


@pytest.mark.parametrize(("query", "answer"), ANSWERED.items())
def test_answered(query: bytes, answer: bytes) -> None:
    answers: list[bytes] = []
    Emulator(reply=answers.append).feed(query)
    assert answers == [answer.replace(rb"\x1b", b"\x1b")]


@pytest.mark.parametrize("query", REFUSED)
def test_refused(query: bytes) -> None:
    answers: list[bytes] = []
    Emulator(reply=answers.append).feed(query)
    assert answers == []


def test_a_flood_of_queries_is_not_a_flood_of_input() -> None:
    answers: list[bytes] = []
    Emulator(reply=answers.append).feed(b"\x1b[6n" * 10_000)
    assert 1 <= len(answers) <= 16


def test_an_error_of_reply_passes_and_leaves_the_emulator_whole() -> None:
    def broken(_: bytes) -> None:
        raise OSError("the program is gone")

    emulator = Emulator(reply=broken)
    with pytest.raises(OSError, match="gone"):
        emulator.feed(b"\x1b[6nabc")
    emulator.feed(b"def")
    assert emulator.line() == "abcdef"


# --- attack

_PIECES = (
    b"\x1b", b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b_", b"\x1b^", b"\x1bX", b"\x1b[?", b"\x1b[>", b"\x1b(0",
    b"\x1b#8", b"\x07", b"\x1b\\", b"\x18", b"\x9b", b"\x9c", b";", b":", b"0", b"1", b"65535",
    b"99999999999", b"-1", b"m", b"H", b"J", b"K", b"r", b"s", b"u", b"L", b"M", b"S", b"T", b"@", b"P",
    b"X", b"A", b"h", b"l", b"n", b"c", b"t", b"$p", b"1049h", b"3h", b"40h", b"69h", b"6h",
    b"8;;http://x", b"52;c;AAAA", b"Ga=T,f=24,s=9,v=9;AAAA", b"\r\n", b"\t", b"abc", "中".encode(),
    "😀".encode(), "\u0301".encode(), "\u200d".encode(), b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\0",
    b"\x7f", b"\x0e", b"\x0f", b"\x1bc", b"\x1b7", b"\x1b8", b"\x1bM", b"\x1bD", b"\x1bE", b"\x1bH",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["bytes", "sequences"])
def test_fuzz(kind: str) -> None:
    """Whatever comes: no exception, the promised shape, valid text, no answer but the allowed ones."""
    rng = random.Random(17)
    answers: list[bytes] = []
    emulator, deadline, rounds = Emulator(12, 33, answers.append), time.monotonic() + 1, 0
    while time.monotonic() < deadline and rounds < 3000:
        rounds += 1
        emulator.feed(rng.randbytes(200) if kind == "bytes" else b"".join(rng.choices(_PIECES, k=60)))
        screen, (chars, attributes) = emulator.screen(), emulator.cells()
        screen.text.encode()
        assert screen.text.count("\n") == 11 and not any(c < " " or c == "\x7f" for c in screen.text.replace("\n", ""))
        assert chars.shape == attributes.shape == (12, 33) and chars.min() >= 0 and chars.max() <= 0x10FFFF
        assert 0 <= screen.cursor[0] < 12 and 0 <= screen.cursor[1] < 33
    assert rounds > 50 and all(s._ANSWER.fullmatch(answer) for answer in answers)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flood",
    [
        b"x" * 60 + b"\r\n",
        b"\x1b]52;c;" + b"QUFB" * 1000,
        b"\x1b]0;" + b"A" * 1000,
        b"\x1bP+q" + b"A" * 1000,
        b"\x1b_Ga=T,f=24,s=10,v=10,m=1;AAAA\x1b\\",
        ("e" + "\u0301" * 300).encode(),
        b"\x1b]8;;http://a/b\x1b\\x\r\n",
    ],
)
def test_memory_is_bounded(flood: bytes) -> None:
    chunk, emulator = flood * (65536 // len(flood)), Emulator()
    for _ in range(16):
        emulator.feed(chunk)
    before = _resident_kib()
    for _ in range(64):
        emulator.feed(chunk)
    assert _resident_kib() - before < 16 * 1024


def _resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


# --- tmux


class Tmux:
    """A private tmux server with one pane of 40x160, which shows files of bytes."""

    def __init__(self, folder: Path) -> None:
        self._socket, self._file, self._shown = folder / "tmux", folder / "bytes", 0
        self.run("-f", "/dev/null", "new-session", "-d", "-x", str(COLS), "-y", str(ROWS), "sleep 100")
        self.run("set", "-g", "status", "off")
        self.run("set", "-g", "remain-on-exit", "on")

    def run(self, *args: str) -> str:
        command = ["tmux", "-S", str(self._socket), "-u", *args]
        return subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=10).stdout.decode()

    def show(self, data: bytes) -> str:
        """The pane's text after these bytes; a title change behind them tells when tmux has read them."""
        self._shown += 1
        title = f"shown-{self._shown}"
        self._file.write_bytes(data + f"\x1b]2;{title}\x1b\\".encode())
        self.run("respawn-pane", "-k", f"stty raw -echo; cat {self._file}; exec sleep 100")
        deadline = time.monotonic() + 5
        while self.run("display-message", "-p", "#{pane_title}").strip() != title:
            assert time.monotonic() < deadline, "tmux has not read the bytes"
            time.sleep(0.005)
        return self.run("capture-pane", "-p").removesuffix("\n")


@pytest.fixture(scope="module")
def tmux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tmux]:
    server = Tmux(tmp_path_factory.mktemp("t"))
    yield server
    server.run("kill-server")


def full_screen(data: bytes) -> str:
    emulator = Emulator(ROWS, COLS)
    emulator.feed(data)
    return emulator.screen().text


SAME = {
    "plain": b"hello\r\nworld",
    "wrapped": b"x" * 500 + b"\r\nend",
    "wrap at the last column": b"a" * COLS + b"\rb\r\n" + b"c" * COLS + b"\rd\r\n" + b"e" * COLS + b"\n\rf",
    "no wrap": b"\x1b[?7l" + b"x" * 200 + b"y",
    "scrolled": b"".join(b"line %d\r\n" % i for i in range(100)),
    "scroll region": b"top\x1b[5;10r\x1b[5;1H" + b"".join(b"%d\r\n" % i for i in range(20)) + b"\x1b[r\x1b[39Hend",
    "reverse index": b"".join(b"%d\r\n" % i for i in range(38)) + b"\x1b[H\x1bM\x1bMnew\x1bDdown\x1bEnext",
    "insert and delete": b"abcdef\x1b[3G\x1b[2@XY\r\n123456\x1b[2G\x1b[3P\r\n\x1b[2A\x1b[L\x1b[Mz\x1b[4X",
    "insert mode": b"abc\r\x1b[4hXY\x1b[4l!",
    "origin mode": b"\x1b[5;10r\x1b[?6h\x1b[2;3Hin\x1b[?6l\x1b[2;3Hout",
    "scroll up and down": b"".join(b"%d\r\n" % i for i in range(30)) + b"\x1b[3S\x1b[HA\x1b[2TB",
    "erase": b"abcdefgh\r\n" * 9 + b"\x1b[3;4H\x1b[1K\x1b[5;4H\x1b[K\x1b[7;2H\x1b[J\x1b[2;2H\x1b[1J",
    "alternate screen": b"shell\r\n\x1b[?1049h\x1b[2;2Hin vim",
    "alternate screen left": b"shell\r\n$ vim\x1b[?1049h\x1b[2;2Hin vim\x1b[?1049l\r\nback",
    "save and restore": b"\x1b[5;5Ha\x1b7\x1b[10;10Hb\x1b8c\x1b[s\x1b[20;1Hd\x1b[ue",
    "tabs": b"a\tb\tc\r\n\x1b[3g\x1b[5G\x1bH\rx\ty\tz",
    "backspace": b"abc\b\bX\r\n\b\bY" + b"\b" * 300 + b"Z",
    "colours": b"\x1b[1;31mred\x1b[0m \x1b[38;5;99mviolet\x1b[48;2;1;2;3m rgb \x1b[4:3mcurly\x1b[0m",
    "coloured blanks": b"\x1b[44m   \x1b[K\r\n\x1b[7m  \x1b[0m  \r\n\x1b[41m\x1b[2J",
    "wide characters": "中文 日本語 한국어 | ".encode() * 20,
    "wide character at the edge": b"x" * (COLS - 1) + "中y".encode(),
    "overwritten wide characters": "中中中中\x1b[1GA\x1b[5GBC\x1b[7G\x1b[K".encode(),
    "combining": "e\u0301a\u0308 n\u0303|".encode(),
    "unusual spaces at the end": "a\u00a0\r\nb\u3000 \r\nc\u2003".encode(),
    "emoji": "😀 🚀|".encode(),
    "nul": b"a\0\0b",
    "bell and unknown": b"a\x07\x1b[?9999h\x1b[>4;2m\x1b]777;notify;x\x07\x1b[?4mb",
    "strings": b"a\x1bP1$r0m\x1b\\b\x1b_apc\x1b\\c\x1b]0;title\x07d\x1b^pm\x1b\\e",
    "reset": b"\x1b[5;10r\x1b[?6habc\x1bcdef",
    "repeat": b"ab\x1b[5bc",
    "alignment": b"\x1b#8\x1b[10;10H\x1b[1J",
    "far addressing": b"\x1b[999;999Hx\x1b[0;0Hy\x1b[999Bz\x1b[999Aw",
    "ls --color": b"\x1b[0m\x1b[01;34mbin\x1b[0m  \x1b[01;32mrun.sh\x1b[0m  \x1b[40;33;01mtty\x1b[0m\r\n",
}
DIFFERENT = {
    # Line drawing: tmux prints the letters when it captures, we print what is seen.
    "line drawing": (b"\x1b(0lqk\x1b(B", "lqk", "┌─┐"),
    # Erasing behind the last column: tmux stays about to wrap, we (and xterm) erase the last character.
    "erase when about to wrap": (b"c" * COLS + b"\x1b[Kd", "c" * COLS + "\nd", "c" * (COLS - 1) + "d"),
    # Overwriting the second half of a wide character: tmux 3.3a keeps the first half, we erase it.
    "half of a wide character": ("中中\x1b[2GA".encode(), "中A中", " A中"),
    # Broken UTF-8: tmux drops the bytes, we show U+FFFD as a browser does.
    "broken utf-8": (b"a\xff\xfeb\xc3(c\xe2\x82d", "ab(cd", "a\ufffd\ufffdb\ufffd(c\ufffdd"),
}


@pytest.mark.tmux
@pytest.mark.parametrize("name", SAME)
def test_same_as_tmux(tmux: Tmux, name: str) -> None:
    assert full_screen(SAME[name]) == tmux.show(SAME[name])


@pytest.mark.tmux
@pytest.mark.parametrize("name", DIFFERENT)
def test_known_differences_from_tmux(tmux: Tmux, name: str) -> None:
    data, theirs, ours = DIFFERENT[name]
    captured = tmux.show(data).rstrip("\n")
    assert (captured, full_screen(data).rstrip("\n")) == (theirs, ours)


def record(command: str, *keys: str) -> bytes:
    """What the command prints on a real PTY of 40x160, each of the keys typed when it is quiet."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", LANG="C.UTF-8", LC_ALL="C.UTF-8", LESS="", VIMINIT="")
        os.execv("/bin/sh", ["sh", "-c", f"stty rows {ROWS} cols {COLS}; exec {command}"])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLS, 0, 0))
    try:
        data = _read_until_quiet(master)
        for key in keys:
            os.write(master, key.encode())
            data += _read_until_quiet(master)
        return data
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)


def _read_until_quiet(fd: int) -> bytes:
    data = b""
    while select.select([fd], [], [], 0.15 if len(data) > 100 else 0.6)[0]:  # top is silent at first
        try:
            data += os.read(fd, 65536)
        except OSError:
            break
    return data


PROGRAMS = {
    "vim": ("vim -u NONE -i NONE -N {file}", "ihello wörld 中文\x1byyp", ":split\r", "G:set nu\r"),
    "vim left": ("vim -u NONE -i NONE -N {file}", "dd", ":q!\r"),
    "less": ("less {file}", " ", "/line 70\r", "kk"),
    "top": ("top -b -n1 -w 160",),
    "top live": ("top -d 9",),
    "ls": ("ls --color=always -la /usr/bin",),
    "bash": (
        "bash --norc --noprofile",
        "echo one\x01\x1bd\x05 two\r",
        "x" * 200 + "\x01y\x15",
        "seq 60\r",
        "\x0c",
    ),
}


@pytest.mark.tmux
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_look_as_in_tmux(tmux: Tmux, tmp_path: Path, name: str) -> None:
    command, *keys = PROGRAMS[name]
    file = tmp_path / "file.txt"
    file.write_text("".join(f"line {i} of some text\n" for i in range(200)))
    if not shutil.which(command.split()[0]):
        pytest.skip(f"{command.split()[0]} is not installed")
    data = record(command.format(file=file), *keys)
    assert len(data) > 100
    assert full_screen(data) == tmux.show(data)
