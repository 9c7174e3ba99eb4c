"""Commands about tasks: list, show, play, attach, validate."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from termgym.cli import base
from termgym.cli.base import Concurrency, Json, Level, Name, Seed


@base.app.command("list", epilog="Example: termgym list --domain security --skills checksums,permissions --level 3")
def list_families(
    domain: Annotated[str | None, typer.Option(help="Only those of this domain.", show_default=False)] = None,
    skills: Annotated[str | None, typer.Option(help="Only those that compose these.", show_default=False)] = None,
    level: Annotated[int | None, typer.Option(min=1, help="At this level.", show_default="any")] = None,
    split: Annotated[str | None, typer.Option(help="Only those of this split.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """List the task families that have passed their gates."""
    from termgym import catalog
    from termgym.query import Query
    from termgym.split import find_split

    wanted = tuple(filter(None, (skills or "").split(",")))
    shown = Query(domain, wanted, level, find_split(split) if split else None).families()
    if as_json:
        base.print_json([catalog.family_dict(family) for family in shown])
    else:
        base.console().print(catalog.family_table(shown))
    for name, why in catalog.unproven().items():
        typer.echo(f"termgym: {name} is not listed: {why}; try: termgym validate {name}", err=True)


@base.app.command(epilog="Example: termgym show files/rename-by-date --seed 3 --level 2")
def show(name: Name, seed: Seed = 0, level: Level = None, as_json: Json = False) -> None:
    """Show a task: the instruction, its files, its checks, and the known solution."""
    from termgym import catalog

    task = catalog.find_task(name, seed, level)
    if as_json:
        base.print_json(catalog.task_dict(task))
    else:
        base.console().print(catalog.task_view(task))


@base.app.command(epilog="Example: termgym play files/rename-by-date --level 2")
def play(name: Name, seed: Seed = 0, level: Level = None) -> None:
    """Do a task yourself, in this terminal.

    C-] asks whether to submit, to continue or to quit.

    Exit status 1 if what you submit does not solve it.
    """
    from termgym import aio, catalog
    from termgym.play import play as play_task

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        base.stop(base.WRONG_USAGE, "play needs a terminal: standard input or output is none")
    task = catalog.find_task(name, seed, level)
    console = base.console()
    console.print(f"{task.opening.rstrip()}\n", markup=False, highlight=False)
    console.print("[dim]You are root in a sandbox. C-] when you are done, or to leave.[/]")
    with asyncio.Runner(loop_factory=aio.Loop) as runner:
        played = runner.run(play_task(task))
    if played is None:
        console.print("Nothing was submitted.")
        return
    for check in played.verdict.checks:
        console.print(f"  {'[green]passed[/]' if check.score >= 1 else '[red]failed[/]'}  {check.name}")
    console.print(f"{played.outcome.value}, reward {played.verdict.binary:g}, dense {played.verdict.dense:.2f}")
    if not played.verdict.binary:
        raise typer.Exit(base.FAILED)


@base.app.command(epilog="Example: termgym attach --read-only")
def attach(
    name: Annotated[
        str | None, typer.Argument(help="A live episode's name or task.", show_default="the only one")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", "-r", help="Look, and type nothing.")] = False,
    list_them: Annotated[bool, typer.Option("--list", help="List the live episodes.")] = False,
) -> None:
    """Join a live episode whose terminal is tmux, in this terminal: see its screen, and type.

    C-] leaves; the episode goes on.
    """
    from termgym import attach as door

    if list_them:
        base.console().print(door.table(door.live()))
        return
    episode = door.find(name)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        base.stop(base.WRONG_USAGE, "attach needs a terminal: standard input or output is none")
    door.attach(episode, read_only=read_only)


@base.app.command(epilog="Example: termgym validate harbor:tasks files/rename-by-date --n 6")
def validate(
    specs: Annotated[
        list[str] | None, typer.Argument(help="Families, queries, task folders, FORMAT:PATH.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every family that there is.")] = False,
    n: Annotated[int, typer.Option("--n", min=1, help="Tasks of each family, of its levels in turn.")] = 5,
    seed: Seed = 0,
    level: Annotated[int | None, typer.Option(help="Difficulty, from 1.", show_default="each in turn")] = None,
    concurrency: Concurrency = base.AT_A_TIME // 2,
    sandbox: Annotated[str, typer.Option(help="The kind of sandbox.")] = "namespace",
    record: Annotated[
        Path | None, typer.Option(help="Write the proofs of families, and a page of them here.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Try the gates on tasks: the oracle scores 1; idle, wrong solutions and tampering less; all without a network.

    A family whose gates were not recorded as passed is not listed, nor drawn from.

    Exit status 1 if a gate fails.
    """
    from rich.console import Console
    from rich.progress import Progress

    from termgym import aio, proof
    from termgym.candidate import candidates
    from termgym.family import family_names
    from termgym.launcher_client import close_launcher
    from termgym.validate import Validation, proofs_of, table, validations

    wanted, found = candidates([*(specs or ()), *(family_names() if every else ())], n, seed, level), list[Validation]()
    if not wanted:
        base.stop(base.WRONG_USAGE, "nothing to validate: name families, queries or task folders, or say --all")

    async def gather() -> None:
        try:
            async for one in validations(wanted, concurrency=concurrency, sandbox=sandbox):
                found.append(one)
                progress.advance(line)
        finally:
            await close_launcher()

    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        line = progress.add_task("tasks", total=len(wanted))
        with asyncio.Runner(loop_factory=aio.Loop) as runner:
            runner.run(gather())
    found.sort(key=lambda one: one.task)
    if record:
        proof.record(proofs_of(found))
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(proof.page(), encoding="utf-8")
    if as_json:
        base.print_json([one.to_dict() for one in found])
    else:
        base.console().print(table(found))
    if not all(one.passed for one in found):
        raise typer.Exit(base.FAILED)
