"""The synthetic tasks that Nemotron-Terminal was trained on: folders SKILL_task_NNNN, loose or in an archive.

They are Harbor's, with these habits: no solution; a Dockerfile that begins from an image of a private registry and
copies `files/` to where the agent finds them; a test.sh that downloads pytest and then counts a failed download as a
failed test. So the files are laid out by us, and the tests are run by us: `pytest` of the verifier's own, whose exit
statuses tell failed tests from a verifier that did not work. Weights of tests, where the folder has them
(tests/weights.json, name of a test function -> number), make each of these a check.

    nemotron:easy.tar.gz?images=mine.toml     the names of the registry's images are looked up in mine.toml
    nemotron:folder?image=ours:1&index=17     all in one image; the task number 17, from 0

mine.toml holds lines `"registry/image:tag" = "local name"`. Without it, the host's userland is what the agent gets.
tests/test_requirements.txt is kept, for whoever makes an image to verify in (`verifier_image`).
"""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from posixpath import join, normpath
from typing import cast

from termgym.archive import Archive
from termgym.errors import TaskError
from termgym.harbor import folder_files, of_files
from termgym.harbor.table import ABOVE_ZERO, Table
from termgym.sources import WORKDIR, Shelf, Source, shelf_of
from termgym.task import DOMAINS, Check, File, Task

FOLDER = re.compile(r"(?:\./)?(?:[^/]+/)*?([^/]+_task_\d+)/")
NAME = re.compile(r"(.+)_task_\d+")
DOCKERFILE, FILES, WEIGHTS, TESTS = "environment/Dockerfile", "environment/files/", "weights.json", "test_outputs.py"
IGNORED = ("RUN", "ENV", "LABEL", "ARG", "SHELL", "CMD", "ENTRYPOINT", "EXPOSE", "USER")
"""What an image is made of, or told; it is made by whoever makes the image."""
# -I: what the agent left in its workdir is not to be imported in place of pytest.
CHECK = """\
cd {workdir} && python3 -I -c 'import pytest' || exit 126
python3 -I -m pytest -q -p no:cacheprovider -c /tests/pytest.ini --rootdir=/tests {tests}
case $? in 0) exit 0 ;; 1) exit 1 ;; *) exit 126 ;; esac
"""


@dataclass(slots=True)
class Recipe:
    """What a Dockerfile says of where things are."""

    base: str = ""
    workdir: str = "/"
    copies: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Folder below environment/, and where it goes."""


def task_of(files: Mapping[str, File], name: str, images: Mapping[str, str]) -> Task:
    """The task of a folder called `name`; `images` are a registry's name -> a local one.

    Raises:
        TaskError: It is malformed, or its Dockerfile copies something else than files/.
    """
    task = of_files(files, name)
    recipe = _recipe(files)
    said = task.image if "docker_image" in task.config.get("environment", {}) else recipe.base
    image = images.get(said) or images.get(recipe.base, "")
    skill = NAME.fullmatch(name)
    extra = {path: file for path, file in task.extra.items() if path != DOCKERFILE and not path.startswith(FILES)}
    task = replace(
        task,
        image=image,
        workdir=task.workdir or recipe.workdir,
        files=_laid_out(files, recipe),
        extra=extra,
        domain=skill[1] if skill and skill[1] in DOMAINS else task.domain,
        provenance="nemotron-terminal",
    )
    return _with_checks(task) if TESTS in task.tests else task


def _recipe(files: Mapping[str, File]) -> Recipe:
    recipe = Recipe()
    if DOCKERFILE not in files:
        return replace(recipe, workdir=WORKDIR, copies=[("files", WORKDIR)])
    for line in _lines(files[DOCKERFILE].content.decode(errors="replace")):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            recipe.base = rest.split()[0] if rest.split() else ""
        elif word == "WORKDIR":
            recipe.workdir = join(recipe.workdir, rest.strip())
        elif word == "COPY":
            recipe.copies.append(_copy(line, rest, recipe.workdir))
        elif word not in IGNORED:
            raise TaskError(f"{DOCKERFILE}: {line!r:.100}: expected FROM, RUN, WORKDIR and COPY files/ DESTINATION")
    return recipe


def _lines(text: str) -> Iterator[str]:
    """The instructions, their continued lines joined, the first word in capitals."""
    for line in re.sub(r"\\\s*\n", " ", re.sub(r"(?m)^\s*#.*\n?", "", text)).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word:
            yield f"{word.upper()} {rest}"


def _copy(line: str, rest: str, workdir: str) -> tuple[str, str]:
    words = rest.split()
    if len(words) != 2 or normpath(words[0]).split("/")[0] != "files":
        raise TaskError(f"{DOCKERFILE}: {line!r:.100}: expected COPY files/ DESTINATION; nothing else can be copied")
    return normpath(words[0]), join(workdir, words[1])


def _laid_out(files: Mapping[str, File], recipe: Recipe) -> dict[str, File]:
    """Absolute path -> file; a folder's content is copied, and a file by its name into what ends in a slash."""
    placed: dict[str, File] = {}
    for source, target in recipe.copies:
        for path, file in files.items():
            below = path.removeprefix("environment/")
            if below == source:
                placed[normpath(join(target, PurePosixPath(source).name) if target.endswith("/") else target)] = file
            elif below.startswith(f"{source}/"):
                placed[normpath(join(target, below.removeprefix(f"{source}/")))] = file
    return placed


def _with_checks(task: Task) -> Task:
    weights = _weights(task)
    single = weights or {"tests": 1.0}
    checks = tuple(
        Check(name, _script(task, [f"/tests/{TESTS}::{name}" if weights else f"/tests/{TESTS}"]), weight)
        for name, weight in single.items()
    )
    return replace(task, checks=checks, tests={"pytest.ini": File(b""), **task.tests})


def _script(task: Task, tests: list[str]) -> str:
    return CHECK.format(workdir=shlex.quote(task.workdir or "/"), tests=shlex.join(tests))


def _weights(task: Task) -> dict[str, float]:
    path = f"tests/{WEIGHTS}"
    if WEIGHTS not in task.tests:
        return {}
    try:
        value: object = json.loads(task.tests[WEIGHTS].content)
    except ValueError as error:
        raise TaskError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict) or not value:
        raise TaskError(f"{path}: is {value!r:.100}; expected a table, name of a test function -> weight")
    table = Table("", cast("dict[str, object]", value), path)
    return {name: table.need(name, ABOVE_ZERO) for name in table.items}


def open_path(path: Path, options: Mapping[str, str]) -> Shelf:
    """The tasks of an archive, or of the folders at or below a path."""
    images = _images(Path(options["images"])) if "images" in options else {}
    if path.is_file():
        archive = Archive(path, FOLDER)
        if not archive.spans:
            raise TaskError(f"{path}: holds no task folder, called SKILL_task_NUMBER")
        return Shelf(list(archive.spans), lambda name: _named(archive.files(name), name, images, f"{path}: {name}"))

    def load(folder: Path) -> Task:
        return _named(folder_files(folder), folder.name, images, str(folder))

    return shelf_of(path, lambda folder: bool(NAME.fullmatch(folder.resolve().name)), load, "folder SKILL_task_NUMBER")


def _named(files: Mapping[str, File], name: str, images: Mapping[str, str], where: str) -> Task:
    try:
        return task_of(files, name, images)
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from error


def _images(path: Path) -> dict[str, str]:
    try:
        return {name: str(local) for name, local in tomllib.loads(path.read_text()).items()}
    except (OSError, ValueError) as error:
        raise TaskError(f"images: {path}: cannot be read as TOML: {error}") from error


SOURCE = Source("nemotron", "Nemotron-Terminal's synthetic tasks, an archive or folders", open_path, ("images",))
