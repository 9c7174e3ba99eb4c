"""The recipe that agents' terminals are mostly driven by today, as Terminus 2 does it, to measure beside ours.

A container that sleeps, a tmux server in it, and one `docker exec` for every look and every batch of keystrokes; after
each batch it sleeps to the duration that the model stated, since it cannot know when the terminal has settled.
Left out, in its favour: the network, the agent's set-up, the recording, and a Compose project around the container.
"""

import os
import subprocess
import time
from itertools import count

COLS, ROWS = 160, 40
NUMBERS = count(1)
TEST = "mkdir -p /logs/verifier; grep -qx hi /app/out.txt; echo $((! $?)) > /logs/verifier/reward.txt"


class Unavailable(Exception):
    """Raised when the recipe cannot be run here."""


def docker(*words: str, timeout_s: float = 60.0) -> str:
    """Run the Docker CLI and return what it printed; raises `CalledProcessError` if it failed."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=timeout_s, check=True)
    return done.stdout


def require(image: str) -> None:
    """Make sure of an engine and an image with tmux.

    Raises:
        Unavailable: There is none; the message is short enough for a table.
    """
    try:
        docker("info", timeout_s=10.0)
    except (OSError, subprocess.SubprocessError):
        raise Unavailable("no Docker engine here") from None
    if not image:
        raise Unavailable("no --image given")
    try:
        docker("run", "--rm", "--pull=never", "--network=none", image, "tmux", "-V")
    except subprocess.SubprocessError:
        raise Unavailable("no image of that name with tmux") from None


class Container:
    """A container with one tmux session."""

    def __init__(self, image: str) -> None:
        name = f"termgym-bench-{os.getpid()}-{next(NUMBERS)}"
        run = ("run", "-d", "--pull=never", "--network=none", "--name", name, "-w", "/app")
        self.id = docker(*run, image, "sleep", "infinity").strip()

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave nothing behind of a run that failed."""
        if kind is not None:
            self.remove()

    def exec(self, *words: str) -> str:
        """Run a program inside."""
        return docker("exec", self.id, *words)

    def open(self) -> None:
        """Start the tmux session and wait for the first prompt."""
        size = ("-x", str(COLS), "-y", str(ROWS))
        new = ("tmux", "new-session", *size, "-d", "-s", "main", "bash --login")
        docker("exec", "-e", "TERM=xterm-256color", "-e", "LANG=C.UTF-8", self.id, *new)
        while not self.screen().rstrip("\n").endswith(("#", "$")):
            pass

    def screen(self) -> str:
        """What tmux has on the screen and above it."""
        return self.exec("tmux", "capture-pane", "-p", "-S", "-", "-t", "main")

    def step(self, keystrokes: str, duration_s: float) -> str:
        """One turn: is it alive, type, sleep to the duration, look."""
        self.exec("tmux", "has-session", "-t", "main")
        begin = time.perf_counter()
        self.exec("tmux", "send-keys", "-t", "main", "--", keystrokes)
        time.sleep(max(0.0, duration_s - (time.perf_counter() - begin)))
        return self.screen()

    def verify(self) -> float:
        """Run the test script and read the reward file."""
        self.exec("bash", "-c", TEST)
        return float(self.exec("cat", "/logs/verifier/reward.txt"))

    def stop(self) -> None:
        """Stop it as Compose does: `sleep` as process 1 ignores the request, and is killed after ten seconds."""
        docker("stop", self.id)
        docker("rm", self.id)

    def remove(self) -> None:
        """Kill and remove it."""
        docker("rm", "-f", self.id)
