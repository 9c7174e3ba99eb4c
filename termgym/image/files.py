"""What the store does with folders: it holds them, lists them, and deletes them whatever their modes."""

import contextlib
import fcntl
import os
import shutil
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
    for folder, names, _ in os.walk(tree):
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(tree)
