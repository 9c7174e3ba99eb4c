"""Task folders in all formats, under tests/tasks: what is valid runs, and what is broken is refused by name."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from termgym import aio
from termgym.errors import TaskError
from termgym.sources import open_source
from termgym.task import Task
from termgym.validate import Candidate, Validation, validate

TASKS = Path(__file__).parent / "tasks"
VALID = sorted(str(path.relative_to(TASKS)) for path in TASKS.glob("*/valid/*"))
# What lacks an image, a user, pytest or a verifier that works, and so has no verdict in the host's userland.
NEEDY = ("built-image", "named-image", "of-an-image", "broken-verifier", "debugging_task_0002")
BROKEN: dict[str, tuple[str, ...]] = {
    "harbor/broken/wants-a-gpu": ("task.toml: [environment] gpus is 1", "expected 0"),
    "harbor/broken/wants-a-tpu": ("task.toml: [environment] tpu is", "no TPUs"),
    "harbor/broken/of-windows": ("task.toml: [environment] os is 'windows'", 'expected "linux"'),
    "harbor/broken/with-tools": ("task.toml: [environment] mcp_servers is", "no MCP servers"),
    "harbor/broken/with-skills": ("task.toml: [environment] skills_dir is '/skills'", "no skills"),
    "harbor/broken/some-hosts": ("task.toml: [environment] network_mode is 'allowlist'", '"public" or "no-network"'),
    "harbor/broken/odd-network": ("task.toml: [environment] network_mode is 'sometimes'", "one of no-network, public"),
    "harbor/broken/two-containers": ("environment/docker-compose.yaml: [services] database", "expected main alone"),
    "harbor/broken/privileged": (
        "environment/docker-compose.yaml: [services.main] privileged is True",
        "expected build",
    ),
    "harbor/broken/misspelt-verifier": ("task.toml: [verifier] enviroment_mode", "did you mean environment_mode"),
    "harbor/broken/misspelt-strategy": ("multi_step_reward_stategy", "did you mean multi_step_reward_strategy?"),
    "harbor/broken/odd-strategy": ("task.toml: multi_step_reward_strategy is 'best'", "one of mean, final"),
    "harbor/broken/other-service": ("task.toml: [artifacts.0] service is 'database'", 'expected "main"'),
    "harbor/broken/takes-the-tests": ("task.toml: [artifacts.0] source is '/tests/answers'", "not in /tests"),
    "harbor/broken/verifier-as-user": ("task.toml: [verifier] user is 'judge'", 'expected "root"'),
    "harbor/broken/step-without-tests": ("steps/one/tests/test.sh: missing", "or tests/test.sh for all steps"),
    "harbor/broken/step-apart": ("task.toml: [steps.0.verifier] environment_mode is 'separate'", "expected none"),
    "harbor/broken/health-without-command": ("[environment.healthcheck] command: missing", "expected a string"),
    "harbor/broken/no-instruction": ("instruction.md: missing", "expected the task's instruction"),
    "terminal_bench/broken/other-parser": ("task.yaml: parser_name is 'swebench'", 'expected "pytest"'),
    "terminal_bench/broken/same-shell": ("task.yaml: run_tests_in_same_shell is True", "expected false"),
    "terminal_bench/broken/two-services": ("docker-compose.yaml: [services] cache", "expected client alone"),
    "terminal_bench/broken/host-folder": ("docker-compose.yaml: [services.client] volumes is", "folders of the host"),
    "terminal_bench/broken/no-client": ("docker-compose.yaml: [services] agent", "expected client alone"),
    "terminal_bench/broken/no-tests": ("run-tests.sh: missing", "expected the script"),
    "terminal_bench/broken/several-descriptions": ("task.yaml: descriptions is", "expected one `instruction`"),
    "terminal_bench/broken/misspelt-limit": ("task.yaml: max_tests_timeout_sec", "did you mean max_test_timeout_sec"),
    "terminal_bench/broken/not-yaml": ("task.yaml: not YAML",),
    "terminal_bench/broken/odd-keys": ("solution.yaml: [commands.0] min_timeout", "did you mean min_timeout_sec"),
    "nemotron/broken/security_task_0001": ("environment/Dockerfile: 'ADD https", "expected FROM, RUN, WORKDIR"),
    "nemotron/broken/security_task_0002": ("environment/Dockerfile: 'COPY secrets/ /app/'", "COPY files/ DESTINATION"),
    "nemotron/broken/security_task_0003": ("tests/weights.json: test_x is 0", "expected a finite number above 0"),
    "nemotron/broken/security_task_0004": ("tests/: missing", "expected tests/test.sh"),
}


def load(path: str) -> Task:
    """The task of a folder below tests/tasks, in the format that it is there for."""
    (task,) = open_source(f"{path.partition('/')[0]}:{TASKS / path}")
    return task


def copy(path: str, to: Path) -> Path:
    """A copy of such a folder, to be changed."""
    return Path(shutil.copytree(TASKS / path, to / Path(path).name))


async def gates(task: Task) -> Validation:
    return await validate(Candidate(task.id, lambda: task))


def test_every_broken_folder_is_in_the_table() -> None:
    assert sorted(str(path.relative_to(TASKS)) for path in TASKS.glob("*/broken/*")) == sorted(BROKEN)


@pytest.mark.parametrize("path", BROKEN)
def test_what_is_broken_is_refused_by_file_and_field(path: str) -> None:
    with pytest.raises(TaskError) as caught:
        load(path)
    for words in (str(TASKS / path), *BROKEN[path]):
        assert words in str(caught.value)


@pytest.mark.parametrize("path", VALID)
def test_what_is_valid_comes_back_from_a_folder_of_harbors(path: str, tmp_path: Path) -> None:
    task = load(path)
    saved = Task.load(task.save(tmp_path / Path(path).name))
    assert replace(saved, config={}) == replace(task, config={})
    assert saved.digest == task.digest


@pytest.mark.parametrize("path", [path for path in VALID if Path(path).name not in NEEDY])
def test_the_oracle_solves_what_is_valid_and_idle_does_not(path: str) -> None:
    found = aio.run(gates(load(path)))
    assert found.gates["oracle"].passed and found.gates["idle"].passed, found
    assert found.gates["twice"].passed is not False and found.gates["wrong"].passed is not False, found


# What is understood of them.


def test_a_dockerfile_alone_says_by_its_content_which_image(tmp_path: Path) -> None:
    task = load("harbor/valid/built-image")
    assert task.image.startswith("termgym/built-image:") and task.workdir == "" and task.env == {"TIDE": "high"}
    folder = copy("harbor/valid/built-image", tmp_path)
    assert Task.load(folder).image == task.image
    (folder / "environment/Dockerfile").write_text("FROM debian:trixie\n")
    assert Task.load(folder).image != task.image
    (folder / "environment/Dockerfile").unlink()
    (folder / "environment/docker-compose.yaml").unlink()
    assert (Task.load(folder).image, Task.load(folder).workdir) == ("", "/app")


def test_what_harbor_says_of_networks_and_users() -> None:
    assert load("harbor/valid/asks-for-network").network == "public"
    assert load("harbor/valid/write-greeting").network == "none"
    assert (load("harbor/valid/named-image").image, load("harbor/valid/named-image").user) == (
        "example.org/plain:1",
        "worker",
    )


def test_a_foreign_folder_keeps_what_it_said_when_it_changes(tmp_path: Path) -> None:
    task = load("harbor/valid/two-steps")
    first, second = task.steps
    changed = replace(
        task,
        network="public",
        user="worker",
        combine="final",
        steps=(replace(first, wall_s=None, min_reward={}), replace(second, min_reward={"reward": 0.25, "style": 1})),
        healthcheck=second.healthcheck,
    )
    assert replace(Task.load(changed.save(tmp_path / "changed")), config={}) == replace(changed, config={})


def test_the_first_format_is_made_into_harbors() -> None:
    task = load("terminal_bench/valid/count-lines")
    assert (task.limits.wall_s, task.limits.verifier_s, task.level, task.env) == (120, 30, 1, {"TIDE": "low"})
    assert task.domain == "file_operations" and "solve.sh" in task.solution
    keys = [command.keystrokes for command in load("terminal_bench/valid/by-keys").oracle]
    assert keys == ["cat >/app/note\n", "by hand\n", "C-d", "true\n"]
    assert load("terminal_bench/valid/of-an-image").image.startswith("termgym/of-an-image:")


def test_synthetic_tasks_have_their_files_and_weights() -> None:
    task = load("nemotron/valid/debugging_task_0002")
    assert set(task.files) == {"/app/run.sh", "/app/tool/readme"} and task.domain == "debugging"
    assert {check.name: check.weight for check in task.checks} == {"test_prints": 3, "test_kept": 1}
    assert "test_requirements.txt" in task.tests and task.image == ""
    assert load("nemotron/valid/file_operations_task_0003").workdir == "/"


@pytest.mark.parametrize(("test", "status"), [("test_fine", 0), ("test_wrong", 1), ("test_not_there", 126)])
def test_what_pytest_says_of_a_weighted_test(test: str, status: int, tmp_path: Path) -> None:
    """By the pytest that runs this; a module of its name in the workdir, where the agent was, is not taken for it."""
    (tmp_path / "pytest.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_outputs.py").write_text("def test_fine(): pass\ndef test_wrong(): assert False\n")
    task = load("nemotron/valid/debugging_task_0002")
    script = task.checks[0].script.replace("test_prints", test).replace("/tests", str(tmp_path))
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script.replace("cd /app", f"cd {tmp_path}")], env=env, capture_output=True)
    assert done.returncode == status, done.stdout


@pytest.mark.parametrize("path", ["terminal_bench/valid/broken-verifier", "nemotron/valid/debugging_task_0002"])
def test_a_verifier_that_cannot_start_is_no_score(path: str) -> None:
    """Whether its program is missing, or pytest is not in the host's userland."""
    idle = aio.run(gates(load(path))).gates["idle"]
    assert not idle.passed and idle.reason.startswith("verifier_error")
