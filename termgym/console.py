"""What stands between keystrokes and bytes on one side, bytes and a screen on the other.

`Console` is the contract; here is our own, of libghostty; termgym.tmux has the one that is a pane of a real tmux.
"""

from collections.abc import Callable
from typing import Protocol

from termgym.keys import encode
from termgym.output import Output, limit
from termgym.screen import Emulator, Screen

ROWS, COLS = 40, 160


class Console(Protocol):
    """Keystrokes to bytes for the program, and the program's bytes to a screen. All for one event loop."""

    emulator: Emulator
    """What the program printed, in our own emulator: for cells and colours."""
    reply: Callable[[bytes], None]
    """Called with what the program is to get that `press` did not return: answers to its questions."""
    room: Callable[[], None]
    """Called when more can be fed, after `feed` said that it cannot."""

    @property
    def printed(self) -> int:
        """How many bytes were fed since the mark."""
        ...

    async def press(self, keystrokes: str) -> bytes:
        """What these keystrokes send to the program, which the caller has to do.

        Raises:
            SandboxError: The console is gone.
        """
        ...

    def feed(self, data: bytes) -> bool:
        """Take what the program printed; whether there is room for more at once."""
        ...

    async def settle(self) -> bool:
        """Wait until all that was fed is on the screen; whether this brought no answer to the program."""
        ...

    async def screen(self) -> Screen:
        """What is on the screen."""
        ...

    async def mark(self) -> None:
        """Begin a new record of output."""
        ...

    async def view(self, max_bytes: int) -> str:
        """What an agent is shown: new output, or else the screen, under a heading; about `max_bytes` bytes of it."""
        ...

    async def resize(self, rows: int, cols: int) -> None:
        """Be of another size."""
        ...

    async def name(self, text: str) -> None:
        """Say what goes on here to people who look on."""
        ...

    def close(self) -> None:
        """Let go of everything. Closing twice is allowed."""
        ...


def _nobody(_: bytes) -> None:
    """Drop it: nothing is connected yet."""


class OwnConsole:
    """A `Console` of our own emulator: nothing is ever waited for."""

    def __init__(self, rows: int = ROWS, cols: int = COLS) -> None:
        self.emulator = Emulator(rows, cols, lambda answer: self.reply(answer))
        self.reply: Callable[[bytes], None] = _nobody
        self.room: Callable[[], None] = lambda: None
        self._output = Output(self.emulator)

    @property
    def printed(self) -> int:
        """See `Console.printed`."""
        return self._output.count

    async def press(self, keystrokes: str) -> bytes:
        """See `Console.press`; the names of keys are those of termgym.keys."""
        return encode(keystrokes, application_cursor=self.emulator.application_cursor)

    def feed(self, data: bytes) -> bool:
        """See `Console.feed`."""
        self.emulator.feed(data)
        self._output.add(data)
        return True

    async def settle(self) -> bool:
        """See `Console.settle`."""
        return True

    async def screen(self) -> Screen:
        """See `Console.screen`."""
        return self.emulator.screen()

    async def mark(self) -> None:
        """See `Console.mark`."""
        self._output.reset()

    async def view(self, max_bytes: int) -> str:
        """See `Console.view`: what was printed since the mark.

        The screen is shown where nothing was printed and where output is no sequence of lines (vim, less, top).
        """
        text = self._output.text(max_bytes) if self._output.count else None
        if text is None:
            return "Current terminal screen:\n" + limit(self.emulator.screen().text, max_bytes)
        return "New terminal output:\n" + text

    async def resize(self, rows: int, cols: int) -> None:
        """See `Console.resize`."""
        self.emulator.resize(rows, cols)

    async def name(self, text: str) -> None:
        """See `Console.name`: nobody can look on."""

    def close(self) -> None:
        """See `Console.close`."""
        self.emulator.close()
