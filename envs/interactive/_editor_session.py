"""A session with the line editor of interactive/line-editor: what one types, and what comes of it.

An entry of the journal is its kind, first and last line, line to put behind, and texts; lines are counted from 1.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._editor_program import Dialect


@dataclass(slots=True)
class Session:
    """What one types into the editor, and what comes of it."""

    dialect: Dialect
    lines: list[str]
    tail: str = ""
    journal: list[str] = field(default_factory=list[str])
    keys: list[str] = field(default_factory=list[str])
    past: list[list[str]] = field(default_factory=list[list[str]])

    @classmethod
    def new(cls, dialect: Dialect, lines: Sequence[str], locked: Mapping[str, tuple[str, int, int]]) -> "Session":
        """A sheet with its first entry."""
        session = cls(dialect, list(lines))
        session._enter([list(lines), {part: list(asked) for part, asked in locked.items()}])
        return session

    def again(self) -> "Session":
        """The same sheet, opened anew."""
        return Session(self.dialect, list(self.lines), self.tail, list(self.journal), [], list(self.past))

    def _enter(self, entry: Any) -> None:
        self.tail = self._mark(entry)
        self.journal.append(f"{self.tail} {base64.b64encode(json.dumps(entry).encode()).decode()}\n")

    def _mark(self, entry: Any) -> str:
        text = self.tail + json.dumps(entry)
        return hmac.new(self.dialect.key.encode(), text.encode(), hashlib.sha256).hexdigest()[:16]

    def _code(self, entry: Any) -> str:
        codes = self.dialect.codes
        return codes[int(self._mark(entry), 16) % len(codes)]

    def type(self, kind: str, rest: str = "") -> None:
        """A command that changes nothing, or the beginning of one."""
        self.keys.append(f"{self.dialect.words[kind]} {rest}".rstrip() + "\n")

    def look(self) -> None:
        """At all lines."""
        self.type("show")
        self.keys += ["\n"] * ((len(self.lines) - 1) // self.dialect.page)

    def _edit(self, kind: str, first: int, last: int, to: int, texts: Sequence[str], lines: list[str]) -> None:
        step, entry = self.dialect.step, (kind, first, last, to, list(texts))
        where = {"change": (first,), "put": (to,), "drop": (first, last)}.get(kind, (first, last, to))
        if self.dialect.pointed:
            self.type("go", str(where[0] * step))
            counted = {"drop": (last - first + 1,), "change": (), "put": ()}
            self.type(kind, " ".join(map(str, counted.get(kind, (last - first + 1, to * step)))))
        else:
            self.type(kind, " ".join(str(at * step) for at in where))
        self.keys += [f"{text}\n" for text in texts]
        self.keys += [f"{self.dialect.end}\n"] if kind == "put" else []
        self.keys += [f"{self._code(entry)}\n"] if kind == "drop" else []
        self._enter(entry)
        self.past.append(self.lines)
        self.lines = lines

    def change(self, at: int, old: str, new: str) -> None:
        """Replace a text in a line."""
        line = self.lines[at - 1].replace(old, new)
        self._edit("change", at, at, 0, (old, new), [*self.lines[: at - 1], line, *self.lines[at:]])

    def put(self, at: int, *texts: str) -> None:
        """New lines below one."""
        self._edit("put", 1, 0, at, texts, [*self.lines[:at], *texts, *self.lines[at:]])

    def drop(self, first: int, last: int) -> None:
        """Drop lines."""
        self._edit("drop", first, last, 0, (), [*self.lines[: first - 1], *self.lines[last:]])

    def move(self, first: int, last: int, to: int) -> None:
        """Move lines."""
        inside = range(first - 1, last)
        before = [line for at, line in enumerate(self.lines[:to]) if at not in inside]
        after = [line for at, line in enumerate(self.lines) if at >= to and at not in inside]
        self._edit("move", first, last, to, (), [*before, *self.lines[first - 1 : last], *after])

    def copy(self, first: int, last: int, to: int) -> None:
        """Copy lines."""
        lines = [*self.lines[:to], *self.lines[first - 1 : last], *self.lines[to:]]
        self._edit("copy", first, last, to, (), lines)

    def unlock(self, part: str, reply: str) -> None:
        """Open a part."""
        self.type("unlock", part)
        self.keys.append(f"{reply}\n")
        self._enter(("unlock", 0, 0, 0, [part, reply]))
        self.past.append(self.lines)

    def undo(self) -> None:
        """Take back the last change."""
        self.type("undo")
        self._enter(("undo", 0, 0, 0, []))
        self.lines = self.past.pop()

    def seal(self, name: str, code: str = "") -> None:
        """Declare it final; another code than the right one does not."""
        entry = ("seal", 0, 0, 0, [name, str(len(self.lines))])
        self.type("seal")
        self.keys += [f"{name}\n", f"{len(self.lines)}\n", f"{code or self._code(entry)}\n"]
        self._enter(entry)
