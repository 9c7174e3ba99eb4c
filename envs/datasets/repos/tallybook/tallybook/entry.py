"""One line of a book."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, order=True)
class Entry:
    """A payment. Amounts are whole cents; money that is spent is negative."""

    day: date
    cents: int
    account: str
    note: str = ""

    @classmethod
    def parse(cls, line):
        """An entry of its line; ValueError says what is wrong with it."""
        parts = line.split(None, 3)
        if len(parts) < 3:
            raise ValueError(f"expected a day, an amount and an account: {line!r}")
        note = parts[3].strip() if len(parts) > 3 else ""
        return cls(date.fromisoformat(parts[0]), parse_cents(parts[1]), parts[2], note)


def parse_cents(text):
    """Cents of an amount such as 12, -3.5 or 0.07."""
    sign = -1 if text.startswith("-") else 1
    whole, point, rest = text.lstrip("+-").partition(".")
    if not whole.isdigit() or len(rest) > 2 or (point and not rest.isdigit()):
        raise ValueError(f"not an amount: {text!r}")
    return sign * (int(whole) * 100 + int(rest.ljust(2, "0")))


def format_cents(cents):
    """An amount as text, with two decimals."""
    sign = "-" if cents < 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"{sign}{whole}.{rest:02}"
