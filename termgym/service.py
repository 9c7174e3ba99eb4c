"""Who starts programs inside a sandbox on request: its PID 1, or a process that entered it later."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from termgym.channel import Channel, drop
from termgym.errors import SandboxDied
from termgym.launcher_client import first

T = TypeVar("T")
ANSWER_TIMEOUT_S = 20.0
"""For what takes no time but if the agent stopped the process that is to answer."""


class Service:
    """A process inside that serves requests, and the programs that it started."""

    def __init__(self, sock: socket.socket) -> None:
        self.ready: asyncio.Future[tuple[dict[str, Any], list[int]]] = asyncio.get_running_loop().create_future()
        self.exits: dict[int, asyncio.Future[int]] = {}
        self._taken = False
        self.channel = Channel(sock, self._event)

    async def begun(self) -> tuple[dict[str, Any], list[int]]:
        """Its first message, and the descriptors that came with it."""
        self._taken = True
        try:
            return await first(self.ready, self.channel, ({"error": "it ended before it was ready"}, []))
        except asyncio.CancelledError:
            self._taken = False
            raise

    async def ask(self, request: dict[str, Any], fds: Sequence[int] = ()) -> tuple[dict[str, Any], list[int]]:
        """Ask for something and get the answer, or else `SandboxDied`."""
        return await self.wait(self.channel.ask(request, fds))

    async def wait(self, answer: Awaitable[T]) -> T:
        """What it owes us, in time."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await answer
        except TimeoutError:
            self.channel.close()
            raise SandboxDied(f"the sandbox did not answer within {ANSWER_TIMEOUT_S} s") from None

    def _event(self, message: dict[str, Any], fds: list[int]) -> None:
        if "exit" in message:
            future = self.exits.get(message["exit"])
            if future is not None and not future.done():
                future.set_result(message["status"])
        elif "closed" in message:
            if not self._taken:
                drop(self.ready)
            for future in self.exits.values():
                if not future.done():
                    future.set_exception(SandboxDied("the sandbox's processes are gone"))
        elif not self.ready.done():
            self.ready.set_result((message, fds))
        else:
            for fd in fds:
                os.close(fd)

    async def end(self, pid: int, timeout_s: float) -> tuple[int, bool]:
        """How a program ended, and whether it had to be killed for its time being up."""
        ended = self.exits[pid]
        kill = {"op": "kill", "pid": pid}
        try:
            async with asyncio.timeout(timeout_s):  # wait_for loses a cancellation as it ends (Python 3.11)
                return await asyncio.shield(ended), False
        except TimeoutError:
            await self.ask(kill)
            return await self.wait(ended), True
        except asyncio.CancelledError:
            with contextlib.suppress(SandboxDied):
                self.channel.send({"id": 0, **kill})
            raise
        finally:
            self.exits.pop(pid, None)
