"""What is asked of a sheet in interactive/line-editor: its parts and rows, and wishes with what grants them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from termgym.lexicon import ADJECTIVES, GIVEN, ITEMS, PLACES

from ._editor_session import Session

FORMS = ("{number} {kind} {item} for {who}", "{item}, {kind}: {number} ({who})", "{who}: {number} x {kind} {item}")


@dataclass(frozen=True, slots=True)
class Row:
    """A line below a heading."""

    form: str
    number: int
    kind: str
    item: str
    who: str

    def __str__(self) -> str:
        return self.form.format(number=self.number, kind=self.kind, item=self.item, who=self.who)


Sheet = dict[str, list[Row]]
"""Part -> its rows."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wished, and how it is granted."""

    text: str
    grant: Callable[[Session], None]
    undoes: bool = False
    """Whether it takes back what others did, and with it whatever was entered since: it comes first."""


def parts_of(rng: Random, level: int) -> Sheet:
    """Rows that differ in their items or whom they are for; the first two parts share the first's first row so far."""
    items, people, form = rng.sample(ITEMS, 6), rng.sample(GIVEN, 4), rng.choice(FORMS)
    pairs = [(item, who) for item in items for who in people]
    numbers = iter(rng.sample(range(11, 99), 60))
    parts: Sheet = {}
    for name in rng.sample(PLACES, min(5, 2 + level // 2 + level // 3)):
        chosen = rng.sample(pairs, 4 + (level + 1) // 2)
        parts[name.capitalize()] = [Row(form, next(numbers), rng.choice(ADJECTIVES), *pair) for pair in chosen]
    first, other = list(parts.values())[:2]
    twin = first[rng.randrange(len(first))]
    if not any((row.item, row.who) == (twin.item, twin.who) for row in other):
        at = rng.randrange(len(other))
        other[at] = Row(form, next(numbers), other[at].kind, twin.item, twin.who)
    return parts


def reply_to(parts: Sheet, question: tuple[str, int, int]) -> str:
    """What opens the locked part."""
    part, line, word = question
    return str(parts[part][line - 1]).split()[word - 1].strip(",:()") if word else str(len(parts[part]))


def twins(parts: Sheet) -> tuple[Row, Row]:
    """Rows of the second and of the first part for the same, of which the second's is spoken of."""
    first, other = list(parts.values())[:2]
    same = ((one, two) for one in other for two in first if (one.item, one.who) == (two.item, two.who))
    return next(same)


def _span(lines: Sequence[str], part: str) -> tuple[int, int]:
    """First and last line of a part, from its heading on."""
    begin = lines.index(f"== {part} ==") + 1
    end = next((at for at in range(begin, len(lines)) if lines[at].startswith("== ")), len(lines))
    return begin, end


def _at(lines: Sequence[str], part: str, row: Row | str) -> int:
    """The line of a row of a part."""
    begin, end = _span(lines, part)
    return lines.index(str(row), begin, end) + 1


def wishes_of(rng: Random, parts: Sheet, level: int) -> list[Wish]:
    """A new number first, for a row of the second part; then one of each kind that the level has."""
    names = list(parts)
    free = {part: list(rows) for part, rows in parts.items()}
    twin = twins(parts)[0]
    free[names[1]].remove(twin)
    wishes = [renumber(names[1], twin, rng.randint(100, 999)), _addition(rng, rng.choice(names[1:]), free)]
    if level > 1:
        wishes.append(_removal(names[0], parts[names[0]]))
    if level > 2:
        wishes += [_second(rng, names[2], free), _relocation(rng, names)]
    if level > 3:
        wishes.append(_copied(rng, names[2], names[rng.choice((0, 1, 3))], free))
    if level > 4:
        wishes.append(_addition(rng, names[4], free))
    return wishes


def renumber(part: str, row: Row, number: int) -> Wish:
    text = f"In the part {part}, the number of the {row.item} for {row.who} becomes {number} (it is {row.number})."
    return Wish(text, lambda on: on.change(_at(on.lines, part, row), str(row.number), str(number)))


def _second(rng: Random, part: str, free: Sheet) -> Wish:
    row = next(row for row in free[part] if str(row).count(row.kind) == 1)
    free[part].remove(row)
    kind = rng.choice([kind for kind in ADJECTIVES if kind not in str(row)])
    text = f'In the part {part}, the {row.item} for {row.who} is not "{row.kind}" but "{kind}"; that word is replaced.'
    return Wish(text, lambda on: on.change(_at(on.lines, part, row), row.kind, kind))


def _addition(rng: Random, part: str, free: Sheet) -> Wish:
    """A new row, at one of three places."""
    above, kind = free[part].pop(rng.randrange(1, len(free[part]))), rng.randrange(3)
    new = f"{rng.randint(100, 999)} {rng.choice(ADJECTIVES)} {rng.choice(ITEMS)} for the {rng.choice(PLACES)}"
    where = ("right below its heading", "as its last line", f'right below the line "{above}"')[kind]

    def grant(on: Session) -> None:
        begin, end = _span(on.lines, part)
        on.put((begin, end, _at(on.lines, part, above) if kind == 2 else 0)[kind], new)

    return Wish(f'The part {part} gets a new line, {where}: "{new}" (without the quotes).', grant)


def _removal(part: str, rows: Sequence[Row]) -> Wish:
    """All rows of the person who has most."""
    names = [row.who for row in rows]
    who = max(names, key=names.count)
    gone = {str(row) for row in rows if row.who == who}

    def grant(on: Session) -> None:
        begin, end = _span(on.lines, part)
        for at in [at for at in range(end, begin, -1) if on.lines[at - 1] in gone]:
            on.drop(at, at)

    return Wish(f"In the part {part}, all lines for {who} go.", grant)


def _relocation(rng: Random, names: Sequence[str]) -> Wish:
    """A whole part."""
    part = rng.choice(names[:2])
    others = [name for at, name in enumerate(names) if name != part and names[at - 1] != part]
    before = rng.choice([*others, ""]) if part != names[-1] else rng.choice(others)
    where = f"to right before the heading of the part {before}" if before else "to the end of the sheet"

    def grant(on: Session) -> None:
        begin, end = _span(on.lines, part)
        on.move(begin, end, _span(on.lines, before)[0] - 1 if before else len(on.lines))

    return Wish(f"The whole part {part}, heading included, moves {where}.", grant)


def _copied(rng: Random, source: str, target: str, free: Sheet) -> Wish:
    row = free[source].pop(rng.randrange(len(free[source])))

    def grant(on: Session) -> None:
        at = _at(on.lines, source, row)
        on.copy(at, at, _span(on.lines, target)[1])

    text = (
        f"The line on the {row.item} for {row.who} in the part {source} also becomes the last of {target}, unchanged."
    )
    return Wish(text, grant)


def mistakes(rng: Random, began: Session, parts: Sheet) -> list[Wish]:
    """What colleagues have entered so far; the last of it is to be undone."""
    part, count = list(parts)[3], rng.randint(2, 3)
    rows, good = rng.sample(parts[part], 4), f"next count of the {rng.choice(ITEMS)}: {rng.randint(2, 28)} May"
    began.change(_at(began.lines, part, rows[0]), rows[0].kind, rng.choice(ADJECTIVES).upper())
    began.put(1, good)
    for row in rows[1 : count + 1]:
        at = _at(began.lines, part, row)
        rng.choice((lambda at=at: began.drop(at, at), lambda at=at: began.put(at, "to be looked up")))()
    parts[part][:] = [row for row in parts[part] if row not in rows]

    def grant(on: Session) -> None:
        for _ in range(count):
            on.undo()

    text = f'Entries after the one that added the line "{good}" are mistakes: undo them by the editor\'s own command.'
    return [Wish(text, grant, undoes=True)]
