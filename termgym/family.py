"""A family: a seeded generator of tasks, and the registry of all that there are.

Each module of termgym.envs with a `FAMILY` is one; putting a file there is all that adding a family takes.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from random import Random

import termgym.envs
from termgym.errors import UnknownName
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
    """Name -> keystrokes of a plausible mistake, or of a cheat, that must score below 1. At least two."""
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
    skills: tuple[str, ...]
    generate: Callable[[Random, int], Draft]
    levels: int = 3
    """Difficulties 1 to this one; a level changes size, distractors and steps, not only numbers."""
    requires: tuple[str, ...] = ()
    """Programs that the sandbox must have beyond bash and coreutils."""
    version: int = 1
    """Raised whenever the same seed gives another task than before."""

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
            skills=self.skills,
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
    found: dict[str, Family] = {}
    for module in pkgutil.iter_modules(termgym.envs.__path__, "termgym.envs."):
        family = getattr(importlib.import_module(module.name), "FAMILY", None)
        if isinstance(family, Family):
            found[family.name] = family
    return dict(sorted(found.items()))


def find_family(name: str) -> Family:
    """The family called `name`.

    Raises:
        UnknownName: There is none; the message suggests what was meant.
    """
    if name not in families():
        raise UnknownName("task family", name, families())
    return families()[name]
