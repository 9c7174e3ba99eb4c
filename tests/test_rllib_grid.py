"""RLlib on `TerminalGrid-v0`: the network, offline data, how episodes end, the configurations, and that PPO learns."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray.rllib")

import ray
import torch
from gymnasium.spaces import Discrete
from numpy.typing import NDArray
from pyarrow import parquet
from ray.rllib.algorithms import AlgorithmConfig
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from termgym.errors import TaskError
from termgym.family import find_family
from termgym.grid import KEYS, SUBMIT, GridInterface, TerminalGridEnv, encoded
from termgym.protocol import Command
from termgym.rllib.demonstrations import demonstrate, keys_of, record
from termgym.rllib.endings import Endings
from termgym.rllib.exam import Choice, at_random, held_out, sampled, sit
from termgym.rllib.network import ScreenNetwork
from termgym.rllib.screen import ScreenModule
from termgym.rllib.session import session, train
from termgym.split import SPLITS
from termgym.statistics import bootstrap, wilson

pytestmark = pytest.mark.filterwarnings("default")
CONFIGS = Path(__file__).parents[1] / "configs" / "rllib"
FAMILIES = ("interactive/set-up", "interactive/menu")
SMALL: dict[str, Any] = {"rows": 12, "cols": 80}


def configured(name: str) -> AlgorithmConfig:
    return runpy.run_path(str(CONFIGS / f"{name}.py"))["config"]


def screens(*texts: str, instruction: str = "") -> dict[str, torch.Tensor]:
    """Screens whose first row says something, the cursor behind it."""
    chars = np.full((len(texts), SMALL["rows"], SMALL["cols"]), ord(" "), np.int32)
    for number, text in enumerate(texts):
        chars[number, 0, : len(text)] = [ord(char) for char in text]
    arrays = {
        "chars": chars,
        "attributes": np.zeros(chars.shape, np.uint16),
        "cursor": np.array([[0, len(text)] for text in texts], np.int32),
        "instruction": np.stack([encoded(instruction)] * len(texts)),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def test_the_network_says_how_good_each_key_is_and_all_of_it_learns() -> None:
    network = ScreenNetwork(size=24)
    state, logits = network(screens("1) barn", "1) harbour", "", instruction="Anna gets the barn."))
    assert (state.shape, logits.shape) == ((3, 24), (3, len(KEYS)))
    (logits.logsumexp(1) - logits[:, 0]).sum().add(state.square().sum()).backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())


def test_a_key_that_is_shown_can_be_pointed_at() -> None:
    _, logits = ScreenNetwork()(screens("1) barn", "", instruction="Anna gets the barn."))
    assert logits[0, KEYS.index("b")] > logits[0, KEYS.index("z")] == 0
    assert not logits[1].any()


def test_cells_far_from_the_cursor_are_left_out_where_there_are_too_many() -> None:
    torch.manual_seed(0)
    network = ScreenNetwork(cells=4)
    near, far = network(screens("abcdefgh", "zbcdefgh"))[1]
    assert torch.equal(near, far)


def test_the_module_types_the_keys_of_the_grid_alone() -> None:
    space = GridInterface(12, 80, 0.5).observation_space
    with pytest.raises(ValueError, match="keys of TerminalGrid-v0, not Discrete"):
        ScreenModule(observation_space=space, action_space=Discrete(3), model_config={})
    module = ScreenModule(observation_space=space, action_space=Discrete(len(KEYS)), model_config={"size": 24})
    assert module.compute_values({Columns.OBS: screens("$ ", "$ ls")}).shape == (2,)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_known_solution_is_a_demonstration(name: str) -> None:
    task = find_family(name).task(3)
    steps = demonstrate(task, **SMALL)
    assert [KEYS[action] for _, action in steps] == [*keys_of(task), SUBMIT]
    assert TerminalGridEnv(task, **SMALL).observation_space.contains(steps[-1][0])


def test_keys_of_a_solution_are_those_of_the_grid() -> None:
    task = find_family("interactive/menu").task(0)
    typing = [Command("ls -l\n"), Command("C-c"), Command("Enter")]
    assert list(keys_of(replace(task, oracle=tuple(typing)))) == [*"ls -l", "Enter", "C-c", "Enter"]
    with pytest.raises(TaskError, match="its known solution types 'é', which is no key"):
        list(keys_of(replace(task, oracle=(Command("é"),))))


def test_recorded_steps_are_rows_that_end_with_the_reward(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "steps.parquet"
    assert record([find_family(name).task(0) for name in FAMILIES], file, **SMALL) == 2
    rows = parquet.read_table(file).to_pylist()
    assert [row[Columns.EPS_ID] for row in rows] == ["0"] * 3 + ["1"] * 2
    assert [row[Columns.REWARDS] for row in rows] == [0, 0, 1, 0, 1]
    assert [row[Columns.TERMINATEDS] for row in rows] == [False, False, True, False, True]


def episode(**info: Any) -> SingleAgentEpisode:
    """Of one step, after which a limit has ended it if there is an outcome."""
    made = SingleAgentEpisode(observation_space=Discrete(2), action_space=Discrete(2))
    made.add_env_reset(0, {})
    made.add_env_step(1, 1, 0.5, info, truncated="outcome" in info)
    return made


def test_a_limit_is_an_end_and_what_failed_is_left_out() -> None:
    samples = [episode(outcome="out_of_turns"), episode(outcome="infra_error"), episode()]
    Endings().on_sample_end(samples=samples)
    assert [(one.is_terminated, one.is_truncated) for one in samples] == [(True, False), (False, False)]


def test_an_exam_scores_each_task_in_its_place() -> None:
    tasks = [*held_out("interactive/set-up", 2), *held_out("interactive/menu", 1)]
    assert all(int(task.id.split("@")[1].split(".")[0]) in SPLITS["test"].seeds for task in tasks)
    assert sit(always("y"), tasks, limits={"turns": 2}, **SMALL).tolist() == [0.5, 0.5, 0]
    assert sit(always(SUBMIT), tasks, **SMALL).tolist() == [0, 0, 0]


def always(key: str) -> Choice:
    return lambda seen: [KEYS.index(key)] * len(seen["cursor"])


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray, once for all that need it, and one thread for torch: on busy cores two would wait for each other."""
    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["ppo", "appo"])
def test_a_configuration_takes_an_iteration(name: str, cluster: None, tmp_path: Path, capsys: Any) -> None:
    config = configured(name).env_runners(num_envs_per_env_runner=4, rollout_fragment_length=8)
    config.training(train_batch_size_per_learner=32, minibatch_size=16, num_epochs=1)
    config.reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=32)
    checkpoint = train(config, tmp_path, 1)
    assert checkpoint.is_relative_to(tmp_path)
    assert "   1 steps " in (said := capsys.readouterr().out)
    assert said.endswith(f"checkpoint: {checkpoint}\n")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_bc_takes_an_iteration(cluster: None, tmp_path: Path) -> None:
    file = tmp_path / "steps.parquet"
    record([find_family(name).task(seed) for name in FAMILIES for seed in range(4)], file, **SMALL)
    config = configured("bc").offline_data(input_=[str(file)]).training(train_batch_size_per_learner=8)
    assert train(config, tmp_path, 1).is_dir()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ppo_beats_random_on_tasks_it_has_not_met(cluster: None, tmp_path: Path) -> None:
    config = configured("ppo")
    options = {name: config.env_config[name] for name in ("rows", "cols", "limits")}
    with session(config, tmp_path) as algorithm:
        for _ in range(10):
            algorithm.train()
        learned = sampled(algorithm.get_module())
    for tasks in (held_out(name, 64) for name in FAMILIES):
        ours, randoms = (interval(sit(choice, tasks, **options)) for choice in (learned, at_random()))
        assert ours[0] > randoms[1], f"{tasks[0].id} and on: PPO {ours}, random {randoms}"


def interval(scores: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the mean of those that are valid, which most of them are."""
    valid = scores[~np.isnan(scores)].tolist()
    assert len(valid) > 0.9 * len(scores)
    return bootstrap(valid) if len(set(valid)) > 1 else wilson(sum(valid), len(valid))  # that of 64 zeros is no point
