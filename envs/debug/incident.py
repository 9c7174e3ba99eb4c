"""Several services log what they do for the same requests: find where those that failed broke, and which change did it.

Names, notations, the form of the report and the course of events change with the seed. The service that logs most
errors is never the one that broke. Level 2 brings rotated logs and errors that a second try made good; level 3 a
notation of its own for each service, with other clocks; level 4 lines out of order and a count of users; level 5 two
incidents that overlap.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import GIVEN, SERVICES, root, token
from termgym.task import Check, File, Limits

from ._services import FORMS, Event, Form, lines_about, stamp

SETTINGS = "pool.size timeout.ms retry.limit tls.verify cache.ttl queue.depth log.sample batch.rows".split()

OPENINGS = (
    "Requests to {edge} have failed. The logs of all services are in {logs}, and {changes} says who changed what.",
    "Post-mortem: {logs} has the logs of the services behind {edge}, {changes} the changes of the day. Find out what "
    "went wrong.",
    "Please find the root cause of the failed requests. Logs: {logs}. Changes: {changes}. Requests come in at {edge}.",
    "Users complain about {edge}. What the services behind it logged is in {logs}; what was changed is in {changes}.",
)
RULES = (
    "A request is known by the same name in all logs. It failed if the log of {edge} gives it a status of 500 or more. "
    "It broke at the service whose error about it is the earliest in time; errors about requests that did not fail do "
    "not count."
)
FORMS_NOTE = (
    "Each service has its own way to write a line: times are in UTC, or say what they are, or are in milliseconds."
)
UNSORTED = "Lines are not always in the order of their times."
CAUSE = "The change behind it is the last one made to that service before the first of these errors."
REPORT = "Write {report}, about the service at which most failed requests broke, these {count} lines:\n{lines}"
REPORT_TWO = (
    "Write {report}, about the two services at which most failed requests broke, these {count} lines for each, first "
    "those for the one with more of them:\n{lines}"
)
KEYS = {
    "service": "its name, as its log is called",
    "request": "the first failed request that broke there",
    "since": "when the first failed request broke there: the time of that error in UTC, as {example}",
    "failed": "how many failed requests broke there",
    "change": "the identifier of the change behind it",
    "users": "how many different users had these requests",
}
READ = """\
plain {report} 10000 || exit 1
[ "$(grep '^{key}{colon}' {report} | sed 's/ *$//')" = "$(grep '^{key}{colon}' expected)" ]
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is, and what is asked."""

    level: int
    services: tuple[str, ...]
    """The first one is where requests come in; each calls the next."""
    forms: tuple[Form, ...]
    logs: str
    changes: str
    report: str
    colon: str
    keys: tuple[str, ...]


def generate(rng: Random, level: int) -> Draft:
    """One day, drawn again until what broke is clear and mistakes show."""
    plan = _plan(rng, level)
    while True:
        start = 1_700_000_000_000 + rng.randrange(50_000_000) * 1000
        broken = rng.sample(plan.services[2:], 2 if level > 4 else 1)
        events, begins = _events(rng, plan, start, broken)
        found = _found(plan, events)
        if _telling(plan, events, found, broken):
            break
    first = {service: min(errors)[0] for service, errors in found.items()}
    changes = _changes(rng, plan, start, {one: (begins[one], first[one]) for one in broken})
    due = "".join(_block(plan, events, found[one], changes) for one in _ranked(found)[: len(broken)])
    return Draft(
        instruction=_instruction(rng, plan),
        checks=tuple(
            Check(key, PLAIN + READ.format(report=plan.report, key=key, colon=plan.colon), 2 if key == "change" else 1)
            for key in plan.keys
        ),
        oracle=_oracle(plan),
        wrong=_wrong(plan),
        files={path: File.of(text) for path, text in _files(rng, plan, events, changes).items()},
        tests={"expected": File.of(due)},
        limits=Limits(turns=45),
    )


def _plan(rng: Random, level: int) -> Plan:
    services = tuple(rng.sample(SERVICES, (0, 4, 4, 4, 5, 6)[level]))
    folder = root(rng, "ops")
    forms = [form for _ in range(2) for form in rng.sample(FORMS, len(FORMS))]
    return Plan(
        level=level,
        services=services,
        forms=tuple(forms[: len(services)] if level > 2 else forms[:1] * len(services)),
        logs=f"{folder}/{rng.choice(('logs', 'collected', 'log-bundle'))}",
        changes=f"{folder}/{rng.choice(('changes', 'deployments', 'config-history'))}.txt",
        report=f"/app/{rng.choice(('report', 'cause', 'post-mortem', 'incident'))}.txt",
        colon=rng.choice((":", "=", ": ", " = ")),
        keys=tuple(
            rng.sample(["service", "request", "since", "failed", "change", *["users"] * (level > 3)], 5 + (level > 3))
        ),
    )


def _events(rng: Random, plan: Plan, start: int, broken: Sequence[str]) -> tuple[list[Event], dict[str, int]]:
    """What all services log, and when each broken one begins to break."""
    count, users = (0, 40, 90, 140, 200, 280)[plan.level], rng.sample(GIVEN, 25)
    begins = {service: start + count * rng.randint(250, 450) for service in broken}
    events: list[Event] = []
    for number in range(count):
        at, request = start + number * 1000 + rng.randrange(900), token(rng, 8)
        route = plan.services[: rng.randint(2, len(plan.services))]
        breaks = [one for one in broken if one in route and at > begins[one] and rng.random() < 0.6]
        if not breaks and rng.random() < 0.06:
            breaks = [rng.choice(route[1:])]
        if breaks and breaks[0] in broken and at <= begins[breaks[0]]:
            breaks = []
        deepest = plan.services.index(breaks[-1]) if breaks else 0
        again = plan.level > 1 and not breaks and rng.random() < 0.12
        events += lines_about(rng, route, at, request, deepest, again, rng.choice(users))
    return events, begins


Found = dict[str, list[tuple[int, str]]]
"""Service -> times and requests that broke there."""


def _found(plan: Plan, events: Sequence[Event]) -> Found:
    failed = {event.request for event in events if event.service == plan.services[0] and event.failed}
    first: dict[str, Event] = {}
    for event in sorted(events):
        if event.failed and event.request in failed:
            first.setdefault(event.request, event)
    found = Found()
    for event in first.values():
        found.setdefault(event.service, []).append((event.at, event.request))
    return found


def _ranked(found: Found) -> list[str]:
    return sorted(found, key=lambda service: -len(found[service]))


def _telling(plan: Plan, events: Sequence[Event], found: Found, broken: Sequence[str]) -> bool:
    """Whether the broken services lead, by different numbers, and another one logs more errors."""
    counts = sorted((len(errors) for errors in found.values()), reverse=True)
    errors = Counter(event.service for event in events if event.failed)
    failed = sum(counts)
    return (
        {*_ranked(found)[: len(broken)]} == {*broken}
        and len({*[*counts, 0][: len(broken) + 1]}) == len(broken) + 1
        and failed > counts[0] > 4
        and max(errors, key=lambda service: errors[service]) not in broken
    )


class Change(NamedTuple):
    """A line of the file of changes."""

    at: int
    service: str
    name: str


def _changes(rng: Random, plan: Plan, start: int, broken: dict[str, tuple[int, int]]) -> list[Change]:
    """The changes behind, earlier and later ones to the same service, and others close by."""
    names = [f"{rng.choice(('CHG', 'CR', 'OPS'))}-{number}" for number in rng.sample(range(1000, 9999), 30)]
    others = [other for other in plan.services if other not in broken]
    changes = [Change(start + rng.randrange(40_000), rng.choice(others), names.pop()) for _ in range(plan.level * 2)]
    for one, (begins, first) in broken.items():
        times = [begins - rng.randint(100, 400), start - rng.randrange(90_000), first + rng.randint(2000, 30_000)]
        changes += [Change(at, one, names.pop()) for at in times]
        changes += [Change(begins + rng.randint(-80, 80), rng.choice(others), names.pop()) for _ in range(2)]
    return sorted(changes)


def _block(plan: Plan, events: Sequence[Event], errors: Sequence[tuple[int, str]], changes: Sequence[Change]) -> str:
    at, request = min(errors)
    service = next(event.service for event in events if (event.at, event.request) == (at, request) and event.failed)
    hit = {name for _, name in errors}
    users = {event.text.split()[0] for event in events if event.service == plan.services[0] and event.request in hit}
    change = max(change for change in changes if change.service == service and change.at < at)
    values = {"service": service, "request": request, "since": stamp(at), "failed": len(errors), "change": change.name}
    values |= {"users": len(users)}
    return "".join(f"{key}{plan.colon}{values[key]}\n" for key in plan.keys)


def _files(rng: Random, plan: Plan, events: Sequence[Event], changes: Sequence[Change]) -> dict[str, str]:
    files: dict[str, str] = {}
    for service, form in zip(plan.services, plan.forms, strict=True):
        mine = sorted(event for event in events if event.service == service)
        if plan.level > 3:
            mine.sort(key=lambda event: event.at // 3000 * 3000 + rng.randrange(6000))
        lines, cut = [form.write(event) + "\n" for event in mine], len(mine) * 2 // 3 if plan.level > 1 else 0
        files |= {f"{plan.logs}/{service}.log.1": "".join(lines[:cut])} if cut else {}
        files[f"{plan.logs}/{service}.log"] = "".join(lines[cut:])
    lines = [f"{stamp(at)} {name} {service} {rng.choice(SETTINGS)} {rng.randint(2, 90)} -> {rng.randint(2, 90)}\n"
             for at, service, name in changes]  # fmt: skip
    return {**files, plan.changes: "".join(lines)}


def _instruction(rng: Random, plan: Plan) -> str:
    level = plan.level
    notes = [RULES, *([FORMS_NOTE] * (level > 2)), *([UNSORTED] * (level > 3)), CAUSE]
    example = stamp(1_700_000_000_000 + rng.randrange(10**9))
    lines = "\n".join(f"{key}{plan.colon}<{KEYS[key]}>" for key in plan.keys).replace("{example}", example)
    parts = [rng.choice(OPENINGS), " ".join(notes), REPORT_TWO if level > 4 else REPORT]
    return "\n\n".join(parts).format(
        edge=plan.services[0], logs=plan.logs, changes=plan.changes, report=plan.report, count=len(plan.keys),
        lines=lines,
    ) + "\n"  # fmt: skip


READER = """\
cat > /tmp/logs.py << 'EOF'
import collections, datetime, glob, json, re
def ms(t):
    t = re.sub(r' ([+-]..)(..)$', r'\\1:\\2', t.replace('Z', '+00:00'))
    return round(datetime.datetime.fromisoformat(t).timestamp() * 1000)
{readers}
rows = []
for service, read in {table}.items():
    for path in glob.glob('{logs}/' + service + '.log*'):
        rows += [(*read(line), service) for line in open(path)]
rows.sort()
EOF
"""
FIND = """\
cat > /tmp/find.py << 'EOF'
from logs import *
failed, user, first = set(), {{}}, {{}}
for t, level, rid, text, service in rows:
    if service == '{edge}' and int(text[-3:]) >= 500:
        failed.add(rid)
        user[rid] = text.split()[0]
for t, level, rid, text, service in rows:
    if level == 'ERROR' and rid in failed:
        first.setdefault(rid, (t, rid, service))
broke = collections.Counter(s for _, _, s in first.values())
print(broke)
with open('{report}', 'w') as out:
    for service, n in broke.most_common({most}):
        mine = [one for one in first.values() if one[2] == service]
        t, rid, _ = min(mine)
        made = [l.split() for l in open('{changes}')]
        made = [(ms(c[0]), c[1]) for c in made if c[2] == service and ms(c[0]) < t]
        iso = datetime.datetime.fromtimestamp(t // 1000, datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%S')
        v = dict(service=service, request=rid, since='%s.%03dZ' % (iso, t % 1000), failed=n, change=max(made)[1])
        v['users'] = len({{user[one[1]] for one in mine}})
        for key in {keys}:
            print(key, v[key], sep='{colon}', file=out)
EOF
"""


def _oracle(plan: Plan) -> tuple[str, ...]:
    """A look at each kind of log, one request followed by hand, and the count."""
    readers = "\n".join(f"def read{at}(line):{form.read}" for at, form in enumerate(dict.fromkeys(plan.forms)))
    number = {form: at for at, form in enumerate(dict.fromkeys(plan.forms))}
    table = ", ".join(f"'{s}': read{number[form]}" for s, form in zip(plan.services, plan.forms, strict=True))
    edge, logs = plan.services[0], plan.logs
    return (
        f"ls -l {logs}; tail -n 5 {plan.changes}\n",
        *(f"tail -n 3 {logs}/{service}.log\n" for service in plan.services[: 2 if plan.level < 3 else 9]),
        f"grep -h 'status=5' {logs}/{edge}.log* | head -n 3\n",
        f"r=$(grep -h 'status=5' {logs}/{edge}.log | tail -n 1 | grep -oE '\\b[a-z][a-z2-9]{{7}}\\b' | tail -n 1)\n",
        f'grep -h "$r" {logs}/*\n',
        READER.format(readers=readers, table=f"{{{table}}}", logs=logs),
        FIND.format(edge=edge, report=plan.report, most=2 if plan.level > 4 else 1, changes=plan.changes,
                    keys=[*plan.keys], colon=plan.colon),
        "cd /tmp && python3 find.py\n",
        f"cat {plan.report}\n",
    )  # fmt: skip


def _wrong(plan: Plan) -> dict[str, tuple[str, ...]]:
    oracle = _oracle(plan)
    mistakes = {
        "where-it-showed": ("first.setdefault(rid, (t, rid, service))", "first[rid] = (t, rid, service)"),
        "all-failures-counted": ("failed=n", "failed=len(failed)"),
        "change-of-any-service": ("c[2] == service and ", ""),
        "latest-change": (" and ms(c[0]) < t]", "]"),
    }
    wrong = {name: tuple(keys.replace(*mistake) for keys in oracle) for name, mistake in mistakes.items()}
    return {**wrong, "cheat": (f"ln -s /tests/expected {plan.report}; : > {plan.changes}\n",)}


FAMILY = Family(
    name="debug/incident",
    summary="Find in the logs of several services where requests broke first, and which change did it.",
    domain="debugging",
    skills=("log-analysis", "root-cause-analysis"),
    deeper={2: ("log-rotation",), 3: ("log-formats", "json"), 4: ("sorting",), 5: ("aggregation",)},
    generate=generate,
    requires=("python3", "grep"),
)
