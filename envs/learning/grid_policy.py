"""A grid world with slippery floors: find a policy that is worth what the best one is, up to a margin.

Level 2 has pits, level 3 wind in some columns, level 4 several maps, level 5 a discount near 1 and larger maps. The
verifier works out the exact worth of the policy that is handed in.
"""

from dataclasses import dataclass
from random import Random

from termgym.family import Draft, Family
from termgym.lexicon import GIVEN, PLACES
from termgym.task import Check, File, Limits

ASKS = (
    "{folder} holds maps of a slippery world (*.map). {form}\n\n{rules}\n\n{out}\n",
    "Find good policies for the maps in {folder}. {form}\n\n{rules}\n\n{out}\n",
    "{rules}\n\nThe maps are the .map files in {folder}. {form}\n\n{out}\n",
    "A robot has to find its way on each map in {folder}. {form}\n\n{out}\n\n{rules}\n",
)
FORM = '"S" is the start, "G" the goal, "#" a wall, "." free{pits}.{wind}'
PITS = ', "O" a pit'
WIND = (
    ' The last line, "wind C ...", names columns, counted from 0, where a move ends one row higher if that square is'
    " not a wall."
)
RULES = (
    "Each move goes where it is meant to (U, D, L, R) with a chance of {aim}, and to either side of that direction with"
    " {slip} each; who would leave the map or enter a wall stays (then the wind blows, if any). A move costs {cost};"
    " who comes to G gets {prize}{loss}, and that ends it. What comes k moves later counts {discount}^k times (k from"
    " 0: the first move's cost and prize count in full)."
)
LOSS = ", who comes to a pit loses {loss}"
OUT = (
    "Write for each NAME.map a file {out}/NAME.txt of the same rows and columns (without the wind's line): a letter U,"
    " D, L or R for each square that is free or the start, anything else elsewhere. The expected worth from S has to be"
    " within {margin} of the best possible; files that are only within {wide} count in part."
)
JUDGE = """\
#!/usr/bin/python3 -I
import os, stat, sys
path = {path!r}
try:
    if os.path.realpath(path) != path or not stat.S_ISREG(os.lstat(path).st_mode) or os.path.getsize(path) > 65536:
        sys.exit(1)
    policy = open(path, encoding="utf-8").read().split("\\n")
except (OSError, ValueError):
    sys.exit(1)
rows, wind, (aim, slip, cost, prize, loss, discount) = {rows!r}, {wind!r}, {world!r}
moves = {{"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}}
sides = {{"U": "LR", "D": "LR", "L": "UD", "R": "UD"}}
def land(r, c, way):
    def free(a, b):
        return 0 <= a < len(rows) and 0 <= b < len(rows[0]) and rows[a][b] != "#"
    a, b = r + moves[way][0], c + moves[way][1]
    a, b = (a, b) if free(a, b) else (r, c)
    return (a - 1, b) if b in wind and free(a - 1, b) and rows[a][b] not in "GO" else (a, b)
squares = [(r, c) for r, row in enumerate(rows) for c, x in enumerate(row) if x in ".S"]
try:
    chosen = {{(r, c): policy[r][c] for r, c in squares}}
except IndexError:
    sys.exit(1)
if not set(chosen.values()) <= set("UDLR"):
    sys.exit(1)
odds = {{w: [(aim, w), *((slip, o) for o in sides[w])] for w in moves}}
ahead = {{s: {{w: [(p, land(*s, o)) for p, o in odds[w]] for w in moves}} for s in squares}}
def worth(ways):
    found = dict.fromkeys(squares, 0.0)
    for _ in range(400):
        moved = 0
        for s in squares:
            new = max(
                sum(
                    p * (prize if rows[a][b] == "G" else -loss if rows[a][b] == "O" else discount * found[a, b])
                    for p, (a, b) in ahead[s][w]
                )
                for w in ways(s)
            ) - cost
            moved = max(moved, abs(new - found[s]))
            found[s] = new
        if moved < 1e-5:
            break
    return next(found[s] for s in squares if rows[s[0]][s[1]] == "S")
if {margin} is not None:
    sys.exit(worth(lambda s: chosen[s]) < worth(lambda s: moves) - {margin})
"""
PROGRAM = """\
import os, sys
aim, slip, cost, prize, loss, discount = {world}
moves = {{"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}}
sides = {{"U": "LR", "D": "LR", "L": "UD", "R": "UD"}}
os.makedirs({out!r}, exist_ok=True)
for path in sys.argv[1:]:
    rows, wind = open(path).read().split("\\n"), set()
    rows = [row for row in rows if row]
    if rows[-1].startswith("wind"):
        wind = {{int(c) for c in rows.pop().split()[1:]}}
    free = lambda a, b: 0 <= a < len(rows) and 0 <= b < len(rows[0]) and rows[a][b] != "#"
    def land(r, c, way):
        a, b = r + moves[way][0], c + moves[way][1]
        a, b = (a, b) if free(a, b) else (r, c)
        return (a - 1, b) if b in wind and free(a - 1, b) and rows[a][b] not in "GO" else (a, b)
    squares = [(r, c) for r, row in enumerate(rows) for c, x in enumerate(row) if x in ".S"]
    worth = dict.fromkeys(squares, 0.0)
    def value(s, way):
        total = -cost
        for p, w in [(aim, way)] + [(slip, o) for o in sides[way]]:
            a, b = land(s[0], s[1], w)
            total += p * (prize if rows[a][b] == "G" else -loss if rows[a][b] == "O" else discount * worth[a, b])
        return total
    for _ in range(300):
        for s in squares:
            worth[s] = max(value(s, way) for way in moves)
    best = {{s: max(moves, key=lambda way: value(s, way)) for s in squares}}
    text = "\\n".join("".join(best.get((r, c), x) for c, x in enumerate(row)) for r, row in enumerate(rows))
    open({out!r} + "/" + path.rsplit("/", 1)[1][:-4] + ".txt", "w").write(text + "\\n")
"""
MOVES = {"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}
SIDES = {"U": "LR", "D": "LR", "L": "UD", "R": "UD"}


@dataclass(frozen=True, slots=True)
class World:
    """A map and its numbers."""

    rows: list[str]
    wind: tuple[int, ...]
    numbers: tuple[float, float, float, float, float, float]
    """The chance to go as meant, that of either side, what a move costs, prize, loss, discount."""

    def free(self, r: int, c: int) -> bool:
        """Whether one can be there."""
        return 0 <= r < len(self.rows) and 0 <= c < len(self.rows[0]) and self.rows[r][c] != "#"

    def land(self, r: int, c: int, way: str) -> tuple[int, int]:
        """Where a move ends that does not slip."""
        a, b = r + MOVES[way][0], c + MOVES[way][1]
        a, b = (a, b) if self.free(a, b) else (r, c)
        return (a - 1, b) if b in self.wind and self.free(a - 1, b) and self.rows[a][b] not in "GO" else (a, b)


def generate(rng: Random, level: int) -> Draft:
    """One map, or several."""
    aim = rng.choice((0.8, 0.7))
    loss, discount = float(rng.randint(20, 40)), 0.97 if level == 5 else 0.9
    numbers = (aim, round((1 - aim) / 2, 3), 1.0, float(rng.randint(50, 80)), loss, discount)
    folder, out = f"/app/{rng.choice(PLACES)}", f"/app/{rng.choice(('policies', 'plans', 'ways'))}"
    worlds = {
        name.lower(): _world(rng, level, numbers)
        for name in rng.sample(GIVEN, 1 if level < 3 else 2 if level < 5 else 3)
    }
    margin, wide = 0.5, 6.0
    told = OUT.format(out=out, margin=margin, wide=wide)
    rules = RULES.format(
        aim=aim,
        slip=numbers[1],
        cost=1,
        prize=numbers[3],
        discount=discount,
        loss=LOSS.format(loss=loss) if level > 1 else "",
    )
    checks: list[Check] = []
    for name, world in worlds.items():
        for kind, weight, off in (("whole", 0.5, None), ("fair", 1, wide), ("best", 2, margin)):
            judge = JUDGE.format(path=f"{out}/{name}.txt", rows=world.rows, wind=world.wind, world=numbers, margin=off)
            checks.append(Check(f"{name}-{kind}", judge, weight))
    program = PROGRAM.format(world=numbers, out=out)
    wrong = {
        "all-right": program.replace("best.get((r, c), x)", '("R" if (r, c) in best else x)'),
        "greedy": program.replace("range(300)", "range(0)"),
        "upside-down": program.replace("max(moves, key", "min(moves, key"),
    }
    return Draft(
        instruction=rng.choice(ASKS).format(
            folder=folder,
            rules=rules,
            out=told,
            form=FORM.format(pits=PITS if level > 1 else "", wind=WIND if level > 2 else ""),
        ),
        checks=tuple(checks),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items()}
        | ({"first-map-only": _oracle(program + "    break\n", folder, out)} if len(worlds) > 1 else {}),
        files={f"{folder}/{name}.map": File.of(_text(world)) for name, world in worlds.items()},
        limits=Limits(turns=30),
    )


def _text(world: World) -> str:
    return "\n".join([*world.rows, *([f"wind {' '.join(map(str, world.wind))}"] if world.wind else []), ""])


def _world(rng: Random, level: int, numbers: tuple[float, float, float, float, float, float]) -> World:
    """The goal is in the far corner of the start's, behind walls that leave a way that pays, and it goes down first."""
    height, width = 5 + level // 2, 6 + level // 2
    while True:
        rows = [["." if rng.random() > 0.2 else "#" for _ in range(width)] for _ in range(height)]
        for _ in range(level if level > 1 else 0):
            rows[rng.randrange(1, height)][rng.randrange(1, width - 1)] = "O"
        rows[0][0], rows[height - 1][width - 2] = "S", "G"
        rows[0][1], rows[1][0] = "#", "."
        wind = tuple(sorted(rng.sample(range(2, width), 2))) if level > 2 else ()
        world = World(["".join(row) for row in rows], wind, numbers)
        if _pays(world):
            return world


def _pays(world: World) -> bool:
    """Whether to go is clearly worth more than to stay for good; a few sweeps from the goal bound it from below."""
    aim, slip, cost, prize, loss, discount = world.numbers
    squares = [(r, c) for r, row in enumerate(world.rows) for c, x in enumerate(row) if x in ".S"]
    ahead = {s: {way: world.land(*s, way) for way in MOVES} for s in squares}
    ends = {"G": prize / discount, "O": -loss / discount}
    worth = {(r, c): ends.get(x, -cost / (1 - discount)) for r, row in enumerate(world.rows) for c, x in enumerate(row)}
    for _ in range(8):
        for s in reversed(squares):
            to = {way: worth[at] for way, at in ahead[s].items()}
            best = max(aim * to[way] + slip * (to[left] + to[right]) for way, (left, right) in SIDES.items())
            worth[s] = max(worth[s], discount * best - cost)
    return worth[0, 0] > 4 - cost / (1 - discount)


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; head -n 20 *.map\n",
        f"cat > /tmp/plan.py <<'END'\n{program}END\n",
        f"python3 /tmp/plan.py {folder}/*.map\n",
        f"head {out}/*\n",
    )


FAMILY = Family(
    name="learning/grid-policy",
    summary="Find policies for slippery grid worlds that are worth what the best ones are.",
    domain="model_training",
    skills=("reinforcement-learning", "dynamic-programming"),
    deeper={2: ("probability",), 4: ("parsing",), 5: ("optimization",)},
    generate=generate,
    requires=("python3",),
    version=2,
)
