"""A curriculum: draws tasks that a policy solves sometimes, for an environment or a trainer; learns from what comes.

A group of attempts at one task that all score the same has no gradient under a group baseline (GRPO): of the groups
met in one published run 897 of 2,246 were such. So tasks are drawn at the families and levels whose pass rate lies in a
band, and `informative` tells the groups that are to be dropped. With the same random numbers and the same episodes the
draws are the same.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from termgym.calibration import Calibration, Cell
from termgym.errors import TaskError
from termgym.family import Family
from termgym.source import TaskSource, Wanted
from termgym.task import Task
from termgym.trajectory import Trajectory

BAND = (0.1, 0.9)
MEMORY = 64
"""Episodes of a cell that count beside new ones: a policy that learns outgrows what was measured."""
SCORES = ("binary", "dense")
_Group = TypeVar("_Group", bound=Sequence[Trajectory])


class Curriculum:
    """A sampler of tasks by pass rate, to be given as `task` to `gym.make` and `gym.make_vec`.

    Cells, that is levels of families, that were not measured yet are drawn as those in the band are. Where no cell is
    in the band, those nearest to it are.
    """

    def __init__(
        self,
        wanted: Wanted | Sequence[Wanted] | None = None,
        calibration: Calibration | None = None,
        *,
        band: tuple[float, float] = BAND,
        explore: float = 0.1,
    ) -> None:
        """`wanted` is as for `TaskSource`, families only; `explore` is the share of draws from all cells alike.

        Raises:
            UnknownName: There is no such family.
            TaskError: There is something else than families among what is wanted, or the band is none.
        """
        source = TaskSource(wanted)
        families = [choice for choice in source.choices if isinstance(choice, Family)]
        if len(families) < len(source.choices):
            raise TaskError("a curriculum draws from families: of other tasks there are no levels to choose from")
        if not 0 <= band[0] <= band[1] <= 1 or not 0 <= explore <= 1:
            raise TaskError(f"band is {band} and explore {explore}; expected two pass rates in order, and a share")
        self.choices = source.choices
        self.calibration = calibration or Calibration("")
        self._band, self._explore, self._seeds = band, explore, source.seeds
        levels = {family: [source.level] if source.level else range(1, family.levels + 1) for family in families}
        self._cells = {(family.name, level): family for family in families for level in levels[family]}

    def draw(self, np_random: np.random.Generator) -> Task:
        """The next task."""
        exploring = np_random.random() < self._explore
        cells = list(self._cells) if exploring else self.preferred()
        name, level = cells[int(np_random.integers(len(cells)))]
        seed = int(np_random.integers(self._seeds.start, self._seeds.stop))
        return self._cells[name, level].task(seed, level)

    def preferred(self) -> list[Cell]:
        """The cells that are drawn from, unless to explore."""
        away = {cell: self._distance(cell) for cell in self._cells}
        nearest = min(away.values())
        return [cell for cell, distance in away.items() if distance == nearest]

    def _distance(self, cell: Cell) -> float:
        """How far outside the band the pass rate is."""
        rate = self.calibration.rates.get(cell)
        if rate is None or not rate.n:
            return 0.0
        low, high = self._band
        return max(low - rate.share, rate.share - high, 0.0)

    def update(self, trajectories: Iterable[Trajectory]) -> None:
        """Learn from episodes of the policy as it is now. For the same draws, call it at the same points."""
        counted = [one for one in trajectories if one.valid and (one.family, one.level) in self._cells]
        if counted:
            self.calibration = self.calibration.updated(counted, MEMORY)


def informative(groups: Iterable[_Group], score: str = "binary") -> list[_Group]:
    """The groups of attempts at one task whose scores are not all the same; invalid episodes do not count."""
    assert score in SCORES

    def varies(group: Sequence[Trajectory]) -> bool:
        scores = [one.dense if score == "dense" else one.binary for one in group if one.valid]
        return len(set(scores)) > 1

    return [group for group in groups if varies(group)]
