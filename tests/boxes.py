"""Sandboxes for tests of them, and how to run things inside."""

import asyncio
import contextlib
import functools
import os
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from termgym import aio, launcher_client
from termgym.errors import SandboxFileError
from termgym.launcher import cgroup
from termgym.sandbox import ExecResult, Sandbox, SandboxSpec, namespace, new_sandbox
from termgym.sandbox.docker import DockerSandbox
from termgym.task import Resources
from tests import images

ROOT = os.geteuid() == 0


def split(root: Path) -> tuple[list[images.Entry], list[images.Entry]]:
    """The links and the files of a folder."""
    found = [path for path in sorted(root.rglob("*")) if not path.is_dir() or path.is_symlink()]
    links = [images.link(str(path.relative_to(root)), str(path.readlink())) for path in found if path.is_symlink()]
    files = [path for path in found if not path.is_symlink() and "etc" not in path.parts]
    return links, [images.entry(str(path.relative_to(root)), path.read_bytes(), mode=0o755) for path in files]


class Boxes:
    """Starts sandboxes of one kind, and closes them at the end of the test."""

    def __init__(self, kind: str, image: str = "") -> None:
        self.kind, self.image, self._open = kind, image, list[Sandbox]()

    def new(self, env: dict[str, str] | None = None, **resources: Any) -> Sandbox:
        spec = SandboxSpec(image=self.image, env=env or {}, resources=Resources(**resources))
        return self.keep(new_sandbox("docker" if self.kind == "docker" else "namespace", spec))

    def keep(self, box: Sandbox) -> Sandbox:
        self._open.append(box)
        return box

    async def start(self, env: dict[str, str] | None = None, **resources: Any) -> Sandbox:
        box = self.new(env, **resources)
        await box.start()
        return box

    async def fork(self, box: Sandbox, count: int = 1) -> list[Sandbox]:
        return [self.keep(fork) for fork in await box.fork(count)]

    async def verifier(self, box: Sandbox) -> Sandbox:
        return self.keep(await box.verifier())

    async def close(self) -> None:
        for box in self._open:
            await box.close()


def case(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that awaits."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def body() -> None:
            await test(*args, **kwargs)

        aio.run(body())

    return run


async def sh(box: Sandbox, script: str, **options: Any) -> ExecResult:
    return await box.exec(["/bin/bash", "-c", script], **options)


async def out(box: Sandbox, script: str, **options: Any) -> str:
    """What a script that must succeed prints."""
    result = await sh(box, script, **options)
    assert result.returncode == 0, result
    return result.stdout.decode()


async def python(box: Sandbox, script: str, **options: Any) -> str:
    result = await box.exec(["/usr/bin/python3", "-I", "-S", "-c", textwrap.dedent(script)], **options)
    assert result.returncode == 0, result
    return result.stdout.decode()


async def gone(box: Sandbox, name: str) -> None:
    """Wait until no program of that name runs inside: what was killed takes a moment to go."""
    every = "for p in /proc/[0-9]*; do read -r n < $p/comm && echo $n; done 2>/dev/null; true"
    await shown(box, every, lambda names: name not in names, seconds=2.0)


async def shown(box: Sandbox, script: str, fine: Callable[[str], bool], seconds: float = 5.0) -> None:
    """Wait until what a script prints inside is fine."""
    deadline = time.monotonic() + seconds
    while not fine(printed := await out(box, script)):
        assert time.monotonic() < deadline, f"{script} still shows {printed}"
        await asyncio.sleep(0.005)


async def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.005)


async def there(box: Sandbox, path: str, line: str = "") -> None:
    """Wait until something is in the file at `path`, a certain line if it is given."""
    deadline = time.monotonic() + 5.0
    while True:
        with contextlib.suppress(SandboxFileError):
            lines = (await box.get(path)).decode().splitlines()
            if line in lines or (lines and not line):
                return
        assert time.monotonic() < deadline, f"nothing comes to {path}"
        await asyncio.sleep(0.005)


async def launcher_pid() -> int:
    return (await launcher_client.launcher()).pid


def init_of(box: Sandbox) -> int:
    assert isinstance(box, namespace.NamespaceSandbox | DockerSandbox)
    return box._pid  # pyright: ignore[reportPrivateUsage]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def groups_of(pid: int) -> list[Path]:
    """The cgroup folders of the launcher `pid`."""
    parents = cgroup._mounted()  # pyright: ignore[reportPrivateUsage]
    return [found for _, _, parent in parents if (found := Path(parent) / f"termgym-{pid}").exists()]


async def read_until(master: int, wanted: bytes) -> bytes:
    seen = b""

    def enough() -> bool:
        nonlocal seen
        with contextlib.suppress(BlockingIOError, OSError):
            seen += os.read(master, 1 << 16)
        return wanted in seen

    await eventually(enough)
    return seen
