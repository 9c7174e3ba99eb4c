"""Words for what a terminal shows and for what is typed: short, true, and seldom the same twice."""

import re
import shlex
from collections.abc import Mapping, Sequence
from random import Random

from termgym.keys import NAMES
from termgym.protocol import CONFIRM

PROMPT = re.compile(r"[\w.-]+@[\w.-]+:\S*[#$]")
"""How bash's prompt looks, here and in most images."""
QUOTED = 60
"""Characters of a line that is quoted, at most."""
ERRORS = re.compile(
    r"No such file|command not found|Permission denied|: cannot |^ERROR: |^error: |^fatal: |^Traceback|syntax error"
    r"|: not found|invalid option|Operation not permitted"
)
PROGRAMS: Mapping[str, Sequence[str]] = {
    "ls": ("list {files}", "see what is in {files}", "look what {files} holds"),
    "cat": ("read {files}", "look at what {files} says", "show {files}"),
    "cd": ("go to {files}", "change to {files}"),
    "pwd": ("see which folder this is",),
    "head": ("look at the beginning of {files}", "read the first lines of {files}"),
    "tail": ("look at the end of {files}", "read the last lines of {files}"),
    "less": ("page through {files}", "open {files} in a pager"),
    "grep": ("search {files}", "look for matching lines in {files}", "pick lines out of {files}"),
    "find": ("find files below {files}", "search the tree at {files}"),
    "wc": ("count what is in {files}", "measure {files}"),
    "sort": ("sort {files}", "put {files} in order"),
    "uniq": ("drop repeated lines",),
    "cut": ("take columns out of {files}",),
    "tr": ("translate characters",),
    "sed": ("edit {files} by a pattern", "apply a sed script to {files}"),
    "awk": ("work through {files} by fields", "let awk go over {files}"),
    "diff": ("compare {files}", "see where {files} differ"),
    "patch": ("apply a patch",),
    "cp": ("copy {files}", "make a copy, {files}"),
    "mv": ("move or rename {files}", "rename {files}"),
    "rm": ("remove {files}", "delete {files}"),
    "mkdir": ("make the folder {files}", "create {files}"),
    "rmdir": ("remove the empty folder {files}",),
    "ln": ("make a link, {files}",),
    "touch": ("create {files} or renew its time",),
    "chmod": ("set the mode of {files}", "change permissions of {files}"),
    "chown": ("set the owner of {files}",),
    "stat": ("look at the details of {files}",),
    "file": ("see what kind of file {files} is",),
    "tar": ("work on an archive, {files}", "let tar handle {files}"),
    "gzip": ("compress {files}",),
    "gunzip": ("decompress {files}",),
    "zip": ("pack {files}",),
    "unzip": ("unpack {files}",),
    "xz": ("compress or decompress {files}",),
    "python3": ("run Python on {files}", "let Python do it, {files}"),
    "bash": ("run a shell script, {files}",),
    "sh": ("run a shell script, {files}",),
    "git": ("use git: {words}", "let git do this: {words}"),
    "make": ("build with make",),
    "jq": ("query the JSON in {files}",),
    "sqlite3": ("ask the database {files}", "run SQL on {files}"),
    "vim": ("open {files} in vim", "edit {files} in vim"),
    "vi": ("open {files} in vi",),
    "nano": ("open {files} in nano",),
    "echo": ("write a line", "print a line"),
    "printf": ("write formatted text", "print exactly that text"),
    "tee": ("write {files} and show it",),
    "xargs": ("run a command for each item",),
    "ps": ("see which processes run",),
    "kill": ("end a process",),
    "pkill": ("end processes by name",),
    "sleep": ("wait a little",),
    "date": ("ask for the date",),
    "du": ("see how much space {files} takes",),
    "df": ("see how full the disk is",),
    "env": ("look at the environment",),
    "export": ("set a variable",),
    "source": ("load {files} into this shell",),
    "test": ("test a condition",),
    "sha256sum": ("compute checksums of {files}", "hash {files}"),
    "md5sum": ("compute checksums of {files}",),
    "base64": ("encode or decode {files}",),
    "openssl": ("use openssl: {words}",),
    "bc": ("compute with bc",),
    "crontab": ("look after the crontab",),
    "for": ("loop over them, one command for each", "do it for each in turn"),
    "while": ("loop while there is more",),
    "if": ("do it if a condition holds",),
}
KEYS: Mapping[str, str] = {
    "C-c": "interrupt what runs",
    "C-d": "end the input",
    "Enter": "press Enter",
    "Escape": "leave the mode with Escape",
    "Tab": "press Tab",
    "q": "leave with q",
}
PLANS = (
    "Next I {what}.", "I will {what}.", "Now I {what}.", "The next step is to {what}.", "I {what} and read what comes.",
    "Time to {what}.", "So I {what}.", "To go on, I {what}.", "I {what}; then I look again.", "Let me {what}.",
    "What follows: {what}.", "My next move is to {what}.", "Then I {what}.", "First things first: {what}.",
)  # fmt: skip
QUIET = (
    "Nothing was printed.", "The command printed nothing.", "No output, and no complaint either.",
    "It ended without a word.", "There is no output to read.", "Silence: the command had nothing to say.",
    "The prompt came back with nothing before it.", "No message came.",
)  # fmt: skip
PRINTED = (
    "It printed {n}; the first is {first}.", "There is {n} of output, beginning with {first}.",
    "The output has {n}, and ends with {last}.", "I see {n}: it begins with {first}.", "{n} came, up to {last}.",
    "The screen shows {n}, among them {some}.", "Output of {n}; one of them is {some}.", "I read {n}, at last {last}.",
)  # fmt: skip
ERROR = (
    "There is a complaint: {error}.", "That line matters: {error}.", "Something is said to be wrong: {error}.",
    "The output has a message of an error: {error}.", "I notice {error}.", "One line looks like trouble: {error}.",
)  # fmt: skip
BUSY = (
    "No prompt yet; the screen ends with {last}.", "A program has the terminal; its last line is {last}.",
    "The shell is not back: the screen ends with {last}.", "Something is in the foreground, showing {last}.",
    "What I see is no prompt but {last}.",
)  # fmt: skip
BACK = (
    "", "The shell waits again. ", "Back at the prompt. ", "The prompt is back. ", "That is done. ", "It ended. ",
    "The command has ended. ", "bash is ready again. ", "I have the prompt. ",
)  # fmt: skip
BEGIN = (
    "A shell is ready. The task: {task}", "I am at a prompt, with this to do: {task}", "The terminal is open: {task}",
    "Fresh shell. What is wanted: {task}", "Nothing has been done yet. The task says: {task}", "Start. To do: {task}",
)  # fmt: skip
DONE = (
    "The steps are done.", "All that I planned is done.", "There is nothing left to do.", "Nothing is open any more.",
    "The work is finished as far as I see.", "Everything was carried out.", "That was the last step.",
)  # fmt: skip
ASKED = (
    "I am asked to confirm.", "The question is whether I am done.", "A confirmation is asked for.",
    "I am asked whether it is complete.", "One more word is wanted.",
)  # fmt: skip
DECLARE = (
    "I say that the task is complete.", "Declare it complete.", "To mark the task as complete.", "I hand it in.",
    "Time to say that it is done.",
)  # fmt: skip


def quote(line: str) -> str:
    """A line in quotes, shortened."""
    line = " ".join(line.split())
    return f"'{line[:QUOTED]}...'" if len(line) > QUOTED else f"'{line}'"


def at_prompt(screen: str) -> bool:
    """Whether a screen ends with the shell's prompt."""
    lines = screen.rstrip().splitlines()
    return bool(lines and PROMPT.fullmatch(lines[-1].strip()))


def printed(screen: str, typed: str) -> list[str]:
    """The lines between what was typed and the prompt behind, as far as they show."""
    titles = ("output:", "screen:", "state:")
    lines = [line for line in screen.splitlines() if line.strip() and not line.endswith(titles)]
    last = typed.strip().splitlines()[-1].strip()[-40:] if typed.strip() else ""
    begin = max((number for number, line in enumerate(lines) if last and last in line), default=-1)
    return [line for line in lines[begin + 1 :] if not PROMPT.match(line.strip()) and not line.startswith("> ")]


def seen(screen: str, typed: str, chance: Random) -> str:
    """What a screen says about what was typed last."""
    if screen.rstrip().endswith(CONFIRM.rstrip()[-60:]):
        return chance.choice(ASKED)
    lines = printed(screen, typed)
    if not at_prompt(screen):
        last = next((line for line in reversed(screen.splitlines()) if line.strip()), "nothing")
        return chance.choice(BUSY).format(last=quote(last))
    opening = chance.choice(BACK)
    if not lines:
        return opening + chance.choice(QUIET)
    if wrong := next((line for line in lines if ERRORS.search(line)), ""):
        return opening + chance.choice(ERROR).format(error=quote(wrong))
    n = "1 line" if len(lines) == 1 else f"{len(lines)} lines"
    first, last, some = map(quote, (lines[0], lines[-1], chance.choice(lines)))
    return opening + chance.choice(PRINTED).format(n=n, first=first, last=last, some=some)


def intent(keystrokes: str, chance: Random, shell: bool = True) -> str:
    """What keystrokes are for, by their own words; without `shell` they go to a program that has the terminal."""
    return chance.choice(PLANS).format(what=_what(keystrokes, chance, shell))


def _what(keys: str, chance: Random, shell: bool) -> str:
    if not keys:
        return "wait and look again"
    if keys in KEYS or keys in NAMES:
        return KEYS.get(keys, f"press {keys}")
    if not shell or not keys.endswith(("\n", "\r")):
        return f"type {quote(keys)}" + ("" if shell else " into what runs")
    first, *more = keys.strip("\n").splitlines() or [""]
    if defined := re.match(r"(?:function )?([\w-]+) ?\(\)", first):
        return f"define the function {defined[1]}"
    if "<<" in first and more:
        target = re.search(r">\s*([^\s<>|;&]+)", first.replace("<<", "  "))
        lines = f"{max(1, len(more) - 1)} lines" if len(more) != 2 else "a line"
        return f"write {lines} to {target[1]}" if target else f"hand {lines} to {first.split()[0]}"
    return _command(first, chance)


def _command(line: str, chance: Random) -> str:
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        words = line.split()
    parts = _parts(words)
    phrases = [_program(part, chance) for part in parts]
    if not phrases:
        return f"type {quote(line)}"
    return phrases[0] if len(phrases) == 1 else f"{phrases[0]}, and in the end {phrases[-1]}"


def _parts(words: Sequence[str]) -> list[list[str]]:
    """The simple commands of a line."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word and set(word) <= set("|&;()"):
            parts.append([])
        elif parts[-1] or not re.fullmatch(r"\w+=.*|sudo|then|do|else|!|\{|\}", word):
            parts[-1].append(word)
    return [part for part in parts if part and part[0] not in ("done", "fi", "esac")]


def _program(part: Sequence[str], chance: Random) -> str:
    program, words = part[0].rpartition("/")[2], part[1:]
    files = [word for word in words if re.fullmatch(r"[\w./~*-]+", word) and not word.startswith("-")]
    named = [word for word in files if "/" in word or "." in word or program in ("cd", "mkdir", "ls")]
    if program not in PROGRAMS:
        return f"run {program}" + (f" on {named[0]}" if named else "")
    said = " ".join([word for word in words if not word.startswith("-")][:3]) or program
    shown = " and ".join(named[:2]) or ("it" if program != "ls" else "this folder")
    return chance.choice(PROGRAMS[program]).format(files=shown, words=said)
