"""The columns of Nemotron-Terminal-Corpus (arXiv:2602.21193), and beside them what it leaves out.

Theirs: conversations, agent, model, model_provider, date, task, episode, run_id, trial_name, enable_thinking, and
`source` for data sets. Ours: reward, dense, outcome, checks, domain, family, seed, level, attempt, licence, provenance,
digest, versions, timings, and for each turn what the conversation does not hold, exact tokens among it.
"""

import json
from dataclasses import asdict
from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

from termgym.corpus.record import Record, in_turn
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
        "run_id": run,
        "trial_name": f"{record.task}__{run[:7]}",
        "enable_thinking": record.thinking,
        "reward": record.reward,
        "dense": record.dense,
        "outcome": record.outcome,
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
        **known(row),
    )
    return made if row.get("turns") is None else _whole(made, row)


def known(row: Row) -> dict[str, Any]:
    """What a row of ours says beside the conversation."""
    texts = {name: str(row.get(name) or "") for name in ("outcome", "domain", "family", "licence", "provenance")}
    level = _number(row, "level")
    scores = {"reward": _number(row, "reward"), "dense": _number(row, "dense")}
    return texts | scores | {"level": None if level is None else int(level)}


def _number(row: Row, column: str) -> float | None:
    value = row.get(column)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise row.error(column, f"is {value!r:.60}; expected a number")
    return value


def _whole(record: Record, row: Row) -> Record:
    said = [message.content for message in record.messages]
    seen = [*said[2::2], str(row.get("last") or "")]
    turns = cast("list[dict[str, Any]]", row.get("turns"))
    if len(turns) != len(seen):
        raise TaskError(f"{row.where}: turns: there are {len(turns)}, and {len(seen)} answers in the conversation")
    pairs = zip(said[1::2], seen, turns, strict=True)
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
        "timings": json.loads(str(row.get("timings") or "{}")),
        "turns": [{"reply": reply, "observation": observation, **turn} for reply, observation, turn in pairs],
    }
    try:
        return Record.of(Trajectory.from_json(json.dumps(fields)))
    except TaskError as error:
        raise TaskError(f"{row.where}: {error}") from error


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
            found.append(Message(_ROLES.get(str(one[role]), str(one[role])), str(one[content] or "")))
        except (TypeError, KeyError) as error:
            raise row.error(column, f"message {number} is {one!r:.60}; expected {role} and {content}") from error
    return found


_ROLES = {"human": "user", "gpt": "assistant"}
