"""A program in a container: one `exec` of the engine, over one connection."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from termgym import aio
from termgym.engine import Engine
from termgym.engine.stream import Output, Stream, open_stream, send_all
from termgym.errors import SandboxError

BEGIN_TIMEOUT_S = 30.0
LINGER_S = 0.2
FIRST_POLL_S, SLOWEST_POLL_S = 0.005, 0.25
# What the engine prints in a program's place.
_NOT_STARTED = b"OCI runtime exec failed: "
_NOT_A_PROGRAM = b": exec format error\n"
Ended = tuple[int, bytes, bytes, bool]
"""Its status, its two streams, and whether its time was up: the fields of an `ExecResult`."""
Kill = Callable[["Program"], Coroutine[Any, Any, None]]


class Program:
    """A program that is started by opening its connection."""

    def __init__(self, engine: Engine, made: str) -> None:
        self._engine, self.id = engine, made

    @classmethod
    async def make(cls, engine: Engine, container: str, argv: Sequence[str], **options: Any) -> "Program":
        """Have one made: `options` are those of docker's `exec_create`.

        Raises:
            SandboxError: There is no argument, or one that the engine's API cannot take.
        """
        if not argv or any("\0" in word or not _is_utf8(word) for word in argv):
            raise SandboxError("a program needs a name, and its arguments must be UTF-8 without NUL")
        made = await engine.call("run a program", engine.api.exec_create, container, list(argv), **options)
        return cls(engine, made["Id"])

    async def open(self, tty: bool = False) -> Stream:
        """Start it; its input and output are the stream's."""
        body = {"Tty": tty, "Detach": False}
        return await self._engine.call("run a program", open_stream, self._engine.api, f"/exec/{self.id}/start", body)

    async def look(self) -> dict[str, Any]:
        """What the engine knows of it: `Running`, `ExitCode`, and `Pid`, as the engine's host counts."""
        return await self._engine.call("look at a program", self._engine.api.exec_inspect, self.id)

    async def pid(self) -> int:
        """Its process, as the engine's host counts. The engine may learn that later than the program's first output."""
        deadline = time.monotonic() + BEGIN_TIMEOUT_S
        while not (pid := (await self.look())["Pid"]):
            if time.monotonic() > deadline:
                raise SandboxError("the engine does not say which process a program is")
            await asyncio.sleep(FIRST_POLL_S)
        return pid

    async def run(self, stdin: bytes, timeout_s: float, kill: Kill) -> Ended:
        """Run it to its end, or `kill` it with all of its session after `timeout_s` seconds."""
        stream, output = await self.open(), Output()
        reading = asyncio.ensure_future(output.read(stream))
        sending = asyncio.ensure_future(send_all(stream, stdin))
        try:
            status, timed_out = await self._end(reading, timeout_s, kill)
            await asyncio.wait([reading], timeout=LINGER_S)
        except asyncio.CancelledError:
            await aio.to_the_end(kill(self))
            raise
        finally:
            reading.cancel()
            sending.cancel()
            stream.close()
        return _ended(status, bytes(output.streams[1]), bytes(output.streams[2]), timed_out)

    async def _end(self, reading: "asyncio.Future[None]", timeout_s: float, kill: Kill) -> tuple[int, bool]:
        """How it ended, and whether it was killed. Its output may end before it does, or go on afterwards."""
        deadline, pause_s = time.monotonic() + timeout_s, FIRST_POLL_S
        while True:
            left_s = min(pause_s, max(0.0, deadline - time.monotonic()))
            await (asyncio.sleep(left_s) if reading.done() else asyncio.wait([reading], timeout=left_s))
            state = await self.look()
            if not state["Running"] and state["ExitCode"] is not None:
                code: int = state["ExitCode"]
                return (128 - code if 128 < code < 128 + signal.NSIG else code), False
            if time.monotonic() >= deadline:
                await kill(self)
                return -signal.SIGKILL, True
            pause_s = min(2 * pause_s, SLOWEST_POLL_S)


def _ended(status: int, stdout: bytes, stderr: bytes, timed_out: bool) -> Ended:
    if stderr.startswith(b"exec ") and stderr.endswith(b": argument list too long\n"):
        raise SandboxError("arguments and environment are too long")
    if stdout.startswith(_NOT_STARTED) or (stderr.startswith(b"exec ") and stderr.endswith(_NOT_A_PROGRAM)):
        return 127, b"", stdout + stderr, False
    return status, stdout, stderr, timed_out


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
