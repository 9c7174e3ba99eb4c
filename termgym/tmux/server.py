"""The tmux server of an event loop: started for its first terminal, ended with its last, or with this process.

It ends when we let go of it, by dying too, whoever else is attached: a watcher in its first pane sees to that, and
removes its folder. tmux's own `exit-unattached` would wait for people to leave, and for output that nobody reads. What
even a watcher leaves behind is removed when the next server starts.
"""

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import time
import weakref
from functools import cache
from itertools import count
from pathlib import Path

from termgym.errors import SandboxError, SandboxUnavailable
from termgym.launcher_client import ended, reap_ended
from termgym.tmux.control import Control

OLDEST = (3, 3)
"""In older ones, what a program prints can pass through tmux to the terminal of who looks on."""
HISTORY_LINES = 10_000_000
"""As Terminus 2 means to have; it sets this too late, so that its pane keeps tmux's default, 2,000."""
STARTING_S = 60.0
REAP_S = 0.1
DETACH = "C-]"
"""The only key that means anything to tmux: whoever is attached leaves. As in `termgym play`."""
_ATTRIBUTE = "_termgym_tmux"
# Our end of the pipe is closed when we are gone; then the server, which is the watcher's parent, has a moment to put
# people's terminals back as they were. Opened both ways first, since to open it for reading alone would wait for us.
_WATCH = """trap "" HUP; exec 3<>"$FOLDER/alive"; exec 4<"$FOLDER/alive" 3<&-; read -r _ <&4; rm -rf -- "$FOLDER"
kill $PPID; sleep 0.2; grep -q ^tmux /proc/$PPID/comm && kill -9 $PPID"""

# Nothing that is printed reaches the terminal or the host of who looks on but as cells; nothing that is typed there
# reaches tmux's own commands; no environment is taken over.
_SETTINGS = (
    f"set -g history-limit {HISTORY_LINES}",
    "set -s set-clipboard off",
    "set -s escape-time 0",
    "set -g allow-passthrough off",
    "set -g allow-rename off",
    "set -g automatic-rename off",
    "set -g set-titles off",
    "set -g bell-action none",
    "set -g status off",
    "set -g assume-paste-time 0",
    "set -g update-environment ''",
    "set -g prefix None",
    "set -g prefix2 None",
    "set -g mouse off",
    *(f"unbind -a -T {table}" for table in ("prefix", "root", "copy-mode", "copy-mode-vi")),
    f"bind -T root {DETACH} detach-client",
)


class TmuxServer:
    """A tmux server, by its control client."""

    def __init__(self, folder: Path) -> None:
        """Start it, in a folder of its own; it is not ready yet."""
        folder.mkdir(mode=0o700)
        os.mkfifo(folder / "alive")
        self._alive = os.open(folder / "alive", os.O_RDWR | os.O_CLOEXEC)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._pid = _spawn(folder, theirs.fileno())
            self.control = Control(ours)
        self.folder = folder
        self.users = 0
        self.numbers = count(1)
        _alive.add(self)

    def release(self) -> None:
        """Say that one user less needs it: the last one ends it."""
        self.users -= 1
        if self.users <= 0:
            self.close()

    def close(self) -> None:
        """End it. Closing twice is allowed."""
        if self._alive >= 0:
            self.control.close()
            self.forget()
            asyncio.get_running_loop().call_later(REAP_S, reap_ended)

    def forget(self) -> None:
        """Close our descriptors alone."""
        self.control.forget()
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1
            ended.append(self._pid)

    def __del__(self) -> None:
        """Let it end: nobody could close it, whose event loop is gone."""
        self.forget()


_alive: "weakref.WeakSet[TmuxServer]" = weakref.WeakSet()


def _forget_servers() -> None:
    """After a fork: they are the parent's, and would outlive it by our copy of its socket."""
    for one in _alive:
        one.forget()


os.register_at_fork(after_in_child=_forget_servers)


async def server() -> TmuxServer:
    """The server of the running loop, for one user more, who has to `release` it.

    Raises:
        SandboxUnavailable: There is no tmux here, or one that is too old.
        SandboxError: It did not start.
    """
    check()
    loop = asyncio.get_running_loop()
    starting: asyncio.Task[TmuxServer] | None = getattr(loop, _ATTRIBUTE, None)
    if starting is None or _is_over(starting):
        starting = loop.create_task(_start())
        setattr(loop, _ATTRIBUTE, starting)
    found = await asyncio.shield(starting)
    if found.control.closed:
        return await server()
    found.users += 1
    return found


def _is_over(starting: "asyncio.Task[TmuxServer]") -> bool:
    if not starting.done():
        return False
    return starting.cancelled() or starting.exception() is not None or starting.result().control.closed


def check() -> str:
    """The version of the host's tmux.

    Raises:
        SandboxUnavailable: There is none, or it is too old; the message says what to do.
    """
    found = _version()
    if tuple(map(int, re.findall(r"\d+", found)[:2])) < OLDEST:
        what = f"{found} is too old" if found else "there is none"
        raise SandboxUnavailable(
            f'terminal="tmux" needs tmux {".".join(map(str, OLDEST))} or newer on this host, and {what}: '
            'install it (apt-get install tmux), or use terminal="pty"'
        )
    return found


@cache
def _version() -> str:
    with contextlib.suppress(OSError):
        return subprocess.run(["tmux", "-V"], capture_output=True, text=True, check=False).stdout.strip()
    return ""


def runtime_folder() -> Path:
    """The folder of all our servers' folders: this user's own, and nobody else's to look into.

    Raises:
        SandboxError: There is something else by that name.
    """
    user = os.geteuid()
    run = Path(f"/run/user/{user}")
    folder = (run if os.access(run, os.W_OK) else Path(tempfile.gettempdir())) / f"termgym-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user or status.st_mode & 0o077:
        raise SandboxError(f"{folder} is not a folder that is only this user's: remove it")
    return folder


async def _start() -> TmuxServer:
    reap_ended()
    _sweep()
    folder = runtime_folder() / f"{os.getpid()}-{secrets.token_hex(4)}"
    found = TmuxServer(folder)
    try:
        await found.control.ask(replies=1)  # to what it was started with
        await found.control.ask(*_SETTINGS)
    except BaseException:
        found.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return found


def _spawn(folder: Path, fd: int) -> int:
    """Start the server by its control client, with nothing of our environment, in a session of its own."""
    env = {"PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "xterm-256color", "SHELL": "/bin/sh", "FOLDER": str(folder)}
    argv = ["tmux", "-u", "-S", str(folder / "s"), "-f", "/dev/null", "-C", "new-session", "-s", "hold", "--"]
    argv += ["sh", "-c", _WATCH]
    actions = [
        (os.POSIX_SPAWN_DUP2, fd, 0),
        (os.POSIX_SPAWN_DUP2, fd, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    return os.posix_spawnp(argv[0], argv, env, file_actions=actions, setsid=True)


def _sweep() -> None:
    """Remove the folders of servers that are gone."""
    for folder in runtime_folder().iterdir():
        if _is_gone(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_gone(folder: Path) -> bool:
    """Whether neither the owner nor the watcher lives, who have the pipe open; a socket refuses at first."""
    try:
        os.close(os.open(folder / "alive", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:  # the pipe has no reader, is not there yet, or never will be
        with contextlib.suppress(OSError):
            return (folder / "s").exists() or time.time() - folder.stat().st_mtime > STARTING_S
    return False
