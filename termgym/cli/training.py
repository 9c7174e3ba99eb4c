"""Commands that train language models: sft, grpo."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from termgym.cli import base
from termgym.errors import TaskError

if TYPE_CHECKING:
    from termgym.rllib.recipe import Recipe

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
    if not base.can_train():
        raise TaskError("training needs more packages: pip install 'termgym[rllib]'")
    from termgym.rllib.recipe import read_recipe
    from termgym.rllib.telling import quiet

    quiet()
    recipe = read_recipe(stage, path)
    if dry_run:
        typer.echo(recipe.summary())
    else:
        _run(recipe, out or Path("runs", f"{datetime.now():%Y%m%d-%H%M%S}-{stage}"))


def _run(recipe: "Recipe", folder: Path) -> None:
    from termgym.rllib.telling import train

    console = base.console()
    console.print(f"{recipe.summary()}\nThe run is in {folder}; with --out {folder} it goes on where it was stopped.")
    train(recipe, folder, console)
    console.print(f"The model is in {folder / 'model'}. To look at the run: termgym report {folder}", soft_wrap=True)
