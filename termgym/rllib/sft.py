"""SFT: supervised training on conversations, by the tokens that a model emitted where they are known."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from ray.rllib.utils.annotations import override

from termgym.chat import Chat
from termgym.corpus.file import read
from termgym.corpus.record import Record
from termgym.errors import TaskError
from termgym.packing import Batch, pack
from termgym.rllib.algorithm import LanguageAlgorithm
from termgym.rllib.config import LanguageConfig
from termgym.rllib.engine import tokenizer_of
from termgym.rllib.learner import SFTLearner
from termgym.sample import Sample, tokenized


class SFTConfig(LanguageConfig):
    """Configures `SFT`. Its defaults are the recipe of Nemotron-Terminal, save for the number of learners."""

    def __init__(self, algo_class: Any = None) -> None:
        super().__init__(algo_class=algo_class or SFT)
        self.corpus: list[str] = []
        self.lr, self.weight_decay, self.warmup, self.schedule = 2e-5, 1e-4, 0.1, "cosine"
        self.batch_size, self.epochs, self.row_length, self.steps = 128, 2, 32_768, 0

    @override(LanguageConfig)
    def training(
        self,
        *,
        corpus: str | Path | Sequence[str | Path] | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        **more: Any,
    ) -> Self:
        """How it is trained, beside what `LanguageConfig.training` has.

        Args:
            corpus: Files or folders of conversations, in any form that `termgym.corpus` reads.
            batch_size: Conversations of an optimizer step.
            epochs: How often each is trained on, unless `steps` says when to end.
            more: As there.
        """
        super().training(**more)
        paths = [corpus] if isinstance(corpus, str | Path) else corpus
        self._take(corpus=paths and list(map(str, paths)), batch_size=batch_size, epochs=epochs)
        return self

    @override(LanguageConfig)
    def get_default_learner_class(self) -> type[SFTLearner]:
        return SFTLearner

    @override(LanguageConfig)
    def validate(self) -> None:
        super().validate()
        if not self.corpus:
            raise TaskError("there is nothing to train on: give `corpus`, as what `termgym collect` wrote")


class SFT(LanguageAlgorithm):
    """Takes one optimizer step a `train()`, on the next conversations of a shuffled corpus."""

    config: SFTConfig

    @classmethod
    @override(LanguageAlgorithm)
    def get_default_config(cls) -> SFTConfig:
        return SFTConfig()

    @override(LanguageAlgorithm)
    def setup(self, config: Any) -> None:
        self.records = _records(config.corpus)
        super().setup(config)

    @property
    @override(LanguageAlgorithm)
    def steps(self) -> int:
        return self.config.steps or -(-self.config.epochs * len(self.records) // self.config.batch_size)

    @cached_property
    def chat(self) -> Chat:
        """The model's chat template."""
        return Chat(tokenizer_of(self.config.loading.model), self.config.thinking)

    @override(LanguageAlgorithm)
    def training_step(self) -> None:
        step = self.iteration
        batch = self.batch(step)
        logged = self.update([batch])
        self.last = {"stage": "sft", "step": step + 1, **logged, "tokens": int((batch.weights > 0).sum())}

    def batch(self, step: int) -> Batch:
        """The packed conversations of an optimizer step, from 0."""
        size = min(self.config.batch_size, len(self.records))
        numbers = [self._number(step * size + place) for place in range(size)]
        made = [self.sample(self.records[number]) for number in numbers]
        return pack(made, self.config.row_length, multiple=self.learners)

    def _number(self, place: int) -> int:
        epoch, within = divmod(place, len(self.records))
        return int(np.random.default_rng([self.config.seed or 0, epoch]).permutation(len(self.records))[within])

    def sample(self, record: Record) -> Sample:
        """A conversation in the model's tokens."""
        return tokenized(record.messages, self.chat)


def _records(paths: Sequence[str]) -> list[Record]:
    def wrong(error: TaskError) -> None:
        raise error

    found = [record for path in paths for record in read(Path(path), wrong)]
    if not found:
        raise TaskError(f"{', '.join(paths)}: hold no conversations")
    return found
