"""The rollout engine: groups, failures, time-outs, places, and kills. In real sandboxes."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from termgym.attempt import Attempt, Patience, run_episode
from termgym.breaker import PAUSES_S, Breaker
from termgym.errors import ModelError, SandboxError, TaskError
from termgym.evaluation import Evaluation
from termgym.launcher_client import close_launcher, launcher
from termgym.outcome import Outcome
from termgym.places import Places
from termgym.policy import ContextFull, Message, Policy, Reply
from termgym.pool import SandboxPool
from termgym.protocol import Action, Command
from termgym.rollout import Rollout, rollout
from termgym.store import stream
from termgym.task import Check, Limits, Task
from termgym.trajectory import Trajectory

T = TypeVar("T")
TASK = Task(
    id="family/name@17.2",
    instruction="Write yes into /app/answer.",
    checks=(Check("answer", "grep -qx yes /app/answer"),),
    oracle=(Command("echo yes > answer\n", 5.0),),
)
LINE = Action("", "", (Command("true\n", 5.0),)).to_json()
DONE = Action("", "", (), task_complete=True).to_json()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def main() -> T:
        try:
            return await coroutine
        finally:
            await close_launcher()

    return asyncio.run(main())


class Acting:
    """Says what a function of the turn says, from 0."""

    def __init__(self, say: Callable[[int], Any]) -> None:
        self._say, self._turn = say, -1

    async def act(self, conversation: Sequence[Message]) -> Reply:
        self._turn += 1
        said = self._say(self._turn)
        said = await said if asyncio.iscoroutine(said) else said
        return said if isinstance(said, Reply) else Reply(said)


def acting(say: Callable[[int], Any]) -> Callable[[Task, int], Policy]:
    return lambda task, seed: Acting(say)


def failing(times: int, error: Exception) -> Callable[[Task, int], Policy]:
    """Fails so many times, in all; then says that it is done."""
    left = [times]

    def say(turn: int) -> str:
        if left[0] > 0:
            left[0] -= 1
            raise error
        return DONE

    return acting(say)


# Groups, and failures of ours.


def test_groups_are_whole_and_apart() -> None:
    tasks = [replace(TASK, id=f"t{number}") for number in range(3)]

    async def main() -> list[list[tuple[str, int, int]]]:
        pool = SandboxPool(4)
        try:
            groups = rollout("oracle", tasks, pool, group_size=3, concurrency=4).groups(3)
            return [[(one.task, one.group, one.attempt) async for one in _each(group)] async for group in groups]
        finally:
            await pool.close()

    found = sorted(run(main()))
    assert found == [[(f"t{group}", group, attempt) for attempt in range(3)] for group in range(3)]


async def _each(group: Sequence[Trajectory]):
    for one in group:
        yield one


def test_a_failure_of_ours_is_a_record_and_is_made_again() -> None:
    async def main() -> tuple[list[Trajectory], list[list[Trajectory]]]:
        records = [one async for one in rollout(failing(2, ModelError("gone")), [TASK], group_size=3, concurrency=1)]
        groups = [one async for one in rollout(failing(2, OSError("full")), [TASK], group_size=3).groups(3)]
        return records, groups

    records, groups = run(main())
    assert Counter(one.outcome for one in records) == {Outcome.INFRA_ERROR: 2, Outcome.FAILED: 3}
    assert [one.dense for one in records if not one.valid] == [None, None]
    assert all(one.error == "gone" for one in records if not one.valid)
    assert sorted(one.attempt for one in records if one.valid) == [0, 1, 2]
    assert sum(one.retry for one in records) in (2, 3)  # the same attempt twice, or two of them
    assert [[one.attempt for one in group] for group in groups] == [[0, 1, 2]]


def test_what_fails_each_time_leaves_its_group_smaller() -> None:
    broken = replace(TASK, id="broken", checks=(Check("crash", "kill -9 $$"),))

    async def main() -> tuple[list[Trajectory], list[list[Trajectory]]]:
        run = rollout("idle", [broken, TASK], group_size=2, retries=1)
        records = [one async for one in run]
        return records, [one async for one in rollout("idle", [broken, TASK], group_size=2, retries=1).groups(2)]

    records, groups = run(main())
    assert Counter((one.task, one.outcome) for one in records) == {
        ("broken", Outcome.VERIFIER_ERROR): 4, (TASK.id, Outcome.FAILED): 2}  # fmt: skip
    assert [[one.task for one in group] for group in groups] == [[TASK.id] * 2]


def test_a_launcher_that_dies_takes_no_attempt_with_it() -> None:
    killed: list[int] = []

    async def kill() -> str:
        if not killed:
            killed.append((await launcher()).pid)
            os.kill(killed[0], signal.SIGKILL)
        return LINE

    def say(turn: int) -> Any:
        return kill() if turn == 1 else LINE if turn < 3 else DONE

    async def main() -> list[Trajectory]:
        return [one async for one in rollout(acting(say), [TASK], group_size=12, concurrency=12)]

    records = run(main())
    assert sorted(one.attempt for one in records if one.valid) == list(range(12))
    assert any(not one.valid for one in records)


def test_it_is_given_up_where_nothing_goes_well() -> None:
    async def main() -> list[Trajectory]:
        records: list[Trajectory] = []
        tasks = (replace(TASK, id=f"t{number}") for number in range(1000))
        attempts = (Attempt(task, failing(9, ModelError("no server"))) for task in tasks)
        with pytest.raises(SandboxError, match="in a row; the last one: no server"):
            async for one in Rollout(attempts, concurrency=8):
                records.append(one)  # noqa: PERF401 - to be kept when it raises
        return records

    records = run(main())
    assert 5 <= len(records) < 100 and not any(one.valid for one in records)


def test_a_broken_task_does_not_end_the_others() -> None:
    broken = replace(TASK, id="broken", setup="exit 3")

    async def main() -> list[Trajectory]:
        return [one async for one in rollout("idle", [broken, TASK], group_size=6, concurrency=1, retries=1)]

    records = run(main())
    assert Counter((one.task, one.valid) for one in records) == {("broken", False): 12, (TASK.id, True): 6}


def test_the_breaker_counts_rounds_and_forgets() -> None:
    breaker = Breaker()
    began = time.monotonic()
    for _ in range(50):
        breaker.failed(began - 1, "a", "all at once")
    for _ in range(len(PAUSES_S) - 2):
        breaker.failed(time.monotonic(), "b", "again")
    breaker.fine()
    asyncio.run(breaker.ready())
    for number in range(len(PAUSES_S)):
        breaker.failed(time.monotonic(), "ab"[number % 2], "once more")
    with pytest.raises(SandboxError, match="the last one: once more"):
        asyncio.run(breaker.ready())


# Limits and time-outs.


def test_a_context_that_is_full_ends_the_episode_and_it_is_judged() -> None:
    def say(turn: int) -> Any:
        if turn:
            raise ContextFull("9 tokens too long")
        return Action("", "", (Command("echo yes > answer\n", 5.0),)).to_json()

    one = run(run_episode(Attempt(TASK, acting(say))))
    assert (one.outcome, one.binary, len(one.turns)) == (Outcome.SOLVED, 1.0, 1)
    idle = run(run_episode(Attempt(TASK, acting(lambda turn: say(1)))))
    assert (idle.outcome, idle.binary, idle.turns) == (Outcome.OUT_OF_TOKENS, 0.0, ())


def test_thinking_beyond_the_limit_is_out_of_time_and_a_hang_is_not() -> None:
    slow = Attempt(TASK, acting(lambda turn: asyncio.sleep(30, LINE)), limits=Limits(wall_s=0.3))
    assert run(run_episode(slow)).outcome is Outcome.OUT_OF_TIME
    hung = run(run_episode(replace(slow, limits=None), patience=Patience(act_s=0.3)))
    assert (hung.outcome, hung.dense) == (Outcome.INFRA_ERROR, None) and "no answer" in hung.error
    whole = run(run_episode(replace(slow, limits=None), patience=Patience(episode_s=0.5)))
    assert (whole.outcome, whole.dense) == (Outcome.INFRA_ERROR, None) and "in all" in whole.error


def test_the_clock_starts_with_the_first_turn() -> None:
    def say(turn: int) -> Any:
        return asyncio.sleep(0.6, DONE)

    attempts = [Attempt(TASK, acting(say), number, limits=Limits(wall_s=2.0)) for number in range(3)]

    async def main() -> list[Outcome]:
        return [one.outcome async for one in Rollout(attempts, concurrency=1)]

    assert run(main()) == [Outcome.FAILED] * 3  # the second waits 1.2 s for its place


# Places.


def test_places_know_how_long_the_model_waited() -> None:
    async def main() -> Places:
        places = Places(2)

        async def episode(work_s: float) -> None:
            async with places.taken():
                with places.thinking():
                    await asyncio.sleep(0.2)
                await asyncio.sleep(work_s)

        await asyncio.gather(episode(0.2), episode(0.2))
        places.drain()
        await asyncio.sleep(0.1)
        return places

    places = asyncio.run(main())
    assert 0.38 < places.thought_s < 0.5 and 0.38 < places.waited_s < 0.5
    assert places.waited == pytest.approx(0.5, abs=0.05)


def test_the_next_is_ready_before_the_last_has_left() -> None:
    """With one place and a model that takes 0.2 s, making and judging sandboxes is hidden behind its thinking."""
    slow = replace(TASK, checks=(Check("slow", "sleep 0.15"),), setup="sleep 0.15")

    def say(turn: int) -> Any:
        return asyncio.sleep(0.2, DONE)

    attempts = [Attempt(slow, acting(say), number) for number in range(6)]

    async def measured() -> float:
        run = Rollout(attempts, concurrency=1)
        async for _ in run:
            pass
        return run.places.waited

    assert run(measured()) < 0.25


# Kills.


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_run_that_is_killed_goes_on_and_does_nothing_twice(tmp_path: Path) -> None:
    out, chance, kills = tmp_path / "run", random.Random(11), 0
    command = [sys.executable, "-m", "termgym", "eval", "--policy", "oracle", "--task", "files/rename-by-date", "--n",
               "10", "--attempts", "4", "--concurrency", "2", "--out", str(out)]  # fmt: skip
    while True:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(chance.uniform(0.8, 2.5 + kills / 4))  # longer each time: slow machines end, too
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
                continue
        break
    assert process.returncode == 0 and kills >= 2
    done = [(one.task, one.attempt) for one in stream(out)]
    assert len(done) == len(set(done)) == 40


def test_leaving_early_leaves_nothing() -> None:
    async def main() -> int:
        async with aclosing(rollout("oracle", [TASK] * 20, concurrency=4).trajectories()) as trajectories:
            await anext(trajectories)
        pid = (await launcher()).pid
        boxes = Path(f"/proc/{pid}/task/{pid}/children")
        for _ in range(100):  # one that was being made is killed, which takes the kernel a moment
            if not boxes.read_text():
                break
            await asyncio.sleep(0.05)
        return len(boxes.read_text().split())

    assert run(main()) == 0


def test_what_was_invalid_is_made_again_by_the_next_run(tmp_path: Path) -> None:
    def evaluated(policy: Callable[[Task, int], Policy]) -> Evaluation:
        evaluation = Evaluation(tmp_path, {"of": "this"}, retries=0)
        evaluation.run([Attempt(TASK, policy, number) for number in range(3)], concurrency=1)
        return evaluation

    first = evaluated(failing(1, ModelError("gone")))
    assert (first.report.total.n, first.report.total.invalid, len(first.surprises)) == (2, 1, 1)
    second = evaluated(failing(0, ModelError("gone")))
    assert (second.report.total.n, second.report.total.invalid, second.surprises) == (3, 1, [])
    assert len(list(stream(tmp_path))) == 4
    with pytest.raises(TaskError, match="of is 'this', and now 'that'"):
        Evaluation(tmp_path, {"of": "that"})
