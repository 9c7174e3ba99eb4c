r"""Mathematics: problems with an answer, judged by equivalence (`termgym.equivalence`).

    math:                                        a small set that ships with termgym
    math:aime.jsonl                              one's own, or a public set that has been downloaded
    math:hf://ORG/NAME?split=test&columns=problem:question,answer:gold

What counts of a row is a problem (`problem`, `question`, `prompt`) and its answer: `answer`, `expected_answer`, what
comes after the last `####` of a worked answer (GSM8K), or the last `\boxed{}` of a `solution` (MATH).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from termgym import dataset, equivalence
from termgym.dataset import Row
from termgym.family import turns
from termgym.heredoc import heredoc
from termgym.sources import WORKDIR, Shelf, Source
from termgym.task import File, Limits, Task

PROBLEM = ("problem", "question", "prompt", "input", "Problem")
ANSWER = ("answer", "expected_answer", "final_answer", "ground_truth", "reward_model.ground_truth", "Answer")
SOLUTION = ("solution", "Solution", "generated_solution")
ASKS = (
    "{problem}\n\n{form}\n",
    "Solve this problem. {form}\n\n{problem}\n",
    "{form}\n\nThe problem:\n\n{problem}\n",
    "Here is a problem in mathematics:\n\n{problem}\n\nWork it out, by hand or with this machine. {form}\n",
)
FORM = "Write the answer alone, as one line, into {path}: a number, or an expression in LaTeX or as one types it."
WRONG = {"wrong/nothing": "", "wrong/other": "-0.70710678", "wrong/unsaid": "the answer", "wrong/broken": r"\frac{"}
KEPT_CHARACTERS = 500
"""A longer answer is none that can be compared."""


def task_of(row: Row) -> Task:
    """The task of a row.

    Raises:
        TaskError: The row has no problem or no answer.
    """
    problem, answer = row.text(*PROBLEM).strip(), _answer(row)
    path = f"{WORKDIR}/{row.choose(('answer.txt', 'solution.txt', 'result.txt'))}"
    typed = heredoc(f"cat > {path}", answer)
    return Task(
        id=f"math/{row.set}@{row.id}",
        instruction=row.choose(ASKS).format(problem=problem, form=FORM.format(path=path)),
        checks=equivalence.checks(path, answer),
        tests=equivalence.tests(),
        oracle=turns((typed, f"cat {path}\n")) if typed else (),
        solution={f"{name}.sh": _writes(path, text) for name, text in {**WRONG, "solve": answer}.items()},
        limits=Limits(turns=30),
        domain="mathematics",
        level=row.level,
        requires=("python3",),
        licence=row.licence,
        provenance=row.provenance,
    )


def _writes(path: str, text: str) -> File:
    return File.of(f"printf '%s\\n' {quote(text)} > {path}\n", 0o755)


def _answer(row: Row) -> str:
    """On one line."""
    if row.get(*ANSWER) is None and row.get(*SOLUTION) is not None:
        text = _boxed(row.text(*SOLUTION))
        if not text:
            raise row.error("solution", r"has no \boxed{} in it, and the row has no answer")
    else:
        text = row.text(*ANSWER).rpartition("####")[2]
    text = " ".join(text.split())
    if not text or len(text) > KEPT_CHARACTERS:
        raise row.error("answer", f"has {len(text)} characters; expected 1 to {KEPT_CHARACTERS}")
    return text


def _boxed(text: str) -> str:
    r"""What the last \boxed{} holds, braces of its own included, or nothing."""
    begin = max(text.rfind(r"\boxed{"), text.rfind(r"\fbox{"))
    depth = 0
    for match in re.finditer(r"(?<!\\)[{}]", text[begin:] if begin >= 0 else ""):
        depth += 1 if match[0] == "{" else -1
        if not depth:
            inside = text[begin : begin + match.start()]
            return inside.partition("{")[2]
    return ""


def open_rows(path: Path, options: Mapping[str, str]) -> Shelf:
    """The tasks of a data set."""
    return dataset.shelf(path, options, "math", task_of)


SOURCE = Source("math", "Problems with an answer: of a data set, or a few of our own.", open_rows, dataset.OPTIONS)
