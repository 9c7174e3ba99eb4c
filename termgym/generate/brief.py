"""A brief: what one generated task is to be about."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from termgym import skill
from termgym.errors import TaskError, UnknownName
from termgym.lexicon import SERVICES, TOPICS
from termgym.skill import SKILLS
from termgym.task import DOMAINS

FIELDS = ("problem", "domain", "solution", "id", "licence")
SKILLS_OF_ONE = (3, 5)
"""That are combined in a task: the paper's range."""
LEVELS = 5


@dataclass(frozen=True, slots=True)
class Brief:
    """One task to be written."""

    key: str
    """Names it among all of a run, and in its files."""
    domain: str
    skills: tuple[str, ...] = ()
    level: int = 0
    setting: str = ""
    """Something to be about, so that tasks differ."""
    problem: str = ""
    """The seed, of the route from seeds."""
    reference: str = ""
    """Its solution, for the writer of the tests alone."""
    licence: str = ""
    """Of the seed."""


def from_skills(n: int, seed: int = 0, domain: str | None = None, skills: Sequence[str] = ()) -> list[Brief]:
    """`n` briefs of a domain (None: of each in turn) that combine the skills given with others, drawn by the seed.

    Raises:
        UnknownName: There is no such domain or skill.
    """
    if domain is not None and domain not in DOMAINS:
        raise UnknownName("domain", domain, DOMAINS)
    skill.check(skills)
    return [_drawn(Random(f"brief {seed} {number}"), number, domain, skills) for number in range(n)]


def _drawn(rng: Random, number: int, domain: str | None, skills: Sequence[str]) -> Brief:
    others = [name for name in SKILLS if name not in skills]
    more = rng.sample(others, max(0, rng.randint(*SKILLS_OF_ONE) - len(skills)))
    return Brief(
        key=f"skills-{number:05}",
        domain=domain or DOMAINS[number % len(DOMAINS)],
        skills=(*skills, *more),
        level=rng.randint(1, LEVELS),
        setting=f"{rng.choice(TOPICS)} of the service {rng.choice(SERVICES)}",
    )


def from_seeds(path: Path) -> list[Brief]:
    """The briefs of a file of JSON lines, each with a `problem`, and maybe `domain`, `solution`, `id`, `licence`.

    Raises:
        TaskError: A line is none; says which, and the field. Nothing is asked of a model before all are read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: cannot be read: {error}") from error
    briefs = list(_read(path, lines))
    if not briefs:
        raise TaskError(f"{path}: holds no problems; expected a JSON object with `problem` on each line")
    return briefs


def _read(path: Path, lines: Sequence[str]) -> Iterator[Brief]:
    taken: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            brief = _seed(line, f"{path}:{number}", number)
            if brief.key in taken:
                raise TaskError(f"{path}:{number}: id is that of line {taken[brief.key]} too; expected different ones")
            taken[brief.key] = number
            yield brief


def _seed(line: str, where: str, number: int) -> Brief:
    try:
        row: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise TaskError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TaskError(f"{where}: expected a JSON object, found {line[:40]!r}")
    for name in row.keys() - set(FIELDS):
        raise TaskError(f"{where}: {UnknownName('field', name, FIELDS)}")
    for name, value in row.items():
        if not isinstance(value, str):
            raise TaskError(f"{where}: {name} is {value!r:.40}; expected text")
    if not row.get("problem", "").strip():
        raise TaskError(f"{where}: problem is missing or empty; expected what is to become a task")
    domain = row.get("domain", "")
    if domain and domain not in DOMAINS:
        raise TaskError(f"{where}: {UnknownName('domain', domain, DOMAINS)}")
    return Brief(
        key=f"seed-{_file_name(row['id']) if row.get('id') else f'{number:05}'}",
        domain=domain,
        problem=row["problem"],
        reference=row.get("solution", ""),
        licence=row.get("licence", ""),
    )


def _file_name(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in text)[:80]
