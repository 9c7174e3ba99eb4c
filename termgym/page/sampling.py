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
