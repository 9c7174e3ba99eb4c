"""What several test modules need: an image of a few tools, a Docker engine that has it, and a tmux.

A test that is marked `tmux`, `chromium` or `vllm` is skipped where there is none, unless TERMGYM_REQUIRE asks for it.
"""

import importlib
import io
import os
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

from termgym.image.engine import Engine
from termgym.image.store import Store
from tests import images
from tests.boxes import split

TOOLS = (
    "bash cat chmod chown cp dd env head id kill ln ls mkdir mkfifo mknod mv ps readlink rm setsid sh sleep sort stat "
    "stty tail touch wc yes"
)


def pytest_configure() -> None:
    """Be interruptible: what a shell without job control starts in the background ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for program in ("tmux", "chromium"):
        if item.get_closest_marker(program) and not shutil.which(program):
            _lack(program, f"{program} is not installed")
    if item.get_closest_marker("vllm") and not find_spec("vllm"):
        _lack("vllm", "vLLM is not installed here: make test-vllm")


def _lack(what: str, why: str) -> NoReturn:
    """Skip a test for what is not here, or fail it if TERMGYM_REQUIRE asks for that."""
    if what in os.environ.get("TERMGYM_REQUIRE", "").split(","):
        pytest.fail(f"TERMGYM_REQUIRE asks for {what}: {why}")
    pytest.skip(why)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of its own: some tools, the libraries that they load, and links as in any distribution."""
    root = tmp_path_factory.mktemp("image")
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    tools = [
        Path(os.path.realpath(found)) for name in TOOLS.split() if (found := shutil.which(name, path="/usr/bin:/bin"))
    ]
    listed = subprocess.run(["ldd", *map(str, tools)], capture_output=True, text=True, check=False).stdout
    for library in sorted(set(re.findall(r"(/\S+\.so\S*) \(", listed))):
        target = root / library.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    for name, path in zip(TOOLS.split(), tools, strict=True):
        shutil.copy(path, root / "usr/bin" / name)
    (root / "etc").mkdir()
    (root / "etc/marker").write_text("of the image\n")
    return root


@pytest.fixture(scope="session")
def docker_image(image: Path) -> Iterator[str]:
    """The same image by its name in a Docker engine."""
    api = _engine()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(image, ".", filter=_of_root)
    name = f"termgym-test:{os.getpid()}"
    api.import_image_from_data(packed.getvalue(), repository="termgym-test", tag=str(os.getpid()))
    yield name
    made = api.inspect_image(name)["Id"]
    api.remove_image(name, force=True)
    for volume in api.volumes(filters={"label": f"termgym.image={made}"})["Volumes"] or []:
        api.remove_volume(volume["Name"])
    api.close()


@pytest.fixture
def debian(docker_image: str) -> str:
    """An image with an ordinary userland."""
    name = os.environ.get("TERMGYM_DOCKER_IMAGE", "")
    if not name:
        _lack("docker", "TERMGYM_DOCKER_IMAGE names no image with an ordinary userland")
    return name


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    return entry


def _engine():
    if not Engine.is_here():
        _lack("docker", "no Docker engine answers here")
    return importlib.import_module("docker").from_env(timeout=60).api


@pytest.fixture(scope="session")
def stored(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same, in a store, as layers that add to each other, replace and hide."""
    folder = tmp_path_factory.mktemp("stored")
    links, files = split(image)
    layers = [
        [*links, *files[::2], images.entry("etc/marker", "old\n"), images.entry("etc/hidden"), images.entry("opt/a/x")],
        [images.entry("usr/bin/junk", mode=0o755), images.folder("usr/bin"), *files[1::2], images.entry("opt/b/x")],
        [
            images.entry("etc/.wh.hidden"),
            images.entry("usr/bin/.wh.junk"),
            images.entry("opt/.wh.a"),
            images.entry("x/y"),
        ],
        [images.entry("etc/marker", "of the image\n"), images.entry("opt/b/.wh..wh..opq"), images.entry(".wh.x")],
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERMGYM_IMAGES", str(folder / "store"))
        Store().import_archive(images.made(folder / "tools.tar", *layers), "tools")
        yield "tools"
