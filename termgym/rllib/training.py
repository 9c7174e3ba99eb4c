"""A training run: a recipe carried out in a folder, which can be stopped and gone on with.

Its folder holds, beside what `termgym.training_log` says,

    run.json       the recipe: it goes on with the same
    checkpoint/    Ray's, of the last step that was kept
    model/         the model that came of it, as transformers loads it
    tensorboard/   the numbers of each step, for TensorBoard
"""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from tensorboardX import SummaryWriter

from termgym.report import Scores
from termgym.resumption import go_on
from termgym.rllib.algorithm import LanguageAlgorithm
from termgym.rllib.recipe import Recipe, settings
from termgym.rllib.session import session
from termgym.training_log import EVALUATIONS, Evaluated, TrainingLog, TrainingStep, evaluation_folders

CHECKPOINT, MODEL, TENSORBOARD = "checkpoint", "model", "tensorboard"
RESTARTS = 3
log = logging.getLogger(__name__)


class Training:
    """A recipe in a folder, begun or gone on with."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        on_step: Callable[[TrainingStep], object] | None = None,
        on_evaluation: Callable[[Evaluated], object] | None = None,
    ) -> None:
        """Open the folder.

        Raises:
            TaskError: It holds a run of another recipe.
        """
        folder.mkdir(parents=True, exist_ok=True)
        go_on(folder / "run.json", settings(recipe))
        self.recipe, self.folder = recipe, folder
        self._on_step, self._on_evaluation = on_step or _nobody, on_evaluation or _nobody
        self._taken = 0

    def run(self) -> None:
        """Train to the last step. What was trained before is not trained again: it goes on from the last checkpoint.

        So it does where a learner dies. (A runner that dies is Ray's to start anew.)

        Raises:
            KeyboardInterrupt: C-c; the next run of the same goes on from the last checkpoint.
            TaskError: The model cannot be loaded, or the tasks cannot be used.
            RayError: A learner died again and again, or before its first step.
        """
        for left in reversed(range(1 + RESTARTS)):
            before = self._taken
            try:
                self._run()
                break
            except RayError as error:
                if not left or self._taken == before:
                    raise
                log.warning("a learner died; going on from the last checkpoint: %s", str(error).split("\n")[0])

    def _run(self) -> None:
        workers = (self.recipe.config.num_env_runners or 0) + (self.recipe.config.num_learners or 0)
        with session(self.recipe.config, self.folder / "ray", max(2, workers)) as algorithm:
            self._resume(algorithm)
            first = algorithm.iteration + 1
            writer = SummaryWriter(str(self.folder / TENSORBOARD), purge_step=first)
            with TrainingLog(self.folder, first) as steps, closing(writer):
                self._evaluate(algorithm, writer)
                for _ in range(algorithm.iteration, algorithm.steps):
                    self._step(algorithm, steps, writer)
            algorithm.save_model(self.folder / MODEL)
        shutil.rmtree(self.folder / "ray", ignore_errors=True)

    def _resume(self, algorithm: LanguageAlgorithm) -> None:
        place, old = self.folder / CHECKPOINT, self.folder / f"{CHECKPOINT}.old"
        if old.exists() and not place.exists():
            old.rename(place)  # killed in between
        if place.exists():
            algorithm.restore_from_path(str(place.absolute()))
        for step, folder in evaluation_folders(self.folder):
            if step > algorithm.iteration:
                shutil.rmtree(folder)

    def _step(self, algorithm: LanguageAlgorithm, steps: TrainingLog, writer: Any) -> None:
        begin = time.perf_counter()
        algorithm.train()
        numbers = dict(algorithm.last)
        stage, step, seconds = numbers.pop("stage"), numbers.pop("step"), numbers.pop("seconds")
        done = TrainingStep(stage, step, numbers | {"wall_s": time.perf_counter() - begin}, seconds)
        steps.add(done)
        self._taken += 1
        for name, value in {**done.numbers, **{f"seconds/{name}": value for name, value in seconds.items()}}.items():
            writer.add_scalar(name, value, step)
        self._on_step(done)
        last = step == algorithm.steps
        if last or (self.recipe.pace.save_every and step % self.recipe.pace.save_every == 0):
            self._save(algorithm)
        if last or (self.recipe.pace.evaluate_every and step % self.recipe.pace.evaluate_every == 0):
            self._evaluate(algorithm, writer)

    def _evaluate(self, algorithm: LanguageAlgorithm, writer: Any) -> None:
        if not self.recipe.pace.evaluate_every:
            return
        step = algorithm.iteration
        scores: Scores = algorithm.evaluate_in(self.folder / EVALUATIONS / f"{step:05}").report.total
        found = Evaluated.of(step, scores)
        if found.pass_at_1 is not None:
            writer.add_scalar("pass@1", found.pass_at_1, step)
        self._on_evaluation(found)

    def _save(self, algorithm: LanguageAlgorithm) -> None:
        """Written aside, then put in place: a kill leaves the checkpoint of before, or this one."""
        aside, place, old = (self.folder / f"{CHECKPOINT}{suffix}" for suffix in (".part", "", ".old"))
        for path in (aside, old):
            shutil.rmtree(path, ignore_errors=True)
        algorithm.save_to_path(str(aside.absolute()))
        if place.exists():
            place.rename(old)
        aside.rename(place)
        shutil.rmtree(old, ignore_errors=True)


def _nobody(_: object) -> None:
    pass
