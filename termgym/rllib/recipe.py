"""A recipe: a training run as a TOML file, each table of which is what a method of the configs takes.

[model]        which, and how it is held     LanguageConfig.language_model
[environment]  which tasks, how they are run what gym.make("Terminal-v0", ...) takes
[generation]   how the model answers         LanguageConfig.generation
[training]     how it learns                 SFTConfig.training, GRPOConfig.training
[loss]         GRPO's loss                   termgym.loss.Clipped
[validation]   what it is evaluated on       LanguageConfig.validation
[workers]      runners, learners, and the GPUs of each
[run]          steps between evaluations and checkpoints, and the seed
"""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from termgym.agent import Sampling
from termgym.errors import TaskError, UnknownName
from termgym.loss import Clipped
from termgym.rllib.config import LanguageConfig
from termgym.rllib.grpo import GRPOConfig
from termgym.rllib.model import Loading
from termgym.rllib.sft import SFTConfig
from termgym.setting import Setting

Table = Mapping[str, Any]
CONFIGS: dict[str, type[LanguageConfig]] = {"sft": SFTConfig, "grpo": GRPOConfig}


@dataclass(frozen=True, slots=True)
class Pace:
    """The table `run`: how often a run looks up from training."""

    evaluate_every: int = 10
    """Steps from one evaluation to the next; before the first step and after the last there is one, too; 0 is none."""
    save_every: int = 10
    """Steps from one checkpoint to the next; after the last step there is one anyhow."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Workers:
    """The table `workers`: processes beside the one that leads them; 0 is none, and the leader does the work."""

    runners: int = 0
    learners: int = 0
    gpus_per_runner: float = 0
    gpus_per_learner: float = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run: how it is configured, and its pace."""

    stage: str
    """"sft" or "grpo"."""
    config: LanguageConfig
    pace: Pace
    tables: Mapping[str, Table]
    """As they were read."""

    @classmethod
    def of(cls, stage: str, tables: Mapping[str, Table]) -> "Recipe":
        """A recipe by its tables, read and checked.

        Raises:
            UnknownName: There is no such table, or no such field of one.
            TaskError: A value cannot be.
        """
        config = CONFIGS[stage]()
        takers = _takers(config)
        for name, table in tables.items():
            if name not in takers:
                raise UnknownName(f"table of {stage!r}", name, takers)
            _fill(name, table, *takers[name])
        pace = Pace(**tables.get("run", {}))
        config.debugging(seed=pace.seed, log_level="ERROR")
        config.validate()
        return cls(stage, config, pace, tables)

    def summary(self) -> str:
        """What it comes to, in a line or two."""
        config = self.config
        loading, held = config.loading, config.held_out
        how = "all weights" if loading.lora is None else f"LoRA {dict(loading.lora)}"
        steps = f"{config.steps} steps" if config.steps else "all epochs"
        tasks = self.tables.get("environment", {}).get("task", "all families")
        return (
            f"{self.stage.upper()} of {loading.model} ({how}, {loading.dtype}), {steps} at {config.lr:g} by "
            f"{max(1, config.num_learners)} learner(s); {tasks} in {max(1, config.num_env_runners)} runner(s), "
            f"{config.concurrency} episodes at a time; evaluated on {held['episodes']} held-out task(s) of each family "
            f"every {self.pace.evaluate_every} steps"
        )


def read_recipe(stage: str, path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        TaskError: The file is no TOML, or what it asks for cannot be; the message begins with the file.
    """
    try:
        return Recipe.of(stage, tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TaskError) as error:
        raise TaskError(f"{path}: {error}") from error


Taker = tuple[set[str], Callable[..., object]]


def _takers(config: LanguageConfig) -> dict[str, Taker]:
    """Table -> the fields that it may have, and what takes them."""
    sampling = {field.name for field in fields(Sampling)}
    trained = {*_named(type(config).training), *_named(LanguageConfig.training), "lr", "grad_clip", "num_epochs"}
    takers: dict[str, Taker] = {
        "model": ({field.name for field in fields(Loading)} - {"reference", "temperature"}, config.language_model),
        "environment": (_named(Setting.of), lambda **table: config.environment("Terminal-v0", env_config=table)),
        "generation": (_named(LanguageConfig.generation) | sampling, config.generation),
        "training": (trained - {"clipped"}, config.training),
        "validation": (_named(LanguageConfig.validation), config.validation),
        "workers": ({field.name for field in fields(Workers)}, lambda **table: _employ(config, Workers(**table))),
        "run": ({field.name for field in fields(Pace)}, Pace),
    }
    if isinstance(config, GRPOConfig):
        takers["loss"] = {f.name for f in fields(Clipped)}, lambda **table: config.training(clipped=Clipped(**table))
    return takers


def _named(method: Callable[..., object]) -> set[str]:
    """The parameters of a method that have names of their own."""
    every = inspect.signature(method).parameters.values()
    return {one.name for one in every if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)} - {"self", "cls"}


def _fill(name: str, table: Any, known: set[str], take: Callable[..., object]) -> None:
    if not isinstance(table, Mapping):
        raise TaskError(f"{name} is {table!r}; write it as a table: [{name}]")
    for field in table:
        if field not in known:
            raise UnknownName(f"field of [{name}]", field, known)
    try:
        take(**table)
    except TaskError as error:
        raise TaskError(f"[{name}]: {error}") from error
    except (TypeError, ValueError) as error:
        raise TaskError(f"[{name}] {dict(table)}: {error}") from error


def _employ(config: LanguageConfig, workers: Workers) -> None:
    config.env_runners(
        num_env_runners=workers.runners,
        num_gpus_per_env_runner=workers.gpus_per_runner,
        create_local_env_runner=workers.runners == 0,  # it would hold a model that nobody asks
    )
    config.learners(num_learners=workers.learners, num_gpus_per_learner=workers.gpus_per_learner)


def settings(recipe: Recipe) -> dict[str, Any]:
    """What a run of it must be gone on with."""
    pace = asdict(recipe.pace) | {"evaluate_every": None, "save_every": None}  # these may change
    return {"stage": recipe.stage, **{name: dict(table) for name, table in recipe.tables.items()}, "run": pace}
