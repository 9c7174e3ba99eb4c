"""The pool of warm sandboxes: what it hands out is fresh, sound and as ordered, and all of it goes again."""

import asyncio
import contextlib
import functools
import gc
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from termgym import Action, Check, Command, File, SandboxError, Task, aio
from termgym.episode import Episode
from termgym.launcher_client import close_launcher, launcher
from termgym.metrics import Metrics
from termgym.pool import Order, SandboxPool, Warm, dispose, make
from termgym.protocol import Parsed
from termgym.sandbox import SandboxSpec
from termgym.task import Resources

ORDER = Order(SandboxSpec())
TASK = Task("tests/touch", "Make the file /app/a.", checks=(Check("a", "test -f /app/a"),))
PROFILE = File.of("PS1='mine> '\necho welcome to $PWD\n")


def case(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that awaits."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def body() -> None:
            try:
                await test(*args, **kwargs)
            finally:
                others = asyncio.all_tasks() - {asyncio.current_task()}
                for task in others:  # of a pool that a failed test left open
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
                await close_launcher()

        aio.run(body())

    return run


async def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.005)


async def filled(pool: SandboxPool, order: Order = ORDER) -> SandboxPool:
    """The pool, once it has as many warm ones as it may have."""
    pool.release(await pool.acquire(order))
    await eventually(lambda: pool.queues == {"warm": pool.size, "creating": 0, "waiting": 0, "disposing": 0})
    return pool


def pid_of(warm: Warm) -> int:
    return vars(warm.sandbox)["_pid"]


def shell_of(warm: Warm) -> int:
    return vars(warm.terminal)["_shell"]


def waiting(pool: SandboxPool) -> list[Warm]:
    return [warm for queue in vars(pool)["_warm"].values() for warm in queue]


async def boxes() -> set[int]:
    """The first processes of all sandboxes that there are."""
    pid = (await launcher()).pid
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


async def none_left() -> None:
    """Wait until the launcher has done what it was told."""
    deadline = time.monotonic() + 5
    while left := await boxes():
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.005)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def shown(warm: Warm, *keys: str) -> str:
    """The screen after these keys."""
    assert warm.terminal
    for one in keys:
        await warm.terminal.type(one, 10.0)
    return warm.terminal.emulator.screen().text


# What is handed out.


@case
async def test_a_warm_one_is_quick_fresh_and_at_its_prompt() -> None:
    pool = await filled(SandboxPool(4))
    took: list[float] = []
    for _ in range(12):
        await eventually(lambda: pool.queues["warm"] == 4)
        begin = time.perf_counter()
        warm = await pool.acquire(ORDER)
        took.append(time.perf_counter() - begin)
        assert (await shown(warm)).strip() == "root@termgym:/app#"
        screen = await shown(warm, "ls -a /app /tmp; touch /app/mine /tmp/mine\n")
        assert "mine" not in screen.partition("mine\n")[2]
        pool.release(warm)
    assert statistics.median(took) < 0.002  # 0.0002 on an idle machine
    assert pool.metrics.counts["warm"] == 12 and pool.metrics.counts["cold"] == 1
    await pool.close()


@case
async def test_none_is_handed_out_twice() -> None:
    pool = await filled(SandboxPool(4))
    taken: list[Warm] = []
    for _ in range(4):
        taken += await asyncio.gather(*(pool.acquire(ORDER) for _ in range(4)))
        for warm in taken[-4:-2]:
            pool.release(warm)
    assert len({id(warm.sandbox) for warm in taken}) == len({pid_of(warm) for warm in taken}) == 16
    for warm in taken[2::4] + taken[3::4]:
        assert warm.sound
        pool.release(warm)
    await pool.close()
    await none_left()


@case
async def test_orders_are_never_mixed_up() -> None:
    orders = {
        "workdir": Order(SandboxSpec(workdir="/srv/x")),
        "environment": Order(SandboxSpec(env={"COLOUR": "red"})),
        "size": Order(SandboxSpec(), rows=12, cols=50),
        "resources": Order(SandboxSpec(resources=Resources(processes=77))),
        "shell": Order(SandboxSpec(), shell=False),
        "usual": ORDER,
    }
    assert len({order.key for order in orders.values()}) == len(orders)
    pool = SandboxPool(12)
    ask = "echo =$PWD-$COLOUR-$(stty size)-$(ulimit -u)\n"
    expected = {}
    for turn in range(6):
        for name, order in orders.items():
            warm = await pool.acquire(order)
            if name == "shell":
                assert warm.terminal is None
            else:
                lines = (await shown(warm, ask)).splitlines()
                (line,) = [line[1:] for line in lines if line.startswith("=")]
                assert expected.setdefault(name, line) == line
            assert warm.sandbox.spec is order.spec
            pool.release(warm)
        if turn == 2:
            await eventually(lambda: pool.queues["warm"] >= 10)
    assert pool.metrics.counts["warm"] > 6
    assert expected["usual"].startswith("/app--40 160-") and expected["size"].startswith("/app--12 50-")
    assert expected["workdir"].startswith("/srv/x--40 160") and expected["environment"].startswith("/app-red-40 160")
    assert expected["resources"].endswith("-77") and not expected["usual"].endswith("-77")
    await pool.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("whose", [shell_of, pid_of])
@case
async def test_what_is_dead_or_stopped_is_not_handed_out(whose: Callable[[Warm], int], number: signal.Signals) -> None:
    pool = await filled(SandboxPool(3))
    victims = waiting(pool)[:2]
    for warm in victims:
        os.kill(whose(warm), number)
    await asyncio.sleep(0.05)
    warm = await pool.acquire(ORDER)
    assert warm not in victims and "a1\n" in await shown(warm, "echo a$((1))\n")
    assert pool.metrics.counts["unsound"] == 2
    pool.release(warm)
    await pool.close()
    await none_left()


# How many there are, and that they go.


@case
async def test_what_is_released_is_gone_soon() -> None:
    pool = SandboxPool(0)
    warm = [await pool.acquire(ORDER) for _ in range(3)]
    for one in warm:
        assert one.terminal
        await one.terminal.type("sleep 77 & setsid sleep 78 &\n", 5.0)
    begin = time.perf_counter()
    for one in warm:
        pool.release(one)
    assert time.perf_counter() - begin < 0.05 and pool.queues["disposing"] == 3
    await eventually(lambda: not any(Path(f"/proc/{pid_of(one)}").exists() for one in warm))
    await eventually(lambda: pool.metrics.counts["disposed"] == 3 and not pool.queues["disposing"])
    await pool.close()


@case
async def test_no_more_are_made_at_a_time_and_kept_than_were_allowed() -> None:
    pool = SandboxPool(3, creating=2, cpus=8)
    pool.release(await pool.acquire(ORDER))
    seen = {"warm": 0, "creating": 0}
    begin = time.monotonic()
    requests = [asyncio.create_task(pool.acquire(ORDER)) for _ in range(10)]
    free = vars(pool)["_free"]
    while time.monotonic() - begin < 1.0 or not all(request.done() for request in requests):
        seen["warm"] = max(seen["warm"], pool.queues["warm"])
        seen["creating"] = max(seen["creating"], 2 - free._value)
        await asyncio.sleep(0.001)
    assert 0 < seen["warm"] <= 3 and seen["creating"] == 2
    assert len(await boxes()) <= 10 + 3
    for request in requests:
        pool.release(request.result())
    await pool.close()
    await none_left()


@case
async def test_what_nobody_asks_for_any_more_makes_room() -> None:
    pool = await filled(SandboxPool(4), Order(SandboxSpec(workdir="/old")))
    for _ in range(20):
        pool.release(await pool.acquire(ORDER))
    await eventually(lambda: pool.queues["warm"] == 4 and not pool.queues["disposing"])
    await asyncio.sleep(0.2)
    assert {warm.sandbox.spec.workdir for warm in waiting(pool)} == {"/app"} and pool.queues["warm"] == 4
    await pool.close()


@case
async def test_a_pool_of_none_makes_each_when_it_is_asked_for() -> None:
    pool = SandboxPool(0)
    pool.release(await pool.acquire(ORDER))
    await eventually(lambda: not pool.queues["disposing"])
    assert not await boxes() and pool.metrics.counts["made"] == pool.metrics.counts["cold"] == 1
    await pool.close()


@case
async def test_a_cancelled_close_of_a_sandbox_goes_on_to_its_end() -> None:
    await (await make(ORDER)).sandbox.close()  # the launcher has begun
    before = len(list(Path("/proc/self/fd").iterdir()))
    for moments in range(4):
        warm = await make(replace(ORDER, shell=False))
        closing = asyncio.create_task(warm.sandbox.close())
        for _ in range(moments):
            await asyncio.sleep(0)
        closing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closing
        if not moments:  # cancelled before it began
            await warm.sandbox.close()
        assert not warm.sandbox.alive and len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("shell", [True, False])
@case
async def test_a_cancelled_acquire_leaks_nothing(shell: bool) -> None:
    order = replace(ORDER, shell=shell)
    pool = SandboxPool(0)
    for _ in range(2):
        pool.release(await pool.acquire(order))
        await eventually(lambda: not pool.queues["disposing"])
    before = descriptors()
    for i in range(40):
        request = asyncio.create_task(pool.acquire(order))
        await asyncio.sleep(i * 0.0005)
        if not request.cancel():
            pool.release(await request)
            continue
        with contextlib.suppress(asyncio.CancelledError):
            pool.release(await request)
    assert pool.queues["waiting"] == 0
    await pool.close()
    await asyncio.sleep(0.05)
    await none_left()
    await eventually(lambda: gc.collect() >= 0 and descriptors() <= before)


@case
async def test_descriptors_do_not_grow() -> None:
    pool = await filled(SandboxPool(4))
    await asyncio.sleep(0.1)  # until the first processes rest, which have a socket before
    before = descriptors()
    for _ in range(50):
        warm = await pool.acquire(ORDER)
        await shown(warm, "true\n")
        pool.release(warm)
    await eventually(lambda: pool.queues == {"warm": 4, "creating": 0, "waiting": 0, "disposing": 0})
    await eventually(lambda: descriptors() == before)
    await pool.close()


@pytest.mark.parametrize("when", [0.0, 0.01, 0.02, 0.04, 0.3])
@case
async def test_closing_disposes_of_all(when: float) -> None:
    await launcher()
    gc.collect()
    before = descriptors()
    pool = SandboxPool(4, cpus=4)
    pool.release(await pool.acquire(ORDER))
    await asyncio.sleep(when)  # others are being made
    await pool.close()
    await none_left()
    await eventually(lambda: gc.collect() >= 0 and descriptors() <= before)
    assert pool.queues == {"warm": 0, "creating": 0, "waiting": 0, "disposing": 0}
    await pool.close()


@case
async def test_a_killed_launcher_is_got_over() -> None:
    pool = await filled(SandboxPool(3))
    held = await pool.acquire(ORDER)
    os.kill((await launcher()).pid, signal.SIGKILL)
    await eventually(lambda: not held.sandbox.alive)
    pool.release(held)
    warm = await pool.acquire(ORDER)
    assert "a1\n" in await shown(warm, "echo a$((1))\n")
    pool.release(warm)
    await eventually(lambda: len(waiting(pool)) == 3 and all(one.sound for one in waiting(pool)))
    await pool.close()
    await none_left()


@case
async def test_what_cannot_be_made_is_an_error_and_leaves_nothing() -> None:
    pool = SandboxPool(2)
    with pytest.raises(SandboxError):
        await pool.acquire(Order(SandboxSpec(image="/no/such/image")))
    assert pool.metrics.counts["failed"] >= 1 and pool.queues["waiting"] == 0
    warm = await pool.acquire(ORDER)
    assert warm.sound
    pool.release(warm)
    await pool.close()
    await none_left()


# Episodes.


async def seen_in(task: Task, pool: SandboxPool | None, *keys: str, **options: Any) -> list[str]:
    """All observations of an episode, its outcome, and the verdict's number."""
    episode = Episode(task, pool=pool, **options)
    seen = [await episode.reset()]
    batches = [Parsed(Action(commands=(Command(one, 10.0),)), "", ()) for one in keys]
    seen += [(await episode.take(batch)).observation for batch in batches]
    outcome, verdict = await episode.finish()
    await episode.close()
    return [*seen, outcome.value, str(verdict.dense)]


@pytest.mark.parametrize(
    "task",
    [
        TASK,
        replace(TASK, files={"/app/note": File.of("a note\n")}),
        replace(TASK, workdir="/srv/somewhere/else"),
        replace(TASK, env={"PS1": "$ ", "COLOUR": "blue"}),
        replace(TASK, files={"/root/.bash_profile": PROFILE}),
        replace(TASK, files={"/etc/profile.d/mine.sh": PROFILE}),
        replace(TASK, setup="echo \"PS1='set up> '\" > /root/.bash_profile; echo x > /app/made"),
        replace(TASK, resources=Resources(processes=50)),
    ],
    ids=["plain", "files", "workdir", "env", "profile", "etc", "setup", "resources"],
)
@case
async def test_an_episode_is_the_same_with_a_pool_and_without(task: Task) -> None:
    pool = SandboxPool(2)
    keys = (
        "ls -a; pwd; echo $COLOUR\n",
        "history; jobs; stty size\n",
        "touch a\n",
        "mkdir -p /app; touch /app/a\n",
        "env | sort\n",
    )
    expected = await seen_in(task, None, *keys)
    assert expected[-2:] == ["solved", "1.0"]
    for _ in range(3):
        await eventually(lambda: pool.queues["warm"] == 2 or not pool.metrics.counts["made"])
        assert await seen_in(task, pool, *keys) == expected
    assert pool.metrics.counts["warm"] == 2
    await pool.close()


@pytest.mark.parametrize(
    ("task", "prompt"),
    [
        (replace(TASK, files={"/root/.bash_profile": PROFILE}), "welcome to /app\nmine>"),
        (replace(TASK, setup="cp /app/p /root/.profile", files={"/app/p": PROFILE}), "welcome to /app\nmine>"),
        (replace(TASK, env={"PROMPT_COMMAND": "PS1='mine> '"}), "mine>"),
    ],
    ids=["file", "setup", "env"],
)
@case
async def test_a_shell_starts_after_what_it_reads(task: Task, prompt: str) -> None:
    pool = SandboxPool(2)
    for _ in range(3):
        assert prompt in (await seen_in(task, pool))[0]
        await eventually(lambda: pool.queues["warm"] == 2)
    assert pool.metrics.counts["warm"] == 2
    await pool.close()


@case
async def test_every_phase_is_timed() -> None:
    pool = SandboxPool(2)
    for _ in range(3):
        await seen_in(TASK, pool, "true\n", "touch a\n")
    await pool.close()
    told = pool.metrics.to_dict()
    for name, number in {"create": 3, "reset": 3, "step": 6, "verify": 3, "close": 3}.items():
        kept = told["ms"][name]
        assert kept["n"] == number and 0 <= kept["p50"] <= kept["p90"] <= kept["p99"] <= kept["max"] < 60_000
    assert told["ms"]["make"]["n"] == told["counts"]["made"] == told["counts"]["disposed"] >= 3
    assert told["counts"].get("warm", 0) + told["counts"]["cold"] == 3


def test_percentiles_are_of_the_newest_durations() -> None:
    metrics = Metrics()
    assert metrics.to_dict() == {"counts": {}, "ms": {}}
    for i in range(20_000):
        metrics.time("wait", i / 1000 if i >= 10_000 else 1e6)
    told = metrics.milliseconds()["wait"]
    assert told["n"] == 10_000 and told["max"] == pytest.approx(19_999)
    assert told["p50"] == pytest.approx(15_000, abs=2) and told["p99"] == pytest.approx(19_900, abs=2)


@case
async def test_without_a_pool_one_is_made_and_disposed_of() -> None:
    await launcher()
    before = descriptors()
    warm = await make(ORDER)
    assert warm.sound
    await dispose(warm)
    await none_left()
    await eventually(lambda: gc.collect() >= 0 and descriptors() <= before)
