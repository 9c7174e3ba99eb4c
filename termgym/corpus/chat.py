"""ShareGPT's form (`conversations` of `from` and `value`), and TRL's (`messages` of `role` and `content`).

Both have the conversation, and beside it what is known of it in a few plain columns.
"""

from typing import Any

from termgym.corpus.nemotron import known, messages_of
from termgym.corpus.record import Record, in_turn
from termgym.dataset import Row

_KNOWN = ("task", "model", "reward", "dense", "outcome", "domain", "family", "level", "licence", "provenance")
_FROM = {"user": "human", "assistant": "gpt"}


def sharegpt(record: Record) -> dict[str, Any]:
    """A record as a row of ShareGPT's form."""
    said = [{"from": _FROM[message.role], "value": message.content} for message in record.messages]
    return {"conversations": said} | _said(record)


def messages(record: Record) -> dict[str, Any]:
    """A record as a row of TRL's form."""
    said = [{"role": message.role, "content": message.content} for message in record.messages]
    return {"messages": said} | _said(record)


def _said(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _KNOWN}


def of_sharegpt(row: Row) -> Record:
    """A row of ShareGPT's form as a record.

    Raises:
        TaskError: It is of another form.
    """
    return _record(row, "conversations", "from", "value")


def of_messages(row: Row) -> Record:
    """A row of TRL's form as a record.

    Raises:
        TaskError: It is of another form.
    """
    return _record(row, "messages", "role", "content")


def _record(row: Row, column: str, role: str, content: str) -> Record:
    said = in_turn(messages_of(row, column, role, content), row.where)
    return Record(said, task=str(row.get("task") or ""), model=str(row.get("model") or ""), **known(row))
