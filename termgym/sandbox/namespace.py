"""The embedded sandbox: Linux namespaces, without a daemon, root, or an install step.

What it contains: accidents and reward hackers. Files, processes, users, the network (loopback only), IPC and host
name are the sandbox's own; root inside is nobody outside; processes, memory, CPU and disk are bounded; a seccomp
filter denies what Docker's default denies. What it does not contain: an exploit of the shared kernel, and timing
side channels. Hostile code wants a virtual machine or gVisor around it.

The launcher (termgym.launcher) makes the boxes; this is one box, from outside.
"""

import asyncio
import contextlib
import os
import select
import signal
import socket
import stat
from collections.abc import Generator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from termgym.channel import Capture, Channel, ProgramError, drop
from termgym.errors import SandboxDied, SandboxError, SandboxFileError
from termgym.launcher import linux
from termgym.launcher_client import Launcher, first, launcher
from termgym.sandbox import MAX_FILE_BYTES, MIB, ExecResult, Pty, SandboxSpec
from termgym.task import File

SEAL_TIMEOUT_S = 10.0
LINGER_S = 0.2

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


class NamespaceSandbox:
    """A `Sandbox` in Linux namespaces."""

    def __init__(self, spec: SandboxSpec, parent: "NamespaceSandbox | None" = None, verify: bool = False) -> None:
        self.spec = spec
        self._parent, self._verify = parent, verify
        self._number = self._pid = 0
        self._pidfd = self._root = self._proc = -1
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._launcher: Launcher | None = None
        self._channel: Channel | None = None

    @property
    def alive(self) -> bool:
        """See `Sandbox.alive`."""
        if self._pidfd < 0:
            return False
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

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
        try:
            message, fds = await first(ready, self._channel, ({"error": "it ended before it was ready"}, []))
        except asyncio.CancelledError:
            drop(ready)
            raise
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
            "env": {**(VERIFIER_ENV if self._verify else ENV), **self.spec.env, **(env or {})},
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
