# ruff: noqa: E501, PTH115, PTH208 - scripts read better on one line; /proc wants os
"""The contract of every kind of sandbox, and attacks on it from inside.

`KINDS` is what the contract runs over; another kind joins there. The attacks and the accounts of what is left behind
are of the namespace sandbox. Where root and an ordinary user get different walls, the test says what each gets.
"""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from termgym import aio, launcher_client
from termgym.channel import MAX_OUTPUT_BYTES
from termgym.errors import SandboxDied, SandboxError, SandboxFileError
from termgym.launcher import cgroup, linux
from termgym.sandbox import ENV, MIB, VERIFIER_ENV, ExecResult, SandboxSpec, namespace, new_sandbox
from termgym.task import File, Resources
from tests.boxes import (
    ROOT,
    Boxes,
    alive,
    case,
    eventually,
    gone,
    groups_of,
    init_of,
    launcher_pid,
    out,
    python,
    read_until,
    sh,
    shown,
    there,
)

KINDS = ("host", "image", "stored", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow]))
SECRET = "correct-horse-battery-staple"
TOOLS = "bash cat chmod chown cp dd env head id kill ln ls mkdir mkfifo mknod mv ps readlink rm setsid sh sleep sort stat tail touch wc yes"


# Set-up.


IMAGES = {"host": None, "image": "image", "stored": "stored", "docker": "docker_image"}
"""Kind -> the fixture that has its image."""


@pytest.fixture(params=KINDS)
def boxes(request: pytest.FixtureRequest) -> Iterator[Boxes]:
    """For the contract: once with each kind."""
    fixture = IMAGES[request.param]
    made = Boxes(request.param, str(request.getfixturevalue(fixture)) if fixture else "")
    yield made
    aio.run(made.close())


@pytest.fixture(params=["host", "image", "stored"])
def walls(request: pytest.FixtureRequest) -> Iterator[Boxes]:
    """For what namespaces alone promise."""
    fixture = IMAGES[request.param]
    made = Boxes(request.param, str(request.getfixturevalue(fixture)) if fixture else "")
    yield made
    aio.run(made.close())


@pytest.fixture
def host() -> Iterator[Boxes]:
    """For attacks that need the host's own programs, Python above all."""
    made = Boxes("host")
    yield made
    aio.run(made.close())


@pytest.fixture(scope="module", autouse=True)
def launcher() -> Iterator[None]:
    """One launcher for the whole file, with a secret around it that nothing inside may come to know."""
    os.environ["TERMGYM_TEST_SECRET"] = SECRET
    yield
    del os.environ["TERMGYM_TEST_SECRET"]
    aio.run(launcher_client.close_launcher())


# exec


@case
async def test_exec_reports_status_and_both_streams(boxes: Boxes) -> None:
    box = await boxes.start()
    assert await sh(box, "cat; echo err >&2; exit 3", stdin=b"in\0put") == ExecResult(3, b"in\0put", b"err\n")
    assert (await sh(box, "kill -TERM $$")).returncode == -15
    big = b"x" * (3 * MIB)
    assert (await box.exec(["/bin/cat"], stdin=big)).stdout == big


@case
async def test_exec_of_no_program_is_127_and_of_no_argument_an_error(boxes: Boxes) -> None:
    box = await boxes.start()
    await box.put({"/app/text": File.of("not a program\n", 0o755), "/app/plain": File.of("")})
    for argv in (["/none"], ["/app/text"], ["/app/plain"], ["/app"], ["/app/plain/x"]):
        assert (await box.exec(argv)).returncode == 127, argv
    assert (await box.exec(["/bin/true" if boxes.kind == "host" else "/bin/ls"], cwd="/nowhere")).returncode == 127
    for bad in ([], ["/bin/ls", "a\0b"]):
        with pytest.raises(SandboxError):
            await box.exec(bad)
    with pytest.raises(SandboxError):
        await box.exec(["/bin/ls", "x" * MIB])
    assert await out(box, "echo on") == "on\n"


@case
async def test_output_is_cut_at_its_limit(boxes: Boxes) -> None:
    result = await sh(await boxes.start(), "head -c 12M /dev/zero; echo end >&2")
    assert (result.returncode, len(result.stdout), result.stderr) == (0, MAX_OUTPUT_BYTES, b"end\n")


@case
async def test_time_out_kills_every_group_of_the_session(boxes: Boxes) -> None:
    box = await boxes.start()
    begin = time.monotonic()
    result = await sh(box, "set -m; trap '' TERM INT HUP; sleep 77 & (sleep 77 &) & echo on; wait", timeout_s=0.2)
    assert (result.returncode, result.timed_out, result.stdout) == (-9, True, b"on\n")
    assert time.monotonic() - begin < 2
    await gone(box, "sleep")


@case
async def test_a_cancelled_exec_is_killed(boxes: Boxes) -> None:
    box = await boxes.start()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(box.exec(["/bin/sleep", "78"]), 0.1)
    await gone(box, "sleep")


@case
async def test_a_cancellation_as_a_program_ends_is_not_lost(host: Boxes) -> None:
    box: Any = await host.start()
    running = asyncio.ensure_future(box.exec(["/bin/sleep", "0.1"]))
    while not (exits := box._service.exits):
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    next(iter(exits.values())).add_done_callback(lambda _: running.cancel())
    with pytest.raises(asyncio.CancelledError):
        await running


@case
async def test_a_daemon_does_not_hold_exec_up(boxes: Boxes) -> None:
    box = await boxes.start()
    begin = time.monotonic()
    assert (await sh(box, "sleep 79 & echo done")).stdout == b"done\n"
    assert time.monotonic() - begin < 1.5
    if boxes.kind == "docker":
        return  # its exec alone takes as long
    begin = time.monotonic()
    assert (await sh(box, "(exec 0<&- 1>&- 2>&-; exec sleep 79) & echo done")).stdout == b"done\n"
    assert time.monotonic() - begin < namespace.LINGER_S, "it was given a descriptor of ours that it does not know"


@case
async def test_environment_and_folder_are_fixed(boxes: Boxes) -> None:
    box = await boxes.start({"TASK": "t"})
    listed = await box.exec(["/usr/bin/env"], env={"CALL": "c"})
    assert dict(line.split("=", 1) for line in listed.stdout.decode().splitlines()) == {
        **ENV,
        **engines_own(boxes.kind),
        "TASK": "t",
        "CALL": "c",
    }
    assert await out(box, "pwd; cd /; pwd") == "/app\n/\n"
    assert await out(box, "pwd", cwd="/etc") == "/etc\n"
    assert await out(box, "rm -r /app && exit", cwd="/") + await out(box, "pwd") == "/app\n"


@case
async def test_the_standard_streams_can_be_opened_by_name(boxes: Boxes) -> None:
    """Scripts write to /dev/stderr: the pipes must belong to root inside."""
    result = await sh(await boxes.start(), "cat /dev/stdin > /dev/stdout; echo err > /dev/stderr", stdin=b"in")
    assert result == ExecResult(0, b"in", b"err\n")


@case
async def test_many_execs_at_once(boxes: Boxes) -> None:
    box = await boxes.start()
    results = await asyncio.gather(*(box.exec(["/bin/bash", "-c", f"echo {i}; exit {i}"]) for i in range(30)))
    assert results == [ExecResult(i, f"{i}\n".encode(), b"") for i in range(30)]


def engines_own(kind: str) -> dict[str, str]:
    """What Docker adds to every environment."""
    return {"HOSTNAME": "termgym"} if kind == "docker" else {}


# put, get


@case
async def test_put_and_get_keep_content_mode_and_time(boxes: Boxes) -> None:
    box = await boxes.start()
    await box.put({"/deep/er/x": File(bytes(range(256)), 0o4751, mtime=86_400)})
    await box.put({"/usr/local/share/x": File(b"x"), "/app/empty": File(b"")})
    assert (
        await out(box, "stat -c '%a %u %g %Y %s' /deep/er/x; stat -c '%a %u' /deep/er") == "4751 0 0 86400 256\n755 0\n"
    )
    assert (await box.get("/deep/er/x"), await box.get("/app/empty")) == (bytes(range(256)), b"")
    await box.put({"/deep/er/x": File(b"short", 0o600)})
    assert (await box.get("/deep/er/x"), await out(box, "stat -c %a /deep/er/x")) == (b"short", "600\n")
    assert (await box.get("/usr/local/share/x"), (await box.get("/usr/bin/bash"))[:4]) == (b"x", b"\x7fELF")
    await out(box, "mkdir -p /usr/local/bin; cd /usr/local/bin; echo changed > new; ln -s new link")
    assert await box.get("/usr/local/bin/link") == b"changed\n"
    with pytest.raises(SandboxFileError, match="larger than 4"):
        await box.get("/deep/er/x", max_bytes=4)
    with pytest.raises(SandboxFileError, match="No such file"):
        await box.get("/none")


@case
async def test_no_link_leads_outside(boxes: Boxes, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "secret").write_text(SECRET)
    box = await boxes.start()
    await out(
        box,
        f"ln -s {tmp_path} a; ln -s ../../../../../../..{tmp_path} b; ln -s {tmp_path}/secret c; ln -s /proc/self/root d;"
        "ln -s loop loop; ln -s /etc/hostname ok; ln -s ../../../etc up; ln -s /proc/1/root e; ln -s /proc/1/cwd f",
    )
    for path in (
        "a/secret",
        "b/secret",
        "c",
        f"d{tmp_path}/secret",
        f"e{tmp_path}/secret",
        f"f{tmp_path}/secret",
        "loop",
    ):
        with pytest.raises(SandboxFileError):
            await box.get(f"/app/{path}")
    with pytest.raises(SandboxFileError):
        await box.get("/../../.." + str(tmp_path / "secret"))
    assert await box.get("/app/ok") == await box.get("/app/up/hostname") == b"termgym\n"
    for path in ("a", "b", "c", "d", "e", "f", "loop"):
        with contextlib.suppress(SandboxFileError):
            await box.put({f"/app/{path}/planted": File(b"x")})
        with contextlib.suppress(SandboxFileError):
            await box.put({f"/app/{path}": File(b"x")})
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").read_text() == SECRET


@case
async def test_put_and_get_touch_regular_files_only(boxes: Boxes) -> None:
    box = await boxes.start()
    await out(
        box,
        "mkfifo fifo; mkdir folder; head -c 1 /dev/zero > huge; dd if=/dev/zero of=huge bs=1 seek=200M count=1 2>/dev/null; ln -s /dev/null null; ln -s /dev dev",
    )
    begin = time.monotonic()
    for path in (
        "/app/fifo",
        "/app/folder",
        "/app/huge",
        "/app/null",
        "/app/dev/zero",
        "/dev/tty",
        "/dev/pts/ptmx",
        "/proc/1/environ",
        "/proc/self/stat",
    ):
        with pytest.raises(SandboxFileError):
            await box.get(path)
    reader = asyncio.create_task(sh(box, "cat fifo"))
    await asyncio.sleep(0.05)
    for path in ("/app/fifo", "/app/folder", "/app/null", "/app/dev/zero", "/dev/full"):
        with pytest.raises(SandboxFileError):
            await box.put({path: File(b"x")})
    assert time.monotonic() - begin < 5
    await box.seal()
    await asyncio.gather(reader, return_exceptions=True)


@case
async def test_put_follows_no_link_into_the_kernel(boxes: Boxes) -> None:
    """The kernel's switches go by who runs termgym: root's writes would change the host."""
    box = await boxes.start()
    switch = Path("/proc/sys/vm/swappiness")
    before = switch.read_text()
    await out(box, "ln -s /proc/sys/vm vm; ln -s /proc/sys proc; ln -s /proc/self/attr attr")
    try:
        for path in ("/app/vm/swappiness", "/app/proc/vm/swappiness", "/proc/sys/vm/swappiness"):
            with pytest.raises(SandboxFileError):
                await box.put({path: File.of(f"{int(before) + 1}\n")})
        assert switch.read_text() == before
    finally:
        if switch.read_text() != before:
            switch.write_text(before)


@case
async def test_put_into_a_full_sandbox_is_an_error(walls: Boxes) -> None:
    box = await walls.start(storage_mb=8)
    with pytest.raises(SandboxFileError, match=r"No space left|too large"):
        await box.put({"/app/x": File(b"x" * (9 * MIB))})
    await box.put({"/app/x": File(b"x")})
    assert await box.get("/app/x") == b"x"


@case
async def test_names_need_not_be_text(boxes: Boxes) -> None:
    box = await boxes.start()
    name = b"/app/new\nline-\xff\xc3(".decode(errors="surrogateescape")
    await box.put({name: File(b"x")})
    assert await box.get(name) == b"x"
    assert (await sh(box, "cat /app/new*; exit 0")).stdout == b"x"
    if boxes.kind == "docker":  # its API takes no other text than UTF-8
        with pytest.raises(SandboxError, match="UTF-8"):
            await box.exec(["/bin/cat", name])
        await box.seal()
        with pytest.raises(SandboxFileError, match="UTF-8"):
            await box.get(name)
        return
    assert (await box.exec(["/bin/cat", name])).stdout == b"x"
    await box.seal()
    assert await box.get(name) == b"x"


# open_pty


@case
async def test_open_pty_gives_a_terminal_of_its_own(boxes: Boxes) -> None:
    box = await boxes.start({"PS1": "ready> "})
    pty = await box.open_pty(["/bin/bash", "--norc", "--noprofile", "-i"], env={"MINE": "1"}, rows=7, cols=33)
    try:
        assert not os.get_blocking(pty.stream) and not os.get_inheritable(pty.stream)
        assert pty.init == init_of(box)
        await eventually(lambda: "bash" in Path(f"/proc/{pty.pid}/comm").read_text())  # a vfork returns just before
        await read_until(pty.stream, b"ready> ")
        os.write(
            pty.stream,
            b"echo $MINE; readlink /dev/fd/0; ls /dev/pts; ls -1 /proc/$$/fd | wc -l; echo $(</proc/sys/kernel/ostype)\n",
        )
        seen = await read_until(pty.stream, b"Linux")
        assert b"1\r\n/dev/pts/0\r\n" in seen
        os.write(pty.stream, b"exit 3\n")
        await eventually(lambda: not alive(pty.pid))
    finally:
        pty.close()
    with pytest.raises(SandboxError):
        await box.open_pty(["/none"])
    # A program that could not be started holds its terminal for a moment.
    await shown(box, "ls /dev/pts", lambda left: left == "ptmx\n")


@case
async def test_a_program_that_ends_at_once_leaves_nothing(boxes: Boxes) -> None:
    box = await boxes.start()
    await out(box, "echo warm")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        try:
            (await box.open_pty(["/bin/bash", "-c", ":"])).close()
        except SandboxError as error:
            assert "ended as soon as" in str(error)
    # Connections to an engine come and go.
    assert abs(len(os.listdir("/proc/self/fd")) - before) <= (10 if boxes.kind == "docker" else 0)
    assert await out(box, "echo on") == "on\n"


# seal, fork, close


@case
async def test_when_seal_returns_all_are_dead_and_the_files_stay(boxes: Boxes) -> None:
    box = await boxes.start()
    await out(
        box,
        """trap '' HUP TERM INT
        (setsid bash -c 'while :; do echo x >> /app/grows; done' >/dev/null 2>&1 &)
        (setsid setsid bash -c 'trap "" TERM HUP; while :; do sleep 0.01; done' >/dev/null 2>&1 &)
        for i in 1 2 3 4 5; do (sleep 80 >/dev/null 2>&1 &); done; sleep 0.1""",
    )
    namespace_of = os.readlink(f"/proc/{init_of(box)}/ns/pid") if ROOT else ""
    await box.seal()
    size = len(await box.get("/app/grows"))
    assert size and not alive(init_of(box))
    if ROOT:  # another's processes do not show their namespaces to a user
        assert not [p for p in Path("/proc").glob("[0-9]*/ns/pid") if _link(p) == namespace_of]
    await asyncio.sleep(0.05)
    assert len(await box.get("/app/grows")) == size
    with pytest.raises(SandboxDied):
        await box.exec(["/bin/ls"])
    with pytest.raises(SandboxDied):
        await box.open_pty(["/bin/ls"])
    await box.put({"/app/late": File(b"late")})
    assert await box.get("/app/late") == b"late"
    await box.seal()


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def lost_of(kind: str) -> str:
    """A file to be done away with: Docker makes its /etc/hosts anew."""
    return "/etc/marker" if kind == "docker" else "/etc/hosts"


@case
async def test_forks_are_independent(boxes: Boxes) -> None:
    box = await boxes.start()
    await out(box, "echo 0 > x; echo 0 > gone; mkdir folder; echo 0 > folder/x; chmod 600 x; echo u > /usr/u")
    lost = lost_of(boxes.kind)
    await out(box, f"rm {lost}")
    first, second = await boxes.fork(box, 2)
    await out(first, "echo 1 >> x; rm gone; rm -r folder; mkdir folder; echo 1 > folder/y; echo 1 > /usr/u")
    seen = await out(second, f"cat x gone folder/x /usr/u; stat -c '%a %u' x; [ -e {lost} ] || echo lost")
    assert seen == "0\n0\n0\nu\n600 0\nlost\n"
    assert (await box.get("/app/x"), await box.get("/usr/u")) == (b"0\n", b"u\n")
    grandchild = (await boxes.fork(first))[0]
    await first.close()
    await box.close()
    assert await out(grandchild, "cat x; ls; ls folder; cat /usr/u") == "0\n1\nfolder\nx\ny\n1\n"
    with pytest.raises(SandboxFileError):
        await grandchild.get(lost)
    # Both ancestors are closed by now, and still their files are below.
    judge = await boxes.verifier((await boxes.fork(grandchild))[0])
    assert await out(judge, "cat /app/x; ls /app/folder") == "0\n1\ny\n"
    assert await out(second, "cat x") == "0\n", "the launcher still serves the others"


@case
async def test_forks_of_forks(boxes: Boxes) -> None:
    box = await boxes.start()
    for depth in range(10):
        await out(box, f"echo {depth} >> x")
        child = (await boxes.fork(box))[0]
        await box.close()
        box = child
    assert (await box.get("/app/x")).split() == [b"%d" % depth for depth in range(10)]


@case
async def test_closing_twice_and_using_what_is_closed(boxes: Boxes) -> None:
    box = boxes.new()
    await box.close()
    other, box = await boxes.start(), await boxes.start()
    await box.close()
    await box.close()
    for use in (
        lambda: box.exec(["/bin/ls"]), lambda: box.open_pty(["/bin/ls"]), lambda: box.fork(), lambda: box.verifier(),
        lambda: box.get("/etc/hosts"), lambda: box.put({"/x": File(b"")}),
    ):  # fmt: skip
        with pytest.raises(SandboxDied):
            await use()
    await box.seal()
    assert await out(other, "echo on") == "on\n"


@case
async def test_an_exec_ends_with_its_sandbox(boxes: Boxes) -> None:
    box = await boxes.start()
    running = asyncio.create_task(box.exec(["/bin/sleep", "81"]))
    await asyncio.sleep(0.05)
    begin = time.monotonic()
    await box.close()
    with pytest.raises(SandboxDied):
        await running
    assert time.monotonic() - begin < 1


# The verifier.

PLANT = """
    printf '#!/bin/bash\\necho evil; exit 0\\n' > /app/evil; chmod 755 /app/evil
    mkdir -p /usr/local/bin /root
"""
TROJANS = {
    "a program replaced": ("cp /app/evil /usr/bin/ls", "ls / >/dev/null"),
    "a program removed": ("rm /usr/bin/ls", "ls / >/dev/null"),
    "a program planted first in PATH": ("cp /app/evil /usr/local/bin/ls; mkdir -p /usr/local/sbin; cp /app/evil /usr/local/sbin/ls", "ls / > /dev/null"),
    "bash replaced": ("cp /app/evil /usr/bin/bash.new; mv /usr/bin/bash.new /usr/bin/bash", "true"),
    "/bin a link": ("mkdir /app/bin; cp /app/evil /app/bin/bash; cp /app/evil /app/bin/ls; rm /bin; ln -s /app/bin /bin", "/bin/ls / >/dev/null"),
    "/bin a folder": ("cp -a /usr/bin /app/bin; rm /bin; /app/bin/mkdir /bin; /app/bin/cp /app/evil /app/bin/ls /bin", "/bin/ls / >/dev/null"),
    "/lib64 a link": ("mkdir /app/lib64; /bin/rm /lib64; true", "ls / >/dev/null"),
    "/etc a link": ("cp -a /etc /app/etc; rm -rf /etc; ln -s /app/etc /etc", "[ ! -e /etc/ld.so.preload ]"),
    "/etc a file": ("rm -rf /etc; echo x > /etc", "ls / > /dev/null"),
    "ld.so.preload": ("echo /app/evil.so > /etc/ld.so.preload", "[ ! -e /etc/ld.so.preload ] && [ -z \"$(ls / 2>&1 >/dev/null)\" ]"),
    "ld.so.cache": ("echo junk > /etc/ld.so.cache", "! [[ $(head -c 4 /etc/ld.so.cache 2>/dev/null) = junk ]]"),
    "nsswitch": ("echo 'passwd: evil' > /etc/nsswitch.conf", "! [[ $(cat /etc/nsswitch.conf 2>/dev/null) = *evil* ]]"),
    "rc files": (
        "for f in /root/.bashrc /root/.profile /root/.bash_profile /etc/profile /etc/bash.bashrc /etc/profile.d/x.sh; do"
        " mkdir -p ${f%/*}; echo 'echo evil; exit 0' > $f; done",
        "[ $HOME != /root ] && ! bash -lc : | cat | { read x && [ $x = evil ]; }",
    ),
    "a flood of the disk": ("head -c 7M /dev/zero > /app/fill; head -c 9M /dev/zero > /app/fill2; true", "head -c 4M /dev/zero > /app/w && echo > /tests/w"),
}  # fmt: skip


@pytest.mark.parametrize("name", TROJANS)
@case
async def test_the_verifier_trusts_no_program_of_the_agent(boxes: Boxes, name: str) -> None:
    attack, check = TROJANS[name]
    box = await boxes.start(storage_mb=16)
    await out(box, PLANT)
    await sh(box, attack)
    judge = await boxes.verifier(box)
    await judge.put({"/tests/check": File.of(f"#!/bin/bash\n{check} && echo passed\n", 0o755)})
    result = await judge.exec(["/tests/check"])
    assert (result.returncode, result.stdout) == (0, b"passed\n"), result


@case
async def test_the_verifier_has_usr_even_if_the_agent_replaced_it(boxes: Boxes) -> None:
    box = await boxes.start()
    await out(box, PLANT)
    moved = await sh(
        box,
        "mv /usr /u && L=$(echo /u/lib*/ld-*.so* /u/lib/*/ld-linux*) && ${L%% *} --library-path /u/lib:/u/lib/x86_64-linux-gnu:/u/lib/aarch64-linux-gnu /u/bin/ln -s /app /usr",
    )
    assert (moved.returncode == 0) is (boxes.kind != "host"), "a part of the host's root is a mount, and stays"
    assert await out(await boxes.verifier(box), "ls /usr/bin/ls /bin/ls") == "/bin/ls\n/usr/bin/ls\n"


@pytest.mark.parametrize("kind", ["folder", "file", "fifo", "link to a folder", "link to nothing", "loop"])
@case
async def test_planted_tests_and_logs_are_not_seen(boxes: Boxes, kind: str) -> None:
    plant = {
        "folder": "mkdir -p {0}/verifier; echo 1 > {0}/verifier/reward.txt; chmod 777 {0}",
        "file": "echo 1 > {0}",
        "fifo": "mkfifo {0}",
        "link to a folder": "mkdir -p /app/mine/verifier; echo 1 > /app/mine/verifier/reward.txt; ln -s /app/mine {0}",
        "link to nothing": "ln -s /nowhere/at/all {0}",
        "loop": "ln -s {0} {0}",
    }[kind]
    box = await boxes.start()
    await out(box, "; ".join(f"rm -rf {path}; {plant.format(path)}" for path in ("/tests", "/logs")))
    judge = await boxes.verifier(box)
    assert (
        await out(judge, "ls -A /tests /logs; stat -c '%F %u' /tests /logs")
        == "/logs:\n\n/tests:\ndirectory 0\ndirectory 0\n"
    )
    await judge.put({"/tests/x": File(b"x"), "/logs/verifier/reward.txt": File(b"0")})
    assert await judge.get("/logs/verifier/reward.txt") == b"0"
    assert b"0" not in (await sh(judge, "cat /app/mine/verifier/reward.txt 2>/dev/null")).stdout


@case
async def test_the_verifier_sees_what_the_agent_did_and_did_away_with(boxes: Boxes) -> None:
    box = await boxes.start()
    await box.put({"/app/gone": File(b""), "/data/old/x": File(b"x")})
    await out(box, "rm gone; rm -r /data/old; mkdir /data/old; echo new > /data/old/y")
    await out(box, "echo made > made; chmod 640 made" + ("; chown 7:8 made" if ROOT else ""))
    lost = lost_of(boxes.kind)
    await out(box, f"rm {lost}; echo agent > /etc/motd; ln -s made link; echo h > h1; ln h1 h2; touch /usr/agents")
    judge = await boxes.verifier(box)
    assert await out(judge, "ls /app; ls /data/old; cat /app/link /etc/motd; stat -c '%a %u' /app/made") == (
        "h1\nh2\nlink\nmade\ny\nmade\nagent\n" + ("640 7\n" if ROOT else "640 0\n")
    )
    assert (await sh(judge, f"[ -e {lost} ] || [ -e /usr/agents ]")).returncode == 1
    await out(judge, "echo spoilt > /app/h2; rm /app/h1")
    assert (await box.get("/app/h1"), await box.get("/app/h2")) == (b"h\n", b"h\n"), "judging changes nothing"
    assert await out(await boxes.verifier(box), "cat /app/h1") == "h\n"


@case
async def test_another_images_programs_can_judge(boxes: Boxes, image: Path, request: pytest.FixtureRequest) -> None:
    """What the agent did to its own programs is then of no account at all, nor are the base's."""
    other = request.getfixturevalue("docker_image") if boxes.kind == "docker" else str(image)
    box = await boxes.start()
    await out(box, PLANT + "cp /app/evil /usr/bin/ls; echo mine > /app/file; echo 'exit 0' > /etc/profile")
    judge = boxes.keep(await box.verifier(other))
    listed = "cat /app/file; cd /usr/bin; echo *; [ -e /etc/profile ] || echo none"
    tools = " ".join(sorted(path.name for path in (image / "usr/bin").iterdir()))
    assert await out(judge, listed) == f"mine\n{tools}\nnone\n"
    assert await out(judge, "/bin/ls /app; pwd") == "evil\nfile\n/tests\n"


@case
async def test_the_verifiers_environment(boxes: Boxes) -> None:
    judge = await boxes.verifier(await boxes.start())
    listed = dict(line.split("=", 1) for line in (await judge.exec(["/usr/bin/env"])).stdout.decode().splitlines())
    assert listed == VERIFIER_ENV | engines_own(boxes.kind)
    assert await out(judge, "pwd; stat -c %a /tests") == "/tests\n700\n"


@case
async def test_tools_that_are_links_or_read_code_from_etc_are_the_bases_own(host: Boxes) -> None:
    """Debian's awk and which are links to /etc/alternatives; OpenSSL loads what openssl.cnf names into Python."""
    box = await host.start()
    await out(
        box, PLANT + "for f in /etc/alternatives/*; do ln -sf /app/evil $f; done; mkdir -p /etc/ssl /etc/perl /etc/vim"
    )
    await out(
        box,
        """for f in /etc/ssl/openssl.cnf /etc/perl/strict.pm /etc/perl/sitecustomize.pl /etc/vim/vimrc /etc/magic /etc/gitconfig; do
        echo evil > $f; done; rm -rf /etc/python3*; mkdir /etc/python3.{11,12,13} 2>/dev/null
        for d in /etc/python3.*; do echo 'print("evil")' > $d/sitecustomize.py; done""",
    )
    judge = await host.verifier(box)
    assert "evil" not in await out(
        judge,
        "readlink -f /etc/alternatives/*; cat /etc/ssl/openssl.cnf /etc/perl/* /etc/vim/* /etc/magic /etc/gitconfig 2>/dev/null; python3 -c 'import hashlib'; exit 0",
    )


@case
async def test_python_of_the_verifier_loads_nothing_of_the_agent(host: Boxes) -> None:
    box = await host.start()
    await out(
        box,
        """V=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        for d in /app /root /tmp / /usr/lib/$V /usr/lib/python3/dist-packages /usr/local/lib/$V/dist-packages /root/.local/lib/$V/site-packages; do
          mkdir -p $d; for f in sitecustomize usercustomize json hashlib; do echo 'print("evil"); raise SystemExit(0)' > $d/$f.py; done
          echo 'import os; os.write(1, b"evil")' > $d/evil.pth; done; printf 'home = /app\\n' > /usr/bin/pyvenv.cfg; true""",
    )
    judge = await host.verifier(box)
    await judge.put(
        {
            "/tests/check.py": File.of(
                "#!/usr/bin/python3\nimport json, hashlib, sys\nprint(json.dumps(sys.path))\n", 0o755
            )
        }
    )
    for argv, cwd in (
        (["/tests/check.py"], "/tests"), (["/tests/check.py"], "/app"), (["/usr/bin/python3", "-c", "import json, sys; print(sys.path)"], "/app"),
        (["/usr/bin/python3", "-m", "json.tool", "/dev/null"], "/app"),
    ):  # fmt: skip
        result = await judge.exec(argv, cwd=cwd)
        assert b"evil" not in result.stdout + result.stderr, (argv, cwd)
        assert b"/app" not in result.stdout and b"/root" not in result.stdout


@case
async def test_both_see_the_same_usr(host: Boxes) -> None:
    """The host's /usr/local and the folders that hold termgym are nobody's business inside, the verifier's neither."""
    box = await host.start()
    listing = "cd /usr; ls . local local/*; ls -d lib/python3*"
    assert await out(box, listing) == await out(await host.verifier(box), listing)
    found = "find / /usr -xdev -name 'termgym*' -not -path '/proc/*' 2>/dev/null; true"
    assert await out(await host.start(), found) == ""


@case
async def test_overlay_marks_of_the_agent_mean_nothing(host: Boxes) -> None:
    """What is stacked below a verifier was the agent's to write: no forged mark may hide or move what is there."""
    box = await host.start()
    forged = await python(
        box,
        """
        import os
        os.makedirs("/app/d"); open("/app/d/x", "w").write("x"); open("/app/f", "w").write("f")
        for path in ("/app/d", "/app/f", "/etc", "/app"):
            for name, value in (("opaque", b"y"), ("redirect", b"/../../tests"), ("metacopy", b""), ("whiteout", b"y"), ("origin", b"x")):
                for prefix in ("user.overlay.", "trusted.overlay."):
                    try: os.setxattr(path, prefix + name, value)
                    except OSError: pass
        for path in ("/app/d/x", "/app/none"):
            try: os.mknod(path + "w", 0o020600, os.makedev(0, 0)); print("whiteout made")
            except OSError: pass
        """,
    )
    assert forged == ""
    judge = await host.verifier(box)
    assert (
        await out(judge, "cat /app/d/x /app/f; ls /app/d /tests; ls /etc/passwd")
        == "xf/app/d:\nx\n\n/tests:\n/etc/passwd\n"
    )


# What is left behind.


def _accounts(launcher: int) -> dict[str, int]:
    mounts = Path(f"/proc/{launcher}/mountinfo").read_text() if ROOT else ""
    return {
        "our descriptors": len(os.listdir("/proc/self/fd")),
        "the launcher's descriptors": len(os.listdir(f"/proc/{launcher}/fd")) if ROOT else 0,
        "mounts": len(mounts.splitlines()),
        "processes": len(Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()),
        "cgroups": sum(len([p for p in group.iterdir() if p.is_dir()]) for group in groups_of(launcher)),
    }


def _resident_kb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


async def _cycle(boxes: Boxes) -> None:
    box = await boxes.start()
    await out(box, "sleep 82 >/dev/null 2>&1 & echo x > x")
    (await box.open_pty(["/bin/sleep", "82"])).close()
    fork = (await box.fork())[0]
    judge = await box.verifier()
    await out(judge, "cat /app/x")
    for each in (box, fork, judge):
        await each.close()


@pytest.mark.parametrize("rounds", [25, pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(120)])])
@case
async def test_sandboxes_leave_nothing_behind(host: Boxes, rounds: int) -> None:
    pid = await launcher_pid()
    for _ in range(5):
        await _cycle(host)
    before, memory = await _settled(pid), (_resident_kb(os.getpid()), _resident_kb(pid))
    for _ in range(rounds):
        await _cycle(host)
    assert await _settled(pid) == before
    grown = (_resident_kb(os.getpid()) - memory[0], _resident_kb(pid) - memory[1])
    assert max(grown) < 2048 + 8 * rounds, f"KiB grown, here and in the launcher: {grown}"


@case
async def test_what_could_not_start_leaves_nothing(host: Boxes, tmp_path: Path) -> None:
    pid = await launcher_pid()
    box = await host.start()
    await out(box, "echo x > x")
    await _cycle(host)
    await asyncio.sleep(0.1)  # the launcher hears of a close, and does not answer
    before = _accounts(pid)
    for _ in range(3):
        with pytest.raises(SandboxError):
            await new_sandbox("namespace", SandboxSpec(image=str(tmp_path / "none"))).start()
        with pytest.raises(SandboxError):
            await new_sandbox("namespace", SandboxSpec(resources=Resources(inodes=1))).start()
    for _ in range(5):
        task = asyncio.create_task(new_sandbox("namespace", SandboxSpec()).start())
        await asyncio.sleep(0.001)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    for name in ("our descriptors", "the launcher's descriptors", "processes"):
        await eventually(lambda name=name: _accounts(pid)[name] == before[name])
    assert await out(box, "cat x") == "x\n"


def test_two_loops_have_launchers_of_their_own(host: Boxes) -> None:
    seen: list[int] = []
    errors: list[BaseException] = []

    async def main() -> None:
        box = new_sandbox("namespace", SandboxSpec())
        await box.start()
        seen.append(await launcher_pid())
        for number in range(10):
            assert await out(box, f"echo {number}") == f"{number}\n"
        await box.close()
        await launcher_client.close_launcher()

    def thread() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=thread) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors and len(set(seen)) == 2
    assert not any(alive(pid) for pid in seen) and not any(groups_of(pid) for pid in seen)


CLIENT = """
import asyncio, sys
from termgym import launcher_client
from termgym.sandbox import SandboxSpec, new_sandbox
async def main():
    boxes = [new_sandbox("namespace", SandboxSpec()) for _ in range(2)]
    for box in boxes:
        await box.start()
        await box.exec(["/bin/bash", "-c", "setsid sleep 83 >/dev/null 2>&1 & echo x > x"])
    await boxes[0].fork()
    print((await launcher_client.launcher()).pid, flush=True)
    await boxes[1].exec(["/bin/sleep", "83"])
asyncio.run(main())
"""


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(each for child in children for each in _descendants(child))]


@case
async def test_nothing_outlives_a_killed_client() -> None:
    path = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    assert process.stdout is not None
    with process.stdout:
        pid = int(process.stdout.readline())
    await eventually(lambda: len(_descendants(pid)) >= 4)
    inside = _descendants(pid)
    process.kill()
    process.wait()
    await eventually(lambda: not any(map(alive, (pid, *inside))))
    assert not groups_of(pid)


@case
async def test_a_killed_launcher_is_an_error_and_is_replaced(host: Boxes) -> None:
    box, sealed = await host.start(), await host.start()
    await out(sealed, "echo mine > x")
    await sealed.seal()
    running = asyncio.create_task(box.exec(["/bin/sleep", "84"]))
    await asyncio.sleep(0.05)
    pid, inside = await launcher_pid(), init_of(box)
    os.kill(pid, signal.SIGKILL)
    begin = time.monotonic()
    with pytest.raises(SandboxDied, match="gone"):
        await running
    assert time.monotonic() - begin < 2
    await eventually(lambda: not alive(inside))
    with pytest.raises(SandboxDied):
        await box.exec(["/bin/ls"])
    other = await host.start()
    assert await launcher_pid() != pid and not groups_of(pid), "the next one cleans up"
    assert await out(other, "ls /app") == ""
    for call in (sealed.fork, sealed.verifier):
        with pytest.raises(SandboxDied):  # and never the files of whoever has its number now
            await call()
    for each in (box, sealed):
        await each.close()
    assert await out(other, "echo on") == "on\n"


@case
async def test_groups_of_a_killed_launcher_go_with_the_next_one(host: Boxes) -> None:
    """Its boxes may not have ended yet when the next one begins; that one then takes them as it ends."""
    await (await host.start()).close()
    gone = subprocess.Popen(["true"])
    gone.wait()
    for _, _, parent in cgroup._mounted():  # pyright: ignore[reportPrivateUsage]
        with contextlib.suppress(OSError):
            Path(parent, f"termgym-{gone.pid}", "0").mkdir(parents=True)
    if not groups_of(gone.pid):
        pytest.skip("no cgroups here")
    await launcher_client.close_launcher()
    assert not groups_of(gone.pid)


@case
async def test_a_sandbox_whose_first_process_died_says_so(host: Boxes) -> None:
    box, other = await host.start(), await host.start()
    os.kill(init_of(box), signal.SIGKILL) if ROOT else signal.pidfd_send_signal(
        linux.pidfd_open(init_of(box)), signal.SIGKILL
    )
    await eventually(lambda: not alive(init_of(box)))
    with pytest.raises(SandboxDied):
        await box.exec(["/bin/ls"])
    assert await box.get("/etc/hostname") == b"termgym\n"
    assert await out(other, "echo on") == "on\n"


# Limits.


async def cgroups() -> list[str]:
    return (await launcher_client.launcher()).cgroups


@case
async def test_processes_are_bounded(host: Boxes) -> None:
    """By the pids cgroup where there is one, and by RLIMIT_NPROC everywhere: each box counts for itself."""
    box, other = await host.start(processes=24), await host.start(processes=24)
    assert await out(box, "ulimit -u") == "24\n"
    forks = """
        import os, time
        made = 0
        try:
            while made < 200:
                if os.fork() == 0: time.sleep(85)
                made += 1
        except OSError as error: open("/app/made", "w").write(f"{made} {error.errno}")
        time.sleep(85)
    """
    full = [asyncio.create_task(python(each, forks)) for each in (box, other)]
    for each in (box, other):  # a neighbour has its own count
        await there(each, "/app/made")
        made, errno = map(int, (await each.get("/app/made")).split())
        assert 15 <= made <= 24 and errno == 11
    with pytest.raises(SandboxError, match="unavailable"):
        await box.exec(["/bin/ls"])  # the agent's own sandbox: its loss
    assert await out(await host.verifier(box), "echo on | cat") == "on\n"
    await other.seal()
    for ended in await asyncio.gather(*full, return_exceptions=True):
        assert isinstance(ended, SandboxDied)


@case
async def test_memory_is_bounded(host: Boxes) -> None:
    """By the memory cgroup, for all processes and files together; without it, only the data of each process is."""
    box = await host.start(memory_mb=96, storage_mb=64)
    heap = await box.exec(["/usr/bin/python3", "-I", "-S", "-c", "x = b'x' * (200 << 20); print(len(x))"])
    if "memory" in await cgroups():
        assert heap.returncode == -9
        await out(box, "head -c 60M /dev/zero > /dev/shm/x")
        also = await box.exec(["/usr/bin/python3", "-I", "-S", "-c", "x = b'x' * (60 << 20); print(len(x))"])
        assert also.returncode == -9, "its files count"
    else:
        assert heap.returncode == 1 and b"MemoryError" in heap.stderr
        assert await out(box, "ulimit -d") == f"{96 * 1024}\n"
    assert await out(box, "rm -f /dev/shm/x; echo on") == "on\n"


@case
async def test_cpu_is_bounded(host: Boxes) -> None:
    """By the cpu cgroup; without it, by nothing but the scheduler."""
    box = await host.start(cpus=0.2)
    spin = """
        import time
        end = time.monotonic() + 0.6
        while time.monotonic() < end: pass
        print(time.process_time())
    """
    used = float(await python(box, spin))
    if "cpu" in await cgroups():
        assert used < 0.3
    else:
        assert used <= 0.7


@case
async def test_disk_is_bounded_and_usable_again(walls: Boxes) -> None:
    box = await walls.start(storage_mb=16, inodes=600)
    for path in ("/app/f", "/usr/f", "/dev/shm/f", "/tmp/f", "/root/f"):
        result = await sh(box, f"for i in 1 2 3; do head -c 7M /dev/zero > {path}$i; done")
        assert result.returncode and b"No space left" in result.stderr, path
        await out(box, f"rm {path}*; echo ok > {path}; cat {path}; rm {path}")
    result = await sh(box, "head -c 17M /dev/zero > /app/big")
    assert result.returncode, "one file is bounded too"
    await out(box, "rm /app/big")
    result = await sh(box, "for i in {1..700}; do : > /app/i$i || break; done")
    assert b"No space left" in result.stderr
    await out(box, "rm /app/i*; echo on > /app/x")
    assert await out(box, "ulimit -n; ulimit -c; ulimit -f") == f"4096\n0\n{16 * 1024}\n"
    with pytest.raises(SandboxFileError):
        await box.get("/app/big")


@case
async def test_terminals_and_watches_leave_some_for_the_others(host: Boxes) -> None:
    """The host has 4,096 terminals, and as a rule 128 inotify instances for each user, and all boxes share one."""
    box = await host.start()
    script = """
        import ctypes, os
        libc, ptys, watches = ctypes.CDLL(None), 0, 0
        try:
            while ptys < 500: os.openpty(); ptys += 1
        except OSError: pass
        while watches < 200 and libc.inotify_init1(0) >= 0: watches += 1
        print(ptys, watches)
    """
    ptys, watches = map(int, (await python(box, script)).split())
    assert ptys <= 64 and watches <= 32


@case
async def test_a_storm_of_orphans_keeps_no_one_waiting(host: Boxes) -> None:
    box, other = await host.start(cpus=0.5), await host.start()
    storm = asyncio.create_task(sh(box, "while :; do (true &); done", timeout_s=0.6))
    await asyncio.sleep(0.2)
    begin = time.monotonic()
    for each in (box, other, box, other):
        assert await out(each, "echo on") == "on\n"
    assert time.monotonic() - begin < 2
    assert (await storm).timed_out
    begin = time.monotonic()
    await box.seal()
    assert time.monotonic() - begin < 1


# What the inside can reach.


@case
async def test_the_network_is_a_loopback_of_its_own(boxes: Boxes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        box = await boxes.start()
        assert (
            await out(box, "while IFS=: read -r name rest; do echo $name; done < /proc/net/dev | tail -n +3") == "lo\n"
        )
        for address in ("127.0.0.1", "169.254.169.254", "10.0.0.1"):
            result = await sh(box, f"exec 3<>/dev/tcp/{address}/{port}", timeout_s=3)
            assert result.returncode == 1 and not result.timed_out, address


@case
async def test_no_socket_of_the_host_is_reached(host: Boxes, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as named:
        abstract.bind("\0termgym-test-abstract")
        named.bind(str(tmp_path / "s"))
        for server in (abstract, named):
            server.listen()
        box = await host.start()
        printed = await python(
            box,
            f"""
            import socket
            for address in ("\\0termgym-test-abstract", {str(tmp_path / "s")!r}):
                try: socket.socket(socket.AF_UNIX).connect(address); print("connected", address)
                except OSError: pass
            for family, kind in ((40, 1), (17, 3), (38, 5), (31, 3), (29, 3), (44, 3), (2, 10)):
                try: socket.socket(family, kind); print("socket", family)
                except OSError: pass
            server = socket.create_server(("127.0.0.1", 0)); socket.create_connection(server.getsockname())
            """,
        )
        assert printed == ""
        assert await out(box, "cat /proc/net/unix | wc -l") == "1\n"


@case
async def test_of_the_hosts_files_only_usr_shows(host: Boxes) -> None:
    box = await host.start()
    assert await out(
        box, "ls -A /home /root /run /srv /mnt /opt /media /sys /tmp /var/log /var/lib/misc | tr -d '\\n'"
    ) == ("/home:/media:/mnt:/opt:/root:/run:/srv:/sys:/tmp:/var/lib/misc:/var/log:")
    assert (
        await out(box, "ls /dev")
        == "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n"
    )
    assert (
        await out(
            box,
            "cut -d: -f1 /etc/passwd | tr '\\n' ' '; ls /etc/ssh /etc/docker /etc/machine-id /etc/ssl/private 2>/dev/null; true",
        )
        == "root daemon www-data nobody "
    )
    assert "$" not in await out(box, "cut -d: -f2 /etc/shadow")
    assert await out(box, f"ls -d {Path.cwd()} {sys.prefix} {Path.home()}/.[a-z]* 2>/dev/null; true", cwd="/") == ""
    assert await out(box, "hostname; cat /etc/hostname") == "termgym\ntermgym\n"


@case
async def test_no_path_or_process_of_the_host_shows_in_proc(walls: Boxes) -> None:
    box = await walls.start()
    judge = await walls.verifier((await walls.fork(await walls.start()))[0])
    for each in (box, judge):
        pids = (await out(each, "cd /proc; echo [0-9]*")).split()
        assert len(pids) <= 3 and "1" in pids
        assert (await out(each, "cat /proc/1/cmdline")).rstrip("\0") == "termgym-launcher"
        mounts = [line.split() for line in (await out(each, "cat /proc/1/mountinfo")).splitlines()]
        assert {fields[4] for fields in mounts} <= {
            "/", "/dev", "/dev/full", "/dev/null", "/dev/pts", "/dev/random", "/dev/shm", "/dev/tty", "/dev/urandom",
            "/dev/zero", "/logs", "/proc", "/tests", "/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin",
        }  # fmt: skip
        text = await out(each, "cat /proc/1/mountinfo /proc/mounts /proc/1/cgroup")
        for known in (str(Path.cwd()), sys.prefix, "/pytest-of-", "termgym-", "site-packages"):
            assert known not in text
        for hidden in ("environ", "maps", "mem", "fd/0", "root/", "cwd/", "exe", "syscall", "stack", "io"):
            assert (await sh(each, f"head -c 1 /proc/1/{hidden}")).returncode, hidden
        assert SECRET not in await out(each, "cat /proc/*/environ /proc/*/cmdline 2>/dev/null; env; true")


@case
async def test_no_program_has_a_descriptor_too_many(boxes: Boxes) -> None:
    """Among them could be the first process's socket: who holds it tells termgym what it likes."""
    box = await boxes.start()
    pty = await box.open_pty(["/bin/sleep", "86"])
    fork, judge = (await boxes.fork(await boxes.start()))[0], await boxes.verifier(await boxes.start())
    running = [asyncio.create_task(each.exec(["/bin/sleep", "86"], stdin=b"x")) for each in (box, fork, judge)]
    await asyncio.sleep(0.1)
    for each in (box, fork, judge):
        listed = await out(
            each,
            """for p in /proc/[0-9]*; do read -r name < $p/comm; [ "$name" = sleep ] || continue
            for f in $p/fd/*; do echo ${f##*/} $(readlink $f); done; done""",
        )
        fds = [line.split(maxsplit=1) for line in listed.splitlines()]
        assert {number for number, _ in fds} == {"0", "1", "2"}, fds
        assert all(name.startswith(("pipe:", "/memfd:stdin", "/dev/pts/0")) for _, name in fds), fds
        if ROOT and boxes.kind != "docker":  # the first process itself: one socket, and none of the launcher's
            names = [_link(path) for path in Path(f"/proc/{init_of(each)}/fd").iterdir()]
            assert len([name for name in names if name.startswith("socket:")]) in ((0, 1) if each is box else (1,)), (
                names
            )
            assert not [name for name in names if name.startswith(("/dev/pts", "/memfd", str(Path.cwd())))], names
    pty.close()
    for each in (box, fork, judge):
        await each.seal()
    for ended in await asyncio.gather(*running, return_exceptions=True):
        assert isinstance(ended, SandboxDied)


PROBES = r"""
import ctypes, errno, os, signal, struct, sys, fcntl, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    ctypes.set_errno(0)
    result = libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in args))
    if result >= 0: print("ALLOWED", name)
def path(name, action):
    try: action()
    except (OSError, ValueError): return
    print("ALLOWED", name)
x86 = os.uname().machine == "x86_64"
def nr(a, b): return a if x86 else b
call("mount", nr(165, 40), b"tmpfs", b"/tmp", b"tmpfs", 0, 0)
call("bind", nr(165, 40), b"/app", b"/tmp", None, 4096, 0)
call("remount", nr(165, 40), b"", b"/usr", None, 32, 0)
for target in (b"/proc", b"/usr", b"/dev", b"/tests", b"/"): call("umount " + str(target), nr(166, 39), target, 2)
for flag in (0x20000, 0x10000000, 0x20000000, 0x40000000, 0x2000000, 0x80): call("unshare %x" % flag, nr(272, 97), flag)
call("clone newuser", nr(56, 220), 0x10000000 | 17, 0, 0, 0, 0)
call("clone3", 435, struct.pack("11Q", *[0] * 11), 88)
for kind in ("mnt", "user", "pid", "net", "uts", "ipc"):
    try: fd = os.open("/proc/1/ns/" + kind, os.O_RDONLY)
    except OSError: fd = os.open("/proc/self/ns/" + kind, os.O_RDONLY)
    call("setns " + kind, nr(308, 268), fd, 0)
call("open_tree", 428, -100, b"/proc", 1)
call("fsopen", 430, b"tmpfs", 0)
call("move_mount", 429, -100, b"/app", -100, b"/tmp", 0)
call("mount_setattr", 442, -100, b"/usr", 0, struct.pack("4Q", 0, 1, 0, 0), 32)
call("pivot_root", nr(155, 41), b"/app", b"/app")
call("bpf", nr(321, 280), 0, struct.pack("4I", 1, 4, 4, 1), 16)
call("keyctl", nr(250, 219), 0, -3, 0)
call("add_key", nr(248, 217), b"user", b"x", b"x", 1, -2)
call("syslog", nr(103, 116), 10, 0, 0)
call("reboot", nr(169, 142), 0xfee1dead, 672274793, 0, 0)
call("perf", nr(298, 241), bytes(128), 0, -1, -1, 0)
call("userfaultfd", nr(323, 282), 0)
call("io_uring", 425, 1, bytes(120))
call("sethostname", nr(170, 161), b"x", 1)
call("settimeofday", nr(164, 170), struct.pack("qq", 1, 1), 0)
call("clock_settime", nr(227, 112), 0, struct.pack("qq", 1, 1))
call("open_by_handle_at", nr(304, 265), 0, bytes(24), 0)
call("ptrace 1", nr(101, 117), 16, 1, 0, 0)
call("ptrace seize 1", nr(101, 117), 0x4206, 1, 0, 0)
call("pidfd_getfd", 438, os.pidfd_open(1), 0, 0)
call("process_vm_readv", nr(310, 270), 1, 0, 0, 0, 0, 1)
call("kexec", nr(246, 104), 0, 0, 0, 0)
call("init_module", nr(175, 105), b"", 0, b"")
call("swapon", nr(167, 224), b"/app", 0)
call("quotactl", nr(179, 60), 0, b"", 0, 0)
call("chroot climb", nr(161, 51), b"/none")
path("mknod disk", lambda: os.mknod("/app/disk", 0o060600, os.makedev(8, 0)))
path("mknod mem", lambda: open(os.mknod("/app/mem", 0o020600, os.makedev(1, 1)) or "/app/mem", "rb"))
path("mknod null", lambda: open(os.mknod("/app/null", 0o020600, os.makedev(1, 3)) or "/app/null", "rb"))
for switch in ("kernel/core_pattern", "vm/drop_caches", "kernel/modprobe", "fs/suid_dumpable", "kernel/sysrq", "vm/swappiness", "kernel/hostname",
               "fs/inotify/max_user_instances", "user/max_inotify_instances", "user/max_user_namespaces"):
    path("sysctl " + switch, lambda: os.write(os.open("/proc/sys/" + switch, os.O_WRONLY), b"1"))
for file in ("sysrq-trigger", "kcore", "kmsg", "1/mem", "1/environ", "1/oom_score_adj", "1/clear_refs"):
    path("/proc/" + file, lambda: os.open("/proc/" + file, os.O_RDWR))
for file in ("kcore", "kmsg", "1/mem", "1/environ", "1/fd/3", "timer_list", "slabinfo", "vmallocinfo"):
    path("/proc/" + file, lambda: os.open("/proc/" + file, os.O_RDONLY))
path("/dev write", lambda: os.open("/dev/new", os.O_CREAT))
path("/dev/null mode", lambda: os.chmod("/dev/null", 0o666))
path("priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
path("oom score", lambda: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000"))
path("rlimit", lambda: __import__("resource").setrlimit(7, (1 << 20, 1 << 20)))
path("net admin", lambda: fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14x", b"lo", 0)))
master, slave = os.openpty()
if os.fork() == 0:
    os.setsid(); fcntl.ioctl(slave, 0x540E, 0)
    for name, number in (("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541C), ("TIOCSETD", 0x5423)):
        path(name, lambda: fcntl.ioctl(slave, number, b"x\0\0\0"))
    os._exit(0)
os.wait()
# Out of a chroot leads only to the sandbox's own root.
os.makedirs("/app/jail", exist_ok=True)
if os.fork() == 0:
    fd = os.open("/", os.O_RDONLY); os.chroot("/app/jail"); os.fchdir(fd)
    for _ in range(64): os.chdir("..")
    os.chroot(".")
    print(open("/etc/hostname").read().strip(), sorted(os.listdir("/proc/1/root")) if os.access("/proc/1/root/", os.R_OK) else "-"); sys.stdout.flush(); os._exit(0)
os.wait()
for signum in (9, 15, 11, 19): os.kill(1, signum)
signal.signal(15, signal.SIG_IGN)
path2 = [os.kill(-1, 15)] if os.fork() else signal.pause()
print("end", open("/proc/self/status").read().split("CapEff:")[1].split()[0], os.geteuid())
"""


@pytest.mark.parametrize("role", ["agent", "verifier"])
@case
async def test_every_known_way_out_is_shut(host: Boxes, role: str) -> None:
    box = await host.start()
    if role == "verifier":
        box = await host.verifier(box)
    await box.put({"/app/probes.py": File.of(PROBES)})
    result = await box.exec(["/usr/bin/python3", "-I", "-S", "/app/probes.py"])
    assert result.stdout.decode() == "termgym -\nend 00000000a80425fb 0\n", result.stderr
    assert (await sh(box, "kill -9 -1; kill -9 1; echo on")).returncode == 0
    assert await out(box, "echo on") == "on\n", "its first process survives both"
    for pid in ("self", "1"):
        held = "CapPrm:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2\n"
        assert await out(box, f"grep -E 'CapPrm|CapBnd|NoNewPrivs|^Seccomp:' /proc/{pid}/status") == held


@case
async def test_who_root_inside_is_outside(host: Boxes) -> None:
    """Nobody, if root runs termgym: 65,536 ids of its own. Without privileges it is the user, and the only one inside."""
    box = await host.start()
    hello = await launcher_client.launcher()
    users = (await out(box, "cat /proc/self/uid_map")).split()
    owner = await out(box, "stat -c %u /usr/bin/bash")
    become = await sh(box, "touch x; chown 1000:1000 x && setpriv --reuid=1000 --regid=1000 --clear-groups id -u")
    outside = Path(f"/proc/{init_of(box)}").stat().st_uid
    if ROOT:
        assert hello.owner > 0 and int(users[2]) > 1000
        assert hello.users in ("range", "nobody") and owner == ("0\n" if hello.users == "range" else "65534\n")
        assert become.stdout == b"1000\n"
        assert await out(box, "echo mine > /usr/bin/ls; cat /usr/bin/ls") == "mine\n"
        status = Path(f"/proc/{init_of(box)}/status").read_text()
        assert f"Uid:\t{hello.owner}\t" in status
    else:
        assert (hello.users, hello.owner, users[2]) == ("single", os.geteuid(), "1")
        assert owner == "65534\n" and become.returncode != 0
        assert outside in (0, os.geteuid())  # not dumpable: /proc shows root's
        # /usr/bin is nobody's, so its programs stay; what is to hide them goes into /usr/local/bin.
        assert (await sh(box, "echo mine > /usr/bin/ls || rm /usr/bin/ls")).returncode
        assert (
            await out(box, "printf '#!/bin/sh\necho mine' > /usr/local/bin/ls; chmod 755 /usr/local/bin/ls; ls")
            == "mine\n"
        )


@case
async def test_setuid_programs_give_nothing(host: Boxes) -> None:
    box = await host.start()
    await out(box, "cp /usr/bin/id /app/id; chmod 6755 /app/id")
    if ROOT:
        await out(box, "chown 5:5 /app/id; chmod 6755 /app/id")
    assert await out(box, "/app/id -u") == "0\n"


@case
async def test_nothing_carries_over_from_one_to_the_next(host: Boxes) -> None:
    box = await host.start()
    await python(
        box,
        """
        import ctypes, os
        libc = ctypes.CDLL(None)
        libc.shmget(1234, 4096, 0o1666); libc.msgget(1234, 0o1666); libc.semget(1234, 1, 0o1666)
        open("/dev/shm/x", "w"); open("/tmp/x", "w"); open("/var/tmp/x", "w"); libc.mq_open(b"/x", 0o102, 0o600, None)
        """,
    )
    for each, files in ((await host.start(), ""), ((await host.fork(box))[0], "x\n")):
        assert await out(each, "cat /proc/sysvipc/{shm,msg,sem} | grep -c 1234; ls /dev/shm; exit 0") == "0\n" + files
    assert await out(await host.start(), "ls /tmp /var/tmp") == "/tmp:\n\n/var/tmp:\n"


@case
async def test_what_an_image_shows(image: Path) -> None:
    boxes = Boxes("image", str(image))
    try:
        box = await boxes.start()
        assert await out(box, "cat /etc/marker /etc/hostname; ls /home 2>&1 | wc -l") == "of the image\ntermgym\n1\n"
        before = sorted(str(path) for path in image.rglob("*"))
        await out(
            box,
            "rm /etc/marker; echo x > /usr/bin/new; rm -r /usr/lib64/x* 2>/dev/null; mkdir /more; echo y >> /etc/hosts",
        )
        await boxes.verifier(box)
        assert sorted(str(path) for path in image.rglob("*")) == before
    finally:
        await boxes.close()


@case
async def test_who_fills_its_memory_to_death_is_judged_all_the_same(host: Boxes) -> None:
    """Files in memory stay when processes are killed for it, so the first process may be the last to go."""
    box = await host.start(memory_mb=48, storage_mb=128)
    await out(box, "echo done > /app/x")
    with contextlib.suppress(SandboxDied):
        await sh(box, "head -c 100M /dev/zero > /dev/shm/x")
    assert await out(await host.verifier(box), "cat /app/x") == "done\n"
    await box.close()  # the verifier still needs its files, so their group must not be the next one's
    other = await host.start(memory_mb=48, storage_mb=128)
    assert await out(other, "head -c 20M /dev/zero > x; echo on") == "on\n"


@case
async def test_put_and_get_have_the_rights_of_an_owner_only(walls: Boxes) -> None:
    """Root inside reads what it forbids itself; from outside, only what its mode allows its owner."""
    box = await walls.start()
    await out(box, "echo x > x; chmod 000 x")
    with pytest.raises(SandboxFileError, match="Permission"):
        await box.get("/app/x")
    with pytest.raises(SandboxFileError, match="Permission"):
        await box.put({"/app/x": File(b"y")})
    assert await out(box, "cat x") == "x\n"


async def _settled(pid: int) -> dict[str, int]:
    """The accounts once they stand still: the launcher hears of a close, and does not answer."""
    while True:
        before = _accounts(pid)
        await asyncio.sleep(0.05)
        if before == _accounts(pid):
            return before
