"""The embedded sandbox: Linux namespaces, without a daemon, root, or an install step.

What it contains: accidents and reward hackers. Files, processes, users, the network (loopback only), IPC and host
name are the sandbox's own; root inside is nobody outside; processes, memory, CPU and disk are bounded; a seccomp
filter denies what Docker's default denies. What it does not contain: an exploit of the shared kernel, and timing
side channels. Hostile code wants a virtual machine or gVisor around it.

The launcher (termgym.launcher) makes the boxes; this is one box, from outside.

Its PID 1 starts what is to run inside. Once that is a terminal, and nothing else is awaited, PID 1 is told to rest,
which leaves it without a channel; for later requests another process enters, which the agent may kill like its own.
"""

import asyncio
import contextlib
import os
import select
import signal
import socket
import struct
import termios
from collections.abc import AsyncGenerator, Generator, Hashable, Mapping, Sequence
from fcntl import ioctl
from typing import Any

from termgym import aio
from termgym.channel import Capture, ProgramError
from termgym.errors import NotReady, SandboxDied, SandboxError, SandboxUnavailable
from termgym.image import ROOT, Account, Image
from termgym.image.store import image_of
from termgym.launcher import linux
from termgym.launcher_client import Launcher, launcher
from termgym.root import Root
from termgym.sandbox import ENV, MAX_FILE_BYTES, MIB, VERIFIER_ENV, ExecResult, Pty, SandboxSpec
from termgym.service import Service
from termgym.task import File

SEAL_TIMEOUT_S = 10.0
REST_S = 0.01
"""After which PID 1 rests: not while whoever opened a terminal waits for it, and requests often come together."""
LINGER_S = 0.2
PF_EXITING = 0x4
_TIOCGSID, _TIOCGPTPEER = 0x5429, 0x5441


def new(spec: SandboxSpec) -> "NamespaceSandbox":
    """A sandbox of this kind, not yet started."""
    return NamespaceSandbox(spec)


def base_of(spec: SandboxSpec) -> Hashable:
    """See `termgym.sandbox.base_of`: the image's digest; and where its entry point runs, all that this is given."""
    image = image_of(spec.image)
    start = (spec.workdir, frozenset(spec.env.items()), spec.user) if image.entrypoint else ()
    return image.digest, *start


class NamespaceSandbox:
    """A `Sandbox` in Linux namespaces."""

    def __init__(
        self,
        spec: SandboxSpec,
        parent: "NamespaceSandbox | None" = None,
        verify: bool = False,
        toolchain: str = "",
    ) -> None:
        """`parent` is whose files it begins with; `verify`, that it is to judge them, by the image `toolchain`."""
        self.spec = spec
        self._parent, self._verify, self._toolchain = parent, verify, toolchain
        self._number = self._pid = 0
        self._pidfd = -1
        self._root: Root | None = None
        self._launcher: Launcher | None = None
        self._service: Service | None = None
        self._resting: Service | None = None
        self._entering = asyncio.Lock()
        self._requests = 0
        self._has_terminal = False

    @property
    def alive(self) -> bool:
        """See `Sandbox.alive`."""
        if self._pidfd < 0:
            return False
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0) and not _is_ending(self._pid)

    async def start(self) -> None:
        """See `Sandbox.start`."""
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        self._launcher = await launcher()
        self._account()
        if self._parent is not None and self._parent._launcher is not self._launcher:
            raise SandboxDied("the sandbox to fork is of another event loop, or its launcher is gone")
        self._number = next(self._launcher.boxes)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._service = Service(ours)
        with theirs:
            reply, handed = await self._launcher.ask(self._request(), [theirs.fileno()])
        self._pid, (self._pidfd,) = reply["pid"], handed
        message, fds = await self._service.begun()
        if "error" in message:
            raise SandboxError(f"the sandbox could not start: {message['error']}")
        self._root = Root(*fds, nodev=True, other=lambda: self._as(self._account()))
        if self._parent is None and image_of(self.spec.image).entrypoint:
            await self._start_entrypoint()

    async def _start_entrypoint(self) -> None:
        """Have the image's ENTRYPOINT run in the background. Docker would give it the command; ours is to wait."""
        argv = [*image_of(self.spec.image).entrypoint, "sleep", "infinity"]
        assert self._service is not None
        try:
            pid, _ = await self._spawn(self._service, "exec", argv, None, None)
        except ProgramError as error:
            raise SandboxError(f"the ENTRYPOINT of the image {self.spec.image}, {argv[0]}: {error}") from error
        del self._service.exits[pid]

    def _account(self, user: str | None = None) -> Account:
        """Who programs run as; in a verifier root, whatever the image's /etc/passwd says."""
        if self._verify:
            return ROOT
        image = image_of(self.spec.image)
        account = image.account(user or self.spec.user or image.user)
        assert self._launcher is not None
        if not account.is_root and self._launcher.users == "single":
            raise SandboxUnavailable(
                f"{self.spec.image or 'the sandbox'} is to run programs as the user {account.name!r}, and without root "
                "there is only root inside: run termgym as root, or give user='root'"
            )
        return account

    def _request(self) -> dict[str, Any]:
        resources = self.spec.resources
        return {
            "op": "create",
            "box": self._number,
            "image": _layers(self.spec.image),
            "toolchain": _layers(self._toolchain),
            "parent": self._parent._number if self._parent is not None else 0,
            "verify": self._verify,
            "pids": resources.processes,
            "memory": resources.memory_mb * MIB,
            "cpus": resources.cpus,
            "disk": resources.storage_mb * MIB,
            "inodes": resources.inodes,
            "rlimits": self._rlimits(),
        }

    def _rlimits(self) -> dict[str, int]:
        resources = self.spec.resources
        rlimits = {"CORE": 0, "NOFILE": 4096, "NPROC": resources.processes, "FSIZE": resources.storage_mb * MIB}
        assert self._launcher is not None
        if "memory" not in self._launcher.cgroups:
            rlimits["DATA"] = resources.memory_mb * MIB
        return rlimits

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncGenerator[Service]:
        """Who starts programs inside, for as long as one is awaited; then PID 1 rests if there is a terminal."""
        self._requests += 1
        try:
            async with self._entering:
                self._service = service = await self._live()
            yield service
        finally:
            self._requests -= 1
            if self._has_terminal and self._resting is None:
                asyncio.get_running_loop().call_later(REST_S, self._rest)

    def _rest(self) -> None:
        """Let PID 1 rest if nobody waits for it. It closes the channel, once it has answered all that came before."""
        if self._resting is not None or self._requests or self._service is None:
            return
        self._resting, self._service = self._service, None
        with contextlib.suppress(SandboxDied):
            self._resting.channel.send({"op": "rest"})

    async def _live(self) -> Service:
        if self._service is not None and not self._service.channel.closed.is_set():
            return self._service
        if self._resting is None or self._pidfd < 0:
            raise SandboxDied("the sandbox is not running: it was sealed, closed, or its processes are gone")
        await self._resting.wait(self._resting.channel.closed.wait())  # before it rests, only root may enter
        return await self._enter()

    async def _enter(self) -> Service:
        """Have another process serve inside."""
        assert self._launcher is not None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        service = Service(ours)
        try:
            with theirs:
                request = {"op": "enter", "box": self._number, "rlimits": self._rlimits()}
                await self._launcher.ask(request, [theirs.fileno(), self._pidfd])
            message, _ = await service.begun()
            if "error" in message:
                raise SandboxDied(f"no process could enter the sandbox: {message['error']}")
        except BaseException:
            service.channel.close()
            raise
        return service

    async def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
        user: str | None = None,
    ) -> ExecResult:
        """See `Sandbox.exec`."""
        async with self._serving() as service:
            with self._as(ROOT):  # so that the program may open /dev/stdin, /dev/stdout and /dev/stderr anew
                given, out, err = os.memfd_create("stdin"), Capture(), Capture()
            with out, err:
                os.write(given, stdin)
                os.lseek(given, 0, os.SEEK_SET)
                try:
                    fds = [given, out.writer, err.writer]
                    pid, _ = await self._spawn(service, "exec", argv, env, cwd, fds, user)
                except ProgramError as error:
                    return ExecResult(127, b"", f"{argv[0]}: {error}".encode())
                finally:
                    os.close(given)
                    out.close_writer()
                    err.close_writer()
                status, timed_out = await service.end(pid, timeout_s)
                await asyncio.wait([out.done, err.done], timeout=LINGER_S)
                return ExecResult(status, bytes(out.data), bytes(err.data), timed_out)

    async def open_pty(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, rows: int = 40, cols: int = 160
    ) -> Pty:
        """See `Sandbox.open_pty`."""
        async with self._serving() as service:
            pid, (master,) = await self._spawn(service, "pty", argv, env, None, rows=rows, cols=cols)
            del service.exits[pid]
            self._has_terminal = True
        os.set_blocking(master, False)
        try:
            leader = struct.unpack("i", ioctl(master, _TIOCGSID, b"\0" * 4))[0]
            slave = ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            os.close(master)
            raise NotReady(f"{argv[0]} ended as soon as it was started on a terminal") from error

        def resize(rows: int, cols: int) -> None:
            termios.tcsetwinsize(master, (rows, cols))

        return Pty(master, slave, leader, self._pid, resize)

    async def _spawn(
        self,
        service: Service,
        op: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        cwd: str | None,
        fds: Sequence[int] = (),
        user: str | None = None,
        **more: int,
    ) -> tuple[int, list[int]]:
        image, account = image_of(self.spec.image), self._account(user)
        request = {
            "op": op,
            "argv": list(argv),
            "env": {**self._env(image, account), **self.spec.env, **(env or {})},
            "cwd": cwd or ("/tests" if self._verify and cwd is None else self.spec.workdir or image.workdir),
            "make_cwd": not cwd,
            "account": None if account.is_root else account[:3],
            **more,
        }
        reply, handed = await service.ask(request, fds)
        pid: int = reply["pid"]
        service.exits[pid] = asyncio.get_running_loop().create_future()
        return pid, handed

    def _env(self, image: Image, account: Account) -> dict[str, str]:
        if self._verify:
            return VERIFIER_ENV
        return {**ENV, "HOME": account.home, "LOGNAME": account.name, "USER": account.name, **image.env}

    async def put(self, files: Mapping[str, File]) -> None:
        """See `Sandbox.put`."""
        with self._as(ROOT) as root:
            root.put(files)

    async def get(self, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        """See `Sandbox.get`."""
        with self._as(ROOT) as root:
            return root.get(path, max_bytes)

    @contextlib.contextmanager
    def _as(self, account: Account) -> Generator[Root]:
        """Touch files with an account's ids outside, so that no more is possible than to the agent.

        For root it is less: the rights of an owner, without those that override modes.
        """
        if self._root is None or self._launcher is None:
            raise SandboxDied("the sandbox is not started, or closed")
        if os.geteuid() != 0:
            yield self._root
            return
        owner = self._launcher.owner
        uid, gid = linux.set_fsid(owner + account.uid, owner + account.gid)
        try:
            yield self._root
        finally:
            linux.set_fsid(uid, gid)

    async def seal(self) -> None:
        """See `Sandbox.seal`."""
        if self._pidfd < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        await self._gone()
        self._let_go()

    def _let_go(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        self._hang_up()

    def _hang_up(self) -> None:
        for service in (self._service, self._resting):
            if service is not None:
                service.channel.close()

    async def _gone(self) -> None:
        """Wait for PID 1 to end: the kernel lets it end only after all others of its namespace have."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(self._pidfd, gone.set)
        try:
            async with asyncio.timeout(SEAL_TIMEOUT_S):
                await gone.wait()
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

    async def verifier(self, image: str = "") -> "NamespaceSandbox":
        """See `Sandbox.verifier`."""
        await self._seal_to_fork()
        verifier = NamespaceSandbox(self.spec, self, True, image)
        await verifier.start()
        return verifier

    async def _seal_to_fork(self) -> None:
        if self._root is None:
            raise SandboxDied("the sandbox is not started, or closed")
        await self.seal()

    async def close(self) -> None:
        """See `Sandbox.close`. It is not cut short: nobody else would let go of what is left then."""
        await aio.to_the_end(self._close())

    async def _close(self) -> None:
        if self._root is not None:
            self._root.close()
            self._root = None
        try:
            await self.seal()
        finally:
            self._let_go()
        if self._number and self._launcher is not None:
            with contextlib.suppress(SandboxDied):
                self._launcher.channel.send({"op": "close", "box": self._number})
            self._number = 0


def _layers(image: str) -> list[str]:
    """An image's layers for the launcher, the uppermost first."""
    return [str(layer) for layer in reversed(image_of(image).layers)]


def _is_ending(pid: int) -> bool:
    """Whether a process has begun to end, by proc(5)'s flags: PID 1 ends after all others, since it kills them."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        fields = os.read(fd, 1 << 10).rpartition(b")")[2].split()
        os.close(fd)
    except (FileNotFoundError, ProcessLookupError):
        return True
    return bool(int(fields[6]) & PF_EXITING)
