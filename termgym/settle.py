"""Whether whoever has the keyboard waits for a key: read from the kernel, not guessed from silence.

A terminal has settled when the program in its foreground blocks on reading the terminal and nothing of its process
group runs. The kernel tells: TIOCGPGRP on the master names the foreground group, /proc/TID/syscall what a thread is
blocked in, /proc/TID/schedstat whether it ran at all since the keys were typed. Bash at its prompt, vim and top sit
in pselect on the terminal, less and cat in read; a shell that waits for `$(...)` sits in read of a pipe.

It needs the right to trace what runs inside: true for sandboxes that this user made, by namespaces or a local Docker
engine as root; elsewhere `Foreground.look` says UNKNOWN, and silence has to do.
"""

import errno
import os
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from fcntl import ioctl
from math import inf

_TIOCGPGRP = 0x540F
_READS = {"x86_64": {0, 19}, "aarch64": {63, 65}}  # read, readv
_SELECTS = {"x86_64": {23, 270}, "aarch64": {72}}  # select, pselect6
_POLLS = {"x86_64": {7, 271}, "aarch64": {73}}  # poll, ppoll
_EPOLLS = {"x86_64": {232, 281, 441}, "aarch64": {22, 441}}  # epoll_wait, epoll_pwait, epoll_pwait2
_SELECT, _POLL, _EPOLL_PWAIT2 = (23, 7, 441) if platform.machine() == "x86_64" else (-1, -1, 441)
_MAX_FDS = 1024
_MOMENT_S = 1.0
_POLLIN = 1
_RUNNING = -1


class State(Enum):
    """What the foreground process group does."""

    BUSY = "busy"
    """It runs, or waits for something else than a key."""
    WAITING = "waiting"
    """It waits for a key and for nothing else."""
    MIXED = "mixed"
    """It waits for a key or for something else, whichever comes first: a socket, a pipe, a child."""
    TIMED = "timed"
    """It waits for a key, but goes on without one in less than a second: vim as it quits, a game between frames."""
    UNKNOWN = "unknown"
    """The kernel does not tell us."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at the foreground: its group, its state, and how often each of its threads has been scheduled."""

    group: int
    state: State
    runs: dict[int, int]

    def moved(self, earlier: "Sight") -> bool:
        """Whether anything in the foreground ran since `earlier`, or the foreground is another."""
        return self.group != earlier.group or self.runs != earlier.runs


class Foreground:
    """The foreground process group of one terminal, by the descriptors of `termgym.sandbox.Pty`."""

    def __init__(self, stream: int, slave: int, shell: int, init: int) -> None:
        """`shell` is the terminal's first process, and `init` the sandbox's.

        All that runs inside descends from them, or was there before.
        """
        self._stream, self._init = stream, init
        self._shell = Prompt(shell)
        self._is_master = os.isatty(stream)
        self._device = (0, 0)
        if slave >= 0:
            device = os.fstat(slave)
            self._device = (device.st_dev, device.st_rdev)
        self._before = set(self._descendants()) if init else set[int]()
        machine = platform.machine()
        self._reads, self._selects = _READS.get(machine, set[int]()), _SELECTS.get(machine, set[int]())
        self._polls, self._epolls = _POLLS.get(machine, set[int]()), _EPOLLS.get(machine, set[int]())

    def look(self) -> Sight:
        """The foreground now. Takes about 0.015 ms for a shell at its prompt, 0.05 for another program."""
        group = self._group()
        runs: dict[int, int] = {}
        if not group:
            return Sight(group, State.UNKNOWN, runs)
        if group == self._shell.pid and (ran := self._shell.look()) is not None:
            return Sight(group, State.WAITING, {group: ran})
        try:
            state = self._process(group, runs)
            if state is not State.WAITING and runs.get(group) != _RUNNING:
                state = self._strongest(state, group, runs)
        except PermissionError:
            state = State.UNKNOWN
        return Sight(group, state, runs)

    def close(self) -> None:
        """Close what is kept open; nothing can be looked at any more."""
        self._shell.close()

    def stopped(self, pid: int) -> bool:
        """Whether a process, or the sandbox's first one, has been stopped (SIGSTOP), or is gone."""
        try:
            states = [_fields(one)[0] for one in (pid, self._init) if one]
        except (FileNotFoundError, ProcessLookupError):
            return True
        return any(state in (b"T", b"t", b"X", b"Z") for state in states)

    def alone(self, pid: int) -> bool:
        """Whether `pid` is all that runs, beside what was there before the terminal."""
        return set(self._descendants()) - self._before <= {pid}

    def _group(self) -> int:
        try:
            if self._is_master:
                return struct.unpack("i", ioctl(self._stream, _TIOCGPGRP, b"\0" * 4))[0]
            return max(0, int(_fields(self._shell.pid)[5])) if self._shell.pid else 0
        except OSError:
            return 0

    def _strongest(self, leader: State, group: int, runs: dict[int, int]) -> State:
        """The group's state from its members': busy if one runs, else waiting if one waits for a key."""
        states = [leader, *(self._process(pid, runs) for pid in self._members(group) if pid != group)]
        if _RUNNING in runs.values():
            return State.BUSY
        return _first(states)

    def _members(self, group: int) -> Iterator[int]:
        """The processes of the group."""
        for pid in self._descendants():
            try:
                if int(_fields(pid)[2]) == group:
                    yield pid
            except (FileNotFoundError, ProcessLookupError):
                continue

    def _descendants(self) -> Iterator[int]:
        """The sandbox's first process, the terminal's, and all that descend from them."""
        pending, seen = [self._init, self._shell.pid], set[int]()
        while pending:
            pid = pending.pop()
            if pid in seen:
                continue
            seen.add(pid)
            try:
                for tid in os.listdir(f"/proc/{pid}/task"):
                    pending += map(int, _read(f"/proc/{pid}/task/{tid}/children").split())
                yield pid
            except (FileNotFoundError, ProcessLookupError):
                continue

    def _process(self, pid: int, runs: dict[int, int]) -> State:
        """The strongest state of a process's threads; notes how often each ran, as -1 if it runs now."""
        states: list[State] = []
        try:
            for tid in _threads(pid):
                line = _read(f"/proc/{tid}/syscall")
                if line == b"running\n":
                    runs[tid] = _RUNNING
                    return State.BUSY
                runs[tid] = int(_read(f"/proc/{tid}/schedstat").split()[2])
                states.append(self._thread(tid, line.split()))
                if tid == self._shell.pid and states == [State.WAITING]:
                    self._shell.remember(line)
        except (FileNotFoundError, ProcessLookupError):
            return State.BUSY  # it ended while we looked
        return _first(states)

    def _thread(self, tid: int, call: list[bytes]) -> State:
        number = int(call[0])
        if number < 0:
            return State.BUSY
        args = [int(word, 16) for word in call[1:6]]
        try:
            fds, moment = self._awaited(tid, number, args)
            ours = [self._is_terminal(tid, fd) for fd in fds]
        except PermissionError:
            raise
        except (OSError, ValueError, IndexError):
            return State.BUSY  # it went on while we looked, or lies to us
        if not any(ours):
            return State.BUSY
        return State.TIMED if moment < _MOMENT_S else State.WAITING if all(ours) else State.MIXED

    def _awaited(self, tid: int, number: int, args: list[int]) -> tuple[list[int], float]:
        """The descriptors that a system call waits to read from, and for how many seconds at most."""
        if number in self._reads:
            return [args[0]], inf
        if number in self._selects:
            unit = 1e-6 if number == _SELECT else 1e-9
            return self._selected(tid, args[0], args[1]), _timeout(tid, args[4], unit)
        if number in self._polls:
            wait_s = _milliseconds(args[2]) if number == _POLL else _timeout(tid, args[2], 1e-9)
            return self._polled(tid, args[0], args[1]), wait_s
        if number in self._epolls:
            wait_s = _timeout(tid, args[3], 1e-9) if number == _EPOLL_PWAIT2 else _milliseconds(args[3])
            return self._epolled(tid, args[0]), wait_s
        return [], inf

    def _selected(self, tid: int, count: int, address: int) -> list[int]:
        if not address or count > _MAX_FDS:
            return []
        bits = _memory(tid, address, (count + 63) // 64 * 8)
        return [fd for fd in range(count) if bits[fd // 8] >> fd % 8 & 1]

    def _polled(self, tid: int, address: int, count: int) -> list[int]:
        if not address or count > _MAX_FDS:
            return []
        entries = struct.iter_unpack("ihh", _memory(tid, address, count * 8))
        return [fd for fd, events, _ in entries if fd >= 0 and events & _POLLIN]

    def _epolled(self, tid: int, epoll: int) -> list[int]:
        lines = _read(f"/proc/{tid}/fdinfo/{epoll}").decode().splitlines()
        fields = [line.split() for line in lines if line.startswith("tfd:")]
        return [int(field[1]) for field in fields if int(field[3], 16) & _POLLIN]

    def _is_terminal(self, tid: int, fd: int) -> bool:
        """Whether a descriptor of the thread is this terminal, under its own name or as /dev/tty."""
        status = os.stat(f"/proc/{tid}/fd/{fd}")
        return (status.st_dev, status.st_rdev) == self._device or status.st_rdev == os.makedev(5, 0)


class Prompt:
    """The shell at its prompt: a call that it was once seen to wait for a key in is known again by its arguments.

    Saves most of a look, and most looks are at a prompt: its files of /proc stay open, and what the arguments point to
    is not read again.
    """

    def __init__(self, pid: int) -> None:
        """Nothing is known yet."""
        self.pid = pid
        self._line = b""
        self._files: tuple[int, int] | None = None

    def remember(self, line: bytes) -> None:
        """`line`, of /proc/PID/syscall, is a wait for a key with no end."""
        if self._files is None:
            calls, runs = (f"/proc/{self.pid}/{name}" for name in ("syscall", "schedstat"))
            self._files = os.open(calls, os.O_RDONLY | os.O_CLOEXEC), os.open(runs, os.O_RDONLY | os.O_CLOEXEC)
        self._line = line

    def look(self) -> int | None:
        """How often it has been scheduled, if it waits as it did; None if a closer look is needed."""
        if self._files is None:
            return None
        calls, runs = self._files
        try:
            return int(os.pread(runs, 64, 0).split()[2]) if os.pread(calls, 256, 0) == self._line else None
        except (OSError, IndexError):
            return None

    def close(self) -> None:
        """Close its files."""
        for fd in self._files or ():
            os.close(fd)
        self._files = None


def _first(states: list[State]) -> State:
    return next((state for state in (State.WAITING, State.MIXED, State.TIMED) if state in states), State.BUSY)


def _timeout(tid: int, address: int, unit: float) -> float:
    """The seconds of a timeval or timespec in the process's memory; no address is no limit."""
    if not address:
        return inf
    seconds, rest = struct.unpack("qq", _memory(tid, address, 16))
    return seconds + rest * unit


def _milliseconds(value: int) -> float:
    """The seconds of a C int of milliseconds; negative is no limit."""
    return inf if value & 0x8000_0000 else (value & 0x7FFF_FFFF) / 1000


def _threads(pid: int) -> list[int]:
    folder = f"/proc/{pid}/task"
    if os.stat(folder).st_nlink == 3:  # its own two links and one thread: no need to list it
        return [pid]
    return [int(tid) for tid in os.listdir(folder)]


def _fields(pid: int) -> list[bytes]:
    """What follows a process's name in /proc/PID/stat: its state, parent, group, session, terminal, its group."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)


def _memory(tid: int, address: int, size: int) -> bytes:
    """`size` bytes of the process's memory. What it holds, and whether it is there, is the agent's to say."""
    fd = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(fd, size, address)
    finally:
        os.close(fd)
    if len(data) < size:
        raise OSError(errno.EFAULT, "the memory ends there")
    return data
