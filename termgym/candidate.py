"""A candidate: a task whose gates are to be tried, and the wrong solutions that are known of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from termgym.family import Family
from termgym.source import TaskSource
from termgym.sources import is_spec, open_source
from termgym.task import Task

WRONG = "wrong"
"""The folder of wrong solutions, in that of solutions."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task to validate, read when its turn comes."""

    name: str
    load: Callable[[], Task]
    of: tuple[Family, int, int] | None = None
    """The family, seed and level that it is made from, if it is."""

    def wrong(self, task: Task) -> dict[str, Task]:
        """Name -> the task with a wrong solution in place of its own."""
        if self.of is None:
            return scripts(task)
        family, seed, level = self.of
        return {name: replace(task, oracle=keys) for name, keys in family.wrong(seed, level).items()}


def candidates(specs: Sequence[str], n: int = 1, seed: int = 0, level: int | None = None) -> list[Candidate]:
    """What there is to validate: `n` tasks of each family, of its levels in turn, and all tasks of a source.

    Raises:
        UnknownName: There is no such family.
        TaskError: There are no tasks at a path.
    """
    return [candidate for spec in specs for candidate in _candidates(spec, n, seed, level)]


def _candidates(spec: str, n: int, seed: int, level: int | None) -> Iterator[Candidate]:
    if is_spec(spec):
        shelf = open_source(spec)
        yield from (Candidate(name, lambda number=number: shelf[number]) for number, name in enumerate(shelf.names))
        return
    source = TaskSource(spec, level)
    for choice in source.choices:
        if isinstance(choice, Task):
            yield Candidate(choice.id, lambda task=choice: task)
        elif isinstance(choice, Family):
            for number in range(n):
                yield of_family(choice, source.seeds[seed + number], source.level or 1 + number % choice.levels)


def of_family(family: Family, seed: int, level: int) -> Candidate:
    """One of a family's tasks."""
    return Candidate(f"{family.name}@{seed}.{level}", lambda: family.task(seed, level), (family, seed, level))


def scripts(task: Task) -> dict[str, Task]:
    """Name -> the task with one of solution/wrong/*.sh as its solution."""
    found = {path: file for path, file in task.solution.items() if PurePosixPath(path).match(f"{WRONG}/*.sh")}
    return {
        PurePosixPath(path).stem: replace(task, oracle=(), solution={**task.solution, "solve.sh": file})
        for path, file in found.items()
    }
