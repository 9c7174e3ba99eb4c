"""The contract of every family: one test, over all that there are."""

import asyncio
import re
import time
from functools import cache

import pytest

from termgym import aio
from termgym.episode import Episode
from termgym.family import Family, families
from termgym.outcome import Outcome
from termgym.protocol import Action, Command
from termgym.source import missing
from termgym.task import DOMAINS, Task
from termgym.verifier import Verdict

SEEDS = (0, 1, 2)
NAMES = sorted(families())
# One seed at the first two levels is quick enough for every run; CI takes them all.
CASES = [
    pytest.param(name, seed, level, marks=() if seed == 0 and level < 3 else pytest.mark.slow)
    for name in NAMES
    for seed in SEEDS
    for level in range(1, families()[name].levels + 1)
]
VERIFY_S = 2.0
GENERATE_S = 0.02


@cache
def family(name: str) -> Family:
    assert not missing(families()[name].requires), f"{name} needs programs that this host lacks"
    return families()[name]


async def play(task: Task, keys: tuple[Command, ...]) -> tuple[Verdict, Episode]:
    """One episode of these keystrokes, a turn each, then the claim to be done."""
    episode = Episode(task)
    try:
        await episode.reset()
        for command in keys:
            if (await episode.step(Action("a", "p", (command,)).to_json())).ended:
                break
        for _ in range(2):
            if not episode.reason:
                await episode.step(Action("a", "p", (), True).to_json())
        outcome, verdict = await episode.finish()
        assert (outcome is Outcome.SOLVED) == bool(verdict.binary)
        return verdict, episode
    finally:
        await episode.close()


async def at_once(*plays: tuple[Task, tuple[Command, ...]]) -> list[tuple[Verdict, Episode]]:
    return list(await asyncio.gather(*(play(task, keys) for task, keys in plays)))


@pytest.mark.parametrize(("name", "seed", "level"), CASES)
def test_oracle_solves_and_nothing_else_does(name: str, seed: int, level: int) -> None:
    task = family(name).task(seed, level)
    wrong = family(name).wrong(seed, level)
    (oracle, episode), (idle, _), *others = aio.run(
        at_once((task, task.oracle), (task, ()), *((task, keys) for keys in wrong.values()))
    )
    assert oracle.dense == 1.0, oracle
    assert idle.binary == 0 and idle.dense < 1
    assert len(wrong) >= 2
    for cheat, (verdict, _) in zip(wrong, others, strict=True):
        assert verdict.dense < 1, f"{cheat} scores {verdict.dense}"
    assert episode.timings.seconds["verify"] < VERIFY_S * (2 + len(wrong))  # they shared two cores


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_task_and_other_seeds_others(name: str) -> None:
    made = [family(name).task(seed, level).digest for seed in range(8) for level in (1, 2)]
    again = [family(name).task(seed, level).digest for seed in range(8) for level in (1, 2)]
    assert made == again
    assert len(set(made)) == len(made)
    assert len({family(name).task(seed).instruction for seed in range(8)}) >= 4


@pytest.mark.parametrize(("name", "seed", "level"), CASES)
def test_the_instruction_names_every_path_that_is_checked(name: str, seed: int, level: int) -> None:
    task = family(name).task(seed, level)
    instruction = task.instruction
    for check in task.checks:
        for path in re.findall(r"/(?:app|srv|etc|var|opt|home|root)/[\w./-]*[\w-]", check.script + check.run):
            parts = re.sub(r"-(wal|shm|journal)$", "", path).split("/")  # sqlite's own companions of a file
            named = ["/".join(parts[: end + 1]) for end in range(len(parts), 1, -1)]
            assert any(one in instruction for one in named if one), (
                f"{check.name} looks at {path}, of which nobody was told"
            )


@pytest.mark.parametrize(("name", "seed", "level"), CASES)
def test_no_answer_in_what_the_agent_finds(name: str, seed: int, level: int) -> None:
    """What the verifier expects, file by file, is nowhere among the files that the agent is given."""
    task = family(name).task(seed, level)
    script = task.setup.encode()
    for path, expected in task.tests.items():
        if path.startswith("expected/") and len(expected.content) > 40:
            assert expected.content not in script, path


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name: str) -> None:
    made = family(name)
    assert made.domain in DOMAINS and made.skills and made.summary
    assert all(re.fullmatch(r"[a-z0-9-]+", skill) for skill in made.skills), made.skills
    checks = made.task(0).checks
    assert len({check.name for check in checks}) == len(checks) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_generation_is_quick(name: str) -> None:
    family(name).task(0)
    taken: list[float] = []
    for seed in range(20):
        begin = time.process_time()
        family(name).task(seed, family(name).levels)
        taken.append(time.process_time() - begin)
    assert sorted(taken)[len(taken) // 2] < GENERATE_S


def test_the_first_six_cover_different_domains() -> None:
    assert len(NAMES) >= 6
    assert len({families()[name].domain for name in NAMES}) >= 5
