"""Images of a Docker engine, through its API."""

import contextlib
import importlib
import math
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from termgym.errors import ImageError

LOG_CHARACTERS = 2_000
"""Of what a builder printed, in an error."""


def saved(name: str) -> Iterator[bytes]:
    """What `docker save NAME` would write, in pieces.

    Raises:
        ImageError: There is no engine, it has no such image, or termgym[docker] is not installed.
    """
    with _connected(f"get {name} from") as (docker, client):
        try:
            yield from client.images.get(name).save(named=True)
        except docker.errors.ImageNotFound:
            raise ImageError(f"the Docker engine has no image {name!r}; `docker pull {name}` gets it one") from None


def has(name: str) -> bool:
    """Whether an engine runs here and has that image."""
    with contextlib.suppress(ImageError), _connected(f"look for {name} in") as (_, client):
        return bool(client.images.get(name))
    return False


class Engine:
    """The Docker engine as a builder: see `termgym.image.build.Builder`."""

    name = "the Docker engine"

    @classmethod
    def is_here(cls) -> bool:
        """Whether one runs here."""
        with contextlib.suppress(ImageError), _connected("reach"):
            return True
        return False

    def build(self, folder: Path, name: str, network: str, timeout_s: float, say: Callable[[str], None]) -> None:
        """See `Builder.build`."""
        log, failed = "", False
        with _connected(f"build {name} in", math.ceil(timeout_s)) as (docker, client):
            answers: list[Any] = []  # that to a build is to be closed, or else the engine goes on

            def keep(answer: Any, **_: Any) -> None:
                answers.append(answer)

            client.api.hooks["response"].append(keep)
            options = {"rm": True, "forcerm": True, "decode": True, "network_mode": network}
            events = client.api.build(path=str(folder), tag=name, **options)
            with _ended(docker.types.CancellableStream(events, answers[-1]), timeout_s) as (stream, late):
                for event in stream:
                    text = event.get("stream") or event.get("error") or ""
                    log, failed = (log + text)[-LOG_CHARACTERS:], failed or "error" in event
                    say(text)
        if late.is_set():
            raise ImageError(f"{name} is not built within its {timeout_s:g} s: {log}")
        if failed:
            raise ImageError(f"{name} cannot be built: {log}")

    def save(self, name: str, path: Path) -> None:
        """See `Builder.save`."""
        with path.open("wb") as file:
            file.writelines(saved(name))

    def forget(self, name: str) -> None:
        """See `Builder.forget`."""
        with _connected(f"remove {name} from") as (_, client):
            client.images.remove(name)


@contextlib.contextmanager
def _ended(stream: Any, timeout_s: float) -> Generator[tuple[Any, threading.Event]]:
    """A stream that is closed at the end, or before when its time is over: then the event is set."""
    late = threading.Event()

    def end() -> None:
        late.set()
        stream.close()

    timer = threading.Timer(timeout_s, end)
    timer.start()
    try:
        yield stream, late
    finally:
        timer.cancel()
        timer.join()
        stream.close()


@contextlib.contextmanager
def _connected(what: str, timeout_s: int = 60) -> Generator[tuple[Any, Any]]:
    """Docker's package and a client; `what` is to be done with the engine, for errors."""
    try:
        docker = importlib.import_module("docker")
    except ImportError:
        advice = "pip install 'termgym[docker]', or run `docker save -o FILE NAME` and `termgym image import FILE`"
        raise ImageError(f"to {what} a Docker engine takes its Python package: {advice}") from None
    lost = importlib.import_module("urllib3.exceptions").HTTPError
    try:
        _knock(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
        client = docker.from_env(timeout=timeout_s)
        try:
            yield docker, client
        finally:
            client.close()
    except lost as error:
        raise ImageError(f"cannot {what} the Docker engine: it said nothing for {timeout_s} s ({error})") from None
    except (docker.errors.DockerException, OSError) as error:
        raise ImageError(f"cannot {what} a Docker engine: {error}") from None


def _knock(where: str) -> None:
    """Raise OSError where no socket is listened on: docker's client would leave one of its own unclosed."""
    scheme, _, path = where.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
