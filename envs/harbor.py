"""Harbor's task folders: one, a folder of them, or what a git repository holds at some commit.

    harbor:tasks/tidy-logs               a task folder
    harbor:tasks                         all task folders below it
    harbor:bench.git?ref=v2&path=tasks   the folders below tasks/ at a tag, a branch or a commit

Nothing of a repository runs (`termgym.repository`).
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from termgym.errors import TaskError
from termgym.harbor import of_files
from termgym.repository import folder_of, tree
from termgym.sources import Shelf, Source, shelf_of
from termgym.task import File, Task

TOML = "task.toml"


def open_path(path: Path, options: Mapping[str, str]) -> Shelf:
    """The tasks at a path."""
    git = folder_of(path)
    if options or git == path:
        return _of_repository(git or path / ".git", options.get("ref", "HEAD"), options.get("path", ""))
    return shelf_of(path, lambda folder: (folder / TOML).exists(), Task.load, f"task folder: none has a {TOML}")


def _of_repository(git: Path, ref: str, below: str) -> Shelf:
    where = f"{git}?ref={ref}&path={below}"
    files, odd = tree(git, ref, below.strip("/"), where)
    tasks = [PurePosixPath(path) for path in files if PurePosixPath(path).name == TOML]
    folders: dict[str, dict[str, File]] = {str(path.parent): {} for path in tasks}
    for path, file in files.items():
        if folder := _folder_of(path, folders):
            folders[folder][path.removeprefix(folder if folder == "." else f"{folder}/")] = file
    if not folders:
        raise TaskError(f"{where}: holds no task folder: none has a {TOML}")
    strange = {folder: path for path in odd if (folder := _folder_of(path, folders))}

    def load(folder: str) -> Task:
        if folder in strange:
            raise TaskError(
                f"{where}: {strange[folder]}: is not a regular file; expected regular files and folders only"
            )
        try:
            return of_files(folders[folder], PurePosixPath(folder).name or git.resolve().parent.name)
        except TaskError as error:
            raise TaskError(f"{where}: {folder}: {error}") from error

    return Shelf(sorted(folders), load)


def _folder_of(path: str, folders: Mapping[str, object]) -> str:
    return next((str(parent) for parent in reversed(PurePosixPath(path).parents) if str(parent) in folders), "")


SOURCE = Source("harbor", "Harbor's task folders, also in a git repository", open_path, ("ref", "path"))
