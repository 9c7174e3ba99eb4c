"""What a run counts and times, cheaply: counters, and the percentiles of the newest durations."""

from collections import Counter, defaultdict, deque
from typing import Any

import numpy as np

KEPT = 10_000
"""Durations kept of each kind: percentiles tell of the newest."""
QUANTILES = {"p50": 50, "p90": 90, "p99": 99}


class Metrics:
    """Counters and durations by name. For one thread at a time; reading from another is safe."""

    def __init__(self) -> None:
        """Everything is 0."""
        self.counts: Counter[str] = Counter()
        self._seconds: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))

    def count(self, name: str, number: int = 1) -> None:
        """Count `number` more."""
        self.counts[name] += number

    def time(self, name: str, seconds: float) -> None:
        """Note a duration."""
        self._seconds[name].append(seconds)

    def milliseconds(self) -> dict[str, dict[str, float]]:
        """Of each kind of duration: n, and p50, p90, p99, max in milliseconds."""
        return {name: _summary(list(kept)) for name, kept in list(self._seconds.items()) if kept}

    def to_dict(self) -> dict[str, Any]:
        """All of it, fit for JSON."""
        return {"counts": dict(self.counts), "ms": self.milliseconds()}


def _summary(seconds: list[float]) -> dict[str, float]:
    values = np.percentile(seconds, list(QUANTILES.values())) * 1e3
    quantiles = dict(zip(QUANTILES, map(float, values), strict=True))
    return {"n": len(seconds), **quantiles, "max": max(seconds) * 1e3}
