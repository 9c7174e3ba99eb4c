"""A question to a SQLite database, answered in a file of an exact form.

Level 1 groups one table; level 2 joins two, where rows without a partner and NULLs must count right, and
wants a view; level 3 joins three, ranks within groups, and wants an index too. The subject, the names and the
form of the file change with the seed. The wanted rows are worked out here in Python, so the oracle's SQL is a
second opinion, not the judge.

The verifier looks at a copy of the database with its own sqlite3, in safe mode: a view could call edit()
otherwise.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from termgym.family import Draft, Family
from termgym.task import Check, File, Limits

_FIRST = (
    "Amara", "Boris", "Chloe", "Dario", "Elif", "Fergus", "Greta", "Hugo", "Ines", "Jonas", "Keiko",
    "Lars", "Mina", "Niko", "Olga", "Pavel", "Runa", "Silas",
)  # fmt: skip
_LAST = (
    "Abel", "Bauer", "Costa", "Dietz", "Egan", "Frost", "Gruber", "Hansen", "Ibarra", "Jensen", "Kovac",
    "Lange", "Moser", "Novak", "Orlov", "Peretz",
)  # fmt: skip
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars (|)"}


@dataclass(frozen=True, slots=True)
class Theme:
    """What the database is about: the names of its tables and columns, and the words for their rows."""

    name: str
    owners: str
    items: str
    lines: str
    owner: str
    """Column of `items` that refers to `owners`."""
    item: str
    """Column of `lines` that refers to `items`."""
    group: str
    day: str
    state: str
    kind: str
    amount: str
    states: tuple[str, ...]
    kinds: tuple[str, ...]
    groups: tuple[str, ...]


_THEMES = (
    Theme("shop", "customers", "orders", "order_lines", "customer_id", "order_id", "city", "placed_at", "status",
          "channel", "price", ("paid", "cancelled", "pending"), ("web", "phone", "store", "partner", "market"),
          ("Aarhus", "Bergen", "Cork", "Delft", "Espoo")),
    Theme("library", "members", "loans", "loan_fees", "member_id", "loan_id", "branch", "lent_at", "state",
          "medium", "fee", ("returned", "lost", "overdue"), ("book", "film", "map", "score", "game"),
          ("north", "harbour", "campus", "hill")),
    Theme("fleet", "drivers", "trips", "trip_legs", "driver_id", "trip_id", "depot", "left_at", "outcome",
          "vehicle", "distance", ("delivered", "refused", "aborted"), ("van", "truck", "bike", "barge", "tram"),
          ("Linz", "Graz", "Wels", "Steyr", "Enns")),
    Theme("garden", "growers", "harvests", "crates", "grower_id", "harvest_id", "valley", "picked_at", "grade",
          "crop", "weight", ("sold", "spoiled", "stored"), ("plum", "leek", "kale", "quince", "hops"),
          ("Upper", "Lower", "Middle", "East")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Data:
    """The rows of the database, in the order of their columns."""

    owners: list[tuple[int, str, str]]
    items: list[tuple[int, int | None, str, str, str, int | None]]
    """id, owner, day and time, state, kind, amount."""
    lines: list[tuple[int, int, int | None, int]]
    """id, item, quantity, unit amount."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, of which database, in what form."""

    theme: Theme
    level: int
    state: str
    first: datetime
    last: datetime
    largest: bool
    """Ask for the largest amount instead of the sum."""
    backwards: bool
    """Ties stand in reverse alphabetical order."""
    top: int
    db: str
    report: str
    separator: str
    view: str
    index: str

    def header(self) -> list[str]:
        """The names of the columns."""
        theme, value = self.theme, f"{'largest' if self.largest else 'total'}_{self.theme.amount}"
        names = [theme.kind] if self.level == 1 else ["name"]
        return [*([theme.group, "place"] if self.level == 3 else []), *names, theme.items, value]

    def wants(self, day: str, state: str) -> bool:
        """Whether an item counts."""
        return state == self.state and f"{self.first:%F}" <= day[:10] <= f"{self.last:%F}"


def generate(rng: Random, level: int) -> Draft:
    """One task."""
    query = _query(rng, level)
    data = _data(rng, query)
    extra, later = _change(query, data)
    rows = _answer(query, data)
    text = "\n".join(query.separator.join(row) for row in [query.header(), *rows]) + "\n"
    tables = "".join(
        "|".join("" if cell is None else str(cell) for cell in row) + "\n" for row in _all_rows(query, data)
    )
    return Draft(
        instruction=_instruction(rng, query),
        checks=_checks(query, len(rows)),
        oracle=_oracle(query),
        wrong=_wrong(query),
        setup=_setup(query, data),
        tests={
            "expected": File.of(text),
            "tables": File.of(tables),
            "now": File.of(_plain(rows)),
            "changed": File.of(_plain(_answer(query, later))),
            "change.sql": File.of(extra),
            "copy.sh": File.of(_COPY.format(db=query.db)),
        },
        limits=Limits(turns=20 + 10 * level),
    )


def _plain(rows: Iterable[list[str]]) -> str:
    return "".join(f"{line}\n" for line in sorted("|".join(row) for row in rows))


def _query(rng: Random, level: int) -> Query:
    theme = rng.choice(_THEMES)
    first = datetime(rng.randrange(2019, 2030), rng.randrange(1, 13), rng.randrange(1, 28))
    folder, end = rng.choice(("", "out/", "answers/")), rng.choice(("csv", "txt", "dat"))
    return Query(
        theme, level, rng.choice(theme.states), first, first + timedelta(days=rng.randrange(20, 80)),
        largest=level < 3 and rng.random() < 0.5,
        backwards=rng.random() < 0.5,
        top=rng.randrange(2, 4),
        db=f"/app/{rng.choice(('', 'data/', 'db/'))}{theme.name}.{rng.choice(('db', 'sqlite', 'sqlite3'))}",
        report=f"/app/{folder}{rng.choice(('result', 'answer', 'overview', theme.items))}.{end}",
        separator=rng.choice(tuple(_SEPARATORS)),
        view=f"{rng.choice(('v', 'best', 'report', 'summary'))}_{theme.owners}",
        index=f"{rng.choice(('idx', 'by', 'ix'))}_{theme.items}_{theme.owner.removesuffix('_id')}",
    )  # fmt: skip


def _data(rng: Random, query: Query) -> Data:
    """Rows with what the traps need: NULLs, owners without items, items on the last day."""
    theme, level = query.theme, query.level
    names = rng.sample([f"{first} {last}" for first in _FIRST for last in _LAST], 8 + 6 * level)
    owners = [(number, name, rng.choice(theme.groups)) for number, name in enumerate(names, 1)]
    busy = [owner[0] for owner in owners[3:]]
    span = (query.last - query.first).days + 20
    items: list[tuple[int, int | None, str, str, str, int | None]] = []
    lines: list[tuple[int, int, int | None, int]] = []
    count = (0, 80, 200, 300)[level]
    for number in range(1, count + 1):
        day = query.first + timedelta(days=rng.randrange(-10, span - 10), minutes=rng.randrange(420, 1260))
        state = query.state if rng.random() < 0.6 else rng.choice(theme.states)
        owner = None if level > 1 and rng.random() < 0.05 else rng.choice(busy)
        kind = rng.choice(theme.kinds)
        if number % 40 == 0 or number <= len(theme.kinds):  # whatever ranks first has something on the last day
            day, state = query.last + timedelta(minutes=rng.randrange(600, 1200)), query.state
            kind, owner = theme.kinds[number % len(theme.kinds)], busy[number // 40 % len(busy)]
        amount = None if level == 2 and rng.random() < 0.1 else rng.randrange(20, 900)
        items.append((number, owner, f"{day:%F %H:%M}", state, kind, amount))
        for _ in range(rng.randrange(1, 4)):
            quantity = None if rng.random() < 0.2 else rng.randrange(1, 9)
            lines.append((len(lines) + 1, number, quantity, rng.randrange(5, 200)))
    return Data(owners, items, lines)


def _change(query: Query, data: Data) -> tuple[str, Data]:
    """SQL that adds an item of the first owner's, and the rows after it: a view must follow."""
    number, line, theme = len(data.items) + 1, len(data.lines) + 1, query.theme
    item = (number, 1, f"{query.last:%F} 12:00", query.state, theme.kinds[0], 987_654)
    detail = (line, number, 3, 123_456)
    later = replace(data, items=[*data.items, item], lines=[*data.lines, detail])
    inserts = _insert(theme.items, [item[:5] if query.level == 3 else item])
    return inserts + (_insert(theme.lines, [detail]) if query.level == 3 else ""), later


def _answer(query: Query, data: Data) -> list[list[str]]:
    """The wanted rows."""
    names = {owner[0]: owner[1] for owner in data.owners}
    values: dict[str, list[int]] = {name: [] for name in names.values()} if query.level == 2 else {}
    worth: dict[int, int] = {}
    for _, item, quantity, unit in data.lines:
        worth[item] = worth.get(item, 0) + (1 if quantity is None else quantity) * unit
    for number, owner, day, state, kind, amount in data.items:
        key = kind if query.level == 1 else names.get(owner or 0, "")
        if key and query.wants(day, state):
            values.setdefault(key, []).append(worth[number] if query.level == 3 else amount or 0)
    found = [(key, len(all_), (max if query.largest else sum)(all_ or [0])) for key, all_ in values.items()]
    found.sort(key=lambda row: row[0], reverse=query.backwards)
    found.sort(key=lambda row: -row[2])
    if query.level < 3:
        return [[key, str(count), str(value)] for key, count, value in found]
    homes, rows = {owner[1]: owner[2] for owner in data.owners}, list[list[str]]()
    for group in sorted({*homes.values()}):
        best = [row for row in found if homes[row[0]] == group][: query.top]
        rows += [[group, str(place), key, str(count), str(value)] for place, (key, count, value) in enumerate(best, 1)]
    return rows


def _all_rows(query: Query, data: Data) -> list[tuple[int | str | None, ...]]:
    items = [item if query.level < 3 else item[:5] for item in data.items]
    return [*(data.owners if query.level > 1 else []), *items, *(data.lines if query.level == 3 else [])]


def _insert(table: str, rows: Iterable[tuple[int | str | None, ...]]) -> str:
    values = ",\n".join(f"({', '.join('NULL' if cell is None else repr(cell) for cell in row)})" for row in rows)
    return f"INSERT INTO {table} VALUES\n{values};\n"


def _setup(query: Query, data: Data) -> str:
    theme, level = query.theme, query.level
    amount = f", {theme.amount} INTEGER" if level < 3 else ""
    owner = f"INTEGER REFERENCES {theme.owners}" if level > 1 else "INTEGER"
    sql = (
        f"CREATE TABLE {theme.items} (id INTEGER PRIMARY KEY, {theme.owner} {owner}, "
        f"{theme.day} TEXT, {theme.state} TEXT, {theme.kind} TEXT{amount});\n"
    )
    sql += _insert(theme.items, [item[: 5 + (level < 3)] for item in data.items])
    if level > 1:
        sql += (f"CREATE TABLE {theme.owners} (id INTEGER PRIMARY KEY, name TEXT, {theme.group} TEXT);\n") + _insert(
            theme.owners, data.owners
        )
    if level == 3:
        sql += (
            f"CREATE TABLE {theme.lines} (id INTEGER PRIMARY KEY, {theme.item} INTEGER REFERENCES "
            f"{theme.items}, quantity INTEGER, unit_{theme.amount} INTEGER);\n"
        )
        sql += _insert(theme.lines, data.lines)
    folder = query.db.rpartition("/")[0]
    return (
        f"set -e\nmkdir -p {folder}\nsqlite3 -batch -init /dev/null {query.db} << "
        f"'END_OF_SQL'\nBEGIN;\n{sql}COMMIT;\nEND_OF_SQL\n"
    )


def _select(query: Query, mistake: str = "") -> str:
    """The question in SQL; `mistake` names what to get wrong."""
    theme, names = query.theme, query.header()
    day = f"{theme.day}" if mistake == "last-day-lost" else f"date({theme.day})"
    count = f"{day} BETWEEN '{query.first:%F}' AND '{query.last:%F}'"
    if mistake != "all-states":
        count = f"{theme.state} = '{query.state}' AND {count}"
    value = f"COALESCE({'MAX' if query.largest else 'SUM'}({theme.amount}), 0)"
    if query.level == 1:
        return (
            f"SELECT {theme.kind}, COUNT(*) AS {names[1]}, {value} AS {names[2]} FROM "
            f"{theme.items} WHERE {count} GROUP BY 1"
        )
    join = f"{theme.items} i ON i.{theme.owner} = o.id"
    if query.level == 2:
        kind = "JOIN" if mistake == "inner-join" else "LEFT JOIN"
        return (
            f"SELECT o.name, COUNT(i.id) AS {names[1]}, {value} AS {names[2]} FROM {theme.owners} "
            f"o {kind} {join} AND {count} GROUP BY o.id"
        )
    number = "COUNT(*)" if mistake == "lines-counted" else "COUNT(DISTINCT i.id)"
    quantity = "l.quantity" if mistake == "nulls-ignored" else "COALESCE(l.quantity, 1)"
    inner = (
        f"SELECT o.{theme.group}, o.name, {number} AS {names[3]}, SUM({quantity} * "
        f"l.unit_{theme.amount}) AS {names[4]} FROM {theme.owners} o JOIN {join} JOIN "
        f"{theme.lines} l ON l.{theme.item} = i.id WHERE {count} GROUP BY o.id"
    )
    rank = (
        f"ROW_NUMBER() OVER (PARTITION BY {theme.group} ORDER BY {names[4]} DESC, "
        f"name{' DESC' if query.backwards else ''})"
    )
    return f"SELECT {', '.join(names)} FROM (SELECT *, {rank} AS place FROM ({inner})) WHERE place <= {query.top}"


def _order(query: Query, backwards: bool) -> str:
    names = query.header()
    return f"{names[0]}, place" if query.level == 3 else (f"{names[2]} DESC, {names[0]}{' DESC' if backwards else ''}")


def _oracle(query: Query, mistake: str = "", *, header: bool = True, index: bool = True) -> tuple[str, ...]:
    order = _order(query, query.backwards != (mistake == "other-tie-break"))
    if mistake == "smallest-first":
        order = order.replace(" DESC", "", 1)
    folder, select = query.report.rpartition("/")[0], _select(query, mistake)
    separator = query.separator.replace("\t", "\\t")
    if query.level == 1:  # by hand in sqlite's own shell
        return (
            f"mkdir -p {folder}; sqlite3 {query.db}\n",
            ".schema\n",
            f".headers {'on' if header else 'off'}\n",
            ".mode list\n",
            f'.separator "{separator}"\n',
            f".output {query.report}\n",
            f"{select} ORDER BY {order};\n",
            ".quit\n",
            f"cat {query.report}\n",
        )
    keys = [f"mkdir -p {folder}; sqlite3 {query.db} .schema\n"]
    if mistake == "frozen-view":
        keys.append(f'sqlite3 {query.db} "CREATE TABLE frozen AS {select}"\n')
        select = "SELECT * FROM frozen"
    if mistake != "no-view":
        keys.append(f'sqlite3 {query.db} "CREATE VIEW {query.view} AS {select}"\n')
    if query.level == 3 and index:
        keys.append(
            f'sqlite3 {query.db} "CREATE INDEX {query.index} ON {query.theme.items} '
            f'({query.theme.owner}, {query.theme.day})"\n'
        )
    source = f"({select})" if mistake == "no-view" else query.view
    options = f"{'-header ' if header else ''}-separator $'{separator}'"
    keys.append(f'sqlite3 {options} {query.db} "SELECT * FROM {source} ORDER BY {order}" > {query.report}\n')
    return (*keys, f"cat {query.report}\n")


def _wrong(query: Query) -> dict[str, tuple[str, ...]]:
    mistakes = (
        ("all-states", "last-day-lost", "smallest-first"),
        ("inner-join", "last-day-lost", "other-tie-break", "no-view", "frozen-view"),
        ("lines-counted", "nulls-ignored", "no-view", "frozen-view"),
    )[query.level - 1]
    wrong = {mistake: _oracle(query, mistake) for mistake in mistakes}
    wrong["no-header"] = _oracle(query, header=False)
    if query.level == 3:
        wrong["no-index"] = _oracle(query, index=False)
    forge = "echo 1 > /logs/verifier/reward.txt; cp /tests/expected"
    wrong["forged-reward"] = (
        "mkdir -p /logs/verifier /tests; echo 1 | tee /logs/verifier/reward.txt /tests/expected > /dev/null\n",
        f"mkdir -p {query.report.rpartition('/')[0]}; ln -s /tests/expected {query.report}\n",
        f"sqlite3 {query.db} \"CREATE VIEW {query.view} AS SELECT edit('x', '{forge} "
        f"{query.report}; true') AS name\"\n",
    )
    return wrong


_COPY = """\
# Makes $copy a copy of the database, and `ask` a sqlite3 that runs nothing but SQL, for a bounded time.
db={db}
[ "$(realpath -e -- "$db")" = "$db" ] && [ -f "$db" ] || exit 1
[ "$(stat -c %s -- "$db")" -le 8388608 ] || exit 1
copy=$(mktemp -d /tests/db.XXXXXX)/db
cp -- "$db" "$copy" || exit 1
log=$db-wal
if [ -f "$log" ] && [ ! -L "$log" ] && [ "$(stat -c %s -- "$log")" -le 8388608 ]; then cp -- "$log" "$copy-wal"; fi
ask() {{
  (ulimit -v 1048576; timeout 5 sqlite3 -batch -safe -init /dev/null -cmd 'PRAGMA trusted_schema=OFF' "$copy" "$1") \
    2> /dev/null | head -c 1000000 | tr '\\0' '?'
}}
"""


def _checks(query: Query, rows: int) -> tuple[Check, ...]:
    theme, cell = query.theme, query.separator.replace("\t", "\\t")
    report = f"""\
file={query.report}
[ "$(realpath -e -- "$file")" = "$file" ] && [ -f "$file" ] || exit 1
[ "$(stat -c %s -- "$file")" -le 65536 ] || exit 1
got=$(tr -d '\\r"' < "$file" | tr '\\0' '?')
want=$(cat /tests/expected)
"""
    form = f"""\
[ "$(head -n 1 <<< "$got")" = "$(head -n 1 <<< "$want")" ] && [ "$(wc -l <<< "$got")" = {rows + 1} ] || exit 1
shape=$'^([^{cell}]+[{cell}]){{{len(query.header()) - 1}}}[0-9]+$'
while read -r line; do [[ $line =~ $shape ]] || exit 1; done < <(tail -n +2 <<< "$got")
"""
    tables = [
        *([theme.owners] if query.level > 1 else []),
        theme.items,
        *([theme.lines] if query.level == 3 else []),
    ]
    reads = "; ".join(f"SELECT * FROM {table} ORDER BY id" for table in tables)
    columns = ", ".join(query.header())
    checks = [
        Check("form", report + form),
        Check("rows", f'{report}[ "$(LC_ALL=C sort <<< "$got")" = "$(LC_ALL=C sort <<< "$want")" ]\n', 2),
        Check("whole", f'{report}[ "$got" = "$want" ]\n', 2),
        Check("tables-kept", f'{report}. /tests/copy.sh\n[ "$(ask "{reads}")" = "$(cat /tests/tables)" ]\n', 0.5),
    ]
    view = f"""\
. /tests/copy.sh
[ "$(ask "SELECT type FROM sqlite_schema WHERE name = '{query.view}'")" = view ] || exit 1
[ "$(ask "SELECT {columns} FROM {query.view}" | LC_ALL=C sort)" = "$(cat /tests/now)" ] || exit 1
ask "$(cat /tests/change.sql)"
[ "$(ask "SELECT {columns} FROM {query.view}" | LC_ALL=C sort)" = "$(cat /tests/changed)" ]
"""
    index = f"""\
. /tests/copy.sh
[[ $(ask "PRAGMA index_list({theme.items})") == *"|{query.index}|0|c|0"* ]] || exit 1  # and not a partial one
[ "$(ask "PRAGMA index_info({query.index})" | cut -d '|' -f 3 | tr '\\n' ' ')" = '{theme.owner} {theme.day} ' ]
"""
    more = [Check("view", view, 2), Check("index", index)]
    return (*checks, *more[: query.level - 1])


def _instruction(rng: Random, query: Query) -> str:
    what, form, more = _question(query), _form(query), _more(query)
    return rng.choice((
        f"{query.db} is a SQLite database. {what}\n\n{form}{more}",
        f"We have a question about our {query.theme.name} data, kept in the SQLite database "
f"{query.db}.\n\n{what}\n\n{form}{more}",
        f"Query the SQLite database {query.db} and write the answer to "
f"{query.report}.\n\n{form}\n\nThe question: {what}{more}",
        f"{what} The data is in {query.db}, a SQLite database; have a look at its schema "
f"first.\n\n{form}{more}",
    )) + "\n\nThe rows of the existing tables must not change."  # fmt: skip


def _question(query: Query) -> str:
    theme = query.theme
    which = (
        f"{theme.items} whose {theme.state} is '{query.state}' and whose {theme.day} lies "
        f"between {query.first:%F} and {query.last:%F}, both days included in full"
    )
    value = f"the {'largest' if query.largest else 'sum of'} {theme.amount}"
    if query.level == 1:
        return (
            f"Count only the {which}. For each {theme.kind} that has any: how many {theme.items} "
            f"are there, and what is {value}?"
        )
    if query.level == 2:
        return (
            f"For each row of {theme.owners}, also those without any: how many {which}, does it "
            f"have, and what is {value} of these? Where {theme.amount} is NULL it counts as 0, "
            f"but the row still counts as one of the {theme.items}; where there are none, both "
            f"numbers are 0. Rows of {theme.items} that belong to nobody are left out."
        )
    return (
        f"Rank the {theme.owners} within each {theme.group}. Consider only {which}. The value "
        f"of one row of {theme.items} is the sum of quantity times unit_{theme.amount} over "
        f"its rows in {theme.lines}, where a NULL quantity counts as 1. For each of the "
        f"{theme.owners}, find the number of such {theme.items} and the sum of their values; "
        f"the larger the sum, the better the place in the {theme.group}, and places are 1, 2, "
        f"3 and so on without gaps or repeats. Wanted are the best {query.top} of each "
        f"{theme.group} (fewer if there are fewer with any such {theme.items})."
    )


def _form(query: Query) -> str:
    names, tie = query.header(), "reverse alphabetical" if query.backwards else "alphabetical"
    if query.level == 3:
        order = (
            f"sorted by {names[0]} (alphabetically), then by place; {query.theme.owners} with "
            f"equal sums are placed in {tie} order of their names"
        )
    else:
        order = f"sorted by {names[2]}, largest first, and where that is equal in {tie} order of {names[0]}"
    return (
        f"The answer goes to {query.report} (make the folder if there is none): first a "
        "header line with exactly the column "
        f"names {', '.join(names)}, in this order ({query.theme.items} is how many there "
        f"are), then one line per row, {order}. Columns are separated by "
        f"{_SEPARATORS[query.separator]} without spaces around them, numbers are whole "
        "numbers without a decimal point. Quotes around values make no difference."
    )


def _more(query: Query) -> str:
    text = ""
    if query.level > 1:
        text += (
            f"\n\nAlso create a view {query.view} in the database, with the same columns and rows "
            "(in any order). It must follow when rows are added to the tables."
        )
    if query.level == 3:
        text += (
            f" And create an index {query.index} on the table {query.theme.items}, on the columns "
            f"{query.theme.owner} and {query.theme.day} in this order."
        )
    return text


FAMILY = Family(
    name="sql/query",
    summary="Answer a question over a SQLite database in a file of an exact form, with a view and an index of it.",
    domain="data_querying",
    skills=("SQL", "joins", "window functions", "NULL handling", "sqlite3"),
    generate=generate,
    requires=("sqlite3",),
)
