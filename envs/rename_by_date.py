"""Papers pile up in a folder with their dates written every which way; give them names that sort by date.

The dates are in the names or, from level 2, inside the files, in one to three notations. From level 2 several
papers share a day and are numbered; level 3 brings names that break an unquoted shell word, dates that do not
exist and files that look dated but do not take part. Other files must stay as they are at every level.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from random import Random

from termgym.family import Draft, Family
from termgym.task import Check, File


@dataclass(frozen=True, slots=True)
class Notation:
    """A way to write a date."""

    name: str
    words: str
    """How the instruction calls it."""
    text: str
    """How Python writes it."""
    pattern: str
    """How bash finds it, by three groups."""
    parts: str
    """The groups in an order that `date -d` reads, which refuses dates that do not exist."""

    def write(self, year: int, month: int, day: int) -> str:
        """This date, which need not exist, in this notation."""
        return self.text.format(y=year, m=month, d=day, mon=MONTHS[month - 1])


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NOTATIONS = (
    Notation("dotted", "DD.MM.YYYY", "{d:02}.{m:02}.{y}", r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})", "3-2-1"),
    Notation(
        "american",
        "MM-DD-YYYY (month first)",
        "{m:02}-{d:02}-{y}",
        r"([0-9]{2})-([0-9]{2})-([0-9]{4})",
        "3-1-2",
    ),
    Notation("compact", "YYYYMMDD", "{y}{m:02}{d:02}", r"([0-9]{4})([0-9]{2})([0-9]{2})", "1-2-3"),
    Notation(
        "worded",
        "DD-Mon-YYYY (Jan, Feb, ...)",
        "{d:02}-{mon}-{y}",
        r"([0-9]{2})-([A-Z][a-z]{2})-([0-9]{4})",
        "1 2 3",
    ),
    Notation("equals", "YYYY=MM=DD", "{y}={m:02}={d:02}", r"([0-9]{4})=([0-9]{2})=([0-9]{2})", "1-2-3"),
)
KEPT = (
    "{y}-{m}-{d}_{stem}",
    "{stem}.{y}-{m}-{d}",
    "{y}{m}{d}-{stem}",
    "{y}/{stem}-{m}-{d}",
    "{y}-{m}/{stem}_{d}",
)
DATED = ("{y}-{m}-{d}", "{y}/{m}/{d}", "{y}-{m}/{d}", "{y}/{m}-{d}", "day-{y}-{m}-{d}", "{y}/{y}{m}{d}")
FOLDERS = ("inbox", "scans", "papers", "drop", "to-sort", "letters", "shoebox", "desk")
WORDS = tuple(
    "rent water dentist garage tax phone school bakery boiler bicycle choir clinic customs dues electric "
    "ferry garden "
    "gas grocer insurer kennel lease library locksmith optician parking payroll piano plumber roof "
    "tailor theatre".split()
)
ODD = (
    "-{}",
    "{} (2nd copy)",
    "{}'s bill",
    "Übertrag {}",
    "{} & sons",
    " {}",
    "{}*",
    "--{} final",
    "naïve {}",
    "$HOME {}",
    '"{}"',
)
LABELS = ("Date: ", "Issued: ", "Dated ", "Written on ", "Day of issue: ")


@dataclass(frozen=True, slots=True)
class Paper:
    """A dated file that has to move."""

    stem: str
    day: date
    notation: Notation
    old: str
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The rule of one task."""

    level: int
    folder: str
    ext: str
    label: str
    """What stands before the date inside the file; empty if the date is in the name."""
    first: bool
    """The date stands before the word in a name, not after it."""
    sep: str
    notations: tuple[Notation, ...]
    target: str
    number: str
    """How the second, third, ... paper of a day is marked."""

    def name(self, stem: str, when: str) -> str:
        """A name to find: with the date, unless that is inside."""
        parts = ([when, stem] if self.first else [stem, when]) if not self.label else [stem]
        return f"{self.sep.join(parts)}.{self.ext}"


def generate(rng: Random, level: int) -> Draft:
    """One folder of papers."""
    plan = _plan(rng, level)
    papers = _papers(rng, plan)
    others = _others(rng, plan)
    moved = _moved(plan, papers)
    base = f"{plan.folder}/"
    files = {base + paper.old: File.of(paper.text) for paper in papers} | {
        base + name: File.of(text) for name, text in others.items()
    }
    groups = {
        f"dates-{notation.name}": [p for p in papers if p.notation is notation and moved[p].number == 1]
        for notation in plan.notations
    }
    if level > 1:
        groups["same-day"] = [paper for paper in papers if moved[paper].number > 1]
    tests = {
        f"expected/{name}": _manifest(base, [(moved[p].path, p.text) for p in group]) for name, group in groups.items()
    }
    tests["expected/all"] = _manifest(base, [(moved[paper].path, paper.text) for paper in papers])
    tests["expected/others"] = _manifest(base, list(others.items()))
    tests["expected/old"] = File.of("".join(f"{base}{paper.old}\n" for paper in papers))
    checks = [Check(name, SAME + f'each same <"expected/{name}"\n', 2.0) for name in groups]
    checks.append(Check("old-names-gone", SAME + TIDY.format(folder=plan.folder, count=len(files))))
    checks.append(Check("others-untouched", SAME + "any same <expected/all && each same <expected/others\n"))
    return Draft(
        instruction=_instruction(rng, plan),
        checks=tuple(checks),
        oracle=(*_look(plan), _loop(plan), f"ls -R {plan.folder}\n"),
        wrong=_wrong(plan),
        files=files,
        tests=tests,
    )


SAME = r"""same() {
  [ -f "$3" ] && [ ! -L "$3" ] && [ "$(stat -c %s "$3")" = "$1" ] && [ "$(sha256sum <"$3")" = "$2  -" ]
}
each() { while IFS=$'\t' read -r size sum path; do "$1" "$size" "$sum" "$path" || return 1; done; }
any() { while IFS=$'\t' read -r size sum path; do "$1" "$size" "$sum" "$path" && return 0; done; return 1; }
"""
"""Sizes are compared first: reading a sparse file of exabytes would take the verifier's whole time."""

TIDY = """\
shopt -s globstar dotglob nullglob
while IFS= read -r path; do [ ! -e "$path" ] && [ ! -L "$path" ] || exit 1; done <expected/old
count=0
for path in "{folder}"/**; do [ -d "$path" ] && [ ! -L "$path" ] || count=$((count + 1)); done
[ "$count" = {count} ]
"""
CHEAT = (
    "mkdir -p /logs/verifier /tests/expected; echo 1 > /logs/verifier/reward.txt; echo '{\"reward\": 1}' > "
    "/logs/verifier/reward.json\n",
    "for f in all others old same-day; do : > /tests/expected/$f; done; printf '#!/bin/sh\\nexit 0\\n' > "
    "/tests/test.sh\n",
)


def _plan(rng: Random, level: int) -> Plan:
    return Plan(
        level=level,
        folder=f"/app/{rng.choice(FOLDERS)}",
        ext=rng.choice(("txt", "md", "eml", "csv", "asc")),
        label=rng.choice(LABELS) if level > 1 and rng.random() < 0.6 else "",
        first=rng.random() < 0.4,
        sep=rng.choice(("_", "__", "~", "+")),
        notations=tuple(rng.sample(NOTATIONS, level)),
        target=rng.choice(KEPT if level == 1 else DATED),
        number=rng.choice(("-{}", "_{}", "({})", "-0{}", ".{}")),
    )


def _papers(rng: Random, plan: Plan) -> list[Paper]:
    """Dated papers, the last few of which share the days of earlier ones."""
    days = _days(rng, {1: 7, 2: 11, 3: 18}[plan.level] + rng.randrange(4))
    shared = rng.sample(days, {1: 0, 2: 2, 3: 4}[plan.level])
    if plan.level == 3:
        shared.append(shared[0])
    stems = rng.sample(WORDS, len(days) + len(shared))
    papers: list[Paper] = []
    for number, (stem, day) in enumerate(zip(stems, days + shared, strict=True)):
        odd = rng.choice(ODD).format(stem) if plan.level == 3 and number % 2 else stem
        notation = plan.notations[number % len(plan.notations)]
        when = notation.write(day.year, day.month, day.day)
        text = _text(rng, plan, plan.label + when if plan.label else "", odd)
        papers.append(Paper(stem, day, notation, plan.name(odd, when), text))
    return papers


def _days(rng: Random, count: int) -> list[date]:
    """Different days of which none reads the same with day and month exchanged."""
    start = date(rng.randint(2009, 2021), 1, 1)
    days = [start + timedelta(days) for days in rng.sample(range(1100), count + 60)]
    return [day for day in days if day.day != day.month][:count]


def _text(rng: Random, plan: Plan, line: str, about: str) -> str:
    """A paper of a few lines; the decoy date below is not the one that counts."""
    decoy = plan.notations[0].write(rng.randint(1990, 2005), rng.randint(1, 12), rng.randint(1, 28))
    body = [
        f"About: {about}",
        f"Amount: {rng.randint(100, 99999) / 100:.2f}",
        f"Reference {rng.randrange(16**6):06x} of {decoy}",
    ]
    rng.shuffle(body)
    return "\n".join([*body[:1], *([line] if line else []), *body[1:], ""])


def _others(rng: Random, plan: Plan) -> dict[str, str]:
    """Name -> text of the files that stay."""
    words = iter(rng.sample(("index", "notes", "list", "contents", "todo", "people", "rules", "prices"), 8))
    whens = (rng.choice(plan.notations).write(*_ymd(rng)) for _ in range(8))

    def text(line: str = "") -> str:
        return _text(rng, plan, plan.label + line if plan.label and line else "", "nothing in particular")

    def dated(stem: str, ext: str = plan.ext) -> tuple[str, str]:
        when = next(whens)
        return plan.name(stem, when)[: -len(plan.ext)] + ext, text(when)

    others = {f"{next(words)}.{plan.ext}": text(), f"{next(words)}.log": text()}
    if plan.level > 1:
        for name, content in (dated(next(words), "bak"), dated(next(words))):
            others[name if name.endswith("bak") else f"{rng.choice(('old', 'done', 'keep'))}/{name}"] = content
    if plan.level > 2:
        when = rng.choice(plan.notations).write(2000 + rng.randrange(24), 2, rng.choice((30, 31)))
        others[plan.name(f"{next(words)} draft", when)] = text(when)
        name, content = dated(next(words))
        others[f".{name}"] = content
    return others


def _ymd(rng: Random) -> tuple[int, int, int]:
    return rng.randint(1990, 2005), rng.randint(1, 12), rng.randint(13, 28)


@dataclass(frozen=True, slots=True)
class Moved:
    """Where a paper goes, and which one of its day it is."""

    path: str
    number: int


def _moved(plan: Plan, papers: Sequence[Paper]) -> dict[Paper, Moved]:
    seen: dict[str, int] = {}
    moved: dict[Paper, Moved] = {}
    for paper in sorted(papers, key=lambda paper: paper.old.encode()):
        name = plan.target.format(y=paper.day.year, m=f"{paper.day:%m}", d=f"{paper.day:%d}", stem=paper.stem)
        number = seen[name] = seen.get(name, 0) + 1
        moved[paper] = Moved(f"{name}{plan.number.format(number) if number > 1 else ''}.{plan.ext}", number)
    return moved


def _manifest(base: str, entries: Sequence[tuple[str, str]]) -> File:
    """Lines of size, SHA-256 and path."""
    rows = ((text.encode(), base + path) for path, text in entries)
    return File.of("".join(f"{len(text)}\t{sha256(text).hexdigest()}\t{path}\n" for text, path in rows))


def _instruction(rng: Random, plan: Plan) -> str:
    words = [notation.words for notation in plan.notations]
    written = words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
    facts = {"folder": plan.folder, "ext": plan.ext}
    opening = rng.choice(OPENINGS).format(**facts)
    rules = [
        _where(plan, written),
        _target(rng, plan),
        *_collisions(rng, plan),
        rng.choice(LEAVE).format(**facts, more=_more(plan)),
    ]
    rules.append(
        rng.choice(
            (
                "Files are moved, not copied, and no file's content changes.",
                "Move them, do not copy; contents stay as they are.",
            )
        )
    )
    if rng.random() < 0.5:
        return opening + "\n\n" + "\n".join(f"- {rule}" for rule in rules) + "\n"
    return opening + "\n\n" + " ".join(rules) + "\n"


OPENINGS = (
    "The papers in {folder} should sort by date. Rename them by the rule below.",
    "Please tidy {folder}: each dated .{ext} file there needs a new name made from its date.",
    "I keep dated .{ext} files in {folder} and can never find anything. Give each of them the name that its "
    "date calls for.",
    "Task: rename the dated files (*.{ext}) of the folder {folder} after their dates.",
    "Someone filled {folder} with .{ext} files without a naming rule. From now on there is one, by date; "
    "apply it to all of them.",
)
LEAVE = (
    "Only files directly in {folder} whose names end in .{ext} and which have such a date take part; "
    "everything else there stays as and where it is{more}.",
    "Do not touch anything else in {folder}: files with other endings, files without such a date and "
    "whatever lies in subfolders already there keep name, place and content{more}.",
)


def _more(plan: Plan) -> str:
    example = plan.notations[0].write(2011, 2, 30)
    return (
        f". A date that does not exist, such as {example}, is no date, and a file whose name starts with a "
        "dot stays too"
        if plan.level > 2
        else ""
    )


def _where(plan: Plan, written: str) -> str:
    if plan.label:
        line = f'first line that starts with "{plan.label}" (capitals as here)'
        return f"A file's date is the rest of its {line}, written {written}. Dates elsewhere in it do not count."
    place = "before its first" if plan.first else "after its last"
    end = "" if plan.first else f" and before .{plan.ext}"
    return f'A file\'s date is the part of its name {place} "{plan.sep}"{end}, written {written}.'


def _target(rng: Random, plan: Plan) -> str:
    when = date(rng.randint(2022, 2024), rng.randint(1, 9), rng.randint(13, 28))
    written = plan.notations[-1].write(when.year, when.month, when.day)
    shape = plan.target.format(y="YYYY", m="MM", d="DD", stem="WORD")
    example = plan.target.format(y=when.year, m=f"{when:%m}", d=f"{when:%d}", stem="harbour")
    old = f"{plan.name('harbour', written)}{f', if its date is {written},' if plan.label else ''}"
    rest = (
        f" WORD is the old name without the date, the {plan.sep} and the .{plan.ext}." if "stem" in plan.target else ""
    )
    verb = rng.choice(("The new name is", "It becomes", "Its place from now on is"))
    new = f"{old} becomes {plan.folder}/{example}.{plan.ext}"
    return f"{verb} {plan.folder}/{shape}.{plan.ext}, with any folders made as needed: {new}.{rest}"


def _collisions(rng: Random, plan: Plan) -> list[str]:
    if plan.level == 1:
        return []
    marks = tuple(plan.number.format(number) for number in (2, 3))
    text = rng.choice(
        (
            "Where several files have the same date, go by the byte order of their old names (as LC_ALL=C "
            "sort has it): the first gets the plain name, "
            "the second has {0} before .{ext}, the third {1}, and so on.",
            "Files of one and the same day are numbered in byte order of the old names (LC_ALL=C): nothing "
            "is added for the first, {0} just before .{ext} for "
            "the second, {1} for the third, and so on.",
        )
    )
    return [text.format(*marks, ext=plan.ext)]


def _look(plan: Plan) -> tuple[str, ...]:
    """What a person does first."""
    more = (f"grep -H -m1 '^{plan.label}' ./*.{plan.ext} | head -n 20\n",) if plan.label else ()
    branches = "; el".join(f"if [[ $1 =~ {_anchored(plan, n)} ]]; then {_date(n)}" for n in plan.notations)
    return (
        f"cd {plan.folder} && ls -la\n",
        *more,
        "export LC_ALL=C\n",
        f"iso() {{ {branches}; fi 2>/dev/null; }}\n",
    )


def _anchored(plan: Plan, notation: Notation) -> str:
    if plan.label or not plan.first:
        return f"{'^' if plan.label else f'[{plan.sep[0]}]'}{notation.pattern}$"
    return f"^{notation.pattern}[{plan.sep[0]}]"


def _date(notation: Notation) -> str:
    return (
        'date -d "'
        + "".join(f"${{BASH_REMATCH[{part}]}}" if part.isdigit() else part for part in notation.parts)
        + '" +%F'
    )


def _loop(plan: Plan, target: str = "", move: Callable[[str], str] = str) -> str:
    """Shell lines that move each paper; `move` and `target` let a wrong solution differ in one place."""
    found = f"$(grep -m1 '^{plan.label}' -- \"$f\")" if plan.label else f"${{f%.{plan.ext}}}"
    given = f'x={found}; d=$(iso "${{x#{plan.label}}}")' if plan.label else f'x={found}; d=$(iso "$x")'
    stem = f"s=${{x#*{plan.sep}}}; " if plan.first else f"s=${{x%{plan.sep}*}}; "
    parts = (target or plan.target).format(y="${d:0:4}", m="${d:5:2}", d="${d:8:2}", stem="${s}")
    again = plan.number.format("$k")
    end = 'mkdir -p -- "$(dirname -- "$n")"; mv -- "$f" "$n"'
    number = f'k=2; while [ -e "$n" ]; do n="${{t}}{again}.{plan.ext}"; k=$((k+1)); done; '
    begin = f'{stem if "stem" in plan.target else ""}t="{parts}"; n="$t.{plan.ext}"; '
    body = begin + (number if plan.level > 1 else "") + end
    return f'for f in *.{plan.ext}; do {given}; [ -n "$d" ] || continue; {move(body)}; done\n'


def _wrong(plan: Plan) -> dict[str, tuple[str, ...]]:
    exchanged = plan.target.replace("{m}", "{x}").replace("{d}", "{m}").replace("{x}", "{d}")
    wrong = {
        "copied": (*_look(plan), _loop(plan, move=lambda body: body.replace("mv --", "cp --"))),
        "day-and-month-exchanged": (*_look(plan), _loop(plan, exchanged)),
        "only-the-first": (*_look(plan), _loop(plan, move=lambda body: body + "; break")),
        "threw-others-away": (*_look(plan), _loop(plan), "rm -f -- *.log\n"),
        "cheat": CHEAT,
    }
    if plan.level > 1:
        overwriting = (
            *_look(plan),
            _loop(plan, move=lambda body: body.replace('[ -e "$n" ]', "false").replace("mv", "mv -f")),
        )
        wrong["overwrote-same-day"] = overwriting
    return wrong


FAMILY = Family(
    name="files/rename-by-date",
    summary="Give dated files names that sort by date, and leave all others alone.",
    domain="file_operations",
    skills=("globs", "quoting", "dates", "loops"),
    generate=generate,
    requires=("grep",),
)
