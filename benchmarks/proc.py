"""What the kernel tells of processes: their memory, their time, and whose children they are."""

import contextlib
import os
import resource
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
_SCHEDULED = 2
"""With a process's id above it, the number of the clock of its processor time: clock_getcpuclockid(3)."""


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


def cpu_s(pids: Iterable[int]) -> tuple[float, float]:
    """User and system seconds of processes so far.

    The sum is exact; how it divides goes by the clock ticks of all of them together, since those of one that ran
    little are few.
    """
    ran = user = system = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = _stat(pid)
            user, system = user + int(fields[11]), system + int(fields[12])
            ran += time.clock_gettime(~pid << 3 | _SCHEDULED)
    ticks = (user + system) or 1.0
    return ran * user / ticks, ran * system / ticks


def own_cpu_s() -> tuple[float, float]:
    """User and system seconds of this process so far, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime, used.ru_stime
