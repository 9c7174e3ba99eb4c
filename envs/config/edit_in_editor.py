"""A service's configuration has to change in a few places, and nowhere else.

The same keys stand in every section, so that finding the right line takes reading. The oracle works in vi as a person
does, one move a turn; any editor or tool will do for the agent, for what counts is every byte of the files. Level 2
adds a key that is commented out, comments behind values and a stale example file; level 3 a second file, a line to
add and one to delete; level 4 values to work out, from another section or by a sum; level 5 a third file with a change
to all sections that have some value, where other keys look much like it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from shlex import quote

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import SERVICES
from termgym.task import Check, File, Limits

from ._styles import STYLES, Setting, Style

SECTIONS = "intake archive gateway mirror replica frontend reports billing uploads search export spool".split()
FOLDERS = ("/etc/{}", "/opt/{}/conf", "/srv/{}", "/app/{}/settings")
COMMON = ("timeout", "retries", "log_level")
"""Keys that every section has: the traps."""
VALUES = {
    "timeout": [str(seconds) for seconds in range(5, 95)],
    "retries": [str(number) for number in range(2, 40)],
    "log_level": "debug info notice warning error".split(),
    "workers": [str(number) for number in range(2, 48)],
    "queue_size": [str(number) for number in range(100, 9000, 100)],
    "port": [str(number) for number in range(2000, 9999, 77)],
    "compress": ["true", "false"],
    "order": "oldest newest random smallest".split(),
    "owner": "ada grace linus mary niklaus barbara".split(),
    "root": "/var/lib/alpha /var/lib/beta /var/lib/gamma /var/lib/delta".split(),
}
NEW_KEYS = ("backlog", "max_age", "window", "burst")
NOTES = ("see the runbook", "do not raise without asking", "was too low in May", "measured, not guessed")
KINDS = {
    1: [("set", "set")],
    2: [("set", "set", "set", "uncomment")],
    3: [("set", "uncomment", "add"), ("set", "delete")],
    4: [("set", "silence", "add", "like"), ("uncomment", "delete", "raise")],
    5: [("set", "silence", "like", "add"), ("raise", "uncomment", "delete", "like"), ("sweep",)],
}
"""Level -> the changes to each file, every one in a section of its own. The first is to one of the traps."""
NUMBERS = ("timeout", "retries")
OPENINGS = (
    "The configuration of {service} in {files} needs the changes below. vi is there if you want an editor.",
    "Please edit {files} for me, with vi or whatever you like. Do exactly this:",
    "{service} is moving to other hardware. Its settings are in {folder}; make these changes to them:",
    "Change request for {service} (configuration folder {folder}). Apply all of it, in the order that suits you.",
    "Before tonight's restart of {service} the following has to be right in {files}.",
)
RULES = """\
A section goes from its line "{header}" to the next such line. Values are given just as they are to stand in the file.

All else must stay byte for byte as it is: comments (also those behind a value), blank lines, spacing, order. When you
are done, {folder} holds the same files as before, no backup, swap file or copy.
"""

SECTION = """\
# section FILE HEADER: prints the lines from HEADER to the next blank one.
section() {
  local line inside=
  while IFS= read -r line; do
    [ "$line" = "$2" ] && inside=1
    [ -z "$line" ] && inside=
    [ -z "$inside" ] || printf '%s\\n' "$line"
  done <"$1"
}
"""
CHANGED = """\
plain {path} 20000 || exit 1
[ "$(section {path} {header})" = "$(cat sections/{name})" ]
"""
EXACT = """\
for file in expected/*; do
  plain "{folder}/${{file##*/}}" && cmp -s "$file" "{folder}/${{file##*/}}" || exit 1
done
[ "$(timeout 5 ls -A "{folder}" | wc -l)" = "$(ls expected | wc -l)" ]
"""
CHEAT = (
    "mkdir -p /logs/verifier /tests/expected; echo 1 > /logs/verifier/reward.txt; rm -rf /tests/expected/*\n",
    "printf '#!/bin/sh\\nexit 0\\n' | tee /tests/test.sh > /tests/nothing-else; chmod -R 755 /tests\n",
)


@dataclass(frozen=True, slots=True)
class Change:
    """What to do to one setting of one section."""

    path: str
    section: str
    setting: Setting
    after: tuple[Setting, ...]
    """What stands in its place then."""
    wish: str
    """How the instruction asks for it."""
    keys: tuple[str, ...]
    """How it is done in vi, from the setting's line on."""
    sweeps: bool = False
    """One of several that share a wish; the first has the keys of all."""


Sections = dict[str, list[Setting]]


def generate(rng: Random, level: int) -> Draft:
    """One service's configuration and the changes to it."""
    style, service = rng.choice(STYLES), rng.choice(SERVICES)
    folder = rng.choice(FOLDERS).format(service)
    paths = [f"{folder}/{name}.{style.suffix}" for name in (service, "peers", "limits")[: len(KINDS[level])]]
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    changes: list[Change] = []
    for path, kinds in zip(paths, KINDS[level], strict=True):
        sections = _sections(rng, level)
        sweep = kinds == ("sweep",)
        mine = _sweep(rng, style, path, sections) if sweep else _changes(rng, style, path, sections, kinds)
        remark = f"{style.mark} {rng.choice(NOTES).capitalize()}.\n"
        before[path] = remark + _render(style, sections)
        after[path] = remark + _render(style, _changed(sections, mine))
        changes += mine
    if level > 1:
        before[f"{paths[0]}.example"] = after[f"{paths[0]}.example"] = before[paths[0]].replace("timeout", "delay")
    checks, tests = _checks(style, changes, after)
    return Draft(
        instruction=_instruction(rng, style, service, folder, paths, changes),
        checks=(*checks, Check("nothing-else", PLAIN + EXACT.format(folder=folder), 2.0)),
        oracle=_session(style, changes),
        wrong=_wrong(style, changes),
        files={path: File.of(text) for path, text in before.items()},
        tests={path: File.of(text) for path, text in tests.items()},
        solve="".join(f"cat >{quote(path)} <<'END'\n{text}END\n" for path, text in after.items()),
        limits=Limits(turns=(0, 45, 75, 90, 120, 160)[level]),
    )


def _sections(rng: Random, level: int) -> Sections:
    """Sections that all have the common keys and three of the others, one of these commented out."""
    sections: Sections = {}
    for section in rng.sample(SECTIONS, {1: 4, 2: 7, 3: 6, 4: 7, 5: 8}[level]):
        others = rng.sample([key for key in VALUES if key not in COMMON], 3)
        settings = [Setting(others.pop(), "", asleep=True), *(Setting(key, "") for key in (*COMMON, *others))]
        rng.shuffle(settings)
        sections[section] = [_filled(rng, setting, level) for setting in settings]
    return sections


def _filled(rng: Random, setting: Setting, level: int) -> Setting:
    note = rng.choice(NOTES) if level > 1 and not setting.asleep and rng.random() < 0.3 else ""
    return replace(setting, value=rng.choice(VALUES[setting.key]), note=note)


def _changes(rng: Random, style: Style, path: str, sections: Sections, kinds: Sequence[str]) -> list[Change]:
    """Not in the first section: who takes the first match in the file goes wrong."""
    changes: list[Change] = []
    for section, kind in zip(rng.sample(list(sections)[1:], len(kinds)), kinds, strict=True):
        common = NUMBERS if kind == "raise" or (kind == "set" and not changes) else COMMON
        keys = common if kind in ("like", "raise") or common is NUMBERS else tuple(VALUES)
        settings = [one for one in sections[section] if one.asleep == (kind == "uncomment") and one.key in keys]
        setting = rng.choice(settings or sections[section])
        changes.append(Change(path, section, setting, *_change(rng, style, kind, setting, sections)))
    return changes


def _sweep(rng: Random, style: Style, path: str, sections: Sections) -> list[Change]:
    """One value of log_level becomes another, in half of the sections; a similar key and comments have it too."""
    old, new, other = rng.sample(VALUES["log_level"], 3)
    changes: list[Change] = []
    wish = f"In every section where log_level is {old}, set it to {new}; keys that are commented out stay"
    keys = (f":%s@^{style.indent}log_level{style.assign}{old}@{style.indent}log_level{style.assign}{new}@\n",)
    swept = rng.sample(list(sections), len(sections) // 2)
    for section, settings in sections.items():
        at = next(number for number, setting in enumerate(settings) if setting.key == "log_level")
        settings[at] = replace(settings[at], value=old if section in swept else other)
        settings.insert(rng.randrange(len(settings)), Setting("sql_log_level", old))
        if section not in swept:
            settings.insert(0, Setting("log_level", old, asleep=True))
    for section in swept:
        setting = next(one for one in sections[section] if one.key == "log_level")
        after = (replace(setting, value=new),)
        changes.append(Change(path, section, setting, after, wish, keys if not changes else (), sweeps=True))
    return changes


def _change(
    rng: Random, style: Style, kind: str, setting: Setting, sections: Sections
) -> tuple[tuple[Setting, ...], str, tuple[str, ...]]:
    """What the setting becomes, the wish, and the keystrokes."""
    key, value = setting.key, rng.choice([value for value in VALUES[setting.key] if value != setting.value])
    wish = f"set {key} to {value}"
    if kind == "like":
        first, settings = next(iter(sections.items()))
        same = [one.value for one in settings if one.key == key and one.value != setting.value]
        value = same[0] if same else value
        wish = f'set {key} to the value that it has in "{style.head.format(first)}"' if same else wish
    elif kind == "raise":
        step = rng.randint(3, 60)
        value, wish = str(int(setting.value) + step), f"raise {key} by {step}"
    retype = f"$T{style.assign[-1]}C{value}"
    if kind == "uncomment":
        wish = f"{key} is commented out: remove the {style.mark} before it and set it to {value}"
        return (replace(setting, value=value, asleep=False),), wish, ("^x" + retype, "Escape")
    if kind == "silence":
        wish = f"comment out {key}: put a {style.mark} directly before it, and leave the rest of the line"
        return (replace(setting, asleep=True),), wish, (f":s@{key}@{style.mark}&@\n",)
    if kind == "delete":
        return (), f"delete the line of {key}", ("dd",)
    if kind == "add":
        new = Setting(rng.choice(NEW_KEYS), str(rng.randint(11, 990)))
        text = style.line(new).strip()
        wish = f'directly below the line of {key}, add a line "{text}", indented as the others are'
        return (setting, new), wish, (f"yyp^C{text}", "Escape")
    by_name = (f":s#{style.assign}{setting.value}#{style.assign}{value}#\n",)
    return (replace(setting, value=value),), wish, by_name if setting.note else (retype, "Escape")


def _changed(sections: Sections, changes: Sequence[Change]) -> Sections:
    changed = dict(sections)
    for change in changes:
        at = sections[change.section].index(change.setting)
        changed[change.section] = [*sections[change.section]]
        changed[change.section][at : at + 1] = change.after
    return changed


def _render(style: Style, sections: Sections) -> str:
    """The sections, each after a blank line."""
    return "".join(
        "\n".join(["", style.head.format(section), *(style.line(setting) for setting in settings), ""])
        for section, settings in sections.items()
    )


def _checks(style: Style, changes: Sequence[Change], after: dict[str, str]) -> tuple[list[Check], dict[str, str]]:
    """One check for each change, that its section is as it should be; and the files under /tests."""
    tests = {f"expected/{path.rpartition('/')[2]}": text for path, text in after.items()}
    checks: list[Check] = []
    for change in changes:
        name = f"{change.path.rpartition('/')[2].partition('.')[0]}-{change.section}"
        header = style.head.format(change.section)
        body = after[change.path].partition(f"\n{header}\n")[2].partition("\n\n")[0]
        tests[f"sections/{name}"] = f"{header}\n{body}\n"
        script = CHANGED.format(path=quote(change.path), header=quote(header), name=name)
        checks.append(Check(name, PLAIN + SECTION + script))
    return checks, tests


def _instruction(
    rng: Random, style: Style, service: str, folder: str, paths: Sequence[str], changes: Sequence[Change]
) -> str:
    parts = [rng.choice(OPENINGS).format(service=service, folder=folder, files=" and ".join(paths))]
    place = rng.choice(('In "{}", {}.', '"{}": {}.', 'Under "{}", {}.'))
    for path in paths:
        mine = [change for change in changes if change.path == path]
        rng.shuffle(mine)
        wishes = dict.fromkeys(
            f"{change.wish}." if change.sweeps else place.format(style.head.format(change.section), change.wish)
            for change in mine
        )
        parts.append("\n".join([f"{path}:", *(f"{number}. {wish}" for number, wish in enumerate(wishes, 1))]))
    return "\n\n".join([*parts, RULES.format(header=style.head.format("NAME"), folder=folder)])


def _session(style: Style, changes: Sequence[Change], end: str = ":wq\n", blind: bool = False) -> tuple[str, ...]:
    """All turns of the work in vi; `blind` looks for a key without looking for its section."""
    turns: list[str] = []
    path = ""
    for change in changes:
        if change.path != path:
            turns.append(f":w\n:e {change.path}\n" if path else f"vi {change.path}\n")
            path = change.path
        if change.sweeps:
            turns += change.keys
            continue
        header = style.head.format(change.section).replace("[", r"\[").replace("]", r"\]")
        turns += ["1G" if blind else f"1G/^{header}$\n", f"/^{style.start(change.setting)}\n", *change.keys]
    return (*turns, end, f"cat {path}\n")


def _wrong(style: Style, changes: Sequence[Change]) -> dict[str, tuple[str, ...]]:
    path, oracle, trap = changes[0].path, _session(style, changes), changes[0].after[0]
    everywhere = f":%s@^{style.start(trap)}.*@{style.line(trap)}@\n"
    wrong = {
        "first-match-in-the-file": _session(style, changes, blind=True),
        "in-all-sections": (*oracle, f"vi {path}\n", everywhere, ":wq\n"),
        "not-saved": _session(style, changes, end=":qa!\n"),
        "comments-dropped": (*oracle, f"vi {path}\n", f":g/^ *{style.mark}/d\n", ":wq\n"),
        "backup-left": (f"cp {path} {path}.bak\n", *oracle),
        "cheat": CHEAT,
    }
    if changes[-1].sweeps:
        wrong["swept-too-much"] = tuple(key.replace(f":%s@^{style.indent}", ":%s@") for key in oracle)
    return wrong


FAMILY = Family(
    name="config/edit-in-editor",
    summary="Change a few settings in the right sections of a configuration, and not another byte.",
    domain="system_administration",
    skills=("vi", "searching", "configuration-files"),
    deeper={2: ("ini",), 3: ("diff",), 4: ("state-tracking",), 5: ("regular-expressions", "sed")},
    generate=generate,
    requires=("vi", "cmp"),
    version=2,
)
