"""What the store does with folders: it holds them, lists them, and deletes them whatever their modes."""

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Generator, Sequence
from pathlib import Path


@contextlib.contextmanager
def locked(folder: Path, kind: int) -> Generator[None]:
    """Hold a lock on a folder, of a kind that flock(2) has."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)


def listed(folder: Path) -> Sequence[Path]:
    """What is in a folder, in order; nothing if it is missing."""
    return sorted(folder.iterdir()) if folder.exists() else []


def delete(tree: Path) -> None:
    """Delete a tree of an image, whose folders' modes may forbid it to all but root."""
    for _, names, _, fd in os.fwalk(tree):  # by descriptors: a path in there may be longer than one may be from here
        for name in names:
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                os.chmod(name, 0o700, dir_fd=fd)
    shutil.rmtree(tree)
