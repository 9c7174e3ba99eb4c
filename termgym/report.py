"""A report: what many trajectories came to, per family and in total, as a table and as JSON.

Invalid episodes have no score: they are counted, and left out of every rate and mean.
"""

from collections import Counter
from dataclasses import dataclass, field
from math import comb, sqrt
from statistics import mean
from typing import Any

import numpy as np
from rich.table import Table

from termgym.episode import PHASES
from termgym.outcome import Outcome
from termgym.trajectory import Trajectory

TOTAL = "total"
_Z95 = 1.959964  # the normal distribution's 97.5 % point


def wilson(solved: int, n: int, z: float = _Z95) -> tuple[float, float]:
    """The interval that holds a proportion with 95 % confidence: E. B. Wilson, JASA 22 (1927), p. 209.

    It takes the `n` trials as independent: repeated attempts at the same tasks make it too narrow.
    """
    if not n:
        return 0.0, 1.0
    share, square = solved / n, z * z
    middle = share + square / (2 * n)
    half = z * sqrt(share * (1 - share) / n + square / (4 * n * n))
    return max(0.0, (middle - half) / (1 + square / n)), min(1.0, (middle + half) / (1 + square / n))


def pass_at_k(n: int, solved: int, k: int) -> float:
    """The chance that one of `k` attempts solves it, from `n >= k` attempts: Chen et al., arXiv:2107.03374, eq. 1."""
    return 1 - comb(n - solved, k) / comb(n, k)


@dataclass(slots=True)
class Scores:
    """The scores of one family, or of all."""

    outcomes: Counter[str] = field(default_factory=Counter[str])
    dense: list[float] = field(default_factory=list[float])
    tasks: dict[tuple[str, str], list[bool]] = field(default_factory=dict[tuple[str, str], list[bool]])
    """(id, digest) -> whether each valid attempt solved it."""

    def add(self, trajectory: Trajectory) -> None:
        """Count one more episode."""
        self.outcomes[trajectory.outcome.value] += 1
        if trajectory.dense is not None:
            self.dense.append(trajectory.dense)
            self.tasks.setdefault((trajectory.task, trajectory.digest), []).append(trajectory.solved)

    @property
    def n(self) -> int:
        """Episodes that have a score."""
        return len(self.dense)

    @property
    def invalid(self) -> int:
        """Episodes that have none."""
        return self.outcomes.total() - self.n

    @property
    def solved(self) -> int:
        """Episodes that were solved."""
        return sum(map(sum, self.tasks.values()))

    def pass_at(self) -> dict[int, float]:
        """For k = 1, 2, 4, ...: pass@k, each a mean over the tasks with at least k valid attempts."""
        most = max(map(len, self.tasks.values()), default=0)
        found: dict[int, float] = {}
        for k in (1 << power for power in range(most.bit_length())):
            rows = [row for row in self.tasks.values() if len(row) >= k]
            found[k] = mean(pass_at_k(len(row), sum(row), k) for row in rows)
        return found

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON; null stands where nothing has a score."""
        return {
            "n": self.n,
            "solved": self.solved,
            "invalid": self.invalid,
            "pass_at": {str(k): value for k, value in self.pass_at().items()},
            "pass_at_1_interval_95": list(wilson(self.solved, self.n)) if self.n else None,
            "mean_dense": mean(self.dense) if self.n else None,
            "outcomes": dict(sorted(self.outcomes.items())),
        }


class Report:
    """Grows by one trajectory at a time and keeps numbers only, so that a run of any size fits into memory."""

    def __init__(self) -> None:
        self.total = Scores()
        self.families: dict[str, Scores] = {}
        """Family, or a task folder's id -> its scores."""
        self.seconds: dict[str, list[float]] = {phase: [] for phase in PHASES}
        """Phase -> how long it took, each time; "step" is each turn."""
        self.wall_s = 0.0
        """How long it all took, many episodes at a time; for the one who runs them to say."""

    def add(self, trajectory: Trajectory) -> None:
        """Count one more episode."""
        self.total.add(trajectory)
        self.families.setdefault(trajectory.family or trajectory.task, Scores()).add(trajectory)
        self.seconds["step"] += [turn.step_s for turn in trajectory.turns]
        if trajectory.valid:
            for phase in set(PHASES) - {"step"}:
                self.seconds[phase].append(trajectory.timings[phase])

    @property
    def steps(self) -> int:
        """Steps taken, in all episodes."""
        return len(self.seconds["step"])

    @property
    def steps_per_s(self) -> float:
        """Steps in a second of wall time, over all episodes at a time; 0 where that is not known."""
        return self.steps / self.wall_s if self.wall_s else 0.0

    def phases(self) -> dict[str, dict[str, float]]:
        """Phase -> median_s, p90_s, p99_s; phases that never were are left out."""
        names = ("median_s", "p90_s", "p99_s")
        return {
            phase: dict(zip(names, map(float, np.percentile(seconds, [50, 90, 99])), strict=True))
            for phase, seconds in self.seconds.items()
            if seconds
        }

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            TOTAL: self.total.to_dict(),
            "families": {name: scores.to_dict() for name, scores in sorted(self.families.items())},
            "phases": self.phases(),
            "steps": self.steps,
            "wall_s": self.wall_s,
            "steps_per_s": self.steps_per_s,
        }

    # For people.

    def table(self) -> Table:
        """The scores: a row for each family, and one for all."""
        tries = list(self.total.pass_at())[1:]
        table = _table("family", "solved", "pass@1", "95%", *(f"pass@{k}" for k in tries), "dense")
        for name, scores in sorted(self.families.items()):
            table.add_row(name, *_rates(scores, tries))
        if len(self.families) != 1:
            table.add_row(TOTAL, *_rates(self.total, tries), style="bold")
        return table

    def outcome_table(self) -> Table:
        """How often the episodes ended in which way; the ways that are invalid are marked by a "!"."""
        seen = [outcome for outcome in Outcome if self.total.outcomes[outcome.value]]
        table = _table("family", *(outcome.value + "!" * (not outcome.valid) for outcome in seen))
        for name, scores in [*sorted(self.families.items()), (TOTAL, self.total)]:
            table.add_row(name, *(str(scores.outcomes[outcome.value] or "-") for outcome in seen))
        return table

    def timing_table(self) -> Table:
        """How long each phase takes."""
        table = _table("phase (ms)", "median", "p90", "p99")
        for phase, seconds in self.phases().items():
            table.add_row(phase, *(f"{1000 * value:.1f}" for value in seconds.values()))
        return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _rates(scores: Scores, tries: list[int]) -> list[str]:
    solved = f"{scores.solved}/{scores.n}"
    if not scores.n:
        return [solved, *["-"] * (len(tries) + 3)]
    low, high = wilson(scores.solved, scores.n)
    passed = scores.pass_at()
    rates = [_percent(passed[1]), f"{100 * low:.0f}-{100 * high:.0f}", *(_percent(passed.get(k)) for k in tries)]
    return [solved, *rates, f"{mean(scores.dense):.2f}"]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"
