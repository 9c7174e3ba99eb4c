"""What it takes to go on from one state eight times: a fork of a dirty sandbox, of an environment, a snapshot.

The sandbox holds 200 files in 20 folders, and 8 MiB more; the environment has come there by four commands, has a
shell with a folder, a variable and a function of its own, and forks into eight and itself. Beside the first: eight new
sandboxes, into which a tar archive of the first one's files is unpacked; beside the second: eight new environments, in
which the same is typed again. With an image, also what people do today: docker commit, and eight containers of that.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import gymnasium as gym
import report
from latency import TASK, action
from naive_docker import Unavailable, docker, require
from report import Row, Samples

from termgym import aio
from termgym.env import TerminalEnv
from termgym.episode import Carried
from termgym.pool import Order, dispose, make
from termgym.sandbox import Sandbox, SandboxSpec
from termgym.task import File

BRANCHES = 8
DIRT = "mkdir d{1..20}; for f in d{1..20}/f{1..10}; do echo $f > $f; done; head -c 8M /dev/urandom > big"
WAY = (
    f"{DIRT}\n",
    "cd d7; word=seven; say() { echo $word; }\n",
    "wc -l f* | tail -1\n",
    "say\n",
)
ASK = action("pwd; say; ls | wc -l\n")
CALM_S = 0.3
ANSWER = "/app/d7\nseven\n10"


# Sandboxes.


async def sandboxes(samples: Samples) -> None:
    """A fork of a dirty sandbox, and copies of it."""
    warm = await make(Order(SandboxSpec(), shell=False))
    await run(warm.sandbox, DIRT)
    with samples.time("copy"):
        copies = await copied(warm.sandbox)
    await close_all(copies)
    with samples.time("sandbox"):
        forks = await warm.sandbox.fork(BRANCHES)
    assert (await run(forks[-1], "cat d20/f10; wc -c < big")) == b"d20/f10\n8388608\n"
    await close_all(forks)
    await dispose(warm)


async def copied(sandbox: Sandbox) -> list[Sandbox]:
    """New sandboxes with the same files, by a tar archive."""
    archive = await run(sandbox, "tar -cf - .")
    made = await asyncio.gather(*(make(Order(SandboxSpec(), shell=False)) for _ in range(BRANCHES)))
    for one in made:
        await one.sandbox.put({"/tmp/archive.tar": File(archive)})
    await asyncio.gather(*(run(one.sandbox, "tar -xf /tmp/archive.tar") for one in made))
    return [one.sandbox for one in made]


async def run(sandbox: Sandbox, script: str) -> bytes:
    """What a script prints."""
    result = await sandbox.exec(["/bin/bash", "-c", script])
    assert result.returncode == 0, result
    return result.stdout


async def close_all(opened: Sequence[Sandbox]) -> None:
    """Close them, outside of what is timed, and let the kernel take their networks down."""
    await asyncio.gather(*(one.close() for one in opened))
    await asyncio.sleep(CALM_S)


# Environments.


def arrived() -> TerminalEnv:
    """An environment that has come to the state from which the branches go on."""
    env: Any = gym.make("Terminal-v0", task=TASK).unwrapped
    env.reset(seed=1)
    for keys in WAY:
        env.step(action(keys))
    return env


def environments(samples: Samples) -> None:
    """Forks of an environment at its prompt and in vim, a snapshot gone back to, and the naive way."""
    with closing(arrived()) as env:
        with samples.time("env"):
            branches = env.fork(BRANCHES)
        check(env, *branches)
        with samples.time("snapshot"):
            snapshot = env.snapshot()
        with samples.time("restore"):
            env.restore(snapshot)
        check(env)
        env.step(action("vim f1\n"))
        with samples.time("replay"):
            branches = env.fork(BRANCHES)
        assert all(branch.carried is Carried.REPLAYED for branch in branches)
        for branch in branches:
            branch.close()
    time.sleep(CALM_S)
    with samples.time("again"):
        branches = [arrived() for _ in range(BRANCHES)]
    check(*branches)
    for branch in branches:
        branch.close()


def check(*branches: TerminalEnv) -> None:
    """Each is where the first one was, and shows it; those that are no longer needed are closed."""
    for branch in branches:
        assert ANSWER in branch.step(ASK)[0]
    for branch in branches[1:]:
        branch.close()
    time.sleep(CALM_S)


# The recipe in use.


def containers(samples: Samples, image: str) -> None:
    """Commit a dirty container, and start eight of it."""
    first = docker("run", "-d", "--network", "none", image, "sleep", "infinity").strip()
    docker("exec", "-w", "/root", first, "bash", "-c", DIRT)
    with samples.time("docker"):
        committed = docker("commit", first).strip()
        begun = [docker("run", "-d", "--network", "none", committed, "sleep", "infinity") for _ in range(BRANCHES)]
    docker("rm", "-f", first, *map(str.strip, begun))
    docker("rmi", committed)


ROWS = (
    Row("copy", f"naive: {BRANCHES} new sandboxes, the files unpacked in each"),
    Row("sandbox", f"sandbox.fork({BRANCHES})", "copy"),
    Row("again", f"naive: {BRANCHES} new environments, typed again"),
    Row("env", f"env.fork({BRANCHES}), the shell at its prompt", "again"),
    Row("replay", f"env.fork({BRANCHES}), vim in the foreground: typed again", "again"),
    Row("snapshot", "env.snapshot, the shell at its prompt"),
    Row("restore", "env.restore"),
    Row("docker", f"naive: docker commit, {BRANCHES} containers", "sandbox"),
)


def targets(measured: dict[str, dict[str, float]]) -> dict[str, tuple[str, bool]]:
    """The target, and whether it is met."""
    return {"sandbox": ("< 40 ms", measured["sandbox"]["median"] < 40)}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it down. Exits with 0 also where the target is missed."""
    parser = report.parser("fork", __doc__)
    parser.add_argument("--image", default="", metavar="NAME", help="a Docker image with bash, for the naive recipe")
    args = parser.parse_args(argv)
    samples, no_docker, machine = Samples(), "", report.machine()
    try:
        require(args.image)
    except Unavailable as reason:
        no_docker = str(reason)
    for number in range(4 if args.quick else 21):
        into = samples if number else Samples()
        aio.run(sandboxes(into))
        environments(into)
        if not no_docker and number % 5 == 1:
            containers(samples, args.image)
    table = report.rows(ROWS, samples, targets, no_docker)
    notes = [f"200 files in 20 folders and 8 MiB; {len(samples.values['env'])} rounds over all rows."]
    report.publish("fork", args, {"title": "Forks", "unit": "ms", "machine": machine, "notes": notes, "rows": table})
    return 0


if __name__ == "__main__":
    sys.exit(main())
