"""What both algorithms on language models share: an update of the learners, evaluation, and what a checkpoint keeps."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import LEARNER_RESULTS

from termgym.evaluation import Evaluation
from termgym.packing import Batch, shards
from termgym.plan import Plan
from termgym.rllib.config import LanguageConfig
from termgym.rllib.engine import tokenizer_of
from termgym.rllib.learner import STEPS
from termgym.rllib.runner import Runner, Sampled
from termgym.split import SPLITS

T = TypeVar("T")
Logged = dict[str, Any]
DRAWS = "draws"


class LanguageAlgorithm(Algorithm):
    """Training of a language model in terminals."""

    config: LanguageConfig

    @override(Algorithm)
    def setup(self, config: Any) -> None:
        self.np_random = np.random.default_rng(config.seed or 0)
        self.last: Logged = {}
        """What the last step came to: a line of `steps.jsonl`."""
        super().setup(config)

    @classmethod
    def _should_create_evaluation_env_runners(cls, eval_config: Any) -> bool:
        return False  # those that train evaluate too: an engine more would be a model more

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.config.steps

    @property
    def learners(self) -> int:
        """How many there are."""
        return max(1, self.config.num_learners)

    def update(self, batches: Sequence[Batch]) -> Logged:
        """Take an optimizer step on each batch; what the learners say of the last one."""
        begin = time.perf_counter()
        columns = shards(batches, self.learners)
        rows = len(columns["steps"])
        batch = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=rows)
        results = self.learner_group.update(batch=batch, timesteps={STEPS: self.steps})
        self.metrics.aggregate(results, key=LEARNER_RESULTS)
        said: Any = self.metrics.peek((LEARNER_RESULTS, DEFAULT_MODULE_ID))
        names = ("loss", "entropy", "grad_norm", "lr", "clipped", "kl", "engine_gap")
        logged = {name: float(said[name]) for name in names if name in said}
        self._gather()
        self.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.learner_group, inference_only=True, timeout_seconds=None
        )
        return logged | {"seconds": {"learn": time.perf_counter() - begin}}

    def _gather(self, optimizer: bool = False) -> None:
        if self.config.loading.sharded:
            for done in self.learner_group.foreach_learner(lambda learner: learner.gather(optimizer)):
                done.get()

    @override(Algorithm)
    def save_to_path(self, *args: Any, **kwargs: Any) -> str:
        self._gather(optimizer=True)
        return super().save_to_path(*args, **kwargs)

    def by_runners(self, items: Sequence[T], run: Callable[[Runner, list[T]], Sampled]) -> Sampled:
        """Have the runners share in work. A runner that dies on it brings nothing back, and is started anew."""
        group = self.env_runner_group
        if group.num_remote_workers() == 0:
            return run(group.local_env_runner, list(items))
        ids = group.healthy_env_runner_ids()
        shares = [list(items[number :: len(ids)]) for number in range(len(ids))]
        calls = [lambda runner, share=share: run(runner, share) for share in shares]
        return Sampled.merged(group.foreach_env_runner(calls, remote_worker_ids=ids, local_env_runner=False))

    @override(Algorithm)
    def evaluate(self, parallel_train_future: Any = None) -> Logged:
        """Evaluate on the held-out tasks; the solved share and what it is of, among RLlib's evaluation results."""
        report = self.evaluate_in(Path(self.logdir, "evaluations", f"{self.iteration:05}")).report.total
        return {"solved": report.solved, "episodes": report.n, "pass@1": report.solved / max(1, report.n)}

    def evaluate_in(self, folder: Path) -> Evaluation:
        """Evaluate on the held-out tasks into a folder, as `termgym eval` would; what is there is not repeated."""
        begin = time.monotonic()
        run = Evaluation(folder, {"policy": self.config.engine, **self._held_out()})
        run.resume()
        found = self.by_runners(list(run.left(self.plan())), lambda runner, share: runner.attempt(share))
        run.record(found.trajectories, found.casts, time.monotonic() - begin)
        return run

    def save_model(self, folder: Path) -> None:
        """Write the model, as it is now, with its tokenizer, as transformers loads it."""
        module: Any = self.config.get_rl_module_spec(spaces=self.spaces, inference_only=True).build()
        module.set_state(self.learner_group.get_weights()[DEFAULT_MODULE_ID])
        module.save(str(folder), tokenizer_of(self.config.loading.model))

    def plan(self) -> Plan:
        """The attempts of an evaluation."""
        held, policy = self.config.held_out, self.config.engine
        asked = self.config.env_config
        wanted = held["task"] or asked.get("task")
        listed = [wanted] if wanted is not None and not isinstance(wanted, list | tuple) else wanted
        fields = {name: held[name] for name in ("episodes", "attempts", "seed")}
        made = Plan.of(policy, listed, level=held["level"] or asked.get("level"), **fields)
        return made if held["task"] else replace(made, seeds=SPLITS["test"].seeds)

    def _held_out(self) -> Logged:
        return {name: str(value) for name, value in self.config.held_out.items()}

    @override(Algorithm)
    def get_state(self, *args: Any, **kwargs: Any) -> Logged:
        return super().get_state(*args, **kwargs) | {DRAWS: self.np_random.bit_generator.state}

    @override(Algorithm)
    def set_state(self, state: Logged) -> None:
        super().set_state(state)
        if DRAWS in state:
            self.np_random.bit_generator.state = state[DRAWS]
