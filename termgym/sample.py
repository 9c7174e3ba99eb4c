"""Training samples: the tokens of an episode as its model saw them, and which of them the model emitted.

Turns whose prompt begins with all that the turn before was given and emitted are one sample. Where a prompt does not
(a summary, a template that strips thinking), a new sample begins: each emitted token counts in exactly one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from termgym.chat import Chat
from termgym.policy import Message
from termgym.trajectory import Trajectory, TurnRecord


@dataclass(frozen=True, slots=True)
class Sample:
    """One sequence to train on; all arrays have its length."""

    token_ids: npt.NDArray[np.int32]
    loss_mask: npt.NDArray[np.bool_]
    """Which tokens the model emitted."""
    logprobs: npt.NDArray[np.float32]
    """Of each emitted token, when it was drawn; 0 elsewhere, and where the policy did not tell."""
    advantages: npt.NDArray[np.float32]
    """Of each emitted token; 0 elsewhere."""
    turns: npt.NDArray[np.int32]
    """Which turn emitted a token; -1 elsewhere."""

    def __len__(self) -> int:
        return len(self.token_ids)


def samples(trajectory: Trajectory, advantage: float | Sequence[float] = 0.0) -> list[Sample]:
    """The samples of an episode; none where its policy recorded no tokens.

    Args:
        trajectory: The episode.
        advantage: Of every token, or one for each turn.
    """
    found: list[_Growing] = []
    for number, turn in enumerate(trajectory.turns):
        if not turn.token_ids:
            continue
        value = advantage if isinstance(advantage, int | float) else advantage[number]
        context = found[-1].ids if found else []
        if not found or turn.kept < len(context):
            found.append(_Growing(context[: turn.kept]))
        found[-1].add(turn, number, value)
    return [growing.sample() for growing in found]


def contexts(trajectory: Trajectory) -> Iterator[tuple[list[int], list[int]]]:
    """What the model was given at each turn, in tokens, and what it emitted: what `samples` are made of."""
    context: list[int] = []
    for turn in trajectory.turns:
        prompt = [*context[: turn.kept], *turn.prompt_ids]
        yield prompt, list(turn.token_ids)
        context = [*prompt, *turn.token_ids]


def tokenized(conversation: Sequence[Message], chat: Chat) -> Sample:
    """A conversation of text as a sample, with every answer as if it had been emitted: for supervised training."""
    growing, prompt = _Growing([]), list[int]()
    for number, message in enumerate(conversation):
        if message.role == "assistant":
            answer = tuple(chat.answer(message.content))
            given = tuple(prompt[len(growing.ids) :])
            growing.add(TurnRecord("", "", token_ids=answer, prompt_ids=given), number // 2, 0.0)
        elif growing.ids:
            prompt = chat.continued(growing.ids, message)
        else:
            prompt = chat.opened(conversation[: number + 1])
    return growing.sample()


class _Growing:
    """A sample that grows turn by turn."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)
        self._turns = [-1] * len(self.ids)
        self._logprobs, self._advantages = [0.0] * len(self.ids), [0.0] * len(self.ids)

    def add(self, turn: TurnRecord, number: int, advantage: float) -> None:
        emitted, given = len(turn.token_ids), len(turn.prompt_ids)
        self.ids += (*turn.prompt_ids, *turn.token_ids)
        self._turns += [-1] * given + [number] * emitted
        self._logprobs += [0.0] * given + list(turn.logprobs or [0.0] * emitted)
        self._advantages += [0.0] * given + [advantage] * emitted

    def sample(self) -> Sample:
        turns = np.array(self._turns, np.int32)
        logprobs, advantages = np.array(self._logprobs, np.float32), np.array(self._advantages, np.float32)
        return Sample(np.array(self.ids, np.int32), turns >= 0, logprobs, advantages, turns)
