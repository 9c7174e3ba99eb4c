"""Changes to a sheet kept by an unknown line editor: its commands are found by its help, it asks, and it pages.

The commands' words, the numbering, the way to address lines, and what has to be typed to confirm change with the seed.
Level 2 drops lines, which has to be confirmed, and seals the sheet; level 3 moves a whole part; level 4 copies, and a
part is locked by a question; at level 5 a colleague's mistakes are undone first, and the number of entries is limited.
The lines asked for have twins in other parts, and numbers of lines shift with each change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from shlex import quote
from typing import Any

from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, PLACES, SERVICES, person, token
from termgym.task import Check, File, Limits

from ._editor_program import Dialect, judge
from ._editor_session import Session
from ._sheet_wishes import Sheet, Wish, mistakes, parts_of, renumber, reply_to, twins, wishes_of

ASKS = (
    "The sheet {sheet} is kept by a line editor, started by python3 {editor} {sheet}. {rules}\n\n{wishes}\n\n{end}\n",
    (
        "Could you bring {sheet} up to date? What has changed, in this order:\n\n{wishes}\n\nThe sheet is edited with"
        " python3 {editor} {sheet}, which explains its commands. {rules} {end}\n"
    ),
    "{wishes}\n\nThese are changes to {sheet}, to be made one after the other. {rules} ({editor} SHEET is a program for"
    " python3.) {end}\n",
    (
        "Change request for {sheet}\n\nTool: python3 {editor} {sheet} (asks for commands; it has a help).\nRules:"
        " {rules}\nChanges, from the first to the last:\n\n{wishes}\n\n{end}\n"
    ),
    (
        "I am away, so please take over my sheet, {sheet}. Run python3 {editor} {sheet}; I have forgotten its commands,"
        " but it tells them. {rules} These are to be done, from top to bottom:\n\n{wishes}\n\n{end}\n"
    ),
)
RULES = (
    "It keeps the sheet as a journal with checksums, to which only the editor, {editor}, may add; what is in it already"
    " stays. The changes are made in the order of their numbers; all lines that they do not speak of stay as they are."
)
SEAL = "When all is done, seal the sheet with the editor, under the name {name}."
NO_SEAL = "The editor keeps each change at once; there is nothing else to do."
MOST = " From now on, at most {most} entries may be added to the journal in all; whatever the editor keeps is one."
WORDS: Mapping[str, Sequence[str]] = {
    "help": ("help", "commands", "guide"),
    "show": ("show", "list", "print", "read"),
    "find": ("find", "seek", "search", "where"),
    "go": ("go", "at", "stand", "goto"),
    "change": ("change", "swap", "subst", "alter"),
    "put": ("put", "add", "insert", "write"),
    "drop": ("drop", "remove", "strike", "cut"),
    "move": ("move", "shift", "carry", "bring"),
    "copy": ("copy", "twin", "repeat", "double"),
    "undo": ("undo", "revert", "back"),
    "log": ("log", "history", "journal"),
    "unlock": ("unlock", "open", "free"),
    "seal": ("seal", "finish", "sign"),
    "quit": ("quit", "leave", "bye"),
}
TITLES = ("Stores of the {place}", "What the {place} needs", "Orders, {place}", "Loans from the {place}")
FORGE = """\
import base64, hashlib, json
lines = open({path!r}).read().splitlines()
before, packed = lines[0].split()
entry = base64.b64decode(packed).decode().replace({old!r}, {new!r})
mark = hashlib.sha256((before + entry).encode()).hexdigest()[:16]
lines[0] = mark + " " + base64.b64encode(entry.encode()).decode()
open({path!r}, "w").write("\\n".join(lines) + "\\n")
"""


def generate(rng: Random, level: int) -> Draft:
    """One sheet."""
    title, parts = rng.choice(TITLES).format(place=rng.choice(PLACES)), parts_of(rng, level)
    lines = [title, *(line for part, rows in parts.items() for line in (f"== {part} ==", *map(str, rows)))]
    dialect, names = _dialect(rng), list(parts)
    question = rng.choice(((names[0], 0, 0), (names[-1], rng.randint(1, 4), rng.randint(1, 4))))
    locked = {names[1]: question} if level > 3 else {}
    reply = reply_to(parts, question)
    began = Session.new(dialect, lines, locked)
    undone = mistakes(rng, began, parts) if level > 4 else []
    wishes = [*undone, *wishes_of(rng, parts, level)]
    folder, name = f"/app/{rng.choice(SERVICES)}", person(rng)
    sheet, editor = f"{folder}/{rng.choice(PLACES)}.sheet", f"{folder}/{rng.choice(('lined', 'quill', 'clerk'))}.py"
    script = Script(began, editor, sheet, name if level > 1 else "", wishes, [names[1], reply] if locked else [])
    done = script.play()
    most = len(done.journal) - len(began.journal) + 3 if level > 4 else 0
    rules = RULES.format(editor=editor) + (MOST.format(most=most) if most else "")
    return Draft(
        instruction=rng.choice(ASKS).format(
            sheet=sheet,
            editor=editor,
            rules=rules,
            wishes="\n".join(f"{number}. {wish.text}" for number, wish in enumerate(wishes, 1)),
            end=SEAL.format(name=name) if level > 1 else NO_SEAL,
        ),
        checks=_checks(script, done, most),
        oracle=script.typed(done),
        wrong=_wrong(script, parts),
        solve="\n".join([f"python3 {quote(editor)} {quote(sheet)} <<'DONE'", "".join(done.keys) + "DONE", ""]),
        files={editor: File.of(dialect.program()), sheet: File.of("".join(began.journal))},
        limits=Limits(turns=3 * len(script.typed(done)) + 15),
    )


def _dialect(rng: Random) -> Dialect:
    digits = [f"{rng.randint(0, 9999):04}" for _ in range(40)]
    return Dialect(
        key=token(rng, 24),
        words={kind: rng.choice(words) for kind, words in WORDS.items()},
        step=rng.choice((1, 5, 10)),
        page=rng.randint(7, 12),
        end=rng.choice((".", "end", "//", "ok")),
        prompt=rng.choice(("> ", "* ", "? ", "line editor: ")),
        pointed=rng.random() < 0.5,
        codes=tuple(digits if rng.random() < 0.5 else rng.sample(ITEMS, 30)),
    )


def _undone(wishes: Sequence[Wish]) -> int:
    """How many of them come before a part is opened, which undoing would close again."""
    return sum(wish.undoes for wish in wishes)


@dataclass(frozen=True, slots=True)
class Script:
    """How one goes about it."""

    began: Session
    editor: str
    sheet: str
    name: str
    """To seal it by; empty where it is not."""
    wishes: Sequence[Wish]
    locked: Sequence[str]
    """A part to be opened, and what has to be replied; or nothing."""

    def play(self, wishes: Sequence[Wish] = (), code: str = "") -> Session:
        """A session in which wishes are granted; `code` is typed in place of what the last question asks for."""
        on = self.began.again()
        on.type("help")
        on.keys += ["\n"] * ((len(on.dialect.help()) - 1) // on.dialect.page)
        on.look()
        wishes = wishes or self.wishes
        if _undone(wishes):
            on.type("log")
        for number, wish in enumerate(wishes):
            if number == _undone(wishes) and self.locked:
                on.unlock(*self.locked)
            wish.grant(on)
        on.look()
        if self.name:
            on.seal(self.name, code)
        on.type("quit")
        return on

    def typed(self, session: Session) -> tuple[str, ...]:
        """The keys, from the shell to the shell."""
        folder = self.sheet.rpartition("/")[0]
        start = f"python3 {self.editor} {self.sheet}\n"
        return f"cd {folder} && ls -l\n", start, *session.keys, f"wc -l {self.sheet}\n"


def _checks(script: Script, done: Session, most: int) -> tuple[Check, ...]:
    """Each wish by the lines that it adds and takes, as far as they last; then all of it."""
    began, on = script.began, script.began.again()
    first, last = _places(began.lines), _places(done.lines)

    def check(name: str, weight: float = 1, **wanted: Any) -> Check:
        return Check(name, judge(script.sheet, began.dialect.key, len(began.journal), began.tail, **wanted), weight)

    checks: list[Check] = []
    size = 1 if len(script.wishes) < 4 else 2
    for at in range(0, len(script.wishes), size):
        before, heads = _places(on.lines), _heads(on.lines)
        for wish in script.wishes[at : at + size]:
            wish.grant(on)
        after = _places(on.lines)
        there, gone = (after - before) & last, before - after - last
        touched = {part for part, _ in there | gone}
        there |= {place for place in first & before & after & last if place[0] in touched}
        places = sorted((*((*place, True) for place in there), *((*place, False) for place in gone)))
        moved = _heads(done.lines) if _heads(on.lines) != heads else []
        checks.append(check(f"changes-{len(checks) + 1}", PLACES=places, HEADS=moved))
    checks.append(check("whole", 2, LINES=done.lines))
    if script.name:
        checks.append(
            check("sealed", LINES=done.lines, NAME=script.name, MOST=len(began.journal) + most if most else 300)
        )
    return tuple(checks)


def _heads(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.startswith("== ")]


def _places(lines: Sequence[str]) -> set[tuple[str, str]]:
    """Part and line, for all lines below headings."""
    found: set[tuple[str, str]] = set()
    part = ""
    for line in lines:
        part = line[3:-3] if line.startswith("== ") else part
        found |= {(part, line)} if part and not line.startswith("== ") else set()
    return found


def _wrong(script: Script, parts: Sheet) -> dict[str, tuple[str, ...]]:
    row, twin = twins(parts)
    at, name = _undone(script.wishes), next(iter(parts))
    other = [*script.wishes[:at], renumber(name, twin, 100 + row.number), *script.wishes[at + 1 :]]
    forge = FORGE.format(path=script.sheet, old=str(row), new=str(row).replace(str(row.number), "777"))
    wrong = {
        "last-left-out": script.typed(script.play(script.wishes[:-1])),
        "other-part": script.typed(script.play(other)),
        "forged": (f"cat > /tmp/forge.py <<'END'\n{forge}END\n", "python3 /tmp/forge.py\n"),
    }
    if script.name:
        wrong["not-confirmed"] = script.typed(script.play(code="yes"))
    if at:
        wrong["mistakes-kept"] = script.typed(script.play(script.wishes[1:]))
    return wrong


FAMILY = Family(
    name="interactive/line-editor",
    summary="Change a sheet by an unknown line editor that asks, pages and confirms, and seal it.",
    domain="interactive",
    skills=("repl", "prompts"),
    deeper={2: ("dialogs",), 3: ("state-tracking",), 4: ("searching",), 5: ("optimization",)},
    generate=generate,
    requires=("python3",),
)
