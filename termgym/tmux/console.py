"""A console that is a pane of a tmux server: see the package."""

import asyncio
import contextlib
import os
import re
import secrets
import shlex
import time
import tty
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from termgym import aio
from termgym.errors import SandboxError
from termgym.screen import Emulator, Screen
from termgym.tmux.control import ANSWER_TIMEOUT_S, Blocks, quoted
from termgym.tmux.record import Record
from termgym.tmux.server import TmuxServer, server

CATCH_UP_S = 0.5
"""For how long tmux is waited for to have read it all, where the program prints on and on."""
NAP_S = 0.0005
HISTORY_BYTES = 64 << 20
"""Of memory, beyond which a pane's history is dropped: an agent could fill the host's otherwise."""
CHECK_BYTES = 4 << 20
MAX_COMMAND = 16_000
"""Bytes of a send-keys command; Terminus 2 pastes what is longer."""
READ_BYTES = 1 << 16
_STATUS = "#{history_size} #{cursor_y} #{cursor_x} #{alternate_on} #{pane_title}"
_INSIDE_CHARACTER = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")


class _Capture(NamedTuple):
    """A pane's lines, the history's first, and where the cursor is."""

    lines: list[str]
    cursor: tuple[int, int]
    alternate: bool


class TmuxConsole:
    """A `termgym.console.Console` in tmux."""

    def __init__(self, tmux: TmuxServer, name: str, pane: str, tty_path: str, rows: int, cols: int) -> None:
        """Take over a session's pane, whose process leaves its tty alone; `open` is the usual way."""
        self._tmux, self._session, self._pane = tmux, name, pane
        self._rows, self._cols = rows, cols
        self.emulator = Emulator(rows, cols)
        self.reply: Callable[[bytes], None] = lambda _: None
        self.room: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._unwritten, self._typed = bytearray(), bytearray()
        self._token, self._passed = b"", self._loop.create_future()
        self._behind = False  # something was fed since tmux was last known to have read all
        self._tail = b""
        self._fed = self._marked = 0
        self._record = Record()
        self._checking: asyncio.Task[None] | None = None
        self._tty = os.open(tty_path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        tty.setraw(self._tty)
        self._loop.add_reader(self._tty, self._readable)

    @classmethod
    async def open(cls, rows: int, cols: int) -> "TmuxConsole":
        """A new pane of the running loop's tmux server.

        Raises:
            SandboxUnavailable: This host has no tmux, or one that is too old.
            SandboxError: The server failed.
        """
        tmux = await server()
        try:
            name = f"{os.getpid()}-{next(tmux.numbers)}"
            new = f"new-session -d -s {name} -x {cols} -y {rows} -P -F '#{{pane_id}} #{{pane_tty}} #{{pane_pid}}'"
            new += " -- sleep infinity"
            # By window, since in tmux 3.3 a global one crashes the server; else who looks on would change the size.
            replies = await tmux.control.ask(new, f"set -w -t {name} window-size manual")
            pane, tty_path, pid = replies[0][0].split(" ")
            await _started(pid)
            return cls(tmux, name, pane, tty_path, rows, cols)
        except BaseException:
            tmux.release()
            raise

    @property
    def printed(self) -> int:
        """See `Console.printed`."""
        return self._fed - self._marked

    # Keys.

    async def press(self, keystrokes: str) -> bytes:
        r"""See `Console.press`: what tmux makes of `send-keys -- KEYSTROKES`, all one argument, as Terminus 2 has it.

        A lone key name is that key, and so is "0x41"; all else is typed as it is, with "\n" as LF. What makes a
        command of more than 16,000 bytes is pasted, with "\n" as CR. Unlike there, a final ";" is not lost, and NUL can
        be typed.
        """
        if not keystrokes:
            return b""
        await self._catch_up()  # the codes of keys depend on modes
        typed, _ = await self._exchange(*_typing(self._pane, keystrokes))
        return typed

    async def _exchange(self, *commands: str) -> tuple[bytes, bool]:
        """Have tmux run commands: what it typed until they were done, and whether it had read all that was fed before.

        A token comes after the commands, as keys, and what was typed up to it is theirs; and it is printed before them
        as a title, which tmux is asked for. Not cut short: the program would get the token.
        """
        return await aio.to_the_end(self._run(commands))

    async def _run(self, commands: Sequence[str]) -> tuple[bytes, bool]:
        self._token, self._passed = secrets.token_hex(8).encode(), self._loop.create_future()
        marked = self._mark()
        token = self._token.decode()
        ask = f"display -p -t {self._pane} '#{{pane_title}}'"
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                send = f"send-keys -l -t {self._pane} -- {token}"
                replies = await self._tmux.control.ask(ask, *commands, send, size=lambda blocks: None if blocks else 1)
                typed = await self._passed
        except TimeoutError:
            self._tmux.control.close()
            raise SandboxError(f"tmux typed nothing within {ANSWER_TIMEOUT_S:.0f} s") from None
        finally:
            self._token = b""
        return typed, not marked or replies[0][0] == token

    def _mark(self) -> bool:
        """Print the token as the pane's title, unless that would break what the program has begun to print."""
        if not self._behind or not self.emulator.ground or _INSIDE_CHARACTER.search(self._tail):
            return False
        self._unwritten += b"\x1b]2;%s\x1b\\" % self._token
        self._writable()
        return True

    def _readable(self) -> None:
        try:
            data = os.read(self._tty, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # the server is gone
            self._loop.remove_reader(self._tty)
            return
        if not self._token:
            self.reply(data)
            return
        self._typed += data
        before, found, after = bytes(self._typed).partition(self._token)
        if found:
            self._typed.clear()
            self._token = b""
            if not self._passed.done():
                self._passed.set_result(before)
            if after:
                self.reply(after)

    # What is printed.

    def feed(self, data: bytes) -> bool:
        """See `Console.feed`."""
        self.emulator.feed(data)
        self._fed += len(data)
        self._behind, self._tail = True, (self._tail + data)[-4:]
        self._unwritten += data
        self._writable()
        if self._fed % CHECK_BYTES < len(data):
            self._checking = self._loop.create_task(self._bound_history())
        return not self._unwritten

    async def _bound_history(self) -> None:
        """Drop the history if it takes too much. Not by `if-shell`: what it does decides how many replies it gets."""
        with contextlib.suppress(SandboxError):
            [[size]] = await self._tmux.control.ask(f"display -p -t {self._pane} '#{{history_bytes}}'")
            if int(size) > HISTORY_BYTES:
                await self._tmux.control.ask(f"clear-history -t {self._pane}")

    def _writable(self) -> None:
        """Write as much as the pane takes; a server that is gone takes it all."""
        try:
            while self._unwritten and self._tty >= 0:
                del self._unwritten[: os.write(self._tty, self._unwritten)]
        except BlockingIOError:
            self._loop.add_writer(self._tty, self._go_on)
        except OSError:
            self._unwritten.clear()

    def _go_on(self) -> None:
        self._loop.remove_writer(self._tty)
        self._writable()
        if not self._unwritten:
            self.room()

    async def settle(self) -> bool:
        """See `Console.settle`."""
        return not await self._catch_up()

    async def _catch_up(self) -> bool:
        """Wait until tmux has read all that was fed; whether it typed something meanwhile."""
        until, answered = time.monotonic() + CATCH_UP_S, False
        while self._behind:
            fed = self._fed
            typed, caught_up = await self._exchange()
            if typed:
                answered = True
                self.reply(typed)
            if caught_up:
                self._behind = self._fed != fed
                break
            if time.monotonic() > until:
                break
            await asyncio.sleep(NAP_S)
        return answered

    # What is shown.

    async def screen(self) -> Screen:
        """See `Console.screen`."""
        found = await self._capture()
        return Screen("\n".join(found.lines), self._rows, self._cols, found.cursor, found.alternate)

    async def mark(self) -> None:
        """See `Console.mark`."""
        self._marked = self._fed
        if self._record.empty:
            self._record.take((await self._capture(history=True)).lines)

    async def view(self, max_bytes: int) -> str:
        """See `Console.view`: what Terminus 2 shows, byte for byte, by the rule of `Record`."""
        return self._record.view((await self._capture(history=True)).lines, self._rows, max_bytes)

    async def _capture(self, history: bool = False) -> _Capture:
        await self._catch_up()
        rows = self._rows

        def size(blocks: Blocks) -> int:
            return rows + history * int(blocks[0][0].split(" ", 1)[0]) if blocks else 1

        status = f"display -p -t {self._pane} '{_STATUS}'"
        [[line], lines] = await self._tmux.control.ask(
            status, f"capture-pane -p {'-S - ' * history}-t {self._pane}", size=size
        )
        _, row, col, alternate, _ = line.split(" ", 4)
        return _Capture(lines, (int(row), int(col)), alternate == "1")

    async def resize(self, rows: int, cols: int) -> None:
        """See `Console.resize`."""
        await self._catch_up()
        await self._tmux.control.ask(f"resize-window -t {self._session} -x {cols} -y {rows}")
        self._rows, self._cols = rows, cols
        self.emulator.resize(rows, cols)

    async def name(self, text: str) -> None:
        """See `Console.name`."""
        settings = {"@task": text, "@since": str(int(time.time()))}
        commands = [f"set -t {self._session} {key} {quoted(value)}" for key, value in settings.items()]
        await self._tmux.control.ask(*commands)

    def close(self) -> None:
        """See `Console.close`."""
        if self._tty < 0:
            return
        with contextlib.suppress(OSError, ValueError):
            self._loop.remove_reader(self._tty)
            self._loop.remove_writer(self._tty)
        os.close(self._tty)
        self._tty = -1
        if self._checking is not None:
            self._checking.cancel()
        self._tmux.control.tell(f"kill-session -t {self._session}")
        self._tmux.release()
        self.emulator.close()


async def _started(pid: str) -> None:
    """Wait until the pane's program runs: before it does, tmux sets modes of the terminal there, and may undo ours."""
    with contextlib.suppress(OSError):
        while Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").startswith("tmux"):
            await asyncio.sleep(NAP_S)


def _typing(pane: str, keystrokes: str) -> list[str]:
    """The commands that type keystrokes."""
    if len(f"tmux send-keys -t {pane} -- {shlex.quote(keystrokes)}".encode("utf-8", "replace")) > MAX_COMMAND:
        return [f"set-buffer -b keys {quoted(keystrokes)}", f"paste-buffer -d -b keys -t {pane}"]
    commands: list[str] = []
    for number, part in enumerate(keystrokes.split("\0")):
        commands += [f"send-keys -t {pane} -H 00"] * (number > 0)
        commands += [f"send-keys -t {pane} -- {quoted(part)}"] * bool(part)
    return commands
