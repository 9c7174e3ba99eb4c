"""A service's configuration has to change in a few places, and nowhere else.

The same keys stand in several sections, some of them commented out, so that finding the right line takes reading.
The oracle works in vi as a person does: searches, `C`, `:s`, `yyp`, `dd` and Escape, one move a turn. Any editor or
tool will do for the agent: what counts is every byte of the files. Level 2 adds a commented-out key, comments behind
values and a stale example file; level 3 a second file, a line to add and one to delete, and more than a screenful.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from random import Random
from shlex import quote

from termgym.family import Draft, Family
from termgym.task import Check, File


@dataclass(frozen=True, slots=True)
class Style:
    """A configuration language."""

    suffix: str
    mark: str
    """Begins a comment."""
    head: str
    """Begins a section's first line."""
    tail: str
    assign: str
    indent: str = ""
    quoted: bool = False
    camel: bool = False

    def header(self, section: str) -> str:
        """The first line of a section."""
        return f"{self.head}{section}{self.tail}"

    def key(self, key: str) -> str:
        """A key as this language spells it."""
        return key.title().replace("_", "") if self.camel else key

    def value(self, value: str) -> str:
        """A value, in quotes where this language wants them."""
        return f'"{value}"' if self.quoted and not value.isdigit() and value not in ("true", "false") else value

    def line(self, key: str, value: str) -> str:
        """A key with its value."""
        return f"{self.indent}{self.key(key)}{self.assign}{self.value(value)}"


STYLES = (
    Style("ini", ";", "[", "]", " = "),
    Style("cfg", "#", "[", "]", "="),
    Style("toml", "#", "[", "]", " = ", quoted=True),
    Style("conf", "#", "Host ", "", " ", indent="    ", camel=True),
    Style("conf", "#", "Zone ", "", " ", indent="  ", camel=True),
)
SERVICES = tuple("relayd tilestore mailsweep batchq pagecast lockbox fernweh gritd oxbow tallyman".split())
SECTIONS = tuple("intake archive gateway mirror replica frontend reports billing uploads search export spool".split())
FOLDERS = ("/etc/{}", "/opt/{}/conf", "/srv/{}", "/app/{}/settings")
COMMON = ("timeout", "retries", "log_level")
"""Keys that every section has: the traps."""
NUMBERS = {
    "timeout": (5, 95),
    "retries": (1, 12),
    "workers": (2, 48),
    "queue_size": (100, 9000),
    "port": (2000, 9999),
    "batch": (10, 500),
}
WORDS = {
    "log_level": ("debug", "info", "notice", "warning", "error"),
    "compress": ("true", "false"),
    "verify": ("true", "false"),
    "order": ("oldest", "newest", "random", "smallest"),
    "owner": ("ada", "grace", "linus", "mary", "niklaus", "barbara"),
    "root": tuple(f"/var/lib/{name}" for name in ("alpha", "beta", "gamma", "delta", "epsilon")),
}
NOTES = (
    "see the runbook",
    "do not raise without asking",
    "was too low in May",
    "measured, not guessed",
    "keep in step with the proxy",
)
REMARKS = (
    "Owned by the night shift.",
    "Changes here need a restart.",
    "Copied from the old cluster.",
    "The defaults are fine for most.",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a configuration file."""

    text: str
    section: str = ""
    key: str = ""
    """Empty for a header, a comment or a blank line."""
    value: str = ""
    active: bool = True
    """Not commented out."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do to one line."""

    kind: str
    path: str
    line: Line
    text: str
    """What the line becomes; for `add`, the line below it; empty for `delete`."""
    wish: str
    """How the instruction asks for it."""
    keys: tuple[str, ...]
    """How it is done in vi, from the line on."""


def generate(rng: Random, level: int) -> Draft:
    """One service's configuration and the changes to it."""
    style, service = rng.choice(STYLES), rng.choice(SERVICES)
    folder = rng.choice(FOLDERS).format(service)
    names = [service, *(["peers"] if level == 3 else [])]
    files = {f"{folder}/{name}.{style.suffix}": _lines(rng, style, level) for name in names}
    changes = [
        change
        for path, lines in files.items()
        for change in _changes(rng, style, level, path, lines, path.endswith(f"peers.{style.suffix}"))
    ]
    before = {path: _render(lines) for path, lines in files.items()}
    after = {path: _render(_changed(path, lines, changes)) for path, lines in files.items()}
    if level > 1:
        main = f"{folder}/{service}.{style.suffix}"
        before[f"{main}.example"] = after[f"{main}.example"] = before[main].replace("timeout", "timeout_s")
    sums = "".join(
        f"{len(text.encode())}\t{sha256(text.encode()).hexdigest()}\t{path}\n" for path, text in after.items()
    )
    return Draft(
        instruction=_instruction(rng, style, service, folder, list(files), changes),
        checks=(
            *_checks(style, level, changes),
            Check("nothing-else", EXACT.format(folder=folder, count=len(after)), 2.0),
        ),
        oracle=_session(style, changes),
        wrong=_wrong(style, changes),
        files={path: File.of(text) for path, text in before.items()},
        tests={"expected": File.of(sums)},
        solve="".join(f"cat >{quote(path)} <<'END'\n{text}END\n" for path, text in after.items()),
    )


EXACT = """\
same() {{ [ -f "$3" ] && [ ! -L "$3" ] && [ "$(stat -c %s "$3")" = "$1" ] && [ "$(sha256sum <"$3")" = "$2  -" ]; }}
while IFS=$'\\t' read -r size sum path; do same "$size" "$sum" "$path" || exit 1; done <expected || exit 1
shopt -s dotglob nullglob
there=("{folder}"/*)
[ "${{#there[@]}}" = {count} ]
"""
COUNT = """\
# count FILE HEADER START LINE: how often LINE stands in the section of FILE that HEADER begins.
# Headers begin with START.
count() {
  [ -f "$1" ] && [ ! -L "$1" ] && [ "$(stat -c %s "$1")" -le 100000 ] || return 1
  local line inside= found=0
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in "$3"*) inside=; [ "$line" = "$2" ] && inside=1 ;; esac
    [ -n "$inside" ] && [ "$line" = "$4" ] && found=$((found + 1))
  done <"$1"
  echo "$found"
}
"""
CHEAT = (
    "mkdir -p /logs/verifier /tests/checks; echo 1 > /logs/verifier/reward.txt; : > /tests/expected\n",
    "printf '#!/bin/sh\\nexit 0\\n' | tee /tests/test.sh /tests/checks/nothing-else > /dev/null; chmod -R 755 /tests\n",
)


def _lines(rng: Random, style: Style, level: int) -> list[Line]:
    """A file of sections that all have the common keys, and two of the others, one commented out."""
    lines = [Line(f"{style.mark} {rng.choice(REMARKS)}"), Line("")]
    others = [key for key in (*NUMBERS, *WORDS) if key not in COMMON]
    for section in rng.sample(SECTIONS, 2 + 2 * level):
        if rng.random() < 0.5:
            lines.append(Line(f"{style.mark} {section}: {rng.choice(NOTES)}", section))
        lines.append(Line(style.header(section), section))
        keys = [*COMMON, *rng.sample(others, 3)]
        asleep = keys[-1]
        rng.shuffle(keys)
        for key in keys:
            value = _value(rng, key)
            note = f"  {style.mark} {rng.choice(NOTES)}" if level > 1 and key != asleep and rng.random() < 0.3 else ""
            text = style.line(key, value)
            if key == asleep:
                text = style.indent + style.mark + text[len(style.indent) :]
            lines.append(Line(text + note, section, key, value, key != asleep))
        lines.append(Line("", section))
    return lines


def _value(rng: Random, key: str, other_than: Sequence[str] = ()) -> str:
    if key in WORDS:
        choices = WORDS[key]
    else:
        low, high = NUMBERS[key]
        choices = [str(number) for number in range(low, high, 1 + (high - low) // 97)]
    return rng.choice([choice for choice in choices if choice not in other_than])


def _changes(rng: Random, style: Style, level: int, path: str, lines: list[Line], second: bool) -> list[Change]:
    """The first is to a key that an earlier section has too: who takes the first match goes wrong."""
    sections = list(dict.fromkeys(line.section for line in lines if line.key))
    trap = rng.choice([line for line in lines if line.key in ("timeout", "retries") and line.section != sections[0]])
    taken = [value.value for value in lines if value.key == trap.key]
    free = [line for line in lines if line.key and line.active and (line.section, line.key) != (trap.section, trap.key)]
    rng.shuffle(free)
    changes = [_set(style, path, trap, _value(rng, trap.key, taken))]
    for _ in range({1: 1, 2: 2, 3: 1}[level]):
        line = free.pop()
        changes.append(_set(style, path, line, _value(rng, line.key, [line.value])))
    if level > 1 and not second:
        asleep = rng.choice([line for line in lines if not line.active])
        changes.append(_wake(style, path, asleep, _value(rng, asleep.key, [asleep.value])))
    if level == 3:
        changes.append(_delete(style, path, free.pop()) if second else _add(rng, style, path, free.pop()))
    rest = changes[1:]
    rng.shuffle(rest)
    return [changes[0], *rest]


def _set(style: Style, path: str, line: Line, value: str) -> Change:
    old, new = style.line(line.key, line.value), style.line(line.key, value)
    note = line.text.removeprefix(old)
    keys = (
        (f":s#{style.assign}{style.value(line.value)}#{style.assign}{style.value(value)}#\n",)
        if note
        else _retype(style, value)
    )
    return Change("set", path, line, new + note, f"set {style.key(line.key)} to {style.value(value)}", keys)


def _wake(style: Style, path: str, line: Line, value: str) -> Change:
    first, *rest = _retype(style, value)
    wish = (
        f"{style.key(line.key)} is commented out: remove the {style.mark} before it and set it to {style.value(value)}"
    )
    return Change("uncomment", path, line, style.line(line.key, value), wish, (f"^x{first}", *rest))


def _add(rng: Random, style: Style, path: str, line: Line) -> Change:
    key = rng.choice(("backlog", "max_age", "window", "burst"))
    text = style.line(key, str(rng.randint(11, 990)))
    indented = f" (indented by {len(style.indent)} blanks like the others)" if style.indent else ""
    wish = f'add a line "{text.strip()}"{indented} directly below the line of {style.key(line.key)}'
    return Change("add", path, line, text, wish, (f"yyp^C{text.strip()}", "Escape"))


def _delete(style: Style, path: str, line: Line) -> Change:
    return Change("delete", path, line, "", f"delete the line of {style.key(line.key)}", ("dd",))


def _retype(style: Style, value: str) -> tuple[str, ...]:
    """From anywhere in a line: type a value over the old one, up to the line's end."""
    start = "^wC" if style.assign == " " else "^f=lC" + style.assign.partition("=")[2]
    return f"{start}{style.value(value)}", "Escape"


def _changed(path: str, lines: list[Line], changes: Sequence[Change]) -> list[Line]:
    after: list[Line] = []
    for line in lines:
        mine = {change.kind: change for change in changes if change.path == path and change.line is line}
        if not mine.keys() & {"set", "uncomment", "delete"}:
            after.append(line)
        after += [replace(line, text=change.text) for change in mine.values() if change.text]
    return after


def _render(lines: Sequence[Line]) -> str:
    return "".join(line.text + "\n" for line in lines)


def _checks(style: Style, level: int, changes: Sequence[Change]) -> list[Check]:
    """One for each change; at level 3, one for each kind of change in each file."""
    scripts: dict[str, list[str]] = {}
    for change in changes:
        stem = change.path.rpartition("/")[2].partition(".")[0]
        name = f"{stem}-{change.kind}" if level == 3 else f"{change.line.section}-{change.line.key.replace('_', '-')}"
        header = style.header(change.line.section)
        where = " ".join(quote(word) for word in (change.path, header, style.head))
        wanted, gone = change.text or header, change.line.text if change.kind != "add" else ""
        scripts.setdefault(name, []).append(f'[ "$(count {where} {quote(wanted)})" = 1 ] || exit 1\n')
        if gone:
            scripts[name].append(f'[ "$(count {where} {quote(gone)})" = 0 ] || exit 1\n')
    return [Check(name, COUNT + "".join(lines)) for name, lines in scripts.items()]


def _instruction(
    rng: Random, style: Style, service: str, folder: str, paths: list[str], changes: Sequence[Change]
) -> str:
    parts = [rng.choice(OPENINGS).format(service=service, folder=folder, files=" and ".join(paths))]
    place = rng.choice(("In {}, {}.", "{}: {}.", "Under {}, {}."))
    for path in paths:
        wishes = [
            place.format(f'"{style.header(change.line.section)}"', change.wish)
            for change in changes
            if change.path == path
        ]
        parts.append(f"{path}:\n" + "\n".join(f"{number}. {wish}" for number, wish in enumerate(wishes, 1)))
    section = f'"{style.header("NAME")}"'
    parts.append(
        f"A section goes from its line {section} to the next such line. Values are given just as they are to "
        "stand in the file."
    )
    parts.append(rng.choice(KEEP).format(folder=folder, mark=style.mark))
    return "\n\n".join(parts) + "\n"


OPENINGS = (
    "The configuration of {service} in {files} needs the changes below. vi is there if you want an editor.",
    "Please edit {files} for me, with vi or whatever you like. Do exactly this:",
    "{service} is moving to other hardware. Its settings are in {folder}; make these changes to them:",
    "Change request for {service} (configuration folder {folder}). Apply all of it, in the order that suits you.",
    "Before tonight's restart of {service} the following has to be right in {files}.",
)
KEEP = (
    "All else in the files must stay byte for byte as it is: comments (also those behind a value), blank "
    "lines, spacing, order. Leave no other file "
    "(backup, swap file, copy) in {folder}.",
    "Nothing else may change by a single byte, neither comments (from {mark} on, also on the lines that you "
    "change) nor spaces nor the order of lines, and "
    "when you are done {folder} holds the same files as before, no backups and no editor's leftovers.",
)


def _session(style: Style, changes: Sequence[Change], end: str = ":wq\n", blind: bool = False) -> tuple[str, ...]:
    """All turns of the work in vi; `blind` looks for a key without looking for its section."""
    turns: list[str] = []
    path = ""
    for change in changes:
        if change.path != path:
            turns.append(f":w\n:e {change.path}\n" if path else f"vi {change.path}\n")
            path = change.path
        header = style.header(change.line.section).replace("[", r"\[").replace("]", r"\]")
        turns.append("1G" if blind else f"1G/^{header}$\n")
        mark = "" if change.line.active else style.mark
        turns.append(f"/^{style.indent}{mark}{style.key(change.line.key)}{' *=' if '=' in style.assign else ' '}\n")
        turns += change.keys
    return (*turns, end, f"cat {path}\n")


def _wrong(style: Style, changes: Sequence[Change]) -> dict[str, tuple[str, ...]]:
    trap = changes[0]
    everywhere = f":%s#^{style.line(trap.line.key, '').rstrip(chr(34))}.*#{trap.text}#\n"
    return {
        "first-match-in-the-file": _session(style, changes, blind=True),
        "in-all-sections": (*_session(style, changes[1:])[:-1], f"vi {trap.path}\n", everywhere, ":wq\n"),
        "not-saved": _session(style, changes, end=":qa!\n"),
        "only-the-first": _session(style, changes[:1]),
        "comments-dropped": (
            *_session(style, changes),
            f"vi {trap.path}\n",
            f":g/^ *{style.mark}/d\n",
            ":wq\n",
        ),
        "backup-left": (f"cp {trap.path} {trap.path}.bak\n", *_session(style, changes)),
        "cheat": CHEAT,
    }


FAMILY = Family(
    name="config/edit-in-editor",
    summary="Change a few settings in the right sections of a configuration, and not another byte.",
    domain="system_administration",
    skills=("vi", "searching", "configuration files"),
    generate=generate,
    requires=("vim",),
)
