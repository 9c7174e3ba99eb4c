"""The name of the image that a folder with a Dockerfile is to be built into: it says what is in the folder."""

import re
from collections.abc import Mapping
from hashlib import sha256

from termgym.task import File

DIGITS = 12


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
    if f"{folder}Dockerfile" not in files:
        return ""
    return image_name(
        task, {path.removeprefix(folder): file for path, file in files.items() if path.startswith(folder)}
    )
