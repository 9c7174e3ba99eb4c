"""The action protocol: one JSON batch of keystrokes per turn, in the form of Terminus 2.

`parse` turns what a model wrote into an `Action`, or says why it cannot; `first_prompt` and `next_prompt`
are the text that the model reads. The behaviour is that of Harbor's `TerminusJSONPlainParser`; the wording
is ours, and `PROMPT_VERSION` changes whenever a byte of it does.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import cast

PROMPT_VERSION = "termgym-1"
MAX_DURATION_S = 60.0
DEFAULT_DURATION_S = 1.0
REPAIRED = "AUTO-CORRECTED"
THINK, THOUGHT = "<think>", "</think>"

_REQUIRED = ("analysis", "plan", "commands")
_MAX_CANDIDATES = 1000
_MAX_LISTED = 20
_PREVIEW_CHARS = 100
_DECODER = json.JSONDecoder()
_MARK = re.compile(r'\\.|["{]', re.DOTALL)
_NESTED_ONCE = re.compile(r"\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}")


@dataclass(frozen=True, slots=True)
class Command:
    """Keystrokes to send, then the longest wait for their effect, in seconds."""

    keystrokes: str
    duration_s: float = DEFAULT_DURATION_S


@dataclass(frozen=True, slots=True)
class Action:
    """One turn of an agent: what it thinks, what it types, and whether it believes the task is done."""

    analysis: str = ""
    plan: str = ""
    commands: tuple[Command, ...] = ()
    task_complete: bool = False

    def to_json(self) -> str:
        """The canonical text of this action; `parse` reads it back unchanged, within the duration limits."""
        commands = [{"keystrokes": c.keystrokes, "duration": c.duration_s} for c in self.commands]
        fields = {
            "analysis": self.analysis,
            "plan": self.plan,
            "commands": commands,
            "task_complete": self.task_complete,
        }
        return json.dumps(fields, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reply came to: an action and no error, or no action and the reason; warnings with either."""

    action: Action | None
    error: str
    warnings: tuple[str, ...]


class _RefusedError(Exception):
    """The reply cannot be run, for the reason given."""


def answer(text: str) -> str:
    """What a model said after it had thought aloud: the text behind a leading `<think>` block, else all of it.

    A block that never ends, as where a limit cut the model off, leaves nothing.
    """
    if not text.lstrip().startswith(THINK):
        return text
    return text.partition(THOUGHT)[2]


def parse(text: str) -> Parsed:
    """Read one reply of a model, in time linear in its length.

    The rules are Harbor's (0.25). The first balanced object outside quotes is read as strict JSON; text
    around it only warns. `analysis`, `plan` and a list `commands` must be present. A bad command refuses
    the whole batch, unless `task_complete` holds: then the batch is dropped with a warning. A refused reply
    is tried again with its missing closing braces added, then as its first brace group (nested at most
    once) that is JSON.

    Where it departs from Harbor:

    - `task_complete` that is neither boolean, string nor null warns and counts as false; Harbor takes its
      truthiness.
    - `duration` that is boolean, NaN, infinite or negative warns and becomes the default, where Harbor lets
      it through. It is capped here, silently; Harbor caps it when it sends.
    - `analysis` or `plan` that is not a string warns, and becomes "".
    - Field order is that of the parsed object, so a nested `"plan":` raises no false alarm.
    - A stray `}` before the object is only text.
    - The last repair looks at the first 1000 brace groups.
    - Lone surrogates become "?", so an action can always be encoded.

    Never raises, whatever the string.
    """
    start = _object_start(text)
    first = _attempt(text, start)
    if first.action is not None:
        return first
    for name, repaired, repaired_start in _repairs(text, start):
        again = _attempt(repaired, repaired_start)
        if again.action is not None:
            note = f"{REPAIRED}: {name}; write it right next time"
            return replace(again, warnings=(note, *again.warnings))
    return first


def _object_start(text: str) -> int:
    """Index of the first `{` outside quotes, or -1."""
    quoted = False
    for mark in _MARK.finditer(text):
        char = mark[0]
        if char == '"':
            quoted = not quoted
        elif char == "{" and not quoted:
            return mark.start()
    return -1


def _repairs(text: str, start: int) -> Iterator[tuple[str, str, int]]:
    """The name, text and object start of each repair worth a try, in Harbor's order."""
    missing = text.count("{") - text.count("}")
    if missing > 0:
        yield "closing braces were missing", text + "}" * missing, start
    embedded = _embedded(text)
    if embedded:
        yield "the JSON object was buried in other text", embedded, 0


def _embedded(text: str) -> str:
    """The first brace group, nested at most once, that is JSON; or ""."""
    # Even a tiny failed decode costs microseconds: a reply of a million groups must not get one for each.
    for match in islice(_NESTED_ONCE.finditer(text), _MAX_CANDIDATES):
        try:
            json.loads(match[0])
        except (ValueError, RecursionError):
            continue
        return match[0]
    return ""


def _attempt(text: str, start: int) -> Parsed:
    """Read the object at `start` as an action."""
    warnings: list[str] = []
    try:
        return Parsed(_action(_decode(text, start, warnings), warnings), "", tuple(warnings))
    except _RefusedError as error:
        return Parsed(None, str(error), tuple(warnings))


def _decode(text: str, start: int, warnings: list[str]) -> dict[str, object]:
    if start < 0:
        raise _RefusedError("no JSON object in the reply")
    if text[:start].strip():
        warnings.append("text before the JSON object")
    try:
        fields, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(f"invalid JSON: {error}, in {_preview(text, start)}") from error
    if text[end:].strip():
        warnings.append("text after the JSON object")
    return fields


def _preview(text: str, start: int) -> str:
    if len(text) - start < 2 * _PREVIEW_CHARS:
        return repr(text[start:])
    return repr(text[start : start + _PREVIEW_CHARS]) + "..."


def _action(fields: dict[str, object], warnings: list[str]) -> Action:
    missing = [name for name in _REQUIRED if name not in fields]
    if missing:
        raise _RefusedError(f"missing required fields: {', '.join(missing)}")
    analysis = _text(fields, "analysis", warnings)
    plan = _text(fields, "plan", warnings)
    items = fields["commands"]
    if not isinstance(items, list):
        raise _RefusedError("'commands' must be an array")
    _check_order(fields, warnings)
    complete = _complete(fields.get("task_complete"), warnings)
    return Action(analysis, plan, _commands(cast("list[object]", items), complete, warnings), complete)


def _text(fields: dict[str, object], name: str, warnings: list[str]) -> str:
    value = fields[name]
    if isinstance(value, str):
        return _encodable(value)
    warnings.append(f"'{name}' should be a string")
    return ""


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _check_order(fields: dict[str, object], warnings: list[str]) -> None:
    found = [name for name in fields if name in _REQUIRED]
    if found != list(_REQUIRED):
        warnings.append(f"fields came in the order {', '.join(found)}; the order is {', '.join(_REQUIRED)}")


def _complete(value: object, warnings: list[str]) -> bool:
    if isinstance(value, str):
        return value.lower() in ("true", "1", "yes")
    if value is None or isinstance(value, bool):
        return bool(value)
    warnings.append("'task_complete' should be true or false; taken as false")
    return False


def _commands(items: list[object], complete: bool, warnings: list[str]) -> tuple[Command, ...]:
    commands: list[Command] = []
    try:
        for number, item in enumerate(items, 1):
            commands.append(_command(number, item, warnings))
            _check_newline(number, commands[-1].keystrokes, number == len(items), warnings)
    except _RefusedError as error:
        if not complete:
            raise
        warnings.append(str(error))
        return ()
    return tuple(commands)


def _command(number: int, item: object, warnings: list[str]) -> Command:
    if not isinstance(item, dict):
        raise _RefusedError(f"command {number} must be an object")
    fields = cast("dict[str, object]", item)
    if "keystrokes" not in fields:
        raise _RefusedError(f"command {number} has no 'keystrokes'")
    keystrokes = fields["keystrokes"]
    if not isinstance(keystrokes, str):
        raise _RefusedError(f"command {number}: 'keystrokes' must be a string")
    duration_s = _duration(number, fields, warnings)
    unknown = [name for name in fields if name not in ("keystrokes", "duration")]
    if unknown:
        warnings.append(f"command {number} has unknown fields: {_preview(', '.join(unknown), 0)}")
    return Command(_encodable(keystrokes), duration_s)


def _duration(number: int, fields: dict[str, object], warnings: list[str]) -> float:
    """Seconds, at least 0 and at most the cap; the default, with a warning, where it cannot be a time."""
    if "duration" not in fields:
        warnings.append(f"command {number} has no 'duration'; {DEFAULT_DURATION_S} s is used")
        return DEFAULT_DURATION_S
    value = fields["duration"]
    # The cap comes before float(), which overflows on a very long integer.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(min(value, MAX_DURATION_S))
    warnings.append(f"command {number}: 'duration' is not a usable time; {DEFAULT_DURATION_S} s is used")
    return DEFAULT_DURATION_S


def _check_newline(number: int, keystrokes: str, last: bool, warnings: list[str]) -> None:
    # Empty keystrokes only wait, so nothing of theirs can run into the next command.
    if keystrokes and not last and not keystrokes.endswith("\n"):
        warnings.append(f"command {number} does not end in a newline, so the next one continues its line")


_EXAMPLE = Action(
    analysis="What the screen shows and what is still open.",
    plan="What these commands are for and what you expect to see.",
    commands=(Command("cd src\n", 0.1), Command("make 2>&1 | tail -n 20\n", 30.0)),
)

_PROTOCOL = f"""\
You operate a Linux terminal by its keyboard to carry out the task below. Each turn you are shown the terminal
and you answer with exactly one JSON object, for example:

{_EXAMPLE.to_json()}

Fields, in this order:
- "analysis" (string, required): your reading of the terminal's present state.
- "plan" (string, required): your next moves and the reason for them.
- "commands" (array, required): what to type, in order. It may be empty.
- "task_complete" (true or false, false if left out): true once the task is done. You are asked to confirm.

Each command is an object:
- "keystrokes" (string, required): typed exactly as given. To run a shell line, end it with \\n.
- "duration" (number of seconds, {DEFAULT_DURATION_S} if left out): how long to wait before the next command.

Typing:
- Without \\n at its end, a command is continued by the one after it on the same line.
- For a special key, make its tmux name the whole of "keystrokes": C-c (interrupt), C-d (end of input), Enter,
  Escape, Tab, Up, PPage, F5. Inside longer text such a name is typed letter by letter.

Waiting:
- 0.1 suits commands that answer at once (cd, ls, echo), 1.0 those that work a little (gcc, find), and more is
  right for builds, downloads and long scripts.
- If you are unsure, wait briefly and look again: empty "keystrokes" with a "duration" such as 10 only waits.
- No wait lasts longer than {MAX_DURATION_S:.0f} seconds.

The JSON is read strictly: escape quotes, backslashes, newlines and tabs inside strings. Text around the
object is ignored, with a warning."""

CONFIRM = """\
You marked the task as complete. If you confirm, it is graded as it stands and nothing can be changed after.
To confirm, answer again with "task_complete": true. To carry on, answer with "task_complete": false."""


def first_prompt(instruction: str, screen: str) -> str:
    """The first message: the protocol, the task and the first screen, all from the user as in Harbor."""
    return f"{_PROTOCOL}\n\nTask:\n{instruction}\n\nCurrent terminal state:\n{screen}\n"


def next_prompt(parsed: Parsed, screen_text: str, *, confirm: bool) -> str:
    """The user message after a turn.

    A refused reply gets its error and no screen, as nothing was run. `confirm` asks whether the task is
    really done, for the first `task_complete`. Otherwise it is the screen, below the warnings if there were
    any; a turn that claims completion loses its warnings. All as Harbor does.
    """
    if parsed.action is None:
        report = f"ERROR: {parsed.error}{_listed(parsed.warnings)}"
        return f"Your last reply was unusable; nothing was typed.\n{report}\n\nReply again, as one JSON object."
    if confirm:
        return f"Current terminal state:\n{screen_text}\n\n{CONFIRM}"
    if parsed.warnings and not parsed.action.task_complete:
        return f"Your last reply was carried out, with warnings.{_listed(parsed.warnings)}\n\n{screen_text}"
    return screen_text


def _listed(warnings: tuple[str, ...]) -> str:
    if not warnings:
        return ""
    lines = [f"- {warning}" for warning in warnings[:_MAX_LISTED]]
    if len(warnings) > _MAX_LISTED:
        lines.append(f"- and {len(warnings) - _MAX_LISTED} more")
    return "\nWARNINGS:\n" + "\n".join(lines)
