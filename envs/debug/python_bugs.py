"""A Python program that prints wrong results: find what is wrong with it, for inputs that nobody has shown.

Four programs with constants that are drawn, and five faults each: wrong comparisons, off by one, integer division,
wrong keys, a loop left too early. Level 1 is one file with one fault; level 3 brings modules and rules that are in a
file; from level 4 the example shows only one of the faults, and an old copy lies about; level 5 has all five.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from shlex import quote

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS
from termgym.task import Check, File, Limits

from ._programs import PROGRAMS, Bug, Constants, Program

BUGS = (0, 1, 2, 3, 4, 5)
"""By level."""

OPENINGS = (
    "The Python program {main} gives wrong results. Please repair it.",
    "What {main} prints cannot be trusted since the last change. Debug it.",
    "Ticket: wrong figures from {folder}. The program there, {main}, does not do what it is meant to do; find out why "
    "and correct it.",
    "A colleague left the Python program {main} half working and went on holiday. It has to be right today.",
)
USE = "It reads lines from its standard input and prints lines: `python3 {main} < FILE`."
EXAMPLE = "For {given} it should print what is in {due}, but does not."
RULES = "These are the rules:\n{rules}"
RULES_FILE = "The rules are in {folder}/{manual}."
MORE = " The example does not show all that is wrong."
ENDINGS = (
    "It will be tried on inputs that you have not seen, and has to print just what is due, byte by byte, and end with "
    "status 0. Change nothing but the program's own files ({sources}); the example{and_rules} must stay as it is.",
    "Mend the program's own files ({sources}) and leave the example{and_rules} as it is. Other inputs will be tried: "
    "every byte of the output counts, and status 0 at the end.",
)

DUE = "expected.txt"
PRINTED = """\
[ "$(cat runs/{name}/status)" = 0 ] && [ "$(sha256sum < runs/{name}/stdout)" = "$(sha256sum < expected/{due})" ]
"""
UNTOUCHED = """\
while read -r sum path; do
  plain "$path" && [ "$(sha256sum < "$path")" = "$sum  -" ] || exit 1
done < untouched
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a task's files are."""

    level: int
    folder: str
    main: str
    sources: Mapping[str, str]
    """Path -> text of the program, as it should be."""
    given: str
    due: str
    manual: str


def generate(rng: Random, level: int) -> Draft:
    """One program with its faults."""
    program, stdin = rng.choice(PROGRAMS), "PYTHONDONTWRITEBYTECODE=1 timeout -k 1 4 python3"
    constants, bugs = program.constants(rng), rng.sample(program.bugs, BUGS[level])
    layout = _layout(rng, program, constants, level)
    example = _input(rng, program, constants, bugs, bugs[:1] if level > 3 else bugs)
    hidden = {f"hidden-{number}": [bug] for number, bug in enumerate(bugs)} | {"hidden-all": bugs}
    inputs, due = dict[str, str](), {DUE: program.output(constants, example)}
    for name, shown in hidden.items():
        while not due.get(name) or due[name] == due[DUE]:
            inputs[name] = _input(rng, program, constants, bugs, shown)
            due[name] = program.output(constants, inputs[name])
    broken = {path: _broken(text, bugs) for path, text in layout.sources.items()}
    beside = {layout.given: example, layout.due: due[DUE]} | _beside(rng, program, constants, layout, bugs)
    runs = {name: f"{stdin} {layout.main} <<< {quote(text.rstrip())}\n" for name, text in inputs.items()}
    stays = "".join(f"{sha256(text.encode()).hexdigest()} {path}\n" for path, text in beside.items())
    example_run = f"{stdin} {layout.main} < {layout.given}\n"
    return Draft(
        instruction=_instruction(rng, program, constants, layout),
        checks=(
            Check("example", PLAIN + UNTOUCHED + PRINTED.format(name="example", due=DUE), 1, example_run),
            *(Check(name, PRINTED.format(name=name, due=name), 2, run) for name, run in runs.items()),
        ),
        oracle=_oracle(layout, bugs),
        wrong=_wrong(layout, bugs),
        files={path: File.of(text) for path, text in (broken | beside).items()},
        tests={f"expected/{name}": File.of(text) for name, text in due.items()} | {"untouched": File.of(stays)},
        limits=Limits(turns=30 + 10 * level),
    )


def _layout(rng: Random, program: Program, constants: Constants, level: int) -> Layout:
    name, package = rng.choice(program.names), rng.choice(("parts", "steps", "lib"))
    folder = f"/app/{rng.choice(('', 'tools/', 'src/', 'work/'))}{name}"
    main = f"{folder}/{rng.choice((name, 'main', 'run'))}.py"
    values = "".join(f"{key} = {value!r}\n" for key, value in constants.items())
    call = "sys.stdin"
    for stage in program.stages:
        call = f"{stage}({call})"
    end = f'\n\nif __name__ == "__main__":\n    for line in {call}:\n        print(line)\n'
    if level < 3:
        sources = {main: "import sys\n\n" + values + "\n\n" + "\n\n".join(program.stages.values()) + end}
    else:
        used = {
            stage: [key for key in constants if re.search(rf"\b{key}\b", text)]
            for stage, text in program.stages.items()
        }
        heads = {
            stage: f"from .settings import {', '.join(keys)}\n\n\n" if keys else "" for stage, keys in used.items()
        }
        sources = {f"{folder}/{package}/{stage}.py": heads[stage] + text for stage, text in program.stages.items()}
        imports = "".join(f"from {package}.{stage} import {stage}\n" for stage in program.stages)
        sources = {main: f"import sys\n\n{imports}{end}", **sources, f"{folder}/{package}/settings.py": values}
    examples = f"{folder}/{rng.choice(('example', 'case', 'sample'))}"
    return Layout(level, folder, main, sources, f"{examples}/input.txt", f"{examples}/{DUE}", rng.choice(
        ("RULES.txt", "README", "MANUAL.md", "rules.txt")))  # fmt: skip


def _broken(text: str, bugs: Sequence[Bug]) -> str:
    for bug in bugs:
        text = text.replace(bug.good, bug.bad)
    return text


def _input(rng: Random, program: Program, constants: Constants, bugs: Sequence[Bug], shown: Sequence[Bug]) -> str:
    """An input that shows each of these bugs, and no other of those that are there."""
    while True:
        blocks = [program.ordinary(rng, constants, name) for name in rng.sample(ITEMS, rng.randint(3, 5))]
        blocks += [bug.shown_by(rng, constants) for bug in shown]
        rng.shuffle(blocks)
        text = "".join(f"{line}\n" for block in blocks for line in block)
        right = program.output(constants, text)
        seen = [bug for bug in bugs if program.output(constants, text, [bug]) != right]
        telling = {bug.name for bug in seen} == {bug.name for bug in shown}
        if telling and right not in ("", program.output(constants, text, bugs)):
            return text


def _beside(rng: Random, program: Program, constants: Constants, layout: Layout, bugs: Sequence[Bug]) -> dict[str, str]:
    """What lies beside the program: from level 3 the rules, from level 4 a copy that is no better."""
    files: dict[str, str] = {}
    if layout.level > 2:
        rules = "".join(f"- {rule}\n" for rule in program.rules)
        files[f"{layout.folder}/{layout.manual}"] = rules.format(**constants)
    if layout.level > 3:
        old = f"{layout.folder}/{rng.choice(('old', 'attic', 'backup'))}"
        for path, text in layout.sources.items():
            files[f"{old}/{path.rpartition('/')[2]}"] = _broken(text, bugs) + "# As of last year.\n"
    return files


def _instruction(rng: Random, program: Program, constants: Constants, layout: Layout) -> str:
    level = layout.level
    rules = "\n".join(f"- {rule}" for rule in program.rules).format(**constants)
    what = RULES_FILE if level > 2 else RULES.replace("{rules}", rules.replace("{", "{{").replace("}", "}}"))
    parts = [rng.choice(OPENINGS), f"{USE} {EXAMPLE}{MORE if level > 3 else ''}", what, rng.choice(ENDINGS)]
    return "\n\n".join(parts).format(
        folder=layout.folder, main=layout.main, given=layout.given, due=layout.due, manual=layout.manual,
        sources=", ".join(path.removeprefix(f"{layout.folder}/") for path in layout.sources),
        and_rules=", and all else in the folder," if level > 2 else "",
    ) + "\n"  # fmt: skip


def _oracle(layout: Layout, bugs: Sequence[Bug]) -> tuple[str, ...]:
    run = f"python3 {layout.main} < {layout.given} | diff - {layout.due}\n"
    rules = [f"cat {layout.folder}/{layout.manual}\n"] if layout.level > 2 else []
    look = [f"cd {layout.folder} && ls -R\n", *rules, *(f"cat {path}\n" for path in layout.sources)]
    return (*look, run, *_fixes(layout, bugs), run)


def _fixes(layout: Layout, bugs: Sequence[Bug]) -> Iterator[str]:
    """What a person would type, mostly a substitution; a line that is not there is put in after the one before.

    Such lines come last, from the top down: they move those below.
    """
    for bug in sorted(bugs, key=lambda bug: (not bug.bad, *(text.find(bug.good) for text in layout.sources.values()))):
        path, text = next((path, text) for path, text in layout.sources.items() if bug.good in text)
        before = _broken(text, bugs)
        bad = _broken(bug.bad, [other for other in bugs if other is not bug])
        if bug.bad:
            lines = [(old, new) for old, new in zip(bad.split("\n"), bug.good.split("\n"), strict=True) if old != new]
            old, new = lines[0]
            number = before[: before.index(bad)].count("\n") + 1 + bad.split("\n").index(old)
            old, new = re.sub(r"([\\\[\].*^$|])", r"\\\1", old.strip()), re.sub(r"([\\&|])", r"\\\1", new.strip())
            yield f"sed -i {quote(f'{number}s|{old}|{new}|')} {path}\n"
        else:
            number = text[: text.index(bug.good)].count("\n")
            yield f"sed -i {quote(f'{number}a{chr(92)}{bug.good.rstrip()}')} {path}\n"


def _wrong(layout: Layout, bugs: Sequence[Bug]) -> dict[str, tuple[str, ...]]:
    fixes = tuple(_fixes(layout, bugs))
    out, main = f"python3 {layout.main} < {layout.given} > /tmp/out", layout.main
    return {
        **({"one-bug-left": fixes[:-1]} if len(bugs) > 1 else {}),
        "debug-output-left": (*fixes, f"sed -i '1a print(\"reading\")' {main}\n"),
        "example-changed-too": (*fixes, f"echo >> {layout.given}; {out}; cp /tmp/out {layout.due}\n"),
        "printed-the-example": (f'printf \'print(open("{layout.due}").read(), end="")\\n\' > {main}\n',),
        "cheat": (f"{out}; cp /tmp/out {layout.due}; ln -s /tests/expected {layout.folder}/expected\n",),
    }


FAMILY = Family(
    name="debug/python-bugs",
    summary="Find and mend the faults of a small Python program, for inputs not seen as well.",
    domain="debugging",
    skills=("python", "debugging", "unit-tests"),
    deeper={3: ("code-search",), 4: ("property-testing",), 5: ("root-cause-analysis",)},
    generate=generate,
    requires=("python3", "sed", "diff"),
)
