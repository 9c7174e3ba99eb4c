"""SFT and GRPO of SmolLM2-135M on a GPU, with sandboxes on the host's CPUs: tokens a second, and who waits for whom.

    python benchmarks/gpu.py [--model NAME_OR_FOLDER] [--steps 50] [--out runs/gpu]

Writes benchmarks/gpu.json with the GPU's name. Where there is no GPU, it says so and writes nothing. The engine is vLLM
where that is installed, else hf.
"""

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from termgym.evaluation import Evaluation
from termgym.plan import Plan
from termgym.rllib.recipe import Recipe
from termgym.rllib.telling import train
from termgym.training_log import evaluations, read_steps

RESULTS = Path(__file__).with_suffix(".json")
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
TASKS = ["interactive/confirm", "interactive/set-up", "interactive/menu"]


def main() -> None:
    """Run both, and write the figures."""
    options = argparse.ArgumentParser(description="Training on a GPU.")
    options.add_argument("--model", default=MODEL)
    options.add_argument("--steps", type=int, default=50)
    options.add_argument("--out", type=Path, default=Path("runs/gpu"))
    asked = options.parse_args()
    if not torch.cuda.is_available():
        sys.exit("There is no GPU here that torch can use: nothing was measured.")
    Evaluation(asked.out / "shown", {}).run(Plan.of("teacher", TASKS, level=1, episodes=100), concurrency=16)
    sft = _trained("sft", asked.model, {"corpus": str(asked.out / "shown"), "batch_size": 32, "lr": 1e-4}, asked)
    training = {"groups": 16, "group_size": 8, "lr": 2e-6, "credit": "turn", "unusable": 0.5}
    grpo = _trained("grpo", str(asked.out / "sft" / "model"), training, asked)
    found = {"gpu": torch.cuda.get_device_name(), "model": asked.model, "engine": _engine(), "sft": sft, "grpo": grpo}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _engine() -> str:
    return "vllm" if find_spec("vllm") else "hf"


def _trained(stage: str, model: str, training: dict[str, Any], asked: Any) -> dict[str, Any]:
    """A stage's figures: tokens a second, shares of a step's time, and the learning curve."""
    tables = {
        "model": {"model": model, "autocast": "bfloat16"},
        "environment": {"task": TASKS, "level": 1, "reward": "dense"},
        "generation": {"engine": _engine(), "max_tokens": 256, "context": 4096, "concurrency": 64},
        "training": {"steps": asked.steps, "row_length": 8192, **training},
        "validation": {"episodes": 32},
        "workers": {"gpus_per_runner": 0.5, "gpus_per_learner": 0.5},
    }
    console, folder = Console(highlight=False), asked.out / stage
    train(Recipe.of(stage, tables), folder, console)
    steps = read_steps(folder)
    wall_s = sum(step.numbers["wall_s"] for step in steps)
    names = {name: None for step in steps for name in step.seconds}
    return {
        "tokens_per_s": round(sum(step.numbers["tokens"] for step in steps) / wall_s),
        "shares": {name: round(sum(step.seconds.get(name, 0.0) for step in steps) / wall_s, 4) for name in names},
        "curve": [(one.step, one.pass_at_1, one.interval_95) for one in evaluations(folder)],
    }


if __name__ == "__main__":
    main()
