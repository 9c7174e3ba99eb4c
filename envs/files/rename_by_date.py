"""Papers pile up in a folder with their dates written every which way; give them names that sort by date.

The dates are in the names or, from level 2, inside the files, in as many notations as the level says. From level 2
several papers share a day and are numbered; level 3 brings names that break an unquoted shell word, dates that do not
exist and hidden files; at level 4 some papers have their date inside and others in the name, where the former may show
another day; level 5 sets copies apart and wants a list of all moves. Other files must stay as they are at every level.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from random import Random
from typing import NamedTuple

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, PLACES, TOPICS
from termgym.task import Check, File, Limits

from ._dates import NOTATIONS, Notation

TARGETS = {
    1: "{y}-{m}-{d}_{word} {word}.{y}-{m}-{d} {y}{m}{d}-{word} {y}/{word}-{m}-{d} {y}-{m}/{word}_{d}".split(),
    2: "{y}-{m}-{d} {y}/{m}/{d} {y}-{m}/{d} {y}/{m}-{d} day-{y}-{m}-{d} {y}/{y}{m}{d}".split(),
}
"""New names: of level 1, and those of which several papers may want the same."""
FOLDERS = "inbox scans papers drop to-sort letters shoebox desk".split()
LABELS = ("Date: ", "Issued: ", "Dated ", "Written on ")
WORDS = TOPICS + ITEMS
ODD = '-{}/{} (2nd copy)/{}\'s bill/Übertrag {}/{} & sons/ {}/{}*/--{} final/naïve {}/$HOME {}/"{}"'.split("/")
SIZES = {1: 7, 2: 11, 3: 18, 4: 22, 5: 28}
SAME_DAYS = {1: 0, 2: 2, 3: 4, 4: 5, 5: 7}
"""Level -> how many days are those of two papers; from level 3, one of them is that of three."""
COPIES = 3
DOUBLES = ("copies", "double", "again", "repeated")

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
EITHER = """\
A file's date is the rest of its first line that starts with "{label}" (capitals as here). A file without such a line
has it in its name, after the last "{sep}" and before .{ext}; where there is such a line, the name does not count. It is
written {written}. No other date counts."""
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
DOUBLE = """\
Of dated files with exactly the same content only the first in that order of old names gets a new name. The others go to
{folder}/{double}/ under their old names and take up no number."""
MOVES = """\
Write down what got a new name in {moves}: one line per file, the new path (below {folder}/, without that) and the old
name, with a tab between them, the lines in byte order."""
NO_DATE = "A date that does not exist, such as {never}, is no date, and a file whose name starts with a dot stays too."

VERIFY = """\
# sound: nothing but files and folders, so that none can hang or mislead what reads them.
sound() {{
  [ "$(realpath -e -- "{folder}" 2>/dev/null)" = "{folder}" ] || return
  [ -z "$(timeout 5 find "{folder}" ! -type d ! -type f -print -quit -o -size +1000k -print -quit)" ]
}}
# listed NAME: the files of a manifest are all there, with their contents.
listed() {{ sound && sha256sum --status -c "expected/$1" 2>/dev/null; }}
counted() {{ [ "$(timeout 5 find "{folder}" ! -type d -printf . | head -c 1000 | wc -c)" = {count} ]; }}
gone() {{ while read -r _ path; do [ ! -e "$path" ] && [ ! -L "$path" ] || return 1; done <expected/old; }}
"""
LISTED = """\
plain {moves} || exit 1
[ "$(head -c 65536 <{moves} | tr '\\0' '?')" = "$(cat moves)" ]
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
    double: str
    moves: str

    def name(self, stem: str, when: str, ext: str = "") -> str:
        """A name to find, with the date if there is one."""
        return f"{stem}{self.sep + when if when else ''}.{ext or self.ext}"

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


Groups = dict[str, dict[str, str]]
"""Check -> path -> text."""


def generate(rng: Random, level: int) -> Draft:
    """One folder of papers."""
    plan = _plan(rng, level)
    papers, others = _papers(rng, plan), _others(rng, plan)
    old = {paper.old: paper.text for paper in papers}
    moved, moves = _moved(plan, papers)
    groups = {**moved, "old": old, "others": others}
    verify = VERIFY.format(folder=plan.folder, count=len(papers) + len(others))
    checks = [Check(name, f"{verify}listed {name}\n", 2.0) for name in moved]
    checks.append(Check("old-names-gone", verify + "gone && counted\n"))
    checks.append(Check("others-untouched", verify + "! listed old && counted && listed others\n"))
    checks += [Check("moves", PLAIN + LISTED.format(moves=plan.moves), 2.0)] if level > 4 else []
    tests = {
        f"expected/{name}": "".join(
            f"{sha256(text.encode()).hexdigest()}  {plan.folder}/{path}\n" for path, text in group.items()
        )
        for name, group in groups.items()
    }
    return Draft(
        instruction=_instruction(rng, plan),
        checks=tuple(checks),
        oracle=_oracle(plan),
        wrong=_wrong(plan),
        files={f"{plan.folder}/{name}": File.of(text) for name, text in {**old, **others}.items()},
        tests={path: File.of(text) for path, text in {**tests, "moves": moves}.items()},
        limits=Limits(turns=36 + 4 * level),
    )


def _plan(rng: Random, level: int) -> Plan:
    return Plan(
        level=level,
        folder=f"/app/{rng.choice(FOLDERS)}",
        ext=rng.choice("txt md eml csv asc".split()),
        label=rng.choice(LABELS) if level > 3 or (level > 1 and rng.random() < 0.6) else "",
        sep=rng.choice("_~+"),
        notations=tuple(rng.sample(NOTATIONS, level)),
        target=rng.choice(TARGETS[min(level, 2)]),
        number=rng.choice("-{} _{} ({}) -0{} .{}".split()),
        double=rng.choice(DOUBLES),
        moves=f"/app/{rng.choice(('moves', 'renamed', 'log', 'what-went-where'))}.{rng.choice(('tsv', 'txt'))}",
    )


def _papers(rng: Random, plan: Plan) -> list[Paper]:
    """Dated papers, the last few of which share the days of earlier ones, and copies at level 5."""
    days = _days(rng, SIZES[plan.level] + rng.randrange(4))
    days += rng.sample(days, SAME_DAYS[plan.level])
    days += days[-1:] if plan.level > 2 else []
    words = rng.sample(WORDS, len(days) + COPIES)
    papers = [_paper(rng, plan, number, *pair) for number, pair in enumerate(zip(words, days, strict=False))]
    for word, paper in zip(words[len(days) :], rng.sample(papers, COPIES), strict=True) if plan.level > 4 else ():
        papers.append(paper._replace(old=paper.old.replace(paper.word, word), word=word))
    return papers


def _paper(rng: Random, plan: Plan, number: int, word: str, day: date) -> Paper:
    """One paper. About half of them at level 4 have their date inside, and some of these another one in the name."""
    notation = plan.notations[number % len(plan.notations)]
    stem = rng.choice(ODD).format(word) if plan.level > 2 and number % 2 else word
    when = notation.write(day.year, day.month, day.day)
    inside = bool(plan.label) and (plan.level < 4 or number // 4 % 2 == 0)
    shown = _decoy(rng, plan) if plan.level > 3 and number % 3 == 0 else ""
    text = _text(rng, plan, stem, when if inside else "")
    return Paper(plan.name(stem, shown if inside else when), word, day, notation, text)


def _days(rng: Random, count: int) -> list[date]:
    """Different days of which none reads the same with day and month exchanged."""
    start = date(rng.randint(2009, 2021), 1, 1)
    days = [start + timedelta(days) for days in rng.sample(range(1100), count + 60)]
    return [day for day in days if day.day != day.month][:count]


def _decoy(rng: Random, plan: Plan) -> str:
    """Not the date that counts."""
    return rng.choice(plan.notations).write(rng.randint(1990, 2005), rng.randint(1, 12), rng.randint(13, 28))


def _text(rng: Random, plan: Plan, about: str, when: str) -> str:
    """A paper of a few lines, dated if `when` is not empty."""
    decoy = _decoy(rng, plan)
    body = [f"About: {about}", f"Amount: {rng.randint(9, 999)}", f"Reference {rng.random():.6f} of {decoy}"]
    body += [plan.label + when] if when else []
    rng.shuffle(body)
    return "\n".join([*body, ""])


def _others(rng: Random, plan: Plan) -> dict[str, str]:
    """Name -> text of the files that stay, each of which lacks one thing that a paper has."""
    write, year, words = rng.choice(plan.notations).write, rng.randint(1990, 2005), rng.sample(PLACES, 6)
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
        plan.name(form.format(word), "" if plan.label else when, ext): _text(rng, plan, word, when * bool(plan.label))
        for word, (form, when, ext) in zip(words, lacking[: 2 * plan.level], strict=False)
    }


def _moved(plan: Plan, papers: list[Paper]) -> tuple[Groups, str]:
    """The papers of each notation, those that share a day with an earlier one and copies; and the list of moves."""
    groups, moves, seen = Groups(), dict[str, str](), set[str]()
    for paper in sorted(papers, key=lambda paper: paper.old.encode()):
        if paper.text in seen:
            groups.setdefault("copies", {})[f"{plan.double}/{paper.old}"] = paper.text
            continue
        number = 1
        while (path := plan.path(paper.day, paper.word, number)) in moves:
            number += 1
        moves[path] = paper.old
        seen.add(paper.text)
        group = f"dates-{paper.notation.name}" if number == 1 else "same-day"
        groups.setdefault(group, {})[path] = paper.text
    return groups, "".join(sorted((f"{new}\t{old}\n" for new, old in moves.items()), key=str.encode))


def _instruction(rng: Random, plan: Plan) -> str:
    day, write = date(rng.randint(2022, 2024), rng.randint(1, 9), rng.randint(13, 28)), plan.notations[-1].write
    when = write(day.year, day.month, day.day)
    written = " or ".join(notation.words for notation in plan.notations)
    shape = plan.target.format(y="YYYY", m="MM", d="DD", word="WORD")
    words = " WORD is the old name up to the {sep}." if "WORD" in shape else ""
    rules = [
        EITHER if plan.level > 3 else INSIDE if plan.label else OUTSIDE,
        TARGET + words,
        *([SAME_DAY] if plan.level > 1 else []),
        *([DOUBLE, MOVES] if plan.level > 4 else []),
        LEAVE,
        *([NO_DATE] if plan.level > 2 else []),
    ]
    bullet = rng.choice(("", "- "))
    text = "\n\n".join([rng.choice(OPENINGS), *(bullet + rule for rule in rules)])
    return f"{text}\n".format(
        folder=plan.folder, ext=plan.ext, label=plan.label, sep=plan.sep, written=written, shape=shape, when=when,
        old=plan.name("harbour", "" if plan.label and plan.level < 4 else when),
        new=plan.path(day, "harbour").removesuffix(f".{plan.ext}"), second=plan.number.format(2),
        third=plan.number.format(3), never=plan.notations[0].write(2011, 2, 30), double=plan.double, moves=plan.moves,
    )  # fmt: skip


def _oracle(plan: Plan) -> tuple[str, ...]:
    """Functions that read a date and find a free name, and a loop over the files."""
    branches = "; el".join(f"if [[ $1 =~ ^{n.pattern}$ ]]; then {_date(n)}" for n in plan.notations)
    outside = f"x=${{f%.{plan.ext}}}; x=${{x##*[{plan.sep}]}}"
    inside = f"x=$(grep -m1 '^{plan.label}' -- \"$f\") && x=${{x#{plan.label}}}"
    found = f"{inside} || {{ {outside}; }}" if plan.level > 3 else inside if plan.label else outside
    target = plan.target.format(y="${d:0:4}", m="${d:5:2}", d="${d:8:2}", word=f"${{f%{plan.sep}*}}")
    free = f'while [ -e "$n" ]; do n="${{t}}{plan.number.format("${k}")}.{plan.ext}"; k=$((k+1)); done'
    copies = f'h=$(sha256sum <"$f"); [ -z "${{seen[$h]}}" ] || {{ mv -- "$f" {plan.double}/; continue; }}; seen[$h]=1\n'
    keys = (
        (1, f"cd {plan.folder} && ls -A\n"),
        (1, f"head -n 4 ./*.{plan.ext} | head -n 20\n"),
        (2, "export LC_ALL=C\n"),
        (1, f"iso() {{ {branches}; fi 2>/dev/null; }}\n"),
        (4, f'for f in *.{plan.ext}; do {found}; iso "$x"; done | sort | uniq -c | sort -rn | head -n 5\n'),
        (5, f"mkdir {plan.double}; declare -A seen\n"),
        (1, f'new() {{ k=2; t="{target}"; n="$t.{plan.ext}"; {free if plan.level > 1 else ":"}; }}\n'),
        (
            1,
            f'for f in *.{plan.ext}; do {found}; d=$(iso "$x"); [ -n "$d" ] || continue\n'
            f'{copies if plan.level > 4 else ""}new; mkdir -p -- "$(dirname -- "$n")"; mv -- "$f" "$n"\n'
            'printf \'%s\\t%s\\n\' "$n" "$f" >>/tmp/moves; done\n',
        ),
        (5, f"sort /tmp/moves > {plan.moves}; cat {plan.moves}\n"),
        (1, f"ls -R {plan.folder}\n"),
    )
    return tuple(key for level, key in keys if level <= plan.level)


def _date(notation: Notation) -> str:
    groups = "".join(f"${{BASH_REMATCH[{part}]}}" if part.isdigit() else part for part in notation.order)
    return f'date -d "{groups}" +%F'


def _wrong(plan: Plan) -> dict[str, tuple[str, ...]]:
    oracle = _oracle(plan)
    mistakes = {
        "copied": ("mv --", "cp --"),
        "day-and-month-exchanged": ("+%F", "+%Y-%d-%m"),
        "only-the-first": ("/tmp/moves; done", "/tmp/moves; break; done"),
        "overwrote-same-day": ('[ -e "$n" ]', "false"),
        "the-name-first": (" || { x=", f"; [[ $f != *{plan.sep}* ]] || {{ x="),
        "copies-like-others": ('[ -z "${seen[$h]}" ]', "true"),
        "moves-unsorted": ("sort /tmp/moves", "sort -r /tmp/moves"),
    }
    wrong = {name: tuple(keys.replace(*mistake) for keys in oracle) for name, mistake in mistakes.items()}
    wrong |= {"threw-others-away": (*oracle, "rm -f -- *.log\n"), "cheat": CHEAT}
    return {name: keys for name, keys in wrong.items() if keys != oracle}


FAMILY = Family(
    name="files/rename-by-date",
    summary="Give dated files names that sort by date, and leave all others alone.",
    domain="file_operations",
    skills=("globs", "dates", "shell-loops"),
    deeper={2: ("regular-expressions",), 3: ("quoting",), 4: ("searching",), 5: ("deduplication", "checksums")},
    generate=generate,
    requires=("grep", "find"),
    version=2,
)
