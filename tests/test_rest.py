# ruff: noqa: E501, PTH208 - scripts read better on one line; /proc wants os
"""A sandbox whose PID 1 rests: it costs little, stays closed to the agent, and does all that it did before.

In these sandboxes a terminal was opened, so that PID 1 is a program that sleeps, and requests are served by a process
that enters when the first one comes.
"""

import asyncio
import functools
import os
import re
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from termgym import aio, launcher_client
from termgym.errors import SandboxDied
from termgym.launcher import init
from termgym.sandbox import ExecResult, SandboxSpec
from termgym.sandbox.namespace import NamespaceSandbox
from termgym.terminal import SHELL, Terminal
from tests.boxes import eventually

ROOT = os.geteuid() == 0
SLEEP = ("/bin/sleep", "90")
HELD = "grep -E 'Cap|NoNewPrivs|Seccomp' /proc/self/status; cat /proc/self/limits /proc/self/cgroup /proc/self/uid_map; readlink /proc/self/root /proc/self/ns/*; pwd; ls -l /proc/self/fd | wc -l; env"


def case(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """A test that awaits, with a launcher of its own."""

    @functools.wraps(test)
    def run() -> None:
        async def body() -> None:
            try:
                await test()
            finally:
                await launcher_client.close_launcher()

        aio.run(body())

    return run


@asynccontextmanager
async def started() -> AsyncGenerator[NamespaceSandbox]:
    box = NamespaceSandbox(SandboxSpec())
    await box.start()
    try:
        yield box
    finally:
        await box.close()


@asynccontextmanager
async def resting() -> AsyncGenerator[NamespaceSandbox]:
    async with started() as box:
        (await box.open_pty(["/bin/bash", "-c", "trap '' HUP; sleep 90"])).close()
        await eventually(lambda: rests(box))
        yield box


async def sh(box: NamespaceSandbox, script: str) -> str:
    result = await box.exec(["/bin/bash", "-c", script])
    assert result.returncode == 0, result
    return result.stdout.decode()


def first_of(box: NamespaceSandbox) -> int:
    return box._pid  # pyright: ignore[reportPrivateUsage]


def rests(box: NamespaceSandbox) -> bool:
    return Path(f"/proc/{first_of(box)}/cmdline").read_text() == init.NAME + "\0"


async def entered(box: NamespaceSandbox) -> int:
    """The process that entered, by its number inside: the parent of what it starts."""
    return int(await sh(box, "echo $PPID"))


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@case
async def test_the_first_process_rests_once_a_terminal_is_open() -> None:
    async with started() as box:
        assert await sh(box, "echo on") == "on\n"
        assert not rests(box)
        terminal = Terminal(await box.open_pty(SHELL))
        await terminal.ready(10)
        await eventually(lambda: rests(box))
        rollup = Path(f"/proc/{first_of(box)}/smaps_rollup").read_text() if ROOT else ""
        assert sum(map(int, re.findall(r"Private_\w+: +(\d+)", rollup))) < 300
        await terminal.type("echo $((6*7))\n", 5)
        assert "42" in (await terminal.screen()).text
        terminal.close()


@case
async def test_it_does_not_rest_while_a_program_is_awaited() -> None:
    async with started() as box:
        running = asyncio.create_task(sh(box, "sleep 0.3; echo done"))
        await asyncio.sleep(0.1)
        (await box.open_pty(SLEEP)).close()
        await asyncio.sleep(0.05)
        assert not rests(box)
        assert await running == "done\n"
        await eventually(lambda: rests(box))


@case
async def test_requests_that_come_while_it_goes_to_rest_are_served() -> None:
    for _ in range(20):
        async with started() as box:
            pty, first, second = await asyncio.gather(box.open_pty(SLEEP), sh(box, "echo 1"), sh(box, "echo 2"))
            assert (first, second, await sh(box, "echo 3")) == ("1\n", "2\n", "3\n")
            pty.close()
            await eventually(lambda box=box: rests(box))


@case
async def test_programs_run_as_before() -> None:
    async with resting() as box:
        result = await box.exec(["/bin/bash", "-c", "cat; echo err >&2; exit 3"], stdin=b"in")
        assert result == ExecResult(3, b"in", b"err\n")
        assert (await box.exec(["/none"])).returncode == 127
        killed = await box.exec(["/bin/bash", "-c", "set -m; sleep 77 & (sleep 77 &) & wait"], timeout_s=0.2)
        assert (killed.returncode, killed.timed_out) == (-9, True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(box.exec(SLEEP), 0.1)
        many = await asyncio.gather(*(box.exec(["/bin/bash", "-c", f"echo {i}; exit {i}"]) for i in range(30)))
        assert many == [ExecResult(i, f"{i}\n".encode(), b"") for i in range(30)]
        terminal = Terminal(await box.open_pty(SHELL))
        await terminal.ready(10)
        await terminal.type("tty; cat /etc/hostname\n", 5)
        assert "/dev/pts/" in (await terminal.screen()).text and "termgym" in (await terminal.screen()).text
        terminal.close()
        assert rests(box)


@case
async def test_what_enters_gives_programs_what_the_first_process_gives() -> None:
    async with started() as box:
        before = await sh(box, HELD)
        (await box.open_pty(SLEEP)).close()
        await eventually(lambda: rests(box))
        assert await sh(box, HELD) == before
        assert await sh(box, "ls /; ls /proc/1") != ""


@case
async def test_no_zombie_stays() -> None:
    async with resting() as box:
        await sh(box, "for i in {1..20}; do (sleep 0.0$i &) & done; pkill -9 -f 'trap .. HU[P]'; sleep 0.3")
        states = await sh(box, "for p in /proc/[0-9]*; do awk '{print $3}' $p/stat; done 2>/dev/null; true")
        assert "Z" not in states


ATTACK = r"""
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
for pid in map(int, sys.argv[1:]):
    for request in (16, 0x4206):  # PTRACE_ATTACH, PTRACE_SEIZE
        if libc.ptrace(request, pid, 0, 0) == 0: print("traced", pid)
    iov = (ctypes.c_void_p * 2)(ctypes.cast(ctypes.create_string_buffer(8), ctypes.c_void_p), 8)
    far = (ctypes.c_void_p * 2)(0x400000, 8)
    if libc.process_vm_readv(pid, iov, 1, far, 1, 0) != -1: print("memory read", pid)
    for name in ("mem", "environ", "auxv", "fd/0", "root/etc", "syscall", "stack"):
        try: print(name, pid, os.read(os.open(f"/proc/{pid}/{name}", os.O_RDONLY), 1))
        except OSError: pass
    for name in ("exe", "root", "cwd", "fd/0", "ns/mnt"):
        try: print(name, pid, os.readlink(f"/proc/{pid}/{name}"))
        except OSError: pass
for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGSTOP, signal.SIGCHLD): os.kill(1, number)
"""


@case
async def test_the_agent_can_neither_trace_nor_read_who_serves_it() -> None:
    async with resting() as box:
        pid = await entered(box)
        result = await box.exec(["/usr/bin/python3", "-I", "-S", "-c", ATTACK, "1", str(pid)])
        assert result == ExecResult(0, b"", b"")
        assert await sh(box, "awk '{print $3}' /proc/1/stat") == "S\n"


@case
async def test_who_kills_what_entered_loses_that_request_only() -> None:
    async with resting() as box:
        pid = await entered(box)
        for _ in range(3):
            with pytest.raises(SandboxDied):
                await sh(box, "kill -9 $PPID; sleep 5")
            assert await sh(box, "echo on") == "on\n"
        assert await entered(box) != pid
        with pytest.raises(SandboxDied):
            await sh(box, "kill -9 -1; sleep 5")
        assert await sh(box, "echo on") == "on\n"


@case
async def test_a_sandbox_that_ended_while_it_rested_is_dead() -> None:
    async with resting() as box:
        os.kill(first_of(box), signal.SIGKILL)
        await eventually(lambda: not exists(first_of(box)))
        with pytest.raises(SandboxDied):
            await sh(box, "echo on")
    with pytest.raises(SandboxDied):
        await sh(box, "echo on")


@case
async def test_sandboxes_that_rest_end_with_the_launcher() -> None:
    async with resting() as one, resting() as other:
        await sh(other, "true")
        os.kill((await launcher_client.launcher()).pid, signal.SIGKILL)
        await eventually(lambda: not exists(first_of(one)) and not exists(first_of(other)))
        with pytest.raises(SandboxDied):
            await sh(one, "echo on")


@case
async def test_seal_fork_and_judge() -> None:
    async with resting() as box:
        await sh(box, "echo made > made; sleep 90 >/dev/null 2>&1 &")
        (fork,) = await box.fork()
        assert not exists(first_of(box))
        assert await sh(fork, "cat made") == "made\n"
        judge = await box.verifier()
        assert await sh(judge, "cat /app/made") == "made\n"
        await fork.close()
        await judge.close()


@case
async def test_no_descriptor_and_no_process_stays() -> None:
    pid = (await launcher_client.launcher()).pid
    if not ROOT:
        pytest.skip("who may see the launcher's descriptors")

    def counts() -> list[int]:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{pid}/fd")), len(children)]

    async with resting() as box:
        await sh(box, "true")
    await asyncio.sleep(0.1)
    before = counts()
    for _ in range(50):
        async with resting() as box:
            await sh(box, "true")
    await eventually(lambda: counts() == before)
    async with resting() as box:
        await asyncio.sleep(0.5)  # what starting it took is closed when its first process rests
        before = counts()
        for _ in range(20):
            with pytest.raises(SandboxDied):
                await sh(box, "kill -9 $PPID; sleep 5")
        await eventually(lambda: counts() == before)


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_the_program_is_one_page_that_is_only_executed(machine: str, number: int) -> None:
    program = init.program(machine=machine)
    assert program[:4] == b"\x7fELF" and int.from_bytes(program[18:20], "little") == number
    assert len(program) < 256
