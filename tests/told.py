"""TRL's own GRPOTrainer, told what was drawn and what a model gives it: its real lines, from rewards to a loss."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from termgym.sample import Sample
from tests import tiny

trl: Any = import_module("trl")
Row = np.ndarray
PROMPT = [{"role": "user", "content": "?"}]


@dataclass(frozen=True)
class Case:
    """Groups of completions, one after the other; of each its prompt, and of each of its tokens what is known."""

    size: int
    """Of a group."""
    rewards: list[float]
    prompts: list[Row]
    tokens: list[Row]
    emitted: list[Row]
    drawn: list[Row]
    """Logprobs, when the tokens were drawn."""
    old: list[Row]
    new: list[Row]
    reference: list[Row]

    @classmethod
    def random(cls, seed: int, groups: int = 3, size: int = 4, apart: float = 0.4) -> Self:
        rng = np.random.default_rng(seed)
        lengths = rng.integers(1, 12, groups * size)
        emitted = [(rng.random(length) < 0.6) | (np.arange(length) == 0) for length in lengths]
        new = [rng.normal(-2, 1, length) for length in lengths]
        near = [[one + rng.normal(0, apart, len(one)) for one in new] for _ in range(3)]
        return cls(
            size=size,
            rewards=[float(reward) for reward in rng.choice([0, 0.25, 1], groups * size)],
            prompts=[rng.integers(2, 300, rng.integers(1, 5)) for _ in lengths],
            tokens=[rng.integers(2, 300, length) for length in lengths],
            emitted=emitted,
            drawn=near[0],
            old=near[1],
            new=new,
            reference=near[2],
        )

    def samples(self, advantages: Sequence[float]) -> list[Sample]:
        """The same as termgym has it."""
        return [self._sample(number, advantage) for number, advantage in enumerate(advantages)]

    def _sample(self, number: int, advantage: float) -> Sample:
        before, mask = np.zeros(len(self.prompts[number])), self.emitted[number]
        ids = np.concatenate([self.prompts[number], self.tokens[number]]).astype(np.int32)
        logprobs = np.concatenate([before, self.drawn[number] * mask]).astype(np.float32)
        loss_mask = np.concatenate([before, mask]).astype(bool)
        turns = np.where(loss_mask, 0, -1).astype(np.int32)
        return Sample(ids, loss_mask, logprobs, (loss_mask * advantage).astype(np.float32), turns)

    def only(self, kept: Sequence[int]) -> Self:
        """Some of the completions."""
        names = ("rewards", "prompts", "tokens", "emitted", "drawn", "old", "new", "reference")
        return replace(self, **{name: [getattr(self, name)[number] for number in kept] for name in names})


def padded(rows: Sequence[Row]) -> Tensor:
    made = [torch.tensor(row, dtype=torch.float32) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(made, batch_first=True)


class Told:
    """A trainer whose model is never asked: what it would say of a case is given instead."""

    def __init__(self, folder: Path) -> None:
        args = trl.GRPOConfig(str(folder), use_cpu=True, bf16=False, report_to="none", num_generations=2)
        self.trainer: Any = trl.GRPOTrainer(
            model=tiny.model(),
            processing_class=tiny.tokenizer(),
            args=args,
            reward_funcs=lambda **_: self.case.rewards,
            rollout_func=lambda prompts, _: self._rolled_out(len(prompts)),
            train_dataset=Dataset.from_list([{"prompt": PROMPT}]),
        )
        self.trainer._get_per_token_logps_and_entropies = self._given
        self.trainer.ref_model = self.trainer.model  # which a trainer would load from a folder
        self.trainer._last_loaded_step = 0  # as if vLLM had the weights
        self.trainer.current_gradient_accumulation_steps = 1
        self.trainer.num_iterations = 2  # so that it asks for the old logprobs
        self.trainer.model.train()

    def _rolled_out(self, count: int) -> dict[str, Any]:
        assert count == len(self.case.tokens)
        return {
            "prompt_ids": [row.tolist() for row in self.case.prompts],
            "completion_ids": [row.tolist() for row in self.case.tokens],
            "logprobs": [row.tolist() for row in self.case.drawn],
            "env_mask": [row.astype(int).tolist() for row in self.case.emitted],
        }

    def _given(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, None]:
        found = self._asked.pop(0)
        return found, torch.zeros_like(found), None

    def batch(self, case: Case, **settings: Any) -> dict[str, Tensor]:
        """What it trains on; `settings` are attributes of the trainer."""
        self.case = case
        for name, value in {"num_generations": case.size, **settings}.items():
            assert hasattr(self.trainer, name)
            setattr(self.trainer, name, value)
        self._asked = [padded(case.old), padded(case.reference)]
        rows = [{"prompt": PROMPT} for _ in case.tokens]
        return self.trainer._generate_and_score_completions(rows)

    def loss(self, case: Case, **settings: Any) -> tuple[float, list[Row]]:
        """The loss, and its gradient with respect to each completion's logprobs."""
        batch = self.batch(case, **settings)
        new = padded(case.new).requires_grad_()
        self._asked = [new]
        loss = self.trainer._compute_loss(self.trainer.model, batch)
        (gradient,) = torch.autograd.grad(loss, new)
        return float(loss.detach()), [row[: len(one)].numpy() for row, one in zip(gradient, case.new, strict=True)]

    def logged(self, name: str) -> float:
        """The last value that it logged."""
        return self.trainer._metrics["train"][name][-1]
