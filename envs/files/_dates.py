"""Ways to write a date, and how bash reads them."""

from typing import NamedTuple

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class Notation(NamedTuple):
    """A way to write a date."""

    name: str
    words: str
    """How the instruction calls it."""
    text: str
    """How Python writes it."""
    pattern: str
    """How bash finds it, by three groups."""
    order: str
    """The groups as `date -d` reads them, which refuses dates that do not exist."""

    def write(self, year: int, month: int, day: int) -> str:
        """This date, which need not exist, in this notation."""
        return self.text.format(y=year, m=month, d=day, mon=MONTHS[month - 1])


NOTATIONS = (
    Notation("dotted", "DD.MM.YYYY", "{d:02}.{m:02}.{y}", r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})", "3-2-1"),
    Notation("american", "MM-DD-YYYY", "{m:02}-{d:02}-{y}", r"([0-9]{2})-([0-9]{2})-([0-9]{4})", "3-1-2"),
    Notation("compact", "YYYYMMDD", "{y}{m:02}{d:02}", r"([0-9]{4})([0-9]{2})([0-9]{2})", "1-2-3"),
    Notation("worded", "DD-Mon-YYYY", "{d:02}-{mon}-{y}", r"([0-9]{2})-([A-Z][a-z]{2})-([0-9]{4})", "1 2 3"),
    Notation("equals", "YYYY=MM=DD", "{y}={m:02}={d:02}", r"([0-9]{4})=([0-9]{2})=([0-9]{2})", "1-2-3"),
)
