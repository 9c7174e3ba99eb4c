"""The event loop under the synchronous interfaces: one for each thread that uses them, made on first use."""

import asyncio
import contextlib
import os
import select
import selectors
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_COARSEST_S = 0.001
_FD_SETSIZE = 1024
_local = threading.local()
_inherited: list[object] = []


class FineSelector(selectors.EpollSelector):
    """An epoll selector that waits for less than a millisecond where asked to; Python's rounds up to one."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As `selectors.BaseSelector.select`."""
        if timeout is not None and 0 < timeout < _COARSEST_S and self.fileno() < _FD_SETSIZE:
            select.select([self.fileno()], [], [], timeout)  # an epoll descriptor is itself one to wait for
            timeout = 0
        return super().select(timeout)


class Loop(asyncio.SelectorEventLoop):
    """An event loop that keeps time to a fraction of a millisecond; any other works too, a little slower."""

    def __init__(self) -> None:
        super().__init__(FineSelector())
        _alive.add(self)

    def __del__(self) -> None:
        """Close quietly: it goes with its thread, and nobody else could have closed it."""
        if not self.is_closed():
            self.close()


_alive: "weakref.WeakSet[Loop]" = weakref.WeakSet()


def new_loop() -> asyncio.AbstractEventLoop:
    """A `Loop`, for `asyncio.Runner(loop_factory=new_loop)`."""
    return Loop()


def loop() -> asyncio.AbstractEventLoop:
    """This thread's loop."""
    if not hasattr(_local, "loop") or _local.loop.is_closed():
        _local.loop = Loop()
    return _local.loop


def _forget_loops() -> None:
    """After a fork: the loops' epolls are the parent's, and to close one here would reach into the parent's."""
    _inherited.extend(_alive)
    vars(_local).clear()


os.register_at_fork(after_in_child=_forget_loops)


def run(coroutine: Coroutine[Any, Any, T], own: asyncio.AbstractEventLoop | None = None) -> T:
    """Run a coroutine to its end on a loop, by default this thread's.

    It works inside a notebook too, whose own loop is running already. An interrupt cancels the coroutine, and leaves
    the loop fit for the next.
    """
    own = own or loop()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(own, coroutine)
    with ThreadPoolExecutor(1) as executor:  # a loop may run in any thread, but not inside another
        return executor.submit(_run, own, coroutine).result()


def _run(own: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    task = own.create_task(coroutine)
    try:
        return own.run_until_complete(task)
    except KeyboardInterrupt:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            own.run_until_complete(task)
        raise
