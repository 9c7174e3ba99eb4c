"""How much a machine does a second: steps and episodes of many environments, and sandboxes made and dropped.

A step types `echo hi`, waits until the terminal has settled, and renders what was printed; all environments of a vector
take it in lock-step. Beside it: as many plain bashes, typed the same and read until their prompts by one thread, which
is the floor; and Gymnasium's SyncVectorEnv of single environments. An episode is a reset, five echo turns, the verdict
by one check in shell, and the disposal; here each environment goes on when it is ready (send and recv), beside one
single environment after another. A sandbox is made and dropped without a task, eight at a time, beside plain bashes.

What is compared takes turns, some steps each, and all of it is gone through several times. --profile adds where the
time of steps goes: it is measured by cProfile, which makes small functions look dearer than they are.
"""

import argparse
import asyncio
import cProfile
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import proc
import profiles
import report
from gymnasium.vector import SyncVectorEnv
from latency import TASK, action
from plain_bash import Fleet
from report import Row, Samples

from termgym import aio, launcher_client
from termgym.pool import Order, Warm, dispose, make
from termgym.sandbox import SandboxSpec
from termgym.vector import TerminalVectorEnv

COUNTS = (1, 8, 64, 256, 1024)
PROFILED = 256
PEERS = 8
LIMITS = {"turns": 0, "wall_s": 0}
ECHO = action("echo hi\n")
TURN = action("echo hi >> out.txt\n")
LAST = action("echo hi >> out.txt\n", done=True)
TURNS = 5
AT_ONCE = 8
EPISODES_AT_ONCE = (8, 16, 32)
RESET_COUNTS = (1, 2, 4, 8)


def vector(count: int, **options: Any) -> TerminalVectorEnv:
    """A vector environment of one fixed task; without a pool, unless told, so that nothing else goes on."""
    env = gym.make_vec("Terminal-v0", num_envs=count, task=TASK, limits=LIMITS, **{"pool_size": 0, **options})
    assert isinstance(env, TerminalVectorEnv)
    return env


def single() -> gym.Env[str, str]:
    """One environment, as `gym.make` makes it."""
    return gym.make("Terminal-v0", task=TASK, limits=LIMITS, confirm=False)


# Steps.


def step(env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
    """One step of every environment, each to its prompt."""
    infos = env.step([ECHO] * env.num_envs)[4]
    assert all(settled == ["prompt"] for settled in infos["settled"]), infos["settled"]


def steps(samples: Samples, counts: Sequence[int], chunks: int, least: int) -> None:
    """Steps a second of so many environments, and of what is set beside them: `least` steps or more in a chunk.

    All are open at once and take turns, since the machine is now faster, now slower.
    """
    with ExitStack() as stack:
        turns = [turn for count in counts for turn in prepared(stack, count)]
        for _, _, turn in turns:
            turn()
        for _ in range(chunks):
            for row, count, turn in turns:
                repeat(samples, row, turn, count, max(2, least // count))


def prepared(stack: ExitStack, count: int) -> list[tuple[str, int, Callable[[], None]]]:
    """What of `count` environments, and of what is set beside them, takes its turn: (row, count, turn)."""
    env = stack.enter_context(closing(vector(count)))
    env.reset()
    fleet = stack.enter_context(Fleet(count))
    turns = [(f"steps {count}", count, partial(step, env))]
    turns += [(f"bash {count}", count, partial(fleet.turn, b"echo hi\n"))]
    if count == PEERS:
        peers = stack.enter_context(closing(SyncVectorEnv([single] * count)))
        peers.reset()
        turns += [("sync", count, partial(step, peers))]
    return turns


def repeat(samples: Samples, row: str, turn: Callable[[], None], count: int, times: int) -> None:
    """Add the rate of `times` turns, each of `count` steps."""
    begin = time.perf_counter()
    for _ in range(times):
        turn()
    samples.put(row, times * count / (time.perf_counter() - begin))


# Episodes.


def episodes(samples: Samples, count: int, seconds: int) -> None:
    """Episodes a second, sustained: the rate of each second, after two that are not counted."""
    env = vector(count, confirm=False, pool_size=None, batch_size=max(1, count // 4), autoreset_mode="SameStep")
    with closing(env):
        turns, ended, begin = np.zeros(count, int), 0, time.perf_counter()
        env.async_reset()
        windows = -2
        while windows < seconds:
            ended += episode_turns(env, turns)
            if (elapsed := time.perf_counter() - begin) >= 1:
                samples.put(f"episodes {count}", ended / elapsed) if windows >= 0 else None
                ended, begin, windows = 0, time.perf_counter(), windows + 1


def episode_turns(env: TerminalVectorEnv, turns: np.ndarray) -> int:
    """Take what is ready, and give it its next turn; returns how many episodes ended."""
    _, rewards, terminated, truncated, infos = env.recv()
    ids = infos["env_id"]
    assert not truncated.any() and (rewards == terminated).all(), infos
    turns[ids] = np.where(terminated | (turns[ids] == TURNS), 0, turns[ids])
    turns[ids] += 1
    env.send([LAST if turn == TURNS else TURN for turn in turns[ids]], ids)
    return int(terminated.sum())


def one_by_one(samples: Samples, seconds: int) -> None:
    """Episodes a second of one single environment, one after another."""
    with closing(single()) as env:
        for _ in range(seconds):
            ended, begin = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - begin) < 1:
                env.reset()
                rewards = [env.step(act)[1] for act in [TURN] * (TURNS - 1) + [LAST]]
                assert rewards[-1] == 1, rewards
                ended += 1
            samples.put("episodes single", ended / elapsed)


# Sandboxes.


def sandboxes(samples: Samples, chunks: int, size: int) -> None:
    """Sandboxes made and dropped a second, bare and with a shell at its prompt, in turn with plain bashes."""
    aio.run(make_and_drop(AT_ONCE, shell=True))
    for _ in range(chunks):
        for row, shell in (("sandboxes", False), ("sandboxes with shell", True)):
            begin = time.perf_counter()
            aio.run(make_and_drop(size, shell))
            samples.put(row, size / (time.perf_counter() - begin))
        begin = time.perf_counter()
        for _ in range(0, size, AT_ONCE):
            with Fleet(AT_ONCE):
                pass
        samples.put("bashes", AT_ONCE * -(-size // AT_ONCE) / (time.perf_counter() - begin))
    aio.run(launcher_client.close_launcher())


async def make_and_drop(size: int, shell: bool) -> None:
    """Make and drop `size` sandboxes, `AT_ONCE` at a time."""
    left = list(range(size))

    async def work() -> None:
        while left:
            left.pop()
            warm: Warm = await make(Order(SandboxSpec(), shell=shell))
            await dispose(warm)

    workers: list[Awaitable[None]] = [work() for _ in range(AT_ONCE)]
    await asyncio.gather(*workers)


# Resets.


def resets(samples: Samples, count: int, rounds: int) -> None:
    """The reset of one environment at a time, amid steps, from a pool that keeps up, and without a pool."""
    with closing(vector(count, pool_size=4)) as warm, closing(vector(count)) as cold:
        warm.reset()
        cold.reset()
        for number in range(rounds):
            mask = np.arange(count) == number % count
            rest(warm)
            step(warm)
            with samples.time("warm reset"):
                warm.reset(options={"reset_mask": mask})
            phases = warm._seats[number % count].slot.current.timings.seconds
            samples.add("warm create+reset", phases["create"] + phases["reset"])
            rest(cold)
            step(cold)
            with samples.time("cold reset"):
                cold.reset(options={"reset_mask": mask})
        assert warm.metrics["counts"]["warm"] >= 0.9 * rounds, warm.metrics


def rest(env: TerminalVectorEnv) -> None:
    """Wait until the pool is at rest: full, and nothing being made or disposed of."""
    deadline = time.monotonic() + 10
    while (queues := env.metrics["queues"])["disposing"] or queues["creating"] or queues["warm"] < env._pool.size:
        assert time.monotonic() < deadline, queues
        time.sleep(0.005)
    time.sleep(0.02)


# Where the time goes.


def profile(samples: Samples, count: int, rounds: int) -> None:
    """Processor time by who spends it, and the time of the loop's thread by what for; each for one step."""
    with closing(vector(count)) as env:
        env.reset()
        step(env)
        processor_time(samples, env, rounds)
        profiler = cProfile.Profile()
        env._crew.thread.run(profiled(env, profiler, rounds))
        for group, seconds in profiles.by_group(profiler).items():
            samples.put(f"in {group}", seconds / (count * rounds) * 1e6)


def processor_time(samples: Samples, env: TerminalVectorEnv, rounds: int) -> None:
    """Who spends processor time on a step; without the profiler, which would be most of it."""
    (before, loop_before_s), caller_s, done = used(env), time.thread_time(), env.num_envs * rounds
    for _ in range(rounds):
        step(env)
    samples.put("cpu caller", (time.thread_time() - caller_s) / done * 1e6)
    after, loop_s = used(env)
    samples.put("cpu loop", (loop_s - loop_before_s) / done * 1e6)
    for who in after:
        for kind, seconds in zip(("user", "system"), after[who].since(before[who]), strict=True):
            samples.put(f"cpu {who}, {kind}", seconds / done * 1e6)


async def profiled(env: TerminalVectorEnv, profiler: cProfile.Profile, rounds: int) -> None:
    """Steps without the thread that asks for them, which Python's profiler might mix in."""
    profiler.enable()
    for _ in range(rounds):
        await asyncio.gather(*(seat.step(ECHO) for seat in env._seats))
    profiler.disable()


def used(env: TerminalVectorEnv) -> tuple[dict[str, proc.Cpu], float]:
    """Processor time so far: by whose processes, and of the loop's thread."""

    async def inside() -> tuple[int, float]:
        return (await launcher_client.launcher()).pid, time.thread_time()

    launcher, loop_s = env._crew.thread.run(inside())
    whose = {"ours": [os.getpid()], "launcher": [launcher], "programs": proc.descendants(launcher)}
    return {who: proc.cpu(pids) for who, pids in whose.items()}, loop_s


# The table.


def rows(profiling: bool) -> list[Row]:
    """The table's rows."""
    table: list[Row] = []
    for count in COUNTS:
        table += [Row(f"bash {count}", f"plain bashes, {count} at once, echo hi, one thread")]
        table += [Row(f"steps {count}", f"steps, {count} environments", f"bash {count}")]
    table += [Row("sync", f"SyncVectorEnv of {PEERS} environments, steps", f"steps {PEERS}")]
    table += [Row("episodes single", "episodes, one single environment after another")]
    table += [Row(f"episodes {n}", f"episodes of {n} environments", "episodes single") for n in EPISODES_AT_ONCE]
    table += [
        Row("bashes", f"plain bashes, to the prompt and killed, {AT_ONCE} at a time"),
        Row("sandboxes", f"sandboxes, made and dropped, {AT_ONCE} at a time", "bashes"),
        Row("sandboxes with shell", "the same with a shell at its prompt", "bashes"),
        Row("cold reset", "reset of one environment, no pool", unit="ms"),
        Row("warm reset", "reset of one environment, pool at rest", "cold reset", unit="ms"),
        Row("warm create+reset", "its part in the loop: create, reset", unit="ms"),
    ]
    return table + (profile_rows() if profiling else [])


def profile_rows() -> list[Row]:
    """The rows of `--profile`."""
    parts = [f"{who}, {kind}" for who in ("ours", "launcher", "programs") for kind in ("user", "system")]
    said = {part: f"processor time of {part}" for part in parts}
    said |= {"caller": "of ours, the thread that calls step", "loop": "of ours, the loop's thread"}
    cpu = [Row(f"cpu {part}", what, unit="µs a step") for part, what in said.items()]
    return cpu + [Row(f"in {group}", f"loop, profiled: {group}", unit="µs a step") for group in profiles.GROUPS]


def targets(measured: dict[str, dict[str, float]]) -> dict[str, tuple[str, bool]]:
    """The targets by row, and whether they are met."""
    rates = {n: measured[f"steps {n}"]["median"] for n in COUNTS if f"steps {n}" in measured}
    held: dict[str, tuple[str, bool]] = {}
    if 256 in rates:
        held["steps 256"] = (">= 2000, >= 90% of the best", rates[256] >= max(2000, 0.9 * max(rates.values())))
    best = max(EPISODES_AT_ONCE, key=lambda n: measured[f"episodes {n}"]["median"])
    held[f"episodes {best}"] = (">= 60", measured[f"episodes {best}"]["median"] >= 60)
    held["sandboxes"] = (">= 150", measured["sandboxes"]["median"] >= 150)
    held["warm reset"] = ("< 1 ms", measured["warm reset"]["median"] < 1)
    return held


def measure(args: argparse.Namespace) -> Samples:
    """All measurements, gone through `passes` times."""
    samples = Samples()
    passes, chunks, least, seconds = (1, 2, 256, 2) if args.quick else (3, 5, 2048, 10)
    for _ in range(passes):
        steps(samples, COUNTS[:-1] if args.quick else COUNTS, chunks, least)
        one_by_one(samples, seconds)
        for count in EPISODES_AT_ONCE:
            episodes(samples, count, seconds)
        sandboxes(samples, 2, 40 if args.quick else 100)
        for count in RESET_COUNTS:
            resets(samples, count, 5 if args.quick else 25)
        if args.profile:
            profile(samples, PROFILED, 2 if args.quick else 20)
    return samples


def notes(args: argparse.Namespace, samples: Samples) -> list[str]:
    """What the table leaves unsaid."""
    said = ["A rate is of a chunk of steps, of a second of episodes, or of a batch of sandboxes: `n` of them."]
    if args.profile:
        cpu = {row: statistics.median(values) for row, values in samples.values.items() if row.startswith("cpu ")}
        whole = sum(value for row, value in cpu.items() if "," in row)
        said += [f"A step of {PROFILED} environments takes {whole:.0f} µs of processor time, all processes together."]
    return said


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it down. Exits with 0 also where a target is missed."""
    parser = report.parser("throughput", __doc__)
    parser.add_argument("--profile", action="store_true", help="also: where the time of a step goes")
    args = parser.parse_args(argv)
    machine = report.machine()
    samples = measure(args)
    table = report.rows(rows(args.profile), samples, targets, "not with --quick")
    result = {"title": "Throughput", "unit": "per second", "machine": machine, "notes": notes(args, samples)}
    report.publish("throughput", args, {**result, "rows": table})
    return 0


if __name__ == "__main__":
    sys.exit(main())
