"""Trajectories, rollouts and recordings, in real sandboxes."""

import asyncio
import json
import os
import signal
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from termgym.attempt import Attempt, run_episode
from termgym.cast import MAX_BYTES, Cast
from termgym.errors import TaskError
from termgym.launcher_client import close_launcher, launcher
from termgym.outcome import Outcome
from termgym.plan import Plan
from termgym.policy import Message, Reply
from termgym.protocol import Action, Command
from termgym.rollout import Rollout
from termgym.screen import Emulator, Screen
from termgym.task import Check, Limits, Task
from termgym.trajectory import Trajectory

T = TypeVar("T")
TASK = Task(
    id="family/name@17.2",
    instruction="Write yes into /app/answer.",
    checks=(Check("there", "test -e /app/answer"), Check("answer", "grep -qx yes /app/answer", weight=3.0)),
    oracle=(Command("echo yes > answer\n", 5.0),),
)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def main() -> T:
        try:
            return await coroutine
        finally:
            await close_launcher()

    return asyncio.run(main())


def said(*keystrokes: str) -> str:
    return Action("é\u2028", "\n", tuple(Command(keys, 5.0) for keys in keystrokes)).to_json()


def scripted(*replies: str, task: Task = TASK) -> Attempt:
    return Attempt(task, "scripted", options={"replies": replies})


class Acting:
    """Does something of the test's own at each turn, then says `reply`."""

    def __init__(self, act: Any, reply: Reply) -> None:
        self._act, self._reply = act, reply

    async def act(self, conversation: Sequence[Message]) -> Reply:
        await self._act()
        return self._reply


# The record.


def test_a_trajectory_holds_the_episode() -> None:
    done = run(run_episode(replace(scripted("{oops", said("echo no > answer\n", "\n")), number=2)))
    assert (done.task, done.family, done.seed, done.level) == (TASK.id, "family/name", 17, 2)
    assert (done.digest, done.policy, done.attempt) == (TASK.digest, "scripted", 2)
    assert (done.outcome, done.dense, done.binary, done.error) == (Outcome.FAILED, 0.25, 0.0, "")
    assert {check.name: (check.score, check.weight) for check in done.checks} == {"there": (1, 1), "answer": (0, 3)}
    assert "Write yes into /app/answer." in done.first
    broken, typed, *_ = done.turns
    assert broken.reply == "{oops" and broken.error and broken.error in broken.observation
    assert typed.settled == ("prompt", "prompt") and "echo no > answer" in typed.observation and typed.step_s > 0
    assert all(seconds > 0 for seconds in done.timings.values()), done.timings


def test_json_is_one_line_and_reads_back_the_same() -> None:
    reply = Reply("\ud800\u2028\n" + said("echo yes > answer\n"), (1, 2), (-0.5, -1.5))
    done = run(run_episode(Attempt(TASK, lambda *_: Acting(_nothing, reply), limits=Limits(turns=1))))
    line = done.to_json()
    assert len(line.splitlines()) == 1 and line.isascii()
    assert Trajectory.from_json(line) == done
    assert done.turns[0].token_ids == (1, 2) and done.turns[0].reply.startswith("\ud800\u2028\n")
    assert json.loads(line)["outcome"] == "solved"


async def _nothing() -> None: ...


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"format": 99}', "{oops", '{"format": 1, "turns": 3}'])
def test_what_is_no_trajectory_is_refused(line: str) -> None:
    with pytest.raises(TaskError, match="no trajectory"):
        Trajectory.from_json(line)


def test_a_task_folder_has_no_family() -> None:
    done = run(run_episode(scripted(task=replace(TASK, id="some-folder"))))
    assert (done.family, done.seed, done.level) == ("", None, None)


def test_tokens_count_towards_their_limit() -> None:
    reply = Reply(said("\n"), (1, 2, 3))
    done = run(run_episode(Attempt(TASK, lambda *_: Acting(_nothing, reply), limits=Limits(tokens=7))))
    assert (done.outcome, len(done.turns)) == (Outcome.OUT_OF_TOKENS, 3)


# Failures of ours.


def test_a_verifier_that_fails_makes_it_invalid() -> None:
    broken = replace(TASK, checks=(Check("crash", "kill -9 $$"),))
    done = run(run_episode(scripted(said("echo yes > answer\n"), task=broken)))
    assert (done.outcome, done.dense, done.binary, done.checks) == (Outcome.VERIFIER_ERROR, None, None, ())
    assert "crash" in done.error and len(done.turns) == 3
    assert Trajectory.from_json(done.to_json()) == done


def test_a_set_up_that_fails_makes_it_invalid() -> None:
    done = run(run_episode(scripted(task=replace(TASK, setup="echo broken >&2; exit 3"))))
    assert (done.outcome, done.dense, done.turns) == (Outcome.INFRA_ERROR, None, ())
    assert "broken" in done.error


def test_a_sandbox_that_dies_makes_it_invalid() -> None:
    async def kill() -> None:
        os.kill((await launcher()).pid, signal.SIGKILL)

    done = run(run_episode(Attempt(TASK, lambda *_: Acting(kill, Reply(said("echo yes > answer\n"))))))
    assert (done.outcome, done.dense) == (Outcome.INFRA_ERROR, None)
    assert done.error


def test_a_server_out_of_reach_makes_it_invalid() -> None:
    async def fail() -> None:
        raise ConnectionRefusedError("no server")

    done = run(run_episode(Attempt(TASK, lambda *_: Acting(fail, Reply("")))))
    assert (done.outcome, done.error) == (Outcome.INFRA_ERROR, "no server")


def test_a_policy_that_fails_is_no_record_and_leaves_nothing() -> None:
    async def fail() -> None:
        raise RuntimeError("a bug")

    async def main() -> list[int]:
        with pytest.raises(RuntimeError, match="a bug"):
            await run_episode(Attempt(TASK, lambda *_: Acting(fail, Reply(""))))
        return await _boxes()

    assert run(main()) == []


# Many at a time.


def test_a_rollout_runs_as_many_at_a_time_as_asked() -> None:
    now, most = 0, 0

    async def count() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1

    attempts = [Attempt(TASK, lambda *_: Acting(count, Reply(said("\n"))), n, limits=Limits(turns=2)) for n in range(6)]

    async def main() -> list[int]:
        return [done.attempt async for done in Rollout(attempts, concurrency=3)]

    assert sorted(run(main())) == [0, 1, 2, 3, 4, 5]
    assert most == 3


def test_a_rollout_hands_out_what_ends_first() -> None:
    slow, fast = scripted(said("sleep 0.5\n")), replace(scripted(), number=1)

    async def main() -> list[int]:
        return [done.attempt async for done in Rollout([slow, fast], concurrency=2)]

    assert run(main()) == [1, 0]


def test_leaving_a_rollout_closes_every_sandbox() -> None:
    attempts = Plan("scripted", [TASK], attempts=6, options={"replies": [said("sleep 30\n")] * 9})
    quick = [Attempt(TASK, "idle"), *attempts]

    async def main() -> tuple[list[int], list[int]]:
        async with aclosing(Rollout(quick, concurrency=4).trajectories()) as trajectories:
            await anext(trajectories)
            running = await _boxes()
        return running, await _boxes()

    running, left = run(main())
    assert running and not left


async def _boxes() -> list[int]:
    """The sandboxes that are alive."""
    pid = (await launcher()).pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# Recordings.


def test_a_recording_replays_to_what_the_terminal_showed(tmp_path: Path) -> None:
    keys = ("printf '\\033[2J\\033[3;5Hgrüße 世界\\n'\n", "ls /\n", "C-c")
    path = tmp_path / "casts" / "one.cast"
    done = run(run_episode(scripted(said(*keys)), cast=path))
    header, *events = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert (header["version"], header["width"], header["height"]) == (2, 160, 40)
    assert [text for _, code, text in events if code == "i"] == [*keys[:2], "\x03"]
    assert [text for _, code, text in events if code == "m"] == ["turn 1", "turn 2", "turn 3"]
    times = [time for time, _, _ in events]
    assert times == sorted(times) and all(time >= 0 for time in times)
    emulator = Emulator(40, 160)
    emulator.feed("".join(text for _, code, text in events if code == "o").encode())
    assert "grüße 世界" in emulator.screen().text
    assert emulator.screen().text.rstrip() in done.turns[1].observation


def test_a_recording_begins_with_what_was_there(tmp_path: Path) -> None:
    before, after = Emulator(5, 20), Emulator(5, 20)
    before.feed(b"one\r\n\r\nthree $ ")
    Cast(tmp_path / "x.cast", before.screen()).close()
    after.feed(json.loads((tmp_path / "x.cast").read_text().splitlines()[1])[2].encode())
    assert after.screen() == before.screen()


def test_a_recording_ends_where_it_is_too_long(tmp_path: Path) -> None:
    with Cast(tmp_path / "x.cast", Screen("", 24, 80, (0, 0), False)) as cast:
        for _ in range(40):
            cast.printed(b"x" * (1 << 20))
        cast.marked("later")
    assert (tmp_path / "x.cast").stat().st_size < MAX_BYTES + (2 << 20)
    last = (tmp_path / "x.cast").read_text().splitlines()[-1]
    assert json.loads(last)[1:] == ["m", "too long: the recording ends here"]


def test_a_character_that_comes_in_pieces_is_recorded_whole(tmp_path: Path) -> None:
    with Cast(tmp_path / "x.cast", Screen("", 24, 80, (0, 0), False)) as cast:
        for byte in "€".encode():
            cast.printed(bytes([byte]))
    lines = (tmp_path / "x.cast").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)[2] for line in lines[2:]] == ["€"]
