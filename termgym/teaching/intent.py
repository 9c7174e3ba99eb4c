"""An intent: what keystrokes are for, in words, derived from nothing but the keystrokes."""

import re
from dataclasses import dataclass

from termgym.teaching import vocabulary
from termgym.teaching.shell_line import ShellLine, Stage
from termgym.teaching.voice import Voice, code, listed

LOOKING = """
    awk cat cd cmp column comm cut date df diff du echo egrep file find grep head hexdump history id jq less ls md5sum
    more nl od ps pwd sha256sum sort stat strings tac tail test true uniq wc which xxd zcat zgrep
""".split()
"""Programs that leave files alone."""
_LOOKING_GIT = "blame branch diff log reflog rev-list rev-parse show status".split()
_VALUED = {
    "head": "-n -c",
    "tail": "-n -c",
    "cut": "-d -f -c",
    "sort": "-t -k -o",
    "tar": "-T",
    "iconv": "-f -t",
    "od": "-A -t -N -j",
}
_LED = {"grep": 1, "egrep": 1, "sed": 1, "awk": 1, "chmod": 1, "chown": 1, "chgrp": 1, "jq": 1, "tr": 9}
"""How many words stand before the files."""
_FIRST_ONLY = ("python3", "python", "bash", "sh", "perl", "sqlite3", "cd", "find")
_MOST_STEPS = 3
_COMPOUND = ("for", "while", "if")


@dataclass(frozen=True, slots=True)
class Intent:
    """What is going to be done."""

    words: str
    """As "print /app/notes", to stand behind "I will"."""
    looks: bool = False
    """Whether it only looks."""
    writes: tuple[str, ...] = ()
    """Files that it names as those it writes."""


def at_shell(keystrokes: str, voice: Voice) -> Intent:
    """What a shell line is for."""
    if intent := _pressed(keystrokes, voice):
        return intent
    line = ShellLine.of(keystrokes)
    if line.document:
        return _document(line, voice)
    if intent := _compound(keystrokes, voice):
        return intent
    if not line.pipelines:
        return Intent(f"type: {code(keystrokes)}")
    stages = [stage for stages in line.pipelines for stage in stages]
    written = [stage.into for stage in stages if stage.into[:4] not in ("", "/dev") and stage.program != "[["]
    looks = not written and all(map(_looks, stages))
    return Intent(_row(line, voice), looks, tuple(written))


def _row(line: ShellLine, voice: Voice) -> str:
    """One pipeline after the other; a loop is not taken apart."""
    steps: list[str] = []
    for number, stages in enumerate(line.pipelines):
        if (word := stages[0].program) in _COMPOUND:
            return ", then ".join([*steps, voice.pick(vocabulary.COMPOUND[word])])
        if number == _MOST_STEPS:
            return ", then ".join(steps) + f", then {len(line.pipelines) - number} more"
        steps.append(_pipeline(stages, voice))
    return ", then ".join(steps)


def in_program(keystrokes: str, program: str, voice: Voice) -> Intent:
    """What keys are for in a program that is no shell."""
    text = keystrokes.rstrip("\n")
    own = {"vi": vocabulary.VI, "vim": vocabulary.VI, "less": vocabulary.LESS}.get(program, {})
    if intent := _pressed(keystrokes, voice):
        return intent
    if text in own:
        return Intent(voice.pick(own[text]))
    if own and (found := re.fullmatch(r"1G/(.+)", text)):
        return Intent(voice.pick(vocabulary.TOP_SEARCH).format(code(found[1])))
    if own and text[0] in "/?":
        return Intent(voice.pick(vocabulary.SEARCH).format(code(text[1:])))
    ways = vocabulary.TYPE_LINE if keystrokes.endswith("\n") else vocabulary.TYPE_KEYS
    return Intent(voice.pick(ways).format(code(text) if text.strip() else "the space bar"))


def _pressed(keystrokes: str, voice: Voice) -> Intent | None:
    key = "Enter" if keystrokes == "\n" else keystrokes
    return Intent(voice.pick(vocabulary.KEYS[key])) if key in vocabulary.KEYS else None


def _document(line: ShellLine, voice: Voice) -> Intent:
    stage = line.pipelines[0][0] if line.pipelines else Stage(("the command",))
    count = line.document.count("\n")
    size = f"{count} line{'s' * (count != 1)}"
    names = re.findall(r"^def (\w+)", line.document, re.M)
    parts = f" with {listed(names)}" if names else ""
    if stage.program == "cat" and stage.into:
        words = voice.pick(vocabulary.COMPOUND["write"]).format(f"{stage.into} ({size}{parts})")
        return Intent(words, writes=(stage.into,))
    return Intent(f"{_phrase(stage, voice)}, fed with {size} of a here-document")


def _compound(keystrokes: str, voice: Voice) -> Intent | None:
    head = keystrokes.lstrip().split(maxsplit=1)[0] if keystrokes.strip() else ""
    if head in _COMPOUND:
        return Intent(f"{voice.pick(vocabulary.COMPOUND[head])}: {code(keystrokes)}")
    if found := re.match(r"(\w+)\(\) *\{", keystrokes):
        return Intent(voice.pick(vocabulary.COMPOUND["function"]).format(found[1]))
    if found := re.match(r"(\w+)=(\$\(|\S*\s*$)", keystrokes):
        return Intent(f"{voice.pick(vocabulary.COMPOUND['assign']).format(found[1])}: {code(keystrokes)}")
    return None


def _pipeline(stages: tuple[Stage, ...], voice: Voice) -> str:
    words = _phrase(stages[0], voice)
    if len(stages) > 1:
        words = voice.pick(vocabulary.PIPED).format(words, stages[-1].program)
    into = next((stage.into for stage in stages if stage.into), "")
    if into == "/dev/null":
        return f"{words}, with nothing shown"
    return voice.pick(vocabulary.INTO).format(words, into) if into else words


def _phrase(stage: Stage, voice: Voice) -> str:
    program = stage.program
    if program == "git":
        command = next((word for word in stage.words[1:] if word[0] != "-"), "")
        if command in vocabulary.GIT:
            return voice.pick(vocabulary.GIT[command])
    if program == "echo" and "$?" in stage.words:
        return voice.pick(vocabulary.STATUS)
    if program not in vocabulary.PROGRAMS:
        return f"run {code(' '.join(stage.words))}"
    inline = program in _FIRST_ONLY and "-c" in stage.words
    files = "a short program" if inline else listed(files_of(stage)) or _default(program)
    return voice.pick(vocabulary.PROGRAMS[program]).format(files)


def _default(program: str) -> str:
    usual = {"ls": "this folder", "cd": "the home folder", "find": "this folder", "git": "the repository"}
    return usual.get(program, "its input")


def files_of(stage: Stage) -> list[str]:
    """The words that stand where this program takes files."""
    program, words = stage.program, list(stage.words[1:])
    valued = _VALUED.get(program, "").split()
    plain: list[str] = []
    for before, word in zip([stage.program, *words], words, strict=False):
        if program == "find" and word.startswith(("-", "(", "!")):
            break
        if word and before not in valued and (not word.startswith("-") or word == "-"):
            plain.append(word)
    led = 0 if {"-e", "-f"} & set(words) else _LED.get(program, 0)
    files = [word for word in plain[led:] if len(word) <= 80 and "\n" not in word]
    return files[:1] if program in _FIRST_ONLY else files


def _looks(stage: Stage) -> bool:
    if stage.program == "git":
        return any(word in _LOOKING_GIT for word in stage.words[1:])
    if stage.program == "tar":
        return stage.words[1:2] != () and "t" in stage.words[1]
    if stage.program == "sed":
        return "-n" in stage.words and not any(word.startswith("-i") for word in stage.words)
    return stage.program in LOOKING and "-delete" not in stage.words and "-exec" not in stage.words
