"""A plan: which episodes an evaluation runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from termgym.attempt import Attempt
from termgym.needs import check
from termgym.policy import PolicyMaker
from termgym.source import TRAIN, Choice, TaskSource, Wanted
from termgym.sources import Shelf
from termgym.task import Limits, Task


@dataclass(frozen=True, slots=True)
class Plan:
    """The attempts of an evaluation; iterating makes their tasks, one by one."""

    policy: str | PolicyMaker
    choices: Sequence[Choice]
    level: int | None = None
    """The families' difficulty; None is each level in turn."""
    episodes: int = 1
    """Tasks of each family; a task that is given as such is one."""
    attempts: int = 1
    """At each task."""
    seed: int = 0
    """The first of the families' seeds, counted from the first of their split, and the policy's."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    limits: Limits | None = None
    seeds: range = TRAIN.seeds

    @classmethod
    def of(
        cls,
        policy: str | PolicyMaker,
        wanted: Sequence[Wanted] | None = None,
        *,
        sandbox: str = "namespace",
        network: str = "task",
        **fields: Any,
    ) -> "Plan":
        """A plan by the names of families, queries or the paths of task folders; None is all families that run here.

        `sandbox` and `network` are those of the `EpisodeConfig` to come: what cannot be run so is refused here.

        Raises:
            UnknownName: There is no such family.
            TaskError: A task cannot be used, or the host lacks a program that it requires.
        """
        source = TaskSource(wanted, fields.get("level"))
        for choice in source.choices:
            if isinstance(choice, Task):
                check(choice, sandbox, network)
        fields |= {"level": source.level, "seeds": source.seeds}
        return cls(policy, source.choices, **fields)

    def __len__(self) -> int:
        """How many attempts it comes to."""
        return self.attempts * sum(map(self._count, self.choices))

    def _count(self, choice: Choice) -> int:
        if isinstance(choice, Shelf):
            return len(choice)
        return 1 if isinstance(choice, Task) else self.episodes

    def __iter__(self) -> Iterator[Attempt]:
        for group, task in enumerate(self._tasks()):
            for number in range(self.attempts):
                yield Attempt(task, self.policy, number, self.seed, self.options, self.limits, group)

    def _tasks(self) -> Iterator[Task]:
        for choice in self.choices:
            if isinstance(choice, Task):
                yield choice
                continue
            if isinstance(choice, Shelf):
                yield from choice
                continue
            for number in range(self.episodes):
                yield choice.task(self.seeds[self.seed + number], self.level or 1 + number % choice.levels)
