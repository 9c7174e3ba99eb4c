"""Harbor task folders (schema 1.4): a `Task` on disk, both ways, without loss.

    instruction.md   Task.instruction, byte for byte
    task.toml        limits, resources, image, env; what Harbor has no word for is in [metadata.termgym]
    environment/     of ours: files/ABSOLUTE/PATH and setup.sh; of others: kept in Task.extra as it is
    tests/           checks/NAME and checks/NAME.run are the checks; all else is Task.tests
    solution/        Task.solution
    steps/NAME/      Task.steps: instruction.md, workdir/, tests/, solution/

A folder is ours if it has [metadata.termgym], unless that says `layout = "harbor"`: a foreign task that was
given, say, another id. In a folder of ours tests/test.sh, environment/Dockerfile and solution/solve.sh are
generated for Harbor's sake where the task has none of its own; they are not part of the task.

Of others, environment/docker_image or else a Dockerfile says which image: one that is to be built is called by what is
in environment/ (`image.image_name`). Without `workdir` the agent starts where the image says, or in /app where there is
no image. Without `network_mode` there is no network: it is had by asking.

A saved task reads back equal, and a folder that is read and saved again has the same files and the same
task.toml up to its formatting. Where `Task.config` contradicts the task's other fields, they win.
"""

import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import tomli_w

from termgym.errors import TaskError
from termgym.harbor.config import declared, listed
from termgym.harbor.document import document
from termgym.harbor.generated import is_generated
from termgym.harbor.layout import FILES, SETUP, STEPS, check_path, disk_mode, is_ours, layout, listed_attributes
from termgym.task import Check, File, Step, Task

SCRATCH = ".termgym-"
"""What the folder begins with that a task is written in, beside the one it becomes."""
_CAN_BE_GENERATED = ("tests/test.sh", "environment/Dockerfile", "solution/solve.sh")


def load(folder: Path) -> Task:
    """Read a task folder.

    Raises:
        TaskError: It is malformed, or asks for what is not supported; the message names the folder, the
            file, the field, what was found there and what was expected.
    """
    try:
        return _load(folder)
    except TaskError as error:
        raise TaskError(f"{folder}: {error}") from error


def save(task: Task, folder: Path) -> Path:
    """Write a task as a folder, new or empty, and return its path. On an error nothing of it is left.

    Raises:
        TaskError: The folder is there and not empty, or the task would not read back equal.
    """
    target = folder.resolve()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise TaskError(f"{folder}: is there already; a task is saved to a new or an empty folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=target.parent) as scratch:
        draft = Path(scratch, target.name)
        try:
            _write(task, draft)
            _check_equal(task, _load(draft))
        except TaskError as error:
            raise TaskError(f"task {task.id!r} cannot be saved: {error}") from error
        draft.rename(target)
    return folder


def _load(folder: Path) -> Task:
    return of_files(folder_files(folder), folder.resolve().name)


def folder_files(folder: Path) -> dict[str, File]:
    """Path below a folder -> file, for all that it holds.

    Raises:
        TaskError: There is no such folder, or it holds something else than regular files and folders.
    """
    if not folder.is_dir():
        raise TaskError("is not a folder" if folder.exists() else "there is no such folder")
    # Walked first, so that nothing but regular files is ever opened.
    walked = dict(_walk(folder, ""))
    return {path: File(_read(folder / path, path), status.st_mode & 0o7777) for path, status in walked.items()}


def of_files(files: Mapping[str, File], name: str) -> Task:
    """The task of a folder called `name` that holds these files, by their paths below it.

    Raises:
        TaskError: It is malformed, or asks for what is not supported.
    """
    for path in files:
        check_path(path)
    config = _config(files)
    found = _attributed(files, config)
    task = declared(config, name, found)
    instruction = _text(found, "instruction.md", "the task's instruction") if _has_instruction(found, task) else ""
    ours = is_ours(config)
    setup = _text(found, SETUP, "") if ours and SETUP in found else ""
    tests = _take(found, "tests/")
    task = replace(
        task,
        instruction=instruction,
        setup=setup,
        checks=_checks(config, tests),
        files=_take(found, FILES, "/") if ours else {},
        tests=_ungenerated(tests, "tests/", ours),
        solution=_ungenerated(_take(found, "solution/"), "solution/", ours),
        steps=tuple(_step(step, found) for step in task.steps),
        extra=_ungenerated(found, "", ours),
    )
    _check_tests(task)
    # What follows from the fields alone need not be kept, so that a task made here reads back equal.
    return task if ours and document(task, name) == config else replace(task, config=config)


def _has_instruction(found: Mapping[str, File], task: Task) -> bool:
    return "instruction.md" in found or not task.steps


def _step(step: Step, found: dict[str, File]) -> Step:
    below = f"{STEPS}{step.name}/"
    instruction = _text(found, f"{below}instruction.md", "the step's instruction")
    files, tests, solution = (_take(found, f"{below}{part}/") for part in ("workdir", "tests", "solution"))
    return replace(step, instruction=instruction, files=files, tests=tests, solution=solution)


def _check_tests(task: Task) -> None:
    if task.checks and task.steps:
        raise TaskError("task.toml: [[steps]]: steps are judged by a tests/test.sh; expected no checks")
    if not task.checks and not task.steps and "test.sh" not in task.tests:
        gone, wanted = ("tests/test.sh", "it") if task.tests else ("tests/", "tests/test.sh")
        raise TaskError(f"{gone}: missing; expected {wanted}, or checks listed in task.toml")
    for step in task.steps:
        if "test.sh" not in task.tests and "test.sh" not in step.tests:
            raise TaskError(f"{STEPS}{step.name}/tests/test.sh: missing; expected it, or tests/test.sh for all steps")


def _config(files: Mapping[str, File]) -> dict[str, Any]:
    if "task.toml" not in files:
        raise TaskError("task.toml: missing; a task folder has one")
    try:
        return tomllib.loads(files["task.toml"].content.decode())
    except UnicodeDecodeError as error:
        raise TaskError(f"task.toml: not UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:
        raise TaskError(f"task.toml: not TOML: {error}") from error


def _attributed(files: Mapping[str, File], config: dict[str, Any]) -> dict[str, File]:
    """All files but task.toml, with the modes and the modification times that it lists."""
    ours = is_ours(config)
    modes, mtimes = listed_attributes(config)
    found: dict[str, File] = {}
    for path, file in files.items():
        file = File(file.content, modes.get(path, disk_mode(file.mode, ours)))
        found[path] = replace(file, mtime=mtimes[path]) if path in mtimes else file
    del found["task.toml"]
    return found


def _walk(folder: Path, below: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder / below) as entries:
        listing = sorted(entries, key=lambda entry: entry.name)
    for entry in listing:
        path = below + entry.name
        check_path(path)
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(folder, path + "/")
        elif stat.S_ISREG(status.st_mode):
            yield path, status
        else:
            kind = "a symbolic link" if entry.is_symlink() else "not a regular file"
            raise TaskError(f"{path}: is {kind}; expected regular files and folders only")


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise TaskError(f"{name}: missing; a task folder has one") from error
    except OSError as error:
        raise TaskError(f"{name}: cannot be read: {error.strerror}") from error


def _text(found: dict[str, File], path: str, what: str) -> str:
    """Take a file out of `found`, as text."""
    if path not in found:
        raise TaskError(f"{path}: missing; expected {what}")
    try:
        return found.pop(path).content.decode()
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8: {error}") from error


def _take(found: dict[str, File], prefix: str, put: str = "") -> dict[str, File]:
    """Take the files below `prefix` out of `found`, with `put` in its place."""
    taken = [path for path in found if path.startswith(prefix)]
    return {put + path.removeprefix(prefix): found.pop(path) for path in taken}


def _ungenerated(found: dict[str, File], prefix: str, ours: bool) -> dict[str, File]:
    def generated(path: str, file: File) -> bool:
        return ours and prefix + path in _CAN_BE_GENERATED and is_generated(file.content)

    return {path: file for path, file in found.items() if not generated(path, file)}


def _checks(config: dict[str, Any], tests: dict[str, File]) -> tuple[Check, ...]:
    """The checks that task.toml lists, their scripts taken out of `tests`."""
    files = {f"tests/{path}": file for path, file in tests.items()}
    checks: list[Check] = []
    for check in listed(config):
        script = _text(files, f"tests/checks/{check.name}", "the script of a check that task.toml lists")
        run = _text(files, f"tests/checks/{check.name}.run", "what the check is to run first") if check.run else ""
        checks.append(Check(check.name, script, check.weight, run))
    for path in [path for path in tests if f"tests/{path}" not in files]:
        del tests[path]
    return tuple(checks)


def folder_name(identity: str) -> str:
    """A task's id as the name of a folder, and of all that Harbor calls after it."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", identity).strip("-")


def to_files(task: Task, name: str) -> dict[str, File]:
    """Path below a task folder called `name` -> file, for all that it holds: what `of_files` reads.

    Raises:
        TaskError: The task has files that have no place in a folder.
    """
    files, ours = layout(task)
    if "task.toml" in files:
        raise TaskError("extra: 'task.toml' is written from the other fields; expected another path")
    toml = tomli_w.dumps(document(task, name))
    found = {path: replace(file, mode=disk_mode(file.mode, ours)) for path, file in files.items()}
    try:
        return {**found, "task.toml": File.of(toml)}
    except UnicodeEncodeError as error:
        raise TaskError(f"cannot be written: {error}") from error


def _write(task: Task, folder: Path) -> None:
    files = to_files(task, folder.name)
    folder.mkdir()
    try:
        for path, file in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(file.content)
            (folder / path).chmod(file.mode)
    except (OSError, UnicodeEncodeError) as error:
        raise TaskError(f"cannot be written: {error}") from error


def _check_equal(task: Task, saved: Task) -> None:
    for name in (each.name for each in fields(Task) if each.name != "config"):
        if getattr(task, name) != getattr(saved, name):
            raise TaskError(
                f"{name}: would read back as {getattr(saved, name)!r:.200}, not {getattr(task, name)!r:.200}"
            )
