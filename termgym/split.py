"""Splits: which seeds of which families are for training, which for validation, which for testing. Data, and disjoint.

Seeds are split for every family, so that the test tasks of a family that was trained on are new ones. Some families of
every domain are held out whole: they are in no other split than theirs, and tell what carries over to new kinds of
tasks. Levels, phrasings and vocabularies are the same in all splits.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from termgym.errors import UnknownName
from termgym.family import Family


@dataclass(frozen=True, slots=True)
class Split:
    """One part of all tasks."""

    name: str
    seeds: range
    """The seeds of its tasks."""
    families: frozenset[str]
    """Those that are in this split alone. Of the others every split has its own seeds."""


HELD_OUT = {
    "validation": frozenset({"maths/markov-chain", "stats/regression", "science/molecules", "debug/fix-script"}),
    "test": frozenset(
        {
            "debug/request-trail",
            "deps/build-order",
            "files/link-farm",
            "games/mastermind",
            "interactive/adventure",
            "maths/exact-linear",
            "query/on-call",
            "science/spectrum",
            "security/manifest-audit",
            "software/stack-machine",
            "stats/retention",
        }
    ),
}
"""Split -> families that are in it alone."""
SPLITS = {
    "train": Split("train", range(0, 1_000_000_000), frozenset()),
    "validation": Split("validation", range(1_000_000_000, 1_500_000_000), HELD_OUT["validation"]),
    "test": Split("test", range(1_500_000_000, 2_000_000_000), HELD_OUT["test"]),
}


def find_split(name: str) -> Split:
    """The split called `name`.

    Raises:
        UnknownName: There is none; the message suggests what was meant.
    """
    if name not in SPLITS:
        raise UnknownName("split", name, SPLITS)
    return SPLITS[name]


def of_split(split: Split, families: Iterable[Family]) -> list[Family]:
    """Those of the families that are in this split."""
    elsewhere = {name for other in SPLITS.values() if other is not split for name in other.families}
    return [family for family in families if family.name not in elsewhere]
