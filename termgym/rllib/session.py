"""A run of one of RLlib's algorithms: Ray for it, a folder for all that it writes, a line for each iteration."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false, reportPrivateImportUsage=false
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.rllib.algorithms import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS
from ray.tune.trainable import trainable

CPUS = 2


@contextmanager
def session(config: AlgorithmConfig, folder: Path, cpus: int = CPUS) -> Iterator[Any]:
    """The algorithm, ready to train; it is stopped at the end, and Ray too where it was started here.

    Args:
        config: Which, and how.
        folder: For what RLlib writes; nothing goes to the home folder.
        cpus: What a Ray that is started here takes for its own: one for each runner and learner of their own. Where
            RAY_ADDRESS names a cluster, that is joined instead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mine = not ray.is_initialized()
    if mine:
        own = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        ray.init(logging_level="ERROR", log_to_driver=False, **({} if "RAY_ADDRESS" in os.environ else own))
    home, trainable.DEFAULT_STORAGE_PATH = trainable.DEFAULT_STORAGE_PATH, str(folder.absolute())  # no option sets it
    try:
        algorithm = config.build_algo()
        try:
            yield algorithm
        finally:
            algorithm.stop()
    finally:
        trainable.DEFAULT_STORAGE_PATH = home
        if mine:
            ray.shutdown()


def train(config: AlgorithmConfig, folder: Path, iterations: int) -> Path:
    """Train, with a line for each iteration, and return where the checkpoint is, below the folder."""
    with session(config, folder) as algorithm:
        for number in range(1, iterations + 1):
            print(f"{number:4} {line(algorithm.train())}", flush=True)
        path = Path(algorithm.save_to_path(str(folder.absolute() / "checkpoint")))
    print("checkpoint:", path)
    return path


def line(result: dict[str, Any]) -> str:
    """What came of an iteration, in short."""
    played = result.get(ENV_RUNNER_RESULTS, {})
    learned = result.get(LEARNER_RESULTS, {}).get(DEFAULT_MODULE_ID, {})
    shown = {
        "steps": played.get("num_env_steps_sampled_lifetime"),
        "reward": played.get("episode_return_mean"),
        "entropy": learned.get("entropy"),
        "loss": learned.get("total_loss"),
        "seconds": result["time_total_s"],
    }
    return "  ".join(f"{name} {float(value):<7.4g}" for name, value in shown.items() if value is not None)
