"""Many terminals in one process, as a Gymnasium vector environment: `gym.make_vec("Terminal-v0", num_envs=256)`.

One event loop, in one thread of its own, serves every terminal; no process or thread per environment. `step` is
lock-step, as Gymnasium wants it; `send` and `recv`, as in EnvPool, go on with whichever environments are ready, so that
one that runs a build for a minute holds up nobody.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Generic, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array
from numpy.typing import NDArray

from termgym import aio
from termgym.crew import Crew
from termgym.env import METADATA, check_render_mode
from termgym.grid import Grid, GridInterface
from termgym.interface import Interface, TextInterface
from termgym.pool import SandboxPool
from termgym.seat import Result, Seat
from termgym.setting import Setting
from termgym.slot import Slot
from termgym.snapshot import Snapshot
from termgym.source import Sampler, Wanted, sampler

Obs = TypeVar("Obs")
Act = TypeVar("Act")
Floats, Bools = NDArray[np.float64], NDArray[np.bool_]
Batch = tuple[Any, Floats, Bools, Bools, dict[str, Any]]


class EpisodeVectorEnv(VectorEnv[Any, Any, Any], Generic[Obs, Act]):
    """What the vector environments share: all but what an agent sees and does."""

    single_observation_space: gym.Space[Any]
    single_action_space: gym.Space[Any]

    def __init__(
        self,
        num_envs: int,
        setting: Setting,
        interface: Interface[Obs, Act],
        *,
        tasks: Sequence[Sampler | Wanted | Sequence[Wanted]] | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        batch_size: int | None = None,
        pool_size: int | None = None,
        retries: int = 2,
        render_mode: str | None = None,
    ) -> None:
        """See `TerminalVectorEnv`."""
        check_render_mode(render_mode)
        if num_envs < 1 or not 1 <= (batch_size or num_envs) <= num_envs:
            raise ValueError(f"num_envs is {num_envs} and batch_size {batch_size}: from 1 to num_envs it must be")
        if tasks is not None and len(tasks) != num_envs:
            raise ValueError(f"tasks names the tasks of {len(tasks)} environments; there are {num_envs}")
        mode = AutoresetMode(autoreset_mode)
        self.num_envs, self.batch_size, self.render_mode = num_envs, batch_size or num_envs, render_mode
        self.metadata = {**METADATA, "autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = interface.observation_space, interface.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        sources = [sampler(one) for one in tasks] if tasks else [setting.source] * num_envs
        size = pool_size if pool_size is not None else min(64, max(4, num_envs // 4))
        self._pool = SandboxPool(size)
        self._seats = [Seat(Slot(setting, interface, self._pool), source, mode, retries) for source in sources]
        self._crew = Crew(self._seats, self._pool)
        self._last = list(range(num_envs))

    # Gymnasium's interface: lock-step.

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin episodes: (observations, infos). What an environment is at is given up.

        Args:
            seed: One for each environment, or one from which environment i gets `seed + i`, or None.
            options: `reset_mask`, (num_envs,) bool, says which environments, where not all; `task` which task they get.
        """
        options = dict(options or {})
        ids = self._masked(options.pop("reset_mask", None))
        self._begin(ids, seed, options)
        results = self._crew.take(len(ids), of=set(ids))
        shown = [seat.seen for seat in self._seats]
        return self._together(shown), packed(self.num_envs, sorted(results, key=itemgetter(0)))

    def step(self, actions: Iterable[Act]) -> Batch:
        """Take an action in each environment, and wait for all of them."""
        self.send(actions, range(self.num_envs))
        return self._batch(sorted(self._crew.take(self.num_envs), key=itemgetter(0)))

    # EnvPool's interface: whichever are ready.

    def async_reset(self, *, seed: int | Sequence[int | None] | None = None) -> None:
        """Begin an episode in every environment without waiting: `recv` hands out the first observations."""
        self._begin(list(range(self.num_envs)), seed, {})

    def send(self, actions: Iterable[Act], env_ids: Iterable[int] | None = None) -> None:
        """Start steps, without waiting for them.

        Args:
            actions: One for each of `env_ids`.
            env_ids: Which environments, each at most once; those of the last `recv` unless given.

        Raises:
            ValueError: The numbers do not fit, or an environment is not there, or at work already.
            InvalidAction: One is not in the action space. Nothing was started.
        """
        ids, given = list(map(int, self._last if env_ids is None else env_ids)), list(actions)
        if len(given) != len(ids):
            raise ValueError(f"{len(given)} actions were given for {len(ids)} environments")
        if strange := [number for number in ids if not 0 <= number < self.num_envs]:
            raise ValueError(f"there are no environments {strange}: they are 0 to {self.num_envs - 1}")
        for number, action in zip(ids, given, strict=True):
            if not self.single_action_space.contains(action):
                raise gym.error.InvalidAction(f"environment {number}: {action!r} is not in {self.single_action_space}")
        if len(set(ids)) < len(ids):
            raise ValueError("an environment can take one action at a time: one was named twice")
        self._crew.start({i: partial(self._seats[i].step, action) for i, action in zip(ids, given, strict=True)})

    def recv(self) -> Batch:
        """Wait for `batch_size` environments, or for all that are at work if they are fewer.

        Returns:
            (observations, rewards, terminations, truncations, infos), each of the environments `infos["env_id"]`, in
            the order in which they were ready.
        """
        if not self._crew.awaited:
            raise gym.error.ResetNeeded("nothing is at work: `send` actions, or `async_reset`, before `recv`")
        batch = self._batch(self._crew.take(min(self.batch_size, len(self._crew.awaited))))
        batch[4]["env_id"] = np.array(self._last)
        return batch

    def _masked(self, mask: Any) -> list[int]:
        if mask is None:
            return list(range(self.num_envs))
        if getattr(mask, "shape", ()) != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(f'options["reset_mask"] must be an array of {self.num_envs} bool, not {mask!r}')
        if not mask.any():
            raise ValueError('options["reset_mask"] is all False: there is nothing to reset')
        return np.flatnonzero(mask).tolist()

    def _begin(self, ids: list[int], seed: int | Sequence[int | None] | None, options: dict[str, Any]) -> None:
        seeds = [seed] * self.num_envs if seed is None else seed
        if isinstance(seeds, int):
            seeds = [seeds + number for number in range(self.num_envs)]
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds were given for {self.num_envs} environments")
        self._crew.stop(ids)
        self._crew.start({i: partial(self._seats[i].reset, seeds[i], options) for i in ids})

    def _batch(self, taken: list[tuple[int, Result[Obs]]]) -> Batch:
        self._last, results = [number for number, _ in taken], [result for _, result in taken]
        rewards = np.array([result.reward for result in results], np.float64)
        terminations = np.array([result.terminated for result in results], np.bool_)
        truncations = np.array([result.truncated for result in results], np.bool_)
        infos = packed(len(results), enumerate(results))
        observations = self._together([result.observation for result in results])
        return observations, rewards, terminations, truncations, infos

    def _together(self, observations: list[Obs]) -> Any:
        space = self.single_observation_space
        return concatenate(space, observations, create_empty_array(space, len(observations)))

    # Branches.

    def snapshot(self, env_id: int, *, replay: bool | None = None) -> Snapshot:
        """The episode of one environment as it stands: see `TerminalEnv.snapshot`. It lasts until `discard`."""
        self._crew.check_idle([env_id])
        return self._crew.thread.run(self._seats[env_id].slot.snapshot(replay))

    def restore(self, snapshot: Snapshot, env_ids: Iterable[int]) -> None:
        """Have environments go on from a snapshot of one of these: their next step is as if taken there."""
        ids = list(env_ids)
        self._crew.check_idle(ids)
        self._crew.thread.run(aio.together(self._seats[number].restore(snapshot) for number in ids))

    def discard(self, snapshot: Snapshot) -> None:
        """Let go of a snapshot."""
        self._crew.thread.run(snapshot.close())

    # The rest.

    @property
    def metrics(self) -> dict[str, Any]:
        """Counters, percentiles of durations in milliseconds, and the lengths of the pool's queues."""
        return {**self._pool.metrics.to_dict(), "queues": self._pool.queues}

    def spend(self, tokens: Sequence[int]) -> None:
        """Count tokens that the policies used, one number for each environment, towards their limits."""
        for seat, number in zip(self._seats, tokens, strict=True):
            seat.slot.current.tokens += number

    def render(self) -> tuple[Any, ...] | None:
        """The screens: see `TerminalEnv.render`; "human" shows the first one."""
        return self._crew.thread.run(self._render())

    async def _render(self) -> tuple[Any, ...] | None:
        from termgym import render

        if self.render_mode is None:
            return None
        shown = self._seats[:1] if self.render_mode == "human" else self._seats
        return tuple(render.render(seat.slot.current.terminal, self.render_mode) for seat in shown)

    def __del__(self) -> None:
        """Nothing, where Gymnasium 1.2 would close what may be half made or a fork's: `weakref.finalize` sees to it."""

    def close_extras(self, **kwargs: Any) -> None:
        """Drop every sandbox, and the loop."""
        self._crew.close()


class TerminalVectorEnv(EpisodeVectorEnv[str, str]):
    """Many `TerminalEnv`s as one: observations and actions are sequences of texts.

    What each environment shows, rewards and ends with is what a `TerminalEnv` of the same seed would, with one
    difference: an episode that a sandbox or a verifier fails raises nothing here. It ends as truncated, with reward 0,
    `outcome` "infra_error" or "verifier_error" and the reason as `failure` in infos; such a transition is to be masked.
    The environment's next episode is the same task again, up to `retries` times; `metrics` counts them.
    """

    def __init__(
        self,
        num_envs: int = 1,
        task: Wanted | Sequence[Wanted] | None = None,
        *,
        tasks: Sequence[Sampler | Wanted | Sequence[Wanted]] | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        batch_size: int | None = None,
        pool_size: int | None = None,
        retries: int = 2,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        """Prepare the environments; nothing is started before a reset.

        Args:
            num_envs: How many.
            task: What each draws its tasks from: see `Setting.of`.
            tasks: In its place, what each environment draws from: num_envs of them.
            autoreset_mode: "NextStep", "SameStep" or "Disabled": see Gymnasium's `AutoresetMode`.
            batch_size: How many `recv` waits for; all unless given.
            pool_size: Sandboxes kept warm; a quarter of num_envs, from 4 to 64, unless given. 0 keeps none.
            retries: How often an invalid episode's task is tried again.
            render_mode: "ansi", "rgb_array", "human" or None.
            options: The rest of `Setting.of`'s.

        Raises:
            UnknownName: Something is not known by the name given.
            TaskError: A task cannot be used.
        """
        super().__init__(
            num_envs, Setting.of(task, **options), TextInterface(), tasks=tasks, autoreset_mode=autoreset_mode,
            batch_size=batch_size, pool_size=pool_size, retries=retries, render_mode=render_mode,
        )  # fmt: skip


class TerminalGridVectorEnv(EpisodeVectorEnv[Grid, int]):
    """Many `TerminalGridEnv`s as one: observations are arrays with one more dimension in front.

    Else as `TerminalVectorEnv`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        task: Wanted | Sequence[Wanted] | None = None,
        *,
        tasks: Sequence[Sampler | Wanted | Sequence[Wanted]] | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        batch_size: int | None = None,
        pool_size: int | None = None,
        retries: int = 2,
        render_mode: str | None = None,
        duration_s: float = 0.5,
        **options: Any,
    ) -> None:
        """As `TerminalVectorEnv`; `duration_s` as in `TerminalGridEnv`."""
        interface, setting = GridInterface.of(duration_s, {"task": task, **options})
        super().__init__(
            num_envs, setting, interface, tasks=tasks, autoreset_mode=autoreset_mode,
            batch_size=batch_size, pool_size=pool_size, retries=retries, render_mode=render_mode,
        )  # fmt: skip


def packed(size: int, results: Iterable[tuple[int, Result[Any]]]) -> dict[str, Any]:
    """The infos of results, each at its position of `size`, in Gymnasium's form: arrays, and masks of who has it."""
    packer: VectorEnv[Any, Any, Any] = VectorEnv()
    packer.num_envs = size
    infos: dict[str, Any] = {}
    for position, result in results:
        for info in (result.final, result.info):
            if info:
                infos = packer._add_info(infos, info, position)  # pyright: ignore[reportPrivateUsage]
    return infos
