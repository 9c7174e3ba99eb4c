"""Packing: samples as the rows of a batch, several in one row where they fit, and what each token counts in a loss."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from termgym.errors import UnknownName
from termgym.sample import Sample

AVERAGES = ("token", "sequence")


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed samples; all arrays are (rows, length). A row's rest is padding: token 0, position 0, weight 0."""

    token_ids: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]
    """Of each token in its sample: where it falls, another sample begins."""
    sequences: npt.NDArray[np.int32]
    """The number of each token's sample; -1 is padding."""
    weights: npt.NDArray[np.float32]
    """What each emitted token counts in the loss, which is a sum; 0 elsewhere. They add up to 1."""
    logprobs: npt.NDArray[np.float32]
    advantages: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.token_ids)

    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        """The arrays by their names."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def pack(samples: Sequence[Sample], length: int, *, average: str = "token", multiple: int = 1) -> Batch:
    """The samples of one optimizer step, in rows.

    The weights are those of the whole batch, so that a loss is the same however the rows are split over micro-batches
    and learners, which no mean of means is.

    Args:
        samples: What is longer than a row is cut at its end.
        length: Tokens of a row.
        average: "token", where every emitted token counts alike, or "sequence", where every sample does.
        multiple: Empty rows are added up to a multiple of this.

    Raises:
        UnknownName: There is no such average.
    """
    if average not in AVERAGES:
        raise UnknownName("average", average, AVERAGES)
    sizes = [min(len(sample), length) for sample in samples]
    rows = _rows(sizes, length)
    rows += [[] for _ in range(-len(rows) % multiple)]
    emitted = [_emitted(sample, length) for sample in samples]
    weights = _weights([int(mask.sum()) for mask in emitted], average)

    def laid(of: Callable[[int], npt.ArrayLike], dtype: npt.DTypeLike, rest: int = 0) -> npt.NDArray[Any]:
        """What each sample has, in its place."""
        array = np.full((len(rows), length), rest, dtype)
        for row, numbers in enumerate(rows):
            begin = 0
            for number in numbers:
                array[row, begin : begin + sizes[number]] = of(number)
                begin += sizes[number]
        return array

    return Batch(
        token_ids=laid(lambda n: samples[n].token_ids[:length], np.int32),
        positions=laid(lambda n: np.arange(sizes[n]), np.int32),
        sequences=laid(lambda n: n, np.int32, rest=-1),
        weights=laid(lambda n: emitted[n] * weights[n], np.float32),
        logprobs=laid(lambda n: samples[n].logprobs[:length], np.float32),
        advantages=laid(lambda n: samples[n].advantages[:length], np.float32),
    )


def _emitted(sample: Sample, length: int) -> npt.NDArray[np.bool_]:
    """Which tokens count: the first of a sample has nothing before it to be told from."""
    mask = sample.loss_mask[:length].copy()
    mask[:1] = False
    return mask


def _weights(counts: Sequence[int], average: str) -> list[float]:
    """Of a token of each sample."""
    if average == "token":
        return [1 / max(1, sum(counts))] * len(counts)
    some = sum(count > 0 for count in counts)
    return [1 / (some * count) if count else 0.0 for count in counts]


def _rows(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Which samples share a row: the longest first, each into the first row with room."""
    rows: list[list[int]] = []
    left: list[int] = []
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        row = next((row for row, room in enumerate(left) if room >= sizes[number]), None)
        if row is None:
            row = len(rows)
            rows.append([])
            left.append(length)
        rows[row].append(number)
        left[row] -= sizes[number]
    return rows


def shards(batches: Iterable[Batch], learners: int) -> dict[str, npt.NDArray[np.generic]]:
    """The optimizer steps of one update as the columns of one batch: cut into equal parts, each has its rows of each.

    The column `steps`, (rows, 1), numbers the steps.
    """
    parts: list[list[dict[str, npt.NDArray[np.generic]]]] = [[] for _ in range(learners)]
    for step, batch in enumerate(batches):
        for part, numbers in zip(parts, np.split(np.arange(len(batch)), learners), strict=True):
            columns = {name: array[numbers] for name, array in batch.columns().items()}
            part.append(columns | {"steps": np.full((len(numbers), 1), step, np.int32)})
    laid = [columns for part in parts for columns in part]
    return {name: np.concatenate([columns[name] for columns in laid]) for name in laid[0]}
