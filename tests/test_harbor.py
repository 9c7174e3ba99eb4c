"""Harbor task folders: what is written reads back, what is malformed is named, what is generated works."""

import asyncio
import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from termgym.errors import SandboxUnavailable, TaskError
from termgym.family import families
from termgym.harbor.generated import is_generated
from termgym.launcher_client import close_launcher
from termgym.protocol import Command
from termgym.sandbox import SandboxSpec
from termgym.sandbox.namespace import NamespaceSandbox
from termgym.task import Check, File, Limits, Resources, Task

Edit = Callable[[Path], object]

FOREIGN_TOML = """\
version = "1.1"
source = "https://example.org/bench"
artifacts = ["/app/out", { source = "/app/log", exclude = ["*.tmp"] }]
made = 2026-01-31T12:00:00Z

[task]
name = "bench/tidy-logs"
keywords = ["logs"]

[metadata]
difficulty = "medium"
category = "file-operations"
tags = ["globs", "dates"]
author = "someone"

[agent]
timeout_sec = 900
network_mode = "no-network"

[environment]
docker_image = "bench/tidy-logs:1"
build_timeout_sec = 600.0
cpus = 2
memory = "2G"
storage = "10G"
env = { TOKEN = "${TOKEN}", MODE = "fast" }
healthcheck = { command = "true", retries = 3 }

[unknown.nested]
list = [[1, 2], ["a"]]
"""


def foreign(folder: Path) -> Path:
    """A hand-written folder of somebody else's."""
    put(folder, "instruction.md", b"\xef\xbb\xbfTidy the logs.\r\n\tNo trailing newline")
    put(folder, "task.toml", FOREIGN_TOML)
    put(folder, "environment/Dockerfile", "FROM debian\nCOPY files/ /\n")
    put(folder, "environment/files/blob.bin", bytes(range(256)) * 9)
    put(folder, "environment/setup.sh", "echo theirs\n", 0o755)
    put(folder, "tests/test.sh", "#!/bin/bash\necho 1 >/logs/verifier/reward.txt\n", 0o755)
    put(folder, "tests/data/\u00fcber maß.txt", "x")
    put(folder, "solution/solve.sh", "true\n", 0o700)
    put(folder, "README.md", b"")
    return folder


def full() -> Task:
    """A task of ours with every field set to something else than its default."""
    return Task(
        id="files/odd@7.2",
        instruction="Do it.\r\nTwice: \u00e9\u4e2d\n",
        files={
            "/app/secret": File(b"\0\xff", 0o600, 1_000_000_000),
            "/app/su": File(b"#!", 0o4755),
            "/app/a\nb 'c'": File.of("odd"),
            "/usr/local/bin/tool": File.of("#!/bin/sh\n", 0o755),
        },
        setup="mkdir -p out\n",
        checks=(
            Check("made", "[ -f out/a ]\n", 3.0),
            Check("runs right", "#!/bin/sh\r\n", 0.1, "./prog \u00fc\n"),
        ),
        tests={"expected/all": File(b"\r\n"), "checks/lib.sh": File.of("f() { :; }\n", 0o755)},
        oracle=(Command("touch out/a\n", 30.0), Command("C-c"), Command("\x1b\x7f\t\"'''\\\r\n\u2028", 0.1)),
        solution={"notes/why.txt": File.of("because", 0o640)},
        image="debian:trixie",
        workdir="/srv/my work",
        env={"A": "${B:-x}", "C": "d e"},
        resources=Resources(1.5, 512, 64, 1000, 32),
        limits=Limits(7, 0.0, 1.5, 9, 0.0),
        domain="file_operations",
        skills=("globs", "quoting"),
        level=2,
        requires=("git", "ps"),
        licence="CC0-1.0",
        provenance="by hand",
        extra={"README.md": File.of("# odd\n"), "environment/notes.txt": File.of("n")},
    )


def put(folder: Path, path: str, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file of a task folder."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    file.chmod(mode)


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Path -> content and permission bits, of all but task.toml."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "task.toml"]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777) for path in files}


def toml(folder: Path) -> dict[str, Any]:
    """The parsed task.toml."""
    return tomllib.loads((folder / "task.toml").read_text())


# Round trips.


def test_a_foreign_folder_comes_back_the_same(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "tidy")
    saved = Task.load(folder).save(tmp_path / "new" / "again")
    assert tree(saved) == tree(folder)
    assert toml(saved) == toml(folder)
    assert Task.load(saved) == Task.load(folder)


def test_a_foreign_folder_is_understood(tmp_path: Path) -> None:
    task = Task.load(foreign(tmp_path / "tidy"))
    assert task.instruction == "\ufeffTidy the logs.\r\n\tNo trailing newline"
    assert (task.id, task.image, task.workdir) == ("bench/tidy-logs", "bench/tidy-logs:1", "")
    assert task.env == {"TOKEN": "${TOKEN}", "MODE": "fast"}
    assert (task.resources.cpus, task.resources.memory_mb, task.resources.storage_mb) == (2, 2048, 10240)
    assert (task.limits.wall_s, task.limits.verifier_s) == (900, 600)
    assert (task.domain, task.skills, task.level) == ("file_operations", ("globs", "dates"), 3)
    assert set(task.tests) == {"test.sh", "data/\u00fcber maß.txt"}
    assert set(task.extra) == {
        "README.md",
        *(f"environment/{name}" for name in ("Dockerfile", "files/blob.bin", "setup.sh")),
    }
    assert not task.files and not task.setup and not task.checks


def test_a_task_of_ours_comes_back_equal(tmp_path: Path) -> None:
    saved = full().save(tmp_path / "odd")
    again = Task.load(saved)
    assert again == full()
    assert again.digest == full().digest
    assert tree(again.save(tmp_path / "more")) == tree(saved)
    assert toml(tmp_path / "more") == toml(saved)
    assert (saved / "environment/files/app/su").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("name", families())
def test_every_family_comes_back_equal(name: str, tmp_path: Path) -> None:
    task = families()[name].task(seed=11)
    assert Task.load(task.save(tmp_path / "task")) == task


CHANGES: list[dict[str, Any]] = [
    {"id": "mine"},
    {"level": 5, "skills": ()},
    {"domain": "", "licence": "MIT", "requires": ("git",)},
    {"image": ""},
    {"env": {}, "workdir": "/srv"},
    {"resources": Resources(memory_mb=3000)},
    {"limits": Limits(wall_s=0, verifier_s=0)},
    {"limits": Limits(turns=3, wall_s=5, tokens=6, verifier_s=7.5)},
    {"files": {"/app/x": File.of("x")}, "extra": {}},
    {"checks": (Check("a", "true\n"),), "tests": {}, "extra": {}},
    {"oracle": (Command("ls\n"),), "extra": {}},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: "+".join(change))
@pytest.mark.parametrize("base", ["foreign", "ours"])
def test_a_changed_task_comes_back_equal(base: str, change: dict[str, Any], tmp_path: Path) -> None:
    folder = foreign(tmp_path / "a") if base == "foreign" else full().save(tmp_path / "a")
    if base == "ours" and "tests" in change:
        change = change | {"tests": {"x": File.of("y")}}
    task = replace(Task.load(folder), **change)
    again = Task.load(task.save(tmp_path / "b"))
    assert replace(again, config={}) == replace(task, config={})
    if base == "foreign":
        assert toml(tmp_path / "b")["unknown"] == {"nested": {"list": [[1, 2], ["a"]]}}


def test_a_name_from_the_folder_is_kept_elsewhere(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "tidy")
    put(folder, "task.toml", FOREIGN_TOML.replace('name = "bench/tidy-logs"', ""))
    saved = Task.load(folder).save(tmp_path / "other")
    assert Task.load(saved).id == "tidy"
    assert toml(saved)["metadata"]["termgym"] == {"id": "tidy", "layout": "harbor"}
    assert tree(saved) == tree(folder)


def test_harbor_has_its_own_words_for_what_it_knows(tmp_path: Path) -> None:
    written = toml(Task("a", "b", checks=(Check("c", "true\n"),), env={"D": "e"}).save(tmp_path / "a"))
    assert written["schema_version"] == "1.4"
    assert written["agent"] == {"timeout_sec": 900.0}
    assert written["verifier"] == {"timeout_sec": 60.0}
    assert written["environment"] == {"env": {"D": "e"}}
    assert written["metadata"] == {"termgym": {"id": "a", "checks": [{"name": "c", "weight": 1.0}]}}


# What is generated.


def test_an_edited_script_is_the_users(tmp_path: Path) -> None:
    saved = replace(full(), oracle=(Command("touch a\n"),)).save(tmp_path / "a")
    names = ("tests/test.sh", "environment/Dockerfile", "solution/solve.sh")
    assert all(is_generated((saved / name).read_bytes()) for name in names)
    for name in names:
        put(saved, name, (saved / name).read_text() + "# mine\n")
    task = Task.load(saved)
    assert b"# mine" in task.tests["test.sh"].content
    assert b"# mine" in task.solution["solve.sh"].content
    assert b"# mine" in task.extra["environment/Dockerfile"].content
    assert tree(task.save(tmp_path / "b")) == tree(saved)


def test_a_script_that_nobody_edited_is_written_anew(tmp_path: Path) -> None:
    saved = full().save(tmp_path / "a")
    put(saved, "task.toml", (saved / "task.toml").read_text().replace("weight = 3.0", "weight = 4.0"))
    again = Task.load(saved).save(tmp_path / "b")
    assert "check made '\"made\"' 4.0" in (again / "tests/test.sh").read_text()


ORACLES: list[tuple[tuple[str, ...], bool]] = [
    (("ls\n", "cat <<E\nx\nE\n"), True),
    (("ls\n", "Enter"), False),
    (("ls\n", "C-c"), False),
    (("ls",), False),
    (("vi a\n", "\x1b:wq\n"), False),
    ((), False),
]


@pytest.mark.parametrize(("keys", "generated"), ORACLES)
def test_solve_sh_is_for_shell_lines(keys: tuple[str, ...], generated: bool, tmp_path: Path) -> None:
    task = replace(full(), oracle=tuple(map(Command, keys)), workdir=str(tmp_path / "w"))
    solve = task.save(tmp_path / "a") / "solution/solve.sh"
    assert solve.exists() == generated
    if generated:
        (tmp_path / "w").mkdir()
        (tmp_path / "w" / "seen").touch()
        assert subprocess.run(["bash", solve], capture_output=True, check=True).stdout == b"seen\nx\n"


def test_the_dockerfile(tmp_path: Path) -> None:
    lines = (full().save(tmp_path / "a") / "environment/Dockerfile").read_text().splitlines()[1:]
    assert lines == [
        "FROM debian:trixie",
        "RUN apt-get update && apt-get install -y --no-install-recommends git procps && rm -rf /var/lib/apt/lists/*",
        "WORKDIR /srv/my work",
        "COPY files/ /",
        'RUN ["chmod", "0600", "--", "/app/secret"]',
        'RUN ["chmod", "0644", "--", "/app/a\\nb \'c\'"]',
        'RUN ["chmod", "0755", "--", "/usr/local/bin/tool"]',
        'RUN ["chmod", "4755", "--", "/app/su"]',
        'RUN ["touch", "-d", "@1000000000", "--", "/app/secret"]',
        'RUN ["touch", "-d", "@1735689600", "--", "/app/a\\nb \'c\'", "/app/su", "/usr/local/bin/tool"]',
        "COPY setup.sh /tmp/termgym-setup.sh",
        'RUN ["env", "C=d e", "bash", "/tmp/termgym-setup.sh"]',
        'RUN ["rm", "-f", "/tmp/termgym-setup.sh"]',
    ]


def test_an_image_that_needs_nothing_is_taken_as_it_is(tmp_path: Path) -> None:
    saved = Task("a", "b", checks=(Check("c", "true\n"),), image="busybox").save(tmp_path / "a")
    assert toml(saved)["environment"] == {"docker_image": "busybox"}
    assert not (saved / "environment").exists()


CHECKS = (
    Check("in tests", '[ "$PWD" = /tests ] && [ -f expected ]\n', 1),
    Check('said "hi"', "#!/bin/sh\ngrep -qx hi /tests/runs/*hi*/stdout\n", 2.5, "pwd >&2; ./say"),
    Check("status", 'read -r s <runs/status/status && [ "$s" = 7 ]\n', 0.1, "exit 7"),
    Check("where", "grep -qx '/srv/my work' 'runs/where/stdout'\n", 0.1, "pwd"),
    Check("fails", "echo no; exit 3\n", 1),
)
VERDICTS: list[tuple[str, tuple[Check, ...], dict[str, float] | None]] = [
    ("all", CHECKS[:4], {"reward": 1, "binary": 1, **{check.name: 1 for check in CHECKS[:4]}}),
    (
        "some",
        (CHECKS[0], CHECKS[1], CHECKS[4]),
        {"reward": 3.5 / 4.5, "binary": 0, "in tests": 1, 'said "hi"': 1, "fails": 0},
    ),
    ("none", CHECKS[4:], {"reward": 0, "binary": 0, "fails": 0}),
    ("crash", (CHECKS[0], Check("crash", "no-such-program\n")), None),
    ("killed", (CHECKS[0], Check("killed", "kill -9 $$\n")), None),
]


@pytest.mark.parametrize(("name", "checks", "rewards"), VERDICTS, ids=[row[0] for row in VERDICTS])
def test_harbor_gets_the_reward(
    name: str, checks: tuple[Check, ...], rewards: dict[str, float] | None, tmp_path: Path
) -> None:
    tool = {"/srv/my work/say": File.of("#!/bin/sh\necho hi\n", 0o755)}
    tests = {"expected": File.of("")}
    task = Task("a", "b", files=tool, checks=checks, tests=tests, workdir="/srv/my work")
    try:
        printed, text = asyncio.run(as_harbor(task.save(tmp_path / "a"), task))
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    assert (json.loads(text) if text else None) == rewards
    assert (f"check {name} crashed" in printed) == (rewards is None)


@pytest.mark.parametrize("name", families())
def test_harbor_can_solve_every_family(name: str, tmp_path: Path) -> None:
    """By solve.sh, also where the oracle's keystrokes are an editor's."""
    task = families()[name].task(seed=4, level=2)
    _, text = asyncio.run(as_harbor(task.save(tmp_path / "a"), task, solve=True))
    assert json.loads(text)["binary"] == 1, text


async def as_harbor(folder: Path, task: Task, solve: bool = False) -> tuple[str, str]:
    """What test.sh printed, and the reward, when all is done as Harbor's shared verifier does it."""
    sandbox = NamespaceSandbox(SandboxSpec(workdir=task.workdir))
    await sandbox.start()
    try:
        await sandbox.put(task.files)
        if solve:
            await sandbox.exec(["/bin/bash", "-c", task.setup])
            await sandbox.put({"/solution/solve.sh": File((folder / "solution/solve.sh").read_bytes())})
            await sandbox.exec(["/bin/bash", "-c", "bash /solution/solve.sh"])
        files = [path for path in (folder / "tests").rglob("*") if path.is_file()]
        await sandbox.put({f"/{path.relative_to(folder)}": File(path.read_bytes()) for path in files})
        await sandbox.put({"/logs/verifier/reward.json": File.of("forged")})
        ran = await sandbox.exec(["/bin/bash", "-c", "chmod +x /tests/test.sh && /tests/test.sh"])
        found = await sandbox.exec(["/bin/cat", "/logs/verifier/reward.json"])
        return ran.stdout.decode(), found.stdout.decode()
    finally:
        await sandbox.close()
        await close_launcher()


# What is malformed.


def edited(old: str, new: str) -> Edit:
    """An edit of the foreign folder's task.toml."""

    def edit(folder: Path) -> None:
        assert old in FOREIGN_TOML
        put(folder, "task.toml", FOREIGN_TOML.replace(old, new, 1))

    return edit


def termgym(text: str) -> Edit:
    """An edit that gives the foreign folder a [metadata.termgym]."""
    return lambda folder: put(folder, "task.toml", f"{FOREIGN_TOML}\n[metadata.termgym]\n{text}\n")


def without(path: str) -> Edit:
    """An edit that removes a file or folder."""
    return lambda folder: shutil.rmtree(folder / path) if (folder / path).is_dir() else (folder / path).unlink()


MALFORMED: dict[str, tuple[Edit, str]] = {
    "no folder": (shutil.rmtree, "there is no such folder"),
    "a file": (lambda f: (shutil.rmtree(f), f.write_text("")), "is not a folder"),
    "no instruction": (without("instruction.md"), "instruction.md: missing; expected the task's instruction"),
    "instruction not UTF-8": (lambda f: put(f, "instruction.md", b"\xff"), "instruction.md: not UTF-8:"),
    "no task.toml": (without("task.toml"), "task.toml: missing"),
    "not TOML": (lambda f: put(f, "task.toml", "\n\na ="), "task.toml: not TOML: Invalid value (at "),
    "toml not UTF-8": (lambda f: put(f, "task.toml", b"a = '\xff'"), "task.toml: not UTF-8"),
    "toml a pipe": (lambda f: (without("task.toml")(f), os.mkfifo(f / "task.toml")), "is not a regular file"),
    "toml too deep": (lambda f: put(f, "task.toml", "a = " + "[" * 9999), "task.toml: not TOML"),
    "no tests": (without("tests"), "tests/: missing; expected tests/test.sh, or checks"),
    "no test.sh": (without("tests/test.sh"), "tests/test.sh: missing; expected it, or checks"),
    "link": (lambda f: (f / "tests/x").symlink_to("/etc/passwd"), "tests/x: is a symbolic link"),
    "linked folder": (lambda f: (f / "more").symlink_to("/etc"), "more: is a symbolic link"),
    "pipe": (lambda f: os.mkfifo(f / "tests/x"), "tests/x: is not a regular file"),
    "bad name": (lambda f: (f / os.fsdecode(b"x\xff")).touch(), "the name is not UTF-8"),
    "newer": (edited('"1.1"', '"1.5"'), "version is '1.5'; expected one of 1.0, 1.1, 1.2, 1.3, 1.4; a newer"),
    "version type": (edited('"1.1"', "1.1"), "task.toml: version is 1.1; expected a string"),
    "schema": (edited("version", "schema_version = '2.0' #"), "schema_version is '2.0'; expected one of"),
    "steps": (
        edited("[task]", "[[steps]]\nname = 'a'\n[task]"),
        "steps/a/instruction.md: missing; expected the step's",
    ),
    "steps type": (edited("source", "steps = 3\nsource"), "task.toml: steps is 3; expected a list"),
    "windows": (edited("cpus = 2", "os = 'windows'"), "[environment] os is 'windows'; expected \"linux\""),
    "gpus": (edited("cpus = 2", "gpus = 1"), "[environment] gpus is 1; expected 0; GPUs are not supported"),
    "cpus text": (
        edited("cpus = 2", "cpus = 'two'"),
        "[environment] cpus is 'two'; expected a finite number",
    ),
    "cpus bool": (edited("cpus = 2", "cpus = true"), "[environment] cpus is True; expected a finite number"),
    "cpus zero": (
        edited("cpus = 2", "cpus = 0"),
        "[environment] cpus is 0; expected a finite number above 0",
    ),
    "nan": (edited("cpus = 2", "cpus = nan"), "[environment] cpus is nan; expected a finite number above 0"),
    "timeout": (edited("= 900", "= -1"), "[agent] timeout_sec is -1; expected a finite number above 0"),
    "no time": (edited("= 900", "= 0"), "[agent] timeout_sec is 0; expected a finite number above 0"),
    "infinite": (edited("= 900", "= inf"), "[agent] timeout_sec is inf; expected a finite number above 0"),
    "verifier": (
        edited("[agent]", "[verifier]\ntimeout_sec = 'x'\n[agent]"),
        "[verifier] timeout_sec is 'x'",
    ),
    "memory": (edited('"2G"', '"2X"'), "[environment] memory is '2X'; expected a size such as \"512M\""),
    "memory type": (edited('"2G"', "2"), "[environment] memory is 2; expected a string"),
    "memory zero": (edited('"2G"', '"0G"'), "[environment] memory is '0G'; expected a size"),
    "memory_mb": (edited('memory = "2G"', "memory_mb = 1.5"), "memory_mb is 1.5; expected a whole number, 1"),
    "storage": (edited('"10G"', '"much"'), "[environment] storage is 'much'; expected a size"),
    "env": (edited('MODE = "fast"', "MODE = 1"), "[environment] env is {"),
    "env type": (edited("env = {", "env = 3 # {"), "[environment] env is 3; expected a table, each value"),
    "workdir": (edited("cpus = 2", "workdir = 'app'"), "workdir is 'app'; expected an absolute path"),
    "image": (edited('"bench/tidy-logs:1"', "[]"), "[environment] docker_image is []; expected a string"),
    "name": (edited('"bench/tidy-logs"', "4"), "[task] name is 4; expected a string"),
    "agent": (lambda f: put(f, "task.toml", "agent = 3"), "task.toml: [agent] is 3; expected a table"),
    "metadata": (lambda f: put(f, "task.toml", "metadata = 3"), "[metadata] is 3; expected a table"),
    "script": (termgym("checks = [{name = 'a'}]"), "tests/checks/a: missing; expected the script of a check"),
    "listed twice": (
        termgym("checks = [{name = 'a'}, {name = 'a'}]"),
        "[metadata.termgym.checks.1] name is 'a'; expected a name that no other check has",
    ),
    "weight": (termgym("checks = [{name = 'a', weight = 0}]"), "checks.0] weight is 0; expected a finite"),
    "weight nan": (termgym("checks = [{name = 'a', weight = nan}]"), "checks.0] weight is nan; expected"),
    "run": (termgym("checks = [{name = 'a', run = 1}]"), "checks.0] run is 1; expected true or false"),
    "nameless": (termgym("checks = [{weight = 1}]"), "[metadata.termgym.checks.0] name: missing"),
    "check path": (termgym("checks = [{name = '../a'}]"), "name is '../a'; expected a file name"),
    "reserved": (
        termgym("checks = [{name = 'reward'}]"),
        "name is 'reward'; expected a file name, not reward",
    ),
    "run name": (termgym("checks = [{name = 'a.run'}]"), "name is 'a.run'; expected a file name"),
    "checks": (termgym("checks = ['a']"), "[metadata.termgym] checks is ['a']; expected a list, each item a"),
    "level": (termgym("level = 6"), "[metadata.termgym] level is 6; expected a whole number from 0 to 5"),
    "domain": (
        termgym("domain = 'cooking'"),
        "[metadata.termgym] domain is 'cooking'; expected one of data_",
    ),
    "skills": (termgym("skills = 'a'"), "[metadata.termgym] skills is 'a'; expected a list"),
    "turns": (termgym("limits.turns = -1"), "[metadata.termgym.limits] turns is -1; expected a whole number"),
    "limits": (termgym("limits = 3"), "[metadata.termgym.limits] is 3; expected a table"),
    "inodes": (termgym("resources.inodes = 0"), "[metadata.termgym.resources] inodes is 0; expected a whole"),
    "oracle": (termgym("oracle = [{duration = 1}]"), "[metadata.termgym.oracle.0] keystrokes: missing"),
    "duration": (
        termgym("oracle = [{keystrokes = 'a', duration = -1}]"),
        "[metadata.termgym.oracle.0] duration is -1; expected a finite number, 0 or more",
    ),
    "layout": (termgym("layout = 'x'"), "[metadata.termgym] layout is 'x'; expected \"harbor\", or none"),
    "modes": (termgym("modes = {a = '9'}"), "[metadata.termgym] modes is {'a': '9'}; expected a table"),
    "mtimes": (termgym("mtimes = {a = '9'}"), "[metadata.termgym] mtimes is {'a': '9'}; expected a table"),
}


@pytest.mark.parametrize(("edit", "words"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_folder_is_named(edit: Edit, words: str, tmp_path: Path) -> None:
    folder = foreign(tmp_path / "tidy")
    edit(folder)
    with pytest.raises(TaskError) as caught:
        Task.load(folder)
    assert words in str(caught.value)
    assert str(folder) in str(caught.value)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "dots": ({"files": {"/app/../x": File.of("")}}, "expected a relative path without '.', '..'"),
    "relative": ({"files": {"x": File.of("")}}, "files: 'x' is not an absolute path"),
    "absolute": ({"tests": {"/x": File.of("")}}, "expected a relative path"),
    "empty part": ({"extra": {"a//b": File.of("")}}, "expected a relative path"),
    "nul": ({"extra": {"a\0b": File.of("")}}, "expected a relative path"),
    "surrogate": ({"extra": {"a\ud800": File.of("")}}, "the name is not UTF-8"),
    "file in file": ({"files": {"/a": File.of(""), "/a/b": File.of("")}}, "cannot be written"),
    "twice": ({"tests": {"checks/made": File.of("")}}, "tests: 'tests/checks/made' is in the task folder"),
    "task.toml": ({"extra": {"task.toml": File.of("")}}, "extra: 'task.toml' is written from"),
    "misplaced": ({"extra": {"tests/x": File.of("")}}, "tests: would read back as"),
    "instruction": ({"instruction": "\udc80"}, "instruction: cannot be UTF-8"),
    "keystrokes": ({"oracle": (Command("\udc80"),)}, "cannot be written: 'utf-8' codec"),
    "no verifier": ({"checks": (), "tests": {}}, "tests/: missing; expected tests/test.sh, or checks"),
    "weight": ({"checks": (Check("a", "x", -1),)}, "weight is -1; expected a finite number above 0"),
    "no script": ({"checks": (Check("a", ""),)}, "tests/checks/a: missing"),
    "same name": ({"checks": (Check("a", "x"), Check("a", "y"))}, "checks: 'tests/checks/a' is in the task"),
    "check name": ({"checks": (Check("a/b", "x"),)}, "name is 'a/b'; expected a file name"),
    "time": ({"limits": Limits(wall_s=float("nan"))}, "[agent] timeout_sec is nan; expected"),
    "list": ({"skills": ["a"]}, "skills: would read back as ('a',), not ['a']"),
    "level": ({"level": 9}, "[metadata.termgym] level is 9; expected a whole number from 0 to 5"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_a_task_that_would_not_come_back_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError) as caught:
        replace(full(), **change).save(tmp_path / "a")
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_only_a_new_or_an_empty_folder_is_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert Task.load(full().save(tmp_path / "empty")) == full()
    (tmp_path / "file").write_text("keep")
    for name in ("empty", "file"):
        with pytest.raises(TaskError, match="is there already"):
            Task("a", "b").save(tmp_path / name)
    assert Task.load(tmp_path / "empty") == full()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


# The digest.

MATTERS: list[dict[str, Any]] = [
    {"instruction": "x"},
    {"files": {}},
    {"files": {**full().files, "/app/secret": File(b"\0\xff", 0o600)}},
    {"setup": ""},
    {"checks": full().checks[:1]},
    {"tests": {}},
    {"image": ""},
    {"workdir": "/"},
    {"env": {}},
    {"resources": Resources()},
    {"limits": Limits()},
    {"requires": ()},
    {"extra": {}},
]
DOES_NOT: list[dict[str, Any]] = [
    {"id": "x"},
    {"provenance": "x"},
    {"licence": "x"},
    {"domain": "", "skills": (), "level": 0},
    {"oracle": (), "solution": {}},
    {"config": {"a": 1}},
]


@pytest.mark.parametrize("change", MATTERS, ids=lambda change: next(iter(change)))
def test_the_digest_is_of_what_matters(change: dict[str, Any]) -> None:
    assert replace(full(), **change).digest != full().digest


@pytest.mark.parametrize("change", DOES_NOT, ids=lambda change: next(iter(change)))
def test_the_digest_is_of_nothing_else(change: dict[str, Any]) -> None:
    assert replace(full(), **change).digest == full().digest
