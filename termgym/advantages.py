"""Advantages: how much better an episode, or a turn of it, did than its group, which are attempts at one task."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from termgym.errors import UnknownName
from termgym.trajectory import Trajectory

BASELINES = ("group", "leave_one_out", "mean")
SMALL = 1e-4
"""Added to a standard deviation before it divides."""
Array = npt.NDArray[np.float64]


def advantages(scores: Sequence[float], baseline: str = "group") -> Array:
    """The advantage of each of a group's scores, (n,).

    Args:
        scores: Of the valid episodes of a group.
        baseline: "group" is score minus mean, over the standard deviation (GRPO, arXiv 2402.03300); "leave_one_out" is
            score minus the mean of the others (RLOO, arXiv 2402.14740); "mean" is score minus mean (Dr. GRPO, arXiv
            2503.20783).

    Raises:
        UnknownName: There is no such baseline.
    """
    if baseline not in BASELINES:
        raise UnknownName("baseline", baseline, BASELINES)
    values = np.asarray(scores, float)
    centred = values - values.mean()
    if len(values) < 2 or baseline == "mean":
        return centred
    if baseline == "leave_one_out":
        return centred * len(values) / (len(values) - 1)
    return centred / (values.std(ddof=1) + SMALL)


def returns(trajectory: Trajectory, score: float, discount: float = 1.0, unusable: float = 0.0) -> Array:
    """What each turn led to, (turns,): the episode's score, `discount`ed by the turns until it.

    `unusable` is taken off at each turn whose reply could not be read as an action, and so off those before it.
    """
    total, found = score, np.zeros(len(trajectory.turns))
    for number in reversed(range(len(found))):
        total -= unusable * bool(trajectory.turns[number].error)
        found[number] = total
        total *= discount
    return found


def turn_advantages(group: Sequence[Array], baseline: str = "group") -> list[Array]:
    """The advantage of every turn of a group's episodes, by their `returns`; they share a baseline."""
    flat = advantages(np.concatenate(group).tolist(), baseline)
    return np.split(flat, np.cumsum([len(one) for one in group])[:-1])
