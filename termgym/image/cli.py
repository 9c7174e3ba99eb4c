"""The commands `termgym image ...`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from termgym.image import Image
    from termgym.image.store import Store
    from termgym.image.stream import Budget

SHORT = 12

app = typer.Typer(no_args_is_help=True, help="Images that sandboxes start from, kept without a daemon.")

Name = Annotated[str, typer.Argument(help="A name, a digest, or how one begins.", show_default=False)]


@app.command("import", epilog="Example: termgym image import python.tar --name python:3.12")
def import_image(
    source: Annotated[
        str,
        typer.Argument(
            help="An archive of docker save, an OCI layout, a root folder, or else the name of an image that the "
            "Docker engine has.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="What to call it.", show_default="the engine's name, or the file's")
    ] = None,
) -> None:
    """Get an image into the store."""
    from rich.console import Console
    from rich.progress import (
        DownloadColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    from termgym.image.store import Store
    from termgym.image.stream import Budget

    columns = (SpinnerColumn(), TextColumn("unpacking"), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    shown = Console(stderr=True)
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as progress:
        task = progress.add_task("", total=None)
        budget = Budget(on_bytes=lambda count: progress.advance(task, count))
        image = _import(Store(), source, name, budget)
    typer.echo(image.digest)


def _import(store: "Store", source: str, name: str | None, budget: "Budget") -> "Image":
    path = Path(source).expanduser()
    if not path.exists():
        return store.import_engine(source, name, budget)
    name = name or path.resolve().name.partition(".")[0]
    is_archive = path.is_file() or (path / "index.json").is_file() or (path / "manifest.json").is_file()
    return store.import_archive(path, name, budget) if is_archive else store.import_folder(path, name, budget)


@app.command("list", epilog="Example: termgym image list --json")
def list_images(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the images."""
    from rich.console import Console
    from rich.table import Table

    from termgym.image.store import Store

    images = Store().list()
    if as_json:
        typer.echo(json.dumps([{"name": name, **_described(image)} for name, image in images.items()], indent=2))
        return
    table = Table("name", "digest", "layers", "user", "workdir", box=None)
    for name, image in images.items():
        table.add_row(name, image.digest[:SHORT], str(len(image.layers)), image.user or "root", image.workdir)
    Console(highlight=False).print(table)


@app.command(epilog="Example: termgym image show python:3.12")
def show(name: Name) -> None:
    """Show an image as JSON: its layers, and how its programs start."""
    from termgym.image.store import Store

    typer.echo(json.dumps(_described(Store().find(name)), indent=2))


@app.command(epilog="Example: termgym image remove python:3.12")
def remove(name: Name) -> None:
    """Remove an image, with the layers that no other has. Nothing may run from it."""
    from termgym.image.store import Store

    store = Store()
    store.remove(name)
    store.prune()


def _described(image: "Image") -> dict[str, object]:
    return {
        "digest": image.digest,
        "layers": [str(layer) for layer in image.layers],
        "env": dict(image.env),
        "workdir": image.workdir,
        "user": image.user,
        "entrypoint": image.entrypoint,
        "cmd": image.cmd,
    }
