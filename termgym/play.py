"""A person does a task in their own terminal: every key goes to the sandbox's shell, every byte of it to the screen.

As with ssh, the person's terminal is the terminal: nothing is emulated in between, so all programs look as they should.
"""

import asyncio
import os
import re
import signal
import sys
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from termgym.episode import Episode
from termgym.errors import TaskError
from termgym.outbox import Outbox
from termgym.outcome import Outcome
from termgym.sandbox import Pty, close_shared
from termgym.task import Task
from termgym.terminal import SHELL
from termgym.verifier import Verdict

DETACH = b"\x1d"
"""C-]: asks whether to submit, to continue or to quit."""
READ_BYTES = 1 << 16
_MENU = "\r\n\x1b[0;7m submit (s), continue (c) or quit (q)? \x1b[0m "
# What a program may have left on: mouse, bracketed paste, application keys, a hidden cursor, colours.
_CALM = b"\x1b[?1000;1002;1003;1006;2004;1l\x1b>\x1b[?25h\x1b[0m\r\n"
_ALTERNATE = re.compile(rb"\x1b\[\?(?:1049|1047|47)([hl])")
_LEAVE_ALTERNATE = b"\x1b[?1049l"  # only where it is on: else some terminals move the cursor home


@dataclass(frozen=True, slots=True)
class Played:
    """What a person's play came to; nothing if they quit."""

    outcome: Outcome
    verdict: Verdict


async def play(task: Task) -> Played | None:
    """Let the person at this process's terminal do the task; None if they quit without submitting.

    The task's limits are not applied. The terminal is put back as it was, however this ends.

    Raises:
        SandboxError: The sandbox failed.
        VerifierError: The verifier failed.
        TaskError: The task has steps.
    """
    if task.steps:
        raise TaskError(f"{task.id} has several steps ([[steps]]), which cannot be played yet")
    episode = Episode(task)
    try:
        await episode.reset()
        if not await _attach(episode):
            return None
        return Played(*await episode.finish())
    finally:
        await episode.close()
        await close_shared()


async def _attach(episode: Episode) -> bool:
    """Join the person and a shell of their own in the sandbox; whether they submit."""
    rows, cols = termios.tcgetwinsize(sys.stdin)
    pty = await episode.sandbox.open_pty(SHELL, rows=rows, cols=cols)
    if pty.slave >= 0:
        os.close(pty.slave)  # while it is open, the shell's end does not show
    try:
        with _raw(sys.stdin.fileno()):
            return await _Link(pty).run()
    finally:
        os.close(pty.stream)


@contextmanager
def _raw(stdin: int) -> Generator[None]:
    """The terminal in raw mode, with SIGTERM and SIGHUP ending the wait rather than the process."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    before = termios.tcgetattr(stdin)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, me.cancel)
    try:
        tty.setraw(stdin)
        yield
    finally:
        with suppress(OSError, termios.error):  # the terminal itself may be gone
            termios.tcsetattr(stdin, termios.TCSAFLUSH, before)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


class _Link:
    """Bytes both ways between this process's terminal and a PTY."""

    def __init__(self, pty: Pty) -> None:
        self._stdin, self._stdout, self._stream = sys.stdin.fileno(), sys.stdout.fileno(), pty.stream
        self._resize_pty = pty.resize
        self._loop = asyncio.get_running_loop()
        self._submits: asyncio.Future[bool] = self._loop.create_future()
        self._keys = Outbox(pty.stream)
        self._asking = self._alternate = False

    async def run(self) -> bool:
        """Until the person has decided; whether they submit."""
        self._loop.add_reader(self._stdin, self._typed)
        self._loop.add_reader(self._stream, self._printed)
        self._loop.add_signal_handler(signal.SIGWINCH, self._resize)
        try:
            return await self._submits
        finally:
            self._loop.remove_signal_handler(signal.SIGWINCH)
            self._loop.remove_reader(self._stdin)
            self._loop.remove_reader(self._stream)
            self._keys.close()
            with suppress(OSError):  # the terminal itself may be gone
                os.write(self._stdout, _LEAVE_ALTERNATE * self._alternate + _CALM)

    def _typed(self) -> None:
        data = os.read(self._stdin, READ_BYTES)
        if not data:
            self._decide(False)
        while data:
            data = self._answer(data) if self._asking else self._forward(data)

    def _forward(self, data: bytes) -> bytes:
        """Send what comes before a detach key; returns what comes after it."""
        keys, detach, rest = data.partition(DETACH)
        self._keys.write(keys)
        if detach:
            self._ask()
        return rest

    def _ask(self) -> None:
        self._asking = True
        os.write(self._stdout, _MENU.encode())

    def _answer(self, data: bytes) -> bytes:
        """Take one key as the answer; returns what comes after it."""
        key = data[:1].lower()
        if key in (b"s", b"q"):
            self._decide(key == b"s")
        elif key == b"c":
            self._asking = False
            os.write(self._stdout, b"\r\n")
            self._resize(redraw=True)
        return data[1:]

    def _decide(self, submits: bool) -> None:
        if not self._submits.done():
            self._submits.set_result(submits)

    def _printed(self) -> None:
        try:
            data = os.read(self._stream, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            os.write(self._stdout, data)
            for switch in _ALTERNATE.findall(data):
                self._alternate = switch == b"h"
        else:
            self._loop.remove_reader(self._stream)
            os.write(self._stdout, b"\r\nThe shell has ended.")
            self._ask()

    def _resize(self, redraw: bool = False) -> None:
        """Make the PTY as large as the terminal; programs redraw only if its size changes."""
        rows, cols = termios.tcgetwinsize(self._stdin)
        with suppress(OSError, termios.error):
            if redraw:
                self._resize_pty(max(1, rows - 1), cols)
            self._resize_pty(rows, cols)
