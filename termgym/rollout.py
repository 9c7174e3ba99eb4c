"""Rollouts: policies meet tasks, many episodes at once on one event loop, each one becoming a trajectory."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from termgym.cast import Cast
from termgym.episode import Episode, EpisodeConfig, outcome_of
from termgym.errors import SandboxUnavailable, TaskError, TermgymError, UnknownName
from termgym.outcome import Outcome
from termgym.plan import Attempt
from termgym.policy import Message, Policy, Reply
from termgym.protocol import answer, parse
from termgym.trajectory import Trajectory, TurnRecord, origin
from termgym.verifier import Verdict


async def rollout(
    attempts: Iterable[Attempt],
    *,
    concurrency: int = 8,
    config: EpisodeConfig | None = None,
    casts: Callable[[Attempt], Path] | None = None,
    on_turn: Callable[[], object] | None = None,
) -> AsyncGenerator[Trajectory, None]:
    """Run all attempts, at most `concurrency` at a time, and hand out each one's trajectory when it ends.

    Attempts are drawn as they are needed. Closing the generator, or cancelling who waits for it, closes every sandbox
    (use `contextlib.aclosing`). `casts` says where to record; `on_turn` is called after each turn of any episode.

    Raises:
        SandboxUnavailable: This host cannot run such sandboxes.
        TaskError: A policy cannot act in its task.
    """
    waiting = iter(attempts)
    running: set[asyncio.Task[Trajectory]] = set()
    try:
        while True:
            while len(running) < concurrency and (attempt := next(waiting, None)):
                cast = casts(attempt) if casts else None
                running.add(asyncio.create_task(run_episode(attempt, config=config, cast=cast, on_turn=on_turn)))
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                running.remove(ended)
                yield ended.result()
    finally:
        for episode in running:
            episode.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def run_episode(
    attempt: Attempt,
    *,
    config: EpisodeConfig | None = None,
    cast: Path | None = None,
    on_turn: Callable[[], object] | None = None,
) -> Trajectory:
    """Run one episode to its end, and close it.

    A sandbox, a set-up or a verifier that fails makes it an invalid one, and so does the system: descriptors that ran
    out, or a server that a policy cannot reach.

    Raises:
        SandboxUnavailable: This host cannot run such sandboxes: no other episode would do better.
        TaskError: The policy cannot act in this task.
    """
    task, policy = attempt.task, attempt.new_policy()
    episode = Episode(task, config, attempt.limits)
    record, failure = _Record(), ""
    try:
        try:
            outcome, verdict = await _run(episode, policy, record, cast, on_turn)
        finally:
            await episode.close()
    except (SandboxUnavailable, UnknownName):
        raise
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
        first=record.first,
        turns=tuple(record.turns),
        timings=dict(episode.timings.seconds),
        attempt=attempt.number,
        **origin(task),
    )


def _invalid(error: TermgymError | OSError) -> Outcome:
    return Outcome.INFRA_ERROR if isinstance(error, TaskError | OSError) else outcome_of(error)


@dataclass(slots=True)
class _Record:
    """What is known of an episode so far, should it fail."""

    first: str = ""
    turns: list[TurnRecord] = field(default_factory=list[TurnRecord])


async def _run(
    episode: Episode, policy: Policy, record: _Record, cast: Path | None, on_turn: Callable[[], object] | None
) -> tuple[Outcome, Verdict]:
    record.first = await episode.reset()
    conversation = [Message("user", record.first)]
    with ExitStack() as stack:
        shown = episode.terminal.emulator.screen()
        recording = stack.enter_context(Cast(cast, shown, episode.task.id)) if cast else None
        if recording:
            episode.terminal.on_output = recording.printed
        while episode.reason is None:
            begin = time.perf_counter()
            reply = await policy.act(conversation)
            turn = await _turn(episode, reply, time.perf_counter() - begin, recording)
            record.turns.append(turn)
            conversation += [Message("assistant", reply.text), Message("user", turn.observation)]
            if on_turn:
                on_turn()
        return await episode.finish()


async def _turn(episode: Episode, reply: Reply, policy_s: float, recording: Cast | None) -> TurnRecord:
    parsed = parse(answer(reply.text))
    if recording:
        recording.marked(f"turn {episode.turns + 1}")
        for command in parsed.action.commands if parsed.action else ():
            recording.typed(command.keystrokes)
    episode.tokens += len(reply.token_ids)
    begin = time.perf_counter()
    turn = await episode.take(parsed)
    return TurnRecord(
        reply.text,
        turn.observation,
        tuple(settled.value for settled in turn.settled),
        parsed.warnings,
        parsed.error,
        time.perf_counter() - begin,
        policy_s,
        reply.token_ids,
        reply.logprobs,
    )
