"""Where one thread leaves what another waits for, several at a time."""

import threading
from collections.abc import Collection, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """One item of each sender at most. Its reader wakes up once, when there is enough: not for every item."""

    def __init__(self) -> None:
        """It is empty."""
        self._items: dict[int, T] = {}
        self._wanted = 0
        self._of: Collection[int] | None = None
        self._changed = threading.Condition()

    def put(self, sender: int, item: T) -> None:
        """Leave an item."""
        with self._changed:
            self._items[sender] = item
            if 0 < self._wanted <= len(self._there()):
                self._changed.notify()

    def take(self, count: int, of: Collection[int] | None = None) -> list[tuple[int, T]]:
        """Wait until there are `count` items, `of` these senders if given; take out the oldest, with who left them."""
        with self._changed:
            self._wanted, self._of = count, of
            try:
                self._changed.wait_for(lambda: len(self._there()) >= count)
                return [(sender, self._items.pop(sender)) for sender in list(self._there())[:count]]
            finally:
                self._wanted, self._of = 0, None

    def _there(self) -> Collection[int]:
        return self._items if self._of is None else [sender for sender in self._items if sender in self._of]

    def drop(self, senders: Iterable[int]) -> None:
        """Take out what these senders left."""
        with self._changed:
            for sender in senders:
                self._items.pop(sender, None)
