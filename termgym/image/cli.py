"""The commands `termgym image ...`."""

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from termgym.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from termgym.harbor.image import Recipe
    from termgym.image import Image
    from termgym.image.store import Store
    from termgym.image.stream import Budget
    from termgym.task import File, Task

SHORT = 12

app = typer.Typer(no_args_is_help=True, help="Images that sandboxes start from, kept without a daemon.")

Name = Annotated[str, typer.Argument(help="A name, a digest, or how one begins.", show_default=False)]
Spec = Annotated[str, typer.Argument(help="A task folder, or FORMAT:PATH.", show_default=False)]


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


@app.command(epilog="Example: termgym image build harbor:tasks --network none")
def build(
    spec: Spec,
    network: Annotated[str, typer.Option(help="What the build's commands have: default or none.")] = "default",
    force: Annotated[bool, typer.Option("--force", help="Build what is there already, too.")] = False,
) -> None:
    """Build the images that tasks have Dockerfiles for, by a Docker engine, podman or buildah, into the store.

    Prints the name of each. What is there already is not built again: its name says what it was built of.
    """
    from termgym.harbor.image import recipes

    _one_of("--network", network, ("default", "none"))
    count = 0
    for task in _tasks(spec):
        for recipe in recipes(task):
            count += 1
            _build(recipe, network, force)
            if recipe.name not in (task.image, task.judge.place and task.judge.place.image):
                advice = f"?image={recipe.name} runs the task in this one"
                typer.echo(f"{task.id} names another image, {task.image!r}; {advice}", err=True)
    if not count:
        raise _nothing_to_build(spec)


def _build(recipe: "Recipe", network: str, force: bool) -> None:
    from termgym.image.build import build as build_folder
    from termgym.image.store import Store

    if force or not Store().has(recipe.name):
        with tempfile.TemporaryDirectory(prefix="termgym-context-") as scratch:
            recipe.write(Path(scratch))
            say = partial(typer.echo, err=True, nl=False)
            try:
                build_folder(Path(scratch), recipe.name, network=network, timeout_s=recipe.timeout_s, say=say)
            except ImageError as error:
                raise ImageError(f"{error}\n?image=NAME runs a task in an image that there is") from error
    typer.echo(recipe.name)


def _nothing_to_build(spec: str) -> ImageError:
    if spec.startswith("nemotron:"):
        return ImageError(
            f"{spec}: the images of these tasks are in a private registry, and are not built for each; take one of "
            "your own for all, ?image=NAME, or one for each skill, ?images=FILE, as `termgym image build "
            "harbor:FOLDER/SKILL_task_0000` makes one where the base of its Dockerfile can be had"
        )
    return ImageError(f"{spec}: no task there has a Dockerfile of its own, environment/Dockerfile")


def _tasks(spec: str) -> "Iterable[Task]":
    from termgym.sources import open_source
    from termgym.task import Task

    return open_source(spec) if _is_spec(spec) else [Task.load(Path(spec).expanduser())]


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(known)}", param_hint=option)


@app.command(epilog="Example: termgym image verifier harbor:tasks/tidy-logs")
def verifier(
    source: Annotated[
        str,
        typer.Argument(help="A task folder, FORMAT:PATH, or the name of an image.", show_default=False),
    ],
    requirements: Annotated[
        Path | None,
        typer.Option(help="A file of lines NAME==VERSION.", show_default="what the tests install", exists=True),
    ] = None,
    image: Annotated[str | None, typer.Option(help="The image to begin from.", show_default="the tasks'")] = None,
    name: Annotated[str | None, typer.Option(help="What to call it.", show_default="the image's, -verifier")] = None,
) -> None:
    """Make an image that has what tests install when they run, so that they run without a network.

    It takes a network itself, for the Python packages. Prints the image's name, which goes into ?verifier_image=NAME.
    """
    from termgym.image import bootstrap
    from termgym.image.shim import in_file
    from termgym.image.verifier import make, usual_name

    is_task = _is_spec(source) or Path(source).expanduser().is_dir()
    tasks = list(_tasks(source)) if is_task else []
    if not tasks and not requirements:
        raise ImageError(f"{source} is taken for an image's name: what to install is for --requirements FILE to say")
    base = image or (_common_image(source, tasks) if tasks else source)
    tests = [{path: file.content for path, file in each.items()} for task in tasks for each in _tests(task)]
    listed = [one for each in tests for one in bootstrap.requirements(each)]
    listed = in_file(requirements.read_text()) if requirements else listed
    pins = bootstrap.pins(listed, str(requirements or source))
    name = name or usual_name(base)
    make(base, name, pins, partial(typer.echo, err=True, nl=False))
    typer.echo(name)


def _tests(task: "Task") -> "list[Mapping[str, File]]":
    return [task.tests, *(step.tests for step in task.steps)]


def _common_image(source: str, tasks: "Sequence[Task]") -> str:
    found = {task.judge.place.image if task.judge.place else task.image for task in tasks}
    if len(found) > 1:
        raise ImageError(f"{source}: its tasks have {len(found)} images; give one task, or the image by --image NAME")
    (image,) = found
    if not image:
        raise ImageError(
            f"{source}: its tests run in the host's userland, which cannot be added to; give an image by --image NAME"
        )
    return image


def _is_spec(text: str) -> bool:
    from termgym.sources import is_spec

    return is_spec(text)


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
