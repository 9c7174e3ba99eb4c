"""A session of training: an algorithm of RLlib, Ray for it, and a folder that all it writes goes to."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.rllib.algorithms import AlgorithmConfig
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
        local = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": cpus, "include_dashboard": False}
        ray.init(logging_level="ERROR", log_to_driver=False, **local)
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
