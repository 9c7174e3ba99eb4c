"""Harbor's task folders: one, a folder of them, or what a git repository holds at some commit.

    harbor:tasks/tidy-logs               a task folder
    harbor:tasks                         all task folders below it
    harbor:bench.git?ref=v2&path=tasks   the folders below tasks/ at a tag, a branch or a commit

A repository is read from its objects alone. Nothing of it runs: its configuration, which could name filters, hooks
and helpers, is not read, and its work tree is neither looked at nor touched.
"""

import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from termgym.errors import TaskError
from termgym.harbor import of_files
from termgym.sources import Shelf, Source, shelf_of
from termgym.task import File, Task

TOML = "task.toml"
_REF = re.compile(r"[\w][\w./@{}^~+-]*")
_ENV = {"PATH": os.defpath, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}


def open_path(path: Path, options: Mapping[str, str]) -> Shelf:
    """The tasks at a path."""
    bare = (path / "objects").is_dir() and (path / "HEAD").is_file()
    if options or bare:
        return _of_repository(path if bare else path / ".git", options.get("ref", "HEAD"), options.get("path", ""))
    return shelf_of(path, lambda folder: (folder / TOML).exists(), Task.load, f"task folder: none has a {TOML}")


def _of_repository(git: Path, ref: str, below: str) -> Shelf:
    where = f"{git}?ref={ref}&path={below}"
    files, odd = _tree(git, ref, below.strip("/"), where)
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


def _tree(git: Path, ref: str, below: str, where: str) -> tuple[dict[str, File], list[str]]:
    """The regular files of a commit, and the paths of what is none."""
    files: dict[str, File] = {}
    odd: list[str] = []
    with tarfile.open(fileobj=io.BytesIO(_archive(git, ref, below, where))) as tar:
        for member in tar:
            if member.isreg() and (content := tar.extractfile(member)):
                files[member.name] = File(content.read(), member.mode & 0o777)
            elif not member.isdir():
                odd.append(member.name)
    return files, odd


def _archive(git: Path, ref: str, below: str, where: str) -> bytes:
    """A tar archive of a commit, made by a repository of ours that borrows the other's objects."""
    if not (git / "objects").is_dir():
        raise TaskError(f"{where}: {git} is no git repository; expected a checkout or a bare repository")
    if not _REF.fullmatch(ref):
        raise TaskError(f"{where}: ref is {ref!r}; expected a branch, a tag or a commit")
    with tempfile.TemporaryDirectory(prefix="termgym-git-") as scratch:
        _git(where, "init", "--quiet", "--bare", "--template=", scratch)
        for name in ("HEAD", "packed-refs"):
            if name not in _strange(git, [name]) and (git / name).exists():
                shutil.copyfile(git / name, Path(scratch, name))
        if not _strange(git, ["refs"]):
            shutil.copytree(git / "refs", Path(scratch, "refs"), ignore=_strange, dirs_exist_ok=True)
        Path(scratch, "objects/info").mkdir(parents=True, exist_ok=True)
        Path(scratch, "objects/info/alternates").write_text(f"{(git / 'objects').resolve()}\n")
        return _git(where, f"--git-dir={scratch}", "archive", "--format=tar", ref, "--", *([below] if below else []))


def _strange(folder: str | Path, names: Iterable[str]) -> list[str]:
    """Those that are links, which could lead to anything on this host, or neither files nor folders."""
    paths = {name: Path(folder, name) for name in names}
    return [name for name, path in paths.items() if path.is_symlink() or not (path.is_file() or path.is_dir())]


def _git(where: str, *args: str) -> bytes:
    try:
        return subprocess.run(["git", *args], env=_ENV, capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise TaskError(f"{where}: git is not installed on this host") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise TaskError(f"{where}: git could not read it: {said}") from error


SOURCE = Source("harbor", "Harbor's task folders, also in a git repository", open_path, ("ref", "path"))
