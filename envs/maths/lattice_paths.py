"""Count the ways across grids with obstacles, exactly; the numbers are far too large to count one by one.

Level 2 has stations that must be visited in order, level 3 diagonal moves, level 4 several obstacles to be left out in
what-if questions, level 5 the remainder of a count on a grid that is repeated many times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from termgym.checks import answer
from termgym.family import Draft, Family
from termgym.lexicon import PLACES, SERVICES
from termgym.task import File, Limits

ASKS = (
    "A robot crosses the floor of {folder}/{file}. {moves}\n\n{questions}\n\n{out}\n",
    "{folder}/{file} is the map of a floor. {moves} Count ways across it.\n\n{out}\n\n{questions}\n",
    "How many ways lead across the map {folder}/{file}? {moves}\n\n{questions}\n\n{out}\n",
    "{moves} That is all one may do on the map {folder}/{file}. Some counts are needed:\n\n{questions}\n\n{out}\n",
)
MOVES = (
    'The map has one line per row. "{wall}" is blocked, every other square is free. A way starts at the top left'
    " square, ends at the bottom right one, and each move goes one square to the right or one down{diagonal}; blocked"
    " squares are never entered."
)
OUT = "Write the answers to {out}, one per line, each as its name, {sep_name} and a whole number, as in all{sep}17."
QUESTIONS = {
    "blocked": "blocked: how many squares of the map are blocked.",
    "all": "all: how many ways there are.",
    "stations": 'stations: how many of them pass through all squares marked with a letter ("A", "B"), which are free.',
    "turns": "turns: how many of all ways change the kind of their move exactly once.",
    "without": "without: how many ways there are if the squares marked with a letter are blocked as well.",
    "repeated": (
        "repeated: the remainder by {modulus} of the number of ways if {copies} copies of the map are put side by side,"
        " the first at the left, the start at the top left of the first and the end at the bottom right of the last."
    ),
}
SHAPE = {
    1: ("blocked", "all"),
    2: ("blocked", "all", "stations"),
    3: ("blocked", "all", "stations", "turns"),
    4: ("blocked", "all", "stations", "turns", "without"),
    5: tuple(QUESTIONS),
}
PROGRAM = """\
rows = open({given!r}).read().split()
moves = [(1, 0), (0, 1)]{diagonal}
def ways(rows, start, end, wall={wall!r}):
    count = {{start: 1}}
    for r in range(start[0], end[0] + 1):
        for c in range(start[1], end[1] + 1):
            if (r, c) != start and rows[r][c] not in wall:
                count[r, c] = sum(count.get((r - a, c - b), 0) for a, b in moves)
    return count.get(end, 0)
h, w = len(rows), len(rows[0])
start, end = (0, 0), (h - 1, w - 1)
marks = sorted((r, c) for r in range(h) for c in range(w) if rows[r][c] in "AB")
legs = [start, *marks, end]
found = {{"blocked": "".join(rows).count({wall!r}), "all": ways(rows, start, end)}}
total = 1
for a, b in zip(legs, legs[1:]):
    total *= ways(rows, a, b)
found["stations"] = total
free = lambda cells: all(rows[r][c] != {wall!r} for r, c in cells)
once = 0
for i, a in enumerate(moves):
    for b in moves[:i] + moves[i + 1:]:
        for n in range(1, h + w):
            cells = [(a[0] * k, a[1] * k) for k in range(n + 1)]
            while cells[-1][0] + b[0] < h and cells[-1][1] + b[1] < w:
                cells.append((cells[-1][0] + b[0], cells[-1][1] + b[1]))
            if all(r < h and c < w for r, c in cells) and cells[-1] == end and len(cells) > n + 1 and free(cells):
                once += 1
found["turns"] = once
found["without"] = ways(rows, start, end, {wall!r} + "AB")
found["repeated"] = ways([row * {copies} for row in rows], start, (h - 1, w * {copies} - 1)) % {modulus}
for name in {names!r}:
    print(name + {sep!r} + str(found[name]))
"""
Square = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Floor:
    """A map, and how one moves on it."""

    rows: Sequence[str]
    wall: str
    moves: tuple[Square, ...]

    def ways(self, start: Square, end: Square, blocked: str) -> int:
        """Counted backwards from the end."""
        (top, left), (bottom, right) = start, end
        table = [[0] * (right + 2) for _ in range(bottom + 2)]
        for r in range(bottom, top - 1, -1):
            for c in range(right, left - 1, -1):
                if (r, c) == end:
                    table[r][c] = 1
                elif self.rows[r][c] not in blocked:
                    table[r][c] = sum(table[r + a][c + b] for a, b in self.moves)
        return table[top][left]

    def once(self) -> int:
        """Ways that change the kind of move exactly once."""
        end, found = (len(self.rows) - 1, len(self.rows[0]) - 1), 0
        for first in self.moves:
            for second in self.moves:
                found += (
                    sum(self._straight(first, second, n, end) for n in range(1, sum(end))) if first != second else 0
                )
        return found

    def _straight(self, first: Square, second: Square, n: int, end: Square) -> bool:
        at = (0, 0)
        for step in range(sum(end)):
            move = first if step < n else second
            at = (at[0] + move[0], at[1] + move[1])
            if at[0] > end[0] or at[1] > end[1] or self.rows[at[0]][at[1]] == self.wall:
                return False
            if at == end:
                return step >= n
        return False


def generate(rng: Random, level: int) -> Draft:
    """One map and the questions about it."""
    wall = rng.choice("#X%@")
    moves: tuple[Square, ...] = ((1, 0), (0, 1), (1, 1)) if level > 2 else ((1, 0), (0, 1))
    floor = Floor(_rows(rng, level, wall), wall, moves)
    names, modulus, copies = SHAPE[level], rng.choice((997, 1009, 10007, 65537)), rng.randint(6, 12)
    folder, file = f"/app/{rng.choice(PLACES)}", f"{rng.choice(('floor', 'map', 'grid'))}.txt"
    out, sep = f"/app/{rng.choice(SERVICES)}.txt", rng.choice(("=", ":", ","))
    wanted = _wanted(floor, modulus, copies)
    program = PROGRAM.format(
        given=f"{folder}/{file}",
        wall=wall,
        names=names,
        sep=sep,
        modulus=modulus,
        copies=copies,
        diagonal=" + [(1, 1)]" if level > 2 else "",
    )
    other = (" + [(1, 1)]", "") if level > 2 else ("(0, 1)]\n", "(0, 1), (1, 1)]\n")
    questions = "\n".join(f"- {QUESTIONS[name].format(modulus=modulus, copies=copies)}" for name in names)
    moved = MOVES.format(wall=wall, diagonal=", or one to the right and one down at once" if level > 2 else "")
    told = OUT.format(out=out, sep=sep, sep_name={"=": "an equals sign", ":": "a colon", ",": "a comma"}[sep])
    return Draft(
        instruction=rng.choice(ASKS).format(folder=folder, file=file, moves=moved, questions=questions, out=told),
        checks=tuple(answer(out, name, str(wanted[name]), sep=sep, weight=1 + (name != "blocked")) for name in names),
        oracle=_oracle(program, folder, file, out),
        wrong={
            "blocked-ignored": _oracle(program.replace("not in wall", 'not in "~"'), folder, file, out),
            "other-moves": _oracle(program.replace(*other), folder, file, out),
            "guessed": (f'for q in {" ".join(names)}; do echo "$q{sep}0"; done > {out}\n',),
        },
        files={f"{folder}/{file}": File.of("\n".join([*floor.rows, ""]))},
        limits=Limits(turns=30),
    )


def _wanted(floor: Floor, modulus: int, copies: int) -> dict[str, int]:
    height, width = len(floor.rows), len(floor.rows[0])
    end = (height - 1, width - 1)
    marks = [(r, c) for r, row in enumerate(floor.rows) for c, square in enumerate(row) if square in "AB"]
    legs, stations = [(0, 0), *marks, end], 1
    for start, stop in pairwise(legs):
        stations *= floor.ways(start, stop, floor.wall)
    wide = Floor([row * copies for row in floor.rows], floor.wall, floor.moves)
    return {
        "blocked": "".join(floor.rows).count(floor.wall),
        "all": floor.ways((0, 0), end, floor.wall),
        "stations": stations,
        "turns": floor.once(),
        "without": floor.ways((0, 0), end, floor.wall + "AB"),
        "repeated": wide.ways((0, 0), (height - 1, width * copies - 1), floor.wall) % modulus,
    }


def _rows(rng: Random, level: int, wall: str) -> list[str]:
    """A map on which ways exist, also past the letters; its last column is free, so that copies join."""
    height, width = rng.randint(5, 7) + 2 * level, rng.randint(6, 8) + 2 * level
    while True:
        rows = [["." if rng.random() > 0.14 else wall for _ in range(width)] for _ in range(height)]
        for r in range(height):
            rows[r][0] = rows[r][-1] = "."
        rows[0] = ["."] * width
        first, second = height // 3, 2 * height // 3
        rows[first][rng.randrange(1, width // 2)] = "A"
        rows[second][rng.randrange(width // 2, width - 1)] = "B"
        floor = Floor(["".join(row) for row in rows], wall, ((1, 0), (0, 1)))
        found = _wanted(floor, 7, 1)
        if found["stations"] and found["without"] != found["all"]:
            return list(floor.rows)


def _oracle(program: str, folder: str, file: str, out: str) -> tuple[str, ...]:
    return (
        f"ls {folder}; cat {folder}/{file}\n",
        f"cat > /tmp/ways.py <<'END'\n{program}END\n",
        f"python3 /tmp/ways.py | tee {out}\n",
    )


FAMILY = Family(
    name="maths/lattice-paths",
    summary="Count ways across grids with obstacles, stations and repetitions, exactly.",
    domain="mathematics",
    skills=("combinatorics", "dynamic-programming"),
    deeper={2: ("counting",), 4: ("parsing",), 5: ("modular-arithmetic",)},
    generate=generate,
    requires=("python3",),
)
