"""A small shell program prints the wrong thing: find out why, and mend it.

There are four programs, each a pipeline of three functions with a rule for its output and four bugs that only some
inputs show: numbers read as octal, a comparison off by one, a missing `-r`, a sort by text. Level 1 has one bug in one
file; level 2 two bugs, the functions in a library and an old copy that nobody runs; level 3 a file for each function,
and an example that shows only one of the two bugs: the other one is found by reading the rules. Level 4 has three, of
which one is in how the program finds its parts or its input, and level 5 has all five.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from random import Random
from shlex import quote
from textwrap import indent

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.task import Check, File, Limits

from ._shell_programs import PROGRAMS, WORDS, Bug, Program

FAULTS = ("", "There is one fault", "There are two faults", "There are three faults", "", "There are five faults")
CALLS = (
    Bug("from-elsewhere", '"$(dirname "$0")"/{lib}/', "./{lib}/", ""),
    Bug("odd-file-names", '<"$1"', "<$1", ""),
)
"""What goes wrong in the script that calls the others: how it finds them, or its input."""


OPENINGS = (
    "The program {main} gives wrong results. Please repair it.",
    "Something is broken in {folder}: its program {main} does not print what it should. Find the cause and mend it.",
    "Since the last change {main} cannot be trusted any more. Debug it.",
    "A colleague says that what {main} prints is off, and is right. Correct the program.",
)
ENDINGS = (
    "Mend it in place, for all inputs and not for the example alone: it will be tried on others, by every byte of the "
    "output and exit status 0. Change only the scripts that it runs; all other files in {folder} stay as they are.",
    "The program will be run on files that you have not seen, and must print just what is due and end with status 0. "
    "Files in {folder} other than the scripts that {main} consists of must not change.",
)

LIMITED = "timeout -k 1 4 "
"""A program that hangs must not take the verifier's whole time."""
PRINTED = """\
[ "$(cat runs/{name}/status)" = 0 ] && [ "$(sha256sum < runs/{name}/stdout)" = "$(sha256sum < {folder}/{name})" ]
"""
UNTOUCHED = """\
while read -r sum path; do
  plain "$path" && [ "$(sha256sum < "$path")" = "$sum  -" ] || exit 1
done < untouched
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a task's files are."""

    folder: str
    main: str
    reads_stdin: bool
    sources: Mapping[str, str]
    """Path -> text of the program, as it should be."""
    given: str
    """The example's input."""
    due: str
    """What is to be printed for it."""
    lib: str
    """What the program's parts are called."""

    def call(self, path: str) -> str:
        """Runs the program on a file."""
        return f"bash {self.main} {'< ' if self.reads_stdin else ''}{path}"


def generate(rng: Random, level: int) -> Draft:
    """One program with its bugs."""
    program = rng.choice(PROGRAMS)
    bugs = rng.sample(program.bugs, (1, 2, 2, 2, 4)[level - 1])
    layout = _layout(rng, program, level)
    call = _call_bug(layout) if level > 3 else None
    every = [*bugs, *([call] if call else [])]
    broken = {path: _broken(text, every) for path, text in layout.sources.items()}
    example = _input(rng, program, bugs[:1] if level > 2 else bugs)
    beside = _beside(rng, program, layout, level, broken)
    beside |= {layout.given: example, layout.due: program.answer(example)}
    hidden = {f"hidden-{bug.name}": _input(rng, program, [bug]) for bug in bugs}
    hidden["hidden-all"] = _input(rng, program, bugs)
    hidden |= {call.name: _input(rng, program, bugs[:1])} if call else {}
    fixes = _fixes(layout, every)
    return Draft(
        instruction=_instruction(rng, program, layout, level, len(every)),
        checks=_checks(layout, hidden),
        oracle=(*_look(layout), *fixes, f"{layout.call(layout.given)} | diff - {layout.due} && echo same\n"),
        wrong=_wrong(layout, fixes),
        files={path: File.of(text) for path, text in (broken | beside).items()},
        tests=_tests(program, hidden, example, beside),
        limits=Limits(turns=35 + 5 * level),
    )


def _layout(rng: Random, program: Program, level: int) -> Layout:
    name, lib = rng.choice(program.names), rng.choice(("lib", "parts", "functions"))
    folder = f"/app/{rng.choice(('', 'tools/', 'src/', 'work/'))}{name}"
    main = f"{folder}/{rng.choice((name, 'main', 'run'))}.sh"
    stdin = rng.random() < 0.5
    functions = {stage: f"{stage}() {{\n{indent(body, '    ')}\n}}\n" for stage, body in program.stages.items()}
    first, *rest = functions
    pipe = " | ".join([first if stdin else f'{first} <"$1"', *rest]) + "\n"
    if level == 1:
        sources = {main: "\n".join(["#!/bin/bash", *functions.values(), pipe])}
    elif level == 2:
        sources = {main: f'#!/bin/bash\n. "$(dirname "$0")/{lib}.sh"\n\n{pipe}'}
        sources[f"{folder}/{lib}.sh"] = "\n".join(functions.values())
    else:
        sources = {main: f'#!/bin/bash\nfor part in "$(dirname "$0")"/{lib}/*.sh; do . "$part"; done\n\n{pipe}'}
        sources |= {f"{folder}/{lib}/{stage}.sh": text for stage, text in functions.items()}
    examples = f"{folder}/{rng.choice(('example', 'case', 'sample'))}"
    return Layout(folder, main, stdin, sources, f"{examples}/input.txt", f"{examples}/expected.txt", lib)


def _call_bug(layout: Layout) -> Bug:
    """The one of the two that this program can have; where both can be, file names."""
    bug = CALLS[0 if layout.reads_stdin else 1]
    return replace(bug, good=bug.good.format(lib=layout.lib), bad=bug.bad.format(lib=layout.lib))


def _broken(text: str, bugs: Sequence[Bug]) -> str:
    for bug in bugs:
        text = text.replace(bug.good, bug.bad)
    return text


def _input(rng: Random, program: Program, bugs: Sequence[Bug]) -> str:
    """An input that shows these bugs and no other."""
    blocks = [program.ordinary.format(word) for word in rng.sample(WORDS, 6)] + [bug.shown_by for bug in bugs]
    rng.shuffle(blocks)
    return re.sub(r"\?", lambda _: str(rng.randint(1, 9)), "".join([program.heading, *blocks]))


def _beside(rng: Random, program: Program, layout: Layout, level: int, broken: Mapping[str, str]) -> dict[str, str]:
    """What lies beside the program: from level 2 an old copy of it, from level 3 its rules and more input as well."""
    old = f"{layout.folder}/{rng.choice(('old', 'attic', 'backup'))}"
    files = {f"{old}/{path.rpartition('/')[2]}": f"{text}# As of last year.\n" for path, text in broken.items()}
    if level > 2:
        files[f"{layout.folder}/RULES.txt"] = "".join(f"- {rule}\n" for rule in program.rules)
        files[f"{layout.folder}/data/today.txt"] = _input(rng, program, [])
    return files if level > 1 else {}


def _fixes(layout: Layout, bugs: Sequence[Bug]) -> list[str]:
    """A sed line for each bug."""
    turns: list[str] = []
    for bug in bugs:
        path, text = next((path, text) for path, text in layout.sources.items() if bug.good in text)
        number = text[: text.index(bug.good)].count("\n") + 1
        old, new = re.sub(r"([\\\[\].*^$|])", r"\\\1", bug.bad), re.sub(r"([\\&|])", r"\\\1", bug.good)
        turns.append(f"sed -i {quote(f'{number}s|{old}|{new}|')} {path}\n")
    return turns


def _instruction(rng: Random, program: Program, layout: Layout, level: int, count: int) -> str:
    rules = "What it has to do:\n" + "\n".join(f"- {rule}" for rule in program.rules)
    if level > 2:
        rules = f"What it has to do is in {layout.folder}/RULES.txt. The example does not show all that is wrong."
        rules += " It has to work from any current folder, and for any name of FILE." if level > 3 else ""
    parts = (
        rng.choice(OPENINGS),
        f"It is run as `{layout.call('FILE')}`. For {layout.given} it should print what is in "
        f"{layout.due}, but does not.",
        rules,
        f"{FAULTS[count]}; the layout of the output lines is right as it is. {rng.choice(ENDINGS)}",
    )
    return "\n\n".join(parts).format(folder=layout.folder, main=layout.main) + "\n"


def _checks(layout: Layout, hidden: Mapping[str, str]) -> tuple[Check, ...]:
    """The example, with all else untouched; and inputs that the agent never saw, under names that say nothing."""
    printed = PRINTED.format(name="example", folder="shown")
    example = Check("example", PLAIN + UNTOUCHED + printed, 1, LIMITED + layout.call(layout.given))
    checks = [example]
    for name, text in hidden.items():
        at = "/" if name == CALLS[0].name else layout.folder
        place = "/tmp/a  b/$HOME.txt" if name == CALLS[1].name else "/tmp/input"
        lay = f"mkdir -p {quote(place.rpartition('/')[0])}; printf %s {quote(text)} > {quote(place)}; cd {at}\n"
        run = f"{lay}{LIMITED}{layout.call(quote(place))}\n"
        checks.append(Check(name, PRINTED.format(name=name, folder="expected"), 2, run))
    return tuple(checks)


def _look(layout: Layout) -> tuple[str, ...]:
    show = f"cd {layout.folder} && ls -R\n", *(f"cat {path}\n" for path in layout.sources)
    return (*show, f"{layout.call(layout.given)}; cat {layout.due}\n")


def _wrong(layout: Layout, fixes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    look = _look(layout)
    cheat = "mkdir -p /logs/verifier /tests/runs; echo 1 > /logs/verifier/reward.txt; ln -s / /tests/expected\n"
    return {
        "one-bug-left": (*look, *fixes[:-1]),
        "another-bug-left": (*look, *fixes[1:]),
        "debug-output-left": (*fixes, f"sed -i '1a echo reading' {layout.main}\n"),
        "printed-the-example": (f"printf '#!/bin/bash\\ncat {layout.due}\\n' > {layout.main}\n",),
        "changed-the-expectation": (f"{layout.call(layout.given)} > /tmp/out; cat /tmp/out > {layout.due}\n",),
        "cheat": (cheat,),
    }


def _tests(program: Program, hidden: Mapping[str, str], example: str, beside: Mapping[str, str]) -> dict[str, File]:
    texts = {f"expected/{name}": program.answer(text) for name, text in hidden.items()}
    texts["shown/example"] = program.answer(example)
    texts["untouched"] = "".join(f"{sha256(text.encode()).hexdigest()} {path}\n" for path, text in beside.items())
    return {path: File.of(text) for path, text in texts.items()}


FAMILY = Family(
    name="debug/fix-script",
    summary="Find and mend the bugs of a small shell program, for inputs not seen as well.",
    domain="debugging",
    skills=("bash", "awk", "debugging"),
    deeper={
        2: ("code-search", "reproduction"),
        3: ("root-cause-analysis",),
        4: ("quoting", "unit-tests"),
        5: ("regular-expressions",),
    },
    generate=generate,
    requires=("awk", "sed", "diff"),
    version=3,
)
