"""Recordings in asciicast v2 as records, and records as recordings.

An episode that was recorded has its own recording (`termgym.cast`). Of others the observations are shown one after the
other, a turn each. The other way, a person's recording with its input (`asciinema rec --stdin`) becomes a conversation:
what was typed up to a pause is an action, and the screen then is the observation.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from termgym.corpus.record import Record
from termgym.errors import TaskError
from termgym.keys import encode
from termgym.policy import Message
from termgym.protocol import Action, Command, answer, first_prompt, parse
from termgym.screen import Emulator
from termgym.terminal import COLS, ROWS

TURN_S = 2.0
"""How long a turn is shown, where it was not recorded."""
PAUSE_S = 1.0
"""After which what is typed next is another action."""
Event = tuple[float, str, str]


def text(record: Record) -> str:
    """The recording of a conversation, as the text of a file."""
    header: dict[str, object] = {"version": 2, "width": COLS, "height": ROWS, "title": record.task}
    events: list[Event] = [(0.0, "o", _shown(record.messages[0].content.partition("Current terminal state:\n")[2]))]
    last = Message("user", record.trajectory.turns[-1].observation if record.trajectory else "")
    answers = zip(record.replies, [*record.messages[2::2], last], strict=True)
    for number, (reply, seen) in enumerate(answers, 1):
        begin = number * TURN_S
        action = parse(answer(reply)).action
        events.append((begin, "m", f"turn {number}"))
        events += [(begin, "i", encode(one.keystrokes).decode()) for one in (action.commands if action else ())]
        events.append((begin + TURN_S / 2, "o", _shown(seen.content)))
    return "".join(json.dumps(line) + "\n" for line in (header, *events))


def _shown(screen: str) -> str:
    return "\x1b[2J\x1b[H" + screen.rstrip().replace("\n", "\r\n")


def record(path: Path) -> Record:
    """A recording as a record, without a result: none was judged.

    Raises:
        TaskError: It is no asciicast v2, or has no input: it was not recorded with --stdin.
    """
    try:
        header, *events = map(json.loads, path.read_text(encoding="utf-8", errors="replace").splitlines())
        size, title = (int(header["height"]), int(header["width"])), str(header.get("title") or "")
        if header["version"] != 2:
            raise ValueError(f"version {header['version']}")
        messages = list(_messages(Emulator(*size), [(float(at), code, said) for at, code, said in events], title))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TaskError(f"{path}: is no recording in asciicast v2: {error!r}") from error
    if len(messages) < 2:
        raise TaskError(f"{path}: holds nothing that was typed; record with `asciinema rec --stdin`")
    return Record(tuple(messages), task=title or path.stem, agent="human", provenance=path.name)


def _messages(emulator: Emulator, events: list[Event], title: str) -> Iterator[Message]:
    typed, last_s, opened = "", 0.0, False
    for at_s, code, said in [*events, (float("inf"), "i", "")]:
        if code == "o":
            emulator.feed(said.encode("utf-8", "replace"))
        elif code == "i":
            if typed and at_s - last_s > PAUSE_S:
                yield Message("assistant", Action(commands=(Command(typed, min(at_s - last_s, 60.0)),)).to_json())
                if said:
                    yield Message("user", emulator.screen().text)
                typed = ""
            if said and not opened:
                opened = True
                yield Message("user", first_prompt(title, emulator.screen().text))
            typed, last_s = typed + said, at_s
