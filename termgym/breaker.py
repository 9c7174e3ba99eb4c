"""A circuit breaker: where sandboxes fail one after the other, it is no use to go on, and first to slow down.

Failures at the same time count once, since one cause may end hundreds of episodes that are all tried again: a round of
failures begins with an episode that began after the round before. Anything that goes well closes the circuit again.
"""

import asyncio
import time

from termgym.errors import SandboxError

ROUNDS = 5
"""Rounds of failures of several tasks, with nothing that went well, after which it is given up."""
ALONE = 25
"""The same of one task alone, which may be the one that is broken."""
PAUSES_S = (0.0, 0.2, 1.0, 5.0, 5.0)
"""Before the next episode, after so many rounds of several tasks."""
ALONE_S = 0.2


class Breaker:
    """Told how each episode went, it holds back the next."""

    def __init__(self) -> None:
        """The circuit is closed."""
        self._rounds, self._last, self._why = 0, 0.0, ""
        self._tasks: set[str] = set()

    async def ready(self) -> None:
        """Wait as long as the failures so far ask for.

        Raises:
            SandboxError: It is given up.
        """
        rounds = self._rounds
        if rounds >= (ROUNDS if len(self._tasks) > 1 else ALONE):
            raise SandboxError(f"episodes fail one after the other, {rounds} times in a row; the last one: {self._why}")
        pause_s = PAUSES_S[min(rounds, len(PAUSES_S) - 1)] if len(self._tasks) > 1 else min(rounds, 1) * ALONE_S
        await asyncio.sleep(self._last + pause_s - time.monotonic())

    def fine(self) -> None:
        """An episode ended well, as far as we are concerned."""
        self._rounds = 0
        self._tasks.clear()

    def failed(self, began: float, task: str, why: str) -> None:
        """An episode that began then, by time.monotonic(), failed, and not by what its agent did."""
        self._tasks.add(task)
        if began >= self._last:
            self._rounds, self._last, self._why = self._rounds + 1, time.monotonic(), why
