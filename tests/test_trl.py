"""TRL's GRPOTrainer on terminals: what it trains on is what the model emitted, and its rewards are the verifiers'."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from termgym.protocol import Action, Command
from termgym.rllib.tiny import TEMPLATE
from termgym.trl import TerminalSpec

pytestmark = pytest.mark.filterwarnings("default")
trl: Any = import_module("trl")
HFModel: Any = import_module("termgym.policies.hf").HFModel
FAMILY = "interactive/set-up"
START, END = "<|im_start|>", "<|im_end|>"
KEYS = {key: Action(commands=(Command(key, 5.0),)).to_json() for key in "yn"}


def tokenizer() -> Any:
    """Whole answers are tokens, and there are few others: by chance a model does what counts."""
    made = Tokenizer(models.WordLevel({"[unk]": 0, START: 1, END: 2}, unk_token="[unk]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, pad_token=END, unk_token="[unk]")
    fast.add_tokens([START, *KEYS.values()])
    fast.chat_template = TEMPLATE
    return fast


def model(words: int) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=words, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=8192, eos_token_id=2, pad_token_id=2, bos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def trainer(folder: Path, spec: TerminalSpec, rows: int, group: int, **options: Any) -> Any:
    how = {
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "max_steps": 1,
        "learning_rate": 1e-2,
        "logging_steps": 1,
    }
    how |= {"per_device_train_batch_size": rows * group, "num_generations": group, "max_completion_length": 4096}
    words = tokenizer()
    return trl.GRPOTrainer(
        model=model(len(words)),
        processing_class=words,
        args=trl.GRPOConfig(str(folder), **how | options),
        train_dataset=spec.train_dataset,
        rollout_func=spec.rollout_func,
        reward_funcs=spec.reward_funcs,
    )


@pytest.fixture
def spec() -> Iterator[TerminalSpec]:
    made = TerminalSpec(FAMILY, count=3, level=1, max_tokens=2, reward="dense", limits={"turns": 6})
    yield made
    made.close()


class Kept:
    """What went through a trainer: every completion of its model, what came of the rollout, and what it trained on."""

    def __init__(self, trainer: Any, spec: TerminalSpec, patch: pytest.MonkeyPatch) -> None:
        self.completions: list[tuple[list[int], Any]] = []
        self.told: dict[str, Any] = {}
        self.trained: list[dict[str, torch.Tensor]] = []
        self.logged: list[dict[str, Any]] = []
        complete, loss = HFModel.complete, trainer._compute_loss

        async def completed(one: Any, prompt: Any, sampling: Any, seed: int) -> Any:
            found = await complete(one, prompt, sampling, seed)
            self.completions.append((list(prompt), found))
            return found

        def computed(model: Any, inputs: dict[str, torch.Tensor]) -> Any:
            self.trained.append(inputs)
            return loss(model, inputs)

        def rolled_out(prompts: Any, trainer: Any) -> Any:
            self.told = spec.rollout_func(prompts, trainer)
            return self.told

        patch.setattr(HFModel, "complete", completed)
        trainer._compute_loss, trainer.rollout_func = computed, rolled_out


def test_a_step_trains_on_what_the_model_emitted(
    tmp_path: Path, spec: TerminalSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = trainer(tmp_path, spec, rows=2, group=4)
    kept = Kept(learner, spec, monkeypatch)
    before = {name: weight.clone() for name, weight in learner.model.named_parameters()}
    learner.train()
    (batch,) = kept.trained
    conversations = {tuple([*prompt, *found.token_ids]): found for prompt, found in kept.completions}
    for number in range(8):
        given = batch["prompt_ids"][number][batch["prompt_mask"][number].bool()].tolist()
        said = batch["completion_ids"][number][batch["completion_mask"][number].bool()].tolist()
        mask = batch["tool_mask"][number][: len(said)].bool().tolist()
        place, turns = 0, 0
        while place < len(said):
            end = place + mask[place:].index(False) if False in mask[place:] else len(said)
            found = conversations[tuple([*given, *said[:end]])]  # the whole context, and what was emitted, is one's
            assert tuple(said[place:end]) == found.token_ids
            place, turns = end + (mask[end:].index(True) if end < len(said) else 0), turns + 1
        assert turns > 1
    assert sum(map(sum, kept.told["env_mask"])) == sum(len(found.token_ids) for _, found in kept.completions)
    assert any(not torch.equal(before[name], weight) for name, weight in learner.model.named_parameters())
