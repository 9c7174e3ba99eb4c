"""A headless Chromium, driven over its debugging pipe: no driver package is needed."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1400,1000"
).split()


class Tab:
    """One page. Protocol: https://chromedevtools.github.io/devtools-protocol/."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd, self._write_fd, self._rest, self._sent, self._session = read_fd, write_fd, b"", 0, {}
        self.problems: list[str] = []
        """What the page's console told: exceptions, and violations of its policy."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go there, and wait until it has loaded."""
        self.call("Page.navigate", url=url)
        while self._message().get("method") != "Page.loadEventFired":
            pass

    def run(self, script: str) -> Any:
        """The value of an expression in the page, or of its promise."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression holds."""
        held = f"new Promise((done) => {{ const look = () => {condition} ? done() : setTimeout(look, 20); look(); }})"
        self.run(held)

    def press(self, key: str) -> None:
        """Press a key of the keyboard."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code="Space" if key == " " else key)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command of the protocol."""
        self._sent += 1
        request = {"id": self._sent, "method": method, "params": params, **self._session}
        os.write(self._write_fd, json.dumps(request).encode() + b"\0")
        while (answer := self._message()).get("id") != self._sent:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._read_fd, 1 << 16)
            assert piece, "the browser has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        told = json.loads(message)
        if told.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.problems.append(message.decode())
        return told


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A browser with this folder as its profile."""
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    flags = " ".join([*FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"])
    command = f"exec chromium {flags} about:blank 3<&{theirs_in} 4>&{theirs_out}"
    fds = (theirs_in, theirs_out)
    process = subprocess.Popen(["bash", "-c", command], pass_fds=fds, stderr=subprocess.DEVNULL)
    for fd in fds:
        os.close(fd)
    try:
        yield Tab(ours_in, ours_out)
    finally:
        process.terminate()
        process.wait()
        os.close(ours_in)
        os.close(ours_out)
