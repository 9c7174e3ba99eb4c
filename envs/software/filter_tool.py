"""A command-line filter to be written to a specification, in the language that is asked for; judged on hidden inputs.

What the tool does is composed of several features drawn by the seed; each level has one more. What it prints for bad
input, and its exit status, are part of the specification.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import Case, cases
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, SERVICES, TOWNS
from termgym.task import Check, File, Limits

ASKS = (
    "Write a command-line tool, {path}, in {language}. {core}\n\n{features}\n\n{more}\n",
    "We are missing a small filter: {path} ({language}). {core}\n\n{more}\n\n{features}\n",
    "Specification of {path}, a program in {language}. {core}\n\n{features}\n\n{more}\n",
    "Please implement {path} in {language}. {core} Beyond that:\n\n{features}\n\n{more}\n",
)
CORE = (
    'It reads records from standard input, one per line, "KEY{sep}NUMBER", and prints for each key the {what} of its'
    ' numbers, as "KEY{sep}RESULT", in the order in which the keys first appear. Numbers are whole and may be negative.'
)
WHATS: dict[str, Callable[[Sequence[int]], int]] = {
    "sum": sum,
    "maximum": max,
    "minimum": min,
    "number of records instead": len,
}
FEATURES = {
    "blank": "- Blank lines, and lines that begin with {comment}, are skipped.",
    "bad": (
        "- A line that is no record makes it print nothing more, to standard output that is, and end with status"
        " {status} at once; results are printed at the end, so then there are none."
    ),
    "sort": "- With the option -{s} the results are sorted by number, largest first, equal ones by key (byte order).",
    "top": "- With the option -{n} COUNT only the first COUNT results are printed, after any sorting.",
    "share": (
        "- With the option -{p} a third field is the result's share of the sum of all results, in whole percent,"
        " rounded down (0 if that sum is not positive)."
    ),
}
MORE = (
    "It is called as {call}, possibly with its options, in any order. An example is in {folder}/example.in and, without"
    " options, {folder}/example.out."
)
LEVELS = {
    1: (),
    2: ("blank",),
    3: ("blank", "bad"),
    4: ("blank", "bad", "sort"),
    5: ("blank", "bad", "sort", "top", "share"),
}
PROGRAM = """\
import sys
args, sort, top, share = sys.argv[1:], False, None, False
while args:
    option = args.pop(0)
    if option == "-{s}":
        sort = True
    if option == "-{n}":
        top = int(args.pop(0))
    if option == "-{p}":
        share = True
groups = {{}}
for line in sys.stdin:
    line = line.rstrip("\\n")
    if not line.strip() or line.startswith({comment!r}):
        continue
    key, _, number = line.rpartition({sep!r})
    try:
        value = int(number)
        if not key or number.strip() != number:
            raise ValueError
    except ValueError:
        sys.exit({status})
    groups.setdefault(key, []).append(value)
rows = [(k, {call}(v)) for k, v in groups.items()]
if sort:
    rows.sort(key=lambda r: (-r[1], r[0]))
total = sum(v for _, v in rows)
for k, v in rows[:top]:
    print({sep!r}.join([k, str(v)] + ([str(v * 100 // total if total > 0 else 0)] if share else [])))
"""
CALLS = {"sum": "sum", "maximum": "max", "minimum": "min", "number of records instead": "len"}


@dataclass(frozen=True, slots=True)
class Tool:
    """What the tool does."""

    what: str
    sep: str
    comment: str
    status: int
    letters: Sequence[str]
    """Of the options to sort, for the top, and for shares."""

    def run(self, lines: Sequence[str], sort: bool = False, top: int | None = None, share: bool = False) -> str:
        """What it prints for good lines."""
        groups: dict[str, list[int]] = {}
        for line in lines:
            if line.strip() and not line.startswith(self.comment):
                key, _, number = line.rpartition(self.sep)
                groups.setdefault(key, []).append(int(number))
        rows = [(key, WHATS[self.what](numbers)) for key, numbers in groups.items()]
        total = sum(number for _, number in rows)
        rows = sorted(rows, key=lambda row: (-row[1], row[0])) if sort else rows
        percent = [f"{self.sep}{number * 100 // total if total > 0 else 0}" if share else "" for _, number in rows]
        listed = [f"{key}{self.sep}{number}{more}\n" for (key, number), more in zip(rows, percent, strict=True)]
        return "".join(listed[:top])


def generate(rng: Random, level: int) -> Draft:
    """One tool."""
    tool = Tool(
        rng.choice(tuple(WHATS)),
        rng.choice((":", "=", ";", " ")),
        rng.choice(("#", "//", "%", "--")),
        rng.choice((2, 3, 65)),
        rng.sample("gkmrtvwyz", 3),
    )
    folder = f"/app/{rng.choice(SERVICES)}"
    language, name = ("Python 3", f"{rng.choice(ITEMS)}.py")
    path = f"{folder}/{name}"
    s, n, p = tool.letters
    fields = {"comment": tool.comment, "status": tool.status, "s": s, "n": n, "p": p}
    features = "\n".join(FEATURES[one].format(**fields) for one in LEVELS[level]) or "- There is nothing else to it."
    example = _lines(rng, tool, 0)
    program = PROGRAM.format(sep=tool.sep, call=CALLS[tool.what], **fields)
    other = "min" if tool.what != "minimum" else "max"
    wrong = {
        "another-result": program.replace(
            f"{CALLS[tool.what]}(v))", f"{other}(v) if len(v) > 2 else {CALLS[tool.what]}(v))"
        ),
        "sorted-keys": program.replace("rows = [(k,", "groups = dict(sorted(groups.items()))\nrows = [(k,"),
        "example-learned": f"print({tool.run(example)!r}, end='')\n",
        "status-forgotten": program.replace(f"sys.exit({tool.status})", "continue"),
        "sorts-upwards": program.replace("-r[1]", "r[1]"),
    }
    for gone in (["status-forgotten"] if level < 3 else []) + (["sorts-upwards"] if level < 4 else []):
        del wrong[gone]
    more = MORE.format(call=f"python3 {path}", folder=folder)
    return Draft(
        instruction=rng.choice(ASKS).format(
            path=path, language=language, features=features, more=more, core=CORE.format(sep=tool.sep, what=tool.what)
        ),
        checks=tuple(_checks(rng, tool, path, folder, level)),
        oracle=_oracle(program, path, folder),
        wrong={name: _oracle(text, path, folder) for name, text in wrong.items()},
        files={
            f"{folder}/example.in": File.of("\n".join([*example, ""])),
            f"{folder}/example.out": File.of(tool.run(example)),
        },
        limits=Limits(turns=40),
    )


def _lines(rng: Random, tool: Tool, level: int) -> list[str]:
    """Records whose keys are out of order, with two equal results among them, and what is skipped."""
    keys = sorted(rng.sample(TOWNS, 4), reverse=True)
    lines = [f"{key}{tool.sep}{rng.randint(-20, 99)}" for key in [*keys, *rng.choices(keys, k=8)]]
    lines += [f"{key}{tool.sep}7" for key in ("Zed", "Abe")]
    if level > 1:
        lines[3:3] = ["", f"{tool.comment} {keys[0]}{tool.sep}5", "  "]
    return lines


def _checks(rng: Random, tool: Tool, path: str, folder: str, level: int) -> list[Check]:
    command = f"python3 {path}"
    s, n, p = tool.letters

    def case(args: str = "", **options: bool | int | None) -> Case:
        lines = _lines(rng, tool, level)
        found = tool.run(lines, bool(options.get("sort")), options.get("top"), bool(options.get("share")))
        return Case("\n".join([*lines, ""]).encode(), found.encode(), args)

    few = Case(f"a b{tool.sep}1\n".encode(), tool.run([f"a b{tool.sep}1"]).encode())
    checks = [
        cases("plain", command, [case() for _ in range(3)], 2, folder),
        cases("few", command, [Case(b"", b""), few], 1, folder),
        cases("many", command, [case(), case()], 1, folder),
    ]
    if level > 2:
        bad = [f"x{tool.sep}1\n{line}\n" for line in ("nothing", f"{tool.sep}5", f"x{tool.sep}1.5")]
        checks.append(cases("bad", command, [Case(text.encode(), b"", status=tool.status) for text in bad], 2, folder))
    if level > 3:
        checks.append(cases("sorted", command, [case(f"-{s}", sort=True) for _ in range(2)], 2, folder))
    if level > 4:
        given = [case(f"-{n} 2", top=2), case(f"-{n} 3 -{s}", sort=True, top=3), case(f"-{p}", share=True)]
        checks.append(
            cases("options", command, [*given, case(f"-{p} -{s} -{n} 1", sort=True, top=1, share=True)], 2, folder)
        )
    return checks


def _oracle(program: str, path: str, folder: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; head *\n",
        f"cat > {path} <<'END'\n{program}END\n",
        f"python3 {path} < example.in | diff - example.out && echo same\n",
    )


FAMILY = Family(
    name="software/filter-tool",
    summary="Write a command-line filter to a specification, judged on hidden inputs.",
    domain="software_engineering",
    skills=("python", "parsing"),
    deeper={3: ("exit-codes", "validation"), 4: ("sorting",), 5: ("api-design",)},
    generate=generate,
    requires=("python3",),
)
