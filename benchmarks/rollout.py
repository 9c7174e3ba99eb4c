"""How long a model waits for environments: our rollout engine, a lock-step vector loop, and the naive Docker recipe.

The model is a scripted policy of a fixed think time, so that nothing but environments makes it wait: it sleeps, then
types an ordinary shell line, 8 to 24 times by a seed, and says that it is done; 16 turns are what episodes of
Nemotron-Terminal-Corpus have in the mean. It has as many places as episodes are in flight, and waits when a place is
not thinking: while terminals answer, and while sandboxes are made, tasks laid out, and episodes judged. The share is
waiting / (waiting + thinking) over all places, from the moment when a quarter of the episodes has ended, so that the
start does not count, to the moment when no more are to begin.

The lock-step loop is the vector environment of the same tasks, whose `step` waits for the slowest; everyone thinks at
the same time. The recipe plays another episode, one that is easy for it: a container, tmux in it, 16 turns of `echo hi`
at 0.1 s each, one grep as its verdict. Its containers are made and removed in the threads of its episodes.

The last row has the oracles of the same tasks for a policy: scripts of Python and git, whose own work keeps two cores
busy. What a model waits for there is the tasks.
"""

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from typing import Any

import gymnasium as gym
import numpy as np
import report
from naive_docker import Container, Unavailable, require
from report import Row, Samples

from termgym.aio import Loop
from termgym.places import Places
from termgym.plan import Plan
from termgym.policy import Message, PolicyMaker, Reply, new_policy
from termgym.pool import SandboxPool
from termgym.protocol import Action, Command
from termgym.rollout import rollout
from termgym.sandbox import close_shared
from termgym.task import Task
from termgym.vector import TerminalVectorEnv

FAMILIES = ("files/rename-by-date", "text/clean-csv", "security/redaction", "git/surgery", "admin/log-cleanup",
            "sql/query", "deps/build-order", "software/stack-machine")  # fmt: skip
LINES = ("ls -la\n", "cat * | head -n 5\n", "grep -rn the . | head -n 5\n", "pwd\n", "find . -type f | wc -l\n",
         "for f in *; do echo $f; done\n", "echo $((3 * 7))\n", "wc -c *\n")  # fmt: skip
TURNS = range(8, 25)
NAIVE_DURATION_S = 0.1


class Scripted:
    """Types ordinary lines, as many as the seed says, then says that it is done."""

    def __init__(self, seed: int, think_s: float) -> None:
        self._chance, self._think_s = random.Random(seed), think_s
        self._left = self._chance.choice(TURNS)

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        await asyncio.sleep(self._think_s)
        self._left -= 1
        commands = (Command(self._chance.choice(LINES), 5.0),) if self._left >= 0 else ()
        return Reply(Action("", "", commands, task_complete=not commands).to_json())


class Oracle:
    """The oracle, taking its time."""

    def __init__(self, task: Task, think_s: float) -> None:
        self._oracle, self._think_s = new_policy("oracle", task), think_s

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        await asyncio.sleep(self._think_s)
        return await self._oracle.act(conversation)


def tasks(families: Sequence[str], count: int) -> list[Task]:
    """`count` tasks of the families, in a mixed order."""
    made = [attempt.task for attempt in Plan.of("oracle", list(families), episodes=-(-count // len(families)), level=1)]
    random.Random(7).shuffle(made)
    return made[:count]


def engine(chosen: Sequence[Task], policy: PolicyMaker, places: int, samples: Samples, row: str) -> None:
    """Our engine."""

    async def play() -> None:
        pool = SandboxPool(places // 4)
        run = rollout(policy, chosen, pool, concurrency=places)
        ended, before = 0, dict[str, Any]()
        async for one in run:
            assert one.valid, (one.task, one.outcome, one.error)
            ended += 1
            for phase in ("reset", "verify"):
                samples.add(f"{row} {phase}", one.timings[phase])
            for turn in one.turns:
                samples.add(f"{row} step", turn.step_s)
            if ended == len(chosen) // 4:
                before = run.places.to_dict()
        samples.put(row, share(run.places, before))
        samples.put(f"{row} starved", 1000 * (run.places.starved_s - before["starved_s"]))
        await pool.close()
        await close_shared()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(play())


def share(places: Places, before: dict[str, Any]) -> float:
    """The share, in percent, since `before`."""
    waited, thought = places.waited_s - before["waited_s"], places.thought_s - before["thought_s"]
    return 100 * waited / (waited + thought)


def lock_step(chosen: Sequence[Task], places: int, think_s: float, rounds: int, samples: Samples) -> None:
    """The vector environment, step by step; `rounds` steps of all."""
    per_place = [list(chosen[number::places]) for number in range(places)]
    envs = gym.make_vec("Terminal-v0", num_envs=places, tasks=per_place, autoreset_mode="SameStep")
    assert isinstance(envs, TerminalVectorEnv)
    seeds = count(places)
    policies = [Scripted(seed, 0.0) for seed in range(places)]
    waited_s = thought_s = 0.0

    async def say() -> list[str]:
        return [reply.text for reply in await asyncio.gather(*(policy.act([]) for policy in policies))]

    with closing(envs), asyncio.Runner() as runner:
        envs.reset(seed=3)
        for _ in range(rounds):
            actions = runner.run(say())
            time.sleep(think_s)
            begin = time.perf_counter()
            _, _, terminated, truncated, _ = envs.step(actions)
            waited_s += time.perf_counter() - begin
            thought_s += think_s
            for number in np.flatnonzero(terminated | truncated):
                policies[number] = Scripted(next(seeds), 0.0)
    samples.put("lock-step", 100 * waited_s / (waited_s + thought_s))


def naive(image: str, places: int, turns: int, think_s: float, samples: Samples) -> None:
    """The recipe: each place plays two episodes; the second counts whole."""

    def episode() -> tuple[float, float]:
        begin = time.perf_counter()
        with Container(image) as container:
            container.open()
            for _ in range(turns):
                time.sleep(think_s)
                container.step("echo hi\n", NAIVE_DURATION_S)
            container.verify()
            container.remove()
        return time.perf_counter() - begin, turns * think_s

    def place() -> tuple[float, float]:
        episode()
        return episode()

    with ThreadPoolExecutor(places) as threads:
        times = list(threads.map(lambda _: place(), range(places)))
    took, thought = map(sum, zip(*times, strict=True))
    samples.put("naive", 100 * (took - thought) / took)


def targets(measured: dict[str, dict[str, float]]) -> dict[str, tuple[str, bool]]:
    """The target, and whether it is met."""
    return {"engine": ("< 2 %", measured["engine"]["median"] < 2)}


ROWS = (
    Row("engine", "our engine: share of its time that the model waits", unit="%"),
    Row("lock-step", "lock-step vector loop: the same", "engine", unit="%"),
    Row("naive", "naive Docker recipe: the same", "engine", unit="%"),
    Row("engine starved", "our engine: time in which no place was thinking", unit="ms"),
    Row("engine step", "our engine: a step", unit="ms"),
    Row("engine reset", "our engine: a reset", unit="ms"),
    Row("engine verify", "our engine: a verdict", unit="ms"),
    Row("oracles", "our engine, with the tasks' oracles: share that the model waits", "engine", unit="%"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it down. Exits with 0 also where the target is missed."""
    parser = report.parser("rollout", __doc__)
    parser.add_argument("--image", default="", metavar="NAME", help="an image with tmux, for the recipe")
    parser.add_argument("--family", action="append", default=[], metavar="NAME", help="others than the usual ones")
    args = parser.parse_args(argv)
    machine, samples, skipped = report.machine(), Samples(), ""
    places, think_s, episodes, naive_places = (32, 1.0, 96, 4) if args.quick else (128, 1.0, 640, 16)
    chosen = tasks(args.family or FAMILIES, episodes)
    engine(chosen, lambda task, seed: Scripted(seed, think_s), places, samples, "engine")
    lock_step(chosen, places, think_s, 12 if args.quick else 60, samples)
    engine(chosen, lambda task, seed: Oracle(task, think_s), places, samples, "oracles")
    try:
        require(args.image)
        naive(args.image, naive_places, TURNS[len(TURNS) // 2], think_s, samples)
    except Unavailable as error:
        skipped = str(error)
    families = len(args.family or FAMILIES)
    notes = [
        f"{places} episodes in flight, {think_s:.0f} s of thinking, {episodes} episodes of {families} families at "
        f"level 1. The recipe has {naive_places} in flight, in its favour."
    ]
    table = report.rows(ROWS, samples, targets, skipped)
    result = {"title": "Rollouts", "unit": "% and ms", "machine": machine, "notes": notes}
    report.publish("rollout", args, {**result, "rows": table})
    return 0


if __name__ == "__main__":
    sys.exit(main())
