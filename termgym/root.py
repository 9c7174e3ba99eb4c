"""The root folder of a sandbox, from outside: files are put and got by descriptors, and no path leads out of it."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from termgym.errors import SandboxDied, SandboxFileError
from termgym.launcher import linux
from termgym.task import File

T = TypeVar("T")
KERNELS = ("proc", "sys")
"""Folders whose files are the kernel's: by the rules there, writes count as the host's own root's."""


class Root:
    """A root folder by its descriptor. Only regular files are opened, and none of the kernel's."""

    def __init__(self, fd: int, nodev: bool, other: Callable[[], AbstractContextManager[object]] | None = None) -> None:
        """The root owns `fd` from here on.

        Args:
            fd: The folder.
            nodev: That it is mounted so; else the agent could lay out devices, which are not opened even to look.
            other: Whom to try as where permission is denied.
        """
        self._fd, self._nodev, self._other = fd, nodev, other
        self._kernels = {os.stat(name, dir_fd=fd).st_dev for name in KERNELS if _is_there(name, fd)}

    def put(self, files: Mapping[str, File]) -> None:
        """See `Sandbox.put`."""
        self._check()
        folders: dict[str, int] = {}
        try:
            for path, file in files.items():
                try:
                    self._try(lambda path=path, file=file: self._write(path, file, folders))
                except OSError as error:
                    raise SandboxFileError(f"cannot put {path} into the sandbox: {error.strerror}") from error
        finally:
            for fd in folders.values():
                os.close(fd)

    def get(self, path: str, max_bytes: int) -> bytes:
        """See `Sandbox.get`."""
        self._check()
        try:
            fd = self._try(lambda: self._open(path, os.O_RDONLY))
        except OSError as error:
            raise SandboxFileError(f"cannot get {path} from the sandbox: {error.strerror}") from error
        try:
            data = _read(fd, max_bytes + 1)
        finally:
            os.close(fd)
        if len(data) > max_bytes:
            raise SandboxFileError(f"{path} in the sandbox is larger than {max_bytes} bytes")
        return data

    def make_folder(self, path: str) -> None:
        """Have a folder at `path`, unless something else is in the way."""
        with contextlib.suppress(OSError):
            os.close(self._folder(path))

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, those of `paths` that are there."""
        for path in paths:
            folder, name = os.path.split(path)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                fd = linux.openat2(self._fd, folder, os.O_PATH | os.O_DIRECTORY, cross=True)
                try:
                    os.unlink(name, dir_fd=fd)
                finally:
                    os.close(fd)

    def unblock(self, paths: Iterable[str]) -> None:
        """Remove what is no regular file and no folder: whoever reads a FIFO, say, would wait for ever."""
        for path in paths:
            with contextlib.suppress(OSError):
                fd = linux.openat2(self._fd, path, os.O_PATH | os.O_NOFOLLOW, cross=True)
                mode = os.fstat(fd).st_mode
                os.close(fd)
                if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                    self.remove([path])

    def close(self) -> None:
        """Let go of it. Closing twice is allowed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _try(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except PermissionError:
            if self._other is None:
                raise
            with self._other():
                return act()

    def _check(self) -> None:
        if self._fd < 0:
            raise SandboxDied("the sandbox is not started, or closed")

    def _write(self, path: str, file: File, folders: dict[str, int]) -> None:
        parent, name = os.path.split(path)
        if parent not in folders:
            folders[parent] = self._folder(parent)
        try:  # one that was not there is a regular one, without a look
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folders[parent])
        except FileExistsError:
            fd = self._open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        try:
            rest = memoryview(file.content)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fchmod(fd, file.mode)
            os.utime(fd, (file.mtime, file.mtime))
        finally:
            os.close(fd)

    def _open(self, path: str, flags: int) -> int:
        """Open a regular file."""
        flags |= os.O_NONBLOCK | os.O_NOCTTY
        if self._nodev:
            fd = linux.openat2(self._fd, path, flags, cross=True)
            self._check_regular(fd, path)
            return fd
        found = linux.openat2(self._fd, path, os.O_PATH | flags & os.O_NOFOLLOW, cross=True)
        self._check_regular(found, path)
        try:
            return os.open(f"/proc/self/fd/{found}", flags & ~os.O_NOFOLLOW | os.O_CLOEXEC)
        finally:
            os.close(found)

    def _check_regular(self, fd: int, path: str) -> None:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_dev in self._kernels:
            os.close(fd)
            raise SandboxFileError(f"{path} in the sandbox is not a regular file")

    def _folder(self, path: str) -> int:
        """A descriptor of a folder, made if it is missing."""
        flags = os.O_PATH | os.O_DIRECTORY
        with contextlib.suppress(FileNotFoundError):
            return linux.openat2(self._fd, path, flags, cross=True)
        parent, name = os.path.split(path)
        above = self._folder(parent)
        try:
            os.mkdir(name, 0o755, dir_fd=above)
        finally:
            os.close(above)
        return linux.openat2(self._fd, path, flags, cross=True)


def _is_there(name: str, fd: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _read(fd: int, limit: int) -> bytes:
    data = bytearray()
    while len(data) < limit and (chunk := os.read(fd, min(1 << 20, limit - len(data)))):
        data += chunk
    return bytes(data)
