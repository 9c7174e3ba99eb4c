"""Task folders of Terminal-Bench's first format, each made into one of Harbor's.

    task.yaml            the instruction, limits, what the task is about
    docker-compose.yaml  a container `client`; Dockerfile and all files beside it are what its image is built of
    run-tests.sh, tests  the verifier
    solution.sh, or solution.yaml with keystrokes

run-tests.sh judges by its exit status, as pytest has it: 0 is passed and 1 is failed. Any other is a verifier that
could not do its work, and no score of 0. (The original reads the report off the terminal.)
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import tomli_w

from termgym.errors import TaskError
from termgym.harbor import folder_files, of_files
from termgym.harbor.compose import Service, document, parsed, service
from termgym.harbor.table import ABOVE_ZERO, FLAG, FROM_ZERO, TEXT, TEXTS, Table, list_of
from termgym.protocol import MAX_DURATION_S, Command
from termgym.sources import Shelf, Source, shelf_of
from termgym.task import File, Task

YAML, COMPOSE, CLIENT, HARNESS = "task.yaml", "docker-compose.yaml", "client", "T_BENCH_"
KNOWN = (
    "instruction author_name author_email difficulty category tags parser_name max_agent_timeout_sec "
    "max_test_timeout_sec run_tests_in_same_shell disable_asciinema estimated_duration_sec expert_time_estimate_min "
    "junior_time_estimate_min"
).split()
AGENT_S, TEST_S = 360.0, 60.0
"""What the format takes where task.yaml says nothing."""
KEYS_S = 30.0
TEST = """#!/bin/bash
# pytest's words: 0 is passed, 1 is failed; with any other the verifier itself did not work.
export TEST_DIR=/tests
bash /tests/run-tests.sh
status=$?
case $status in
    0 | 1) echo $((1 - status)) >/logs/verifier/reward.txt ;;
    *) echo "run-tests.sh ended with $status" >&2; exit 126 ;;
esac
"""


def load(folder: Path) -> Task:
    """The task of a folder.

    Raises:
        TaskError: It is malformed, or asks for what is not supported.
    """
    try:
        files = folder_files(folder)
        about = _about(files)
        task = of_files(_as_harbor(files, about), folder.resolve().name)
        return replace(task, oracle=_oracle(files), provenance="terminal-bench", licence="")
    except TaskError as error:
        raise TaskError(f"{folder}: {error}") from error


def _about(files: Mapping[str, File]) -> Table:
    about = Table("", document(files[YAML], YAML), YAML)
    if "descriptions" in about.items:
        raise about.wrong("descriptions", "one `instruction`; several descriptions of a task are not supported")
    about.only(KNOWN)
    if about.get("parser_name", "pytest", TEXT) != "pytest":
        raise about.wrong("parser_name", '"pytest"; other parsers of test reports are not supported')
    if about.get("run_tests_in_same_shell", False, FLAG):
        raise about.wrong("run_tests_in_same_shell", "false; the agent's shell is dead before the tests run")
    return about


def _as_harbor(files: Mapping[str, File], about: Table) -> dict[str, File]:
    """The files of a Harbor task folder."""
    if "run-tests.sh" not in files:
        raise TaskError("run-tests.sh: missing; expected the script that runs the tests")
    client = service(files[COMPOSE], COMPOSE, CLIENT, HARNESS) if COMPOSE in files else Service()
    made = {
        "instruction.md": File.of(about.need("instruction", TEXT)),
        "task.toml": File.of(tomli_w.dumps(_toml(about, client))),
        "tests/test.sh": File.of(TEST, 0o755),
        "tests/run-tests.sh": files["run-tests.sh"],
    }
    if "solution.sh" in files:
        made["solution/solve.sh"] = files["solution.sh"]
    for path, file in files.items():
        if path.startswith("tests/"):
            made[path] = file
        elif "/" in path or path not in (YAML, COMPOSE, "run-tests.sh", "solution.sh", "solution.yaml"):
            made[f"environment/{path}"] = file
    return made


def _toml(about: Table, client: Service) -> dict[str, Any]:
    environment = {"docker_image": client.image, "workdir": client.workdir, "env": dict(client.env)}
    metadata = {
        "difficulty": about.get("difficulty", "", TEXT),
        "category": about.get("category", "software_engineering", TEXT),
        "tags": list(about.get("tags", (), TEXTS)),
    }
    return {
        "schema_version": "1.4",
        "metadata": {key: value for key, value in metadata.items() if value},
        "agent": {"timeout_sec": about.get("max_agent_timeout_sec", AGENT_S, ABOVE_ZERO)},
        "verifier": {"timeout_sec": about.get("max_test_timeout_sec", TEST_S, ABOVE_ZERO)},
        "environment": {key: value for key, value in environment.items() if value},
    }


def _oracle(files: Mapping[str, File]) -> tuple[Command, ...]:
    """The keystrokes of solution.yaml, if there is one."""
    if "solution.yaml" not in files or "solution.sh" in files:
        return ()
    listed = Table("", {"commands": parsed(files["solution.yaml"], "solution.yaml")}, "solution.yaml")
    return tuple(command for item in listed.each("commands") for command in _typed(item))


def _typed(item: Table) -> list[Command]:
    item.only(("command", "min_timeout_sec", "max_timeout_sec", "block", "append_enter"))
    given: Any = item.items.get("command")
    keys = cast("list[str]", given) if list_of(TEXT).fits(given) else [item.need("command", TEXT)]
    enter = "\n" if item.get("append_enter", True, FLAG) else ""
    longest = MAX_DURATION_S if item.get("block", False, FLAG) else KEYS_S
    wait_s = min(MAX_DURATION_S, max(longest, item.get("min_timeout_sec", 0.0, FROM_ZERO)))
    return [Command(f"{one}{enter if number == len(keys) else ''}", wait_s) for number, one in enumerate(keys, 1)]


def open_path(path: Path, options: Mapping[str, str]) -> Shelf:
    """The tasks at a path."""
    return shelf_of(path, lambda folder: (folder / YAML).is_file(), load, f"task folder: none has a {YAML}")


SOURCE = Source("terminal_bench", "task folders of Terminal-Bench's first format", open_path)
