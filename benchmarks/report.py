"""The common part of the benchmarks: statistics, the machine, tables, and RESULTS.md.

A benchmark writes results/NAME.json; `python benchmarks/report.py` makes RESULTS.md of all that are there.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
COLUMNS = ("what", "min", "median", "p90", "p99", "n", "beside", "target", "met")


class Samples:
    """Measurements by row, in the order in which they were taken: milliseconds, or what `put` was given."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    @contextmanager
    def time(self, row: str) -> Iterator[None]:
        """Add the time that the body takes to `row`; nothing if it fails."""
        begin = time.perf_counter()
        yield
        self.add(row, time.perf_counter() - begin)

    def add(self, row: str, seconds: float) -> None:
        """Add a duration to `row`."""
        self.put(row, seconds * 1e3)

    def put(self, row: str, value: float) -> None:
        """Add a measurement to `row`, in the row's own unit."""
        self.values.setdefault(row, []).append(value)


@dataclass(frozen=True)
class Row:
    """A row of a table: what it measures, and beside which other row it is set, by ratio ("x") or difference ("+").

    `unit` is said where it is not the table's.
    """

    key: str
    what: str
    peer: str = ""
    how: str = "x"
    unit: str = ""


def statistics(values: Sequence[float]) -> dict[str, float]:
    """Minimum, median, 90th and 99th percentile (nearest rank) and number of `values`; empty if there are none."""
    if not values:
        return {}
    ordered = sorted(values)
    ranks = {"min": 0.0, "median": 0.5, "p90": 0.9, "p99": 0.99}
    named = {name: ordered[max(0, math.ceil(share * len(ordered)) - 1)] for name, share in ranks.items()}
    return {**{name: round(value, 4) for name, value in named.items()}, "n": len(ordered)}


def rows(
    chosen: Sequence[Row],
    samples: Samples,
    targets: Callable[[dict[str, dict[str, float]]], dict[str, tuple[str, bool]]],
    skipped: str,
) -> list[dict[str, Any]]:
    """The table's rows, as they are written; `skipped` says why some have no samples."""
    measured = {key: statistics(values) for key, values in samples.values.items()}
    held = targets(measured)
    table: list[dict[str, Any]] = []
    for row in chosen:
        what = f"{row.what} [{row.unit}]" if row.unit else row.what
        entry: dict[str, Any] = {"key": row.key, "what": what, **measured.get(row.key, {"skipped": skipped})}
        if row.peer in measured and row.key in measured:
            ours, peer = measured[row.key]["median"], measured[row.peer]["median"]
            entry["beside"] = (
                f"{_short(ours / peer)} x {row.peer}" if row.how == "x" else f"{row.peer} {ours - peer:+.2f}"
            )
        if row.key in held:
            entry["target"], entry["met"] = held[row.key]
        table.append(entry)
    return table


def machine() -> dict[str, Any]:
    """What the numbers were measured on, without its name or any path."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        cpu = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines() if ":" in line)
    cpu = {name.strip(): value.strip() for name, value in cpu.items()}
    return {
        "cpu": cpu.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "virtual": "hypervisor" in cpu.get("flags", "").split(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "nice": os.nice(0),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def commit() -> str:
    """The commit measured, with a plus where files have changed since; "unknown" outside a checkout."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", FOLDER, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "../termgym")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def save(path: Path, result: dict[str, Any]) -> None:
    """Write a result as JSON, one row to a line, so that a change shows as one."""
    head = json.dumps({key: value for key, value in result.items() if key != "rows"}, indent=1, ensure_ascii=False)
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in result["rows"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{head[:-2]},\n "rows": [\n  {rows}\n ]\n}}\n', encoding="utf-8")


def parser(name: str, text: str | None, epilog: str = "") -> argparse.ArgumentParser:
    """The options that every benchmark has; `name` is its script's and its result's."""
    made = argparse.ArgumentParser(
        prog=f"{name}.py", description=text, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=epilog
    )
    made.add_argument("--quick", action="store_true", help="much less of everything: seconds, and rougher")
    made.add_argument(
        "--json",
        type=Path,
        metavar="PATH",
        default=FOLDER / "results" / f"{name}.json",
        help=f"where to write (default: results/{name}.json here)",
    )
    return made


def command(name: str, args: argparse.Namespace) -> str:
    """How a benchmark was called, without any value of this machine's."""
    given = {word: value for word, value in vars(args).items() if value and word != "json"}
    words = [f"--{word}" if value is True else f"--{word} NAME" for word, value in given.items()]
    return " ".join([f"python benchmarks/{name}.py", *words])


def publish(name: str, args: argparse.Namespace, result: dict[str, Any]) -> None:
    """Write a result down, and print it."""
    result = {"title": result["title"], "unit": result["unit"], "command": command(name, args), **result}
    save(args.json, result)
    show(result)


def cells(row: dict[str, Any]) -> list[str]:
    """A row as the texts of its columns."""
    digits = [_short(row[name]) if name in row else "" for name in ("min", "median", "p90", "p99")]
    met = {True: "met", False: "NOT met", None: ""}[row.get("met")]
    if "skipped" in row:
        return [row["what"], *[""] * 4, "", row["skipped"], row.get("target", ""), met]
    return [row["what"], *digits, str(row.get("n", "")), row.get("beside", ""), row.get("target", ""), met]


def _own(row: dict[str, Any], columns: Sequence[str]) -> list[str]:
    """A row of a table that has columns of its own."""
    return [row["what"], *(f"{row[name]:,}" if isinstance(row[name], int) else f"{row[name]:.1f}" for name in columns)]


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def describe(result: dict[str, Any]) -> str:
    """One line about the machine and the run."""
    on = result["machine"]
    load = " / ".join(str(load) for load in on["load"])
    kind = "virtual cores" if on["virtual"] else "cores"
    nice = f", at nice {on['nice']}" if on["nice"] else ""
    return (
        f"{on['cores']} {kind} of {on['cpu']}, Linux {on['kernel']}, Python {on['python']}; "
        f"commit {on['commit']}, {on['date']}, load before {load}{nice}"
    )


def show(result: dict[str, Any]) -> None:
    """Print a result as a table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{result['title']} ({result['unit']})", caption=describe(result), title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in COLUMNS[1:6] else "left", no_wrap=name in COLUMNS[1:6])
    for row in result["rows"]:
        style = {True: "green", False: "bold red", None: None}[row.get("met")]
        *first, met = cells(row)
        table.add_row(*map(escape, first), f"[{style}]{met}[/]" if style else met)
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)


def markdown(results: Iterable[dict[str, Any]]) -> str:
    """RESULTS.md: a table for each result."""
    parts = ["# Benchmark results\n\nMade by `python benchmarks/report.py` from `results/*.json`: do not edit.\n"]
    for result in results:
        parts += [f"\n## {result['title']}\n", f"\n`{result['command']}` on {describe(result)}.\n"]
        parts += [f"\n{note}\n" for note in result.get("notes", [])]
        columns = result.get("columns", COLUMNS[1:])
        parts += [f"\n| what ({result['unit']}) | {' | '.join(columns)} |\n"]
        right = (*COLUMNS[1:6], *result.get("columns", ()))
        parts += [f"|---|{'|'.join('---:' if name in right else '---' for name in columns)}|\n"]
        parts += [
            f"| {' | '.join(_own(row, columns) if 'columns' in result else cells(row))} |\n" for row in result["rows"]
        ]
    return "".join(parts)


def main() -> int:
    """Write RESULTS.md."""
    paths = sorted((FOLDER / "results").glob("*.json"))
    results = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    (FOLDER / "RESULTS.md").write_text(markdown(results), encoding="utf-8")
    print(f"RESULTS.md: {len(results)} of {len(paths)} results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
