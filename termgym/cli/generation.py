"""Commands that make tasks: `termgym generate skills` and `seeds`, by a language model, and `bugs`, without one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from termgym.cli import base

if TYPE_CHECKING:
    from termgym.generate.brief import Brief

generate = typer.Typer(no_args_is_help=True, help="Let a language model write tasks; the gates keep those that hold.")
base.app.add_typer(generate, name="generate")

Out = Annotated[Path, typer.Option(help="Folder of the run; the same again goes on.", show_default=False)]
Url = Annotated[str, typer.Option("--endpoint", help="Of an OpenAI-compatible API, up to /v1.", show_default=False)]
Model = Annotated[str, typer.Option(help="The model's name there.", show_default=False)]
Requests = Annotated[int, typer.Option("--concurrency", min=1, help="Requests at a time.")]
Repairs = Annotated[int, typer.Option(min=0, help="Times that a model may mend a rejected draft.")]
Budget = Annotated[int | None, typer.Option(min=1, help="Tokens in all.", show_default="no limit")]
Image = Annotated[str, typer.Option(help="Image of the tasks; empty for the host's userland.")]
Context = Annotated[Path | None, typer.Option(help="A file that says what the image has.", show_default=False)]
Against = Annotated[list[Path] | None, typer.Option(help="Tasks not to be met; may be repeated.", show_default=False)]
Option = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=JSON", help="More of a request; may be repeated.", show_default=False),
]


@generate.command(
    epilog="Example: termgym generate skills --n 100 --endpoint http://localhost:8000/v1 --model m --out gen"
)
def skills(
    endpoint: Url,
    model: Model,
    out: Out,
    n: Annotated[int, typer.Option("--n", min=1, help="Tasks to ask for.")] = 10,
    domain: Annotated[str | None, typer.Option(help="Of all of them.", show_default="each in turn")] = None,
    with_skills: Annotated[str, typer.Option("--skills", help="That all combine, apart by commas.")] = "",
    seed: Annotated[int, typer.Option(help="Of the draw of skills, levels and settings.")] = 0,
    concurrency: Requests = 8,
    repairs: Repairs = 1,
    budget: Budget = None,
    image: Image = "",
    context: Context = None,
    against: Against = None,
    option: Option = None,
) -> None:
    """Write tasks that combine skills of a domain: instruction, files, weighted checks, a solution, wrong solutions.

    Exit status 1 if the budget ran out, or some were not answered: the same command goes on.
    """
    from termgym.generate.brief import from_skills

    wanted = tuple(filter(None, with_skills.split(",")))
    settings = {"route": "skills", "seed": seed, "domain": domain, "skills": list(wanted), "model": model}
    briefs = from_skills(n, seed, domain, wanted)
    _generate(briefs, settings, endpoint, out, concurrency, repairs, budget, image, context, against, option)


@generate.command(epilog="Example: termgym generate seeds problems.jsonl --endpoint URL --model NAME --out gen")
def seeds(
    problems: Annotated[Path, typer.Argument(help="JSON lines: problem, domain, solution, id.", show_default=False)],
    endpoint: Url,
    model: Model,
    out: Out,
    concurrency: Requests = 8,
    repairs: Repairs = 1,
    budget: Budget = None,
    image: Image = "",
    context: Context = None,
    against: Against = None,
    option: Option = None,
) -> None:
    """Turn problems into tasks; a problem's reference solution is shown to the writer of the checks alone.

    Exit status 1 if the budget ran out, or some were not answered: the same command goes on.
    """
    from termgym.generate.brief import from_seeds

    settings = {"route": "seeds", "problems": problems.name, "model": model}
    briefs = from_seeds(problems)
    _generate(briefs, settings, endpoint, out, concurrency, repairs, budget, image, context, against, option)


@generate.command(epilog="Example: termgym generate bugs mine --n 20 --out bugs.jsonl")
def bugs(
    repository: Annotated[Path, typer.Argument(help="A git repository, or a plain folder.", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="File of rows; --task swe:FILE?repos=FOLDER plays them.", show_default=False)
    ],
    n: Annotated[int, typer.Option("--n", min=1, help="Bugs at most.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the draw of places.")] = 0,
    ref: Annotated[str, typer.Option(help="A commit, a tag or a branch, of a git repository.")] = "HEAD",
    image: Image = "",
) -> None:
    """Break one place of a Python program at a time, and keep what its own unittest tests notice. No model is asked."""
    from termgym import aio
    from termgym.bugs import write

    count = aio.run(write(repository, ref, out, n, seed, image))
    typer.echo(f"{count} bugs in {out}; play them with --task 'swe:{out}?repos={repository.resolve().parent}'")
    if not count:
        base.stop(base.FAILED, "no test notices any change that was tried")


def _generate(
    briefs: "Sequence[Brief]",
    settings: Mapping[str, object],
    url: str,
    out: Path,
    concurrency: int,
    repairs: int,
    budget: int | None,
    image: str,
    context: Path | None,
    against: list[Path] | None,
    option: list[str] | None,
) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from termgym.duplicates import Index
    from termgym.generate.endpoint import Endpoint
    from termgym.generate.run import BudgetSpent, Generation, Settings
    from termgym.generate.store import Store

    said = context.read_text(encoding="utf-8") if context else ""
    how = Settings(concurrency, repairs, budget, image, said, Index(against) if against else None)
    endpoint = Endpoint(url, str(settings["model"]), options=dict(map(_option, option or [])))
    run = Generation(endpoint, Store(out, {**settings, "image": image}), briefs, how)
    errors, stopped = Console(stderr=True), ""
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        done = sum(brief.key in run.store.entries for brief in briefs)
        line = progress.add_task("briefs", total=len(briefs), completed=done)
        try:
            run.run(lambda _: progress.advance(line))
        except BudgetSpent as error:
            stopped = str(error)
    _report(run, stopped)


def _report(run: Any, stopped: str) -> None:
    entries = [run.store.entries[brief.key] for brief in run.briefs if brief.key in run.store.entries]
    accepted = sum(entry.accepted for entry in entries)
    typer.echo(
        f"{accepted} accepted, {len(entries) - accepted} rejected, {len(run.briefs) - len(entries)} not done, "
        f"{run.store.tokens} tokens; in {run.store.folder}"
    )
    for key, why in list(run.unanswered.items())[:3]:
        typer.echo(f"termgym: {key}: {why}", err=True)
    if stopped:
        base.stop(base.FAILED, stopped)
    if run.unanswered:
        base.stop(base.FAILED, f"{len(run.unanswered)} were not answered; the same command asks again")


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    try:
        return key, json.loads(value)
    except ValueError:
        base.stop(base.WRONG_USAGE, f"--option takes KEY=JSON, not {text!r}" + ("" if equals else ": there is no ="))
