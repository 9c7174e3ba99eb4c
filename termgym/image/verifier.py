"""Images for verifiers: a task's image with one more layer, which has what its tests install when they run.

The layer holds Python packages, installed once and with the network of whoever makes it, for the image's own Python;
their scripts; and `termgym.image.shim` under the names of what would install them. Times, owners and modes are fixed,
so that the same packages are the same layer.
"""

import csv
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import NamedTuple

from termgym.errors import ImageError
from termgym.image import Image, engine, shim
from termgym.image.store import Store, full_name
from termgym.launcher import layers as stack

BIN = "usr/local/bin"
MTIME = 1_735_689_600
MAX_LINKS = 8
_LIBRARIES = "usr/lib/{0}-linux-gnu lib/{0}-linux-gnu usr/lib64 lib64".split()
_GNU = re.compile(rb"GNU C Library .*release version (\d+)\.(\d+)")


class Python(NamedTuple):
    """The Python that an image has."""

    program: str
    """Its absolute path."""
    version: str
    """As `3.11`."""
    site: str
    """The folder that it finds packages in, without the first slash."""
    platforms: tuple[str, ...]
    """Of the wheels that it can use."""


def usual_name(base: str) -> str:
    """What the verifier's image for an image is called, unless somebody says otherwise."""
    return f"{full_name(base)}-verifier"


def make(base: str, name: str, requirements: Sequence[str], say: Callable[[str], None] = lambda _: None) -> Image:
    """Make the image `name` of the stored image `base` and these pinned requirements.

    A Docker engine that has `base` gets it too.

    Raises:
        ImageError: There is no such image, it has no Python, or there are no such wheels for it.
    """
    store = Store()
    image = store.find(base)
    python = python_of(image, base)
    with tempfile.TemporaryDirectory(prefix="termgym-verifier-") as scratch:
        root, layer = Path(scratch, "root"), Path(scratch, "layer.tar")
        _install(python, requirements, root, say)
        hidden = _hidden(image, python, root)
        _add_shims(image, python, root)
        _pack(root, hidden, layer)
        with layer.open("rb") as stream:
            made = store.extend(base, stream, name)
        if engine.has(full_name(base)):
            _into_engine(full_name(base), full_name(name), layer, say)
    return made


def _into_engine(base: str, name: str, layer: Path, say: Callable[[str], None]) -> None:
    folder = layer.parent / "context"
    folder.mkdir()
    layer.rename(folder / layer.name)
    (folder / "Dockerfile").write_text(f"FROM {base}\nADD {layer.name} /\n")
    engine.Engine().build(folder, name, "none", 600.0, say)


# What the image has.


def python_of(image: Image, shown: str) -> Python:
    """The Python of an image, by what lies in its layers.

    Raises:
        ImageError: It has none in /usr/local/bin or /usr/bin, or a C library that wheels are not made for.
    """
    for prefix in ("usr/local", "usr"):
        found = _file(image, f"{prefix}/bin/python3")
        if found and (version := re.fullmatch(r"python(3\.\d+)", found.name)):
            library = f"{prefix}/lib/python{version[1]}"
            if not _file(image, f"{library}/shutil.py"):
                raise ImageError(f"{shown}: its Python lacks much of its library; install python3 whole, not -minimal")
            debian = prefix == "usr" and _file(image, "etc/debian_version")
            site = f"usr/local/lib/python{version[1]}/dist-packages" if debian else f"{library}/site-packages"
            return Python(f"/{prefix}/bin/python3", version[1], site, _platforms(image, shown))
    raise ImageError(
        f"{shown} has no python3 in /usr/local/bin or /usr/bin, which its tests are to run by; give an "
        "image that has by --image"
    )


def _platforms(image: Image, shown: str) -> tuple[str, ...]:
    machine = os.uname().machine
    if stack.find(_layers(image), f"lib/ld-musl-{machine}.so.1"):
        return tuple(f"musllinux_1_{minor}_{machine}" for minor in (2, 1, 0))
    for path in _LIBRARIES:
        found = _file(image, f"{path.format(machine)}/libc.so.6")
        if found and (version := _GNU.search(found.read_bytes())):
            aliases = [f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")]
            return (*(f"manylinux_2_{minor}_{machine}" for minor in range(int(version[2]), 4, -1)), *aliases)
    raise ImageError(f"{shown} has no C library of GNU or musl for {machine}; wheels are made for those")


def _layers(image: Image) -> list[str]:
    return [str(layer) for layer in reversed(image.layers)]


def _file(image: Image, path: str) -> Path | None:
    """A regular file of an image, maybe through links to it; not through links to folders."""
    for _ in range(MAX_LINKS):
        found = [Path(one) for one in stack.find(_layers(image), path)]
        if len(found) != 1 or not found[0].is_symlink():
            return found[0] if found and found[0].is_file() else None
        path = normpath(join("/", dirname(path), found[0].readlink())).lstrip("/")
    return None


# What goes on top.


def _install(python: Python, requirements: Sequence[str], root: Path, say: Callable[[str], None]) -> None:
    """Install wheels for the image's Python below `root`, by the pip of ours."""
    site = root / python.site
    (root / BIN).mkdir(parents=True)
    site.mkdir(parents=True)
    if not requirements:
        return
    wheels = [f"--platform={platform}" for platform in python.platforms]
    what = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python.version}", *wheels]
    usual = ["--no-compile", "--disable-pip-version-check", "--no-warn-script-location", "--no-input"]
    argv = [sys.executable, "-m", "pip", "install", f"--target={site}", *what, *usual, "--", *requirements]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    say(done.stdout)
    if done.returncode:
        said = (done.stdout + done.stderr)[-engine.LOG_CHARACTERS :]
        raise ImageError(f"pip found no wheels of {', '.join(requirements)} for Python {python.version}: {said}")
    if (site / "bin").is_dir():
        for script in sorted((site / "bin").iterdir()):
            _settle_script(script, python)
            shutil.move(script, root / BIN / script.name)
        (site / "bin").rmdir()
    for record in site.glob("*.dist-info/RECORD"):
        _settle_record(record)


def _settle_script(script: Path, python: Python) -> None:
    """Let a script be run by the image's Python in place of ours."""
    first, newline, rest = script.read_bytes().partition(b"\n")
    if first.startswith(b"#!") and b"python" in first:
        script.write_bytes(f"#!{python.program}".encode() + newline + rest)
    elif first == b"#!/bin/sh":  # the path of our Python was too long or odd for one line
        program = f"'''exec' {python.program} \"$0\" \"$@\"\n' '''\n".encode()
        script.write_bytes(first + newline + program + rest.partition(b"' '''\n")[2])


def _settle_record(record: Path) -> None:
    """Leave out scripts, whose hashes tell where our Python lies."""
    rows = [row for row in csv.reader(io.StringIO(record.read_text())) if not row[0].startswith("..")]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(sorted(rows))
    record.write_text(out.getvalue())


def _hidden(image: Image, python: Python, root: Path) -> list[str]:
    """The files of other versions of what was installed, in the same folder: they are to be seen no more."""
    new = {shim.project(path.name.partition("-")[0]): path.name for path in (root / python.site).glob("*.dist-info")}
    folders = stack.find(_layers(image), python.site)
    hidden: list[str] = []
    for name in stack.names(folders):
        project = shim.project(name.partition("-")[0])
        if name.endswith(".dist-info") and new.get(project, name) != name:
            hidden += [path for path in _recorded(image, python, name) if not (root / path).exists()]
            hidden.append(f"{python.site}/{name}")
    return hidden


def _recorded(image: Image, python: Python, info: str) -> Iterator[str]:
    record = _file(image, f"{python.site}/{info}/RECORD")
    for row in csv.reader(io.StringIO(record.read_text())) if record else ():
        path = normpath(join(python.site, row[0]))
        inside = path.startswith(f"{python.site}/") and not path.startswith(f"{python.site}/{info}/")
        if inside and stack.find(_layers(image), path):
            yield path


def _add_shims(image: Image, python: Python, root: Path) -> None:
    program = f"#!{python.program} -I\n{Path(shim.__file__).read_text()}"
    (root / shim.PATH).parent.mkdir(parents=True)
    (root / shim.PATH).write_text(program)
    (root / shim.PATH).chmod(0o755)
    for name in shim.NAMES:
        (root / BIN / name).unlink(missing_ok=True)
        (root / BIN / name).symlink_to(f"/{shim.PATH}")
    pip = root / python.site / "pip"  # `python3 -m pip`
    pip.mkdir(exist_ok=True)
    (pip / "__main__.py").write_text(program)
    if not (pip / "__init__.py").exists() and not _file(image, f"{python.site}/pip/__init__.py"):
        (pip / "__init__.py").write_text("")


def _pack(root: Path, hidden: Sequence[str], layer: Path) -> None:
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, str(path.relative_to(root)), recursive=False, filter=_settled)
        for path in sorted(hidden):
            tar.addfile(_settled(tarfile.TarInfo(join(dirname(path), f".wh.{path.rpartition('/')[2]}"))))


def _settled(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime, entry.mode = MTIME, 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry
