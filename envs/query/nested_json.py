"""Documents as lines of JSON, nested and uneven, and a question over them that is to be answered in an exact form.

The generator plants documents that lack parts, numbers written as text, and duplicates. Level 2 joins a second file by
id, level 3 has lists within, level 4 duplicates by a newer version, level 5 a ranking within groups.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from termgym.checks import report
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, PLACES, SERVICES, TOWNS, people
from termgym.task import File, Limits

ASKS = (
    "{orders} has an order per line, as JSON{customers}. {question}\n\n{rules}\n\n{out}\n",
    "A question on the orders of {service} (JSON lines in {orders}{customers}): {question}\n\n{out}\n\n{rules}\n",
    "{question} The orders are in {orders}, one JSON object per line{customers}.\n\n{rules}\n\n{out}\n",
    (
        "{out}\n\nIt answers a question about {orders}, where each line is an order in JSON{customers}."
        " {question}\n\n{rules}\n"
    ),
)
QUESTION = {
    1: "How many orders does each {group} have, and what do they come to?",
    5: "Which {top} customers of each {group} spent most?",
}
RULES = {
    1: "- An order's {group} is at {path}. Where that is missing or null it is unknown.",
    2: '- An order comes to the number at {amount}; it may be written as text ("12"), and where it is missing it is 0.',
    3: (
        "- The {group} is not the order's but that of its customer: {key} of the order is id in {customers}, and {path}"
        " is there. Orders of customers that are not in that file do not count."
    ),
    4: (
        "- An order comes to the sum of price times count over its lines, {lines}; a line without count counts once,"
        " and a line whose state is cancelled does not count."
    ),
    5: (
        "- Several lines may be the same order (the same {id}): the one with the highest {version} counts, and the"
        " others do not."
    ),
}
OUT = (
    "Write {out}: the header {header}, then the rows, {order}. Fields are separated by {sep_name}, without quotes; all"
    " numbers are whole."
)
PROGRAM = """\
import json
rows = [json.loads(line) for line in open({orders!r})]
def at(row, path):
    for part in path.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row
level = {level}
if level > 3:
    newest = {{}}
    for row in rows:
        if row[{id!r}] not in newest or row[{version!r}] > newest[row[{id!r}]][{version!r}]:
            newest[row[{id!r}]] = row
    rows = list(newest.values())
customers = {{c["id"]: c for c in map(json.loads, open({customers!r}))}} if level > 1 else {{}}
groups = {{}}
for row in rows:
    source = row
    if level > 1:
        source = customers.get(row.get({key!r}))
        if source is None:
            continue
    group = at(source, {path!r}) or "unknown"
    if level > 2:
        amount = sum(int(l["price"]) * int(l.get("count", 1)) for l in row[{lines!r}] if l.get("state") != "cancelled")
    else:
        amount = int(at(row, {amount!r}) or 0)
    groups.setdefault(group, []).append((source.get("name"), amount))
sep = {sep!r}
print({header!r})
for group in sorted(groups):
    if level < 5:
        print(sep.join([group, str(len(groups[group])), str(sum(a for _, a in groups[group]))]))
        continue
    spent = {{}}
    for name, amount in groups[group]:
        spent[name] = spent.get(name, 0) + amount
    for name in sorted(spent, key=lambda n: (-spent[n], n))[:{top}]:
        print(sep.join([group, name, str(spent[name])]))
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the parts of an order are called."""

    group: str
    path: str
    amount: str
    key: str
    lines: str
    id: str
    version: str


def generate(rng: Random, level: int) -> Draft:
    """One set of orders."""
    group = rng.choice(("region", "town", "channel", "depot"))
    outer = rng.choice(("address", "origin", "info"))
    shape = Shape(
        group,
        f"{outer}.{group}",
        f"{rng.choice(('total', 'sum'))}.{rng.choice(('net', 'gross', 'value'))}",
        rng.choice(("customer", "buyer", "client")),
        rng.choice(("lines", "items", "positions")),
        rng.choice(("order", "no", "ref")),
        rng.choice(("version", "rev", "change")),
    )
    folder = f"/app/{rng.choice(PLACES)}"
    orders, customers = f"{folder}/orders.jsonl", f"{folder}/{rng.choice(('customers', 'people', 'accounts'))}.jsonl"
    top, sep = rng.randint(2, 3), rng.choice(("\t", ";", "|", ","))
    who = _customers(rng, shape, level)
    rows = _orders(rng, shape, who, level)
    header = sep.join((group, "name", "spent") if level == 5 else (group, "orders", "sum"))
    wanted = _wanted(shape, rows, who, level, top, sep)
    out = f"/app/{rng.choice(('answer', 'result', 'table'))}.{rng.choice(('txt', 'csv', 'tsv'))}"
    fields = {
        **{name: getattr(shape, name) for name in Shape.__slots__},
        "customers": customers,
        "orders": orders,
        "top": top,
    }
    fields["path"] = shape.path
    chosen = {1: (1, 2), 2: (3, 2), 3: (3, 4), 4: (3, 4, 5), 5: (3, 4, 5)}[level]
    rules = [RULES[one].format(**fields) for one in chosen]
    rules += [RULES[1].split(". ")[1].replace("it is", f"the {group} is")] if level > 1 else []
    order = f"sorted by {group} (byte order)" + (
        f", the one who spent most first, equal ones by name; at most {top} for each {group}" if level == 5 else ""
    )
    program = PROGRAM.format(**fields, level=level, sep=sep, header=header)
    wrong = {
        "unknown-dropped": program.replace(
            'or "unknown"\n', 'or "unknown"\n    if group == "unknown":\n        continue\n'
        ),
        "text-as-zero": program.replace("int(at(row", "(lambda x: x if isinstance(x, int) else 0)(at(row"),
        "strangers-counted": program.replace(
            "source is None:\n            continue", "source is None:\n            source = row"
        ),
        "cancelled-counted": program.replace(' if l.get("state") != "cancelled"', ""),
        "all-versions": program.replace("rows = list(newest.values())", "pass"),
        "header-only": f"print({header!r})\n",
    }
    unfit = ["text-as-zero" if level > 2 else "cancelled-counted"]
    unfit += ["strangers-counted"] * (level < 2) + ["all-versions"] * (level < 4)
    return Draft(
        instruction=rng.choice(ASKS).format(
            orders=orders,
            service=rng.choice(SERVICES),
            question=QUESTION[5 if level == 5 else 1].format(**fields),
            customers=f", and {customers} a customer per line" if level > 1 else "",
            rules="\n".join(rules),
            out=OUT.format(
                out=out,
                header=header.replace("\t", "<tab>"),
                order=order,
                sep_name="a tab" if sep == "\t" else f'"{sep}"',
            ),
        ),
        checks=report(out, "\n".join([header, *wanted])),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items() if name not in unfit},
        files={orders: File.of(_jsonl(rows))} | ({customers: File.of(_jsonl(who))} if level > 1 else {}),
        limits=Limits(turns=30),
    )


def _jsonl(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _customers(rng: Random, shape: Shape, level: int) -> list[dict[str, Any]]:
    outer, inner = shape.path.split(".")
    groups = rng.sample(TOWNS, 3 + level // 2)
    found: list[dict[str, Any]] = []
    for number, name in enumerate(people(rng, 6 + 3 * level)):
        place = {inner: rng.choice(groups)} if number % 5 else ({inner: None} if number else {})
        found.append({"id": f"c{rng.randint(100, 999)}{number}", "name": name, outer: place})
    return found


def _orders(rng: Random, shape: Shape, who: Sequence[Mapping[str, Any]], level: int) -> list[dict[str, Any]]:
    outer = shape.path.split(".")[0]
    first, second = shape.amount.split(".")
    rows: list[dict[str, Any]] = []
    for number in range(20 + 10 * level):
        customer = who[number % len(who)]
        amount: Any = rng.randint(5, 900)
        row: dict[str, Any] = {
            shape.id: 1000 + number,
            shape.version: 1,
            shape.key: customer["id"] if number % 11 else "c0",
        }
        row[outer] = dict(customer[outer]) if level == 1 else {"street": f"{rng.choice(ITEMS)} road"}
        row[first] = {} if number % 7 == 6 else {second: str(amount) if number % 3 == 1 else amount}
        row[shape.lines] = [_line(rng, k) for k in range(rng.randint(2, 3))]
        rows.append(row)
        if level > 3 and number % 4 == 0:
            newer = {**row, shape.version: rng.choice((2, 10)), shape.lines: [_line(rng, 0), _line(rng, 1)]}
            rows += [newer, {**newer, shape.version: 1, shape.lines: []}] if number % 8 else [newer]
    rng.shuffle(rows)
    return rows


def _line(rng: Random, number: int) -> dict[str, Any]:
    line: dict[str, Any] = {"item": rng.choice(ITEMS), "price": rng.randint(2, 90)}
    if number != 1:
        line["count"] = rng.randint(2, 9)
    return line | ({"state": "cancelled"} if number == 0 and rng.random() < 0.5 else {"state": "sent"})


def _wanted(
    shape: Shape, rows: Sequence[dict[str, Any]], who: Sequence[dict[str, Any]], level: int, top: int, sep: str
) -> list[str]:
    outer, inner = shape.path.split(".")
    known = {one["id"]: one for one in who}
    if level > 3:
        best = {
            no: max(row[shape.version] for row in rows if row[shape.id] == no) for no in {row[shape.id] for row in rows}
        }
        rows = [row for row in rows if row[shape.version] == best[row[shape.id]]]
    first, second = shape.amount.split(".")
    found: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        source = row if level == 1 else known.get(row[shape.key])
        if source is None:
            continue
        if level > 2:
            lines = [line for line in row[shape.lines] if line.get("state") != "cancelled"]
            amount = sum(line["price"] * line.get("count", 1) for line in lines)
        else:
            amount = int(row[first].get(second, 0))
        found.setdefault(source[outer].get(inner) or "unknown", {}).setdefault(source.get("name", ""), []).append(
            amount
        )
    if level < 5:
        sums = {group: [a for amounts in names.values() for a in amounts] for group, names in sorted(found.items())}
        return [sep.join((group, str(len(amounts)), str(sum(amounts)))) for group, amounts in sums.items()]
    ranked = {
        group: sorted(names, key=lambda name: (-sum(names[name]), name))[:top] for group, names in sorted(found.items())
    }
    return [sep.join((group, name, str(sum(found[group][name])))) for group, names in ranked.items() for name in names]


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; wc -l *; head -n 3 *\n",
        f"cat > /tmp/ask.py <<'END'\n{program}END\n",
        f"python3 /tmp/ask.py > {out}\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="query/nested-json",
    summary="Answer a question over nested JSON documents in a table of an exact form.",
    domain="data_querying",
    skills=("json", "nested-data", "aggregation"),
    deeper={2: ("joins",), 4: ("deduplication",), 5: ("window-functions",)},
    generate=generate,
    requires=("python3",),
)
