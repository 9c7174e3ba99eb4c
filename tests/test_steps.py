"""Tasks of several steps, through every way to run one; and health checks."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import pytest

import termgym  # noqa: F401
from termgym import aio
from termgym.attempt import Attempt, run_episode
from termgym.episode import Episode
from termgym.errors import SandboxError, TaskError
from termgym.outcome import Outcome
from termgym.protocol import Action, Command
from termgym.task import File, Healthcheck, Limits, Step, Task
from termgym.verifier import Verdict

DONE = Action("done", "none", (), True).to_json()


def judge(script: str) -> File:
    return File.of(f"#!/bin/bash\n{{ {script}; }} >/logs/verifier/reward.txt\n", 0o755)


SCORE = judge('[ -f "/app/$(cat /tests/wanted)" ] && cat "/app/$(cat /tests/wanted)" || echo 0')
FIRST = Step(
    "one", "FIRST: write a number into a.", tests={"wanted": File.of("a")}, solution={"solve.sh": File.of("echo 1 >a")}
)
SECOND = Step(
    "two",
    "SECOND: write a number into b.",
    files={"setup.sh": File.of("touch made; ls /tests /logs/verifier >seen 2>&1; true"), "given": File.of("x")},
    tests={"wanted": File.of("b")},
    solution={"solve.sh": File.of("echo 1 >b")},
)
TASK = Task("steps", "", tests={"test.sh": SCORE}, steps=(FIRST, SECOND))


def typing(keys: str) -> str:
    return Action("test", "test", (Command(keys, 5.0),)).to_json()


async def play(task: Task, *texts: str) -> tuple[list[str], Outcome, Verdict]:
    episode = Episode(task)
    try:
        seen = [await episode.reset()]
        for text in texts:
            seen.append((turn := await episode.step(text)).observation)
            if turn.ended:
                break
        return seen, *await episode.finish()
    finally:
        await episode.close()


def test_one_step_after_the_other_on_the_same_files_with_a_new_shell() -> None:
    texts = (typing("echo 1 >a; mkdir -p /tests; x=gone; sleep 99 &\n"), DONE, DONE)
    more = (typing("ls; cat seen; echo [$x] $(jobs)\n"), typing("echo 1 >b\n"), DONE, DONE)
    seen, outcome, verdict = aio.run(play(TASK, *texts, *more))
    assert FIRST.instruction in seen[0] and SECOND.instruction not in "".join(seen[:3])
    assert SECOND.instruction in seen[3] and FIRST.instruction not in seen[3]
    assert "a  given  made  seen  setup.sh" in seen[4] and "[]" in seen[4]
    assert "cannot access '/tests'" in seen[4] and "cannot access '/logs/verifier'" in seen[4]
    assert (outcome, verdict.dense) == (Outcome.SOLVED, 1.0)
    assert [check.name for check in verdict.checks] == ["one/reward", "two/reward"]


@pytest.mark.parametrize(
    ("changes", "typed", "dense", "steps"),
    [
        ({}, ("echo 0.5 >a\n", "echo 1 >b\n"), 0.75, 2),
        ({"combine": "final"}, ("echo 0.5 >a\n", "echo 1 >b\n"), 1.0, 2),
        ({"steps": (replace(FIRST, min_reward={"reward": 0.6}), SECOND)}, ("echo 0.5 >a\n",), 0.25, 1),
        ({"steps": (replace(FIRST, min_reward={"no": 0.1}), SECOND), "combine": "final"}, ("echo 1 >a\n",), 0.0, 1),
    ],
)
def test_rewards_are_combined_and_a_poor_step_is_the_last(
    changes: dict[str, object], typed: Sequence[str], dense: float, steps: int
) -> None:
    texts = [text for keys in typed for text in (typing(keys), DONE, DONE)]
    seen, outcome, verdict = aio.run(play(replace(TASK, **changes), *texts, DONE, DONE))  # type: ignore[arg-type]
    assert (verdict.dense, len(verdict.checks), len(seen)) == (dense, steps, 1 + 3 * steps)
    assert (outcome is Outcome.SOLVED) == (dense == 1)


def test_each_step_has_the_limits_anew() -> None:
    task = replace(TASK, limits=Limits(turns=2))
    _, outcome, verdict = aio.run(play(task, *(typing(f"echo 1 >{name}\n") for name in "axbyz")))
    assert (outcome, verdict.dense) == (Outcome.SOLVED, 1.0)
    slow = replace(TASK, steps=(replace(FIRST, wall_s=0.5), SECOND))
    seen, _, verdict = aio.run(play(slow, typing("echo 1 >a; sleep 9\n"), typing("echo 1 >b\n"), DONE, DONE))
    assert SECOND.instruction in seen[1] and verdict.dense == 1


def test_a_shell_that_ended_ends_its_step_alone() -> None:
    _, outcome, _ = aio.run(play(TASK, typing("echo 1 >a; exit\n"), typing("echo 1 >b\n"), DONE, DONE))
    assert outcome is Outcome.SOLVED


def test_a_setup_that_fails_makes_the_episode_invalid_but_on_an_agents_files() -> None:
    failing = {"setup.sh": File.of("echo no; exit 3")}
    task = replace(TASK, steps=(replace(FIRST, files=failing), SECOND))
    record = aio.run(run_episode(Attempt(task, "oracle")))
    assert record.outcome is Outcome.INFRA_ERROR and "steps/one/workdir/setup.sh failed with 3: no" in record.error
    task = replace(TASK, steps=(FIRST, replace(SECOND, files=failing)))
    _, outcome, verdict = aio.run(play(task, typing("echo 1 >a\n"), DONE, DONE))
    assert (outcome, verdict.dense) == (Outcome.FAILED, 0.5)
    assert verdict.checks[-1].name == "two/setup" and "setup.sh failed with 3: no" in verdict.checks[-1].output


def test_rollouts_and_environments_run_them(tmp_path: Path) -> None:
    record = aio.run(run_episode(Attempt(TASK, "oracle"), cast=tmp_path / "cast"))
    assert record.solved and any(SECOND.instruction in turn.observation for turn in record.turns)
    assert "SECOND" not in (tmp_path / "cast").read_text() and "echo 1 >b" not in record.first
    with gym.make("Terminal-v0", task=TASK) as env:
        _, info = env.reset(seed=1)
        assert info["instruction"] == FIRST.instruction
        for text in (typing("echo 1 >a\n"), DONE, DONE, typing("echo 1 >b\n"), DONE):
            assert not env.step(text)[2]
        _, reward, terminated, _, info = env.step(DONE)
        assert (reward, terminated, info["outcome"]) == (1.0, True, "solved")
    envs = gym.make_vec("Terminal-v0", num_envs=2, task=TASK)
    try:
        envs.reset(seed=1)
        for keys in ("echo 1 >a\n", "", "", "echo 1 >b\n", "", ""):
            _, rewards, ends, _, _ = envs.step([typing(keys) if keys else DONE] * 2)
        assert list(rewards) == [1, 1] and all(ends)
    finally:
        envs.close()


def test_branches_and_replays_say_that_they_cannot() -> None:
    env = gym.make("Terminal-v0", task=TASK).unwrapped
    try:
        env.reset(seed=1)
        with pytest.raises(TaskError, match="several steps"):
            env.snapshot()  # type: ignore[attr-defined]
    finally:
        env.close()


# Health checks.


def test_the_agent_begins_when_the_task_is_healthy() -> None:
    check = Healthcheck("[ -f /app/up ]", interval_s=0.1, timeout_s=5, retries=50)
    task = replace(
        TASK, steps=(), tests={}, checks=(), setup="(sleep 0.7; touch up) >/dev/null 2>&1 &", healthcheck=check
    )
    seen, *_ = aio.run(play(replace(task, tests={"test.sh": judge("echo 1")}), typing("ls\n"), DONE, DONE))
    assert "up" in seen[1]


@pytest.mark.parametrize("command", ["false", "sleep 60"])
def test_one_that_never_is_healthy_is_invalid(command: str) -> None:
    check = Healthcheck(command, interval_s=0.1, timeout_s=0.3, start_period_s=0.5, start_interval_s=0.2, retries=2)
    task = replace(TASK, steps=(), healthcheck=check)
    begin = time.monotonic()
    with pytest.raises(SandboxError, match="not healthy after 2 tries"):
        aio.run(play(task))
    assert 0.5 < time.monotonic() - begin < 5
    record = aio.run(run_episode(Attempt(task, "idle")))
    assert record.outcome is Outcome.INFRA_ERROR and not record.valid


SABOTAGE = {
    "no shell": "rm -f /bin/bash",
    "a shell that prints": r"printf '#!/bin/sh\nprintf \\377\n' >/s; chmod +x /s; mv /s /bin/bash",
    "no setup": "rm -f setup.sh; mkdir setup.sh",
    "no workdir": "cd /; rm -rf /app; touch /app",
    "a shell that ends": "rm /usr/bin/touch; cp /bin/true /bin/bash",
}


@pytest.mark.parametrize("name", SABOTAGE)
def test_a_step_that_the_agent_made_impossible_is_not_reached(name: str) -> None:
    """What it left must make no episode invalid, nor raise: that would be a way out of a step that it cannot do."""
    seen, outcome, verdict = aio.run(play(TASK, typing(f"echo 1 >a; cp a /; {SABOTAGE[name]}\n"), DONE, DONE))
    assert len(seen) == 4 or "no workdir" in name
    assert outcome is not Outcome.SOLVED and verdict.dense <= 0.5
