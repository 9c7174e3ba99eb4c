"""Rollouts: policies meet tasks, many episodes at once on one event loop, each one becoming a trajectory.

There is no barrier between episodes: while some act, the next are made ready and the last are judged, so that the
policies' model waits for nothing but the terminals' answers. An episode that our side failed is a record without a
score, and its attempt is made again in a fresh sandbox.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from termgym.attempt import Attempt, Patience, run_episode
from termgym.breaker import Breaker
from termgym.episode import EpisodeConfig
from termgym.errors import SandboxError
from termgym.outcome import Outcome
from termgym.places import Places
from termgym.policy import PolicyMaker
from termgym.pool import SandboxPool
from termgym.task import Limits, Task
from termgym.trajectory import Trajectory

RETRIES = 2
AHEAD = 4
"""One episode is made ready ahead for so many that act."""


def rollout(
    policy: str | PolicyMaker,
    tasks: Iterable[Task],
    pool: SandboxPool | None = None,
    *,
    group_size: int = 1,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    **how: Any,
) -> "Rollout":
    """`group_size` attempts of a policy at each of the tasks, which are drawn as they are needed.

    Args:
        policy: A policy's name, or what makes one.
        tasks: Each makes a group; there may be no end of them.
        pool: Where sandboxes come from; without one, each is made when it is needed.
        group_size: Attempts in a group: for GRPO, or for pass@k.
        seed: For the policies.
        options: For the policies, where they are given by name.
        limits: In place of the tasks' own.
        how: See `Rollout`.
    """
    attempts = (
        Attempt(task, policy, number, seed, options or {}, limits, group)
        for group, task in enumerate(tasks)
        for number in range(group_size)
    )
    return Rollout(attempts, pool, **how)


class Rollout:
    """The run of many attempts: an asynchronous iterable of their trajectories, in the order in which they end."""

    def __init__(
        self,
        attempts: Iterable[Attempt],
        pool: SandboxPool | None = None,
        *,
        concurrency: int = 8,
        config: EpisodeConfig | None = None,
        retries: int = RETRIES,
        patience: Patience | None = None,
        casts: Callable[[Attempt], Path] | None = None,
        on_turn: Callable[[], object] | None = None,
    ) -> None:
        """Nothing runs before it is iterated over, once.

        Args:
            attempts: Drawn as they are needed.
            pool: Where sandboxes come from.
            concurrency: How many episodes act at a time.
            config: How they are run.
            retries: How often an attempt is made again whose episode was invalid.
            patience: When something is taken to hang.
            casts: Where to record.
            on_turn: Called after each turn of any episode.
        """
        self._attempts, self._again = iter(attempts), deque[Attempt]()
        self._retries, self._breaker = retries, Breaker()
        self.places = Places(concurrency)
        """How long the policies thought, and how long they waited for environments."""
        self._casts = casts
        self._how: dict[str, Any] = {"pool": pool, "config": config, "patience": patience, "on_turn": on_turn}
        self._running: dict[asyncio.Task[Trajectory], tuple[Attempt, float]] = {}

    def __aiter__(self) -> AsyncIterator[Trajectory]:
        return self.trajectories()

    async def trajectories(self) -> AsyncGenerator[Trajectory]:
        """Every episode, the invalid ones too. Closing this, or cancelling who waits for it, closes every sandbox.

        Use `contextlib.aclosing` where it may be left early.

        Raises:
            SandboxUnavailable: This host cannot run such sandboxes.
            SandboxError: Sandboxes fail one after the other: see `termgym.breaker`.
            TaskError: A policy cannot act in its task.
        """
        try:
            given_up = await self._fill()
            while self._running:
                ended = await self._next_ended()
                given_up = given_up or await self._fill()  # before the records are handed out: places are waiting
                for trajectory in ended:
                    yield trajectory
            if given_up:
                raise given_up
        finally:
            for episode in self._running:
                episode.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def groups(self, size: int) -> AsyncGenerator[list[Trajectory]]:
        """The scored episodes of each group, when its last one has ended; a group without any is left out.

        One is smaller than `size` only where attempts came out invalid each time that they were made.
        """
        scored: defaultdict[int, list[Trajectory]] = defaultdict(list)
        settled: defaultdict[int, int] = defaultdict(int)
        async with aclosing(self.trajectories()) as trajectories:
            async for one in trajectories:
                if one.valid:
                    scored[one.group].append(one)
                settled[one.group] += self._final(one)
                if settled[one.group] < size:
                    continue
                del settled[one.group]
                if group := scored.pop(one.group, []):
                    yield sorted(group, key=lambda one: one.attempt)

    def _final(self, one: Trajectory) -> bool:
        return one.valid or one.retry >= self._retries

    async def _next_ended(self) -> list[Trajectory]:
        """The episodes that have ended; none if one has only left its place, which makes room for another."""
        left = asyncio.ensure_future(self.places.left.wait())
        done, _ = await asyncio.wait({*self._running, left}, return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        return [self._ended(episode) for episode in list(self._running) if episode in done]

    def _room(self) -> bool:
        """Whether another may begin: only so many are made ready ahead, and only so many wait for their verdict."""
        count, running, judged = self.places.count, len(self._running), len(self.places.gone)
        ahead = 1 + count // AHEAD
        return running - judged < count + ahead and judged < count + ahead

    async def _fill(self) -> SandboxError | None:
        """Start what may run; why no more is started, where sandboxes fail one after the other."""
        self.places.left.clear()  # before the look: who leaves from now on wakes `_next_ended`
        while self._room() and (attempt := self._next()):
            try:
                await self._breaker.ready()
            except SandboxError as error:
                return error
            cast = self._casts(attempt) if self._casts else None
            episode = run_episode(attempt, places=self.places, cast=cast, **self._how)
            self._running[asyncio.create_task(episode)] = attempt, time.monotonic()
        if self._room():
            self.places.drain()
        return None

    def _next(self) -> Attempt | None:
        return self._again.popleft() if self._again else next(self._attempts, None)

    def _ended(self, episode: asyncio.Task[Trajectory]) -> Trajectory:
        attempt, began = self._running.pop(episode)
        self.places.gone.discard(episode)
        trajectory = episode.result()
        if trajectory.valid:
            self._breaker.fine()
        elif trajectory.outcome is Outcome.INFRA_ERROR:
            self._breaker.failed(began, trajectory.task, trajectory.error)
        if not self._final(trajectory):
            self._again.append(replace(attempt, retry=attempt.retry + 1))
        return trajectory
