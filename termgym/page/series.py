"""Series: the numbers of a training run's steps, as few as a chart can show and none that JSON cannot.

Where there are more steps than `MAX_POINTS`, a point stands for several in a row: their mean, their least and greatest.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from termgym.training_log import TrainingStep

MAX_POINTS = 400
CURVES = ("reward", "solved", "loss", "entropy", "grad_norm")
_ENDLESS = 1e30
"""Beyond it a number counts as infinite: no chart shows it beside others."""

Bucket = Sequence[TrainingStep]


def series(steps: Iterable[TrainingStep]) -> dict[str, Any]:
    """The steps of one stage; of a step that is there twice the last."""
    known = {step.step: step for step in steps}
    ordered = [known[number] for number in sorted(known)]
    size = -(-len(ordered) // MAX_POINTS) or 1
    buckets = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    phases = list(dict.fromkeys(name for step in ordered for name in step.seconds))
    return {
        "steps": len(ordered),
        "points": [[bucket[0].step, bucket[-1].step] for bucket in buckets],
        "curves": {name: found for name in CURVES if (found := _curve(name, buckets))},
        "seconds": {name: [_mean(_values(bucket, _phase(name))) or 0 for bucket in buckets] for name in phases},
        "totals": {name: sum(_values(ordered, _phase(name))) for name in phases},
    }


def _curve(name: str, buckets: Sequence[Bucket]) -> dict[str, Any] | None:
    """None where no step has it. "odd" is how many steps have no finite number, and the first of them."""
    steps = [step for bucket in buckets for step in bucket if name in step.numbers]
    if not steps:
        return None
    values = [_values(bucket, lambda step: step.numbers.get(name)) for bucket in buckets]
    odd = [step.step for step in steps if not _finite(step.numbers[name])]
    return {
        "mean": [_mean(some) for some in values],
        "low": [_short(min(some)) if some else None for some in values],
        "high": [_short(max(some)) if some else None for some in values],
        "odd": [len(odd), *odd[:1]],
    }


def _phase(name: str) -> Callable[[TrainingStep], float | None]:
    return lambda step: step.seconds.get(name)


def _values(steps: Bucket, of: Callable[[TrainingStep], float | None]) -> list[float]:
    return [float(value) for step in steps if (value := of(step)) is not None and _finite(value)]


def _finite(value: float) -> bool:
    return -_ENDLESS < value < _ENDLESS


def _mean(values: Sequence[float]) -> float | None:
    return _short(sum(values) / len(values)) if values else None


def _short(value: float) -> float:
    return float(f"{value:.6g}")
