"""How long each part of an episode takes, beside plain bash and beside the recipe that most use: Docker and tmux.

All rows are measured in one run, in turn, round after round, so that whatever else the machine does meets them alike.
Compare rows with each other rather than with those of another machine.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import gymnasium as gym
import report
from libtmux import Server
from naive_docker import Container, Unavailable, require
from plain_bash import ENV, PlainBash
from report import Row, Samples

from termgym import aio, launcher_client
from termgym.episode import Episode
from termgym.sandbox import SandboxSpec, new_sandbox
from termgym.task import Check, File, Limits, Task
from termgym.terminal import Terminal

SHELL_CHECK = "grep -qx hi /app/out.txt"
PYTHON_CHECK = "#!/usr/bin/python3 -I\nimport sys\nsys.exit(open('/app/out.txt').read() != 'hi\\n')\n"
TASK = Task(
    id="bench/hi",
    instruction="Write hi into out.txt.",
    files={f"/app/notes/{name}.txt": File.of(f"{name}\n" * 20) for name in ("ash", "birch", "cedar", "elm", "fir")},
    checks=(Check("said", SHELL_CHECK),),
    limits=Limits(turns=0, wall_s=0),
)
PYTHON_TASK = replace(TASK, checks=(Check("said", PYTHON_CHECK),))
STEPS = 20
DURATION_S = 5.0
"""As the longest wait: every step must end long before."""


# The floor: bash and Python with nothing of ours.


def plain_bash(samples: Samples) -> None:
    """Bash to its first prompt, and its echo to the next: what no environment can be faster than."""
    with samples.time("bash"):
        bash = PlainBash("--norc", "--noprofile")
        bash.until_prompt()
    bash.close()
    with samples.time("bash --login"):
        bash = PlainBash("--login")
        bash.until_prompt()
    for row, keys in (("bash echo", b"echo hi\n"), ("bash /bin/echo", b"/bin/echo hi\n")) * STEPS:
        with samples.time(row):
            os.write(bash.master, keys)
            printed = bash.until_prompt()
        assert printed.count(b"hi\r\n") == 2, printed
    bash.close()


def interpreter(samples: Samples) -> None:
    """The start and end of a Python that does nothing: the least that a check in Python costs."""
    argv = ["/usr/bin/python3", "-I", "-c", "pass"]
    with samples.time("python"):
        _, status = os.waitpid(os.posix_spawn(argv[0], argv, ENV), 0)
    assert status == 0


# Ours.


def rest() -> None:
    """Let the kernel come to rest before a measurement that makes a sandbox.

    Some of its locks are free again within milliseconds of their last use, and take ten of them later: no row is to
    profit from the one before it.
    """
    time.sleep(0.03)


def cold(samples: Samples) -> None:
    """A sandbox from nothing to the first prompt, with no task in it."""
    rest()

    async def start() -> None:
        sandbox = new_sandbox("namespace", SandboxSpec())
        with samples.time("cold"):
            with samples.time("start"):
                await sandbox.start()
            terminal = await Terminal.open(sandbox)
            await terminal.ready(10.0)
        assert (await terminal.screen()).text.rstrip().endswith(("#", "$"))
        terminal.close()
        await sandbox.close()

    aio.run(start())


def action(keystrokes: str, done: bool = False) -> str:
    """An action that types one thing."""
    commands = [{"keystrokes": keystrokes, "duration": DURATION_S}]
    return json.dumps({"analysis": "", "plan": "", "commands": commands, "task_complete": done})


def steps(samples: Samples, env: gym.Env[str, str]) -> None:
    """A reset, steps, and a close while the shell is alive."""
    rest()
    with samples.time("reset"):
        env.reset()
    for row, act in (("step", action("echo hi\n")), ("step /bin/echo", action("/bin/echo hi\n"))) * STEPS:
        with samples.time(row):
            observation, _, _, _, info = env.step(act)
        assert info["settled"] == ["prompt"] and "\nhi\n" in observation, (info, observation)
    with samples.time("close"):
        env.close()


def in_tmux(samples: Samples, env: gym.Env[str, str]) -> None:
    """Steps with a real tmux as the terminal."""
    env.reset()
    for _ in range(STEPS):
        with samples.time("step tmux"):
            observation, *_ = env.step(action("echo hi\n"))
        assert "\nhi\n" in observation, observation
    env.close()


def by_libtmux(samples: Samples) -> None:
    """The same by libtmux, which starts a tmux for each call: typed, then looked for until it shows."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(socket_path=f"{folder}/s", config_file="/dev/null")
        pane = server.new_session(x=160, y=40, window_command="bash --norc").active_pane
        assert pane is not None
        for number in range(STEPS // 4):
            with samples.time("libtmux turn"):
                pane.send_keys(f"echo h''i{number}")
                while f"hi{number}" not in pane.capture_pane():
                    pass
        server.kill()


def verify(samples: Samples) -> None:
    """The verdict, with a check in shell and one in Python."""

    async def judge(row: str, task: Task) -> None:
        episode = Episode(task)
        await episode.reset()
        await episode.step(action("echo hi > out.txt\n"))
        rest()
        with samples.time(row):
            _, verdict = await episode.finish()
        await episode.close()
        assert verdict.binary == 1.0, verdict

    aio.run(judge("verify", TASK))
    aio.run(judge("verify python", PYTHON_TASK))


def episode(samples: Samples, env: gym.Env[str, str]) -> None:
    """A whole episode through Gymnasium: five echo turns, the last of which says that the task is done."""
    rest()
    reward = terminated = None
    with samples.time("episode"):
        env.reset()
        for turn in range(5):
            _, reward, terminated, _, _ = env.step(action("echo hi | tee out.txt\n", done=turn == 4))
        env.close()
    assert (reward, terminated) == (1.0, True)


# The naive recipe.


def naive(samples: Samples, image: str) -> None:
    """The same with Docker and tmux; then a moment for the engine, which tidies up for longer than it says."""
    with samples.time("docker episode"), ExitStack() as stack:
        with samples.time("docker cold"):
            container = stack.enter_context(Container(image))
            container.open()
        for _ in range(5):
            with samples.time("docker turn 0.1"):
                screen = container.step("echo hi | tee out.txt\n", 0.1)
            assert "\nhi\n" in screen, screen
        with samples.time("docker verify"):
            reward = container.verify()
        assert reward == 1.0
        with samples.time("docker rm -f"):
            container.remove()
    time.sleep(0.5)


def naive_slow(samples: Samples, image: str) -> None:
    """What takes seconds: a turn of the default duration, and the stop that the engine gives ten seconds to."""
    with Container(image) as container:
        container.open()
        for _ in range(3):
            with samples.time("docker turn 1.0"):
                container.step("echo hi\n", 1.0)
        with samples.time("docker stop"):
            container.stop()


# The table.


def limits(m: dict[str, dict[str, float]]) -> dict[str, tuple[str, bool]]:
    """The targets by row, and whether they are met."""
    cold, step = m["cold"]["median"], m["step"]
    return {
        "cold": ("<= 10 ms, <= 4 x bash", cold <= min(10, 4 * m["bash"]["median"])),
        "reset": ("<= cold + 2 ms", m["reset"]["median"] <= cold + 2),
        "step": ("<= 1 ms, p99 < 10 ms", step["median"] <= 1 and step["p99"] < 10),
        "verify": ("<= 10 ms", m["verify"]["median"] <= 10),
        "verify python": ("<= python + 15 ms", m["verify python"]["median"] <= m["python"]["median"] + 15),
        "close": ("<= 2 ms", m["close"]["median"] <= 2),
    }


ROWS = (
    Row("bash", "plain bash on a PTY, to its prompt"),
    Row("bash --login", "plain bash --login, to its prompt", "bash"),
    Row("launcher", "our launcher, once a process"),
    Row("start", "sandbox, start"),
    Row("cold", "sandbox and terminal, to the first prompt", "bash"),
    Row("reset", "env.reset", "cold", "+"),
    Row("docker cold", "naive: container and tmux, to the first prompt", "reset"),
    Row("bash echo", "plain bash, echo hi, to the next prompt"),
    Row("step", "env.step, echo hi", "bash echo"),
    Row("step tmux", 'env.step, echo hi, terminal="tmux"', "step"),
    Row("libtmux turn", "naive: libtmux, echo hi, capture_pane until it shows", "step tmux"),
    Row("bash /bin/echo", "plain bash, /bin/echo hi, to the next prompt"),
    Row("step /bin/echo", "env.step, /bin/echo hi", "bash /bin/echo"),
    Row("docker turn 0.1", "naive: turn, echo hi, duration 0.1", "step"),
    Row("docker turn 1.0", "naive: turn, echo hi, duration 1.0 (the default)", "step"),
    Row("verify", "verify, one check in shell"),
    Row("python", "python3 -I -c pass"),
    Row("verify python", "verify, one check in Python", "python", "+"),
    Row("docker verify", "naive: verify, one check in shell", "verify"),
    Row("close", "env.close"),
    Row("docker rm -f", "naive: docker rm -f", "close"),
    Row("docker stop", "naive: docker stop, docker rm", "close"),
    Row("episode", "episode: reset, 5 echo turns, verify, close"),
    Row("docker episode", "naive: episode, turns of 0.1 s, rm -f", "episode"),
)


def measure(rounds: int, image: str) -> tuple[Samples, str]:
    """All measurements; and why there is no naive recipe among them, or ""."""
    samples, warm_up = Samples(), Samples()
    no_docker = ""
    try:
        require(image)
    except Unavailable as reason:
        no_docker = str(reason)
        print(f"the naive recipe is left out: {no_docker}", file=sys.stderr)
    for _ in range(3):
        with samples.time("launcher"):
            aio.run(launcher_client.launcher())
        aio.run(launcher_client.close_launcher())
    env = gym.make("Terminal-v0", task=TASK)
    once = gym.make("Terminal-v0", task=TASK, confirm=False)
    tmux = gym.make("Terminal-v0", task=TASK, terminal="tmux") if shutil.which("tmux") else None
    for number in range(-2, rounds):
        into = samples if number >= 0 else warm_up
        plain_bash(into)
        interpreter(into)
        cold(into)
        steps(into, env)
        if tmux:
            in_tmux(into, tmux)
            by_libtmux(into)
        verify(into)
        episode(into, once)
        if not no_docker and number % 10 == 0:
            naive(into, image)
    if not no_docker:
        naive_slow(samples, image)
    return samples, no_docker


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it down. Exits with 0 also where a target is missed."""
    parser = report.parser(
        "latency",
        __doc__,
        "example, with the naive recipe beside ours (on the engine that the docker command uses):\n"
        "  mmdebstrap --variant=minbase --include=tmux bookworm | docker import - bench\n"
        "  python benchmarks/latency.py --image bench && python benchmarks/report.py",
    )
    parser.add_argument("--image", default="", metavar="NAME", help="a Docker image with tmux, for the naive recipe")
    args = parser.parse_args(argv)
    rounds = 10 if args.quick else 100
    machine = report.machine()
    samples, no_docker = measure(rounds, args.image)
    result = {
        "title": "Latency",
        "unit": "ms",
        "machine": machine,
        "notes": [f"{rounds} rounds over all rows; `beside` compares medians."],
        "rows": report.rows(ROWS, samples, limits, no_docker),
    }
    report.publish("latency", args, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
