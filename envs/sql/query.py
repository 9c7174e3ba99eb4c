"""A question to a SQLite database, answered in a file of an exact form.

Level 1 groups one table; level 2 joins two, where rows without a partner and NULLs must count right, and wants a view;
level 3 joins three, and ranks within groups. The subject, the names and the form of the file
change with the seed. The wanted rows are worked out here in Python, so the oracle's SQL is a second opinion, not the
judge. The verifier looks at a copy of the database with its own sqlite3, in safe mode: a view could call edit().
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.task import Check, File, Limits

THEME = "name owners items lines group day state kind amount groups states kinds".split()
THEMES = """
shop customers orders order_lines city placed_at status channel price Bergen,Cork,Delft,Espoo paid,void,open web,phone
library members loans loan_fees branch lent_at state medium fee north,harbour,hill returned,lost,late book,film,map,game
fleet drivers trips trip_legs depot left_at outcome vehicle distance Linz,Graz,Wels done,refused,aborted van,bike,barge
garden growers harvests crates valley picked_at grade crop weight Upper,Lower,East sold,spoiled,stored plum,leek,quince
""".strip().splitlines()
"""What a database is about: its name, three tables, columns of theirs, and the words in some of these."""
FIRST = "Amara Boris Chloe Dario Elif Fergus Greta Hugo Ines Jonas Keiko Lars Mina Niko Olga Pavel Runa".split()
LAST = "Abel Bauer Costa Dietz Egan Frost Gruber Hansen Ibarra Jensen Kovac Lange Moser Novak Orlov Peretz".split()
SEPARATORS = {",": "commas", ";": "semicolons", r"\t": "tabs", "|": "vertical bars (|)"}
RANKED = "{key} {items} total_{amount}"
COLUMNS = {1: RANKED, 2: RANKED, 3: "{group} place " + RANKED}
ORDER = {1: "total_{amount} DESC, {key}", 2: "total_{amount} DESC, {key}", 3: "{group}, place"}

OPENINGS = (
    "{db} is a SQLite database. {question}\n\n{form}\n",
    "We have a question about our {name} data, kept in the SQLite database {db}.\n\n{question}\n\n{form}\n",
    "Query the SQLite database {db} and write the answer to {report}.\n\n{form}\n\nThe question: {question}\n",
    "{question} The data is in {db}, a SQLite database; have a look at its schema first.\n\n{form}\n",
)
COUNTED = "{items} whose {state} is '{wanted}' and whose {day} lies from {first} to {last}, both days included"
QUESTION = {
    1: """\
Count only the {counted}. For each {kind} that has any: how many {items} are there, and what is the sum of {amount}? A
NULL {amount} adds nothing, but its row still counts.""",
    2: """\
For each row of {owners}, also those without any: how many {counted}, does it have, and what is the sum of {amount} of
these? A NULL {amount} adds nothing, but its row still counts; where there are none, both numbers are 0. Rows of {items}
that belong to nobody are left out.""",
    3: """\
Rank the {owners} within each {group}. Consider only {counted}. What one row of {items} is worth is the sum of quantity
times unit_{amount} over its rows in {lines}, where a NULL quantity counts as 1; its own {amount} is out of date. Find
for each of the {owners} the number of such {items} and the sum of what they are worth. The larger the sum, the better
the place: 1, 2, 3 and so on in each {group}, and equal sums are placed in alphabetical order of their names. Wanted are
the best {top} of each {group} (fewer if fewer have any such {items}).""",
}
FORM = """\
The answer goes to {report} (make the folder if there is none): a header line with exactly the column names {header} in
this order ({items} is how many there are), then one line per row, in the order {sorting} (alphabetical where it is
text). Columns are separated by {separator} without spaces around them; numbers are whole numbers without a decimal
point."""
VIEW = """
Also create a view {view} in the database, with the same columns and rows (in any order). It must follow when rows are
added to the tables."""
KEEP = "\n\nThe rows of the existing tables must not change."

FILTER = "{state} = '{wanted}' AND date({day}) BETWEEN '{first}' AND '{last}'"
SELECT = {
    1: "SELECT {kind}, COUNT(*) AS {items}, COALESCE(SUM({amount}), 0) AS total_{amount}"
    f" FROM {{items}} WHERE {FILTER} GROUP BY 1",
    2: "SELECT o.name, COUNT(i.id) AS {items}, COALESCE(SUM(i.{amount}), 0) AS total_{amount}"
    f" FROM {{owners}} o LEFT JOIN {{items}} i ON i.{{owner}} = o.id AND {FILTER} GROUP BY o.id",
    3: "SELECT {group}, place, name, {items}, total_{amount} FROM (SELECT *, ROW_NUMBER() OVER"
    " (PARTITION BY {group} ORDER BY total_{amount} DESC, name) AS place FROM (SELECT o.{group}, o.name,"
    " COUNT(DISTINCT i.id) AS {items}, SUM(COALESCE(l.quantity, 1) * l.unit_{amount}) AS total_{amount}"
    " FROM {owners} o JOIN {items} i ON i.{owner} = o.id JOIN {lines} l ON l.{item} = i.id"
    f" WHERE {FILTER} GROUP BY o.id)) WHERE place <= {{top}}",
}
MISTAKES = {
    "all-states": ("{state} = '{wanted}' AND ", ""),
    "last-day-lost": ("date(", "("),
    "inner-join": ("LEFT JOIN", "JOIN"),
    "lines-counted": ("DISTINCT ", ""),
    "nulls-ignored": ("COALESCE(l.quantity, 1)", "l.quantity"),
    "frozen-view": ("CREATE VIEW", "CREATE TABLE"),
    "no-header": (".headers on", ".headers off"),
}
"""Name -> what to replace in the oracle, where it has that."""

SCHEMA = """\
CREATE TABLE {owners} (id INTEGER PRIMARY KEY, name TEXT, {group} TEXT);
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


class Data(NamedTuple):
    """The rows of the three tables, in the order of their columns."""

    owners: list[tuple[int, str, str]]
    items: list[tuple[int, int | None, str, str, str, int | None]]
    """id, owner, day and time, state, kind, amount."""
    lines: list[tuple[int, int, int | None, int]]
    """id, item, quantity, unit amount."""


def generate(rng: Random, level: int) -> Draft:
    """One task."""
    query = _query(rng, level)
    data = _data(rng, query)
    extra = _extra(query, data)
    later = Data(data.owners, data.items + extra.items, data.lines + extra.lines)
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
    names = rng.sample([f"{first} {last}" for first in FIRST for last in LAST], 8 + 6 * query.level)
    groups, states, kinds = (query.words[name].split(",") for name in ("groups", "states", "kinds"))
    data = Data([(number, name, rng.choice(groups)) for number, name in enumerate(names, 1)], [], [])
    first, last = (datetime.fromisoformat(query.words[name]) for name in ("first", "last"))
    for number in range(1, (0, 80, 200, 300)[query.level] + 1):
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


def _extra(query: Query, data: Data) -> Data:
    """One more item, of an owner that had none: the view must follow."""
    number, words = len(data.items) + 1, query.words
    item = (number, 1, f"{words['last']} 12:00", words["wanted"], words["kinds"].split(",")[0], 987_654)
    return Data([], [item], [(len(data.lines) + 1, number, 3, 123_456)])


def _answer(query: Query, data: Data) -> list[Sequence[Cell]]:
    """The wanted rows."""
    names = {owner[0]: owner[1] for owner in data.owners}
    values: dict[str, list[int]] = {name: [] for name in names.values()} if query.level == 2 else {}
    worth: dict[int, int] = {}
    for _, item, quantity, unit in data.lines:
        worth[item] = worth.get(item, 0) + (1 if quantity is None else quantity) * unit
    for number, owner, day, state, kind, amount in data.items:
        key = kind if query.level == 1 else names.get(owner or 0, "")
        if key and state == query.words["wanted"] and query.words["first"] <= day[:10] <= query.words["last"]:
            values.setdefault(key, []).append(worth[number] if query.level == 3 else amount or 0)
    found = sorted(((key, len(all_), sum(all_)) for key, all_ in values.items()), key=lambda row: (-row[2], row[0]))
    return _places(query, data, found) if query.level == 3 else list[Sequence[Cell]](found)


def _places(query: Query, data: Data, found: list[tuple[str, int, int]]) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = []
    homes = {owner[1]: owner[2] for owner in data.owners}
    for group in sorted({*homes.values()}):
        best = [row for row in found if homes[row[0]] == group][: int(query.words["top"])]
        rows += [(group, place, *row) for place, row in enumerate(best, 1)]
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
        *create,
        ".headers on\n.mode list\n",
        '.separator "{cell}"\n.output {report}\n',
        f"{select} ORDER BY {ORDER[query.level]};\n.quit\n",
        "cat {report}\n",
    )
    return tuple(query.fill(key) for key in keys)


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
    skills=("sql", "aggregation"),
    generate=generate,
    deeper={2: ("joins", "sql-views"), 3: ("window-functions", "subqueries")},
    levels=3,
    requires=("sqlite3",),
)
