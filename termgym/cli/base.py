"""What the commands share: the group that turns errors into exit statuses, options, and how things are printed."""

import asyncio
import json
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import termgym
from termgym.errors import SandboxUnavailable, TaskError, TermgymError

if TYPE_CHECKING:
    from rich.console import Console

FAILED, WRONG_USAGE, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 130
AT_A_TIME = 4 * (os.cpu_count() or 1)


class Commands(TyperGroup):
    """The group of all commands: turns errors into one line and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """As `click.Group.invoke`."""
        try:
            return super().invoke(ctx)
        except SandboxUnavailable as error:
            stop(UNAVAILABLE, str(error))
        except TaskError as error:
            stop(WRONG_USAGE, str(error))
        except (TermgymError, OSError) as error:
            stop(FAILED, str(error))
        except (KeyboardInterrupt, asyncio.CancelledError):
            stop(INTERRUPTED, "interrupted")


def stop(status: int, message: str) -> NoReturn:
    """End the command with a message on standard error."""
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


Name = Annotated[
    str, typer.Argument(help="A family's name, a query, a task folder, or FORMAT:PATH.", show_default=False)
]
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


def console() -> "Console":
    """Standard output, for people."""
    from rich.console import Console

    return Console(highlight=False)


def can_train() -> bool:
    """Whether the packages are here that training needs: the extra `rllib`."""
    return all(find_spec(name) for name in ("ray", "torch", "transformers", "tensorboardX"))


def print_json(value: Any) -> None:
    """A value on standard output, for programs."""
    typer.echo(json.dumps(value, indent=2))
