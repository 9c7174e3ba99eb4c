"""Commands that train language models: sft, grpo."""

from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from termgym.cli import base
from termgym.errors import TaskError

if TYPE_CHECKING:
    from termgym.rllib.recipe import Recipe
    from termgym.training_log import Evaluated, TrainingStep

Config = Annotated[Path, typer.Argument(help="A recipe: see configs/.", show_default=False)]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for the run; the same goes on where it was stopped.", show_default="runs/TIME-STAGE"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the recipe, say what it comes to, and train nothing.")]


@base.app.command("sft", epilog="Example: termgym sft configs/sft/smollm2-135m.toml --out runs/warm")
def sft(config: Config, out: Out = None, dry_run: DryRun = False) -> None:
    """Train a model on conversations, as `termgym collect` writes them. The same command with --out goes on."""
    _train("sft", config, out, dry_run)


@base.app.command("grpo", epilog="Example: termgym grpo configs/grpo/smollm2-135m.toml --out runs/policy")
def grpo(config: Config, out: Out = None, dry_run: DryRun = False) -> None:
    """Train a model by groups of episodes in live sandboxes. The same command with --out goes on."""
    _train("grpo", config, out, dry_run)


def _train(stage: str, path: Path, out: Path | None, dry_run: bool) -> None:
    if not find_spec("ray") or not find_spec("transformers"):
        raise TaskError("training needs more packages: pip install 'termgym[rllib]'")
    from termgym.rllib.recipe import read_recipe

    recipe = read_recipe(stage, path)
    if dry_run:
        typer.echo(recipe.summary())
    else:
        _run(recipe, out or Path("runs", f"{datetime.now():%Y%m%d-%H%M%S}-{stage}"))


def _run(recipe: "Recipe", folder: Path) -> None:
    from termgym.rllib.training import Training

    console = base.console()

    def step(done: "TrainingStep") -> None:
        console.print(step_line(done), soft_wrap=True)

    def evaluated(found: "Evaluated") -> None:
        console.print(evaluation_line(found), style="bold", soft_wrap=True)

    console.print(f"{recipe.summary()}\nThe run is in {folder}; with --out {folder} it goes on where it was stopped.")
    Training(recipe, folder, on_step=step, on_evaluation=evaluated).run()
    console.print(f"The model is in {folder / 'model'}. To look at the run: termgym report {folder}", soft_wrap=True)


def step_line(done: "TrainingStep") -> str:
    """A step for people."""
    shown = {name: done.numbers[name] for name in ("loss", "reward", "solved", "entropy", "lr") if name in done.numbers}
    times = ", ".join(f"{name} {value:.1f}" for name, value in done.seconds.items())
    numbers = " ".join(f"{name} {value:<9.3g}" for name, value in shown.items())
    return f"step {done.step:>5}  {numbers} {done.numbers['wall_s']:.1f} s ({times})"


def evaluation_line(found: "Evaluated") -> str:
    """An evaluation for people."""
    if found.pass_at_1 is None or found.interval_95 is None:
        return f"after step {found.step}: no valid episode of {found.invalid}"
    low, high = found.interval_95
    return f"after step {found.step}: held-out pass@1 {found.pass_at_1:.0%} ({low:.0%} to {high:.0%}) of {found.n}"
