"""Where one thread leaves what another waits for, several at a time."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A queue whose reader wakes up once, when there is enough: not for every item."""

    def __init__(self) -> None:
        """It is empty."""
        self._items: list[T] = []
        self._wanted = 0
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Add an item."""
        with self._changed:
            self._items.append(item)
            if 0 < self._wanted <= len(self._items):
                self._changed.notify()

    def take(self, count: int) -> list[T]:
        """Wait until there are `count` items, and take them out, the oldest first."""
        with self._changed:
            self._wanted = count
            try:
                self._changed.wait_for(lambda: len(self._items) >= count)
            finally:
                self._wanted = 0
            taken, self._items = self._items[:count], self._items[count:]
            return taken

    def drop(self, unwanted: Callable[[T], bool]) -> None:
        """Take out the items that are `unwanted`."""
        with self._changed:
            self._items = [item for item in self._items if not unwanted(item)]
