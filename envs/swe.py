"""Repositories with something to mend, as in SWE-bench: an issue, tests that fail before and pass after, and a patch.

    swe:                                       a small set that ships with termgym
    swe:verified.jsonl?repos=mirrors           SWE-bench's columns; mirrors/OWNER__NAME[.git] or mirrors/OWNER/NAME
    swe:hf://ORG/NAME?split=test&repos=mirrors
    swe:bugs.jsonl?repos=mine                  as `termgym generate bugs` writes them

What counts of a row is `repo`, `base_commit` (a repository without one is a plain folder), `problem_statement`,
`FAIL_TO_PASS` and `PASS_TO_PASS`, `patch`, which mends it, `test_patch`, and `bug`, a patch that breaks it first. The
agent finds the work tree with a history of one commit: what came later is not there. What the tests import beyond the
standard library has to be in the image (`image`). `termgym.suite` says how tests are run, and what that is worth.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import Any, cast

from termgym import dataset, repository, suite
from termgym.dataset import Row
from termgym.family import turns
from termgym.heredoc import heredoc
from termgym.sources import WORKDIR, Shelf, Source
from termgym.task import Check, File, Limits, Resources, Task

ISSUE = ("problem_statement", "issue", "problem")
ASKS = (
    "The repository in {folder} has this issue:\n\n{issue}\n\nChange the program so that it is solved. {tests}\n",
    "Solve the following issue of the project in {folder}. {tests}\n\n{issue}\n",
    "{folder} is a checkout of {name}.\n\n{issue}\n\nPlease mend this. {tests}\n",
    "You maintain {name}; its repository is {folder}. Somebody reports:\n\n{issue}\n\nMend the program. {tests}\n",
)
TESTS = (
    "It is judged by tests of what the issue asks for, and by tests that pass now and have to go on passing. Changes to"
    " tests do not count: the project's own are put back before they are run."
)
SETUP = """\
export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=maintainers GIT_AUTHOR_EMAIL=maintainers@example.org GIT_AUTHOR_DATE='2025-01-01T00:00:00Z'
export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
git init -q -b main && git add -A -f && git commit -q --no-gpg-sign -m 'The state of the project'
"""
APPLY = "git apply --whitespace=nowarn"
JUDGE = """\
while IFS= read -r line; do
  grep -aqxF -- "$line" "/tests/runs/${0##*/}/stdout" || exit 1
done <"expected/${0##*/}.txt"
"""
_files_of = lru_cache(maxsize=4)(repository.files_of)
GROUPS = 4
"""Checks of each kind, at most; each has ten seconds for its tests."""


def task_of(repos: Path, row: Row) -> Task:
    """The task of a row, whose repositories lie in a folder.

    Raises:
        TaskError: A column is missing, there is no such repository, or a patch does not apply.
    """
    files = _tree(row, repos)
    called = row.text("repo").rpartition("/")[2].rpartition("__")[2]
    folder = f"{WORKDIR}/{called}"
    after = repository.patched(files, patch, row.where) if (patch := str(row.get("test_patch") or "")) else files
    word, groups = sha256(row.digest).hexdigest()[:20], dict(_groups(row))
    by_pytest = any("::" in test for _, tests in groups.values() for test in tests)
    restore = suite.restored(after)
    asked = row.choose(ASKS).format(folder=folder, name=called, issue=row.text(*ISSUE).strip(), tests=TESTS)
    return Task(
        id=f"swe/{row.set}@{row.id}",
        instruction=asked,
        files={f"{folder}/{path}": file for path, file in files.items()},
        setup=SETUP,
        checks=tuple(
            Check(key, JUDGE, weight, f"cd {quote(folder)} || exit 1\n{restore}{suite.command(word, tests)}")
            for key, (weight, tests) in groups.items()
        ),
        tests={f"expected/{key}.txt": _expected(word, tests) for key, (_, tests) in groups.items()},
        oracle=turns(_oracle(row)),
        solution=_solution(row, folder),
        workdir=folder,
        resources=Resources(memory_mb=2048, storage_mb=1024),
        limits=Limits(turns=100, wall_s=1800, verifier_s=60 + 10.0 * len(groups)),
        domain="debugging",
        level=row.level,
        requires=("git", "python3", "xz", *(["pytest"] if by_pytest else [])),
        licence=row.licence,
        provenance=row.provenance,
    )


def _tree(row: Row, repos: Path) -> Mapping[str, File]:
    """The files before the agent comes."""
    name, commit = row.text("repo"), str(row.get("base_commit") or "")
    places = [repos / form for form in (name, name.replace("/", "__"), name.rpartition("/")[2])]
    places += [place.with_name(f"{place.name}.git") for place in places]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise row.error("repo", f"{name!r}: there is no {places[0]} nor {places[1]}; repos=FOLDER says where they are")
    files = _files_of(found, commit)
    bug = str(row.get("bug") or "")
    return repository.patched(files, bug, row.where) if bug else files


def _groups(row: Row) -> Iterator[tuple[str, tuple[float, list[str]]]]:
    """Name of a check -> its weight and its tests. What mends counts three times what must not break."""
    for kind, column, total in (("fail-to-pass", "FAIL_TO_PASS", 3.0), ("pass-to-pass", "PASS_TO_PASS", 1.0)):
        tests = _names(row, column)
        count = min(GROUPS, len(tests))
        for number in range(count):
            yield f"{kind}-{number + 1}", (total / count, tests[number::count])


def _names(row: Row, column: str) -> list[str]:
    """Of tests: a list, or its JSON."""
    value: Any = row.need(column) if column == "FAIL_TO_PASS" else row.get(column) or "[]"
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise row.error(column, f"is {value!r:.80}; expected a list of tests, or its JSON") from error
    if not isinstance(value, list):
        raise row.error(column, f"is {value!r:.80}; expected a list of tests")
    return [str(name) for name in cast("list[object]", value)]


def _expected(word: str, tests: Sequence[str]) -> File:
    return File.of("".join(f"{word} passed {name}\n" for name in tests))


def _oracle(row: Row) -> tuple[str, ...]:
    typed = heredoc(APPLY, patch) if (patch := str(row.get("patch") or "")) else ""
    return (typed, "git diff --stat\n") if typed else ()


def _solution(row: Row, folder: str) -> dict[str, File]:
    """Scripts: the row's patch, and what does not mend anything."""
    ends = "import os\nos._exit(0)\n"
    scripts = {
        "wrong/no-tests.sh": "find . -name 'test*.py' -exec truncate -s 0 {} +\n",
        "wrong/ends-early.sh": f"printf '%s' {quote(ends)} | tee sitecustomize.py conftest.py > usercustomize.py\n",
        "wrong/commits.sh": "git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m Mended\n",
    }
    if patch := str(row.get("patch") or ""):
        scripts["solve.sh"] = f"{APPLY} <<'END-OF-PATCH'\n{patch.rstrip(chr(10))}\nEND-OF-PATCH\n"
    return {path: File.of(f"cd {quote(folder)} || exit 1\n{text}", 0o755) for path, text in scripts.items()}


def open_rows(path: Path, options: Mapping[str, str]) -> Shelf:
    """The tasks of a data set."""
    shipped = dataset.shipped("swe").parent / "repos"
    repos = Path(options["repos"]).expanduser() if "repos" in options else path.parent if path.name else shipped
    return dataset.shelf(path, options, "swe", partial(task_of, repos))


SOURCE = Source(
    "swe", "Repositories with an issue: of a data set, or a few of our own.", open_rows, (*dataset.OPTIONS, "repos")
)
