"""One loop over all terminals against a process for each: `gym.make_vec` beside Gymnasium's AsyncVectorEnv.

Both have the same task and options, and are otherwise as they come: ours with its pool of warm sandboxes, the other
with a worker process for each environment (shared_memory=False, since texts are its observations), started as Python
does by default. They take turns, each opened, used and closed before the other, some times over. To open is to make the
vector and to reset it for the first time; memory is the proportional share (PSS) of our process and of all under it,
the programs in sandboxes among them, for each environment.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import proc
import report
from gymnasium.vector import AsyncVectorEnv, VectorEnv
from report import Row, Samples
from throughput import repeat, single, step, vector

COUNTS = (8, 32, 64)
Make = Callable[[], VectorEnv[Any, Any, Any]]
MEASURED = {
    "open": ("to make it and to reset it first", "ms"),
    "reset": ("reset of all", "ms"),
    "steps": ("steps, echo hi", "per second"),
    "memory": ("memory for each environment", "MiB"),
    "close": ("close", "ms"),
}


def ours(count: int) -> VectorEnv[Any, Any, Any]:
    """Our vector environment."""
    return vector(count, pool_size=None)


def processes(count: int) -> VectorEnv[Any, Any, Any]:
    """A process for each environment."""
    return AsyncVectorEnv([single] * count, shared_memory=False)


def play(samples: Samples, row: str, count: int, make: Make, chunks: int, least: int) -> None:
    """Open, reset, step, look at the memory, and close."""
    with samples.time(f"{row} open"):
        env = make()
        env.reset()
    try:
        for _ in range(chunks):
            with samples.time(f"{row} reset"):
                env.reset()
        time.sleep(1)  # a pool fills up again
        samples.put(f"{row} memory", proc.pss_kib([os.getpid(), *proc.descendants(os.getpid())]) / count / 1024)
        step(env)
        for _ in range(chunks):
            repeat(samples, f"{row} steps", partial(step, env), count, max(2, least // count))
    finally:
        with samples.time(f"{row} close"):
            env.close()


def measure(passes: int, chunks: int, least: int) -> Samples:
    """Both of each number, in turn."""
    samples = Samples()
    for number in range(-1, passes):
        for count in COUNTS if number >= 0 else COUNTS[:1]:
            into = samples if number >= 0 else Samples()  # the first time, Python loads what it needs
            play(into, f"processes {count}", count, partial(processes, count), chunks, least)
            play(into, f"ours {count}", count, partial(ours, count), chunks, least)
    return samples


def rows() -> list[Row]:
    """The table's rows: each of ours after its peer."""
    table: list[Row] = []
    for count in COUNTS:
        for key, (what, unit) in MEASURED.items():
            peer = f"processes {count} {key}"
            table += [Row(peer, f"AsyncVectorEnv of {count}: {what}", unit=unit)]
            table += [Row(f"ours {count} {key}", f"ours of {count}: {what}", peer, unit=unit)]
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it down."""
    args = report.parser("vector_vs_processes", __doc__).parse_args(argv)
    machine = report.machine()
    passes, chunks, least = (1, 2, 256) if args.quick else (5, 4, 2048)
    samples = measure(passes, chunks, least)
    notes = [f"{passes} x each; a rate is of {least} steps or more."]
    table = report.rows(rows(), samples, lambda _: {}, "")
    result = {"title": "One loop beside processes", "unit": "in brackets", "machine": machine, "notes": notes}
    report.publish("vector_vs_processes", args, {**result, "rows": table})
    return 0


if __name__ == "__main__":
    sys.exit(main())
