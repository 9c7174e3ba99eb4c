"""One layer: a tar, unpacked into a folder that overlayfs can lay over others.

What it holds is a stranger's. Every path is resolved by the kernel, below the folder and through no link at all
(openat2, RESOLVE_IN_ROOT and RESOLVE_NO_SYMLINKS), so that nothing outside can be made, changed or linked to.

What is left out: devices and sockets (a sandbox has a /dev of its own, and a device 0/0 would hide a file), and
extended attributes (one could make the overlay show what the layer does not have).
"""

import contextlib
import errno
import io
import os
import shutil
import stat
from collections.abc import Generator, Iterator
from pathlib import Path

from termgym.errors import ImageError
from termgym.image.stream import Budget, Hashed, decompressed, reading
from termgym.image.tar import CHARACTER, DEVICE, FIFO, FILE, FOLDER, HARD_LINK, SYMLINK, Member, Readable, Tar
from termgym.launcher import linux
from termgym.launcher.layers import OPAQUE

NOBODY = 65_534
"""Whose files are that have an owner above 65,535: no sandbox has more ids."""
MAX_PATH_BYTES, MAX_DEPTH = 4_095, 256
_WHITEOUT, _META, _OPAQUE_MARK = b".wh.", b".wh..wh.", b".wh..wh..opq"
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_LATEST = 1 << 33


def unpack(stream: Readable, folder: Path, budget: Budget) -> str:
    """Unpack a layer, compressed or not, into an empty folder; returns its diff_id, which the caller is to check.

    As root, files get the owners that the tar gives; otherwise they are the user's own. Of a name that comes twice
    the last one counts.

    Raises:
        ImageError: It is broken, reaches outside, or takes more than the budget; the folder holds rubbish then.
    """
    with reading(), _Folder(folder) as layer:
        hashed = Hashed(decompressed(stream), budget)
        tar = Tar(io.BufferedReader(hashed, 1 << 20))
        for member in tar:
            budget.take_entry()
            with _naming(member):
                layer.add(member, tar.content())
        layer.finish()
        return hashed.digest()


@contextlib.contextmanager
def _naming(member: Member) -> Generator[None]:
    try:
        yield
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.ENOTDIR)
        reason = "its path goes through a link or a file" if link else error.strerror
        raise ImageError(f"cannot unpack {member.shown}: {reason}") from error


class _Folder:
    """The folder that a layer is unpacked into."""

    def __init__(self, path: Path) -> None:
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._here, self._fd = b"", os.dup(self._root)
        self._chown = os.geteuid() == 0
        self._folders: dict[bytes, Member] = {}
        self._links: list[Member] = []

    def __enter__(self) -> "_Folder":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        os.close(self._root)

    def add(self, member: Member, content: Iterator[bytes]) -> None:
        """Unpack one member."""
        path = _inside(member.name)
        folder, _, name = path.rpartition(b"/")
        if any(part.startswith(_META) for part in folder.split(b"/")) or member.kind in (CHARACTER, DEVICE):
            return
        if name.startswith(_WHITEOUT):
            self._hide(member, folder, name)
        elif member.kind == FOLDER:
            self._add_folder(member, path)
        elif member.kind == HARD_LINK:
            self._add_link(member)
        else:
            self._enter(folder, member)
            try:
                self._add_file(member, name, content)
            except FileExistsError:
                self._clear(name)
                self._add_file(member, name, content)

    def finish(self) -> None:
        """Make the links that came before their files, and give folders their modes.

        The deepest first, since a mode may forbid to enter.
        """
        links, self._links = self._links, []
        for member in links:
            with _naming(member):
                self._add_link(member)
        for member in self._links:
            shown = repr(member.link.decode(errors="backslashreplace"))
            raise ImageError(
                f"{member.shown} is a hard link to {shown}, which is no file of the same layer; "
                "build the image again so that the layer has the file itself"
            )
        for path in sorted(self._folders, key=lambda path: path.count(b"/") if path else -1, reverse=True):
            self._finish_folder(path, self._folders[path])

    def _finish_folder(self, path: bytes, member: Member) -> None:
        try:
            fd = linux.openat2(self._root, path or b".", _FOLDER_FLAGS, links=False)
        except OSError as error:
            if error.errno in _NO_FOLDER:  # something else has taken its place
                return
            raise
        try:
            # The uppermost must stay ours to move: that takes write permission.
            self._settle(fd, member, member.mode | (0 if path else 0o700))
        finally:
            os.close(fd)

    # Folders.

    def _enter(self, path: bytes, member: Member) -> None:
        """Be in the folder at `path`, with it and those above it made where they are missing."""
        if path == self._here:
            return
        try:
            self._move(linux.openat2(self._root, path or b".", _FOLDER_FLAGS, links=False), path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            self._move(os.dup(self._root), b"")
            for name in path.split(b"/"):
                self._enter_one(name, member)

    def _enter_one(self, name: bytes, member: Member) -> None:
        path = self._here + b"/" + name if self._here else name
        hidden = _is_whiteout(name, self._fd)
        if hidden:
            os.unlink(name, dir_fd=self._fd)
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self._fd)
            self._folders[path] = member._replace(mode=0o755, uid=0, gid=0)
        self._move(os.open(name, _FOLDER_FLAGS, dir_fd=self._fd), path)
        if hidden:
            os.setxattr(self._fd, OPAQUE, b"y")

    def _move(self, fd: int, path: bytes) -> None:
        os.close(self._fd)
        self._here, self._fd = path, fd

    def _add_folder(self, member: Member, path: bytes) -> None:
        above, _, name = path.rpartition(b"/")
        if path:
            self._enter(above, member)
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode) and not stat.S_ISCHR(status.st_mode):
                    os.unlink(name, dir_fd=self._fd)
            self._enter_one(name, member)
        self._folders[path] = member

    # Files.

    def _add_file(self, member: Member, name: bytes, content: Iterator[bytes]) -> None:
        if member.kind == SYMLINK:
            os.symlink(member.link, name, dir_fd=self._fd)
            self._settle_name(name, member)
        elif member.kind == FIFO:
            os.mkfifo(name, 0o600, dir_fd=self._fd)
            self._settle_name(name, member)
            os.chmod(name, member.mode, dir_fd=self._fd)
        elif member.kind == FILE:
            fd = os.open(name, _FILE_FLAGS, 0o600, dir_fd=self._fd)
            try:
                for piece in content:
                    _write(fd, piece)
                self._settle(fd, member, member.mode)
            finally:
                os.close(fd)

    def _add_link(self, member: Member) -> None:
        """Another name of a file; later, if this layer does not have it yet.

        Of a lower layer's file there is none to be had: a layer is one and the same wherever it lies.
        """
        path, target = _inside(member.name), _inside(member.link)
        folder, _, name = path.rpartition(b"/")
        above, _, source = target.rpartition(b"/")
        try:
            fd = linux.openat2(self._root, above or b".", _FOLDER_FLAGS, links=False)
        except FileNotFoundError:
            self._links.append(member)
            return
        try:
            if _is_file(source, fd) and path != target:
                self._enter(folder, member)
                self._clear(name)
                os.link(source, name, src_dir_fd=fd, dst_dir_fd=self._fd, follow_symlinks=False)
            else:
                self._links.append(member)
        finally:
            os.close(fd)

    def _hide(self, member: Member, folder: bytes, name: bytes) -> None:
        """A whiteout: of all that lower layers have in this folder, or of one name there."""
        if name.startswith(_META) and name != _OPAQUE_MARK:
            return  # what AUFS kept for itself
        hidden = name[len(_WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise ImageError(f"{member.shown} hides nothing that could be there")
        self._enter(folder, member)
        if name == _OPAQUE_MARK:
            os.setxattr(self._fd, OPAQUE, b"y")
            return
        try:
            os.mknod(hidden, stat.S_IFCHR | 0o600, os.makedev(0, 0), dir_fd=self._fd)
        except FileExistsError:  # what this layer has stays; of a folder, only that
            with contextlib.suppress(NotADirectoryError):
                fd = os.open(hidden, _FOLDER_FLAGS, dir_fd=self._fd)
                os.setxattr(fd, OPAQUE, b"y")
                os.close(fd)

    def _clear(self, name: bytes) -> None:
        """Make room for `name` where we are."""
        try:
            os.unlink(name, dir_fd=self._fd)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            shutil.rmtree(name, dir_fd=self._fd)

    # Owners, modes, times.

    def _settle(self, fd: int, member: Member, mode: int) -> None:
        if self._chown:
            os.fchown(fd, _id(member.uid), _id(member.gid))
        os.fchmod(fd, mode)  # after the owner: a change of that takes setuid away
        os.utime(fd, (_time(member), _time(member)))

    def _settle_name(self, name: bytes, member: Member) -> None:
        if self._chown:
            os.chown(name, _id(member.uid), _id(member.gid), dir_fd=self._fd, follow_symlinks=False)
        os.utime(name, (_time(member), _time(member)), dir_fd=self._fd, follow_symlinks=False)


def _inside(name: bytes) -> bytes:
    """A path below the root, as Docker takes it: from the root, without `.` and doubled slashes."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    path = b"/".join(parts)
    if b".." in parts or b"\0" in path or len(path) > MAX_PATH_BYTES or len(parts) > MAX_DEPTH:
        shown = repr(path[:200].decode(errors="backslashreplace"))
        raise ImageError(
            f"the path {shown} has `..` or a NUL in it, or is longer than {MAX_PATH_BYTES} bytes or {MAX_DEPTH} names"
        )
    return path


def _is_file(name: bytes, folder: int) -> bool:
    """Whether there is a file that may have another name."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISFIFO(mode)


def _is_whiteout(name: bytes, folder: int) -> bool:
    try:
        return stat.S_ISCHR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _write(fd: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _id(number: int) -> int:
    return number if 0 <= number < 1 << 16 else NOBODY


def _time(member: Member) -> float:
    return min(max(member.mtime, 0), _LATEST)
