"""The learning proof: a tiny model after imitation and after reward, on held-out tasks, for several seeds.

Beside it, by the same exam: idling and typing at random; imitation alone, for as long as the reward took; and reward
that says nothing, as it is shuffled within each group.

    python benchmarks/learning.py [--seeds 3] [--out runs/learning] [--quick]

What is there already is not run again. Writes benchmarks/learning.json.
"""

import argparse
import json
import platform
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from termgym.rllib.grpo import GRPO, Group
from termgym.rllib.recipe import Recipe
from termgym.rllib.story import Story
from termgym.rllib.training import Training
from termgym.sample import Sample
from termgym.training_log import Evaluated, evaluations, read_steps
from termgym.trajectory import Trajectory

RESULTS = Path(__file__).with_suffix(".json")


class Shuffled(GRPO):
    """GRPO whose rewards go to other episodes of the group than those that earned them."""

    def samples(self, group: Group) -> list[Sample]:
        """As of GRPO."""
        scores = [super(Shuffled, self).score(one) for one in group]
        self._dealt = dict(zip(map(id, group), self.np_random.permutation(scores).tolist(), strict=True))
        return super().samples(group)

    def score(self, one: Trajectory) -> float:
        """As of GRPO."""
        return getattr(self, "_dealt", {}).get(id(one), super().score(one))


def main() -> None:
    """Run what was not run yet, and write the figures."""
    options = argparse.ArgumentParser(description="The learning proof.")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--out", type=Path, default=Path("runs/learning"))
    options.add_argument("--quick", action="store_true", help="a first look: few steps and tasks, figures not written")
    asked = options.parse_args()
    console = Console(highlight=False, width=160)
    found = [proof(seed, asked.out / str(seed), console, asked.quick) for seed in range(asked.seeds)]
    console.print_json(data=found)
    if not asked.quick:
        machine = f"{platform.machine()}, Python {sys.version.split()[0]}, one thread for torch"
        RESULTS.write_text(json.dumps({"machine": machine, "seeds": found}, indent=1) + "\n", encoding="utf-8")


def proof(seed: int, folder: Path, console: Console, quick: bool) -> dict[str, Any]:
    """The story of a seed and its controls: policy -> solved, of how many, interval."""
    story = Story(seed=seed)
    if quick:
        story = replace(story, imitation=12, optimization=2, held_out=20)
    scores = dict(story.tell(folder, console))
    console.print("\nControl: imitation alone, for as long.")
    scores["SFT, same compute"] = _control(alone(story, folder), folder / "alone")
    console.print("Control: shuffled rewards.")
    shuffled = story.optimized(folder)
    shuffled.config.algo_class = Shuffled
    scores["GRPO, shuffled rewards"] = _control(shuffled, folder / "shuffled")
    return {"seed": seed, "scores": {name: _told(one) for name, one in scores.items()}, "grpo_step": _shares(folder)}


def alone(story: Story, folder: Path) -> Recipe:
    """Imitation that goes on for as long as the reward took."""
    spent_s = sum(step.numbers["wall_s"] for step in read_steps(folder / "grpo"))
    each_s = sum(step.numbers["wall_s"] for step in read_steps(folder / "sft")) / story.imitation
    longer = replace(story, imitation=story.imitation + round(spent_s / each_s))
    return longer.warm_start(folder, folder / "model")


def _control(recipe: Recipe, folder: Path) -> Evaluated:
    Training(recipe, folder).run()
    return evaluations(folder)[-1]


def _told(found: Evaluated) -> dict[str, Any]:
    return {"solved": found.solved, "n": found.n, "interval_95": found.interval_95}


def _shares(folder: Path) -> dict[str, float]:
    """Of the time of all steps of GRPO: generate, environment, verify, learn."""
    steps = [step.seconds for step in read_steps(folder / "grpo")]
    whole = sum(sum(step.values()) for step in steps)
    return {name: round(sum(step.get(name, 0.0) for step in steps) / whole, 4) for name in steps[0]}


if __name__ == "__main__":
    main()
