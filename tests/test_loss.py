"""Losses: by hand, and as TRL's and transformers' own lines compute them, with their gradients."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from termgym.advantages import advantages
from termgym.errors import UnknownName
from termgym.loss import Clipped, supervised_loss
from termgym.packing import Batch, pack
from tests.told import Case, Row, Told, padded

pytestmark = pytest.mark.filterwarnings("default")
SEEDS = range(4)
PLAIN = Clipped(low=0.2, high=0.2, cap=None)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told(tmp_path_factory.mktemp("trl"))


def laid(batch: Batch, case: Case, values: list[Row]) -> Tensor:
    """What is known of completions, where the batch has them."""
    array = np.zeros(batch.token_ids.shape, np.float32)
    for number, row in enumerate(values):
        array[np.nonzero(batch.sequences == number)] = np.concatenate([np.zeros(len(case.prompts[number])), row])
    return torch.tensor(array)


def ours(case: Case, clipped: Clipped, average: str, length: int = 40) -> tuple[float, list[Row], dict[str, float]]:
    """The loss, its gradient for each completion's logprobs, and what it was made of; row by row as it is trained."""
    groups = [case.rewards[begin : begin + case.size] for begin in range(0, len(case.rewards), case.size)]
    batch = pack(
        case.samples(np.concatenate([advantages(group) for group in groups]).tolist()), length, average=average
    )
    new = laid(batch, case, case.new).requires_grad_()
    old, reference = laid(batch, case, case.old), laid(batch, case, case.reference)
    columns = {name: torch.tensor(array) for name, array in batch.columns().items()}
    loss, sums = torch.zeros(()), dict[str, float]()
    for row in range(len(batch)):
        part = {name: value[row : row + 1] for name, value in columns.items()}
        share, found = clipped.loss(new[row : row + 1], old[row : row + 1], part, reference[row : row + 1])
        loss = loss + share
        sums = {name: sums.get(name, 0.0) + float(value) for name, value in found.items()}
    (gradient,) = torch.autograd.grad(loss, new)
    found = [gradient.numpy()[np.nonzero(batch.sequences == number)] for number in range(len(case.new))]
    return float(loss.detach()), [one[len(case.prompts[number]) :] for number, one in enumerate(found)], sums


def same(case: Case, clipped: Clipped, average: str, told: Told, **settings: Any) -> dict[str, float]:
    """Both are the same, at every token; what ours was made of."""
    defaults = {"epsilon_low": clipped.low, "epsilon_high": clipped.high, "beta": clipped.kl, "use_vllm": False}
    defaults |= {"importance_sampling_level": clipped.ratio, "scale_rewards": "group"}
    theirs, gradient = told.loss(case, **defaults | settings)
    loss, found, sums = ours(case, clipped, average)
    assert loss == pytest.approx(theirs, abs=1e-5)
    assert max(np.abs(row).max() for row in gradient) > 1e-3
    for mine, its in zip(found, gradient, strict=True):
        assert np.allclose(mine, its, atol=1e-5)
    return sums


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("average", "kind"), [("sequence", "grpo"), ("token", "dapo"), ("token", "bnpo")])
def test_averages_as_trl(told: Told, average: str, kind: str, seed: int) -> None:
    same(Case.random(seed), PLAIN, average, told, loss_type=kind)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("high", [0.28, 0.6])
def test_clip_higher_as_trl(told: Told, high: float, seed: int) -> None:
    sums = same(Case.random(seed), replace(PLAIN, high=high), "token", told, loss_type="dapo")
    assert sums["clipped"] == pytest.approx(told.logged("clip_ratio/region_mean"), abs=1e-5)
    assert sums["clipped"] > 0.01


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("average", "kind"), [("sequence", "grpo"), ("token", "dapo")])
def test_ratios_of_sequences_as_trl(told: Told, average: str, kind: str, seed: int) -> None:
    same(Case.random(seed), replace(PLAIN, ratio="sequence"), average, told, loss_type=kind)


@pytest.mark.parametrize("seed", SEEDS)
def test_divergence_as_trl(told: Told, seed: int) -> None:
    sums = same(Case.random(seed), replace(PLAIN, kl=0.3), "token", told, loss_type="dapo")
    assert sums["kl"] == pytest.approx(told.logged("kl"), abs=1e-5)
    assert sums["kl"] > 0.01


def test_divergence_beside_ratios_of_sequences(told: Told) -> None:
    """TRL weighs it by the sequence's ratio then, with which, as it says itself, the gradient is not unbiased."""
    case, both = Case.random(0), replace(PLAIN, kl=0.3, ratio="sequence")
    alone, _, _ = ours(replace(case, rewards=[0.0] * len(case.rewards)), replace(PLAIN, kl=0.3), "token")
    without, _, _ = ours(case, replace(both, kl=0.0), "token")
    assert ours(case, both, "token")[0] == pytest.approx(alone + without, abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("ratio", "kl"), [("token", 0.0), ("token", 0.3), ("sequence", 0.0)])
def test_another_engine_as_trl(told: Told, ratio: str, kl: float, seed: int) -> None:
    case = Case.random(seed, apart=0.8)
    apart = (padded(case.old) - padded(case.drawn)) * padded(case.emitted)
    assert (apart.exp() > 2).any(), "the cap has something to do"
    its = {"use_vllm": True, "vllm_importance_sampling_mode": "token_truncate"}
    its |= {"vllm_importance_sampling_clip_min": None, "vllm_importance_sampling_clip_max": 2.0}
    same(case, replace(PLAIN, ratio=ratio, kl=kl, cap=2.0), "token", told, loss_type="dapo", **its)


def one_row(logprobs: list[float], old: list[float], advantage: list[float], drawn: list[float]) -> tuple[Any, ...]:
    """A row of one sample whose first token was given."""
    count = len(logprobs)
    batch = {
        "weights": torch.tensor([[0.0] + [1 / count] * count]),
        "advantages": torch.tensor([[0.0, *advantage]]),
        "sequences": torch.zeros(1, count + 1, dtype=torch.int32),
        "logprobs": torch.tensor([[0.0, *drawn]]),
    }
    return torch.tensor([[0.0, *logprobs]]), torch.tensor([[0.0, *old]]), batch


def test_the_surrogate_by_hand() -> None:
    ratios, advantage = [1.5, 1.5, 0.5, 0.5, 1.1], [1.0, -1.0, 1.0, -1.0, 2.0]
    row = one_row([math.log(ratio) - 1 for ratio in ratios], [-1.0] * 5, advantage, [-1.0] * 5)
    loss, sums = Clipped(low=0.2, high=0.28, cap=None).loss(*row)
    assert float(loss) == pytest.approx(-(1.28 - 1.5 + 0.5 - 0.8 + 2.2) / 5)
    assert float(sums["clipped"]) == pytest.approx(2 / 5)
    assert "kl" not in sums


def test_the_ratio_of_a_sequence_by_hand() -> None:
    row = one_row([-1.0, -3.0], [-2.0, -2.4], [1.0, 1.0], [0.0, 0.0])
    loss, _ = Clipped(ratio="sequence", high=1.0, cap=None).loss(*row)
    assert float(loss) == pytest.approx(-math.exp((1.0 - 0.6) / 2))


def test_the_divergence_by_hand() -> None:
    logprobs, old, batch = one_row([-1.0, -2.0], [-1.0, -2.0], [0.0, 0.0], [-1.0, -2.0])
    loss, sums = Clipped(kl=0.5).loss(logprobs, old, batch, torch.tensor([[0.0, -1.5, -1.0]]))
    divergence = ((math.exp(-0.5) + 0.5 - 1) + (math.e - 1 - 1)) / 2
    assert (float(loss), float(sums["kl"])) == pytest.approx((0.5 * divergence, divergence))


def test_the_divergence_has_the_gradient_of_what_it_estimates() -> None:
    logits, reference = torch.randn(6, requires_grad=True), torch.randn(6).log_softmax(-1)
    logprobs = logits.log_softmax(-1)
    exact = (logprobs.exp() * (logprobs - reference)).sum()
    batch = {"weights": logprobs.detach().exp(), "advantages": torch.zeros(6), "sequences": torch.zeros(6)}
    loss, _ = Clipped(kl=1.0, cap=None).loss(logprobs, logprobs.detach(), batch, reference)
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), abs=1e-5)
    mine, right = (torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (loss, exact))
    assert torch.allclose(mine, right, atol=1e-5)


def test_the_cap_by_hand() -> None:
    row = one_row([-1.0] * 3, [-1.0] * 3, [1.0] * 3, [-1.0 - math.log(weight) for weight in (3.0, 1.5, 0.1)])
    assert float(Clipped(cap=2.0).loss(*row)[0]) == pytest.approx(-(2.0 + 1.5 + 0.1) / 3)
    assert float(Clipped(cap=None).loss(*row)[0]) == pytest.approx(-1)


def test_supervised_by_hand() -> None:
    loss = supervised_loss(torch.tensor([[-1.0, -2.0, -9.0]]), torch.tensor([[0.5, 0.5, 0.0]]))
    assert float(loss) == 1.5


def test_an_unknown_ratio_is_told() -> None:
    with pytest.raises(UnknownName, match="sequence"):
        Clipped(ratio="sequences")
