"""What an agent has seen of a pane, and what is new: Terminus 2's rule, and its words."""


class Record:
    """All that there was when it was last looked at.

    The lines of then are looked for in those of now. What comes behind them is the new output, with the last line of
    then, mostly the prompt. Where they are not found, as after `clear`, and where nothing is new, it is the visible
    screen. So does `get_incremental_output` of Harbor's tmux_session.py, faults included: the place of the new output
    is counted from the beginning, as if nothing stood before what was found. But the history is as long as it means to
    have it, where tmux drops what is beyond 2,000 lines there.
    """

    def __init__(self) -> None:
        self._before: str | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing was looked at yet."""
        return self._before is None

    def take(self, lines: list[str]) -> str | None:
        """Look at a pane's lines, all of its history: what is new, or None if that cannot be told."""
        before, now = self._before, _text(lines)
        self._before = now
        if before is None or (before := before.strip()) not in now:
            return None
        return now[before.rfind("\n") if "\n" in before else now.index(before) :]

    def view(self, lines: list[str], rows: int, max_bytes: int) -> str:
        """Look, and say what is new; else show the last `rows` lines, which are the screen."""
        new = self.take(lines)
        if new is None or not new.strip():
            return limited(f"Current Terminal Screen:\n{_text(lines[-rows:])}", max_bytes)
        return limited(f"New Terminal Output:\n{new}", max_bytes)


def _text(lines: list[str]) -> str:
    """Lines as `tmux capture-pane -p` prints them."""
    return "\n".join(lines) + "\n"


def limited(text: str, max_bytes: int) -> str:
    """The first and the last half of `max_bytes` of the text's UTF-8, with Terminus 2's words between them."""
    data, half = text.encode(), max_bytes // 2
    if len(data) <= max_bytes:
        return text
    head, tail = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    omitted = len(data) - len((head + tail).encode())
    return f"{head}\n[... output limited to {max_bytes} bytes; {omitted} interior bytes omitted ...]\n{tail}"
