"""Packing: what lies where, what a token counts, and that a packed batch has the loss of the unpacked one."""

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from ray.rllib.core.rl_module import RLModuleSpec
from torch import Tensor

from termgym.errors import UnknownName
from termgym.loss import supervised_loss
from termgym.packing import pack, shards
from termgym.rllib.model import CausalLM
from termgym.sample import Sample
from tests import tiny

pytestmark = pytest.mark.filterwarnings("default")
SEEDS = range(6)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # many small things: threads would only wait for each other
    folder = tiny.saved(tmp_path_factory.mktemp("model"))
    spaces = {"observation_space": gym.spaces.Box(0, 1, (1,)), "action_space": gym.spaces.Discrete(1)}
    yield RLModuleSpec(module_class=CausalLM, model_config={"model": folder}, **spaces).build()
    torch.set_num_threads(threads)


def made(mask: Sequence[int], first: int = 2) -> Sample:
    emitted = np.array(mask, bool)
    ids = np.arange(first, first + len(mask), dtype=np.int32)
    values = (emitted * ids).astype(np.float32)
    return Sample(ids, emitted, -values, (values / 2).astype(np.float32), np.where(emitted, 0, -1).astype(np.int32))


def drawn(rng: np.random.Generator, count: int, longest: int) -> list[Sample]:
    found: list[Sample] = []
    for length in rng.integers(1, longest + 1, count):
        sample = made((rng.random(length) < 0.5).astype(int).tolist())
        sample.token_ids[:] = rng.integers(2, 300, length)
        found.append(sample)
    return found


# What lies where.


def test_a_batch_by_hand() -> None:
    batch = pack([made([0, 1]), made([0, 1, 0, 1], 10), made([0, 0, 1], 20)], 6)
    assert batch.token_ids.tolist() == [[10, 11, 12, 13, 2, 3], [20, 21, 22, 0, 0, 0]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 0, 1], [0, 1, 2, 0, 0, 0]]
    assert batch.sequences.tolist() == [[1, 1, 1, 1, 0, 0], [2, 2, 2, -1, -1, -1]]
    assert np.allclose(batch.weights, np.array([[0, 1, 0, 1, 0, 1], [0, 0, 1, 0, 0, 0]]) / 4)
    assert batch.logprobs.tolist() == [[0, -11, 0, -13, 0, -3], [0, 0, -22, 0, 0, 0]]
    assert batch.advantages.tolist() == [[0, 5.5, 0, 6.5, 0, 1.5], [0, 0, 11, 0, 0, 0]]


def test_weights_of_sequences_by_hand() -> None:
    batch = pack([made([0, 1, 0, 1]), made([0, 1]), made([0, 0])], 6, average="sequence")
    assert np.allclose(batch.weights[0], [0, 1 / 4, 0, 1 / 4, 0, 1 / 2])
    assert not batch.weights[1:].any()


def test_a_long_sample_is_cut() -> None:
    batch = pack([made([0, 1, 1, 1, 1])], 3)
    assert batch.token_ids.tolist() == [[2, 3, 4]]
    assert batch.weights.tolist() == [[0, 0.5, 0.5]]


def test_a_first_token_counts_for_nothing() -> None:
    assert pack([made([1, 1])], 2).weights.tolist() == [[0, 1]]


def test_rows_are_added_up_to_a_multiple() -> None:
    batch = pack([made([0, 1])], 2, multiple=3)
    assert len(batch) == 3
    assert (batch.sequences[1:] == -1).all()
    assert not batch.weights[1:].any()


def test_an_unknown_average_is_told() -> None:
    with pytest.raises(UnknownName, match="sequence"):
        pack([made([0, 1])], 2, average="sequences")


@pytest.mark.parametrize("average", ["token", "sequence"])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_token_is_in_one_place(seed: int, average: str) -> None:
    rng = np.random.default_rng(seed)
    some, length = drawn(rng, 20, 30), int(rng.integers(20, 60))
    batch = pack(some, length, average=average, multiple=4)
    for number, sample in enumerate(some):
        rows, places = np.nonzero(batch.sequences == number)
        assert len(set(rows)) == 1
        assert (np.diff(places) == 1).all()
        assert batch.token_ids[rows, places].tolist() == sample.token_ids[:length].tolist()
        assert batch.positions[rows, places].tolist() == list(range(len(places)))
    assert batch.weights.sum() == pytest.approx(1, abs=1e-5)
    assert len(batch) % 4 == 0


# The loss, and its gradients, are those of the samples one by one.


def gradients(module: Any, losses: Iterator[Tensor]) -> tuple[float, dict[str, Tensor]]:
    """The sum of losses, and its gradients."""
    module.zero_grad(set_to_none=True)
    total = 0.0
    for loss in losses:
        loss.backward()
        total += float(loss.detach())
    return total, {name: weight.grad.clone() for name, weight in module.named_parameters()}


def packed(module: Any, columns: dict[str, Any], learner: int, learners: int) -> Iterator[Tensor]:
    """The losses of the rows that one of the learners has."""
    share = len(columns["steps"]) // learners
    for row in range(learner * share, (learner + 1) * share):
        used = max(2, int((columns["sequences"][row] >= 0).sum()))
        cut = {name: torch.tensor(array[row : row + 1, :used]) for name, array in columns.items()}
        yield supervised_loss(module.forward_train(cut)["logprobs"], cut["weights"])


def unpacked(module: Any, some: Sequence[Sample], average: str) -> Iterator[Tensor]:
    """Each sample's share, by transformers' own loss, which is the mean over the tokens of a call."""
    counts = [int(sample.loss_mask[1:].sum()) for sample in some]
    for sample, count in zip(some, counts, strict=True):
        if count:
            ids = torch.tensor(sample.token_ids.astype(int))[None]
            labels = ids.where(torch.tensor(sample.loss_mask)[None], torch.tensor(-100))
            mean = module.model(input_ids=ids, labels=labels).loss
            yield mean * (count / sum(counts) if average == "token" else 1 / sum(map(bool, counts)))


def alike(ours: tuple[float, dict[str, Tensor]], theirs: tuple[float, dict[str, Tensor]]) -> None:
    assert ours[0] == pytest.approx(theirs[0], abs=1e-5)
    assert max(float(value.abs().max()) for value in theirs[1].values()) > 1e-3
    for name, value in theirs[1].items():
        assert torch.allclose(ours[1][name], value, atol=1e-5), name


@pytest.mark.parametrize("seed", SEEDS)
def test_as_transformers(module: Any, seed: int) -> None:
    """A padded batch with labels of -100, in one call, and what termgym makes of the same samples."""
    rng = np.random.default_rng(seed)
    some = drawn(rng, 8, 24)
    width = max(map(len, some))
    ids, mask = torch.zeros(8, width, dtype=torch.long), torch.zeros(8, width, dtype=torch.long)
    labels = torch.full((8, width), -100)
    for row, sample in enumerate(some):
        ids[row, : len(sample)], mask[row, : len(sample)] = torch.tensor(sample.token_ids.astype(int)), 1
        mine = torch.tensor(sample.loss_mask)
        labels[row, : len(sample)][mine] = ids[row, : len(sample)][mine]
    theirs = gradients(module, iter([module.model(input_ids=ids, attention_mask=mask, labels=labels).loss]))
    columns = shards([pack(some, 40)], 1)
    alike(gradients(module, packed(module, columns, 0, 1)), theirs)


@pytest.mark.parametrize("average", ["token", "sequence"])
@pytest.mark.parametrize("seed", SEEDS)
def test_any_rows_and_learners_have_the_same_loss(module: Any, seed: int, average: str) -> None:
    rng = np.random.default_rng(100 + seed)
    some = drawn(rng, int(rng.integers(1, 12)), 24)
    some.append(made([0, 1, 1]))
    length, learners = int(rng.integers(24, 80)), int(rng.integers(1, 4))
    columns = shards([pack(some, length, average=average, multiple=learners)], learners)
    parts = [gradients(module, packed(module, columns, learner, learners)) for learner in range(learners)]
    added = {name: torch.stack([part[1][name] for part in parts]).sum(0) for name in parts[0][1]}
    alike((sum(part[0] for part in parts), added), gradients(module, unpacked(module, some, average)))


def test_shards_give_each_learner_its_rows_of_each_step() -> None:
    steps = [pack([made([0, 1], 10 * step), made([0, 1], 5 + 10 * step)], 2, multiple=2) for step in (1, 2, 3)]
    columns = shards(steps, 2)
    assert columns["steps"][:, 0].tolist() == [0, 1, 2, 0, 1, 2]
    assert columns["token_ids"][:, 0].tolist() == [10, 20, 30, 15, 25, 35]
