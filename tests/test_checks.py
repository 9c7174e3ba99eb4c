"""The checks that families share, on what an adversary leaves in place of an answer."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from termgym.checks import GONE, Case, Folder, Link, Regular, answer, cases, count, entries, report
from termgym.task import Check


def passes(check: Check, runs: Path | None = None) -> bool:
    """Whether it does, here and now; a status that would be a broken verifier fails the test."""
    script = check.script.replace("/tests/runs", str(runs)) if runs else check.script
    done = subprocess.run(["bash", "-c", script, check.name], capture_output=True, timeout=20, cwd="/")
    assert 0 <= done.returncode < 126, done
    return done.returncode == 0


HOSTILE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.touch(),
    "link": lambda path: path.symlink_to("/etc/hostname"),
    "loop": lambda path: path.symlink_to(path),
    "fifo": lambda path: subprocess.run(["mkfifo", path], check=True),
    "huge": lambda path: path.write_bytes(b"") or subprocess.run(["truncate", "-s", "1T", path], check=True),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "nul": lambda path: path.write_bytes(b"x\0=\0" * 999),
    "shell": lambda path: path.write_text("x = $(touch /tmp/never)\n`false`; exit 0\n"),
    "awk": lambda path: path.write_text('x = 1e999\nx = 0x10\nx = "; system("false")\n'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_answer_fails_and_breaks_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / "answer"
    HOSTILE[name](path)
    for check in (
        answer(str(path), "x", "yes"),
        answer(str(path), "x", 1.5, tolerance=0.1),
        *report(str(path), "head\nrow\n"),
        entries("there", {str(path): Regular(b"data\n")}),
    ):
        assert not passes(check), check.name


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("a b = 2.5\n", True), ("  a b=2.5001  \r\n", True), ("a b = +25e-1\n", True), ("c = 1\na b = 2.49999", True),
        ("a b = 2.6\n", False), ("a b = 2.5 m\n", False), ("a b = nan\n", False), ("a b = 2.5\na b = 2.5\n", False),
        ("ab = 2.5\n", False), ("a b = 2,5\n", False), ("# a b = 2.5\n", False), ("a b = 1e999\n", False),
    ],
)  # fmt: skip
def test_numbers_are_read_with_tolerance_and_nothing_else_is(text: str, right: bool, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(text)
    assert passes(answer(str(tmp_path / "a"), "a b", 2.5, tolerance=0.01)) == right


def test_exact_answers(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x: $HOME 'quoted' \\n \ny:z\n")
    assert passes(answer(str(tmp_path / "a"), "x", "$HOME 'quoted' \\n", sep=":"))
    assert not passes(answer(str(tmp_path / "a"), "y", "Z", sep=":"))


def test_reports_give_partial_credit(tmp_path: Path) -> None:
    path, text = tmp_path / "r", "head\nb 1\na 2\n"
    path.write_text(text.replace("\n", "  \r\n"))
    assert [passes(check) for check in report(str(path), text)] == [True, True, True]
    path.write_text("head\na 2\nb 1\n")
    assert [passes(check) for check in report(str(path), text)] == [True, True, False]
    path.write_text("head\n")
    assert [passes(check) for check in report(str(path), text)] == [True, False, False]


def test_entries_look_at_kinds_modes_and_targets(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data\n")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir(mode=0o711)
    good = {"file": Regular(b"data\n", "640"), "link": Link("file"), "folder": Folder("711"), "none": GONE}
    assert passes(entries("all", {str(tmp_path / name): entry for name, entry in good.items()}))
    for name, bad in {
        "file": Regular(b"data\n", "600"), "link": Link("./file"), "folder": Folder("700"), "none": Regular(b""),
    }.items():  # fmt: skip
        assert not passes(entries("one", {str(tmp_path / name): bad}))
    assert not passes(entries("gone", {str(tmp_path / "link"): GONE}))
    assert passes(count("so-many", str(tmp_path), 2)) and not passes(count("so-many", str(tmp_path), 1))


PROGRAMS = {
    "right": ("import sys\nprint(sum(map(int, sys.stdin.read().split())))", True),
    "right with blanks": ("import sys\nprint(sum(map(int, sys.stdin.read().split())), ' \\n')", True),
    "wrong": ("print(3)", False),
    "forged lines": ("print('x' + 'Mwo=' + ' 0\\nxNwo= 0')", False),
    "silent": ("pass", False),
    "right, then fails": ("import sys\nprint(sum(map(int, sys.stdin.read().split())))\nsys.exit(3)", False),
    "floods": ("while True: print('3' * 999)", False),
    "hangs": ("import time\ntime.sleep(60)", False),
    "kills its parents": ("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)", False),
    "binary": ("import sys\nsys.stdout.buffer.write(bytes(range(256)))", False),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_are_judged_by_what_they_print(name: str, tmp_path: Path) -> None:
    text, right = PROGRAMS[name]
    (tmp_path / "sum.py").write_text(text)
    given = [Case(b"1 2\n", b"3\n"), Case(b"3\n4", b"7\n")]
    check = cases("sums", f"python3 {tmp_path}/sum.py", given, cwd=str(tmp_path))
    runs = tmp_path / "sums"
    runs.mkdir()
    done = subprocess.run(["bash", "-c", check.run], capture_output=True, timeout=30)
    (runs / "stdout").write_bytes(done.stdout)
    assert passes(check, tmp_path) == right


def test_statuses_of_programs_count(tmp_path: Path) -> None:
    runs = tmp_path / "fails"
    runs.mkdir()
    for status, wanted, right in ((3, 3, True), (3, None, True), (0, None, False), (4, 3, False)):
        check = cases("fails", f"sh -c 'exit {status}'", [Case(b"", b"", status=wanted)], cwd="/")
        (runs / "stdout").write_bytes(subprocess.run(["bash", "-c", check.run], capture_output=True).stdout)
        assert passes(check, tmp_path) == right
