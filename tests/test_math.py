"""Mathematics: which answers are the same, and what an answer may not do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from termgym import equivalence
from termgym.errors import TaskError
from termgym.sources import open_source
from termgym.task import Task
from tests.judged import judged, solved

SAME = [
    ("3/4", "0.75"), ("3/4", r"\frac{3}{4}"), (r"\dfrac{7}{2}", "3.5"), ("1/2", r"\frac12"), ("1,000", "1000"),
    ("12", "12.0"), ("-5", "\u22125"), (r"\frac{\sqrt{3}}{2}", "sqrt(3)/2"), (r"2\sqrt{5}", r"\sqrt{20}"),
    (r"\frac{\pi}{2}", "pi/2"), ("x^2+2x+1", "(x+1)**2"), ("y=2x+1", "y = 1+2x"), ("5", "x=5"), ("5 cm", "5"),
    (r"\{1,2,3\}", "{3, 2, 1}"), ("(1,2)", "(1, 2)"), ("[0,1)", "[0, 1)"), (r"(-\infty,3]", "(-oo, 3]"),
    (r"(-\infty,-2)\cup(2,\infty)", r"(2,\infty) \cup (-\infty,-2)"), ("25%", "0.25"), (r"25\%", "25%"),
    ("(B)", "b"), ("C", "C."), ("x>3", "3<x"), ("2^10", "1024"), ("n(n+1)/2", r"\frac{n^2+n}{2}"), ("3+2i", "2i+3"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"),
    (r"\text{Monday}", "Monday"), ("7", r"$\boxed{7}$"), ("e^{2x}", "e^(2*x)"),
]  # fmt: skip
OTHER = [
    ("3/4", "0.76"), ("1/3", "0.333333333"), (r"\frac{\sqrt{3}}{2}", "0.866"), (r"\{1,2,3\}", "{1,2}"), ("12", "1 2"),
    ("(1,2)", "(2,1)"), ("[0,1)", "[0,1]"), ("x^2+2x+1", "(x+2)^2"), ("B", "C"), ("x>3", "x<3"), ("7", "7, 8"),
    ("7", "7 8"), ("7", r"\frac{7}{1} or 8"), ("Monday", "Tuesday"), ("y=2x+1", "y=2x-1"), ("7", ""), ("7/2", "7/0"),
]  # fmt: skip
HOSTILE = [
    "9**9**9**9", "9^{9^{9^{9}}}", "__import__('os')._exit(0)", "exit()", "(" * 3000, "{" * 3000,
    r"\sum_{n=1}^{10^{12}} n", "\\", "\0" * 50, "7\n7",
]  # fmt: skip


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The judge's files, in a folder."""
    folder = tmp_path_factory.mktemp("judge")
    for name, file in equivalence.tests().items():
        content = file.content.replace(b"/tests/", f"{folder}/".encode()) if name.endswith(".py") else file.content
        (folder / name).write_bytes(content)
    yield folder


def says(judge: Path, want: str, got: str) -> bool:
    """What the judge says, by the Python that it would have in a sandbox."""
    (judge / "answer").write_text(got)
    python = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
    command = [python, "-I", "judge.py", want, "answer"]
    done = subprocess.run(command, cwd=judge, capture_output=True, timeout=50)
    assert done.returncode in (0, 1), done
    return done.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("want", "got"), SAME)
def test_forms_of_the_same_answer(judge: Path, want: str, got: str) -> None:
    assert says(judge, want, got)


@pytest.mark.slow
@pytest.mark.parametrize(("want", "got"), OTHER)
def test_other_answers(judge: Path, want: str, got: str) -> None:
    assert not says(judge, want, got)


def test_a_few_of_both_kinds(judge: Path) -> None:
    assert says(judge, "3/4", "0.75") and says(judge, r"2\sqrt{5}", "sqrt(20)") and says(judge, "(B)", "b")
    assert not says(judge, "3/4", "0.7") and not says(judge, "x^2", "x^3")


def test_a_cache_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    equivalence._library.cache_clear()
    try:
        with pytest.raises(TaskError, match="XDG_CACHE_HOME says where else"):
            equivalence.tests()
    finally:
        equivalence._library.cache_clear()


def task() -> Task:
    return open_source("math:?index=0")[0]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_hostile_answer_is_wrong_and_breaks_nothing() -> None:
    one = task()
    path = solved(one).split()[2]
    written = [f"printf '%s' {_quoted(text)} > {path}" for text in HOSTILE if "\0" not in text]
    others = [f"mkfifo {path}", f"ln -s /tests/judge.py {path}", f"truncate -s 1T {path}", f"mkdir {path}"]
    planted = [
        "mkdir -p /tests; echo 'import os; os._exit(0)' | tee sitecustomize.py math_verify.py sympy.py > fractions.py"
    ]
    for verdict in judged(one, *written, *others, *planted, f"head -c 3000 /dev/zero > {path}"):
        assert verdict.binary == 0 and verdict.dense < 0.3, verdict


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def test_the_answer_solves_it_and_nothing_else() -> None:
    one = replace(task(), id="math")
    wrong = [file.content.decode() for path, file in one.solution.items() if path.startswith("wrong/")]
    right, *others = judged(one, solved(one), "true", *wrong)
    assert right.binary == 1 and len(wrong) >= 3
    assert all(verdict.dense < 1 for verdict in others) and {0.0, 0.2} == {round(v.dense, 2) for v in others}
