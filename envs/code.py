"""Programming problems: the agent writes a program or a function in Python, and it is tried on cases not shown.

    code:                               a small set that ships with termgym
    code:apps.jsonl                     one's own, or a public set that has been downloaded
    code:hf://ORG/NAME?split=test

`termgym.problem` says which columns. The agent's program runs in a fork of its sandbox, one process for each case,
within the row's limits of time and memory; only inputs come there. What it should print stays with the verifier, which
compares.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from termgym import dataset
from termgym.dataset import Row
from termgym.family import turns
from termgym.heredoc import heredoc
from termgym.problem import Case, Problem, problem_of
from termgym.sources import WORKDIR, Shelf, Source
from termgym.task import Check, File, Limits, Task

PATH = f"{WORKDIR}/solution.py"
EXAMPLES = f"{WORKDIR}/examples"
ASKS = (
    "{statement}\n\n{form} {limits}{examples}\n",
    "{form} {limits}{examples}\n\n{statement}\n",
    "Solve this programming problem in Python 3.\n\n{statement}\n\n{form} {limits}{examples}\n",
    "What is wanted: {form} {limits}{examples}\n\nThe problem:\n\n{statement}\n",
)
PROGRAM = "Write a Python 3 program {path} that reads standard input and prints to standard output."
FUNCTION = "Write the function {name} into {path}, for Python 3."
METHOD = "Write a class Solution with the method {name} into {path}, for Python 3."
LIMITS = "It may use {time:g} s and {memory} MB for each case it is tried on, and only the standard library."
SHOWN = " Examples are in {folder}: N.in is an input, N.out what is printed for it."
MAX_HIDDEN, GROUP = 32, 4
"""Cases that are tried at most, evenly picked, and how many of them make a check."""
RUN_S = 9.0
"""For the cases of one check together; the verifier stops it at 10."""
OUTPUT_BYTES = 180_000
RUN = """\
cd {workdir} || exit 1
export LC_ALL=C.UTF-8
one() {{
  echo "x$(base64 -d | (ulimit -v {memory}; exec timeout -s KILL {time:.3g} python3 {program}) 2>/dev/null \\
    | head -c {output} | base64 -w 0; echo " ${{PIPESTATUS[1]}}")"
}}
"""
CALL = """\
import ast, sys
given = ast.literal_eval(sys.stdin.read())
sys.path.insert(0, {folder!r})
import solution
print(end="\\x1e" + repr(solution.{name}(*given)))
"""
JUDGE = """\
import ast, base64, json, math, sys
call, loose, name = sys.argv[1] == "call", sys.argv[2] == "loose", sys.argv[3]
sys.set_int_max_str_digits(0)

def close(want, got):
    return math.isclose(want, got, rel_tol=1e-6, abs_tol=1e-9) or want != want and got != got

def token(want, got):
    if want == got:
        return True
    try:
        return any(x in want for x in ".eE") and close(float(want), float(got))
    except ValueError:
        return False

def printed(want, got):
    want, got = ([line.split() for line in text.rstrip().split("\\n")] for text in (want, got))
    return [len(line) for line in want] == [len(line) for line in got] and all(
        token(a, b) for lines in zip(want, got) for a, b in zip(*lines)
    )

def value(want, got):
    if loose:
        want, got = (list(x) if isinstance(x, tuple) else x for x in (want, got))
    if isinstance(want, (list, tuple)):
        return type(want) is type(got) and len(want) == len(got) and all(map(value, want, got))
    if isinstance(want, dict):
        return isinstance(got, dict) and want.keys() == got.keys() and all(value(want[x], got[x]) for x in want)
    if isinstance(want, float) and type(got) in (int, float):
        return close(want, got)
    return want == got

def read(text):
    return set() if text == "set()" else float(text) if text in ("nan", "inf", "-inf") else ast.literal_eval(text)

def returned(want, got):
    want, got = read(want), read(got.rpartition("\\x1e")[2])
    return value(want, got) or loose and isinstance(want, list) and len(want) == 1 and value(want[0], got)

try:
    wanted = json.load(open(f"expected/{name}.json"))
    lines = open(f"/tests/runs/{name}/stdout").read().split("\\n")
    for want, line in zip(wanted, lines, strict=False):
        text, status = line.removeprefix("x").split(" ")
        got = base64.b64decode(text).decode(errors="replace")
        if status != "0" or not (returned if call else printed)(want, got):
            sys.exit(1)
    sys.exit(len(lines) < len(wanted))
except Exception:
    sys.exit(1)
"""


def task_of(row: Row) -> Task:
    """The task of a row.

    Raises:
        TaskError: The row is of none of the known forms, or has no case that can be used.
    """
    problem = problem_of(row)
    groups, oracle = dict(_groups(problem)), _oracle(problem)
    shown = [case for case in problem.cases if case.shown] if not problem.function else []
    return Task(
        id=f"code/{row.set}@{row.id}",
        instruction=_instruction(row, problem, bool(shown)),
        files=_files(problem, shown),
        checks=tuple(_check(problem, key, group) for key, group in groups.items()),
        tests={"judge.py": File.of(JUDGE)}
        | {f"expected/{key}.json": _expected(group) for key, group in groups.items()},
        oracle=turns(oracle),
        solution=_solution(problem, typed=bool(oracle)),
        limits=Limits(turns=50, verifier_s=60 + 10.0 * len(groups)),
        domain="software_engineering",
        level=row.level,
        requires=("python3",),
        licence=row.licence,
        provenance=row.provenance,
    )


def _instruction(row: Row, problem: Problem, shown: bool) -> str:
    form = (METHOD if problem.method else FUNCTION) if problem.function else PROGRAM
    return row.choose(ASKS).format(
        statement=problem.statement.strip(),
        form=form.format(path=PATH, name=problem.function),
        limits=LIMITS.format(time=problem.time_s, memory=problem.memory_mb),
        examples=SHOWN.format(folder=EXAMPLES) if shown else "",
    )


def _files(problem: Problem, shown: Sequence[Case]) -> dict[str, File]:
    """What the agent finds: where to begin, and examples."""
    files = {PATH: File.of(problem.starter)} if problem.starter.strip() else {}
    for number, case in enumerate(shown, 1):
        files[f"{EXAMPLES}/{number}.in"] = File.of(case.given)
        files[f"{EXAMPLES}/{number}.out"] = File.of(case.wanted)
    return files


def _groups(problem: Problem) -> Iterator[tuple[str, list[Case]]]:
    """Name of a check -> the cases that it is made of."""
    shown = [case for case in problem.cases if case.shown]
    hidden = [case for case in problem.cases if not case.shown]
    count = min(MAX_HIDDEN, len(hidden))
    hidden = [hidden[index * len(hidden) // count] for index in range(count)]
    size = max(1, min(GROUP, int(RUN_S / problem.time_s)))
    if shown:
        yield "examples", shown[:size]
    for number, begin in enumerate(range(0, len(hidden), size), 1):
        yield f"hidden-{number}", hidden[begin : begin + size]


def _check(problem: Problem, name: str, cases: Sequence[Case]) -> Check:
    kinds = ("call" if problem.function else "print", "loose" if problem.loose else "exact")
    script = f"timeout -s KILL 20 python3 -I judge.py {' '.join(kinds)} {name} || exit 1\n"
    run = RUN.format(
        workdir=WORKDIR,
        memory=problem.memory_mb * 1024,
        time=min(problem.time_s, RUN_S / len(cases)),
        program=_program(problem),
        output=OUTPUT_BYTES,
    )
    run += "".join(f"one <<<{base64.b64encode(case.given.encode()).decode()}\n" for case in cases)
    return Check(name, script, 0.5 if name == "examples" else 1.0, run)


def _program(problem: Problem) -> str:
    """The arguments of Python."""
    if not problem.function:
        return PATH
    name = f"Solution().{problem.function}" if problem.method else problem.function
    text = base64.b64encode(CALL.format(folder=WORKDIR, name=name).encode()).decode()
    return f'-c "$(base64 -d <<<{text})"'


def _expected(cases: Sequence[Case]) -> File:
    return File.of(json.dumps([case.wanted for case in cases]))


def _oracle(problem: Problem) -> tuple[str, ...]:
    """Keystrokes, if the solution can be typed."""
    typed = heredoc(f"cat > {PATH}", problem.solution.strip("\n")) if problem.solution.strip() else ""
    return (typed, f"python3 -m py_compile {PATH} && echo fine\n") if typed else ()


def _solution(problem: Problem, typed: bool) -> dict[str, File]:
    """Scripts: the row's solution, unless it is typed, and programs that are wrong."""
    programs = {"solve.sh": problem.solution} if problem.solution and not typed else {}
    case, name = problem.cases[0], problem.function
    method = f"class Solution:\n    def {name}(self, *given):\n        return {case.wanted}\n"
    constant = method if problem.method else f"def {name}(*given):\n    return {case.wanted}\n"
    programs["wrong/constant.sh"] = constant if name else f"print({case.wanted!r}, end='')\n"
    programs["wrong/nothing.sh"] = "pass\n"
    programs["wrong/leaves.sh"] = "import os\nos._exit(0)\n"
    return {path: File.of(_written(text), 0o755) for path, text in programs.items()}


def _written(text: str) -> str:
    return f"base64 -d > {PATH} <<'END'\n{base64.encodebytes(text.encode()).decode()}END\n"


def open_rows(path: Path, options: Mapping[str, str]) -> Shelf:
    """The tasks of a data set."""
    return dataset.shelf(path, options, "code", task_of)


SOURCE = Source("code", "Programming problems: of a data set, or a few of our own.", open_rows, dataset.OPTIONS)
