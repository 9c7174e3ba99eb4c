"""What stands for uv, uvx, pip and apt-get in an image for verifiers: it installs nothing.

It says whether what is asked for is there, in the version that is asked for, with exit status 0 or 1, and runs the
program that uv was to run. What is missing goes into MARK too, so that a test script that takes every failure for a
failed test cannot make a score of it. Another version of Python than the image's is no reason to fail.

It runs under each of these names, by the Python of the image (3.9 or newer), and imports nothing of termgym.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import NamedTuple

MARK = "/logs/verifier/termgym-missing"
PATH = "usr/local/lib/termgym/shim.py"
"""Where it lies in the image, without the first slash."""
NAMES = ("uv", "uvx", "pip", "pip3", "apt-get", "apt")
FETCHERS = ("curl", "wget", "ca-certificates", "gnupg", "apt-transport-https")
"""Debian packages that a script installs to download with: as nothing is downloaded, nothing depends on them."""
_FILES = ("-r", "--requirement", "--requirements", "--with-requirements")
_WITH = ("-w", "--with", "--from")
_EDITABLE = ("-e", "--editable", "--with-editable")
_VALUED = (
    *_FILES,
    *_WITH,
    *_EDITABLE,
    *"-c --constraint -i --index-url --extra-index-url --index --default-index -f --find-links -t --target --prefix "
    "--root --timeout --retries --only-binary --no-binary --python -p --python-version --platform --cache-dir --log "
    "--project --directory --env-file --link-mode --group --extra --exclude-newer -o --option --trusted-host --proxy "
    "--color --progress-bar --python-preference --default-timeout --upgrade-strategy".split(),
)
"""Options that take a value."""
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*===?\s*([^\s;,*]+)\s*(?:;.*)?")
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*((?:[<>=!~][^;@]*)?)(?:;.*)?")


class Asked(NamedTuple):
    """What a command asks for."""

    packages: tuple[str, ...] = ()
    """Requirements of Python packages, as `pytest==8.4.1`."""
    files: tuple[str, ...] = ()
    """Files of such requirements."""
    system: tuple[str, ...] = ()
    """Debian packages."""
    program: tuple[str, ...] = ()
    """What it runs then."""
    strange: tuple[str, ...] = ()
    """What cannot be told to be there: folders, addresses."""


class _Words(NamedTuple):
    """The words of a command line, by what they are."""

    plain: list[str]
    options: list[tuple[str, str]]
    """Those that take a value, with it."""

    def of(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(value for name, value in self.options if name in names)


def pinned(requirement: str) -> tuple[str, str] | None:
    """Project and version of `NAME==VERSION`; None of any other requirement."""
    found = _PINNED.fullmatch(requirement.strip())
    return (project(found[1]), found[2]) if found else None


def project(name: str) -> str:
    """A project's name as the Python package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(argv: list[str]) -> Asked | None:
    """What a command line of uv, uvx, pip or apt-get asks for; None if it asks for nothing that is installed."""
    tool, words = Path(argv[0]).name, argv[1:]
    if tool in ("apt", "apt-get"):
        plain = _taken(words).plain
        return Asked(system=tuple(word.partition("=")[0] for word in plain[1:])) if plain[:1] == ["install"] else None
    if tool == "uvx":
        return _to_run(words, tool=True)
    if tool == "uv":
        return _of_uv(words)
    return _to_install(words, "install")


def _of_uv(words: list[str]) -> Asked | None:
    while words and words[0].startswith("-"):
        words = words[2 if words[0] in _VALUED else 1 :]
    if words[:2] == ["tool", "run"]:
        return _to_run(words[2:], tool=True)
    if words[:1] == ["run"]:
        return _to_run(words[1:], tool=False)
    if words[:1] in (["pip"], ["tool"]):
        return _to_install(words[1:], "install")
    return _to_install(words, "add")


def _to_install(words: list[str], command: str) -> Asked | None:
    taken = _taken(words)
    if taken.plain[:1] != [command]:
        return None
    wanted = taken.plain[1:]
    strange = (*(word for word in wanted if not _NAMED.fullmatch(word)), *taken.of(_EDITABLE))
    return Asked(tuple(word for word in wanted if word not in strange), taken.of(_FILES), strange=strange)


def _to_run(words: list[str], tool: bool) -> Asked:
    """What `uv run`, or `uvx` with the package that the program is of, asks for."""
    taken = _taken(words, to_first=True)
    program, packages = taken.plain, [one for value in taken.of(_WITH) for one in value.split(",")]
    if tool and program:
        name, _, version = program[0].replace("==", "@").partition("@")
        program = [name, *program[1:]]
        if not taken.of(("--from",)):
            packages.append(f"{name}=={version}" if version not in ("", "latest") else name)
    return Asked(tuple(packages), taken.of(_FILES), program=tuple(program), strange=taken.of(_EDITABLE))


def _taken(words: list[str], to_first: bool = False) -> _Words:
    """With `to_first`, what follows the first plain word belongs to that."""
    taken, left = _Words([], []), list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in _VALUED:
            taken.options.append((name, value if equals or not left else left.pop(0)))
        elif word == "--" or not word.startswith("-"):
            taken.plain.extend([word] if word != "--" else [])
            if to_first:
                taken.plain.extend(left)
                break
    return taken


def in_file(text: str) -> list[str]:
    """The lines of a file of requirements, without comments and hashes."""
    lines = [re.sub(r"(^|\s)#.*|\s+--hash=\S+", "", line).strip() for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line]


# In the image.


def missing(wanted: Asked) -> list[str]:
    """What of it is not there, each in some words."""
    packages, lacking = list(wanted.packages), [f"{one} (which cannot be told)" for one in wanted.strange]
    for path in wanted.files:
        try:
            packages += in_file(Path(path).read_text())
        except OSError as error:
            lacking.append(f"{path} ({error.strerror})")
    lacking += [lack for package in packages if (lack := _lack(package))]
    return lacking + [f"{name} (a Debian package)" for name in wanted.system if _lacks_system(name)]


def _lack(requirement: str) -> str:
    found = _NAMED.fullmatch(requirement.strip())
    if not found:
        return f"{requirement} (which cannot be told)"
    try:
        there = metadata.version(found[1])
    except metadata.PackageNotFoundError:
        return f"{requirement} (none is installed)"
    exact = pinned(requirement)
    fits = exact[1] == there if exact else not found[2].strip() or _within(found[2], there)
    return "" if fits else f"{requirement} (installed is {there})"


def _within(said: str, version: str) -> bool:
    try:
        specifiers = import_module("packaging.specifiers")  # pytest brings it
        return bool(specifiers.SpecifierSet(said).contains(version, prereleases=True))
    except (ImportError, ValueError):
        return False


def _lacks_system(name: str) -> bool:
    if name in FETCHERS or not shutil.which("dpkg-query"):
        return name not in FETCHERS
    argv = ["dpkg-query", "-W", "-f=${db:Status-Abbrev}", name]
    return not subprocess.run(argv, capture_output=True, text=True, check=False).stdout.startswith("ii")


def _mark(lacking: list[str]) -> None:
    Path(MARK).parent.mkdir(parents=True, exist_ok=True)
    with Path(MARK).open("a") as file:
        file.writelines(f"{lack}\n" for lack in lacking)


def _run(program: tuple[str, ...]) -> None:
    argv = [sys.executable, *program] if program[0].endswith(".py") else list(program)
    if argv[0] == "python" and not shutil.which("python"):
        argv[0] = sys.executable
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        _mark([f"{argv[0]} ({error.strerror})"])
        sys.exit(f"termgym: cannot run {argv[0]}: {error.strerror}")


def _otherwise(argv: list[str]) -> None:
    """A command that installs nothing: the image's own pip does it; of uv, what a script needs to go on."""
    tool, words = Path(argv[0]).name, _taken(argv[1:]).plain
    if tool.startswith("pip") or tool == "__main__.py":
        sys.exit(import_module("pip._internal.cli.main").main(argv[1:]))
    if words[:1] == ["venv"]:
        activate = Path(*words[1:2] or [".venv"], "bin/activate")
        activate.parent.mkdir(parents=True, exist_ok=True)
        activate.touch()


def main(argv: list[str]) -> None:
    """Do what a command line asks, as far as that needs no network."""
    wanted = asked(argv)
    if wanted is None:
        _otherwise(argv)
        return
    lacking = missing(wanted)
    if lacking:
        _mark(lacking)
        sys.exit(f"termgym: this image lacks {', '.join(lacking)}; `termgym image verifier` makes one that has it")
    if wanted.program:
        _run(wanted.program)


if __name__ == "__main__":
    try:
        main(sys.argv)
    except Exception as error:
        _mark([f"{' '.join(sys.argv)} ({error!r})"])
        raise
