"""The demonstration: real sandboxes, many at a time, and three policies that show what a task is worth.

The oracle types the known solution and must solve everything; idle says that it is done and must solve nothing; random
types at random.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from termgym.errors import TaskError
from termgym.evaluation import Evaluation
from termgym.family import Family
from termgym.plan import Plan
from termgym.progress import Progress
from termgym.proof import proven
from termgym.report import Scores
from termgym.source import missing
from termgym.task import Limits

POLICIES = ("oracle", "idle", "random")
RANDOM_TURNS = 8


def demo(folder: Path, console: Console, *, episodes: int = 3, concurrency: int = 8) -> bool:
    """Run it all, with recordings in `folder`, and print the table; whether everything came out as it must."""
    usable = _shown()
    if not usable:
        raise TaskError("this host lacks the programs of every family: see `termgym doctor`")
    plans = {policy: _plan(policy, usable, episodes) for policy in POLICIES}
    total = sum(map(len, plans.values()))
    console.print(f"{total} episodes, each in a Linux sandbox of its own, {concurrency} at a time.")
    runs = {policy: Evaluation(folder / policy) for policy in POLICIES}
    for policy, run in runs.items():
        with Progress(len(plans[policy]), policy) as progress:
            run.run(plans[policy], concurrency=concurrency, on_turn=progress.stepped, on_end=progress.ended)
    _show(runs, console)
    return not any(run.surprises for run in runs.values())


def _shown() -> list[Family]:
    """The first family of each domain that this host has the programs for."""
    usable = [family for family in proven().values() if not missing(family.requires)]
    return list({family.domain: family for family in reversed(usable)}.values())


def _plan(policy: str, usable: Sequence[Family], episodes: int) -> Plan:
    limits = replace(Limits(), turns=RANDOM_TURNS) if policy == "random" else None
    return Plan(policy, usable, episodes=episodes, limits=limits)


def _show(runs: dict[str, Evaluation], console: Console) -> None:
    console.print("\nSolved of all, and the mean share of the checks that passed\n")
    console.print(_table(runs))
    for family in proven().values():
        if gone := missing(family.requires):
            console.print(f"[yellow]{family.name} was left out: this host has no {', '.join(gone)}[/]")
    console.print("\nMilliseconds, with so many at a time (oracle)\n")
    console.print(runs["oracle"].report.timing_table())
    wall_s = sum(run.report.wall_s for run in runs.values())
    count = sum(run.report.total.outcomes.total() for run in runs.values())
    console.print(f"\n{count} episodes in {wall_s:.0f} s.\n")
    for surprise in (line for run in runs.values() for line in run.surprises):
        console.print(f"[red]Wrong:[/] {escape(surprise)}")


def _table(runs: dict[str, Evaluation]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("family", no_wrap=True)
    for policy in runs:
        table.add_column(policy, justify="right", no_wrap=True)
    names = sorted({name for run in runs.values() for name in run.report.families})
    for name in names:
        table.add_row(name, *(_cell(run.report.families[name]) for run in runs.values()))
    table.add_row("total", *(_cell(run.report.total) for run in runs.values()), style="bold")
    return table


def _cell(scores: Scores) -> str:
    invalid = f" [red]{scores.invalid} invalid[/]" if scores.invalid else ""
    return f"{scores.solved}/{scores.n}  {sum(scores.dense) / max(1, scores.n):.2f}{invalid}"
