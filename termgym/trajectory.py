"""A trajectory: the full record of one episode, as a line of JSON. A failed rollout is a record, never a lost batch."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import termgym
from termgym.errors import TaskError
from termgym.outcome import Outcome
from termgym.protocol import PROMPT_VERSION
from termgym.task import Task
from termgym.verifier import CheckResult

FORMAT = 1
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
    logprobs: tuple[float, ...] = ()


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
    prompt_version: str = PROMPT_VERSION
    termgym: str = termgym.__version__

    @property
    def valid(self) -> bool:
        """Whether the episode has a score."""
        return self.outcome.valid

    @property
    def solved(self) -> bool:
        """Whether everything passed."""
        return self.outcome is Outcome.SOLVED

    def to_json(self) -> str:
        """This trajectory as one line of ASCII."""
        return json.dumps({"format": FORMAT} | asdict(self) | {"outcome": self.outcome.value})

    @classmethod
    def from_json(cls, line: str) -> "Trajectory":
        """Read what `to_json` wrote.

        Raises:
            TaskError: It is no trajectory, or one of another format.
        """
        try:
            fields: dict[str, Any] = json.loads(line)
            if fields.pop("format") != FORMAT:
                raise ValueError("another format")
            turns = tuple(_turn(turn) for turn in fields.pop("turns"))
            checks = tuple(CheckResult(**check) for check in fields.pop("checks"))
            outcome = Outcome(fields.pop("outcome"))
            return cls(outcome=outcome, turns=turns, checks=checks, **fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TaskError(f"this line is no trajectory of format {FORMAT} ({error!r}): {line[:60]!r}") from error


def _turn(fields: dict[str, Any]) -> TurnRecord:
    lists = {name: tuple(fields.pop(name)) for name in ("settled", "warnings", "token_ids", "logprobs")}
    return TurnRecord(**lists, **fields)


def origin(task: Task) -> dict[str, Any]:
    """The family, seed and level of a task, by its id; nothing for a task folder."""
    found = _FAMILY_ID.fullmatch(task.id)
    return {"family": found["family"], "seed": int(found["seed"]), "level": int(found["level"])} if found else {}
