"""Settings in sections, and the languages that write them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """A key with its value."""

    key: str
    value: str
    note: str = ""
    """Of the comment behind it."""
    asleep: bool = False
    """Commented out."""


@dataclass(frozen=True, slots=True)
class Style:
    """A configuration language."""

    suffix: str
    mark: str
    """Begins a comment."""
    head: str
    """A section's first line."""
    assign: str
    indent: str = ""

    def line(self, setting: Setting) -> str:
        """A line of a section."""
        note = f"  {self.mark} {setting.note}" if setting.note else ""
        return f"{self.start(setting)}{setting.value}{note}"

    def start(self, setting: Setting) -> str:
        """A line up to its value."""
        return f"{self.indent}{self.mark if setting.asleep else ''}{setting.key}{self.assign}"


STYLES = (
    Style("ini", ";", "[{}]", " = "),
    Style("cfg", "#", "[{}]", "="),
    Style("conf", "#", "Host {}", " ", indent="    "),
    Style("rules", "#", "zone {}:", ": ", indent="  "),
)
