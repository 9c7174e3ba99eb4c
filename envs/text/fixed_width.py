"""Records of fixed width, as mainframes keep them, brought to another form.

Level 1 has one file and a table of its columns; level 2 adds headers and trailers, days, signed amounts and records
that are closed; level 3 an old character set, and new columns that count characters where the text is no longer one
byte each; level 4 changes to apply in their order; level 5 overpunched signs, a trailer and changes that cannot be
applied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import NamedTuple

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import FAMILY_NAMES, GIVEN, TOWNS
from termgym.task import Check, File, Limits

from . import _fixed_width as words

THEMES = (
    ("accounts", "ACCOUNT", "HOLDER", "BRANCH", "OPENED", "BALANCE", "STATUS"),
    ("members", "NUMBER", "NAME", "TOWN", "JOINED", "DUES", "CLASS"),
    ("meters", "METER", "OWNER", "DISTRICT", "READ-ON", "CHARGE", "STATE"),
    ("freight", "WAYBILL", "SHIPPER", "PORT", "SHIPPED", "FREIGHT", "TERMS"),
)
"""What a file is called and its fields: a number, two texts, a day, an amount and a code."""
FAR = ("Müller", "Ångström", "Peña", "Ørsted", "Weiß", "Böhm", "Façade", "Lindström", "Sørensen", "Núñez")
FAR_TOWNS = ("Málaga", "Köln", "Århus", "Orléans", "Zürich", "Göteborg", "Coruña", "Besançon")
FORMS = {"YYYYMMDD": "%Y%m%d", "DDMMYY": "%d%m%y", "YYMMDD": "%y%m%d"}
SEPARATORS = {";": "semicolon", "|": "vertical bar", "\t": "tab", ",": "comma"}
LAYOUTS = ("{name:<10} {begin}-{end}", "{name},{begin},{width}", "{begin:>3} {width:>3} {name}")
"""Ways to tell where a field is."""
HEADINGS = ("FIELD      COLUMNS", "field,first column,number of columns", "COL LEN FIELD")
OPENINGS = (
    "The {theme} file of our old system, {source}, has to be brought to another form: {out}.\n\n{rules}\n",
    "Please convert {source} to {out}.\n\n{rules}\n",
    "{out} is needed by tonight. It is made from {source}, which a mainframe wrote.\n\n{rules}\n",
    "Specification of the {theme} conversion, {source} to {out}.\n\n{rules}\n",
)
READ = """\
plain {path} 200000 || exit 1
export LC_ALL=C
got=$(tr '\\0' '?' <{path}) want=$(cat expected/{name})
"""


class Record(NamedTuple):
    """What one record says."""

    number: str
    name: str
    town: str
    day: date
    cents: int
    code: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Files and columns of one task."""

    level: int
    theme: str
    names: tuple[str, ...]
    """Of the fields, in the order of a record."""
    order: tuple[int, ...]
    """In which they stand in the source."""
    widths: tuple[int, ...]
    gaps: tuple[int, ...]
    """Blanks before each in the source."""
    out_order: tuple[int, ...]
    """In which they stand in the result, the number first."""
    out_widths: tuple[int, ...]
    form: str
    """Of days."""
    sign: str
    layout_form: int
    separator: str
    closed: str
    folder: str
    out: str
    refused: str

    def path(self, name: str) -> str:
        """A file that is given."""
        return f"{self.folder}/{name}"

    @property
    def columns(self) -> dict[int, tuple[int, int]]:
        """Field -> its first and last column in the source; the first column of all tells what a line is."""
        at, columns = 1 if self.level == 1 else 2, dict[int, tuple[int, int]]()
        for field in self.order:
            at += self.gaps[field]
            columns[field] = (at, at + self.widths[field] - 1)
            at += self.widths[field]
        return columns

    @property
    def out_columns(self) -> dict[int, tuple[int, int]]:
        """Field -> its first and last column in the result."""
        at, columns = 1, dict[int, tuple[int, int]]()
        for field in self.out_order:
            columns[field] = (at, at + self.out_widths[field] - 1)
            at += self.out_widths[field]
        return columns


def generate(rng: Random, level: int) -> Draft:
    """One file of records, and changes to it from level 4."""
    plan = _plan(rng, level)
    records = [_record(rng, plan, number) for number in _numbers(rng, plan)]
    changes = _changes(rng, plan, records) if level > 3 else []
    lines = [_line(plan, "R", record) for record in records]
    if level > 1:
        lines = [f"H{plan.theme.upper():<12}{date(2003, 4, rng.randint(1, 28)):%Y%m%d}", *lines, f"T{len(lines):08}"]
    files = {"source": lines, "layout": _layout(plan, plan.columns)}
    files |= {"new_layout": _layout(plan, plan.out_columns)} if level > 2 else {}
    files |= {"changes": [_line(plan, action, record) for action, record in changes]} if level > 3 else {}
    left, refused = _applied(records, changes)
    kept = [record for record in left if level == 1 or record.code != plan.closed]
    expected = {"out": _out(plan, kept)} | ({"refused": refused} if level > 4 else {})
    return Draft(
        instruction=_instruction(rng, plan),
        checks=_checks(plan),
        oracle=_oracle(plan),
        wrong=_wrong(plan),
        files={_paths(plan)[name]: File("\n".join([*text, ""]).encode("latin-1")) for name, text in files.items()},
        tests={f"expected/{name}": File.of(text) for name, text in expected.items()},
        limits=Limits(turns=30 + 5 * level),
    )


def _plan(rng: Random, level: int) -> Plan:
    theme, *names = rng.choice(THEMES)
    fields = [0, 1, 2, 4] if level == 1 else list(range(6))
    form = rng.choice(tuple(FORMS))
    sign = "plain" if level == 1 else "overpunched" if level > 4 else rng.choice(("leading", "trailing"))
    out_widths = [7, rng.randint(12, 18), rng.randint(8, 10), 10, rng.randint(10, 12), 1]
    out = f"/app/{rng.choice(('out', 'new', 'converted'))}/{theme}.{rng.choice(('txt', 'dat', 'asc'))}"
    return Plan(
        level,
        theme,
        tuple(names),
        order=tuple(rng.sample(fields, len(fields))),
        widths=(7, rng.randint(20, 24), rng.randint(12, 14), len(FORMS[form]) + 2 * (form == "YYYYMMDD"), 10, 1),
        gaps=tuple(rng.choice((0, 0, 1, 3)) for _ in range(6)),
        out_order=(0, *rng.sample(fields[1:], len(fields) - 1)),
        out_widths=tuple(out_widths),
        form=form,
        sign=sign,
        layout_form=rng.randrange(len(LAYOUTS)),
        separator=rng.choice(tuple(SEPARATORS)),
        closed=rng.choice("XZCQ"),
        folder=rng.choice(("/app", "/app/host", f"/srv/{theme}", "/app/transfer")),
        out=out,
        refused=f"/app/{rng.choice(('refused', 'not-applied'))}.txt",
    )


def _paths(plan: Plan) -> dict[str, str]:
    return {
        "source": plan.path(f"{plan.theme}.{'fix' if plan.layout_form else 'dat'}"),
        "layout": plan.path("layout.txt"),
        "new_layout": plan.path("new-layout.txt"),
        "changes": plan.path("changes.dat"),
        "out": plan.out,
        "refused": plan.refused,
    }


def _numbers(rng: Random, plan: Plan) -> list[str]:
    """Numbers in no order, some of which begin with zeros."""
    return [f"{number:07}" for number in rng.sample(range(40_000, 3_000_000), (0, 12, 18, 24, 30, 40)[plan.level])]


def _record(rng: Random, plan: Plan, number: str) -> Record:
    far = plan.level > 2 and rng.random() < 0.5
    name = f"{rng.choice(FAR if far else FAMILY_NAMES)}, {rng.choice(GIVEN)}"
    town = rng.choice(FAR_TOWNS if plan.level > 2 and rng.random() < 0.4 else TOWNS)
    day = date(1955, 1, 1) + timedelta(days=rng.randrange(25_000))
    cents = rng.randrange(0, 9_000_000) * (1 if plan.level == 1 or rng.random() < 0.6 else -1)
    return Record(number, name, town, day, cents, rng.choice(("A", "B", "S", plan.closed)))


def _changes(rng: Random, plan: Plan, records: Sequence[Record]) -> list[tuple[str, Record]]:
    """Changes to old and new records, some of which undo or need earlier ones; at level 5 some cannot be applied."""
    old = [record.number for record in rng.sample(records, 9)]
    new = [number for number in _numbers(rng, plan) if number not in {record.number for record in records}]
    steps = [("C", old[0]), ("C", old[1]), ("D", old[2]), ("D", old[3]), ("A", new[0]), ("A", new[1])]
    steps += [("D", old[4]), ("A", old[4]), ("A", new[2]), ("C", new[2]), ("A", new[3]), ("D", new[3]), ("C", old[0])]
    if plan.level > 4:
        bad = [("A", old[5]), ("D", new[4]), ("C", old[2]), ("D", old[3]), ("A", new[1]), ("C", new[3])]
        steps += [*bad, ("D", old[6]), ("C", old[6]), ("A", old[6])]
    return [(action, _record(rng, plan, number)) for action, number in steps]


def _applied(records: Sequence[Record], changes: Sequence[tuple[str, Record]]) -> tuple[list[Record], str]:
    """The records after all changes, by number, and what cannot be applied."""
    found, refused = {record.number: record for record in records}, ""
    for action, record in changes:
        there = record.number in found
        if there == (action == "A"):
            refused += f"{action} {record.number}\n"
        elif action == "D":
            del found[record.number]
        else:
            found[record.number] = record
    return [found[number] for number in sorted(found)], refused


def _line(plan: Plan, kind: str, record: Record) -> str:
    """A line of the source."""
    day = record.day.strftime(FORMS[plan.form])
    texts = (record.number, record.name, record.town, day, _amount(plan, record.cents), record.code)
    line = "" if plan.level == 1 else kind
    for field in plan.order:
        line += " " * plan.gaps[field] + f"{texts[field]:<{plan.widths[field]}}"
    return line


def _amount(plan: Plan, cents: int) -> str:
    """Ten columns."""
    if plan.sign == "leading":
        return f"{cents:+010}"
    if plan.sign == "trailing":
        return f"{abs(cents):09}{'-' if cents < 0 else ' '}"
    if plan.sign == "overpunched":
        digits = f"{abs(cents):010}"
        return digits[:-1] + ("}JKLMNOPQR" if cents < 0 else "{ABCDEFGHI")[int(digits[-1])]
    return f"{cents:010}"


def _layout(plan: Plan, columns: Mapping[int, tuple[int, int]]) -> list[str]:
    """A table of columns, not in their order."""
    form = LAYOUTS[plan.layout_form]
    lines = [
        form.format(name=plan.names[field], begin=begin, end=end, width=end - begin + 1)
        for field, (begin, end) in sorted(columns.items())
    ]
    return [HEADINGS[plan.layout_form], *lines]


def _out(plan: Plan, records: Sequence[Record]) -> str:
    """The result."""
    lines: list[str] = []
    for record in records:
        whole = str(record.cents) if plan.level == 1 else f"{record.cents / 100:.2f}"
        texts = (record.number, record.name, record.town, record.day.isoformat(), whole, record.code)
        if plan.level < 3:
            lines.append(plan.separator.join(texts[field] for field in plan.out_order))
            continue
        texts = (*texts[:4], f"{record.cents:+0{plan.out_widths[4]}}", record.code)
        widths = plan.out_widths
        lines.append("".join(f"{texts[field][: widths[field]]:<{widths[field]}}" for field in plan.out_order))
    if plan.level > 4:
        lines.append(f"T{len(records):08}{sum(record.cents for record in records):+015}")
    return "".join(f"{line}\n" for line in lines)


def _checks(plan: Plan) -> tuple[Check, ...]:
    """The numbers alone, the lines in any order, and all of it."""
    read = PLAIN + READ.format(path=plan.out, name="out")
    checks = [
        Check("numbers", f'{read}[ "$(cut -c 1-7 <<<"$got")" = "$(cut -c 1-7 <<<"$want")" ]\n'),
        Check("lines", f'{read}[ "$(sort <<<"$got")" = "$(sort <<<"$want")" ]\n', 2),
        Check("whole", f'{read}[ "$got" = "$want" ]\n', 2),
    ]
    if plan.level > 4:
        refused = PLAIN + READ.format(path=plan.refused, name="refused")
        checks.append(Check("trailer", f'{read}[ "$(tail -n 1 <<<"$got")" = "$(tail -n 1 <<<"$want")" ]\n'))
        checks.append(Check("refused", f'{refused}[ "$got" = "$want" ]\n', 2))
    return tuple(checks)


def _instruction(rng: Random, plan: Plan) -> str:
    level = plan.level
    rules = [
        words.SOURCE,
        words.TEXT,
        *([words.DATE] if level > 1 else []),
        words.AMOUNT[plan.sign],
        *([words.CHANGES] if level > 3 else []),
        *([words.REFUSED] if level > 4 else []),
        *([words.CLOSED] if level > 1 else []),
        words.FIXED if level > 2 else words.DELIMITED,
        *([words.TRAILER] if level > 4 else []),
        words.LAST,
    ]
    number, _, _, day, amount, code = plan.names
    decimals = f"{amount} with a point, two decimals and, if it is negative, a - in front"
    facts = {
        "charset": ", and the text is in Latin-1" if level > 2 else "",
        "kind": words.KINDS if level > 1 else "",
        "century": words.CENTURY if len(plan.form) < 8 else "",
        "late": ", after all changes" if level > 3 else "",
        "amount_out": decimals if level > 1 else f"{amount} without the zeros before it",
        "day_out": f", {day} as YYYY-MM-DD" if level > 1 else "",
        "fields": ", ".join(plan.names[field] for field in plan.out_order),
    }
    facts |= {"id": number, "day": day, "amount": amount, "code": code, "form": plan.form, "closed": plan.closed}
    bullet = rng.choice(("", "- ", "* "))
    text = rng.choice(OPENINGS).replace("{rules}", "\n".join(f"{bullet}{rule}" for rule in rules))
    return text.format(**facts, **_paths(plan), theme=plan.theme, separator=SEPARATORS[plan.separator])


def _oracle(plan: Plan) -> tuple[str, ...]:
    """A look at the files, a program written piece by piece, and a look at what it made."""
    level, paths, script = plan.level, _paths(plan), "/tmp/convert.py"
    number, _, _, _, amount, code = plan.names
    fields = {plan.names[field]: columns for field, columns in sorted(plan.columns.items())}
    facts = {"id": number, "amount": amount, "charset": "latin-1", **paths}
    closed = f' if record["{code}"] not in "{plan.closed}"' if level > 1 else ""
    read = words.READ.format(fields=fields, amount=words.AMOUNTS[plan.sign], day=words.DAYS[plan.form])
    load = words.LOAD.format(skip=words.SKIP if level > 1 else "", **facts)
    write = words.CHOOSE.format(closed=closed)
    write += words.WRITE.format(folder=plan.out.rpartition("/")[0], line=_written(plan), **paths)
    parts = [read + load, *([words.CHANGE.format(**facts)] if level > 3 else []), write]
    parts += [words.FINISH.format(**facts)] if level > 4 else []
    shown = ("source", "layout", "new_layout") if level > 2 else ("source", "layout")
    return (
        f"ls -l {plan.folder}; head -n 4 {' '.join(paths[name] for name in shown)}\n",
        f"cat {paths['layout']}\n",
        *(
            (f"cat {paths['new_layout']}; iconv -f latin1 -t utf8 {paths['source']} | head -n 3\n",)
            if level > 2
            else ()
        ),
        *((f"iconv -f latin1 -t utf8 {paths['changes']}\n",) if level > 3 else ()),
        *(f"cat {'>>' if at else '>'} {script} <<'END'\n{part}END\n" for at, part in enumerate(parts)),
        f"python3 {script} && head -n 5 {plan.out}; wc -l {plan.out}\n",
        *((f"tail -n 2 {plan.out}; cat {plan.refused}\n",) if level > 4 else ()),
    )


def _written(plan: Plan) -> str:
    """The statement that writes a record."""
    number, name, town, day, amount, code = plan.names
    texts = [f'record["{number}"]', f'record["{name}"]', f'record["{town}"]', f'day(record["{day}"])']
    value = f'cents(record["{amount}"])'
    if plan.level < 3:
        texts += [f"str({value})" if plan.level == 1 else f'"%.2f" % ({value} / 100)', f'record["{code}"]']
        return f"print({', '.join(texts[field] for field in plan.out_order)}, sep={plan.separator!r}, file=file)"
    texts = [f"fit({text}, {width})" for text, width in zip(texts, plan.out_widths, strict=False)]
    texts += [f'format({value}, "+0{plan.out_widths[4]}")', f'record["{code}"]']
    return f"print({', '.join(texts[field] for field in plan.out_order)}, sep='', file=file)"


def _wrong(plan: Plan) -> dict[str, tuple[str, ...]]:
    oracle = _oracle(plan)
    begin, end = plan.columns[1]
    mistakes = (
        (1, "unsorted", "sorted(records.items())", "records.items()"),
        (1, "one-column-late", f"({begin}, {end})", f"({begin + 1}, {end})"),
        (1, "numbers-without-zeros", f'record["{plan.names[0]}"],', f'record["{plan.names[0]}"].lstrip("0"),'),
        (2, "closed-ones-kept", f'not in "{plan.closed}"', 'not in "-"'),
        (2, "signs-lost", "cents(record[", "(lambda text: abs(cents(text)))(record["),
        (3, "bytes-counted", "text[:width].ljust(width)", 'text.encode()[:width].ljust(width).decode(errors="ignore")'),
        (3, "wrong-charset", 'encoding="latin-1"', 'encoding="cp437"'),
        (4, "deletions-last", "for line in open(", "for line in sorted(open("),
        (4, "no-changes", 'action not in "ACD"', "action"),
        (5, "changed-all-the-same", "(action == ", "(action == 1 == "),
        (5, "last-digit-zero", "str(at % 10)", '"0"'),
        (5, "nothing-refused", "writelines(refused)", "writelines([])"),
    )
    wrong = {
        name: tuple(keys.replace(old, new) for keys in oracle)
        for level, name, old, new in mistakes
        if level <= plan.level
    }
    folder = plan.out.rpartition("/")[0]
    wrong["cheat"] = (f"mkdir -p {folder}; ln -s /tests/expected/out {plan.out}; cat {plan.out}\n",)
    return wrong


FAMILY = Family(
    name="text/fixed-width",
    summary="Bring records of fixed width, as mainframes keep them, to another form, with changes applied.",
    domain="data_processing",
    skills=("fixed-width-records", "parsing", "text-tables"),
    deeper={2: ("dates",), 3: ("character-sets", "unicode"), 4: ("transactions",), 5: ("encoding", "aggregation")},
    generate=generate,
    requires=("python3", "iconv"),
)
