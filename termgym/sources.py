"""A source: tasks that somebody else wrote, in a format of theirs, and the registry of all formats that there are.

Each module of termgym.envs with a `SOURCE` is one. What it reads is named by a specification:

    FORMAT:PATH[?KEY=VALUE&...]        harbor:tasks/mine?image=ours:1

Every format takes `image`, the image of the agent's sandbox instead of the task's (empty: the host's userland),
`verifier_image`, the one whose programs judge instead of the task's own, and `index`, which picks one task, from 0.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, overload
from urllib.parse import parse_qsl

import termgym.envs
from termgym.errors import TaskError, UnknownName
from termgym.task import Judge, Task

COMMON = ("image", "verifier_image", "index")
WORKDIR = "/app"


class Shelf(Sequence[Task]):
    """Tasks that are read one by one, each when it is asked for. Its errors are `TaskError`."""

    def __init__(self, names: Sequence[str], load: Callable[[str], Task]) -> None:
        """`names` are in order, and `load` reads the task of one."""
        self.names, self._load = names, load

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> "Shelf": ...
    def __getitem__(self, index: int | slice) -> "Task | Shelf":
        if isinstance(index, slice):
            return Shelf(self.names[index], self._load)
        return self._load(self.names[index])

    def map(self, change: Callable[[Task], Task]) -> "Shelf":
        """The same, each task changed when it is read."""
        return Shelf(self.names, lambda name: change(self._load(name)))


@dataclass(frozen=True, slots=True)
class Source:
    """A format of other people's tasks."""

    name: str
    """As in `task="harbor:/path"`."""
    summary: str
    open: Callable[[Path, Mapping[str, str]], Shelf]
    """From a path and the options that this format alone has."""
    options: tuple[str, ...] = ()


@cache
def sources() -> dict[str, Source]:
    """Name -> source, for every module of termgym.envs that has one, in the order of their names."""
    found: dict[str, Source] = {}
    for module in pkgutil.iter_modules(termgym.envs.__path__, "termgym.envs."):
        source = getattr(importlib.import_module(module.name), "SOURCE", None)
        if isinstance(source, Source):
            found[source.name] = source
    return dict(sorted(found.items()))


def is_spec(text: str) -> bool:
    """Whether a string names tasks of a source, rather than a family."""
    return text.partition(":")[0] in sources() and ":" in text


def open_source(spec: str) -> Shelf:
    """The tasks that a specification names.

    Raises:
        TaskError: There is nothing of that format at the path, or an option is not known or not right.
    """
    name, _, rest = spec.partition(":")
    path, _, query = rest.partition("?")
    source, options = sources()[name], dict(parse_qsl(query, keep_blank_values=True))
    known = (*COMMON, *source.options)
    for key in options.keys() - set(known):
        raise TaskError(f"{spec}: {UnknownName('option', key, known)}")
    own = {key: value for key, value in options.items() if key in source.options}
    shelf = source.open(Path(path).expanduser(), own).map(lambda task: _placed(task, options))
    if "index" not in options:
        return shelf
    index = options["index"]
    if not index.isdecimal() or int(index) >= len(shelf):
        raise TaskError(f"{spec}: index is {index!r}; expected a number from 0 to {len(shelf) - 1}")
    return shelf[int(index) : int(index) + 1]


def _placed(task: Task, options: Mapping[str, str]) -> Task:
    """The task in the images of the options."""
    changes: dict[str, Any] = {}
    if "image" in options:
        workdir = task.workdir or ("" if options["image"] else WORKDIR)
        changes |= {"image": options["image"], "workdir": workdir}
        place = task.judge.place
        if place and place.image == task.image:
            changes["judge"] = replace(task.judge, place=replace(place, image=options["image"], workdir=workdir))
    if judging := options.get("verifier_image"):
        judge: Judge = changes.get("judge", task.judge)
        apart = replace(judge, place=replace(judge.place, image=judging)) if judge.place else None
        changes["judge"] = apart or replace(judge, image=judging)
    return replace(task, **changes) if changes else task


def walk(path: Path, holds: Callable[[Path], bool]) -> Iterator[Path]:
    """The task folders at or below a path, in order: a folder that is one is not looked into.

    Raises:
        TaskError: There is no such folder.
    """
    if not path.is_dir():
        raise TaskError(f"{path}: {'is not a folder' if path.exists() else 'there is no such folder'}")
    if holds(path):
        yield path
        return
    for child in sorted(path.iterdir()):
        if child.is_dir() and not child.is_symlink() and not child.name.startswith("."):
            yield from walk(child, holds)


def shelf_of(path: Path, holds: Callable[[Path], bool], load: Callable[[Path], Task], what: str) -> Shelf:
    """The task folders at or below a path.

    Raises:
        TaskError: There are none.
    """
    names = [str(folder) for folder in walk(path, holds)]
    if not names:
        raise TaskError(f"{path}: holds no {what}")
    return Shelf(names, lambda name: load(Path(name)))
