"""A causal language model of Hugging Face's transformers as an RLModule: all of its weights, or adapters (LoRA)."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM

from termgym.errors import TaskError
from termgym.rllib.sharding import shard, take, whole

CHUNK = 1024
"""Tokens whose logits are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Loading:
    """Which model, and how it is held; given to the module as its `model_config`."""

    model: str = "HuggingFaceTB/SmolLM2-135M-Instruct"
    """A folder, or a name that the hub's cache has."""
    dtype: str = "float32"
    """Of the weights that learn; with `autocast` they are computed with in less."""
    autocast: str | None = None
    """ "bfloat16" on GPUs."""
    attention: str = "sdpa"
    """ "flash_attention_2" where that is installed: packed rows then cost no more than their samples."""
    checkpointing: bool = False
    """Whether activations are computed again instead of kept."""
    lora: Mapping[str, Any] | None = None
    """Of peft's `LoraConfig`: r, lora_alpha, target_modules, ...; None trains all weights."""
    reference: bool = False
    """Whether the model as it was is kept beside, for a divergence from it. Adapters need no second copy."""
    sharded: bool = False
    """Whether each of several learners holds but a part of it (`termgym.rllib.sharding`)."""
    temperature: float = 1.0
    """That tokens are drawn at: what their logprobs are of."""

    def load(self) -> Any:
        """The model.

        Raises:
            TaskError: It cannot be loaded.
        """
        try:
            model = AutoModelForCausalLM.from_pretrained(
                self.model, dtype=getattr(torch, self.dtype), attn_implementation=self.attention
            )
        except (OSError, ValueError, ImportError) as error:
            message = f"model {self.model!r} cannot be loaded: {error}; give a folder, as of `save_pretrained`"
            raise TaskError(message) from error
        if self.checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            model.enable_input_require_grads()
        return model if self.lora is None else self._adapted(model)

    def _adapted(self, model: Any) -> Any:
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise TaskError("lora needs peft: pip install 'termgym[rllib]'") from error
        return get_peft_model(model, LoraConfig(**dict[str, Any]({"task_type": "CAUSAL_LM"} | dict(self.lora or {}))))


class CausalLM(TorchRLModule):
    """The language model; its forward pass is over one packed row and says what each emitted token is given.

    *Batch*: `token_ids`, `positions`, `weights`, each (1, length), as `termgym.packing.Batch` has them. *Out*:
    `logprobs` and `entropy`, (1, length), 0 where the weight is 0; with a reference `reference`, likewise.
    """

    @override(TorchRLModule)
    def setup(self) -> None:
        self.loading = Loading(**self.model_config)
        self.model = self.loading.load()
        apart = self.loading.reference and self.loading.lora is None and not self.inference_only
        self._reference = [self.loading.load().requires_grad_(False).eval()] if apart else []  # no part of the state
        self._whole: dict[str, Tensor] | None = None

    def shard(self) -> None:
        """Keep a part of the weights; every learner calls this, and `gather` too."""
        shard(_bare(self.model, self.loading), _scored)
        self.gather()

    def gather(self) -> None:
        """Have what `get_state` returns be the weights as they are now."""
        self._whole = self._kept(whole(self))

    @override(TorchRLModule)
    def _forward(self, batch: Mapping[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:
        ids, positions = batch["token_ids"].long(), batch["positions"].long()
        places = (batch["weights"][0] > 0).nonzero()[:, 0]
        places = places if len(places) else places.new_ones(1)  # every learner takes part in every step
        found = _given(self.model, ids, positions, places, self.loading)
        out = {name: _spread(values, places, ids) for name, values in zip(("logprobs", "entropy"), found, strict=True)}
        if self.loading.reference:
            with torch.no_grad():
                out["reference"] = _spread(self._by_reference(ids, positions, places), places, ids)
        return out

    def _by_reference(self, ids: Tensor, positions: Tensor, places: Tensor) -> Tensor:
        if self.loading.lora is not None:
            with self.model.disable_adapter():
                return _given(self.model, ids, positions, places, self.loading)[0]
        self._reference[0].to(ids.device)
        return _given(self._reference[0], ids, positions, places, self.loading)[0]

    @override(TorchRLModule)
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The weights that learn, as tensors of the CPU: NumPy has no bfloat16."""
        if self._whole is not None:
            return self._whole
        return {name: value.detach().to("cpu", copy=True) for name, value in self._kept(self.state_dict()).items()}

    def _kept(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        learns = {name for name, weight in self.named_parameters() if weight.requires_grad}
        return {name: value for name, value in state.items() if self.loading.lora is None or name in learns}

    @override(TorchRLModule)
    def set_state(self, state: Mapping[str, Any]) -> None:
        if self._whole is not None:
            take(self, state)
            self.gather()
            return
        unknown = self.load_state_dict(dict(state), strict=False).unexpected_keys
        if unknown:
            raise TaskError(f"these weights are of another model: it has no {', '.join(unknown[:3])}")

    def save(self, folder: str, tokenizer: Any) -> None:
        """Write the model as transformers loads it, adapters merged, with its tokenizer."""
        model = self.model
        if self.loading.lora is not None:
            model = self.loading.load()
            model.load_state_dict(self.model.state_dict())
            model = model.merge_and_unload()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _spread(values: Tensor, places: Tensor, ids: Tensor) -> Tensor:
    return values.new_zeros(ids.shape).index_put((torch.zeros_like(places), places), values)


def _given(model: Any, ids: Tensor, positions: Tensor, places: Tensor, loading: Loading) -> tuple[Tensor, Tensor]:
    """The logprob of the token at each place, (places,), and the entropy of what it was drawn from.

    Logits are made for these places alone, and kept for none: those of 32,768 tokens and 150,000 words take 20 GB.
    """
    kind = ids.device.type
    with torch.autocast(kind, getattr(torch, loading.autocast or "float32"), enabled=loading.autocast is not None):
        bare = _bare(model, loading)
        scored = getattr(bare, "scored", None) or partial(_scored, bare)
        return scored(ids, positions, places, loading.temperature)


def _bare(model: Any, loading: Loading) -> Any:
    return model.get_base_model() if loading.lora is not None else model


def _scored(bare: Any, ids: Tensor, positions: Tensor, places: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    hidden = bare.model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
    head = bare.get_output_embeddings()
    said, before = ids[0, places], hidden[0, places - 1]
    parts = [
        checkpoint(_by_head, head, states, tokens, temperature, use_reentrant=False)
        for states, tokens in zip(before.split(CHUNK), said.split(CHUNK), strict=True)
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _by_head(head: Any, states: Tensor, tokens: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logprobs = torch.log_softmax(head(states).float() / (temperature or 1.0), -1)
    entropy = -(logprobs.detach().exp() * logprobs.detach()).sum(-1)
    return logprobs.gather(-1, tokens[:, None])[:, 0], entropy


def trained(parameters: Collection[Any]) -> list[Any]:
    """Those of the parameters that learn."""
    return [parameter for parameter in parameters if parameter.requires_grad]
