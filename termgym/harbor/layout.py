"""Which file of a task folder holds what of a task, and what the file system cannot be trusted with."""

from collections.abc import Mapping
from typing import Any

from termgym.errors import TaskError
from termgym.harbor import generated
from termgym.harbor.table import MODES, MTIMES, table
from termgym.task import File, Step, Task

FILES = "environment/files/"
SETUP = "environment/setup.sh"
STEPS = "steps/"


def layout(task: Task) -> tuple[dict[str, File], bool]:
    """Path below the task folder -> file, for all but task.toml; and whether the folder is ours.

    Raises:
        TaskError: Two of the task's files have one path, or a path leads outside.
    """
    ours = is_ours_to_be(task)
    files: dict[str, File] = {}
    if task.instruction or not task.steps:
        files["instruction.md"] = _file("instruction", task.instruction)
    _add(files, "files", {FILES + _below_root(path): file for path, file in task.files.items()})
    if task.setup:
        _add(files, "setup", {SETUP: _file("setup", task.setup, 0o755)})
    for check in task.checks:
        scripts = {f"tests/checks/{check.name}": check.script, f"tests/checks/{check.name}.run": check.run}
        _add(files, "checks", {path: _file(path, text, 0o755) for path, text in scripts.items() if text})
    _add(files, "tests", {f"tests/{path}": file for path, file in task.tests.items()})
    _add(files, "solution", {f"solution/{path}": file for path, file in task.solution.items()})
    for step in task.steps:
        _add(files, "steps", _step(step))
    _add(files, "extra", task.extra)
    if ours:
        for path, text in generated.scripts(task).items():
            files.setdefault(path, _file(path, text, 0o644 if path.endswith("Dockerfile") else 0o755))
    return files, ours


def _step(step: Step) -> dict[str, File]:
    parts = {"workdir": step.files, "tests": step.tests, "solution": step.solution}
    placed = {f"{part}/{path}": file for part, files in parts.items() for path, file in files.items()}
    placed["instruction.md"] = _file("steps", step.instruction)
    return {f"{STEPS}{step.name}/{path}": file for path, file in placed.items()}


def is_ours(config: Mapping[str, Any]) -> bool:
    """Whether the folder of this task.toml is of our layout."""
    ours = table(config, "metadata").items.get("termgym")
    return ours is not None and table(config, "metadata.termgym").items.get("layout") != "harbor"


def is_ours_to_be(task: Task) -> bool:
    """Whether the task's folder is to be of our layout: it was, it is new, or Harbor's cannot hold it."""
    new = not task.config
    return bool(new or is_ours(task.config) or task.files or task.setup or task.checks or task.oracle)


def _add(files: dict[str, File], field: str, more: Mapping[str, File]) -> None:
    for path, file in more.items():
        check_path(path)
        if path in files:
            raise TaskError(f"{field}: {path!r} is in the task folder already; expected another path")
        files[path] = file


def _file(name: str, text: str, mode: int = 0o644) -> File:
    try:
        return File.of(text, mode)
    except UnicodeEncodeError as error:
        raise TaskError(f"{name}: cannot be UTF-8: {error}") from error


def _below_root(path: str) -> str:
    if not path.startswith("/"):
        raise TaskError(f"files: {path!r} is not an absolute path")
    return path[1:]


def check_path(path: str) -> None:
    """Refuse a path below the task folder that is not plain.

    Raises:
        TaskError: It is absolute, has empty, `.` or `..` parts or a NUL, or is not UTF-8.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise TaskError(f"{path!r}: the name is not UTF-8") from error
    if "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise TaskError(f"{path!r}: expected a relative path without '.', '..', '//' or NUL")


def disk_mode(mode: int, ours: bool) -> int:
    """The mode that a file of the task gets in the folder, and that a file of the folder gets in the task.

    A folder of ours survives git and umasks: nothing counts but the executable bit, and other modes are
    listed in task.toml. A set-user-ID bit is never set outside of a sandbox.
    """
    if not ours:
        return mode & 0o777
    return 0o755 if mode & 0o100 else 0o644


def attributes(task: Task) -> dict[str, dict[str, Any]]:
    """What a folder does not keep: the odd modes, and the modification times that are not the default."""
    unsorted, ours = layout(task)
    files = dict(sorted(unsorted.items()))
    modes = {path: f"{file.mode:04o}" for path, file in files.items() if disk_mode(file.mode, ours) != file.mode}
    mtimes = {path: file.mtime for path, file in files.items() if file.mtime != File(b"").mtime}
    return {"modes": modes, "mtimes": mtimes}


def listed_attributes(config: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """Path below the task folder -> mode, and -> modification time, as task.toml lists them."""
    ours = table(config, "metadata.termgym")
    modes = ours.get("modes", dict[str, str](), MODES)
    return {path: int(mode, 8) for path, mode in modes.items()}, ours.get("mtimes", dict[str, int](), MTIMES)
