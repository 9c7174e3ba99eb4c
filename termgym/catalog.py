"""The catalog: what families and tasks there are, for people and as JSON."""

from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Group
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from termgym.family import Family, families
from termgym.proof import reason
from termgym.source import TaskSource, missing
from termgym.sources import is_spec, open_source
from termgym.task import Task


def unproven() -> dict[str, str]:
    """Name -> why its gates have to be tried, of the families that are not listed."""
    return {name: why for name, family in families().items() if (why := reason(family))}


def find_task(name: str, seed: int, level: int | None) -> Task:
    """The task of a family's name, a seed and a level (1 if None), of a task folder, or number `seed` of a source's.

    Raises:
        UnknownName: There is no such family.
        TaskError: The task cannot be used.
    """
    if is_spec(name):
        shelf = open_source(name)
        return shelf[seed % len(shelf)]
    source = TaskSource(name, level, seed)
    drawn = TaskSource(name, level or 1, seed) if isinstance(source.choices[0], Family) else source
    return drawn.draw(np.random.default_rng(0))


def family_dict(family: Family) -> dict[str, Any]:
    """A family, for JSON."""
    return {
        "name": family.name,
        "domain": family.domain,
        "skills": list(family.skills),
        "deeper": {str(level): list(skills) for level, skills in family.deeper.items()},
        "levels": family.levels,
        "summary": family.summary,
        "requires": list(family.requires),
        "missing": missing(family.requires),
        "version": family.version,
    }


def family_table(shown: list[Family]) -> Table:
    """Families, for people."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column()
    for family in shown:
        skills = f"{family.domain}, {family.levels} levels: {', '.join(family.skills_at(family.levels))}"
        gone = missing(family.requires)
        lacking = f"\n[red]not on this host: {', '.join(gone)}[/]" if gone else ""
        table.add_row(family.name, f"{escape(family.summary)}\n[dim]{escape(skills)}[/]{lacking}")
    return table


def task_dict(task: Task) -> dict[str, Any]:
    """A task, for JSON; of files their sizes and modes, not their contents."""
    return {
        "id": task.id,
        "digest": task.digest,
        "domain": task.domain,
        "skills": list(task.skills),
        "level": task.level,
        "instruction": task.opening,
        "steps": [{"name": step.name, "instruction": step.instruction} for step in task.steps],
        "image": task.image,
        "network": task.network,
        "workdir": task.workdir,
        "files": {path: {"bytes": len(file.content), "mode": f"{file.mode:o}"} for path, file in task.files.items()},
        "setup": task.setup,
        "checks": [asdict(check) for check in task.checks],
        "oracle": [asdict(command) for command in task.oracle],
        "limits": asdict(task.limits),
        "requires": list(task.requires),
    }


def task_view(task: Task) -> Group:
    """A task, for people."""
    level = f"level {task.level}" if task.level else ""
    about = "; ".join(part for part in (task.domain, level, ", ".join(task.skills)) if part)
    files = [f"{len(file.content):>9,}  {file.mode:o}  {path}" for path, file in sorted(task.files.items())]
    checks = [f"{check.weight:>9g}  {check.name}" for check in task.checks] or ["tests/test.sh"]
    typed = [repr(command.keystrokes)[1:-1] for command in task.oracle]
    oracle = typed or [path for path in task.solution if path == "solve.sh"] or ["none"]
    return Group(
        Text(task.id, style="bold cyan"),
        Text(about, style="dim"),
        *(part for step in task.steps for part in _section(f"Step {step.name}", step.instruction.splitlines())),
        *(() if task.steps else _section("Instruction", task.instruction.rstrip().splitlines())),
        *_section("Files: bytes, mode, path", files + (["and what a set-up script makes"] if task.setup else [])),
        *_section("Checks: weight, name", checks),
        *_section("Oracle: one turn per line", oracle),
    )


def _section(title: str, lines: list[str]) -> tuple[Text, Padding]:
    return Text(f"\n{title}", style="bold"), Padding(Text("\n".join(lines) or "none"), (0, 0, 0, 2))
