"""A program in a container: one `exec` of the engine, over one connection."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from termgym import aio
from termgym.engine import Engine
from termgym.engine.stream import Output, Stream, open_stream, send_all
from termgym.errors import SandboxError

BEGIN_TIMEOUT_S = 30.0
LINGER_S = 0.2
FIRST_POLL_S, SLOWEST_POLL_S = 0.005, 0.25
# What the engine's runtime prints in a program's place: for want of a process, or as the one that was to become it.
_NOT_STARTED = b"OCI runtime exec failed: "
_NOT_A_PROGRAM = ("exec {}: exec format error\n", "exec {}: no such file or directory\n")
_TOO_LONG = "exec {}: argument list too long\n"
Ended = tuple[int, bytes, bytes, bool]
"""Its status, its two streams, and whether its time was up: the fields of an `ExecResult`."""
Kill = Callable[["Program"], Coroutine[Any, Any, None]]


class Program:
    """A program that is started by opening its connection."""

    def __init__(self, engine: Engine, made: str, name: str) -> None:
        self._engine, self.id, self._name = engine, made, name

    @classmethod
    async def make(cls, engine: Engine, container: str, argv: Sequence[str], **options: Any) -> "Program":
        """Have one made: `options` are those of docker's `exec_create`.

        Raises:
            SandboxError: There is no argument, or one that the engine's API cannot take.
        """
        if not argv or any("\0" in word or not _is_utf8(word) for word in argv):
            raise SandboxError("a program needs a name, and its arguments must be UTF-8 without NUL")
        made = await engine.call("run a program", engine.api.exec_create, container, list(argv), **options)
        return cls(engine, made["Id"], argv[0])

    async def open(self, tty: bool = False) -> Stream:
        """Start it; its input and output are the stream's. Not cut short: nobody else would close that."""
        opened: list[Stream] = []
        try:
            await aio.to_the_end(self._open(tty, opened))
        except asyncio.CancelledError:
            for stream in opened:
                stream.close()
            raise
        return opened[0]

    async def _open(self, tty: bool, opened: list[Stream]) -> None:
        path, body = f"/exec/{self.id}/start", {"Tty": tty, "Detach": False}
        opened.append(await self._engine.call("run a program", open_stream, self._engine.api, path, body))

    async def look(self) -> dict[str, Any]:
        """What the engine knows of it: `Running`, `ExitCode`, and `Pid`, as the engine's host counts."""
        return await self._engine.call("look at a program", self._engine.api.exec_inspect, self.id)

    async def begun(self) -> dict[str, Any]:
        """The same, when `Pid` is known: the engine may learn that later than the program's first output."""
        deadline = time.monotonic() + BEGIN_TIMEOUT_S
        while not (state := await self.look())["Pid"] and state["ExitCode"] is None:
            if time.monotonic() > deadline:
                raise SandboxError("the engine does not say which process a program is")
            await asyncio.sleep(FIRST_POLL_S)
        return state

    async def run(self, stdin: bytes, timeout_s: float, kill: Kill) -> Ended:
        """Run it to its end, or `kill` it with all of its session after `timeout_s` seconds."""
        try:
            stream = await self.open()
            return await self._run(stream, stdin, timeout_s, kill)
        except asyncio.CancelledError:
            await aio.to_the_end(kill(self))
            raise

    async def _run(self, stream: Stream, stdin: bytes, timeout_s: float, kill: Kill) -> Ended:
        output = Output()
        reading = asyncio.ensure_future(output.read(stream))
        sending = asyncio.ensure_future(send_all(stream, stdin))
        try:
            state, timed_out = await self._end(reading, timeout_s, kill)
            await asyncio.wait([reading], timeout=LINGER_S)
        finally:
            reading.cancel()
            sending.cancel()
            stream.close()
        return self._told(state, bytes(output.streams[1]), bytes(output.streams[2]), timed_out)

    async def _end(self, reading: "asyncio.Future[None]", timeout_s: float, kill: Kill) -> tuple[dict[str, Any], bool]:
        """How it was found in the end, and whether it was killed. Its output may end before it does, or go on."""
        deadline, pause_s = time.monotonic() + timeout_s, FIRST_POLL_S
        while True:
            left_s = min(pause_s, max(0.0, deadline - time.monotonic()))
            await (asyncio.sleep(left_s) if reading.done() else asyncio.wait([reading], timeout=left_s))
            state = await self.look()
            if not state["Running"] and state["ExitCode"] is not None:
                return state, False
            if time.monotonic() >= deadline:
                await kill(self)
                return state, True
            pause_s = min(2 * pause_s, SLOWEST_POLL_S)

    def _told(self, state: Mapping[str, Any], stdout: bytes, stderr: bytes, timed_out: bool) -> Ended:
        """How it ended. What a program prints may look like the runtime's words, so these have to be all there is."""
        if timed_out:
            return -signal.SIGKILL, stdout, stderr, True
        code: int = state["ExitCode"]
        if not state["Pid"] and stdout.startswith(_NOT_STARTED):
            return 127, b"", stdout + stderr, False
        if (code, stdout, stderr) == (1, b"", _TOO_LONG.format(self._name).encode()):
            raise SandboxError("arguments and environment are too long")
        if (code, stdout) == (1, b"") and stderr.decode(errors="replace") in self._not_a_program:
            return 127, b"", stderr, False
        return (128 - code if 128 < code < 128 + signal.NSIG else code), stdout, stderr, False

    @property
    def _not_a_program(self) -> list[str]:
        return [text.format(self._name) for text in _NOT_A_PROGRAM]


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
