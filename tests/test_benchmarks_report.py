"""The benchmarks' tables: what is measured, and how it is written, against numbers worked out by hand."""

import argparse
import json
import re
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.report import Row, Samples

MACHINE = {
    "cpu": "C", "cores": 2, "virtual": True, "kernel": "6", "python": "3", "commit": "c", "date": "d", "nice": 0,
    "load": [0.5],
}  # fmt: skip


def rates() -> Samples:
    samples = Samples()
    for rate in (100.0, 300.0, 200.0):
        samples.put("ours", rate)
    samples.put("peer", 50.0)
    samples.add("wait", 0.0125)
    return samples


def table(*rows: Row) -> list[dict[str, object]]:
    return report.rows(rows, rates(), lambda measured: {"ours": (">= 250", measured["ours"]["median"] >= 250)}, "why")


def test_rates_are_kept_as_they_are_and_durations_in_milliseconds() -> None:
    assert rates().values == {"ours": [100.0, 300.0, 200.0], "peer": [50.0], "wait": [12.5]}
    assert report.statistics([100.0, 300.0, 200.0]) == {
        "min": 100.0,
        "median": 200.0,
        "p90": 300.0,
        "p99": 300.0,
        "n": 3,
    }


def test_a_row_is_set_beside_its_peer_and_its_target() -> None:
    (row,) = table(Row("ours", "ours", "peer"))
    assert (row["beside"], row["target"], row["met"]) == ("4.00 x peer", ">= 250", False)


def test_a_row_whose_peer_was_not_measured_stands_alone() -> None:
    (row,) = table(Row("ours", "ours", "missing"))
    assert "beside" not in row


def test_a_row_says_its_unit_where_it_is_another_than_the_tables() -> None:
    assert [row["what"] for row in table(Row("wait", "a wait", unit="ms"), Row("ours", "ours"))] == [
        "a wait [ms]",
        "ours",
    ]


def test_a_row_that_was_not_measured_says_why() -> None:
    assert report.cells(table(Row("missing", "what"))[0]) == ["what", "", "", "", "", "", "why", "", ""]


def test_the_command_names_options_and_no_values() -> None:
    args = argparse.Namespace(quick=True, image="host/secret", json=Path("/tmp/x"), profile=False)
    assert report.command("memory", args) == "python benchmarks/memory.py --quick --image NAME"


def test_what_is_published_is_what_results_md_is_made_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = report.parser("memory", "text").parse_args(["--json", str(tmp_path / "a" / "memory.json")])
    rows = table(Row("ours", "ours", "peer"), Row("wait", "a wait", unit="ms"))
    report.publish("memory", args, {"title": "T", "unit": "per second", "machine": MACHINE, "notes": [], "rows": rows})
    assert "[ms]" in capsys.readouterr().out
    written = json.loads(args.json.read_text())
    assert written["command"] == "python benchmarks/memory.py" and written["rows"] == rows
    text = report.markdown([written])
    assert re.search(r"\| ours \| 100 \| 200 \| 300 \| 300 \| 3 \| 4.00 x peer \| >= 250 \| NOT met \|", text)
