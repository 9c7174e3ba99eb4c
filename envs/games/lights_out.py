"""Lights Out: press squares until all lights are out; any presses that do it count, the verifier plays them.

Level 2 has larger boards, level 3 squares that cannot be pressed, level 4 boards without a solution (which have to be
told), level 5 a bound on how many presses there may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from termgym.family import Draft, Family
from termgym.lexicon import GIVEN, PLACES
from termgym.task import Check, File, Limits

ASKS = (
    "{folder} holds boards of a game, one in each .{ext} file. {rules}\n\n{out}\n",
    "Solve the puzzles in {folder} (*.{ext}). {rules}\n\n{out}\n",
    "{rules} The boards are {folder}/*.{ext}.\n\n{out}\n",
    "{out}\n\nThe boards are the .{ext} files in {folder}. {rules}\n",
)
RULES = (
    'A board has a row of squares per line, "{on}" for a light that is on and "{off}" for one that is off{dead}.'
    " Pressing a square switches it and its neighbours {way}, as far as they are on the board. The aim is to have all"
    " lights off."
)
DEAD = '; "x" is a square that has no light and cannot be pressed, and nothing reaches over or into it'
OUT = (
    "Write for each FILE.{ext} a file {out}/FILE.txt with a line ROW COLUMN, counted from 1 at the top left, for each"
    " press, in any order.{hopeless}{bound}"
)
HOPELESS = " If it cannot be done, the file has the one word impossible instead."
BOUND = " No more presses than needed: the fewest with which it can be done."
JUDGE = """\
#!/usr/bin/python3 -I
import os, stat, sys
path, rows, around, hopeless, fewest = {path!r}, {rows!r}, {around!r}, {hopeless!r}, {fewest!r}
try:
    if os.path.realpath(path) != path or not stat.S_ISREG(os.lstat(path).st_mode) or os.path.getsize(path) > 65536:
        sys.exit(1)
    lines = [line.split() for line in open(path, encoding="ascii") if line.strip()]
    if hopeless:
        sys.exit(lines != [["impossible"]])
    presses = [(int(r) - 1, int(c) - 1) for r, c in lines]
except (OSError, ValueError):
    sys.exit(1)
on = {{(r, c) for r, row in enumerate(rows) for c, x in enumerate(row) if x == "1"}}
there = {{(r, c) for r, row in enumerate(rows) for c, x in enumerate(row) if x in "01"}}
for r, c in presses:
    if (r, c) not in there:
        sys.exit(1)
    on ^= {{(r + a, c + b) for a, b in around}} & there
sys.exit(bool(on) or len(presses) > fewest)
"""
PROGRAM = """\
import os, sys
around = {around}
os.makedirs({out!r}, exist_ok=True)
for path in sys.argv[1:]:
    rows = open(path).read().split()
    there = [(r, c) for r, row in enumerate(rows) for c, x in enumerate(row) if x != "x"]
    n = len(there)
    eqs = []
    for r, c in there:
        mask = sum(1 << i for i, (p, q) in enumerate(there) if (r - p, c - q) in around)
        eqs.append(mask | (rows[r][c] == {on!r}) << n)
    pivots, row = [], 0
    for col in range(n):
        at = next((k for k in range(row, n) if eqs[k] >> col & 1), None)
        if at is None:
            continue
        eqs[row], eqs[at] = eqs[at], eqs[row]
        for k in range(n):
            if k != row and eqs[k] >> col & 1:
                eqs[k] ^= eqs[row]
        pivots.append(col)
        row += 1
    name = {out!r} + "/" + path.rsplit("/", 1)[1].rsplit(".", 1)[0] + ".txt"
    if any(eq == 1 << n for eq in eqs):
        open(name, "w").write("impossible\\n")
        continue
    best = sum(1 << col for k, col in enumerate(pivots) if eqs[k] >> n & 1)
    kernel = []
    for f in set(range(n)) - set(pivots):
        kernel.append(1 << f | sum(1 << col for k, col in enumerate(pivots) if eqs[k] >> f & 1))
    base = best
    for choice in range(1 << min(len(kernel), 12)):
        v = base
        for k, vector in enumerate(kernel[:12]):
            v ^= vector * (choice >> k & 1)
        if bin(v).count("1") < bin(best).count("1"):
            best = v
    text = "".join("%d %d\\n" % (r + 1, c + 1) for i, (r, c) in enumerate(there) if best >> i & 1)
    open(name, "w").write(text)
"""
CROSS = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
WAYS = {
    "above, below, left and right": CROSS,
    "diagonally": ((0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)),
}
Square = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Board:
    """Rows of "0", "1" and "x", and what is known of them."""

    rows: Sequence[str]
    hopeless: bool
    fewest: int


def generate(rng: Random, level: int) -> Draft:
    """A few boards."""
    folder, ext = f"/app/{rng.choice(PLACES)}", rng.choice(("board", "lights", "txt", "map"))
    on, off = rng.choice((("#", "."), ("*", "-"), ("1", "0"), ("O", "_")))
    way = rng.choice(tuple(WAYS))
    out = f"/app/{rng.choice(('presses', 'moves', 'solved'))}"
    hopeless = [False] * (2 + (level > 1)) + [True] * (level > 3)
    rng.shuffle(hopeless)
    names = rng.sample([name.lower() for name in GIVEN], len(hopeless))
    boards = {name: _board(rng, level, WAYS[way], no) for name, no in zip(names, hopeless, strict=True)}
    rules = RULES.format(on=on, off=off, way=way, dead=DEAD if level > 2 else "")
    told = OUT.format(ext=ext, out=out, hopeless=HOPELESS if level > 3 else "", bound=BOUND if level > 4 else "")
    program = PROGRAM.format(around=WAYS[way], out=out, on=on)
    lit = program.replace("if best >> i & 1)", f"if rows[r][c] == {on!r})")
    wrong = {
        "lit-squares-pressed": _oracle(lit, folder, ext, out),
        "counted-from-0": _oracle(program.replace("(r + 1, c + 1)", "(r, c)"), folder, ext, out),
        "first-board-only": _oracle(program + "    break\n", folder, ext, out),
        "lights-edited": (f"sed -i 's/[{on}]/{off}/g' {folder}/*; mkdir -p {out}; touch {out}/{names[0]}.txt\n",),
    }
    return Draft(
        instruction=rng.choice(ASKS).format(folder=folder, ext=ext, rules=rules, out=told),
        checks=tuple(_check(name, board, WAYS[way], f"{out}/{name}.txt") for name, board in boards.items()),
        oracle=_oracle(program, folder, ext, out),
        wrong=wrong,
        files={f"{folder}/{name}.{ext}": _file(board, on, off) for name, board in boards.items()},
        limits=Limits(turns=30),
    )


def _file(board: Board, on: str, off: str) -> File:
    return File.of("\n".join([*board.rows, ""]).translate({ord("1"): on, ord("0"): off}))


def _check(name: str, board: Board, around: Sequence[Square], path: str) -> Check:
    judge = JUDGE.format(path=path, rows=board.rows, around=around, hopeless=board.hopeless, fewest=board.fewest)
    return Check(name, judge)


def _board(rng: Random, level: int, around: Sequence[Square], hopeless: bool) -> Board:
    """Made by presses from a dark board; one that cannot be done has a light that no press reaches alone."""
    height, width = rng.randint(3, 4) + level // 2, rng.randint(4, 5)
    dead = {(rng.randrange(height), rng.randrange(width)) for _ in range(level if level > 2 else 0)}
    there = {(r, c) for r in range(height) for c in range(width)} - dead
    rows = [[("0" if (r, c) in there else "x") for c in range(width)] for r in range(height)]
    masks = {(r, c): {(r + a, c + b) for a, b in around} & there for r, c in there}
    for _ in range(60):
        presses = rng.sample(sorted(there), rng.randint(3, 5))
        on: set[Square] = set()
        for square in presses:
            on ^= masks[square]
        if hopeless:
            on ^= {rng.choice(sorted(there))}
        solved = _solve(sorted(there), masks, on)
        if on and (solved is None) == hopeless:
            break
    else:  # every board of this shape can be done
        return _board(rng, level, around, hopeless)
    for r, c in on:
        rows[r][c] = "1"
    return Board(["".join(row) for row in rows], hopeless, solved if level > 4 and solved else 10**6)


def _solve(there: Sequence[Square], masks: dict[Square, set[Square]], on: set[Square]) -> int | None:
    """The fewest presses, or None if there are none: a basis over GF(2), each vector with the presses that make it."""
    index = {square: number for number, square in enumerate(there)}
    basis: dict[int, tuple[int, int]] = {}
    kernel: list[int] = []
    for number, square in enumerate(there):
        vector, presses = sum(1 << index[one] for one in masks[square]), 1 << number
        vector, presses = _reduced(basis, vector, presses)
        if vector:
            basis[vector.bit_length() - 1] = (vector, presses)
        else:
            kernel.append(presses)
    vector, presses = _reduced(basis, sum(1 << index[one] for one in on), 0)
    if vector:
        return None
    found = [presses]
    for one in kernel[:12]:
        found += [presses ^ one for presses in found]
    return min(presses.bit_count() for presses in found)


def _reduced(basis: dict[int, tuple[int, int]], vector: int, presses: int) -> tuple[int, int]:
    while vector and (top := vector.bit_length() - 1) in basis:
        vector, presses = vector ^ basis[top][0], presses ^ basis[top][1]
    return vector, presses


def _oracle(program: str, folder: str, ext: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; head *.{ext}\n",
        f"cat > /tmp/lights.py <<'END'\n{program}END\n",
        f"python3 /tmp/lights.py {folder}/*.{ext}\n",
        f"head -n 3 {out}/*\n",
    )


FAMILY = Family(
    name="games/lights-out",
    summary="Press squares until all lights of each board are out, or tell that it cannot be done.",
    domain="games",
    skills=("linear-algebra", "parsing"),
    deeper={2: ("bit-manipulation",), 4: ("validation",), 5: ("optimization",)},
    generate=generate,
    requires=("python3",),
)
