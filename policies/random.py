"""Types at random: what luck alone comes to."""

from collections.abc import Sequence

from termgym.policy import Message, Reply
from termgym.spaces import ActionSpace
from termgym.task import Task


class Random:
    """Samples of the environment's action space."""

    def __init__(self, seed: int) -> None:
        self._space = ActionSpace(seed)

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        return Reply(self._space.sample())


def new(task: Task, seed: int) -> Random:
    """The same seed types the same keys."""
    return Random(seed)
