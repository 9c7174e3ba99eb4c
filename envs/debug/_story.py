"""How a table in a git repository was broken: harmless commits, culprits, side branches, commits that do not parse."""

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from termgym.lexicon import ITEMS

from ._history import Commit, History

VERBS = "Update Tidy Revise Extend Review Adjust Refresh Rework".split()
NOTES = "checked counted moved painted sold lent mended new old spare broken ordered".split()

Rows = dict[str, tuple[str, str]]
"""The table: a row's name, and what the second and the third column have."""


class Step(NamedTuple):
    """A commit and its table."""

    commit: Commit
    rows: Rows


class Culprit(NamedTuple):
    """A commit that breaks a row, and what the row had before and has then."""

    commit: Commit
    row: str
    was: str
    now: str


@dataclass(slots=True)
class Story:
    """How the repository comes about."""

    rng: Random
    level: int
    kind: str
    sep: str
    table: str
    authors: list[str]
    history: History = field(default_factory=History)
    culprits: list[Culprit] = field(default_factory=list[Culprit])
    good: list[Commit] = field(default_factory=list[Commit])
    """The one that the task says is good."""
    counter: int = 1000

    def step(self, rows: Rows, *parents: Commit, garbled: bool = False) -> Step:
        """One more commit."""
        number, verb = len(self.history.commits), self.rng.choice(VERBS)
        message = f"Merge work on {self.table}" if len(parents) > 1 else f"{verb} {self.table}, part {number}"
        at = (parents[-1].at if parents else 1_700_000_000) + self.rng.randrange(600, 90_000)
        log = f"{message}\n" + (parents[0].files["CHANGES"] if parents else "")[:200]
        files = {"CHANGES": log, self.table: self.text(rows, garbled)}
        return Step(self.history.add(self.rng.choice(self.authors), at, message, files, *parents), rows)

    def text(self, rows: Rows, garbled: bool = False) -> str:
        """The table as a file."""
        lines = [self.sep.join((name, *row)) for name, row in rows.items()]
        if garbled:
            lines[2:2] = ["<<<<<<< ours", lines[2], "======="]
        return "".join(f"{line}\n" for line in lines)


def tell(story: Story) -> Step:
    """All commits: a first one, harmless ones, and the culprits. Returns the last."""
    rng, level = story.rng, story.level
    names: list[str] = rng.sample(ITEMS, 10 + 2 * level)
    tip = story.step({name: (_first(story, names, name), rng.choice(NOTES)) for name in names})
    frozen = set[str]()
    if level > 2:  # an older break, and its end
        before, spoilt = tip.rows, rng.choice(names[2:])
        tip = _harmless(story, story.step(_spoil(story, tip.rows, spoilt), tip.commit), {spoilt})
        tip = story.step({**tip.rows, spoilt: before[spoilt]}, tip.commit)
    tip = _stretch(story, tip, 3, frozen) if level > 1 else tip
    story.good.append(tip.commit)
    for row in rng.sample(names[2:], 2 if level > 4 else 1):
        tip = _stretch(story, tip, (0, 5, 14, 25, 40, 36)[level] + rng.randrange(5), frozen)
        tip = _side(story, tip, row, frozen) if level > 3 else _culprit(story, tip, row)
        frozen |= _touched(tip.rows, row)
    tip = _stretch(story, tip, (0, 4, 10, 18, 30, 40)[level] + rng.randrange(5), frozen)
    if level > 3:
        edited = {one.row: (tip.rows[one.row][0], _other(rng, tip.rows[one.row][1])) for one in story.culprits}
        tip = _stretch(story, story.step({**tip.rows, **edited}, tip.commit), 3, frozen)
    return tip


def _touched(rows: Rows, row: str) -> set[str]:
    """What must stay as it is for the row to stay broken."""
    return {name for name in rows if name == row or rows[name][0] == rows[row][0]}


def _first(story: Story, names: list[str], name: str) -> str:
    """A value that the table begins with."""
    if story.kind == "parents":
        return names[max(0, names.index(name) - story.rng.randint(1, 3))]
    if story.kind == "sums":
        return str(sum(range(1, len(names))) if name == names[0] else -names.index(name))
    return _fresh(story)


def _fresh(story: Story) -> str:
    story.counter += story.rng.randint(1, 9)
    return str(story.counter)


def _other(rng: Random, note: str) -> str:
    return rng.choice([word for word in NOTES if word != note])


def _stretch(story: Story, tip: Step, count: int, frozen: set[str]) -> Step:
    """Harmless commits, from level 3 with some among them that cannot be tested, never at either end."""
    for number in range(count):
        garbled = story.level > 2 and 1 < number < count - 2 and story.rng.random() < 0.15
        tip = _harmless(story, tip, frozen, garbled)
    return tip


def _harmless(story: Story, tip: Step, frozen: set[str], garbled: bool = False) -> Step:
    """Another note, and other values that are as good."""
    rng, rows = story.rng, dict(tip.rows)
    first, second, third = rng.sample([name for name in rows if name not in frozen], 3)
    rows[first] = (rows[first][0], _other(rng, rows[first][1]))
    if story.kind == "sums":
        by = rng.randint(1, 40)
        for name, change in ((second, by), (third, -by)):
            rows[name] = (str(int(rows[name][0]) + change), rows[name][1])
    elif rng.random() < 0.6:
        rows[second] = (_fresh(story) if story.kind == "codes" else rng.choice([*rows]), rows[second][1])
    return story.step(rows, tip.commit, garbled=garbled)


def _spoil(story: Story, rows: Rows, row: str) -> Rows:
    value, note = rows[row]
    if story.kind == "codes":
        value = story.rng.choice([other for name, (other, _) in rows.items() if name != row])
    elif story.kind == "parents":
        at = story.rng.randrange(1, len(value))
        value = value[:at] + value[at - 1] + value[at:] + "s"
    else:
        value = str(int(value) + story.rng.randint(3, 60))
    return {**rows, row: (value, note)}


def _culprit(story: Story, tip: Step, row: str) -> Step:
    """A commit that breaks a row, from level 3 with changes that are right."""
    rows = _spoil(story, tip.rows, row)
    for name in story.rng.sample([name for name in rows if name != row], 2 if story.level > 2 else 0):
        rows[name] = (rows[name][0], _other(story.rng, rows[name][1]))
    bad = story.step(rows, tip.commit)
    story.culprits.append(Culprit(bad.commit, row, tip.rows[row][0], rows[row][0]))
    return bad


def _side(story: Story, tip: Step, row: str, frozen: set[str]) -> Step:
    """The same on a side branch that is merged: it works on some of the rows, main on the others meanwhile."""
    names = [name for name in tip.rows if name != row]
    own = {row, *story.rng.sample(names, len(names) // 2)}
    theirs = {*names} - own | frozen
    bad = _culprit(story, _stretch(story, tip, 2, theirs | {row}), row)
    side = _stretch(story, bad, 2, theirs | _touched(bad.rows, row))
    main = _stretch(story, tip, 3, frozen | own | _touched(bad.rows, row))
    merged = {name: (side if name in own else main).rows[name] for name in tip.rows}
    return story.step(merged, main.commit, side.commit)
