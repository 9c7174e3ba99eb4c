"""The program of interactive/line-editor, and a judge that replays its journal.

A sheet is kept as a journal: a first entry with its lines and locked parts, then one entry for each change. Every entry
bears a keyed checksum over itself and the one before, so that nothing can be taken out, altered or put in by hand. What
a confirmation asks one to type depends on that checksum, and so on all that was entered before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CORE = '''\
import base64, hmac, json

MOST_LINES, MOST_ENTRIES = 200, 300

def mark(key, before, entry):
    return hmac.new(key.encode(), (before + json.dumps(entry)).encode(), "sha256").hexdigest()[:16]

def part_of(lines, at):
    heads = [line for line in lines[:at] if line.startswith("== ")]
    return heads[-1][3:-3] if heads else ""

def body(lines, part):
    begin = lines.index("== " + part + " ==") + 1
    heads = [at for at in range(begin, len(lines)) if lines[at].startswith("== ")]
    return lines[begin:(heads + [len(lines)])[0]]

def reply(lines, part, line, word):
    try:
        return body(lines, part)[line - 1].split()[word - 1].strip(",:()") if word else str(len(body(lines, part)))
    except (ValueError, IndexError):
        return None

def edited(lines, kind, first, last, to, texts):
    block = lines[first - 1:last]
    if kind == "change":
        if not texts[0] or block[0].count(texts[0]) != 1:
            return "The old text has to stand there exactly once."
        return lines[:first - 1] + [block[0].replace(*texts)] + lines[last:]
    if kind == "drop":
        return lines[:first - 1] + lines[last:]
    if kind == "move" and first <= to <= last:
        return "It cannot go into itself."
    if kind == "move":
        lines, to = lines[:first - 1] + lines[last:], to - len(block) * (to > last - 1)
    new = texts if kind == "put" else block
    return lines[:to] + new + lines[to:]

def apply(state, entry):
    """Why it is refused; nothing once it is done."""
    kind, first, last, to, texts = entry
    lines = state["lines"]
    if state["sealed"]:
        return "The sheet is sealed."
    if kind == "undo" and not state["past"]:
        return "There is nothing to undo."
    if kind == "undo":
        state["lines"], state["opened"] = state["past"].pop()
        return ""
    if kind == "seal":
        if not texts[0] or texts[1] != str(len(lines)):
            return "It is not sealed: a name and the right number of lines are needed."
        state["sealed"] = texts[0]
        return ""
    opened, now = state["opened"], lines
    if kind == "unlock":
        if texts[0] not in state["locked"] or texts[1].strip(",:()") != reply(lines, *state["locked"][texts[0]]):
            return "That is not right."
        opened = opened + [texts[0]]
    else:
        if not (0 <= to <= len(lines) and 1 <= first <= last + (kind == "put") <= len(lines)):
            return "There are no such lines."
        touched = [] if kind in ("put", "copy") else list(range(first, last + 1))
        touched += [to] if kind in ("put", "copy", "move") else []
        shut = {part_of(lines, at) for at in touched} & set(state["locked"]) - set(opened)
        if shut:
            return "Locked: " + ", ".join(sorted(shut)) + "."
        now = edited(lines, kind, first, last, to, texts)
        if isinstance(now, str):
            return now
        if len(now) > MOST_LINES:
            return "The sheet is full."
    state["past"].append((lines, state["opened"]))
    state["lines"], state["opened"] = now, opened
    return ""

def load(text, key):
    """The state, the entries, and their checksums."""
    marks, entries = [""], []
    for number, line in enumerate(text.splitlines(), 1):
        given, packed = line.split()
        entry = json.loads(base64.b64decode(packed))
        if given != mark(key, marks[-1], entry) or number > MOST_ENTRIES:
            raise ValueError("The journal is broken at entry %d." % number)
        if number == 1:
            state = {"lines": entry[0], "locked": entry[1], "opened": [], "sealed": "", "past": []}
        elif apply(state, entry):
            raise ValueError("Entry %d of the journal cannot be." % number)
        marks.append(given)
        entries.append(entry)
    return state, entries, marks
'''
PROGRAM = """
import re, sys

def ask(prompt):
    sys.stdout.write(prompt)
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        print()
        sys.exit()
    return line.strip()

def pages(lines):
    for at in range(0, len(lines), PAGE):
        print("\\n".join(lines[at:at + PAGE]))
        if at + PAGE < len(lines) and ask("-- Enter: more, q: enough -- ") == "q":
            return

def numbered(at):
    line = state["lines"][at - 1]
    shut = line.startswith("== ") and line[3:-3] in set(state["locked"]) - set(state["opened"])
    return ("%s%4d  %s" % (">" if POINTED and at == here else " ", at * STEP, line)) + ("  [locked]" if shut else "")

def code(entry):
    return CODES[int(mark(KEY, marks[-1], entry), 16) % len(CODES)]

def enter(entry):
    if len(entries) >= MOST_ENTRIES:
        return print("The journal is full.")
    why = apply(state, entry)
    if why:
        return print(why)
    marks.append(mark(KEY, marks[-1], entry))
    entries.append(entry)
    with open(PATH, "a") as file:
        file.write(marks[-1] + " " + base64.b64encode(json.dumps(entry).encode()).decode() + "\\n")
    print("Done: entry %d of the journal." % len(entries))

def line_number(word):
    return int(word) // STEP if int(word) % STEP == 0 else -1

def edit(kind, rest):
    words = re.findall(r"[0-9]+", rest)
    needed = {"change": 1, "put": 1, "drop": 2, "move": 3, "copy": 3}[kind] - POINTED
    if len(words) != needed:
        return print("How to use it:", next(line for line in HELP if line.startswith(WORDS[kind] + " ")))
    if not POINTED:
        at = [line_number(word) for word in words]
    elif kind in ("change", "put"):
        at = [here]
    else:
        at = [here, here + int(words[0]) - 1, *map(line_number, words[1:])]
    texts = []
    if kind == "change":
        texts = [ask("old text: "), ask("new text: ")]
    while kind == "put":
        text = ask("text, or %s to end: " % END)
        if text == END:
            break
        texts.append(text)
    if kind == "put":
        return enter([kind, 1, 0, at[0], texts])
    first, last, to = (at + at + [0])[:3] if kind == "change" else (at + [0])[:3]
    entry = [kind, first, last, to, texts]
    if kind == "drop":
        if ask("To drop %d of the lines, type %s: " % (last - first + 1, code(entry))) != code(entry):
            return print("Not dropped.")
    enter(entry)

def unlock(part):
    if part not in state["locked"]:
        return print("There is no such locked part.")
    other, line, word = state["locked"][part]
    print("Who opens %s has to know the sheet." % part)
    asked = "Word %d of line %d" % (word, line) if word else "The number of lines"
    enter(["unlock", 0, 0, 0, [part, ask(asked + " below the heading of %s: " % other)]])

def seal():
    texts = [ask("Your name: "), ask("How many lines has the sheet, headings and all? ")]
    word = code(["seal", 0, 0, 0, texts])
    if ask("It cannot be changed any more then. Type %s to go on: " % word) != word:
        return print("Not sealed.")
    enter(["seal", 0, 0, 0, texts])

def history():
    shown = []
    for number, (kind, first, last, to, texts) in enumerate(entries[1:], 2):
        where = " ".join(str(at * STEP) for at in ([first, last] if last else []) + [to] if at)
        shown.append("%4d  %s  %s  %s" % (number, WORDS[kind], where, " | ".join(texts)))
    pages(shown or ["No entries yet."])

if len(sys.argv) != 2:
    sys.exit("usage: python3 %s SHEET" % sys.argv[0])
PATH, here = sys.argv[1], 1
try:
    with open(PATH) as file:
        state, entries, marks = load(file.read(), KEY)
except (OSError, ValueError, UnboundLocalError) as error:
    sys.exit("This sheet cannot be opened. " + str(error))
print("%s, %d lines. The commands: %s" % (state["lines"][0], len(state["lines"]), WORDS["help"]))
if state["sealed"]:
    print("Sealed by %s." % state["sealed"])
KINDS = {word: kind for kind, word in WORDS.items()}
while True:
    here = max(1, min(here, len(state["lines"])))
    word, _, rest = ask(PROMPT).partition(" ")
    kind, rest = KINDS.get(word), rest.strip()
    if kind == "quit":
        break
    if kind == "help":
        pages(HELP)
    elif kind == "show":
        pages([numbered(at) for at in range(1, len(state["lines"]) + 1)])
    elif kind == "find":
        pages([numbered(at) for at, line in enumerate(state["lines"], 1) if rest in line] or ["Nowhere."])
    elif kind == "go":
        at = line_number(rest) if rest.isdecimal() else 0
        here = at if 1 <= at <= len(state["lines"]) else here
        print(numbered(here))
    elif kind == "undo":
        enter(["undo", 0, 0, 0, []])
    elif kind == "log":
        history()
    elif kind == "unlock":
        unlock(rest)
    elif kind == "seal":
        seal()
    elif kind:
        edit(kind, rest)
    elif word:
        print("There is no such command. The commands: %s" % WORDS["help"])
"""
JUDGE = """
import os, stat, sys

def right():
    if os.path.realpath(PATH) != PATH or not stat.S_ISREG(os.lstat(PATH).st_mode) or os.path.getsize(PATH) > 100000:
        return False
    with open(PATH, encoding="ascii") as file:
        state, entries, marks = load(file.read(), KEY)
    lines = state["lines"]
    if marks[BEGAN] != MARK or not (BEGAN < len(entries) <= MOST):
        return False
    if HEADS and [line for line in lines if line.startswith("== ")] != HEADS:
        return False
    if any((line in body(lines, part)) != there for part, line, there in PLACES):
        return False
    return (not LINES or lines == LINES) and (not NAME or state["sealed"] == NAME)

try:
    sys.exit(not right())
except Exception:
    sys.exit(1)
"""
HELP = {
    "help": " this list",
    "show": " the whole sheet, page by page, with the numbers of its lines",
    "find": "TEXT  the lines with that text in them",
    "go": "N  stand at line N",
    "change": "A  replace a text in line A by another; both are asked for",
    "put": "A  put new lines below line A (0: at the top); they are asked for",
    "drop": "A B  drop the lines from A to B, both included, after a question",
    "move": "A B C  move the lines from A to B to right below line C",
    "copy": "A B C  put a copy of the lines from A to B right below line C",
    "unlock": "PART  open a locked part; asks a question",
    "undo": " take back the last change (which is an entry of its own)",
    "log": " the journal's entries",
    "seal": " declare the sheet final; asks some questions",
    "quit": " leave; every entry is kept at once",
}
POINTED_HELP = {
    "change": " replace a text in the line where you stand by another; both are asked for",
    "put": " put new lines below the line where you stand; they are asked for",
    "drop": "K  drop K lines, beginning where you stand, after a question",
    "move": "K C  move K lines, beginning where you stand, to right below line C",
    "copy": "K C  put a copy of K lines, beginning where you stand, right below line C",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the seed decides about the program."""

    key: str
    words: Mapping[str, str]
    """Kind of command -> its word."""
    step: int
    """Between the numbers of two lines."""
    page: int
    end: str
    prompt: str
    pointed: bool
    """Whether commands work at the line where one stands."""
    codes: tuple[str, ...]

    def program(self) -> str:
        """The editor."""
        settings: dict[str, Any] = {"KEY": self.key, "WORDS": dict(self.words), "STEP": self.step, "PAGE": self.page}
        settings |= {"END": self.end, "PROMPT": self.prompt, "POINTED": self.pointed, "CODES": self.codes}
        settings["HELP"] = self.help()
        return _settings(settings) + CORE + PROGRAM

    def help(self) -> list[str]:
        """What its help shows."""
        texts = HELP | POINTED_HELP if self.pointed else {kind: text for kind, text in HELP.items() if kind != "go"}
        return [f"{self.words[kind]} {text}" for kind, text in texts.items()]


def _settings(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {value!r}\n" for name, value in values.items())


def judge(path: str, key: str, began: int, mark: str, **wanted: Any) -> str:
    """A check of the sheet at that path, whose journal has to go on from so many entries, which end in that mark."""
    values: dict[str, Any] = {"HEADS": [], "PLACES": [], "LINES": [], "NAME": "", "MOST": 300}
    values |= {"PATH": path, "KEY": key, "BEGAN": began, "MARK": mark, **wanted}
    return "#!/usr/bin/python3 -IS\n" + _settings(values) + CORE + JUDGE
