"""GRPO: policy optimization by groups of whole episodes, scored by verifiers (arXiv 2402.03300, and its successors)."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS

from termgym.advantages import BASELINES, advantages, returns, turn_advantages
from termgym.calibration import Calibration
from termgym.curriculum import Curriculum, informative
from termgym.errors import TaskError, UnknownName
from termgym.loss import Clipped
from termgym.packing import AVERAGES, Batch, pack
from termgym.rllib.algorithm import LanguageAlgorithm, Logged
from termgym.rllib.config import LanguageConfig
from termgym.rllib.learner import GRPOLearner
from termgym.rllib.runner import Sampled
from termgym.sample import Sample, samples
from termgym.setting import Setting
from termgym.source import Sampler
from termgym.trajectory import Trajectory

CREDITS = ("episode", "turn")
SECONDS = ("generate", "environment", "verify")
CURRICULUM = ("band", "explore", "rates")
CALIBRATION = "calibration"
Group = list[Trajectory]


class GRPOConfig(LanguageConfig):
    """Configures `GRPO`: `GRPOConfig().environment("Terminal-v0", env_config={...}).build_algo().train()`."""

    def __init__(self, algo_class: Any = None) -> None:
        super().__init__(algo_class=algo_class or GRPO)
        self.lr, self.groups, self.group_size, self.top_up = 1e-6, 8, 8, 3
        self.baseline, self.credit, self.discount, self.unusable = "group", "episode", 1.0, 0.0
        self.average, self.clipped = "token", Clipped()
        self.minibatches, self.num_epochs = 1, 1
        self.curriculum: Mapping[str, Any] | None = None

    @override(LanguageConfig)
    def training(
        self,
        *,
        groups: int | None = None,
        group_size: int | None = None,
        top_up: int | None = None,
        baseline: str | None = None,
        credit: str | None = None,
        discount: float | None = None,
        unusable: float | None = None,
        average: str | None = None,
        clipped: Clipped | None = None,
        minibatches: int | None = None,
        curriculum: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Self:
        """How it is trained, beside what `LanguageConfig.training` has.

        Args:
            groups: Groups of a step whose scores are not all alike; the others teach nothing, and are dropped.
            group_size: Attempts at one task.
            top_up: How often, at most, as many groups are drawn anew as were dropped.
            baseline: "group", "leave_one_out" or "mean" (`termgym.advantages`).
            credit: "episode", the same for all its tokens, or "turn", by what each turn led to.
            discount: Of a turn's return, for each turn until the score comes.
            unusable: What a turn loses whose reply is no action.
            average: Of the loss: "token", all alike, or "sequence".
            clipped: The loss.
            minibatches: Optimizer steps that a step's groups are split over; `num_epochs` passes over all.
            curriculum: Draw the families and levels that are solved sometimes: the `band` and `explore` of
                `termgym.curriculum.Curriculum`, and the `rates` to begin with, a file of `termgym calibrate`.
            more: As there.

        Raises:
            UnknownName: There is no such baseline, credit, average, or option of a curriculum.
        """
        for kind, name, known in (
            ("baseline", baseline, BASELINES),
            ("credit", credit, CREDITS),
            ("average", average, AVERAGES),
            *(("option of a curriculum", option, CURRICULUM) for option in curriculum or {}),
        ):
            if name is not None and name not in known:
                raise UnknownName(kind, name, known)
        super().training(**more)
        given = {"groups": groups, "group_size": group_size, "top_up": top_up, "baseline": baseline, "credit": credit}
        given |= {"discount": discount, "unusable": unusable, "average": average, "clipped": clipped}
        self._take(minibatches=minibatches, curriculum=curriculum, **given)
        return self

    def source(self, setting: Setting) -> Sampler:
        """What tasks are drawn from.

        Raises:
            TaskError: They cannot be used, or are not for a curriculum to choose.
        """
        return setting.source if self.curriculum is None else self._chosen(self.curriculum)

    def _chosen(self, curriculum: Mapping[str, Any]) -> Curriculum:
        fixed = [name for name in ("level", "seed") if self.env_config.get(name) is not None]
        if fixed:
            raise TaskError(f"{fixed[0]} of the environment is for the curriculum to choose; leave one of them out")
        asked = dict(curriculum)
        rates = asked.pop("rates", None)
        return Curriculum(self.env_config.get("task"), Calibration.load(Path(rates)) if rates else None, **asked)

    @override(LanguageConfig)
    def validate(self) -> None:
        super().validate()
        if self.curriculum is not None:
            self._chosen(self.curriculum)

    @override(LanguageConfig)
    def get_default_learner_class(self) -> type[GRPOLearner]:
        return GRPOLearner

    @override(LanguageConfig)
    def get_default_rl_module_spec(self) -> Any:
        spec = super().get_default_rl_module_spec()
        spec.model_config["reference"] = self.clipped.kl > 0
        return spec


class GRPO(LanguageAlgorithm):
    """Draws tasks, has groups of episodes run, learns from those whose scores differ, and hands the weights on."""

    config: GRPOConfig

    @classmethod
    @override(LanguageAlgorithm)
    def get_default_config(cls) -> GRPOConfig:
        return GRPOConfig()

    @override(LanguageAlgorithm)
    def setup(self, config: Any) -> None:
        super().setup(config)
        self.setting = self.config.setting()
        self.source = self.config.source(self.setting)

    @override(LanguageAlgorithm)
    def training_step(self) -> None:
        groups, logged = self.collect()
        begin = time.perf_counter()
        batches = self.batches(groups) if groups else []
        logged["seconds"]["learn"] = time.perf_counter() - begin
        updated = self.update(batches) if batches else {"seconds": {"learn": 0.0}}
        seconds = logged.pop("seconds")
        seconds["learn"] += updated.pop("seconds")["learn"]
        self.last = {"stage": "grpo", "step": self.iteration + 1, **logged, **updated, "seconds": seconds}
        self.metrics.log_dict({name: logged[name] for name in logged}, key=ENV_RUNNER_RESULTS, window=1)

    def collect(self) -> tuple[list[Group], Logged]:
        """Groups that teach something, and what all that were run came to."""
        kept: list[Group] = []
        found: list[Sampled] = []
        drawn = 0
        for _ in range(1 + self.config.top_up):
            wanted = self.config.groups - len(kept)
            if wanted <= 0:
                break
            tasks = [(drawn + number, self.source.draw(self.np_random)) for number in range(wanted)]
            sampled = self._sampled(tasks)
            drawn, found = drawn + wanted, [*found, sampled]
            kept += informative(_groups(sampled.trajectories), self._score)
        return kept, self._logged(found, kept)

    def _sampled(self, tasks: list[Any]) -> Sampled:
        size, seed = self.config.group_size, int(self.np_random.integers(2**31))
        found = self.by_runners(
            tasks,
            lambda runner, share: runner.sample(tasks=share, group_size=size, seed=seed) if share else Sampled([]),
        )
        if isinstance(self.source, Curriculum):
            self.source.update(found.trajectories)
        return found

    @override(LanguageAlgorithm)
    def get_state(self, *args: Any, **kwargs: Any) -> Logged:
        met = {CALIBRATION: self.source.calibration} if isinstance(self.source, Curriculum) else {}
        return super().get_state(*args, **kwargs) | met

    @override(LanguageAlgorithm)
    def set_state(self, state: Logged) -> None:
        super().set_state(state)
        if isinstance(self.source, Curriculum) and CALIBRATION in state:
            self.source.calibration = state[CALIBRATION]

    @property
    def _score(self) -> str:
        return self.setting.reward

    def score(self, one: Trajectory) -> float:
        """What an episode is worth: the environments' reward."""
        return float((one.binary if self._score == "binary" else one.dense) or 0.0)

    def _logged(self, found: Sequence[Sampled], kept: list[Group]) -> Logged:
        every = [one for sampled in found for one in sampled.trajectories]
        return {
            "episodes": len(every),
            "invalid": sum(sampled.invalid for sampled in found),
            "groups": len({one.group for one in every}),
            "informative": len(kept),
            "reward": float(np.mean([self.score(one) for one in every])) if every else 0.0,
            "solved": float(np.mean([one.solved for one in every])) if every else 0.0,
            "turns": float(np.mean([len(one.turns) for one in every])) if every else 0.0,
            "tokens": sum(one.tokens for one in every),
            "seconds": {name: sum(one.seconds.get(name, 0.0) for one in found) for name in SECONDS},
        }

    def batches(self, groups: Sequence[Group]) -> list[Batch]:
        """The optimizer steps of these groups."""
        made = [sample for group in groups for sample in self.samples(group)]
        steps: list[Batch] = []
        for _ in range(self.config.num_epochs):
            order = self.np_random.permutation(len(made))
            for part in np.array_split(order, min(self.config.minibatches, len(made))):
                chosen = [made[number] for number in part]
                steps.append(pack(chosen, self.config.row_length, average=self.config.average, multiple=self.learners))
        return steps

    def samples(self, group: Group) -> list[Sample]:
        """The samples of a group, with their advantages."""
        scores = [self.score(one) for one in group]
        if self.config.credit == "episode":
            values: Sequence[Any] = advantages(scores, self.config.baseline).tolist()
        else:
            led = [
                returns(one, score, self.config.discount, self.config.unusable)
                for one, score in zip(group, scores, strict=True)
            ]
            values = turn_advantages(led, self.config.baseline)
        return [sample for one, value in zip(group, values, strict=True) for sample in samples(one, value)]


def _groups(trajectories: Sequence[Trajectory]) -> list[Group]:
    groups: defaultdict[int, Group] = defaultdict(list)
    for one in trajectories:
        groups[one.group].append(one)
    return list(groups.values())
