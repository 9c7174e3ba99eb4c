"""What the kernel tells of processes: their memory, their time, and whose children they are."""

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on, which is the third."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def parent(pid: int) -> int:
    """The process's parent."""
    return int(_stat(pid)[1])


def descendants(pid: int) -> list[int]:
    """All processes under `pid`, without itself."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                children[parent(int(entry.name))].append(int(entry.name))
    found = list(children[pid])
    for one in found:  # which grows meanwhile
        found += children[one]
    return found


def pss_kib(pids: Iterable[int]) -> float:
    """The memory of processes, in which a page that several share counts by its share."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def meminfo_kib() -> dict[str, float]:
    """The machine's memory by what it is used for."""
    lines = [line.split() for line in (PROC / "meminfo").read_text().splitlines()]
    return {line[0].rstrip(":"): float(line[1]) for line in lines}


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(PROC / str(pid) / "fd"))  # noqa: PTH208 - names are all that is wanted


class Cpu(NamedTuple):
    """Processor seconds of processes so far."""

    ran: float
    """Exact."""
    user: float
    system: float
    """Both by the kernel's ticks: whatever ran at one counts for all of it."""

    def since(self, before: "Cpu") -> tuple[float, float]:
        """User and system seconds since then: the exact sum, divided as the ticks are."""
        ran, user, system = (now - then for now, then in zip(self, before, strict=True))
        share = user / ((user + system) or 1.0)
        return ran * share, ran * (1 - share)


def cpu(pids: Iterable[int]) -> Cpu:
    """What processes have used, by their clocks: see clock_getcpuclockid(3)."""
    total = [0.0, 0.0, 0.0]
    for pid in pids:
        with contextlib.suppress(OSError):
            total = [sum_s + time.clock_gettime(~pid << 3 | kind) for kind, sum_s in enumerate(total)]
    both, user, ran = total
    return Cpu(ran, user, both - user)
