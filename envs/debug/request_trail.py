"""Logs of several services, tied together by request ids: which requests failed, where it began, and what set it off.

Every service writes in a form of its own. Level 2 has clocks that differ, level 3 retries that ended well, level 4 a
change of a setting as the cause, level 5 a service that changes the id of what it passes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from termgym.checks import answer, report
from termgym.family import Draft, Family
from termgym.lexicon import PLACES, SERVICES, token
from termgym.task import File, Limits

ASKS = (
    "Some requests failed last night. {form}\n\n{questions}\n",
    "Find out from the logs in {folder} what went wrong. {form}\n\n{questions}\n",
    "{form} A post-mortem has to answer:\n\n{questions}\n",
    "The logs of our services are in {folder}. {form}\n\n{questions}\n",
)
FORM = (
    "{folder} has a log for each service; each line has a time, a level (info, warn or error), a request id and what"
    " happened, in a form that differs between the services.{clocks} A request failed if it has a line of level"
    " error{retries}.{ids}"
)
CLOCKS = " The clock of {late} was {ahead} seconds fast: subtract them from its times."
RETRIES = ' and no later line "done" of {front}'
IDS = (
    ' {renamer} gives requests an id of its own and says which in a line "OLD becomes NEW"; services behind it know the'
    " new one alone: it is the same request, known by the old one."
)
QUESTIONS = {
    "failed": "- {out}/failed.txt: below a line failed, the ids of the requests that failed, sorted.",
    "origin": (
        "- {out}/answers.txt: lines NAME = VALUE. origin: the service whose log has the first error of most of the"
        " failed requests."
    ),
    "first": "  first: the time of the very first error of a failed request, as HH:MM:SS (by a right clock).",
    "worst": "  worst: the failed request with the most lines, in all logs (the alphabetically first of equals).",
    "cause": (
        "  cause: the setting, of all that {folder}/changes.log has, that was changed last before the first error."
    ),
}
PROGRAM = """\
import os, re
from datetime import datetime, timedelta
from collections import Counter
folder, level = {folder!r}, {level}
lines, alias = [], {{}}
for file in os.listdir(folder):
    service = file[:-4]
    if service == "changes":
        continue
    for text in open(folder + "/" + file):
        time = re.search(r"\\d\\d:\\d\\d:\\d\\d", text)[0]
        rank = re.search(r"\\b(info|warn|error)\\b", text.lower())[1]
        ident = re.search(r"\\breq-[a-z0-9]+", text)[0]
        t = datetime.strptime(time, "%H:%M:%S") - timedelta(seconds={ahead} if service == {late!r} and level > 1 else 0)
        other = re.search(r"(req-[a-z0-9]+) becomes (req-[a-z0-9]+)", text)
        if other and level > 4:
            alias[other[2]] = other[1]
        lines.append((t, service, rank, ident, text))
lines.sort(key=lambda line: line[0])
errors, done, count = {{}}, {{}}, Counter()
for t, service, rank, ident, text in lines:
    ident = alias.get(ident, ident)
    count[ident] += 1
    if rank == "error":
        errors.setdefault(ident, []).append((t, service))
    if service == {front!r} and re.search(r"\\bdone\\b", text):
        done[ident] = t
failed = sorted(i for i in errors if not (level > 2 and i in done and done[i] > errors[i][-1][0]))
os.makedirs({out!r}, exist_ok=True)
open({out!r} + "/failed.txt", "w").write("".join(f + "\\n" for f in ["failed"] + failed))
begin = min(errors[i][0] for i in failed)
origin = Counter(errors[i][0][1] for i in failed).most_common(1)[0][0]
found = ["origin = " + origin, "first = " + begin[0].strftime("%H:%M:%S")]
found.append("worst = " + min(failed, key=lambda i: (-count[i], i)))
if level > 3:
    changes = [(datetime.strptime(l.split()[0], "%H:%M:%S"), l.split()[2]) for l in open(folder + "/changes.log")]
    found.append("cause = " + max(c for c in changes if c[0] < begin[0])[1])
open({out!r} + "/answers.txt", "w").write("\\n".join(found) + "\\n")
"""
FORMS = (
    "{time} {level} [{id}] {text}",
    "[{time}] {LEVEL}: {text} ({id})",
    '{id} {time} level={level} msg="{text}"',
    "time={time} id={id} {LEVEL} {text}",
    "{level} | {time} | {id} | {text}",
    "{time},{LEVEL},{id},{text}",
)
WORDS = (
    "cache miss",
    "query took 12 ms",
    "queued",
    "sent",
    "3 rows",
    "token valid",
    "slow answer",
    "retrying",
    "lock taken",
)
ERRORS = ("timed out", "connection refused", "no space left", "bad gateway", "deadlock found")
SETTINGS = ("pool.size", "cache.ttl", "timeout.read", "retry.max", "queue.depth", "tls.verify", "batch.rows")


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a log, at a right time."""

    at: datetime
    service: str
    level: str
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, and the answers."""

    events: Sequence[Event]
    failed: Sequence[str]
    origin: str
    first: datetime
    worst: str
    changes: Sequence[tuple[datetime, str]]


def generate(rng: Random, level: int) -> Draft:
    """One night."""
    services = rng.sample(SERVICES, 4 if level < 4 else 5)
    story = _story(rng, services, level)
    folder, out = f"/app/{rng.choice(PLACES)}", f"/app/{rng.choice(('report', 'findings', 'mortem'))}"
    late, ahead = services[2], rng.randint(40, 80)
    fields = {"folder": folder, "out": out, "late": late, "ahead": ahead, "front": services[0], "renamer": services[1]}
    form = FORM.format(
        **fields,
        clocks=CLOCKS.format(**fields) if level > 1 else "",
        retries=RETRIES.format(**fields) if level > 2 else "",
        ids=IDS.format(**fields) if level > 4 else "",
    )
    names = ["failed", "origin", "first", "worst", *(["cause"] if level > 3 else [])]
    program = PROGRAM.format(**fields, level=level)
    wanted = {"origin": story.origin, "first": f"{story.first:%H:%M:%S}", "worst": story.worst}
    before = [name for at, name in story.changes if at < story.first]
    wanted |= {"cause": before[-1]} if level > 3 else {}
    wrong = {
        "front-only": program.replace(
            "    service = file[:-4]\n",
            f"    service = file[:-4]\n    if service not in ({services[0]!r}, 'changes'):\n        continue\n",
        ),
        "clock-ignored": program.replace("level > 1", "level > 9"),
        "retries-counted": program.replace("not (level > 2 and", "not (level > 9 and"),
        "ids-apart": program.replace("level > 4", "level > 9"),
        "warnings-too": program.replace('rank == "error"', 'rank in ("warn", "error")'),
        "last-error": program.replace("begin = min(errors[i][0]", "begin = max(errors[i][-1]"),
    }
    for name, needed in {"clock-ignored": 2, "retries-counted": 3, "ids-apart": 5}.items():
        if level < needed or (name == "clock-ignored" and story.origin != late):
            del wrong[name]
    return Draft(
        instruction=rng.choice(ASKS).format(
            folder=folder, form=form, questions="\n".join(QUESTIONS[name].format(**fields) for name in names)
        ),
        checks=(
            *report(f"{out}/failed.txt", "\n".join(["failed", *story.failed])),
            *(answer(f"{out}/answers.txt", name, value) for name, value in wanted.items()),
        ),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items()},
        files={
            f"{folder}/{name}": File.of(text) for name, text in _files(rng, story, services, late, ahead, level).items()
        },
        limits=Limits(turns=40),
    )


def _story(rng: Random, services: Sequence[str], level: int) -> Story:
    """Requests go through the services in their order; where one fails the error comes back through those before."""
    start = datetime(2024, 1, 1, rng.randint(1, 4), rng.randint(0, 59), 0)
    origin, events = rng.randrange(2, len(services)), list[Event]()
    ids = [f"req-{token(rng, 6)}" for _ in range(10 + 4 * level)]
    broken = ids[3 : 6 + level]
    first = start + timedelta(days=9)
    for number, one in enumerate(ids):
        t = start + timedelta(seconds=47 * number + rng.randint(0, 20))
        name, fails = one, one in broken
        recovers = level > 2 and fails and one in broken[1::3]
        for depth, service in enumerate(services):
            for _ in range(rng.randint(1, 3) + 5 * (one == broken[2] and depth == 1)):
                t += timedelta(seconds=rng.randint(1, 2))
                events.append(Event(t, service, rng.choice(("info", "info", "warn")), name, rng.choice(WORDS)))
            if level > 4 and depth == 1:
                name = f"req-{token(rng, 7)}"
                events.append(Event(t, service, "info", one, f"{one} becomes {name}"))
            if fails and depth == origin:
                t += timedelta(seconds=2)
                events.append(Event(t, service, "error", name, rng.choice(ERRORS)))
                first = first if recovers else min(first, t)
                break
        back = services[: origin if fails else 1]
        for depth, service in reversed(list(enumerate(back))):
            t += timedelta(seconds=2)
            mine = one if depth < 2 or level < 5 else name
            events.append(Event(t, service, "error" if fails else "info", mine, "upstream failed" if fails else "done"))
        if recovers:
            events.append(Event(t + timedelta(seconds=3), services[0], "info", one, "done"))
    failed = sorted(one for one in broken if not (level > 2 and one in broken[1::3]))
    counts = {one: 0 for one in failed}
    alias = {event.text.split()[2]: event.id for event in events if " becomes " in event.text}
    for event in events:
        known = alias.get(event.id, event.id)
        if known in counts:
            counts[known] += 1
    worst = min(failed, key=lambda one: (-counts[one], one))
    names = rng.sample(SETTINGS, 5)
    changes = [
        (first + timedelta(seconds=off), name) for off, name in zip((-900, -400, -33, 25, 300), names, strict=True)
    ]
    return Story(events, failed, services[origin], first, worst, changes)


def _files(rng: Random, story: Story, services: Sequence[str], late: str, ahead: int, level: int) -> Mapping[str, str]:
    files: dict[str, str] = {}
    for service, form in zip(services, rng.sample(FORMS, len(services)), strict=True):
        off = timedelta(seconds=ahead if service == late and level > 1 else 0)
        mine = sorted((event for event in story.events if event.service == service), key=lambda event: event.at)
        lines = [
            form.format(
                time=f"{event.at + off:%H:%M:%S}",
                level=event.level,
                LEVEL=event.level.upper(),
                id=event.id,
                text=event.text,
            )
            for event in mine
        ]
        files[f"{service}.log"] = "\n".join([*lines, ""])
    if level > 3:
        files["changes.log"] = "".join(f"{at:%H:%M:%S} set {name} {rng.randint(1, 99)}\n" for at, name in story.changes)
    return files


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; wc -l *; head -n 3 *\n",
        "grep -i error * | head -n 5\n",
        f"cat > /tmp/trail.py <<'END'\n{program}END\n",
        "python3 /tmp/trail.py\n",
        f"cat {out}/*\n",
    )


FAMILY = Family(
    name="debug/request-trail",
    summary="Follow failed requests through the logs of several services to where it began and what set it off.",
    domain="debugging",
    skills=("log-analysis", "root-cause-analysis", "log-formats"),
    deeper={2: ("dates",), 4: ("configuration-files",), 5: ("record-linkage",)},
    generate=generate,
    requires=("python3",),
)
