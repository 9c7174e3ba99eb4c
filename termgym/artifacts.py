"""Artifacts: what of an agent's files goes over to a verifier that has a sandbox of its own.

Hooks run in a fork of the agent's sandbox, where what they start may be the agent's. When all of that is dead, the
verifier's own toolchain packs the declared paths, regular files and folders alone: a link or a device of the agent's
could lead elsewhere there. The archive is read here with suspicion. An artifact that is too large, with those before
it, is left out whole, as if it were missing: what an agent leaves is never a reason to call an episode invalid.
"""

import io
import tarfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from shlex import quote

from termgym.errors import SandboxDied, SandboxError, SandboxFileError
from termgym.sandbox import MIB, Sandbox
from termgym.task import Artifact, File, Place, Task

PUBLISHED = Artifact("/logs/artifacts")
"""Goes over without being declared, by Harbor's convention."""
MAX_BYTES = 64 * MIB
"""Of the archives of all artifacts, or half of what the verifier's place may store if that is less."""
PACK_TIMEOUT_S = 60.0
VERIFIERS_OWN = ("/tests/", "/logs/verifier/")
_LOGS, _COPY = "/logs", "/.termgym-logs"  # a verifier's sandbox has /logs of its own
_PACK = (
    "set -o pipefail; find {source} -xdev \\( -type f -o -type d \\) -print0"
    " | tar --create --null --no-recursion --hard-dereference --absolute-names --files-from=- | head -c {limit} >{out}"
)


async def collect(task: Task, place: Place, sandbox: Sandbox) -> tuple[dict[str, File], set[str]]:
    """The files by their paths, and the folders, of all artifacts of a sealed sandbox.

    Raises:
        SandboxError: A sandbox failed.
    """
    (fork,) = await sandbox.fork()
    try:
        await _prepare(task, fork)
        packer = await fork.verifier()
        try:
            files: dict[str, File] = {}
            folders: set[str] = set()
            left = min(MAX_BYTES, place.resources.storage_mb * MIB // 2)
            for artifact in {one.source: one for one in (PUBLISHED, *task.artifacts)}.values():
                archive = await _packed(artifact, packer, left)
                left -= len(archive)
                for path, file in _unpacked(archive, artifact):
                    if file is None:
                        folders.add(path)
                    else:
                        files[path] = file
            return files, folders
        finally:
            await packer.close()
    finally:
        await fork.close()


async def _prepare(task: Task, fork: Sandbox) -> None:
    """Run the hooks, and keep a copy of /logs; the agent may have broken either."""
    hooks = [(hook.command, hook.timeout_s) for hook in task.judge.collect]
    for command, timeout_s in [*hooks, (f"cp -a {_LOGS} {_COPY}", PACK_TIMEOUT_S)]:
        try:
            await fork.exec(["/bin/bash", "-c", command], timeout_s=timeout_s)
        except (SandboxDied, SandboxError):
            return


async def _packed(artifact: Artifact, packer: Sandbox, most: int) -> bytes:
    """A tar archive; nothing where there is no such path or it is too large."""
    out = "/tests/artifact.tar"
    script = _PACK.format(source=quote(_inside(artifact.source)), limit=most + 1, out=out)
    result = await packer.exec(["/bin/bash", "-c", script], timeout_s=PACK_TIMEOUT_S)
    if result.returncode != 0:
        return b""
    try:
        return await packer.get(out, most)
    except SandboxFileError:
        return b""


def _inside(source: str) -> str:
    """Where an artifact lies in the packer's sandbox."""
    logs = source == _LOGS or source.startswith(f"{_LOGS}/")
    return _COPY + source.removeprefix(_LOGS) if logs else source


def _unpacked(archive: bytes, artifact: Artifact) -> Iterator[tuple[str, File | None]]:
    """Path -> file, or None for a folder."""
    if not archive:
        return
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                path = member.name.replace(_COPY, _LOGS, 1) if member.name.startswith(_COPY) else member.name
                if not _is_plain(path) or _excluded(path, artifact):
                    continue
                if member.isdir():
                    yield path, None
                elif member.isreg() and (content := tar.extractfile(member)):
                    yield path, File(content.read(), member.mode & 0o777, int(member.mtime))
    except (tarfile.TarError, UnicodeError, EOFError):
        return


def _is_plain(path: str) -> bool:
    parts = path.split("/")
    return path.startswith("/") and ".." not in parts and "\0" not in path and not f"{path}/".startswith(VERIFIERS_OWN)


def _excluded(path: str, artifact: Artifact) -> bool:
    """As `tar --exclude`: a pattern may match from any part of the path to any later one."""
    parts = PurePosixPath(path).parts[1:]
    spans = ["/".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)]
    return any(fnmatchcase(span, pattern.rstrip("/")) for pattern in artifact.exclude for span in spans)
