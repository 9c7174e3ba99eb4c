"""A family: a seeded generator of tasks, and the registry of all that there are.

Each module termgym.envs.AREA.NAME with a `FAMILY` is one, called "AREA/NAME" (with dashes for underscores); putting a
file there is all that adding a family takes.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

import termgym.envs
from termgym.errors import TaskError, UnknownName
from termgym.protocol import Command
from termgym.task import Check, File, Limits, Task


@dataclass(frozen=True, slots=True)
class Draft:
    """What a family's generator makes: a task less what the family itself says, and solutions that are wrong."""

    instruction: str
    checks: tuple[Check, ...]
    oracle: tuple[str | Command, ...]
    """Keystrokes, one turn each, that score 1."""
    wrong: Mapping[str, tuple[str | Command, ...]]
    """Name -> keystrokes of a plausible mistake, or of a cheat, that must score below 1. At least three."""
    files: Mapping[str, File] = field(default_factory=dict[str, File])
    setup: str = ""
    tests: Mapping[str, File] = field(default_factory=dict[str, File])
    solve: str = ""
    """A bash script that solves it, where the oracle's keystrokes are not one (an editor's, say)."""
    limits: Limits = field(default_factory=Limits)
    workdir: str = "/app"


@dataclass(frozen=True, slots=True)
class Family:
    """A generator of tasks: `(seed, level) -> Task` is a pure function."""

    name: str
    """As in `task="files/rename-by-date"`."""
    summary: str
    """One line: what the agent has to do."""
    domain: str
    """One of `task.DOMAINS`."""
    skills: tuple[str, ...]
    """What it composes from level 1, by names of `skill.SKILLS`."""
    generate: Callable[[Random, int], Draft]
    deeper: Mapping[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]], hash=False)
    """Level -> the skills that it adds."""
    levels: int = 5
    """Difficulties 1 to this one; a level changes size, distractors, skills and turns needed, not only numbers."""
    requires: tuple[str, ...] = ()
    """Programs that the sandbox must have beyond bash and coreutils."""
    version: int = 1
    """Raised whenever the same seed gives another task than before."""

    def skills_at(self, level: int) -> tuple[str, ...]:
        """What a task of this level composes."""
        added = (skill for start, skills in sorted(self.deeper.items()) if start <= level for skill in skills)
        return (*self.skills, *added)

    def draft(self, seed: int, level: int = 1) -> Draft:
        """The generator's output for a seed, which decides everything about it."""
        if not 1 <= level <= self.levels:
            raise ValueError(f"{self.name} has levels 1 to {self.levels}, not {level}")
        return self.generate(Random(f"{self.name} {self.version} {seed} {level}"), level)

    def task(self, seed: int, level: int = 1) -> Task:
        """The task of a seed and level."""
        draft = self.draft(seed, level)
        return Task(
            id=f"{self.name}@{seed}.{level}",
            instruction=draft.instruction,
            files=draft.files,
            setup=draft.setup,
            checks=draft.checks,
            tests=draft.tests,
            oracle=turns(draft.oracle),
            solution={"solve.sh": File.of(draft.solve, 0o755)} if draft.solve else {},
            workdir=draft.workdir,
            limits=draft.limits,
            domain=self.domain,
            skills=self.skills_at(level),
            level=level,
            requires=self.requires,
            licence="Apache-2.0",
            provenance=f"termgym {self.name} v{self.version}",
        )

    def wrong(self, seed: int, level: int = 1) -> dict[str, tuple[Command, ...]]:
        """Name -> keystrokes of solutions that must score below 1."""
        return {name: turns(keys) for name, keys in self.draft(seed, level).wrong.items()}


def turns(keystrokes: tuple[str | Command, ...]) -> tuple[Command, ...]:
    """Keystrokes as commands, each given the time that a slow machine may need."""
    return tuple(Command(keys, 30.0) if isinstance(keys, str) else keys for keys in keystrokes)


@cache
def families() -> dict[str, Family]:
    """Name -> family, for every module of termgym.envs that has one, in the order of their names."""
    return {name: _family(name) for name in family_names()}


@cache
def family_names() -> tuple[str, ...]:
    """The names of all families, sorted; imports none of them."""
    return tuple(sorted(_names()))


def _names() -> Iterator[str]:
    for folder in map(Path, termgym.envs.__path__):
        for path in folder.glob("*/[!_]*.py"):
            yield f"{path.parent.name}/{path.stem.replace('_', '-')}"


def _family(name: str) -> Family:
    module = importlib.import_module(f"termgym.envs.{name.replace('/', '.').replace('-', '_')}")
    family: Family = module.FAMILY
    if family.name != name:
        raise TaskError(f"{module.__name__}: FAMILY is called {family.name!r}; expected {name!r}, as its file is")
    return family


def find_family(name: str) -> Family:
    """The family called `name`.

    Raises:
        UnknownName: There is none; the message suggests what was meant.
    """
    if name not in family_names():
        raise UnknownName("task family", name, family_names())
    return _family(name)
