"""The event loop under the synchronous interfaces: one for each thread that uses them, made on first use."""

import asyncio
import contextlib
import os
import select
import selectors
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
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


def run_apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a `Loop` of its own, which ends with it; inside another loop too, as a notebook's is."""

    def apart() -> T:
        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(coroutine)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return apart()
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(apart).result()


def _run(own: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    task = own.create_task(coroutine)
    try:
        return own.run_until_complete(task)
    except KeyboardInterrupt:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            own.run_until_complete(task)
        raise


async def together(coroutines: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run coroutines at the same time, each to its end, and raise the first error then.

    `asyncio.gather` would leave the others running.
    """
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for error in results:
        if isinstance(error, BaseException):
            raise error


async def to_the_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, even if this is cancelled meanwhile: that is raised afterwards."""
    task, cancelled = asyncio.ensure_future(coroutine), None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


class LoopThread:
    """A `Loop` that goes on in a thread of its own, while others do something else."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._loop, self._process = Loop(), os.getpid()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()
        self._end = weakref.finalize(self, _end, self._loop, self._thread, self._process)
        self._end.atexit = False  # whoever has work in it ends it before

    @property
    def here(self) -> bool:
        """Whether this process has the thread: a fork of the one that made it has not."""
        return self._process == os.getpid()

    def post(self, call: Callable[..., object], *args: Any) -> None:
        """Have a function called in the thread, soon.

        Raises:
            RuntimeError: The thread is another process's.
        """
        self.check()
        self._loop.call_soon_threadsafe(call, *args)

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._loop.is_closed()

    def check(self) -> None:
        """Raise RuntimeError if this process has not the thread."""
        if not self.here:
            raise RuntimeError("this was made by another process, of which this one is a fork: make it anew here")

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread and wait for it; an interrupt of the wait cancels it."""
        ended: Future[asyncio.Task[T]] = Future()
        running: list[asyncio.Task[T]] = []

        def begin() -> None:
            running.append(self._loop.create_task(coroutine))
            running[0].add_done_callback(ended.set_result)

        self.post(begin)
        try:
            return ended.result().result()
        except KeyboardInterrupt:
            self.post(lambda: running[0].cancel())
            raise

    def finish(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine, then end the thread. In the thread itself, where garbage is collected too: not waited for.

        An interrupt leaves the thread as it is.
        """
        if threading.current_thread() is not self._thread:
            self.run(coroutine)
            self.close()
        elif not self._loop.is_closed():
            self._loop.create_task(coroutine).add_done_callback(lambda _: self.close())

    def close(self) -> None:
        """End the thread, and close the loop. Closing twice is allowed."""
        self._end()


def _end(own: asyncio.AbstractEventLoop, thread: threading.Thread, process: int) -> None:
    if process == os.getpid():  # in a fork, to close the loop would reach into the parent's
        own.call_soon_threadsafe(own.stop)
        if thread is not threading.current_thread():
            thread.join()
            own.close()
