"""The event loop under the synchronous interfaces: one for each thread that uses them, made on first use."""

import asyncio
import select
import selectors
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_COARSEST_S = 0.001
_FD_SETSIZE = 1024
_local = threading.local()


class FineSelector(selectors.EpollSelector):
    """An epoll selector that waits for less than a millisecond where asked to; Python's rounds up to one."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As `selectors.BaseSelector.select`."""
        if timeout is not None and 0 < timeout < _COARSEST_S and self.fileno() < _FD_SETSIZE:
            select.select([self.fileno()], [], [], timeout)  # an epoll descriptor is itself one to wait for
            timeout = 0
        return super().select(timeout)


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop that keeps time to a fraction of a millisecond; any other works too, a little slower."""
    return asyncio.SelectorEventLoop(FineSelector())


def loop() -> asyncio.AbstractEventLoop:
    """This thread's loop."""
    if not hasattr(_local, "loop") or _local.loop.is_closed():
        _local.loop = new_loop()
    return _local.loop


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on this thread's loop, also inside a notebook, whose own loop is running already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return loop().run_until_complete(coroutine)
    own = loop()
    with ThreadPoolExecutor(1) as executor:  # a loop may run in any thread, but not inside another
        return executor.submit(own.run_until_complete, coroutine).result()
