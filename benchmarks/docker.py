"""The Docker recipe in common use beside our Docker sandbox and our namespace sandbox, all from one image.

Each arm plays the same episode, alone and 8 and 32 at once: reset, five turns of `echo hi`, the verdict by a check in
shell, teardown. Ours begin warm, from a pool that is full; what the pool does in the background then is measured by the
cold rows and by teardown, which is from `close` to the moment when nothing is left. The naive turns state 0.1 s, the
least that its prompt asks for. Its verdict is one `exec` in the agent's own container; ours is given by another one,
that the agent never was in.

The namespace sandbox needs no engine: the image is imported into a store of its own for this run.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import report
from latency import TASK, action
from naive_docker import Container, Unavailable, require
from report import Row, Samples

from termgym import aio
from termgym.episode import Episode, EpisodeConfig
from termgym.image.store import Store
from termgym.pool import SandboxPool
from termgym.sandbox import close_shared
from termgym.task import Task

COUNTS = (1, 8, 32)
TURNS = 5
DURATION_S = 0.1
ECHO, SOLVE = "echo hi\n", "echo hi > out.txt\n"
TIMES = {"naive": "naive", "docker": "our docker", "namespace": "our namespace"}


# The naive recipe.


def naive(samples: Samples, image: str, count: int) -> None:
    """`count` episodes at once, each in a thread of its own, as the recipe's calls are processes."""
    with ThreadPoolExecutor(count) as threads:
        list(threads.map(lambda _: naive_episode(samples, image, count), range(count)))


def naive_episode(samples: Samples, image: str, count: int) -> None:
    """One of them."""
    begin = time.perf_counter()
    with Container(image) as container:
        container.open()
        samples.add(f"naive reset {count}", time.perf_counter() - begin)
        for _ in range(TURNS):
            with samples.time(f"naive step {count}"):
                screen = container.step(ECHO, DURATION_S)
            assert "\nhi\n" in screen, screen
        container.step(SOLVE, DURATION_S)
        with samples.time(f"naive verify {count}"):
            assert container.verify() == 1.0
        with samples.time(f"naive teardown {count}"):
            container.remove()


# Ours.


async def ours(samples: Samples, arm: str, task: Task, count: int) -> None:
    """`count` episodes at once on one event loop, from a warm pool; and one from nothing."""
    config = EpisodeConfig(sandbox=arm)
    pool = SandboxPool(count)
    try:
        await fill(pool, Episode(task, config, pool=pool), count)
        episodes = [Episode(task, config, pool=pool) for _ in range(count)]
        await at_once(samples, f"{arm} reset {count}", episodes, Episode.reset)
        for _ in range(TURNS):
            await at_once(samples, f"{arm} step {count}", episodes, turn)
        await asyncio.gather(*(episode.step(action(SOLVE)) for episode in episodes))
        await at_once(samples, f"{arm} verify {count}", episodes, verify)
        for episode in episodes:
            episode.pool = None  # or its close would only begin in the background
        await at_once(samples, f"{arm} teardown {count}", episodes, Episode.close)
    finally:
        await pool.close()
    cold = Episode(task, config)
    with samples.time(f"{arm} cold"):
        await cold.reset()
    await cold.close()


async def fill(pool: SandboxPool, first: Episode, count: int) -> None:
    """Have the pool know what is wanted, and make it."""
    await first.reset()
    await first.close()
    while pool.queues["warm"] < count or pool.queues["creating"] or pool.queues["disposing"]:
        await asyncio.sleep(0.01)


async def at_once(
    samples: Samples, row: str, episodes: Sequence[Episode], act: Callable[[Episode], Awaitable[object]]
) -> None:
    """Do one thing with all of them, each timed from the beginning to its own end."""

    async def one(episode: Episode) -> None:
        with samples.time(row):
            await act(episode)

    await asyncio.gather(*map(one, episodes))


async def turn(episode: Episode) -> None:
    """One echo turn."""
    taken = await episode.step(action(ECHO))
    assert "\nhi\n" in taken.observation, taken


async def verify(episode: Episode) -> None:
    """The verdict."""
    _, verdict = await episode.finish()
    assert verdict.binary == 1.0, verdict


# The table.


def targets(m: dict[str, dict[str, float]]) -> dict[str, tuple[str, bool]]:
    """The targets by row, and whether they are met."""
    held: dict[str, tuple[str, bool]] = {}
    for arm, times in (("docker", 20), ("namespace", 100)):
        for what in ("reset", "step"):
            for count in COUNTS:
                row, peer = f"{arm} {what} {count}", f"naive {what} {count}"
                if row in m and peer in m:
                    met = m[peer]["median"] >= times * m[row]["median"]
                    held[row] = (f"<= naive / {times}", met)
    return held


def chosen(counts: Sequence[int]) -> list[Row]:
    """The rows: what is done, by whom, how many at once."""
    rows = [
        Row(f"{arm} {what} {count}", f"{what}, {count} at once: {shown}", f"naive {what} {count}" * (arm != "naive"))
        for what in ("reset", "step", "verify", "teardown")
        for count in counts
        for arm, shown in TIMES.items()
    ]
    cold = [Row(f"{arm} cold", f"reset, cold: {TIMES[arm]}", "naive reset 1") for arm in ("docker", "namespace")]
    return rows + cold


def measure(rounds: int, image: str, counts: Sequence[int]) -> Samples:
    """All arms in turn, round after round."""
    samples = Samples()
    task = replace(TASK, image=image)
    for number in range(-1, rounds):
        into = samples if number >= 0 else Samples()
        for count in counts if number >= 0 else counts[:1]:
            naive(into, image, count)
            time.sleep(0.5)  # the engine tidies up for longer than it says
            for arm in ("docker", "namespace"):
                aio.run(ours(into, arm, task, count))
    aio.run(close_shared())
    return samples


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it down. Exits with 0 also where a target is missed."""
    parser = report.parser(
        "docker",
        __doc__,
        "example (on the engine that DOCKER_HOST names):\n"
        "  mmdebstrap --variant=minbase --include=tmux bookworm | docker import - bench\n"
        "  python benchmarks/docker.py --image bench && python benchmarks/report.py",
    )
    parser.add_argument("--image", required=True, metavar="NAME", help="an image of the engine, with bash and tmux")
    args = parser.parse_args(argv)
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != report.FOLDER]  # `docker` is not this file then
    try:
        require(args.image)
    except Unavailable as reason:
        parser.error(str(reason))
    counts, rounds = (COUNTS[:2], 1) if args.quick else (COUNTS, 3)
    machine = report.machine()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TERMGYM_IMAGES"] = str(Path(folder, "images"))
        Store().import_engine(args.image)
        samples = measure(rounds, args.image, counts)
    result = {
        "title": "Docker",
        "unit": "ms",
        "machine": machine,
        "notes": [f"{rounds} rounds over all arms; `beside` compares medians, of all episodes of a row."],
        "rows": report.rows(chosen(counts), samples, targets, ""),
    }
    report.publish("docker", args, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
