"""A circuit breaker: where sandboxes fail one after the other, it is no use to go on, and first to slow down.

Failures at the same time count once, since one cause may end hundreds of episodes that are all tried again: a round of
failures begins with an episode that began after the round before. Anything that goes well closes the circuit again.
"""

import asyncio
import time

from termgym.errors import SandboxError

ROUNDS = 5
"""Rounds of failures with nothing that went well, after which it is given up."""
PAUSES_S = (0.0, 0.2, 1.0, 5.0, 5.0)
"""Before the next episode, after so many rounds."""


class Breaker:
    """Told how each episode went, it holds back the next."""

    def __init__(self) -> None:
        """The circuit is closed."""
        self._rounds, self._last, self._why = 0, 0.0, ""

    async def ready(self) -> None:
        """Wait as long as the failures so far ask for.

        Raises:
            SandboxError: It is given up.
        """
        if self._rounds >= ROUNDS:
            raise SandboxError(f"episodes fail one after the other, {ROUNDS} times in a row; the last one: {self._why}")
        await asyncio.sleep(self._last + PAUSES_S[self._rounds] - time.monotonic())

    def fine(self) -> None:
        """An episode ended well, as far as we are concerned."""
        self._rounds = 0

    def failed(self, began: float, why: str) -> None:
        """An episode that began then, by time.monotonic(), failed, and not by what its agent did."""
        if began >= self._last:
            self._rounds, self._last, self._why = self._rounds + 1, time.monotonic(), why
