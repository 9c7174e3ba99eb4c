"""The notebooks under docs/ run, and hold what a run shows."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parent.parent / "docs"
NOTEBOOKS = sorted(DOCS.glob("*.ipynb"))


def kinds(cell: Any) -> list[str]:
    """What a cell shows: errors and warnings of a run would be further kinds."""
    return [output.output_type + output.get("name", "") for output in cell.get("outputs", [])]


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"first-episode", "rollouts"}


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("default")  # of Jupyter's own
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_what_it_holds(path: Path) -> None:
    notebook: Any = nbformat.read(path, as_version=4)
    held = [kinds(cell) for cell in notebook.cells]
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    assert [kinds(cell) for cell in notebook.cells] == held


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_was_run_from_top_to_bottom_and_names_no_machine(path: Path) -> None:
    notebook: Any = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/home/|site-packages|/\.venv", text)
    assert any("text/html" in output.get("data", {}) for cell in code for output in cell.outputs)
