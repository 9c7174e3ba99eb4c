"""An attempt: one episode to be run, and its run, which becomes a trajectory whatever happens."""

import asyncio
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from termgym.cast import Cast
from termgym.episode import Episode, EpisodeConfig, outcome_of
from termgym.errors import ModelError, SandboxUnavailable, TaskError, TermgymError, UnknownName
from termgym.outcome import Outcome
from termgym.places import Places
from termgym.policy import ContextFull, Message, Policy, PolicyMaker, Reply, find_policy
from termgym.pool import SandboxPool
from termgym.protocol import answer, parse
from termgym.task import Limits, Task
from termgym.trajectory import Trajectory, TurnRecord, origin, recorded
from termgym.verifier import Verdict


@dataclass(frozen=True, slots=True)
class Attempt:
    """One episode to be run."""

    task: Task
    policy: str | PolicyMaker
    """A policy's name, or what makes one."""
    number: int = 0
    """Which attempt at this task, from 0."""
    seed: int = 0
    """For the policy; each task and attempt makes another one of it."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """For the policy, where it is given by name."""
    limits: Limits | None = None
    """In place of the task's own."""
    group: int = 0
    """Attempts of one group are compared with each other."""
    retry: int = 0
    """How often it was tried before, and came out invalid."""

    @property
    def policy_name(self) -> str:
        """The policy's name, or that of what makes it."""
        return self.policy if isinstance(self.policy, str) else getattr(self.policy, "__name__", "policy")

    def new_policy(self) -> Policy:
        """The policy of this episode.

        Raises:
            UnknownName: There is no such policy, or it has no such option.
            TaskError: It cannot act in this task.
        """
        make = find_policy(self.policy, **self.options) if isinstance(self.policy, str) else self.policy
        return make(self.task, zlib.crc32(f"{self.task.id} {self.number} {self.seed}".encode()))


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited before something is taken to hang: the episode is then invalid, and tried again."""

    act_s: float = 900.0
    """For one answer of a policy, a queue at its model included."""
    episode_s: float = 4 * 3600.0
    """For an episode, whole."""


async def run_episode(
    attempt: Attempt,
    *,
    pool: SandboxPool | None = None,
    config: EpisodeConfig | None = None,
    patience: Patience | None = None,
    places: Places | None = None,
    cast: Path | None = None,
    on_turn: Callable[[], object] | None = None,
) -> Trajectory:
    """Run one episode to its end, and close it.

    It is made ready, waits for its place, acts there, and is judged when it has left it. A sandbox, a set-up or a
    verifier that fails makes it an invalid one, and so does the system: descriptors that ran out, or a model that a
    policy cannot reach.

    Raises:
        SandboxUnavailable: This host cannot run such sandboxes: no other episode would do better.
        TaskError: The policy cannot act in this task.
    """
    task, policy, patience = attempt.task, attempt.new_policy(), patience or Patience()
    episode = Episode(task, config, attempt.limits, pool)
    acting = _Acting(episode, policy, patience, places or Places(1), on_turn)
    date, failure = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", ""
    try:
        try:
            async with asyncio.timeout(patience.episode_s):
                outcome, verdict = await acting.run(cast)
        finally:
            await episode.close()
    except (SandboxUnavailable, UnknownName):
        raise
    except TimeoutError:
        outcome, verdict, failure = Outcome.INFRA_ERROR, None, f"it took longer than {patience.episode_s:.0f} s in all"
    except (TermgymError, OSError) as error:
        outcome, verdict, failure = _invalid(error), None, str(error)
    return Trajectory(
        task=task.id,
        digest=task.digest,
        policy=attempt.policy_name,
        outcome=outcome,
        dense=verdict and verdict.dense,
        binary=verdict and verdict.binary,
        checks=verdict.checks if verdict else (),
        error=failure,
        first=acting.first,
        turns=tuple(acting.turns),
        timings=dict(episode.timings.seconds),
        attempt=attempt.number,
        group=attempt.group,
        retry=attempt.retry,
        model=acting.model,
        date=date,
        **origin(task),
    )


def _invalid(error: TermgymError | OSError) -> Outcome:
    return Outcome.INFRA_ERROR if isinstance(error, TaskError | ModelError | OSError) else outcome_of(error)


class _Acting:
    """An episode under way, and what is known of it so far, should it fail."""

    def __init__(
        self,
        episode: Episode,
        policy: Policy,
        patience: Patience,
        places: Places,
        on_turn: Callable[[], object] | None,
    ) -> None:
        self._episode, self._policy, self._patience, self._places = episode, policy, patience, places
        self._on_turn = on_turn
        self.first, self.model = "", ""
        self.turns: list[TurnRecord] = []
        self._context: Sequence[int] = ()

    async def run(self, cast: Path | None) -> tuple[Outcome, Verdict]:
        self.first = await self._episode.reset()
        with ExitStack() as stack:
            async with self._places.taken():
                self._episode.start_clock()
                shown = self._episode.terminal.emulator.screen()
                recording = stack.enter_context(Cast(cast, shown, self._episode.task.id)) if cast else None
                if recording:
                    self._episode.terminal.on_output = recording.printed
                await self._act(recording)
            return await self._episode.finish()

    async def _act(self, recording: Cast | None) -> None:
        conversation = [Message("user", self.first)]
        while self._episode.reason is None:
            begin = time.perf_counter()
            if (reply := await self._reply(conversation)) is None:
                return
            turn = await self._turn(reply, time.perf_counter() - begin, recording)
            conversation += [Message("assistant", reply.text), Message("user", turn.observation)]
            if self._on_turn:
                self._on_turn()

    async def _reply(self, conversation: Sequence[Message]) -> Reply | None:
        """What the policy answers; None where a limit ended the episode before it did."""
        left_s = self._episode.progress.left_s
        try:
            with self._places.thinking():
                async with asyncio.timeout(min(left_s, self._patience.act_s)):
                    return await self._policy.act(conversation)
        except ContextFull:
            self._episode.reason = Outcome.OUT_OF_TOKENS
        except TimeoutError as error:
            if left_s > self._patience.act_s:
                raise ModelError(f"no answer of the policy within {self._patience.act_s:.0f} s") from error
            self._episode.reason = Outcome.OUT_OF_TIME
        return None

    async def _turn(self, reply: Reply, policy_s: float, recording: Cast | None) -> TurnRecord:
        episode, parsed = self._episode, parse(answer(reply.text))
        if recording:
            recording.marked(f"turn {episode.turns + 1}")
            for command in parsed.action.commands if parsed.action else ():
                recording.typed(command.keystrokes)
        episode.tokens += len(reply.token_ids)
        begin = time.perf_counter()
        turn = await episode.take(parsed)
        record = recorded(reply, turn, self._context, step_s=time.perf_counter() - begin, policy_s=policy_s)
        self._context, self.model = (*reply.prompt_ids, *reply.token_ids), reply.model
        self.turns.append(record)
        return record
