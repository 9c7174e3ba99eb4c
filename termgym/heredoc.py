"""A text that is typed into a program at a shell's prompt."""

import re

LONGEST = 2000
"""Characters of a line: the terminal's own limit is 4095 bytes."""
_UNTYPED = re.compile(r"[^\n -~]|!(?![= ])|^END$", re.M)
"""A tab completes a name, `!r` recalls a command, and control characters are keys."""


def heredoc(command: str, text: str) -> str:
    """The keystrokes that give a text to a command's standard input; empty if the text cannot be typed."""
    text = text if text.endswith("\n") else f"{text}\n"
    if _UNTYPED.search(text) or any(len(line) > LONGEST for line in text.split("\n")):
        return ""
    return f"{command} <<'END'\n{text}END\n"
