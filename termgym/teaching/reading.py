"""A reading: what an observation really shows of the command before it."""

import re
from dataclasses import dataclass

_UNUSABLE = "Your last reply was unusable"
_HEADING = re.compile(r"(?:New terminal output|Current terminal (?:screen|state)):\n", re.I)
_CONFIRM = "\n\nYou marked the task as complete."
_PROMPT = re.compile(r"(?:\S*@[\w.-]+:\S*|bash-[\d.]+|sh-[\d.]+)?[#$]")
_ROOT = re.compile(r"root@[\w.-]+:(?P<folder>/\S*|~)#$")
_BEHIND_PROMPT = re.compile(r"^\S*@[\w.-]+:\S*[#$] ")
_ANY_PROMPT = re.compile(r"^(?:\S*@[\w.-]+:\S*[#$] |>>> |\s*\.\.\.>? ?|\w*> ?)")
_ERROR = re.compile(
    r"[\w./-]+: .*(?:No such file|not found|[Pp]ermission denied|cannot |Is a directory|Not a directory|unexpected)"
    r"|Traceback \(most recent|fatal: |[Ee]rror: |\w+Error\b|make: \*\*\*"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is on the screen, as far as words are needed for it."""

    kind: str
    """ "first", "unusable", "confirm", "output" for lines that were printed, or "screen"."""
    lines: tuple[str, ...]
    """What was printed between the echo of what was typed and the prompt behind it; or the screen's lines."""
    last: str
    """The last line that is not empty."""
    error: str = ""
    """The first line that reads like an error, or why a reply was unusable."""
    cut: bool = False
    """Whether the middle of the output was left out."""
    mixed: bool = False
    """Whether the echo cannot be told from the output."""

    @classmethod
    def of(cls, observation: str, typed: str = "") -> "Reading":
        """Read an observation; `typed` is what was typed before it."""
        if observation.startswith(_UNUSABLE):
            return cls("unusable", (), "", observation.partition("ERROR: ")[2].partition("\n")[0].partition(", in ")[0])
        heading = next(reversed(list(_HEADING.finditer(observation.partition(_CONFIRM)[0]))), None)
        kind = _kind(observation, heading[0] if heading else "")
        text = observation[heading.end() :] if heading else observation
        all_lines = [line.rstrip() for line in text.partition(_CONFIRM)[0].split("\n")]
        filled = [line for line in all_lines if line]
        lines, echoed = (filled, True) if kind != "output" else _without_echo(filled, typed)
        last = filled[-1] if filled else ""
        body = _before_prompt(lines, last) if kind == "output" or _at_prompt(last) else tuple(lines)
        error = next((line for line in body if _ERROR.match(line)), "")
        return cls(kind, body, last, error, "[... output limited" in text, not echoed)

    @property
    def at_prompt(self) -> bool:
        """Whether a shell waits for a command."""
        return _at_prompt(self.last)

    @property
    def at_root_prompt(self) -> bool:
        """Whether the shell that the episode began with does, as far as can be seen."""
        return self.kind in ("first", "output", "screen") and bool(_ROOT.fullmatch(self.last))

    @property
    def folder(self) -> str:
        """The shell's folder, by its prompt; or nothing."""
        found = _ROOT.search(self.last)
        return found["folder"] if found else ""

    @property
    def unfinished(self) -> bool:
        """Whether the shell waits for the rest of a command."""
        return self.last == ">"

    @property
    def full_screen(self) -> bool:
        """Whether a program has the whole screen."""
        return self.kind == "screen" and not self.at_prompt and not any(map(_BEHIND_PROMPT.match, self.lines))


def _kind(observation: str, heading: str) -> str:
    if _CONFIRM in observation:
        return "confirm"
    if "\n\nTask:\n" in observation and "state" in heading:
        return "first"
    return "output" if heading.lower().startswith("new") else "screen"


def _at_prompt(line: str) -> bool:
    return bool(_PROMPT.fullmatch(line))


def _before_prompt(lines: list[str], last: str) -> tuple[str, ...]:
    """Without the prompt, which may stand behind output that has no line end."""
    found = _ROOT.search(last)
    unended = last[: found.start()] if found and lines else ""
    return (*lines[:-1], unended) if unended else tuple(lines[:-1])


def _without_echo(lines: list[str], typed: str) -> tuple[list[str], bool]:
    """The lines behind the echo, and whether all of it was found; the terminal breaks long lines, and tabs vanish."""
    left = "".join(typed.split())
    for number, line in enumerate(lines):
        plain = "".join(_ANY_PROMPT.sub("", line).split())
        if not number and left and plain.endswith(left):  # behind the prompt of a program of its own
            return lines[1:], True
        if not left or not left.startswith(plain):
            return lines[number:], not left
        left = left[len(plain) :]
    return [], not left
