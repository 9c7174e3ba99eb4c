"""Tasks, and what a GRPOTrainer takes to train on them."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import cached_property, partial
from importlib import import_module
from typing import Any
from zlib import crc32

import numpy as np

from termgym.agent import Agent, Model, Sampling
from termgym.attempt import Attempt
from termgym.errors import TaskError
from termgym.policy import PolicyMaker
from termgym.rollout import Rollout
from termgym.setting import Setting
from termgym.source import Sampler, Wanted
from termgym.task import Task
from termgym.trajectory import Trajectory
from termgym.trl.home import Home
from termgym.trl.policy import Bounded, model_of, row
from termgym.trl.tool import TerminalTool, judged


class TerminalSpec:
    """Its properties are the trainer's arguments of the same names."""

    def __init__(
        self,
        task: Sampler | Wanted | Sequence[Wanted] | None = None,
        count: int = 256,
        *,
        level: int | None = None,
        seed: int = 0,
        concurrency: int = 64,
        max_tokens: int = 2048,
        thinking: bool | None = None,
        **options: Any,
    ) -> None:
        """Draw the tasks; nothing runs before the trainer asks for it.

        Args:
            task: What to draw from, as for `termgym.setting.Setting.of`.
            count: Tasks of the data set.
            level: The families' difficulty, from 1; None draws one.
            seed: Of the draw.
            concurrency: Episodes of a rollout that act at a time.
            max_tokens: Of one answer. TRL's `max_completion_length` is for all of an episode behind its first prompt.
            thinking: For chat templates that can switch it.
            options: More of `Setting.of`: reward, limits, sandbox, ...

        Raises:
            UnknownName: Something is not known by the name given; the message suggests what was meant.
            TaskError: A task cannot be used.
        """
        self.setting = Setting.of(task, level=level, **options)
        random = np.random.default_rng(seed)
        self.tasks = [self.setting.source.draw(random) for _ in range(count)]
        self._known = {task.digest: task for task in self.tasks}
        self._home, self._concurrency = Home(self.setting, concurrency), concurrency
        self._max_tokens, self._thinking = max_tokens, thinking
        self._seed, self._rollouts = seed, itertools.count()

    @cached_property
    def train_dataset(self) -> Any:
        """A `datasets.Dataset`: `prompt`, `task` (its id) and `digest`, by which the others know the task."""
        rows = [{"prompt": _prompt(task), "task": task.id, "digest": task.digest} for task in self.tasks]
        return import_module("datasets").Dataset.from_list(rows)

    @property
    def reward_funcs(self) -> list[Callable[..., list[float | None]]]:
        """The verifiers' verdicts."""
        return [self.verified]

    def verified(
        self, environments: Sequence[TerminalTool] = (), reward: Sequence[float | None] = (), **row: Any
    ) -> list[float | None]:
        """The rewards of completions: those that the rollout found, or of environments, which are judged at once."""
        return self._home.thread.run(judged(environments)) if environments else list(reward)

    @property
    def environment_factory(self) -> Callable[[], TerminalTool]:
        """What makes a terminal as a tool."""
        return partial(TerminalTool, self._home, self.find)

    def rollout_func(self, prompts: Sequence[Any], trainer: Any) -> dict[str, list[Any]]:
        """Whole episodes by the trainer's model, one for each prompt, all at once."""
        sampling = Sampling(trainer.temperature, trainer.top_p, trainer.top_k, self._max_tokens)
        seed = self._next_seed(trainer)

        with model_of(trainer, sampling, self._thinking, seed) as model:

            def by_trainer(task: Task, seed: int) -> Agent:
                return Bounded(model, sampling, seed, trainer.max_completion_length)

            ended = self._home.thread.run(self._run(self._attempts(prompts, by_trainer, seed), model))
        rows = [row(one, self._score(one), trainer.eos_token_ids[0]) for one in ended]
        return {name: [one[name] for one in rows] for name in rows[0]}

    def find(self, digest: str) -> Task:
        """The task of a row.

        Raises:
            TaskError: It is none of these.
        """
        if digest not in self._known:
            raise TaskError(f"no task of this TerminalSpec has the digest {digest!r}; train on its train_dataset")
        return self._known[digest]

    def close(self) -> None:
        """Drop every sandbox, as the process's end does; what is asked for next begins anew."""
        self._home.close()

    def _next_seed(self, trainer: Any) -> int:
        """Another one for each rollout, step and process."""
        numbers = (self._seed, next(self._rollouts), trainer.state.global_step, trainer.accelerator.process_index)
        return crc32(repr(numbers).encode())

    def _attempts(self, prompts: Sequence[Any], policy: PolicyMaker, seed: int) -> list[Attempt]:
        """One for each prompt. Each is a group by itself here: TRL makes the groups."""
        seen: Counter[str] = Counter()
        attempts: list[Attempt] = []
        for number, prompt in enumerate(prompts):
            task = self.find(prompt[-1].get("digest", ""))
            limits = self.setting.limits_of(task)
            attempts.append(Attempt(task, policy, seen[task.digest], seed, limits=limits, group=number))
            seen[task.digest] += 1
        return attempts

    async def _run(self, attempts: Sequence[Attempt], model: Model) -> list[Trajectory]:
        """How each ended, at its last try."""
        found: dict[int, Trajectory] = {}
        rollout = Rollout(attempts, self._home.pool, concurrency=self._concurrency, config=self.setting.config)
        try:
            async with aclosing(rollout.trajectories()) as ended:
                async for one in ended:
                    found[one.group] = one
        finally:
            await model.close()
        return [found[number] for number in range(len(attempts))]

    def _score(self, one: Trajectory) -> float | None:
        return one.binary if self.setting.reward == "binary" else one.dense


def _prompt(task: Task) -> list[dict[str, str]]:
    """What TRL logs, and how a rollout knows its task: TRL hands it nothing else of a row."""
    return [{"role": "user", "content": task.opening, "digest": task.digest}]
