"""A voice: picks ways to say things, seldom the same twice."""

from collections.abc import Mapping
from random import Random


class Voice:
    """One episode's. The same seed says the same of the same."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self._decks: dict[tuple[str, ...], list[str]] = {}

    def pick(self, ways: tuple[str, ...]) -> str:
        """One of them; none comes again before all have come."""
        deck = self._decks.setdefault(ways, [])
        if not deck:
            deck += ways
            self.rng.shuffle(deck)
        return deck.pop()

    def likely(self, chance: float) -> bool:
        """True as often as `chance` says."""
        return self.rng.random() < chance


def short(text: str, most: int = 60) -> str:
    """The text's first line, cut to `most` characters."""
    line, more, _ = text.strip().partition("\n")
    return f"{line[: most - 3]}..." if len(line) > most else f"{line}..." if more and len(line) < most - 2 else line


def code(text: str, most: int = 60) -> str:
    """What was typed or shown, as such."""
    return f"`{short(text, most)}`"


def listed(names: list[str], most: int = 3) -> str:
    """Names in a row: a, b and c, or the first of them and how many more."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def table(text: str) -> Mapping[str, tuple[str, ...]]:
    """NAME: one | another, by line."""
    rows = (line.partition(": ") for line in text.strip().split("\n"))
    return {name.strip(): tuple(way.strip() for way in found.split("|")) for name, _, found in rows}


def ways(text: str) -> tuple[str, ...]:
    """One way a line."""
    return tuple(line.strip() for line in text.strip().split("\n"))
