"""Latin squares to be completed: each number once in every row and column, by the numbers that are given.

Level 2 has larger squares and signs of greater and less between neighbours, level 3 boxes as in a sudoku, level 4 cages
whose sums are given, level 5 a square with too few numbers, of which all ways to complete it are counted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from random import Random

from termgym.checks import PLAIN, answer
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, PLACES
from termgym.task import Check, File, Limits

ASKS = (
    "Complete the number squares in {folder} (*.{ext}). {form}\n\n{rules}\n\n{told}\n",
    "{folder} has puzzles, one in each .{ext} file. {form} Solve them.\n\n{rules}\n\n{told}\n",
    "{rules}\n\nThe squares are the .{ext} files in {folder}. {form}\n\n{told}\n",
    "{told}\n\nThe puzzles are the .{ext} files in {folder}. {form}\n\n{rules}\n",
)
FORM = 'The first line is the size N; then come N lines of N numbers, "{blank}" for one that is missing.{lines}'
LINES = " Lines below them say more:{kinds}. Rows and columns are counted from 1, from the top and from the left."
RULES = (
    "Every row and every column has each of the numbers 1 to N once.{kinds} There is just one way to complete each"
    " square{but}."
)
KINDS = {
    "less": (" less R C r c", " Where less R C r c is said, the number at row R, column C is less than that at r, c."),
    "box": (
        " box H W",
        " Where box H W is said, so does every box of H rows and W columns, beginning at the top left.",
    ),
    "cage": (" cage SUM R C r c ...", " Where a cage is said, the numbers at its places add up to SUM."),
}
OUT = "Write each completed square to {out}/NAME.{ext}: N lines of N numbers, apart by blanks, and nothing else.{count}"
COUNT = (
    " For {odd}, of which there are several, write {out}/count.txt instead, with a line {odd} = K: K is how many ways"
    " to complete it there are."
)
SHOWN = """\
plain {path} 4096 || exit 1
got=$(tr -d '\\0\\r' <{path} | sed 's/[ \\t]\\+/ /g; s/^ //; s/ $//' | head -n 30)
"""
PROGRAM = """\
import os, sys
os.makedirs({out!r}, exist_ok=True)
def solve(path):
    lines = [line.split() for line in open(path) if line.strip()]
    n = int(lines[0][0])
    grid = [[0 if x == {blank!r} else int(x) for x in row] for row in lines[1 : n + 1]]
    rules = []
    for kind, *rest in lines[n + 1 :]:
        k = list(map(int, rest))
        if kind == "less":
            rules.append(([(k[0] - 1, k[1] - 1), (k[2] - 1, k[3] - 1)], lambda v: v[0] < v[1] if all(v) else True))
        elif kind == "cage":
            cells = [(a - 1, b - 1) for a, b in zip(k[1::2], k[2::2])]
            rules.append((cells, lambda v, s=k[0]: sum(v) == s if all(v) else sum(v) < s))
        else:
            h, w = k
            for r in range(0, n, h):
                for c in range(0, n, w):
                    box = [(r + i, c + j) for i in range(h) for j in range(w)]
                    rules.append((box, lambda v: len(set(filter(None, v))) == len(list(filter(None, v)))))
    at = {{}}
    for cells, rule in rules:
        for cell in cells:
            at.setdefault(cell, []).append((cells, rule))
    def fits(r, c, x):
        if x in grid[r] or any(row[c] == x for row in grid):
            return False
        grid[r][c] = x
        fine = all(rule([grid[i][j] for i, j in cells]) for cells, rule in at.get((r, c), []))
        grid[r][c] = 0
        return fine
    def search():
        best = None
        for r in range(n):
            for c in range(n):
                if not grid[r][c]:
                    some = [x for x in range(1, n + 1) if fits(r, c, x)]
                    if best is None or len(some) < len(best[2]):
                        best = r, c, some
        if best is None:
            yield [row[:] for row in grid]
            return
        r, c, some = best
        for x in some:
            grid[r][c] = x
            yield from search()
            grid[r][c] = 0
    return list(search())
for path in sys.argv[1:]:
    name = os.path.basename(path).rsplit(".", 1)[0]
    found = solve(path)
    if name == {odd!r}:
        open({out!r} + "/count.txt", "w").write("%s = %d\\n" % (name, len(found)))
        continue
    with open({out!r} + "/" + name + ".{ext}", "w") as file:
        for row in found[0]:
            print(*row, file=file)
"""
Cell = tuple[int, int]
MOST = 60
"""Ways to complete a square that are to be counted are fewer."""
BOXES = {4: (2, 2), 6: (2, 3)}


@cache
def _groups(n: int, box: tuple[int, int] | None) -> dict[Cell, set[Cell]]:
    """Cell -> those that may not have its number."""
    cells = [(r, c) for r in range(n) for c in range(n)]
    h, w = box or (1, n)

    def meet(r: int, c: int, a: int, b: int) -> bool:
        return (r, c) != (a, b) and (a == r or b == c or (a // h, b // w) == (r // h, c // w))

    return {(r, c): {(a, b) for a, b in cells if meet(r, c, a, b)} for r, c in cells}


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A square, 0 where a number is missing, and what else is said."""

    grid: tuple[tuple[int, ...], ...]
    less: tuple[tuple[Cell, Cell], ...] = ()
    box: tuple[int, int] | None = None
    cages: tuple[tuple[int, tuple[Cell, ...]], ...] = ()

    def solutions(self, most: int) -> list[list[list[int]]]:
        """The first ways to complete it."""
        found: list[list[list[int]]] = []
        grid = [list(row) for row in self.grid]
        for _ in self._search(grid, _groups(len(grid), self.box)):
            found.append([list(row) for row in grid])
            if len(found) == most:
                break
        return found

    def _search(self, grid: list[list[int]], groups: Mapping[Cell, set[Cell]]) -> Iterator[None]:
        best: tuple[Cell, list[int]] | None = None
        for (r, c), others in groups.items():
            if not grid[r][c]:
                taken = {grid[a][b] for a, b in others}
                some = [x for x in range(1, len(grid) + 1) if x not in taken and self._fits(grid, (r, c), x)]
                if best is None or len(some) < len(best[1]):
                    best = (r, c), some
                if len(some) < 2:
                    break
        if best is None:
            yield
            return
        (r, c), some = best
        for x in some:
            grid[r][c] = x
            yield from self._search(grid, groups)
            grid[r][c] = 0

    def _fits(self, grid: list[list[int]], cell: Cell, x: int) -> bool:
        for one, other in self.less:
            if (cell == one and 0 < grid[other[0]][other[1]] <= x) or (cell == other and grid[one[0]][one[1]] >= x):
                return False
        for total, cells in self.cages:
            if cell in cells:
                others = [grid[r][c] for r, c in cells if (r, c) != cell]
                if sum(others) + x > total or (all(others) and sum(others) + x != total):
                    return False
        return True

    def text(self, blank: str) -> str:
        """As its file has it."""
        lines = [str(len(self.grid)), *(" ".join(str(x) if x else blank for x in row) for row in self.grid)]
        lines += [f"less {a + 1} {b + 1} {c + 1} {d + 1}" for (a, b), (c, d) in self.less]
        lines += [f"box {self.box[0]} {self.box[1]}"] if self.box else []
        lines += [f"cage {total} {' '.join(f'{r + 1} {c + 1}' for r, c in cells)}" for total, cells in self.cages]
        return "\n".join([*lines, ""])


def generate(rng: Random, level: int) -> Draft:
    """A few squares, of which the last has several solutions at level 5."""
    names = rng.sample(ITEMS, min(1 + (level + 1) // 2, 3))
    puzzles = {name: _puzzle(rng, level, number) for number, name in enumerate(names)}
    odd = names[-1] if level > 4 else ""
    if odd:
        puzzles[odd] = _opened(rng, puzzles[odd])
    facts = {
        "folder": f"/app/{rng.choice(PLACES)}",
        "ext": rng.choice(("sq", "grid", "txt")),
        "blank": rng.choice((".", "_", "0", "?")),
        "out": f"/app/{rng.choice(('solved', 'squares', 'done'))}",
        "odd": odd,
    }
    program = PROGRAM.format(**facts)
    return Draft(
        instruction=_instruction(rng, level, facts),
        checks=tuple(_checks(puzzles, facts)),
        oracle=_oracle(program, facts),
        wrong={name: _oracle(text, facts) for name, text in _wrong(program, level).items()},
        files={
            f"{facts['folder']}/{name}.{facts['ext']}": File.of(puzzle.text(facts["blank"]))
            for name, puzzle in puzzles.items()
        },
        limits=Limits(turns=30),
    )


def _instruction(rng: Random, level: int, facts: Mapping[str, str]) -> str:
    used = [kind for at, kind in enumerate(KINDS, 2) if at <= min(level, 4)]
    lines = LINES.format(kinds=",".join(KINDS[kind][0] for kind in used)) if used else ""
    kinds = "".join(KINDS[kind][1] for kind in used)
    but = f", but for {facts['odd']}" if level > 4 else ""
    return rng.choice(ASKS).format(
        **facts,
        form=FORM.format(blank=facts["blank"], lines=lines),
        rules=RULES.format(kinds=kinds, but=but),
        told=OUT.format(**facts, count=COUNT.format(**facts) if level > 4 else ""),
    )


def _puzzle(rng: Random, level: int, number: int) -> Puzzle:
    """A square of one kind, whose own rules are needed to complete it."""
    while True:
        puzzle = _drawn(rng, level, number)
        if Puzzle(puzzle.grid) == puzzle or len(Puzzle(puzzle.grid).solutions(2)) == 2:
            return puzzle


def _drawn(rng: Random, level: int, number: int) -> Puzzle:
    """With as few numbers as some tries leave."""
    kind = number % min(level, 4)  # plain, less, box, cages
    n = 4 if level == 1 else 6 if kind == 2 else 5
    full = _full(rng, n, BOXES[n] if kind == 2 else None)
    cells = [(r, c) for r in range(n) for c in range(n)]
    puzzle = Puzzle(tuple(map(tuple, full)), box=BOXES[n] if kind == 2 else None)
    if kind == 1:
        pairs = [((r, c), (r, c + 1)) for r in range(n) for c in range(n - 1)]
        chosen = rng.sample(pairs, 5)
        less = tuple((a, b) if full[a[0]][a[1]] < full[b[0]][b[1]] else (b, a) for a, b in chosen)
        puzzle = replace(puzzle, less=less)
    if kind == 3:
        starts = [(r, c) for r in range(0, n - 1, 2) for c in range(n - 1)]
        cages = [((r, c), (r, c + 1), (r + 1, c)) for r, c in rng.sample(starts, 3)]
        puzzle = replace(puzzle, cages=tuple((sum(full[r][c] for r, c in cage), cage) for cage in cages))
    for cell in rng.sample(cells, n * n * 3 // 4):
        fewer = _without(puzzle, cell)
        if len(fewer.solutions(2)) == 1:
            puzzle = fewer
    return puzzle


def _without(puzzle: Puzzle, cell: Cell) -> Puzzle:
    grid = tuple(tuple(0 if (r, c) == cell else x for c, x in enumerate(row)) for r, row in enumerate(puzzle.grid))
    return replace(puzzle, grid=grid)


def _opened(rng: Random, puzzle: Puzzle) -> Puzzle:
    """With more numbers missing, until there are several ways to complete it, but not many."""
    given = [(r, c) for r, row in enumerate(puzzle.grid) for c, x in enumerate(row) if x]
    found = 1
    for cell in rng.sample(given, len(given)):
        fewer = _without(puzzle, cell)
        if (count := len(fewer.solutions(MOST))) < MOST:
            puzzle, found = fewer, count
        if found > 3:
            break
    return puzzle


def _full(rng: Random, n: int, box: tuple[int, int] | None) -> list[list[int]]:
    """A square of cyclic rows, mixed so that boxes stay whole."""
    h, w = box or (1, n)
    numbers = rng.sample(range(1, n + 1), n)
    bands = [[band * h + row for row in rng.sample(range(h), h)] for band in rng.sample(range(n // h), n // h)]
    stacks = [[stack * w + column for column in rng.sample(range(w), w)] for stack in rng.sample(range(n // w), n // w)]
    rows, columns = chain(*bands), list(chain(*stacks))
    return [[numbers[(r % h * w + r // h + c) % n] for c in columns] for r in rows]


def _checks(puzzles: Mapping[str, Puzzle], facts: Mapping[str, str]) -> Iterator[Check]:
    for name, puzzle in puzzles.items():
        if name == facts["odd"]:
            yield answer(f"{facts['out']}/count.txt", name, str(len(puzzle.solutions(MOST))), weight=2)
            continue
        want = [" ".join(map(str, row)) for row in puzzle.solutions(1)[0]]
        read = PLAIN + SHOWN.format(path=f"{facts['out']}/{name}.{facts['ext']}")
        yield Check(f"{name}-begins", f'{read}[ "$(head -n 1 <<<"$got")" = \'{want[0]}\' ]\n')
        yield Check(
            f"{name}-sides", f'{read}[ "$(cut -c 1 <<<"$got")" = \'{chr(10).join(row[0] for row in want)}\' ]\n'
        )
        yield Check(f"{name}-whole", f"{read}[ \"$got\" = '{chr(10).join(want)}' ]\n", 2)


def _wrong(program: str, level: int) -> dict[str, str]:
    wrong = {
        "rows-only": program.replace(" or any(row[c] == x for row in grid)", ""),
        "upside-down": program.replace("for row in found[0]:", "for row in found[0][::-1]:"),
        "as-given": program.replace("found = solve(path)", "found = [[l.split() for l in open(path)][1:]]"),
        "last-row-lost": program.replace("for row in found[0]:", "for row in found[0][:-1]:"),
    }
    if level > 1:
        wrong["first-only"] = program + "    break\n"
    if level > 4:
        wrong["one-way"] = program.replace("len(found))", "1)")
    return wrong


def _oracle(program: str, facts: Mapping[str, str]) -> tuple[str, ...]:
    folder, out = facts["folder"], facts["out"]
    return (
        f"head -n 20 {folder}/*.{facts['ext']}\n",
        f"cat > /tmp/squares.py <<'END'\n{program}END\n",
        f"python3 /tmp/squares.py {folder}/*.{facts['ext']}\n",
        f"tail -n 7 {out}/*\n",
    )


FAMILY = Family(
    name="games/number-grid",
    summary="Complete number squares with signs, boxes and cages, and count the ways to complete one.",
    domain="games",
    skills=("constraint-solving", "backtracking"),
    deeper={2: ("parsing",), 3: ("recursion",), 5: ("counting",)},
    generate=generate,
    requires=("python3",),
)
