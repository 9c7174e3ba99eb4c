"""A git repository, read from its objects alone: nothing of it runs.

Its configuration, which could name filters, hooks and helpers, is not read, and its work tree is neither looked at nor
touched.
"""

import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path

from termgym.errors import TaskError
from termgym.task import File

_REF = re.compile(r"[\w][\w./@{}^~+-]*")
_ENV = {"PATH": os.defpath, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}
_MARK = re.compile(r"^(?:---|\+\+\+) (?:[ab]/)?([^\t\n]+)", re.M)


def folder_of(path: Path) -> Path | None:
    """The folder of objects and refs of a checkout or a bare repository, if this is one."""
    for git in (path, path / ".git"):
        if (git / "objects").is_dir() and (git / "HEAD").is_file():
            return git
    return None


def plain(folder: Path) -> dict[str, File]:
    """The regular files below a folder that is no repository; what Python compiled is left out."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    kept = [path for path in paths if not {"__pycache__", ".git"} & set(path.relative_to(folder).parts)]
    return {
        str(path.relative_to(folder)): File(path.read_bytes(), 0o644 | path.stat().st_mode & 0o111) for path in kept
    }


def files_of(place: Path, commit: str = "") -> Mapping[str, File]:
    """The regular files of a repository at a commit; without one, those of a plain folder.

    Raises:
        TaskError: It is no repository, or has no such commit.
    """
    if not commit:
        return plain(place)
    git = folder_of(place)
    if git is None:
        raise TaskError(f"{place}: is no git repository, and has no commit {commit!r}")
    return tree(git, commit, "", str(place))[0]


def tree(git: Path, ref: str, below: str, where: str) -> tuple[dict[str, File], list[str]]:
    """The regular files of a commit, of a folder in it, and the paths of what is none.

    Raises:
        TaskError: There is no such repository, ref or folder; `where` is how it is called.
    """
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
    """A tar archive of a commit."""
    with _borrowed(git, ref, where) as scratch:
        return _git(where, f"--git-dir={scratch}", "archive", "--format=tar", ref, "--", *([below] if below else []))


@contextmanager
def _borrowed(git: Path, ref: str, where: str) -> Generator[str]:
    """A repository of ours that borrows the other's objects and refs; what is no ref by its form is refused."""
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
        yield scratch


def _strange(folder: str | Path, names: Iterable[str]) -> list[str]:
    """Those that are links, which could lead to anything on this host, or neither files nor folders."""
    paths = {name: Path(folder, name) for name in names}
    return [name for name, path in paths.items() if path.is_symlink() or not (path.is_file() or path.is_dir())]


def _git(where: str, *args: str) -> bytes:
    try:
        env = {**_ENV, "GIT_CEILING_DIRECTORIES": tempfile.gettempdir()}
        return subprocess.run(["git", *args], env=env, capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise TaskError(f"{where}: git is not installed on this host") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise TaskError(f"{where}: git says: {said:.300}") from error


def commit(git: Path, ref: str) -> str:
    """The full name of the commit that a ref is.

    Raises:
        TaskError: There is none.
    """
    with _borrowed(git, ref, str(git)) as scratch:
        return _git(str(git), f"--git-dir={scratch}", "rev-parse", "--verify", f"{ref}^{{commit}}").decode().strip()


def _touched(patch: str) -> list[str]:
    """The files that a patch changes, makes or removes."""
    return sorted({match[1] for match in _MARK.finditer(patch)} - {"/dev/null"})


def patched(files: Mapping[str, File], patch: str, where: str) -> dict[str, File]:
    """The files of a tree with a patch applied.

    Raises:
        TaskError: It does not apply.
    """
    paths = _touched(patch)
    if strange := [path for path in paths if path.startswith("/") or ".." in path.split("/")]:
        raise TaskError(f"{where}: the patch changes {strange[0]!r:.100}; expected paths below the repository")
    with tempfile.TemporaryDirectory(prefix="termgym-git-") as scratch:
        for path in paths:
            if path in files:
                Path(scratch, path).parent.mkdir(parents=True, exist_ok=True)
                Path(scratch, path).write_bytes(files[path].content)
        Path(scratch, "\n").write_text(patch if patch.endswith("\n") else f"{patch}\n")
        _git(where, "-C", scratch, "apply", "--whitespace=nowarn", "\n")
        changed = {path: Path(scratch, path) for path in paths}
        new = {
            path: File(file.read_bytes(), files[path].mode if path in files else 0o644)
            for path, file in changed.items()
            if file.is_file() and not file.is_symlink()
        }
    return {path: file for path, file in files.items() if path not in changed} | new
