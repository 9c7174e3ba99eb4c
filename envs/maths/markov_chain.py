"""Games of chance as Markov chains: exact probabilities and expectations, as fractions.

Level 1 asks for the chance to end in one place and the expected number of moves; level 3 adds a payment for each move,
level 4 a start that is drawn by chance, level 5 the chance to come by some place at all. The chain grows.
"""

from collections.abc import Mapping
from fractions import Fraction
from random import Random

from termgym.checks import answer
from termgym.family import Draft, Family
from termgym.lexicon import PLACES, SERVICES, TOWNS
from termgym.task import File, Limits

ASKS = (
    "{file} describes a game of chance. {form}\n\n{questions}\n\n{out}\n",
    "A visitor wanders from place to place as {file} says. {form}\n\n{out}\n\n{questions}\n",
    "{form} That is how {file} is to be read. Work out exactly:\n\n{questions}\n\n{out}\n",
    "Some exact numbers on the chain in {file} are needed. {form}\n\n{questions}\n\n{out}\n",
)
FORM = (
    'A line "FROM -> TO W" says that one moves from FROM to TO with a chance in proportion to the weight W among all'
    " lines of FROM{pay}. Places without such a line end it. It starts at {start}."
)
PAY = "; the last number of the line is what that move costs"
QUESTIONS = {
    "end": "end: the chance that it ends at {goal}.",
    "moves": "moves: the expected number of moves until it ends.",
    "cost": "cost: the expected sum of what the moves cost.",
    "either": (
        "either: the chance that it ends at {goal} if it starts at {start} or at {other}, by the throw of a fair coin."
    ),
    "via": "via: the chance that it ever is at {other}.",
}
OUT = (
    "Write {out} with one line for each, its name, an equals sign and a whole number or a fraction in lowest terms, as"
    " in end=3/8."
)
PROGRAM = """\
from fractions import Fraction
moves = {{}}
for line in open({file!r}):
    a, _, b, *rest = line.split()
    moves.setdefault(a, []).append((b, Fraction(rest[0]), Fraction(rest[1]) if len(rest) > 1 else 0))
def solve(gain, fixed):
    names = [n for n in moves if n not in fixed]
    rows = []
    for n in names:
        total = sum(w for _, w, _ in moves[n])
        row = dict.fromkeys(names, Fraction(0))
        row[n] += 1
        right = Fraction(0)
        for b, w, c in moves[n]:
            p = w / total
            right += p * gain(c)
            if b in fixed:
                right += p * fixed[b]
            elif b in row:
                row[b] -= p
        rows.append([row[m] for m in names] + [right])
    for i in range(len(names)):
        at = next(r for r in range(i, len(rows)) if rows[r][i])
        rows[i], rows[at] = rows[at], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for r in range(len(rows)):
            if r != i and rows[r][i]:
                f = rows[r][i]
                rows[r] = [x - f * y for x, y in zip(rows[r], rows[i])]
    return {{**{{n: rows[i][-1] for i, n in enumerate(names)}}, **fixed}}
end = solve(lambda c: 0, {{{goal!r}: Fraction(1)}})
print("end=%s" % end[{start!r}])
print("moves=%s" % solve(lambda c: 1, {{}})[{start!r}])
print("cost=%s" % solve(lambda c: c, {{}})[{start!r}])
print("either=%s" % ((end[{start!r}] + end[{other!r}]) / 2))
print("via=%s" % solve(lambda c: 0, {{{other!r}: Fraction(1)}})[{start!r}])
"""
Chain = Mapping[str, list[tuple[str, int, int]]]
"""Place -> (next place, weight, cost)."""


def generate(rng: Random, level: int) -> Draft:
    """A chain of some places with two or three ends."""
    n, ends = 3 + level, 2 + (level > 2)
    places = rng.sample([*TOWNS, *(place.capitalize() for place in PLACES)], n + ends)
    chain = _chain(rng, places[:n], places[n:])
    start, other, goal = places[0], places[n - 1], places[n]
    file, out = (
        f"/app/{rng.choice(SERVICES)}/{rng.choice(('chain', 'game', 'walk'))}.txt",
        f"/app/{rng.choice(TOWNS).lower()}.out",
    )
    names, wanted = tuple(QUESTIONS)[:level] if level > 1 else ("end", "moves"), _wanted(chain, start, other, goal)
    lines = [f"{a} -> {b} {w}{f' {c}' if level > 2 else ''}" for a, rows in chain.items() for b, w, c in rows]
    rng.shuffle(lines)
    asked = "\n".join(f"- {QUESTIONS[name].format(start=start, other=other, goal=goal)}" for name in names)
    program = PROGRAM.format(file=file, start=start, other=other, goal=goal)
    form = FORM.format(start=start, pay=PAY if level > 2 else "")
    pick = f"grep -E '^({'|'.join(names)})=' > {out}"
    return Draft(
        instruction=rng.choice(ASKS).format(file=file, form=form, questions=asked, out=OUT.format(out=out)),
        checks=tuple(answer(out, name, str(wanted[name]), weight=1 + (name != "end")) for name in names),
        oracle=_oracle(program, file, pick, out),
        wrong={
            "weights-ignored": _oracle(program.replace("Fraction(rest[0])", "Fraction(1)"), file, pick, out),
            "rounded": _oracle(program.replace("moves=%s", "moves=%.3f"), file, pick, out),
            "another-start": _oracle(program.replace(repr(start), repr(places[1])), file, pick, out),
            "all-ones": (f"for q in {' '.join(names)}; do echo $q=1; done > {out}\n",),
        },
        files={file: File.of("\n".join([*lines, ""]))},
        limits=Limits(turns=30),
    )


def _chain(rng: Random, inner: list[str], ends: list[str]) -> Chain:
    """Every place leads on, and to the first end, so that all end with certainty."""
    chain: dict[str, list[tuple[str, int, int]]] = {}
    for number, place in enumerate(inner):
        others = [one for one in inner if one != place]
        to = {inner[(number + 1) % len(inner)], *rng.sample(others, 2), ends[number % len(ends)], ends[0]}
        rows = [(one, rng.randint(1, 9), rng.randint(1, 20)) for one in sorted(to)]
        chain[place] = rows
    return chain


def _wanted(chain: Chain, start: str, other: str, goal: str) -> dict[str, Fraction]:
    """By elimination of one place after the other, which needs no matrix."""
    end = _value(chain, start, {goal: Fraction(1)}, 0)
    return {
        "end": end,
        "moves": _value(chain, start, {}, 1),
        "cost": _value(chain, start, {}, 2),
        "either": (end + _value(chain, other, {goal: Fraction(1)}, 0)) / 2,
        "via": _value(chain, start, {other: Fraction(1)}, 0),
    }


def _value(chain: Chain, start: str, fixed: Mapping[str, Fraction], gain: int) -> Fraction:
    """The expectation from `start`: gain 0 is what is fixed at the end, 1 counts moves, 2 adds costs."""
    odds: dict[str, dict[str, Fraction]] = {}
    worth: dict[str, Fraction] = {}
    for place, rows in chain.items():
        if place in fixed:
            continue
        total = sum(weight for _, weight, _ in rows)
        odds[place] = {to: Fraction(weight, total) for to, weight, _ in rows if to in chain and to not in fixed}
        paid = [Fraction(w, total) * ((0, 1, cost)[gain] + fixed.get(to, Fraction(0))) for to, w, cost in rows]
        worth[place] = sum(paid, Fraction(0))
    for gone in [place for place in odds if place != start]:
        row, value = odds.pop(gone), worth.pop(gone)
        stay = 1 - row.pop(gone, Fraction(0))
        for place, mine in odds.items():
            if p := mine.pop(gone, None):
                worth[place] += p / stay * value
                for to, q in row.items():
                    mine[to] = mine.get(to, Fraction(0)) + p / stay * q
    return worth[start] / (1 - odds[start].get(start, Fraction(0)))


def _oracle(program: str, file: str, pick: str, out: str) -> tuple[str, ...]:
    return (
        f"cat {file}\n",
        f"cat > /tmp/chain.py <<'END'\n{program}END\n",
        f"python3 /tmp/chain.py | {pick}\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="maths/markov-chain",
    summary="Find exact chances and expectations of a Markov chain, as fractions.",
    domain="mathematics",
    skills=("probability", "markov-chains", "linear-algebra"),
    deeper={3: ("parsing",), 5: ("graph-search",)},
    generate=generate,
    requires=("python3",),
)
