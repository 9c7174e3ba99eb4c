"""Commands about corpora: `termgym collect`, and `termgym corpus export`, `import` and `stats`."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from termgym.cli import base
from termgym.cli.base import Concurrency
from termgym.cli.runs import evaluate

if TYPE_CHECKING:
    from termgym.corpus.record import Record
    from termgym.errors import TaskError

corpus = typer.Typer(no_args_is_help=True, help="Corpora: episodes as files that others train on, and back.")
base.app.add_typer(corpus, name="corpus")

Sources = Annotated[
    list[Path],
    typer.Argument(help="Folders of runs or of Harbor's trials, files of a corpus, recordings.", show_default=False),
]
SHOWN = 5
"""Rows that are told of, of those that cannot be read."""


@corpus.command(epilog="Example: termgym corpus export runs/t --solved --format messages --out sft.parquet")
def export(
    sources: Sources,
    out: Annotated[
        Path, typer.Option(help=".jsonl, .jsonl.gz, .parquet; a folder: asciicast, atif.", show_default=False)
    ],
    form: Annotated[str, typer.Option("--format", help="nemotron, sharegpt, messages, atif, asciicast.")] = "nemotron",
    solved: Annotated[bool, typer.Option("--solved", help="Only what passed every check.")] = False,
    min_dense: Annotated[float | None, typer.Option(help="The least share of checks.", show_default=False)] = None,
    complete: Annotated[bool, typer.Option("--complete", help="Only where the agent said it was done.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Only where every answer could be read.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="The same, without a warning.")] = False,
    domain: Annotated[list[str] | None, typer.Option(help="Only of it; may be repeated.", show_default=False)] = None,
    family: Annotated[list[str] | None, typer.Option(help="Only of it; may be repeated.", show_default=False)] = None,
    level: Annotated[list[int] | None, typer.Option(help="Only of it; may be repeated.", show_default=False)] = None,
    min_turns: Annotated[int | None, typer.Option(help="The fewest.", show_default=False)] = None,
    max_turns: Annotated[int | None, typer.Option(help="The most.", show_default=False)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Of a conversation.", show_default=False)] = None,
    max_characters: Annotated[int | None, typer.Option(help="Of a conversation.", show_default=False)] = None,
    unique: Annotated[bool, typer.Option("--unique", help="Only where the agent says something new.")] = False,
    against: Annotated[
        list[Path] | None, typer.Option(help="Folder of texts not to be met; may be repeated.", show_default=False)
    ] = None,
    no_thinking: Annotated[bool, typer.Option("--no-thinking", help="Leave out what was thought aloud.")] = False,
) -> None:
    """Write episodes as a corpus, those that pass all filters; what is left out is counted by reason.

    A file of another corpus is a source too, so that this also turns one form into another.
    """
    from termgym.corpus.file import write
    from termgym.corpus.filters import Filters, without_thinking
    from termgym.duplicates import Index

    filters = Filters(
        solved=solved,
        min_dense=min_dense,
        complete=complete,
        clean=clean,
        strict=strict,
        domains=tuple(domain or ()),
        families=tuple(family or ()),
        levels=tuple(level or ()),
        min_turns=min_turns,
        max_turns=max_turns,
        max_tokens=max_tokens,
        max_characters=max_characters,
        unique=unique,
        against=Index(against) if against else None,
    )
    wrong: list[TaskError] = []
    kept = filters.apply(_read(sources, wrong))
    count = write(out, map(without_thinking, kept) if no_thinking else kept, form)
    base.console().print(filters.table())
    _tell(wrong)
    typer.echo(f"{count} records in {out}")


def _read(sources: Iterable[Path], wrong: "list[TaskError]") -> "Iterator[Record]":
    from termgym.corpus.file import read

    return chain.from_iterable(read(source, wrong.append) for source in sources)


def _tell(wrong: "list[TaskError]") -> None:
    for error in wrong[:SHOWN]:
        typer.echo(f"termgym: left out: {error}", err=True)
    if len(wrong) > SHOWN:
        typer.echo(f"termgym: and {len(wrong) - SHOWN} more that could not be read", err=True)


@corpus.command("import", epilog="Example: termgym corpus import sft.parquet --out runs/imported")
def import_corpus(
    sources: Sources,
    out: Annotated[Path, typer.Option(help="Folder of a run, to be added to.", show_default=False)],
) -> None:
    """Make episodes of termgym out of the rows of a corpus that termgym wrote, to evaluate, show or replay them.

    Rows of others do not say how an episode came out, and no result is made up: export turns them into other forms.
    """
    from termgym.store import Store

    wrong: list[TaskError] = []
    count = others = 0
    with Store(out) as store:
        for record in _read(sources, wrong):
            if record.trajectory is None:
                others += 1
                continue
            store.add(record.trajectory)
            count += 1
    _tell(wrong)
    if others:
        typer.echo(f"termgym: left out {others} that do not hold an episode whole", err=True)
    typer.echo(f"{count} episodes in {out}")


@base.app.command(epilog="Example: termgym collect --task domain=security --n 100 --out runs/security")
def collect(
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="A family, a query, a task folder, FORMAT:PATH; may be repeated.", show_default="all families"
        ),
    ] = None,
    level: Annotated[int | None, typer.Option(help="Difficulty, from 1.", show_default="each in turn")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Episodes of each family, each of its own seed.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    attempts: Annotated[int, typer.Option(min=1, help="At each task: in other words each time.")] = 1,
    policy: Annotated[
        str, typer.Option(help="teacher, which knows the solutions; or a model: hf, vllm, openai.")
    ] = "teacher",
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="For the policy; JSON or text; may be repeated.")
    ] = None,
    concurrency: Concurrency = base.AT_A_TIME,
    out: Annotated[Path | None, typer.Option(help="Folder for the run.", show_default="runs/TIME-collect")] = None,
) -> None:
    """Let the teacher, or a model, play tasks to learn from, and say what came of it: `termgym corpus export` is next.

    The teacher types the known solution and says honestly what it sees and does; --option mistakes=0.15 is how often
    it makes a harmless mistake and recovers. The same command with the same --out goes on where it was stopped.
    """
    from termgym.store import stream
    from termgym.texts import Texts

    folder = out or Path("runs", f"{datetime.now():%Y%m%d-%H%M%S}-collect")
    evaluate(policy, task, level, n, seed, attempts, concurrency, folder, option)
    texts = Texts()
    for trajectory in stream(folder):
        texts.add(trajectory)
    typer.echo(f"\n{texts.text()}")


@corpus.command(epilog="Example: termgym corpus stats sft.parquet")
def stats(sources: Sources) -> None:
    """Say what is in a corpus: how many, of what, how long, and how it came out."""
    import numpy as np

    from termgym.report import grid

    wrong: list[TaskError] = []
    sizes: dict[str, list[float]] = {"turns": [], "characters": [], "tokens": [], "answers not read": []}
    counts = {name: Counter[str]() for name in ("outcome", "domain", "complete", "thinking")}
    for record in _read(sources, wrong):
        sizes["turns"].append(len(record.replies))
        sizes["characters"].append(record.characters)
        sizes["tokens"] += [] if record.tokens is None else [record.tokens]
        sizes["answers not read"].append(sum(parsed.action is None for parsed in record.parsed))
        for name, counter in counts.items():
            counter[str(getattr(record, name)) or "not said"] += 1
    table = grid("per record", "records", "mean", "median", "p90", "most")
    for name, values in sizes.items():
        if values:
            row = (np.mean(values), *np.percentile(values, [50, 90]), max(values))
            table.add_row(name, str(len(values)), *(f"{value:,.1f}" for value in row))
    console = base.console()
    console.print(table)
    for name, counter in counts.items():
        console.print(f"{name}: " + ", ".join(f"{what} {count}" for what, count in counter.most_common()))
    _tell(wrong)
