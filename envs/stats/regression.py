"""A linear model to be fitted by least squares, and what it says.

Level 2 has a factor with several words, by dummies against a named base; level 3 rows to be left out by a rule, level 4
a second file to be joined by a key, level 5 a ridge penalty. Coefficients and predictions are compared to a tolerance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import answer
from termgym.family import Draft, Family
from termgym.lexicon import COLOURS, PLACES, TOPICS
from termgym.task import Check, File, Limits

ASKS = (
    "Fit a linear model to {given}. {model}\n\n{rules}\n\n{out}\n",
    "How does {y} depend on the rest of {given}? {model}\n\n{out}\n\n{rules}\n",
    "{model} The data are in {given}.\n\n{rules}\n\n{out}\n",
    "A least-squares fit is needed, of the data in {given}. {model}\n\n{out}\n\n{rules}\n",
)
MODEL = "The model is {y} = intercept + {terms}, fitted by {how}."
LEAST = "ordinary least squares"
RIDGE = (
    "least squares with {penalty} times the sum of the squares of all coefficients but the intercept added to the sum"
    " of squares"
)
FACTOR = (
    "- {factor} is a factor: it has a coefficient for each of its words but {base}, which is 1 where the word stands,"
    " else 0."
)
DROP = "- Rows whose {x} is negative are errors of the sensor, and are left out."
JOIN = "- {z} is in the file {other}, by the id of each row; rows without a partner there are left out."
NONE = "- All rows count."
OUT = (
    "Write {out} with lines NAME = VALUE for: intercept; the coefficients, by the name of the column{factor_names}; r2,"
    " the share of the variance of {y} that the model explains (1 - residual sum of squares / sum of squares about the"
    " mean); and predicted, the model's value for {at}. Values are compared to within 0.005."
)
PROGRAM = """\
import csv
rows = list(csv.DictReader(open({given!r})))
names = {names}
joined = {{row["id"]: row for row in csv.DictReader(open({other!r}))}} if {other!r} else {{}}
if {join}:
    rows = [{{**row, **joined[row["id"]]}} for row in rows if row["id"] in joined]
if {drop}:
    rows = [row for row in rows if float(row[{x!r}]) >= 0]
def vector(row):
    return [1.0] + [float(row[n]) if n in row else float(row[{factor!r}] == n) for n in names]
a = [vector(row) for row in rows]
y = [float(row[{y!r}]) for row in rows]
k = len(names) + 1
m = [[sum(r[i] * r[j] for r in a) + ({penalty} if i == j and i else 0) for j in range(k)] for i in range(k)]
for i in range(k):
    m[i].append(sum(r[i] * v for r, v in zip(a, y)))
for i in range(k):
    p = max(range(i, k), key=lambda r: abs(m[r][i]))
    m[i], m[p] = m[p], m[i]
    m[i] = [v / m[i][i] for v in m[i]]
    for r in range(k):
        if r != i:
            m[r] = [v - m[r][i] * w for v, w in zip(m[r], m[i])]
b = [row[-1] for row in m]
mean = sum(y) / len(y)
left = sum((v - sum(c * x for c, x in zip(b, r))) ** 2 for r, v in zip(a, y))
for n, c in zip(["intercept"] + names, b):
    print(n, "=", round(c, 6))
print("r2 =", round(1 - left / sum((v - mean) ** 2 for v in y), 6))
print("predicted =", round(sum(c * x for c, x in zip(b, vector({at}))), 6))
"""


@dataclass(frozen=True, slots=True)
class Data:
    """Rows by id, what is elsewhere, and the words of the factor; the last one is the base."""

    rows: Sequence[Mapping[str, str]]
    other: Mapping[str, str]
    words: Sequence[str]


def generate(rng: Random, level: int) -> Draft:
    """One data set with its model."""
    y, x, x2, z = rng.sample(("load", "age", "width", "speed", "depth", "cost", "mass", "score"), 4)
    factor, folder = rng.choice(("kind", "colour", "grade")), f"/app/{rng.choice(PLACES)}"
    given, other = f"{folder}/{rng.choice(TOPICS)}.csv", f"{folder}/extra.csv" if level > 3 else ""
    data = _data(rng, level, y, x, x2, z, factor)
    words, penalty = list(data.words[:-1]) if level > 1 else [], rng.randint(2, 6) * 5 if level > 4 else 0
    names = [x, x2, *([z] if level > 3 else []), *words]
    at = {x: "3", x2: "-2.5", z: "1.5", factor: data.words[0]}
    at = {name: value for name, value in at.items() if name in names or (name == factor and level > 1)}
    out = f"/app/{rng.choice(('fit', 'model', 'coefficients'))}.txt"
    wanted = _fit(data, names, y, x, z, factor, level, penalty, at)
    program = PROGRAM.format(
        given=given,
        names=names,
        other=other,
        join=level > 3,
        drop=level > 2,
        x=x,
        y=y,
        factor=factor,
        penalty=penalty,
        at=at,
    )
    rules = [FACTOR.format(factor=factor, base=data.words[-1])] if level > 1 else []
    rules += [DROP.format(x=x)] if level > 2 else []
    rules += [JOIN.format(z=z, other=other)] if level > 3 else []
    terms = " + ".join(f"b({name})" for name in [x, x2, *([z] if level > 3 else []), *([factor] if level > 1 else [])])
    told = OUT.format(
        out=out,
        y=y,
        factor_names=f" or, of {factor}, by the word" if level > 1 else "",
        at=", ".join(f"{name} {value}" for name, value in at.items()),
    )
    wrong = {
        "no-intercept": program.replace("return [1.0]", "return [0.001]"),
        "one-column": program.replace(
            "float(row[n]) if n in row", f"float(row[n]) * (n == {x!r}) + 1e-9 * len(row[n]) if n in row"
        ),
        "first-half": program.replace("a = [vector", "rows = rows[: len(rows) // 2]\na = [vector"),
    }
    found = {name: _oracle(text, given, out) for name, text in wrong.items()}
    found["all-zero"] = (f"for n in intercept {' '.join(names)} r2 predicted; do echo $n = 0; done > {out}\n",)
    found["true-share"] = (*_oracle(program, given, out), f"sed -i 's/^intercept.*/intercept = 0/' {out}\n")
    return Draft(
        instruction=rng.choice(ASKS).format(
            given=given,
            y=y,
            rules="\n".join(rules) or NONE,
            out=told,
            model=MODEL.format(y=y, terms=terms, how=RIDGE.format(penalty=penalty) if penalty else LEAST),
        ),
        checks=tuple(_checks(out, wanted)),
        oracle=_oracle(program, given, out),
        wrong=found,
        files=_files(data, given, other, z),
        limits=Limits(turns=30),
    )


def _checks(out: str, wanted: Mapping[str, float]) -> list[Check]:
    return [
        answer(out, name, value, tolerance=0.005, weight=1 + (name in ("r2", "predicted")))
        for name, value in wanted.items()
    ]


def _data(rng: Random, level: int, y: str, x: str, x2: str, z: str, factor: str) -> Data:
    words = rng.sample(COLOURS, 3)
    slopes, shifts = (
        [rng.uniform(1, 4) * rng.choice((-1, 1)) for _ in range(3)],
        dict(zip(words, (5.0, -7.0, 0.0), strict=True)),
    )
    rows: list[Mapping[str, str]] = []
    other: dict[str, str] = {}
    for number in range(25 + 8 * level):
        values = [round(rng.uniform(0, 9), 2) for _ in range(3)]
        word = words[number % 3] if number < 6 else rng.choice(words)
        result = (
            12
            + sum(s * v for s, v in zip(slopes, values, strict=True))
            + shifts[word] * (level > 1)
            + rng.gauss(0, 0.7)
        )
        broken = level > 2 and number % 9 == 4
        row = {"id": f"r{number:03}", x: str(-values[0] if broken else values[0]), x2: str(values[1]), factor: word}
        rows.append({**row, y: f"{result + 30 * broken:.3f}"})
        if number % 7 != 5:
            other[row["id"]] = str(values[2])
    return Data(rows, other, words)


def _fit(
    data: Data,
    names: Sequence[str],
    y: str,
    x: str,
    z: str,
    factor: str,
    level: int,
    penalty: int,
    at: Mapping[str, str],
) -> dict[str, float]:
    """By orthogonal columns (modified Gram-Schmidt), the penalty as further rows."""
    rows = [{**row, z: data.other.get(row["id"], "")} if level > 3 else dict(row) for row in data.rows]
    rows = [row for row in rows if (level < 4 or row[z]) and (level < 3 or float(row[x]) >= 0)]
    columns = [[1.0] * len(rows), *([_value(row, name, factor) for row in rows] for name in names)]
    right = [float(row[y]) for row in rows]
    for number, column in enumerate(columns):
        column += [penalty**0.5 * (number == extra and extra > 0) for extra in range(len(columns)) if penalty]
    b = _least_squares(columns, right + [0.0] * (len(columns) if penalty else 0))
    wanted = dict(zip(["intercept", *names], b, strict=True))
    fitted = [sum(c * column[i] for c, column in zip(b, columns, strict=True)) for i in range(len(rows))]
    mean = sum(right) / len(right)
    left = sum((u - v) ** 2 for u, v in zip(right, fitted, strict=True))
    wanted["r2"] = 1 - left / sum((v - mean) ** 2 for v in right)
    wanted["predicted"] = b[0] + sum(c * _value(at, name, factor) for c, name in zip(b[1:], names, strict=True))
    return wanted


def _value(row: Mapping[str, str], name: str, factor: str) -> float:
    return float(row[name]) if name in row else float(row[factor] == name)


def _least_squares(columns: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    q: list[list[float]] = []
    r: list[list[float]] = []
    for column in columns:
        rest, mine = list(column), list[float]()
        for base in q:
            mine.append(sum(u * v for u, v in zip(base, rest, strict=True)))
            rest = [v - mine[-1] * u for u, v in zip(base, rest, strict=True)]
        norm = sum(v * v for v in rest) ** 0.5
        q.append([v / norm for v in rest])
        r.append([*mine, norm])
    b = [sum(u * v for u, v in zip(base, right, strict=True)) for base in q]
    for i in reversed(range(len(b))):
        b[i] = (b[i] - sum(r[j][i] * b[j] for j in range(i + 1, len(b)))) / r[i][i]
    return b


def _files(data: Data, given: str, other: str, z: str) -> dict[str, File]:
    header = list(data.rows[0])
    lines = [",".join(header), *(",".join(row[name] for name in header) for row in data.rows), ""]
    files = {given: File.of("\n".join(lines))}
    if other:
        files[other] = File.of("\n".join([f"id,{z}", *(f"{key},{value}" for key, value in data.other.items()), ""]))
    return files


def _oracle(program: str, given: str, out: str) -> tuple[str, ...]:
    return (
        f"head -n 4 {given.rpartition('/')[0]}/*; wc -l {given}\n",
        f"cat > /tmp/fit.py <<'END'\n{program}END\n",
        f"python3 /tmp/fit.py > {out}\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="stats/regression",
    summary="Fit a linear model with factors, exclusions and a penalty, and report it.",
    domain="data_science",
    skills=("regression", "csv"),
    deeper={2: ("feature-engineering",), 3: ("data-cleaning",), 4: ("joins",), 5: ("regularization",)},
    generate=generate,
    requires=("python3",),
)
