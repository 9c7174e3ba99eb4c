"""Sources: folders, git repositories and archives of tasks, by one string; and what is refused before anything runs."""

import gzip
import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from typer.testing import CliRunner

import termgym  # noqa: F401
from termgym import aio
from termgym.archive import EVERY_BYTES
from termgym.cli import app
from termgym.episode import Episode, EpisodeConfig
from termgym.errors import TaskError
from termgym.plan import Plan
from termgym.setting import Setting
from termgym.source import TaskSource
from termgym.sources import is_spec, open_source, sources
from termgym.task import Task

TASKS = Path(__file__).parent / "tasks"
HARBOR = TASKS / "harbor/valid"
GREETING = HARBOR / "write-greeting"
NEMOTRON = TASKS / "nemotron/valid"


def git(folder: Path, *args: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout with two commits: two tasks at `v1`, and one of them changed at HEAD."""
    folder = tmp_path / "bench"
    for name in ("write-greeting", "last-counts"):
        Task.load(HARBOR / name).save(folder / "tasks" / name)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "v1")
    (folder / "tasks/write-greeting/instruction.md").write_text("Say it louder.\n")
    git(folder, "commit", "-qam", "two")
    return folder


def test_each_format_is_found_and_named() -> None:
    assert list(sources()) == ["code", "harbor", "math", "nemotron", "parquet", "swe", "terminal_bench"]
    assert is_spec("harbor:x") and not is_spec("files/rename-by-date") and not is_spec("module:name")


def test_a_folder_is_one_task_or_all_that_are_below_it() -> None:
    assert [task.id for task in open_source(f"harbor:{GREETING}")] == ["write-greeting"]
    assert len(open_source(f"harbor:{HARBOR}")) == len(list(HARBOR.iterdir()))
    assert open_source(f"harbor:{HARBOR}?index=1")[0].id == sorted(path.name for path in HARBOR.iterdir())[1]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("harbor:/no/such/folder", "/no/such/folder: there is no such folder"),
        (f"harbor:{GREETING}?imag=x", "no option named 'imag'; did you mean image"),
        (f"harbor:{HARBOR}?index=99", "index is '99'; expected a number from 0 to 7"),
        (f"harbor:{GREETING / 'tests'}", "holds no task folder"),
        (f"terminal_bench:{GREETING}", "holds no task folder: none has a task.yaml"),
        (f"nemotron:{GREETING}", "holds no folder SKILL_task_NUMBER"),
        (f"nemotron:{GREETING / 'task.toml'}", "cannot be read as an archive"),
        (f"nemotron:{NEMOTRON}?images=/no/file.toml", "images: /no/file.toml: cannot be read as TOML"),
        (f"harbor:{GREETING}?ref=main", ".git is no git repository"),
    ],
)
def test_what_is_not_there_is_said(spec: str, words: str) -> None:
    with pytest.raises(TaskError) as caught:
        list(open_source(spec))
    assert words in str(caught.value)


def test_images_are_chosen_by_options(tmp_path: Path) -> None:
    (task,) = open_source(f"harbor:{HARBOR / 'named-image'}?image=ours:1&verifier_image=judge:2")
    assert (task.image, task.judge.image, task.judge.place) == ("ours:1", "judge:2", None)
    (task,) = open_source(f"harbor:{HARBOR / 'named-image'}?image=")
    assert (task.image, task.workdir) == ("", "/app")
    names = tmp_path / "images.toml"
    names.write_text('"registry.example.org/private/debugging:1" = "mine:1"\n')
    assert [task.image for task in open_source(f"nemotron:{NEMOTRON}?images={names}")] == ["", "mine:1", ""]


def test_environments_plans_and_commands_take_them(tmp_path: Path) -> None:
    with gym.make("Terminal-v0", task=f"harbor:{GREETING}") as env:
        _, info = env.reset(seed=3)
        assert info["task"] == "write-greeting"
    assert len(Plan.of("oracle", [f"harbor:{GREETING}", f"nemotron:{NEMOTRON}"])) == 4
    run = CliRunner().invoke
    assert "good morning" in run(app, ["show", f"harbor:{GREETING}"]).output
    done = run(app, ["eval", "--policy", "oracle", "--task", f"harbor:{GREETING}", "--out", str(tmp_path / "o")])
    assert done.exit_code == 0, done.output
    done = run(
        app, ["tasks", "export", f"terminal_bench:{TASKS / 'terminal_bench/valid'}", "--out", str(tmp_path / "tasks")]
    )
    assert done.exit_code == 0 and len(open_source(f"harbor:{tmp_path / 'tasks'}")) == 4


def test_validate_has_a_row_for_each_task_and_a_status() -> None:
    run = CliRunner().invoke
    done = run(app, ["validate", f"harbor:{GREETING}", "files/rename-by-date", "--n", "1", "--json"])
    found = json.loads(done.output)
    assert done.exit_code == 0 and [one["task"] for one in found] == ["files/rename-by-date@0.1", "write-greeting"]
    assert all(gate["passed"] for one in found for gate in one["gates"].values())
    done = run(
        app, ["validate", f"harbor:{HARBOR / 'asks-for-network'}", f"terminal_bench:{TASKS}/terminal_bench/broken"]
    )
    assert done.exit_code == 1 and "asks-for-network" in done.output and done.output.count(" 0/1 ") >= 10


# The network.


def test_what_asks_for_a_network_is_refused_where_there_is_none() -> None:
    task = Task.load(HARBOR / "asks-for-network")
    attempts: list[Callable[[], object]] = [
        lambda: Setting.of(task),
        lambda: gym.make("Terminal-v0", task=task),
        lambda: Plan.of("idle", [task]),
        lambda: Episode(task),
    ]
    for attempt in attempts:
        with pytest.raises(TaskError) as caught:
            attempt()
        assert all(words in str(caught.value) for words in ("network_mode", 'sandbox="docker"', 'network="none"'))
    gym.make("Terminal-v0", task=task, network="none").close()
    assert Plan.of("idle", [task], network="none")


def test_nothing_of_the_hosts_environment_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "host")
    task = replace(Task.load(GREETING), env={"A": "${SECRET:-kept}"})

    async def seen() -> str:
        episode = Episode(task, EpisodeConfig())
        try:
            await episode.reset()
            return (await episode.sandbox.exec(["/bin/bash", "-c", "echo $A"])).stdout.decode()
        finally:
            await episode.close()

    assert aio.run(seen()) == "kept\n"
    with pytest.raises(TaskError, match=r"\[environment\] env: \$\{SECRET\} is the host's"):
        Episode(replace(task, env={"A": "${SECRET}"}))


# Git.


def test_a_repository_is_read_at_a_commit(repository: Path, tmp_path: Path) -> None:
    def said(query: str, where: Path = repository) -> list[str]:
        return [task.opening for task in open_source(f"harbor:{where}{query}")]

    assert said("?ref=v1&path=tasks")[1].startswith("Write the line")
    assert said("?ref=main")[1] == "Say it louder.\n"
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    assert said("", tmp_path / "bare.git") == said("?ref=HEAD")
    for query in ("?ref=no-such", "?ref=--output=x", "?path=nowhere&ref=v1"):
        with pytest.raises(TaskError):
            said(query)


def test_nothing_of_a_repository_runs(repository: Path, tmp_path: Path) -> None:
    """Neither its hooks nor the programs that its configuration names."""
    touched = tmp_path / "touched"
    (repository / ".gitattributes").write_text("* filter=evil\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "attributes")
    run = f"touch {touched}"
    config = f'[core]\n\tfsmonitor = {run}\n\tpager = {run}\n[filter "evil"]\n\tsmudge = {run}; cat\n'
    with (repository / ".git/config").open("a") as file:
        file.write(config)
    for hook in ("post-checkout", "reference-transaction"):
        (repository / ".git/hooks" / hook).write_text(f"#!/bin/sh\ntouch {touched}\n")
        (repository / ".git/hooks" / hook).chmod(0o755)
    assert len(open_source(f"harbor:{repository}?ref=HEAD")) == 2
    assert not touched.exists()


def test_links_and_fifos_among_the_refs_of_a_repository_are_left_alone(repository: Path) -> None:
    refs, there = repository / ".git/refs", len(open_source(f"harbor:{repository}?ref=main"))
    (refs / "heads/zero").symlink_to("/dev/zero")
    (refs / "tags/etc").symlink_to("/etc")
    os.mkfifo(refs / "heads/fifo")
    assert len(open_source(f"harbor:{repository}?ref=main")) == there
    (repository / ".git/packed-refs").symlink_to("/dev/zero")
    assert len(open_source(f"harbor:{repository}?ref=main")) == there


def test_a_link_in_a_task_of_a_repository_is_refused(repository: Path) -> None:
    (repository / "tasks/write-greeting/tests/x").symlink_to("/etc/passwd")
    (repository / "elsewhere").symlink_to("/etc")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "links")
    shelf = open_source(f"harbor:{repository}?ref=main")
    assert shelf[0].id == "last-counts"
    with pytest.raises(TaskError, match="tests/x: is not a regular file"):
        shelf[1]


# Archives.


def pack(
    path: Path,
    mode: Any,
    copies: int = 1,
    extra: Callable[[tarfile.TarFile], object] | None = None,
    below: str = "",
    form: int = tarfile.PAX_FORMAT,
) -> Path:
    with tarfile.open(path, mode, format=form) as tar:
        for copy in range(copies):
            for folder in sorted(NEMOTRON.iterdir()):
                skill = folder.name.rpartition("_")[0]
                tar.add(folder, f"./{below}skill_based/{skill.removesuffix('_task')}/{skill}_{copy:04}")
        if extra:
            extra(tar)
    return path


def link(tar: tarfile.TarFile) -> None:
    member = tarfile.TarInfo("x/security_task_9999/tests/link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    tar.addfile(member)


def climber(tar: tarfile.TarFile) -> None:
    member = tarfile.TarInfo("x/security_task_9999/../../../etc/passwd")
    tar.addfile(member, io.BytesIO())


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz")])
def test_an_archive_gives_each_task_as_its_folder_does(name: str, mode: str, tmp_path: Path) -> None:
    shelf = open_source(f"nemotron:{pack(tmp_path / name, mode, copies=3)}")
    assert len(shelf) == 9
    plain = open_source(f"nemotron:{NEMOTRON}")
    for number in (8, 0, 4, 1):
        assert replace(shelf[number], id="") == replace(plain[number % 3], id="")


@pytest.mark.parametrize(
    ("extra", "words"), [(link, "is no regular file"), (climber, "leads out of the task's folder")]
)
def test_a_hostile_member_spoils_its_own_task_only(
    extra: Callable[[tarfile.TarFile], object], words: str, tmp_path: Path
) -> None:
    shelf = open_source(f"nemotron:{pack(tmp_path / 'a.tar.gz', 'w:gz', extra=extra)}")
    assert [task.domain for task in shelf[:3]] == ["data_processing", "debugging", "file_operations"]
    with pytest.raises(TaskError, match=words):
        shelf[3]


def test_a_cut_off_archive_is_said(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a.tar.gz", "w:gz").read_bytes()
    (tmp_path / "b.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TaskError, match="cannot be read as an archive"):
        open_source(f"nemotron:{tmp_path / 'b.tar.gz'}")


@pytest.mark.slow
def test_any_task_of_a_large_compressed_archive_is_read_at_once(tmp_path: Path) -> None:
    """From the nearest of the places that were noted, in one pass that was needed anyway."""
    noise = np.random.default_rng(0)

    def fill(tar: tarfile.TarFile) -> None:
        member = tarfile.TarInfo("filler")
        member.size = 5 * EVERY_BYTES
        tar.addfile(member, io.BytesIO(noise.integers(0, 8, member.size, dtype=np.uint8).tobytes()))
        tar.add(NEMOTRON / "data_processing_task_0001", "last_task_0001")

    plain = pack(tmp_path / "a.tar", "w", copies=300, extra=fill)
    half = plain.stat().st_size // 2
    data = plain.read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(b"".join(gzip.compress(part, 1) for part in (data[:half], data[half:])))
    shelf = open_source(f"nemotron:{tmp_path / 'a.tar.gz'}")
    begin = time.perf_counter()
    assert shelf[900].id == "last_task_0001" and shelf[0].id == "data_processing_task_0000"
    assert shelf[900].files and time.perf_counter() - begin < 2
    source = TaskSource(f"nemotron:{tmp_path / 'a.tar.gz'}")
    assert source.choices == [source.choices[0]] and source.draw(np.random.default_rng(1)).files
