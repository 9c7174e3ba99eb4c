"""The command line, by groups: about tasks, tasks by the thousand, runs, corpora, generation, images.

Exit status: 0 fine, 1 something did not come out as it should, 2 wrong usage or an unknown name, 3 this host cannot run
the sandbox, 130 interrupted. Imports are inside the commands, so that `--help` and errors come at once.
"""

from termgym.cli import bulk, corpora, generation, runs, tasks, training
from termgym.cli.base import app
from termgym.image.cli import app as image

__all__ = ["app", "bulk", "corpora", "generation", "main", "runs", "tasks", "training"]

app.add_typer(image, name="image")


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="termgym")
