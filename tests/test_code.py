"""Programming problems: the forms of the public sets, and programs that want to pass without solving anything."""

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from termgym.dataset import Row
from termgym.errors import TaskError
from termgym.problem import Case, calls, problem_of
from termgym.sources import open_source
from termgym.task import Task
from tests.judged import judged, solved

PATH = "/app/solution.py"


def row(columns: dict[str, Any]) -> Row:
    return Row("x.jsonl, line 1", 0, columns, {})


def packed(value: Any) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


FORMS: list[tuple[dict[str, Any], str, list[Case]]] = [
    ({"question": "q", "input_output": json.dumps({"inputs": ["1\n", "2\n"], "outputs": ["1", ["2", "3"]]})}, "",
     [Case("1\n", "1"), Case("2\n", "2\n3")]),
    ({"question": "q", "input_output": {"fn_name": "f", "inputs": [[1, [2]]], "outputs": [[3]]}}, "f",
     [Case("(1, [2])", "[3]")]),
    ({"description": "q", "public_tests": {"input": ["a"], "output": ["b"]}, "private_tests": {"input": [],
      "output": []}, "generated_tests": {"input": ["c"], "output": ["d"]}}, "", [Case("a", "b", True), Case("c", "d")]),
    ({"question_content": "q", "public_test_cases": json.dumps([{"input": "1", "output": "2", "testtype": "stdin"}]),
      "private_test_cases": packed(json.dumps([{"input": "3", "output": "4"}]))}, "",
     [Case("1", "2", True), Case("3", "4")]),
    ({"question_content": "q", "metadata": '{"func_name": "f"}', "starter_code": "class Solution:\n    def f(self)",
      "public_test_cases": [{"input": '[1]\n"x"', "output": "true"}]}, "f", [Case("([1], 'x')", "True", True)]),
    ({"text": "q", "test_list": ["assert f(1) == [2]", "assert f('a', 2)", "assert not f(-1)", "assert g(1) == 2",
      "assert abs(f(2) - 1.5) < 1e-6", "assert f(x) == 1"]}, "f",
     [Case("(1,)", "[2]"), Case("('a', 2)", "True"), Case("(-1,)", "False"), Case("(2,)", "1.5")]),
    ({"prompt": "def f(x):\n", "entry_point": "f", "test": "def check(candidate):\n    assert candidate(1) == (2, 3)"},
     "f", [Case("(1,)", "(2, 3)")]),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "function", "wanted"), FORMS)
def test_the_forms_of_public_sets(columns: dict[str, Any], function: str, wanted: list[Case]) -> None:
    problem = problem_of(row(columns))
    assert (problem.function, list(problem.cases)) == (function, wanted) and problem.statement


class Bomb:
    def __reduce__(self) -> Any:
        return (print, ("a pickle has run",))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"question": "q"}, "expected one of the columns input_output, public_tests"),
        ({"question": "q", "input_output": "no"}, "input_output: is 'no'; expected an object"),
        ({"question": "q", "input_output": {"inputs": [], "outputs": []}}, "holds no case"),
        ({"text": "q", "test_list": ["assert f(open('x')) == 1", "import os"]}, "holds no case"),
        ({"input_output": {"inputs": ["1"], "outputs": ["1"]}}, "expected one of the columns problem, question"),
        ({"question_content": "q", "private_test_cases": packed(Bomb())}, "cannot be unpacked: holds builtins.print"),
        ({"question_content": "q", "private_test_cases": "%%%"}, "private_test_cases"),
    ],
)
def test_rows_that_cannot_be_used(columns: dict[str, Any], words: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TaskError) as caught:
        problem_of(row(columns))
    assert words in str(caught.value) and "has run" not in capfd.readouterr().out


def test_assertions_are_taken_apart_and_not_run() -> None:
    assert calls("assert __import__('os').system('x') == 0\nassert f(*[1]) == 2\nassert f(1) == f(2)") == ("", [])
    assert calls("nonsense (") == ("", [])


def test_a_row_may_have_examples_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"question_content": "q", "public_test_cases": [{"input": "1", "output": "2"}]}))
    (task,) = open_source(f"code:{path}")
    assert [check.name for check in task.checks] == ["examples"]


def shipped(name: str) -> Task:
    return next(task for task in open_source("code:") if task.id.endswith(f"@{name}"))


PROGRAM_CHEATS = {
    "examples": "import os, sys\nd = '/app/examples/'\ngiven = sys.stdin.read()\nfor n in os.listdir(d):\n"
    "    if n.endswith('.in') and open(d + n).read() == given: print(open(d + n[:-3] + '.out').read(), end='')\n",
    "status": "import os\nos._exit(0)\n",
    "kill": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n",
    "flood": "while True: print('x' * 10000)\n",
    "hang": "while True: pass\n",
    "memory": "x = bytearray(1 << 32)\nprint(1)\n",
    "peek": "import glob\nprint(open((glob.glob('/tests/**/*', recursive=True) + ['/proc/self/status'])[0]).read())\n",
    "child": "import os, time\nif os.fork() == 0:\n    time.sleep(30)\n",
}
CALL_CHEATS = {
    "equal": "class A(str):\n    def __eq__(self, o): return True\n    def __repr__(self): return 'A()'\n"
    "def acronym(t): return A()\n",
    "nested": "def acronym(t): print('\\x1e' + '(' * 100000); import os; os._exit(0)\n",
    "signs": "class R:\n    def __repr__(self): return '-' * 150000 + '1'\ndef acronym(t): return R()\n",
    "raises": "def acronym(t): raise SystemExit(0)\n",
    "import": "import os\nos._exit(0)\n",
    "wrong": "def acronym(t): return ''\n",
}


def scripts(programs: dict[str, str]) -> list[str]:
    return [f"base64 -d > {PATH} <<<{base64.b64encode(text.encode()).decode()}" for text in programs.values()]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("programs", [PROGRAM_CHEATS, CALL_CHEATS])
def test_who_does_not_solve_it_does_not_pass(programs: dict[str, str], tmp_path: Path) -> None:
    cases = {
        f"{name}_tests": {"input": [f"{n} 2"], "output": [f"{n + 2}"]} for name, n in (("public", 1), ("private", 8))
    }
    (tmp_path / "x.jsonl").write_text(json.dumps({"description": "Add.", **cases}))
    task = shipped("acronym") if programs is CALL_CHEATS else open_source(f"code:{tmp_path}/x.jsonl")[0]
    odd = [f"mkfifo {PATH}", f"ln -s /dev/zero {PATH}", "rm -rf /app", f"printf '\\0\\0' > {PATH}"]
    for how, verdict in zip([*programs, *odd], judged(task, *scripts(programs), *odd), strict=True):
        assert verdict.binary == 0, (how, verdict)
        assert verdict.dense == 0 or how in ("examples", "wrong"), (how, verdict)


def test_a_solution_passes_and_half_a_one_in_part() -> None:
    task = shipped("shift-log")
    half = "n = int(input())\nname, doors = input().split()\nprint(name, int(doors))\n"
    right, part, nothing = judged(task, solved(task), *scripts({"half": half}), "true")
    assert (right.binary, part.binary, nothing.dense) == (1, 0, 0), right
    assert {check.name for check in right.checks} == {"examples", "hidden-1", "hidden-2"}


@pytest.mark.slow
def test_numbers_and_spaces_are_compared_as_judges_do(tmp_path: Path) -> None:
    cases = {"inputs": ["1\n", "2\n"], "outputs": ["0.3333333333\nb c\n", "10\n"]}
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"question": "q", "input_output": json.dumps(cases)}))
    task = open_source(f"code:{path}")[0]
    prints = ["0.33333333\\nb   c  \\n\\n", "0.3334\\nb c", "0.3333333333 b c", "0.3333333333\\nb c\\nd"]
    programs = {text: f"print('10' if input() == '2' else '{text}')\n" for text in prints}
    found = [verdict.binary for verdict in judged(task, *scripts(programs))]
    assert found == [1, 0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(13))
def test_every_own_problem_is_solved_by_its_solution(number: int) -> None:
    (task,) = open_source(f"code:?index={number}")
    wrong = [file.content.decode() for path, file in task.solution.items() if path.startswith("wrong/")]
    right, *others = judged(task, solved(task), "true", *wrong)
    assert right.binary == 1 and all(verdict.binary == 0 for verdict in others)
