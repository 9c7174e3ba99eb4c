"""The Docker sandbox: a container of the engine that DOCKER_HOST names, for those who have one and images for it.

It has no network unless the task asks, Docker's seccomp profile and fewer capabilities than its default, and bounds
that are read back after the start. PID 1 is ours (termgym.engine.init). Programs are the engine's `exec`, each over
one connection that stays: a terminal's keys and output cost no request.

Where the engine is this host's, and this process root, the kernel tells when a terminal has settled, and files are
put and got by the container's root folder. Elsewhere silence has to do, and the engine's archives.

What it does not contain is what Docker does not: see `termgym.sandbox.namespace`.
"""

import asyncio
import contextlib
import os
import secrets
import select
import signal
import stat
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from termgym import aio
from termgym.engine import Engine, engine, init
from termgym.engine import files as archives
from termgym.engine.base import Base, init_volume
from termgym.engine.owner import LABEL
from termgym.engine.stream import Output, Stream, open_stream, read_until, send_all
from termgym.errors import SandboxDied, SandboxError, SandboxUnavailable
from termgym.launcher.box import kill_session
from termgym.root import Root
from termgym.sandbox import ENV, MAX_FILE_BYTES, MIB, VERIFIER_ENV, ExecResult, Pty, SandboxSpec
from termgym.task import File

DEFAULT_IMAGE = "TERMGYM_DOCKER_IMAGE"
"""The environment variable that names the image of tasks which name none."""
LINGER_S = 0.2
FIRST_POLL_S, SLOWEST_POLL_S = 0.005, 0.25
BEGIN_TIMEOUT_S = 30.0
PTS_MAJORS = range(136, 144)
_NOT_STARTED = b"OCI runtime exec failed: "
"""What the engine prints in a program's place."""
# Sets the size before the program starts, says so, and waits for our word, so that nothing it prints is lost.
_ON_TERMINAL = (
    'stty rows "$1" cols "$2" -echo; [ -x "$4" ] || exit 127; printf %s "$3"; read -r _; stty echo; shift 3; exec "$@"'
)


def new(spec: SandboxSpec) -> "DockerSandbox":
    """A sandbox of this kind, not yet started."""
    return DockerSandbox(spec)


class Commit:
    """An image of a container's files, for as long as anybody runs from it."""

    def __init__(self, engine: Engine, image: str, below: "Commit | None" = None) -> None:
        """`below` is what it lies on, which it holds."""
        self._engine, self.image, self._below, self._users = engine, image, below, 1

    def held(self) -> "Commit":
        """This, for one user more, who has to `release` it too."""
        self._users += 1
        return self

    async def release(self) -> None:
        """Say that it is not needed any more."""
        self._users -= 1
        if not self._users:
            with contextlib.suppress(SandboxDied):
                await self._engine.call("remove an image", self._engine.api.remove_image, self.image, noprune=True)
            if self._below is not None:
                await self._below.release()


class DockerSandbox:
    """A `Sandbox` that is a container."""

    def __init__(self, spec: SandboxSpec, commit: Commit | None = None, verify: bool = False) -> None:
        self.spec = spec
        self._commit, self._verify = commit, verify
        self._engine: Engine | None = None
        self._base: Base | None = None
        self._id, self._started, self._pid = "", False, 0
        self._input: Stream | None = None
        self._root: Root | None = None

    @property
    def alive(self) -> bool:
        """See `Sandbox.alive`: while PID 1 is there, its connection is open and says nothing."""
        if self._input is None:
            return False
        poll = select.poll()
        poll.register(self._input.sock, select.POLLIN)
        return not poll.poll(0)

    # Its beginning.

    async def start(self) -> None:
        """See `Sandbox.start`."""
        try:
            self._engine = await engine()
            name = self.spec.image or os.environ.get(DEFAULT_IMAGE, "")
            if not name:
                advice = f"name one in the task, or by {DEFAULT_IMAGE} for all that name none"
                raise SandboxUnavailable(f"the docker sandbox needs an image: {advice}")
            self._base = await Base.find(self._engine, name)
            async with self._engine.starting:
                await aio.to_the_end(self._start())
            if self._base.entrypoint and not self._commit:
                await self._begin_entrypoint()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        docker = self._docker
        options: dict[str, Any] = {"host_config": await self._host_config(), "labels": docker.labels, "user": "0:0"}
        options |= {"entrypoint": [init.PATH], "command": [], "hostname": "termgym", "environment": {}}
        options |= {"stdin_open": True, "working_dir": self.workdir, "network_disabled": self.spec.network == "none"}
        image = self._commit.image if self._commit else self._its_base.id
        made = await docker.call("make a container", docker.api.create_container, image, **options)
        self._id = made["Id"]
        attach = f"/containers/{self._id}/attach?stream=1&stdin=1&stdout=1"
        self._input = await docker.call("attach to a container", open_stream, docker.api, attach)
        await docker.call("start a container", docker.api.start, self._id)
        found = await docker.call("look at a container", docker.api.inspect_container, self._id)
        self._check_limits(found["HostConfig"])
        self._see(found["State"]["Pid"])
        self._started = True

    async def _host_config(self) -> Any:
        docker, resources = self._docker, self.spec.resources
        mounts = [await init_volume(docker, self._its_base.id)]
        if self._verify:
            mounts += (await self._its_base.trusted(docker)).mounts
        limits = (("core", 0), ("nofile", 4096), ("fsize", resources.storage_mb * MIB))
        return docker.api.create_host_config(
            mounts=mounts,
            network_mode="none" if self.spec.network == "none" else "bridge",
            cap_drop=["MKNOD"],
            security_opt=["no-new-privileges"],
            mem_limit=resources.memory_mb * MIB,
            memswap_limit=resources.memory_mb * MIB,
            nano_cpus=int(resources.cpus * 1e9),
            pids_limit=resources.processes,
            shm_size=resources.storage_mb * MIB,
            ulimits=[{"Name": name, "Soft": value, "Hard": value} for name, value in limits],
            storage_opt=await docker.quota(self._its_base.id, resources.storage_mb * MIB),
        )

    def _check_limits(self, applied: Mapping[str, Any]) -> None:
        """An engine drops a bound that its kernel cannot hold, and only warns."""
        resources = self.spec.resources
        asked = {
            "Memory": resources.memory_mb * MIB,
            "PidsLimit": resources.processes,
            "NanoCpus": int(resources.cpus * 1e9),
        }
        for name, value in asked.items():
            if applied.get(name) != value:
                raise SandboxUnavailable(f"the Docker engine did not apply {name} {value}, but {applied.get(name)}")

    def _see(self, pid: int) -> None:
        """Take note of PID 1 and open the root folder, where this host's /proc shows the container."""
        if os.geteuid() != 0 or not self._shows(pid):
            return
        self._pid = pid
        if Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", "0", "4294967295"]:
            self._root = Root(os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), nodev=False)

    def _shows(self, pid: int) -> bool:
        """Whether a process is the container's, rather than one of that number on another machine."""
        with contextlib.suppress(OSError):
            return self._id in Path(f"/proc/{pid}/cgroup").read_text()
        return False

    async def _begin_entrypoint(self) -> None:
        """Start the image's ENTRYPOINT as the container's main program would be, if that were `sleep infinity`."""
        argv = [*self._its_base.entrypoint, "sleep", "infinity"]
        made = await self._make_exec(argv, None, None)
        await self._docker.call("start the image's entry point", self._docker.api.exec_start, made, detach=True)

    # What runs in it.

    @property
    def _docker(self) -> Engine:
        if self._engine is None:
            raise SandboxDied("the sandbox is not started, or closed")
        return self._engine

    @property
    def _its_base(self) -> Base:
        assert self._base is not None
        return self._base

    @property
    def workdir(self) -> str:
        """The folder that programs start in."""
        return self.spec.workdir or self._its_base.workdir

    def _env(self, more: Mapping[str, str] | None) -> dict[str, str]:
        user = "root" if self._verify else (self.spec.user or self._its_base.user).partition(":")[0]
        usual = VERIFIER_ENV if self._verify else ENV
        if user not in ("", "0", "root"):  # HOME is then the engine's to say, from the container's /etc/passwd
            usual = {**usual, "USER": user, "LOGNAME": user}
            usual.pop("HOME")
        image = self._its_base.env
        return {**usual, **({} if self._verify else image), **self.spec.env, **(more or {})}

    async def _make_exec(
        self, argv: Sequence[str], env: Mapping[str, str] | None, cwd: str | None, **more: bool
    ) -> str:
        if not self._started:
            raise SandboxDied("the sandbox is not running: it was sealed, closed, or never started")
        if not argv or any("\0" in word for word in argv):
            raise SandboxError("a program needs a name, and no argument may hold a NUL")
        folder = cwd or ("/tests" if self._verify else self.workdir)
        if cwd is None and self._root is not None:
            self._root.make_folder(folder)
        user = "0:0" if self._verify else self.spec.user or self._its_base.user
        options: dict[str, Any] = {"environment": self._env(env), "workdir": folder, "user": user, **more}
        made = await self._docker.call("run a program", self._docker.api.exec_create, self._id, list(argv), **options)
        return made["Id"]

    async def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
    ) -> ExecResult:
        """See `Sandbox.exec`. Exit statuses of 128 and more are taken for signals, as the engine reports those so."""
        made = await self._make_exec(argv, env, cwd, stdin=bool(stdin))
        stream = await self._open(made, tty=False)
        try:
            return await self._run(made, stream, stdin, timeout_s)
        except asyncio.CancelledError:
            await aio.to_the_end(self._kill(made))
            raise
        finally:
            stream.close()

    async def _open(self, made: str, tty: bool) -> Stream:
        body = {"Tty": tty, "Detach": False}
        return await self._docker.call("run a program", open_stream, self._docker.api, f"/exec/{made}/start", body)

    async def _run(self, made: str, stream: Stream, stdin: bytes, timeout_s: float) -> ExecResult:
        output = Output()
        reading = asyncio.create_task(output.read(stream))
        sending = asyncio.create_task(send_all(stream, stdin)) if stdin else None
        try:
            status, timed_out = await self._end(made, reading, timeout_s)
            await asyncio.wait([reading], timeout=LINGER_S)
        finally:
            reading.cancel()
            if sending:
                sending.cancel()
        stdout, stderr = bytes(output.streams[1]), bytes(output.streams[2])
        if status in (126, 127) and stdout.startswith(_NOT_STARTED):
            if b"argument list too long" in stdout:
                raise SandboxError("arguments and environment are too long")
            return ExecResult(127, b"", stdout)
        return ExecResult(status, stdout, stderr, timed_out)

    async def _end(self, made: str, reading: asyncio.Task[None], timeout_s: float) -> tuple[int, bool]:
        """How a program ended, and whether it had to be killed. Its output may end before it, or go on after it."""
        deadline, pause_s = time.monotonic() + timeout_s, FIRST_POLL_S
        while True:
            left_s = min(pause_s, max(0.0, deadline - time.monotonic()))
            await (asyncio.sleep(left_s) if reading.done() else asyncio.wait([reading], timeout=left_s))
            state = await self._look(made)
            if not self._started:
                raise SandboxDied("the sandbox's processes are gone")
            if not state["Running"] and state["ExitCode"] is not None:
                code: int = state["ExitCode"]
                return (128 - code if 128 < code < 128 + signal.NSIG else code), False
            if time.monotonic() >= deadline:
                await self._kill(made)
                return -signal.SIGKILL, True
            pause_s = min(2 * pause_s, SLOWEST_POLL_S)

    async def _look(self, made: str) -> dict[str, Any]:
        return await self._docker.call("look at a program", self._docker.api.exec_inspect, made)

    async def _kill(self, made: str) -> None:
        """Kill a program with its session; where its processes cannot be seen, all that runs."""
        with contextlib.suppress(SandboxDied):
            state = await self._look(made)
            if not self._pid:
                await self.seal()
            elif state["Running"] and self._shows(state["Pid"]):
                kill_session(state["Pid"])

    async def open_pty(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, rows: int = 40, cols: int = 160
    ) -> Pty:
        """See `Sandbox.open_pty`."""
        mark = secrets.token_hex(16)
        command = ["/bin/sh", "-c", _ON_TERMINAL, "sh", str(rows), str(cols), mark, *argv]
        made = await self._make_exec(command, env, None, stdin=True, tty=True)
        stream = await self._open(made, tty=True)
        try:
            await read_until(stream, mark.encode(), BEGIN_TIMEOUT_S)
            pid = (await self._look(made))["Pid"] if self._pid else 0
            slave = _slave(pid) if pid else -1
            stream.sock.send(b"\n")
        except BaseException as error:
            stream.close()
            if isinstance(error, SandboxError | OSError):
                raise SandboxError(f"{argv[0]} ended as soon as it was started on a terminal: {error}") from error
            raise
        return Pty(stream.sock.detach(), slave, pid, self._pid, self._resizer(made, slave))

    def _resizer(self, made: str, slave: int) -> Callable[[int, int], None]:
        docker = self._docker

        def resize(rows: int, cols: int) -> None:
            if slave >= 0:
                termios.tcsetwinsize(slave, (rows, cols))
            else:
                docker.later(docker.api.exec_resize, made, rows, cols)

        return resize

    # Its files.

    async def put(self, files: Mapping[str, File]) -> None:
        """See `Sandbox.put`."""
        if self._root is not None:
            self._root.put(files)
        else:
            await archives.put(self._docker, self._existing, files)

    async def get(self, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        """See `Sandbox.get`."""
        if self._root is not None:
            return self._root.get(path, max_bytes)
        return await archives.get(self._docker, self._existing, path, max_bytes)

    @property
    def _existing(self) -> str:
        if not self._id:
            raise SandboxDied("the sandbox is not started, or closed")
        return self._id

    # Its end, and what comes of it.

    async def seal(self) -> None:
        """See `Sandbox.seal`."""
        if not self._started:
            return
        self._started = False
        with contextlib.suppress(SandboxDied):
            await self._docker.call("kill a container", self._docker.api.kill, self._id)
        with contextlib.suppress(SandboxDied):
            await self._docker.call("wait for a container", self._docker.api.wait, self._id)
        self._let_go()

    def _let_go(self) -> None:
        if self._root is not None:
            self._root.close()
        if self._input is not None:
            self._input.close()
        self._root, self._input, self._pid = None, None, 0

    async def _freeze(self) -> Commit:
        """Seal, and make an image of the files."""
        container = self._existing
        await self.seal()
        return await self._snap(container, self._commit)

    async def _snap(self, container: str, below: Commit | None) -> Commit:
        docker = self._docker
        label = f'LABEL {LABEL}="{docker.me.label}"'
        made = await docker.call("keep a container's files", docker.api.commit, container, changes=[label])
        return Commit(docker, made["Id"], below.held() if below else None)

    async def fork(self, count: int = 1) -> "list[DockerSandbox]":
        """See `Sandbox.fork`. /dev/shm is a file system of its own, and does not go on."""
        commit = await self._freeze()
        forks = [DockerSandbox(self.spec, commit.held()) for _ in range(count)]
        started = await asyncio.gather(*(fork.start() for fork in forks), return_exceptions=True)
        await commit.release()
        for error in started:
            if error is not None:
                await asyncio.gather(*(fork.close() for fork in forks))
                raise error
        return forks

    async def verifier(self) -> "DockerSandbox":
        """See `Sandbox.verifier`."""
        commit = await self._freeze()
        try:
            trusted = await self._its_base.trusted(self._docker)
            judge = DockerSandbox(self.spec, await self._pin(commit, trusted.pins), verify=True)
        finally:
            await commit.release()
        await judge.start()
        if judge._root is not None:
            judge._root.remove(trusted.absent)
        return judge

    async def _pin(self, commit: Commit, pins: bytes) -> Commit:
        """The same files with the base's own pins.

        In a container without volumes: they could not be mounted over just anything that an agent left in their places.
        """
        docker = self._docker
        made = await docker.call("make a container", docker.api.create_container, commit.image, **docker.inert([]))
        try:
            await docker.call("write files", docker.api.put_archive, made["Id"], "/", pins)
            return await self._snap(made["Id"], commit)
        finally:
            await docker.remove(made["Id"])

    async def close(self) -> None:
        """See `Sandbox.close`. It is not cut short: nobody else would let go of what is left then."""
        await aio.to_the_end(self._close())

    async def _close(self) -> None:
        self._started = False
        self._let_go()
        container, self._id = self._id, ""
        if container:
            with contextlib.suppress(SandboxDied):
                await self._docker.remove(container)
        commit, self._commit = self._commit, None
        if commit is not None:
            await commit.release()


def _slave(pid: int) -> int:
    """The slave side of the terminal that a process has as standard input; -1 if that is none by now."""
    try:
        found = os.open(f"/proc/{pid}/fd/0", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        status = os.fstat(found)  # before it is opened: the agent's programs say what it is, and opening may do things
        if not stat.S_ISCHR(status.st_mode) or os.major(status.st_rdev) not in PTS_MAJORS:
            return -1
        return os.open(f"/proc/self/fd/{found}", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(found)
