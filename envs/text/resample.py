"""Readings of sensors at uneven times become one row per step of time, by rules of filling and of units.

Level 2 has two sensors, level 3 units that change, level 4 gaps that are too long to fill, level 5 readings that were
corrected later and steps that begin off the hour. Lines are out of order and some are doubled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from random import Random

from termgym.checks import report
from termgym.family import Draft, Family
from termgym.lexicon import HOSTS, PLACES
from termgym.task import File, Limits

ASKS = (
    "Turn the readings in {given} into an even series. {form}\n\n{rules}\n\n{out}\n",
    "{given} has readings at uneven times. {form}\n\n{out}\n\n{rules}\n",
    "A chart needs one value for every {step} minutes from {given}. {form}\n\n{rules}\n\n{out}\n",
    "{out}\n\nThe readings are in {given}. {form}\n\n{rules}\n",
)
FORM = (
    "A line is TIME{sep}SENSOR{sep}VALUE{unit}, TIME as YYYY-MM-DDTHH:MM; lines are in no order, and a line that is"
    " there twice counts once."
)
UNIT = " with its unit behind it"
RULES = {
    1: (
        "- There is a row for every {step} minutes from {first} to {last}, both included. A step's value is the mean of"
        " the readings from its time up to but not including the next step's, rounded half up to one decimal."
    ),
    2: "- Each sensor has a column, in alphabetical order.",
    3: "- {big} are converted: 1 {big} is {factor} {small}. All results are in {small}.",
    4: (
        "- A step without readings gets the value of the nearest earlier step of that sensor that has any (as it is"
        " printed), if that is at most {most} steps earlier, else a dash."
    ),
    5: (
        "- A line that ends with a star corrects: of the lines of a sensor at the same time those with a star count"
        " instead of those without."
    ),
}
EMPTY = "- A step without readings has a dash."
OUT = "Write {out}: the header {header}, then the rows, TIME and the values, separated by {sep_name}."
PROGRAM = """\
from datetime import datetime, timedelta
from fractions import Fraction
first, last = (datetime.fromisoformat(t) for t in ({first!r}, {last!r}))
step = timedelta(minutes={step})
cells, plain, stars = {{}}, {{}}, {{}}
for line in sorted(set(open({given!r}))):
    time, sensor, value = line.strip().split({sep!r})
    star = value.endswith("*")
    value = value.rstrip("*")
    number = Fraction(value.rstrip("abcdefghijklmnopqrstuvwxyzV"))
    if value.lstrip("-.0123456789") == {big!r} and {level} > 2:
        number *= {factor}
    (stars if star else plain).setdefault((sensor, datetime.fromisoformat(time)), []).append(number)
sensors = sorted({{s for s, _ in plain}})
for key, numbers in {{**plain, **stars}}.items():
    at = (key[1] - first) // step
    cells.setdefault((key[0], at), []).extend(numbers)
def shown(x):
    tenths = (x * 10 + Fraction(1, 2)).__floor__()
    return "%s%d.%d" % ("-" if tenths < 0 else "", abs(tenths) // 10, abs(tenths) % 10)
print({out_sep!r}.join(["time"] + sensors))
known = {{}}
for n in range((last - first) // step + 1):
    row = [(first + n * step).strftime("%Y-%m-%dT%H:%M")]
    for s in sensors:
        if (s, n) in cells:
            known[s] = (n, shown(sum(cells[s, n]) / len(cells[s, n])))
            row.append(known[s][1])
        else:
            row.append(known[s][1] if {level} > 3 and s in known and n - known[s][0] <= {most} else "-")
    print({out_sep!r}.join(row))
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """One line, its value in the small unit."""

    at: datetime
    sensor: str
    value: Fraction
    star: bool = False
    big: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """The steps that are asked for."""

    first: datetime
    count: int
    step: int
    most: int

    def time(self, number: int) -> datetime:
        """Of a step."""
        return self.first + timedelta(minutes=self.step * number)

    def rows(self, readings: Sequence[Reading], sensors: Sequence[str], level: int) -> list[list[str]]:
        """The table, column by column first."""
        columns = [self._column([one for one in readings if one.sensor == sensor], level) for sensor in sensors]
        return [[f"{self.time(n):%Y-%m-%dT%H:%M}", *(column[n] for column in columns)] for n in range(self.count)]

    def _column(self, mine: Sequence[Reading], level: int) -> list[str]:
        found: list[str] = []
        for n in range(self.count):
            inside = [one for one in mine if self.time(n) <= one.at < self.time(n + 1)]
            corrected = {one.at for one in inside if one.star}
            values = [one.value for one in inside if one.star or one.at not in corrected]
            found.append(_shown(sum(values, Fraction(0)) / len(values)) if values else "")
        if level < 4:
            return [text or "-" for text in found]
        return [
            next((found[k] for k in range(n, max(-1, n - self.most - 1), -1) if found[k]), "-")
            for n in range(self.count)
        ]


def _shown(value: Fraction) -> str:
    tenths = (value * 10 + Fraction(1, 2)).__floor__()
    return f"{'-' if tenths < 0 else ''}{abs(tenths) // 10}.{abs(tenths) % 10}"


def generate(rng: Random, level: int) -> Draft:
    """One file of readings."""
    small, big, factor = rng.choice((("mm", "cm", 10), ("mV", "V", 1000), ("g", "kg", 1000), ("s", "min", 60)))
    step = rng.choice((10, 15, 20, 30))
    off = rng.randint(1, 9) if level > 4 else 0
    first = datetime(rng.randint(2015, 2024), rng.randint(1, 12), rng.randint(1, 27), rng.randint(0, 20), off)
    series = Series(first, rng.randint(8, 10) + 2 * level, step, rng.randint(1, 2))
    sensors = sorted(rng.sample(HOSTS, 1 + (level > 1) + (level > 3)))
    readings = _readings(rng, series, sensors, level)
    folder = f"/app/{rng.choice(PLACES)}"
    given, out = (
        f"{folder}/{rng.choice(('readings', 'raw', 'sensors'))}.txt",
        f"/app/{rng.choice(('even', 'series', 'steps'))}.csv",
    )
    sep, out_sep = rng.choice((" ", ";", "|")), rng.choice((",", ";", "|"))
    last = f"{series.time(series.count - 1):%Y-%m-%dT%H:%M}"
    fields = {
        "given": given,
        "first": f"{first:%Y-%m-%dT%H:%M}",
        "last": last,
        "step": step,
        "most": series.most,
        "big": big,
        "small": small,
        "factor": factor,
        "level": level,
    }
    header = out_sep.join(["time", *sensors])
    rules = [RULES[one].format(**fields) for one in range(1, level + 1)] + ([EMPTY] if level < 4 else [])
    program = PROGRAM.format(**fields, sep=sep, out_sep=out_sep)
    wrong = {
        "doubles-counted": (
            program.replace("sorted(set(open", "list((open")
            .replace("))):\n    time", "))):\n    time")
            .replace("[]).extend", "[]).extend")
        ),
        "nearest-step": program.replace("(key[1] - first) // step", "round((key[1] - first) / step)"),
        "last-step-lost": program.replace("// step + 1)", "// step)"),
        "rounded-down": program.replace("+ Fraction(1, 2))", ")"),
        "units-ignored": program.replace("number *= ", "number *= 0 * "),
        "filled-for-ever": program.replace(f"<= {series.most} else", "<= 999 else"),
        "stars-too": (
            program.replace("{**plain, **stars}.items()", "[*plain.items(), *stars.items()]").replace(
                ".items()]:", ".items()]:"
            )
        ),
    }
    wrong["stars-too"] = wrong["stars-too"].replace("stars.items()].items()", "stars.items()]")
    for name, needed in {"units-ignored": 3, "filled-for-ever": 4, "stars-too": 5}.items():
        if level < needed:
            del wrong[name]
    return Draft(
        instruction=rng.choice(ASKS).format(
            given=given,
            step=step,
            form=FORM.format(sep=sep, unit=UNIT if level > 2 else ""),
            rules="\n".join(rules),
            out=OUT.format(out=out, header=header, sep_name=f'"{out_sep}"'),
        ),
        checks=report(out, "\n".join([header, *(out_sep.join(row) for row in series.rows(readings, sensors, level))])),
        oracle=_oracle(program, given, out),
        wrong={name: _oracle(text, given, out) for name, text in wrong.items()},
        files={given: File.of(_text(rng, readings, sep, level, {"small": small, "big": big}, factor))},
        limits=Limits(turns=30),
    )


def _readings(rng: Random, series: Series, sensors: Sequence[str], level: int) -> list[Reading]:
    """Every sensor has a gap of one step and, from level 4, one that is too long; a half shows how rounding goes."""
    found: list[Reading] = []
    for sensor in sensors:
        gap = rng.randrange(2, 4)
        gaps = {gap} | (set(range(gap + 2, gap + 3 + series.most)) if level > 3 else set[int]())
        for n in range(series.count):
            if n in gaps:
                continue
            base, minutes = rng.randint(100, 900), rng.sample(range(series.step), 2)
            values = (
                [Fraction(base * 10 + 3, 10), Fraction(base * 10 + 4, 10)] if n % 3 == 0 else [Fraction(base + 7, 1)]
            )
            found += [
                Reading(series.time(n) + timedelta(minutes=m), sensor, v, big=level > 2 and rng.random() < 0.4)
                for m, v in zip(minutes, values, strict=False)
            ]
            if level > 4 and n % 4 == 1:
                found.append(Reading(found[-1].at, sensor, found[-1].value + rng.randint(20, 60), star=True))
        last = series.time(series.count - 1) + timedelta(minutes=series.step - 1)
        found.append(Reading(last, sensor, Fraction(rng.randint(100, 900))))
        before = next(one for one in found if one.sensor == sensor)
        found.append(
            Reading(before.at, sensor, before.value + 50)
            if level < 5
            else Reading(before.at, sensor, before.value, star=True)
        )
    return found


def _text(rng: Random, readings: Sequence[Reading], sep: str, level: int, units: Mapping[str, str], factor: int) -> str:
    lines: list[str] = []
    for one in readings:
        value = one.value / factor if one.big else one.value
        text = f"{float(value):.10g}" if (value * 10**6).denominator == 1 else f"{float(one.value):.10g}"
        exact = (value * 10**6).denominator == 1
        unit = (units["big"] if one.big and exact else units["small"]) if level > 2 else ""
        lines.append(sep.join((f"{one.at:%Y-%m-%dT%H:%M}", one.sensor, f"{text}{unit}{'*' * one.star}")) + "\n")
    lines = [*dict.fromkeys(lines)]
    lines += rng.sample(lines, len(lines) // 2)
    rng.shuffle(lines)
    return "".join(lines)


def _oracle(program: str, given: str, out: str) -> tuple[str, ...]:
    return (
        f"head -n 5 {given}; sort {given} | uniq -d | wc -l\n",
        f"cat > /tmp/even.py <<'END'\n{program}END\n",
        f"python3 /tmp/even.py > {out}\n",
        f"head -n 8 {out}\n",
    )


FAMILY = Family(
    name="text/resample",
    summary="Turn uneven readings of sensors into an even series, by rules of filling, units and corrections.",
    domain="data_processing",
    skills=("time-series", "deduplication"),
    deeper={2: ("pivoting",), 3: ("units",), 5: ("data-cleaning",)},
    generate=generate,
    requires=("python3",),
)
