"""One shell on one PTY: keystrokes in, screen out, and a wait between them that ends when the terminal has settled.

A step does not sleep: `Terminal.type` returns as soon as the foreground program waits for the next key (settle.py),
with all that was printed until then on the screen. The last part is made sure by a barrier: a mark written to the
terminal's slave side, behind whatever the programs wrote there, and awaited where that comes out.
"""

import asyncio
import contextlib
import os
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from fcntl import ioctl
from pathlib import Path

from termgym.barrier import Barrier
from termgym.console import COLS, ROWS, Console, OwnConsole
from termgym.errors import NotReady, UnknownName
from termgym.launcher import linux
from termgym.outbox import Outbox
from termgym.sandbox import Pty, Sandbox
from termgym.screen import Emulator, Screen
from termgym.settle import Foreground, Sight, State
from termgym.tmux import TmuxConsole

KINDS = ("pty", "tmux")
"""What a terminal's screen and keys are: our own, or those of a real tmux."""
HOME = "/root"
SHELL = ("/bin/bash", "--login")

FIRST_POLL_S, SLOWEST_POLL_S = 0.0002, 0.02
ECHO_S = 0.003
"""Unfinished lines in cooked mode wake nobody: this long after their echo they count as taken."""
DEAF_S = 0.03
"""Keys that made nobody run in this time, with the foreground waiting for keys all along, count as taken."""
LOST_S = 0.3
"""The same where nothing tells that the kernel has passed them on: a machine under load may take its time."""
QUIET_S = {State.MIXED: 0.05, State.TIMED: 0.25, State.UNKNOWN: 0.05}
"""Silence that stands in for the kernel's word where there is none, or where a program waits for more than keys."""
FAR_S = 1.0
"""For how long the first answer to keys is awaited from an engine whose processes cannot be seen, and may be far."""
BARRIER_S = 0.05
MAX_UNREAD_REPLIES = 1 << 12
READ_BYTES = 1 << 12
"""At a time: 64 KiB of hostile escape sequences can take the emulator 0.4 s, and others wait in the same loop."""
_SIGNAL_KEYS = (b"\x03", b"\x1c", b"\x1a")


class Settled(Enum):
    """Why a wait ended; in `info["settled"]`."""

    PROMPT = "prompt"
    """The shell waits for a command."""
    READING = "reading"
    """A program waits for a key."""
    IDLE = "idle"
    """Silence: the program waits for keys among other things, or cannot be looked at."""
    DEADLINE = "deadline"
    """`duration` passed first."""
    EXITED = "exited"
    """The shell is gone."""


class Terminal:
    """A shell on a terminal in a sandbox, and the screen it shows.

    The kind "pty" has an emulator of our own; for "tmux", keys and screen are those of a pane of a real tmux outside
    the sandbox (termgym.tmux).
    """

    def __init__(self, pty: Pty, console: Console | None = None) -> None:
        """Take over a PTY in the running event loop; `open` is the usual way."""
        self._pty = pty
        self._stream, self._slave, self._shell = pty.stream, pty.slave, pty.pid
        self._pidfd = _watch(pty)
        self._loop = asyncio.get_running_loop()
        self._foreground = Foreground(self._stream, self._slave, self._shell, pty.init)
        self._console = console or OwnConsole()
        self._console.reply, self._console.room = self._reply, self._listen
        self._keys = Outbox(self._stream)
        self._stuffed = False  # keys were dropped, since the kernel's queue was full of others
        self._barrier = Barrier(self._slave)
        self._napping: asyncio.Future[None] | None = None
        self._changed_at = time.monotonic()
        self._open = not os.isatty(self._stream)  # whose other end is an engine's, and says when there is no more
        self.exited = False
        """Whether the shell has ended."""
        self._prompt: tuple[str, str] = "", ""
        self.on_output: Callable[[bytes], None] | None = None
        """Called with what is printed, as it comes: for a recording."""
        self._listen()
        if self._pidfd >= 0:
            self._loop.add_reader(self._pidfd, self._ended)

    @classmethod
    async def open(
        cls,
        sandbox: Sandbox,
        *,
        argv: Sequence[str] = SHELL,
        env: Mapping[str, str] | None = None,
        rows: int = ROWS,
        cols: int = COLS,
        kind: str = "pty",
    ) -> "Terminal":
        """Start a shell in a sandbox, on a terminal of `rows` x `cols`; `kind` is one of `KINDS`.

        Raises:
            SandboxUnavailable: This host has no tmux, or one that is too old.
            UnknownName: There is no such kind.
        """
        console = await _console(kind, rows, cols)
        try:
            return cls(await sandbox.open_pty(argv, env=env, rows=rows, cols=cols), console)
        except BaseException:
            console.close()
            raise

    async def type(self, keystrokes: str, duration_s: float, *, settle: bool = True) -> Settled:
        """Type, and wait until the terminal has settled or `duration_s` seconds have passed.

        With `settle` False the wait is always `duration_s`, as in Terminus 2. A lone key name ("C-c", "Up") is that
        key, all else goes verbatim (termgym.keys). Keys that a program does not take are dropped at the deadline.

        Raises:
            SandboxError: The tmux that this terminal is a pane of is gone.
        """
        deadline = time.monotonic() + duration_s
        data = await self._console.press(keystrokes)
        before = self._foreground.look()
        self._make_way(data)
        self._keys.write(data)
        try:
            if settle:
                return await self._settle(before, deadline, bool(data))
            await asyncio.sleep(max(0.0, deadline - time.monotonic()))
            return Settled.EXITED if self.exited else Settled.DEADLINE
        finally:
            self._drop_pending()

    async def ready(self, timeout_s: float) -> Settled:
        """Wait for the first prompt, which `type("")` would not: nobody has the keyboard yet."""
        deadline = time.monotonic() + timeout_s
        while not self._console.printed and not self.exited and time.monotonic() < deadline:
            await self._nap(SLOWEST_POLL_S)
        settled = await self._settle(self._foreground.look(), deadline, typed=False)
        self._prompt = self.emulator.line(), self.folder()
        return settled

    def at_prompt(self) -> bool:
        """Whether the shell waits for a command, as far as can be told. Takes 0.1 ms."""
        if self.exited:
            return False
        sight = self._foreground.look()
        if sight.state is State.UNKNOWN:
            return True
        return self._reason(sight) is Settled.PROMPT and not self._foreground.stopped(self._shell)

    def resting(self) -> bool:
        """Whether all that there is to this terminal is a shell at its first prompt, or one like it in another folder.

        Nothing else runs, and nothing is typed at the prompt. Only then could another shell stand in for it.
        """
        if not self.at_prompt() or not self._foreground.alone(self._shell):
            return False
        line, folder = self._prompt
        expected = line.replace(_shown(folder), _shown(self.folder()), 1) if folder else ""
        return bool(expected) and self.emulator.line() == expected and self.emulator.cursor[1] == len(expected) + 1

    def folder(self) -> str:
        """The shell's working directory; empty where it cannot be told."""
        try:
            return str(Path(f"/proc/{self._shell}/cwd").readlink())
        except OSError:
            return ""

    def show(self, dump: bytes) -> None:
        """Show what another terminal showed, by its emulator's `dump`."""
        self._console.feed(dump)

    async def screen(self) -> Screen:
        """What is on the screen.

        Raises:
            SandboxError: As for `type`; likewise for `mark` and `view`.
        """
        return await self._console.screen()

    @property
    def emulator(self) -> Emulator:
        """Our own emulator, whatever the kind, for its cells; it draws lines where tmux shows letters."""
        return self._console.emulator

    async def mark(self) -> None:
        """Begin a new record of output: `view` shows what comes from here on.

        Of the kind "tmux" only the first one counts: Terminus 2 shows what came since it last looked.
        """
        await self._console.mark()

    async def view(self, max_bytes: int = 10_000) -> str:
        """The text that tells what happened since the mark: the new output, or else the visible screen.

        At most `max_bytes` bytes of it, the first and the last half. Each kind has its own rule: `OwnConsole.view`,
        and Terminus 2's in `TmuxConsole.view`.
        """
        return await self._console.view(max_bytes)

    async def name(self, text: str) -> None:
        """Say what goes on here to people who look on, by `termgym attach`."""
        await self._console.name(text)

    async def resize(self, rows: int, cols: int) -> None:
        """Make the window another size; programs get SIGWINCH."""
        await self._console.resize(rows, cols)
        self._pty.resize(rows, cols)

    def close(self) -> None:
        """Let go of the terminal; what runs on it gets a hang-up. Closing twice is allowed."""
        if self._stream < 0:
            return
        self._loop.remove_reader(self._stream)
        self._keys.close()
        self._forget_pidfd()
        self._foreground.close()
        self._pty.close()
        self._stream = self._slave = -1
        self.exited = True
        self._console.close()

    # Settling.

    async def _settle(self, before: Sight, deadline: float, typed: bool) -> Settled:
        typed_at = steady_at = time.monotonic()
        last, poll_s = State.BUSY, FIRST_POLL_S
        if typed:  # a look at once would come too soon
            await self._nap(max(0.0, min(poll_s, deadline - typed_at)))
        while not self.exited:
            looked_at = time.monotonic()
            sight, now = self._foreground.look(), time.monotonic()
            if sight.state is not last:
                last, steady_at = sight.state, now
            steady_s = now - max(steady_at, self._changed_at)
            if self._taken(sight, before, now - typed_at, steady_s, typed) and await self._silent(sight):
                self._stuffed = False
                return self._reason(sight)
            if now >= deadline:
                return Settled.DEADLINE
            await self._nap(min(poll_s, deadline - now))
            poll_s = min(SLOWEST_POLL_S, max(FIRST_POLL_S, (now - typed_at) / 8, 4 * (now - looked_at)))
        await self._drain()
        return Settled.EXITED

    def _taken(self, sight: Sight, before: Sight, since_s: float, steady_s: float, typed: bool) -> bool:
        """Whether the foreground waits for a key, having taken those that were typed `since_s` ago.

        `steady_s` is for how long it has been in this state, and nothing was printed.
        """
        if sight.state is State.BUSY or self._keys:
            return False
        if sight.state is not State.WAITING:
            unanswered = typed and sight.state is State.UNKNOWN and self._changed_at < time.monotonic() - since_s
            return steady_s >= (FAR_S if unanswered else QUIET_S[sight.state])
        if not typed or sight.moved(before):
            return True
        echoed = self._changed_at > time.monotonic() - since_s
        if since_s >= (DEAF_S if echoed or self._unread() else LOST_S):
            return True
        return since_s >= ECHO_S and echoed and self._cooked() is True

    def _unread(self) -> bool:
        """Whether keys lie in the terminal that its reader has not taken; also where that cannot be told."""
        try:
            return struct.unpack("i", ioctl(self._slave, termios.TIOCINQ, b"\0" * 4))[0] > 0
        except OSError:
            return True

    async def _silent(self, sight: Sight) -> bool:
        """Whether all that was printed is on the screen, and the foreground did nothing meanwhile."""
        arrived = await self._pass_barrier() and await self._console.settle()
        return arrived and not self._foreground.look().moved(sight)

    async def _pass_barrier(self) -> bool:
        """Whether all that was printed has arrived.

        False if the mark does not come: output is stopped (C-s), or a C-c made the kernel drop what was on its way.
        """
        if self._slave < 0:
            return True
        until = time.monotonic() + BARRIER_S
        self._barrier.begin()
        try:
            while not self._barrier.send():
                if time.monotonic() > until:
                    return False
                await self._nap(FIRST_POLL_S)
            while self._barrier.awaited and (left_s := until - time.monotonic()) > 0:
                await self._nap(left_s)
            return not self._barrier.awaited
        except OSError:
            return self._cooked() is None
        finally:
            self._take(self._barrier.end())

    async def _nap(self, seconds: float) -> None:
        """Sleep until something is printed, the barrier passes, the shell ends, or `seconds` have passed."""
        self._napping = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._wake)
        try:
            await self._napping
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._napping is not None and not self._napping.done():
            self._napping.set_result(None)

    def _reason(self, sight: Sight) -> Settled:
        if sight.state is not State.WAITING:
            return Settled.IDLE
        return Settled.PROMPT if sight.group == self._shell and not self._cooked() else Settled.READING

    def _cooked(self) -> bool | None:
        """Whether the terminal collects lines before it hands them on; None if it is gone."""
        try:
            return bool(termios.tcgetattr(self._slave)[3] & termios.ICANON)
        except (termios.error, OSError):
            return None

    # Bytes out.

    def _make_way(self, data: bytes) -> None:
        r"""A C-c, C-\ or C-z goes ahead of keys that nobody took: those are dropped, as the kernel drops its queue."""
        if self._stuffed and data in _SIGNAL_KEYS:
            self._stuffed = False
            with contextlib.suppress(termios.error):
                termios.tcflush(self._stream, termios.TCOFLUSH)  # what is on its way to the queue
            with contextlib.suppress(termios.error):
                termios.tcflush(self._slave, termios.TCIFLUSH)  # and what is in it

    def _drop_pending(self) -> None:
        self._stuffed = self._stuffed or bool(self._keys)
        self._keys.clear()

    def _reply(self, answer: bytes) -> None:
        """The console answers a program's question, unless it asks without reading the answers."""
        if len(self._keys) < MAX_UNREAD_REPLIES:
            self._keys.write(answer)

    # Bytes in.

    def _listen(self) -> None:
        if self._stream >= 0:
            self._loop.add_reader(self._stream, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._stream, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # every slave descriptor is closed, ours too: it was hung up
            self._loop.remove_reader(self._stream)
            self._open = False
            self._wake()
            if self._pidfd < 0:
                self._ended()
            return
        awaited = self._barrier.awaited
        self._take(self._barrier.cut(data))
        if awaited and not self._barrier.awaited:
            self._wake()

    def _take(self, data: bytes) -> None:
        if not data:
            return
        self._changed_at = time.monotonic()
        self._wake()
        if not self._console.feed(data):
            self._loop.remove_reader(self._stream)
        if self.on_output:
            self.on_output(data)

    def _ended(self) -> None:
        self.exited = True
        self._wake()
        self._forget_pidfd()

    def _forget_pidfd(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    async def _drain(self) -> None:
        """Take what a shell that ended has left behind. An engine passes that on later, and then hangs up."""
        until, last = time.monotonic() + FAR_S, -1
        while self._open and (left_s := until - time.monotonic()) > 0:
            await self._nap(left_s)
        while last != self._console.printed:
            last = self._console.printed
            await asyncio.sleep(FIRST_POLL_S)


async def _console(kind: str, rows: int, cols: int) -> Console:
    if kind not in KINDS:
        raise UnknownName("terminal", kind, KINDS)
    return await TmuxConsole.open(rows, cols) if kind == "tmux" else OwnConsole(rows, cols)


def _shown(folder: str) -> str:
    """A folder as a prompt shows it."""
    return "~" + folder.removeprefix(HOME) if f"{folder}/".startswith(f"{HOME}/") else folder


def _watch(pty: Pty) -> int:
    """A descriptor that tells when the shell ends; -1 where its process cannot be seen."""
    if not pty.pid:
        return -1
    try:
        return linux.pidfd_open(pty.pid)
    except ProcessLookupError as error:
        pty.close()
        raise NotReady("the shell ended as it began") from error
