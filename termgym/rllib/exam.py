"""An exam: how a policy does on given tasks in `TerminalGrid-v0`, each played once, many at a time."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.torch import TorchRLModule

from termgym.family import find_family
from termgym.grid import KEYS, Grid
from termgym.outcome import Outcome
from termgym.split import SPLITS
from termgym.task import Task
from termgym.vector import TerminalGridVectorEnv

AT_ONCE = 32
Choice = Callable[[Grid], Iterable[int]]
"""From a batch of observations to an action for each."""


def held_out(family: str, count: int, level: int = 1) -> list[Task]:
    """A family's first tasks for testing, of seeds that training never meets."""
    return [find_family(family).task(seed, level) for seed in SPLITS["test"].seeds[:count]]


def sit(choice: Choice, tasks: Sequence[Task], **options: Any) -> NDArray[np.float64]:
    """The dense score of each task, (tasks,), nan where a sandbox or a verifier failed.

    Args:
        choice: The policy.
        tasks: Which tasks.
        options: The environment's, beside the task and the reward.
    """
    scores = np.full(len(tasks), np.nan)
    for begin in range(0, len(tasks), AT_ONCE):
        part = tasks[begin : begin + AT_ONCE]
        env = TerminalGridVectorEnv(len(part), tasks=part, autoreset_mode="Disabled", reward="dense", **options)
        try:
            for number, score in _played(env, choice):
                scores[begin + number] = score
        finally:
            env.close()
    return scores


def _played(env: TerminalGridVectorEnv, choice: Choice) -> Iterator[tuple[int, float]]:
    """The numbers of environments and the scores of their episodes, as they end."""
    seen, _ = env.reset(seed=0)
    ids = np.arange(env.num_envs)
    while len(ids):
        env.send(choice(seen), ids)
        seen, rewards, ended, cut, infos = env.recv()
        done = ended | cut
        for place in np.flatnonzero(done):
            valid = Outcome(infos["outcome"][place]).valid
            yield int(infos["env_id"][place]), float(rewards[place]) if valid else np.nan
        ids, seen = infos["env_id"][~done], {name: array[~done] for name, array in seen.items()}


def sampled(module: TorchRLModule, seed: int = 0) -> Choice:
    """Actions drawn as a module gives them chances."""
    generator = torch.Generator().manual_seed(seed)

    def choice(seen: Grid) -> list[int]:
        batch = {name: torch.from_numpy(array) for name, array in seen.items()}
        logits = module.forward_inference({Columns.OBS: batch})[Columns.ACTION_DIST_INPUTS]
        return torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0].tolist()

    return choice


def at_random(seed: int = 0) -> Choice:
    """Any key, each as likely."""
    generator = np.random.default_rng(seed)
    return lambda seen: generator.integers(len(KEYS), size=len(seen["cursor"])).tolist()
