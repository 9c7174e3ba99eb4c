"""Bugs for a repository that has tests: seeded mutants that make some test fail, as rows for `swe:` (envs/swe.py).

The tests run in sandboxes, never here: once for the repository as it is, once for each mutant. One whose tests all go
on passing, or all fail, is no task.
"""

import difflib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from termgym import repository, suite
from termgym.errors import TaskError
from termgym.mutation import Mutant, mutants
from termgym.sandbox import SandboxSpec, close_shared, new_sandbox
from termgym.task import File

FOLDER = "/app/repository"
TEST_S = 10.0
WORD = "-"
"""What lines of results begin with, where nobody would forge them."""
ISSUES = (
    "Since the last change {tests} of {module} no longer pass{es}:\n\n{failures}\n\nThey did before.",
    "{module} does not do what it says any more. What I see:\n\n{failures}",
    "After an edit of {function} in {module} these tests fail:\n\n{failures}\n\nThey are right, it is not.",
    "Our build is broken. It says:\n\n{failures}\n\nI have not found out where in the program it comes from.",
)


@dataclass(frozen=True, slots=True)
class Bug:
    """A mutant that tests notice."""

    path: str
    mutant: Mutant
    failing: Mapping[str, str]
    """Test -> why it fails."""
    passing: tuple[str, ...]


async def bugs(files: Mapping[str, File], seed: int, kind: str = "namespace", image: str = "") -> AsyncIterator[Bug]:
    """Bugs of a repository's files, in an order that the seed decides, until no mutant is left.

    Raises:
        TaskError: It has no tests, or some of them fail as it is.
    """
    baseline = await results(files, kind, image)
    if not baseline or any(baseline.values()):
        failing = ", ".join(name for name, why in baseline.items() if why)[:200]
        raise TaskError(
            f"the repository's tests have to pass, and {f'these fail: {failing}' if failing else 'it has none'}"
        )
    candidates = [(path, mutant) for path, file in sorted(files.items()) for mutant in _mutants(path, file)]
    Random(seed).shuffle(candidates)
    for path, mutant in candidates:
        found = await results({**files, path: File.of(mutant.text, files[path].mode)}, kind, image)
        failing = {name: found.get(name, "it does not run") for name in baseline if found.get(name, "?")}
        passing = tuple(name for name in baseline if name not in failing)
        if failing and passing:
            yield Bug(path, mutant, failing, passing)


def _mutants(path: str, file: File) -> list[Mutant]:
    if not path.endswith(".py") or suite.is_test(path) or path == "setup.py":
        return []
    try:
        return mutants(file.content.decode())
    except (SyntaxError, ValueError):
        return []


async def write(place: Path, ref: str, out: Path, n: int, seed: int, image: str = "") -> int:
    """Write rows of up to `n` bugs of a repository, or of a plain folder, each when it is found; returns how many.

    Raises:
        TaskError: There is no such repository, or its tests do not pass.
    """
    git = repository.folder_of(place)
    commit = repository.commit(git, ref) if git else ""
    files = repository.files_of(place, commit)
    found = 0
    try:
        with out.open("w", encoding="utf-8") as file:
            async for bug in bugs(files, seed, image=image):
                found += 1
                file.write(json.dumps(row(bug, files, place.resolve().name.removesuffix(".git"), commit, found)) + "\n")
                file.flush()
                if found == n:
                    break
    finally:
        await close_shared()
    return found


async def results(files: Mapping[str, File], kind: str, image: str) -> dict[str, str]:
    """Test -> why it fails, or nothing, of all that unittest finds."""
    sandbox = new_sandbox(kind, SandboxSpec(image, FOLDER))
    try:
        await sandbox.start()
        await sandbox.put({f"{FOLDER}/{path}": file for path, file in files.items()})
        done = await sandbox.exec(["/bin/bash", "-c", suite.command(WORD, [])], cwd=FOLDER, timeout_s=TEST_S)
    finally:
        await sandbox.close()
    return suite.passed(done.stdout.decode(errors="replace"), WORD)


def row(bug: Bug, files: Mapping[str, File], repo: str, commit: str, number: int) -> dict[str, Any]:
    """A row in SWE-bench's columns, and `bug`, which breaks the repository first."""
    old, rng = files[bug.path].content.decode(), Random(f"{repo} {number} {bug.mutant.line}")
    failures = "\n".join(f"    {name}: {why}" for name, why in sorted(bug.failing.items())[:5])
    several = len(bug.failing) > 1
    issue = rng.choice(ISSUES).format(
        module=bug.path,
        function=bug.mutant.function,
        failures=failures,
        tests=f"{len(bug.failing)} tests" if several else "a test",
        es="" if several else "es",
    )
    return {
        "instance_id": f"{repo.replace('/', '__')}-bug-{number}",
        "repo": repo,
        "base_commit": commit,
        "problem_statement": issue,
        "bug": _diff(bug.path, old, bug.mutant.text),
        "patch": _diff(bug.path, bug.mutant.text, old),
        "FAIL_TO_PASS": sorted(bug.failing),
        "PASS_TO_PASS": sorted(bug.passing),
    }


def _diff(path: str, before: str, after: str) -> str:
    lines = [text.splitlines(keepends=True) for text in (before, after)]
    marked = difflib.unified_diff(lines[0], lines[1], f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in marked)
