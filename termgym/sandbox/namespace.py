"""The embedded sandbox: Linux namespaces, without a daemon, root, or an install step.

What it contains: accidents and reward hackers. Files, processes, users, the network (loopback only), IPC and host
name are the sandbox's own; root inside is nobody outside; processes, memory, CPU and disk are bounded; a seccomp
filter denies what Docker's default denies. What it does not contain: an exploit of the shared kernel, and timing
side channels. Hostile code wants a virtual machine or gVisor around it.

The boxes are made by the launcher (termgym.launcher), a lean process of its own; here is its client. One launcher
serves one event loop, and ends with this process however that ends.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import sys
import sysconfig
import time
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import termgym
from termgym.errors import SandboxDied, SandboxError, SandboxFileError, SandboxUnavailable
from termgym.launcher import linux
from termgym.sandbox import (
    MAX_FILE_BYTES,
    MAX_OUTPUT_BYTES,
    MIB,
    ExecResult,
    Pty,
    SandboxSpec,
)
from termgym.task import File

T = TypeVar("T")
START_TIMEOUT_S = 30.0
SEAL_TIMEOUT_S = 10.0
LINGER_S = 0.2
_MAX_MESSAGE = 1 << 18
_MAIN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from launcher.serve import main; main()"

ENV = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LOGNAME": "root",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SHELL": "/bin/bash",
    "TERM": "xterm-256color",
    "USER": "root",
}
"""What every program inside starts with; nothing of the host's environment is passed on."""

VERIFIER_ENV = {**ENV, "HOME": "/tests", "PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def new(spec: SandboxSpec) -> "NamespaceSandbox":
    """A sandbox of this kind, not yet started."""
    return NamespaceSandbox(spec)


class ProgramError(SandboxError):
    """Raised when a program that was to be started is not there or is not one: exit status 127 of a shell."""


class Channel:
    """Messages over a SOCK_SEQPACKET socket, in the running event loop.

    Requests go out by `ask` and `send`; what comes in and answers none of them goes to `handle`.
    """

    def __init__(self, sock: socket.socket, handle: Callable[[dict[str, Any], list[int]], None]) -> None:
        self.sock, self._handle = sock, handle
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._numbers = count(1)
        self.closed = asyncio.Event()
        sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._receive)

    async def ask(self, request: dict[str, Any], fds: Sequence[int] = ()) -> tuple[dict[str, Any], list[int]]:
        """Send a request and wait for its answer, with the descriptors that came along."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self.send({"id": number, **request}, fds)
            reply, handed = await future
        finally:
            self._waiting.pop(number, None)
        if "error" in reply:
            raise ProgramError(reply["error"]) if reply.get("program") else SandboxError(reply["error"])
        return reply, handed

    def send(self, request: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send a request that has no answer.

        Raises:
            SandboxError: The request is larger than a message may be (arguments and environment: 256 KiB).
            SandboxDied: The other end is gone.
        """
        data = json.dumps(request).encode()
        if len(data) > _MAX_MESSAGE:
            raise SandboxError(f"arguments and environment take {len(data)} bytes; at most {_MAX_MESSAGE} fit")
        try:
            socket.send_fds(self.sock, [data], fds)
        except (OSError, ValueError) as error:
            raise SandboxDied(f"the sandbox's processes are gone ({error})") from error

    def _receive(self) -> None:
        try:
            message, fds = linux.receive(self.sock, _MAX_MESSAGE, 4)
        except BlockingIOError:
            return
        except OSError:
            message, fds = b"", []
        if not message:
            self.close()
            return
        reply = json.loads(message)
        future = self._waiting.get(reply.get("id", 0))
        if future is not None and not future.done():
            future.set_result((reply, fds))
        elif "id" in reply:  # whoever asked was cancelled
            for fd in fds:
                os.close(fd)
        else:
            self._handle(reply, fds)

    def close(self) -> None:
        """Stop listening; whoever waits for an answer is told that there will be none."""
        if self.closed.is_set():
            return
        self.closed.set()
        self._loop.remove_reader(self.sock)
        self.sock.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(SandboxDied("the sandbox's processes are gone"))
        self._handle({"closed": True}, [])


class Launcher:
    """The launcher process of one event loop."""

    def __init__(self, pid: int, channel: Channel, hello: dict[str, Any]) -> None:
        self.pid, self.channel = pid, channel
        self.users: str = hello["users"]
        """How root inside maps: "range", "nobody" (the host's files show as nobody's), or "single"."""
        self.cgroups: list[str] = hello["cgroups"]
        """The cgroup controllers that bound a sandbox; rlimits stand in for those that are missing."""
        self.owner: int = hello["owner"]
        self.boxes = count(1)

    async def close(self) -> None:
        """End the process, and every sandbox with it."""
        self.channel.close()
        await _reap(self.pid)


_launchers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Launcher]] = weakref.WeakKeyDictionary()
_inherited: list[object] = []


async def launcher() -> Launcher:
    """The launcher of the running loop, started on first use.

    Raises:
        SandboxUnavailable: This host does not allow what it needs; the message says what to change.
    """
    loop = asyncio.get_running_loop()
    task = _launchers.get(loop)
    if task is None or (
        task.done() and (task.cancelled() or task.exception() or task.result().channel.closed.is_set())
    ):
        task = _launchers[loop] = loop.create_task(_start_launcher(task))
    return await asyncio.shield(task)


async def close_launcher() -> None:
    """End the running loop's launcher, if it has one; the next sandbox starts another."""
    task = _launchers.pop(asyncio.get_running_loop(), None)
    if task is not None:
        await (await task).close()


def _forget_launchers() -> None:
    """After a fork: the launchers are the parent's. Not closed, since that would reach into its event loops."""
    for task in _launchers.values():
        if task.done() and not task.cancelled() and not task.exception():
            channel = task.result().channel
            if not channel.closed.is_set():
                os.close(channel.sock.detach())  # or else the launcher would outlive the parent by us
    _inherited.extend(_launchers.items())
    _launchers.clear()


os.register_at_fork(after_in_child=_forget_launchers)


async def _start_launcher(former: "asyncio.Task[Launcher] | None" = None) -> Launcher:
    if former is not None and not former.cancelled() and not former.exception():
        await _reap(former.result().pid)
    _raise_descriptor_limit()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        pid = _spawn_launcher(theirs.fileno())
    hello: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    channel = Channel(ours, lambda message, _: None if hello.done() else hello.set_result(message))
    answer = await _first(hello, channel, {"error": "the launcher ended before it was ready"})
    if "error" in answer:
        channel.close()
        await _reap(pid)
        raise SandboxUnavailable(explain(answer["error"]))
    return Launcher(pid, channel, answer)


def _spawn_launcher(fd: int) -> int:
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
    deadline = time.monotonic() + SEAL_TIMEOUT_S
    with contextlib.suppress(ChildProcessError):  # somebody else's wait took it
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.002)


async def _first(future: "asyncio.Future[T]", channel: Channel, otherwise: T) -> T:
    """The result of `future`, or `otherwise` if the channel closes first or nothing comes in time."""
    closed = asyncio.ensure_future(channel.closed.wait())
    await asyncio.wait([future, closed], timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
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
    advice.append('Or use another kind of sandbox, such as sandbox="docker", where there is one.')
    return " ".join(advice)


def _hidden(package: Path) -> set[str]:
    """Where this Python keeps termgym, and with it the solutions to its tasks: nothing to show to an agent."""
    paths = {str(package), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return paths | ({sys.prefix} if sys.prefix != sys.base_prefix else set())


def _raise_descriptor_limit() -> None:
    """A sandbox with its terminal takes five descriptors; the usual soft limit of 1,024 is for select(2)'s sake."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class NamespaceSandbox:
    """A `Sandbox` in Linux namespaces."""

    def __init__(self, spec: SandboxSpec, parent: "NamespaceSandbox | None" = None, verify: bool = False) -> None:
        self.spec = spec
        self._parent, self._verify = parent, verify
        self._env = {**(VERIFIER_ENV if verify else ENV), **spec.env}
        self._number = self._pid = 0
        self._pidfd = self._root = self._proc = -1
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._launcher: Launcher | None = None
        self._channel: Channel | None = None

    async def start(self) -> None:
        """See `Sandbox.start`."""
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        self._launcher = await launcher()
        if self._parent is not None and self._parent._launcher is not self._launcher:
            raise SandboxDied("the sandbox to fork is of another event loop, or its launcher is gone")
        self._number = next(self._launcher.boxes)
        ready: asyncio.Future[tuple[dict[str, Any], list[int]]] = asyncio.get_running_loop().create_future()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = Channel(ours, lambda message, fds: self._event(message, fds, ready))
        with theirs:
            reply, handed = await self._launcher.channel.ask(self._request(), [theirs.fileno()])
        self._pid, (self._pidfd,) = reply["pid"], handed
        message, fds = await _first(ready, self._channel, ({"error": "it ended before it was ready"}, []))
        if "error" in message:
            raise SandboxError(f"the sandbox could not start: {message['error']}")
        (self._root,) = fds
        self._proc = os.stat("proc", dir_fd=self._root).st_dev

    def _request(self) -> dict[str, Any]:
        resources = self.spec.resources
        rlimits = {"CORE": 0, "NOFILE": 4096, "NPROC": resources.processes, "FSIZE": resources.storage_mb * MIB}
        assert self._launcher is not None
        if "memory" not in self._launcher.cgroups:
            rlimits["DATA"] = resources.memory_mb * MIB
        return {
            "op": "create",
            "box": self._number,
            "image": self.spec.image,
            "parent": self._parent._number if self._parent is not None else 0,
            "verify": self._verify,
            "pids": resources.processes,
            "memory": resources.memory_mb * MIB,
            "cpus": resources.cpus,
            "disk": resources.storage_mb * MIB,
            "inodes": resources.inodes,
            "rlimits": rlimits,
        }

    def _event(
        self, message: dict[str, Any], fds: list[int], ready: asyncio.Future[tuple[dict[str, Any], list[int]]]
    ) -> None:
        if "exit" in message:
            future = self._exits.get(message["exit"])
            if future is not None and not future.done():
                future.set_result(message["status"])
        elif "closed" in message:
            for future in self._exits.values():
                if not future.done():
                    future.set_exception(SandboxDied("the sandbox's processes are gone"))
        elif not ready.done():
            ready.set_result((message, fds))
        else:
            for fd in fds:
                os.close(fd)

    async def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
    ) -> ExecResult:
        """See `Sandbox.exec`."""
        with self._as_root():  # so that the program may open /dev/stdin, /dev/stdout and /dev/stderr anew
            given, out, err = os.memfd_create("stdin"), Capture(), Capture()
        with out, err:
            os.write(given, stdin)
            os.lseek(given, 0, os.SEEK_SET)
            try:
                pid, _ = await self._spawn("exec", argv, env, cwd, [given, out.writer, err.writer])
            except ProgramError as error:
                return ExecResult(127, b"", f"{argv[0]}: {error}".encode())
            finally:
                os.close(given)
                out.close_writer()
                err.close_writer()
            try:
                status = await asyncio.wait_for(asyncio.shield(self._exits[pid]), timeout_s)
                timed_out = False
            except TimeoutError:
                await self._live().ask({"op": "kill", "pid": pid})
                status, timed_out = await self._exits[pid], True
            except asyncio.CancelledError:
                with contextlib.suppress(SandboxDied):
                    self._live().send({"id": 0, "op": "kill", "pid": pid})
                raise
            finally:
                self._exits.pop(pid, None)
            await asyncio.wait([out.done, err.done], timeout=LINGER_S)
            return ExecResult(status, bytes(out.data), bytes(err.data), timed_out)

    async def open_pty(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, rows: int = 40, cols: int = 160
    ) -> Pty:
        """See `Sandbox.open_pty`."""
        pid, (master,) = await self._spawn("pty", argv, env, None, rows=rows, cols=cols)
        del self._exits[pid]
        os.set_blocking(master, False)
        try:
            return Pty(master, _session_leader(master), self._pid)
        except OSError as error:
            os.close(master)
            raise SandboxError(f"{argv[0]} ended as soon as it was started on a terminal") from error

    async def _spawn(
        self,
        op: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        cwd: str | None,
        fds: Sequence[int] = (),
        **more: int,
    ) -> tuple[int, list[int]]:
        request = {
            "op": op,
            "argv": list(argv),
            "env": self._env | dict(env or {}),
            "cwd": cwd or ("/tests" if self._verify else self.spec.workdir),
            "make_cwd": cwd is None,
            **more,
        }
        reply, handed = await self._live().ask(request, fds)
        pid: int = reply["pid"]
        self._exits[pid] = asyncio.get_running_loop().create_future()
        return pid, handed

    def _live(self) -> Channel:
        if self._channel is None or self._channel.closed.is_set():
            raise SandboxDied("the sandbox is not running: it was sealed, closed, or its processes are gone")
        return self._channel

    def put(self, files: Mapping[str, File]) -> None:
        """See `Sandbox.put`."""
        with self._as_root():
            for path, file in files.items():
                try:
                    self._write(path, file)
                except OSError as error:
                    raise SandboxFileError(f"cannot put {path} into the sandbox: {error.strerror}") from error

    def _write(self, path: str, file: File) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        try:
            fd = self._open(path, flags)
        except FileNotFoundError:
            self._make_folders(str(PurePosixPath(path).parent))
            fd = self._open(path, flags)
        with os.fdopen(fd, "wb") as target:
            target.write(file.content)
            target.flush()
            os.fchmod(fd, file.mode)
            os.utime(fd, (file.mtime, file.mtime))

    def _open(self, path: str, flags: int) -> int:
        """Open a regular file, and none in /proc: by the rules there, writes count as the host's own root's."""
        fd = linux.openat2(
            self._root, path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o600 if flags & os.O_CREAT else 0, cross=True
        )
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_dev == self._proc:
            os.close(fd)
            raise SandboxFileError(f"{path} in the sandbox is not a regular file")
        return fd

    def _make_folders(self, path: str) -> None:
        flags = os.O_PATH | os.O_DIRECTORY
        with contextlib.suppress(FileNotFoundError):
            os.close(linux.openat2(self._root, path, flags, cross=True))
            return
        parent, name = os.path.split(path)
        self._make_folders(parent)
        folder = linux.openat2(self._root, parent, flags, cross=True)
        try:
            os.mkdir(name, 0o755, dir_fd=folder)
        finally:
            os.close(folder)

    def get(self, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        """See `Sandbox.get`."""
        with self._as_root():
            try:
                fd = self._open(path, os.O_RDONLY)
            except OSError as error:
                raise SandboxFileError(f"cannot get {path} from the sandbox: {error.strerror}") from error
            try:
                data = _read(fd, max_bytes + 1)
            finally:
                os.close(fd)
        if len(data) > max_bytes:
            raise SandboxFileError(f"{path} in the sandbox is larger than {max_bytes} bytes")
        return data

    @contextlib.contextmanager
    def _as_root(self) -> Generator[None]:
        """Touch files as root inside does: with its ids outside, so that no more is possible than to the agent."""
        if self._root < 0:
            raise SandboxDied("the sandbox is not started, or closed")
        assert self._launcher is not None
        if os.geteuid() != 0:
            yield
            return
        uid, gid = linux.set_fsid(self._launcher.owner, self._launcher.owner)
        try:
            yield
        finally:
            linux.set_fsid(uid, gid)

    async def seal(self) -> None:
        """See `Sandbox.seal`."""
        if self._pidfd < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        await self._gone()
        os.close(self._pidfd)
        self._pidfd = -1
        if self._channel is not None:
            self._channel.close()

    async def _gone(self) -> None:
        """Wait for PID 1 to end: the kernel lets it end only after all others of its namespace have."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(self._pidfd, gone.set)
        try:
            await asyncio.wait_for(gone.wait(), SEAL_TIMEOUT_S)
        except TimeoutError:
            raise SandboxError(f"the sandbox's processes did not end within {SEAL_TIMEOUT_S} s of SIGKILL") from None
        finally:
            loop.remove_reader(self._pidfd)

    async def fork(self, count: int = 1) -> list["NamespaceSandbox"]:
        """See `Sandbox.fork`."""
        await self._seal_to_fork()
        forks = [NamespaceSandbox(self.spec, self) for _ in range(count)]
        started = await asyncio.gather(*(fork.start() for fork in forks), return_exceptions=True)
        for error in started:
            if error is not None:
                await asyncio.gather(*(fork.close() for fork in forks))
                raise error
        return forks

    async def verifier(self) -> "NamespaceSandbox":
        """See `Sandbox.verifier`."""
        await self._seal_to_fork()
        verifier = NamespaceSandbox(self.spec, self, verify=True)
        await verifier.start()
        return verifier

    async def _seal_to_fork(self) -> None:
        if self._root < 0:
            raise SandboxDied("the sandbox is not started, or closed")
        await self.seal()

    async def close(self) -> None:
        """See `Sandbox.close`."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1
        await self.seal()
        if self._channel is not None:
            self._channel.close()
        if self._number and self._launcher is not None:
            with contextlib.suppress(SandboxDied):
                self._launcher.channel.send({"op": "close", "box": self._number})
            self._number = 0


def _read(fd: int, limit: int) -> bytes:
    data = bytearray()
    while len(data) < limit and (chunk := os.read(fd, min(1 << 20, limit - len(data)))):
        data += chunk
    return bytes(data)


def _session_leader(master: int) -> int:
    """The process that a terminal belongs to, by TIOCGSID."""
    from fcntl import ioctl
    from struct import unpack

    return unpack("i", ioctl(master, 0x5429, b"\0" * 4))[0]


class Capture:
    """A pipe read into memory as it fills, up to `MAX_OUTPUT_BYTES`; what comes after is read and dropped."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.reader, False)
        self.data = bytearray()
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self.reader, self._read)

    def _read(self) -> None:
        try:
            chunk = os.read(self.reader, 1 << 16)
        except BlockingIOError:
            return
        if chunk:
            self.data += chunk[: MAX_OUTPUT_BYTES - len(self.data)]
        else:
            asyncio.get_running_loop().remove_reader(self.reader)
            self.done.set_result(None)

    def close_writer(self) -> None:
        """Close our copy of the writing end, so that the end of the last writer is the end of the data."""
        os.close(self.writer)

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self.reader)
        self.done.cancel()
        os.close(self.reader)
