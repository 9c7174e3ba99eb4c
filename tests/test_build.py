"""Images of tasks' Dockerfiles: built by a real engine, then run without it; and what is said where that cannot be."""

import importlib
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from termgym import aio
from termgym.cli import app
from termgym.episode import EpisodeConfig
from termgym.errors import ImageError
from termgym.harbor.image import recipes
from termgym.image.build import find_builder
from termgym.image.store import Store
from termgym.plan import Plan
from termgym.protocol import Command
from termgym.rollout import Rollout
from termgym.task import Task

TASKS = Path(__file__).parent / "tasks"
DOCKERFILE = """\
FROM {base}
ENV GREETING="good evening"
RUN mkdir -p /opt/greet /srv/work && chown 1000:1000 /srv/work && echo built >/opt/greet/how
COPY greet /opt/greet/say
COPY notes/ /srv/work/notes/
WORKDIR /srv/work
USER 1000
"""
FILES = {
    "task.toml": 'schema_version = "1.4"\n[verifier]\ntimeout_sec = 30.0\n',
    "instruction.md": "Write what /opt/greet/say says into said.\n",
    "environment/greet": '#!/bin/sh\necho "$GREETING, $(id -u), $(cat /opt/greet/how)"\n',
    "environment/notes/first": "1\n",
    "environment/.dockerignore": "notes/secret\n",
    "environment/notes/secret": "not for the agent\n",
    "tests/test.sh": "#!/bin/bash\ncd /srv/work || exit 126\n"
    '[ "$(cat said)" = "good evening, 1000, built" ] && [ "$(ls notes)" = first ]\n'
    "echo $((1 - $?)) >/logs/verifier/reward.txt\n",
}


def lay_out(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for script in folder.glob("environment/greet"):
        script.chmod(0o755)
    return folder


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("TERMGYM_IMAGES", str(tmp_path / "images"))
    return Store()


@pytest.fixture
def greeting(tmp_path: Path, debian: str) -> Iterator[Path]:
    """A task folder whose image is to be built; what is built of it goes."""
    folder = lay_out(tmp_path / "say-greeting", FILES | {"environment/Dockerfile": DOCKERFILE.format(base=debian)})
    yield folder
    api: Any = importlib.import_module("docker").from_env().api
    for name in tagged(api):
        made = api.inspect_image(name)["Id"]
        api.remove_image(name, force=True)
        for volume in api.volumes(filters={"label": f"termgym.image={made}"})["Volumes"] or []:
            api.remove_volume(volume["Name"])
    api.close()


def tagged(api: Any) -> list[str]:
    return [name for image in api.images() for name in image["RepoTags"] or [] if "termgym/say-greeting" in name]


async def outcomes(task: Task, sandbox: str) -> list[str]:
    return [
        f"{one.outcome.value} {one.error}"
        for policy in ("oracle", "idle")
        async for one in Rollout(Plan.of(policy, [task], episodes=1), config=EpisodeConfig(sandbox=sandbox))
    ]


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_what_is_built_runs_in_both_kinds_of_sandboxes(
    greeting: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replace(Task.load(greeting), oracle=(Command("/opt/greet/say >said\n", 5.0),))
    done = CliRunner().invoke(app, ["image", "build", str(greeting), "--network", "none"])
    assert (done.exit_code, done.stdout) == (0, f"{task.image}\n"), done.output
    assert "RUN mkdir -p /opt/greet" in done.stderr
    image = store.find(task.image)
    assert (image.workdir, image.user, image.env["GREETING"]) == ("/srv/work", "1000", "good evening")
    again = CliRunner().invoke(app, ["image", "build", f"harbor:{greeting.parent}"])
    assert (again.exit_code, again.stdout, again.stderr) == (0, f"{task.image}\n", "")
    forced = CliRunner().invoke(app, ["image", "build", str(greeting), "--network", "none", "--force"])
    assert "RUN mkdir -p" in forced.stderr
    assert aio.run(outcomes(task, "docker")) == ["solved ", "failed "]
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/engine.sock")
    assert aio.run(outcomes(task, "namespace")) == ["solved ", "failed "]


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("line", "words", "toml"),
    [
        ("RUN echo before; exit 7", ("cannot be built", "before", "returned a non-zero code: 7", "?image="), ""),
        ("COPY nothing /", ("cannot be built", "nothing"), ""),
        ("RUN sleep 20", ("not built within its 1 s",), "[environment]\nbuild_timeout_sec = 1.0\n"),
        ("RUN for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep .5; done", ("not built within its 1 s", "2"),
         "[environment]\nbuild_timeout_sec = 1.0\n"),
    ],
)  # fmt: skip
def test_a_build_that_fails_leaves_nothing_tagged(
    greeting: Path, store: Store, debian: str, line: str, words: tuple[str, ...], toml: str
) -> None:
    (greeting / "environment/Dockerfile").write_text(f"FROM {debian}\n{line}\n")
    (greeting / "task.toml").write_text(FILES["task.toml"] + toml)
    done = CliRunner().invoke(app, ["image", "build", str(greeting), "--network", "none"])
    assert done.exit_code == 2 and all(word in done.stderr for word in words), done.output
    api: Any = importlib.import_module("docker").from_env().api
    assert not tagged(api) and not store.list()
    api.close()


@pytest.mark.docker
@pytest.mark.slow
def test_a_base_that_cannot_be_had_is_said(greeting: Path, store: Store) -> None:
    (greeting / "environment/Dockerfile").write_text("FROM registry.invalid/private:1\n")
    done = CliRunner().invoke(app, ["image", "build", str(greeting)])
    assert done.exit_code == 2 and "registry.invalid/private" in done.stderr and "?image=" in done.stderr


def test_each_dockerfile_of_a_task_is_a_recipe(tmp_path: Path) -> None:
    apart = "[verifier]\nenvironment_mode = 'separate'\n[verifier.environment]\nbuild_timeout_sec = 9.0\n"
    files = FILES | {"environment/Dockerfile": "FROM a\n", "tests/Dockerfile": "FROM b\n", "task.toml": apart}
    task = Task.load(lay_out(tmp_path / "two", files))
    own, verifier = recipes(task)
    assert task.judge.place and (own.name, verifier.name) == (task.image, task.judge.place.image)
    assert (own.timeout_s, verifier.timeout_s) == (600.0, 9.0)
    assert sorted(own.files) == [".dockerignore", "Dockerfile", "greet", "notes/first", "notes/secret"]
    (tmp_path / "context").mkdir()
    own.write(tmp_path / "context")
    greet = (tmp_path / "context/greet").stat()
    assert (stat.S_IMODE(greet.st_mode), greet.st_mtime) == (0o755, own.files["greet"].mtime)
    assert not recipes(Task("ours", "", tests={"Dockerfile": verifier.files["Dockerfile"]}))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (str(TASKS / "harbor/valid/write-greeting"), "no task there has a Dockerfile of its own"),
        (f"nemotron:{TASKS}/nemotron/valid", "in a private registry, and are not built .*[?]image=NAME"),
    ],
)
def test_where_there_is_nothing_to_build_it_is_said(spec: str, words: str) -> None:
    done = CliRunner().invoke(app, ["image", "build", spec])
    assert done.exit_code == 2
    assert re.search(words, done.stderr)


def test_without_a_builder_the_error_names_all_three(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match=r"a Docker engine that answers .*, podman or buildah; install one"):
        find_builder()
    assert CliRunner().invoke(app, ["image", "build", str(TASKS / "harbor/valid/built-image")]).exit_code == 2
