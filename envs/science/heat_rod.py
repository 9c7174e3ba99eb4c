"""Heat in a rod, by a scheme that is written out: start from a file, step, and report temperatures at given times.

Level 2 has ends that are insulated or held, level 3 a rod of two materials, level 4 a source that is switched on and
off, level 5 the number of steps until the warmest point is below a threshold. The step is stable by construction.
"""

from dataclasses import dataclass, replace
from random import Random

from termgym.checks import answer
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, PLACES
from termgym.task import File, Limits

ASKS = (
    "Simulate how a {thing} cools. {given}\n\n{scheme}\n\n{asked}\n",
    "{given}\n\nIts temperatures have to be followed over time.\n\n{scheme}\n\n{asked}\n",
    "A one-dimensional heat problem: {given}\n\n{scheme}\n\n{asked}\n",
    "{asked}\n\nThis is about the temperatures of a {thing}. {given}\n\n{scheme}\n",
)
GIVEN = (
    "{folder}/start.txt has the temperature of each of its points, one per line, from left to right; {folder}/rod.conf"
    " has the parameters, as KEY = VALUE."
)
SCHEME = """\
In each step all new temperatures come from the old ones (u is a point's, l and r those of its left and right
neighbour):

    new u = u + a * (l - 2 u + r){source}

with a = alpha{two}. {ends}"""
TWO = ", or beta for all points from number `from` on, counted from 0"
SOURCE = " + q"
SOURCE_TEXT = (
    " q is `heat` at point number `at` in steps `on` to `off` (steps count from 1, both included), and 0 elsewhere."
)
HELD = "The first and the last point keep their temperature."
ENDS = (
    "Where `left` is held, the first point keeps its temperature; where it is insulated, the first point's left"
    " neighbour counts as having the first point's own temperature. So with `right` for the last."
)
ASKED = (
    "Write {out}: after each of the steps {times} a line tN = T with the temperature of point number {probe} (counted"
    " from 0) after step N, and at last mean = M, the mean over all points after the last of them. 6 decimals; they are"
    " compared to within 0.0005.{below}"
)
BELOW = " Then below = N, the first step after which no point is warmer than {limit} (a whole number)."
PROGRAM = """\
conf = {{}}
for line in open("{folder}/rod.conf"):
    if "=" in line:
        key, value = line.split("=")
        conf[key.strip()] = value.strip()
u = [float(x) for x in open("{folder}/start.txt")]
n = len(u)
def step(u, k):
    new = []
    for i in range(n):
        if (i == 0 and conf.get("left", "held") == "held") or (i == n - 1 and conf.get("right", "held") == "held"):
            new.append(u[i])
            continue
        l = u[i - 1] if i else u[0]
        r = u[i + 1] if i < n - 1 else u[-1]
        a = float(conf["beta"]) if "from" in conf and i >= int(conf["from"]) else float(conf["alpha"])
        heated = "at" in conf and i == int(conf["at"]) and int(conf["on"]) <= k <= int(conf["off"])
        q = float(conf["heat"]) if heated else 0
        new.append(u[i] + a * (l - 2 * u[i] + r) + q)
    return new
times, k, below = {times}, 0, 0
while k < times[-1] or ({limit} and not below):
    k += 1
    u = step(u, k)
    if k in times:
        print("t%d = %.6f" % (k, u[{probe}]))
    if k == times[-1]:
        mean = sum(u) / n
        print("mean = %.6f" % mean)
    if {limit} and not below and max(u) <= {limit}:
        below = k
if {limit}:
    print("below = %d" % below)
"""


@dataclass(frozen=True, slots=True)
class Rod:
    """A rod and its parameters."""

    start: tuple[float, ...]
    alpha: float
    beta: float
    change: int
    """The first point that has beta."""
    left: bool
    """Held."""
    right: bool
    heat: float = 0.0
    at: int = -1
    on: int = 0
    off: int = 0

    def steps(self, count: int) -> list[list[float]]:
        """Temperatures after each step, the start first."""
        found = [list(self.start)]
        for k in range(1, count + 1):
            old = found[-1]
            padded = [old[0], *old, old[-1]]
            new = [
                u + (self.beta if i >= self.change else self.alpha) * (padded[i] - 2 * u + padded[i + 2])
                for i, u in enumerate(old)
            ]
            if self.on <= k <= self.off and self.at >= 0:
                new[self.at] += self.heat
            new[0] = old[0] if self.left else new[0]
            new[-1] = old[-1] if self.right else new[-1]
            found.append(new)
        return found

    def conf(self, level: int, rng: Random) -> str:
        """As the file has it."""
        lines = [f"alpha = {self.alpha}"]
        lines += (
            [
                f"{side} = {'held' if held else 'insulated'}"
                for side, held in (("left", self.left), ("right", self.right))
            ]
            if level > 1
            else []
        )
        lines += [f"beta = {self.beta}", f"from = {self.change}"] if level > 2 else []
        lines += [f"heat = {self.heat}", f"at = {self.at}", f"on = {self.on}", f"off = {self.off}"] if level > 3 else []
        rng.shuffle(lines)
        return "\n".join([*lines, ""])


def generate(rng: Random, level: int) -> Draft:
    """One rod."""
    n, thing, folder = rng.randint(9, 14) + 3 * level, rng.choice(ITEMS), f"/app/{rng.choice(PLACES)}"
    rod = _rod(rng, level, n)
    times = sorted(rng.sample(range(4, 20 + 12 * level), 2 + level // 2))
    probe, out = rng.randrange(2, n - 2), f"/app/{thing}.{rng.choice(('out', 'txt', 'result'))}"
    states = rod.steps(150 if level == 5 else times[-1])
    limit = round(max(states[times[0]]) - 0.05, 1) if level == 5 else 0
    below = next((k for k, u in enumerate(states) if k and max(u) <= limit), 0)
    if level == 5 and not below:
        return generate(rng, level)
    asked = ASKED.format(
        out=out, times=", ".join(map(str, times)), probe=probe, below=BELOW.format(limit=limit) if limit else ""
    )
    scheme = SCHEME.format(
        source=SOURCE if level > 3 else "", two=TWO if level > 2 else "", ends=ENDS if level > 1 else HELD
    )
    scheme += SOURCE_TEXT if level > 3 else ""
    program = PROGRAM.format(folder=folder, times=times, probe=probe, limit=limit)
    wrong = {
        "in-place": program.replace("u = step(u, k)", "u = step(step(u, k), k)"),
        "one-step-late": program.replace(
            "k += 1\n    u = step(u, k)\n", "u = step(u, k + 1) if k else u\n    k += 1\n"
        ),
        "next-point": program.replace(f"u[{probe}]", f"u[{probe + 1}]"),
        "ends-wrong": (
            program.replace('"held"', '"insulated"') if level > 1 else program.replace("i == 0 and", "False and")
        ),
    }
    return Draft(
        instruction=rng.choice(ASKS).format(thing=thing, given=GIVEN.format(folder=folder), scheme=scheme, asked=asked),
        checks=(
            *(answer(out, f"t{k}", states[k][probe], tolerance=0.0005) for k in times),
            answer(out, "mean", sum(states[times[-1]]) / n, tolerance=0.0005),
            *([answer(out, "below", str(below), weight=2)] if limit else []),
        ),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items()}
        | {
            "start-only": (
                f"cd {folder}; for t in {' '.join(map(str, times))}; do echo t$t = $(sed -n {probe + 1}p start.txt);"
                f" done > {out}\n",
                f"awk '{{s += $1}} END {{print \"mean =\", s / NR}}' start.txt >> {out}\n",
            ),
        },
        files={
            f"{folder}/start.txt": File.of("".join(f"{u}\n" for u in rod.start)),
            f"{folder}/rod.conf": File.of(rod.conf(level, rng)),
        },
        limits=Limits(turns=30),
    )


def _rod(rng: Random, level: int, n: int) -> Rod:
    start = tuple(round(rng.uniform(10, 90), 1) for _ in range(n))
    if level > 1:  # an insulated end has to show
        start = (95.5, 20.5, *start[2:-2], 21.5, 97.0)
    alpha = round(rng.uniform(0.15, 0.3), 3)
    rod = Rod(start, alpha, alpha, n, True, True)
    if level > 1:
        rod = replace(rod, left=rng.random() < 0.5)
        rod = replace(rod, right=not rod.left)
    if level > 2:
        rod = replace(rod, beta=round(rng.uniform(0.32, 0.45), 3), change=n // 2 + rng.randint(-1, 1))
    if level > 3:
        rod = replace(
            rod,
            heat=round(rng.uniform(2, 6), 1),
            at=rng.randrange(2, n - 2),
            on=rng.randint(2, 4),
            off=rng.randint(6, 14),
        )
    return replace(rod, left=False, right=False) if level == 5 else rod


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; cat rod.conf; head -n 3 start.txt; wc -l start.txt\n",
        f"cat > /tmp/rod.py <<'END'\n{program}END\n",
        f"python3 /tmp/rod.py > {out}\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="science/heat-rod",
    summary="Simulate heat in a rod by a stated scheme, and report temperatures at given times.",
    domain="scientific_computing",
    skills=("differential-equations", "simulation"),
    deeper={2: ("configuration-files",), 4: ("validation",), 5: ("root-finding",)},
    generate=generate,
    requires=("python3",),
)
