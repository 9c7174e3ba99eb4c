"""A mistake that is made on purpose: harmless, such as people make, and easy to see on the screen."""

import re
from dataclasses import dataclass

from termgym.protocol import Action, parse
from termgym.teaching import slips
from termgym.teaching.intent import files_of
from termgym.teaching.reading import Reading
from termgym.teaching.shell_line import ShellLine, Stage
from termgym.teaching.voice import Voice, code, short

# Spelt so that no program of these names is known: "sl", "gti" and "mkae" are not among them.
_MISSPELT = {
    name: tuple(wrong.split())
    for name, wrong in (
        line.split(":")
        for line in """
            cat: caat catt cta
            ls: lss lls
            cd: cdd
            head: haed heead heda
            tail: tial taill tali
            python3: pyhton3 ptyhon3 pythno3
            grep: grpe gerp greep
            find: fidn fnid findd
            sed: sedd sde
            awk: awkk akw
            sort: srot sortt sotr
            mkdir: mkdri mdkir mkdirr
            make: maek makee
            git: gitt giit
            wc: wcc wwc
            cut: cutt ctu
            printf: pritnf prinft
            echo: ehco ecoh
            zcat: zact zcaat
            diff: dfif diiff
            tar: tarr taar
            less: lses lesss
            cp: cpcp
            mv: mvv
            chmod: chmdo chomd
            bash: bahs bsah
            sqlite3: sqltie3 sqilte3
        """.strip().split("\n")
    )
}
_READERS = ("cat", "head", "tail", "wc", "ls")
_QUOTED = (*_READERS, "cd", "find", "mkdir", "python3")
_BARE = ("ls", "make")
_PATH = re.compile(r"[\w./-]*[A-Za-z]{3}[\w./-]*")
_LAST_COMMAND = re.compile(r"\$[?!_]|\$\{?(?:PIPESTATUS|LINENO|HISTCMD)|!!|!\$|\b(?:fc|history)\b")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is typed or said wrong."""

    kind: str
    """ "program", "path", "quote" (then "interrupted") or "reply"."""
    keystrokes: str = ""
    meant: str = ""
    """The keystrokes without the mistake."""
    wrong: str = ""
    right: str = ""


def allowed(keystrokes: str) -> bool:
    """Whether another command may come before this one: not where it is about the last one."""
    return bool(keystrokes.strip()) and not _LAST_COMMAND.search(keystrokes.partition("\n")[0])


def choose(keystrokes: str, voice: Voice) -> Mistake | None:
    """A mistake that somebody might make who is going to type this."""
    line = ShellLine.of(keystrokes)
    stage = line.pipelines[0][0] if line.pipelines else Stage(())
    makers = [_program, _path, _program, _path, _program, _path, _quote, _reply]
    voice.rng.shuffle(makers)
    return next((mistake for make in makers if (mistake := make(stage, voice))), None)


def _program(stage: Stage, voice: Voice) -> Mistake | None:
    wrongs = _MISSPELT.get("".join(stage.words[:1]))
    argument = next((f" {file}" for file in files_of(stage)[:1] if _PATH.fullmatch(file)), "")
    if not wrongs or not (argument or stage.program in _BARE):
        return None
    wrong = voice.rng.choice(wrongs)
    return Mistake("program", f"{wrong}{argument}\n", f"{stage.program}{argument}\n", wrong, stage.program)


def _path(stage: Stage, voice: Voice) -> Mistake | None:
    path = _plain_file(stage)
    folder, slash, name = path.rpartition("/")
    pairs = [at for at in range(len(name) - 1) if name[at : at + 2].isalpha() and name[at] != name[at + 1]]
    if stage.program not in _READERS or not pairs:
        return None
    at = voice.rng.choice(pairs)
    wrong = f"{folder}{slash}{name[:at]}{name[at + 1]}{name[at]}{name[at + 2 :]}"
    return Mistake("path", f"{stage.program} {wrong}\n", f"{stage.program} {path}\n", wrong, path)


def _quote(stage: Stage, voice: Voice) -> Mistake | None:
    mark, path = voice.rng.choice("'\""), _plain_file(stage)
    if stage.program == "cat" and stage.into:
        return Mistake("quote", f"cat > {mark}{stage.into}\n")
    if stage.program not in _QUOTED or not path:
        return None
    return Mistake("quote", f"{stage.program} {mark}{path}\n", f"{stage.program} {path}\n")


def _reply(stage: Stage, voice: Voice) -> Mistake | None:
    return Mistake("reply") if voice.likely(0.3) else None


def _plain_file(stage: Stage) -> str:
    return next((file for file in files_of(stage) if _PATH.fullmatch(file)), "")


def noticed(made: Mistake, reading: Reading, voice: Voice) -> str:
    """The mistake in words, where the screen shows it; else nothing."""
    if made.kind == "reply" and reading.kind == "unusable":
        return voice.pick(slips.UNUSABLE).format(error=short(reading.error, 80))
    if made.kind == "quote" and reading.unfinished:
        return f"{voice.pick(slips.OPEN_QUOTE)} {voice.pick(slips.NOT_RUN).format(code(made.keystrokes))}"
    if made.kind == "interrupted" and reading.at_root_prompt:
        return voice.pick(slips.INTERRUPTED).format(reading.folder)
    ways = {"program": slips.MISSPELT, "path": slips.WRONG_PATH}.get(made.kind, ())
    if ways and made.wrong in reading.error and re.search("not found|No such file", reading.error):
        return voice.pick(ways).format(wrong=code(made.wrong), right=code(made.right))
    return ""


def unusable(action: Action, words: str, voice: Voice) -> str:
    """A reply for this action that the protocol refuses."""
    text, rambling = action.to_json(), voice.pick(slips.RAMBLES).format(words)
    ways = (
        rambling,
        text.replace('", "plan"', '" "plan"', 1),
        text.replace('"analysis": "', '"analysis": ', 1),
        text.replace('"commands": [', '"command": [', 1),
        text.replace(', "task_complete"', ',, "task_complete"', 1),
        f"{rambling}\n" + text.replace('"plan": ', '"plan" ', 1),
    )
    return voice.rng.choice([way for way in ways if parse(way).action is None])
