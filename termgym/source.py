"""Where an environment's tasks come from: a family's name, a query, a task, a folder, tasks of others, or a list."""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from termgym.errors import TaskError, UnknownName
from termgym.family import Family, find_family
from termgym.proof import proven
from termgym.query import Query, is_query
from termgym.sources import Shelf, is_spec, open_source
from termgym.split import SPLITS, of_split
from termgym.task import Task

Wanted = str | Path | Task | Family
HOST_PATH = ("/usr/bin", "/usr/sbin", "/bin", "/sbin")
TRAIN = SPLITS["train"]
AT_ONCE = 200
"""Of so many tasks of a source each is read at once, so that one that cannot be used is told at once."""
Choice = Task | Family | Shelf


@runtime_checkable
class Sampler(Protocol):
    """What an environment draws its tasks from."""

    @property
    def choices(self) -> Sequence[Choice]:
        """What there is to draw from."""
        ...

    def draw(self, np_random: np.random.Generator) -> Task:
        """The next task, as `np_random` decides."""
        ...


def sampler(
    wanted: "Sampler | Wanted | Sequence[Wanted] | None", level: int | None = None, seed: int | None = None
) -> Sampler:
    """What is wanted as a sampler: itself if it is one.

    Raises:
        UnknownName: There is no such family.
        TaskError: A task cannot be used, or a level or a seed is given beside a sampler, which has its own.
    """
    if not isinstance(wanted, Sampler):
        return TaskSource(wanted, level, seed)
    if level is not None or seed is not None:
        raise TaskError(f"level and seed are for {type(wanted).__name__} to draw; leave them out")
    return wanted


class TaskSource:
    """Draws tasks, all alike."""

    def __init__(
        self, wanted: Wanted | Sequence[Wanted] | None = None, level: int | None = None, seed: int | None = None
    ) -> None:
        """`wanted` None is every family of the training split that this host has the programs for.

        Seeds are drawn from those of the split that a query names, else from those for training; `level` and `seed`
        fix what a family makes. A string is the name of a family, a query for some (`termgym.query`), `module:name` of
        a family in somebody's module, the path of a task folder, or `format:path` (`termgym.sources`).

        Raises:
            UnknownName: There is no such family, domain or skill.
            TaskError: No family is as a query wants it, a task folder is malformed, or a program is missing that a
                named family requires.
        """
        if wanted is None:
            self.choices: list[Choice] = [f for f in of_split(TRAIN, proven().values()) if not missing(f.requires)]
            self.seeds = TRAIN.seeds
        else:
            listed = [wanted] if isinstance(wanted, str | Path | Task | Family) else wanted
            level, self.seeds = _level(listed, level), _seeds(listed)
            self.choices = [choice for one in listed for choice in _resolve(one)]
        if not self.choices:
            raise TaskError("there are no tasks to draw from: the list of tasks is empty")
        for choice in self.choices:
            _check(choice, level)
        self.level, self._seed = level, seed

    def draw(self, np_random: np.random.Generator) -> Task:
        """The next task."""
        choice = self.choices[int(np_random.integers(len(self.choices)))]
        if isinstance(choice, Task):
            return choice
        if isinstance(choice, Shelf):
            task = choice[int(np_random.integers(len(choice)))]
            _check(task, None)
            return task
        drawn = int(np_random.integers(self.seeds.start, self.seeds.stop))
        level = int(np_random.integers(1, choice.levels + 1)) if self.level is None else self.level
        return choice.task(drawn if self._seed is None else self._seed, level)


def missing(programs: Sequence[str]) -> list[str]:
    """Those of `programs` that a sandbox with the host's userland would not have."""
    return [name for name in programs if not any(os.access(f"{folder}/{name}", os.X_OK) for folder in HOST_PATH)]


def _level(listed: Sequence[Wanted], level: int | None) -> int | None:
    """The level that is given, or else the one that queries ask for."""
    asked = {query.level for query in map(_query, listed) if query} - {None}
    if level is None and len(asked) > 1:
        raise TaskError(f"the queries ask for the levels {', '.join(map(str, sorted(filter(None, asked))))}; give one")
    return next(iter(asked)) if level is None and asked else level


def _seeds(listed: Sequence[Wanted]) -> range:
    """The seeds of the split that queries ask for, else those for training."""
    asked = {query.split.name for query in map(_query, listed) if query and query.split}
    if len(asked) > 1:
        raise TaskError(f"the queries ask for the splits {', '.join(sorted(asked))}; give one")
    return SPLITS[next(iter(asked), TRAIN.name)].seeds


def _query(wanted: Wanted) -> Query | None:
    return Query.parse(wanted) if isinstance(wanted, str) and is_query(wanted) else None


def _resolve(wanted: Wanted) -> Sequence[Choice]:
    if isinstance(wanted, Task | Family):
        return [wanted]
    if query := _query(wanted):
        return [family for family in query.families() if not missing(family.requires)]
    if isinstance(wanted, Path) or wanted.startswith(("/", "./", "../", "~")):
        return [Task.load(Path(wanted).expanduser())]
    if is_spec(wanted):
        shelf = open_source(wanted)
        return list(shelf) if len(shelf) <= AT_ONCE else [shelf]
    module, colon, name = wanted.partition(":")
    return [_imported(module, name) if colon else find_family(wanted)]


def _imported(module: str, name: str) -> Family:
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise TaskError(f"cannot import {module!r} for the task {module}:{name}: {error}") from error
    known = {value.name: value for value in vars(found).values() if isinstance(value, Family)}
    if name not in known:
        raise UnknownName(f"task family in {module}", name, known)
    return known[name]


def _check(choice: Choice, level: int | None) -> None:
    if isinstance(choice, Shelf):
        return  # each task when it is drawn
    name = choice.name if isinstance(choice, Family) else choice.id
    if isinstance(choice, Family) and level is not None and not 1 <= level <= choice.levels:
        raise TaskError(f"{name} has levels 1 to {choice.levels}, not {level}")
    lacking = [] if isinstance(choice, Task) and choice.image else missing(choice.requires)
    if lacking:
        raise TaskError(f"{name} needs {', '.join(lacking)}, not installed on this host; install it, or give an image")
