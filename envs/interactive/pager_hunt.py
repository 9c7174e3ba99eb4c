"""A long manual is to be read in a pager: find what a question asks, by searches and line numbers, and note it down.

The question is about the n-th place of a word, the section around it, or what stands a number of lines on. Level 2 has
letter case, level 3 whole words only, level 4 several volumes, level 5 a trail from one place to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from termgym.checks import answer
from termgym.family import Draft, Family
from termgym.lexicon import ADJECTIVES, COLOURS, ITEMS, PLACES, SERVICES
from termgym.task import Check, File, Limits

ASKS = (
    "{book} is a long manual. Look it up (less is there) and answer:\n\n{questions}\n\n{out}\n",
    "Some questions on the manual {book}, best read with less:\n\n{questions}\n\n{out}\n",
    "{out}\n\nThe answers are in the manual {book}, and less will help to find them.\n\n{questions}\n",
    "Find these things in {book} (a pager, less, is installed).\n\n{questions}\n\n{out}\n",
)
OUT = "Write {out} with a line NAME = ANSWER for each. Lines of a file are counted from 1."
QUESTIONS = {
    "line": (
        'line: the number of the line of {volume} in which "{word}" stands for the {nth} time, counting each line once.'
    ),
    "section": (
        'section: the title of the section of {volume} that has that line (a section begins with a line "## TITLE").'
    ),
    "lines": 'lines: how many lines of {volume} have "{word}", in whatever letter case, as a part of a word as well.',
    "whole": (
        'whole: how many lines of {volume} have "{short}" as a whole word in small letters (no letter or digit beside'
        " it)."
    ),
    "last": "last: the last word of line {number} of the other volume, {other}.",
    "trail": (
        "trail: the word in square brackets at the end of the trail that begins in line {begin} of {volume}: a line on"
        ' it says "see line N", of the same volume, until one says "stop [WORD]".'
    ),
}
NTH = {2: "second", 3: "third", 4: "fourth"}


@dataclass(frozen=True, slots=True)
class Manual:
    """Two volumes, and what is asked of them."""

    first: Sequence[str]
    other: Sequence[str]
    word: str
    short: str
    nth: int
    number: int
    begin: int

    def wanted(self) -> dict[str, str]:
        """The answers."""
        places = [number for number, line in enumerate(self.first, 1) if self.word in line]
        line = places[self.nth - 1]
        title = next(text[3:] for text in reversed(self.first[:line]) if text.startswith("## "))
        at = self.begin
        while "see line" in self.first[at - 1]:
            at = int(self.first[at - 1].split("see line ")[1].split()[0].rstrip(".,"))
        return {
            "line": str(line),
            "section": title,
            "lines": str(sum(self.word in text.lower() for text in self.first)),
            "whole": str(sum(self.short in _words(text) for text in self.first)),
            "last": self.other[self.number - 1].split()[-1],
            "trail": self.first[at - 1].split("[")[1].split("]")[0],
        }


def _words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


def generate(rng: Random, level: int) -> Draft:
    """One manual."""
    folder = f"/app/{rng.choice(SERVICES)}"
    volume, other, out = (
        f"{folder}/manual.txt",
        f"{folder}/volume2.txt",
        f"/app/{rng.choice(('found', 'answers', 'notes'))}.txt",
    )
    manual = _manual(rng, level)
    names = {
        1: ["line", "section"],
        2: ["line", "section", "lines"],
        3: ["line", "section", "lines", "whole"],
        4: ["line", "section", "lines", "whole", "last"],
        5: list(QUESTIONS),
    }[level]
    fields = {
        "volume": volume,
        "other": other,
        "word": manual.word,
        "short": manual.short,
        "nth": NTH[manual.nth],
        "number": manual.number,
        "begin": manual.begin,
    }
    wanted = manual.wanted()
    files = {volume: manual.first, **({other: manual.other} if level > 3 else {})}
    oracle = _oracle(manual, names, volume, other, out, wanted)
    return Draft(
        instruction=rng.choice(ASKS).format(
            book=volume,
            questions="\n".join(f"- {QUESTIONS[name].format(**fields)}" for name in names),
            out=OUT.format(out=out),
        ),
        checks=(*(answer(out, name, wanted[name]) for name in names), _together(out, names, wanted)),
        oracle=oracle,
        wrong={
            "one-line-off": (*oracle, f"sed -i 's/^line = .*/line = {int(wanted['line']) + 1}/' {out}\n"),
            "title-of-the-first": (
                *oracle,
                f"sed -i \"s/^section = .*/section = $(grep -m1 '^## ' {volume} | cut -c4-)/\" {out}\n",
            ),
            "names-only": (f"for q in {' '.join(names)}; do echo $q =; done > {out}\n",),
        },
        solve=oracle[-1],
        files={path: File.of("\n".join([*lines, ""])) for path, lines in files.items()},
        limits=Limits(turns=60),
    )


def _together(out: str, names: Sequence[str], wanted: dict[str, str]) -> Check:
    """All of it at once."""
    scripts = [answer(out, name, wanted[name]).script for name in names]
    return Check("together", "".join(f"(\n{script}) || exit 1\n" for script in scripts), 2)


def _manual(rng: Random, level: int) -> Manual:
    """The word asked for stands in other letter cases and within others too; the wanted section is not the first."""
    word, short = rng.sample(COLOURS, 2)
    filler = [*ADJECTIVES, *PLACES, *ITEMS]
    titles = [f"{rng.choice(ADJECTIVES).capitalize()} {item}s" for item in rng.sample(ITEMS, 6 + level)]
    first: list[str] = []
    for title in titles:
        first += [f"## {title}", ""]
        first += [
            " ".join(rng.choices(filler, k=rng.randint(6, 11))).capitalize() + "."
            for _ in range(rng.randint(12, 20 + 4 * level))
        ]
        first.append("")
    body = [n for n, line in enumerate(first) if line and not line.startswith("#")]
    start = next(n for n, line in enumerate(first) if line == f"## {titles[1]}")
    marks = iter(rng.sample([n for n in body if n > start], 18))
    for text in (
        word,
        word,
        word,
        word,
        f"pale{word}ish",
        word.upper(),
        word.capitalize(),
        short,
        f"{short}-like",
        f"un{short}",
        f"{short}s",
        short.upper(),
        f"({short})",
    ):
        place = next(marks)
        words = first[place].rstrip(".").split()
        words.insert(rng.randrange(1, len(words)), text)
        first[place] = " ".join(words) + "."
    trail = [next(marks) for _ in range(4)]
    for here, there in pairwise(trail):
        first[here] = first[here].rstrip(".") + f", see line {there + 1}."
    first[trail[-1]] = first[trail[-1]].rstrip(".") + f", stop [{rng.choice(ITEMS)}]."
    other = [" ".join(rng.choices(filler, k=rng.randint(5, 9))) for _ in range(200)]
    return Manual(first, other, word, short, rng.randint(2, 4), rng.randint(60, 190), trail[0] + 1)


def _oracle(
    manual: Manual, names: Sequence[str], volume: str, other: str, out: str, wanted: dict[str, str]
) -> tuple[str, ...]:
    """In the pager, with line numbers: search, look at the section, go to lines; counts by grep; then note it all."""
    keys = [f"less -N {volume}\n", f"/{manual.word}\n", *["n"] * (manual.nth - 1), "?^## \n", f"{wanted['line']}g"]
    if "trail" in names:
        at = manual.begin
        keys.append(f"{at}g")
        while "see line" in manual.first[at - 1]:
            at = int(manual.first[at - 1].split("see line ")[1].split()[0].rstrip(".,"))
            keys.append(f"{at}g")
    keys.append("q")
    if "lines" in names:
        keys.append(f"grep -ic {manual.word} {volume}; grep -cw {manual.short} {volume}\n")
    if "last" in names:
        keys += [f"less -N +{manual.number}g {other}\n", "q"]
    return (*keys, f"cat > {out} <<'END'\n" + "".join(f"{name} = {wanted[name]}\n" for name in names) + "END\n")


FAMILY = Family(
    name="interactive/pager-hunt",
    summary="Find places, sections and trails in a long manual with a pager, and note them down.",
    domain="interactive",
    skills=("less", "searching"),
    deeper={2: ("counting",), 3: ("regular-expressions",), 5: ("state-tracking",)},
    generate=generate,
    requires=("less",),
)
