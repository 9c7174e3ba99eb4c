"""A record: one conversation of a corpus, and what is known of how it came out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from termgym.errors import TaskError
from termgym.policy import Message
from termgym.protocol import Parsed, answer, parse
from termgym.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Record:
    """What corpora of others do not say is empty or None: no score is made up."""

    messages: tuple[Message, ...]
    """Of the user and the assistant in turn: it begins with the task, and ends with an answer."""
    task: str = ""
    agent: str = ""
    model: str = ""
    provider: str = ""
    date: str = ""
    reward: float | None = None
    dense: float | None = None
    outcome: str = ""
    domain: str = ""
    family: str = ""
    level: int | None = None
    licence: str = ""
    provenance: str = ""
    run: str = ""
    """What its corpus calls the run that it is of."""
    trial: str = ""
    source: str = ""
    trajectory: Trajectory | None = None
    """All of it, if termgym wrote it."""
    recording: Path | None = None
    """Its own, where there is one (`termgym.cast`)."""

    @classmethod
    def of(cls, one: Trajectory) -> "Record":
        """An episode's record.

        Raises:
            TaskError: It has no turns.
        """
        if not one.turns:
            raise TaskError(f"{one.task}, attempt {one.attempt}: has no turns")
        said = [message for turn in one.turns for message in _turn(turn.reply, turn.observation)]
        known: dict[str, Any] = {
            name: getattr(one, name)
            for name in ("task", "model", "date", "dense", "domain", "family", "level", "licence", "provenance")
        }
        messages = (Message("user", one.first), *said[:-1])
        return cls(messages, agent=one.policy, reward=one.binary, outcome=one.outcome.value, trajectory=one, **known)

    @property
    def replies(self) -> list[str]:
        """What the assistant said, in order."""
        return [message.content for message in self.messages if message.role == "assistant"]

    @property
    def parsed(self) -> list[Parsed]:
        """The same as actions, or why they are none."""
        return [parse(answer(reply)) for reply in self.replies]

    @property
    def solved(self) -> bool | None:
        """Whether everything passed; None where that is not known."""
        return None if self.reward is None else self.reward >= 1

    @property
    def complete(self) -> bool:
        """Whether the agent said in the end that it was done."""
        last = parse(answer(self.replies[-1])).action if self.replies else None
        return last is not None and last.task_complete

    @property
    def thinking(self) -> bool:
        """Whether it thinks aloud."""
        return any(answer(reply) != reply for reply in self.replies)

    @property
    def characters(self) -> int:
        """Of all messages."""
        return sum(len(message.content) for message in self.messages)

    @property
    def tokens(self) -> int | None:
        """Of the whole conversation, where the model's tokens were recorded."""
        turn = self.trajectory.turns[-1] if self.trajectory else None
        return turn.kept + len(turn.prompt_ids) + len(turn.token_ids) if turn and turn.token_ids else None


def _turn(reply: str, observation: str) -> tuple[Message, Message]:
    return Message("assistant", reply), Message("user", observation)


def text_of(content: object) -> str:
    """A message's content as text: where it is in parts, what they have of it.

    Raises:
        TypeError: It is neither text nor parts.
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts: list[Any] = [part for part in cast("list[Any]", content) if part["type"] == "text"]
    return "".join(str(part["text"]) for part in parts)


def in_turn(messages: Sequence[Message], where: str) -> tuple[Message, ...]:
    """Messages as a record has them: a system's before the first of the user, and nothing behind the last answer.

    Raises:
        TaskError: They are not of a user and an assistant in turn.
    """
    system = [message.content for message in messages if message.role == "system"]
    said = [message for message in messages if message.role != "system"]
    while said and said[-1].role != "assistant":
        said.pop()
    for number, message in enumerate(said):
        if message.role != ("user", "assistant")[number % 2]:
            raise TaskError(f"{where}: message {number} is of {message.role!r}; expected user and assistant in turn")
    if len(said) < 2:
        raise TaskError(f"{where}: has no answer of an assistant")
    opened = "\n\n".join([*system, said[0].content])
    return (Message("user", opened), *said[1:])
