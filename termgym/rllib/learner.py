"""Learners: an optimizer step over packed rows, one row in memory at a time, and the losses of both algorithms."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
import math
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from torch import Tensor
from torch.distributed.tensor import DTensor

from termgym.loss import supervised_loss
from termgym.rllib.model import trained
from termgym.rllib.sharding import take_optimizer, whole_optimizer

Columns = Mapping[str, Tensor]
STEPS, TAKEN, WHOLE = "steps", "steps_taken", "whole"


def cosine(step: int, steps: int, warmup: float, floor: float = 0.0) -> float:
    """The share of the learning rate at a step from 0: up in a line for a share of all steps, then down by a cosine."""
    up = max(1, round(warmup * steps))
    if step < up:
        return (step + 1) / up
    along = min(1.0, (step - up) / max(1, steps - up))
    return floor + (1 - floor) * (1 + math.cos(math.pi * along)) / 2


class LanguageLearner(TorchLearner):
    """Takes the optimizer steps of one update: a batch's rows, numbered by its column `steps`.

    What a token counts is in the rows (`termgym.packing`), so gradients are summed up over rows and learners.
    """

    @override(TorchLearner)
    def build(self) -> None:
        self.taken, self.steps = 0, 1
        self._whole = dict[str, Any]()
        super().build()

    @override(TorchLearner)
    def _make_module(self) -> Any:
        made = super()._make_module()
        if self.config.loading.sharded:
            made[DEFAULT_MODULE_ID].shard()
        return made

    @override(TorchLearner)
    def _make_modules_ddp_if_necessary(self) -> None:
        if not self.config.loading.sharded:
            super()._make_modules_ddp_if_necessary()

    def gather(self, optimizer: bool = False) -> None:
        """Have `get_state` tell of now, where each learner has but a part; all of them call this at once."""
        module = self.module[DEFAULT_MODULE_ID]
        module.gather()
        if optimizer:
            (held,) = self._optimizer_parameters
            self._whole = whole_optimizer(module, held)

    @override(TorchLearner)
    def _get_optimizer_state(self) -> Any:
        if not self.config.loading.sharded:
            return super()._get_optimizer_state()
        return {WHOLE: {"module_id": DEFAULT_MODULE_ID, "state": self._whole}}

    @override(TorchLearner)
    def _set_optimizer_state(self, state: Any) -> None:
        if not self.config.loading.sharded:
            super()._set_optimizer_state(state)
            return
        (held,) = self._optimizer_parameters
        take_optimizer(self.module[DEFAULT_MODULE_ID], held, state[WHOLE]["state"])

    @override(TorchLearner)
    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        self.steps = timesteps[STEPS]
        super().before_gradient_based_update(timesteps=timesteps)

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        params = trained(self.get_parameters(self._module[module_id]))
        optimizer = torch.optim.AdamW(params, lr=config.lr, betas=tuple(config.betas), weight_decay=config.weight_decay)
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=params, lr_or_lr_schedule=config.lr)

    @override(TorchLearner)
    def _uncompiled_update(self, batch: Mapping[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        columns: Columns = batch[DEFAULT_MODULE_ID]
        steps, logged = columns["steps"][:, 0], {}
        old = self._old(columns) if int(steps.max()) > 0 else {}
        for step in range(int(steps.max()) + 1):
            logged = self._step(columns, (steps == step).nonzero()[:, 0].tolist(), old)
            self.taken += 1
        for name, value in logged.items():
            self.metrics.log_value((DEFAULT_MODULE_ID, name), float(value), window=1)
        return {}, {DEFAULT_MODULE_ID: logged["loss"]}, {}

    def _old(self, columns: Columns) -> dict[int, Tensor]:
        """The logprobs of each row by the weights that the update begins with."""
        return {}

    def _step(self, columns: Columns, rows: list[int], old: Mapping[int, Tensor]) -> dict[str, float]:
        (optimizer,) = self._optimizer_parameters
        lr = self.config.lr * self.config.rate(self.taken, self.steps)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for row in rows:
            with nullcontext() if row == rows[-1] else self._apart():
                for name, value in self._row(_cut(columns, row), old.get(row)).items():
                    sums[name] = sums.get(name, 0.0) + value
        norm = _local(torch.nn.utils.clip_grad_norm_(self._learning(), self._clip))
        if bool(torch.isfinite(norm)):
            optimizer.step()
        # RLlib logs the mean over learners, and each has but its share of the sum.
        whole = {name: float(value) * max(1, self.config.num_learners) for name, value in sums.items()}
        return whole | {"grad_norm": float(norm), "lr": lr}

    @property
    def _clip(self) -> float:
        return self.config.grad_clip or math.inf

    def _learning(self) -> list[Any]:
        return trained(list(self._params.values()))

    def _apart(self) -> Any:
        """Where gradients are not averaged over the learners yet."""
        module = self.module[DEFAULT_MODULE_ID]
        together = self.config.num_learners > 1 and not self.config.loading.sharded
        return module.no_sync() if together else nullcontext()

    def _row(self, columns: Columns, old: Tensor | None) -> dict[str, Tensor]:
        """Add a row's gradients; its share of the loss, and of what is logged."""
        out = self.module.forward_train({DEFAULT_MODULE_ID: columns})[DEFAULT_MODULE_ID]
        loss, sums = self.loss(out, columns, old)
        (loss * max(1, self.config.num_learners)).backward()  # learners' gradients are averaged
        entropy = (out["entropy"] * columns["weights"]).sum().detach()
        return {"loss": loss.detach(), "entropy": entropy, **sums}

    @override(TorchLearner)
    def compute_loss_for_module(self, *, module_id: str, config: Any, batch: Columns, fwd_out: Columns) -> Tensor:
        return self.loss(fwd_out, batch, None)[0]

    def loss(self, out: Columns, columns: Columns, old: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a row, and what else is to be logged of it."""
        raise NotImplementedError

    @override(TorchLearner)
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return super().get_state(*args, **kwargs) | {TAKEN: self.taken}

    @override(TorchLearner)
    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self.taken = state.get(TAKEN, self.taken)


class SFTLearner(LanguageLearner):
    """Masked cross-entropy."""

    @override(LanguageLearner)
    def loss(self, out: Columns, columns: Columns, old: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        return supervised_loss(out["logprobs"], columns["weights"]), {}


class GRPOLearner(LanguageLearner):
    """The clipped surrogate, by `termgym.loss.Clipped`."""

    @override(LanguageLearner)
    def loss(self, out: Columns, columns: Columns, old: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        before = out["logprobs"].detach() if old is None else old
        loss, sums = self.config.clipped.loss(out["logprobs"], before, columns, out.get("reference"))
        apart = (before - columns["logprobs"]).abs() * columns["weights"]
        return loss, {**sums, "engine_gap": apart.sum()}

    @override(LanguageLearner)
    def _old(self, columns: Columns) -> dict[int, Tensor]:
        with torch.no_grad():
            return {row: self._logprobs(_cut(columns, row)) for row in range(len(columns["steps"]))}

    def _logprobs(self, columns: Columns) -> Tensor:
        return self.module[DEFAULT_MODULE_ID].unwrapped()._forward(columns)["logprobs"]


def _local(value: Any) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _cut(columns: Columns, row: int) -> dict[str, Tensor]:
    """One row, (1, length), without its padding."""
    used = max(2, int((columns["sequences"][row] >= 0).sum()))
    return {name: values[row : row + 1, :used] for name, values in columns.items()}
