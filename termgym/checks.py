r"""Checks for families: what they look at was left by an adversary, so each is written once, here.

Check("report", PLAIN + "plain /app/report.csv || exit 1\ncmp -s expected/report.csv /app/report.csv")
answer("/app/answers.txt", "median", 12.5, tolerance=0.01)
entries("moved", {"/app/new/a.txt": Regular(b"..."), "/app/old/a.txt": GONE})
cases("sums", "python3 /app/sum.py", [Case(b"1 2\n", b"3\n"), ...])
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from shlex import quote

from termgym.task import Check

PLAIN = """\
# plain PATH [BYTES]: PATH is a regular file, reached through no link, and not larger (1 MB). Opening a FIFO would hang,
# a link could lead to what the verifier expects, and a sparse file of terabytes would take it past its time.
plain() {
  [ "$(realpath -e -- "$1" 2>/dev/null)" = "$1" ] && [ -f "$1" ] && [ "$(stat -c %s -- "$1")" -le "${2:-1000000}" ]
}
"""
_ANSWER = """\
plain {path} 65536 || exit 1
got=$(tr -d '\\0\\r' <{path} | awk -v key={key} '{{
  at = index($0, {sep}); if (!at) next
  name = substr($0, 1, at - 1); rest = substr($0, at + length({sep}))
  gsub(/^[ \\t]+|[ \\t]+$/, "", name); gsub(/^[ \\t]+|[ \\t]+$/, "", rest)
  if (name == key) print rest
}}' | head -c 4000)
"""
_EXACT = '[ "$got" = {value} ]\n'
_NEAR = """\
[[ "$got" =~ ^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]{{1,3}})?$ ]] || exit 1
awk -v got="$got" 'BEGIN {{ d = got - ({value}); exit !(d <= {tolerance} && -d <= {tolerance}) }}'
"""
_ENTRIES = """\
file() { plain "$3" 8000000 && [ "$1" = "$(sha256sum <"$3" | cut -c 1-64)" ] && mode "$2" "$3"; }
mode() { [ "$1" = - ] || [ "$(stat -c %a -- "$2")" = "$1" ]; }
link() { [ -L "$3" ] && [ "$(readlink -- "$3")" = "$1" ]; }
folder() { [ -d "$3" ] && [ ! -L "$3" ] && mode "$2" "$3"; }
gone() { [ ! -e "$3" ] && [ ! -L "$3" ]; }
"""


def answer(
    path: str, key: str, value: str | float, *, tolerance: float | None = None, weight: float = 1.0, sep: str = "="
) -> Check:
    """The file has one line KEY SEP VALUE, blanks around either left out; a number may be off by the tolerance."""
    text = _ANSWER.format(path=quote(path), key=quote(key), sep=f'"{sep}"')
    text += _EXACT.format(value=quote(str(value))) if tolerance is None else ""
    text += _NEAR.format(value=repr(float(value)), tolerance=repr(tolerance)) if tolerance is not None else ""
    return Check(_name(key), PLAIN + text, weight)


def report(path: str, text: str, *, head: int = 1, weight: float = 1.0) -> tuple[Check, ...]:
    """The file is this text: its first lines, its lines in any order, and all of it; ends of lines are not judged."""
    read = PLAIN + f"plain {quote(path)} 200000 || exit 1\ngot=$(tr -d '\\r\\0' <{quote(path)} | sed 's/[ \\t]*$//')\n"
    lines = [line.rstrip(" \t") for line in text.rstrip("\n").split("\n")]
    want = f"want={quote(chr(10).join(lines))}\n"
    begin = f'[ "$(head -n {head} <<<"$got")" = "$(head -n {head} <<<"$want")" ]\n'
    return (
        Check("begins", read + want + begin, weight),
        Check("lines", read + want + '[ "$(LC_ALL=C sort <<<"$got")" = "$(LC_ALL=C sort <<<"$want")" ]\n', 2 * weight),
        Check("whole", read + want + '[ "$got" = "$want" ]\n', 2 * weight),
    )


@dataclass(frozen=True, slots=True)
class Regular:
    """A regular file that should be there."""

    content: bytes
    mode: str = "-"
    """Octal, as `stat -c %a` has it; "-" for any."""


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link that should be there, to just this."""

    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that should be there."""

    mode: str = "-"


GONE = "gone"
Entry = Regular | Link | Folder | str


def entries(name: str, wanted: Mapping[str, Entry], weight: float = 1.0) -> Check:
    """Path -> what should be there; all of them."""
    lines = [" ".join(map(quote, (*_entry(entry), path))) + " || exit 1\n" for path, entry in sorted(wanted.items())]
    return Check(name, PLAIN + _ENTRIES + "".join(lines), weight)


def _entry(entry: Entry) -> tuple[str, str, str]:
    if isinstance(entry, Regular):
        return "file", sha256(entry.content).hexdigest(), entry.mode
    if isinstance(entry, Link):
        return "link", entry.target, "-"
    return ("folder", "-", entry.mode) if isinstance(entry, Folder) else ("gone", "-", "-")


def count(name: str, folder: str, number: int, weight: float = 1.0) -> Check:
    """So many things that are no folders lie below a folder."""
    found = f"timeout 5 find {quote(folder)} ! -type d -printf . 2>/dev/null | head -c 100000 | wc -c"
    return Check(name, f'[ "$({found})" = {number} ]\n', weight)


@dataclass(frozen=True, slots=True)
class Case:
    """A program's input, what it should print for it, and maybe arguments and its exit status."""

    stdin: bytes
    stdout: bytes
    args: str = ""
    """For the shell."""
    status: int | None = 0
    """None for any but 0."""


def cases(name: str, command: str, given: Iterable[Case], weight: float = 1.0, cwd: str = "/app") -> Check:
    """The agent's program prints what it should for inputs that it was not shown; ends of lines are not judged.

    It runs in a fork, where only inputs come; what is expected stays with the verifier, and is not there to be found.
    """
    listed = list(given)
    run = [_RUN.format(data=_packed(case.stdin), command=f"{command} {case.args}") for case in listed]
    run.insert(0, f"cd {quote(cwd)} || exit 1; export LC_ALL=C.UTF-8\n")
    wanted = "".join(f"x{_packed(case.stdout)} {'!' if case.status is None else case.status}\n" for case in listed)
    return Check(name, _CASES.format(wanted=wanted), weight, "".join(run))


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


_RUN = """\
echo "x$(echo {data} | base64 -d | timeout 2 {command} 2>/dev/null | head -c 20000 | base64 -w 0
echo " ${{PIPESTATUS[2]}}")"
"""
_CASES = """\
text() {{ base64 -d <<<"${{1#x}}" | tr -d '\\0\\r' | sed 's/[ \\t]*$//'; }}
while read -r want code <&3; do
  read -r got status || exit 1
  case $code in !) [ "$status" != 0 ] ;; *) [ "$status" = "$code" ] ;; esac || exit 1
  [ "$(text "$got")" = "$(text "$want")" ] || exit 1
done <"/tests/runs/${{0##*/}}/stdout" 3<<'END'
{wanted}END
"""


def _name(key: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in key.lower()).strip("-")
