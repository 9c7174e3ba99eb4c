"""Tasks in parquet files, as `termgym tasks export --format parquet` writes them: each row holds a task folder."""

from collections.abc import Mapping
from pathlib import Path

from termgym import harbor
from termgym.errors import TaskError
from termgym.parquet import open_file
from termgym.sources import Shelf, Source
from termgym.task import File, Task


def open_files(path: Path, options: Mapping[str, str]) -> Shelf:
    """The tasks of one file, or of all below a folder.

    Raises:
        TaskError: There are none, a file is none of these, or pyarrow is not installed.
    """
    paths = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
    groups = [(str(one), group, rows) for one in paths for group, rows in enumerate(_groups(one))]
    names = {f"{one}:{group}:{row}": (one, group, row) for one, group, rows in groups for row in range(rows)}
    if not names:
        raise TaskError(f"{path}: holds no parquet files of tasks")
    return Shelf(list(names), lambda name: _task(*names[name]))


def _groups(path: Path) -> list[int]:
    """How many rows each row group of a file has."""
    metadata = open_file(path).metadata
    if "id" not in metadata.schema.names:
        raise TaskError(f"{path}: has no column 'id'; expected what `termgym tasks export` writes")
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def _task(path: str, group: int, row: int) -> Task:
    table = open_file(Path(path)).read_row_group(group, ["id", "files"])
    files = {file["path"]: File(file["content"], file["mode"]) for file in table["files"][row].as_py()}
    return harbor.of_files(files, harbor.folder_name(str(table["id"][row])))


SOURCE = Source(
    name="parquet",
    summary="Task folders in the rows of parquet files.",
    open=open_files,
)
