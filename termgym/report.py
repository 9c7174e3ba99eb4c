"""A report: what many trajectories came to, per family, domain and level and in total, as tables and as JSON.

Invalid episodes have no score: they are counted, and left out of every rate and mean.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import numpy as np
from rich.table import Table

from termgym import display
from termgym.episode import PHASES
from termgym.outcome import Outcome
from termgym.statistics import pass_at_k, pass_hat_k, pass_interval
from termgym.trajectory import Trajectory

TOTAL = "total"
NONE = "none"
"""The domain of a task that has none."""


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
        return self._by_k(pass_at_k)

    def pass_hat(self) -> dict[int, float]:
        """For the same k: pass^k, likewise."""
        return self._by_k(pass_hat_k)

    def interval(self) -> tuple[float, float]:
        """The 95 % interval of pass@1; to be asked where there is a valid episode."""
        return pass_interval(list(self.tasks.values()))

    def _by_k(self, chance: Callable[[int, int, int], float]) -> dict[int, float]:
        most = max(map(len, self.tasks.values()), default=0)
        found: dict[int, float] = {}
        for k in (1 << power for power in range(most.bit_length())):
            rows = [row for row in self.tasks.values() if len(row) >= k]
            found[k] = mean(chance(len(row), sum(row), k) for row in rows)
        return found

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON; null stands where nothing has a score."""
        return {
            "n": self.n,
            "tasks": len(self.tasks),
            "solved": self.solved,
            "invalid": self.invalid,
            "pass_at": {str(k): value for k, value in self.pass_at().items()},
            "pass_hat": {str(k): value for k, value in self.pass_hat().items()},
            "pass_at_1_interval_95": list(self.interval()) if self.n else None,
            "mean_dense": mean(self.dense) if self.n else None,
            "outcomes": dict(sorted(self.outcomes.items())),
        }


class Report:
    """Grows by one trajectory at a time and keeps numbers only, so that a run of any size fits into memory."""

    def __init__(self) -> None:
        self.total = Scores()
        self.families: dict[str, Scores] = {}
        """Family, or a task folder's id -> its scores."""
        self.domains: dict[str, Scores] = {}
        """Domain, or `NONE` -> its scores."""
        self.levels: dict[int, Scores] = {}
        """Level, or 0 of tasks without -> its scores."""
        self.seconds: dict[str, list[float]] = {phase: [] for phase in PHASES}
        """Phase -> how long it took, each time; "step" is each turn."""
        self.wall_s = 0.0
        """How long it all took, many episodes at a time; for the one who runs them to say."""

    @classmethod
    def of(cls, trajectories: Iterable[Trajectory]) -> "Report":
        """The report of all these."""
        report = cls()
        for trajectory in trajectories:
            report.add(trajectory)
        return report

    def add(self, trajectory: Trajectory) -> None:
        """Count one more episode."""
        self.total.add(trajectory)
        self.families.setdefault(trajectory.family or trajectory.task, Scores()).add(trajectory)
        self.domains.setdefault(trajectory.domain or NONE, Scores()).add(trajectory)
        self.levels.setdefault(trajectory.level or 0, Scores()).add(trajectory)
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
            "domains": {name: scores.to_dict() for name, scores in sorted(self.domains.items())},
            "levels": {str(level or NONE): scores.to_dict() for level, scores in sorted(self.levels.items())},
            "phases": self.phases(),
            "steps": self.steps,
            "wall_s": self.wall_s,
            "steps_per_s": self.steps_per_s,
        }

    # For people.

    def tables(self) -> list[Table]:
        """Those that say something: domains, levels and k only where there are several."""
        parts = [self.table()]
        parts += [self.domain_table()] if len(self.domains) > 1 else []
        parts += [self.level_table()] if len(self.levels) > 1 else []
        parts += [self.tries_table()] if len(self.total.pass_at()) > 2 else []
        return [*parts, self.outcome_table(), self.timing_table()]

    def table(self) -> Table:
        """The scores: a row for each family, and one for all."""
        return self._scores("family", dict(sorted(self.families.items())))

    def domain_table(self) -> Table:
        """The scores by domain."""
        return self._scores("domain", dict(sorted(self.domains.items())))

    def level_table(self) -> Table:
        """The scores by level."""
        return self._scores("level", {str(level or NONE): scores for level, scores in sorted(self.levels.items())})

    def tries_table(self) -> Table:
        """What one or all of k attempts solve, over everything: pass@k and pass^k."""
        table = grid("k", "pass@k", "pass^k")
        for (k, one), every in zip(self.total.pass_at().items(), self.total.pass_hat().values(), strict=True):
            table.add_row(str(k), _percent(one), _percent(every))
        return table

    def outcome_table(self) -> Table:
        """How often the episodes ended in which way; the ways that are invalid are marked by a "!"."""
        seen = [outcome for outcome in Outcome if self.total.outcomes[outcome.value]]
        table = grid("family", *(outcome.value + "!" * (not outcome.valid) for outcome in seen))
        for name, scores in [*sorted(self.families.items()), (TOTAL, self.total)]:
            table.add_row(name, *(str(scores.outcomes[outcome.value] or "-") for outcome in seen))
        return table

    def timing_table(self) -> Table:
        """How long each phase takes."""
        table = grid("phase (ms)", "median", "p90", "p99")
        for phase, seconds in self.phases().items():
            table.add_row(phase, *(f"{1000 * value:.1f}" for value in seconds.values()))
        return table

    def _repr_html_(self) -> str:
        return display.table(self.table())

    def _scores(self, what: str, rows: Mapping[str, Scores]) -> Table:
        """pass@k and pass^k are of the greatest k; invalid episodes have a column of their own where there are some."""
        k, invalid = max(self.total.pass_at(), default=1), self.total.invalid
        tries = [f"pass@{k}", f"pass^{k}"] if k > 1 else []
        table = grid(what, "solved", "pass@1", "95%", *tries, "dense", *["invalid"] * bool(invalid))
        for name, scores in rows.items():
            table.add_row(name, *_rates(scores, k), *[str(scores.invalid or "-")] * bool(invalid))
        if len(rows) != 1:
            table.add_row(TOTAL, *_rates(self.total, k), *[str(invalid)] * bool(invalid), style="bold")
        return table


def grid(first: str, *others: str) -> Table:
    """An empty table for numbers: a column on the left that says of what, and others on the right."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _rates(scores: Scores, k: int) -> list[str]:
    solved = f"{scores.solved}/{scores.n}"
    if not scores.n:
        return [solved, *["-"] * (3 + 2 * (k > 1))]
    low, high = scores.interval()
    tries = [_percent(scores.pass_at().get(k)), _percent(scores.pass_hat().get(k))] if k > 1 else []
    interval = f"{100 * low:.0f}-{100 * high:.0f}"
    return [solved, _percent(scores.pass_at()[1]), interval, *tries, f"{mean(scores.dense):.2f}"]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"
