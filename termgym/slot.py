"""One environment on an event loop: Gymnasium's `reset` and `step` as coroutines, so that many can go on at once."""

from typing import Any, Generic, TypeVar

from gymnasium.error import ResetNeeded

from termgym import aio
from termgym.episode import Episode, Turn
from termgym.interface import Interface
from termgym.outcome import Outcome
from termgym.pool import SandboxPool
from termgym.setting import Setting
from termgym.snapshot import Snapshot, take
from termgym.task import Task
from termgym.verifier import Verdict

Obs = TypeVar("Obs")
Act = TypeVar("Act")
Info = dict[str, Any]


class Slot(Generic[Obs, Act]):
    """One episode after another, each seen through an interface. What Gymnasium's environments are made of."""

    def __init__(self, setting: Setting, interface: Interface[Obs, Act], pool: SandboxPool | None = None) -> None:
        """Nothing is started before `reset`; sandboxes come from `pool`, if there is one."""
        self.setting, self.interface, self.pool = setting, interface, pool
        self.episode: Episode | None = None
        """The episode under way, or the one that ended; None before a reset and after `close`."""
        self.verdict: Verdict | None = None
        """The verdict of the last episode that ended."""

    async def reset(self, task: Task) -> tuple[Obs, Info]:
        """Begin an episode of `task`; returns the first observation, and info.

        Raises:
            SandboxError: The sandbox could not be brought up; there is no episode then.
            TaskError: The task's set-up script failed.
        """
        await self.close()
        episode = Episode(task, self.setting.config, self.setting.limits_of(task), self.pool)
        text = await episode.reset()
        self.episode, self.verdict = episode, None
        return self.interface.observe(episode, text), {"task": task.id, "instruction": task.opening}

    async def step(self, action: Act) -> tuple[Obs, float, bool, bool, Info]:
        """Take an action: what Gymnasium's `step` returns.

        Raises:
            ResetNeeded: There is no episode, or it has ended.
            SandboxError: The sandbox failed: this is no reward of 0.
            VerifierError: The verifier gave no result: nor is this.
        """
        episode = self._running
        turn = await episode.take(self.interface.parse(action))
        info = _info(episode, turn)
        observation = self.interface.observe(episode, turn.observation)
        reward, terminated, truncated = await self._end(episode, info) if turn.ended else (0.0, False, False)
        return observation, reward, terminated, truncated, info

    async def _end(self, episode: Episode, info: Info) -> tuple[float, bool, bool]:
        """Judge the files: (reward, terminated, truncated), and the outcome in `info`."""
        reason = episode.reason or Outcome.FAILED
        outcome, self.verdict = await episode.finish()
        info["outcome"] = outcome.value
        info["checks"] = {check.name: check.score for check in self.verdict.checks}
        return self.setting.reward_of(self.verdict), not reason.truncated, reason.truncated

    @property
    def current(self) -> Episode:
        """The episode.

        Raises:
            ResetNeeded: There is none.
        """
        if self.episode is None:
            raise ResetNeeded("reset the environment before stepping or rendering it")
        return self.episode

    @property
    def _running(self) -> Episode:
        if self.current.reason is not None:
            raise ResetNeeded("the episode has ended: reset the environment before the next step")
        return self.current

    async def snapshot(self, replay: bool | None = None) -> Snapshot:
        """A snapshot of the episode, which goes on, as a branch of it if need be: see `termgym.snapshot.take`.

        Raises:
            ResetNeeded: There is no episode, or it has ended.
            SandboxError: The sandbox failed.
        """
        snapshot = await take(self._running, replay)
        if snapshot.spent:
            await self.restore(snapshot)
        return snapshot

    async def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot, of this slot or another of the same event loop."""
        branch = await snapshot.restore()
        await self.close()
        self.episode = branch

    async def fork(self, count: int, replay: bool | None = None) -> "list[Slot[Obs, Act]]":
        """`count` slots more that go on from here, as does this one; raises as `snapshot` does."""
        snapshot = await take(self._running, replay)
        slots = [Slot(self.setting, self.interface, self.pool) for _ in range(count)]
        try:
            await aio.together(slot.restore(snapshot) for slot in (*slots, *([self] if snapshot.spent else [])))
        except BaseException:
            await aio.together(slot.close() for slot in slots)
            raise
        finally:
            await snapshot.close()
        return slots

    async def close(self) -> None:
        """Drop the episode and its sandbox. Closing twice is allowed."""
        episode, self.episode = self.episode, None
        if episode is not None:
            await episode.close()


def _info(episode: Episode, turn: Turn) -> Info:
    return {
        "task": episode.task.id,
        "settled": [settled.value for settled in turn.settled],
        "warnings": list(turn.parsed.warnings),
        "error": turn.parsed.error,
    }
