"""Connections that the engine hands over for a program: a terminal's bytes, or framed output."""

import asyncio
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from termgym.channel import MAX_OUTPUT_BYTES
from termgym.errors import SandboxError

_UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}
_CHUNK = 1 << 16
_HEADER = 8
_KEPT = 1000


class Stream:
    """A connection both ways, to a program or to a container's first process."""

    def __init__(self, sock: socket.socket, early: bytes) -> None:
        self.sock, self.early = sock, early
        """`early` is what came along with the engine's answer."""

    def close(self) -> None:
        """Close it; an engine ends the input of what is behind it then."""
        self.sock.close()


def open_stream(api: Any, path: str, body: Mapping[str, Any] | None = None) -> Stream:
    """Ask the engine for a connection, as the `attach` and `exec start` of its API do. Blocks.

    Raises:
        docker.errors.APIError: The engine refused.
    """
    response = api.post(f"{api.base_url}/v{api.api_version}{path}", json=body, headers=_UPGRADE, stream=True)
    api._raise_for_status(response)
    reader = response.raw._fp.fp
    raw = getattr(getattr(reader, "raw", None), "_sock", None) or getattr(reader, "channel", reader)
    if type(raw) is not socket.socket:
        return Stream(_relay(raw, response), b"")
    ours = raw.dup()
    ours.setblocking(False)
    early = b""
    with suppress(OSError):
        early = bytes(reader.peek())
    response.close()
    return Stream(ours, early)


def _relay(raw: Any, response: object) -> socket.socket:
    """A socket for a connection under TLS or SSH, which cannot be used by its descriptor: threads pass its bytes on."""
    ours, theirs = socket.socketpair()
    raw.settimeout(None)
    for source, sink in ((raw, theirs), (theirs, raw)):
        threading.Thread(target=_pass_on, args=(source, sink, response), daemon=True).start()
    ours.setblocking(False)
    return ours


def _pass_on(source: Any, sink: Any, _: object) -> None:
    with suppress(OSError, EOFError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class Output:
    """What a program prints, from the engine's frames; each stream cut at `MAX_OUTPUT_BYTES`."""

    def __init__(self) -> None:
        self.streams = {1: bytearray(), 2: bytearray()}
        self._pending = bytearray()

    async def read(self, stream: Stream) -> None:
        """Read to the end of the stream."""
        loop = asyncio.get_running_loop()
        data = stream.early
        while data or (data := await _receive(loop, stream.sock)):
            self._feed(data)
            data = b""

    def _feed(self, data: bytes) -> None:
        self._pending += data
        while len(self._pending) >= _HEADER:
            end = _HEADER + int.from_bytes(self._pending[4:_HEADER], "big")
            if len(self._pending) < end:
                return
            kept = self.streams.get(self._pending[0], bytearray())
            kept += self._pending[_HEADER : min(end, _HEADER + MAX_OUTPUT_BYTES - len(kept))]
            del self._pending[:end]


async def _receive(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    try:
        return await loop.sock_recv(sock, _CHUNK)
    except ConnectionError:
        return b""


async def send_all(stream: Stream, data: bytes) -> None:
    """Send the whole input of a program, and end it. One that does not read it all is fine."""
    with suppress(ConnectionError):
        await asyncio.get_running_loop().sock_sendall(stream.sock, data)
    with suppress(OSError):
        stream.sock.shutdown(socket.SHUT_WR)


async def read_until(stream: Stream, mark: bytes, timeout_s: float) -> None:
    """Read until `mark` has come, and nothing after it.

    Raises:
        SandboxError: The stream ended before, or the time is up.
    """
    seen = bytearray(stream.early)
    stream.early = b""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            while mark not in seen:
                if not (data := await _receive(loop, stream.sock)):
                    raise SandboxError(f"it ended before it began: {bytes(seen[-500:]).decode(errors='replace')}")
                seen = seen[-_KEPT:] + data
    except TimeoutError:
        raise SandboxError(f"it did not begin within {timeout_s:.0f} s") from None
