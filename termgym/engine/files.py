"""Files of a container by the engine's archives: where its root cannot be opened, as it is remote or stopped."""

import base64
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from termgym.engine import Engine
from termgym.errors import SandboxDied, SandboxError, SandboxFileError
from termgym.task import File

MAX_LINKS = 20
MAX_TABLE_BYTES = 1 << 20
_GO_SYMLINK, _GO_IRREGULAR = 1 << 27, 1 << 31 | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19


async def put(engine: Engine, container: str, files: Mapping[str, File]) -> None:
    """Write files, as `Sandbox.put`; what is there and no regular file is replaced by one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, file in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(file.content), file.mode, file.mtime
            tar.addfile(entry, io.BytesIO(file.content))
    try:
        await engine.call("write files", engine.api.put_archive, container, "/", packed.getvalue())
    except SandboxDied:
        raise
    except SandboxError as error:
        raise SandboxFileError(f"cannot put {', '.join(files)} into the sandbox: {error}") from error


async def unblock(engine: Engine, container: str, paths: Iterable[str]) -> None:
    """Put an empty file where there is something that the engine could not read as a table of users."""
    for path in paths:
        if await engine.call("look at a file", _blocks, engine.api, container, path):
            with suppress(SandboxFileError):
                await put(engine, container, {path: File(b"")})


def _blocks(api: Any, container: str, path: str) -> bool:
    from docker.errors import APIError

    try:
        status = look(api, container, path)
    except APIError:  # a link to itself, say
        return True
    return bool(status) and (status["mode"] & (_GO_SYMLINK | _GO_IRREGULAR) != 0 or status["size"] > MAX_TABLE_BYTES)


def look(api: Any, container: str, path: str) -> dict[str, Any] | None:
    """What the engine says of a file or a link itself, if there is one. Blocks, but for no reason inside.

    docker's own `get_archive` has the engine pack the file, which reads /etc/passwd and /etc/group inside for names.
    """
    response = api.head(api._url("/containers/{0}/archive", container), params={"path": path})
    if response.status_code == HTTPStatus.NOT_FOUND:
        return None
    api._raise_for_status(response)
    return json.loads(base64.b64decode(response.headers["X-Docker-Container-Path-Stat"]))


async def get(engine: Engine, container: str, path: str, max_bytes: int) -> bytes:
    """Read a regular file, as `Sandbox.get`; the engine resolves links inside the container."""
    at = path
    for _ in range(MAX_LINKS):
        content, at = await engine.call("read a file", _read, engine.api, container, path, at, max_bytes)
        if content is not None:
            return content
    raise SandboxFileError(f"cannot get {path} from the sandbox: too many links")


def _read(api: Any, container: str, path: str, at: str, max_bytes: int) -> tuple[bytes | None, str]:
    """The content of a regular file, or where the link at `at` leads. Blocks."""
    from docker.errors import APIError, NotFound

    try:
        stream, status = api.get_archive(container, os.fsencode(at))
    except NotFound as error:
        if "No such container" in str(error):
            raise
        raise SandboxFileError(f"cannot get {path} from the sandbox: No such file or directory") from error
    except APIError as error:
        raise SandboxFileError(f"cannot get {path} from the sandbox: {error.explanation}") from error
    try:
        if status["mode"] & _GO_SYMLINK and status["linkTarget"] not in ("", at):
            return None, status["linkTarget"]
        if status["mode"] & (_GO_SYMLINK | _GO_IRREGULAR):
            raise SandboxFileError(f"{path} in the sandbox is not a regular file")
        if status["size"] > max_bytes:
            raise SandboxFileError(f"{path} in the sandbox is larger than {max_bytes} bytes")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            file = next((tar.extractfile(member) for member in tar), None)
        if file is None:
            raise SandboxFileError(f"cannot get {path} from the sandbox: no engine packs a name that is not UTF-8")
        return file.read(), at
    finally:
        stream.close()
