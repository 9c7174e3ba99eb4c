"""People look into live episodes: those with terminal="tmux", of any process of the same user."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rich.table import Table

from termgym.errors import TaskError, TermgymError, UnknownName
from termgym.tmux.server import DETACH, check, runtime_folder


@dataclass(frozen=True, slots=True)
class Live:
    """An episode that goes on, and may end at any time."""

    name: str
    """Its tmux session's."""
    task: str
    since: float
    """Seconds since 1970."""
    socket: Path
    """Of its tmux server: `libtmux.Server(socket_path=socket)` is a handle to it."""


def live() -> list[Live]:
    """The live episodes of this user, oldest first.

    Raises:
        SandboxUnavailable: There is no tmux here.
        TermgymError: libtmux is missing.
    """
    check()
    sockets = [folder / "s" for folder in runtime_folder().iterdir()]
    return sorted((one for socket in sockets for one in _sessions(socket)), key=lambda one: one.since)


def _sessions(socket: Path) -> Iterator[Live]:
    try:
        from libtmux import Server
        from libtmux.exc import LibTmuxException
    except ImportError as error:
        raise TermgymError("this needs libtmux: pip install 'termgym[tmux]'") from error
    try:
        for session in Server(socket_path=socket).sessions:
            task, since = session.show_option("@task"), session.show_option("@since")
            if task and since and session.session_name:  # else nobody has taken it yet
                yield Live(session.session_name, str(task), float(since), socket)
    except LibTmuxException:
        return  # it ended while we looked


def find(name: str | None) -> Live:
    """The live episode by its name or its task's id; by no name, the only one.

    Raises:
        UnknownName: There is none.
        TaskError: There are several.
    """
    found = live()
    meant = [one for one in found if name in (None, one.name, one.task)]
    if len(meant) == 1:
        return meant[0]
    if name is not None and not meant:
        raise UnknownName("live episode", name, {word for one in found for word in (one.name, one.task)})
    if not meant:
        raise TaskError('no episode is live: start one with terminal="tmux", or `termgym eval --terminal tmux`')
    raise TaskError(f"say which: {', '.join(one.name for one in meant)} are live; `termgym attach --list` tells more")


def attach(episode: Live, *, read_only: bool) -> NoReturn:
    """Become a tmux that is attached to an episode: what is typed goes to its program, unless it is read-only.

    The episode's window keeps its size. C-] leaves.
    """
    env = {key: value for key, value in os.environ.items() if key != "TMUX"}  # inside another tmux too
    argv = ["tmux", "-u", "-S", str(episode.socket), "attach", *["-r"] * read_only, "-t", f"={episode.name}"]
    print(f"{episode.task}: {DETACH} leaves", file=sys.stderr)
    os.execvpe(argv[0], argv, env)


def table(episodes: Sequence[Live]) -> Table:
    """Live episodes, for people."""
    shown = Table("name", "task", "since", box=None, pad_edge=False)
    for one in episodes:
        shown.add_row(one.name, one.task, f"{time.strftime('%H:%M:%S', time.localtime(one.since))}")
    return shown
