"""Images without a daemon: an image is folders that lie on each other, and how its programs are to start.

The store (termgym.image.store) holds them; it gets them from archives, folders and engines.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from termgym.errors import ImageError
from termgym.launcher import layers as stack
from termgym.launcher.rootfs import WRITTEN

MAX_ID = 2**31 - 1
MAX_TABLE_BYTES = 1 << 20


class Account(NamedTuple):
    """Who a program runs as, inside."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    """All of its groups, `gid` first."""
    name: str
    """Its name, or else its number."""
    home: str

    @property
    def is_root(self) -> bool:
        """Whether it may do all: it needs no other groups then."""
        return (self.uid, self.gid) == (0, 0)


ROOT = Account(0, 0, (0,), "root", "/root")


@dataclass(frozen=True, slots=True)
class Image:
    """A root file system, and what its configuration says of programs. Empty fields are what Docker takes them for."""

    digest: str = ""
    """SHA-256, in hex: of its configuration, or of its content where it was a plain folder. Of a folder that is used
    where it lies it is the path; empty for the host's own userland."""
    layers: tuple[Path, ...] = ()
    """Folders, the lowest first; none is the host's own userland."""
    env: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    workdir: str = "/"
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()

    def account(self, user: str) -> Account:
        """Who `user` is here: `name`, `uid`, `name:group`, `uid:gid`; empty is root.

        By Docker's rules (moby/sys/user, GetExecUser): a number needs no entry in /etc/passwd, its group is 0 then and
        its home /; only without a group does an account get its other ones. Root is root even without /etc/passwd.

        Raises:
            ImageError: The image has no such user or group.
        """
        return _account(self, user)


@lru_cache(maxsize=1024)
def _account(image: Image, user: str) -> Account:
    name, _, group = user.partition(":")
    known = _user(image, name or "0")
    gid = _group(image, user, group) if group else known.gid
    groups = (gid,) if group else (gid, *(number for number in known.groups if number != gid))
    return known._replace(gid=gid, groups=groups)


def _user(image: Image, wanted: str) -> Account:
    for fields in _table(image, "passwd", 7):
        if fields[2 if wanted.isdecimal() else 0] == wanted and _is_id(fields[3]):
            others = tuple(int(line[2]) for line in _table(image, "group", 4) if fields[0] in line[3].split(","))
            return Account(int(fields[2]), int(fields[3]), others, fields[0], fields[5] or "/")
    if wanted in ("0", "root"):
        return ROOT
    return Account(_id(image, wanted, f"user {wanted!r}: its /etc/passwd does not name it"), 0, (), wanted, "/")


def _group(image: Image, user: str, wanted: str) -> int:
    for fields in _table(image, "group", 4):
        if fields[2 if wanted.isdecimal() else 0] == wanted:
            return int(fields[2])
    return _id(image, wanted, f"group {wanted!r} of the user {user!r}: its /etc/group does not name it")


def _id(image: Image, text: str, what: str) -> int:
    if not _is_id(text):
        raise ImageError(f"the image {image.digest or 'of the host'} has no {what}")
    return int(text)


def _table(image: Image, name: str, columns: int) -> list[list[str]]:
    """The lines of /etc/passwd or /etc/group, as the image's layers show it; none if it is missing or a link."""
    text = _text(image, f"etc/{name}") if image.layers else WRITTEN[f"etc/{name}"]
    lines = [line.split(":") for line in text.splitlines() if not line.startswith("#")]
    return [line + [""] * (columns - len(line)) for line in lines if len(line) >= 3 and _is_id(line[2])]


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID


def _text(image: Image, path: str) -> str:
    found = stack.find([str(layer) for layer in reversed(image.layers)], path)
    if not found:
        return ""
    try:
        fd = os.open(found[0], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a link, above all
        return ""
    with os.fdopen(fd, "rb") as file:
        return file.read(MAX_TABLE_BYTES).decode(errors="replace") if stat.S_ISREG(os.fstat(fd).st_mode) else ""
