"""Whole episodes: the verdict, every outcome, hostile agents, and that nothing is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from termgym import aio, launcher_client
from termgym.episode import Episode, EpisodeConfig, Turn, outcome_of
from termgym.errors import SandboxDied, TaskError, VerifierError
from termgym.outcome import Outcome
from termgym.protocol import Action, Command
from termgym.task import Check, File, Limits, Task
from termgym.verifier import Verdict

HELLO = Task(
    id="hello",
    instruction="Write hello into /app/out.txt.",
    files={"/app/in.txt": File.of("hello\n")},
    checks=(
        Check("there", "[ -f /app/out.txt ] && [ ! -L /app/out.txt ]", 1.0),
        Check("right", '[ -f /app/out.txt ] && [ "$(head -c 100 /app/out.txt)" = hello ]', 3.0),
    ),
)
DONE = Action("done", "none", (), True)


def typing(*keys: str, duration_s: float = 5.0) -> str:
    return Action("test", "test", tuple(Command(one, duration_s) for one in keys)).to_json()


async def play(
    task: Task, *keys: str, finish: bool = True, **config: object
) -> tuple[Episode, list[Turn], Outcome, Verdict]:
    """One episode: each of `keys` a turn, then the claim to be done; closed at the end."""
    episode = Episode(task, EpisodeConfig(**config))  # type: ignore[arg-type]
    try:
        await episode.reset()
        turns: list[Turn] = []
        for text in [*(typing(one) for one in keys), DONE.to_json(), DONE.to_json()]:
            turns.append(await episode.step(text))
            if turns[-1].ended:
                break
        outcome, verdict = await episode.finish()
        return episode, turns, outcome, verdict
    finally:
        await episode.close()


def test_solving_failing_and_partial_credit() -> None:
    _, _, outcome, verdict = aio.run(play(HELLO, "cp in.txt out.txt\n"))
    assert (outcome, verdict.dense, verdict.binary) == (Outcome.SOLVED, 1.0, 1.0)
    _, _, outcome, verdict = aio.run(play(HELLO, "touch out.txt\n"))
    assert (outcome, verdict.dense, verdict.binary) == (Outcome.FAILED, 0.25, 0.0)
    _, _, outcome, verdict = aio.run(play(HELLO))
    assert (outcome, verdict.dense) == (Outcome.FAILED, 0.0)


def test_observations_are_what_a_policy_reads() -> None:
    async def main() -> None:
        episode = Episode(HELLO)
        first = await episode.reset()
        assert HELLO.instruction in first and "root@termgym:/app#" in first
        turn = await episode.step(typing("cat in.txt\n"))
        assert turn.observation.startswith("New terminal output:") and "hello" in turn.observation
        turn = await episode.step("no json at all")
        assert "ERROR" in turn.observation and not turn.settled and not turn.ended
        turn = await episode.step(DONE.to_json())
        assert not turn.ended and "task_complete" in turn.observation
        turn = await episode.step("garbage")  # a reply that cannot be read takes nothing back
        assert not turn.ended
        turn = await episode.step(DONE.to_json())
        assert turn.ended and episode.reason is Outcome.FAILED
        await episode.close()
        await episode.close()

    aio.run(main())


@pytest.mark.parametrize(
    ("limits", "keys", "reason"),
    [
        (Limits(turns=2), ["true\n", "true\n"], Outcome.OUT_OF_TURNS),
        (Limits(wall_s=0.5), ["sleep 9\n"], Outcome.OUT_OF_TIME),
        (Limits(command_s=0.5), ["sleep 9\n"], Outcome.OUT_OF_TIME),
        (Limits(tokens=1), ["true\n"], Outcome.OUT_OF_TOKENS),
    ],
)
def test_limits_end_an_episode_and_work_that_passes_still_counts(
    limits: Limits, keys: list[str], reason: Outcome
) -> None:
    async def main(work: str) -> tuple[Outcome, Outcome | None, float]:
        episode = Episode(HELLO, limits=limits)
        try:
            await episode.reset()
            episode.tokens = 2
            begin = time.monotonic()
            turns = [await episode.step(typing(one, duration_s=60.0)) for one in [work + keys[0], *keys[1:]]]
            assert turns[-1].ended and reason.truncated
            took_s = time.monotonic() - begin
            outcome, _ = await episode.finish()
            return outcome, episode.reason, took_s
        finally:
            await episode.close()

    outcome, ended, took_s = aio.run(main(""))
    assert (outcome, ended) == (reason, reason) and took_s < 3
    outcome, ended, _ = aio.run(main("cp in.txt out.txt; "))
    assert (outcome, ended) == (Outcome.SOLVED, reason)


HOSTILE = {
    "exit": ("exit\n", True),
    "shell killed": ("kill -9 $$\n", True),
    "everything killed": ("sleep 100 & kill -9 -1\n", False),
    "terminal closed": ("exec 0<&- 1>&- 2>&-\n", True),
    "init killed": ("kill -9 1; kill -TERM 1; kill -INT 1\n", False),
    "urandom": ("cat /dev/urandom\n", False),
    "yes": ("yes\n", False),
    "binary": ("printf '\\033[2J\\033]0;x\\007\\0\\377\\376\\033[99999;99999H\\033P\\033_'\n", False),
    "fork bomb": (":(){ :|:& };:\n", False),
    "full disk": ("cat /dev/zero > /app/full; echo status $?\n", False),
    "no inodes": ("cd /tmp; seq 200000 | xargs touch; echo status $?\n", False),
    "unkillable": ("trap '' INT TERM HUP QUIT TSTP; while :; do sleep 1; done\n", False),
    "stopped": ("kill -STOP $$\n", False),
    "hidden daemon": ("setsid sh -c 'while :; do echo x > /app/out.txt; done' > /dev/null 2>&1 &\n", False),
    "broken tools": (
        "mount --bind /dev/null /usr/bin/bash; cp /bin/true /usr/bin/[; rm -rf /usr/bin/head /bin\n",
        False,
    ),
    "no more terminal": ("stty raw -echo -isig; exec cat > /dev/null\n", False),
    "memory": ("tail /dev/zero\n", False),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_agents_get_a_defined_outcome_in_time(name: str) -> None:
    keys, dies = HOSTILE[name]

    async def main() -> None:
        episode = Episode(HELLO, limits=Limits(turns=4))
        try:
            await episode.reset()
            begin = time.monotonic()
            turn = await episode.step(typing(keys, duration_s=1.0))
            assert turn.ended == dies
            assert len(turn.observation.encode()) < 11_000
            while not turn.ended:
                turn = await episode.step(typing("C-c", "echo $((6*7))\n", duration_s=0.25))
            outcome, verdict = await episode.finish()
            assert time.monotonic() - begin < 12
            assert outcome is (Outcome.AGENT_DIED if dies else Outcome.OUT_OF_TURNS)
            assert verdict.binary == 0
        finally:
            await episode.close()
        _, _, outcome, _ = await play(HELLO, "cp in.txt out.txt\n")  # and the next one is none the worse
        assert outcome is Outcome.SOLVED

    aio.run(main())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"commands": 3}', "\x00\ud800", "x" * 5_000_000, '{"a":' * 100_000]
)
def test_malformed_actions_are_answered_not_raised(text: str) -> None:
    async def main() -> None:
        episode = Episode(HELLO)
        try:
            await episode.reset()
            turn = await episode.step(text)
            assert "ERROR" in turn.observation and not turn.ended
            turn = await episode.step(typing("echo fine\n"))
            assert "fine" in turn.observation
        finally:
            await episode.close()

    aio.run(main())


def test_five_megabytes_of_keystrokes() -> None:
    async def main() -> None:
        episode = Episode(HELLO)
        try:
            await episode.reset()
            begin = time.monotonic()
            turn = await episode.step(typing("# " + "y" * 5_000_000 + "\n", duration_s=2.0))
            assert time.monotonic() - begin < 6
            assert len(turn.observation.encode()) < 11_000
            turn = await episode.step(
                typing("C-c", "C-c", "C-u", "echo $((6*7))\n")
            )  # bash takes its time with such a line
            assert "42" in turn.observation
        finally:
            await episode.close()

    aio.run(main())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -9 $$", "crashed with status -9"),
        ("exec /nowhere", "crashed with status 127"),
        ("#!/no/such/interpreter\n", "crashed with status 127"),
        ("sleep 60", "did not end"),
    ],
)
def test_a_broken_verifier_is_an_error_not_a_zero(script: str, words: str) -> None:
    task = Task(id="broken", instruction="x", checks=(Check("one", script),), limits=Limits(verifier_s=1.0))
    with pytest.raises(VerifierError, match=words) as caught:
        aio.run(play(task))
    assert outcome_of(caught.value) is Outcome.VERIFIER_ERROR


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 1 > /logs/verifier/reward.txt", 1.0),
        ("echo 0.25 > /logs/verifier/reward.txt; exit 3", 0.25),
        ('echo 0 > /logs/verifier/reward.txt; echo \'{"reward": 0.5, "b": 1}\' > /logs/verifier/reward.json', 0.5),
        ('echo \'{"a": 0, "b": 1}\' > /logs/verifier/reward.json', 0.5),
        ("echo nan > /logs/verifier/reward.txt", "finite"),
        ("echo '{\"reward\": true}' > /logs/verifier/reward.json", "finite"),
        ("echo '{}' > /logs/verifier/reward.json", "holds no reward"),
        ("echo much > /logs/verifier/reward.txt", "not a number"),
        (": > /logs/verifier/reward.txt", "empty"),
        ("ln -s /etc/hostname /logs/verifier/reward.txt", "not a number"),
        ("mkfifo /logs/verifier/reward.txt", "neither"),
        ("true", "neither"),
    ],
)
def test_harbors_contract(script: str, expected: float | str) -> None:
    task = Task(id="harbor", instruction="x", tests={"test.sh": File.of("#!/bin/bash\n" + script)})
    plant = "mkdir -p /logs/verifier /tests; echo 1 | tee /logs/verifier/reward.txt /logs/verifier/reward.json\n"
    if not isinstance(expected, str):
        assert aio.run(play(task, plant))[3].dense == expected
    else:
        with pytest.raises(VerifierError, match=expected):
            aio.run(play(task, plant))


def test_a_check_may_run_the_agents_program_only_in_a_fork() -> None:
    """What it prints counts; what it does to the verifier's files, processes and tools does not."""
    checks = (
        Check(
            "output",
            '[ "$(cat /tests/runs/output/stdout)" = 42 ] && [ "$(cat /tests/runs/output/status)" = 0 ]',
            run="bash prog.sh",
        ),
        Check("hangs", '[ "$(cat /tests/runs/hangs/status)" = 0 ]', run="[ ! -f hang ] || sleep 1000"),
    )
    task = Task(id="run", instruction="x", checks=checks)
    assert aio.run(play(task, "echo 'echo $((6*7))' > prog.sh\n"))[3].dense == 1.0
    cheat = "echo 'echo 1 > /tests/runs/output/status; kill -9 -1; echo 42 | tee /proc/*/fd/1' > prog.sh\n"
    assert aio.run(play(task, cheat))[3].dense == 0.5


def test_setup_runs_before_the_agent_and_its_failure_is_the_tasks() -> None:
    task = Task(id="setup", instruction="x", setup="echo made > made; pwd > where", checks=HELLO.checks)
    _, turns, _, _ = aio.run(play(task, "cat made where\n"))
    assert "made\n/app" in turns[0].observation
    with pytest.raises(TaskError, match="failed with 3: nope"):
        aio.run(play(Task(id="setup", instruction="x", setup="echo nope; exit 3", checks=HELLO.checks)))


def test_tests_and_solution_are_not_there_during_the_episode() -> None:
    secret = File.of("an-expectation")
    task = Task(
        id="secret",
        instruction="x",
        checks=(Check("one", "[ an-expectation = no ]"),),
        tests={"expected": secret},
        solution={"solve.sh": secret},
    )
    files = "grep -rsl 'an-expect[a]tion' $(ls / | grep -vE '^(usr|proc|bin|lib|lib64|sbin)$' | sed 's,^,/,') | wc -l\n"
    processes = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2> /dev/null | grep -c 'an-expect[a]tion'\n"
    _, turns, _, _ = aio.run(play(task, files, processes))
    assert [turn.observation.splitlines()[-2] for turn in turns[:2]] == ["0", "0"]


def test_terminus_2_timing() -> None:
    async def main(wait: str) -> float:
        episode = Episode(HELLO, EpisodeConfig(wait=wait))
        try:
            await episode.reset()
            turn = await episode.step(typing("echo hi\n", duration_s=0.7))
            assert "hi" in turn.observation
            return episode.command_s
        finally:
            await episode.close()

    assert 0.7 <= aio.run(main("duration")) < 1.5
    assert aio.run(main("settle")) < 0.5


def test_using_a_closed_episode_says_so() -> None:
    async def main() -> None:
        episode = Episode(HELLO)
        with pytest.raises(SandboxDied, match="not reset yet, or closed"):
            await episode.step(typing("x"))
        await episode.reset()
        await episode.close()
        with pytest.raises(SandboxDied, match="not reset yet, or closed"):
            await episode.finish()

    aio.run(main())


# Nothing is left behind.


def descendants(pid: int) -> list[int]:
    """The processes below `pid`, by the kernel's own lists."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants(child)]
    return found


def groups(pids: list[int]) -> list[Path]:
    names = {f"termgym-{pid}" for pid in pids}
    return [Path(root) for root, _, _ in os.walk("/sys/fs/cgroup") if Path(root).name in names]


def leftovers() -> dict[str, int]:
    """What this process and those below it hold."""
    return {
        "processes": len(descendants(os.getpid())),
        "mounts": Path("/proc/self/mounts").read_text().count("termgym"),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "temporary": len([path for path in Path("/tmp").iterdir() if "termgym" in path.name]),
    }


async def many(count: int, at_once: int) -> None:
    slots = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with slots:
            _, _, outcome, _ = await play(HELLO, "cp in.txt out.txt\n")
            assert outcome is Outcome.SOLVED

    await asyncio.gather(*(one() for _ in range(count)))


def test_many_episodes_leave_nothing() -> None:
    async def main(rounds: int) -> None:
        for _ in range(rounds):
            await play(HELLO, "cp in.txt out.txt\n")

    aio.run(launcher_client.close_launcher())
    before, others = leftovers(), descendants(os.getpid())
    aio.run(main(1))
    launchers = [pid for pid in descendants(os.getpid()) if pid not in others]
    running = leftovers()
    aio.run(main(40))
    aio.run(many(64, 64))
    assert leftovers() == running
    aio.run(launcher_client.close_launcher())
    assert leftovers() == before
    assert launchers and not groups(launchers)


@pytest.mark.slow
def test_three_hundred_in_a_row_leave_nothing() -> None:
    async def main() -> None:
        for _ in range(300):
            await play(HELLO, "cp in.txt out.txt\n")

    aio.run(many(2, 2))
    before = leftovers()
    aio.run(main())
    assert leftovers() == before


KILLED = """
import sys, asyncio
sys.path.insert(0, {root!r})
from tests.test_episode import HELLO, Episode
async def main():
    episodes = [Episode(HELLO) for _ in range(8)]
    await asyncio.gather(*(episode.reset() for episode in episodes))
    print("up", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_kill_minus_nine_leaves_nothing() -> None:
    root = str(Path(__file__).parents[1])
    process = subprocess.Popen([sys.executable, "-c", KILLED.format(root=root)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"up\n"
        below = descendants(process.pid)
        assert len(below) >= 1 + 8 + 8  # the launcher, and a first process and a shell in each sandbox
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 10
    while (
        alive := [pid for pid in below if Path(f"/proc/{pid}").exists()] + groups(below)
    ) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive
    aio.run(many(1, 1))  # and a new start works
