"""A table of measurements with gaps and outliers, to be summed up group by group, by rules that are written out.

Level 2 has words for missing values, level 3 an outlier rule by quartiles, level 4 a second key to group by and groups
too small to count, level 5 weights. The quantile is defined in the instruction, for programs differ about it.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import mean

from termgym.checks import report
from termgym.family import Draft, Family
from termgym.lexicon import COLOURS, PLACES, TOPICS, TOWNS
from termgym.task import File, Limits

ASKS = (
    "Sum up {given} by {keys}. {form}\n\n{rules}\n\n{out}\n",
    "{given} is a CSV file of measurements. {form} A summary is needed.\n\n{out}\n\n{rules}\n",
    "Please make a table of the values in {given}, one row per {keys}. {form}\n\n{rules}\n\n{out}\n",
    "{out}\n\nIt sums up {given}. {form}\n\n{rules}\n",
)
FORM = "It has a header; the measured values are in the column {value}{weight}."
WEIGHT = ", and each row's weight in the column weight"
RULES = {
    1: "- A row whose value is empty does not count.",
    2: "- A row whose value is empty, or one of the words {words}, does not count.",
    3: (
        "- Outliers do not count either: values below Q1 - 1.5 (Q3 - Q1) or above Q3 + 1.5 (Q3 - Q1) of their group."
        " The quantile p of n sorted values x[0]..x[n-1] is x[k] + f (x[k+1] - x[k]), where k and f are the whole and"
        " the fractional part of p (n - 1)."
    ),
    4: "- Groups of which fewer than {least} rows count, after all that, are left out.",
    5: "- The mean is weighted: the sum of weight times value, divided by the sum of the weights.",
}
OUT = (
    "Write {out}: the header {header}, then one line per group, sorted by {order} (plain byte order), without quotes. n"
    " is how many rows count, median is by the same rule as quantiles (the middle one, or the mean of both). Numbers"
    " but n have exactly two decimals, rounded half to even by the value as a double (as printf does)."
)
PROGRAM = """\
import csv
groups = {{}}
for row in csv.DictReader(open({given!r})):
    if row[{value!r}] in {missing}:
        continue
    key = tuple(row[k] for k in {keys})
    groups.setdefault(key, []).append((float(row[{value!r}]), float(row.get("weight", 1))))
def quantile(x, p):
    x = sorted(x)
    k, f = divmod(p * (len(x) - 1), 1)
    k = int(k)
    return x[k] + f * (x[min(k + 1, len(x) - 1)] - x[k])
print({sep!r}.join([*{keys}, "n", "mean", "median", "max"]))
for key in sorted(groups):
    rows = groups[key]
    if {outliers}:
        q1, q3 = (quantile([v for v, w in rows], p) for p in (0.25, 0.75))
        rows = [(v, w) for v, w in rows if q1 - 1.5 * (q3 - q1) <= v <= q3 + 1.5 * (q3 - q1)]
    if len(rows) < {least}:
        continue
    x, total = [v for v, w in rows], sum(w for v, w in rows)
    numbers = [sum(v * w for v, w in rows) / total, quantile(x, 0.5), max(x)]
    print({sep!r}.join([*key, str(len(x)), *("%.2f" % one for one in numbers)]))
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement."""

    key: tuple[str, ...]
    value: float | None
    weight: int
    missing: str = ""


def generate(rng: Random, level: int) -> Draft:
    """One table."""
    keys = ["town", "colour"] if level > 3 else [rng.choice(("town", "colour"))]
    value, words = (
        rng.choice(("load", "height", "yield", "delay", "price")),
        rng.sample(("NA", "n/a", "-", "null", "?"), 2),
    )
    least = rng.randint(3, 4) if level > 3 else 1
    rows = _rows(rng, level, keys, words if level > 1 else [])
    given, out = (
        f"/app/{rng.choice(PLACES)}/{rng.choice(TOPICS)}.csv",
        f"/app/{rng.choice(('summary', 'groups', 'table'))}.txt",
    )
    sep = rng.choice((",", ";", "|"))
    missing = ["", *(words if level > 1 else [])]
    program = PROGRAM.format(
        given=given, value=value, missing=missing, keys=keys, sep=sep, outliers=level > 2, least=least
    )
    rules = "\n".join(
        RULES[one].format(words=" and ".join(words), least=least) for one in range(1 + (level > 1), level + 1)
    )
    header = sep.join((*keys, "n", "mean", "median", "max"))
    wrong = {
        "missing-as-zero": program.replace("        continue\n    key", f"        row[{value!r}] = 0\n    key"),
        "outliers-kept": program.replace("if True:", "if False:"),
        "median-for-mean": program.replace(
            "numbers = [sum(v * w for v, w in rows) / total", "numbers = [quantile(x, 0.5)"
        ),
        "three-decimals": program.replace("%.2f", "%.3f"),
        "first-rows": program.replace("if len(rows) <", "rows = rows[:3]\n    if len(rows) <"),
        "half": program.replace("sorted(groups)", "sorted(groups)[:-2]"),
    }
    del wrong["missing-as-zero" if level > 2 else "outliers-kept"]
    return Draft(
        instruction=rng.choice(ASKS).format(
            given=given,
            keys=" and ".join(keys),
            form=FORM.format(value=value, weight=WEIGHT if level > 4 else ""),
            rules=rules,
            out=OUT.format(out=out, header=header, order=", then ".join(keys)),
        ),
        checks=report(out, "\n".join([header, *_lines(rows, level, least, sep)])),
        oracle=_oracle(program, given, out),
        wrong={name: _oracle(text, given, out) for name, text in wrong.items()},
        files={given: File.of(_csv(rng, rows, keys, value, level))},
        limits=Limits(turns=30),
    )


def _rows(rng: Random, level: int, keys: Sequence[str], words: Sequence[str]) -> list[Row]:
    """Every group has a gap and, from level 3, an outlier; from level 4 one group is too small."""
    first = rng.sample(TOWNS, 3 + level)
    names = (
        [(town, colour) for town in first[:4] for colour in rng.sample(COLOURS, 2)]
        if len(keys) > 1
        else [(name,) for name in (first if keys == ["town"] else rng.sample(COLOURS, 3 + level))]
    )
    rows: list[Row] = []
    for number, key in enumerate(names):
        middle = rng.uniform(20, 300)
        size = 2 if level > 3 and number == 1 else rng.randint(7, 9 + level)
        values = [round(rng.gauss(middle, 5), rng.choice((1, 2))) for _ in range(size)]
        values += [round(middle + 90, 1)] if level > 2 and size > 2 else []
        rows += [Row(key, one, rng.randint(1, 9)) for one in values]
        rows += [Row(key, None, 3, word) for word in ["", *words]]
    rng.shuffle(rows)
    return rows


def _csv(rng: Random, rows: Sequence[Row], keys: Sequence[str], value: str, level: int) -> str:
    columns = [*keys, value, *(["weight"] if level > 4 else []), "remark"]
    order = rng.sample(columns, len(columns))
    out = io.StringIO()
    writer = csv.DictWriter(out, order, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        fields = dict(zip(keys, row.key, strict=True))
        fields |= {value: row.missing if row.value is None else str(row.value), "weight": str(row.weight)}
        fields["remark"] = rng.choice(("", "ok", "checked, twice", 'by "hand"'))
        writer.writerow({name: fields[name] for name in order})
    return out.getvalue()


def _lines(rows: Sequence[Row], level: int, least: int, sep: str) -> list[str]:
    lines: list[str] = []
    for key in sorted({row.key for row in rows}):
        mine = [(row.value, row.weight if level > 4 else 1) for row in rows if row.key == key and row.value is not None]
        values = sorted(value for value, _ in mine)
        if level > 2:
            low, high = _quantile(values, 0.25), _quantile(values, 0.75)
            fence = 1.5 * (high - low)
            mine = [(value, weight) for value, weight in mine if low - fence <= value <= high + fence]
        if len(mine) < least:
            continue
        values = sorted(value for value, _ in mine)
        total = sum(value * weight for value, weight in mine) / sum(weight for _, weight in mine)
        middle = mean(values[(len(values) - 1) // 2 : len(values) // 2 + 1])
        lines.append(sep.join([*key, str(len(mine)), f"{total:.2f}", f"{middle:.2f}", f"{values[-1]:.2f}"]))
    return lines


def _quantile(values: Sequence[float], p: float) -> float:
    at = p * (len(values) - 1)
    k = int(at)
    return values[k] + (at - k) * (values[min(k + 1, len(values) - 1)] - values[k])


def _oracle(program: str, given: str, out: str) -> tuple[str, ...]:
    return (
        f"head -n 5 {given}; wc -l {given}\n",
        f"cut -d, -f1-4 {given} | grep -v '[0-9]' | sort | uniq -c | head\n",
        f"cat > /tmp/sum.py <<'END'\n{program}END\n",
        f"python3 /tmp/sum.py > {out}\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="stats/grouped-summary",
    summary="Sum up measurements by groups, with gaps, outliers and weights handled by stated rules.",
    domain="data_science",
    skills=("csv", "aggregation", "statistics"),
    deeper={2: ("data-cleaning",), 3: ("anomaly-detection",), 4: ("validation",)},
    generate=generate,
    requires=("python3",),
)
