"""Archives of images: what `docker save` and OCI tools write, as a tar or as a folder.

Two forms, often both in one archive: an OCI layout (opencontainers/image-spec, image-layout.md), which is preferred,
and Docker's manifest.json (moby/moby, image/spec/v1.2.md). Members are found by their exact names, never by a path of
the host's; a link of a tar counts for the member that it names, as older `docker save` writes a layer that comes twice.
"""

import hashlib
import io
import json
import os
import platform
import posixpath
import stat
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from termgym.errors import ImageError
from termgym.image import Image
from termgym.image.document import Part
from termgym.image.stream import Budget, Peeked, decompressed
from termgym.image.tar import FILE, SYMLINK, Member, Tar
from termgym.launcher import linux

MAX_JSON_BYTES = 4 << 20
MAX_MEMBERS = 100_000
MAX_LINKS = 8
MAX_INDEXES = 4
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Packed(NamedTuple):
    """One image of an archive."""

    digest: str
    """SHA-256, in hex, of its configuration."""
    config: Mapping[str, Any]
    """What the configuration says of programs: its `config`."""
    diff_ids: tuple[str, ...]
    """SHA-256, in hex, of each layer, decompressed; the lowest first."""
    layers: tuple[str, ...]
    """The members that hold them, for `Archive.open`."""


class Archive:
    """An archive, or the folder that one was unpacked into; to be closed."""

    def __init__(self, path: Path, shown: str) -> None:
        """Open it; `shown` is what messages call it.

        Raises:
            ImageError: It is no tar.
        """
        self._shown = shown
        self._source = _Folder(path, shown) if path.is_dir() else _TarFile(path, shown)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def open(self, member: str) -> BinaryIO:
        """The content of a member."""
        return self._source.open(member)

    def image(self, name: str) -> Packed:
        """Its image; `name` decides where there are several.

        Raises:
            ImageError: There is none for this machine or of that name, or the archive is malformed.
        """
        if self._source.has("index.json"):
            return self._of_layout(name)
        if self._source.has("manifest.json"):
            return self._of_docker(name)
        raise ImageError(f"{self._shown} has neither index.json nor manifest.json: it is no archive of an image")

    def _of_layout(self, name: str) -> Packed:
        manifest = self._chosen("index.json", self._json("index.json"), name)
        config = manifest.field("config").blob()
        layers = tuple(layer.blob() for layer in manifest.field("layers").items())
        self._check(config, manifest.field("config"))
        return self._packed(config, layers)

    def _chosen(self, member: str, index: Part, name: str, depth: int = 0) -> Part:
        """The manifest of this machine's platform, maybe through an index of all platforms."""
        found = [part for part in index.field("manifests").items() if _fits(part)]
        named = [part for part in found if name in _names(part)]
        found = named or found
        if len(found) != 1:
            raise self._which(member, len(found), map(_names, index.field("manifests").items()))
        blob = found[0].blob()
        self._check(blob, found[0])
        manifest = self._json(blob)
        if manifest.has("manifests") and depth < MAX_INDEXES:
            return self._chosen(blob, manifest, name, depth + 1)
        return manifest

    def _of_docker(self, name: str) -> Packed:
        images = self._json("manifest.json").items()
        tags = [[tag.text() for tag in image.field("RepoTags", []).items()] for image in images]
        found = [image for image, named in zip(images, tags, strict=True) if name in named] or images
        if len(found) != 1:
            raise self._which("manifest.json", len(found), tags)
        layers = tuple(layer.text() for layer in found[0].field("Layers").items())
        return self._packed(found[0].field("Config").text(), layers)

    def _packed(self, member: str, layers: tuple[str, ...]) -> Packed:
        config = self._json(member)
        system, machine = config.field("os", "linux").text(), config.field("architecture", ARCHITECTURE).text()
        if (system, machine) != ("linux", ARCHITECTURE):
            raise ImageError(f"{self._shown} is an image for {system}/{machine}; this machine is linux/{ARCHITECTURE}")
        diff_ids = tuple(part.digest() for part in config.field("rootfs").field("diff_ids").items())
        if len(diff_ids) != len(layers):
            raise ImageError(f"{self._shown}: {member} tells of {len(diff_ids)} layers, and {len(layers)} are there")
        digest, programs = hashlib.sha256(self._bytes(member)).hexdigest(), config.field("config", {})
        configured(programs)
        return Packed(digest, programs.mapping(), diff_ids, layers)

    def _which(self, member: str, count: int, names: Iterable[list[str]]) -> ImageError:
        listed = ", ".join(chain(*names)) or "not named"
        if count == 0:
            return ImageError(f"{self._shown}: {member} has no image for linux/{ARCHITECTURE}; its images are {listed}")
        return ImageError(
            f"{self._shown}: {member} has {count} images, {listed}; give the name of one, or save one alone"
        )

    def _check(self, member: str, descriptor: Part) -> None:
        if hashlib.sha256(self._bytes(member)).hexdigest() != descriptor.field("digest").digest():
            raise ImageError(f"{self._shown}: the content of {member} is not what its digest says: it is damaged")

    def _bytes(self, member: str) -> bytes:
        with self.open(member) as file:
            data = file.read(MAX_JSON_BYTES + 1)
        if len(data) > MAX_JSON_BYTES:
            raise ImageError(f"{self._shown}: {member} is larger than the {MAX_JSON_BYTES} bytes that are read of JSON")
        return data

    def _json(self, member: str) -> Part:
        try:
            return Part(f"{self._shown}: {member}", json.loads(self._bytes(member)))
        except (ValueError, RecursionError) as error:
            raise ImageError(f"{self._shown}: {member} is not JSON: {error}") from None


def configured(config: Part) -> Image:
    """An image without layers, of what the `config` of a configuration says (image-spec, config.md)."""
    variables = [variable.text().partition("=") for variable in config.field("Env", []).items()]
    env = {name: value for name, _, value in variables if name}
    workdir, user = config.field("WorkingDir", "").text(), config.field("User", "").text()
    entrypoint, cmd = (tuple(word.text() for word in config.field(key, []).items()) for key in ("Entrypoint", "Cmd"))
    return Image("", (), env, f"/{workdir.strip('/')}", user, entrypoint, cmd)


def _fits(part: Part) -> bool:
    if not part.has("platform"):
        return True
    system = part.field("platform")
    return (system.field("os").text(), system.field("architecture").text()) == ("linux", ARCHITECTURE)


def _names(part: Part) -> list[str]:
    keys = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
    marks = part.field("annotations", {})
    return [marks.field(key).text() for key in keys if marks.has(key)]


class _Folder:
    """Members as files of a folder; no link is followed, in no part of a path."""

    def __init__(self, path: Path, shown: str) -> None:
        self._path, self._shown = path, shown
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._fd)

    def has(self, member: str) -> bool:
        return (self._path / member).is_file()

    def open(self, member: str) -> BinaryIO:
        try:
            fd = linux.openat2(self._fd, member, os.O_RDONLY | os.O_NONBLOCK, links=False)
        except (OSError, ValueError) as error:
            raise ImageError(f"{self._shown}: cannot read {member!r}: {error}") from None
        file = os.fdopen(fd, "rb")
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return file
        file.close()
        raise ImageError(f"{self._shown}: {member!r} is not a regular file")


class _TarFile:
    """Members of a tar that is not compressed, found by their places in it."""

    def __init__(self, path: Path, shown: str) -> None:
        self._shown, self._file = shown, path.open("rb")
        try:
            self._places = self._index()
        except ImageError as error:
            self._file.close()
            raise ImageError(f"{shown}: {error}") from None

    def close(self) -> None:
        self._file.close()

    def has(self, member: str) -> bool:
        return member in self._places

    def open(self, member: str) -> BinaryIO:
        name = member
        for _ in range(MAX_LINKS):
            found = self._places.get(name)
            if found is None or found.kind not in (FILE, SYMLINK):
                raise ImageError(f"{self._shown} has no file {member!r}: the archive is not whole")
            if found.kind == FILE:
                return io.BufferedReader(_Section(self._file.fileno(), found), 1 << 20)
            name = posixpath.normpath(posixpath.join(posixpath.dirname(name), found.link))
        raise ImageError(f"{self._shown}: {member!r} is a link to itself")

    def _index(self) -> dict[str, "_Place"]:
        places: dict[str, _Place] = {}
        for count, (member, offset) in enumerate(self._members()):
            name = os.fsdecode(member.name).removeprefix("./").rstrip("/")
            if name in places and member.kind == FILE:
                raise ImageError(f"it has {name!r} twice")
            if count >= MAX_MEMBERS:
                raise ImageError(f"it has more than {MAX_MEMBERS} members: it is no archive of an image")
            places[name] = _Place(member.kind, offset, member.size, os.fsdecode(member.link))
        return places

    def _members(self) -> Iterator[tuple[Member, int]]:
        for member in Tar(self._file, seekable=True):
            yield member, self._file.tell()


class _Place(NamedTuple):
    """Where a member of a tar is."""

    kind: bytes
    offset: int
    size: int
    link: str


class _Section(io.RawIOBase):
    """A part of a file."""

    def __init__(self, fd: int, place: _Place) -> None:
        self._fd, self._offset, self._end = fd, place.offset, place.offset + place.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = os.pread(self._fd, min(len(buffer), self._end - self._offset), self._offset)
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)


def plain(path: Path, folder: Path, budget: Budget) -> Path:
    """The tar that `path` is, or one in `folder` if it is compressed: members are found by their places."""
    with path.open("rb") as file:
        stream = decompressed(file)
        if isinstance(stream, Peeked):
            return path
        target = folder / "archive.tar"
        with target.open("wb") as copy:
            while piece := stream.read(1 << 20):
                budget.take_bytes(len(piece))
                copy.write(piece)
        return target
