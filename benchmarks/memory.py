"""What a terminal costs while it waits at its prompt: memory, descriptors, and the time to open and to close it.

N environments of one vector are reset and left alone. One is opened first, so that what there is once (the launcher,
its loop) does not count; all figures are what the others add, for each of them. Programs are those in the sandboxes,
here the shells, and first processes those that the launcher forks to be process 1 there, by their proportional share of
pages (PSS). The launcher and our own process count by how much they grow, which is less than nothing where pages come
to be shared with more processes. The kernel's part is by how much /proc/meminfo's Slab, PageTables, KernelStack, Percpu
and Shmem (files in memory) grow, which whatever else the machine does disturbs. Beside them stand plain bashes on PTYs,
measured alike, and, where a Docker engine and an image are there, a container with tmux and bash, with the shim that
the engine puts under it.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import proc
import report
from naive_docker import Container, Unavailable, docker, require
from plain_bash import Fleet, PlainBash
from report import Row, Samples
from throughput import vector

from termgym import launcher_client
from termgym.vector import TerminalVectorEnv

COUNTS = (64, 256, 1024)
BASHES = 64
IDLE_S = 2.0
KERNEL = {
    "Slab": "slab",
    "PageTables": "page tables",
    "KernelStack": "kernel stacks",
    "Percpu": "per-processor data",
    "Shmem": "files in memory",
}
PARTS = ("first processes", "programs", "launcher", "ours", *KERNEL.values())
MIB_KIB = 1024.0


@dataclass(frozen=True)
class Usage:
    """Memory in KiB by what for, and open descriptors of our process and of the launcher."""

    kib: dict[str, float]
    available_kib: float
    descriptors: int


def usage(launcher: int, programs: Sequence[int]) -> Usage:
    """What is in use, once everything has come to rest."""
    time.sleep(IDLE_S)
    kernel = proc.meminfo_kib()
    inits = [pid for pid in programs if launcher and proc.parent(pid) == launcher]
    groups = {"first processes": inits, "programs": set(programs) - set(inits), "ours": [os.getpid()]}
    groups["launcher"] = [launcher] if launcher else []
    parts = {name: proc.pss_kib(pids) for name, pids in groups.items()}
    parts |= {name: kernel.get(key, 0.0) for key, name in KERNEL.items()}
    held = sum(proc.descriptors(pid) for pid in (os.getpid(), launcher) if pid)
    return Usage(parts, kernel["MemAvailable"], held)


def note(samples: Samples, row: str, before: Usage, after: Usage, count: int) -> None:
    """Add what each of `count` terminals takes: all in all, part by part, and by what the machine has less."""
    each = {part: (after.kib[part] - before.kib[part]) / count for part in PARTS}
    samples.put(f"{row} all", sum(each.values()) / MIB_KIB)
    samples.put(f"{row} less", (before.available_kib - after.available_kib) / count / MIB_KIB)
    samples.put(f"{row} descriptors", (after.descriptors - before.descriptors) / count)
    for part, kib in each.items():
        samples.put(f"{row} {part}", kib / MIB_KIB)


def terminals(samples: Samples, count: int) -> None:
    """Our terminals: one, then all the others."""
    row = f"ours {count}"
    others = np.arange(count) > 0
    with ExitStack() as stack:
        env = vector(count)
        stack.callback(timed_close, samples, row, env, count)
        env.reset(options={"reset_mask": ~others})
        launcher = launcher_of(env)
        before = usage(launcher, proc.descendants(launcher))
        begin = time.perf_counter()
        env.reset(options={"reset_mask": others})
        samples.add(f"{row} open", (time.perf_counter() - begin) / (count - 1))
        inside = proc.descendants(launcher)
        assert len(inside) >= 2 * count, f"{len(inside)} programs in {count} sandboxes"
        note(samples, row, before, usage(launcher, inside), count - 1)


def timed_close(samples: Samples, row: str, env: TerminalVectorEnv, count: int) -> None:
    """Close, and note how long that takes for each."""
    begin = time.perf_counter()
    env.close()
    samples.add(f"{row} close", (time.perf_counter() - begin) / count)


def launcher_of(env: TerminalVectorEnv) -> int:
    """The process that makes a vector's sandboxes."""

    async def inside() -> int:
        return (await launcher_client.launcher()).pid

    return env._crew.thread.run(inside())


def bashes(samples: Samples) -> None:
    """Plain bashes: one, then all the others."""
    with closing(PlainBash("--norc", "--noprofile")) as first:
        first.until_prompt()
        before = usage(0, [first.pid])
        begin = time.perf_counter()
        fleet = Fleet(BASHES - 1)
        samples.add("bash open", (time.perf_counter() - begin) / (BASHES - 1))
        with fleet:
            pids = [first.pid, *(bash.pid for bash in fleet.bashes)]
            note(samples, "bash", before, usage(0, pids), BASHES - 1)
            begin = time.perf_counter()
        samples.add("bash close", (time.perf_counter() - begin) / (BASHES - 1))


def container(samples: Samples, image: str) -> None:
    """A container with tmux and bash: its processes, and the shim that is their parent."""
    before = usage(0, [])
    begin = time.perf_counter()
    with Container(image) as made:
        made.open()
        samples.add("docker open", time.perf_counter() - begin)
        first = int(docker("inspect", "-f", "{{.State.Pid}}", made.id))
        shim = proc.parent(first)
        note(samples, "docker", before, usage(0, [shim, *proc.descendants(shim)]), 1)
        begin = time.perf_counter()
        made.remove()
        samples.add("docker close", time.perf_counter() - begin)


# The table.


def rows(samples: Samples) -> list[Row]:
    """The table's rows: for each kind, all in all, and if it was measured its parts, and the time to open and close."""
    kinds = {"bash": f"one of {BASHES} plain bashes", "docker": "naive: a container with tmux and bash"}
    kinds |= {f"ours {count}": f"one of {count} terminals" for count in COUNTS}
    table: list[Row] = []
    for kind, what in kinds.items():
        peer = "bash all" if kind != "bash" else ""
        table += [Row(f"{kind} all", f"{what}, all in all", peer)]
        if f"{kind} all" not in samples.values:
            continue
        table += [Row(f"{kind} {part}", f"{what}: {part}") for part in PARTS]
        table += [Row(f"{kind} less", f"{what}: what the machine has less of (MemAvailable)")]
        table += [Row(f"{kind} descriptors", f"{what}: descriptors, ours and the launcher's", unit="number")]
        table += [Row(f"{kind} {act}", f"{what}: to {act} it", unit="ms") for act in ("open", "close")]
    return table


def targets(measured: dict[str, dict[str, float]]) -> dict[str, tuple[str, bool]]:
    """The targets by row, and whether they are met."""
    held: dict[str, tuple[str, bool]] = {}
    for count in COUNTS:
        if f"ours {count} all" in measured:
            said = "< 2 MiB" + (", all open at once" if count == COUNTS[-1] else "")
            held[f"ours {count} all"] = (said, measured[f"ours {count} all"]["median"] < 2)
    return held


def measure(args: argparse.Namespace) -> tuple[Samples, str]:
    """All measurements, gone through several times; and why some are missing."""
    samples, missing = Samples(), "not with --quick"
    counts = COUNTS[:1] if args.quick else COUNTS
    kinds: list[Callable[[], None]] = [partial(bashes, samples), *(partial(terminals, samples, n) for n in counts)]
    try:
        require(args.image)
        kinds.append(partial(container, samples, args.image))
    except Unavailable as reason:
        missing = f"{reason}, or --quick" if args.quick else str(reason)
    with closing(vector(1)) as env:  # what Python loads and allocates on first use
        env.reset()
    for _ in range(1 if args.quick else 3):
        for kind in kinds:
            kind()
    return samples, missing


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it down. Exits with 0 also where a target is missed."""
    parser = report.parser("memory", __doc__)
    parser.add_argument("--image", default="", metavar="NAME", help="a Docker image with tmux, for the naive recipe")
    args = parser.parse_args(argv)
    machine = report.machine()
    samples, missing = measure(args)
    notes = [f"For each terminal, {IDLE_S:.0f} s after the last was opened; `all in all` is the sum of the parts."]
    result = {"title": "Memory", "unit": "MiB", "machine": machine, "notes": notes}
    report.publish("memory", args, {**result, "rows": report.rows(rows(samples), samples, targets, missing)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
