"""Where the terminals of a trainer live, between the calls that it makes: an event loop's thread, and a pool."""

import atexit
from functools import cached_property

from termgym.aio import LoopThread
from termgym.episode import Episode
from termgym.pool import SandboxPool
from termgym.sandbox import close_shared
from termgym.setting import Setting
from termgym.task import Task


class Home:
    """Nothing is made before it is asked for."""

    def __init__(self, setting: Setting, size: int) -> None:
        """`size` is that of the pool."""
        self.setting, self._size = setting, size

    @cached_property
    def thread(self) -> LoopThread:
        """The thread, until `close` or the process's end."""
        made = LoopThread("termgym-trl")
        atexit.register(self.close)
        return made

    @cached_property
    def pool(self) -> SandboxPool:
        """Where sandboxes come from, in that thread."""
        return SandboxPool(self._size)

    def episode(self, task: Task) -> Episode:
        """A new episode at a task."""
        return Episode(task, self.setting.config, self.setting.limits_of(task), self.pool)

    def close(self) -> None:
        """Drop every sandbox, and end the thread. What is asked for next begins anew."""
        pool, thread = self.__dict__.pop("pool", None), self.__dict__.pop("thread", None)
        atexit.unregister(self.close)
        if thread and thread.here:
            thread.finish(_close(pool))


async def _close(pool: SandboxPool | None) -> None:
    if pool is not None:
        await pool.close()
    await close_shared()
