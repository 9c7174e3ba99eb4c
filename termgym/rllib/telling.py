"""How a training run is told of, a line at a time."""

import logging
from pathlib import Path

from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from termgym.rllib.recipe import Recipe
from termgym.rllib.training import Training
from termgym.training_log import Evaluated, TrainingStep

SHOWN = ("loss", "reward", "solved", "entropy", "lr")


def quiet() -> None:
    """Keep what RLlib and transformers have to say of themselves from between the lines."""
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    disable_progress_bar()


def train(recipe: Recipe, folder: Path, console: Console) -> None:
    """Carry a recipe out, and tell of each step and evaluation as it ends; see `Training.run` for what is raised."""
    Training(
        recipe,
        folder,
        on_step=lambda step: console.print(step_line(step), soft_wrap=True),
        on_evaluation=lambda found: console.print(evaluation_line(found), style="bold", soft_wrap=True),
    ).run()


def step_line(done: TrainingStep) -> str:
    """A step for people."""
    numbers = " ".join(f"{name} {done.numbers[name]:<9.3g}" for name in SHOWN if name in done.numbers)
    times = ", ".join(f"{name} {value:.1f}" for name, value in done.seconds.items())
    return f"step {done.step:>5}  {numbers} {done.numbers['wall_s']:.1f} s ({times})"


def evaluation_line(found: Evaluated) -> str:
    """An evaluation for people."""
    if found.pass_at_1 is None or found.interval_95 is None:
        return f"after step {found.step}: no valid episode, {found.invalid} invalid"
    low, high = found.interval_95
    return f"after step {found.step}: held-out pass@1 {found.pass_at_1:.0%} ({low:.0%} to {high:.0%}) of {found.n}"
