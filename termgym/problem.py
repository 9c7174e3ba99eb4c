"""A programming problem: what a program has to do, and cases to try it on, in the columns of the public sets.

    APPS, TACO      question, input_output {inputs, outputs, fn_name}, starter_code, solutions
    CodeContests    description, public_tests, private_tests, generated_tests {input, output}, time_limit, solutions
    LiveCodeBench   question_content, public_test_cases, private_test_cases [{input, output, testtype}], starter_code
    MBPP            text or prompt, test_list (assert statements), code
    HumanEval       prompt, test (a function `check(candidate)`), entry_point, canonical_solution

A case is a text for standard input and the text that has to come out, or arguments for a function and what it returns.
Assert statements are taken apart, and not run: the expected value would lie beside the program that has to find it. So
a call has literal arguments and is compared with a literal; a row that has no such assertion is refused.
"""

import ast
import base64
import io
import json
import pickle
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from termgym.dataset import Row

STATEMENT = ("problem", "question", "description", "question_content", "text", "prompt", "instruction")
INPUTS, OUTPUTS = ("inputs", "input"), ("outputs", "output")
TIME_S, MEMORY_MB = 2.0, 512
CASE_BYTES = 150_000
"""A longer case is left out, unless all are."""
PYTHON_3 = 3
"""CodeContests' number of it."""


@dataclass(frozen=True, slots=True)
class Case:
    """One trial."""

    given: str
    """The text of standard input, or the arguments as a Python tuple."""
    wanted: str
    """What has to come out, or the returned value as a Python literal."""
    shown: bool = False
    """Whether the statement has it as an example."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem, whichever set it is of."""

    statement: str
    cases: tuple[Case, ...]
    function: str = ""
    """The name of the function to write; empty for a program that reads and prints."""
    method: bool = False
    """Whether it is one of a class Solution, as LeetCode has it."""
    loose: bool = False
    """Whether a list stands for a tuple, and what is returned may stand in a list of one."""
    starter: str = ""
    solution: str = ""
    """In Python, if the row has one."""
    time_s: float = TIME_S
    memory_mb: int = MEMORY_MB


def problem_of(row: Row) -> Problem:
    """The problem of a row.

    Raises:
        TaskError: It is of none of these forms, or no case can be used.
    """
    form = next((form for column, form in FORMS.items() if row.get(column) is not None), None)
    if form is None:
        raise row.error("tests", f"expected one of the columns {', '.join(FORMS)}; there are {', '.join(row.columns)}")
    problem = form(row)
    kept = tuple(case for case in problem.cases if len(case.given) + len(case.wanted) <= CASE_BYTES) or problem.cases
    if not kept:
        raise row.error("tests", "holds no case; expected inputs with outputs, or assertions of a call with literals")
    time_s, memory_mb = min(max(problem.time_s, 1.0), 5.0), min(max(problem.memory_mb, 64), 1024)
    return replace(problem, cases=kept, time_s=time_s, memory_mb=memory_mb)


def _apps(row: Row) -> Problem:
    tests = _object(row, "input_output")
    name = str(tests.get("fn_name") or "")
    pairs = list(zip(_list(tests, INPUTS), _list(tests, OUTPUTS), strict=False))
    if name:
        cases = tuple(Case(repr(tuple(_unpacked(given))), repr(wanted)) for given, wanted in pairs)
    else:
        cases = tuple(Case(_text(given), _text(wanted)) for given, wanted in pairs)
    starter, solutions = str(row.get("starter_code") or ""), _maybe_json(row.get("solutions"))
    first = next(iter(cast("list[object]", solutions)), "") if isinstance(solutions, list) else solutions
    return Problem(row.text(*STATEMENT), cases, name, "class Solution" in starter, True, starter, str(first or ""))


def _contests(row: Row) -> Problem:
    cases: list[Case] = []
    for column in ("public_tests", "private_tests", "generated_tests"):
        tests = _object(row, column) if row.get(column) is not None else dict[str, object]()
        pairs = zip(_list(tests, INPUTS), _list(tests, OUTPUTS), strict=False)
        cases += [Case(_text(given), _text(wanted), column == "public_tests") for given, wanted in pairs]
    limit = row.get("time_limit")
    seconds = cast("Mapping[str, Any]", limit).get("seconds") if isinstance(limit, Mapping) else limit
    memory = row.get("memory_limit_bytes")
    return Problem(
        row.text(*STATEMENT),
        tuple(cases),
        solution=_of_contests(row.get("solutions")),
        time_s=float(seconds) if isinstance(seconds, int | float) else TIME_S,
        memory_mb=memory >> 20 if isinstance(memory, int) else MEMORY_MB,
    )


def _of_contests(solutions: object) -> str:
    """The first one in Python."""
    if not isinstance(solutions, Mapping):
        return ""
    table = cast("Mapping[str, Sequence[Any]]", solutions)
    pairs = zip(table.get("language", ()), table.get("solution", ()), strict=False)
    return next((str(text) for language, text in pairs if language == PYTHON_3), "")


def _live(row: Row) -> Problem:
    metadata = _maybe_json(row.get("metadata"))
    name = str(cast("dict[str, object]", metadata).get("func_name") or "") if isinstance(metadata, dict) else ""
    cases = [
        Case(*_live_case(test, bool(name)), shown=column == "public_test_cases")
        for column in ("public_test_cases", "private_test_cases")
        if row.get(column) is not None
        for test in _tests(row, column)
    ]
    starter = str(row.get("starter_code") or "")
    return Problem(row.text(*STATEMENT), tuple(cases), name, "class Solution" in starter, True, starter)


def _live_case(test: Mapping[str, object], call: bool) -> tuple[str, str]:
    """Of a call: arguments are JSON, one a line."""
    given, wanted = str(test.get("input", "")), str(test.get("output", ""))
    if not call:
        return given, wanted
    return repr(tuple(json.loads(line) for line in given.split("\n") if line.strip())), repr(json.loads(wanted))


def _asserts(row: Row) -> Problem:
    tests = row.need("test_list")
    lines = cast("list[object]", tests) if isinstance(tests, list) else [tests]
    name, cases = calls("\n".join(str(line) for line in lines))
    return Problem(row.text("text", *STATEMENT), tuple(cases), name, solution=str(row.get("code") or ""))


def _human(row: Row) -> Problem:
    name, prompt = row.text("entry_point"), row.text("prompt")
    _, cases = calls(row.text("test"), called="candidate")
    body = str(row.get("canonical_solution") or "")
    statement = f"Complete the function {name}:\n\n{prompt}"
    return Problem(statement, tuple(cases), name, starter=prompt, solution=prompt + body if body else "")


FORMS = {
    "input_output": _apps,
    "public_tests": _contests,
    "private_tests": _contests,
    "public_test_cases": _live,
    "private_test_cases": _live,
    "test_list": _asserts,
    "entry_point": _human,
}
"""Column -> what reads the rows that have it."""


def calls(text: str, called: str = "") -> tuple[str, list[Case]]:
    """The function that assert statements call, or the one called so, and its cases.

    `assert f(1, [2]) == 3`, `assert f("x")`, `assert not f("y")`, and `abs(f(2) - 1.5) < 1e-6` count; others do not.
    """
    try:
        nodes = [node.test for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assert)]
    except SyntaxError:
        return called, []
    found = [case for node in nodes if (case := _call(node))]
    name = called or next((name for name, _ in found), "")
    return name, [case for function, case in found if function == name]


def _call(node: ast.expr) -> tuple[str, Case] | None:
    wanted: ast.expr = ast.Constant(True)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node, wanted = node.operand, ast.Constant(False)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq | ast.Is):
        node, wanted = node.left, node.comparators[0]
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Lt | ast.LtE):
        inside = _difference(node.left)
        if inside is None:
            return None
        node, wanted = inside
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.keywords:
        return None
    try:
        given = tuple(ast.literal_eval(argument) for argument in node.args)
        return node.func.id, Case(repr(given), repr(ast.literal_eval(wanted)))
    except (ValueError, TypeError):
        return None


def _difference(node: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """Both sides of `abs(a - b)`."""
    match node:
        case ast.Call(func=ast.Name("abs"), args=[ast.BinOp(left=left, op=ast.Sub(), right=right)]):
            return left, right
        case _:
            return None


def _object(row: Row, column: str) -> Mapping[str, object]:
    value = _maybe_json(row.need(column))
    if not isinstance(value, Mapping):
        raise row.error(column, f"is {value!r:.80}; expected an object with inputs and outputs")
    return cast("Mapping[str, object]", value)


def _tests(row: Row, column: str) -> Iterator[Mapping[str, object]]:
    value = _maybe_json(row.need(column))
    if isinstance(value, str):
        value = _maybe_json(_unpickled(row, column, value))
    if not isinstance(value, list):
        raise row.error(column, f"is {value!r:.80}; expected a list of objects with input and output")
    return (cast("Mapping[str, object]", one) for one in cast("list[object]", value) if isinstance(one, Mapping))


class _Texts(pickle.Unpickler):
    """Of texts and nothing else: a pickle may otherwise run what it likes."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        raise pickle.UnpicklingError(f"holds {module_name}.{global_name}; expected a text")


def _unpickled(row: Row, column: str, value: str) -> object:
    """As LiveCodeBench packs its hidden cases: JSON, pickled, compressed, in base64."""
    try:
        return _Texts(io.BytesIO(zlib.decompress(base64.b64decode(value)))).load()
    except (ValueError, zlib.error, pickle.UnpicklingError, EOFError) as error:
        raise row.error(column, f"cannot be unpacked: {error}") from error


def _list(table: Mapping[str, object], names: Sequence[str]) -> list[object]:
    value = next((table[name] for name in names if name in table), None)
    return cast("list[object]", value) if isinstance(value, list) else []


def _maybe_json(value: object) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _text(value: object) -> str:
    """A text, which some rows have as a list of lines."""
    return "\n".join(map(str, cast("list[object]", value))) if isinstance(value, list) else str(value)


def _unpacked(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]
