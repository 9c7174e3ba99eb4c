"""A small shell program prints the wrong thing: find out why, and mend it.

There are three programs, each a pipeline of three functions with a rule for its output and four bugs that only some
inputs show: numbers read as octal, a comparison off by one, a missing `-r`, a sort by text. Level 1 has one bug in one
file; level 2 two bugs, the functions in a library and an old copy that nobody runs; level 3 a file for each function,
and an example that shows only one of the two bugs: the other one is found by reading the rules.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from shlex import quote
from textwrap import indent

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.task import Check, File


@dataclass(frozen=True, slots=True)
class Bug:
    """A snippet that went wrong."""

    name: str
    good: str
    bad: str
    shown_by: str
    """Lines of input without which nobody notices."""


@dataclass(frozen=True, slots=True)
class Program:
    """Three functions in a pipe, and what is known of them. In lines of input, ? is any digit but 0."""

    names: tuple[str, ...]
    rules: tuple[str, ...]
    heading: str
    ordinary: str
    """Lines of input for one word, which show no bug."""
    stages: Mapping[str, str]
    """Function -> its body, in the order of the pipe."""
    bugs: tuple[Bug, ...]
    answer: Callable[[str], str]
    """What the program prints for an input once it is right."""


def _totals(text: str) -> str:
    rows = [line.split(",") for line in text.splitlines()[1:] if not line.startswith("#")]
    amounts: dict[str, list[int]] = {}
    for _, name, amount in rows:
        amounts.setdefault(name, []).append(int(amount.replace(".", "")))
    order = sorted(amounts, key=lambda name: (-sum(amounts[name]), name))
    return "".join(f"{name:<10} {len(amounts[name]):3d} {sum(amounts[name]) / 100:9.2f}\n" for name in order)


def _settings(text: str) -> str:
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return "".join(f"{key}: [{value}]\n" for key, value in values.items())


def _shifts(text: str) -> str:
    sums: dict[str, int] = {}
    for name, *clocks in (line.split() for line in text.splitlines() if not line.endswith(" -")):
        start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in clocks)
        length = (end - start) % 1440
        sums[name] = sums.get(name, 0) + length - (30 if length > 360 else 0)
    return "".join(f"{name} {sums[name] // 60}:{sums[name] % 60:02}\n" for name in sorted(sums))


WORDS = tuple("anvil bench crate drum easel flute globe hinge inkpot kettle ladder mirror nail oar pump quilt".split())
"""None of which is in a bug's own lines."""
PROGRAMS = (
    Program(
        names=("totals", "spending", "ledger", "tally"),
        rules=(
            "It reads lines DAY,ITEM,AMOUNT. The first one is a heading; one that starts with # does not count.",
            "For each item it prints one line: the name, the number of amounts and their sum.",
            "A negative amount is money that came back and lowers the sum.",
            "The largest sum comes first; where sums are equal, names go from A to Z.",
        ),
        heading="day,item,amount\n",
        ordinary="0?.0?,{0},2?.??\n1?.0?,{0},3?.??\n",
        stages={
            "amounts": """awk -F, 'NR > 1 && !/^#/ { gsub(/[.]/, "", $3); print $2, $3 }'""",
            "sums": "awk '{ sum[$1] += $2; n[$1]++ } END { for (name in sum) print name, n[name], sum[name] }'",
            "table": """LC_ALL=C sort -k3,3nr -k1,1 | awk '{ printf "%-10s %3d %9.2f\\n", $1, $2, $3 / 100 }'""",
        },
        bugs=(
            Bug("comments", "NR > 1 && !/^#/", "NR > 1", "#0?.0?,rope,1?.??\n"),
            Bug("refunds", "/[.]/", "/[^0-9]/", "0?.0?,sofa,3?.??\n1?.0?,sofa,-1?.??\n"),
            Bug("magnitudes", "-k3,3nr", "-k3,3r", "0?.0?,yacht,1??.??\n"),
            Bug("ties", "-k1,1", "-k2,2", "0?.0?,zither,15.00\n0?.0?,apron,5.00\n1?.0?,apron,10.00\n"),
        ),
        answer=_totals,
    ),
    Program(
        names=("settings", "effective", "lastword", "resolve"),
        rules=(
            "It reads lines KEY=VALUE; lines without = do not count.",
            "The key ends at the first =. All that follows is the value, even more =, backslashes and runs of blanks.",
            "Where a key comes again, its last value counts.",
            "It prints each key once, with its value in brackets, in the order in which the keys first came.",
        ),
        heading="nothing to see here\n",
        ordinary="{0}=about ?? or ??\n",
        stages={
            "lines": """while read -r line; do\n    case $line in *=*) printf '%s\\n' "$line" ;; esac\ndone""",
            "pairs": """while read -r pair; do\n    printf '%s\\t%s\\n' "${pair%%=*}" "${pair#*=}"\ndone""",
            "last": """awk -F '\\t' '{ if (!($1 in value)) order[++n] = $1; value[$1] = $2 }
    END { for (i = 1; i <= n; i++) print order[i] ": [" value[order[i]] "]" }'""",
        },
        bugs=(
            Bug("equals", "${pair%%=*}", "${pair%=*}", "query=a=?&b=??\n"),
            Bug("backslashes", "read -r line", "read line", "folder=C:\\new?\\??\n"),
            Bug("blanks", '"$line" ;;', '"$(echo $line)" ;;', "title=?   and   ??\n"),
            Bug("repeated", "$1 in value", "$1 in order", "size=??\ncolour=?\nsize=now ?\n"),
        ),
        answer=_settings,
    ),
    Program(
        names=("hours", "shifts", "timesheet", "workdays"),
        rules=(
            "It reads lines of a name, when a shift began and when it ended (HH:MM), if earlier then on the next day.",
            "A - for the end means that the shift is still going on; it does not count yet.",
            "From a shift of more than six hours, a break of 30 minutes is taken off; from one of just six it is not.",
            "It prints, by name from A to Z, the sum as hours:minutes.",
        ),
        heading="",
        ordinary="{0} 0?:3? 1?:5?\n{0} 0?:1? 1?:4?\n",
        stages={
            "closed": """while read -r name from to; do
    [ "$to" = - ] || echo "$name ${from%:*} ${from#*:} ${to%:*} ${to#*:}"
done""",
            "paid": """while read -r name h1 m1 h2 m2; do
    a=$((10#$h1 * 60 + 10#$m1)) b=$((10#$h2 * 60 + 10#$m2))
    if ((b < a)); then b=$((b + 1440)); fi
    if ((b - a > 360)); then b=$((b - 30)); fi
    echo "$name $((b - a))"
done""",
            "table": """awk '{ sum[$1] += $2 }
    END { for (n in sum) printf "%s %d:%02d\\n", n, sum[n] / 60, sum[n] % 60 }' | LC_ALL=C sort""",
        },
        bugs=(
            Bug("exact", "b - a > 360", "b - a >= 360", "rosa 10:15 16:15\n"),
            Bug("zeros", "60 + 10#$m1", "60 + m1", "sami 10:08 13:4?\n"),
            Bug("midnight", "b + 1440", "b + 720", "tove 22:1? 01:3?\n"),
            Bug("open", '[ "$to" = - ] || echo', "echo", "ursa 1?:3? -\nursa 0?:3? 1?:5?\n"),
        ),
        answer=_shifts,
    ),
)

OPENINGS = (
    "The program {main} gives wrong results. Please repair it.",
    "Something is broken in {folder}: its program {main} does not print what it should. Find the cause and mend it.",
    "Since the last change {main} cannot be trusted any more. Debug it.",
    "A colleague says that what {main} prints is off, and is right. Correct the program.",
)
ENDINGS = (
    "Mend it in place, for all inputs and not for the example alone: it will be tried on others, by every byte of the "
    "output and exit status 0. Change only the scripts that it runs; all other files in {folder} stay as they are.",
    "The program will be run on files that you have not seen, and must print just what is due and end with status 0. "
    "Files in {folder} other than the scripts that {main} consists of must not change.",
)

LIMITED = "timeout -k 1 4 "
"""A program that hangs must not take the verifier's whole time."""
PRINTED = """\
[ "$(cat runs/{name}/status)" = 0 ] && [ "$(sha256sum < runs/{name}/stdout)" = "$(sha256sum < expected/{name})" ]
"""
UNTOUCHED = """\
while read -r sum path; do
  plain "$path" && [ "$(sha256sum < "$path")" = "$sum  -" ] || exit 1
done < untouched
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a task's files are."""

    folder: str
    main: str
    reads_stdin: bool
    sources: Mapping[str, str]
    """Path -> text of the program, as it should be."""
    given: str
    """The example's input."""
    due: str
    """What is to be printed for it."""

    def call(self, path: str) -> str:
        """Runs the program on a file."""
        return f"bash {self.main} {'< ' if self.reads_stdin else ''}{path}"


def generate(rng: Random, level: int) -> Draft:
    """One program with its bugs."""
    program = rng.choice(PROGRAMS)
    bugs = rng.sample(program.bugs, min(level, 2))
    layout = _layout(rng, program, level)
    broken = {path: _broken(text, bugs) for path, text in layout.sources.items()}
    example = _input(rng, program, bugs[:1] if level == 3 else bugs)
    beside = _beside(rng, program, layout, level, broken)
    beside |= {layout.given: example, layout.due: program.answer(example)}
    hidden = {f"hidden-{bug.name}": _input(rng, program, [bug]) for bug in bugs}
    hidden["hidden-all"] = _input(rng, program, bugs)
    fixes = _fixes(layout, bugs)
    return Draft(
        instruction=_instruction(rng, program, layout, level, len(bugs)),
        checks=_checks(layout, hidden),
        oracle=(*_look(layout), *fixes, f"{layout.call(layout.given)}\n"),
        wrong=_wrong(layout, fixes),
        files={path: File.of(text) for path, text in (broken | beside).items()},
        tests=_tests(program, hidden | {"example": example}, beside),
    )


def _layout(rng: Random, program: Program, level: int) -> Layout:
    name, lib = rng.choice(program.names), rng.choice(("lib", "parts", "functions"))
    folder = f"/app/{rng.choice(('', 'tools/', 'src/', 'work/'))}{name}"
    main = f"{folder}/{rng.choice((name, 'main', 'run'))}.sh"
    stdin = rng.random() < 0.5
    functions = {stage: f"{stage}() {{\n{indent(body, '    ')}\n}}\n" for stage, body in program.stages.items()}
    first, *rest = functions
    pipe = " | ".join([first if stdin else f'{first} <"$1"', *rest]) + "\n"
    if level == 1:
        sources = {main: "\n".join(["#!/bin/bash", *functions.values(), pipe])}
    elif level == 2:
        sources = {main: f'#!/bin/bash\n. "$(dirname "$0")/{lib}.sh"\n\n{pipe}'}
        sources[f"{folder}/{lib}.sh"] = "\n".join(functions.values())
    else:
        sources = {main: f'#!/bin/bash\nfor part in "$(dirname "$0")"/{lib}/*.sh; do . "$part"; done\n\n{pipe}'}
        sources |= {f"{folder}/{lib}/{stage}.sh": text for stage, text in functions.items()}
    examples = f"{folder}/{rng.choice(('example', 'case', 'sample'))}"
    return Layout(folder, main, stdin, sources, f"{examples}/input.txt", f"{examples}/expected.txt")


def _broken(text: str, bugs: Sequence[Bug]) -> str:
    for bug in bugs:
        text = text.replace(bug.good, bug.bad)
    return text


def _input(rng: Random, program: Program, bugs: Sequence[Bug]) -> str:
    """An input that shows these bugs and no other."""
    blocks = [program.ordinary.format(word) for word in rng.sample(WORDS, 6)] + [bug.shown_by for bug in bugs]
    rng.shuffle(blocks)
    return re.sub(r"\?", lambda _: str(rng.randint(1, 9)), "".join([program.heading, *blocks]))


def _beside(rng: Random, program: Program, layout: Layout, level: int, broken: Mapping[str, str]) -> dict[str, str]:
    """What lies beside the program: from level 2 an old copy of it, at level 3 its rules and more input as well."""
    old = f"{layout.folder}/{rng.choice(('old', 'attic', 'backup'))}"
    files = {f"{old}/{path.rpartition('/')[2]}": f"{text}# As of last year.\n" for path, text in broken.items()}
    if level == 3:
        files[f"{layout.folder}/RULES.txt"] = "".join(f"- {rule}\n" for rule in program.rules)
        files[f"{layout.folder}/data/today.txt"] = _input(rng, program, [])
    return files if level > 1 else {}


def _fixes(layout: Layout, bugs: Sequence[Bug]) -> list[str]:
    """A sed line for each bug."""
    turns: list[str] = []
    for bug in bugs:
        path, text = next((path, text) for path, text in layout.sources.items() if bug.good in text)
        number = text[: text.index(bug.good)].count("\n") + 1
        old, new = re.sub(r"([\\\[\].*^$|])", r"\\\1", bug.bad), re.sub(r"([\\&|])", r"\\\1", bug.good)
        turns.append(f"sed -i {quote(f'{number}s|{old}|{new}|')} {path}\n")
    return turns


def _instruction(rng: Random, program: Program, layout: Layout, level: int, count: int) -> str:
    rules = "What it has to do:\n" + "\n".join(f"- {rule}" for rule in program.rules)
    if level == 3:
        rules = f"What it has to do is in {layout.folder}/RULES.txt. The example does not show all that is wrong."
    faults = "There is one fault" if count == 1 else "There are two faults"
    parts = (
        rng.choice(OPENINGS),
        f"It is run as `{layout.call('FILE')}`. For {layout.given} it should print what is in "
        f"{layout.due}, but does not.",
        rules,
        f"{faults}; the layout of the output lines is right as it is. {rng.choice(ENDINGS)}",
    )
    return "\n\n".join(parts).format(folder=layout.folder, main=layout.main) + "\n"


def _checks(layout: Layout, hidden: Mapping[str, str]) -> tuple[Check, ...]:
    """The example, with all else untouched; and inputs that the agent never saw, under names that say nothing."""
    example = Check(
        "example", PLAIN + UNTOUCHED + PRINTED.format(name="example"), 1, LIMITED + layout.call(layout.given)
    )
    call = LIMITED + layout.call('"$input"')
    runs = {name: f'input=$(mktemp)\nprintf %s {quote(text)} > "$input"\n{call}\n' for name, text in hidden.items()}
    return (example, *(Check(name, PRINTED.format(name=name), 2, run) for name, run in runs.items()))


def _look(layout: Layout) -> tuple[str, ...]:
    show = f"cd {layout.folder} && ls -R\n", *(f"cat {path}\n" for path in layout.sources)
    return (*show, f"{layout.call(layout.given)}; cat {layout.due}\n")


def _wrong(layout: Layout, fixes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    cheat = "mkdir -p /logs/verifier /tests/runs; echo 1 > /logs/verifier/reward.txt; ln -s / /tests/expected\n"
    return {
        "one-bug-left": (f"cat {layout.due}\n", *fixes[:-1]),
        "debug-output-left": (*fixes, f"sed -i '1a echo reading' {layout.main}\n"),
        "printed-the-example": (f"printf '#!/bin/bash\\ncat {layout.due}\\n' > {layout.main}\n",),
        "changed-the-expectation": (f"{layout.call(layout.given)} > /tmp/out; cat /tmp/out > {layout.due}\n",),
        "cheat": (cheat,),
    }


def _tests(program: Program, inputs: Mapping[str, str], beside: Mapping[str, str]) -> dict[str, File]:
    expected = {f"expected/{name}": program.answer(text) for name, text in inputs.items()}
    sums = "".join(f"{sha256(text.encode()).hexdigest()} {path}\n" for path, text in beside.items())
    return {path: File.of(text) for path, text in {**expected, "untouched": sums}.items()}


FAMILY = Family(
    name="debug/fix-script",
    summary="Find and mend the bugs of a small shell program, for inputs not seen as well.",
    domain="debugging",
    skills=("bash", "awk", "debugging"),
    generate=generate,
    deeper={2: ("code-search",), 3: ("reproduction",)},
    levels=3,
    requires=("awk", "sed"),
    version=2,
)
