"""tmux's control mode: commands go out and replies come in, any number at a time, over one socket.

Each command gets a block of lines between %begin and %end, in order; other lines that begin with % tell what goes on.
The protocol is that of "CONTROL MODE" in tmux(1).
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from termgym.errors import SandboxDied, SandboxError
from termgym.outbox import Outbox

ANSWER_TIMEOUT_S = 20.0
READ_BYTES = 1 << 18
Blocks = list[list[str]]


@dataclass(slots=True)
class _Request:
    """A line of commands, and the replies to them so far."""

    left: int
    """How many replies are to come."""
    size: Callable[[Blocks], int | None]
    """How many lines the next one has, by those before; None is as many as come."""
    answer: asyncio.Future[Blocks]
    blocks: Blocks = field(default_factory=Blocks)


class Control:
    """A control client's end, in the running event loop; `socket` is the client's standard input and output."""

    def __init__(self, sock: socket.socket) -> None:
        self._fd = os.dup(sock.fileno())  # a bare one: it goes quietly with a loop that nobody closes
        os.set_blocking(self._fd, False)
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = b"", Outbox(self._fd)
        self._requests: deque[_Request] = deque()
        self._block: list[str] | None = None
        self._end = b""
        self._size: int | None = None
        self._loop.add_reader(self._fd, self._receive)

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._fd < 0

    async def ask(
        self, *commands: str, size: Callable[[Blocks], int | None] = lambda _: None, replies: int | None = None
    ) -> Blocks:
        """Have commands run one right after another; returns what each printed, as lines.

        Args:
            commands: Each in the syntax of a configuration file, with no line end in it.
            size: How many lines the next reply has, by those before it. For replies that hold what a program printed,
                which could contain the line that ends them.
            replies: How many replies there will be; one for each command unless given.

        Raises:
            SandboxError: tmux refuses one, or does not answer.
            SandboxDied: tmux is gone.
        """
        request = self._expect(len(commands) if replies is None else replies, size)
        if commands:
            self._outgoing.write(" ; ".join(commands).encode("utf-8", "replace") + b"\n")
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await request.answer
        except TimeoutError:
            self.close()
            raise SandboxError(f"tmux did not answer within {ANSWER_TIMEOUT_S:.0f} s") from None

    def _expect(self, replies: int, size: Callable[[Blocks], int | None]) -> _Request:
        if self.closed:
            raise SandboxDied("the tmux server is gone")
        request = _Request(replies, size, self._loop.create_future())
        self._requests.append(request)
        return request

    def tell(self, command: str) -> None:
        """Have a command run; what comes of it is not waited for."""
        if not self.closed:
            self._expect(1, lambda _: None).answer.add_done_callback(lambda answer: answer.exception())
            self._outgoing.write(command.encode("utf-8", "replace") + b"\n")

    def close(self) -> None:
        """Hang up; whoever waits for an answer gets SandboxDied. Closing twice is allowed."""
        if self.closed:
            return
        self._loop.remove_reader(self._fd)
        self._outgoing.close()
        self.forget()
        while self._requests:
            self._fail(self._requests.popleft(), SandboxDied("the tmux server is gone"))

    def forget(self) -> None:
        """Close the descriptor alone: after a fork the loop is the parent's."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _receive(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self._incoming = (self._incoming + data).split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        if self._block is None:
            if line.startswith(b"%begin ") and self._requests:
                self._block, self._end = [], line[len(b"%begin") :]
                self._size = self._requests[0].size(self._requests[0].blocks)
        elif (self._size is None or len(self._block) >= self._size) and line in (
            b"%end" + self._end,
            b"%error" + self._end,
        ):
            self._reply(self._block, failed=line.startswith(b"%error"))
            self._block = None
        else:
            self._block.append(line.decode("utf-8", "replace"))

    def _reply(self, block: list[str], failed: bool) -> None:
        request = self._requests[0]
        request.blocks.append(block)
        request.left -= 1
        if failed:  # tmux leaves out the commands behind one that failed
            self._fail(self._requests.popleft(), SandboxError(f"tmux: {' '.join(block)}"))
        elif not request.left:
            self._requests.popleft()
            if not request.answer.done():
                request.answer.set_result(request.blocks)

    def _fail(self, request: _Request, error: SandboxError) -> None:
        if not request.answer.done():
            request.answer.set_exception(error)


def quoted(text: str) -> str:
    """Text as one argument of a command: nothing in it is expanded, and no line end is left."""
    plain = {ord(char): f"\\{char}" for char in '\\"$~'}
    control = {code: f"\\{code:03o}" for code in (*range(1, 32), 127)}
    return f'"{text.translate(plain | control)}"'
