"""Recipes of a few short steps, and what they train on: demonstrations, and a tiny model that has seen their words."""

from pathlib import Path
from typing import Any

from termgym.corpus.file import read
from termgym.episode import EpisodeConfig
from termgym.evaluation import Evaluation
from termgym.plan import Plan

FAMILY = "interactive/confirm"


def prepare(folder: Path) -> None:
    """Make both in a folder."""
    from termgym.rllib import tiny

    plan = Plan.of("oracle", [FAMILY], level=1, episodes=8)
    Evaluation(folder / "shown").run(plan, concurrency=4, config=EpisodeConfig(confirm=False))
    said = ["\n".join(one.content for one in record.messages) for record in read(folder / "shown", _no)]
    tiny.make(folder / "model", said, hidden=32, layers=1, heads=2, context=512)


def _no(error: Exception) -> None:
    raise error


def tables(folder: Path, stage: str, **changes: Any) -> dict[str, Any]:
    """A recipe's tables, each with what is changed of it."""
    training: dict[str, Any] = {"sft": {"corpus": str(folder / "shown"), "steps": 6, "batch_size": 4, "lr": 3e-3}}.get(
        stage, {"steps": 3, "groups": 2, "group_size": 3, "top_up": 0, "minibatches": 2, "lr": 1e-4}
    )
    made: dict[str, Any] = {
        "model": {"model": str(folder / "model")},
        "environment": {"task": FAMILY, "level": 1, "reward": "dense", "confirm": False, "limits": {"turns": 2}},
        "generation": {"max_tokens": 8, "context": 512, "concurrency": 6},
        "training": {"row_length": 512, **training},
        "validation": {"episodes": 2},
        "run": {"evaluate_every": 0, "save_every": 2},
    }
    return made | {name: made.get(name, {}) | table for name, table in changes.items()}
