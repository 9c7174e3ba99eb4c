"""pyarrow, which reads and writes parquet, where it is installed."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from termgym.errors import TaskError


def library() -> Any:
    """The module `pyarrow.parquet`.

    Raises:
        TaskError: It is not installed.
    """
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise TaskError("parquet needs pyarrow: pip install 'termgym[data]'") from error


def installed() -> bool:
    """Whether it is there."""
    return find_spec("pyarrow") is not None


def table(rows: Sequence[Mapping[str, Any]], schema: Any = None) -> Any:
    """Rows as a `pyarrow.Table`, of a `pyarrow.Schema`, or else of the types that their values have."""
    return import_module("pyarrow").Table.from_pylist(rows, schema)


def open_file(path: Path) -> Any:
    """A file, as a `ParquetFile`.

    Raises:
        TaskError: It is none, or pyarrow is not installed.
    """
    try:
        return library().ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise TaskError(f"{path}: cannot be read as parquet: {error}") from error
