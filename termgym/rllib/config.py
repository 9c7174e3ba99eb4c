"""What both algorithms on language models are configured with, beside what every algorithm of RLlib is."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.annotations import override

from termgym.agent import Sampling
from termgym.errors import TaskError, UnknownName
from termgym.rllib.learner import cosine
from termgym.rllib.model import CausalLM, Loading
from termgym.rllib.runner import Runner
from termgym.setting import Setting
from termgym.source import Wanted

ENGINES = ("hf", "vllm")
SCHEDULES = ("constant", "cosine")


class LanguageConfig(AlgorithmConfig):
    """What `SFTConfig` and `GRPOConfig` share: the model, how it is trained, answers, and is evaluated."""

    def __init__(self, algo_class: Any = None) -> None:
        super().__init__(algo_class=algo_class)
        self.loading = Loading()
        self.sampling, self.context, self.thinking = Sampling(), None, None
        self.engine, self.engine_options, self.concurrency = "hf", {}, 16
        self.lr, self.betas, self.weight_decay, self.grad_clip = 1e-5, (0.9, 0.95), 0.0, 1.0
        self.schedule, self.warmup, self.steps = "constant", 0.0, 100
        self.row_length = 4096
        self.held_out: dict[str, Any] = {"task": None, "level": None, "episodes": 10, "attempts": 1, "seed": 0}
        self.env = "Terminal-v0"
        self.env_runner_cls, self.num_env_runners = Runner, 0

    def language_model(self, model: str | None = None, **loading: Any) -> Self:
        """Which model, and how it is held: the fields of `termgym.rllib.model.Loading`.

        Raises:
            UnknownName: There is no such field.
        """
        known = asdict(self.loading)
        for name in loading:
            if name not in known:
                raise UnknownName("option of a language model", name, known)
        self.loading = replace(self.loading, **({"model": str(model)} if model else {}), **loading)
        return self

    def generation(
        self,
        *,
        engine: str | None = None,
        concurrency: int | None = None,
        context: int | None = None,
        thinking: bool | None = None,
        engine_options: Mapping[str, Any] | None = None,
        **sampling: Any,
    ) -> Self:
        """How it answers.

        Args:
            engine: "hf", transformers' continuous batching, or "vllm".
            concurrency: Episodes at a time, of each runner.
            context: Tokens of a conversation, at most; the model's own limit unless given.
            thinking: For chat templates that can switch it.
            engine_options: More of vLLM's `AsyncEngineArgs`.
            sampling: The fields of `termgym.agent.Sampling`: temperature, top_p, top_k, max_tokens.

        Raises:
            UnknownName: There is no such engine or field.
        """
        if engine is not None and engine not in ENGINES:
            raise UnknownName("engine", engine, ENGINES)
        for name in sampling:
            if name not in asdict(self.sampling):
                raise UnknownName("option of generation", name, asdict(self.sampling))
        self.sampling = replace(self.sampling, **sampling)
        given = {"engine": engine, "concurrency": concurrency, "context": context, "thinking": thinking}
        self._take(engine_options=dict(engine_options) if engine_options else None, **given)
        return self

    @override(AlgorithmConfig)
    def training(
        self,
        *,
        betas: tuple[float, float] | None = None,
        weight_decay: float | None = None,
        schedule: str | None = None,
        warmup: float | None = None,
        steps: int | None = None,
        row_length: int | None = None,
        **more: Any,
    ) -> Self:
        """How it is trained, beside `lr` and `grad_clip` (the norm).

        Args:
            betas: Of AdamW.
            weight_decay: Of AdamW.
            schedule: "constant", or "cosine", which falls to 0 at the last step; either after a warm-up.
            warmup: The share of all steps in which the learning rate rises to its own.
            steps: Optimizer steps in all.
            row_length: Tokens of a row of packed samples; what is longer is cut.
            more: As every algorithm has them.

        Raises:
            UnknownName: There is no such schedule.
        """
        if schedule is not None and schedule not in SCHEDULES:
            raise UnknownName("schedule", schedule, SCHEDULES)
        super().training(**more)
        given = {"betas": betas, "weight_decay": weight_decay, "schedule": schedule, "warmup": warmup}
        self._take(steps=steps, row_length=row_length, **given)
        return self

    def validation(
        self,
        task: Wanted | Sequence[Wanted] | None = None,
        *,
        level: int | None = None,
        episodes: int | None = None,
        attempts: int | None = None,
        seed: int | None = None,
    ) -> Self:
        """Which tasks `evaluate` runs, as for `termgym.plan.Plan.of`; unless given, those trained on, by test seeds."""
        given = {"task": task, "level": level, "episodes": episodes, "attempts": attempts, "seed": seed}
        self.held_out = self.held_out | {name: value for name, value in given.items() if value is not None}
        return self

    def _take(self, **given: Any) -> None:
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)

    def rate(self, step: int, steps: int) -> float:
        """The share of the learning rate at an optimizer step, from 0, of all."""
        if self.schedule == "cosine":
            return cosine(step, steps, self.warmup)
        return min(1.0, (step + 1) / max(1, round(self.warmup * steps)))

    def setting(self) -> Setting:
        """The environments' options, read and checked; see `Setting.of` for what is raised."""
        return Setting.of(**dict(self.env_config))

    @override(AlgorithmConfig)
    def validate(self) -> None:
        """Raise TaskError for what cannot be, beside what RLlib itself checks."""
        super().validate()
        if self.env != "Terminal-v0":
            raise TaskError(f"environment is {self.env!r}; language models act in 'Terminal-v0'")
        self.setting()
        if self.loading.sharded and self.num_learners < 2:
            raise TaskError(f"the model is sharded over {self.num_learners} learner(s); it takes two or more")

    @override(AlgorithmConfig)
    def get_default_rl_module_spec(self) -> RLModuleSpec:
        loading = replace(self.loading, temperature=self.sampling.temperature)
        return RLModuleSpec(module_class=CausalLM, model_config=asdict(loading))

    @property
    @override(AlgorithmConfig)
    def _model_config_auto_includes(self) -> dict[str, Any]:
        return {}
