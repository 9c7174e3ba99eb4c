"""The columns of Nemotron-Terminal-Corpus (arXiv:2602.21193), and beside them what it leaves out.

Theirs: conversations, agent, model, model_provider, date, task, episode, run_id, trial_name, enable_thinking, and
`source` for data sets; Harbor's export writes `result` besides. Ours: reward, dense, outcome, checks, domain, family,
seed, level, attempt, licence, provenance, digest, versions, timings, and for each turn what the conversation does not
hold, exact tokens among it.
"""

import json
from dataclasses import asdict, replace
from math import inf, isfinite
from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

from termgym.corpus.record import Record, in_turn, text_of
from termgym.dataset import Row
from termgym.errors import TaskError
from termgym.policy import Message
from termgym.trajectory import FORMAT, Trajectory

_KEPT = ("digest", "checks", "error", "attempt", "group", "retry", "family", "seed", "level", "instruction", "domain",
         "licence", "provenance", "prompt_version", "termgym")  # fmt: skip


def columns(record: Record) -> dict[str, Any]:
    """A record as a row."""
    one = record.trajectory
    run = str(uuid5(NAMESPACE_URL, f"{record.task} {record.agent} {record.model} {record.date}"))
    row: dict[str, Any] = {
        "conversations": [{"role": message.role, "content": message.content} for message in record.messages],
        "agent": record.agent,
        "model": record.model,
        "model_provider": record.provider,
        "date": record.date,
        "task": record.task,
        "episode": f"episode-{len(record.replies) - 1}",
        "run_id": record.run or run,
        "trial_name": record.trial or f"{record.task}__{run[:7]}",
        "enable_thinking": record.thinking,
        "reward": record.reward,
        "dense": record.dense,
        "outcome": record.outcome,
        "source": record.source,
    }
    if one is None:
        known = {name: getattr(record, name) for name in ("domain", "family", "level", "licence", "provenance")}
        return row | known
    fields = asdict(one)
    for turn in fields["turns"]:
        del turn["reply"], turn["observation"]
    more = {name: fields[name] for name in _KEPT}
    return row | more | {"timings": json.dumps(fields["timings"]), "turns": fields["turns"], "last": _last(one)}


def _last(one: Trajectory) -> str:
    """What showed after the last answer, which no conversation holds."""
    return one.turns[-1].observation


def record(row: Row) -> Record:
    """A row as a record; one that termgym wrote, whole.

    Raises:
        TaskError: It is of another form.
    """
    messages = in_turn(messages_of(row, "conversations", "role", "content"), row.where)
    made = Record(
        messages,
        task=str(row.get("task") or ""),
        agent=str(row.get("agent") or ""),
        model=str(row.get("model") or ""),
        provider=str(row.get("model_provider") or ""),
        date=str(row.get("date") or ""),
        run=str(row.get("run_id") or ""),
        trial=str(row.get("trial_name") or ""),
        source=str(row.get("source") or ""),
        **known(row),
    )
    return _whole(made, row) if row.get("digest") and row.get("turns") else made


def known(row: Row) -> dict[str, Any]:
    """What a row of ours says beside the conversation."""
    texts = {name: str(row.get(name) or "") for name in ("outcome", "domain", "family", "licence", "provenance")}
    level = number(row, "level")
    scores = {"reward": _reward(row), "dense": number(row, "dense")}
    return texts | scores | {"level": None if level is None else int(level)}


def _reward(row: Row) -> float | None:
    """Of a trial that `harbor traces export` wrote, it is the `result`, as text, or else that is what failed."""
    if "reward" in row.columns or not row.get("trial_name"):
        return number(row, "reward")
    try:
        reward = float(str(row.get("result")))
    except ValueError:
        return None
    return reward if isfinite(reward) else None


def number(row: Row, column: str) -> float | None:
    """What is in a column, if anything is.

    Raises:
        TaskError: It is no finite number.
    """
    value = row.get(column)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < inf:
        raise row.error(column, f"is {value!r:.60}; expected a number")
    return value


def _whole(record: Record, row: Row) -> Record:
    said = [message.content for message in record.messages]
    seen = [*said[2::2], str(row.get("last") or "")]
    turns = cast("list[dict[str, Any]]", row.get("turns"))
    fields = {name: row.get(name) if name in ("seed", "level") else row.columns.get(name) for name in _KEPT}
    fields |= {
        "format": FORMAT,
        "task": record.task,
        "policy": record.agent,
        "model": record.model,
        "date": record.date,
        "outcome": record.outcome,
        "dense": record.dense,
        "binary": record.reward,
        "first": said[0],
    }
    try:
        if len(turns) != len(seen):
            raise ValueError(f"there are {len(turns)} turns, and {len(seen)} answers in the conversation")
        pairs = zip(said[1::2], seen, turns, strict=True)
        fields["turns"] = [{"reply": reply, "observation": observation, **turn} for reply, observation, turn in pairs]
        fields["timings"] = json.loads(str(row.get("timings") or "{}"))
        one = Record.of(Trajectory.from_json(json.dumps(fields)))
    except (TaskError, ValueError, TypeError) as error:
        raise TaskError(f"{row.where}: is no episode of termgym, though it has its columns: {error}") from error
    return replace(one, provider=record.provider, run=record.run, trial=record.trial, source=record.source)


def messages_of(row: Row, column: str, role: str, content: str) -> list[Message]:
    """The messages in a column: a list of objects with these two keys.

    Raises:
        TaskError: It is none.
    """
    value = row.get(column)
    if not isinstance(value, list):
        raise row.error(column, f"is {value!r:.60}; expected a list of messages")
    found: list[Message] = []
    for number, one in enumerate(cast("list[Any]", value)):
        try:
            found.append(Message(_ROLES.get(str(one[role]), str(one[role])), text_of(one[content])))
        except (TypeError, KeyError) as error:
            raise row.error(column, f"message {number} is {one!r:.60}; expected {role} and {content}") from error
    return found


_ROLES = {"human": "user", "gpt": "assistant"}
