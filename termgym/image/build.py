"""Building images: whichever builder is there makes one of a folder with a Dockerfile, and the store keeps it.

A builder is needed for this alone, and with it a network where the Dockerfile downloads: what is in the store runs
without either.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from termgym.errors import ImageError
from termgym.image import Image
from termgym.image.engine import LOG_CHARACTERS, Engine
from termgym.image.store import Store


class Builder(Protocol):
    """A program that builds images."""

    name: str

    def build(self, folder: Path, name: str, network: str, timeout_s: float, say: Callable[[str], None]) -> None:
        """Build the Dockerfile in a folder and tag the image; `say` gets what is printed meanwhile.

        Raises:
            ImageError: It could not be built, or not in that time; with the end of what was printed.
        """
        ...

    def save(self, name: str, path: Path) -> None:
        """Write an image as an archive."""
        ...

    def forget(self, name: str) -> None:
        """Remove a tag."""
        ...


def build(
    folder: Path,
    name: str,
    *,
    timeout_s: float,
    network: str = "default",
    say: Callable[[str], None] = lambda _: None,
) -> Image:
    """Build the Dockerfile in `folder`, with the folder as its context, and store the image under `name`.

    It keeps its name in the builder too. `network` is what RUN instructions have.

    Raises:
        ImageError: There is no builder, or the build failed; then nothing new is tagged or stored.
    """
    builder = find_builder()
    builder.build(folder, name, network, timeout_s, say)
    try:
        with tempfile.TemporaryDirectory(prefix="termgym-build-") as scratch:
            archive = Path(scratch, "image.tar")
            builder.save(name, archive)
            return Store().import_archive(archive, name)
    except BaseException:
        builder.forget(name)
        raise


def find_builder() -> Builder:
    """The first that is there: a Docker engine, podman, buildah.

    Raises:
        ImageError: There is none.
    """
    if Engine.is_here():
        return Engine()
    for program in (Podman, Buildah):
        if shutil.which(program.program):
            return program()
    raise ImageError(
        "there is nothing to build images with: a Docker engine that answers (DOCKER_HOST, and pip install "
        "'termgym[docker]'), podman or buildah; install one of them, as by `apt-get install buildah`"
    )


class Podman:
    """The program podman."""

    name = program = "podman"
    to_build: Sequence[str] = ("build",)

    def build(self, folder: Path, name: str, network: str, timeout_s: float, say: Callable[[str], None]) -> None:
        """See `Builder.build`."""
        offline = ["--network", network] if network != "default" else []
        options = ["--tag", name, *offline, "--file", str(folder / "Dockerfile")]
        status, log = _watched([self.program, *self.to_build, *options, str(folder)], timeout_s, say)
        if status is None:
            raise ImageError(f"{name} is not built within its {timeout_s:g} s: {log}")
        if status:
            raise ImageError(f"{name} cannot be built, {self.program} ended with {status}: {log}")

    def save(self, name: str, path: Path) -> None:
        """See `Builder.save`."""
        self._run("save", "--format", "docker-archive", "--output", str(path), name)

    def forget(self, name: str) -> None:
        """See `Builder.forget`."""
        self._run("rmi", name)

    def _run(self, *args: str) -> None:
        done = subprocess.run([self.program, *args], capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr)[-LOG_CHARACTERS:]
            raise ImageError(f"`{self.program} {' '.join(args)}` ended with {done.returncode}: {said}")


class Buildah(Podman):
    """The program buildah."""

    name = program = "buildah"
    to_build = ("build", "--layers=false")

    def save(self, name: str, path: Path) -> None:
        """See `Builder.save`."""
        self._run("push", name, f"docker-archive:{path}:{name}")


def _watched(argv: Sequence[str], timeout_s: float, say: Callable[[str], None]) -> tuple[int | None, str]:
    """How a program ended, None if it took too long and was ended, and the last that it printed."""
    log, late = "", threading.Event()
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT, start_new_session=True, text=True
    ) as process:

        def end() -> None:
            late.set()
            os.killpg(process.pid, signal.SIGTERM)

        timer = threading.Timer(timeout_s, end)
        timer.start()
        try:
            for line in process.stdout or ():
                log = (log + line)[-LOG_CHARACTERS:]
                say(line)
        finally:
            timer.cancel()
    return (None if late.is_set() else process.returncode), log
