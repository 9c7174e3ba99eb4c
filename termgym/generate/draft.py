"""A draft: what a model's reply says that a task is. Replies are read leniently and judged strictly."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import unescape

from termgym.errors import TaskError
from termgym.generate.brief import Brief
from termgym.task import Check, File, Limits, Task

WRONG = "wrong"
MAX_FILES = 60
MAX_BYTES = 300_000
"""Of all files together."""
_THOUGHT = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_TAG = re.compile(r"<(instruction|file|setup|check|solution|wrong)\b([^>]*)>\n?(.*?)</\1>", re.DOTALL)
_ATTRIBUTE = re.compile(r"""(\w+)\s*=\s*("[^"]*"|'[^']*')""")
_FENCE = re.compile(r"\A\s*```[\w+-]*\n(.*?)\n?```\s*\Z", re.DOTALL)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")
_PATH = re.compile(r"/(?:app|srv|opt|etc|var|home|root|data)/[^\0]+")


class DraftError(TaskError):
    """Raised when a reply is no draft of a task; says which part, and what was expected."""


@dataclass(frozen=True, slots=True)
class Part:
    """One tagged part of a reply."""

    tag: str
    attributes: Mapping[str, str]
    text: str


@dataclass(frozen=True, slots=True)
class Draft:
    """The parts of a task that were read so far; one reply may hold all, or two replies some each."""

    instruction: str = ""
    files: Mapping[str, File] = field(default_factory=dict[str, File])
    setup: str = ""
    checks: tuple[Check, ...] = ()
    solution: str = ""
    wrong: Mapping[str, str] = field(default_factory=dict[str, str])

    def with_reply(self, reply: str, tags: tuple[str, ...]) -> "Draft":
        """With what a reply says of these tags.

        Raises:
            DraftError: A part is malformed, or one that has to be there is not.
        """
        parts = [part for part in read_parts(reply) if part.tag in tags]
        draft = replace(
            self,
            instruction=_one(parts, "instruction") if "instruction" in tags else self.instruction,
            files={**self.files, **_files(parts)},
            setup=_any(parts, "setup") or self.setup,
            checks=_checks(parts) if "check" in tags else self.checks,
            solution=_one(parts, "solution") if "solution" in tags else self.solution,
            wrong={**self.wrong, **_wrong(parts)},
        )
        _check_size(draft)
        return draft

    def task(self, brief: Brief, provenance: str, image: str = "") -> Task:
        """The task."""
        scripts = {f"{WRONG}/{name}.sh": File.of(text, 0o755) for name, text in self.wrong.items()}
        return Task(
            id=brief.key,
            instruction=self.instruction,
            files=self.files,
            setup=self.setup,
            checks=self.checks,
            solution={"solve.sh": File.of(self.solution, 0o755), **scripts},
            image=image,
            limits=Limits(turns=60),
            domain=brief.domain,
            skills=brief.skills,
            level=brief.level,
            licence=brief.licence,
            provenance=provenance,
        )


def read_parts(reply: str) -> list[Part]:
    """All tagged parts, in order; thinking, and code fences around a part, are left out."""
    return [
        Part(tag, {name: unescape(value[1:-1]) for name, value in _ATTRIBUTE.findall(attributes)}, _bare(text))
        for tag, attributes, text in _TAG.findall(_THOUGHT.sub("", reply))
    ]


def _bare(text: str) -> str:
    fenced = _FENCE.match(text)
    return fenced[1] + "\n" if fenced else text


def _one(parts: list[Part], tag: str) -> str:
    found = _any(parts, tag)
    if not found:
        raise DraftError(f"<{tag}> is missing or empty; expected one")
    return found


def _any(parts: list[Part], tag: str) -> str:
    found = [part.text for part in parts if part.tag == tag and part.text.strip()]
    if len(found) > 1:
        raise DraftError(f"<{tag}> is there {len(found)} times; expected one")
    return found[0].strip("\n") + "\n" if found else ""


def _files(parts: list[Part]) -> dict[str, File]:
    files: dict[str, File] = {}
    for part in parts:
        if part.tag != "file":
            continue
        path, mode = part.attributes.get("path", ""), part.attributes.get("mode", "644")
        if not _PATH.fullmatch(path) or "/../" in f"{path}/" or path.endswith("/"):
            raise DraftError(f'<file path="{path}">: expected an absolute path below /app, or /srv, /etc and the like')
        if not re.fullmatch(r"0?[0-7]{3}", mode):
            raise DraftError(f'<file path="{path}" mode="{mode}">: expected three octal digits')
        files[path] = File.of(part.text, int(mode, 8))
    return files


def _checks(parts: list[Part]) -> tuple[Check, ...]:
    checks: dict[str, Check] = {}
    for part in parts:
        if part.tag == "check":
            check = _check(part)
            if check.name in checks:
                raise DraftError(f'<check name="{check.name}"> is there twice; expected different names')
            checks[check.name] = check
    if len(checks) < 2:
        raise DraftError(f"{len(checks)} <check> parts; expected two or more, with weights")
    return tuple(checks.values())


def _check(part: Part) -> Check:
    name, weight = part.attributes.get("name", ""), part.attributes.get("weight", "1")
    if not _NAME.fullmatch(name):
        raise DraftError(f'<check name="{name}">: expected a name of lower-case letters, digits and dashes')
    if not re.fullmatch(r"\d{1,3}(\.\d+)?", weight) or not float(weight):
        raise DraftError(f'<check name="{name}" weight="{weight}">: expected a number above 0')
    if not part.text.strip():
        raise DraftError(f'<check name="{name}"> is empty; expected a script')
    return Check(name, part.text.lstrip("\n"), float(weight), part.attributes.get("run", ""))


def _wrong(parts: list[Part]) -> dict[str, str]:
    wrong: dict[str, str] = {}
    for part in parts:
        if part.tag == WRONG:
            name = part.attributes.get("name", f"wrong-{len(wrong) + 1}")
            if not _NAME.fullmatch(name):
                raise DraftError(f'<wrong name="{name}">: expected a name of lower-case letters, digits and dashes')
            wrong[name] = part.text
    return wrong


def _check_size(draft: Draft) -> None:
    size = sum(len(file.content) for file in draft.files.values())
    if len(draft.files) > MAX_FILES or size > MAX_BYTES:
        raise DraftError(f"{len(draft.files)} files of {size} bytes; expected at most {MAX_FILES} of {MAX_BYTES}")
