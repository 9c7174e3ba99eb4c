"""What folders show that lie on each other, by the rules of overlayfs (Documentation/filesystems/overlayfs.rst).

A character device 0/0 hides what is below it, a folder marked opaque what is below it, and a file any folder. No link
is followed: a path through one is not there. So what is found lies in one of the folders, whatever is in them.
"""

import os
import stat

OPAQUE = "user.overlay.opaque"


def find(layers: list[str], path: str) -> list[str]:
    """Where `path` is, in `layers` with the uppermost first: the folders that it is merged of, or one other file."""
    here = layers
    for name in path.split("/"):
        here = _entry([folder for folder in here if is_folder(folder)], name)
    return here


def names(folders: list[str]) -> list[str]:
    """The names in the folders that `find` returned; `find` tells which of them are hidden."""
    return sorted({name for folder in folders for name in os.listdir(folder)})


def is_folder(path: str) -> bool:
    """Whether a folder, and no link to one, is there."""
    return os.path.isdir(path) and not os.path.islink(path)


def _entry(folders: list[str], name: str) -> list[str]:
    found: list[str] = []
    for folder in folders:
        path = f"{folder}/{name}"
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISDIR(status.st_mode):
            hides = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
            return found if found or hides else [path]
        found.append(path)
        if _is_opaque(path):
            break
    return found


def _is_opaque(folder: str) -> bool:
    try:
        return os.getxattr(folder, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False
