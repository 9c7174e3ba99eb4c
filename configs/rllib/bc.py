# python configs/rllib/bc.py
"""BC of known solutions of the two easiest families, recorded first. Both and the checkpoint go to runs/rllib-bc."""

from pathlib import Path

from ray.rllib.algorithms.bc import BCConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from termgym.family import find_family
from termgym.rllib.demonstrations import record
from termgym.rllib.screen import ScreenModule
from termgym.rllib.session import train

FAMILIES = ("interactive/set-up", "interactive/menu")
FOLDER = Path("runs/rllib-bc")
STEPS = FOLDER / "steps.parquet"

config = (
    BCConfig()
    .environment("termgym:TerminalGrid-v0", env_config={"task": FAMILIES, "level": 1, "rows": 12, "cols": 80})
    .env_runners(num_env_runners=0, num_envs_per_env_runner=1, gym_env_vectorize_mode="vector_entry_point")
    .learners(num_learners=0)
    .rl_module(rl_module_spec=RLModuleSpec(module_class=ScreenModule, model_config={"cells": 96}))
    .offline_data(input_=[str(STEPS)], ignore_final_observation=True, dataset_num_iters_per_learner=1)
    .training(lr=2e-3, train_batch_size_per_learner=64)
    .debugging(seed=0)
)

if __name__ == "__main__":
    record([find_family(name).task(seed) for seed in range(500) for name in FAMILIES], STEPS, rows=12, cols=80)
    train(config, FOLDER, iterations=200)
