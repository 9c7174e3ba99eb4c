# ruff: noqa: E501 - scripts read better on one line; /proc wants os
"""The Docker sandbox beyond the contract: its bounds, its PID 1, what it leaves behind, and engines out of sight.

The contract itself is in test_sandbox.py. Episodes need an image with an ordinary userland, that of TERMGYM_DOCKER_IMAGE.
"""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from termgym import aio
from termgym.engine import engine
from termgym.engine.owner import LABEL, Owner
from termgym.episode import Carried, EpisodeConfig
from termgym.errors import SandboxDied, SandboxError, SandboxOverfull, SandboxUnavailable
from termgym.family import families
from termgym.image.store import Store
from termgym.plan import Plan
from termgym.rollout import Rollout
from termgym.sandbox import SandboxSpec, new_sandbox
from termgym.sandbox.docker import DockerSandbox
from termgym.task import Check, File, Resources, Task
from termgym.terminal import Settled, Terminal
from termgym.verifier import verify
from tests.boxes import case, out

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(180)]


@contextlib.asynccontextmanager
async def started(image: str, **fields: Any) -> AsyncGenerator[DockerSandbox]:
    box = DockerSandbox(SandboxSpec(image=image, **fields))
    await box.start()
    try:
        yield box
    finally:
        await box.close()


# Bounds.


@case
async def test_the_kernel_holds_the_bounds(docker_image: str) -> None:
    resources = Resources(cpus=0.5, memory_mb=64, processes=30, storage_mb=32)
    async with started(docker_image, resources=resources) as box:
        groups = dict(
            (name, f"{folder}{path}")
            for line in Path(f"/proc/{box._pid}/cgroup").read_text().splitlines()
            for _, names, path in [line.split(":", 2)]
            for name in (names.split(",") if names else ["unified"])
            if (folder := _mounted(name))
        )
        if "memory" in groups:
            found = [
                _read(groups["memory"], "memory.limit_in_bytes"),
                _read(groups["memory"], "memory.memsw.limit_in_bytes") or str(64 << 20),
                _read(groups["pids"], "pids.max"),
                str(int(_read(groups["cpu"], "cpu.cfs_quota_us")) / int(_read(groups["cpu"], "cpu.cfs_period_us"))),
            ]
        else:
            unified = groups["unified"]
            quota, period = map(int, _read(unified, "cpu.max").split())
            found = [_read(unified, "memory.max"), str(64 << 20), _read(unified, "pids.max"), str(quota / period)]
        assert found == [str(64 << 20), str(64 << 20), "30", "0.5"]
        assert await out(box, "ulimit -n; ulimit -c; ulimit -f") == f"4096\n0\n{32 * 1024}\n"
        assert (await box.exec(["/bin/bash", "-c", "head -c 33M /dev/zero > /app/big"])).returncode
        assert (await box.exec(["/bin/bash", "-c", "x=$(yes | head -c 100M); echo on"])).stdout != b"on\n"
        forked = await box.exec(
            ["/bin/bash", "-c", "for i in {1..60}; do sleep 5 & done; echo $(jobs -p | wc -l)"], timeout_s=20
        )
        assert b"fork" in forked.stderr
        assert await out(box, "echo on") == "on\n"


def _mounted(controller: str) -> str:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        if (kind == "cgroup" and controller in options.split(",")) or (kind == "cgroup2" and controller == "unified"):
            return folder
    return ""


def _read(folder: str, name: str) -> str:
    with contextlib.suppress(OSError):
        return Path(folder, name).read_text().strip()
    return ""


@case
async def test_there_is_no_network_and_no_new_privilege(docker_image: str) -> None:
    async with started(docker_image) as box:
        status = await out(box, "while read -r name rest; do echo $name $rest; done < /proc/self/status")
        assert "NoNewPrivs: 1" in status and "Seccomp: 2" in status
        capabilities = int(status.split("CapEff: ")[1].split()[0], 16)
        assert not capabilities >> 27 & 1 and not capabilities >> 21 & 1, "mknod, sys_admin"
        assert (await box.exec(["/bin/mknod", "/app/null", "c", "1", "3"])).returncode == 1
        assert (
            await out(box, "while IFS=: read -r name rest; do echo $name; done < /proc/net/dev | tail -n +3") == "lo\n"
        )
        assert (
            await box.exec(["/bin/bash", "-c", "[ -e /var/run/docker.sock ] || [ -e /run/docker.sock ]"])
        ).returncode == 1


# PID 1.


@case
async def test_the_agent_cannot_end_or_read_the_first_process(docker_image: str) -> None:
    async with started(docker_image) as box:
        await box.exec(["/bin/bash", "-c", "kill -9 1; kill -TERM 1; kill -HUP 1; kill -STOP 1; exit 0"])
        await box.exec(["/bin/bash", "-c", "trap '' TERM; kill -9 -1; exit 0"])
        assert box.alive and await out(box, "echo on") == "on\n"
        for hidden in ("environ", "maps", "mem", "fd/0", "root/", "cwd/", "exe", "stack", "io"):
            assert (await box.exec(["/bin/head", "-c", "1", f"/proc/1/{hidden}"])).returncode, hidden
        assert (await box.exec(["/bin/bash", "-c", "echo x > /.termgym/init || rm /.termgym/init"])).returncode


@case
async def test_orphans_are_reaped(docker_image: str) -> None:
    async with started(docker_image, resources=Resources(processes=40)) as box:
        for _ in range(5):
            await out(box, "for i in {1..20}; do (bash -c 'sleep 0.02 &' &); done; sleep 0.3")
        assert "Z" not in await out(
            box, "for s in /proc/[0-9]*/stat; do read -r line < $s; set -- ${line##*) }; echo $1; done"
        )


# What the engine itself reads and makes in a container.

BROKEN = {
    "a fifo for users": "rm -f /etc/passwd; mkfifo /etc/passwd",
    "a fifo for groups": "rm -f /etc/group; mkfifo /etc/group",
    "a folder for users": "rm -f /etc/passwd; mkdir -p /etc/passwd/x",
    "a link to itself for users": "ln -sf passwd /etc/passwd",
    "a fifo behind a link": "mkfifo /app/f; ln -sf /app/f /etc/passwd; mv /etc /old; ln -s old /etc",
    "too much for groups": "dd if=/dev/zero of=/etc/group bs=1 count=0 seek=200M",
    "a file for a workdir": "cd /; rm -rf /app; touch /app",
    "a fifo for a workdir": "cd /; rm -rf /app; mkfifo /app",
    "a link to itself for a workdir": "cd /; rm -rf /app; ln -s app /app",
}


@pytest.mark.parametrize("name", BROKEN)
@case
async def test_what_an_agent_leaves_keeps_no_fork_or_verifier_from_starting(docker_image: str, name: str) -> None:
    async with asyncio.timeout(60), started(docker_image) as box:
        await box.exec(["/bin/bash", "-c", f"mkdir -p /etc /app; touch /etc/passwd; {BROKEN[name]}"])
        (fork,) = await box.fork()
        assert (await fork.exec(["/bin/bash", "-c", "echo on"], cwd="/")).stdout == b"on\n"
        await fork.exec(["/bin/bash", "-c", BROKEN[name]], cwd="/")
        if "folder" not in name and "itself" not in name:  # these are an error, at once
            assert (await fork.exec(["/bin/bash", "-c", "echo on"], cwd="/")).stdout == b"on\n"
        judge = await fork.verifier()
        assert (await judge.exec(["/bin/bash", "-c", "echo on"])).stdout == b"on\n"
        await judge.close()
        await fork.close()


@case
async def test_no_program_can_print_that_it_did_not_start(docker_image: str) -> None:
    async with started(docker_image) as box:
        for said in (
            "echo 'OCI runtime exec failed: '",
            "echo 'exec /x: exec format error' >&2",
            "echo 'exec /x: argument list too long' >&2",
        ):
            assert (await box.exec(["/bin/bash", "-c", f"{said}; exit 1"])).returncode == 1
        await box.put({"/app/lost": File(b"#!/nowhere\n", 0o755)})
        assert (await box.exec(["/app/lost"])).returncode == 127


@case
async def test_who_leaves_more_than_there_is_room_for_gets_nothing(docker_image: str) -> None:
    """Sparse files take no place, and as much as they say as soon as the engine copies them."""
    async with started(docker_image, resources=Resources(storage_mb=8)) as box:
        await out(box, "for i in 1 2 3 4 5; do dd of=/app/$i bs=1 count=0 seek=4M; done")
        with pytest.raises(SandboxOverfull):
            await box.fork()
        for run in ("", "echo on"):
            task = Task("t/full", "", checks=(Check("a", "exit 0", run=run), Check("b", "exit 0", 2.0)))
            assert [check.score for check in (await verify(task, box, "docker")).checks] == [0.0, 0.0]
        assert (await verify(Task("t/full", "", tests={"test.sh": File(b"")}), box, "docker")).binary == 0.0


# What is left behind.


@case
async def test_nothing_is_left_of_what_is_closed(docker_image: str) -> None:
    docker = await engine()

    async def ours() -> tuple[int, int, int]:
        label = {"label": f"{LABEL}={docker.me.label}"}
        containers = await docker.call("list", docker.api.containers, all=True, filters=label)
        images = await docker.call("list", docker.api.images, all=True, filters=label)
        return len(containers), len(images), len(list(Path("/proc/self/fd").iterdir()))

    async with started(docker_image) as box:
        await (await box.verifier()).close()
    before = await ours()
    for _ in range(3):
        async with started(docker_image) as box:
            terminal = await Terminal.open(box)
            await terminal.ready(10)
            terminal.close()
            (fork,) = await box.fork()
            judge = await fork.verifier()
            for one in (fork, judge):
                await one.close()
    after = await ours()
    assert after[:2] == before[:2] == (0, 0)
    assert after[2] <= before[2] + 10, "connections to the engine come and go"


@case
async def test_a_start_that_is_cancelled_leaves_nothing(docker_image: str) -> None:
    docker = await engine()
    for wait_s in (0.0, 0.01, 0.1, 0.3):
        box = DockerSandbox(SandboxSpec(image=docker_image))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(box.start(), wait_s)
        await box.close()
    label = {"label": f"{LABEL}={docker.me.label}"}
    assert not await docker.call("list", docker.api.containers, all=True, filters=label)


@case
async def test_whatever_is_cancelled_leaves_nothing(docker_image: str) -> None:
    docker = await engine()
    made: list[DockerSandbox] = []

    async def live() -> None:
        box = made[-1]
        (fork,) = await box.fork()
        made.append(fork)
        await fork.exec(["/bin/bash", "-c", "echo on"])
        made.append(await fork.verifier())

    async def left() -> tuple[int, int]:
        label = {"label": f"{LABEL}={docker.me.label}"}
        containers = await docker.call("list", docker.api.containers, all=True, filters=label)
        return len(containers), len(await docker.call("list", docker.api.images, all=True, filters=label))

    whole_s = 0.0
    for part in range(13):
        async with started(docker_image) as box:
            made[:], begin = [box], time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(live(), part / 12 * whole_s if part else None)
            whole_s = whole_s or time.monotonic() - begin
            await asyncio.gather(*(one.close() for one in made))
        assert await left() == (0, 0), f"after {part} twelfths of its life"


CLIENT = """
import asyncio, sys
from termgym import aio
from termgym.sandbox import SandboxSpec
from termgym.sandbox.docker import DockerSandbox

async def main():
    box = DockerSandbox(SandboxSpec(image=sys.argv[1]))
    await box.start()
    print(box._pid, box._id, flush=True)
    await asyncio.sleep(60)

aio.run(main())
"""


@case
async def test_what_a_killed_client_leaves_ends_at_once_and_goes_with_the_next(docker_image: str) -> None:
    client = subprocess.Popen([sys.executable, "-c", CLIENT, docker_image], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    pid, container = client.stdout.readline().split()
    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "its processes outlive it"
        await asyncio.sleep(0.01)
    docker = await engine()
    async with started(docker_image) as box:
        await docker.reap()
        assert box.alive, "those of the living stay"
        there = await docker.call("list", docker.api.containers, all=True)
        assert container not in [one["Id"] for one in there]


def test_owners_are_told_apart() -> None:
    me = Owner.me()
    assert Owner.of(me.label) == me and not me.is_dead(me)
    assert me._replace(pid=2**22 - 1).is_dead(me) and me._replace(began="1").is_dead(me)
    assert me._replace(boot="other").is_dead(me)
    assert not me._replace(machine="other", pid=1).is_dead(me), "nobody here can tell"
    assert not me._replace(pids="1", began="1").is_dead(me)
    assert Owner.of("") is None and Owner.of("a/b/c/d/e") is None


# What an image says.


@case
async def test_user_env_workdir_and_entrypoint_are_the_images(docker_image: str) -> None:
    docker = await engine()
    made = await docker.inert(docker_image)
    changes = [
        "USER 1000:1001", "ENV GREETING=hello PATH=/usr/bin:/bin:/opt/bin", "WORKDIR /srv/work",
        'ENTRYPOINT ["/bin/bash", "-c", "echo began > /dev/shm/began; exec \\"$@\\"", "entry"]',
    ]  # fmt: skip
    name = f"termgym-test:variant-{os.getpid()}"
    await docker.call("commit", docker.api.commit, made, *name.split(":"), changes=changes)
    try:
        async with started(name, workdir="", env={"TASK": "t"}) as box:
            shown = "id -u; id -g; pwd; echo $GREETING $PATH $TASK; touch /mine 2>/dev/null || echo not root"
            assert await out(box, shown) == "1000\n1001\n/srv/work\nhello /usr/bin:/bin:/opt/bin t\nnot root\n"
            terminal = await Terminal.open(box)
            await terminal.ready(10)
            await terminal.type("id -u > /dev/shm/who; echo > /dev/tty\n", 5)
            terminal.close()
            assert await box.get("/dev/shm/who") == b"1000\n"
            await box.put({"/srv/work/file": File(b"x")})
            deadline = time.monotonic() + 5
            while not (await box.exec(["/bin/cat", "/dev/shm/began"])).stdout:
                assert time.monotonic() < deadline
            assert "sleep\0infinity" in await out(box, "cat /proc/[0-9]*/cmdline")
            judge = await box.verifier()
            assert (
                await out(
                    judge,
                    "id -u; cat /srv/work/file; cat /proc/[0-9]*/cmdline | { ! [[ $(tr -d '\\0' 2>/dev/null) = *infinity* ]]; }",
                )
                == "0\nx"
            )
            await judge.close()
        async with started(name, user="0") as box:
            assert await out(box, "id -u; pwd") == "0\n/app\n"
    finally:
        await docker.remove(made)
        await docker.call("remove", docker.api.remove_image, name, force=True)
        await docker.reap()


# Where nothing answers.


def test_without_an_engine_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(SandboxUnavailable, match=r"no Docker engine answers at unix://.*none\.sock.*DOCKER_HOST"):
        asyncio.run(new_sandbox("docker", SandboxSpec(image="x")).start())


@case
async def test_without_the_image_the_error_says_what_to_do(docker_image: str) -> None:
    with pytest.raises(SandboxUnavailable, match=r"has no image 'no-such-image'.*docker pull"):
        await new_sandbox("docker", SandboxSpec(image="no-such-image")).start()


REMOTE = """
import asyncio, sys, time
from termgym import aio
from termgym.episode import Carried, EpisodeConfig
from termgym.errors import SandboxDied
from termgym.sandbox import SandboxSpec
from termgym.sandbox.docker import DockerSandbox
from termgym.task import File
from termgym.terminal import Settled, Terminal

async def main():
    box = DockerSandbox(SandboxSpec(image=sys.argv[1]))
    await box.start()
    assert box._pid == 0 and box._root is None, "it is in sight"
    try:
        await box.put({"/app/deep/x": File(b"put", 0o640)})
        assert await box.get("/app/deep/x") == b"put"
        shown = await box.exec(["/bin/bash", "-c", "stat -c %a deep/x; ln -s deep/x link; cat link"])
        assert shown.stdout == b"640\\nput", shown
        assert await box.get("/app/link") == b"put"
        terminal = await Terminal.open(box, rows=30, cols=90)
        await terminal.ready(10)
        for number in range(5):
            await terminal.mark()
            settled = await terminal.type(f"echo n$(({number} + 10))\\n", 5)
            view = await terminal.view()
            assert settled is Settled.IDLE and f"n{number + 10}" in view, (settled, view)
        await terminal.resize(20, 70)
        time.sleep(0.5)
        await terminal.mark()
        await terminal.type("stty size\\n", 5)
        assert "20 70" in (view := await terminal.view()), view
        await terminal.type("exit\\n", 5)
        assert terminal.exited
        terminal.close()
        judge = await box.verifier()
        assert (await judge.exec(["/bin/bash", "-c", "cat /app/deep/x; ls -A /tests"])).stdout == b"put"
        await judge.close()
        (fork,) = await box.fork()
        begin = time.monotonic()
        ended = await fork.exec(["/bin/bash", "-c", "echo on; sleep 60 & sleep 60"], timeout_s=0.3)
        assert (ended.returncode, ended.timed_out, ended.stdout) == (-9, True, b"on\\n"), ended
        assert time.monotonic() - begin < 5
        await fork.close()
    finally:
        await box.close()
    print("fine")

aio.run(main())
"""


def test_an_engine_out_of_sight_works_by_silence_and_archives(docker_image: str) -> None:
    """As a remote one: in a PID namespace of its own, a process does not see the engine's."""
    alone = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", textwrap.dedent(REMOTE), docker_image]
    done = subprocess.run(alone, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


# Terminals and episodes.


@pytest.mark.parametrize(
    ("keys", "settled", "shown"),
    [
        ("echo hi\n", "prompt", "hi"),
        ("sleep 0.3; echo late\n", "prompt", "late"),
        ("(sleep 0.1; echo one) | (sleep 0.1; cat; echo two)\n", "prompt", "two"),
        ("cat\n", "reading", "cat"),
        ("vi file\n", "reading", "~"),
        ("less /etc/passwd\n", "reading", "root"),
        ("python3 -q\n", "reading", ">>>"),
        ("seq 3 | less\n", "reading", "3"),
        ("sleep 9\n", "deadline", "sleep 9"),
        ("exit\n", "exited", "exit"),
        ("kill -9 $$\n", "exited", ""),
    ],
)
@case
async def test_the_terminal_settles_by_the_kernels_word(debian: str, keys: str, settled: str, shown: str) -> None:
    async with started(debian) as box:
        terminal = await Terminal.open(box)
        try:
            assert await terminal.ready(10) is Settled.PROMPT
            await terminal.mark()
            reason = await terminal.type(keys, 1.5)
            view = await terminal.view()
            assert (reason.value, shown in view) == (settled, True), view
        finally:
            terminal.close()


@case
async def test_no_output_is_missed(debian: str) -> None:
    async with started(debian) as box:
        terminal = await Terminal.open(box)
        await terminal.ready(10)
        for number in range(150):
            await terminal.mark()
            assert await terminal.type(f"echo n$(({number} * 7))\n", 10) is Settled.PROMPT
            assert f"\nn{number * 7}\n" in await terminal.view()
        terminal.close()


TASKS = ("files/rename-by-date", "config/edit-in-editor", "text/log-report")


@pytest.mark.parametrize("task", TASKS)
def test_the_oracle_solves_and_idle_does_not(debian: str, task: str) -> None:

    async def outcomes(policy: str) -> list[str]:
        plan = Plan.of(policy, [task], level=1, episodes=1)
        config = EpisodeConfig(sandbox="docker")
        return [f"{one.outcome.value} {one.error}" async for one in Rollout(plan, config=config)]

    assert aio.run(outcomes("oracle")) == ["solved "]
    assert aio.run(outcomes("idle")) == ["failed "]


def test_a_vector_of_containers(debian: str) -> None:
    envs = gym.make_vec("Terminal-v0", num_envs=3, task="files/rename-by-date", level=1, sandbox="docker", pool_size=3)
    try:
        observations, _ = envs.reset(seed=5)
        action = '{"analysis": "", "plan": "", "commands": [{"keystrokes": "echo here; ls | head -3\\n", "duration": 5}], "task_complete": false}'
        observations, *_, infos = envs.step([action] * 3)
        assert all("here" in text for text in observations), observations
        assert not any(infos.get("failure", [])), infos
    finally:
        envs.close()


def test_branches_go_on_from_a_container(debian: str) -> None:
    env: Any = gym.make("Terminal-v0", task="files/rename-by-date", level=1, sandbox="docker").unwrapped
    env.reset(seed=3)
    type_ = (
        '{{"analysis": "", "plan": "", "commands": [{{"keystrokes": "{}\\n", "duration": 5}}], "task_complete": false}}'
    )
    try:
        env.step(type_.format("x=7; cd /tmp; echo kept > file"))
        branches = env.fork(2)
        for branch in branches:
            assert branch.carried is Carried.SHELL
            observation, *_ = branch.step(type_.format("echo $x; cat file; pwd"))
            assert re.search(r"\n7\nkept\n/tmp\n", observation), observation
            branch.close()
    finally:
        env.close()


@case
async def test_a_killed_container_is_the_sandboxs_failure(docker_image: str) -> None:
    async with started(docker_image) as box:
        os.kill(box._pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while box.alive:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        with pytest.raises((SandboxDied, SandboxError)):
            await box.exec(["/bin/ls"])


def test_an_engines_image_runs_without_the_engine(debian: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMGYM_IMAGES", str(tmp_path / "images"))
    imported = Store().import_engine(debian)
    assert Store().import_engine(debian).digest == imported.digest
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    task = replace(families()["files/rename-by-date"].task(3, 1), image=debian)
    config = EpisodeConfig()

    async def outcome(policy: str) -> list[str]:
        return [f"{one.outcome.value} {one.error}" async for one in Rollout(Plan.of(policy, [task]), config=config)]

    assert [aio.run(outcome("oracle")), aio.run(outcome("idle"))] == [["solved "], ["failed "]]
