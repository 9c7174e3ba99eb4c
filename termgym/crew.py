"""The seats of a vector at work: on an event loop in a thread of its own, while another thread waits for results."""

import asyncio
import atexit
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Generic, TypeVar

from termgym import aio
from termgym.errors import SandboxError
from termgym.mailbox import Mailbox
from termgym.pool import SandboxPool
from termgym.sandbox import close_shared
from termgym.seat import Result, Seat

Obs = TypeVar("Obs")
Act = TypeVar("Act")
Work = Callable[[], Awaitable[Result[Any]]]
LOST_IN_A_ROW = 3
"""Times the number of seats: so many invalid episodes in a row are no accident any more."""


class Crew(Generic[Obs, Act]):
    """Seats by number. Each does one thing at a time, and nobody waits for more of them than asked for."""

    def __init__(self, seats: Sequence[Seat[Obs, Act]], pool: SandboxPool) -> None:
        """Start the thread, and nothing else."""
        self.thread, self.seats = aio.LoopThread("termgym-vector"), seats
        self.awaited: set[int] = set()
        """Who is at work, or has a result that nobody took."""
        self._at_work: dict[int, asyncio.Task[None]] = {}
        self._done: Mailbox[Result[Obs] | Exception] = Mailbox()
        self._lost = 0
        self._end = weakref.finalize(self, _end, self.thread, seats, pool)  # for who does not close it
        self._end.atexit = False
        _close_at_exit(self)

    def start(self, work: Mapping[int, Work]) -> None:
        """Have seats do something, without waiting for it.

        Raises:
            ValueError: One is at work.
            RuntimeError: This process is a fork of the crew's.
        """
        self.check_idle(work)
        self.awaited.update(work)  # first: an interrupt in between must not hide what is at work
        self.thread.post(self._set_to_work, work)

    def check_idle(self, numbers: Iterable[int]) -> None:
        """Raise what `start` would."""
        self.thread.check()
        if busy := sorted(self.awaited.intersection(numbers)):
            raise ValueError(f"environments {busy} are at work already: `recv` what they come to, or `reset` them")

    def _set_to_work(self, work: Mapping[int, Work]) -> None:
        loop = asyncio.get_running_loop()
        for number, act in work.items():
            self._at_work[number] = loop.create_task(self._do(number, act))

    async def _do(self, number: int, act: Work) -> None:
        try:
            self._done.put(number, await act())
        except Exception as error:
            self._done.put(number, error)

    def take(self, count: int, of: set[int] | None = None) -> list[tuple[int, Result[Obs]]]:
        """Wait for `count` results, `of` these seats where given: (number, result), in the order they came.

        An error of one is raised when it is met; what the others came to can still be taken.
        """
        results: list[tuple[int, Result[Obs]]] = []
        errors: list[tuple[int, Exception]] = []
        for number, result in self._done.take(count, of):
            errors.append((number, result)) if isinstance(result, Exception) else results.append((number, result))
        for number, error in errors:
            for other, kept in (*results, *errors):
                if other != number:
                    self._done.put(other, kept)
            self.awaited.discard(number)
            raise error
        self.awaited.difference_update(map(itemgetter(0), results))
        self._check_losses(map(itemgetter(1), results))
        return results

    def _check_losses(self, results: Iterable[Result[Obs]]) -> None:
        for result in results:
            if result.lost:
                self._lost += 1
            elif result.terminated or result.truncated:
                self._lost = 0
            if self._lost > LOST_IN_A_ROW * len(self.seats):
                raise SandboxError(f"the last {self._lost} episodes were all invalid; the newest: {result.lost}")

    def stop(self, numbers: Iterable[int]) -> None:
        """Have these seats give up what they are at, and forget what it came to."""
        if busy := self.awaited.intersection(numbers):
            self.thread.run(self._stop(busy))
            self._done.drop(busy)
            self.awaited -= busy

    async def _stop(self, numbers: Iterable[int]) -> None:
        tasks = {number: self._at_work[number] for number in numbers if number in self._at_work}
        for task in tasks.values():
            if not task.cancelling():  # a second time, by an interrupt, would cut its cleaning up short
                task.cancel()
        if tasks:
            await asyncio.wait(tasks.values())
        for number in tasks:
            self._at_work.pop(number, None)

    def close(self) -> None:
        """Drop every sandbox, and end the thread. A second time, and in a fork of the process, nothing happens."""
        if self.thread.here and self._end.alive:
            self.thread.run(self._stop(range(len(self.seats))))
            self._end()


_open: "weakref.WeakSet[Crew[Any, Any]]" = weakref.WeakSet()


def _close_at_exit(crew: Crew[Any, Any]) -> None:
    """Close it with the process, before finalizers run: those of the emulators would free what the thread is using.

    They were registered when `weakref.finalize` was first called, and atexit goes backwards.
    """
    if not _open:
        atexit.register(_close_all)
    _open.add(crew)


def _close_all() -> None:
    for crew in list(_open):
        crew.close()


def _end(thread: aio.LoopThread, seats: Sequence[Seat[Any, Any]], pool: SandboxPool) -> None:
    if thread.here:
        thread.finish(_close(seats, pool))


async def _close(seats: Sequence[Seat[Any, Any]], pool: SandboxPool) -> None:
    await asyncio.gather(*(seat.close() for seat in seats))
    await pool.close()
    await close_shared()
