"""What attempts at tasks say of a policy, and how sure that is.

Attempts at one task resemble each other, and the tasks are a sample of those that could have been asked. So whatever is
said of more than one task resamples whole tasks, not attempts (E. Miller, arXiv:2411.00640, section 2.2). Everything is
seeded: the same data give the same numbers, in any order.
"""

from collections.abc import Sequence
from math import comb, sqrt
from statistics import mean

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
"""Of tasks, for an interval; of signs, for a p-value."""
_SEED = 0
_Z95 = 1.959964  # the normal distribution's 97.5 % point
_SAME = 1e-9  # sums of the same numbers in another order differ by less


def pass_at_k(n: int, solved: int, k: int) -> float:
    """The chance that one of `k` attempts solves it, from `n >= k` attempts: Chen et al., arXiv:2107.03374, eq. 1."""
    return 1 - comb(n - solved, k) / comb(n, k)


def pass_hat_k(n: int, solved: int, k: int) -> float:
    """The chance that `k` attempts all solve it, pass^k, from `n >= k` attempts: Yao et al., arXiv:2406.12045."""
    return comb(solved, k) / comb(n, k)


def wilson(solved: float, n: int, z: float = _Z95) -> tuple[float, float]:
    """The interval that holds a proportion with 95 % confidence: E. B. Wilson, JASA 22 (1927), p. 209.

    It takes the `n` trials as independent, as attempts at one task are. Attempts at several tasks are not: there it is
    too narrow.
    """
    if not n:
        return 0.0, 1.0
    share, square = solved / n, z * z
    middle = share + square / (2 * n)
    half = z * sqrt(share * (1 - share) / n + square / (4 * n * n))
    return max(0.0, (middle - half) / (1 + square / n)), min(1.0, (middle + half) / (1 + square / n))


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of `values`, one for each task, by resampling the tasks.

    The percentile interval of B. Efron, Ann. Stat. 7 (1979), p. 1, from `RESAMPLES` resamples. It is too narrow where
    there are few tasks: of five it held the truth 87 times in 100. Values that are all the same show no spread: their
    interval is a point, which says nothing.
    """
    known, counts = np.unique(np.asarray(values, float), return_counts=True)
    # How often each value is drawn is all that a resample tells, so any number of tasks costs the same.
    drawn = np.random.default_rng(_SEED).multinomial(len(values), counts / len(values), RESAMPLES)
    low, high = np.percentile(drawn @ known / len(values), [2.5, 97.5])
    return float(low), float(high)


def pass_interval(tasks: Sequence[Sequence[bool]]) -> tuple[float, float]:
    """The 95 % interval of the mean pass@1 of tasks, from whether each attempt at each of them solved it.

    Of several tasks it is the `bootstrap`. Of one it is `wilson`'s over its attempts, and where all tasks have the same
    rate, so that resampling shows no spread, `wilson`'s with each task as one trial.
    """
    rates = [mean(attempts) for attempts in tasks]
    if len(tasks) == 1:
        return wilson(sum(tasks[0]), len(tasks[0]))
    if len(set(rates)) < 2:
        return wilson(sum(rates), len(rates))
    return bootstrap(rates)


def sign_flip(differences: Sequence[float]) -> float:
    """The two-sided p-value of a mean difference of pairs: how often random signs give one at least as far from 0.

    Under the null hypothesis the two of a pair could as well be swapped (R. A. Fisher, The Design of Experiments, 1935,
    section 21). All combinations of signs are tried where these are at most `RESAMPLES`; else as many random ones, and
    the data's own counts with them: Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010), article 39.
    """
    sizes = np.abs([difference for difference in differences if difference])  # no sign changes a 0
    reached = abs(sum(differences)) - _SAME
    if 1 << len(sizes) <= RESAMPLES:
        return float(np.mean(np.abs(_all_signs(len(sizes)) @ sizes) >= reached))
    known, counts = np.unique(sizes, return_counts=True)
    positive = np.random.default_rng(_SEED).binomial(counts, 0.5, (RESAMPLES, len(known)))
    beyond = int(np.sum(np.abs((2 * positive - counts) @ known) >= reached))
    return (beyond + 1) / (RESAMPLES + 1)


def _all_signs(n: int) -> NDArray[np.int64]:
    """Every combination of `n` signs, (2 ** n, n)."""
    return 2 * (np.arange(1 << n)[:, None] >> np.arange(n) & 1) - 1
