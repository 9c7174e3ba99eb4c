"""Sequences to be aligned: the best score by stated costs, and an alignment that has it.

Level 2 asks for the alignments too, any of the best; level 3 has a table of costs for letters, level 4 gaps whose first
place costs more, level 5 local alignments. The alignments are judged by their score and not by an answer sheet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from termgym.checks import answer
from termgym.family import Draft, Family
from termgym.lexicon import HOSTS, PLACES
from termgym.task import Check, File, Limits

ASKS = (
    "Align the pairs of sequences in {given}. {form}\n\n{rules}\n\n{out}\n",
    "{given} holds pairs of sequences. {form} How alike are they?\n\n{rules}\n\n{out}\n",
    "{rules}\n\nBy these rules the pairs in {given} are to be aligned. {form}\n\n{out}\n",
    "{form} That is {given}. Find the best alignment of each pair.\n\n{out}\n\n{rules}\n",
)
FORM = "Each record is a line >NAME and two lines, one sequence each."
RULES = (
    "An alignment writes both sequences one over the other, with dashes put in so that they are equally long and no"
    " column has two dashes. Its score is the sum over its columns: {match}; {gap}. The best alignment has the highest"
    " score.{local}"
)
MATCH = "{same} for two equal letters, {other} for two different ones"
TABLE = "{same} for two equal letters, {other} for two different ones, but {kind} for {pairs} in either order"
GAP = "{gap} for a column with a dash"
AFFINE = (
    "{first} for a column whose dash begins a run of dashes in its line, {gap} for one that goes on with such a run"
)
LOCAL = (
    " Here the best local alignment is meant: of any piece of the one with any piece of the other (score 0 if none)."
)
OUT = "Write {out}/scores.txt with a line NAME = SCORE for each pair.{shown}"
SHOWN = " And write {out}/NAME.txt for each pair: the two lines of one best alignment, the first sequence on top."
PROGRAM = """\
import os
lines = open({given!r}).read().split()
same, other, gap, first, local, kind, near = {costs}
def cost(a, b):
    return same if a == b else kind if a + b in near or b + a in near else other
low = -10**9
os.makedirs({out!r}, exist_ok=True)
scores = open({out!r} + "/scores.txt", "w")
for k in range(0, len(lines), 3):
    name, s, t = lines[k][1:], lines[k + 1], lines[k + 2]
    n, m = len(s), len(t)
    M, X, Y = ([[(low, None)] * (m + 1) for _ in range(n + 1)] for _ in range(3))
    M[0][0] = (0, None)
    for i in range(n + 1):
        for j in range(m + 1):
            def top(p, q, m, x, y):
                came = [(T[p][q][0] + e, (tag, p, q)) for tag, (T, e) in enumerate(((M, m), (X, x), (Y, y)))]
                return max(came, key=lambda e: e[0])
            if i and j:
                c = cost(s[i - 1], t[j - 1])
                M[i][j] = max(top(i - 1, j - 1, c, c, c), (c if local else low, None), key=lambda e: e[0])
            if i:
                X[i][j] = top(i - 1, j, first, gap, first)
            if j:
                Y[i][j] = top(i, j - 1, first, first, gap)
    ends = [(T[i][j][0], tag, i, j) for tag, T in enumerate((M, X, Y)) for i in range(n + 1) for j in range(m + 1)]
    best = max(e for e in ends if local or (e[2], e[3]) == (n, m))
    scores.write("%s = %d\\n" % (name, max(best[0], 0) if local else best[0]))
    score, tag, i, j = best
    a = b = ""
    while (tag, i, j) != (0, 0, 0):
        back = (M, X, Y)[tag][i][j][1]
        a, b = (s[i - 1] if tag < 2 else "-") + a, (t[j - 1] if tag != 1 else "-") + b
        if back is None:
            break
        tag, i, j = back
    open({out!r} + "/" + name + ".txt", "w").write(a + "\\n" + b + "\\n")
"""
JUDGE = """\
#!/usr/bin/python3 -I
import os, stat, sys
path, s, t, best = {path!r}, {s!r}, {t!r}, {best}
same, other, gap, first, local, kind, near = {costs}
try:
    if os.path.realpath(path) != path or not stat.S_ISREG(os.lstat(path).st_mode) or os.path.getsize(path) > 4096:
        sys.exit(1)
    lines = open(path, encoding="ascii").read().split()
except (OSError, ValueError):
    sys.exit(1)
if len(lines) != 2 or len(lines[0]) != len(lines[1]):
    sys.exit(1)
score, run = 0, ""
for a, b in zip(*lines):
    side = "a" if a == "-" else "b" if b == "-" else ""
    if a == b == "-":
        sys.exit(1)
    if side:
        score += gap if run == side else first
    else:
        score += same if a == b else kind if a + b in near or b + a in near else other
    run = side
a, b = (line.replace("-", "") for line in lines)
whole = a in s and b in t if local else (a, b) == (s, t)
sys.exit(not (whole and score == best))
"""


@dataclass(frozen=True, slots=True)
class Costs:
    """What columns are worth."""

    same: int
    other: int
    gap: int
    first: int
    local: bool
    kind: int
    near: tuple[str, ...]

    def of(self, a: str, b: str) -> int:
        """A column without a dash."""
        if a == b:
            return self.same
        return self.kind if a + b in self.near or b + a in self.near else self.other

    def best(self, s: str, t: str) -> int:
        """The best score, row by row (Gotoh, 1982)."""
        low = -(10**6)
        over = [
            (0 if self.local or not j else low, low, low if not j else self.first + (j - 1) * self.gap)
            for j in range(len(t) + 1)
        ]
        found = 0
        for i, letter in enumerate(s, 1):
            row = [(0 if self.local else low, self.first + (i - 1) * self.gap, low)]
            for j, other in enumerate(t, 1):
                base = max(over[j - 1])
                both = (max(base, 0) if self.local else base) + self.of(letter, other)
                down = max(over[j][0] + self.first, over[j][1] + self.gap, over[j][2] + self.first)
                right = max(row[j - 1][0] + self.first, row[j - 1][2] + self.gap, row[j - 1][1] + self.first)
                row.append((both, down, right))
                found = max(found, both)
            over = row
        return found if self.local else max(over[-1])


def generate(rng: Random, level: int) -> Draft:
    """Pairs of related sequences."""
    letters = rng.choice(("ACGT", "ACGU"))
    same, gap = rng.randint(2, 4), -rng.randint(2, 3)
    near = (letters[0] + letters[2], letters[1] + letters[3]) if level > 2 else ()
    first = gap - rng.randint(2, 4) if level > 3 else gap
    costs = Costs(same, -rng.randint(2, 3), gap, first, level == 5, -1, near)
    pairs = {name: _pair(rng, letters, level) for name in rng.sample(HOSTS, 2 + level // 2)}
    alike, name = replace(costs, near=()), next(iter(pairs))
    while near and costs.best(*pairs[name]) == alike.best(*pairs[name]):
        pairs[name] = _pair(rng, letters, level)
    folder = f"/app/{rng.choice(PLACES)}"
    given, out = (
        f"{folder}/{rng.choice(('pairs', 'sequences'))}.{rng.choice(('txt', 'fa'))}",
        f"/app/{rng.choice(('aligned', 'result', 'best'))}",
    )
    told = (costs.same, costs.other, costs.gap, costs.first, costs.local, costs.kind, costs.near)
    program = PROGRAM.format(given=given, out=out, costs=told)
    wrong = {
        "gaps-for-nothing": program.replace(f"{costs.other}, {gap}, {first},", f"{costs.other}, 0, 0,"),
        "all-letters-alike": program.replace(
            "return same if a == b else", "return other if a != b else same if a == b else"
        ),
        "unaligned": (
            program.replace("max(best[0], 0) if local else best[0]", "-1").replace('a + "\\n" + b', 's + "\\n" + t')
        ),
        "first-pair-only": program + "    break\n",
    }
    if level < 3:
        del wrong["all-letters-alike"]
    told_out = OUT.format(out=out, shown=SHOWN.format(out=out) if level > 1 else "")
    return Draft(
        instruction=rng.choice(ASKS).format(given=given, form=FORM, rules=_rules(costs, level), out=told_out),
        checks=tuple(_checks(pairs, costs, out, told, level)),
        oracle=_oracle(program, given, out),
        wrong={name: _oracle(text, given, out) for name, text in wrong.items()},
        files={given: File.of("".join(f">{name}\n{s}\n{t}\n" for name, (s, t) in pairs.items()))},
        limits=Limits(turns=30),
    )


def _checks(pairs: Mapping[str, tuple[str, str]], costs: Costs, out: str, told: object, level: int) -> list[Check]:
    checks = [answer(f"{out}/scores.txt", name, str(costs.best(s, t))) for name, (s, t) in pairs.items()]
    for name, (s, t) in pairs.items() if level > 1 else ():
        script = JUDGE.format(path=f"{out}/{name}.txt", s=s, t=t, best=costs.best(s, t), costs=told)
        checks.append(Check(f"{name}-alignment", script, 2))
    return checks


def _rules(costs: Costs, level: int) -> str:
    pairs = " and ".join("/".join(pair) for pair in costs.near)
    match = (TABLE if level > 2 else MATCH).format(same=costs.same, other=costs.other, kind=costs.kind, pairs=pairs)
    gap = (AFFINE if level > 3 else GAP).format(gap=costs.gap, first=costs.first)
    return RULES.format(match=match, gap=gap, local=LOCAL if costs.local else "")


def _pair(rng: Random, letters: str, level: int) -> tuple[str, str]:
    """A sequence, and what became of it; level 5 puts both among strangers."""
    s = "".join(rng.choices(letters, k=rng.randint(9, 12) + 2 * level))
    t = list(s)
    for _ in range(2 + level // 2):
        t[rng.randrange(len(t))] = rng.choice(letters)
    at = rng.randrange(2, len(t) - 4)
    del t[at : at + rng.randint(1, 3)]
    if level < 5:
        return s, "".join(t)
    around = ["".join(rng.choices(letters, k=rng.randint(4, 7))) for _ in range(4)]
    return around[0] + s + around[1], around[2] + "".join(t) + around[3]


def _oracle(program: str, given: str, out: str) -> tuple[str, ...]:
    return (
        f"cat {given}\n",
        f"cat > /tmp/align.py <<'END'\n{program}END\n",
        "python3 /tmp/align.py\n",
        f"head -n 5 {out}/*\n",
    )


FAMILY = Family(
    name="science/alignment",
    summary="Align pairs of sequences by stated costs: the best scores, and alignments that have them.",
    domain="scientific_computing",
    skills=("dynamic-programming", "string-matching"),
    deeper={3: ("parsing",), 4: ("optimization",), 5: ("searching",)},
    generate=generate,
    requires=("python3",),
    version=2,
)
