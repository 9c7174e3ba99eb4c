"""A command's options out of a TOML file: each key is an option's name, and what the command line says goes first."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from termgym.errors import TaskError, UnknownName

LEFT_OUT = {"config", "dry_run", "as_json"}


def _taken(ctx: typer.Context, path: Path | None) -> Path | None:
    if path is not None:
        try:
            ctx.default_map = _read(path, {str(one.name) for one in ctx.command.params} - LEFT_OUT)
        except (OSError, ValueError, TaskError) as error:
            raise TaskError(f"{path}: {error}") from error
    return path


def _read(path: Path, known: set[str]) -> dict[str, Any]:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    for name in table:
        if name not in known:
            raise UnknownName("option", name, known)
    options: Any = table.get("option", {})
    if not isinstance(options, dict):
        raise TaskError(f"option is {options!r}; write the policy's options as a table: [option]")
    given = cast("dict[str, Any]", options)
    return table | {"option": [f"{name}={json.dumps(value)}" for name, value in given.items()]}


Config = Annotated[
    Path | None,
    typer.Option(
        help="Take options from a TOML file, as in configs/eval; those given here go first.",
        callback=_taken,
        is_eager=True,
        show_default=False,
    ),
]
