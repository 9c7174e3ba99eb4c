"""Losses on packed tokens, in plain torch: sums, by what each token counts (`termgym.packing.Batch.weights`)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from termgym.errors import UnknownName

RATIOS = ("token", "sequence")


def supervised_loss(logprobs: Tensor, weights: Tensor) -> Tensor:
    """Masked cross-entropy, (): the mean of what the model gives the tokens that an answer had."""
    return -(logprobs * weights).sum()


@dataclass(frozen=True, slots=True)
class Clipped:
    """The clipped surrogate of PPO (arXiv 1707.06347) with what GRPO and its successors put to it."""

    low: float = 0.2
    high: float = 0.28
    """How far the ratio may rise: higher than it may fall ("clip-higher", DAPO, arXiv 2503.14476)."""
    ratio: str = "token"
    """Each token's own, or "sequence": the geometric mean of its sample's (GSPO, arXiv 2507.18071)."""
    kl: float = 0.0
    """What the divergence from a reference counts, by Schulman's estimator k3, which is never negative; times the
    token's ratio, without which its gradient is that of the divergence the other way round (arXiv 2512.02556)."""
    cap: float | None = 2.0
    """Of the weight that a token gets since another engine drew it than the one that learns ("truncated importance
    sampling"); None corrects nothing."""

    def __post_init__(self) -> None:
        if self.ratio not in RATIOS:
            raise UnknownName("ratio", self.ratio, RATIOS)

    def loss(
        self,
        logprobs: Tensor,
        old: Tensor,
        batch: Mapping[str, Tensor],
        reference: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, (), and sums over the batch of what it was made of; all tensors are (rows, length).

        Args:
            logprobs: Of the tokens, by the weights that learn.
            old: By the weights that the update began with.
            batch: `weights`, `advantages`, `sequences`, and `logprobs`: those that the tokens were drawn with.
            reference: By the reference model, for `kl`.
        """
        weights, advantages = batch["weights"], batch["advantages"]
        moved = (logprobs - old) * (weights > 0)
        ratio = self._log_ratio(moved, batch["sequences"], weights).exp()
        free, bound = ratio * advantages, ratio.clamp(1 - self.low, 1 + self.high) * advantages
        surrogate = torch.minimum(free, bound) * self._importance(old, batch)
        sums = {"clipped": ((bound < free) * weights).sum().detach()}
        if self.kl and reference is not None:
            apart = (reference - logprobs) * (weights > 0)
            divergence = (apart.exp() - apart - 1) * moved.exp()
            surrogate = surrogate - self.kl * divergence
            sums["kl"] = (divergence * weights).sum().detach()
        return -(surrogate * weights).sum(), sums

    def _log_ratio(self, apart: Tensor, sequences: Tensor, weights: Tensor) -> Tensor:
        if self.ratio == "token":
            return apart
        places, counts = sequences.clamp(min=0).flatten().long(), (weights > 0).flatten().to(apart.dtype)
        total = apart.new_zeros(int(places.max()) + 1).index_add(0, places, apart.flatten())
        number = apart.new_zeros(len(total)).index_add(0, places, counts)
        return (total / number.clamp(min=1))[places].view_as(apart)

    def _importance(self, old: Tensor, batch: Mapping[str, Tensor]) -> Tensor | float:
        if self.cap is None:
            return 1.0
        return (old - batch["logprobs"]).exp().clamp(max=self.cap).detach()
