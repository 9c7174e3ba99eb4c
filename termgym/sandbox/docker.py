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
import termios
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from termgym import aio
from termgym.engine import Engine, engine, init
from termgym.engine import files as archives
from termgym.engine.base import Base, Trusted, init_volume
from termgym.engine.commit import Commit
from termgym.engine.program import BEGIN_TIMEOUT_S, Program
from termgym.engine.pts import open_slave
from termgym.engine.stream import Stream, open_stream, read_until
from termgym.errors import SandboxDied, SandboxError, SandboxUnavailable
from termgym.launcher.box import kill_session
from termgym.root import Root
from termgym.sandbox import ENV, MAX_FILE_BYTES, MIB, VERIFIER_ENV, ExecResult, Pty, SandboxSpec
from termgym.task import File

DEFAULT_IMAGE = "TERMGYM_DOCKER_IMAGE"
"""The environment variable that names the image of tasks which name none."""
# Sets the size before the program starts, says so, and waits for our word, so that nothing it prints is lost.
_ON_TERMINAL = (
    'stty rows "$1" cols "$2" -echo; [ -x "$4" ] || exit 127; printf %s "$3"; read -r _; stty echo; shift 3; exec "$@"'
)


def new(spec: SandboxSpec) -> "DockerSandbox":
    """A sandbox of this kind, not yet started."""
    return DockerSandbox(spec)


def base_of(spec: SandboxSpec) -> Hashable:
    """See `termgym.sandbox.base_of`: a name is one image for as long as an event loop lives (`Base.find`).

    What an entry point would be given counts as well, since only the engine knows whether there is one.
    """
    return spec.image, spec.network, spec.workdir, frozenset(spec.env.items()), spec.user


class DockerSandbox:
    """A `Sandbox` that is a container."""

    def __init__(self, spec: SandboxSpec, commit: Commit | None = None, trusted: Trusted | None = None) -> None:
        """`commit` is what it begins with instead of the image; `trusted` makes it a verifier, by that toolchain."""
        self.spec = spec
        self._commit, self._trusted = commit, trusted
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
        options |= {"stdin_open": True, "working_dir": self.workdir, "network_disabled": not self._has_network}
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
        if self._trusted:
            mounts += self._trusted.mounts
        limits = (("core", 0), ("nofile", 4096), ("fsize", resources.storage_mb * MIB))
        return docker.api.create_host_config(
            mounts=mounts,
            network_mode="bridge" if self._has_network else "none",
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

    @property
    def _has_network(self) -> bool:
        return self.spec.network == "public" and not self._trusted

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
        """Take note of PID 1 and open the root folder, where this host's /proc shows the container, and lets us."""
        if os.geteuid() != 0 or not self._shows(pid):
            return
        with contextlib.suppress(OSError):
            fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._pid = pid
            if Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", "0", "4294967295"]:
                self._root = Root(fd, nodev=False)
            else:  # its root is another user here: what we wrote would be nobody's there
                os.close(fd)

    def _shows(self, pid: int) -> bool:
        """Whether a process is the container's, rather than one of that number on another machine."""
        with contextlib.suppress(OSError):
            return self._id in Path(f"/proc/{pid}/cgroup").read_text()
        return False

    async def _begin_entrypoint(self) -> None:
        """Start the image's ENTRYPOINT as the container's main program would be, if that were `sleep infinity`."""
        program = await self._program([*self._its_base.entrypoint, "sleep", "infinity"])
        await self._docker.call("start the entry point", self._docker.api.exec_start, program.id, detach=True)

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

    def _env(self, user: str, more: Mapping[str, str] | None) -> dict[str, str]:
        name = user.partition(":")[0]
        usual = VERIFIER_ENV if self._trusted else ENV
        if name not in ("", "0", "root"):  # HOME is then the engine's to say, from the container's /etc/passwd
            usual = {**usual, "USER": name, "LOGNAME": name}
            usual.pop("HOME")
        image = self._its_base.env
        return {**usual, **({} if self._trusted else image), **self.spec.env, **(more or {})}

    async def _program(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        **more: bool,
    ) -> Program:
        if not self._started:
            raise SandboxDied("the sandbox is not running: it was sealed, closed, or never started")
        folder = cwd or ("/tests" if self._trusted else self.workdir)
        if cwd is None and self._root is not None:
            self._root.make_folder(folder)
        user = "0:0" if self._trusted else user or self.spec.user or self._its_base.user
        options: dict[str, Any] = {"environment": self._env(user, env), "workdir": folder, "user": user, **more}
        return await Program.make(self._docker, self._id, argv, **options)

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
        """See `Sandbox.exec`. A status above 128 counts as a signal's, since the engine reports those so."""
        program = await self._program(argv, env, cwd, user, stdin=True)
        ended = await program.run(stdin, timeout_s, self._kill)
        if not self._started and not ended[-1]:
            raise SandboxDied("the sandbox's processes are gone")
        return ExecResult(*ended)

    async def _kill(self, program: Program) -> None:
        """Kill a program with its session; where its processes cannot be seen, all that runs."""
        with contextlib.suppress(SandboxDied):
            state = await program.look()
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
        program = await self._program(command, env, stdin=True, tty=True)
        stream = await program.open(tty=True)
        try:
            await read_until(stream, mark.encode(), BEGIN_TIMEOUT_S)
            pid = await program.pid() if self._pid else 0
            stream.sock.send(b"\n")
        except (SandboxError, OSError) as error:
            stream.close()
            raise SandboxError(f"{argv[0]} ended as soon as it was started on a terminal: {error}") from error
        except BaseException:
            stream.close()
            raise
        slave = open_slave(pid) if pid else -1
        return Pty(stream.sock.detach(), slave, pid, self._pid, self._resizer(program, slave))

    def _resizer(self, program: Program, slave: int) -> Callable[[int, int], None]:
        docker = self._docker

        def resize(rows: int, cols: int) -> None:
            if slave >= 0:
                termios.tcsetwinsize(slave, (rows, cols))
            else:
                docker.later(docker.api.exec_resize, program.id, rows, cols)

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
        if self._root is not None:
            self._root.close()  # or the engine, as it looks at the files, would find them in use
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
        return await Commit.of(self._docker, container, self._commit)

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

    async def verifier(self, image: str = "") -> "DockerSandbox":
        """See `Sandbox.verifier`."""
        toolchain = await Base.find(self._docker, image) if image else self._its_base
        commit = await self._freeze()
        try:
            trusted = await toolchain.trusted(self._docker)
            judge = DockerSandbox(self.spec, await commit.pinned(trusted.pins), trusted)
        finally:
            await commit.release()
        await judge.start()
        if judge._root is not None:
            judge._root.remove(trusted.absent)
        return judge

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
