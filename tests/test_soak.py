"""A soak in miniature: 64 terminals, hostile agents in them, and chaos from outside. `TERMGYM_SOAK_S` says how long,
and `TERMGYM_SOAK_SEED` which chaos.

What an episode printed stays its own, rewards are right, every loss is counted and has a cause that is in the book of
what was done to it, no slot gets stuck, and in the end as much is in use as was in the beginning.
"""

import asyncio
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from termgym import Action, Check, Command, Task
from termgym.launcher_client import launcher
from termgym.sandbox.namespace import NamespaceSandbox
from termgym.task import Resources

SOAK_S = float(os.environ.get("TERMGYM_SOAK_S", "20"))
SEED = int(os.environ.get("TERMGYM_SOAK_SEED", "1"))
NUM, BATCH, POOL = 64, 16, 16
WAIT_S = 20.0
"""For what an agent types; a stopped shell takes all of it."""
STUCK_S = 40.0
LAUNCHER_S = 7.0
"""Between two kills of the launcher, at least: each one takes every episode along."""
GROWTH_BYTES = 48 << 20
TASK = Task(
    "tests/soak",
    "Write right into /app/answer.",
    checks=(Check("right", 'sleep 0.0$((RANDOM % 10)); [ "$(cat /app/answer)" = right ]'),),
    resources=Resources(cpus=0.5, storage_mb=8, inodes=2000, processes=48),
)
INVALID = ("infra_error", "verifier_error")
REPORT = "x=; read x 2> /dev/null < /app/answer; echo slot {slot} turn $(({turn})) has ${{#x}}\n"
REPORTED = re.compile(r"^slot (\d+) turn (\d+) has (\d+)\s*$", re.MULTILINE)
COMMANDS = {
    "echo": "",
    "sleep": "sleep 0.{turn}; ",
    "solve": "echo right > /app/answer; ",
    "spoil": "echo no > /app/answer; ",
    "fill": "head -c 32M /dev/zero > /app/full; ",
    "fill quickly": "dd if=/dev/zero of=/tmp/full bs=1M count=32; ",
    "inodes": "seq 3000 | (cd /tmp && xargs touch); ",
    "unfill": "rm -f /app/full /tmp/*; ",
    "bomb": "bomb() {{ bomb | bomb & }}; bomb; ",
    "exit": "exit\n",
    "done": "",
    "garbage": "",
}
WEIGHTS = (20, 8, 8, 3, 3, 2, 1, 2, 0.3, 1.5, 4, 2)
CHAOS = {
    "sandbox killed": 4,
    "shell killed": 3,
    "shell stopped": 2,
    "sandbox stopped": 2,
    "warm killed": 3,
    "judge killed": 6,
    "launcher stopped": 1,
    "launcher killed": 2,
}
FATAL = ("launcher killed", "sandbox killed", "warm killed", "judge killed")


@dataclass
class Book:
    """What is known of one slot."""

    number: int
    turn: int = 0
    first: int = 0
    """The turn before the episode's first."""
    kind: str = ""
    box: int = 0
    """PID 1 of the episode that the action was for; 0 if the slot had none."""
    launcher: int = 0
    answer: bool | None = False
    messy: bool = False
    heard: float = 0.0


class Chaos:
    """What goes wrong from outside, at random moments, and what was done to whom."""

    def __init__(self, env: Any, seed: int, judges: dict[NamespaceSandbox, int]) -> None:
        self.env, self.judges = env, judges
        self.random = random.Random(seed)
        self.harmed: dict[int, set[str]] = {}
        self.killed: set[NamespaceSandbox] = set()  # not their process ids, which come again
        self.launchers: set[int] = set()
        self.dead: dict[int, float] = {}
        self.done: Counter[str] = Counter()
        self.error: Exception | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._killed_at = time.monotonic()

    def __enter__(self) -> "Chaos":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self.random.expovariate(4)):
            what = self.random.choices(list(CHAOS), list(CHAOS.values()))[0]
            try:
                self.env._crew.thread.run(self.strike(what))
            except Exception as error:
                self.error = error
                return

    async def strike(self, what: str) -> None:
        """In the loop's thread, so that who is struck does not change meanwhile."""
        if what.startswith("launcher"):
            await self._strike_launcher(what)
        elif what == "warm killed":
            self._strike(what, [warm.sandbox for waiting in self.env._pool._warm.values() for warm in waiting])
        elif what == "judge killed":
            self._strike(what, [judge for judge in self.judges if judge._pidfd >= 0])
        else:
            episodes = [seat.slot.episode for seat in self.env._seats if seat.slot.episode]
            warm = [one._warm for one in episodes if one._warm and one._warm.sandbox._pidfd >= 0]
            self._strike(what, [one.terminal if "shell" in what else one.sandbox for one in warm], warm)

    def _strike(self, what: str, victims: list[Any], boxes: list[Any] | None = None) -> None:
        position = self.random.randrange(max(1, len(victims)))
        if not victims or victims[position]._pidfd < 0:
            return
        victim = victims[position]
        pid = boxes[position].sandbox._pid if boxes else self.judges.get(victim) or victim._pid
        self.harmed.setdefault(pid, set()).add(what)
        self.done[what] += 1
        if what == "sandbox killed":
            self.killed.add(victim)
        send(victim, signal.SIGSTOP if "stopped" in what else signal.SIGKILL)
        if "stopped" in what and self.random.random() < 0.5:
            asyncio.get_running_loop().call_later(self.random.uniform(0.1, 4), send, victim, signal.SIGCONT)

    async def _strike_launcher(self, what: str) -> None:
        pid = (await launcher()).pid
        self.launchers.add(pid)
        if what == "launcher stopped":
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(self.random.uniform(1, 3))
            os.kill(pid, signal.SIGCONT)
        elif time.monotonic() < self._killed_at + LAUNCHER_S:
            return
        else:
            self._killed_at = self.dead[pid] = time.monotonic()
            os.kill(pid, signal.SIGKILL)
        self.done[what] += 1

    def done_to(self, book: Book) -> list[str]:
        """What was done to an episode, or to all; to its making, where there is none yet."""
        if book.box:
            return [*(["launcher killed"] if book.launcher in self.dead else []), *self.harmed.get(book.box, ())]
        return ["launcher killed"] if self.dead and time.monotonic() < self._killed_at + STUCK_S else []

    def cause(self, book: Book) -> str:
        """Why an episode may be invalid; what happens to its shell makes it none."""
        return next((what for what in self.done_to(book) if what in FATAL), "")


def send(victim: Any, number: signal.Signals) -> None:
    if victim._pidfd >= 0:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(victim._pidfd, number)


class Soak:
    """Drives the agents, and checks what comes back."""

    def __init__(self, env: Any, mode: str, seed: int) -> None:
        self.env, self.mode, self.random = env, mode, random.Random(seed)
        self.books = [Book(number) for number in range(NUM)]
        self.steps = self.ended = 0
        self.losses: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.waits: list[float] = []
        self.sizes: list[int] = []

    def begin(self, seed: int) -> None:
        self.env.reset(seed=seed)
        for book in self.books:
            self._start(book)

    def _start(self, book: Book) -> None:
        book.first, book.answer, book.messy, book.heard = book.turn, False, False, time.monotonic()

    def send(self, ids: Iterable[int], kind: str = "") -> None:
        numbers = [int(number) for number in ids]
        self.env.send([self._action(self.books[number], kind) for number in numbers], numbers)

    def _action(self, book: Book, kind: str) -> str:
        seat = self.env._seats[book.number]  # idle: nothing of it changes now
        episode = None if seat._over else seat.slot.episode
        book.box, book.launcher = (episode.sandbox._pid, episode.sandbox._launcher.pid) if episode else (0, 0)
        book.turn += 1
        likely = "done" if book.messy and self.random.random() < 0.5 else ""
        book.kind = kind or likely or self.random.choices(list(COMMANDS), WEIGHTS)[0]
        book.messy = book.messy or book.kind == "bomb"
        if book.kind == "garbage":
            return "this is no JSON"
        text = (COMMANDS[book.kind] + REPORT).format(slot=book.number, turn=book.turn)
        keys = () if book.kind == "done" else (Command("exit\n" if book.kind == "exit" else text, WAIT_S),)
        return Action("", "", keys, book.kind == "done").to_json()

    def receive(self, chaos: Chaos) -> list[int]:
        begin = time.monotonic()
        observations, rewards, terminations, truncations, infos = self.env.recv()
        self.waits.append(time.monotonic() - begin)
        over = terminations | truncations
        for position, number in enumerate(infos["env_id"]):
            info = part(infos, position)
            self._check(
                self.books[number], chaos, observations[position], float(rewards[position]), info, over[position]
            )
        late = [book.number for book in self.books if time.monotonic() - book.heard > STUCK_S]
        assert not late, f"slots {late} are stuck"
        assert chaos.error is None, chaos.error
        self.steps += len(over)
        return infos["env_id"].tolist()

    def _check(self, book: Book, chaos: Chaos, text: str, reward: float, info: dict[str, Any], over: bool) -> None:
        book.heard = time.monotonic()
        final = info.get("final_info", info)
        shown = info.get("final_obs", text)
        lost = final.get("outcome") in INVALID
        self._account(book, chaos, [final, *([info] if final is not info else [])])
        if book.box:
            self._read(book, chaos, "" if lost else shown)
        if over and not lost:
            self.ended += 1
            self.outcomes[final["outcome"]] += 1
            assert reward == (final["outcome"] == "solved"), final
            assert book.answer is None or reward == book.answer, (book, reward, final, chaos.harmed.get(book.box))
        if "instruction" in info:
            assert not REPORTED.findall(text), f"a new episode shows {text!r}"
            self._start(book)

    def _account(self, book: Book, chaos: Chaos, infos: list[dict[str, Any]]) -> None:
        """Every loss has a cause."""
        for info in infos:
            if info.get("outcome") not in INVALID:
                continue
            cause = chaos.cause(book if info is infos[0] else Book(book.number))
            assert cause, f"{chaos.done_to(book)} was done to slot {book.number}, but {info} ({book})"
            self.losses[f"{cause}: {re.sub(r'[0-9]+', '#', info['failure'])}"] += 1

    def _read(self, book: Book, chaos: Chaos, shown: str) -> None:
        """What it printed is its own, and came if nothing was in the way."""
        turns = {}
        for slot, turn, size in REPORTED.findall(shown):
            assert int(slot) == book.number and book.first < int(turn) <= book.turn, (book, shown)
            turns[int(turn)] = int(size)
        if book.turn in turns:
            book.answer = turns[book.turn] == len("right")
        elif book.kind not in ("done", "garbage", "exit"):
            assert book.messy or chaos.done_to(book), f"nothing was done to {book}, but it shows {shown!r}"
            book.answer = None

    def run(self, seconds: float, chaos: Chaos) -> None:
        until, next_look = time.monotonic() + seconds, 0.0
        self.send(range(NUM))
        while time.monotonic() < until:
            self.send(self.receive(chaos))
            if time.monotonic() > next_look:
                next_look = time.monotonic() + 0.5
                self.sizes.append(own_bytes())

    def finish(self, chaos: Chaos) -> None:
        """Take what is at work in, and then an echo of every slot; who was killed is gone after that."""
        for again in (False, True):
            if again:
                self.send(range(NUM), "echo")
            waits = len(self.waits)
            while self.env._crew.awaited:
                self.receive(chaos)
            del self.waits[waits:]  # for the slowest of all, a stopped shell perhaps
        current = [seat.slot.episode for seat in self.env._seats if not seat._over]
        assert not [one for one in current if one.sandbox in chaos.killed]

    def check_counts(self) -> None:
        counts = Counter(self.env.metrics["counts"])
        assert self.losses.total() == counts["invalid"] == counts["retried"] + counts["given up"], counts

    def check_growth(self) -> None:
        quarter = len(self.sizes) // 4
        early, late = (np.mean(self.sizes[part]) for part in (slice(quarter, 2 * quarter), slice(3 * quarter, None)))
        assert late - early < GROWTH_BYTES, f"{early:.0f} bytes became {late:.0f}"

    def tell(self, chaos: Chaos) -> None:
        p50, p99, longest = np.percentile(self.waits, [50, 99, 100]) * 1e3
        print(f"\n{self.mode}: {self.steps} steps, {self.ended} episodes judged, {self.losses.total()} lost")
        print(f"recv: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {longest:.0f} ms")
        print(f"outcomes: {dict(self.outcomes)}\nchaos: {dict(chaos.done)}")
        for cause, number in self.losses.most_common():
            print(f"{number:6} {cause[:150]}")
        if self.sizes:
            print(f"PSS: {self.sizes[0] >> 20} to {self.sizes[-1] >> 20} MiB, at most {max(self.sizes) >> 20}")
        print(f"counts: {self.env.metrics['counts']}")


def part(infos: dict[str, Any], position: int) -> dict[str, Any]:
    """What infos say of one position."""
    found: dict[str, Any] = {}
    for key, mask in infos.items():
        if key.startswith("_") and mask[position]:
            value = infos[key[1:]]
            found[key[1:]] = part(value, position) if isinstance(value, dict) else value[position]
    return found


def own_bytes() -> int:
    found = re.search(r"^Pss:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) << 10


def children(of: int) -> set[int]:
    """The processes that one has started, the ended ones left out."""
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == of and state != "Z":
            found.add(int(stat.parent.name))
    return found


def own() -> tuple[int, int, int]:
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), len(children(os.getpid()))


def links() -> list[str]:
    found: list[str] = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return found


async def tasks_and_launcher() -> tuple[int, int]:
    return len(asyncio.all_tasks()), (await launcher()).pid


def in_use(env: Any) -> dict[str, Any]:
    tasks, pid = env._crew.thread.run(tasks_and_launcher())
    descriptors, threads, processes = own()
    boxes = len(children(pid))
    return {"descriptors": descriptors, "threads": threads, "children": processes, "boxes": boxes, "tasks": tasks,
            "launcher's": len(list(Path(f"/proc/{pid}/fd").iterdir())), **env.metrics["queues"]}  # fmt: skip


def settled(env: Any) -> dict[str, Any]:
    """What is in use when the pool is full and nothing goes on."""
    full = {"warm": POOL, "creating": 0, "waiting": 0, "disposing": 0}
    eventually(lambda: env.metrics["queues"] == full, lambda: env.metrics["queues"])
    time.sleep(0.3)
    return in_use(env)


def eventually(condition: Callable[[], object], shown: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass: {shown()}"
        time.sleep(0.05)


def groups(launchers: Iterable[int]) -> list[str]:
    """The cgroups that launchers have left."""
    names = {f"termgym-{pid}" for pid in launchers}
    return [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if Path(folder).name in names]


@contextmanager
def vector(mode: str, **options: Any) -> Iterator[Any]:
    env = gym.make_vec(
        "Terminal-v0", num_envs=NUM, batch_size=BATCH, autoreset_mode=mode, pool_size=POOL, confirm=False, task=TASK,
        limits={"turns": 15}, **options,
    )  # fmt: skip
    try:
        yield env.unwrapped
    finally:
        begin = time.monotonic()
        env.close()
        took_s = time.monotonic() - begin
    assert took_s < 10, f"close took {took_s:.1f} s"


@pytest.fixture
def judges(monkeypatch: pytest.MonkeyPatch) -> dict[NamespaceSandbox, int]:
    """The judges at work, and PID 1 of the sandbox that each one judges."""
    found: dict[NamespaceSandbox, int] = {}
    verifier, close = NamespaceSandbox.verifier, NamespaceSandbox.close

    async def noted(self: NamespaceSandbox, image: str = "") -> NamespaceSandbox:
        judge = await verifier(self, image)
        found[judge] = self._pid
        return judge

    async def forgotten(self: NamespaceSandbox) -> None:
        found.pop(self, None)
        await close(self)

    monkeypatch.setattr(NamespaceSandbox, "verifier", noted)
    monkeypatch.setattr(NamespaceSandbox, "close", forgotten)
    return found


def check_nothing_left(before: tuple[int, int, int], launchers: set[int]) -> None:
    eventually(lambda: own() == before, lambda: (before, own(), links()), 5.0)
    eventually(lambda: not groups(launchers), lambda: groups(launchers), 5.0)


@pytest.mark.slow
@pytest.mark.timeout(SOAK_S * 1.5 + 240)
@pytest.mark.parametrize(("mode", "share"), [("SameStep", 1.0), ("NextStep", 0.5)])
def test_chaos_is_survived_counted_and_leaves_nothing(
    mode: str, share: float, judges: dict[NamespaceSandbox, int]
) -> None:
    before = own()
    with vector(mode) as env:
        soak, chaos = Soak(env, mode, SEED), Chaos(env, SEED, judges)
        soak.begin(SEED)
        soak.finish(chaos)
        first = settled(env)
        with chaos:
            soak.run(SOAK_S * share, chaos)
        soak.finish(chaos)
        soak.tell(chaos)
        soak.check_counts()
        soak.begin(SEED + 1)
        soak.finish(Chaos(env, SEED, judges))  # nothing was done to these
        eventually(lambda: settled(env) == first, lambda: (first, settled(env)))
        soak.check_growth()
        chaos.launchers.add(env._crew.thread.run(tasks_and_launcher())[1])
    check_nothing_left(before, chaos.launchers)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("last", [*CHAOS])
def test_closing_in_the_middle_of_chaos_takes_seconds(last: str, judges: dict[NamespaceSandbox, int]) -> None:
    before = own()
    with vector("SameStep") as env:
        soak, chaos = Soak(env, "SameStep", SEED), Chaos(env, SEED, judges)
        soak.begin(SEED)
        with chaos:
            soak.run(2.0, chaos)
        chaos._killed_at = 0.0
        striking = threading.Thread(target=lambda: env._crew.thread.run(chaos.strike(last)))
        striking.start()
        time.sleep(0.1)
        if last != "launcher stopped":
            striking.join()
    striking.join()
    eventually(lambda: own() == before, lambda: (before, own(), links()), 5.0)
