"""Commands about tasks by the thousand: `termgym tasks export`, `termgym tasks overlap`."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from termgym.cli import base
from termgym.cli.base import Json

if TYPE_CHECKING:
    from termgym.export import Selected

tasks = typer.Typer(no_args_is_help=True, help="Tasks by the thousand: export them; what they share with others.")
base.app.add_typer(tasks, name="tasks")

Specs = Annotated[
    list[str] | None, typer.Argument(help="Families, queries, task folders, FORMAT:PATH.", show_default="all families")
]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
Count = Annotated[int | None, typer.Option("--n", min=1, help="Tasks in all.", show_default="one of each level")]
FirstSeed = Annotated[int, typer.Option("--seed", min=0, help="The first, counted from the first of the split.")]
Level = Annotated[int | None, typer.Option(min=1, help="Difficulty, from 1.", show_default="each in turn")]
AGAINST = "A folder of tasks that are not to be met; may be repeated."


@tasks.command("export", epilog="Example: termgym tasks export --split train --n 10000 --out corpus")
def export_tasks(
    out: Annotated[Path, typer.Option(help="Folder for the tasks.", show_default=False)],
    specs: Specs = None,
    split: Split = "train",
    n: Count = None,
    seed: FirstSeed = 0,
    level: Level = None,
    form: Annotated[str, typer.Option("--format", help="harbor, task folders; or parquet.")] = "harbor",
    against: Annotated[list[Path] | None, typer.Option(help=AGAINST, show_default=False)] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="At a time.", show_default="all processors")] = None,
) -> None:
    """Write tasks as Harbor task folders, or as parquet files whose rows hold such folders (task="parquet:OUT").

    The same command writes the same bytes, and goes on where it was stopped. Tasks that have 14 words in a row in
    common with a file of --against, or are nearly the same, are left out, and told.
    """
    from termgym.export import Writer, export, selection

    writer = Writer(out, form, against or ())
    selected = selection(specs, split, n, seed, level)
    written, dropped = 0, 0
    with _progress(len(selected)) as advance:
        for part in export(selected, writer, processes):
            written += part.count
            dropped += len(part.dropped)
            advance(part.count + len(part.dropped))
            for name, overlap in part.dropped.items():
                typer.echo(f"termgym: left out {name}: {overlap}", err=True)
    typer.echo(f"{written} tasks in {out}" + (f", {dropped} left out" if dropped else ""))


@tasks.command(epilog="Example: termgym tasks overlap domain=security --n 1000 --against bench/tasks")
def overlap(
    against: Annotated[list[Path], typer.Option(help=AGAINST, show_default=False)],
    specs: Specs = None,
    split: Split = "train",
    n: Count = None,
    seed: FirstSeed = 0,
    level: Level = None,
    words: Annotated[int, typer.Option(min=2, help="Words in a row that count.")] = 14,
    as_json: Json = False,
) -> None:
    """Say which tasks have so many words in a row in common with others: instruction, files, checks.

    Exit status 1 if any has.
    """
    from dataclasses import asdict

    from termgym.duplicates import Index
    from termgym.export import selection

    index, selected = Index(against, words), selection(specs, split, n, seed, level)
    found = {made.id: hit for made in _shown(selected) if (hit := index.overlap(made.task()))}
    if as_json:
        base.print_json({"tasks": len(selected), "overlaps": {name: asdict(hit) for name, hit in found.items()}})
    else:
        for name, hit in found.items():
            typer.echo(f"{name}: {hit}")
        typer.echo(f"{len(found)} of {len(selected)} tasks overlap")
    if found:
        raise typer.Exit(base.FAILED)


def _shown(selected: "Iterable[Selected]") -> "Iterable[Selected]":
    """The same, with a progress line."""
    listed = list(selected)
    with _progress(len(listed)) as advance:
        for made in listed:
            yield made
            advance(1)


@contextmanager
def _progress(total: int) -> Generator[Callable[[int], None]]:
    """A progress line on standard error, if that is a terminal; gives what moves it on."""
    from rich.console import Console
    from rich.progress import Progress

    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        line = progress.add_task("tasks", total=total)

        def advance(count: int) -> None:
            progress.advance(line, count)

        yield advance
