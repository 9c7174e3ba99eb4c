"""Demonstrations: known solutions, typed a key at a time, as files that RLlib's offline algorithms read."""

# RLlib's own types say less than what is there.
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet
from ray.rllib.core.columns import Columns
from ray.rllib.utils.compression import pack

from termgym.errors import TaskError
from termgym.grid import KEYS, SUBMIT, WAIT, Grid, TerminalGridEnv
from termgym.keys import encode
from termgym.task import Task
from termgym.terminal import Settled

AT_ONCE = 8
_KEYS = {encode(key).decode(): key for key in KEYS if key not in (WAIT, SUBMIT)} | {"\n": "Enter"}
"""What is sent to the terminal -> the key that sends it."""


def record(tasks: Iterable[Task], file: Path, **options: Any) -> int:
    """Write the steps of all solutions that score 1 to a parquet file, and return how many solutions these are.

    To be read with `offline_data(input_=[str(file)], ignore_final_observation=True)`.

    Args:
        tasks: Whose known solutions are typed.
        file: Where to; its columns are RLlib's, observations packed as RLlib packs them.
        options: The environment's, beside the task and the reward.

    Raises:
        TaskError: A solution types what is no key of `TerminalGrid-v0`.
    """
    with ThreadPoolExecutor(AT_ONCE) as threads:
        shown = [steps for steps in threads.map(lambda task: demonstrate(task, **options), tasks) if steps]
    rows = [row for number, steps in enumerate(shown) for row in _rows(str(number), steps)]
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), file)
    return len(shown)


def demonstrate(task: Task, **options: Any) -> list[tuple[Grid, int]]:
    """Observations, and the action that the known solution takes on each; none if that does not solve the task."""
    keys = [*keys_of(task), SUBMIT][::-1]
    env = TerminalGridEnv(task, **options)
    steps: list[tuple[Grid, int]] = []
    reward, ended = 0.0, False
    try:
        seen, _ = env.reset(seed=0)
        while keys and not ended:
            steps.append((seen, KEYS.index(keys.pop())))
            seen, reward, terminated, truncated, info = env.step(steps[-1][1])
            ended = terminated or truncated
            if Settled.DEADLINE.value in info["settled"]:
                keys.append(WAIT)
    finally:
        env.close()
    return steps if reward == 1 else []


def keys_of(task: Task) -> Iterator[str]:
    """The keys of a task's known solution.

    Raises:
        TaskError: One is none of `KEYS`.
    """
    for command in task.oracle:
        typed = encode(command.keystrokes).decode()
        for one in [typed] if typed in _KEYS else typed:
            if one not in _KEYS:
                raise TaskError(f"{task.id}: its known solution types {one!r}, which is no key of TerminalGrid-v0")
            yield _KEYS[one]


def _rows(name: str, steps: list[tuple[Grid, int]]) -> Iterator[dict[str, Any]]:
    for number, (seen, action) in enumerate(steps, 1):
        last = number == len(steps)
        yield {
            Columns.EPS_ID: name,
            Columns.OBS: pack(seen),
            Columns.ACTIONS: action,
            Columns.REWARDS: float(last),
            Columns.TERMINATEDS: last,
        }
