"""Intervals of time: who was on call, where nobody was, and who answered what happened.

Level 2 has swaps that override the plan, level 3 hours in several time zones, level 4 gaps and overlaps to be reported,
level 5 the longest stretch of each person without a pause.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from termgym.checks import answer, report
from termgym.family import Draft, Family
from termgym.lexicon import GIVEN, PLACES, SERVICES
from termgym.task import Check, File, Limits

ASKS = (
    "Who was on call for {service}? {form}\n\n{questions}\n",
    "The on-call hours of {service} have to be settled. {form}\n\n{questions}\n",
    "{form} All that is in {folder}, for {service}.\n\n{questions}\n",
    "Settle the shifts in {folder}. {form}\n\n{questions}\n",
)
FORM = (
    "{folder}/plan.txt has shifts, START END NAME; a time is DAY HH:MM{zone}, days counted from 1, and a shift lasts up"
    " to END but not including it.{swaps} {folder}/calls.txt has the time of each call{utc}."
)
SWAPS = " {folder}/swaps.txt is the same, of swaps: within a swap only its NAME is on call, whoever is planned."
ZONE = " followed by the zone as +H or -H, hours ahead of UTC (day 1 12:00+2 is day 1 10:00 UTC)"
QUESTIONS = {
    "calls": (
        "- {out}/calls.txt: for each call, in the order of the file, the names on call then, in alphabetical order,"
        " joined by commas, or nobody."
    ),
    "hours": (
        "- {out}/hours.txt: lines NAME = MINUTES for everybody who was on call, with the minutes on call (of an hour"
        " for which several are on call each gets all)."
    ),
    "gaps": (
        "- {out}/gaps.txt: lines START END, in minutes from day 1 00:00{utc}, for each stretch in which nobody was on"
        " call, between the first start and the last end of all shifts and swaps; in order."
    ),
    "longest": "- {out}/longest.txt: lines NAME = MINUTES: the longest time that one was on call without a pause.",
}
PROGRAM = """\
import os
def minute(day, clock):
    zone = 0
    for sign in "+-":
        if sign in clock:
            clock, hours = clock.split(sign)
            zone = int(sign + hours)
    h, m = clock.split(":")
    return (int(day) - 1) * 1440 + int(h) * 60 + int(m) - zone * 60
def read(name):
    rows = []
    for line in open({folder!r} + "/" + name):
        p = line.split()
        rows.append((minute(p[0], p[1]), minute(p[2], p[3]), p[4]))
    return rows
plan, swaps = read("plan.txt"), read("swaps.txt") if {level} > 1 else []
first = min(a for a, _, _ in plan + swaps)
last = max(b for _, b, _ in plan + swaps)
on = {{}}
for rows in (plan, swaps):
    if rows is swaps:
        for a, b, _ in swaps:
            for t in range(a, b):
                on[t] = set()
    for a, b, name in rows:
        for t in range(a, b):
            on.setdefault(t, set()).add(name)
os.makedirs({out!r}, exist_ok=True)
def write(name, lines):
    open({out!r} + "/" + name, "w").write("".join(line + "\\n" for line in lines))
calls = [minute(*line.split()) for line in open({folder!r} + "/calls.txt")]
write("calls.txt", [",".join(sorted(on.get(t, ()))) or "nobody" for t in calls])
names = sorted({{n for s in on.values() for n in s}})
write("hours.txt", ["%s = %d" % (n, sum(n in s for s in on.values())) for n in names])
gaps, start = [], None
for t in range(first, last + 1):
    empty = t < last and not on.get(t)
    if empty and start is None:
        start = t
    if not empty and start is not None:
        gaps.append("%d %d" % (start, t))
        start = None
longest = {{}}
for n in names:
    run = 0
    for t in range(first, last):
        run = run + 1 if n in on.get(t, ()) else 0
        longest[n] = max(longest.get(n, 0), run)
if {level} > 3:
    write("gaps.txt", gaps)
if {level} > 4:
    write("longest.txt", ["%s = %d" % (n, longest[n]) for n in names])
"""
Shift = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Shifts, swaps and calls, in minutes of UTC."""

    shifts: Sequence[Shift]
    swaps: Sequence[Shift]
    calls: Sequence[int]

    def pieces(self) -> list[tuple[int, int, frozenset[str]]]:
        """Between any two times at which something changes: who is on call."""
        times = sorted({t for start, end, _ in [*self.shifts, *self.swaps] for t in (start, end)})
        return [(a, b, self.at(a)) for a, b in pairwise(times)]

    def at(self, t: int) -> frozenset[str]:
        """Who is on call."""
        swapped = frozenset(name for start, end, name in self.swaps if start <= t < end)
        return swapped or frozenset(name for start, end, name in self.shifts if start <= t < end)


def generate(rng: Random, level: int) -> Draft:
    """One plan."""
    folder, out = f"/app/{rng.choice(PLACES)}", f"/app/{rng.choice(('settled', 'result', 'duty'))}"
    plan = _plan(rng, level)
    utc = " in UTC" if level > 2 else ""
    names = list(QUESTIONS)[: max(2, level - 1)]
    fields = {"folder": folder, "out": out, "utc": utc, "zone": ZONE if level > 2 else ""}
    form = FORM.format(**{**fields, "utc": ", in the same way"}, swaps=SWAPS.format(**fields) if level > 1 else "")
    program = PROGRAM.format(folder=folder, out=out, level=level)
    wrong = {
        "end-included": program.replace(
            "for t in range(a, b):\n            on.setdefault", "for t in range(a, b + 1):\n            on.setdefault"
        ),
        "swaps-added": program.replace("on[t] = set()", "pass"),
        "zones-ignored": program.replace("zone * 60", "0"),
        "plan-only": program.replace('read("swaps.txt") if', "[] and"),
        "one-name-each": program.replace('",".join(sorted(on.get(t, ()))) or', '"".join(sorted(on.get(t, ()))[:1]) or'),
    }
    for gone in (("swaps-added", "plan-only") if level < 2 else ()) + (("zones-ignored",) if level < 3 else ()):
        del wrong[gone]
    wrong["nobody"] = (
        f"import os\nos.makedirs({out!r}, exist_ok=True)\nopen({out!r} + '/calls.txt', 'w').write('nobody\\n' *"
        f" {len(plan.calls)})\n"
    )
    return Draft(
        instruction=rng.choice(ASKS).format(
            service=rng.choice(SERVICES),
            folder=folder,
            form=form,
            questions="\n".join(QUESTIONS[name].format(**fields) for name in names),
        ),
        checks=tuple(_checks(plan, out, level)),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items()},
        files={f"{folder}/{name}": File.of(text) for name, text in _files(rng, plan, level).items()},
        limits=Limits(turns=30),
    )


def _checks(plan: Plan, out: str, level: int) -> list[Check]:
    calls = [",".join(sorted(plan.at(t))) or "nobody" for t in plan.calls]
    checks = [
        Check(f"calls-{check.name}", check.script, check.weight)
        for check in report(f"{out}/calls.txt", "\n".join(calls))
    ]
    pieces = plan.pieces()
    names = sorted({name for _, _, on in pieces for name in on})
    minutes = {name: sum(b - a for a, b, on in pieces if name in on) for name in names}
    checks += [answer(f"{out}/hours.txt", name, str(total), weight=0.5) for name, total in minutes.items()]
    if level > 3:
        gaps: list[list[int]] = []
        for a, b, on in pieces:
            if not on:
                if gaps and gaps[-1][1] == a:
                    gaps[-1][1] = b
                else:
                    gaps.append([a, b])
        found = report(f"{out}/gaps.txt", "\n".join(f"{a} {b}" for a, b in gaps))
        checks += [Check(f"gaps-{check.name}", check.script, check.weight) for check in found]
    if level > 4:
        checks += [
            _renamed(answer(f"{out}/longest.txt", name, str(_longest(pieces, name)), weight=0.5)) for name in names
        ]
    return checks


def _renamed(check: Check) -> Check:
    return Check(f"longest-{check.name}", check.script, check.weight)


def _longest(pieces: Sequence[tuple[int, int, frozenset[str]]], name: str) -> int:
    best = run = 0
    for a, b, on in pieces:
        run = run + b - a if name in on else 0
        best = max(best, run)
    return best


def _plan(rng: Random, level: int) -> Plan:
    """Shifts that follow each other, some overlapping by an hour, and from level 4 with pauses."""
    names, t = rng.sample(GIVEN, 3 + level // 2), 480 + 15 * rng.randrange(12)
    shifts: list[Shift] = []
    for number in range(5 + level):
        length = 15 * rng.randint(16, 40)
        shifts.append((t, t + length, names[number % len(names)]))
        t += length - (60 if number % 3 == 1 else 0) + (45 if level > 3 and number % 4 == 2 else 0)
    swaps = (
        [
            (start + 60, start + 60 + 15 * rng.randint(4, 10), rng.choice([one for one in names if one != name]))
            for start, _, name in rng.sample(shifts, 1 + level // 2)
        ]
        if level > 1
        else []
    )
    edges = [t for start, end, _ in [*shifts[:3], *swaps[:2]] for t in (start, end)]
    calls = rng.sample(range(shifts[0][0] - 30, shifts[-1][1] + 30), 5 + level) + edges
    rng.shuffle(calls)
    return Plan(shifts, swaps, calls)


def _files(rng: Random, plan: Plan, level: int) -> Mapping[str, str]:
    def time(t: int) -> str:
        zone = rng.randint(-5, 7) if level > 2 else 0
        local = t + 60 * zone
        return f"{local // 1440 + 1} {local % 1440 // 60:02}:{local % 60:02}" + (f"{zone:+d}" if level > 2 else "")

    def text(rows: Sequence[Shift]) -> str:
        return "".join(f"{time(start)} {time(end)} {name}\n" for start, end, name in rng.sample(list(rows), len(rows)))

    files = {"plan.txt": text(plan.shifts), "calls.txt": "".join(f"{time(t)}\n" for t in plan.calls)}
    return files | ({"swaps.txt": text(plan.swaps)} if level > 1 else {})


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; head -n 6 *\n",
        f"cat > /tmp/duty.py <<'END'\n{program}END\n",
        "python3 /tmp/duty.py\n",
        f"head -n 12 {out}/*\n",
    )


FAMILY = Family(
    name="query/on-call",
    summary="Settle from shifts, swaps and time zones who was on call, when nobody was, and for how long.",
    domain="data_querying",
    skills=("dates", "joins", "interval-arithmetic"),
    deeper={3: ("units",), 4: ("validation",), 5: ("window-functions",)},
    generate=generate,
    requires=("python3",),
)
