"""Training of language models on RLlib: real steps of a tiny model in live sandboxes, killed and gone on with."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from termgym.cli import app
from termgym.errors import TaskError, UnknownName
from termgym.training_log import STAGES, TrainingStep, evaluations, read_steps
from tests.recipes import prepare, tables

ray = pytest.importorskip("ray")
torch = pytest.importorskip("torch")

from termgym.rllib.recipe import Recipe, read_recipe  # noqa: E402
from termgym.rllib.session import session  # noqa: E402
from termgym.rllib.training import Training  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(240)]
CONFIGS = sorted(path for stage in STAGES for path in Path(__file__).parents[1].glob(f"configs/{stage}/*.toml"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rllib")
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ray.init("local", num_cpus=4, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield
    ray.shutdown()
    torch.set_num_threads(threads)


def steps_of(recipe: Recipe, folder: Path, killed_at: int = 0) -> list[TrainingStep]:
    """The steps of a run, which is killed as one of them ends, and gone on with."""

    def on_step(step: TrainingStep) -> None:
        if step.step == killed_at:
            raise KeyboardInterrupt

    if killed_at:
        with pytest.raises(KeyboardInterrupt):
            Training(recipe, folder, on_step=on_step).run()
    Training(recipe, folder).run()
    return read_steps(folder)


def losses(steps: list[TrainingStep]) -> list[float]:
    return [step.numbers["loss"] for step in steps]


def test_imitation_that_was_killed_goes_on_bit_for_bit(folder: Path, cluster: None, tmp_path: Path) -> None:
    whole = steps_of(Recipe.of("sft", tables(folder, "sft")), tmp_path / "whole")
    cut = steps_of(Recipe.of("sft", tables(folder, "sft")), tmp_path / "cut", killed_at=5)
    assert [step.step for step in whole] == [step.step for step in cut] == [1, 2, 3, 4, 5, 6]
    assert losses(whole) == losses(cut) and losses(whole)[-1] < losses(whole)[0]
    first, second = _weights(tmp_path)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def _weights(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    safetensors = pytest.importorskip("safetensors.torch")
    whole, cut = (safetensors.load_file(root / run / "model" / "model.safetensors") for run in ("whole", "cut"))
    return whole, cut


def test_optimization_that_was_killed_goes_on(folder: Path, cluster: None, tmp_path: Path) -> None:
    recipe = Recipe.of("grpo", tables(folder, "grpo", run={"evaluate_every": 2, "save_every": 1}))
    steps = steps_of(recipe, tmp_path / "run", killed_at=3)
    assert [step.step for step in steps] == [1, 2, 3]
    assert all(set(step.seconds) == {"generate", "environment", "verify", "learn"} for step in steps)
    assert all(step.numbers["episodes"] == 6 and step.numbers["invalid"] == 0 for step in steps)
    assert [(one.step, one.n) for one in evaluations(tmp_path / "run")] == [(0, 2), (2, 2), (3, 2)]
    assert (tmp_path / "run" / "model" / "config.json").exists() and any((tmp_path / "run" / "tensorboard").iterdir())
    with pytest.raises(TaskError, match="go on with the same"):
        Training(Recipe.of("grpo", tables(folder, "grpo", training={"lr": 1.0})), tmp_path / "run")


def test_a_curriculum_goes_on_with_what_it_has_met(folder: Path, cluster: None, tmp_path: Path) -> None:
    asked = {"curriculum": {"explore": 0.0}, "minibatches": 1}
    recipe = Recipe.of("grpo", tables(folder, "grpo", training=asked, environment={"level": None}))
    with session(recipe.config, tmp_path) as algorithm:
        algorithm.train()
        met = algorithm.source.calibration
        assert sum(rate.n for rate in met.rates.values()) == algorithm.last["episodes"] == 6
        saved = algorithm.save_to_path(str(tmp_path / "saved"))
    with session(recipe.config, tmp_path) as algorithm:
        assert not algorithm.source.calibration.rates
        algorithm.restore_from_path(saved)
        assert algorithm.source.calibration == met


@pytest.mark.slow
def test_two_learners_take_the_step_of_one(folder: Path, cluster: None, tmp_path: Path) -> None:
    made = [
        steps_of(Recipe.of("sft", tables(folder, "sft", workers={"learners": count})), tmp_path / str(count))
        for count in (0, 2)
    ]
    assert losses(made[0])[0] == pytest.approx(losses(made[1])[0], abs=1e-5)
    assert losses(made[0])[-1] == pytest.approx(losses(made[1])[-1], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, {"r": 4, "target_modules": "all-linear"}], ids=["all weights", "adapters"])
def test_learners_that_hold_a_part_each_take_the_step_of_one(
    lora: Any, folder: Path, cluster: None, tmp_path: Path
) -> None:
    model = {"lora": lora}
    alone = steps_of(Recipe.of("sft", tables(folder, "sft", model=model)), tmp_path / "whole")
    shared = Recipe.of("sft", tables(folder, "sft", model={**model, "sharded": True}, workers={"learners": 2}))
    parts = steps_of(shared, tmp_path / "cut", killed_at=5)
    assert losses(alone) == pytest.approx(losses(parts), abs=1e-3) and losses(parts)[-1] < losses(parts)[0]
    first, second = _weights(tmp_path)
    assert all(torch.allclose(first[name], second[name], atol=1e-3) for name in first)


@pytest.mark.slow
def test_a_learner_that_dies_in_its_step_leaves_no_trace(folder: Path, cluster: None, tmp_path: Path) -> None:
    recipe = Recipe.of("sft", tables(folder, "sft", workers={"learners": 2}))
    whole, killed = steps_of(recipe, tmp_path / "whole"), list[int]()

    def on_step(step: TrainingStep) -> None:
        if step.step == 3 and not killed:  # the last checkpoint is that of step 2
            found = subprocess.run(["pgrep", "-f", "^ray::_WrappedExecutable"], stdout=subprocess.PIPE, check=True)
            killed.append(int(found.stdout.split()[0]))
            threading.Timer(0.02, os.kill, (killed[0], signal.SIGKILL)).start()

    Training(recipe, tmp_path / "cut", on_step=on_step).run()
    assert killed and losses(read_steps(tmp_path / "cut")) == losses(whole)
    first, second = _weights(tmp_path)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_a_runner_that_dies_is_started_anew(folder: Path, cluster: None, tmp_path: Path) -> None:
    recipe = Recipe.of("grpo", tables(folder, "grpo", workers={"runners": 2}))
    with session(recipe.config, tmp_path) as algorithm:
        algorithm.train()
        assert algorithm.last["episodes"] == 6
        ray.kill(next(iter(algorithm.env_runner_group._worker_manager.actors().values())))
        found = []
        for _ in range(3):
            algorithm.train()
            found.append(algorithm.last["episodes"])
    assert min(found) >= 3 and found[-1] == 6


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_config_can_be_read(path: Path) -> None:
    recipe = read_recipe(path.parent.name, path)
    assert recipe.stage in recipe.summary().lower()
    assert CliRunner().invoke(app, [path.parent.name, str(path), "--dry-run"]).exit_code == 0


def test_what_is_misspelt_is_said(folder: Path) -> None:
    for table, field, meant in (
        ("training", "group_sise", "group_size"),
        ("generation", "temprature", "temperature"),
        ("environment", "taks", "task"),
        ("loss", "hihg", "high"),
        ("model", "modle", "model"),
    ):
        with pytest.raises(UnknownName, match=f"did you mean .*{meant}"):
            Recipe.of("grpo", tables(folder, "grpo", **{table: {field: 1}}))
    with pytest.raises(UnknownName, match="did you mean training"):
        Recipe.of("grpo", tables(folder, "grpo", trainig={}))
    with pytest.raises(TaskError, match="did you mean explore"):
        Recipe.of("grpo", tables(folder, "grpo", training={"curriculum": {"explor": 0.1}}))
    with pytest.raises(TaskError, match="level of the environment is for the curriculum"):
        Recipe.of("grpo", tables(folder, "grpo", training={"curriculum": {}}))
    with pytest.raises(TaskError, match="nothing to train on"):
        Recipe.of("sft", {})
    with pytest.raises(TaskError, match="interactive/confirm"):
        Recipe.of("grpo", tables(folder, "grpo", environment={"task": "interactive/confrim"}))
