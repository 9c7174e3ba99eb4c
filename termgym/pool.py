"""Warm sandboxes: started, their shell at its prompt, waiting for an episode.

Taking one costs microseconds instead of ten milliseconds. Others are made in the background, within a budget of CPU;
those that an episode has used are thrown away there, since no check from outside could prove one clean.
"""

import asyncio
import contextlib
import math
import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from termgym.errors import SandboxError, SandboxUnavailable, TaskError
from termgym.metrics import Metrics
from termgym.sandbox import Sandbox, SandboxSpec, base_of, new_sandbox
from termgym.terminal import COLS, ROWS, SHELL, Terminal

PROMPT_TIMEOUT_S = 10.0
BACKLOG = 64
"""Sandboxes waiting to be disposed of, at which new ones have to wait: they hold memory until they are gone."""
CALM_S = 0.002
"""By which what goes on in the background lets the reset go first that it follows from."""
MOMENTS_S = (0.1, 1.0, 5.0)
"""How long the background waits after failures in a row, before it tries again."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: a sandbox, and a shell in it unless something must run before the shell starts."""

    spec: SandboxSpec
    kind: str = "namespace"
    shell: bool = True
    rows: int = ROWS
    cols: int = COLS
    terminal: str = "pty"

    @property
    def key(self) -> Hashable:
        """Equal for orders that the same warm sandbox can fill. An image counts by its digest, however it is named.

        Raises:
            UnknownName: There is no image of that name.
        """
        spec = self.spec
        made = (self.kind, base_of(self.kind, spec), spec.resources, spec.network)
        if not self.shell:
            return made
        shell = (spec.workdir, spec.user, frozenset(spec.env.items()), self.rows, self.cols, self.terminal)
        return (*made, *shell)


class Warm(NamedTuple):
    """A sandbox that nobody has used, and the terminal in it, if one was ordered."""

    sandbox: Sandbox
    terminal: Terminal | None

    @property
    def sound(self) -> bool:
        """Whether it is still alive, at its prompt, and not stopped."""
        return self.sandbox.alive and (self.terminal is None or self.terminal.at_prompt())


async def make(order: Order) -> Warm:
    """Make a sandbox, without a pool; whoever gets it must `dispose` of it.

    Raises:
        SandboxError: It could not be brought up; nothing is left of it.
    """
    sandbox, terminal = new_sandbox(order.kind, order.spec), None
    try:
        await sandbox.start()
        if order.shell:
            terminal = await open_shell(sandbox, order.rows, order.cols, kind=order.terminal)
    except BaseException:
        await sandbox.close()
        raise
    return Warm(sandbox, terminal)


async def open_shell(
    sandbox: Sandbox, rows: int, cols: int, argv: Sequence[str] = SHELL, kind: str = "pty"
) -> Terminal:
    """A shell on a terminal in a sandbox, at its prompt if it comes to one.

    Whatever the shell reads as it starts may keep it from its prompt; the screen then shows what it does instead.
    """
    terminal = await Terminal.open(sandbox, argv=argv, rows=rows, cols=cols, kind=kind)
    try:
        await terminal.ready(PROMPT_TIMEOUT_S)
    except BaseException:
        terminal.close()
        raise
    return terminal


async def dispose(warm: Warm) -> None:
    """Drop a sandbox and its terminal."""
    if warm.terminal is not None:
        warm.terminal.close()
    await warm.sandbox.close()


class SandboxPool:
    """Up to `size` warm sandboxes, of the kinds that were last asked for, in proportion. For one event loop."""

    def __init__(
        self, size: int = 8, *, creating: int | None = None, cpus: float | None = None, metrics: Metrics | None = None
    ) -> None:
        """Nothing is made before the first `acquire`.

        Args:
            size: How many wait at a prompt, at most; 0 makes each one when it is asked for.
            creating: How many are made at a time, at most; twice the number of cores unless given.
            cpus: Cores that making sandboxes ahead of time may keep busy; half of them unless given.
            metrics: Where to count; the pool's own unless given.
        """
        cores = os.cpu_count() or 1
        self.size, self.metrics = size, metrics or Metrics()
        self._cpus = cpus or cores / 2
        self._free = asyncio.Semaphore(creating or 2 * cores)
        self._warm: defaultdict[Hashable, deque[Warm]] = defaultdict(deque)
        self._orders: dict[Hashable, Order] = {}
        self._recent: deque[Hashable] = deque(maxlen=max(16, 2 * size))
        self._making: Counter[Hashable] = Counter()
        self._short = asyncio.Event()
        self._urgent = 0
        self._refills: list[asyncio.Task[None]] = []
        self._disposals: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def queues(self) -> dict[str, int]:
        """How many sandboxes are warm, being made, and being disposed of, and how many episodes wait for one."""
        warm = sum(map(len, self._warm.values()))
        made = self._making.total()
        return {"warm": warm, "creating": made, "waiting": self._urgent, "disposing": len(self._disposals)}

    async def acquire(self, order: Order) -> Warm:
        """A sandbox that nobody has used, warm if there is one; whoever gets it must `release` it.

        Raises:
            SandboxError: None could be made.
        """
        key = order.key
        if self.size:
            self._note(order, key)
        while waiting := self._warm.get(key):
            warm = waiting.popleft()
            if warm.sound:
                self.metrics.count("warm")
                warm.sandbox.spec = order.spec
                return warm
            self.metrics.count("unsound")
            self.release(warm)
        self.metrics.count("cold")
        self._urgent += 1
        try:
            while len(self._disposals) > BACKLOG:
                await asyncio.wait(self._disposals, return_when=asyncio.FIRST_COMPLETED)
            return await self._make(order)
        finally:
            self._urgent -= 1

    def release(self, warm: Warm) -> None:
        """Give a sandbox back: it is thrown away, in the background.

        None is handed out twice: what an agent left behind cannot be told from outside, and what could be cleaned up
        in place would save a millisecond.
        """
        disposal = asyncio.get_running_loop().create_task(self._dispose(warm))
        self._disposals.add(disposal)
        disposal.add_done_callback(self._disposals.discard)

    async def close(self) -> None:
        """Dispose of all that is warm, and wait for what is being disposed of. Others must have been given back."""
        self._closed = True
        for refill in self._refills:
            refill.cancel()
        await asyncio.gather(*self._refills, return_exceptions=True)
        for waiting in self._warm.values():
            while waiting:
                self.release(waiting.pop())
        while self._disposals:
            await asyncio.wait(self._disposals)

    # Making them.

    async def _make(self, order: Order) -> Warm:
        async with self._free:
            begin = time.perf_counter()
            try:
                warm = await make(order)
            except (SandboxError, OSError):
                self.metrics.count("failed")
                raise
            self.metrics.count("made")
            self.metrics.time("make", time.perf_counter() - begin)
            return warm

    def _note(self, order: Order, key: Hashable) -> None:
        """Remember what is asked for, and have it made ahead of time."""
        self._recent.append(key)
        self._orders[key] = order
        if all(refill.done() for refill in self._refills) and not self._closed:
            count = math.ceil(self._cpus)
            self._refills = [asyncio.create_task(self._refill(self._cpus / count)) for _ in range(count)]
        self._short.set()

    async def _refill(self, share: float) -> None:
        """Make what is missing, at work for `share` of the time; whoever waits for a sandbox goes first."""
        failures = 0
        while await self._short.wait():
            order = self._missing()
            if order is None:
                self._short.clear()
                continue
            await asyncio.sleep(CALM_S)
            begin = time.perf_counter()
            self._making[order.key] += 1
            try:
                self._warm[order.key].append(await self._make(order))
                failures = 0
            except (SandboxUnavailable, TaskError):
                return  # no other would do better; `acquire` tells why
            except (SandboxError, OSError):
                await asyncio.sleep(MOMENTS_S[min(failures, len(MOMENTS_S) - 1)])
                failures += 1
            finally:
                self._making[order.key] -= 1
            self._trim()
            await asyncio.sleep((time.perf_counter() - begin) * (1 / share - 1))
            while self._urgent:
                await asyncio.sleep(0.005)

    def _missing(self) -> Order | None:
        """The order that most sandboxes are missing for."""
        wanted = Counter(self._recent)
        lacking = {key: self._target(count) - self._ready(key) for key, count in wanted.items()}
        key = max(lacking, key=lambda key: lacking[key], default=None)
        return self._orders[key] if key is not None and lacking[key] > 0 else None

    def _target(self, count: int) -> int:
        return round(self.size * count / len(self._recent))

    def _ready(self, key: Hashable) -> int:
        return len(self._warm[key]) + self._making[key]

    def _trim(self) -> None:
        """Dispose of a warm one that is more than were asked for lately, and forget orders that nobody repeats."""
        wanted = Counter(self._recent)
        for key in [key for key in self._warm if key not in wanted]:
            for warm in self._warm.pop(key):
                self.release(warm)
            self._orders.pop(key, None)
        if self.queues["warm"] > self.size:
            key = max(self._warm, key=lambda key: len(self._warm[key]) - self._target(wanted[key]))
            self.release(self._warm[key].pop())

    async def _dispose(self, warm: Warm) -> None:
        await asyncio.sleep(0 if self._closed else CALM_S)
        begin = time.perf_counter()
        with contextlib.suppress(SandboxError):  # counted by its absence: it goes with the launcher at the latest
            await dispose(warm)
            self.metrics.count("disposed")
        self.metrics.time("dispose", time.perf_counter() - begin)
