"""How a training run is told of, a line at a time."""

import logging

from transformers.utils.logging import disable_progress_bar

from termgym.training_log import Evaluated, TrainingStep

SHOWN = ("loss", "reward", "solved", "entropy", "lr")


def quiet() -> None:
    """Keep what RLlib and transformers have to say of themselves from between the lines."""
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    disable_progress_bar()


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
