"""Replays of real episodes: what came out the same, and what is said of what did not."""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner, Result

from termgym.attempt import Attempt, run_episode
from termgym.cli import app
from termgym.errors import TaskError
from termgym.family import find_family
from termgym.launcher_client import close_launcher
from termgym.outcome import Outcome
from termgym.protocol import Action, Command
from termgym.replay import SHOWN_LINES, Difference, Replay, Replays, replay
from termgym.rollout import Rollout
from termgym.task import Check, Limits, Task
from termgym.trajectory import Trajectory

T = TypeVar("T")
FAMILIES = ("files/rename-by-date", "text/log-report")
TASK = Task(
    id="write-yes",
    instruction="Write yes into /app/answer.",
    checks=(Check("there", "test -e /app/answer"), Check("answer", "grep -qx yes /app/answer")),
    oracle=(Command("echo yes > answer\n", 5.0),),
)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def main() -> T:
        try:
            return await coroutine
        finally:
            await close_launcher()

    return asyncio.run(main())


def said(*keystrokes: str, duration_s: float = 20.0) -> str:
    return Action("", "", tuple(Command(keys, duration_s) for keys in keystrokes)).to_json()


def recorded(*replies: str, task: Task = TASK, limits: Limits | None = None) -> Trajectory:
    return run(run_episode(Attempt(task, "scripted", options={"replies": replies}, limits=limits)))


def again(trajectory: Trajectory, task: Task | None = TASK) -> Replay:
    return run(replay(trajectory, task))


def found(one: Replay) -> list[tuple[int, str]]:
    return [(difference.turn, difference.field) for difference in one.differences]


def with_turn(trajectory: Trajectory, number: int, **changes: Any) -> Trajectory:
    """With the turn of that number, from 1, changed."""
    turns = list(trajectory.turns)
    turns[number - 1] = replace(turns[number - 1], **changes)
    return replace(trajectory, turns=tuple(turns))


def write(path: Path, trajectories: Sequence[Trajectory]) -> Path:
    path.write_text("".join(one.to_json() + "\n" for one in trajectories))
    return path


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, args)])


# What is the same.


def test_episodes_of_families_replay_the_same(tmp_path: Path) -> None:
    few = Limits(turns=3)
    tasks = [find_family(name).task(seed, 1) for name in FAMILIES for seed in (0, 1)]
    attempts = [Attempt(task, policy) for task in tasks for policy in ("oracle", "idle")]

    async def record() -> list[Trajectory]:
        return [one async for one in Rollout([*attempts, Attempt(tasks[0], "random", limits=few)], concurrency=2)]

    trajectories = run(record())
    assert {one.outcome for one in trajectories} == {Outcome.SOLVED, Outcome.FAILED, Outcome.OUT_OF_TURNS}
    replays = Replays(write(tmp_path / "episodes.jsonl", trajectories))
    replays.run(concurrency=2)
    assert replays.text() == "9 replayed, 9 the same, 0 differ, 0 skipped"
    assert replays.ended.keys() == set(range(9))


def test_interactive_programs_replay_the_same() -> None:
    vim = said("vim -u NONE answer\n", "iyes", "Escape"), said(":wq\n")
    less = said("seq 500 | less\n", " ", "G"), said("/^77$\n", "q")
    done = recorded(*vim, *less)
    assert done.solved and "reading" in done.turns[0].settled
    assert again(done).differences == ()


def test_replies_that_cannot_be_read_replay_the_same() -> None:
    assert again(recorded("{oops \ud800", "", said("echo yes > answer\n"))).differences == ()


def test_a_shell_that_ends_replays_the_same() -> None:
    done = recorded(said("exit\n"))
    assert done.outcome is Outcome.AGENT_DIED
    assert again(done).differences == ()


@pytest.mark.parametrize("limits", [Limits(turns=2), Limits(command_s=0.3), Limits(wall_s=0.3)])
def test_an_episode_that_a_limit_ended_ends_with_its_replies(limits: Limits) -> None:
    done = recorded(said("\n"), said("sleep 0.5\n"), said("echo yes > answer\n"), limits=limits)
    assert done.outcome.truncated and len(done.turns) == 2
    one = again(done)
    assert len(one.replayed.turns) == 2 and "outcome" not in {difference.field for difference in one.differences}
    assert all(difference.cut for difference in one.differences)


# What differs.


@pytest.fixture(scope="module")
def three() -> Trajectory:
    """An episode of five turns: three of commands, two of saying that it is done."""
    return recorded(said("echo one\n"), said("echo two\n"), said("echo yes > answer\n"))


def test_another_observation_is_found_at_its_turn(three: Trajectory) -> None:
    one = again(with_turn(three, 2, observation=three.turns[1].observation.replace("two", "2")))
    assert found(one) == [(2, "observation")]
    (difference,) = one.differences
    assert not difference.cut and difference.settled == ("prompt", "prompt")
    assert "turn 2: observation\n--- recorded\n+++ replayed\n@@" in difference.text()
    assert "\n-2\n" in difference.text() and "\n+two\n" in difference.text()


def test_another_first_observation_is_turn_0(three: Trajectory) -> None:
    assert found(again(replace(three, first=three.first + " "))) == [(0, "first observation")]


def test_another_reply_shows_at_its_turn_and_in_what_follows(three: Trajectory) -> None:
    one = again(with_turn(three, 3, reply=said("echo no > answer\n")))
    assert found(one)[0] == (3, "observation") and found(one)[-2:] == [(5, "verdict"), (5, "outcome")]
    verdict, outcome = one.differences[-2:]
    assert "\n-answer: 1.0\n" in verdict.text() and "\n+answer: 0.0\n" in verdict.text()
    assert (outcome.recorded, outcome.replayed) == ("solved after turn 5", "failed after turn 5")
    assert "also turn 5: verdict" in one.text()


def test_an_episode_that_ends_early_is_another_outcome(three: Trajectory) -> None:
    one = again(with_turn(three, 1, reply=said("exit\n")))
    assert one.differences[-1].replayed == "agent_died after turn 1"


def test_another_score_is_a_difference(three: Trajectory) -> None:
    checks = (replace(three.checks[0], score=0.5), *three.checks[1:])
    assert found(again(replace(three, checks=checks))) == [(5, "verdict")]


def test_another_task_under_the_same_id_is_told(three: Trajectory) -> None:
    other = replace(TASK, checks=(*TASK.checks, Check("more", "true")))
    one = again(three, other)
    assert found(one) == [(0, "task"), (5, "verdict")]
    assert (one.differences[0].recorded, one.differences[0].replayed) == (
        f"digest {three.digest}",
        f"digest {other.digest}",
    )


def test_output_that_tells_the_time_differs() -> None:
    one = again(recorded(said("\n"), said("date +%s.%N\n")))
    assert found(one)[0] == (2, "observation") and not one.differences[0].cut


def test_a_screen_that_a_deadline_cut_is_marked() -> None:
    one = again(recorded(said("\n"), said("while date +%N; do sleep 0.1; done\n", duration_s=0.3), said("C-c")))
    assert found(one)[0] == (2, "observation")
    assert one.differences[0].title == "turn 2: observation; the wait was cut by its deadline then or now"
    assert all(difference.cut for difference in one.differences)


def test_waits_that_ended_otherwise_are_told_with_what_differs(three: Trajectory) -> None:
    assert again(with_turn(three, 1, settled=("idle",))).differences == ()
    one = again(with_turn(three, 1, settled=("idle",), observation=""))
    assert one.differences[0].title == "turn 1: observation; waits ended by idle then, by prompt now"


def test_a_replay_that_fails_differs_by_its_error(three: Trajectory) -> None:
    one = again(three, replace(TASK, setup="echo broken >&2; exit 3"))
    assert found(one) == [(0, "task"), (0, "error")]
    assert "infra_error" in one.differences[1].replayed and "broken" in one.differences[1].replayed


def test_a_long_diff_is_cut_and_can_be_printed() -> None:
    text = Difference(1, "observation", "\n".join(map(str, range(500))), "\ud800").text()
    assert len(text.splitlines()) == SHOWN_LINES + 2 and text.endswith("lines more")
    assert text.encode()


def test_invalid_episodes_and_unknown_tasks_are_refused(three: Trajectory) -> None:
    with pytest.raises(TaskError, match="invalid: infra_error"):
        again(replace(three, outcome=Outcome.INFRA_ERROR))
    with pytest.raises(TaskError, match="no family made write-yes"):
        again(three, None)
    with pytest.raises(TaskError, match="did you mean files/rename-by-date"):
        again(replace(three, task="files/rename@0.1", family="files/rename", seed=0, level=1), None)
    with pytest.raises(TaskError, match="levels 1 to 5"):
        again(replace(three, task="files/rename-by-date@0.9", family="files/rename-by-date", seed=0, level=9), None)


# The command.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The task's folder."""
    return TASK.save(tmp_path / "write-yes")


@pytest.fixture
def record(tmp_path: Path, three: Trajectory) -> Path:
    """A run's folder: a family's episode, an invalid one, one that differs in turn 2, one as it was."""
    family = run(run_episode(Attempt(find_family(FAMILIES[0]).task(0, 1), "idle")))
    other = with_turn(three, 2, observation="[bold]something else")
    (tmp_path / "run").mkdir()
    write(tmp_path / "run" / "episodes.jsonl", [family, replace(three, outcome=Outcome.VERIFIER_ERROR), other, three])
    return tmp_path / "run"


def test_the_command_shows_what_differs(record: Path, folder: Path) -> None:
    done = call(record, "--task", folder, "--concurrency", "2")
    assert done.exit_code == 1
    assert "write-yes, number 2, policy scripted, attempt 0\nturn 2: observation\n" in done.stdout
    assert "\n-[bold]something else\n" in done.stdout
    assert done.stdout.endswith("\n\n3 replayed, 2 the same, 1 differ, 1 skipped\n")
    assert done.stderr == "termgym: 1 skipped: the episode is invalid: verifier_error\n"


def test_the_command_takes_the_file_and_chosen_lines(record: Path, folder: Path) -> None:
    done = call(record / "episodes.jsonl", "--task", folder, "--number", "3", "--number", "0")
    assert (done.exit_code, done.stdout) == (0, "2 replayed, 2 the same, 0 differ, 0 skipped\n")


def test_the_command_skips_task_folders_that_are_not_given(record: Path) -> None:
    done = call(record)
    assert (done.exit_code, done.stdout) == (0, "1 replayed, 1 the same, 0 differ, 3 skipped\n")
    assert "2 skipped: no family made write-yes, and its folder was not given by --task" in done.stderr


def test_the_command_prints_json(record: Path, folder: Path) -> None:
    done = call(record, "--task", folder, "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert [told[name] for name in ("replayed", "same", "differ", "skipped")] == [3, 2, 1, 1]
    (episode,) = told["episodes"]
    (difference,) = episode["differences"]
    assert (episode["number"], difference["turn"], difference["field"]) == (2, 2, "observation")
    assert difference["recorded"] == "[bold]something else" and "two" in difference["replayed"]
    assert told["reasons"] == {"1": "the episode is invalid: verifier_error"}


def test_a_last_line_that_is_cut_off_is_told_and_left_out(record: Path) -> None:
    path = record / "episodes.jsonl"
    path.write_text(path.read_text()[:-100])
    done = call(record, "--number", "0")
    assert (done.exit_code, done.stdout) == (0, "1 replayed, 1 the same, 0 differ, 0 skipped\n")
    assert f"{path}:4: the last line is cut off" in done.stderr


@pytest.mark.parametrize(
    ("text", "args", "says"),
    [
        (None, [], "cannot read PATH: No such file"),
        ("{oops}\n", [], "PATH:1: this line is no trajectory"),
        ("GOOD\n[]\nGOOD\n", [], "PATH:2: this line is no trajectory"),
        ("GOOD\n", ["--number", "1"], "PATH has no number 1: it holds 1, from number 0"),
        ("GOOD\n", ["--task", "./no-such-folder"], "no-such-folder"),
    ],
)
def test_wrong_usage_is_status_2_and_one_line(
    text: str | None, args: list[str], says: str, tmp_path: Path, three: Trajectory
) -> None:
    path = tmp_path / "record.jsonl"
    if text is not None:
        path.write_text(text.replace("GOOD", three.to_json()))
    done = call(path, *args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("termgym: ") and done.stderr.count("\n") == 1
    assert says.replace("PATH", str(path)) in done.stderr
