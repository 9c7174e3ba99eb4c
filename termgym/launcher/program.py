"""A program inside a box: started by the process that serves there, as root or as another account.

Root's is spawned. For another account a fork of the server gives up its ids first. The server's own stay root's: a
change of them would undo its death signal and its protection from being traced, and let the account signal it.
"""

import errno
import os
import signal
import struct
from fcntl import ioctl

from . import linux

# Put back to their defaults for each program: what the server ignores must not be ignored by what it starts.
SIGNALS = set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}

TIOCSWINSZ, TIOCSPTLCK, TIOCGPTN = 0x5414, 0x40045431, 0x80045430


def open_pty(rows: int, cols: int) -> list[int]:
    """A new terminal of the box's own devpts: [master, slave]."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    ioctl(master, TIOCSWINSZ, struct.pack("4H", rows, cols, 0, 0))
    number = struct.unpack("i", ioctl(master, TIOCGPTN, b"\0" * 4))[0]
    return [master, os.open(f"/dev/pts/{number}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)]


def find(name: str, env: dict[str, str]) -> str:
    """The path of a program, as a shell would find it: a name without a slash is looked for in PATH."""
    if "/" in name:
        return name
    paths = (f"{folder or '.'}/{name}" for folder in env.get("PATH", "").split(":"))
    return next((path for path in paths if os.access(path, os.X_OK) and os.path.isfile(path)), name)


class Program:
    """What one request asks to start, in a session of its own; without descriptors its streams are /dev/null."""

    def __init__(self, request: dict[str, object], fds: list[int]) -> None:
        self.argv: list[str] = request["argv"]  # type: ignore[assignment]
        self.env: dict[str, str] = request["env"]  # type: ignore[assignment]
        self.cwd: str = request["cwd"]  # type: ignore[assignment]
        self.make_cwd = bool(request["make_cwd"])
        self.account: tuple[int, int, list[int]] | None = request["account"]  # type: ignore[assignment]
        self.path = os.ttyname(fds[0]) if request["op"] == "pty" else "" if fds else "/dev/null"
        self.fds = fds

    def start(self) -> int:
        """Start it; returns its PID."""
        if self.make_cwd:
            os.makedirs(self.cwd, exist_ok=True)
        os.chdir(self.cwd)
        try:
            path = find(self.argv[0], self.env)
            return self._spawn(path) if self.account is None else self._fork(path, self.account)
        finally:
            os.chdir("/")

    def _spawn(self, program: str) -> int:
        actions: list[tuple[int, ...]] = []
        if self.path:
            actions.append((os.POSIX_SPAWN_OPEN, 0, self.path, os.O_RDWR, 0))  # type: ignore[arg-type]
            actions += [(os.POSIX_SPAWN_DUP2, 0, number) for number in (1, 2)]
        else:
            actions += [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(self.fds)]
        return os.posix_spawn(
            program, self.argv, self.env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=SIGNALS
        )

    def _fork(self, program: str, account: tuple[int, int, list[int]]) -> int:
        for fd in self.fds:
            os.fchown(fd, account[0], account[1])  # so that it may open its terminal and its streams by name
        failed, tell = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
            if pid == 0:
                self._become(program, account, tell)
        finally:
            os.close(tell)
        told = os.read(failed, 4)
        os.close(failed)
        if told:
            os.waitpid(pid, 0)
            code = struct.unpack("i", told)[0]
            raise OSError(code, os.strerror(code))
        return pid

    def _become(self, program: str, account: tuple[int, int, list[int]], tell: int) -> None:
        """What the fork does: it must never come back as a second server."""
        code = errno.EINVAL  # for a NUL in an argument
        try:
            self._take_streams(tell)
            uid, gid, groups = account
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            linux.prctl(linux.PR_SET_DUMPABLE, 0)  # undone by the change of ids, where fs.suid_dumpable is set
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            os.execve(program, self.argv, self.env)
        except OSError as error:
            code = error.errno or code
        finally:
            os.write(tell, struct.pack("i", code))
            os._exit(127)

    def _take_streams(self, kept: int) -> None:
        """Let go of all that is the server's, its socket above all, before anyone but root could get at it."""
        os.setsid()
        for number, fd in enumerate([os.open(self.path, os.O_RDWR)] * 3 if self.path else self.fds):
            os.dup2(fd, number)
        os.closerange(3, kept)
        os.closerange(kept + 1, 1 << 20)
