"""A crontab, and questions on when its jobs run; then the changes that are asked for.

Level 2 has steps, ranges and lists, level 3 the rule of days (of the month or of the week), level 4 jobs that collide,
level 5 a change to the crontab so that they do not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from termgym.checks import PLAIN, answer, report
from termgym.family import Draft, Family
from termgym.lexicon import SERVICES, TOPICS
from termgym.task import Check, File, Limits

ASKS = (
    "Look at the schedule in {crontab}. {rules}\n\n{questions}\n",
    "{crontab} says when our jobs run. {rules}\n\n{questions}\n",
    "When do the jobs of {crontab} run? {rules}\n\n{questions}\n",
    "{rules} That is how {crontab} is to be read.\n\n{questions}\n",
)
RULES = (
    "Its lines are minute, hour, day of the month, month, day of the week (0 is Sunday), and the job's name; # begins a"
    " comment line. A field is *, a number{more}.{days}"
)
MORE = (
    ", a range A-B, a list of these by commas, and a range or * may have /STEP (every STEP-th value, beginning with the"
    " first)"
)
DAYS = " If both the day of the month and that of the week are not *, the job runs on days on which either fits."
COUNTS = (
    "- {out}/counts.txt: a line JOB = N for each job: how often it runs from {first} 00:00 up to {last} 23:59, both"
    " included."
)
NEXT = "- {out}/next.txt: a line JOB = YYYY-MM-DD HH:MM for each job: its first run at or after {moment}."
BUSY = (
    "- {out}/busy.txt: every minute in the time of the counts at which {least} or more jobs run, as YYYY-MM-DD HH:MM,"
    " in order, below a line busy."
)
CHANGE = (
    "- In {crontab} change {job} so that it runs at {minute} minutes past each hour from {start} to {end} on working"
    " days (Monday to Friday) only. All other lines stay as they are."
)
PROGRAM = """\
from datetime import datetime, timedelta
import os
def values(field, low, high):
    found = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        a, b = (low, high) if span == "*" else map(int, span.split("-")) if "-" in span else (int(span), int(span))
        found |= set(range(a, b + 1, int(step or 1)))
    return found
jobs = {{}}
for line in open({crontab!r}):
    if line.strip() and not line.startswith("#"):
        m, h, d, mon, w, name = line.split()
        sets = [values(f, *b) for f, b in zip((m, h, d, mon, w), ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6)))]
        jobs[name] = (*sets, d == "*", w == "*")
def runs(job, t):
    m, h, d, mon, w, any_d, any_w = job
    if t.minute not in m or t.hour not in h or t.month not in mon:
        return False
    day, week = t.day in d, (t.weekday() + 1) % 7 in w
    return (day or week) if not any_d and not any_w else (day and week)
os.makedirs({out!r}, exist_ok=True)
first, last, moment = (datetime.fromisoformat(t) for t in ({first!r}, {last!r}, {moment!r}))
counts, busy, t = dict.fromkeys(jobs, 0), [], first
while t < last + timedelta(days=1):
    now = [n for n in jobs if runs(jobs[n], t)]
    for n in now:
        counts[n] += 1
    if len(now) >= {least}:
        busy.append(t.strftime("%Y-%m-%d %H:%M"))
    t += timedelta(minutes=1)
def write(name, lines):
    open({out!r} + "/" + name, "w").write("".join(line + "\\n" for line in lines))
write("counts.txt", ["%s = %d" % (n, counts[n]) for n in sorted(jobs)])
following = []
for n in sorted(jobs):
    t = moment
    while not runs(jobs[n], t):
        t += timedelta(minutes=1) if t.hour in jobs[n][1] else timedelta(minutes=60 - t.minute)
    following.append("%s = %s" % (n, t.strftime("%Y-%m-%d %H:%M")))
write("next.txt", following)
if {level} > 3:
    write("busy.txt", ["busy"] + busy)
"""
FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


@dataclass(frozen=True, slots=True)
class Job:
    """A line of the crontab."""

    name: str
    fields: tuple[str, str, str, str, str]

    def sets(self) -> list[frozenset[int]]:
        """The values of each field."""
        return [_values(text, *bounds) for text, bounds in zip(self.fields, FIELDS, strict=True)]

    def runs(self, start: datetime, days: int) -> Iterator[datetime]:
        """All runs in so many days, in order."""
        minutes, hours, dates, months, weekdays = self.sets()
        either = self.fields[2] != "*" and self.fields[4] != "*"
        for day in (start + timedelta(days=number) for number in range(days)):
            fits = [day.day in dates, day.isoweekday() % 7 in weekdays]
            if day.month in months and (any(fits) if either else all(fits)):
                yield from (day + timedelta(hours=h, minutes=m) for h in sorted(hours) for m in sorted(minutes))


def _values(text: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        ends = [low, high] if span == "*" else [int(end) for end in span.split("-")]
        found |= set(range(ends[0], ends[-1] + 1, int(step or 1)))
    return frozenset(found)


def generate(rng: Random, level: int) -> Draft:
    """One crontab."""
    service = rng.choice(SERVICES)
    crontab, out = (
        rng.choice((f"/etc/cron.d/{service}", f"/app/{service}/crontab", f"/var/spool/{service}.cron")),
        f"/app/{rng.choice(('times', 'runs', 'answers'))}",
    )
    start = datetime(rng.randint(2022, 2027), rng.randint(1, 11), rng.randint(1, 20))
    days, least = rng.randint(6, 9), 2
    if level > 2:  # nine days from a Monday: weekdays that are off by one change every count
        start, days = start - timedelta(days=start.weekday()), 9
    jobs = [_job(rng, name, level, number) for number, name in enumerate(rng.sample(TOPICS, 3 + level))]
    moment = start + timedelta(days=1, hours=rng.randint(0, 23), minutes=rng.randint(0, 59))
    last = start + timedelta(days=days - 1)
    changed, minute, hour = jobs[-1], rng.randint(1, 59), rng.randint(6, 9)
    fields = {
        "crontab": crontab,
        "out": out,
        "least": least,
        "first": f"{start:%Y-%m-%d}",
        "last": f"{last:%Y-%m-%d}",
        "moment": f"{moment:%Y-%m-%d %H:%M}",
        "job": changed.name,
        "minute": minute,
        "start": hour,
        "end": hour + 8,
    }
    asked = [COUNTS, NEXT, *([BUSY] if level > 3 else []), *([CHANGE] if level > 4 else [])]
    text = _text(rng, jobs)
    line = f"{minute} {hour}-{hour + 8} * * 1-5 {changed.name}"
    program = PROGRAM.format(**fields, level=level)
    change = f"sed -i 's@^[^#].* {changed.name}$@{line}@' {crontab}\n" if level > 4 else ""
    questions = "\n".join(one.format(**fields) for one in asked) + (
        "\nThe answers are about the crontab before the change." if level > 4 else ""
    )
    wrong = {
        "last-day-lost": program.replace("last + timedelta(days=1)", "last"),
        "weeks-from-monday": program.replace("(t.weekday() + 1) % 7", "t.weekday()"),
        "steps-ignored": program.replace("int(step or 1)", "1"),
        "after-the-moment": program.replace("    t = moment\n", "    t = moment + timedelta(days=7)\n"),
    }
    for gone in ["steps-ignored"] * (level < 2) + ["weeks-from-monday"] * (level < 3):
        del wrong[gone]
    return Draft(
        instruction=rng.choice(ASKS).format(
            crontab=crontab,
            rules=RULES.format(more=MORE if level > 1 else "", days=DAYS if level > 2 else ""),
            questions=questions,
        ),
        checks=tuple(_checks(jobs, out, start, days, moment, least, level))
        + (_changed(crontab, text, changed, line, level)),
        oracle=_oracle(program, crontab, out, change),
        wrong={name: _oracle(code, crontab, out, change) for name, code in wrong.items()}
        | {"changed-first": _oracle(program.replace("counts[n] += 1", "counts[n] += 2"), crontab, out, change)},
        files={crontab: File.of(text)},
        limits=Limits(turns=30),
    )


def _job(rng: Random, name: str, level: int, number: int) -> Job:
    """The first jobs run often; from level 3 the third has both kinds of days."""
    minute = str(rng.choice((0, 15, 30, 45)))
    hour = "*" if number == 0 else str(rng.randint(0, 23))
    day, week = "*", "*"
    if level > 1:
        minute = rng.choice((minute, f"*/{rng.choice((7, 10, 25))}", f"{rng.randint(0, 9)}-59/20", "0,15,45"))
        minute = f"*/{rng.choice((7, 11, 25))}" if number == 1 else minute
        hour = rng.choice((hour, f"{rng.randint(0, 8)}-{rng.randint(9, 20)}", "*/6", "1,13"))
    if level > 2 and number in (2, 3):
        day, week = (
            (f"{rng.randint(1, 10)}-{rng.randint(18, 28)}/5", "2") if number == 2 else ("*", f"{rng.randint(1, 2)}-4")
        )
    return Job(name, (minute, hour, day, "*", week))


def _text(rng: Random, jobs: Sequence[Job]) -> str:
    lines = [f"{' '.join(job.fields)} {job.name}" for job in jobs]
    lines.insert(2, f"# 5 5 * * * {jobs[0].name}")
    return "\n".join([f"# {rng.choice(TOPICS)}", *lines, ""])


def _checks(
    jobs: Sequence[Job], out: str, start: datetime, days: int, moment: datetime, least: int, level: int
) -> list[Check]:
    checks: list[Check] = []
    runs = {job.name: list(job.runs(start, days)) for job in jobs}
    for job in jobs:
        after = next(t for t in job.runs(moment.replace(hour=0, minute=0), 400) if t >= moment)
        checks.append(_named("count", answer(f"{out}/counts.txt", job.name, str(len(runs[job.name])))))
        checks.append(_named("next", answer(f"{out}/next.txt", job.name, f"{after:%Y-%m-%d %H:%M}")))
    if level > 3:
        times: dict[datetime, int] = {}
        for t in (t for mine in runs.values() for t in mine):
            times[t] = times.get(t, 0) + 1
        busy = [f"{t:%Y-%m-%d %H:%M}" for t in sorted(times) if times[t] >= least]
        checks += [_named("busy", check) for check in report(f"{out}/busy.txt", "\n".join(["busy", *busy]))]
    return checks


def _named(prefix: str, check: Check) -> Check:
    return Check(f"{prefix}-{check.name}", check.script, check.weight)


def _changed(crontab: str, text: str, job: Job, line: str, level: int) -> tuple[Check, ...]:
    """The crontab as it should be: another way to say the same times is right as well."""
    if level < 5:
        return ()
    old = f"{' '.join(job.fields)} {job.name}"
    script = (
        f"plain {crontab} 20000 || exit 1\n[ \"$(grep -v ' {job.name}$' {crontab})\" = \"$(grep -v ' {job.name}$'"
        ' expected)" ] || exit 1\n'
    )
    fields = line.split()
    hours = ",".join(map(str, range(int(fields[1].split("-")[0]), int(fields[1].split("-")[1]) + 1)))
    days = "(1-5|1,2,3,4,5|mon-fri|MON-FRI|Mon-Fri)"
    pattern = "[[:space:]]+".join([f"^{fields[0]}", f"({fields[1]}|{hours})", "[*]", "[*]", days, f"{job.name}$"])
    script += (
        f"[ \"$(grep -c ' {job.name}$' {crontab})\" = \"$(grep -c ' {job.name}$' expected)\" ] && grep -qE '{pattern}'"
        f" {crontab}\n"
    )
    expected = text.replace(old, line)
    return (Check("changed", PLAIN + script.replace("expected", "<(cat <<'END'\n" + expected + "END\n)"), 3),)


def _oracle(program: str, crontab: str, out: str, change: str) -> tuple[str, ...]:
    return (
        f"cat {crontab}\n",
        f"cat > /tmp/cron.py <<'END'\n{program}END\n",
        "python3 /tmp/cron.py\n",
        f"head -n 6 {out}/*\n",
        *([change, f"cat {crontab}\n"] if change else []),
    )


FAMILY = Family(
    name="admin/cron-window",
    summary="Tell from a crontab when its jobs run and collide, and change one of them.",
    domain="system_administration",
    skills=("cron", "dates"),
    deeper={2: ("parsing",), 4: ("scheduling",), 5: ("configuration-files",)},
    generate=generate,
    requires=("python3",),
    version=2,
)
