"""An image of the engine, as sandboxes need it: what it is started with, and what of it a verifier can trust.

The base's own toolchain is copied once into volumes, to lie over whatever an agent did to its; `pins` undoes what it
did to the links and the files of /etc that steer programs. Both are those of termgym.launcher.rootfs.
"""

import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from termgym.engine import Engine, init
from termgym.engine.files import look
from termgym.engine.owner import IMAGE_LABEL
from termgym.errors import SandboxError, SandboxUnavailable
from termgym.launcher.rootfs import PINNED_ETC, USERLAND

_GO_SYMLINK, _GO_DIR = 1 << 27, 1 << 31


@dataclass(frozen=True, slots=True)
class Trusted:
    """What lies over an agent's files where they are judged."""

    mounts: Sequence[Any]
    """Volumes with the base's own folders of programs, read-only."""
    pins: bytes
    """A tar of the links and files that steer them."""
    absent: Sequence[str]
    """Of these the base has none: the tar lays an empty file there."""


@dataclass(frozen=True, slots=True)
class Base:
    """An image, by its digest."""

    id: str
    env: Mapping[str, str]
    workdir: str
    user: str
    entrypoint: Sequence[str]

    @classmethod
    async def find(cls, engine: Engine, name: str) -> "Base":
        """The image of a name. A name means the same image for as long as its event loop lives.

        Raises:
            SandboxUnavailable: The engine has none of that name; none is ever pulled.
        """
        return await engine.once(("base", name), lambda: cls._inspect(engine, name))

    @classmethod
    async def _inspect(cls, engine: Engine, name: str) -> "Base":
        try:
            found = await engine.call("find the image", engine.api.inspect_image, name)
        except SandboxError as error:
            advice = f"pull or build it first (docker pull {name}): termgym downloads nothing at run time"
            raise SandboxUnavailable(f"the Docker engine has no image {name!r}: {advice}") from error
        config: dict[str, Any] = found["Config"]
        lines: list[str] = config.get("Env") or []
        env = dict(line.split("=", 1) for line in lines if "=" in line)
        entrypoint: list[str] = config.get("Entrypoint") or []
        return cls(found["Id"], env, config.get("WorkingDir") or "/", config.get("User") or "", entrypoint)

    async def trusted(self, engine: Engine) -> Trusted:
        """What of it a verifier can trust; the first time takes as long as copying its /usr."""
        return await engine.once(("trusted", self.id), lambda: self._trust(engine))

    async def _trust(self, engine: Engine) -> Trusted:
        probe = await engine.inert(self.id)
        try:
            kinds = {name: await _kind(engine, probe, f"/{name}") for name in USERLAND}
            folders = [name for name, kind in kinds.items() if kind == "/"]
            etc = await engine.call("read /etc of the image", read_archive, engine.api, probe, "/etc", 1 << 30)
        finally:
            await engine.remove(probe)
        mounts = [volume(f"/{name}", self._volume(name), read_only=True) for name in folders]
        await self._fill(engine, folders)
        present = {name: content for name, content in _pinned(etc)}
        absent = [f"/etc/{name}" for name in PINNED_ETC if name not in present]
        return Trusted(mounts, _pins(kinds, present), absent)

    async def _fill(self, engine: Engine, folders: Iterable[str]) -> None:
        """Copy the folders into their volumes, unless a volume that is made last says that all have been."""
        done = self._volume("done")
        labels = {IMAGE_LABEL: self.id}
        with suppress(SandboxError):
            await engine.call("find a volume", engine.api.inspect_volume, done)
            return
        for name in folders:
            with suppress(SandboxError):  # there is none, or another process is at it: then its copy is as good
                await engine.call("remove a volume", engine.api.remove_volume, self._volume(name))
            await engine.call("make a volume", engine.api.create_volume, self._volume(name), labels=labels)
        filler = await engine.inert(self.id, mounts=[volume(f"/{name}", self._volume(name)) for name in folders])
        await engine.remove(filler)
        await engine.call("make a volume", engine.api.create_volume, done, labels=labels)

    def _volume(self, name: str) -> str:
        return f"termgym-{self.id.removeprefix('sha256:')[:20]}-{name}"


def volume(target: str, name: str, read_only: bool = False) -> Any:
    """A volume mounted at `target`; one that is empty gets what the image has there, unless it is read-only."""
    from docker.types import Mount

    return Mount(target, name, type="volume", read_only=read_only, no_copy=read_only)


async def init_volume(engine: Engine, image: str) -> Any:
    """The volume with PID 1's program, filled if it is not."""
    machine = (await engine.once("info", lambda: engine.call("say what it is", engine.api.info)))["Architecture"]
    archive = init.archive(machine)
    name = f"termgym-init-{init.VERSION}-{machine}"

    async def fill() -> None:
        made = await engine.inert(image, mounts=[volume(init.FOLDER, name)])
        try:
            if await _kind(engine, made, init.PATH) is None:
                await engine.call("write PID 1's program", engine.api.put_archive, made, init.FOLDER, archive)
        finally:
            await engine.remove(made)

    await engine.once(("init", name), fill)
    return volume(init.FOLDER, name, read_only=True)


async def _kind(engine: Engine, container: str, path: str) -> str | None:
    """What is at a path: "/" a folder, "" something else, None nothing, and where it leads if it is a link."""
    status = await engine.call(f"look at {path}", look, engine.api, container, path)
    if status is None:
        return None
    if status["mode"] & _GO_SYMLINK:
        return status["linkTarget"]
    return "/" if status["mode"] & _GO_DIR else ""


def read_archive(api: Any, container: str, path: str, max_bytes: int) -> bytes:
    """The tar of a path in a container. Blocks.

    Raises:
        SandboxError: It is larger than `max_bytes`.
    """
    stream, _ = api.get_archive(container, path)
    data = bytearray()
    try:
        for chunk in stream:
            data += chunk
            if len(data) > max_bytes:
                raise SandboxError(f"{path} is larger than {max_bytes} bytes")
    finally:
        stream.close()
    return bytes(data)


def _pinned(etc: bytes) -> Iterable[tuple[str, list[tuple[tarfile.TarInfo, bytes]]]]:
    """For each name that is pinned and there, its entries of the tar of /etc."""
    with tarfile.open(fileobj=io.BytesIO(etc)) as tar:
        members = tar.getmembers()
        for name in PINNED_ETC:
            path = f"etc/{name}"
            own = [member for member in members if member.name == path or member.name.startswith(f"{path}/")]
            if own:
                yield name, [(member, _content(tar, member)) for member in own]


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.isreg() else None
    return file.read() if file else b""


def _pins(kinds: Mapping[str, str | None], present: Mapping[str, list[tuple[tarfile.TarInfo, bytes]]]) -> bytes:
    """A tar that replaces what is there: an entry of another kind makes the engine remove a whole folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, kind in kinds.items():
            if kind == "/":
                tar.addfile(_entry(name, tarfile.DIRTYPE, 0o755))
            elif kind:
                tar.addfile(_entry(name, tarfile.SYMTYPE, 0o777, kind.removeprefix("/")))
        tar.addfile(_entry("etc", tarfile.DIRTYPE, 0o755))
        for name in PINNED_ETC:
            for parent in reversed(PurePosixPath(name).parents[:-1]):
                tar.addfile(_entry(f"etc/{parent}", tarfile.DIRTYPE, 0o755))
            tar.addfile(_entry(f"etc/{name}", tarfile.REGTYPE, 0o644))
            for member, content in present.get(name, ()):
                tar.addfile(member, io.BytesIO(content))
        for name, mode in (("tests", 0o700), ("logs", 0o755)):
            tar.addfile(_entry(name, tarfile.REGTYPE, 0o644))
            tar.addfile(_entry(name, tarfile.DIRTYPE, mode))
    return packed.getvalue()


def _entry(name: str, kind: bytes, mode: int, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname = kind, mode, target
    return entry
