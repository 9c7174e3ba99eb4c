"""Commands that run many episodes, look at what came of them, or whether any can run: eval, report, doctor, ..."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from termgym.cli import base
from termgym.cli.base import Concurrency, Json
from termgym.cli.settings import Config

if TYPE_CHECKING:
    from rich.console import Console

    from termgym.evaluation import Evaluation
    from termgym.plan import Plan


@base.app.command(
    "eval", epilog="Example: termgym eval --policy oracle --task files/rename-by-date --n 20 --attempts 4"
)
def evaluate(
    policy: Annotated[
        str, typer.Option(help="Who acts: oracle, teacher, idle, random, hf, vllm, openai, ...", show_default=False)
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(help="A family, a task folder, or FORMAT:PATH; may be repeated.", show_default="all families"),
    ] = None,
    level: Annotated[int | None, typer.Option(help="Difficulty, from 1.", show_default="each in turn")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Episodes of each family, each of its own seed.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    attempts: Annotated[int, typer.Option(min=1, help="Attempts at each task: for pass@k.")] = 1,
    concurrency: Concurrency = base.AT_A_TIME,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.", show_default="runs/TIME-POLICY")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="For the policy; JSON or text; may be repeated.")
    ] = None,
    sandbox: Annotated[str, typer.Option(help="The kind of sandbox.")] = "namespace",
    terminal: Annotated[str, typer.Option(help="pty; or tmux: a real one, to attach to.")] = "pty",
    network: Annotated[str, typer.Option(help="task: as each task asks; none: none in any case.")] = "task",
    wait: Annotated[
        str, typer.Option(help="settle: until the terminal has settled; duration: as long as asked.")
    ] = "settle",
    config: Config = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check it all, say what it comes to, run nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let a policy act, and report what it solved. The same command with the same --out goes on where it was stopped.

    The folder gets episodes.jsonl (a trajectory per line), casts/ (recordings), summary.json and report.html.

    Exit status 1 if an episode is invalid, the oracle failed, or idle solved something: any other failure is a result.
    """
    from dataclasses import asdict

    from termgym.episode import EpisodeConfig
    from termgym.errors import UnknownName
    from termgym.evaluation import Evaluation
    from termgym.needs import NETWORKS
    from termgym.page import write
    from termgym.plan import Plan
    from termgym.policy import find_policy
    from termgym.terminal import KINDS

    for kind, name, known in (
        ("wait", wait, ("settle", "duration")),
        ("network", network, NETWORKS),
        ("terminal", terminal, KINDS),
    ):
        if name not in known:
            raise UnknownName(kind, name, known)
    options = dict(map(_option, option or []))
    find_policy(policy, **options)
    how = EpisodeConfig(sandbox=sandbox, terminal=terminal, wait=wait, network=network)
    fields = {"level": level, "episodes": n, "attempts": attempts, "seed": seed, "options": options}
    plan = Plan.of(policy, task, sandbox=sandbox, network=network, **fields)
    settings = {"policy": policy, "task": task, "level": level, "seed": seed, "options": options, **asdict(how)}
    if dry_run:
        typer.echo(f"{len(plan)} episodes of {policy}, {concurrency} at a time: {options}")
        return
    run = Evaluation(out or Path("runs", f"{datetime.now():%Y%m%d-%H%M%S}-{policy}"), settings)
    try:
        _run(run, plan, concurrency, how)
    finally:
        _report(run, as_json)
    write(run.folder)
    if run.surprises:
        raise typer.Exit(base.FAILED)


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        base.stop(base.WRONG_USAGE, f"--option takes KEY=VALUE, not {text!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _run(run: "Evaluation", plan: "Plan", concurrency: int, config: Any) -> None:
    from termgym.progress import Progress

    with Progress(len(plan), shown=plan.policy != "human", retries=run.retries) as progress:
        run.run(plan, concurrency=concurrency, config=config, on_turn=progress.stepped, on_end=progress.ended)


def _report(run: "Evaluation", as_json: bool) -> None:
    report = run.report
    if as_json:
        base.print_json(report.to_dict())
    elif report.total.outcomes:
        console = base.console()
        for table in report.tables():
            console.print(table, "", sep="\n")
        console.print(f"{report.steps} steps in {report.wall_s:.1f} s: {report.steps_per_s:.0f} steps/s")
        if run.usage:
            console.print(f"The policy waited for environments {100 * run.usage['waited']:.1f} % of the time")
        console.print(f"Written to {run.folder}", soft_wrap=True)
    for surprise in run.surprises[:10]:
        typer.echo(f"termgym: {surprise}", err=True)
    if len(run.surprises) > 10:
        typer.echo(f"termgym: and {len(run.surprises) - 10} more; see {run.episodes}", err=True)


@base.app.command(epilog="Example: termgym calibrate runs/o --out calibration.json")
def calibrate(
    runs: Annotated[list[Path], typer.Argument(help="Folders of evaluations of one policy.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Write the rates here, for a Curriculum.", show_default=False)
    ] = None,
) -> None:
    """Show how often a policy solved the tasks of each family and level, by evaluations that were run."""
    from termgym.calibration import Calibration

    calibration = Calibration.read(runs)
    base.console().print(calibration.table())
    if out:
        calibration.save(out)
        typer.echo(f"Written to {out}")


@base.app.command(epilog="Example: termgym report runs/o")
def report(
    run: Annotated[Path, typer.Argument(help="The folder of an evaluation, or of training.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The file.", show_default="RUN/report.html")] = None,
    recordings: Annotated[int, typer.Option(min=0, help="Recordings to embed at most.")] = 200,
) -> None:
    """Write what a run came to as one HTML file: scores, charts, and every episode with its recording.

    It needs no network and no server. Of large runs it embeds what fits into 30 MB, each family's failures first.

    Of a training run, or of a folder of several, it shows the curves, and the episodes before and after first.
    """
    from termgym.page import write, write_training
    from termgym.training_log import stages

    if found := stages(run):
        path = write_training(found, out or run / "report.html", recordings=recordings)
    else:
        path = write(run, out, recordings=recordings)
    typer.echo(f"Written to {path}")


@base.app.command(epilog="Example: termgym compare runs/before runs/after")
def compare(
    run_a: Annotated[Path, typer.Argument(help="An evaluation's folder.", show_default=False)],
    run_b: Annotated[Path, typer.Argument(help="Another one.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Compare two runs on the tasks that they share: pass@1 of each, the difference, and how sure it is.

    The interval is by resampling tasks, the p-value by flipping signs. Of many families some differ by chance.
    """
    from termgym.comparison import Comparison
    from termgym.store import read

    (first, remarks), (second, more) = read(run_a), read(run_b)
    for remark in remarks + more:
        typer.echo(f"termgym: {remark}", err=True)
    comparison = Comparison(first, second)
    if as_json:
        base.print_json(comparison.to_dict())
    else:
        console = base.console()
        console.print(f"A is {run_a}, B is {run_b}", soft_wrap=True, markup=False)
        console.print(comparison.table())


@base.app.command(epilog="Example: termgym replay runs/o --number 3")
def replay(
    record: Annotated[Path, typer.Argument(help="An episodes.jsonl, or the run's folder.", show_default=False)],
    task: Annotated[list[str] | None, typer.Option(help="A task folder that it met; may be repeated.")] = None,
    number: Annotated[list[int] | None, typer.Option(min=0, help="A line, from 0; may be repeated.")] = None,
    concurrency: Concurrency = base.AT_A_TIME,
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
        raise typer.Exit(base.FAILED)


@base.app.command(epilog="Example: termgym doctor --json")
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
        base.print_json({"ok": healthy(findings), "findings": [asdict(finding) for finding in findings]})
    else:
        base.console().print(table(findings))
    if not healthy(findings):
        raise typer.Exit(base.FAILED)


@base.app.command("demo", epilog="Example: termgym demo --n 6")
def show_demo(
    n: Annotated[int, typer.Option("--n", min=1, help="Episodes of each family and policy.")] = 3,
    concurrency: Concurrency = base.AT_A_TIME,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.", show_default="runs/TIME-demo")] = None,
    training: Annotated[bool, typer.Option(help="Whether a model is trained, too.")] = True,
) -> None:
    """Run three policies in real sandboxes; then train a tiny model by imitation and by reward. Some minutes.

    The policies are the known solution, doing nothing, and typing at random. Exit status 1 if the oracle failed
    anything, idle solved anything, or an episode was invalid.
    """
    from termgym.demo import demo

    folder = out or Path("runs", f"{datetime.now():%Y%m%d-%H%M%S}-demo")
    console = base.console()
    fine = demo(folder, console, episodes=n, concurrency=concurrency)
    if training:
        _tell(folder / "training", console)
    console.print(f"Recordings are in {folder}: asciinema play --pause-on-markers FILE.cast", soft_wrap=True)
    console.print("To go on: termgym play NAME, termgym eval --help")
    if not fine:
        raise typer.Exit(base.FAILED)


def _tell(folder: Path, console: "Console") -> None:
    if not base.can_train():
        console.print("To see a model trained, too: pip install 'termgym[rllib]'")
        return
    from termgym.rllib.story import Story, table, write_page

    scores = Story().tell(folder, console)
    console.print(table(scores))
    console.print(f"\nCurves, and episodes before and after: {write_page(folder)}\n", soft_wrap=True)
