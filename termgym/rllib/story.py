"""The whole story, small enough for two CPU cores: a tiny model learns to act in a terminal.

It learns first by imitation, then by reward, and is examined on tasks that it never met. What it is to learn is
`interactive/confirm`: to answer a program in the manner that the instruction asks for.
"""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from termgym.attempt import Attempt
from termgym.corpus.file import read
from termgym.episode import EpisodeConfig
from termgym.evaluation import Evaluation
from termgym.family import find_family
from termgym.page import write_training
from termgym.plan import Plan
from termgym.policy import Policy, new_policy
from termgym.progress import Progress
from termgym.rllib import tiny
from termgym.rllib.recipe import Recipe
from termgym.rllib.telling import quiet, train
from termgym.split import SPLITS
from termgym.task import Task
from termgym.training_log import Evaluated, evaluations, stages

FAMILY, LEVEL = "interactive/confirm", 1
TURNS = 3
"""Two answers, and a word that it is done."""
EPISODES = EpisodeConfig(confirm=False)


@dataclass(frozen=True, slots=True)
class Story:
    """How much of each there is."""

    demonstrations: int = 256
    """Tasks that are done twice: right, and with one of the mistakes that their family knows of."""
    imitation: int = 240
    """Steps, of 32 demonstrations each. Nobody says which of them were right."""
    optimization: int = 20
    """Steps, of 8 groups of 8 episodes each."""
    held_out: int = 100
    """Tasks of the exams."""
    seed: int = 0

    def tell(self, folder: Path, console: Console) -> list[tuple[str, Evaluated]]:
        """Run it, in a folder that the same story goes on in, and say who solved how much of the held-out tasks."""
        quiet()
        torch.set_num_threads(1)  # quicker than two for matrices as small as these
        scores = [(policy, self._baseline(folder, policy)) for policy in ("idle", "random")]
        console.print(f"\n1. {self.demonstrations} tasks are done right, and each once more with a mistake.")
        self._collect(folder / "demonstrations")
        console.print("\n2. A tiny model learns to imitate all of them (SFT).")
        model = self._model(folder)
        scores.append(("after SFT", _train(self.warm_start(folder, model), folder / "sft", console)))
        console.print("\n3. It is rewarded for what it solves in live sandboxes (GRPO).")
        scores.append(("after GRPO", _train(self.optimized(folder), folder / "grpo", console)))
        return scores

    def warm_start(self, folder: Path, model: Path) -> Recipe:
        """Supervised training of the tiny model."""
        training = {"batch_size": 32, "steps": self.imitation, "lr": 6e-3, "weight_decay": 0.01}
        return self._recipe("sft", model, {"corpus": str(folder / "demonstrations"), **training}, self.imitation)

    def optimized(self, folder: Path) -> Recipe:
        """Policy optimization of what came of it."""
        training = {"groups": 8, "group_size": 8, "top_up": 1, "minibatches": 2, "lr": 3e-4, "steps": self.optimization}
        # A turn that is no action costs something, even the last, which no check depends on.
        training |= {"credit": "turn", "unusable": 0.5}
        return self._recipe("grpo", folder / "sft" / "model", training, 10)

    def _recipe(self, stage: str, model: Path, training: Mapping[str, Any], every: int) -> Recipe:
        environment = {"task": FAMILY, "level": LEVEL, "reward": "binary", "confirm": False, "limits": {"turns": TURNS}}
        tables = {
            "model": {"model": str(model)},
            "environment": environment,
            "generation": {"max_tokens": 32, "context": 512, "concurrency": 32},
            "training": {"row_length": 512, **training},
            "validation": {"episodes": self.held_out},
            "run": {"seed": self.seed, "evaluate_every": every},
        }
        return Recipe.of(stage, tables)

    def _baseline(self, folder: Path, policy: str) -> Evaluated:
        plan = replace(Plan.of(policy, [FAMILY], level=LEVEL, episodes=self.held_out), seeds=SPLITS["test"].seeds)
        run = _run(folder / policy, list(plan), policy)
        return Evaluated.of(0, run.report.total)

    def _collect(self, folder: Path) -> None:
        tasks = [find_family(FAMILY).task(seed, LEVEL) for seed in range(self.demonstrations)]
        attempts = [
            Attempt(task, policy, number, self.seed)
            for task in tasks
            for number, policy in enumerate(("oracle", mistaken))
        ]
        _run(folder, attempts, "demonstrations")

    def _model(self, folder: Path) -> Path:
        if not (folder / "model").exists():
            records = read(folder / "demonstrations", _no)
            said = ["\n".join(message.content for message in record.messages) for record in records]
            more = [find_family(FAMILY).task(seed, LEVEL).instruction for seed in range(256)]
            tiny.make(folder / "model", said, more, hidden=96, layers=2, context=512, seed=self.seed)
        return folder / "model"


def mistaken(task: Task, seed: int) -> Policy:
    """The oracle of a solution that its family says is wrong."""
    place = task.id.rpartition("@")[2]
    wrong = find_family(FAMILY).wrong(*map(int, place.split(".")))
    return new_policy("oracle", replace(task, oracle=Random(seed).choice(list(wrong.values()))), seed)


def _run(folder: Path, attempts: Sequence[Attempt], title: str) -> Evaluation:
    run = Evaluation(folder, {"episodes": len(attempts)})
    with Progress(len(attempts), title) as progress:
        run.run(attempts, concurrency=8, config=EPISODES, on_turn=progress.stepped, on_end=progress.ended)
    return run


def _train(recipe: Recipe, folder: Path, console: Console) -> Evaluated:
    train(recipe, folder, console)
    return evaluations(folder)[-1]


def _no(error: Exception) -> None:
    raise error


def table(scores: list[tuple[str, Evaluated]]) -> Table:
    """Who solved how much, for people."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("policy", "held-out pass@1", "95 % interval", "tasks"):
        made.add_column(column, justify="left" if column == "policy" else "right")
    for name, found in scores:
        low, high = found.interval_95 or (0.0, 0.0)
        made.add_row(name, f"{found.pass_at_1 or 0:.0%}", f"{low:.0%} to {high:.0%}", f"{found.n}")
    return made


def write_page(folder: Path) -> Path:
    """The page of the story: its curves, and episodes before and after."""
    return write_training(stages(folder), folder / "report.html")
