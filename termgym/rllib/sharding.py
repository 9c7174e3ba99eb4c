"""FSDP2: weights, gradients and the optimizer's state in parts, one with each learner. All learners call these at once.

A layer is gathered as it is needed, and let go of again. What is whole is on the CPU, and with the first learner alone.
"""

from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any

from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn import Module
from torch.optim import Optimizer

State = Mapping[str, Any]
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
PARTS = StateDictOptions(full_state_dict=True, strict=False)


def shard(model: Any, scored: Callable[..., Any]) -> None:
    """Keep a part of a transformers model; `scored` becomes a method of it, in which all its weights are there."""
    for layer in model.model.layers:
        fully_shard(layer)
    fully_shard(model)
    model.scored = MethodType(scored, model)
    register_fsdp_forward_method(model, "scored")


def whole(module: Module) -> dict[str, Any]:
    """All weights that learn, and perhaps some that do not."""
    return get_model_state_dict(module, options=WHOLE)


def take(module: Module, state: State) -> None:
    """Take each its part of whole weights."""
    set_model_state_dict(module, dict(state), options=PARTS)


def whole_optimizer(module: Module, optimizer: Optimizer) -> dict[str, Any]:
    """All of an optimizer's state, by the names of its weights."""
    return dict(get_optimizer_state_dict(module, optimizer, options=WHOLE))


def take_optimizer(module: Module, optimizer: Optimizer, state: State) -> None:
    """Take each its part of that."""
    set_optimizer_state_dict(module, optimizer, dict(state), options=PARTS)
