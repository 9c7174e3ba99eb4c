"""A trajectory: the full record of one episode, as a line of JSON. A failed rollout is a record, never a lost batch."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import Any

import termgym
from termgym.display import Html, element, screen
from termgym.episode import Turn
from termgym.errors import TaskError
from termgym.outcome import Outcome
from termgym.policy import Reply
from termgym.protocol import PROMPT_VERSION, answer, parse
from termgym.task import Task
from termgym.verifier import CheckResult

FORMAT = 2
"""Of what is written. Format 1, which knew fewer fields, is still read."""
_TUPLES = ("settled", "warnings", "token_ids", "logprobs", "prompt_ids")
_FAMILY_ID = re.compile(r"(?P<family>.+)@(?P<seed>\d+)\.(?P<level>\d+)")


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn: what the policy answered, and what came of it."""

    reply: str
    """The policy's text, verbatim."""
    observation: str
    settled: tuple[str, ...] = ()
    """Why the wait after each command ended."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    """Why the reply could not be used, if so."""
    step_s: float = 0.0
    """Seconds that the environment took."""
    policy_s: float = 0.0
    """Seconds that the policy took."""
    token_ids: tuple[int, ...] = ()
    """The tokens that the model emitted."""
    logprobs: tuple[float, ...] = ()
    kept: int = 0
    """How many tokens, from the first, the prompt shares with all that the turn before was given and emitted."""
    prompt_ids: tuple[int, ...] = ()
    """The tokens of the prompt behind those."""
    finish: str = ""
    """Why the model stopped: "stop", or "length"."""
    version: int = 0
    """Of the model's weights."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One episode, whole."""

    task: str
    """The task's id."""
    digest: str
    """The task's content digest: what was met under that id."""
    policy: str
    outcome: Outcome
    dense: float | None = None
    """The weighted share of the checks that passed; None where the episode is invalid."""
    binary: float | None = None
    """1 if everything passed, else 0; None where the episode is invalid."""
    checks: tuple[CheckResult, ...] = ()
    error: str = ""
    """What failed, in an invalid episode."""
    first: str = ""
    """The first observation."""
    turns: tuple[TurnRecord, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict[str, float])
    """Seconds in each phase: create, reset, step, verify, close."""
    attempt: int = 0
    """Which attempt at this task, from 0."""
    family: str = ""
    """The family that made the task; empty for a task folder."""
    seed: int | None = None
    level: int | None = None
    group: int = 0
    """Attempts of one group are compared with each other: the number of the draw of their task in the rollout."""
    retry: int = 0
    """How many invalid episodes of the same attempt came before."""
    model: str = ""
    """The policy's model, if it is one."""
    instruction: str = ""
    domain: str = ""
    licence: str = ""
    provenance: str = ""
    date: str = ""
    """When it began: UTC, in ISO 8601."""
    prompt_version: str = PROMPT_VERSION
    termgym: str = termgym.__version__

    @property
    def valid(self) -> bool:
        """Whether the episode has a score."""
        return self.outcome.valid

    @property
    def complete(self) -> bool:
        """Whether the agent said that it was done, rather than a limit or its death ending the episode."""
        last = parse(answer(self.turns[-1].reply)).action if self.turns else None
        return self.valid and last is not None and last.task_complete

    @property
    def tokens(self) -> int:
        """How many tokens the model emitted."""
        return sum(len(turn.token_ids) for turn in self.turns)

    @property
    def solved(self) -> bool:
        """Whether everything passed."""
        return self.outcome is Outcome.SOLVED

    def to_json(self) -> str:
        """This trajectory as one line of ASCII."""
        return json.dumps({"format": FORMAT} | asdict(self) | {"outcome": self.outcome.value})

    def _repr_html_(self) -> str:
        score = "invalid" if self.dense is None else f"{self.dense:.2f} of the checks"
        title = f"{self.task}: {self.outcome.value}, {score}, {len(self.turns)} turns"
        turns = [_shown(number, turn) for number, turn in enumerate(self.turns, 1)]
        checks = [element("li", f"{check.name}: {check.score:g}") for check in self.checks]
        task = element("p", self.instruction or self.first, style="white-space: pre-wrap")
        return element("div", element("h4", title), task, *turns, element("ul", *checks))

    @classmethod
    def from_json(cls, line: str) -> "Trajectory":
        """Read what `to_json` wrote.

        Raises:
            TaskError: It is no trajectory, or one of another format.
        """
        try:
            fields: dict[str, Any] = json.loads(line)
            if fields.pop("format") not in (1, FORMAT):
                raise ValueError("another format")
            turns = tuple(_turn(turn) for turn in fields.pop("turns"))
            checks = tuple(CheckResult(**check) for check in fields.pop("checks"))
            outcome = Outcome(fields.pop("outcome"))
            return cls(outcome=outcome, turns=turns, checks=checks, **fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TaskError(f"this line is no trajectory of format {FORMAT} ({error!r}): {line[:60]!r}") from error


def _shown(number: int, turn: TurnRecord) -> Html:
    """A turn that opens by a click: what was meant and typed, or the reply that could not be used, and the screen."""
    action = parse(answer(turn.reply)).action
    typed = " ".join(repr(command.keystrokes) for command in action.commands) if action else turn.reply
    said = [element("p", text) for text in (action.analysis, action.plan) if text] if action else []
    about = element("summary", f"turn {number}: {typed[:100]}")
    return element("details", about, *said, element("pre", turn.error or typed), screen(turn.observation))


def _turn(fields: dict[str, Any]) -> TurnRecord:
    lists = {name: tuple(fields.pop(name, ())) for name in _TUPLES}
    return TurnRecord(**lists, **fields)


def recorded(reply: Reply, turn: Turn, context: Sequence[int], *, step_s: float, policy_s: float) -> TurnRecord:
    """A turn as a record. `context` is all that the turn before was given and emitted, in tokens."""
    kept = _shared(context, reply.prompt_ids)
    return TurnRecord(
        reply=reply.text,
        observation=turn.observation,
        settled=tuple(settled.value for settled in turn.settled),
        warnings=turn.parsed.warnings,
        error=turn.parsed.error,
        step_s=step_s,
        policy_s=policy_s,
        token_ids=reply.token_ids,
        logprobs=reply.logprobs,
        kept=kept,
        prompt_ids=reply.prompt_ids[kept:],
        finish=reply.finish,
        version=reply.version,
    )


def _shared(before: Sequence[int], now: Sequence[int]) -> int:
    """How many tokens both begin with."""
    if tuple(now[: len(before)]) == tuple(before):
        return len(before)
    return next(index for index, (one, other) in enumerate(zip_longest(before, now)) if one != other)


def origin(task: Task) -> dict[str, Any]:
    """What a record says of its task; family, seed and level by the id, of a task that a family made."""
    said = {"instruction": task.opening, "domain": task.domain, "licence": task.licence, "provenance": task.provenance}
    if not (found := _FAMILY_ID.fullmatch(task.id)):
        return said | {"level": task.level or None}
    return said | {"family": found["family"], "seed": int(found["seed"]), "level": int(found["level"])}
