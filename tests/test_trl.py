"""TRL's GRPOTrainer on terminals: what it trains on is what the model emitted, and its rewards are the verifiers'."""

import copy
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from termgym.advantages import advantages
from termgym.agent import Sampling
from termgym.errors import TaskError
from termgym.outcome import Outcome
from termgym.protocol import Action, Command, parse
from termgym.rllib.tiny import TEMPLATE
from termgym.task import Check, Limits, Task
from termgym.trajectory import Trajectory, TurnRecord
from termgym.trl import TerminalSpec
from termgym.trl.policy import model_of, row
from termgym.trl.tool import ENDED
from tests import tiny
from tests.tiny import saved
from tests.told import Case, Told

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
    how |= {"learning_rate": 1e-2}
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


def segments(mask: list[bool]) -> list[slice]:
    """Where the model emitted, turn by turn."""
    around = [False, *mask, False]
    edges = [place for place in range(len(mask) + 1) if around[place] != around[place + 1]]
    return [slice(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True)]


def worth(words: Any, tokens: list[int], mask: list[bool], keys: list[str]) -> float:
    """What the installer makes of what was emitted: the first keys that were typed are its answers."""
    replies = [words.decode(tokens[part]).removesuffix(END) for part in segments(mask)]
    actions = [action for reply in replies if (action := parse(reply).action)]
    typed = [command.keystrokes for action in actions for command in action.commands]
    return sum(key == right for key, right in zip(typed, keys, strict=False)) / len(keys)


class Kept:
    """What went through a trainer: each completion of its model, what came of the rollout, what it trained on."""

    def __init__(self, trainer: Any, spec: TerminalSpec, patch: pytest.MonkeyPatch) -> None:
        self.completions: list[tuple[list[int], Any]] = []
        self.prompts: list[Any] = []
        self.told: dict[str, Any] = {}
        self.trained: list[dict[str, torch.Tensor]] = []
        complete, loss = HFModel.complete, trainer._compute_loss

        async def completed(one: Any, prompt: Any, sampling: Any, seed: int) -> Any:
            found = await complete(one, prompt, sampling, seed)
            self.completions.append((list(prompt), found))
            return found

        def computed(model: Any, inputs: dict[str, torch.Tensor]) -> Any:
            self.trained.append(inputs)
            return loss(model, inputs)

        def rolled_out(prompts: Any, trainer: Any) -> Any:
            self.prompts = prompts
            self.told = spec.rollout_func(prompts, trainer)
            return self.told

        patch.setattr(HFModel, "complete", completed)
        trainer._compute_loss, trainer.rollout_func = computed, rolled_out

    def rows(self) -> Iterator[tuple[list[int], list[int], list[bool], float]]:
        """What was trained on: prompt, completion, what of it the model emitted, and the advantage."""
        (batch,) = self.trained
        for number, advantage in enumerate(batch["advantages"].tolist()):
            given = batch["prompt_ids"][number][batch["prompt_mask"][number].bool()].tolist()
            said = batch["completion_ids"][number][batch["completion_mask"][number].bool()].tolist()
            yield given, said, batch["tool_mask"][number][: len(said)].bool().tolist(), advantage


def test_a_step_trains_on_what_the_model_emitted(
    tmp_path: Path, spec: TerminalSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = trainer(tmp_path, spec, rows=2, group=4)
    kept = Kept(learner, spec, monkeypatch)
    before = {name: weight.clone() for name, weight in learner.model.named_parameters()}
    learner.train()
    emitted = {(*prompt, *found.token_ids): found for prompt, found in kept.completions}
    count = 0
    for given, said, mask, _ in kept.rows():
        for part in segments(mask):
            found = emitted[(*given, *said[: part.stop])]  # with all that came before it
            assert tuple(said[part]) == found.token_ids
            count += len(found.token_ids)
        assert len(segments(mask)) > 1
    assert count == sum(len(found.token_ids) for _, found in kept.completions)
    assert any(not torch.equal(before[name], weight) for name, weight in learner.model.named_parameters())


@pytest.mark.slow
def test_rewards_are_the_verifiers(tmp_path: Path, spec: TerminalSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = trainer(tmp_path, spec, rows=2, group=8)
    kept = Kept(learner, spec, monkeypatch)
    learner.train()
    told, words = kept.told, learner.processing_class
    rows = zip(kept.prompts, told["completion_ids"], told["env_mask"], strict=True)
    expected = [
        worth(words, said, list(map(bool, mask)), keys_of(spec.find(prompt[-1]["digest"])))
        for prompt, said, mask in rows
    ]
    assert told["reward"] == expected
    assert len(set(expected)) > 1
    values = [*advantages(expected[:8]), *advantages(expected[8:])]
    by_row = dict(zip(map(tuple, told["completion_ids"]), values, strict=True))
    for _, said, _, advantage in kept.rows():
        assert advantage == pytest.approx(by_row[tuple(said)], abs=1e-5)
    logged = learner.state.log_history[0]
    assert logged["rewards/verified/mean"] == pytest.approx(sum(expected) / 16, abs=1e-5)


@pytest.mark.slow
def test_logprobs_are_those_that_the_trainer_computes(tmp_path: Path, spec: TerminalSpec) -> None:
    learner = trainer(tmp_path, spec, rows=2, group=4, num_iterations=2)
    batch = learner._generate_and_score_completions(list(spec.train_dataset)[:2] * 4)
    mask = (batch["tool_mask"] * batch["completion_mask"]).bool()
    assert mask.any()
    assert torch.allclose(batch["sampling_per_token_logps"][mask], batch["old_per_token_logps"][mask], atol=2e-4)


@pytest.mark.slow
def test_a_completion_is_no_longer_than_it_may_be(tmp_path: Path, spec: TerminalSpec) -> None:
    learner = trainer(tmp_path, spec, rows=1, group=2, max_completion_length=40)
    told = spec.rollout_func([spec.train_dataset[0]["prompt"]] * 4, learner)
    assert all(0 < len(said) <= 40 for said in told["completion_ids"])
    assert "out_of_tokens" in told["outcome"]
    assert learner.model.training


@pytest.mark.slow
def test_an_episode_that_our_side_failed_teaches_nothing(tmp_path: Path) -> None:
    good = Task(id="good", instruction="Say nothing.", checks=(Check("always", "true"),), limits=Limits(turns=1))
    spec = TerminalSpec([good, replace(good, id="bad", setup="exit 7")], count=8, max_tokens=2)
    learner = trainer(tmp_path, spec, rows=1, group=4)
    prompts = {row["task"]: row["prompt"] for row in spec.train_dataset}
    told = spec.rollout_func([prompts["good"], prompts["bad"], prompts["good"]], learner)
    spec.close()
    assert told["reward"] == [1.0, None, 1.0]
    assert told["outcome"][1] == "infra_error"
    assert told["env_mask"][1] == [0]
    assert len(told["completion_ids"][1]) == len(told["logprobs"][1]) == 1


def test_an_invalid_episode_with_turns_is_masked() -> None:
    turn = TurnRecord("", "", token_ids=(5, 6), prompt_ids=(3, 4), logprobs=(-1.0, -2.0))
    one = Trajectory("task", "digest", "policy", Outcome.INFRA_ERROR, turns=(turn,))
    told = row(one, None, 0)
    assert (told["prompt_ids"], told["completion_ids"], told["env_mask"]) == ([3, 4], [5, 6], [0, 0])
    assert row(replace(one, outcome=Outcome.FAILED), 0.0, 0)["env_mask"] == [1, 1]


def test_what_has_no_reward_is_left_out_of_the_baseline(tmp_path: Path) -> None:
    rewards: list[Any] = [1.0, None, 0.0, 1.0, 0.25, 0.5, None, 1.0]
    found = Told(tmp_path).batch(replace(Case.random(0, groups=2), rewards=rewards))["advantages"].tolist()
    left = [*advantages([1.0, 0.0, 1.0]), *advantages([0.25, 0.5, 1.0])]
    assert found == pytest.approx([left[0], 0, *left[1:5], 0, left[5]], abs=1e-5)


def test_the_data_set_says_what_the_tasks_are(spec: TerminalSpec) -> None:
    assert len(spec.train_dataset) == 3
    for told, task in zip(spec.train_dataset, spec.tasks, strict=True):
        assert told["task"] == task.id
        assert told["prompt"] == [{"role": "user", "content": task.instruction, "digest": task.digest}]
        assert spec.find(told["digest"]) is task
    again = TerminalSpec(FAMILY, count=3, level=1, reward="dense", limits={"turns": 6})
    assert again.train_dataset.to_list() == spec.train_dataset.to_list()


def test_another_data_set_is_told(spec: TerminalSpec) -> None:
    with pytest.raises(TaskError, match="train on its train_dataset"):
        spec.find("?")


def test_with_vllm_its_server_is_asked(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    generation = SimpleNamespace(server_base_url=None, server_host="0.0.0.0", server_port=8000)
    named = SimpleNamespace(name_or_path=folder)
    trainer = SimpleNamespace(
        use_vllm=True, vllm_mode="server", vllm_generation=generation, processing_class=named, model=named
    )
    with model_of(trainer, Sampling(), None, 0) as model:
        assert (type(model).__name__, model.name) == ("VLLMServer", folder)
    trainer.vllm_mode = "colocate"
    with pytest.raises(TaskError, match="server"), model_of(trainer, Sampling(), None, 0):
        pass


# Terminals as tools.


def calls(keys: str) -> str:
    arguments = json.dumps({"keystrokes": keys, "duration": 5.0})
    return f'<tool_call>\n{{"name": "send_keys", "arguments": {arguments}}}\n</tool_call>{END}'


def tool_trainer(folder: Path, spec: TerminalSpec, script: Callable[[int, int], str]) -> Any:
    """Of a model that says at each turn what the script says of the row and the turn, both from 0."""
    words = copy.copy(tiny.tokenizer())
    words.chat_template = Path(trl.__file__).with_name("chat_templates").joinpath("qwen3.jinja").read_text()
    made = trl.GRPOTrainer(
        model=tiny.model(),
        processing_class=words,
        args=trl.GRPOConfig(
            str(folder), use_cpu=True, bf16=False, report_to="none", num_generations=2, max_completion_length=4096
        ),
        train_dataset=spec.train_dataset,
        environment_factory=spec.environment_factory,
        reward_funcs=spec.reward_funcs,
    )
    rows: dict[tuple[int, ...], int] = {}
    turns: Counter[int] = Counter()

    def generated(prompt_ids: list[list[int]], *args: Any, **kwargs: Any) -> tuple[list[list[int]], None]:
        said: list[list[int]] = []
        for place, prompt in enumerate(prompt_ids):
            number = next((rows[known] for known in rows if tuple(prompt[: len(known)]) == known), place)
            said.append(words.encode(script(number, turns[number])))
            turns[number] += 1
            rows[tuple([*prompt, *said[-1]])] = number
        return said, None

    made._generate_single_turn = generated
    return made


def test_terminals_as_tools(tmp_path: Path) -> None:
    spec = TerminalSpec(FAMILY, count=4, level=1)
    keys = [keys_of(task) for task in spec.tasks]

    def script(number: int, turn: int) -> str:
        typed = [keys[number], ["?", "y"], keys[number], []][number]
        return calls(typed[turn]) if turn < len(typed) else f"Done.{END}"

    learner = tool_trainer(tmp_path, spec, script)
    batch = learner._generate_and_score_completions(list(spec.train_dataset))
    assert list(learner._logs["rewards"]["verified"]) == [1.0, 0.0, 1.0, 0.0]
    shown = [[said["content"] for said in one if said["role"] == "tool"] for one in learner._logs["completion"]]
    assert "Please answer y or n." in shown[1][0]
    assert "All is set." in shown[0][1]
    assert not batch["tool_mask"].all()
    spec.close()


@pytest.mark.slow
def test_terminals_are_made_ready_at_once_and_judged_at_once() -> None:
    """As TRL asks for them, one after the other; each alone takes a second to be made ready, and one to be judged."""
    task = Task(id="slow", instruction="Wait.", setup="sleep 1", checks=(Check("late", "sleep 1"),))
    spec = TerminalSpec(task, count=8, concurrency=8)
    tools = [spec.environment_factory() for _ in range(8)]
    begin = time.perf_counter()
    for tool, told in zip(tools, spec.train_dataset, strict=True):
        tool.reset(**told)
    assert time.perf_counter() - begin < 1
    assert "#" in tools[0].send_keys("")
    assert spec.verified(environments=tools) == [1.0] * 8
    assert time.perf_counter() - begin < 8
    spec.close()


def test_a_terminal_that_cannot_be_made_ready_has_no_reward() -> None:
    failing = TerminalSpec(
        Task(id="bad", instruction="Wait.", setup="exit 7", checks=(Check("late", "true"),)), count=1
    )
    tool = failing.environment_factory()
    with pytest.raises(TaskError, match="reset it"):
        tool.send_keys("")
    tool.reset(**failing.train_dataset[0])
    with pytest.raises(TaskError, match="set-up script of bad failed with 7"):
        tool.send_keys("")
    assert failing.verified(environments=[tool]) == [None]
    failing.close()


def test_a_terminal_is_reset_again_and_again(spec: TerminalSpec) -> None:
    tool = spec.environment_factory()
    for told, task in zip(spec.train_dataset, spec.tasks, strict=True):
        tool.reset(**told)  # the episode before was not judged
        for keys in keys_of(task):
            tool.send_keys(keys, 5.0)
    assert [tool.send_keys("ls\n") for _ in range(5)][-1] == ENDED
    assert spec.verified(environments=[tool]) == [1.0]


def keys_of(task: Task) -> list[str]:
    return [command.keystrokes for command in task.oracle]
