"""Repositories to mend: rows as SWE-bench has them, tests that cannot be edited away, and bugs that are made."""

import ast
import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from termgym import repository, suite
from termgym.cli import app
from termgym.errors import TaskError
from termgym.mutation import mutants
from termgym.sources import open_source
from termgym.task import File
from tests.judged import judged, solved

SUM = "def total(numbers):\n    found = 0\n    for number in numbers:\n        found += number\n    return found\n"
TEST = (
    "import unittest\nfrom adder import total\n\nclass Sums(unittest.TestCase):\n"
    "    def test_two(self):\n        self.assertEqual(total([1, 2]), 3)\n"
    "    def test_empty(self):\n        self.assertEqual(total([]), 0)\n"
)
MORE = "    def test_none(self):\n        self.assertEqual(total(None), 0)\n"


def git(folder: Path, *args: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org", *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A repository with a fix in its history, and a row about the commit before it."""
    folder = tmp_path / "org__adder"
    (folder / "tests").mkdir(parents=True)
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    (folder / "adder.py").write_text(SUM)
    (folder / "tests/__init__.py").touch()
    (folder / "tests/test_adder.py").write_text(TEST)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    base = git(folder, "rev-parse", "HEAD").strip()
    (folder / "adder.py").write_text(SUM.replace("in numbers", "in numbers or ()"))
    patch = git(folder, "diff")
    git(folder, "commit", "-qam", "the secret fix")
    (folder / "tests/test_adder.py").write_text(TEST + MORE)
    row = {
        "instance_id": "org__adder-1",
        "repo": "org/adder",
        "base_commit": base,
        "problem_statement": "The total of None should be 0.",
        "patch": patch,
        "test_patch": git(folder, "diff"),
        "FAIL_TO_PASS": '["test_none (tests.test_adder.Sums)"]',
        "PASS_TO_PASS": ["tests.test_adder.Sums.test_two", "tests.test_adder.Sums.test_empty"],
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path / "rows.jsonl"


def test_a_row_of_swe_bench(rows: Path) -> None:
    (task,) = open_source(f"swe:{rows}")
    assert task.id == "swe/rows@org__adder-1" and task.workdir == "/app/adder"
    assert b"or ()" not in task.files["/app/adder/adder.py"].content
    assert b"test_none" not in task.files["/app/adder/tests/test_adder.py"].content
    look = "test $(git rev-list --all | wc -l) = 1 && ! git log -p --all | grep secret && git status --short > /app/s"
    fixed, idle, kept = judged(task, solved(task), "true", f"{look} && test ! -s /app/s && {solved(task)}")
    assert (fixed.binary, kept.binary) == (1, 1) and round(idle.dense, 3) == 0.25, (fixed, idle, kept)


def test_a_cheat_does_not_pass(rows: Path) -> None:
    (task,) = open_source(f"swe:{rows}")
    passing = "import unittest\\nclass Sums(unittest.TestCase):\\n  def test_none(s): 0\\n"
    forged = "import sys\\nprint(sys.argv, 'passed tests.test_adder.Sums.test_none')\\n"
    cheats = {
        "tests": f"printf '{passing}' > tests/test_adder.py",
        "folder": f"rm -r tests; mkdir -p tests/test_adder; printf '{passing}' > tests/test_adder/__init__.py",
        "ends": "echo 'import os; os._exit(0)' >> adder.py",
        "prints": f"printf '{forged}' >> adder.py",
        "unittest": f"printf '{passing}' > unittest.py; echo 'TestCase = object' >> unittest.py",
        "site": "echo 'import os; os._exit(0)' | tee sitecustomize.py usercustomize.py > conftest.py",
        "gone": "rm -rf /app/adder",
        "fifo": "rm adder.py; mkfifo adder.py",
    }
    for how, verdict in zip(cheats, judged(task, *cheats.values()), strict=True):
        assert verdict.binary == 0 and verdict.dense <= 0.25, (how, verdict)


def test_bare_and_plain_repositories(rows: Path, tmp_path: Path) -> None:
    wanted = open_source(f"swe:{rows}")[0].digest
    (tmp_path / "mirrors/org").mkdir(parents=True)
    git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "org__adder"), str(tmp_path / "mirrors/org/adder.git"))
    assert open_source(f"swe:{rows}?repos={tmp_path / 'mirrors'}")[0].digest == wanted


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"repo": "org/other"}, "repo: 'org/other': there is no"),
        ({"base_commit": "f" * 40}, "git says"),
        ({"base_commit": "--output=x"}, "expected a branch, a tag or a commit"),
        ({"FAIL_TO_PASS": "test_none"}, "FAIL_TO_PASS: is 'test_none'; expected a list of tests, or its JSON"),
        ({"FAIL_TO_PASS": []}, "FAIL_TO_PASS: expected one of the columns"),
        ({"test_patch": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"}, "git says"),
        ({"test_patch": "--- a/../../x\n+++ b/../../x\n@@ -1 +1 @@\n-a\n+b\n"}, "expected paths below the repository"),
        ({"test_patch": "--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n"}, "expected paths below"),
    ],
)
def test_rows_that_cannot_be_used(rows: Path, change: dict[str, object], words: str) -> None:
    rows.write_text(json.dumps(json.loads(rows.read_text()) | change))
    with pytest.raises(TaskError) as caught:
        open_source(f"swe:{rows}")
    assert words in str(caught.value)


def test_a_patch_adds_changes_and_removes() -> None:
    files = {"a": File(b"1\n"), "b": File(b"2\n", 0o755), "c": File(b"3\n")}
    patch = (
        "--- a/a\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n--- a/b\n+++ b/b\n@@ -1 +1 @@\n-2\n+4\n"
        "--- /dev/null\n+++ b/d/e\n@@ -0,0 +1 @@\n+5\n"
    )
    found = repository.patched(files, patch, "here")
    assert found == {"b": File(b"4\n", 0o755), "c": File(b"3\n"), "d/e": File(b"5\n")}


def test_mutants_change_one_place_and_still_parse() -> None:
    text = (
        "LIMIT = 3  # stays\n\n\nclass A:\n    def f(self, x=1, *, y: int = 2):  # é\n"
        "        '''Not 5.'''\n        if x < LIMIT and not y:\n            return x // 2\n"
        "        return x in [1] or True\n"
    )
    found = mutants(text)
    lines = {(mutant.line, mutant.text.split("\n")[mutant.line - 1].strip()) for mutant in found}
    assert {mutant.function for mutant in found} == {"A.f"}
    assert {
        (7, "if x <= LIMIT and not y:"), (7, "if x < LIMIT or not y:"), (7, "if x < LIMIT and y:"),
        (7, "if not (x < LIMIT and not y):"), (8, "return x / 2"), (8, "return x // 3"),
        (9, "return x not in [1] or True"), (9, "return x in [1] or False"), (9, "return x in [1] and True"),
    } <= lines  # fmt: skip
    for mutant in found:
        ast.parse(mutant.text)
        changed = [one for one, other in zip(mutant.text.split("\n"), text.split("\n"), strict=True) if one != other]
        assert len(changed) == 1


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_bugs_are_made_found_and_mended(rows: Path, tmp_path: Path) -> None:
    git(tmp_path / "org__adder", "checkout", "-q", ".")
    out = tmp_path / "bugs.jsonl"
    run = CliRunner().invoke(app, ["generate", "bugs", str(tmp_path / "org__adder"), "--out", str(out), "--n", "3"])
    assert run.exit_code == 0, run.output
    again = CliRunner().invoke(app, ["generate", "bugs", str(tmp_path / "org__adder"), "--out", f"{out}2", "--n", "3"])
    assert again.exit_code == 0 and Path(f"{out}2").read_text() == out.read_text()
    for task in open_source(f"swe:{out}"):
        fixed, idle = judged(task, solved(task), "true")
        assert fixed.binary == 1 and idle.binary == 0
    broken = CliRunner().invoke(app, ["generate", "bugs", str(tmp_path), "--out", str(out)])
    assert broken.exit_code != 0 and "tests have to pass" in broken.output


@pytest.mark.slow
@pytest.mark.parametrize("number", range(8))
def test_every_own_repository_is_mended_by_its_patch(number: int) -> None:
    (task,) = open_source(f"swe:?index={number}")
    wrong = [file.content.decode() for path, file in task.solution.items() if path.startswith("wrong/")]
    right, *others = judged(task, solved(task), "true", *wrong)
    assert right.binary == 1 and all(verdict.binary == 0 for verdict in others)


def test_results_are_read() -> None:
    assert suite.passed("w passed a.b\nw failed c d\tE: why\nother\n", "w") == {"a.b": "", "c d": "E: why"}
    tests = ["tests/x.py", "a/test_b.py", "conftest.py", "b_test.py"]
    assert [path for path in (*tests, "src/a.py", "latest.py") if suite.is_test(path)] == tests
