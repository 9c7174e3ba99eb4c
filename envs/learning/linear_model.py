"""Learn a linear model from rows with a known answer, hand in its weights, and be judged on rows that nobody was shown.

Level 2 has columns of very different scale, level 3 a column of words, level 4 rows that are spoilt, level 5 few rows,
and columns that do not matter. The form of the file of weights is given; the verifier applies them itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import mean

from termgym.family import Draft, Family
from termgym.lexicon import COLOURS, PLACES, TOPICS
from termgym.task import Check, File, Limits

ASKS = (
    "Learn to predict {y} from the other columns of {given}. {form}\n\n{out}\n\n{marks}\n",
    (
        "{given} has rows whose {y} is known. A linear model is wanted that predicts it for others."
        " {form}\n\n{out}\n\n{marks}\n"
    ),
    "Train a linear model of {y} on {given}. {form}\n\n{marks}\n\n{out}\n",
    "{out}\n\nThe model is to predict {y}, and {given} is there to learn from. {form}\n\n{marks}\n",
)
FORM = "It is a CSV file with a header; id means nothing.{words}{spoilt}"
WORDS = " {factor} is a word, for which a model has a weight of its own for each word."
SPOILT = " In a few rows {y} was mistyped and is far off."
OUT = (
    'Write {out} as JSON, an object of numbers: "bias", and a weight for each numeric column by its name{factor}. A'
    " prediction is bias plus the sum of weight times value{added}; what is left out counts 0."
)
MARKS = (
    "It is judged by the root of the mean squared error on rows of the same kind that are not here: below {low}, below"
    " {middle} and below {high} are marks that each count."
)
JUDGE = """\
#!/usr/bin/python3 -I
import csv, json, math, os, stat, sys
path = {path!r}
try:
    if os.path.realpath(path) != path or not stat.S_ISREG(os.lstat(path).st_mode) or os.path.getsize(path) > 65536:
        sys.exit(1)
    weights = json.load(open(path, encoding="utf-8"))
    assert isinstance(weights, dict)
    w = {{str(k): float(v) for k, v in weights.items() if not isinstance(v, bool)}}
    total = 0.0
    rows = list(csv.DictReader(open("/tests/rows.csv")))
    for row in rows:
        guess = w.get("bias", 0.0)
        for name, value in row.items():
            if name not in ({y!r}, "id"):
                guess += w.get(value, 0.0) if name == {factor!r} else w.get(name, 0.0) * float(value)
        total += (guess - float(row[{y!r}])) ** 2
    error = math.sqrt(total / len(rows))
except (OSError, ValueError, AssertionError, TypeError, RecursionError, OverflowError):
    sys.exit(1)
sys.exit(not error < {mark})
"""
PROGRAM = """\
import csv, json
rows = list(csv.DictReader(open({given!r})))
names = [n for n in rows[0] if n not in ("id", {y!r}, {factor!r})]
words = sorted({{r[{factor!r}] for r in rows}}) if {factor!r} in rows[0] else []
def fit(rows, penalty):
    x = [[1.0] + [float(r[n]) for n in names] + [float(r[{factor!r}] == w) for w in words[1:]] for r in rows]
    y = [float(r[{y!r}]) for r in rows]
    k = len(x[0])
    scale = [max(1e-9, (sum(v[i] ** 2 for v in x) / len(x)) ** 0.5) for i in range(k)]
    x = [[v / s for v, s in zip(row, scale)] for row in x]
    m = [[sum(a[i] * a[j] for a in x) + penalty * (i == j) for j in range(k)] for i in range(k)]
    for i in range(k):
        m[i].append(sum(a[i] * b for a, b in zip(x, y)))
    for i in range(k):
        p = max(range(i, k), key=lambda r: abs(m[r][i]))
        m[i], m[p] = m[p], m[i]
        m[i] = [v / m[i][i] for v in m[i]]
        for r in range(k):
            if r != i:
                f = m[r][i]
                m[r] = [v - f * w for v, w in zip(m[r], m[i])]
    b = [m[i][-1] / scale[i] for i in range(k)]
    guess = [sum(c * v * s for c, v, s in zip(b, row, scale)) for row in x]
    return b, [abs(g - v) for g, v in zip(guess, y)]
b, off = fit(rows, 0.01)
for _ in range(4):
    some = max(int(len(rows) * 0.93), 12) if {robust} else len(rows)
    b, _ = fit([rows[i] for i in sorted(range(len(rows)), key=lambda i: off[i])[:some]], 0.01)
    added = dict(zip(words[1:], b[1 + len(names):]))
    guess = [b[0] + sum(c * float(r[n]) for c, n in zip(b[1:], names)) + added.get(r.get({factor!r}), 0) for r in rows]
    off = [abs(g - float(r[{y!r}])) for g, r in zip(guess, rows)]
json.dump({{"bias": b[0], **dict(zip(names + words[1:], b[1:]))}}, open({out!r}, "w"), indent=1)
print(sum(off) / len(off))
"""


@dataclass(frozen=True, slots=True)
class World:
    """How rows come about."""

    names: Sequence[str]
    scales: Sequence[float]
    weights: Sequence[float]
    words: Sequence[str]
    shifts: Sequence[float]

    def row(self, rng: Random, number: int) -> tuple[list[str], float]:
        """The values as text, and the answer without noise."""
        values = [round(rng.uniform(-1, 1) * scale, 6 if scale < 1 else 3) for scale in self.scales]
        place = number % len(self.words) if self.words else 0
        shift = self.shifts[place] if self.words else 0.0
        answer = 7 + shift + sum(w * v for w, v in zip(self.weights, values, strict=True))
        return [str(number), *map(str, values), *([self.words[place]] if self.words else [])], answer


def generate(rng: Random, level: int) -> Draft:
    """One world, rows of it, and other rows to judge by."""
    y, factor = rng.choice(("output", "target", "yield", "demand")), rng.choice(("kind", "colour", "type"))
    given, out = (
        f"/app/{rng.choice(PLACES)}/{rng.choice(TOPICS)}.csv",
        f"/app/{rng.choice(('model', 'weights', 'linear'))}.json",
    )
    world = _world(rng, level)
    header = ["id", *world.names, *([factor] if world.words else []), y]
    noise = 0.5
    train = _rows(rng, world, 30 if level == 5 else 50, noise, spoilt=level > 3)
    hidden = _rows(rng, world, 60, noise, spoilt=False)
    spread = _spread(hidden)
    marks = (round(spread * 0.8, 2), round(max(spread * 0.35, 1.2), 2), 0.95 if level > 3 else 0.75)
    program = PROGRAM.format(given=given, y=y, factor=factor, out=out, robust=level > 3)
    middle = mean(float(row[-1]) for row in train)
    told = OUT.format(
        out=out,
        factor=f", and one for each word of {factor} by the word" if world.words else "",
        added=f" plus the weight of its {factor}" if world.words else "",
    )
    form = FORM.format(
        words=WORDS.format(factor=factor) if world.words else "", spoilt=SPOILT.format(y=y) if level > 3 else ""
    )
    return Draft(
        instruction=rng.choice(ASKS).format(
            y=y, given=given, form=form, out=told, marks=MARKS.format(low=marks[0], middle=marks[1], high=marks[2])
        ),
        checks=tuple(
            Check(f"below-{number}", JUDGE.format(path=out, y=y, factor=factor, mark=mark), weight)
            for number, (mark, weight) in enumerate(zip(marks, (1, 1, 2), strict=True), 1)
        ),
        oracle=_oracle(program, given, out),
        wrong={
            "mean-only": (f"echo '{{\"bias\": {middle:.3f}}}' > {out}\n",),
            "no-bias": (*_oracle(program, given, out), f'sed -i \'s/"bias": .*,/"bias": 0,/\' {out}\n'),
            "first-column-dropped": (
                *_oracle(program, given, out),
                f'sed -i \'s/"{world.names[0]}": .*,/"{world.names[0]}": 0,/\' {out}\n',
            ),
            "of-three-rows": (f"sed -i '5,$d' {given}\n", *_oracle(program.replace("0.01)", "5.0)"), given, out)),
            "weights-too-small": _oracle(program.replace("b[1:]))}", "(0.6 * w for w in b[1:])))}"), given, out),
            "a-list": (f"echo '[1, 2, 3]' > {out}\n",),
        },
        files={given: File.of("\n".join([",".join(header), *(",".join(row) for row in train), ""]))},
        tests={"rows.csv": File.of("\n".join([",".join(header), *(",".join(row) for row in hidden), ""]))},
        limits=Limits(turns=30),
    )


def _world(rng: Random, level: int) -> World:
    count = 2 + level // 2 + 2 * (level > 4)
    names = rng.sample(("age", "width", "speed", "depth", "cost", "mass", "score", "heat", "load"), count)
    scales = [10.0 ** (rng.choice((-2, 0, 3)) if level > 1 else 0) * 3 for _ in names]
    weights = [
        rng.uniform(1.2, 3) * rng.choice((-1, 1)) * 3 / scale * (number < 4) for number, scale in enumerate(scales)
    ]
    words = rng.sample(COLOURS, 3) if level > 2 else []
    return World(names, scales, weights, words, [0.0, 4.0, -5.0])


def _rows(rng: Random, world: World, count: int, noise: float, spoilt: bool) -> list[list[str]]:
    rows: list[list[str]] = []
    for number in range(count):
        values, answer = world.row(rng, number)
        answer += rng.gauss(0, noise) + (90 if spoilt and number % 17 == 5 else 0)
        rows.append([*values, f"{answer:.3f}"])
    return rows


def _spread(rows: Sequence[Sequence[str]]) -> float:
    answers = [float(row[-1]) for row in rows]
    middle = mean(answers)
    return mean((answer - middle) ** 2 for answer in answers) ** 0.5


def _oracle(program: str, given: str, out: str) -> tuple[str, ...]:
    return (
        f"head -n 4 {given}; wc -l {given}\n",
        f"cat > /tmp/train.py <<'END'\n{program}END\n",
        "python3 /tmp/train.py\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="learning/linear-model",
    summary="Learn a linear model and hand in its weights; judged on rows that were not shown.",
    domain="model_training",
    skills=("regression", "json"),
    deeper={
        2: ("numerical-stability",),
        3: ("feature-engineering",),
        4: ("anomaly-detection",),
        5: ("regularization",),
    },
    generate=generate,
    requires=("python3",),
)
