"""A calibration: how often a policy solves the tasks of each family and level, measured, stored and shown."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean

from rich.table import Table

from termgym.errors import TaskError
from termgym.statistics import wilson
from termgym.trajectory import Trajectory

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Rate:
    """What came of the valid episodes at one level of a family."""

    n: int = 0
    solved: int = 0
    dense: float = 0.0
    """The sum of their dense scores."""

    @property
    def share(self) -> float:
        """Of all that were solved; a half where there was none."""
        return self.solved / self.n if self.n else 0.5

    def plus(self, solved: bool, dense: float) -> "Rate":
        """With one more episode."""
        return Rate(self.n + 1, self.solved + solved, self.dense + dense)


Cell = tuple[str, int]
"""A family's name and a level."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The rates of one policy."""

    policy: str
    rates: Mapping[Cell, Rate] = field(default_factory=dict[Cell, Rate])

    @classmethod
    def of(cls, trajectories: Iterable[Trajectory]) -> "Calibration":
        """Count episodes of one policy; those that are invalid, or of no family, are left out.

        Raises:
            TaskError: They are of several policies, or none counts.
        """
        policies: set[str] = set()
        rates: dict[Cell, Rate] = {}
        for one in trajectories:
            policies.add(one.policy)
            if one.dense is not None and one.family and one.level:
                cell = (one.family, one.level)
                rates[cell] = rates.get(cell, Rate()).plus(one.solved, one.dense)
        if len(policies) > 1:
            raise TaskError(f"episodes of several policies: {', '.join(sorted(policies))}; expected one")
        if not rates:
            raise TaskError("no valid episodes of families: nothing to calibrate by")
        return cls(next(iter(policies)), dict(sorted(rates.items())))

    @classmethod
    def read(cls, runs: Iterable[Path]) -> "Calibration":
        """Count the episodes of evaluations, by their folders or their episodes.jsonl.

        Raises:
            TaskError: A file cannot be read; says which, and the line.
        """
        return cls.of(one for run in runs for one in _episodes(run))

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        rates = [{"family": family, "level": level, **asdict(rate)} for (family, level), rate in self.rates.items()]
        text = json.dumps({"format": FORMAT, "policy": self.policy, "rates": rates}, indent=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Calibration":
        """Read what `save` wrote.

        Raises:
            TaskError: It is something else.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                raise ValueError(f"format is {document['format']!r}, expected {FORMAT}")
            rows = [(row.pop("family"), row.pop("level"), Rate(**row)) for row in document["rates"]]
            return cls(document["policy"], {(family, level): rate for family, level, rate in rows})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise TaskError(f"{path}: is no calibration: {error}; expected what `termgym calibrate` writes") from error

    def table(self) -> Table:
        """A row for each family: the share solved at each level, in percent, and their 95 % interval over all."""
        levels = sorted({level for _, level in self.rates})
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column(f"solved by {self.policy}, %", overflow="fold")
        for name in (*(f"level {level}" for level in levels), "all", "95%", "dense", "n"):
            table.add_column(name, justify="right", no_wrap=True)
        for family in dict.fromkeys(family for family, _ in self.rates):
            table.add_row(family, *self._row({level: self.rates.get((family, level), Rate()) for level in levels}))
        return table

    def _row(self, rates: Mapping[int, Rate]) -> list[str]:
        n, solved = sum(rate.n for rate in rates.values()), sum(rate.solved for rate in rates.values())
        low, high = wilson(solved, n)
        dense = mean(rate.dense / rate.n for rate in rates.values() if rate.n)
        cells = [f"{100 * rate.share:.0f}" if rate.n else "-" for rate in rates.values()]
        return [*cells, f"{100 * solved / n:.0f}", f"{100 * low:.0f}-{100 * high:.0f}", f"{dense:.2f}", str(n)]

    def updated(self, trajectories: Iterable[Trajectory], memory: int) -> "Calibration":
        """With further episodes; of what was counted before, as much as `memory` episodes a cell keeps its weight."""
        rates = dict(self.rates)
        for cell, rate in Calibration.of(trajectories).rates.items():
            old = rates.get(cell, Rate())
            kept = min(1.0, memory / old.n) if old.n else 0.0
            rates[cell] = replace(
                rate,
                n=rate.n + round(kept * old.n),
                solved=rate.solved + round(kept * old.solved),
                dense=rate.dense + kept * old.dense,
            )
        return replace(self, rates=rates)


def _episodes(run: Path) -> Iterable[Trajectory]:
    path = run / "episodes.jsonl" if run.is_dir() else run
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                yield _trajectory(line, f"{path}:{number}")
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror}") from error


def _trajectory(line: str, where: str) -> Trajectory:
    try:
        return Trajectory.from_json(line)
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from error
