"""Says what it was told to say: for tests, and to replay what another policy said."""

from collections.abc import Sequence

from termgym.policy import Message, Reply
from termgym.protocol import Action
from termgym.task import Task

_DONE = Action("My replies are used up.", "To say that the task is done.", (), task_complete=True).to_json()


class Scripted:
    """A list of replies, in order; claims completion when there are no more."""

    def __init__(self, replies: Sequence[str]) -> None:
        self._replies = iter(replies)

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        return Reply(next(self._replies, _DONE))


def new(task: Task, seed: int, replies: Sequence[str] = ()) -> Scripted:
    """`replies` are texts, verbatim, whether they can be read as actions or not."""
    return Scripted(replies)
