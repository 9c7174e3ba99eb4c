"""Many experiments at once: p-values by exact or permutation tests, and what is left after correcting for their number.

Level 1 has Fisher's sign test and Bonferroni; level 2 Holm's correction, level 3 Benjamini-Hochberg's, level 4 a
permutation test with a written-out generator of random numbers, level 5 both kinds of data, in several folders.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from random import Random

from termgym.checks import answer, report
from termgym.family import Draft, Family
from termgym.lexicon import ADJECTIVES, ITEMS, PLACES
from termgym.task import File, Limits

ASKS = (
    "Which of the experiments in {folder} showed an effect? {form}\n\n{test}\n\n{correction}\n\n{out}\n",
    "{folder} has the results of several experiments. {form}\n\n{out}\n\n{test}\n\n{correction}\n",
    "{form} They lie in {folder}. We have to say which effects hold.\n\n{test}\n\n{correction}\n\n{out}\n",
    "Test the experiments in {folder}, and correct for their number. {form}\n\n{out}\n\n{test} {correction}\n",
)
PAIRS = 'A .pairs file has a line "before after" for each subject.'
GROUPS = 'A .groups file has a line "A value" or "B value" for each subject.'
SIGN = (
    ".pairs: the two-sided sign test. Of the n subjects that changed, k went up; p is the chance that a fair coin"
    " thrown n times shows min(k, n - k) or fewer heads, doubled, and at most 1."
)
PERMUTATION = """\
.groups: a permutation test. d is the mean of B minus the mean of A. Then {rounds} times: shuffle the list of all values
(first in the order of the file, then as the last shuffle left it) by going i from the last index (counted from 0) down
to 1, taking j = x mod (i + 1) and exchanging numbers i and j; before each exchange x becomes (1103515245 x + 12345) mod
2147483648, and x is {seed} before the first of each file. The first as many as A has count as A, the rest as B. p is
(1 + the times that the difference was at least as far from 0 as d, with 1e-9 to spare) / ({rounds} + 1)."""
CORRECTIONS = {
    "bonferroni": "Correct by Bonferroni: the corrected p is p times the number of experiments, and at most 1.",
    "holm": (
        "Correct by Holm's method: with the m values sorted, the smallest first, the k-th (from 1) becomes the largest"
        " of (m - i + 1) p(i) over i from 1 to k, and at most 1."
    ),
    "bh": (
        "Correct by Benjamini's and Hochberg's method: with the m values sorted, the smallest first, the k-th (from 1)"
        " becomes the smallest of m p(i) / i over i from k to m, and at most 1."
    ),
}
OUT = (
    "Write {out}/corrected.txt: a line for each experiment, NAME = P with its corrected p (compared to within 0.0002),"
    " and {out}/effects.txt: the names of those with a corrected p below {alpha}, sorted, one per line, below a line"
    " effects."
)
PROGRAM = """\
import os, sys
from math import comb
def sign(lines):
    pairs = [tuple(map(float, line.split())) for line in lines]
    up, down = sum(b > a for a, b in pairs), sum(b < a for a, b in pairs)
    n, k = up + down, min(up, down)
    return min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2 ** n)
def permutation(lines):
    rows = [line.split() for line in lines]
    values, a = [float(v) for _, v in rows], sum(g == "A" for g, _ in rows)
    mean = lambda part: sum(part) / len(part)
    d = abs(mean([float(v) for g, v in rows if g == "B"]) - mean([float(v) for g, v in rows if g == "A"]))
    x, hits = {seed}, 0
    for _ in range({rounds}):
        for i in range(len(values) - 1, 0, -1):
            x = (1103515245 * x + 12345) % 2147483648
            j = x % (i + 1)
            values[i], values[j] = values[j], values[i]
        hits += abs(mean(values[a:]) - mean(values[:a])) >= d - 1e-9
    return (1 + hits) / ({rounds} + 1)
p = {{}}
for path in sys.argv[1:]:
    name, kind = path.rsplit("/", 1)[1].split(".")
    p[name] = (sign if kind == "pairs" else permutation)(open(path).read().splitlines())
order, m = sorted(p, key=p.get), len(p)
done = {{}}
if {how!r} == "bonferroni":
    done = {{n: min(1, m * p[n]) for n in p}}
if {how!r} == "holm":
    top = 0
    for i, n in enumerate(order):
        top = max(top, (m - i) * p[n])
        done[n] = min(1, top)
if {how!r} == "bh":
    low = 1
    for i in range(m - 1, -1, -1):
        low = min(low, m * p[order[i]] / (i + 1))
        done[order[i]] = low
os.makedirs({out!r}, exist_ok=True)
open({out!r} + "/corrected.txt", "w").write("".join("%s = %.6f\\n" % (n, done[n]) for n in sorted(done)))
open({out!r} + "/effects.txt", "w").write("effects\\n" + "".join(n + "\\n" for n in sorted(done) if done[n] < {alpha}))
"""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What was measured, and the p-value of it."""

    name: str
    text: str
    p: float

    @property
    def kind(self) -> str:
        """The ending of its file."""
        return "groups" if self.text.startswith(("A", "B")) else "pairs"


def generate(rng: Random, level: int) -> Draft:
    """Several experiments, of which the first have an effect that holds, and the next one that does not hold."""
    rounds, seed, alpha = rng.choice((199, 299)), rng.randrange(1, 2**31), rng.choice(("0.05", "0.04"))
    how = {1: "bonferroni", 2: "holm", 3: "bh"}.get(level) or rng.choice(("holm", "bh"))
    number = 4 + level
    names = [
        f"{first}-{second}"
        for first, second in zip(rng.sample(ADJECTIVES, number), rng.sample(ITEMS, number), strict=True)
    ]
    experiments = [
        _experiment(rng, name, strength, level, rounds, seed)
        for name, strength in zip(names, _strengths(number), strict=True)
    ]
    folder, out = f"/app/{rng.choice(PLACES)}", f"/app/{rng.choice(('result', 'tests', 'verdict'))}"
    done = _corrected({one.name: one.p for one in experiments}, how)
    effects = sorted(name for name, p in done.items() if p < float(alpha))
    program = PROGRAM.format(seed=seed, rounds=rounds, how=how, out=out, alpha=alpha)
    kinds = {one.kind for one in experiments}
    wrong = {
        "uncorrected": (
            program.replace(f"if {how!r} ==", "done = dict(p)\nif 'x' ==", 1).replace(f"if {how!r} ==", "if 'x' ==")
        ),
        "one-sided": program.replace("min(1.0, 2 * sum", "min(1.0, sum").replace("abs(mean(values", "(mean(values"),
        "of-all-but-one": program.replace("len(p)", "len(p) - 1", 1).replace("range(m - 1, -1", "range(m, -1"),
        "another-verdict": program.replace("if done[n] <", "if 1 <" if effects else "if -1 <"),
    }
    return Draft(
        instruction=rng.choice(ASKS).format(
            folder=folder,
            form=" ".join([PAIRS] * ("pairs" in kinds) + [GROUPS] * ("groups" in kinds)),
            test="\n".join(
                [SIGN] * ("pairs" in kinds) + [PERMUTATION.format(rounds=rounds, seed=seed)] * ("groups" in kinds)
            ),
            correction=CORRECTIONS[how],
            out=OUT.format(out=out, alpha=alpha),
        ),
        checks=(
            *(answer(f"{out}/corrected.txt", one.name, done[one.name], tolerance=0.0002) for one in experiments),
            *report(f"{out}/effects.txt", "\n".join(["effects", *effects])),
        ),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items()},
        files={f"{folder}/{one.name}.{one.kind}": File.of(one.text) for one in experiments},
        limits=Limits(turns=30),
    )


def _strengths(number: int) -> list[float]:
    """Clear, on the edge (so that a correction shows), and none."""
    return [1.0, 0.86, 0.86, 0.72, *[0.5] * (number - 4)]


def _experiment(rng: Random, name: str, strength: float, level: int, rounds: int, seed: int) -> Experiment:
    if level > 3 and rng.random() < (0.75 if level == 4 else 0.5):
        return _groups(rng, name, strength, rounds, seed)
    n = 14
    up = round(strength * n)
    pairs = [(a := rng.randint(20, 80), a + rng.randint(1, 9) * (1 if i < up else -1)) for i in range(n)]
    pairs += [(a := rng.randint(20, 80), a)]
    rng.shuffle(pairs)
    return Experiment(name, "".join(f"{a} {b}\n" for a, b in pairs), _sign(up, n))


def _sign(up: int, n: int) -> float:
    return min(1.0, 2 * sum(comb(n, k) for k in range(min(up, n - up) + 1)) / 2**n)


def _groups(rng: Random, name: str, strength: float, rounds: int, seed: int) -> Experiment:
    rows = [
        (group, round(rng.gauss(50 + 14 * (strength - 0.5) * (group == "B"), 4), 1)) for group in "AB" for _ in range(9)
    ]
    rng.shuffle(rows)
    values, a, hits, x = [value for _, value in rows], 9, 0, seed
    first = sum(value if group == "B" else -value for group, value in rows) / a
    for _ in range(rounds):
        for i in range(len(values) - 1, 0, -1):
            x = (1103515245 * x + 12345) & 0x7FFFFFFF
            j = x % (i + 1)
            values[i], values[j] = values[j], values[i]
        hits += abs(sum(values[a:]) - sum(values[:a])) / a >= abs(first) - 1e-9
    return Experiment(name, "".join(f"{group} {value}\n" for group, value in rows), (1 + hits) / (rounds + 1))


def _corrected(p: dict[str, float], how: str) -> dict[str, float]:
    """By the definitions, value by value."""
    values: Sequence[float] = sorted(p.values())
    m = len(values)
    if how == "bonferroni":
        return {name: min(1.0, m * one) for name, one in p.items()}
    if how == "holm":
        return {name: min(1.0, max((m - i) * q for i, q in enumerate(values) if q <= one)) for name, one in p.items()}
    return {name: min(1.0, min(m * q / (i + 1) for i, q in enumerate(values) if q >= one)) for name, one in p.items()}


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; ls; head -n 3 *\n",
        f"cat > /tmp/many.py <<'END'\n{program}END\n",
        f"python3 /tmp/many.py {folder}/*\n",
        f"cat {out}/*\n",
    )


FAMILY = Family(
    name="stats/many-tests",
    summary="Test many experiments, and tell which effects hold after correcting for their number.",
    domain="data_science",
    skills=("hypothesis-testing", "combinatorics"),
    deeper={2: ("sorting",), 4: ("monte-carlo", "sampling")},
    generate=generate,
    requires=("python3",),
)
