"""A file of binary records took damage: recover, by a stated rule, all records that are still right.

Byte order, layout, checksum and names change with the seed. Level 1 has bytes that were changed; level 2 records of
several lengths, wrong lengths and an end that is cut off; level 3 bytes too many or too few, and a list of what is
missing; level 4 records sent twice and out of order, with the mark of a record in their texts; level 5 a second file,
of the other byte order and with other damage, to fill the gaps from.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, PLACES, SERVICES, root
from termgym.task import Check, File, Limits

from ._records import MARKS, SUMS, Form, Record, damaged, scan

NUMBERS = {"B": "1 byte", "H": "2 bytes", "I": "4 bytes"}

OPENINGS = (
    "A disk went bad under {data}, a file of binary records. Save what can be saved.",
    "{data} holds records of measurements in binary form, and took some damage. Please recover what is still right.",
    "Ticket: the reader of {data} gives up at the first bad record. We need all good ones, and a note of what is lost.",
    "Recovery of binary records. Input: {data}, damaged in places nobody knows.",
)
LAYOUT = """\
A record is, with nothing between its parts, integers {order} and unsigned:
- the mark, the {marks} ASCII characters {mark}
{head}- the payload: station (2 bytes), time (4 bytes, Unix time), value (4 bytes, but signed, in hundredths){label}
- the checksum ({size}) over {covers}: {sum}"""
LABEL = ", and a text, ASCII, which takes up the rest of it"
RULE = (
    "A record is at a position of the file if the mark is there, all of it lies within the file, and its checksum is "
    "right. Start at position 0. Where there is a record, take it and go on right behind it; where there is none, go "
    "on one byte further. Bytes that are part of no record so taken are lost."
)
TWICE = "Of records with the same number, only the first one taken counts; the others are not lost bytes either."
MIRROR = (
    "{mirror} holds the same kind of records, its integers {other}; the rule is the same for it. Take from it the "
    "records whose numbers {data} does not give, and no others. Lost bytes are those of {data} alone."
)
OUT = """\
Write {csv}: the line {header}, then a line for each record{sorted}, comma-separated, with its number, station, time \
{time}, value with two decimals{text}."""
NOTE = """\
Write {note} with these lines:
records=<how many records {csv} has>
lost=<number of lost bytes>{missing}"""
MISSING = """
missing=<the numbers that no record has, of those between the smallest and the largest that some record has: in \
ascending order, with commas; nothing if there are none>"""
KEEP = ("The input stays as it is.", "Do not change the input.")

READ = "plain {path} 1000000 || exit 1\ngot=$(tr -d '\\r' < {path}) want=$(cat expected/{name})\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one task asks, and of which files."""

    level: int
    form: Form
    data: str
    mirror: str
    csv: str
    note: str
    iso: bool


def generate(rng: Random, level: int) -> Draft:
    """One damaged file, or two; drawn again if chance made a record of what should not be one."""
    plan = _plan(rng, level)
    other = replace(plan.form, order="<" if plan.form.order == ">" else ">")
    records, twice = _records(rng, plan), (0, 0, 0, 0, 4, 6)[level]
    sent = [*records, *(record._replace(value=record.value + 1) for record in rng.sample(records, twice))]
    if level > 3:
        sent = sorted(sent, key=lambda record: record.number // 7 * 7 + rng.randrange(20))
    while True:
        data, found = damaged(rng, level, plan.form, sent)
        mirror, spare = damaged(rng, level, other, [r._replace(value=r.value - 7) for r in records])
        twins = len(found) - len({record.number for record in found})
        if scan(plan.form, data) == found and scan(other, mirror) == spare and bool(twins) == (level > 3):
            break
    lost = len(data) - sum(len(plan.form.write(record)) for record in found)
    kept: dict[int, Record] = {}
    for record in found + (spare if level > 4 else []):
        kept.setdefault(record.number, record)
    rows = sorted(kept.values()) if level > 3 else found
    return Draft(
        instruction=_instruction(rng, plan),
        checks=tuple(_checks(plan)),
        oracle=_oracle(plan),
        wrong=_wrong(plan),
        files={plan.data: File(data)} | ({plan.mirror: File(mirror)} if level > 4 else {}),
        tests={"expected/records": File.of(_csv(plan, rows)), "expected/note": File.of(_note(plan, rows, lost))},
        limits=Limits(turns=40),
    )


def _plan(rng: Random, level: int) -> Plan:
    folder, out = root(rng, rng.choice(SERVICES)), rng.choice(("/app/out", "/app/recovered", "/app/saved"))
    name = rng.choice(PLACES)
    return Plan(
        level=level,
        form=Form(
            order=rng.choice("<>"),
            mark=rng.choice(MARKS),
            number_first=rng.random() < 0.5,
            length=rng.choice("BH"),
            sum=rng.choice(SUMS),
            all_covered=rng.random() < 0.5,
        ),
        data=f"{folder}/spool/{name}.{rng.choice(('rec', 'bin', 'dat'))}",
        mirror=f"{folder}/mirror/{name}.copy",
        csv=f"{out}/{rng.choice(('records', 'measurements', 'good'))}.csv",
        note=f"{out}/{rng.choice(('note', 'summary', 'losses'))}.txt",
        iso=level > 2 and rng.random() < 0.6,
    )


def _records(rng: Random, plan: Plan) -> list[Record]:
    start, at, mark = rng.randint(100, 60_000), rng.randint(1_500_000_000, 1_750_000_000), plan.form.mark.decode()
    records: list[Record] = []
    for number in range((0, 14, 24, 40, 60, 80)[plan.level]):
        at += rng.randint(1, 4000)
        words = [rng.choice(ITEMS), str(rng.randint(1, 99)), *([mark] if rng.random() < 0.4 and plan.level > 3 else [])]
        text = " ".join(rng.sample(words, len(words))) if plan.level > 1 else ""
        value = rng.randint(1, 90_000) * (-1 if number % 3 else 1)
        records.append(Record(start + number, rng.randint(1, 40) * 1000 + number, at, value, text))
    return records


def _csv(plan: Plan, rows: list[Record]) -> str:
    lines = [_header(plan)]
    for row in rows:
        time = f"{datetime.fromtimestamp(row.time, UTC):%Y-%m-%dT%H:%M:%SZ}" if plan.iso else str(row.time)
        value = f"{'-' if row.value < 0 else ''}{abs(row.value) // 100}.{abs(row.value) % 100:02}"
        lines.append(",".join([str(row.number), str(row.station), time, value, *([row.text] if row.text else [])]))
    return "".join(f"{line}\n" for line in lines)


def _header(plan: Plan) -> str:
    return "number,station,time,value" + (",text" if plan.level > 1 else "")


def _note(plan: Plan, rows: list[Record], lost: int) -> str:
    numbers = sorted(row.number for row in rows)
    missing = ",".join(str(n) for n in range(numbers[0], numbers[-1]) if n not in numbers)
    return f"records={len(rows)}\nlost={lost}\n" + (f"missing={missing}\n" if plan.level > 2 else "")


def _instruction(rng: Random, plan: Plan) -> str:
    form, level = plan.form, plan.level
    orders = {"<": "little-endian", ">": "big-endian"}
    heads = ["- its number (4 bytes)\n", f"- the length of the payload in bytes ({NUMBERS[form.length]})\n"]
    parts = [
        rng.choice(OPENINGS),
        LAYOUT,
        RULE + (f" {TWICE}" if level > 3 else ""),
        *([MIRROR] if level > 4 else []),
        OUT,
        NOTE,
        rng.choice(KEEP),
    ]
    return "\n\n".join(parts).format(
        data=plan.data, mirror=plan.mirror, csv=plan.csv, note=plan.note, order=orders[form.order],
        other="little-endian" if form.order == ">" else "big-endian", mark=form.mark.decode(), marks=len(form.mark),
        head="".join(heads if form.number_first else heads[::-1]), label=LABEL if level > 1 else "",
        size=NUMBERS[form.sum.size], sum=form.sum.words,
        covers="all between the mark and itself" if form.all_covered else "the payload",
        header=_header(plan), sorted=", in the order of their numbers" if level > 3 else " in the order of the file",
        time="as YYYY-MM-DDTHH:MM:SSZ in UTC" if plan.iso else "as the number of seconds",
        text=" (a full stop before them), and its text" if level > 1 else " (a full stop before them)",
        missing=MISSING if level > 2 else "",
    ) + "\n"  # fmt: skip


def _checks(plan: Plan) -> Iterator[Check]:
    read = PLAIN + READ.format(path=plan.csv, name="records")
    count = 'grep -c . <<<"$'
    yield Check("count", f'{read}[ "$({count}got")" = "$({count}want")" ]\n')
    yield Check("first", f'{read}[ "$(head -n 6 <<<"$got")" = "$(head -n 6 <<<"$want")" ]\n')
    yield Check("records", f'{read}[ "$got" = "$want" ]\n', 3)
    read = PLAIN + READ.format(path=plan.note, name="note")
    for key in ("lost", "missing")[: 2 if plan.level > 2 else 1]:
        yield Check(key, f'{read}[ "$(grep "^{key}=" <<<"$got")" = "$(grep "^{key}=" <<<"$want")" ]\n')
    yield Check("note", f'{read}[ "$got" = "$want" ]\n')


SCRIPT = """\
cat > /tmp/scan.py << 'EOF'
import binascii, datetime, struct, zlib
def scan(path, order):
    data, at, lost = open(path, 'rb').read(), 0, 0
    while at < len(data):
        try:
            assert data[at:at + {marks}] == {mark!r}
            {names} = struct.unpack_from(order + {head!r}, data, at + {marks})
            begin = at + {marks} + {size}
            x = data[{covers}:begin + length]
            (check,) = struct.unpack_from(order + {sum!r}, data, begin + length)
            assert {python} == check
            yield (number, *struct.unpack_from(order + 'HIi', data, begin), data[begin + 10:begin + length].decode())
            at = begin + length + struct.calcsize(order + {sum!r})
        except (AssertionError, struct.error):
            at += 1
            lost += 1
    yield lost
EOF
"""
MERGE = """\
cat > /tmp/save.py << 'EOF'
import sys
sys.path.insert(0, '/tmp')
from scan import *
*rows, lost = scan({data!r}, {order!r})
{merge}
with open({csv!r}, 'w') as out:
    print({header!r}, file=out)
    for n, s, t, v, text in rows:
        t = datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ') if {iso} else t
        print(n, s, t, '%.2f' % (v / 100), *[text][:{text}], sep=',', file=out)
have = {{row[0] for row in rows}}
with open({note!r}, 'w') as out:
    print(f'records={{len(rows)}}', f'lost={{lost}}', sep='\\n', file=out)
    gaps = ','.join(str(n) for n in range(min(have), max(have)) if n not in have)
    {missing}
EOF
"""
FIRST = "rows = sorted({{row[0]: row for row in reversed(rows)}}.values())"
BOTH = (
    "*more, _ = scan({mirror!r}, {other!r})\nrows = sorted({{row[0]: row for row in reversed(rows + more)}}.values())"
)


def _oracle(plan: Plan) -> tuple[str, ...]:
    """A look at the bytes, a scanner, and what is made of what it finds."""
    form, level, folder = plan.form, plan.level, plan.csv.rpartition("/")[0]
    other = "<" if form.order == ">" else ">"
    merge = ("", "", "", "", FIRST.format(), BOTH.format(mirror=plan.mirror, other=other))[level]
    return (
        f"ls -l {plan.data}; od -A d -t x1z {plan.data} | head -n 12\n",
        *([f"ls -l {plan.mirror}; od -A d -t x1z {plan.mirror} | head -n 6\n"] if level > 4 else []),
        *([f"grep -abo '{form.mark.decode()}' {plan.data} | wc -l\n"] if level > 1 else []),
        SCRIPT.format(
            marks=len(form.mark), mark=form.mark, names="number, length" if form.number_first else "length, number",
            head=form.head[1:], size=struct.calcsize(form.head), sum=form.sum.size, python=form.sum.python,
            covers=f"at + {len(form.mark)}" if form.all_covered else "begin",
        ),
        *([f"cd /tmp; python3 -c 'from scan import *; print(*scan(\"{plan.data}\", \"{form.order}\"))' | tail -c 300\n"]
          if level > 2 else []),
        MERGE.format(
            data=plan.data, order=form.order, merge=merge, csv=plan.csv, header=_header(plan), iso=plan.iso,
            text=int(level > 1), note=plan.note, missing="print('missing=' + gaps, file=out)" if level > 2 else "pass",
        ),
        f"mkdir -p {folder} && python3 /tmp/save.py\n",
        f"head -n 8 {plan.csv}; cat {plan.note}\n",
    )  # fmt: skip


def _wrong(plan: Plan) -> dict[str, tuple[str, ...]]:
    oracle, folder = _oracle(plan), plan.csv.rpartition("/")[0]
    mistakes = {
        "gave-up-at-the-first": ("at += 1\n", "return (yield 0)\n"),
        "believed-the-checksums": ("== check\n", "is not None\n"),
        "unsigned": ("'HIi'", "'HII'"),
        "other-byte-order": (f"scan({plan.data!r}, {plan.form.order!r})", f"scan({plan.data!r}, '=')"),
    }
    if plan.form.order == "<":
        del mistakes["other-byte-order"]
    if plan.level > 3:
        mistakes["last-one-wins"] = ("reversed(rows", "(rows")
    if plan.level > 4:
        mistakes["mirror-preferred"] = ("rows + more", "more + rows")
    wrong = {name: tuple(keys.replace(*mistake) for keys in oracle) for name, mistake in mistakes.items()}
    cheat = f"mkdir -p {folder}; ln -s /tests/expected/records {plan.csv}; printf 'records=\\nlost=\\n' > {plan.note}\n"
    return {**wrong, "cheat": (cheat,)}


FAMILY = Family(
    name="debug/damaged-records",
    summary="Recover the records of a damaged binary file by a stated rule, and note what is lost.",
    domain="debugging",
    skills=("binary-formats", "checksums", "python"),
    deeper={2: ("validation",), 3: ("data-cleaning",), 4: ("deduplication",), 5: ("record-linkage",)},
    generate=generate,
    requires=("python3", "grep"),
)
