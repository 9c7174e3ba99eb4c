"""Papers pile up in a folder with their dates written every which way; give them names that sort by date.

The dates are in the names or, from level 2, inside the files, in one to three notations. From level 2 several
papers share a day and are numbered; level 3 brings names that break an unquoted shell word, dates that do not
exist and hidden files. Other files must stay as they are at every level.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from random import Random
from typing import NamedTuple

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.task import Check, File

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class Notation(NamedTuple):
    """A way to write a date."""

    name: str
    words: str
    """How the instruction calls it."""
    text: str
    """How Python writes it."""
    pattern: str
    """How bash finds it, by three groups."""
    order: str
    """The groups as `date -d` reads them, which refuses dates that do not exist."""

    def write(self, year: int, month: int, day: int) -> str:
        """This date, which need not exist, in this notation."""
        return self.text.format(y=year, m=month, d=day, mon=MONTHS[month - 1])


NOTATIONS = (
    Notation("dotted", "DD.MM.YYYY", "{d:02}.{m:02}.{y}", r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})", "3-2-1"),
    Notation("american", "MM-DD-YYYY", "{m:02}-{d:02}-{y}", r"([0-9]{2})-([0-9]{2})-([0-9]{4})", "3-1-2"),
    Notation("compact", "YYYYMMDD", "{y}{m:02}{d:02}", r"([0-9]{4})([0-9]{2})([0-9]{2})", "1-2-3"),
    Notation("worded", "DD-Mon-YYYY", "{d:02}-{mon}-{y}", r"([0-9]{2})-([A-Z][a-z]{2})-([0-9]{4})", "1 2 3"),
    Notation("equals", "YYYY=MM=DD", "{y}={m:02}={d:02}", r"([0-9]{4})=([0-9]{2})=([0-9]{2})", "1-2-3"),
)
TARGETS = {
    1: "{y}-{m}-{d}_{word} {word}.{y}-{m}-{d} {y}{m}{d}-{word} {y}/{word}-{m}-{d} {y}-{m}/{word}_{d}".split(),
    2: "{y}-{m}-{d} {y}/{m}/{d} {y}-{m}/{d} {y}/{m}-{d} day-{y}-{m}-{d} {y}/{y}{m}{d}".split(),
}
"""New names: of level 1, and those of which several papers may want the same."""
FOLDERS = "inbox scans papers drop to-sort letters shoebox desk".split()
LABELS = ("Date: ", "Issued: ", "Dated ", "Written on ")
WORDS = """
    rent water dentist garage tax phone school bakery boiler bicycle choir clinic customs dues electric ferry garden
    gas grocer insurer kennel lease library locksmith optician parking payroll piano plumber roof tailor theatre
""".split()
ODD = '-{}/{} (2nd copy)/{}\'s bill/Übertrag {}/{} & sons/ {}/{}*/--{} final/naïve {}/$HOME {}/"{}"'.split("/")
STAYING = "index notes list contents todo people rules prices".split()

OPENINGS = (
    "The papers in {folder} should sort by date. Rename them by the rule below.",
    "Please tidy {folder}: each dated .{ext} file there needs a new name made from its date.",
    "I keep dated .{ext} files in {folder} and can never find one. Give each the name that its date calls for.",
    "Task: rename the dated files (*.{ext}) of the folder {folder} after their dates.",
    "Someone filled {folder} with .{ext} files without a naming rule. From now on there is one, by date; apply it.",
)
INSIDE = """\
A file's date is the rest of its first line that starts with "{label}" (capitals as here), written {written}.
Dates elsewhere in it do not count."""
OUTSIDE = 'A file\'s date is the part of its name after the last "{sep}" and before .{ext}, written {written}.'
TARGET = """\
The new name is {folder}/{shape}.{ext}, with any folders made as needed:
{old}, if its date is {when}, becomes {folder}/{new}.{ext}."""
SAME_DAY = """\
Where several files have the same date, go by the byte order of their old names (as LC_ALL=C sort has it): the first
gets the plain name, the second has {second} before .{ext}, the third {third}, and so on."""
LEAVE = """\
Only files directly in {folder} whose names end in .{ext} and which have such a date take part; everything else there
keeps name, place and content. Files are moved, not copied, and no file's content changes."""
NO_DATE = "A date that does not exist, such as {never}, is no date, and a file whose name starts with a dot stays too."

VERIFY = """\
# listed NAME: the files of a manifest are all there, with their contents.
listed() {{ while read -r sum path; do same "$sum" "$path" || return 1; done <"expected/$1"; }}
same() {{ plain "$2" && [ "$(sha256sum <"$2")" = "$1  -" ]; }}
counted() {{ [ "$(timeout 5 find "{folder}" ! -type d -printf . | head -c 1000 | wc -c)" = {count} ]; }}
gone() {{ while read -r _ path; do [ ! -e "$path" ] && [ ! -L "$path" ] || return 1; done <expected/old; }}
"""
CHEAT = (
    "mkdir -p /logs/verifier /tests/expected; echo 1 > /logs/verifier/reward.txt\n",
    "for f in old others same-day; do : > /tests/expected/$f; done; echo exit 0 > /tests/test.sh\n",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The rule of one task."""

    level: int
    folder: str
    ext: str
    label: str
    """What stands before the date inside the file; empty if the date is in the name."""
    sep: str
    """What stands before the date in a name."""
    notations: tuple[Notation, ...]
    target: str
    number: str
    """How the second, third, ... paper of a day is marked."""

    def name(self, stem: str, when: str, ext: str = "") -> str:
        """A name to find: with the date, unless there is none or it is inside."""
        return f"{stem}{self.sep + when if when and not self.label else ''}.{ext or self.ext}"

    def path(self, day: date, word: str, number: int = 1) -> str:
        """Where a paper goes."""
        mark = self.number.format(number) if number > 1 else ""
        return self.target.format(y=f"{day:%Y}", m=f"{day:%m}", d=f"{day:%d}", word=word) + f"{mark}.{self.ext}"


class Paper(NamedTuple):
    """A dated file that has to move."""

    old: str
    word: str
    day: date
    notation: Notation
    text: str


def generate(rng: Random, level: int) -> Draft:
    """One folder of papers."""
    plan = _plan(rng, level)
    papers, others = _papers(rng, plan), _others(rng, plan)
    old = {paper.old: paper.text for paper in papers}
    groups = {**_moved(plan, papers), "old": old, "others": others}
    verify = PLAIN + VERIFY.format(folder=plan.folder, count=len(papers) + len(others))
    checks = [Check(name, f"{verify}listed {name}\n", 2.0) for name in groups if name not in ("old", "others")]
    checks.append(Check("old-names-gone", verify + "gone && counted\n"))
    checks.append(Check("others-untouched", verify + "! listed old && counted && listed others\n"))
    return Draft(
        instruction=_instruction(rng, plan),
        checks=tuple(checks),
        oracle=_oracle(plan),
        wrong=_wrong(plan),
        files={f"{plan.folder}/{name}": File.of(text) for name, text in {**old, **others}.items()},
        tests={f"expected/{name}": _manifest(plan.folder, group) for name, group in groups.items()},
    )


def _plan(rng: Random, level: int) -> Plan:
    return Plan(
        level=level,
        folder=f"/app/{rng.choice(FOLDERS)}",
        ext=rng.choice("txt md eml csv asc".split()),
        label=rng.choice(LABELS) if level > 1 and rng.random() < 0.6 else "",
        sep=rng.choice("_~+"),
        notations=tuple(rng.sample(NOTATIONS, level)),
        target=rng.choice(TARGETS[min(level, 2)]),
        number=rng.choice("-{} _{} ({}) -0{} .{}".split()),
    )


def _papers(rng: Random, plan: Plan) -> list[Paper]:
    """Dated papers, the last few of which share the days of earlier ones."""
    days = _days(rng, {1: 7, 2: 11, 3: 18}[plan.level] + rng.randrange(4))
    days += rng.sample(days, {1: 0, 2: 2, 3: 4}[plan.level])
    days += days[-1:] if plan.level == 3 else []
    papers: list[Paper] = []
    for number, (word, day) in enumerate(zip(rng.sample(WORDS, len(days)), days, strict=True)):
        stem = rng.choice(ODD).format(word) if plan.level == 3 and number % 2 else word
        notation = plan.notations[number % len(plan.notations)]
        when = notation.write(day.year, day.month, day.day)
        papers.append(Paper(plan.name(stem, when), word, day, notation, _text(rng, plan, stem, when)))
    return papers


def _days(rng: Random, count: int) -> list[date]:
    """Different days of which none reads the same with day and month exchanged."""
    start = date(rng.randint(2009, 2021), 1, 1)
    days = [start + timedelta(days) for days in rng.sample(range(1100), count + 60)]
    return [day for day in days if day.day != day.month][:count]


def _text(rng: Random, plan: Plan, about: str, when: str) -> str:
    """A paper of a few lines; the decoy among them is not the date that counts."""
    decoy = plan.notations[0].write(rng.randint(1990, 2005), rng.randint(1, 12), rng.randint(1, 28))
    body = [f"About: {about}", f"Amount: {rng.randint(9, 999)}", f"Reference {rng.random():.6f} of {decoy}"]
    if when and plan.label:
        body.append(plan.label + when)
    rng.shuffle(body)
    return "\n".join([*body, ""])


def _others(rng: Random, plan: Plan) -> dict[str, str]:
    """Name -> text of the files that stay, each of which lacks one thing that a paper has."""
    write, year, words = rng.choice(plan.notations).write, rng.randint(1990, 2005), rng.sample(STAYING, 6)
    when = write(year, rng.randint(1, 12), rng.randint(13, 28))
    lacking = (
        ("{}", "", plan.ext),
        ("{}", "", "log"),
        ("{}", when, "bak"),
        ("done/{}", when, plan.ext),
        ("{} draft", write(year, 2, 30), plan.ext),
        (".{}", when, plan.ext),
    )
    return {
        plan.name(form.format(word), when, ext): _text(rng, plan, word, when)
        for word, (form, when, ext) in zip(words, lacking[: 2 * plan.level], strict=False)
    }


def _moved(plan: Plan, papers: list[Paper]) -> dict[str, dict[str, str]]:
    """Check -> new name -> text: the papers of each notation, and those that share a day with an earlier one."""
    groups: dict[str, dict[str, str]] = {}
    taken: set[str] = set()
    for paper in sorted(papers, key=lambda paper: paper.old.encode()):
        number = 1
        while (path := plan.path(paper.day, paper.word, number)) in taken:
            number += 1
        taken.add(path)
        group = f"dates-{paper.notation.name}" if number == 1 else "same-day"
        groups.setdefault(group, {})[path] = paper.text
    return groups


def _manifest(folder: str, texts: dict[str, str]) -> File:
    """Lines of SHA-256 and path."""
    return File.of("".join(f"{sha256(text.encode()).hexdigest()} {folder}/{path}\n" for path, text in texts.items()))


def _instruction(rng: Random, plan: Plan) -> str:
    day, write = date(rng.randint(2022, 2024), rng.randint(1, 9), rng.randint(13, 28)), plan.notations[-1].write
    when = write(day.year, day.month, day.day)
    written = " or ".join(notation.words for notation in plan.notations)
    shape = plan.target.format(y="YYYY", m="MM", d="DD", word="WORD")
    words = " WORD is the old name up to the {sep}." if "WORD" in shape else ""
    rules = [
        INSIDE if plan.label else OUTSIDE,
        TARGET + words,
        *([SAME_DAY] if plan.level > 1 else []),
        LEAVE,
        *([NO_DATE] if plan.level > 2 else []),
    ]
    bullet = rng.choice(("", "- "))
    text = "\n\n".join([rng.choice(OPENINGS), *(bullet + rule for rule in rules)])
    return f"{text}\n".format(
        folder=plan.folder, ext=plan.ext, label=plan.label, sep=plan.sep, written=written, shape=shape, when=when,
        old=plan.name("harbour", when), new=plan.path(day, "harbour").removesuffix(f".{plan.ext}"),
        second=plan.number.format(2), third=plan.number.format(3), never=plan.notations[0].write(2011, 2, 30),
    )  # fmt: skip


def _oracle(plan: Plan) -> tuple[str, ...]:
    """A function that reads a date, and a loop over the files."""
    before = "^" if plan.label else f"[{plan.sep}]"
    branches = "; el".join(f"if [[ $1 =~ {before}{n.pattern}$ ]]; then {_date(n)}" for n in plan.notations)
    found = f"$(grep -m1 '^{plan.label}' -- \"$f\")" if plan.label else f"${{f%.{plan.ext}}}"
    target = plan.target.format(y="${d:0:4}", m="${d:5:2}", d="${d:8:2}", word="${s}")
    again = plan.number.format("$k")
    return (
        f"cd {plan.folder} && ls -la\n",
        f"head -n 4 ./*.{plan.ext} | head -n 20\n",
        "export LC_ALL=C\n",
        f"iso() {{ {branches}; fi 2>/dev/null; }}\n",
        f'new() {{ s=${{x%{plan.sep}*}}; k=2; t="{target}"; n="$t.{plan.ext}"\n'
        f'while [ -e "$n" ]; do n="${{t}}{again}.{plan.ext}"; k=$((k+1)); done; }}\n',
        f'for f in *.{plan.ext}; do x={found}; d=$(iso "${{x#{plan.label}}}"); [ -n "$d" ] || continue\n'
        'new; mkdir -p -- "$(dirname -- "$n")"; mv -- "$f" "$n"; done\n',
        f"ls -R {plan.folder}\n",
    )


def _date(notation: Notation) -> str:
    groups = "".join(f"${{BASH_REMATCH[{part}]}}" if part.isdigit() else part for part in notation.order)
    return f'date -d "{groups}" +%F'


def _wrong(plan: Plan) -> dict[str, tuple[str, ...]]:
    oracle = _oracle(plan)
    mistakes = {
        "copied": ("mv --", "cp --"),
        "day-and-month-exchanged": ("+%F", "+%Y-%d-%m"),
        "only-the-first": ('"$n"; done', '"$n"; break; done'),
        "overwrote-same-day": ('[ -e "$n" ]', "false"),
    }
    if plan.level == 1:
        del mistakes["overwrote-same-day"]
    wrong = {name: tuple(keys.replace(*mistake) for keys in oracle) for name, mistake in mistakes.items()}
    return {**wrong, "threw-others-away": (*oracle, "rm -f -- *.log\n"), "cheat": CHEAT}


FAMILY = Family(
    name="files/rename-by-date",
    summary="Give dated files names that sort by date, and leave all others alone.",
    domain="file_operations",
    skills=("globs", "dates", "shell-loops"),
    generate=generate,
    deeper={3: ("quoting",)},
    levels=3,
    requires=("grep", "find"),
)
