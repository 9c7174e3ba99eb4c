"""For TRL's GRPOTrainer: tasks as its data set, whole episodes as its rollouts, verdicts as its reward.

    spec = TerminalSpec("interactive/set-up", count=64, level=1)
    trainer = GRPOTrainer(
        model="Qwen/Qwen3-4B",
        args=GRPOConfig("run", num_generations=8, max_completion_length=8192),
        train_dataset=spec.train_dataset,
        rollout_func=spec.rollout_func,
        reward_funcs=spec.reward_funcs,
    )
    trainer.train()

All episodes of a step run at once, by the protocol of `termgym.protocol`, and the loss is on the tokens that the model
emitted. `environment_factory=spec.environment_factory` in place of `rollout_func` gives models that call tools a
terminal as a tool. There TRL asks one terminal after the other, but all are made ready at once, and judged at once.

An episode that our side failed has no reward (None): TRL leaves it out of its group's baseline and learns nothing
from it.
"""

from termgym.trl.spec import TerminalSpec as TerminalSpec

__all__ = ["TerminalSpec"]
