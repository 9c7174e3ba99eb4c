"""What a test script gets before it tests: read off its text, and off what it printed.

Test scripts of others install their own tools when they run: a package index by pip or uv, uv itself by curl, programs
by apt-get. Many of them then take any failure for a failed test. Only plain commands are read: what is in variables,
heredocs or functions of other files is not seen.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from termgym.errors import ImageError
from termgym.image import shim

REQUIREMENTS = "test_requirements.txt"
FETCHERS = ("curl", "wget")
PACKAGES = ("pip", "pip3", "uv", "uvx")
INSTALLERS = ("apt-get", "apt", *PACKAGES)
SESSION = re.compile(r"^=+ test session starts =+$", re.MULTILINE)
"""pytest's first line: what comes after it on standard output is of tests, and may be of the agent's programs."""
LOOPBACK = re.compile(r"\blocalhost\b|\b127\.\d|\b0\.0\.0\.0\b|\[?::1\b")
_WORDS = "if then else elif do while until ! { ( time exec sudo command env".split()
_FAILURES = {
    "curl": r"curl: \((?:5|6|7|35)\)",
    "wget": r"wget: (?:unable to resolve host address|bad address)|failed: Connection (?:refused|timed out)",
    "apt-get": r"Temporary failure resolving|Could not resolve '|Unable to locate package|Could not connect to",
    "pip": r"NewConnectionError|NameResolutionError|Could not find a version that satisfies|No matching distribution",
    "uv": r"error sending request for url|dns error|[Ff]ailed to fetch: `|Failed to download|No solution found",
}
"""What these programs print when they could not download."""
_SAME = {"apt": "apt-get", "pip3": "pip", "uvx": "uv"}


def requirements(tests: Mapping[str, bytes]) -> list[str]:
    """The Python packages that tests, path -> content, name: to pip, uv or uvx in their scripts, or in files for those.

    A file counts by its name, wherever a script says that it lies; test_requirements.txt does in any case.
    """
    scripts = [content.decode(errors="replace") for path, content in tests.items() if path.endswith(".sh")]
    wanted = [asked for script in scripts for argv in _commands(script) if (asked := _asked(argv))]
    names = {REQUIREMENTS} | {PurePosixPath(path).name for asked in wanted for path in asked.files}
    files = [content.decode(errors="replace") for path, content in tests.items() if PurePosixPath(path).name in names]
    return [one for asked in wanted for one in asked.packages] + [one for text in files for one in shim.in_file(text)]


def downloads(script: str) -> list[str]:
    """The programs by which a script downloads."""
    return list(dict.fromkeys(argv[0] for argv in _commands(script) if _fetches(argv) or _asked(argv)))


def failure(tools: Iterable[str], stdout: str, stderr: str) -> str:
    """The line that shows that one of these programs could not download, or was not even there; or nothing."""
    session = SESSION.search(stdout)
    printed = f"{stderr}\n{stdout[: session.start()] if session else stdout}"
    for tool in tools:
        shown = _FAILURES[_SAME.get(tool, tool)]
        lines = re.findall(rf"(?m)^.*(?:{shown}|\b{tool}: (?:command )?not found|\b{tool}: No such file).*$", printed)
        for line in lines:
            if not LOOPBACK.search(line):
                return line.strip()
    return ""


def pins(listed: Iterable[str], where: str) -> list[str]:
    """Requirements that are all pinned, in order; one that is not is dropped if another one pins the same project.

    Raises:
        ImageError: One is not, or two pin one project differently.
    """
    listed = [one.strip() for one in listed]
    chosen: dict[str, str] = {}
    for one in listed:
        if pinned := shim.pinned(one):
            name, version = pinned
            if chosen.setdefault(name, version) != version:
                raise ImageError(f"{where}: {name} is wanted as {chosen[name]} and as {version}; one image has one")
    for one in listed:
        name = shim.project(re.split(r"[\[\s<>=!~;@(]", one)[0])
        if name not in chosen:
            raise ImageError(f"{where}: {one!r} is not pinned, so that it would be another one tomorrow; pin it: "
                             f"{name or 'NAME'}==VERSION, in a file for --requirements")  # fmt: skip
    return sorted(one for one in dict.fromkeys(listed) if shim.pinned(one))


def _fetches(argv: list[str]) -> bool:
    """Whether it gets something from elsewhere: a test may well ask a server of the agent's."""
    return argv[0] in FETCHERS and any("://" in word and not LOOPBACK.search(word) for word in argv[1:])


def _asked(argv: list[str]) -> shim.Asked | None:
    return shim.asked(argv) if argv[0] in INSTALLERS else None


def _commands(script: str) -> Iterator[list[str]]:
    """The plain commands of a script, `python -m pip` as pip."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # a quotation of several lines
            continue
        yield from _split(words)


def _split(words: list[str]) -> Iterator[list[str]]:
    argv: list[str] = []
    for word in [*words, ";"]:
        if word and not set(word) - set(";&|()<>"):
            if argv := _plain(argv):
                yield argv
            argv = []
        else:
            argv.append(word)


def _plain(argv: list[str]) -> list[str]:
    while argv and (argv[0] in _WORDS or re.fullmatch(r"[A-Za-z_]\w*=.*", argv[0], re.DOTALL)):
        argv = argv[1:]
    if len(argv) > 2 and re.fullmatch(r"python[\d.]*", argv[0].rpartition("/")[2]) and argv[1:3] == ["-m", "pip"]:
        argv = argv[2:]
    return [argv[0].rpartition("/")[2], *argv[1:]] if argv else []
