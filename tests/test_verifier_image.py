# ruff: noqa: E501 - scripts read better on one line
"""Images for verifiers, and test scripts that get their tools when they run: nothing of it may become a score of 0."""

import importlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from termgym import aio
from termgym.cli import app
from termgym.episode import Episode, EpisodeConfig
from termgym.errors import ImageError, UnknownName
from termgym.image import Image, bootstrap, shim
from termgym.image.store import Store
from termgym.image.verifier import make, python_of, usual_name
from termgym.launcher import layers as stack
from termgym.plan import Plan
from termgym.protocol import Command
from termgym.rollout import Rollout
from termgym.sources import open_source
from termgym.task import File, Judge, Task

TASKS = Path(__file__).parent / "tasks"
BOOTSTRAP = """\
#!/bin/bash
# The tools come first.
apt-get update
apt-get install -y curl

curl -LsSf https://tools.invalid/uv/install.sh | sh
source $HOME/.local/bin/env
if [ "$PWD" = "/" ]; then
    echo "this needs a working directory"
    exit 1
fi
"""
UVX = "uvx \\\n  -p 3.13 \\\n  -w pytest==9.0.2 \\\n  pytest /tests/test_outputs.py -rA\n"
SCORE = "if [ $? -eq 0 ]; then\n  echo 1 > /logs/verifier/reward.txt\nelse\n  echo 0 > /logs/verifier/reward.txt\nfi\n"
OUTPUTS = 'def test_it():\n    assert open("/app/done").read() == "yes\\n"\n'


def task_of(script: str, image: str = "") -> Task:
    tests = {"test.sh": File.of(script), "test_outputs.py": File.of(OUTPUTS)}
    oracle = (Command("echo yes >done\n", 5.0),)
    return Task("apart", "Write yes into done.", tests=tests, oracle=oracle, judge=Judge(image=image))


def outcomes(task: Task, sandbox: str = "namespace") -> list[str]:
    """How the oracle's episode and the idle one end."""

    async def run() -> list[str]:
        return [
            f"{one.outcome.value} {one.error}".strip()
            for policy in ("oracle", "idle")
            async for one in Rollout(Plan.of(policy, [task], episodes=1), config=EpisodeConfig(sandbox=sandbox))
        ]

    return aio.run(run())


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("TERMGYM_IMAGES", str(tmp_path / "images"))
    return Store()


# What a script says that it installs.


@pytest.mark.parametrize(
    ("script", "packages", "tools"),
    [
        (BOOTSTRAP + UVX + SCORE, ["pytest==9.0.2", "pytest"], ["apt-get", "curl", "uvx"]),
        ("pip install a==1 'b[x]==2.0' && python3 -m pip install --quiet -i http://x c==3", ["a==1", "b[x]==2.0", "c==3"], ["pip"]),
        ("uv init\nuv add pytest==8\nuv run pytest x -p no:cacheprovider", ["pytest==8"], ["uv"]),
        ("uv venv .t; source .t/bin/activate; uv pip install --python 3.12 d==1", ["d==1"], ["uv"]),
        ("if ! uvx --with=e==1,f==2 g@3 --with h; then exit; fi", ["e==1", "f==2", "g==3"], ["uvx"]),
        ("UV=1 uv run --with i==1 x.py; /usr/bin/pip3 install j==1; uv tool run --from k==1 l", ["i==1", "j==1", "k==1"], ["uv", "pip3"]),
        ("# pip install a\necho 'pip install b'; pip list; pip --version; apt-get update; cat pip", [], []),
        ("cat <<'EOF'\nit's\nEOF\nwget -q http://x/y", [], ["wget"]),
        ("pip install -r /tests/needs.txt", ["m==1", "n>=2"], ["pip"]),
        ("python -m pytest", [], []),
    ],
)  # fmt: skip
def test_what_a_script_installs_is_read_off_plain_commands(script: str, packages: list[str], tools: list[str]) -> None:
    tests = {"test.sh": script.encode(), "needs.txt": b"# of the tests\nm==1 --hash=sha256:0\n\nn>=2 # so\n"}
    assert bootstrap.requirements(tests) == packages
    assert bootstrap.downloads(script) == tools


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (["pytest"], "'pytest' is not pinned.*pin it: pytest==VERSION"),
        (["pytest>=8", "a==1"], "'pytest>=8' is not pinned"),
        (["a==1.*"], "'a==1.[*]' is not pinned"),
        (["A_b==1", "a-b==2"], "a-b is wanted as 1 and as 2"),
        (["-r other.txt"], "'-r other.txt' is not pinned"),
        (["git+https://x/y"], "is not pinned"),
    ],
)
def test_only_pinned_packages_are_installed(listed: list[str], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        bootstrap.pins(listed, "here")


def test_an_unpinned_name_is_that_of_a_pinned_package() -> None:
    assert bootstrap.pins(["pytest", "pytest[x]==8", "a.b==1 ; python_version>'3'"], "here") == [
        "a.b==1 ; python_version>'3'",
        "pytest[x]==8",
    ]


def test_an_image_to_judge_by_that_is_not_there_is_told_before_the_episode(store: Store) -> None:
    with pytest.raises(UnknownName, match="no image named 'nothing:1'"):
        Episode(task_of("#!/bin/bash", image="nothing:1"))


# A score that a script gives without its tools.


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (BOOTSTRAP + UVX + SCORE, "could not download what it judges by"),
        ("#!/bin/bash\nuvx pytest /tests\n" + SCORE, "uvx: command not found"),
        ("#!/bin/bash\npython3 -m pip install no==1 2>/dev/null\necho 'ERROR: No matching distribution found for no==1'\nfalse\n" + SCORE,
         "No matching distribution"),
    ],
)  # fmt: skip
def test_a_score_of_0_without_tools_is_the_verifiers_failure(script: str, words: str) -> None:
    assert all(one.startswith("verifier_error") and words in one for one in outcomes(task_of(script)))


@pytest.mark.parametrize(
    "script",
    [
        # Not by a tool of the script's; by the agent's program, in a test; no failure at all; a score above 0.
        "echo 'curl: (6) Could not resolve host: x' >&2",
        "false && curl http://x; echo '=== test session starts ==='; echo 'curl: (6) Could not resolve host: x'",
        "uvx() { :; }; uvx pytest",
        "curl http://localhost:9; wget http://127.0.0.1:9; echo 'curl: (6) Could not resolve host: x' >&2",
        "false && curl http://x; curl http://localhost:9",
    ],
)
def test_a_score_of_0_by_the_tests_stays_one(script: str) -> None:
    judged = f"#!/bin/bash\n{script}\ngrep -q yes /app/done 2>/dev/null\n{SCORE}"
    assert outcomes(task_of(judged)) == ["solved", "failed"]


def test_validate_warns_of_a_script_that_downloads(tmp_path: Path) -> None:
    task = Task.load(TASKS / "harbor/valid/write-greeting")
    script = File.of(
        "#!/bin/bash\ncurl -s http://x.invalid\n" + task.tests["test.sh"].content.decode().split("\n", 1)[1]
    )
    folder = replace(task, tests={**task.tests, "test.sh": script}, config={}).save(tmp_path / "downloads")
    done = CliRunner().invoke(app, ["validate", str(folder)])
    shown = " ".join(done.output.split())
    assert "offline: a warning: tests/test.sh downloads by curl; `termgym image verifier`" in shown, done.output
    judged = CliRunner().invoke(app, ["validate", f"harbor:{folder}?verifier_image="])
    assert "a warning" in judged.output


# The image's name, in a task and on disk.


def test_the_image_that_judges_is_kept_in_a_folder(tmp_path: Path) -> None:
    for name, task in enumerate(
        [task_of("#!/bin/bash", image="judge:1"), Task.load(TASKS / "harbor/valid/named-image")]
    ):
        task = replace(task, judge=replace(task.judge, image="judge:1"))
        folder = task.save(tmp_path / str(name) / (task.id if name else "apart"))
        assert 'verifier_image = "judge:1"' in (folder / "task.toml").read_text()
        assert Task.load(folder).judge == task.judge
        again = replace(Task.load(folder), judge=Judge()).save(tmp_path / str(name) / "again" / folder.name)
        assert "judge:1" not in (again / "task.toml").read_text()
    (apart,) = open_source(f"harbor:{TASKS}/harbor/valid/own-verifier?verifier_image=judge:2&image=x:1")
    assert apart.judge.place and (apart.judge.place.image, apart.judge.image) == ("judge:2", "")


# The image itself.

GNU = b"\0GNU C Library (Some GLIBC 2.31-1) stable release version 2.31.\n\0"


def fake(root: Path, python: str, version: str, *files: str, libc: str = "usr/lib/{}-linux-gnu/libc.so.6") -> Path:
    """What is looked at of an image that has a Python."""
    library = f"{python.removesuffix('/bin')}/lib/python{version}"
    for path in (f"{python}/python{version}", f"{library}/shutil.py", libc.format(os.uname().machine), *files):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(GNU)
    (root / python / "python3").symlink_to(f"python{version}")
    return root


@pytest.mark.parametrize(
    ("root", "program", "site"),
    [
        (("usr/bin", "3.11", "etc/debian_version"), "/usr/bin/python3", "usr/local/lib/python3.11/dist-packages"),
        (("usr/bin", "3.12"), "/usr/bin/python3", "usr/lib/python3.12/site-packages"),
        (("usr/local/bin", "3.13", "etc/debian_version", "usr/bin/python3.11"),
         "/usr/local/bin/python3", "usr/local/lib/python3.13/site-packages"),
    ],
)  # fmt: skip
def test_the_images_python_is_found(root: tuple[str, ...], program: str, site: str, tmp_path: Path) -> None:
    found = python_of(Image("x", (fake(tmp_path, *root),)), "x")
    machine = os.uname().machine
    assert (found.program, found.version, found.site) == (program, root[1], site)
    assert found.platforms[0] == f"manylinux_2_31_{machine}" and f"manylinux2014_{machine}" in found.platforms


def test_an_image_of_musl_has_wheels_of_its_own(tmp_path: Path) -> None:
    root = fake(tmp_path, "usr/local/bin", "3.13", libc=f"lib/ld-musl-{os.uname().machine}.so.1")
    assert python_of(Image("x", (root,)), "x").platforms[0] == f"musllinux_1_2_{os.uname().machine}"


def test_what_an_image_lacks_is_said(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    with pytest.raises(ImageError, match=r"x has no python3 in .*--image"):
        python_of(Image("x", (tmp_path,)), "x")
    root = fake(tmp_path, "usr/bin", "3.11", libc="usr/lib/none")
    with pytest.raises(ImageError, match="x has no C library"):
        python_of(Image("x", (root,)), "x")
    (root / "usr/lib/python3.11/shutil.py").unlink()
    with pytest.raises(ImageError, match="install python3 whole, not -minimal"):
        python_of(Image("x", (root,)), "x")


def test_the_layer_is_the_same_for_the_same_input(store: Store, tmp_path: Path) -> None:
    store.import_folder(fake(tmp_path / "root", "usr/bin", "3.11", "etc/debian_version", "usr/local/lib/python3.11/"
                             "dist-packages/pip/__init__.py"), "base:1")  # fmt: skip
    made = make("base:1", usual_name("base:1"), [])
    assert make("base:1", "again", []).digest == made.digest and store.find("base:1-verifier") == made
    top = made.layers[-1]
    assert sorted(path.name for path in (top / "usr/local/bin").iterdir()) == sorted(shim.NAMES)
    assert (top / "usr/local/bin/uvx").readlink() == Path("/", shim.PATH)
    assert (top / shim.PATH).read_text().startswith("#!/usr/bin/python3 -I\n") and os.access(top / shim.PATH, os.X_OK)
    pip = top / "usr/local/lib/python3.11/dist-packages/pip"
    assert [path.name for path in pip.iterdir()] == ["__main__.py"], "the image's own is merged with it"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["image", "verifier", "base:1"], "base:1 is taken for an image's name: what to install is for --requirements"),
        (["image", "verifier", str(TASKS / "harbor/valid/write-greeting")], "the host's userland, which cannot be"),
        (["image", "verifier", f"nemotron:{TASKS}/nemotron/valid", "--image", "base:1"], "no image named 'base:1'"),
        (["image", "verifier", f"harbor:{TASKS}/harbor/valid"], "its tasks have .* images; give one task"),
    ],
)
def test_what_cannot_be_made_is_said(argv: list[str], words: str, store: Store) -> None:
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 2 and re.search(words, done.stderr), done.output


# The shims.


def test_the_shims_know_what_is_there() -> None:
    version = metadata.version("pytest")
    for argv, lacking in [
        (["uvx", "-p", "3.13", "-w", f"PyTest=={version}", "pytest", "--version"], []),
        (["pip", "install", "pytest>=2", "-q", "tomli-w"], []),
        (["pip3", "install", "pytest==1.0"], [f"pytest==1.0 (installed is {version})"]),
        (["pip", "install", "pytest>999"], [f"pytest>999 (installed is {version})"]),
        (["uv", "pip", "install", "no-such-thing==1"], ["no-such-thing==1 (none is installed)"]),
        (["uvx", "--from", "nothing==1", "pytest"], ["nothing==1 (none is installed)"]),
        (["pip", "install", "-r", "/no/file"], ["/no/file (No such file or directory)"]),
        (["pip", "install", "-e", ".", "git+https://x/y"], ["git+https://x/y (which cannot be told)", ". (which cannot be told)"]),
        (["apt-get", "install", "-y", "curl", "no-such-package=1"], ["no-such-package (a Debian package)"]),
    ]:  # fmt: skip
        asked = shim.asked(argv)
        assert asked and shim.missing(asked) == lacking, argv
    assert shim.asked(["pip", "list"]) is shim.asked(["uv", "sync"]) is shim.asked(["apt-get", "update"]) is None


def test_the_shims_run_what_is_there(tmp_path: Path) -> None:
    for name in ("uvx", "uv", "pip"):
        (tmp_path / name).symlink_to(str(shim.__file__))
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        argv = (sys.executable, "-I", str(tmp_path / argv[0]), *argv[1:])
        return subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)

    assert run("uvx", "-w", "pluggy", "pytest", "--version").stdout.startswith("pytest ")
    assert run("uv", "run", "--with", "pluggy", "python", "-c", "print(7)").stdout == "7\n"
    assert "pytest" in run("pip", "list").stdout
    run("uv", "venv", ".tests")
    assert (tmp_path / ".tests/bin/activate").exists()


# All of it, with a real Python.


@pytest.fixture(scope="session")
def with_python(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that has some tools and the host's Debian Python."""
    found = Path("/usr/bin/python3").resolve()
    library = Path("/usr/lib", found.name)
    if not (library / "shutil.py").exists():
        pytest.skip("there is no python3 of a distribution here")
    root = tmp_path_factory.mktemp("python") / "root"
    shutil.copytree(image, root, symlinks=True)
    shutil.copytree(library, root / "usr/lib" / found.name, ignore=shutil.ignore_patterns("test", "__pycache__"))
    shutil.copy(found, root / "usr/bin" / found.name)
    (root / "usr/bin/python3").symlink_to(found.name)
    (root / "etc/debian_version").write_text("12\n")
    binaries = [found, *library.glob("lib-dynload/*.so")]
    listed = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    for path in sorted(set(re.findall(r"(/\S+\.so\S*) \(", listed))):
        target = root / path.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return root


def judged(task: Task, name: str, base: str, requirements: str, tmp_path: Path) -> Task:
    """The task, in an image, with a verifier's image that is made for it here."""
    (tmp_path / "requirements.txt").write_text(requirements)
    argv = ["image", "verifier", base, "--requirements", str(tmp_path / "requirements.txt"), "--name", name]
    done = CliRunner().invoke(app, argv)
    assert (done.exit_code, done.stdout) == (0, f"{name}\n"), done.output
    return replace(task, image=base, judge=Judge(image=name))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_tests_that_install_pytest_judge_without_a_network(store: Store, with_python: Path, tmp_path: Path) -> None:
    store.import_folder(with_python, "base:1")
    task = judged(task_of(BOOTSTRAP + UVX + SCORE), "judge:1", "base:1", "pytest==9.0.2\n", tmp_path)
    assert outcomes(task) == ["solved", "failed"]
    assert make("base:1", "again", ["pytest==9.0.2"]).digest == store.find("judge:1").digest
    for line, words in [
        ("uvx -w pytest==8.0.0 pytest /tests", "lacks pytest==8.0.0 (installed is 9.0.2)"),
        ("pip install pytest==9.0.2 numpy==2.0.0; pytest /tests", "lacks numpy==2.0.0 (none is installed)"),
        ("python3 -m pip install numpy==2.0.0", "lacks numpy==2.0.0 (none is installed)"),
        ("apt-get install -y curl libfoo", "lacks libfoo (a Debian package)"),
        ("uv run nothing", "lacks nothing (No such file or directory)"),
    ]:
        broken = replace(task, tests={**task.tests, "test.sh": File.of(BOOTSTRAP + line + "\n" + SCORE)})
        assert all(one.startswith("verifier_error") and words in one for one in outcomes(broken)), line
    for line in ("uv venv .t; source .t/bin/activate; uv pip install pytest==9.0.2; uv run pytest /tests -q",
                 "python3 -m pip install pytest==9.0.2 && python3 -m pytest /tests"):  # fmt: skip
        works = replace(task, tests={**task.tests, "test.sh": File.of(f"#!/bin/bash\n{line}\n{SCORE}")})
        assert outcomes(works) == ["solved", "failed"], line


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_another_version_takes_the_place_of_the_images(store: Store, with_python: Path, tmp_path: Path) -> None:
    store.import_folder(with_python, "base:1")
    old = make("base:1", "old:1", ["iniconfig==2.0.0"])
    new = make("old:1", "new:1", ["iniconfig==2.1.0"])
    site = python_of(new, "new:1").site
    found = stack.find([str(layer) for layer in reversed(new.layers)], site)
    shown = [name for name in stack.names(found) if stack.find(found, name)]
    assert "iniconfig-2.1.0.dist-info" in shown and "iniconfig-2.0.0.dist-info" not in shown
    with pytest.raises(ImageError, match="pip found no wheels of no-such-project-of-termgym==1"):
        make("base:1", "bad", ["no-such-project-of-termgym==1"])
    assert not store.has("bad") and old.layers[0] == new.layers[0]


@pytest.fixture
def python_image(with_python: Path, docker_image: str) -> Iterator[str]:
    """The same in a Docker engine; it goes, with what was made of it."""
    api: Any = importlib.import_module("docker").from_env().api
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(with_python, ".")
    tag = f"python-{os.getpid()}"
    api.import_image_from_data(packed.getvalue(), repository="termgym-test", tag=tag)
    yield f"termgym-test:{tag}"
    for name in (f"termgym-test:{tag}-verifier", f"termgym-test:{tag}"):
        made = api.inspect_image(name)["Id"]
        api.remove_image(name, force=True)
        for volume in api.volumes(filters={"label": f"termgym.image={made}"})["Volumes"] or []:
            api.remove_volume(volume["Name"])
    api.close()


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_docker_engine_has_it_too(store: Store, python_image: str, tmp_path: Path) -> None:
    store.import_engine(python_image)
    task = judged(task_of(BOOTSTRAP + UVX + SCORE), usual_name(python_image), python_image, "pytest==9.0.2\n", tmp_path)
    assert outcomes(task, "docker") == ["solved", "failed"]
