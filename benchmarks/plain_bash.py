"""Bash on a PTY with nothing around it: the floor under every terminal environment."""

import os
import select
import signal
import termios

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
