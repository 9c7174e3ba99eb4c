"""Places at the model: how many episodes act at a time, and how long the model waited for them.

A model that answers 128 conversations at once is busy while 128 episodes wait for its answer. Whatever else an episode
does in its place, or a place that stays empty, is time that the model waits for environments.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any


class Places:
    """`count` places. For one event loop."""

    def __init__(self, count: int) -> None:
        """Nobody is there yet; time counts from the first one who is."""
        self.count = count
        self.thought_s = 0.0
        """Place-seconds in which a policy was thinking."""
        self.waited_s = 0.0
        """Place-seconds in which none was, though there was more to do."""
        self.starved_s = 0.0
        """Seconds in which no policy was thinking at all."""
        self.busy_s = 0.0
        """Seconds in which one was."""
        self.left = asyncio.Event()
        """Set whenever one leaves its place; for the one who waits for that to clear."""
        self.gone: set[asyncio.Task[Any] | None] = set()
        """The tasks that have had their place; for the one who collects them to take out."""
        self._free = asyncio.Semaphore(count)
        self._thinking = self._taken = 0
        self._since: float | None = None
        self._draining = False

    @asynccontextmanager
    async def taken(self) -> AsyncGenerator[None]:
        """Wait for a place, and have it."""
        async with self._free:
            self._count(taken=1)
            try:
                yield
            finally:
                self._count(taken=-1)
                self.gone.add(asyncio.current_task())
                self.left.set()

    @contextmanager
    def thinking(self) -> Generator[None]:
        """The policy of one who has a place thinks."""
        self._count(thinking=1)
        try:
            yield
        finally:
            self._count(thinking=-1)

    def drain(self) -> None:
        """Nobody will come any more: places that become empty from now on are not waited for."""
        self._count()
        self._draining = True

    @property
    def waited(self) -> float:
        """The share of its time that the model waited for environments: 0 to 1."""
        known_s = self.thought_s + self.waited_s
        return self.waited_s / known_s if known_s else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        self._count()
        names = ("thought_s", "waited_s", "starved_s", "busy_s", "waited")
        return {name: getattr(self, name) for name in names}

    def _count(self, thinking: int = 0, taken: int = 0) -> None:
        now = time.perf_counter()
        if self._since is not None:
            elapsed = now - self._since
            places = self._taken if self._draining else self.count
            self.thought_s += elapsed * self._thinking
            self.waited_s += elapsed * (places - self._thinking)
            self.starved_s += elapsed * (not self._thinking and places > 0)
            self.busy_s += elapsed * (self._thinking > 0)
        self._thinking += thinking
        self._taken += taken
        self._since = now if self._since is not None or self._taken else None
