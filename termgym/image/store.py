"""Where images are kept: layers by the digest of their content, images by that of their configuration, and names.

    layers/DIFF_ID/       a layer, unpacked
    images/DIGEST.json    which layers, and how programs start
    names/NAME            the digest that a name stands for
    tmp/                  imports that go on

What an import makes it prepares in a folder of its own in tmp/, which it holds a lock on, and puts in place by
renaming: there is nothing half made to be found, whatever dies when. The next import removes the folders whose lock
nobody holds.
Nothing is synced to disk: after a power failure remove the store and import again.
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
from collections.abc import Generator
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, unquote

from termgym.errors import ImageError, UnknownName
from termgym.image import Image
from termgym.image.archive import Archive, Packed, configured, plain
from termgym.image.document import Part
from termgym.image.engine import saved
from termgym.image.files import delete, listed, locked
from termgym.image.folder import Packing
from termgym.image.layer import unpack
from termgym.image.stream import Budget, reading
from termgym.image.tar import Readable

MAX_LAYERS = 127
"""As in Docker. The sandbox's overlay takes them all, with not many forks in a row upon them."""
MIN_PREFIX = 4
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,199}")
_HEX = re.compile(r"[0-9a-f]{64}")
_ADVICE = "`termgym image import` takes an archive of `docker save`, a root folder, or an image of a running engine"


def image_of(name: str) -> Image:
    """The image that a sandbox is started from: empty for the host's userland, the path of a folder, or a stored name.

    A path begins with `/`, `./`, `../` or `~`. What a name stands for is settled when this process first asks, so that
    a run is of one image whatever is imported meanwhile, and asking again takes a microsecond.

    Raises:
        UnknownName: No image of that name is stored.
    """
    if not name:
        return HOST
    if name.startswith(("/", "./", "../", "~")):
        path = Path(os.path.abspath(os.path.expanduser(name)))  # noqa: PTH100, PTH111 - tens of times faster
        return Image(str(path), (path,))
    return _pinned(name, os.environ.get("TERMGYM_IMAGES"), os.environ.get("XDG_DATA_HOME"))


HOST = Image(workdir="/app")


@lru_cache(maxsize=4096)
def _pinned(name: str, *_: str | None) -> Image:
    return Store().find(name)


def full_name(name: str) -> str:
    """A name as Docker completes it: with the tag latest if it has none, and without the registry that is implied.

    Raises:
        ImageError: It is no name.
    """
    name = name.removeprefix("docker.io/").removeprefix("library/")
    if not _NAME.fullmatch(name):
        raise ImageError(f"{name!r} is no name for an image: letters, digits and . _ - / : @, like python:3.12-slim")
    return name if {":", "@"} & set(name.rpartition("/")[2]) else f"{name}:latest"


class Store:
    """The images in `folder`, or else in $TERMGYM_IMAGES, $XDG_DATA_HOME/termgym/images, ~/.local/share/termgym/images.

    Only its owner may look into it: what is in there are whole systems, setuid programs too.
    """

    def __init__(self, folder: Path | None = None) -> None:
        given = os.environ.get("TERMGYM_IMAGES")
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        self.folder = folder or Path(given or f"{data}/termgym/images").expanduser().absolute()

    # Looking.

    def find(self, name: str) -> Image:
        """The image of a name, a digest, or a digest's first four digits or more. A name without a tag means `latest`.

        Raises:
            UnknownName: There is none; says which is meant, and how to import one.
            ImageError: Several digests begin so, or its entry is damaged.
        """
        digest = self._digest(name) if _NAME.fullmatch(name) else ""
        wanted = name.removeprefix("sha256:")
        if not digest and len(wanted) >= MIN_PREFIX:
            found = [one for one in self._digests() if one.startswith(wanted)]
            if len(found) > 1:
                raise ImageError(f"{len(found)} images have a digest that begins with {wanted}; give more of it")
            digest = "".join(found)
        if not digest:
            raise UnknownName("image", name, self._names(), _ADVICE)
        return self._load(digest)

    def has(self, name: str) -> bool:
        """Whether an image of that name is there."""
        return bool(self._digest(name))

    def _digest(self, name: str) -> str:
        with contextlib.suppress(OSError):  # not there, or longer than a name may be
            return (self.folder / "names" / quote(full_name(name), safe="")).read_text()
        return ""

    def _names(self) -> dict[str, str]:
        names = {unquote(path.name): path.read_text() for path in listed(self.folder / "names")}
        return dict(sorted(names.items()))

    def _digests(self) -> list[str]:
        return [path.stem for path in listed(self.folder / "images")]

    def _load(self, digest: str) -> Image:
        entry = self._entry(digest)
        # Of one that comes twice the upper one shows all that the lower would, and overlayfs takes each only once.
        diff_ids = list(dict.fromkeys(layer.text() for layer in reversed(entry.field("layers").items())))
        layers = tuple(self.folder / "layers" / diff_id for diff_id in reversed(diff_ids))
        return replace(configured(entry.field("config")), digest=digest, layers=layers)

    def _entry(self, digest: str) -> Part:
        path = self.folder / "images" / f"{digest}.json"
        try:
            return Part(str(path), json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise ImageError(f"{path} cannot be read: {error}; import the image again") from None

    # Importing.

    def import_archive(self, path: Path, name: str, budget: Budget | None = None) -> Image:
        """Import what `docker save` or an OCI tool wrote, a tar or an unpacked layout, under a name.

        Raises:
            ImageError: It cannot be used; the store is as it was.
        """
        with self._importing() as tmp, reading():
            return self._add(tmp, path, str(path), full_name(name), budget or Budget())

    def import_folder(self, path: Path, name: str, budget: Budget | None = None) -> Image:
        """Import a copy of a plain root folder, as one layer, under a name.

        Raises:
            ImageError: It cannot be read whole; the store is as it was.
        """
        with self._importing() as tmp, reading():
            diff_id = self._add_layer(tmp, Packing(path), str(path), budget or Budget())
            return self._add_image(tmp, full_name(name), Packed(diff_id, {}, (diff_id,), ()))

    def import_engine(self, source: str, name: str | None = None, budget: Budget | None = None) -> Image:
        """Import the image `source` of the Docker engine that runs here, under its own name unless another is given.

        Raises:
            ImageError: There is no engine, it has no such image, or termgym[docker] is not installed.
        """
        with self._importing() as tmp, reading():
            archive = tmp / "engine.tar"
            with archive.open("wb") as file:
                file.writelines(saved(full_name(source)))
            return self._add(
                tmp, archive, f"the engine's image {source}", full_name(name or source), budget or Budget()
            )

    def extend(self, base: str, layer: Readable, name: str) -> Image:
        """Store an image that is `base` with one more layer, a tar, on top; its programs start as those of `base`.

        Raises:
            ImageError: There is no such base, or the layer is broken; the store is as it was.
        """
        with self._importing() as tmp, reading():
            entry = self._entry(self.find(base).digest)
            diff_id = self._add_layer(tmp, layer, f"the layer of {name}", Budget())
            diff_ids = (*(lower.text() for lower in entry.field("layers").items()), diff_id)
            config = entry.field("config").mapping()
            digest = sha256(json.dumps([diff_ids, config], sort_keys=True).encode()).hexdigest()
            return self._add_image(tmp, full_name(name), Packed(digest, config, diff_ids, ()))

    def _add(self, tmp: Path, path: Path, shown: str, name: str, budget: Budget) -> Image:
        tar = path if path.is_dir() else plain(path, tmp, budget)
        with Archive(tar, shown) as archive:
            packed = archive.image(name)
            if not 0 < len(packed.layers) <= MAX_LAYERS:
                raise ImageError(f"{shown} has {len(packed.layers)} layers, not 1 to {MAX_LAYERS}")
            for number, (member, diff_id) in enumerate(zip(packed.layers, packed.diff_ids, strict=True), 1):
                if not (self.folder / "layers" / diff_id).exists():
                    with archive.open(member) as stream:
                        where = f"{shown}, layer {number} of {len(packed.layers)}"
                        self._add_layer(tmp, stream, where, budget, diff_id)
        return self._add_image(tmp, name, packed)

    def _add_layer(self, tmp: Path, stream: Readable, where: str, budget: Budget, wanted: str = "") -> str:
        folder = tmp / secrets.token_hex(8)
        folder.mkdir()
        try:
            diff_id = unpack(stream, folder, budget)
        except ImageError as error:
            raise ImageError(f"{where}: {error}") from error
        if wanted and diff_id != wanted:
            raise ImageError(f"{where}: its content is not what the image says, {wanted}, but {diff_id}: it is damaged")
        target = self.folder / "layers" / diff_id
        try:
            folder.rename(target)
        except OSError:
            if not target.exists():  # or else another import was first
                raise
        return diff_id

    def _add_image(self, tmp: Path, name: str, packed: Packed) -> Image:
        entry = json.dumps({"layers": packed.diff_ids, "config": packed.config})
        self._write(tmp, self.folder / "images" / f"{packed.digest}.json", entry)
        self._write(tmp, self.folder / "names" / quote(name, safe=""), packed.digest)
        return self._load(packed.digest)

    def _write(self, tmp: Path, path: Path, text: str) -> None:
        new = tmp / secrets.token_hex(8)
        new.write_text(text)
        new.replace(path)

    # Removing.

    def remove(self, name: str) -> None:
        """Forget a name, and the image if it has no other; by its digest, the image with all its names.

        Its layers go with `prune`.

        Raises:
            UnknownName: There is none.
        """
        image = self.find(name)
        with self._held(fcntl.LOCK_EX):
            names = [other for other, digest in self._names().items() if digest == image.digest]
            gone = [full_name(name)] if _NAME.fullmatch(name) and full_name(name) in names else names
            for other in gone:
                (self.folder / "names" / quote(other, safe="")).unlink(missing_ok=True)
            if set(gone) == set(names):
                (self.folder / "images" / f"{image.digest}.json").unlink(missing_ok=True)

    def prune(self) -> list[str]:
        """Delete the layers that no image has, and return their digests. Sandboxes that run from one lose their files.

        It waits until no import goes on.
        """
        with self._held(fcntl.LOCK_EX):
            kept = {layer.name for digest in self._digests() for layer in self._load(digest).layers}
            gone = [path for path in listed(self.folder / "layers") if path.name not in kept]
            for path in gone:
                delete(path)
            return [path.name for path in gone]

    # Locks.

    @contextlib.contextmanager
    def _importing(self) -> Generator[Path]:
        """A folder in tmp/ for one import, gone at the end; those of imports that died go now."""
        with self._held(fcntl.LOCK_SH), contextlib.ExitStack() as held:
            with locked(self.folder / "tmp", fcntl.LOCK_EX):  # so that nobody finds it before it is locked
                self._sweep()
                tmp = self.folder / "tmp" / secrets.token_hex(8)
                tmp.mkdir(0o700)
                held.enter_context(locked(tmp, fcntl.LOCK_EX))
            held.callback(delete, tmp)
            yield tmp

    def _sweep(self) -> None:
        for path in listed(self.folder / "tmp"):
            with contextlib.suppress(BlockingIOError), locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                delete(path)

    @contextlib.contextmanager
    def _held(self, kind: int) -> Generator[None]:
        """Hold the store, made if it is missing: shared to add to it, alone to take away."""
        self.folder.mkdir(0o700, parents=True, exist_ok=True)
        for name in ("images", "layers", "names", "tmp"):
            (self.folder / name).mkdir(0o700, exist_ok=True)
        with locked(self.folder, kind):
            yield

    def list(self) -> dict[str, Image]:
        """All images, by name; by digest where one has no name any more."""
        names = self._names()
        unnamed = {digest: digest for digest in sorted(self._digests()) if digest not in names.values()}
        return {name: self._load(digest) for name, digest in {**names, **unnamed}.items()}
