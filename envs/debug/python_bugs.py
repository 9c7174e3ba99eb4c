"""A small Python program does wrong: find its bugs and mend them, for inputs that are not shown as well.

Which program, what is in it and where the bugs are comes from the seed; level N has N bugs (at most four), and from
level 4 the program is spread over two files. A specification and one example are beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import Case, cases
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, SERVICES, TOWNS
from termgym.task import File, Limits

ASKS = (
    "{path} does not do what {folder}/SPEC.txt says. Mend it. {more}\n",
    "There are bugs in {path}. What it should do is in {folder}/SPEC.txt. {more}\n",
    (
        "Users complain about {path}: its results are wrong for some inputs, and {folder}/SPEC.txt is right. Please"
        " repair it. {more}\n"
    ),
    "Make {path} follow its specification, {folder}/SPEC.txt. {more}\n",
)
MORE = (
    "It is run as python3 {path} < INPUT; {folder}/example.in and {folder}/example.out are one input and what should be"
    " printed for it, which does not show every bug. What is right already has to stay so."
)


@dataclass(frozen=True, slots=True)
class Bug:
    """A line that is right, and what stands there instead."""

    right: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program of two parts, its specification, its bugs, and inputs that show them."""

    spec: str
    helpers: str
    main: str
    bugs: tuple[Bug, ...]
    inputs: Callable[[Random], str]
    answer: Callable[[str], str]


INVENTORY = Program(
    spec="""\
Each line of the input is "in ITEM N", "out ITEM N" or "count". "in" adds N to the stock of ITEM, "out" takes N away,
but if there are fewer it prints "short ITEM K", K being how many are missing, and nothing is taken. "count" prints a
line for each item of which there is any, "ITEM N", sorted by item, and then "total T". Blank lines are skipped.
""",
    helpers="""\
def add(stock, item, number):
    stock[item] = stock.get(item, 0) + number


def take(stock, item, number):
    have = stock.get(item, 0)
    if have < number:
        return number - have
    stock[item] = have - number
    return 0


def count(stock):
    lines = []
    for item in sorted(stock):
        if stock[item] > 0:
            lines.append("%s %d" % (item, stock[item]))
    lines.append("total %d" % sum(stock.values()))
    return lines
""",
    main="""\
stock = {}
for line in sys.stdin:
    words = line.split()
    if not words:
        continue
    if words[0] == "in":
        add(stock, words[1], int(words[2]))
    elif words[0] == "out":
        short = take(stock, words[1], int(words[2]))
        if short:
            print("short", words[1], short)
    elif words[0] == "count":
        print("\\n".join(count(stock)))
""",
    bugs=(
        Bug("stock[item] = stock.get(item, 0) + number", "stock[item] = number"),
        Bug("if have < number:", "if have <= number:"),
        Bug("return number - have", "return number"),
        Bug("if stock[item] > 0:", "if stock[item] > 1:"),
        Bug("for item in sorted(stock):", "for item in stock:"),
        Bug('"total %d" % sum(stock.values())', '"total %d" % len(stock)'),
    ),
    inputs=lambda rng: _inventory_input(rng),
    answer=lambda text: _inventory(text),
)


def _inventory_input(rng: Random) -> str:
    items = rng.sample(ITEMS, 4)
    b, a, c, d = sorted(items)[1], sorted(items)[0], sorted(items)[2], sorted(items)[3]
    n = [rng.randint(3, 40) for _ in range(4)]
    lines = [
        f"in {b} {n[0]}",
        f"in {a} {n[1]}",
        "",
        f"in {b} {n[2]}",
        f"in {d} 1",
        f"in {c} {n[3]}",
        f"out {c} {n[3]}",
        "count",
        f"out {a} {n[1] + 5}",
        f"out {b} 2",
        f"out zzz {n[2]}",
        "count",
    ]
    return "\n".join([*lines, ""])


def _inventory(text: str) -> str:
    stock: dict[str, int] = {}
    printed: list[str] = []
    for words in filter(None, map(str.split, text.split("\n"))):
        if words[0] == "count":
            printed += [f"{item} {number}" for item, number in sorted(stock.items()) if number]
            printed.append(f"total {sum(stock.values())}")
            continue
        item, number = words[1], int(words[2])
        if words[0] == "in":
            stock[item] = stock.get(item, 0) + number
        elif stock.get(item, 0) >= number:
            stock[item] -= number
        else:
            printed.append(f"short {item} {number - stock.get(item, 0)}")
    return "\n".join([*printed, ""])


TIMETABLE = Program(
    spec="""\
Each line of the input is a trip, "TOWN HH:MM MINUTES": where to, when it leaves, and how long it takes. For each trip,
in the order of departure (of equal ones, by town), it prints "HH:MM HH:MM TOWN", departure and arrival, with "+1"
behind the arrival if that is on the next day. Then, for each town, sorted, "TOWN N M": how many trips go there, and the
mean of their minutes, rounded down. Blank lines are skipped.
""",
    helpers="""\
def minutes(clock):
    hours, rest = clock.split(":")
    return int(hours) * 60 + int(rest)


def clock(minute):
    text = "%02d:%02d" % (minute // 60 % 24, minute % 60)
    return text + ("+1" if minute >= 1440 else "")


def means(trips):
    found = {}
    for town, start, length in trips:
        found.setdefault(town, []).append(length)
    return ["%s %d %d" % (town, len(found[town]), sum(found[town]) // len(found[town])) for town in sorted(found)]
""",
    main="""\
trips = []
for line in sys.stdin:
    if not line.strip():
        continue
    town, start, length = line.split()
    trips.append((town, minutes(start), int(length)))
trips.sort(key=lambda trip: (trip[1], trip[0]))
for town, start, length in trips:
    print(clock(start), clock(start + length), town)
print("\\n".join(means(trips)))
""",
    bugs=(
        Bug("return int(hours) * 60 + int(rest)", "return int(hours) * 100 + int(rest)"),
        Bug("minute // 60 % 24", "minute // 60"),
        Bug("if minute >= 1440", "if minute > 1440"),
        Bug("sum(found[town]) // len(found[town])", "sum(found[town]) // len(trips)"),
        Bug("trips.sort(key=lambda trip: (trip[1], trip[0]))", "trips.sort(key=lambda trip: trip[1], reverse=True)"),
        Bug("found.setdefault(town, []).append(length)", "found[town] = [length]"),
    ),
    inputs=lambda rng: _timetable_input(rng),
    answer=lambda text: _timetable(text),
)


def _timetable_input(rng: Random) -> str:
    towns = rng.sample(TOWNS, 4)
    late = rng.randint(60, 200)
    rows = [
        f"{rng.choice(towns)} {rng.randint(4, 19):02}:{rng.randint(0, 59):02} {rng.randint(11, 99)}" for _ in range(5)
    ]
    rows += [
        f"{towns[0]} 23:10 {late}",
        f"{towns[1]} 22:00 120",
        f"{towns[3]} 05:30 37",
        f"{towns[2]} 05:30 38",
        f"{towns[0]} 05:30 41",
        "",
    ]
    rng.shuffle(rows)
    return "\n".join([*rows, ""])


def _timetable(text: str) -> str:
    trips: list[tuple[int, str, int]] = []
    for town, start, length in (line.split() for line in text.split("\n") if line.strip()):
        trips.append((int(start[:2]) * 60 + int(start[3:]), town, int(length)))
    printed = [f"{_clock(start)} {_clock(start + length)} {town}" for start, town, length in sorted(trips)]
    for town in sorted({town for _, town, _ in trips}):
        mine = [length for _, other, length in trips if other == town]
        printed.append(f"{town} {len(mine)} {sum(mine) // len(mine)}")
    return "\n".join([*printed, ""])


def _clock(minute: int) -> str:
    return f"{minute % 1440 // 60:02}:{minute % 60:02}" + "+1" * (minute >= 1440)


SHELVES = Program(
    spec="""\
Each line of the input is "NAME WIDTH": a thing to be put on shelves that are 100 wide. Each goes, in the order of the
input, on the first shelf that has room for it, a new one at the end if none has. It prints for each shelf "N: NAMES (F
free)", N counted from 1, the names apart by commas in the order in which they came, F the room that is left. A thing
wider than 100 goes nowhere; after all shelves comes "too wide: NAMES", likewise, or "too wide: none". Blank lines are
skipped.
""",
    helpers="""\
WIDTH = 100


def place(shelves, name, width):
    for shelf in shelves:
        if shelf[1] + width <= WIDTH:
            shelf[0].append(name)
            shelf[1] += width
            return
    shelves.append([[name], width])


def shown(shelves):
    for number, (names, used) in enumerate(shelves, 1):
        yield "%d: %s (%d free)" % (number, ",".join(names), WIDTH - used)
""",
    main="""\
shelves, wide = [], []
for line in sys.stdin:
    words = line.split()
    if not words:
        continue
    name, width = words[0], int(words[1])
    if width > WIDTH:
        wide.append(name)
    else:
        place(shelves, name, width)
for line in shown(shelves):
    print(line)
print("too wide: " + (",".join(wide) or "none"))
""",
    bugs=(
        Bug("if shelf[1] + width <= WIDTH:", "if shelf[1] + width < WIDTH:"),
        Bug("shelf[1] += width", "shelf[1] = width"),
        Bug("for shelf in shelves:", "for shelf in shelves[-1:]:"),
        Bug("enumerate(shelves, 1)", "enumerate(shelves)"),
        Bug("if width > WIDTH:", "if width >= WIDTH:"),
        Bug("WIDTH - used)", "used)"),
    ),
    inputs=lambda rng: _shelves_input(rng),
    answer=lambda text: _shelves(text),
)


def _shelves_input(rng: Random) -> str:
    names = rng.sample(ITEMS, 12)
    first = rng.randint(35, 60)
    widths = [
        first,
        71,
        100 - first,
        100,
        22,
        rng.randint(101, 180),
        9,
        30,
        rng.randint(40, 60),
        7,
        rng.randint(20, 70),
        55,
    ]
    return "\n".join([*(f"{name} {width}" for name, width in zip(names, widths, strict=True)), "", ""])


def _shelves(text: str) -> str:
    shelves: list[list[tuple[str, int]]] = []
    wide: list[str] = []
    for name, size in (line.split() for line in text.split("\n") if line.strip()):
        if int(size) > 100:
            wide.append(name)
            continue
        fitting = [shelf for shelf in shelves if sum(width for _, width in shelf) + int(size) <= 100]
        if not fitting:
            shelves.append([])
        (fitting or shelves[-1:])[0].append((name, int(size)))
    lines = [
        f"{n}: {','.join(name for name, _ in shelf)} ({100 - sum(width for _, width in shelf)} free)"
        for n, shelf in enumerate(shelves, 1)
    ]
    return "\n".join([*lines, f"too wide: {','.join(wide) or 'none'}", ""])


PROGRAMS = (INVENTORY, TIMETABLE, SHELVES)


def generate(rng: Random, level: int) -> Draft:
    """One program with its bugs."""
    program = rng.choice(PROGRAMS)
    bugs = rng.sample(program.bugs, min(level, 4) + (level == 5))
    folder, split = f"/app/{rng.choice(SERVICES)}", level > 3
    name, other = rng.sample(("run", "tool", "main", "job", "core", "lib", "parts"), 2)
    path = f"{folder}/{name}.py"
    right = _files(program, (), path, other if split else "")
    found = _files(program, bugs, path, other if split else "")
    example = program.inputs(rng)
    given = [program.inputs(rng) for _ in range(6)]
    checks = [
        cases(
            f"inputs-{number}",
            f"python3 {path}",
            [_case(program, text) for text in given[2 * number - 2 : 2 * number]],
            1,
            folder,
        )
        for number in (1, 2, 3)
    ]
    checks += [
        cases("short", f"python3 {path}", [_case(program, _first_line(text)) for text in given[:2]], 0.5, folder)
    ]
    checks += [cases("empty", f"python3 {path}", [_case(program, "")], 0.5, folder)]
    mend = [(file, _edit(found[file], right[file])) for file in found if found[file] != right[file]]
    last = bugs[-1]
    return Draft(
        instruction=rng.choice(ASKS).format(path=path, folder=folder, more=MORE.format(path=path, folder=folder)),
        checks=tuple(checks),
        oracle=_oracle(path, folder, mend),
        wrong={
            "one-bug-left": (*_oracle(path, folder, mend), _back(right, last)),
            "example-printed": (f'echo \'print(open("{folder}/example.out").read(), end="")\' > {path}\n',),
            "more-printed": (*_oracle(path, folder, mend), f"echo 'print(0)' >> {path}\n"),
            "made-to-fail-quietly": (f"echo 'pass' > {path}\n",),
        },
        files={
            **{file: File.of(text) for file, text in found.items()},
            f"{folder}/SPEC.txt": File.of(program.spec),
            f"{folder}/example.in": File.of(example),
            f"{folder}/example.out": File.of(program.answer(example)),
        },
        limits=Limits(turns=40),
    )


def _case(program: Program, text: str) -> Case:
    return Case(text.encode(), program.answer(text).encode())


def _first_line(text: str) -> str:
    return next(line for line in text.split("\n") if line) + "\n"


def _files(program: Program, bugs: Sequence[Bug], path: str, other: str) -> dict[str, str]:
    helpers, main = program.helpers, program.main
    for bug in bugs:
        helpers, main = helpers.replace(bug.right, bug.wrong), main.replace(bug.right, bug.wrong)
    if not other:
        return {path: f"import sys\n\n\n{helpers}\n\n{main}"}
    module = f"{path.rpartition('/')[0]}/{other}.py"
    return {path: f"import sys\n\nfrom {other} import *\n\n{main}", module: helpers}


def _edit(found: str, right: str) -> list[tuple[int, str]]:
    """Number and text of the lines that differ."""
    pairs = zip(found.split("\n"), right.split("\n"), strict=True)
    return [(number, new) for number, (old, new) in enumerate(pairs, 1) if old != new]


def _back(right: dict[str, str], bug: Bug) -> str:
    """Put a bug back in."""
    path = next(path for path, text in right.items() if bug.right in text)
    return (
        f"python3 - <<'END'\np = {path!r}\ns = open(p).read()\nopen(p, 'w').write(s.replace({bug.right!r},"
        f" {bug.wrong!r}))\nEND\n"
    )


def _oracle(path: str, folder: str, mend: Sequence[tuple[str, list[tuple[int, str]]]]) -> tuple[str, ...]:
    edits = [f"sed -i '{number}c\\{line}' {file}\n" for file, lines in mend for number, line in lines]
    return (
        f"cd {folder}; cat SPEC.txt; cat -n *.py\n",
        f"python3 {path} < example.in | diff - example.out\n",
        *edits,
        f"python3 {path} < example.in | diff - example.out && echo same\n",
    )


FAMILY = Family(
    name="debug/python-bugs",
    summary="Find and mend the bugs of a small Python program, for inputs not seen as well.",
    domain="debugging",
    skills=("debugging", "python"),
    deeper={2: ("reproduction",), 4: ("code-search",)},
    generate=generate,
    requires=("python3",),
)
