"""The command line: list, show, play, eval, replay, doctor, demo.

Exit status: 0 fine, 1 something did not come out as it should, 2 wrong usage or an unknown name, 3 this host cannot run
the sandbox, 130 interrupted. Imports are inside the commands, so that `--help` and errors come at once.
"""

import asyncio
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import termgym
from termgym.errors import SandboxUnavailable, TaskError, TermgymError

if TYPE_CHECKING:
    from rich.console import Console

    from termgym.evaluation import Evaluation
    from termgym.plan import Plan

FAILED, WRONG_USAGE, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 130
AT_A_TIME = 4 * (os.cpu_count() or 1)


class Commands(TyperGroup):
    """The group of all commands: turns errors into one line and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """As `click.Group.invoke`."""
        try:
            return super().invoke(ctx)
        except SandboxUnavailable as error:
            _stop(UNAVAILABLE, str(error))
        except TaskError as error:
            _stop(WRONG_USAGE, str(error))
        except (TermgymError, OSError) as error:
            _stop(FAILED, str(error))
        except (KeyboardInterrupt, asyncio.CancelledError):
            _stop(INTERRUPTED, "interrupted")


def _stop(status: int, message: str) -> NoReturn:
    typer.echo(f"termgym: {message}", err=True)
    raise typer.Exit(status)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Terminal tasks as reinforcement-learning environments.",
    epilog="Example: termgym demo",
)


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="termgym")


Name = Annotated[str, typer.Argument(help="A family's name, or the path of a task folder.", show_default=False)]
Seed = Annotated[int, typer.Option(help="Seed of the task.")]
Level = Annotated[int | None, typer.Option(help="Difficulty, from 1.", show_default="1")]
Concurrency = Annotated[int, typer.Option(min=1, help="Episodes at a time.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"termgym {termgym.__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before a command."""


@app.command("list", epilog="Example: termgym list --domain debugging")
def list_families(
    domain: Annotated[str | None, typer.Option(help="Only those of this domain.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """List the task families."""
    from termgym import catalog

    shown = catalog.listed(domain)
    if as_json:
        _print_json([catalog.family_dict(family) for family in shown])
    else:
        _console().print(catalog.family_table(shown))


@app.command(epilog="Example: termgym show files/rename-by-date --seed 3 --level 2")
def show(name: Name, seed: Seed = 0, level: Level = None, as_json: Json = False) -> None:
    """Show a task: the instruction, its files, its checks, and the known solution."""
    from termgym import catalog

    task = catalog.find_task(name, seed, level)
    if as_json:
        _print_json(catalog.task_dict(task))
    else:
        _console().print(catalog.task_view(task))


@app.command(epilog="Example: termgym play files/rename-by-date --level 2")
def play(name: Name, seed: Seed = 0, level: Level = None) -> None:
    """Do a task yourself, in this terminal.

    C-] asks whether to submit, to continue or to quit.

    Exit status 1 if what you submit does not solve it.
    """
    from termgym import aio, catalog
    from termgym.play import play as play_task

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        _stop(WRONG_USAGE, "play needs a terminal: standard input or output is none")
    task = catalog.find_task(name, seed, level)
    console = _console()
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
        raise typer.Exit(FAILED)


@app.command("eval", epilog="Example: termgym eval --policy oracle --task files/rename-by-date --n 20 --attempts 4")
def evaluate(
    policy: Annotated[str, typer.Option(help="Who acts: oracle, idle, random, scripted, human.", show_default=False)],
    task: Annotated[
        list[str] | None, typer.Option(help="A family or a task folder; may be repeated.", show_default="all families")
    ] = None,
    level: Annotated[int | None, typer.Option(help="Difficulty, from 1.", show_default="each in turn")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Episodes of each family, each of its own seed.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    attempts: Annotated[int, typer.Option(min=1, help="Attempts at each task: for pass@k.")] = 1,
    concurrency: Concurrency = AT_A_TIME,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.", show_default="runs/TIME-POLICY")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="For the policy; JSON or text; may be repeated.")
    ] = None,
    sandbox: Annotated[str, typer.Option(help="The kind of sandbox.")] = "namespace",
    wait: Annotated[
        str, typer.Option(help="settle: until the terminal has settled; duration: as long as asked.")
    ] = "settle",
    as_json: Json = False,
) -> None:
    """Let a policy act, and report what it solved.

    The folder gets episodes.jsonl (a trajectory per line), casts/ (recordings) and summary.json.

    Exit status 1 if an episode is invalid, the oracle failed, or idle solved something: any other failure is a result.
    """
    from termgym.episode import EpisodeConfig
    from termgym.errors import UnknownName
    from termgym.evaluation import Evaluation
    from termgym.plan import Plan
    from termgym.policy import find_policy

    if wait not in ("settle", "duration"):
        raise UnknownName("wait", wait, ("settle", "duration"))
    options = dict(map(_option, option or []))
    find_policy(policy, **options)
    plan = Plan.of(policy, task, level=level, episodes=n, attempts=attempts, seed=seed, options=options)
    run = Evaluation(out or Path("runs", f"{datetime.now():%Y%m%d-%H%M%S}-{policy}"))
    try:
        _run(run, plan, concurrency, EpisodeConfig(sandbox=sandbox, wait=wait))
    finally:
        _report(run, as_json)
    if run.surprises:
        raise typer.Exit(FAILED)


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        _stop(WRONG_USAGE, f"--option takes KEY=VALUE, not {text!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _run(run: "Evaluation", plan: "Plan", concurrency: int, config: Any) -> None:
    from termgym.progress import Progress

    with Progress(len(plan), shown=plan.policy != "human") as progress:
        run.run(plan, concurrency=concurrency, config=config, on_turn=progress.stepped, on_end=progress.ended)


def _report(run: "Evaluation", as_json: bool) -> None:
    report = run.report
    if as_json:
        _print_json(report.to_dict())
    elif report.total.outcomes:
        console = _console()
        console.print(report.table(), "", report.outcome_table(), "", report.timing_table(), sep="\n")
        console.print(f"\n{report.steps} steps in {report.wall_s:.1f} s: {report.steps_per_s:.0f} steps/s")
        console.print(f"Written to {run.folder}", soft_wrap=True)
    for surprise in run.surprises[:10]:
        typer.echo(f"termgym: {surprise}", err=True)
    if len(run.surprises) > 10:
        typer.echo(f"termgym: and {len(run.surprises) - 10} more; see {run.episodes}", err=True)


@app.command(epilog="Example: termgym replay runs/o --number 3")
def replay(
    record: Annotated[Path, typer.Argument(help="An episodes.jsonl, or the run's folder.", show_default=False)],
    task: Annotated[list[str] | None, typer.Option(help="A task folder that it met; may be repeated.")] = None,
    number: Annotated[list[int] | None, typer.Option(min=0, help="A line, from 0; may be repeated.")] = None,
    concurrency: Concurrency = AT_A_TIME,
    as_json: Json = False,
) -> None:
    """Run recorded episodes again, and report where screens or verdicts differ.

    Exit status 1 if any differs. Invalid episodes, and those of task folders that are not given, are skipped.
    """
    from termgym.progress import Progress
    from termgym.replay import Replays

    run = Replays(record, task or (), number or ())
    for remark in run.remarks:
        typer.echo(f"termgym: {remark}", err=True)
    with Progress(len(run.episodes)) as progress:
        run.run(concurrency=concurrency, on_turn=progress.stepped, on_end=progress.ended)
    typer.echo(json.dumps(run.to_dict(), indent=2) if as_json else run.text())
    if run.differing:
        raise typer.Exit(FAILED)


@app.command(epilog="Example: termgym doctor --json")
def doctor(as_json: Json = False) -> None:
    """Say what this host allows, and what to do about what it does not.

    Exit status 1 if no episode can run here.
    """
    from dataclasses import asdict

    from termgym import aio
    from termgym.doctor import examine, healthy, table

    with asyncio.Runner(loop_factory=aio.Loop) as runner:
        findings = runner.run(examine())
    if as_json:
        _print_json({"ok": healthy(findings), "findings": [asdict(finding) for finding in findings]})
    else:
        _console().print(table(findings))
    if not healthy(findings):
        raise typer.Exit(FAILED)


@app.command("demo", epilog="Example: termgym demo --n 6")
def show_demo(
    n: Annotated[int, typer.Option("--n", min=1, help="Episodes of each family and policy.")] = 6,
    concurrency: Concurrency = AT_A_TIME,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.", show_default="runs/TIME-demo")] = None,
) -> None:
    """Run three policies in real sandboxes: the known solution, doing nothing, and typing at random.

    Exit status 1 if the oracle failed anything, idle solved anything, or an episode was invalid.
    """
    from termgym.demo import demo

    folder = out or Path("runs", f"{datetime.now():%Y%m%d-%H%M%S}-demo")
    console = _console()
    fine = demo(folder, console, episodes=n, concurrency=concurrency)
    console.print(f"Recordings are in {folder}: asciinema play --pause-on-markers FILE.cast", soft_wrap=True)
    console.print("To go on: termgym play NAME, termgym eval --help")
    if not fine:
        raise typer.Exit(FAILED)


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))
