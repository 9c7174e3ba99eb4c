"""Visits of customers over months: who came back, by cohort, and how long they stay.

Level 2 merges aliases of a customer, level 3 leaves out test accounts by a pattern, level 4 asks for the Kaplan-Meier
share of those still active, level 5 for a breakdown by plan. Events are out of order, and some are doubled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import answer, report
from termgym.family import Draft, Family
from termgym.lexicon import FAMILY_NAMES, PLACES, SERVICES
from termgym.task import File, Limits

ASKS = (
    "How many customers of {service} come back? {form}\n\n{rules}\n\n{out}\n",
    "A retention table is needed from {folder}. {form}\n\n{out}\n\n{rules}\n",
    "{form} That is what {folder} holds. Please work out the retention of {service}.\n\n{rules}\n\n{out}\n",
    "{out}\n\nThe data of {service} are in {folder}. {form}\n\n{rules}\n",
)
FORM = (
    "Each line of visits.{ext} is date (YYYY-MM-DD){sep}customer{sep}minutes; {folder} may have more files that the"
    " rules name."
)
COHORT = "- A customer's cohort is the month (YYYY-MM) of the first visit. Several visits in a month count once."
ALIASES = "- aliases.txt has lines ALIAS CUSTOMER: they are the same person, and go by the name CUSTOMER."
TESTS = "- Customers whose name begins with {mark} are tests, and do not count."
OUT = (
    "Write {out}/retention.txt: the header cohort,size,m1,m2, then a line for each cohort, the oldest first: the month,"
    " how many customers it has, and how many of these visited one and two months after it (any later month does not"
    " matter). Write {out}/numbers.txt with lines NAME = VALUE: customers, how many there are in all; and busiest, the"
    " month with the most different customers (the earliest of equals)."
)
SURVIVAL = (
    " A line survival.K (K = 1, 2, 3) has the Kaplan-Meier share: a customer is observed from the month of the first"
    " visit for d = months to the last visit. Whose last visit is in {last}, the last month of all, is censored at d,"
    " else has ended at d. survival.K is the product over d = 0..K of 1 - ended(d) / at_risk(d), where at_risk(d)"
    " counts those whose own d is d or more; 3 decimals, compared to within 0.002."
)
PLANS = (
    " plans.txt has lines CUSTOMER PLAN; a line plan.PLAN has the number of customers of each plan who visited in"
    " {last}."
)
PROGRAM = """\
import os
months = lambda text: int(text[:4]) * 12 + int(text[5:7])
name = lambda m: "%04d-%02d" % ((m - 1) // 12, (m - 1) % 12 + 1)
alias = dict(line.split() for line in open({folder!r} + "/aliases.txt")) if {level} > 1 else {{}}
seen = {{}}
for line in open({folder!r} + "/visits.{ext}"):
    date, who, _ = line.strip().split({sep!r})
    who = alias.get(who, who)
    if {level} > 2 and who.startswith({mark!r}):
        continue
    seen.setdefault(who, set()).add(months(date))
os.makedirs({out!r}, exist_ok=True)
table = open({out!r} + "/retention.txt", "w")
table.write("cohort,size,m1,m2\\n")
for first in sorted({{min(s) for s in seen.values()}}):
    mine = [s for s in seen.values() if min(s) == first]
    after = [sum(first + k in s for s in mine) for k in (1, 2)]
    table.write("%s,%d,%d,%d\\n" % (name(first), len(mine), *after))
numbers = open({out!r} + "/numbers.txt", "w")
every = sorted({{m for s in seen.values() for m in s}})
busiest = max(every, key=lambda m: (sum(m in s for s in seen.values()), -m))
numbers.write("customers = %d\\nbusiest = %s\\n" % (len(seen), name(busiest)))
if {level} > 3:
    d = {{w: max(s) - min(s) for w, s in seen.items()}}
    ended = {{w for w, s in seen.items() if max(s) < every[-1]}}
    share = 1
    for k in range(4):
        risk = sum(v >= k for v in d.values())
        share *= 1 - sum(d[w] == k for w in ended) / risk if risk else 1
        if k:
            numbers.write("survival.%d = %.3f\\n" % (k, share))
if {level} > 4:
    plan = dict(line.split() for line in open({folder!r} + "/plans.txt"))
    for one in sorted(set(plan.values())):
        numbers.write("plan.%s = %d\\n" % (one, sum(every[-1] in s for w, s in seen.items() if plan.get(w) == one)))
"""


@dataclass(frozen=True, slots=True)
class Visits:
    """Customer -> the months, counted from 0, of the visits."""

    months: Mapping[str, Sequence[int]]
    year: int
    last: int

    def name(self, month: int) -> str:
        """YYYY-MM."""
        return f"{self.year + month // 12}-{month % 12 + 1:02}"


def generate(rng: Random, level: int) -> Draft:
    """The visits of some dozen customers."""
    service, mark = rng.choice(SERVICES), rng.choice(("test-", "qa-", "zz-"))
    folder, out = f"/app/{rng.choice(PLACES)}", f"/app/{rng.choice(('report', 'out', 'result'))}"
    ext, sep = rng.choice((("csv", ","), ("txt", " "), ("psv", "|")))
    visits = _visits(rng, level)
    aliases = {f"{who}{rng.randint(2, 9)}": who for who in rng.sample(sorted(visits.months), 3)} if level > 1 else {}
    lines = _lines(rng, visits, aliases, mark if level > 2 else "", sep)
    plans = {who: rng.choice(("free", "basic", "gold")) for who in visits.months}
    program = PROGRAM.format(folder=folder, out=out, ext=ext, sep=sep, level=level, mark=mark)
    rules = [COHORT, *([ALIASES] if level > 1 else []), *([TESTS.format(mark=mark)] if level > 2 else [])]
    told = OUT.format(out=out) + (SURVIVAL.format(last=visits.name(visits.last)) if level > 3 else "")
    told += PLANS.format(last=visits.name(visits.last)) if level > 4 else ""
    numbers = _numbers(visits, level, plans)
    wrong = {
        "visits-counted": program.replace("len(mine),", "sum(map(len, mine)),"),
        "aliases-apart": program.replace("alias.get(who, who)", "who"),
        "tests-counted": program.replace("who.startswith(", "not who and who.startswith("),
        "any-later-month": (program.replace("first + k in s", "max(s) >= first + k")),
        "last-month-lost": (program.replace("len(seen), name", "len(seen) - 1, name")),
    }
    for name in ("aliases-apart",) * (level < 2) + ("tests-counted",) * (level < 3):
        del wrong[name]
    files = {f"{folder}/visits.{ext}": "".join(lines)}
    files |= {f"{folder}/aliases.txt": "".join(f"{a} {b}\n" for a, b in aliases.items())} if level > 1 else {}
    files |= {f"{folder}/plans.txt": "".join(f"{a} {b}\n" for a, b in plans.items())} if level > 4 else {}
    return Draft(
        instruction=rng.choice(ASKS).format(
            service=service,
            folder=folder,
            form=FORM.format(ext=ext, sep=sep, folder=folder),
            rules="\n".join(rules),
            out=told,
        ),
        checks=(
            *report(f"{out}/retention.txt", "\n".join(["cohort,size,m1,m2", *_table(visits)])),
            *(
                answer(f"{out}/numbers.txt", key, value, tolerance=0.002 if isinstance(value, float) else None)
                for key, value in numbers.items()
            ),
        ),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items()},
        files={path: File.of(text) for path, text in files.items()},
        limits=Limits(turns=30),
    )


def _visits(rng: Random, level: int) -> Visits:
    """Customers who start in the first months; some skip one, so that returning later is not returning then."""
    last = 5 + level
    months: dict[str, Sequence[int]] = {}
    for number, who in enumerate(rng.sample(FAMILY_NAMES, 12 + 4 * level)):
        first = number % (last - 2)
        later = [m for m in range(first + 1, last + 1) if rng.random() < 0.5]
        later = [m for m in later if m != first + 1] + [first + 3] if number % 4 == 1 else later
        months[who.lower()] = [first, *sorted({m for m in later if m <= last})]
    months[next(iter(months))] = [0, last]
    return Visits(months, rng.randint(2017, 2023), last)


def _lines(rng: Random, visits: Visits, aliases: Mapping[str, str], mark: str, sep: str) -> list[str]:
    """Each visit once or twice, under the name or an alias."""
    known = dict(visits.months)
    known |= {f"{mark}{number}": [0, 1, 2, visits.last] for number in range(3)} if mark else {}
    lines: list[str] = []
    for who, months in known.items():
        names = [who, *(alias for alias, name in aliases.items() if name == who)]
        for number, month in enumerate(months):
            for _ in range(rng.randint(1, 2)):
                day, name = rng.randint(1, 28), names[-1] if number % 2 else rng.choice(names)
                lines.append(sep.join((f"{visits.name(month)}-{day:02}", name, str(rng.randint(1, 90)))) + "\n")
    rng.shuffle(lines)
    return lines


def _table(visits: Visits) -> list[str]:
    rows: list[str] = []
    for first in sorted({months[0] for months in visits.months.values()}):
        mine = [set(months) for months in visits.months.values() if months[0] == first]
        after = [sum(first + k in months for months in mine) for k in (1, 2)]
        rows.append(f"{visits.name(first)},{len(mine)},{after[0]},{after[1]}")
    return rows


def _numbers(visits: Visits, level: int, plans: Mapping[str, str]) -> dict[str, str | float]:
    counts = [sum(m in months for months in visits.months.values()) for m in range(visits.last + 1)]
    found: dict[str, str | float] = {
        "customers": str(len(visits.months)),
        "busiest": visits.name(counts.index(max(counts))),
    }
    spans = [(months[-1] - months[0], months[-1] < visits.last) for months in visits.months.values()]
    share = 1.0
    for k in range(4 if level > 3 else 0):
        risk = [ended for d, ended in spans if d >= k]
        share *= 1 - sum(ended for d, ended in spans if d == k) / len(risk) if risk else 1
        found |= {f"survival.{k}": share} if k else {}
    for plan in sorted(set(plans.values())) if level > 4 else ():
        found[f"plan.{plan}"] = str(
            sum(plans[who] == plan and visits.last in months for who, months in visits.months.items())
        )
    return found


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; ls; head -n 4 *\n",
        f"cat > /tmp/keep.py <<'END'\n{program}END\n",
        "python3 /tmp/keep.py\n",
        f"cat {out}/*\n",
    )


FAMILY = Family(
    name="stats/retention",
    summary="Work out from visits which customers come back, by cohort, and how long they stay.",
    domain="data_science",
    skills=("dates", "aggregation", "pivoting"),
    deeper={2: ("record-linkage",), 3: ("data-cleaning",), 4: ("statistics",), 5: ("joins",)},
    generate=generate,
    requires=("python3",),
)
