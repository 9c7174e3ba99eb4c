"""The slave side of a container's terminal, where this host's /proc shows the program on it."""

import os
import stat

MAJORS = range(136, 144)


def open_slave(pid: int) -> int:
    """The slave side of the terminal that a process has as its standard input; -1 if that is none by now."""
    try:
        found = os.open(f"/proc/{pid}/fd/0", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        status = os.fstat(found)  # before it is opened: the agent's programs say what it is, and opening may do things
        if not stat.S_ISCHR(status.st_mode) or os.major(status.st_rdev) not in MAJORS:
            return -1
        return os.open(f"/proc/self/fd/{found}", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(found)
