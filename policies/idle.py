"""Does nothing and says that it is done: what a task must never reward."""

from collections.abc import Sequence

from termgym.policy import Message, Reply
from termgym.protocol import Action
from termgym.task import Task


class Idle:
    """Claims completion, twice if it is asked."""

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        return Reply(Action("I do nothing.", "To say that the task is done.", (), task_complete=True).to_json())


def new(task: Task, seed: int) -> Idle:
    """Idle, whatever the task."""
    return Idle()
