"""What crosses between this process and a sandbox: messages with descriptors, and the output of programs."""

import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from termgym.errors import NotReady, SandboxDied, SandboxError
from termgym.launcher import linux

MAX_OUTPUT_BYTES = 10 << 20
_MAX_MESSAGE = 1 << 18


class ProgramError(NotReady):
    """Raised when a program that was to be started is not there or is not one: exit status 127 of a shell."""


class _Socket(socket.socket):
    """A socket that goes quietly with the event loop that it belongs to: a thread's, say, that nobody could close."""

    def __del__(self) -> None:
        self.close()


class Channel:
    """Messages over a SOCK_SEQPACKET socket, in the running event loop.

    Requests go out by `ask` and `send`; what comes in and answers none of them goes to `handle`.
    """

    def __init__(self, sock: socket.socket, handle: Callable[[dict[str, Any], list[int]], None]) -> None:
        self.sock, self._handle = _Socket(fileno=sock.detach()), handle
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._numbers = count(1)
        self._outgoing: deque[tuple[bytes, Sequence[int]]] = deque()
        self.closed = asyncio.Event()
        self.sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.sock, self._receive)

    async def ask(self, request: dict[str, Any], fds: Sequence[int] = ()) -> tuple[dict[str, Any], list[int]]:
        """Send a request and wait for its answer, with the descriptors that came along.

        Raises:
            SandboxError: It says that it failed.
            SandboxDied: The other end is gone.
        """
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self.send({"id": number, **request}, fds)
            reply, handed = await future
        except asyncio.CancelledError:  # perhaps when the answer was there already, and nobody else will take it
            drop(future)
            raise
        finally:
            self._waiting.pop(number, None)
        if "error" in reply:
            raise ProgramError(reply["error"]) if reply.get("program") else SandboxError(reply["error"])
        return reply, handed

    def send(self, request: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send a request that has no answer.

        Raises:
            SandboxError: The request is larger than a message may be (arguments and environment: 256 KiB).
            SandboxDied: The other end is gone.
        """
        data = json.dumps(request).encode()
        if len(data) > _MAX_MESSAGE:
            raise SandboxError(f"arguments and environment take {len(data)} bytes; at most {_MAX_MESSAGE} fit")
        if self.closed.is_set():
            raise SandboxDied("the sandbox's processes are gone")
        self._outgoing.append((data, fds))
        self._flush()

    def _flush(self) -> None:
        """Send what waits, as far as the socket takes it."""
        try:
            while self._outgoing:
                socket.send_fds(self.sock, [self._outgoing[0][0]], self._outgoing[0][1])
                self._outgoing.popleft()
        except BlockingIOError:
            self._loop.add_writer(self.sock, self._flush)
        except OSError:
            self.close()
        else:
            self._loop.remove_writer(self.sock)

    def _receive(self) -> None:
        try:
            message, fds = linux.receive(self.sock, _MAX_MESSAGE, 4)
        except BlockingIOError:
            return
        except OSError:
            message, fds = b"", []
        if not message:
            self.close()
            return
        reply = json.loads(message)
        future = self._waiting.get(reply.get("id", 0))
        if future is not None and not future.done():
            future.set_result((reply, fds))
        elif "id" in reply:  # whoever asked was cancelled
            for fd in fds:
                os.close(fd)
        else:
            self._handle(reply, fds)

    def close(self) -> None:
        """Stop listening; whoever waits for an answer is told that there will be none."""
        if self.closed.is_set():
            return
        self.closed.set()
        self._loop.remove_reader(self.sock)
        self._loop.remove_writer(self.sock)
        self.sock.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(SandboxDied("the sandbox's processes are gone"))
        self._handle({"closed": True}, [])


def drop(answer: "asyncio.Future[tuple[dict[str, Any], list[int]]]") -> None:
    """Close the descriptors of an answer that came and that nobody takes."""
    if answer.done() and not answer.cancelled() and answer.exception() is None:
        for fd in answer.result()[1]:
            os.close(fd)


class Capture:
    """A pipe read into memory as it fills, up to `MAX_OUTPUT_BYTES`; what comes after is read and dropped."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.reader, False)
        self.data = bytearray()
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self.reader, self._read)

    def _read(self) -> None:
        try:
            chunk = os.read(self.reader, 1 << 16)
        except BlockingIOError:
            return
        if chunk:
            self.data += chunk[: MAX_OUTPUT_BYTES - len(self.data)]
        else:
            asyncio.get_running_loop().remove_reader(self.reader)
            self.done.set_result(None)

    def close_writer(self) -> None:
        """Close our copy of the writing end, so that the end of the last writer is the end of the data."""
        os.close(self.writer)

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self.reader)
        self.done.cancel()
        os.close(self.reader)
