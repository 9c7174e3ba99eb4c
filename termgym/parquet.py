"""pyarrow, which reads and writes parquet, where it is installed."""

from importlib import import_module
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


def open_file(path: Path) -> Any:
    """A file, as a `ParquetFile`.

    Raises:
        TaskError: It is none, or pyarrow is not installed.
    """
    try:
        return library().ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise TaskError(f"{path}: cannot be read as parquet: {error}") from error
