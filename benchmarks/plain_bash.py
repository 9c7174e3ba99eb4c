"""Bash on a PTY with nothing around it: the floor under every terminal environment."""

import os
import select
import signal
import termios
from types import TracebackType

from termgym.sandbox import namespace

ENV = {**namespace.ENV, "HOME": "/nonexistent", "PS1": "$ "}
"""What programs start with in a sandbox, but with no files of a user's to read."""


class PlainBash:
    """Bash on a PTY, without a sandbox."""

    def __init__(self, *options: str) -> None:
        self.master, slave = os.openpty()
        termios.tcsetwinsize(slave, (40, 160))
        opened = [(os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0)]
        copied = [(os.POSIX_SPAWN_DUP2, 0, fd) for fd in (1, 2)]
        argv = ["/bin/bash", *options]
        self.pid = os.posix_spawn(argv[0], argv, ENV, file_actions=[*opened, *copied], setsid=True)
        os.close(slave)

    def until_prompt(self) -> bytes:
        """What is printed up to the next prompt."""
        data = b""
        while not data.endswith((b"$ ", b"# ")):
            assert select.select([self.master], [], [], 10)[0], f"no prompt after {data!r}"
            data += os.read(self.master, 4096)
        return data

    def close(self) -> None:
        """Hang up."""
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.master)
        os.waitpid(self.pid, 0)


class Fleet:
    """Many of them, served by one thread: whatever is readable is read, until each is at its next prompt."""

    def __init__(self, count: int) -> None:
        self.bashes = [PlainBash("--norc", "--noprofile") for _ in range(count)]
        self._epoll = select.epoll()
        for bash in self.bashes:
            self._epoll.register(bash.master, select.EPOLLIN)
        self._until_prompts()

    def turn(self, keys: bytes) -> None:
        """Type the same into each, and wait for all their prompts."""
        for bash in self.bashes:
            os.write(bash.master, keys)
        self._until_prompts()

    def _until_prompts(self) -> None:
        ends = {bash.master: b"" for bash in self.bashes}
        while ends:
            ready = self._epoll.poll(10)
            assert ready, f"no prompt from {len(ends)} of {len(self.bashes)}"
            for fd, _ in ready:
                ends[fd] = (ends.get(fd, b"") + os.read(fd, 4096))[-2:]
                if ends[fd] == b"$ ":  # after which it prints nothing more by itself
                    del ends[fd]

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Hang all of them up."""
        self._epoll.close()
        for bash in self.bashes:
            bash.close()
