"""This process's side of the launcher (termgym.launcher): started on first use, one for each event loop.

A launcher ends with its loop, and with this process however that ends: its socket closes, and it kills all
that it made.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import sysconfig
import time
import weakref
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import termgym
from termgym.channel import Channel
from termgym.errors import SandboxError, SandboxUnavailable

T = TypeVar("T")
START_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 20.0
END_TIMEOUT_S = 10.0
_MAIN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from launcher.serve import main; main()"
_ATTRIBUTE = "_termgym_launcher"


class Launcher:
    """The launcher process of one event loop."""

    def __init__(self, pid: int, channel: Channel, hello: dict[str, Any]) -> None:
        self.pid, self.channel = pid, channel
        self.users: str = hello["users"]
        """How root inside maps: "range", "nobody" (the host's files show as nobody's), or "single"."""
        self.cgroups: list[str] = hello["cgroups"]
        """The cgroup controllers that bound a sandbox; rlimits stand in for those that are missing."""
        self.owner: int = hello["owner"]
        """The id that root inside has outside."""
        self.boxes = count(1)
        _alive.add(self)

    async def ask(self, request: dict[str, Any], fds: Sequence[int] = ()) -> tuple[dict[str, Any], list[int]]:
        """Ask for something, and wait for the answer. A process that hangs is killed: the next sandbox starts another.

        Raises:
            SandboxError: It failed, or did not answer in time.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self.channel.ask(request, fds)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            raise SandboxError(f"the launcher did not answer within {ANSWER_TIMEOUT_S:.0f} s; it was killed") from None

    async def close(self) -> None:
        """End the process, and every sandbox with it."""
        self.channel.close()
        await _reap(self.pid)


_alive: "weakref.WeakSet[Launcher]" = weakref.WeakSet()
_inherited: list[Launcher] = []
ended: list[int] = []
"""Processes whose loop went without closing them: they end by themselves, and are to be reaped."""


async def launcher() -> Launcher:
    """The launcher of the running loop, started on first use.

    Raises:
        SandboxUnavailable: This host does not allow what it needs; the message says what to change.
        SandboxError: It was killed as it started.
    """
    # On the loop itself, so that it goes with the loop: a table of all loops would keep them alive by their launchers.
    loop = asyncio.get_running_loop()
    starting: asyncio.Task[Launcher] | None = getattr(loop, _ATTRIBUTE, None)
    if starting is None or _is_over(starting):
        starting = loop.create_task(_start(starting))
        setattr(loop, _ATTRIBUTE, starting)
    return await asyncio.shield(starting)


async def close_launcher() -> None:
    """End the running loop's launcher, if it has one; the next sandbox starts another."""
    loop = asyncio.get_running_loop()
    starting: asyncio.Task[Launcher] | None = getattr(loop, _ATTRIBUTE, None)
    setattr(loop, _ATTRIBUTE, None)
    if starting is not None:
        with contextlib.suppress(SandboxError):  # it never came up
            await (await starting).close()


def _is_over(starting: "asyncio.Task[Launcher]") -> bool:
    if not starting.done():
        return False
    return starting.cancelled() or starting.exception() is not None or starting.result().channel.closed.is_set()


def _forget_launchers() -> None:
    """After a fork: they are the parent's. Not closed, since that would reach into the parent's event loops."""
    for one in _alive:
        if not one.channel.closed.is_set():
            os.close(one.channel.sock.detach())  # or else it would outlive the parent by us
    _inherited.extend(_alive)
    ended.clear()


os.register_at_fork(after_in_child=_forget_launchers)


async def _start(former: "asyncio.Task[Launcher] | None" = None) -> Launcher:
    if former is not None and not former.cancelled() and former.exception() is None:
        await _reap(former.result().pid)  # killed: unless it is gone, the next one takes its cgroups for in use
    _raise_descriptor_limit()
    reap_ended()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        pid = _spawn(theirs.fileno())
    hello: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    channel = Channel(ours, lambda message, _: None if hello.done() else hello.set_result(message))
    answer = await first(hello, channel, {})
    if "ready" not in answer:
        channel.close()
        await _reap(pid)
        if "error" in answer:
            raise SandboxUnavailable(explain(answer["error"]))
        raise SandboxError("the launcher was killed, or hung, before it was ready")
    started = Launcher(pid, channel, answer)
    weakref.finalize(started, ended.append, pid)
    return started


def _spawn(fd: int) -> int:
    """Start the process with our socket as its standard input, no environment, and in a session of its own."""
    package = Path(termgym.__file__).parent
    argv = [sys.executable, "-I", "-S", "-c", _MAIN, str(package), *sorted(_hidden(package))]
    actions: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_DUP2, fd, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    return os.posix_spawn(sys.executable, argv, {}, file_actions=actions, setsid=True)


async def _reap(pid: int) -> None:
    """Wait until our child `pid` is gone; killed, if it takes its time."""
    deadline = time.monotonic() + END_TIMEOUT_S
    with contextlib.suppress(ChildProcessError):  # somebody else's wait took it
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.002)


def reap_ended() -> None:
    """Take the ends of processes in `ended` that have come to theirs."""
    running: list[int] = []
    with contextlib.suppress(IndexError):  # other threads take from the same list
        while pid := ended.pop():
            with contextlib.suppress(ChildProcessError):
                running += [pid] if os.waitpid(pid, os.WNOHANG)[0] == 0 else []
    ended.extend(running)


async def first(future: "asyncio.Future[T]", channel: Channel, otherwise: T) -> T:
    """The result of `future`, or `otherwise` if the channel closes first or nothing comes in time."""
    closed = asyncio.ensure_future(channel.closed.wait())
    try:
        await asyncio.wait([future, closed], timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        closed.cancel()
    return future.result() if future.done() else otherwise


def explain(error: str) -> str:
    """What to do about a launcher that could not start."""
    advice = [f"this host does not let termgym make namespaces: {error}."]
    for path, wrong, fix in (
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    ):
        with contextlib.suppress(OSError):
            if Path(path).read_text().strip() == wrong:
                advice.append(f"{path} is {wrong}: run `{fix}` as root.")
    if len(advice) == 1:
        advice.append(
            "In a container, start it with `--security-opt seccomp=unconfined --security-opt systempaths=unconfined` "
            "(Docker, Podman) or give the pod user namespaces (Kubernetes); on a host, Linux 5.12 or newer is needed."
        )
    if os.geteuid() != 0:
        advice.append("Or run as root, who needs none of these; root inside a sandbox is nobody outside all the same.")
    return " ".join(advice)


def _hidden(package: Path) -> set[str]:
    """Where this Python keeps termgym, and with it the solutions to its tasks: nothing to show to an agent."""
    paths = {str(package), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return paths | ({sys.prefix} if sys.prefix != sys.base_prefix else set())


def _raise_descriptor_limit() -> None:
    """A sandbox with its terminal takes seven descriptors; the usual soft limit of 1,024 is for select(2)'s sake."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
