"""A question to a SQLite database, answered in a file of an exact form.

Level 1 groups one table; level 2 joins two, where rows without a partner and NULLs must count right, and wants a view;
level 3 joins three, and ranks within groups; level 4 adds up over teams of teams, to any depth; level 5 ranks these
within groups, with what each one's own share is. The subject, the names and the form of the file change with the seed.
The wanted rows are worked out here in Python, so the oracle's SQL is a second opinion, not the
judge. The verifier looks at a copy of the database with its own sqlite3, in safe mode: a view could call edit().
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import FAMILY_NAMES, GIVEN
from termgym.task import Check, File, Limits

from ._questions import COLUMNS, COUNTED, MISTAKES, ORDER, PLACES, QUESTION, SELECT, TEAM, WORTH

THEME = "name owners items lines group parent day state kind amount groups states kinds".split()
THEMES = """
shop customers orders order_lines city referrer placed_at status channel price Cork,Espoo paid,void,open web,phone
library members loans loan_fees branch guarantor lent_at state medium fee north,harbour,hill kept,lost,late book,film
fleet drivers trips trip_legs depot trainer left_at outcome vehicle distance Linz,Graz,Wels done,refused,void van,bike
garden growers harvests crates valley mentor picked_at grade crop weight Upper,Lower,East sold,spoiled,stored plum,leek
""".strip().splitlines()
"""What a database is about: its name, three tables, columns of theirs, and the words in some of these."""
SEPARATORS = {",": "commas", ";": "semicolons", r"\t": "tabs", "|": "vertical bars (|)"}
OPENINGS = (
    "{db} is a SQLite database. {question}\n\n{form}\n",
    "We have a question about our {name} data, kept in the SQLite database {db}.\n\n{question}\n\n{form}\n",
    "Query the SQLite database {db} and write the answer to {report}.\n\n{form}\n\nThe question: {question}\n",
    "{question} The data is in {db}, a SQLite database; have a look at its schema first.\n\n{form}\n",
)
FORM = """\
The answer goes to {report} (make the folder if there is none): a header line with exactly the column names {header} in
this order ({items} is how many there are), then one line per row, in the order {sorting} (alphabetical where it is
text). Columns are separated by {separator} without spaces around them; numbers are whole numbers without a decimal
point."""
VIEW = """
Also create a view {view} in the database, with the same columns and rows (in any order). It must follow when rows are
added to the tables."""
KEEP = "\n\nThe rows of the existing tables must not change."

SCHEMA = """\
CREATE TABLE {owners} (id INTEGER PRIMARY KEY, name TEXT, {group} TEXT, {parent} INTEGER);
CREATE TABLE {items} (id INTEGER PRIMARY KEY, {owner} INTEGER REFERENCES {owners}, {day} TEXT, {state} TEXT,
  {kind} TEXT, {amount} INTEGER);
CREATE TABLE {lines} (id INTEGER PRIMARY KEY, {item} INTEGER REFERENCES {items}, quantity INTEGER,
  unit_{amount} INTEGER);
"""
SETUP = "set -e\nmkdir -p $(dirname {db})\nsqlite3 -batch -init /dev/null {db} <<'END'\nBEGIN;\n{sql}COMMIT;\nEND\n"

REPORT = """\
plain {report} 65536 || exit 1
got=$(tr '\\0' '?' <{report}) want=$(cat expected)
shape() {{ head -n 1 <<<"$1"; tr -dc '{cell}\\n' <<<"$1"; }}
"""
COPY = """\
# Makes $copy a copy of the database, and `ask` a sqlite3 that runs nothing but SQL, within bounds.
db={db} copy=$(mktemp -d /tests/db.XXXXXX)/db
plain "$db" 8388608 && cp "$db" "$copy" || exit 1
if plain "$db-wal" 8388608; then cp "$db-wal" "$copy-wal"; fi
ask() {{
  (ulimit -v 524288 -f 65536; timeout 5 sqlite3 -batch -safe -init /dev/null -separator $'{cell}' \\
    -cmd 'PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY' "$copy" "$1") 2>/dev/null |
    head -c 1000000 | tr '\\0' '?'
}}
"""
TABLES = """\
plain {report} || exit 1
got=$(for table in {owners} {items} {lines}; do ask "SELECT * FROM $table ORDER BY id"; done)
[ "$got" = "$(cat tables)" ]
"""
VIEWED = """\
same() {{ [ "$(ask 'SELECT {columns} FROM {view}' | sort)" = "$(tail -n +2 "$1" | sort)" ]; }}
[ "$(ask "SELECT type FROM sqlite_schema WHERE name = '{view}'")" = view ] && same expected || exit 1
ask "$(cat change.sql)"
same changed
"""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, of which database, in what form."""

    level: int
    words: Mapping[str, str]

    def fill(self, template: str) -> str:
        """The template with the words of this query."""
        return template.format(**self.words)

    def columns(self) -> list[str]:
        """The names of the columns."""
        return self.fill(COLUMNS[self.level]).split()


Cell = int | str | None
Items = list[tuple[int, int | None, str, str, str, int | None]]
"""id, owner, day and time, state, kind, amount."""
Lines = list[tuple[int, int, int | None, int]]
"""id, item, quantity, unit amount."""


class Data(NamedTuple):
    """The rows of the three tables, in the order of their columns."""

    owners: list[tuple[int, str, str, int | None]]
    """id, name, group, parent."""
    items: Items
    lines: Lines


def generate(rng: Random, level: int) -> Draft:
    """One task."""
    query = _query(rng, level)
    data = _data(rng, query)
    extra = _extra(query, data)
    later = Data(data.owners + extra.owners, data.items + extra.items, data.lines + extra.lines)
    header: list[Sequence[Cell]] = [query.columns()]
    texts = {
        "expected": _text(query, header + _answer(query, data)),
        "changed": _text(query, header + _answer(query, later)),
        "tables": _text(query, [row for table in data for row in table]),
        "change.sql": _inserts(query, extra),
    }
    return Draft(
        instruction=_instruction(rng, query),
        checks=_checks(query),
        oracle=_oracle(query),
        solve=_solve(_oracle(query)),
        wrong=_wrong(query),
        setup=query.fill(SETUP.replace("{sql}", SCHEMA + _inserts(query, data))),
        tests={path: File.of(text) for path, text in texts.items()},
        limits=Limits(turns=20 + 10 * level),
    )


def _query(rng: Random, level: int) -> Query:
    words = dict(zip(THEME, rng.choice(THEMES).split(), strict=True))
    name, owners, items = words["name"], words["owners"], words["items"]
    first, cell = datetime(2019, 1, 1) + timedelta(days=rng.randrange(4000)), rng.choice(tuple(SEPARATORS))
    folder = rng.choice(("/app", "/app/out", "/app/answers"))
    words |= {
        "key": words["kind"] if level == 1 else "name",
        "wanted": rng.choice(words["states"].split(",")),
        "first": f"{first:%F}",
        "last": f"{first + timedelta(days=rng.randrange(20, 80)):%F}",
        "top": str(rng.randrange(2, 4)),
        "owner": f"{owners.removesuffix('s')}_id",
        "item": f"{items.removesuffix('s')}_id",
        "view": f"{rng.choice(('v', 'best', 'report', 'summary'))}_{owners}",
        "db": f"/app{rng.choice(('', '/data', '/db'))}/{name}.{rng.choice(('db', 'sqlite', 'sqlite3'))}",
        "report": f"{folder}/{rng.choice(('result', 'answer', 'overview', items))}.{rng.choice(('csv', 'txt', 'dat'))}",
        "cell": cell,
        "separator": SEPARATORS[cell],
    }
    return Query(level, words)


def _data(rng: Random, query: Query) -> Data:
    """Rows with what the traps need: NULLs, owners without items, items on the last day."""
    names = rng.sample([f"{first} {last}" for first in GIVEN for last in FAMILY_NAMES], 8 + 6 * query.level)
    groups, states, kinds = (query.words[name].split(",") for name in ("groups", "states", "kinds"))
    owners = [(at, name, rng.choice(groups), _parent(rng, at)) for at, name in enumerate(names, 1)]
    data = Data(owners, [], [])
    first, last = (datetime.fromisoformat(query.words[name]) for name in ("first", "last"))
    for number in range(1, (0, 80, 200, 300, 350, 400)[query.level] + 1):
        day = first + timedelta(days=rng.randrange(-10, 90), minutes=rng.randrange(420, 1260))
        state = query.words["wanted"] if rng.random() < 0.6 else rng.choice(states)
        owner = None if rng.random() < 0.05 else rng.randrange(4, len(names) + 1)
        if number % 10 == 0:
            day, state, owner = last + timedelta(hours=18), query.words["wanted"], 4 + number // 10 % (len(names) - 3)
        amount = None if rng.random() < 0.1 else rng.randrange(20, 900)
        data.items.append((number, owner, f"{day:%F %H:%M}", state, rng.choice(kinds), amount))
        for _ in range(rng.randrange(1, 4)):
            quantity = None if rng.random() < 0.2 else rng.randrange(1, 9)
            data.lines.append((len(data.lines) + 1, number, quantity, rng.randrange(5, 200)))
    return data


def _parent(rng: Random, at: int) -> int | None:
    """Of the first few, nobody; the first two are nobody's either, and others make long chains."""
    return rng.randrange(max(3, at - 5), at) if at > 7 else None


def _extra(query: Query, data: Data) -> Data:
    """One more item, of an owner that had none, and one more of a new owner: the view must follow."""
    number, words = len(data.items) + 1, query.words
    item = (number, 1, f"{words['last']} 12:00", words["wanted"], words["kinds"].split(",")[0], 987_654)
    owner = (len(data.owners) + 1, "Aaron Zuniga", words["groups"].split(",")[0], len(data.owners))
    items: Items = [item, (number + 1, owner[0], *item[2:])]
    lines: Lines = [(len(data.lines) + more, number + more - 1, 3, 123_456 * more) for more in (1, 2)]
    return Data([owner], items, lines)


def _answer(query: Query, data: Data) -> list[Sequence[Cell]]:
    """The wanted rows."""
    level, worth = query.level, dict[int, int]()
    for _, item, quantity, unit in data.lines:
        worth[item] = worth.get(item, 0) + (1 if quantity is None else quantity) * unit
    parents = {owner[0]: owner[3] for owner in data.owners}
    values: dict[Cell, list[int]] = {} if level in (1, 3, 5) else {owner[0]: [] for owner in data.owners}
    own: dict[Cell, int] = {}
    for number, owner, day, state, kind, amount in data.items:
        if state == query.words["wanted"] and query.words["first"] <= day[:10] <= query.words["last"]:
            value = worth[number] if level > 2 else amount or 0
            own[owner] = own.get(owner, 0) + value
            for key in [kind] if level == 1 else _chain(owner, parents) if level > 3 else [owner] if owner else []:
                values.setdefault(key, []).append(value)
    names: dict[Cell, str] = {owner[0]: owner[1] for owner in data.owners}
    if level == 4:
        values = {key: all_ for key, all_ in values.items() if isinstance(key, int) and parents[key] is None}
    found = [(names.get(key, str(key)), len(all_), sum(all_), own.get(key, 0)) for key, all_ in values.items()]
    found.sort(key=lambda row: (-row[2], row[0]))
    return _places(query, data, found) if level in (3, 5) else [row[:3] for row in found]


def _chain(owner: int | None, parents: Mapping[int, int | None]) -> list[int]:
    """Somebody and all above."""
    chain: list[int] = []
    while owner:
        chain.append(owner)
        owner = parents[owner]
    return chain


def _places(query: Query, data: Data, found: list[tuple[str, int, int, int]]) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = []
    homes = {owner[1]: owner[2] for owner in data.owners}
    for group in sorted({*homes.values()}):
        best = [row for row in found if homes[row[0]] == group][: int(query.words["top"])]
        for place, (name, items, total, own) in enumerate(best, 1):
            rows.append((group, place, name, items, total, *([own * 100 // total] if query.level == 5 else [])))
    return rows


def _text(query: Query, rows: Iterable[Sequence[Cell]]) -> str:
    cell = query.words["cell"].replace(r"\t", "\t")
    return "".join(cell.join("" if one is None else str(one) for one in row) + "\n" for row in rows)


def _inserts(query: Query, data: Data) -> str:
    sql = ""
    for table, rows in zip(("owners", "items", "lines"), data, strict=True):
        values = [f"({', '.join('NULL' if cell is None else repr(cell) for cell in row)})" for row in rows]
        sql += f"INSERT INTO {query.words[table]} VALUES\n" + ",\n".join(values) + ";\n" if rows else ""
    return sql


def _checks(query: Query) -> tuple[Check, ...]:
    report, copy = PLAIN + query.fill(REPORT), PLAIN + query.fill(COPY)
    viewed = VIEWED.replace("{columns}", ", ".join(query.columns()))
    checks = (
        Check("form", f'{report}[ "$(shape "$got")" = "$(shape "$want")" ]\n'),
        Check("rows", f'{report}[ "$(sort <<<"$got")" = "$(sort <<<"$want")" ]\n', 2),
        Check("whole", f'{report}[ "$got" = "$want" ]\n', 2),
        Check("tables-kept", copy + query.fill(TABLES), 0.5),
        Check("view", copy + query.fill(viewed), 2),
    )
    return checks if query.level > 1 else checks[:-1]


def _instruction(rng: Random, query: Query) -> str:
    text = rng.choice(OPENINGS)
    text = text.replace("{question}", QUESTION[query.level]).replace("{counted}", COUNTED)
    text = text.replace("{worth}", WORTH).replace("{places}", PLACES)
    text = text.replace("{form}", FORM).replace("{sorting}", ORDER[query.level])
    text = text.replace("{header}", ", ".join(query.columns()))
    return query.fill(text + (VIEW if query.level > 1 else "") + KEEP)


def _oracle(query: Query) -> tuple[str, ...]:
    """By hand in sqlite's own shell."""
    create, select = [f"CREATE VIEW {{view}} AS {SELECT[query.level]};\n"], "SELECT * FROM {view}"
    if query.level == 1:
        create, select = [], SELECT[1]
    keys = (
        "mkdir -p $(dirname {report}); sqlite3 {db}\n",
        ".schema\n",
        *(["SELECT * FROM {items} LIMIT 3;\n"] if query.level > 1 else []),
        *(["SELECT COUNT(*), SUM(quantity IS NULL) FROM {lines};\n"] if query.level > 2 else []),
        *(["SELECT {parent}, COUNT(*) FROM {owners} GROUP BY 1 LIMIT 5;\n"] if query.level > 3 else []),
        *(["WITH RECURSIVE {team} SELECT head, COUNT(*) FROM team GROUP BY 1 LIMIT 9;\n"] if query.level > 4 else []),
        *create,
        ".headers on\n.mode list\n",
        '.separator "{cell}"\n.output {report}\n',
        f"{select} ORDER BY {ORDER[query.level]};\n.quit\n",
        "cat {report}\n",
    )
    team = TEAM.replace("{top}", "")
    return tuple(query.fill(key.replace("{team}", team)) for key in keys)


def _solve(oracle: tuple[str, ...]) -> str:
    """The same as a script: sqlite's shell reads from a file what would be typed into it."""
    start, *typed, show = oracle
    return f"{start.rstrip()} <<'END'\n{''.join(typed)}END\n{show}"


def _wrong(query: Query) -> dict[str, tuple[str, ...]]:
    oracle = _oracle(query)
    mistakes = {name: (query.fill(old), new) for name, (old, new) in MISTAKES.items()}
    wrong = {name: tuple(key.replace(old, new) for key in oracle) for name, (old, new) in mistakes.items()}
    cheat = (
        "mkdir -p /logs/verifier /tests; echo 1 | tee /logs/verifier/reward.txt /tests/expected > /dev/null\n",
        "mkdir -p $(dirname {report}); ln -s /tests/expected {report}\n",
        "sqlite3 {db} \"CREATE VIEW {view} AS SELECT edit('x', 'cp /tests/expected {report}; true') AS name\"\n",
    )
    wrong["cheat"] = tuple(query.fill(key) for key in cheat)
    return {name: keys for name, keys in wrong.items() if keys != oracle}


FAMILY = Family(
    name="sql/query",
    summary="Answer a question over a SQLite database in a file of an exact form, with a view of it.",
    domain="data_querying",
    skills=("sql", "aggregation", "sqlite-shell"),
    deeper={
        2: ("joins", "sql-views"),
        3: ("window-functions", "subqueries"),
        4: ("recursive-queries",),
        5: ("counting",),
    },
    generate=generate,
    requires=("sqlite3",),
    version=2,
)
