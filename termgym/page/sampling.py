"""Sampling: which episodes of a page are embedded first, of more than there is room for."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

Rows = Sequence[dict[str, Any]]


def by_kind(rows: Rows) -> list[int]:
    """One of each family and outcome, failures before the rest, then another."""
    met: Counter[tuple[str, str]] = Counter()
    ranks: list[tuple[int, bool, int]] = []
    for number, one in enumerate(rows):
        kind = one["family"], one["outcome"]
        ranks.append((met[kind], one["outcome"] == "solved", number))
        met[kind] += 1
    return [number for *_, number in sorted(ranks)]


def before_and_after(rows: Rows) -> list[int]:
    """The first and the last evaluation first, both episodes of a task at once; then the rest by kind.

    Of the pairs, too, one of each family and change of outcome comes first, then another; changes before the rest.
    """
    met: Counter[tuple[str, ...]] = Counter()
    ranks: list[tuple[int, bool, list[int]]] = []
    for pair in _pairs(rows):
        outcomes = [rows[number]["outcome"] for number in pair]
        kind = (rows[pair[0]]["family"], *outcomes)
        ranks.append((met[kind], len(set(outcomes)) == 1, pair))
        met[kind] += 1
    chosen = [number for *_, pair in sorted(ranks) for number in pair]
    rest = set(range(len(rows))) - set(chosen)
    return chosen + [number for number in by_kind(rows) if number in rest]


def _pairs(rows: Rows) -> list[list[int]]:
    """The episodes of each attempt in the first and the last evaluation, the last try of each; some have one only."""
    ends = (0, max((one["when"] for one in rows), default=0))
    pairs: dict[tuple[str, int], dict[int, int]] = {}
    for number, one in enumerate(rows):
        if one["when"] in ends:
            pairs.setdefault((one["task"], one["attempt"]), {})[one["when"]] = number
    return [list(pair.values()) for pair in pairs.values()]
