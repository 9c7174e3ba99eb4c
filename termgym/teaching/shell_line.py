"""A shell line in its parts: only as far as words about it need them."""

import re
import shlex
from dataclasses import dataclass

_HERE = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
_ENDS = (";", "&&", "||", "&", ";;")


@dataclass(frozen=True, slots=True)
class Stage:
    """One program and its arguments."""

    words: tuple[str, ...]
    into: str = ""
    """The file that its output goes into."""
    adds: bool = False
    """Whether it goes to the end of that file."""

    @property
    def program(self) -> str:
        """Its name."""
        return self.words[0].rpartition("/")[2] if self.words else ""


@dataclass(frozen=True, slots=True)
class ShellLine:
    """What is typed at a shell's prompt."""

    pipelines: tuple[tuple[Stage, ...], ...]
    """One after the other; empty where the line is beyond us."""
    document: str = ""
    """The here-document."""

    @classmethod
    def of(cls, keystrokes: str) -> "ShellLine":
        """Take keystrokes apart; what is no plain list of pipelines has none."""
        head, document = _split_document(keystrokes)
        if "\n" in head.strip():
            return cls((), document)
        lexer = shlex.shlex(head.strip(), posix=True, punctuation_chars=";&|<>()")
        lexer.whitespace_split, lexer.commenters = True, ""
        try:
            return cls(_pipelines(list(lexer)), document)
        except ValueError:
            return cls((), document)


def _split_document(keystrokes: str) -> tuple[str, str]:
    head, _, rest = keystrokes.partition("\n")
    found = _HERE.search(head)
    if not found:
        return keystrokes, ""
    return head[: found.start()] + head[found.end() :], rest.rpartition(found[2])[0]


def _pipelines(tokens: list[str]) -> tuple[tuple[Stage, ...], ...]:
    if any(set(token) & set("()") and set(token) <= set(";&|<>()") for token in tokens):
        return ()
    lines: list[tuple[Stage, ...]] = []
    for part in _parted(tokens, _ENDS):
        stages = tuple(_stage(stage) for stage in _parted(part, ("|", "|&")))
        lines.append(tuple(stage for stage in stages if stage.words))
    return tuple(line for line in lines if line)


def _parted(tokens: list[str], ends: tuple[str, ...]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token in ends:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _stage(tokens: list[str]) -> Stage:
    words: list[str] = []
    into, adds, rest = "", False, iter(tokens)
    for token in rest:
        if token in (">", ">>"):
            if words and words[-1].isdigit() and words[-1] != "1":  # 2>: only complaints go there
                words.pop()
                next(rest, "")
            else:
                into, adds = next(rest, ""), token == ">>"
        elif token.startswith((">", "<")):
            next(rest, "")
        elif words or not _ASSIGNED.match(token):
            words.append(token)
    return Stage(tuple(words), into, adds)
