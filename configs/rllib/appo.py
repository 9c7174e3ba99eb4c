# python configs/rllib/appo.py
"""APPO from scratch on the two easiest families, sampling while it learns. The checkpoint goes to runs/rllib-appo."""

from pathlib import Path

from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from termgym.rllib.endings import Endings
from termgym.rllib.screen import ScreenModule
from termgym.rllib.session import train

config = (
    APPOConfig()
    .environment(
        "termgym:TerminalGrid-v0",
        env_config={
            "task": ["interactive/set-up", "interactive/menu"],
            "level": 1,
            "reward": "dense",
            "rows": 12,
            "cols": 80,
            "limits": {"turns": 4},
        },
    )
    .env_runners(
        num_env_runners=1,
        num_envs_per_env_runner=32,
        rollout_fragment_length=16,
        gym_env_vectorize_mode="vector_entry_point",
    )
    .learners(num_learners=0)
    .rl_module(rl_module_spec=RLModuleSpec(module_class=ScreenModule, model_config={"cells": 96}))
    .callbacks(Endings)
    .training(
        lr=1e-3,
        train_batch_size_per_learner=512,
        gamma=0.95,
        clip_param=0.2,
        vf_loss_coeff=0.5,
        entropy_coeff=0.003,
        use_kl_loss=False,
        grad_clip=0.5,
        grad_clip_by="global_norm",
    )
    .debugging(seed=0)
)

if __name__ == "__main__":
    train(config, Path("runs/rllib-appo"), iterations=30)
