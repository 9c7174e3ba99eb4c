"""A messy table becomes a clean one: blanks, dates, numbers and keys by rules, bad rows into a file of their own.

Each level has one more rule: dates in several notations, numbers with marks, keys that are there twice, and rows that
point to no other row. What is wrong with a rejected row is told by the first rule that it breaks.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from termgym.checks import Check, report
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, PLACES, TOPICS, people
from termgym.task import File, Limits

ASKS = (
    "Clean up {given}.\n\n{rules}\n\n{out}\n",
    "{given} was typed by many hands. Make it fit for import.\n\n{rules}\n\n{out}\n",
    "{out}\n\nThat is to be made of {given}, by these rules.\n\n{rules}\n",
    "Please prepare {given} for the database: clean rows to one file, the others to another.\n\n{rules}\n\n{out}\n",
)
HEAD = (
    'It is a CSV file, separated by {sep}, quoted where needed by " (doubled within). Columns: id, name, since,'
    " amount{boss}. Blanks around any value, and runs of blanks within a name, do not count: one blank stays of a run."
)
RULES = {
    1: "- id is a number of digits only, name is not empty; else the reason is id or name.",
    2: (
        "- since is YYYY-MM-DD, DD.MM.YYYY or DD/MM/YYYY and becomes YYYY-MM-DD; a day that does not exist, or another"
        " notation, is the reason since."
    ),
    3: (
        "- amount is a number with at most two decimals, with a point or a comma before them; ' or a blank may stand"
        " between thousands. It becomes a number with a point and two decimals; else the reason is amount."
    ),
    4: (
        "- Of good rows with the same id (as a number) the last one in the file counts; each earlier one has the reason"
        " double."
    ),
    5: (
        "- boss is empty, or the id of a row that is clean after all other rules; else the reason is boss. Rows whose"
        " boss is rejected for that are not looked at again."
    ),
}
OUT = (
    "Write {clean}: the header, then the clean rows, sorted by id as a number, ids without leading zeros, separated by"
    " {sep} and without quotes (no clean value needs any). Write {bad}: a line for each other row in the order of the"
    " file, its number and the reason, separated by a blank; the first row after the header is 1. Rules are tried in"
    " the order above."
)
PROGRAM = """\
import csv, datetime, re
level = {level}
rows = list(csv.reader(open({given!r}, newline=""), delimiter={sep!r}))
head, rows = rows[0], rows[1:]
bad, good = {{}}, {{}}
for n, row in enumerate(rows, 1):
    row = [" ".join(v.split()) for v in row]
    if not re.fullmatch(r"[0-9]+", row[0]):
        bad[n] = "id"
        continue
    if not row[1]:
        bad[n] = "name"
        continue
    if level > 1:
        m = re.fullmatch(r"(\\d{{4}})-(\\d\\d)-(\\d\\d)|(\\d\\d)([./])(\\d\\d)\\5(\\d{{4}})", row[2])
        try:
            row[2] = str(datetime.date(*map(int, m.group(1, 2, 3) if m[1] else m.group(7, 6, 4))))
        except (TypeError, ValueError, AttributeError):
            bad[n] = "since"
            continue
    if level > 2:
        m = re.fullmatch(r"(-?)(\\d+|\\d{{1,3}}(?:[' ]\\d{{3}})+)(?:[.,](\\d{{1,2}}))?", row[3])
        if not m:
            bad[n] = "amount"
            continue
        row[3] = m[1] + str(int(re.sub("[' ]", "", m[2]))) + "." + (m[3] or "").ljust(2, "0")
    row[0] = str(int(row[0]))
    good[n] = row
if level > 3:
    last = {{row[0]: n for n, row in good.items()}}
    for n in list(good):
        if last[good[n][0]] != n:
            bad[n] = "double"
            del good[n]
if level > 4:
    ids = {{row[0] for row in good.values()}}
    for n in list(good):
        if good[n][4] and (not good[n][4].isdigit() or str(int(good[n][4])) not in ids):
            bad[n] = "boss"
            del good[n]
        elif good[n][4]:
            good[n][4] = str(int(good[n][4]))
with open({clean!r}, "w") as f:
    for row in [head] + sorted(good.values(), key=lambda r: int(r[0])):
        f.write({sep!r}.join(row) + "\\n")
with open({bad!r}, "w") as f:
    for n in sorted(bad):
        f.write("%d %s\\n" % (n, bad[n]))
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is written, as it is clean, and why it is not."""

    written: tuple[str, ...]
    clean: tuple[str, ...]
    reason: str = ""


def generate(rng: Random, level: int) -> Draft:
    """One table."""
    sep = rng.choice((";", "|", "\t"))
    name = "a tab" if sep == "\t" else f'"{sep}"'
    folder = f"/app/{rng.choice(PLACES)}"
    given = f"{folder}/{rng.choice(TOPICS)}.csv"
    clean, bad = (
        f"/app/{rng.choice(('clean', 'good', 'import'))}.csv",
        f"/app/{rng.choice(('rejected', 'bad', 'errors'))}.txt",
    )
    head = ["id", "name", "since", "amount", *(["boss"] if level > 4 else [])]
    rows = _rows(rng, level)
    program = PROGRAM.format(level=level, given=given, sep=sep, clean=clean, bad=bad)
    good = sorted((row.clean for row in rows if not row.reason), key=lambda clean: int(clean[0]))
    lines = [sep.join(line) for line in [tuple(head), *good]]
    rejected = [f"{number} {row.reason}" for number, row in enumerate(rows, 1) if row.reason]
    rules = [HEAD.format(sep=name, boss=", boss" if level > 4 else ""), *(RULES[one] for one in range(1, level + 1))]
    rules += ["- The other columns stay as they are, but for blanks."] if level < 3 else []
    wrong = {
        "by-lines": (
            program.replace(
                "csv.reader(open(" + repr(given) + ', newline=""), delimiter=' + repr(sep) + ")",
                f"[l.rstrip(chr(10)).split({sep!r}) for l in open({given!r})]",
            ).replace("[0] + sorted", "[0] + sorted")
        ),
        "sorted-as-text": program.replace("key=lambda r: int(r[0])", "key=lambda r: r[0]"),
        "rejected-twice-numbered": program.replace("enumerate(rows, 1)", "enumerate(rows, 2)"),
        "blanks-kept": program.replace('" ".join(v.split())', "v.strip()"),
        "first-of-doubles": program.replace(
            "{row[0]: n for n, row in good.items()}", "{row[0]: n for n, row in reversed(good.items())}"
        ),
    }
    if level < 4:
        del wrong["first-of-doubles"]
    return Draft(
        instruction=rng.choice(ASKS).format(
            given=given, rules="\n".join(rules), out=OUT.format(clean=clean, bad=bad, sep=name)
        ),
        checks=(
            *(Check(f"clean-{check.name}", check.script, check.weight) for check in report(clean, "\n".join(lines))),
            *(Check(f"bad-{check.name}", check.script, check.weight) for check in report(bad, "\n".join(rejected))),
        ),
        oracle=_oracle(program, given, clean, bad),
        wrong={name: _oracle(text, given, clean, bad) for name, text in wrong.items()},
        files={given: File.of(_csv(head, rows, sep))},
        limits=Limits(turns=30),
    )


def _csv(head: Sequence[str], rows: Sequence[Row], sep: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=sep, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(row.written[: len(head)] for row in rows)
    return out.getvalue()


def _rows(rng: Random, level: int) -> list[Row]:
    """Good rows written in every way, and for each rule rows that break it."""
    names, ids = people(rng, 14 + 2 * level), rng.sample(range(2, 130), 14 + 2 * level)
    rows = [_row(rng, number, name, level, n) for n, (number, name) in enumerate(zip(ids, names, strict=True))]
    broken: list[Row] = []
    for n, reason in enumerate([*("id", "name", "since", "amount")[: min(level, 3) + 1], "id"]):
        good = rows[n]
        written = list(good.written)
        at = ("id", "name", "since", "amount").index(reason)
        written[at] = {
            "id": rng.choice(("x12", "1.5", "")),
            "name": "  ",
            "since": rng.choice(("30.02.2021", "2021-13-01", "1/2/2020")),
            "amount": rng.choice(("12.345", "1'00", "ten", "1,000.5")),
        }[reason]
        kept = reason == "since" and level < 2
        broken.append(Row(tuple(written), (), reason) if not kept else good)
    broken = [
        row
        for row in broken
        if row.reason and (row.reason != "amount" or level > 2) and (row.reason != "since" or level > 1)
    ]
    rows += broken
    rng.shuffle(rows)
    if level > 3:
        rows = _doubled(rng, rows)
    return _bossed(rng, rows) if level > 4 else rows


def _row(rng: Random, number: int, name: str, level: int, n: int) -> Row:
    day = date(rng.randint(2001, 2023), 1, 1) + timedelta(days=rng.randrange(365))
    since = f"{day:%Y-%m-%d}"
    shown = (since, f"{day:%d.%m.%Y}", f"{day:%d/%m/%Y}")[n % 3] if level > 1 else since
    cents = rng.randint(100_000, 9_999_999)
    whole, rest = divmod(cents, 100)
    mark = ("'", " ", "")[n % 3]
    thousands = f"{whole:,}".replace(",", mark)
    amount, written = f"{whole}.{rest:02}", f"{thousands}{',.'[n % 2]}{rest:02}"
    if level < 3:
        written = amount
    spaced = name.replace(" ", "  ") if n % 2 else f" {name} "
    label = f'{spaced} "{rng.choice(ITEMS)}"' if n % 4 == 3 else spaced
    return Row(
        (f"{number:0{rng.randint(1, 4)}}", label, f" {shown}", written, ""),
        (str(number), " ".join(label.split()), since, amount),
    )


def _doubled(rng: Random, rows: list[Row]) -> list[Row]:
    """Two good rows get a later one with the same id, written otherwise."""
    for place in reversed([n for n, row in enumerate(rows) if not row.reason][:2]):  # what is put in moves later ones
        row = rows[place]
        later = Row(
            (row.clean[0].zfill(5), f"{row.clean[1]} II", *row.written[2:]),
            (row.clean[0], f"{row.clean[1]} II", *row.clean[2:]),
        )
        rows[place] = Row(row.written, (), "double")
        rows.insert(rng.randrange(place + 1, len(rows) + 1), later)
    return rows


def _bossed(rng: Random, rows: list[Row]) -> list[Row]:
    good = [row for row in rows if not row.reason]
    ids = [row.clean[0] for row in good]
    found: list[Row] = []
    for row in rows:
        boss, place = "", good.index(row) if row in good else -1
        if place >= 0 and place % 3 == 1:
            boss = rng.choice(ids)
        lost = place in (2, 5)
        written = (*row.written[:4], "999" if lost else boss.zfill(3) if boss else "")
        found.append(
            Row(written, (), "boss") if lost else Row(written, (*row.clean, boss) if row.clean else (), row.reason)
        )
    return found


def _oracle(program: str, given: str, clean: str, bad: str) -> tuple[str, ...]:
    return (
        f"head -n 8 {given}; wc -l {given}\n",
        f"cat > /tmp/clean.py <<'END'\n{program}END\n",
        "python3 /tmp/clean.py\n",
        f"head -n 5 {clean} {bad}\n",
    )


FAMILY = Family(
    name="text/clean-csv",
    summary="Clean a messy table by rules, and reject the rows that break them, with the reason.",
    domain="data_processing",
    skills=("csv", "data-cleaning"),
    deeper={2: ("dates",), 3: ("normalization",), 4: ("deduplication",), 5: ("validation",)},
    generate=generate,
    requires=("python3",),
    version=2,
)
