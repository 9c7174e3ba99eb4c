"""An EnvRunner for language models: sandboxes, an engine, and whole episodes in groups, many at a time."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np
import ray
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from termgym.agent import Agent
from termgym.aio import LoopThread
from termgym.attempt import Attempt
from termgym.evaluation import cast_of
from termgym.policy import Policy
from termgym.pool import SandboxPool
from termgym.rllib.engine import new_engine
from termgym.rollout import Rollout
from termgym.sandbox import close_shared
from termgym.task import Task
from termgym.trajectory import Trajectory

SPACES = gym.spaces.Box(0, 1, (1,), np.float32), gym.spaces.Discrete(1)
"""RLlib wants spaces; a language model's are tokens, which the batches carry."""
WEIGHTS_SEQ_NO = "weights_seq_no"


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a runner brings back."""

    trajectories: list[Trajectory]
    """The scored ones; those of each group one after the other."""
    invalid: int = 0
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    """Where the time went: generate, environment, verify."""
    casts: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Recordings, by their files' names."""

    @classmethod
    def merged(cls, found: Sequence["Sampled"]) -> "Sampled":
        """What runners brought back that ran side by side: what took time, took as long as the slowest."""
        names = {name: None for one in found for name in one.seconds}
        return cls(
            [trajectory for one in found for trajectory in one.trajectories],
            sum(one.invalid for one in found),
            {name: max(one.seconds.get(name, 0.0) for one in found) for name in names},
            {name: data for one in found for name, data in one.casts.items()},
        )


class Runner(EnvRunner, Checkpointable):
    """Runs attempts at tasks with the weights that it was last given."""

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        """RLlib makes it."""
        super().__init__(config=config, **kwargs)
        self.worker_index = kwargs.get("worker_index", 0)
        self.metrics = MetricsLogger(stats_cls_lookup=config.stats_cls_lookup, root=False)
        self.setting = config.setting()
        self.module = config.get_rl_module_spec(spaces=self.get_spaces(), inference_only=True).build()
        self._sequence = 0
        self._thread = LoopThread("termgym rollouts")
        self._engine = new_engine(self.module, config)
        self._pool: SandboxPool | None = None

    def new_policy(self, task: Task, seed: int) -> Policy:
        """The model as the policy of one episode."""
        return Agent(self._engine.model, self.config.sampling, seed)

    @override(EnvRunner)
    def sample(self, *, tasks: Sequence[tuple[int, Task]], group_size: int, seed: int) -> Sampled:  # pyright: ignore
        """Groups of episodes.

        Args:
            tasks: Each a group's number and its task.
            group_size: Attempts at each.
            seed: Of the draws.
        """
        attempts = [
            Attempt(task, self.new_policy, number, seed, limits=self.setting.limits_of(task), group=group)
            for group, task in tasks
            for number in range(group_size)
        ]
        return self._thread.run(self._run(attempts))

    def attempt(self, attempts: Sequence[Attempt]) -> Sampled:
        """Attempts as they are, with this policy, recorded."""
        limited = [
            replace(one, policy=self.new_policy, limits=one.limits or self.setting.limits_of(one.task))
            for one in attempts
        ]
        with TemporaryDirectory(prefix="termgym-") as folder:
            found = self._thread.run(self._run(limited, Path(folder)))
            casts = {path.name: path.read_bytes() for path in sorted(Path(folder, "casts").glob("*.cast"))}
        return replace(found, casts=casts)

    async def _run(self, attempts: Sequence[Attempt], folder: Path | None = None) -> Sampled:
        begin = time.perf_counter()
        last = begin

        def acted() -> None:
            nonlocal last
            last = time.perf_counter()

        casts = (lambda one: cast_of(folder, one.task.id, one.number)) if folder else None
        how = {"concurrency": self.config.concurrency, "config": self.setting.config, "on_turn": acted}
        rollout = Rollout(attempts, self._warm(), casts=casts, **how)
        async with aclosing(rollout.trajectories()) as ended:
            every = [one async for one in ended]
        scored = sorted((one for one in every if one.valid), key=lambda one: (one.group, one.attempt))
        known = rollout.places.to_dict()
        end = time.perf_counter()
        verify = max(0.0, end - last)
        seconds = {"generate": known["busy_s"], "environment": end - begin - known["busy_s"] - verify, "verify": verify}
        return Sampled(scored, len(every) - len(scored), seconds)

    def _warm(self) -> SandboxPool | None:
        if self._pool is None and self.setting.config.terminal == "pty":
            self._pool = SandboxPool(self.config.concurrency)
        return self._pool

    async def _update(self, weights: Any) -> None:
        async with self._engine.updating():
            self.module.set_state(weights)

    async def _close(self) -> None:
        await self._engine.close()
        if self._pool is not None:
            await self._pool.close()
        await close_shared()

    @override(EnvRunner)
    def stop(self) -> None:
        """End its sandboxes and its engine. Stopping twice is allowed."""
        if not self._thread.closed:
            self._thread.finish(self._close())

    @override(EnvRunner)
    def get_spaces(self) -> dict[str, Any]:
        return {INPUT_ENV_SPACES: SPACES, DEFAULT_MODULE_ID: SPACES}

    @override(EnvRunner)
    def assert_healthy(self) -> None:
        pass

    @override(EnvRunner)
    def make_env(self) -> None:
        pass

    @override(EnvRunner)
    def make_module(self) -> None:
        pass

    @override(EnvRunner)
    def get_metrics(self) -> Any:
        return self.metrics.reduce()

    @override(Checkpointable)
    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        state: dict[str, Any] = {WEIGHTS_SEQ_NO: self._sequence}
        if self._check_component(COMPONENT_RL_MODULE, components, not_components):
            state[COMPONENT_RL_MODULE] = {DEFAULT_MODULE_ID: self.module.get_state()}
        return state

    @override(Checkpointable)
    def set_state(self, state: dict[str, Any]) -> None:
        weights = state.get(COMPONENT_RL_MODULE)
        if weights is not None:
            weights = ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights
            self._thread.run(self._update(weights.get(DEFAULT_MODULE_ID, weights)))
        self._sequence = state.get(WEIGHTS_SEQ_NO, self._sequence)

    @override(Checkpointable)
    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), {"config": self.config}
