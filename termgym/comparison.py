"""A comparison: two runs on the tasks that they share, as a table and as JSON.

Tasks are the same by id and digest, and shared where both runs have a valid attempt. Each is a pair, which takes out
how hard it is: a difference shows that two separate intervals would hide (E. Miller, arXiv:2411.00640, section 4).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from rich.table import Table

from termgym import display
from termgym.errors import TaskError
from termgym.report import TOTAL, Report, Scores, grid
from termgym.statistics import bootstrap, sign_flip
from termgym.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Pairs:
    """What two runs came to on tasks that they share."""

    shared: int
    """Tasks with a valid attempt in both."""
    only_first: int
    only_second: int
    """Tasks with a valid attempt in one of them alone: not compared."""
    pass_at_1: tuple[float, float] | None = None
    """The mean of each run over the shared tasks; None, as the rest, where there is none."""
    difference: float | None = None
    """The second less the first."""
    interval_95: tuple[float, float] | None = None
    """Of the difference, by resampling the tasks; None too where all tasks differ alike, which shows no spread."""
    p_value: float | None = None
    """Two-sided, by flipping the signs of the tasks' differences. No account is taken of how many are looked at."""

    @classmethod
    def of(cls, first: Scores, second: Scores) -> "Pairs":
        """Pair the tasks of two scores."""
        shared = sorted(first.tasks.keys() & second.tasks.keys())
        counts = len(shared), len(first.tasks) - len(shared), len(second.tasks) - len(shared)
        if not shared:
            return cls(*counts)
        rates = [(mean(first.tasks[task]), mean(second.tasks[task])) for task in shared]
        differences = [now - then for then, now in rates]
        interval = bootstrap(differences) if len(set(differences)) > 1 else None
        then, now = map(mean, zip(*rates, strict=True))
        return cls(*counts, (then, now), mean(differences), interval, sign_flip(differences))

    def row(self) -> list[str]:
        """For the table."""
        counts = [str(self.shared), f"{self.only_first}/{self.only_second}"]
        if self.pass_at_1 is None or self.difference is None:
            return [*["-"] * 5, *counts]
        means = [f"{100 * share:.0f}%" for share in self.pass_at_1]
        interval = "{:+.0f} to {:+.0f}".format(*(100 * end for end in self.interval_95)) if self.interval_95 else "-"
        return [*means, f"{100 * self.difference:+.0f}", interval, f"{self.p_value:.3f}", *counts]


class Comparison:
    """Two runs, family by family."""

    def __init__(self, first: Iterable[Trajectory], second: Iterable[Trajectory]) -> None:
        """Compare all of their episodes.

        Raises:
            TaskError: They share no task that has a valid attempt in both.
        """
        self.reports = Report.of(first), Report.of(second)
        one, two = self.reports
        self.total = Pairs.of(one.total, two.total)
        if not self.total.shared:
            raise TaskError("the runs share no task (by id and digest) that has a valid attempt in both")
        names = sorted(one.families.keys() | two.families.keys())
        self.families = {
            name: Pairs.of(one.families.get(name, Scores()), two.families.get(name, Scores())) for name in names
        }

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON; null stands where nothing is shared."""
        return {
            TOTAL: asdict(self.total),
            "families": {name: asdict(pairs) for name, pairs in self.families.items()},
            "invalid": [report.total.invalid for report in self.reports],
        }

    def table(self) -> Table:
        """A row for each family, and one for all: pass@1 of A and of B in percent, and B less A in points."""
        table = grid("family", "A", "B", "B-A", "95%", "p", "shared", "A/B only")
        for name, pairs in self.families.items():
            table.add_row(name, *pairs.row())
        if len(self.families) != 1:
            table.add_row(TOTAL, *self.total.row(), style="bold")
        return table

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return display.table(self.table())
