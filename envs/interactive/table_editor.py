"""A full-screen editor of a small table, to be driven by keys: change, add, delete and sort rows, then save.

The editor is a curses program among the task's files; its own help screen tells its keys, which the seed decides.
It writes a checksum under the table. Level 2 adds rows, level 3 deletes some, level 4 sorts, level 5 has two tables.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from shlex import quote

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, PLACES, TOWNS, people
from termgym.protocol import Command
from termgym.task import Check, File, Limits

ASKS = (
    (
        "The tables in {folder} are kept with the editor {editor} (python3 {editor} FILE; {help} shows its"
        " keys).\n\n{wishes}\n\n{rules}\n"
    ),
    (
        "Please use {editor} (start it by python3 {editor} FILE, press {help} for help) on the tables in"
        " {folder}:\n\n{wishes}\n\n{rules}\n"
    ),
    (
        "Keep our tables in {folder}. Their editor is {editor}, a full-screen program; python3 {editor} FILE starts it"
        " and {help} shows what its keys do.\n\n{wishes}\n\n{rules}\n"
    ),
    "{wishes}\n\nThese are changes to tables in {folder}, made with python3 {editor} FILE (help by {help}). {rules}\n",
)
RULES = (
    "All else stays as it is, and the last line of a file, the checksum that the editor writes when it saves, is right."
)
EDITOR = """\
import curses, sys, zlib
path = sys.argv[1]
lines = open(path).read().split("\\n")
rows = [line.split("|") for line in lines if line and not line.startswith("=")]
head, rows = rows[0], rows[1:]
HELP = {help!r}
def save():
    text = "".join("|".join(row) + "\\n" for row in [head] + rows)
    open(path, "w").write(text + "=%08x\\n" % zlib.crc32(text.encode()))
def ask(win, question, old=""):
    value, (height, _) = old, win.getmaxyx()
    while True:
        win.move(height - 1, 0)
        win.clrtoeol()
        win.addstr(height - 1, 0, question + value)
        key = win.getch()
        if key in (10, 13):
            return value
        if key == 21:
            value = ""
        elif key in (8, 127, curses.KEY_BACKSPACE):
            value = value[:-1]
        elif 32 <= key < 127 and key != 124:
            value += chr(key)
def main(win):
    r = c = 0
    note = "{keys[help]} shows the keys"
    while True:
        win.erase()
        height, _ = win.getmaxyx()
        top = max(0, r - height + 6)
        for i, row in enumerate([head] + rows[top:top + height - 4]):
            for j, cell in enumerate(row):
                mark = curses.A_REVERSE if i and (top + i - 1, j) == (r, c) else 0
                win.addstr(i, j * 22, cell[:20], mark)
        win.addstr(height - 2, 0, note)
        note = ""
        key = chr(win.getch() & 255)
        if key == "{keys[down]}":
            r = min(r + 1, len(rows) - 1)
        elif key == "{keys[up]}":
            r = max(r - 1, 0)
        elif key == "{keys[right]}":
            c = min(c + 1, len(head) - 1)
        elif key == "{keys[left]}":
            c = max(c - 1, 0)
        elif key == "{keys[find]}":
            word = ask(win, "find: ")
            found = [i for i, row in enumerate(rows) if row[0] == word]
            note = "" if found else "not found: " + word
            r, c = (found[0], c) if found else (r, c)
        elif key == "{keys[edit]}":
            rows[r][c] = ask(win, head[c] + ": ", rows[r][c])
        elif key == "{keys[add]}":
            rows.append([ask(win, name + ": ") for name in head])
            r = len(rows) - 1
        elif key == "{keys[delete]}" and rows and ask(win, "delete %s? type yes: " % rows[r][0]) == "yes":
            del rows[r]
            r = max(0, min(r, len(rows) - 1))
        elif key == "{keys[sort]}":
            rows.sort(key=lambda row: row[c])
        elif key == "{keys[help]}":
            win.erase()
            for i, line in enumerate(HELP):
                win.addstr(i, 0, line)
            win.getch()
        elif key == "{keys[save]}":
            save()
            note = "saved"
        elif key == "{keys[quit]}":
            return
curses.wrapper(main)
"""
MEANINGS = {
    "down": "down",
    "up": "up",
    "right": "right",
    "left": "left",
    "find": "find a row by its first column",
    "edit": "edit the cell (Ctrl-U empties it, Enter ends)",
    "add": "add a row at the end",
    "delete": "delete the row, after a question",
    "sort": "sort the rows by this column, as text",
    "save": "save",
    "quit": "leave without saving",
}
JUDGE = """\
plain {path} 100000 || exit 1
text=$(tr -d '\\0' <{path}; echo .)
"""
CELL = '[ "$(grep -c -F -x -- {line} <<<"$text")" = 1 ] || exit 1\n'
NO_ROW = '! grep -q -F -- {start} <<<"$text" || exit 1\n'
WHOLE = '[ "$text" = {text} ]\n'


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name, head and rows."""

    name: str
    head: Sequence[str]
    rows: Sequence[tuple[str, ...]]

    def text(self) -> str:
        """As the editor saves it."""
        body = "".join("|".join(row) + "\n" for row in (tuple(self.head), *self.rows))
        return f"{body}={zlib.crc32(body.encode()):08x}\n"


@dataclass(frozen=True, slots=True)
class Change:
    """A wish, the keys that grant it, and the lines that are there, or not, when it is granted."""

    wish: str
    keys: tuple[str, ...]
    there: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


def generate(rng: Random, level: int) -> Draft:
    """One table, or two."""
    folder = f"/app/{rng.choice(PLACES)}"
    editor = f"{folder}/{rng.choice(('tabed', 'grid', 'cards'))}.py"
    letters = dict(zip((*MEANINGS, "help"), rng.sample("abdefhjklmnoprstuvwxyz", len(MEANINGS) + 1), strict=True))
    tables = [_table(rng, name, level) for name in rng.sample(ITEMS, 1 + (level > 4))]
    checks: list[Check] = []
    wishes: list[str] = []
    done: dict[str, str] = {}
    oracle: list[str | Command] = [
        f"cd {folder} && ls && head -n 4 *\n",
        f"python3 {editor} {tables[0].name}.tab\n",
        letters["help"],
        " ",
    ]
    oracle += [letters["quit"]]
    files = {editor: _editor(letters)}
    for number, table in enumerate(tables, 1):
        path = f"{folder}/{table.name}.tab"
        changes, after = _changes(rng, table, level, letters)
        files[path], done[path] = table.text(), after.text()
        wishes += [f"In {path}:", *(f"- {change.wish}" for change in changes)]
        for kind, change in enumerate(changes, 1):
            script = PLAIN + JUDGE.format(path=path)
            script += "".join(CELL.format(line=quote(line)) for line in change.there)
            script += "".join(NO_ROW.format(start=quote(line)) for line in change.gone)
            checks.append(Check(f"change-{number}-{kind}", script))
        checks.append(
            Check(f"whole-{number}", PLAIN + JUDGE.format(path=path) + WHOLE.format(text=quote(after.text() + ".")), 2)
        )
        oracle += [
            f"python3 {editor} {path}\n",
            *(key for change in changes for key in change.keys),
            letters["save"],
            letters["quit"],
        ]
    end = f"tail -n 3 {folder}/*.tab\n"
    first = f"{folder}/{tables[0].name}.tab"
    unsaved = [key for key in oracle if key != letters["save"]]
    return Draft(
        instruction=rng.choice(ASKS).format(
            folder=folder, editor=editor, help=letters["help"], wishes="\n".join(wishes), rules=RULES
        ),
        checks=tuple(checks),
        oracle=(*oracle, end),
        wrong={
            "not-saved": (*unsaved, end),
            "by-hand-without-checksum": (*oracle, f"sed -i '$d' {first}; echo =00000000 >> {first}\n"),
            "one-more-row": (
                *oracle,
                f"python3 {editor} {first}\n",
                letters["add"],
                "x\n",
                *["y\n"] * 3,
                letters["save"],
                letters["quit"],
            ),
            "emptied": (f": > {first}\n",),
        },
        solve="".join(f"cat >{quote(path)} <<'END'\n{text}END\n" for path, text in done.items()),
        files={path: File.of(text) for path, text in files.items()},
        limits=Limits(turns=150),
    )


def _editor(letters: Mapping[str, str]) -> str:
    shown = [f"{letters[name]}  {meaning}" for name, meaning in MEANINGS.items()]
    return EDITOR.format(keys=letters, help=shown)


def _table(rng: Random, name: str, level: int) -> Table:
    head = ("name", "town", "amount", "state")
    rows = [
        (person, rng.choice(TOWNS), str(rng.randint(10, 99)), rng.choice(("open", "paid", "late")))
        for person in people(rng, 6 + 3 * level)
    ]
    return Table(name, head, rows)


def _changes(rng: Random, table: Table, level: int, letters: Mapping[str, str]) -> tuple[list[Change], Table]:
    """The wishes in the order in which they are granted, and the table after them."""
    rows = [list(row) for row in table.rows]
    changes: list[Change] = []
    for _ in range(1 + level // 2 if level < 5 else 2):
        row, column = rng.choice(rows[1:]), rng.choice((1, 2, 3))
        value = {1: rng.choice([town for town in TOWNS if town != row[1]]), 2: str(rng.randint(100, 999)), 3: "closed"}[
            column
        ]
        move = letters["left"] * 3 + letters["right"] * column
        keys = (letters["find"], f"{row[0]}\n", move, letters["edit"], "C-u", f"{value}\n")
        row[column] = value
        changes.append(Change(f"the {table.head[column]} of {row[0]} becomes {value}", keys, ("|".join(row),)))
    changes = changes if len({change.wish.split(" becomes")[0] for change in changes}) == len(changes) else changes[-1:]
    if level > 1:
        new = [f"{rng.choice(TOWNS)} {rng.choice(ITEMS)}", rng.choice(TOWNS), str(rng.randint(100, 999)), "new"]
        rows.append(new)
        keys = (letters["add"], *(f"{cell}\n" for cell in new))
        changes.append(Change(f"a row is added: {', '.join(new)}", keys, ("|".join(new),)))
    for row in rng.sample(
        [row for row in rows[:-1] if row[3] not in ("closed",) and not _touched(row, changes)], (level - 1) // 2
    ):
        rows.remove(row)
        keys = (letters["find"], f"{row[0]}\n", letters["delete"], "yes\n")
        changes.append(Change(f"the row of {row[0]} is deleted", keys, (), (f"{row[0]}|",)))
    if level > 3:
        column = rng.choice((0, 1))
        rows.sort(key=lambda row: row[column])
        keys = (letters["left"] * 3 + letters["right"] * column, letters["sort"])
        first = tuple("|".join(row) for row in rows[:1])
        changes.append(Change(f"then the rows are sorted by {table.head[column]}", keys, first))
    after = Table(table.name, table.head, [tuple(row) for row in rows])
    rows_left = {"|".join(row) for row in rows}
    return [_fitting(change, rows_left) for change in changes], after


def _touched(row: Sequence[str], changes: Sequence[Change]) -> bool:
    return any(f" of {row[0]} " in change.wish for change in changes)


def _fitting(change: Change, rows: set[str]) -> Change:
    """A row that is changed twice is looked at as it is in the end."""
    return Change(change.wish, change.keys, tuple(line for line in change.there if line in rows), change.gone)


FAMILY = Family(
    name="interactive/table-editor",
    summary="Drive a full-screen table editor by its keys: change, add, delete and sort rows, and save.",
    domain="interactive",
    skills=("curses", "keystrokes"),
    deeper={2: ("forms",), 3: ("dialogs",), 4: ("sorting",), 5: ("state-tracking",)},
    generate=generate,
    requires=("python3",),
)
