"""Mutants of a Python program: the same text with one place changed, as a slip of the hand would change it.

The changes are those of mutation testing: another comparison, another operator, a constant off by one, a condition
turned round, `and` for `or`. Only the changed span of the text is another; formatting and comments stay.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
OPERATORS = {"+": "-", "-": "+", "*": "+", "//": "/", "/": "//", "%": "//"}
WORDS = {"and": "or", "or": "and", "in": "not in", "not in": "in", "is": "is not", "is not": "is"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change."""

    text: str
    """The whole program, changed."""
    function: str
    """Dotted name of the innermost function that it lies in."""
    line: int
    """From 1."""


def mutants(text: str) -> list[Mutant]:
    """Every change of a function's body that there is, in the order of the text.

    Raises:
        SyntaxError: It is no Python.
    """
    data, starts = text.encode(), [0]
    for line in data.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)

    def at(line: int, column: int) -> int:
        return starts[line - 1] + column

    found: list[tuple[int, Mutant]] = []
    for name, node in _nodes(ast.parse(text), ""):
        for begin, end, new in _changes(node, data, at):
            changed = (data[:begin] + new.encode() + data[end:]).decode()
            if _parses(changed):
                found.append((begin, Mutant(changed, name, data.count(b"\n", 0, begin) + 1)))
    return [mutant for _, mutant in sorted(found, key=lambda pair: pair[0])]


def _nodes(node: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
    """The expressions in functions, each with its function's name; annotations and decorators are none."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{name}.{child.name}".lstrip(".")
            for statement in child.body:
                yield from _below(statement, inner)
        elif isinstance(child, ast.ClassDef):
            yield from _nodes(child, f"{name}.{child.name}".lstrip("."))


def _below(node: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
    yield name, node
    for child in ast.iter_child_nodes(node):
        yield from _below(child, name)


def _changes(node: ast.AST, data: bytes, at: Callable[[int, int], int]) -> Iterator[tuple[int, int, str]]:
    """The spans to be replaced in a node, and what by."""

    def span(one: ast.expr) -> tuple[int, int]:
        assert one.end_lineno is not None and one.end_col_offset is not None
        return at(one.lineno, one.col_offset), at(one.end_lineno, one.end_col_offset)

    match node:
        case ast.Compare(left=left, comparators=[right]):
            yield from _between(data, span(left)[1], span(right)[0], COMPARISONS | WORDS)
        case ast.BinOp(left=left, right=right):
            yield from _between(data, span(left)[1], span(right)[0], OPERATORS)
        case ast.AugAssign(target=left, value=right):
            yield from _between(data, span(left)[1], span(right)[0], OPERATORS)
        case ast.BoolOp(values=[left, right, *_]):
            yield from _between(data, span(left)[1], span(right)[0], WORDS)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield span(node)[0], span(operand)[0], ""
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if not isinstance(test, ast.UnaryOp):
            begin, end = span(test)
            yield begin, end, f"not ({data[begin:end].decode()})"
        case ast.Constant(value=value) if isinstance(value, bool):
            yield *span(node), str(not value)
        case ast.Constant(value=value) if isinstance(value, int):
            yield *span(node), str(value + 1)
        case _:
            pass


def _between(data: bytes, begin: int, end: int, known: dict[str, str]) -> Iterator[tuple[int, int, str]]:
    """The operator that stands between two operands."""
    words = "|".join(re.escape(word).replace("\\ ", r"\s+") for word in sorted(known, key=len, reverse=True))
    found = re.search(words.encode(), data[begin:end])
    if found:
        old = " ".join(found[0].decode().split())
        yield begin + found.start(), begin + found.end(), known[old]


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
