"""A sandbox: an isolated Linux userland that one agent may do to as it likes.

`Sandbox` is the contract of all kinds; `open_sandbox` starts one by the name of its kind, which is the name of the
module here that implements it: adding a kind is adding a module, with the functions `new` and `base_of`.
"""

import importlib
import os
import pkgutil
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, Protocol

from termgym.engine import close_engine
from termgym.errors import UnknownName
from termgym.launcher_client import close_launcher
from termgym.task import File, Resources

MIB = 1 << 20
MAX_FILE_BYTES = 100 * MIB

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


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What a sandbox is started with."""

    image: str = ""
    """The path of a root folder, which begins with `/`, `./`, `../` or `~`; or the name or digest of a stored image
    (termgym.image.store), or of the engine's, for Docker; empty for the host's own userland."""
    workdir: str = "/app"
    """The folder that programs start in; made if missing. Empty for the image's own."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment variables on top of the usual ones and the image's."""
    network: str = "none"
    """"none", a loopback of its own; or "public", the world, where the kind of sandbox can."""
    resources: Resources = field(default_factory=Resources)
    user: str = ""
    """Who programs run as: `name`, `uid`, `name:group` or `uid:gid`, as in Docker. Empty for the image's own."""


class ExecResult(NamedTuple):
    """How a program ended: data, also when it failed."""

    returncode: int
    """Its exit status; negative, the signal that killed it (-9 after a time-out)."""
    stdout: bytes
    stderr: bytes
    timed_out: bool = False


class Pty(NamedTuple):
    """A program on a terminal: what `Terminal` is built on. The receiver closes it."""

    stream: int
    """What is typed goes in and what is printed comes out: the master side, or a socket to where that is.

    Non-blocking.
    """
    slave: int
    """The slave side, non-blocking; -1 where it cannot be had."""
    pid: int
    """The program's process, as the host's /proc shows it; 0 where it cannot be seen."""
    init: int
    """The sandbox's first process, likewise."""
    resize: Callable[[int, int], None]
    """Makes it another size, in rows and columns."""

    def close(self) -> None:
        """Close the descriptors; what runs on it gets a hang-up, where the stream is the master side."""
        for fd in {self.stream, self.slave} - {-1}:
            os.close(fd)


class Sandbox(Protocol):
    """An isolated userland. All methods raise `SandboxError` when the sandbox itself fails."""

    spec: SandboxSpec

    @property
    def alive(self) -> bool:
        """Whether it is started, and its processes are there. Takes some microseconds."""
        ...

    async def start(self) -> None:
        """Bring the sandbox up; nothing of the agent's runs in it yet."""
        ...

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
        """Run a program to its end and return what it printed, each stream cut at 10 MiB.

        It runs as the spec's user, unless `user` says otherwise, and in the spec's folder, unless `cwd` does. After
        `timeout_s` seconds its whole session is killed, inside too.
        """
        ...

    async def open_pty(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, rows: int = 40, cols: int = 160
    ) -> Pty:
        """Start a program on a terminal of its own."""
        ...

    async def put(self, files: Mapping[str, File]) -> None:
        """Write files at absolute paths, as root inside, making folders as needed. No path leads outside.

        What root may not write to without overriding its mode is written as the spec's user.
        """
        ...

    async def get(self, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        """Read a regular file at an absolute path; also after `seal`. Links are followed inside only.

        Raises:
            SandboxFileError: There is no such file, it is not a regular one, or it is larger than `max_bytes`.
        """
        ...

    async def seal(self) -> None:
        """Kill every process inside and wait until all are gone; the files stay."""
        ...

    async def fork(self, count: int = 1) -> "Sequence[Sandbox]":
        """Seal, and return `count` started sandboxes whose files are as these, each free to change its own."""
        ...

    async def verifier(self, image: str = "") -> "Sandbox":
        """Seal, and return a started sandbox to judge the files in.

        Its processes are all new, its toolchain is the base's own whatever the agent did to it, or that of `image`, and
        /tests and /logs are empty and its alone. It must not run what the agent wrote: a `fork` is for that.
        """
        ...

    async def close(self) -> None:
        """Kill what runs, drop the files. Closing twice is allowed."""
        ...


async def close_shared() -> None:
    """End what the sandboxes of the running event loop share; the next one begins it anew."""
    await close_launcher()
    await close_engine()


def sandbox_kinds() -> list[str]:
    """The names of the sandbox kinds that there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def base_of(kind: str, spec: SandboxSpec) -> Hashable:
    """What a sandbox starts from: equal for specs whose sandboxes are equal until a program is started in them.

    Raises:
        UnknownName: There is no such kind, or no image of that name.
    """
    return _module(kind).base_of(spec)


def new_sandbox(kind: str, spec: SandboxSpec) -> Sandbox:
    """A sandbox of `kind`, not yet started.

    Raises:
        UnknownName: There is no such kind.
    """
    return _module(kind).new(spec)


@cache
def _module(kind: str) -> Any:
    if kind not in sandbox_kinds():
        raise UnknownName("sandbox", kind, sandbox_kinds())
    return importlib.import_module(f"{__name__}.{kind}")
