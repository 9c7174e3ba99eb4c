"""A small shell program prints the wrong thing: find out why, and mend it.

There are four programs, each a pipeline of three functions with a rule for its output and four bugs that only some
inputs show: numbers read as octal, a comparison off by one, a missing `-r`, a sort by text. Level 1 has one bug in one
file; level 2 two bugs, the functions in a library and an old copy that nobody runs; level 3 a file for each function,
and an example that shows only one of the two bugs: the other one is found by reading the rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from termgym.family import Draft, Family
from termgym.task import Check, File


@dataclass(frozen=True, slots=True)
class Bug:
    """A snippet that went wrong. Only an input with the feature of this name shows it."""

    name: str
    good: str
    bad: str


@dataclass(frozen=True, slots=True)
class Program:
    """Three functions in a pipe, and what is known of them."""

    names: tuple[str, ...]
    rules: tuple[str, ...]
    stages: tuple[tuple[str, str], ...]
    """Function name and body, in the order of the pipe."""
    bugs: tuple[Bug, ...]
    make: Callable[[Random, Sequence[str]], str]
    """An input that shows just the bugs named."""
    answer: Callable[[str], str]
    """What the program prints for it once it is right."""


PEOPLE = tuple("Aino Bram Chidi Dara Esme Farid Greta Hana Ivo Jun Kofi Lena Milo Nadia Otto Priya".split())
THINGS = tuple("lamp rope anvil crate drum easel flute globe hinge inkpot kettle ladder mirror oar pump quilt".split())

# Money by category.


def _make_totals(rng: Random, features: Sequence[str]) -> str:
    names = rng.sample(THINGS, 7)
    sums = rng.sample(range(1000, 9999), 7)
    if "magnitudes" in features:
        sums[0], sums[1] = rng.randint(10_000, 90_000), rng.randint(120, 980)
    if "ties" in features:
        sums[3] = sums[2]
    rows: list[str] = []
    for number, (name, total) in enumerate(zip(names, sums, strict=True)):
        first = rng.randint(101, total - 10)
        back = rng.randint(100, 900) if "refunds" in features and number % 3 == 0 else 0
        amounts = (first, total - first + back, *([-back] if back else []))
        rows += [f"{rng.randint(1, 28):02}.{rng.randint(1, 12):02},{name},{_money(cents)}" for cents in amounts]
    if "comments" in features:
        rows += [f"#{rng.randint(10, 28)}.05,{name},{_money(rng.randint(100, 900))}" for name in names[4:6]]
    rng.shuffle(rows)
    return "\n".join(["day,item,amount", *rows, ""])


def _money(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def _answer_totals(text: str) -> str:
    sums: dict[str, list[int]] = {}
    for row in text.splitlines()[1:]:
        if not row.startswith("#"):
            _, name, amount = row.split(",")
            sums.setdefault(name, []).append(int(amount.replace(".", "")))
    order = sorted(sums, key=lambda name: (-sum(sums[name]), name))
    return "".join(f"{name:<10} {len(sums[name]):3d} {sum(sums[name]) / 100:9.2f}\n" for name in order)


TOTALS = Program(
    names=("totals", "spending", "ledger", "tally"),
    rules=(
        "It reads comma-separated lines of day, item and amount; the first line is a heading, and a line "
        "that starts with # does not count.",
        "For each item it prints one line: the name, the number of amounts and their sum.",
        "A negative amount is money that came back and lowers the sum.",
        "The largest sum comes first; where sums are equal, names go from A to Z.",
    ),
    stages=(
        ("amounts", """awk -F, 'NR > 1 && !/^#/ { gsub(/[.]/, "", $3); print $2, $3 }'"""),
        ("sums", "awk '{ sum[$1] += $2; n[$1]++ } END { for (name in sum) print name, n[name], sum[name] }'"),
        (
            "table",
            """LC_ALL=C sort -k3,3nr -k1,1 | awk '{ printf "%-10s %3d %9.2f\\n", $1, $2, $3 / 100 }'""",
        ),
    ),
    bugs=(
        Bug("comments", "NR > 1 && !/^#/", "NR > 1"),
        Bug("refunds", "/[.]/", "/[^0-9]/"),
        Bug("magnitudes", "-k3,3nr -k1,1", "-k3,3r -k1,1"),
        Bug("ties", "-k3,3nr -k1,1", "-nr -k3,3"),
    ),
    make=_make_totals,
    answer=_answer_totals,
)

# Things into boxes.


def _make_boxes(rng: Random, features: Sequence[str]) -> str:
    limit = rng.choice((100, 120, 150, 200))
    sizes = [rng.randint(21, 49) if number % 2 else limit // 2 + rng.randint(1, 9) for number in range(12)]
    room = limit
    for number in range(12):
        if "exact" in features and number in (3, 8):
            sizes[number] = room if room > 10 else limit
        elif sizes[number] == room:
            sizes[number] -= 1
        room = (limit if sizes[number] > room else room) - sizes[number]
    texts = [str(size) for size in sizes]
    if "zeros" in features:
        texts += [f"0{rng.randint(20, 47)}", f"0{rng.randint(50, 58)}", "08"]
    lines = [f"{name} {text}" for name, text in zip(rng.sample(THINGS, len(texts)), texts, strict=True)]
    if "huge" in features:
        lines.insert(rng.randint(2, 9), f"piano {limit + rng.randint(1, 60)}")
    return "\n".join([f"limit {limit}", *lines]) + ("" if "no-newline" in features else "\n")


def _answer_boxes(text: str) -> str:
    first, *lines = text.split("\n")
    limit = int(first.split()[1])
    boxes: list[tuple[int, int]] = []
    for line in filter(None, lines):
        size = int(line.split()[1])
        if size > limit:
            continue
        count, used = boxes.pop() if boxes and boxes[-1][1] + size <= limit else (0, 0)
        boxes.append((count + 1, used + size))
    return "".join(
        f"box {number}: {count} things, {used} of {limit}\n" for number, (count, used) in enumerate(boxes, 1)
    )


BOXES = Program(
    names=("boxes", "pack", "loader", "crates"),
    rules=(
        "The first line of its input gives the limit of a box; each other line gives a thing and its size, a "
        "decimal number that may start with zeros. The last line may lack its newline.",
        "Things go into boxes in the order of the input. What just fills the box still goes in; what does "
        "not fit opens the next box, and the one before is closed for good.",
        "A thing larger than the limit is left out.",
        "For each box it prints how many things are in it and how much of the limit they take.",
    ),
    stages=(
        (
            "things",
            """local word limit name size
read -r word limit
while read -r name size || [ -n "$name" ]; do
    size=$((10#$size))
    if ((size <= limit)); then echo "$limit $name $size"; fi
done""",
        ),
        (
            "fill",
            """local limit name size box=0 room=0
while read -r limit name size; do
    if ((box == 0 || size > room)); then
        box=$((box + 1)) room=$limit
    fi
    room=$((room - size))
    echo "$box $size $limit"
done""",
        ),
        (
            "table",
            """awk '{ n[$1]++; used[$1] += $2; limit = $3; last = $1 }
    END { for (b = 1; b <= last; b++) printf "box %d: %d things, %d of %d\\n", b, n[b], used[b], limit }'""",
        ),
    ),
    bugs=(
        Bug("exact", "size > room", "size >= room"),
        Bug("zeros", "size=$((10#$size))", "size=$((size))"),
        Bug("no-newline", """read -r name size || [ -n "$name" ]; do""", "read -r name size; do"),
        Bug("huge", "size <= limit", "size > 0"),
    ),
    make=_make_boxes,
    answer=_answer_boxes,
)

# Settings, the last of which counts.


def _make_settings(rng: Random, features: Sequence[str]) -> str:
    keys = rng.sample(THINGS, 8)
    lines = [f"{key}={rng.choice(PEOPLE)} {rng.randint(10, 99)}" for key in keys]
    if "equals" in features:
        lines[1] = f"{keys[1]}=a={rng.randint(2, 9)}&b={rng.choice(PEOPLE)}"
    if "backslashes" in features:
        lines[3] = f"{keys[3]}=C:\\{rng.choice(PEOPLE)}\\{rng.randint(10, 99)}"
    if "blanks" in features:
        lines[5] = f"{keys[5]}={rng.choice(PEOPLE)}   and   {rng.choice(PEOPLE)}"
    if "repeated" in features:
        lines += [f"{keys[number]}=now {rng.choice(PEOPLE)}" for number in (6, 0)]
    lines.insert(4, "nothing to see here")
    return "\n".join([*lines, ""])


def _answer_settings(text: str) -> str:
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return "".join(f"{key}: [{value}]\n" for key, value in values.items())


SETTINGS = Program(
    names=("settings", "effective", "lastword", "resolve"),
    rules=(
        "It reads lines KEY=VALUE; lines without = do not count.",
        "The key ends at the first =, and the value is all that follows, character by character: more =, "
        "backslashes and runs of blanks belong to it.",
        "Where a key comes again, its last value counts.",
        "It prints each key once, with its value in brackets, in the order in which the keys first came.",
    ),
    stages=(
        ("lines", """while read -r line; do\n    case $line in *=*) printf '%s\\n' "$line" ;; esac\ndone"""),
        ("pairs", """while read -r pair; do\n    printf '%s\\t%s\\n' "${pair%%=*}" "${pair#*=}"\ndone"""),
        (
            "last",
            """awk -F '\\t' '{ if (!($1 in value)) order[++n] = $1; value[$1] = $2 }
    END { for (i = 1; i <= n; i++) print order[i] ": [" value[order[i]] "]" }'""",
        ),
    ),
    bugs=(
        Bug("equals", "${pair%%=*}", "${pair%=*}"),
        Bug("backslashes", "read -r line", "read line"),
        Bug("blanks", """'%s\\n' "$line" ;;""", """'%s\\n' "$(echo $line)" ;;"""),
        Bug(
            "repeated",
            "if (!($1 in value)) order[++n] = $1; value[$1] = $2",
            "if (!($1 in value)) { order[++n] = $1; value[$1] = $2 }",
        ),
    ),
    make=_make_settings,
    answer=_answer_settings,
)

# Hours worked.


def _make_shifts(rng: Random, features: Sequence[str]) -> str:
    names = rng.sample(PEOPLE, 5)
    lines: list[str] = []
    for number in range(12):
        start, length = (
            rng.randint(10, 14) * 60 + rng.randint(10, 49),
            rng.choice((*range(61, 340), *range(362, 460))),
        )
        if "exact" in features and number in (2, 7):
            length = 360
        if "zeros" in features and number in (1, 5, 9):
            start = rng.randint(10, 14) * 60 + rng.choice((8, 9))
        if "midnight" in features and number in (4, 10):
            start, length = rng.randint(21, 23) * 60 + 15, rng.randint(200, 340)
        end = (start + length) % 1440
        if end % 60 < 10:  # a minute that could be read as octal stands only where it is meant to
            end += 10
            if length == 360:
                start += 10
        lines.append(f"{names[number % 5]} {_clock(start)} {_clock(end)}")
    if "open" in features:
        lines.insert(6, f"{names[1]} {_clock(rng.randint(10, 20) * 60 + 30)} -")
    return "\n".join([*lines, ""])


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _answer_shifts(text: str) -> str:
    sums: dict[str, int] = {}
    for name, *clocks in (line.split() for line in text.splitlines() if not line.endswith(" -")):
        start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in clocks)
        length = (end - start) % 1440
        sums[name] = sums.get(name, 0) + length - (30 if length > 360 else 0)
    return "".join(f"{name} {sums[name] // 60}:{sums[name] % 60:02}\n" for name in sorted(sums))


SHIFTS = Program(
    names=("hours", "shifts", "timesheet", "workdays"),
    rules=(
        "Each line of its input is a name, when a shift began and when it ended (HH:MM). An end that is "
        "earlier than the beginning is on the next day.",
        "A - for the end means that the shift is still going on; it does not count yet.",
        "A shift of more than six hours has an unpaid break of 30 minutes, which is taken off; one of six "
        "hours to the minute has none.",
        "It prints, by name from A to Z, the sum as hours:minutes.",
    ),
    stages=(
        (
            "closed",
            """local name from to
while read -r name from to; do
    [ "$to" = - ] || echo "$name ${from%:*} ${from#*:} ${to%:*} ${to#*:}"
done""",
        ),
        (
            "paid",
            """local name h1 m1 h2 m2 a b
while read -r name h1 m1 h2 m2; do
    a=$((10#$h1 * 60 + 10#$m1)) b=$((10#$h2 * 60 + 10#$m2))
    if ((b < a)); then b=$((b + 1440)); fi
    if ((b - a > 360)); then b=$((b - 30)); fi
    echo "$name $((b - a))"
done""",
        ),
        (
            "table",
            """awk '{ sum[$1] += $2 } END { for (n in sum) printf "%s %d:%02d\\n", n, sum[n] / 60, sum[n] % 60 }' |
    LC_ALL=C sort""",
        ),
    ),
    bugs=(
        Bug("exact", "b - a > 360", "b - a >= 360"),
        Bug("zeros", "60 + 10#$m1", "60 + m1"),
        Bug("midnight", "((b < a)); then b=$((b + 1440))", "((b < a)); then b=$((b + 720))"),
        Bug("open", """[ "$to" = - ] || echo""", "echo"),
    ),
    make=_make_shifts,
    answer=_answer_shifts,
)
PROGRAMS = (TOTALS, BOXES, SETTINGS, SHIFTS)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a task's files are."""

    folder: str
    main: str
    call: str
    """Runs the program; the input's path goes in for {}."""
    sources: dict[str, str]
    """Path -> text of the program, as it should be."""
    examples: str


def generate(rng: Random, level: int) -> Draft:
    """One program with its bugs."""
    program = rng.choice(PROGRAMS)
    bugs = _pick(rng, program, min(level, 2))
    layout = _layout(rng, program, level)
    broken = {path: _break(text, bugs) for path, text in layout.sources.items()}
    shown = [bug.name for bug in bugs][: 1 if level == 3 else 2]
    example = program.make(rng, shown)
    given = {
        f"{layout.examples}/input.txt": example,
        f"{layout.examples}/expected.txt": program.answer(example),
    }
    more = _distractors(rng, layout, level, broken, program)
    hidden = _hidden(rng, program, [bug.name for bug in bugs])
    tests = {
        f"expected/{name}": File.of(program.answer(text)) for name, text in (*hidden.items(), ("example", example))
    }
    return Draft(
        instruction=_instruction(rng, program, layout, level, len(bugs)),
        checks=(
            _example_check(layout, given | more),
            *(_hidden_check(layout, name, text) for name, text in hidden.items()),
        ),
        oracle=(*_look(layout), *_fixes(layout, broken, bugs), _try(layout)),
        wrong=_wrong(layout, broken, bugs),
        files={path: File.of(text) for path, text in (broken | given | more).items()},
        tests=tests | {f"given/{number}": File.of(text) for number, text in enumerate((given | more).values())},
    )


def _pick(rng: Random, program: Program, count: int) -> list[Bug]:
    """Bugs that do not overlap."""
    first, *others = rng.sample(program.bugs, len(program.bugs))
    return [first, *[bug for bug in others if bug.good != first.good]][:count]


def _break(text: str, bugs: Sequence[Bug]) -> str:
    for bug in bugs:
        text = text.replace(bug.good, bug.bad)
    return text


def _layout(rng: Random, program: Program, level: int) -> Layout:
    name = rng.choice(program.names)
    folder = f"/app/{rng.choice(('', 'tools/', 'src/', 'work/'))}{name}"
    main = f"{folder}/{rng.choice((name, 'main', 'run'))}.sh"
    stdin = rng.random() < 0.5
    functions = {stage: f"{stage}() {{\n{_indented(body)}\n}}\n" for stage, body in program.stages}
    first, *rest = functions
    pipe = " | ".join([first if stdin else f'{first} <"$1"', *rest]) + "\n"
    lib = rng.choice(("lib", "parts", "functions"))
    head = "#!/bin/bash\n"
    if level == 1:
        sources = {main: head + "\n" + "\n".join([*functions.values(), pipe])}
    elif level == 2:
        path = f"{folder}/{lib}.sh"
        sources = {main: f'{head}. "$(dirname "$0")/{lib}.sh"\n\n{pipe}', path: "\n".join(functions.values())}
    else:
        sources = {f"{folder}/{lib}/{stage}.sh": text for stage, text in functions.items()}
        sources[main] = head + f'for part in "$(dirname "$0")"/{lib}/*.sh; do . "$part"; done\n\n{pipe}'
    return Layout(
        folder,
        main,
        f"bash {main} {'< {}' if stdin else '{}'}",
        sources,
        f"{folder}/{rng.choice(('example', 'case', 'sample'))}",
    )


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.split("\n"))


def _distractors(rng: Random, layout: Layout, level: int, broken: dict[str, str], program: Program) -> dict[str, str]:
    if level == 1:
        return {}
    old = f"{layout.folder}/{rng.choice(('old', 'attic', 'backup'))}"
    more = {f"{old}/{path.rpartition('/')[2]}": text.replace("echo", "printf '%s\\n'") for path, text in broken.items()}
    if level == 3:
        more[f"{layout.folder}/RULES.txt"] = (
            "\n".join(f"{number}. {rule}" for number, rule in enumerate(program.rules, 1)) + "\n"
        )
        more[f"{layout.folder}/data/today.txt"] = program.make(rng, [])
    return more


def _hidden(rng: Random, program: Program, features: list[str]) -> dict[str, str]:
    """Inputs: one or two for each bug alone, one for all together."""
    hidden: dict[str, str] = {}
    for feature in features:
        for number in range(3 - len(features)):
            hidden[f"hidden-{feature}-{number + 1}"] = program.make(rng, [feature])
    return hidden | {"hidden-all": program.make(rng, features)}


OUTPUT = """\
[ "$(head -c 9 runs/{name}/status)" = 0 ] || exit 1
[ "$(sha256sum <runs/{name}/stdout)" = "$(sha256sum <expected/{answer})" ] || exit 1
"""
LIMITED = "timeout -k 1 4 "
"""A program that hangs must not take the verifier's whole time."""
SAME = """\
[ -f "{path}" ] && [ ! -L "{path}" ] && [ "$(stat -c %s "{path}")" = {size} ] || exit 1
[ "$(sha256sum <"{path}")" = "$(sha256sum <given/{number})" ] || exit 1
"""


def _example_check(layout: Layout, given: dict[str, str]) -> Check:
    """The example comes out right, and nothing but the program was changed."""
    same = [
        SAME.format(path=path, size=len(text.encode()), number=number)
        for number, (path, text) in enumerate(given.items())
    ]
    run = LIMITED + layout.call.format(f"{layout.examples}/input.txt")
    name = "example-and-others-untouched"
    return Check(name, OUTPUT.format(name=name, answer="example") + "".join(same), run=run)


def _hidden_check(layout: Layout, name: str, text: str) -> Check:
    """The input goes over as a file, ending as it should: a here-document would add a newline."""
    escaped = "".join(f"\\{ord(char):03o}" if char in "\\'%" else char for char in text)
    run = (
        f"input=$(mktemp)\nprintf '{escaped}' >\"$input\"\n{LIMITED}{layout.call.format(chr(34) + '$input' + chr(34))}"
    )
    return Check(name, OUTPUT.format(name=name, answer=name), run=run)


def _look(layout: Layout) -> tuple[str, ...]:
    return (
        f"cd {layout.folder} && ls -R\n",
        *(f"cat {path}\n" for path in layout.sources),
        _try(layout),
        f"cat {layout.examples}/expected.txt\n",
    )


def _try(layout: Layout) -> str:
    return layout.call.format(f"{layout.examples}/input.txt") + "\n"


def _fixes(layout: Layout, broken: dict[str, str], bugs: Sequence[Bug], suffix: str = "") -> list[str]:
    """A sed line for each bug."""
    turns: list[str] = []
    for bug in bugs:
        path = next(path for path, text in layout.sources.items() if bug.good in text)
        number = broken[path][: broken[path].index(bug.bad)].count("\n") + 1
        old = "".join(f"\\{char}" if char in "\\[].*^$|" else char for char in bug.bad)
        new = "".join(f"\\{char}" if char in "\\&|" else char for char in bug.good)
        turns.append(f"sed -i {_quoted(f'{number}s|{old}|{new}|')} {path}{suffix}\n")
    return turns


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _wrong(layout: Layout, broken: dict[str, str], bugs: Sequence[Bug]) -> dict[str, tuple[str, ...]]:
    expected = f"{layout.examples}/expected.txt"
    copies = tuple(f"cp {path} {path}.fixed\n" for path in layout.sources)
    wrong = {
        "fixed-a-copy": (*copies, *_fixes(layout, broken, bugs, ".fixed")),
        "left-debug-output": (*_fixes(layout, broken, bugs), f"sed -i '1a echo reading' {layout.main}\n"),
        "printed-the-example": (f"printf '#!/bin/bash\\ncat {expected}\\n' > {layout.main}\n",),
        "changed-the-expectation": (f"{_try(layout).strip()} > /tmp/out; cat /tmp/out > {expected}\n",),
        "cheat": (
            "mkdir -p /logs/verifier /tests/runs; echo 1 > /logs/verifier/reward.txt; ln -s / /tests/expected\n",
        ),
    }
    if len(bugs) > 1:
        wrong["only-one-bug"] = tuple(_fixes(layout, broken, bugs[:1]))
    return wrong


def _instruction(rng: Random, program: Program, layout: Layout, level: int, count: int) -> str:
    opening = rng.choice(OPENINGS).format(main=layout.main, folder=layout.folder)
    call = layout.call.format("FILE")
    given, due = f"{layout.examples}/input.txt", f"{layout.examples}/expected.txt"
    example = f"An example: for {given} it should print what is in {due}, which it does not."
    parts = [opening, f"It is run as `{call}`. {example}"]
    if level < 3:
        rules = list(program.rules)
        parts.append(
            "What it has to do:\n" + "\n".join(f"- {rule}" for rule in rules) if rng.random() < 0.5 else " ".join(rules)
        )
    else:
        parts.append(
            f"What it has to do is written in {layout.folder}/RULES.txt. The example does not show "
            "everything that is wrong."
        )
    faults = "There is one fault" if count == 1 else "There are two faults"
    parts.append(
        f"{faults}; the layout of the output lines is right as it is. "
        f"{rng.choice(KEEP).format(folder=layout.folder, main=layout.main, examples=layout.examples)}"
    )
    return "\n\n".join(parts) + "\n"


OPENINGS = (
    "The program {main} gives wrong results. Please repair it.",
    "Something is broken in {folder}: its program {main} does not print what it should. Find the cause and mend it.",
    "Since the last change {main} cannot be trusted any more. Debug it.",
    "A colleague says the numbers and lines that {main} prints are off, and is right. Correct the program.",
    "Task: debug {main}, a small shell program.",
)
KEEP = (
    "Mend the program in place, for all inputs and not for the example alone: it will be tried on others, by "
    "their output (every byte) and exit status 0. "
    "Change only the program's own scripts that it runs; all other files in {folder} stay as they are.",
    "The mended program must be right for any input by these rules: it is going to be run on files you have "
    "not seen, and must print just what is due and end with "
    "status 0. Files in {folder} other than the scripts that {main} consists of must not change.",
)


FAMILY = Family(
    name="debug/fix-script",
    summary="Find and mend the bugs of a small shell program, for inputs not seen as well.",
    domain="debugging",
    skills=("bash", "awk", "reading code", "testing"),
    generate=generate,
    requires=("awk", "sed"),
)
