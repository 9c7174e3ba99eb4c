# python configs/rllib/bc.py
"""BC of known solutions of the two easiest families, recorded first. Both and the checkpoint go to runs/rllib-bc."""

from pathlib import Path

from ray.rllib.algorithms.bc import BCConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from termgym.family import find_family
from termgym.grid import TerminalGridEnv
from termgym.rllib.demonstrations import record
from termgym.rllib.screen import ScreenModule
from termgym.rllib.session import train

FAMILIES = ("interactive/set-up", "interactive/menu")
GRID = TerminalGridEnv(rows=12, cols=80)  # for what it shows and takes; nothing is started
FOLDER = Path("runs/rllib-bc")
STEPS = FOLDER / "steps.parquet"

config = (
    BCConfig()
    .environment(observation_space=GRID.observation_space, action_space=GRID.action_space)
    .learners(num_learners=0)
    .rl_module(rl_module_spec=RLModuleSpec(module_class=ScreenModule, model_config={"cells": 96}))
    .offline_data(
        input_=[str(STEPS)],
        ignore_final_observation=True,
        dataset_num_iters_per_learner=1,
        map_batches_kwargs={"concurrency": 1},  # of two cores one is left to read the file
    )
    .training(lr=2e-3, train_batch_size_per_learner=64)
    .debugging(seed=0)
)

if __name__ == "__main__":
    record([find_family(name).task(seed) for seed in range(250) for name in FAMILIES], STEPS, rows=12, cols=80)
    train(config, FOLDER, iterations=200)
