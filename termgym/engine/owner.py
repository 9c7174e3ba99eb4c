"""Who made a container, by its label: so that what a run leaves behind when it is killed goes with the next one."""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LABEL = "termgym.owner"
"""Whose it is: see `Owner.label`."""
IMAGE_LABEL = "termgym.image"
"""Of a volume: the image that it is a copy of. It stays for as long as that does."""


class Owner(NamedTuple):
    """A process, told from all others that ever were on any machine."""

    machine: str
    boot: str
    pids: str
    """The PID namespace, by its inode."""
    pid: int
    began: str
    """When it began, in ticks since the boot."""

    @classmethod
    def me(cls) -> "Owner":
        """This process."""
        pids = str(Path("/proc/self/ns/pid").stat().st_ino)
        return cls(_machine(), _text("/proc/sys/kernel/random/boot_id"), pids, os.getpid(), _began(os.getpid()))

    @classmethod
    def of(cls, label: str) -> "Owner | None":
        """The owner that a label names; None if it is no label of ours."""
        with suppress(ValueError):
            machine, boot, pids, pid, began = label.split("/")
            return cls(machine, boot, pids, int(pid), began)
        return None

    @property
    def label(self) -> str:
        """The value of `LABEL`."""
        return "/".join(map(str, self))

    def is_dead(self, me: "Owner") -> bool:
        """Whether it is gone for sure; of another machine, or of another PID namespace, nobody here can tell."""
        if self.machine != me.machine:
            return False
        if self.boot != me.boot:
            return True
        return self.pids == me.pids and _began(self.pid) != self.began


def _machine() -> str:
    return _text("/etc/machine-id") or os.uname().nodename


def _text(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text().strip().replace("/", "")
    return ""


def _began(pid: int) -> str:
    """See `Owner.began`; empty where there is no such process."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    return ""
