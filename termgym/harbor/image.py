"""The images that a task folder has Dockerfiles for: what they are called, which says what is in the folder."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from termgym.harbor.layout import is_ours
from termgym.harbor.table import ABOVE_ZERO, table
from termgym.task import File, Task

DIGITS = 12
BUILD_S = 600.0
"""Seconds for a build where task.toml says nothing, as in Harbor."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image that is to be built."""

    name: str
    files: Mapping[str, File]
    """The context, by relative paths; a Dockerfile is among them."""
    timeout_s: float

    def write(self, folder: Path) -> None:
        """Lay the context out in a folder."""
        for path, file in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
            target.chmod(file.mode)
            os.utime(target, (file.mtime, file.mtime))


def recipes(task: Task) -> tuple[Recipe, ...]:
    """What there is to build of a task: its environment/Dockerfile, and the tests/Dockerfile of a separate verifier.

    None in a folder of ours: what is in there is laid out by termgym itself.
    """
    files = {**task.extra, **{f"tests/{path}": file for path, file in task.tests.items()}}
    found: list[Recipe] = []
    for below, identity, name in _parts(task):
        if image := built(identity, below, files):
            seconds = table(task.config, name).get("build_timeout_sec", BUILD_S, ABOVE_ZERO)
            found.append(Recipe(image, _below(below, files), seconds))
    return tuple(found)


def _parts(task: Task) -> list[tuple[str, str, str]]:
    """Folder, what the image is called after, and the table of task.toml."""
    if is_ours(task.config):
        return []
    tests = ("tests/", verifier_of(task.id), "verifier.environment")
    return [("environment/", task.id, "environment"), *([tests] if task.judge.place else [])]


def verifier_of(task: str) -> str:
    """What the image of a task's separate verifier is called after."""
    return f"{task}-verifier"


def image_name(task: str, context: Mapping[str, File]) -> str:
    """`termgym/TASK:DIGEST` of a task's name and the files that its image is built of, by their relative paths.

    The digest is the beginning of a SHA-256 over each path, whether the file may be executed, and its content.
    """
    digest = sha256()
    for path, file in sorted(context.items()):
        digest.update(f"{path}\0{bool(file.mode & 0o100):d}\0{len(file.content)}\0".encode())
        digest.update(file.content)
    name = re.sub(r"[^a-z0-9]+", "-", task.lower()).strip("-") or "task"
    return f"termgym/{name}:{digest.hexdigest()[:DIGITS]}"


def built(task: str, folder: str, files: Mapping[str, File]) -> str:
    """The name for what the Dockerfile in `folder` of a task folder builds, or nothing where there is none.

    `files` is path below the task folder -> file; `folder` ends in a slash.
    """
    return image_name(task, _below(folder, files)) if f"{folder}Dockerfile" in files else ""


def _below(folder: str, files: Mapping[str, File]) -> dict[str, File]:
    return {path.removeprefix(folder): file for path, file in files.items() if path.startswith(folder)}
