"""The learning proof: a tiny model after imitation and after reward, on held-out tasks, for several seeds.

Beside it, by the same exam: idling and typing at random; imitation alone, for as long as the reward took; and reward
that says nothing, as it is shuffled within each group.

What is in the folder of the runs already is not run again.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import report
from rich.console import Console

from termgym.rllib.grpo import GRPO, Group
from termgym.rllib.recipe import Recipe
from termgym.rllib.story import Story
from termgym.rllib.training import Training
from termgym.sample import Sample
from termgym.training_log import Evaluated, evaluations, read_steps
from termgym.trajectory import Trajectory

TITLE, UNIT = "What a tiny model learns, by imitation and by reward", "of the held-out tasks"
COLUMNS = ["solved %", "from %", "to %", "tasks"]


class Shuffled(GRPO):
    """GRPO whose rewards go to other episodes of the group than those that earned them."""

    def samples(self, group: Group) -> list[Sample]:
        """As of GRPO."""
        scores = [self.score(one) for one in group]
        self._dealt = dict(zip(map(id, group), self.np_random.permutation(scores).tolist(), strict=True))
        made = super().samples(group)
        self._dealt = {}
        return made

    def score(self, one: Trajectory) -> float:
        """As of GRPO."""
        return getattr(self, "_dealt", {}).get(id(one), super().score(one))


def main() -> int:
    """Run what was not run yet, and write the figures."""
    options = report.parser("learning", __doc__)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--out", type=Path, default=Path("runs/learning"), help="folder of the runs")
    args, machine, console = options.parse_args(), report.machine(), Console(highlight=False, width=160)
    found = {seed: proof(seed, args.out / str(seed), console, args.quick) for seed in range(args.seeds)}
    rows = [_row(f"seed {seed}: {name}", one) for seed, scores in found.items() for name, one in scores.items()]
    notes = ["Share of an exam's tasks that was solved, and the 95 % interval (Wilson) around it."]
    result = {"title": TITLE, "unit": UNIT, "command": "python benchmarks/learning.py", "machine": machine}
    report.save(args.json, result | {"notes": notes, "columns": COLUMNS, "rows": rows})
    for row in rows:
        print(" ".join([f"{row['what']:34}", *(f"{row[name]:>9.5g}" for name in COLUMNS)]))
    return 0


def _row(what: str, found: Evaluated) -> dict[str, Any]:
    low, high = found.interval_95 or (0.0, 0.0)
    values = (100 * found.solved / found.n, 100 * low, 100 * high, found.n)
    return {"what": what, **dict(zip(COLUMNS, values, strict=True))}


def proof(seed: int, folder: Path, console: Console, quick: bool) -> dict[str, Evaluated]:
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
    return scores


def alone(story: Story, folder: Path) -> Recipe:
    """Imitation that goes on for as long as the reward took."""
    spent_s = sum(step.numbers["wall_s"] for step in read_steps(folder / "grpo"))
    each_s = sum(step.numbers["wall_s"] for step in read_steps(folder / "sft")) / story.imitation
    longer = replace(story, imitation=story.imitation + round(spent_s / each_s))
    return longer.warm_start(folder, folder / "model")


def _control(recipe: Recipe, folder: Path) -> Evaluated:
    Training(recipe, folder).run()
    return evaluations(folder)[-1]


if __name__ == "__main__":
    sys.exit(main())
