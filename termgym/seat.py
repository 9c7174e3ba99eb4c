"""One place in a vector of environments: a slot that starts again by itself, and whose failures are its own."""

from typing import Any, Generic, NamedTuple, TypeVar

from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode

from termgym.episode import outcome_of
from termgym.errors import SandboxError, SandboxUnavailable, VerifierError
from termgym.slot import Info, Slot
from termgym.snapshot import Snapshot
from termgym.source import Sampler, sampler
from termgym.task import Task

Obs = TypeVar("Obs")
Act = TypeVar("Act")
STARTS = 3
"""How often an episode is tried to be started, before its step counts as lost."""
FAILURES = (SandboxError, VerifierError, OSError)


class Result(NamedTuple, Generic[Obs]):
    """What a step or a reset of one seat came to."""

    observation: Obs
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    info: Info = {}  # noqa: RUF012 - never changed
    final: Info | None = None
    """With same-step autoreset, `final_obs` and `final_info` of the episode that ended."""
    lost: str = ""
    """Why the episode is invalid, if it is."""


class Seat(Generic[Obs, Act]):
    """A slot with its own seed and tasks.

    An episode that the sandbox or the verifier fails is invalid: it ends as truncated, with reward 0, the outcome
    "infra_error" or "verifier_error" and the reason in `info["failure"]`, and the seat's next one is the same task
    again, up to `retries` times.
    """

    def __init__(self, slot: Slot[Obs, Act], source: Sampler, mode: AutoresetMode, retries: int) -> None:
        """Nothing is started before `reset`."""
        self.slot, self._source, self._mode, self._retries = slot, source, mode, retries
        self._random = seeding.np_random()[0]
        self.seen = slot.interface.nothing()
        """The newest observation."""
        self._again: Task | None = None
        self._tries = 0
        self._over = True

    async def reset(self, seed: int | None, options: dict[str, Any] | None) -> Result[Obs]:
        """Begin an episode, as Gymnasium's `reset`.

        Raises:
            SandboxError: No sandbox could be brought up.
            TaskError: A task cannot be used.
        """
        if seed is not None:
            self._random = seeding.np_random(seed)[0]
        if seed is not None or (options and "task" in options):
            self._again, self._tries = None, 0
        source = sampler(options["task"]) if options and "task" in options else self._source
        return await self._begin(self._again or source.draw(self._random))

    async def step(self, action: Act) -> Result[Obs]:
        """Take an action, as a vector environment does of this autoreset mode."""
        if self._over:
            return await self._restart()
        task = self.slot.current.task
        try:
            result = Result(*await self.slot.step(action))
        except FAILURES as error:
            result = await self._lose(task, error)
        else:
            self.seen, self._over = result.observation, result.terminated or result.truncated
            if self._over:
                self._again, self._tries = None, 0
        if self._over and self._mode is AutoresetMode.SAME_STEP:
            return await self._follow(result)
        return result

    async def _restart(self) -> Result[Obs]:
        if self._mode is AutoresetMode.DISABLED:
            raise ResetNeeded("the episode has ended: reset this environment (reset_mask) before its next step")
        task = self._again or self._source.draw(self._random)
        try:
            return await self._begin(task)
        except SandboxUnavailable:
            raise
        except FAILURES as error:
            return await self._lose(task, error)

    async def _follow(self, ended: Result[Obs]) -> Result[Obs]:
        """The end of an episode and the beginning of the next, in one.

        Where the next cannot begin, nothing is said of it in info: the transition is the ended one's.
        """
        begun = await self._restart()
        final = {"final_obs": ended.observation, "final_info": ended.info}
        info = {"task": begun.info["task"]} if begun.lost else begun.info
        return ended._replace(observation=begun.observation, info=info, final=final, lost=ended.lost or begun.lost)

    async def _begin(self, task: Task) -> Result[Obs]:
        for left in reversed(range(STARTS)):
            try:
                self.seen, info = await self.slot.reset(task)
            except SandboxUnavailable:
                raise
            except FAILURES:
                self._count("start failed")
                if not left:
                    raise
            else:
                self._over = False
                return Result(self.seen, info=info)
        raise AssertionError("unreachable")

    async def _lose(self, task: Task, error: Exception) -> Result[Obs]:
        self._over = True
        self._count("invalid")
        self._again, self._tries = (task, self._tries + 1) if self._tries < self._retries else (None, 0)
        self._count("retried" if self._again else "given up")
        try:
            await self.slot.close()
        except SandboxError:
            self._count("close failed")
        outcome = outcome_of(error if not isinstance(error, OSError) else SandboxError(str(error)))
        info = {"task": task.id, "outcome": outcome.value, "failure": str(error)}
        return Result(self.seen, 0.0, False, True, info, lost=str(error))

    async def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot, with the next step."""
        await self.slot.restore(snapshot)
        self._over = False

    def _count(self, name: str) -> None:
        if self.slot.pool is not None:
            self.slot.pool.metrics.count(name)

    async def close(self) -> None:
        """Drop the episode."""
        self._over = True
        await self.slot.close()
