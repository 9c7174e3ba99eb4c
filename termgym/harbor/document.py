"""A task -> task.toml: what was read, with what would otherwise read back differently set."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

from termgym.harbor import generated, phases, refused
from termgym.harbor.config import OURS, PLAIN, Listed, declared, listed
from termgym.harbor.image import built
from termgym.harbor.layout import attributes, is_ours, is_ours_to_be, layout
from termgym.harbor.table import table
from termgym.task import Limits, Step, Task


def document(task: Task, name: str) -> dict[str, Any]:
    """What task.toml is to say of a task in a folder called `name`, with all that it said before.

    Raises:
        TaskError: The task has files that have no place in a folder.
    """
    config = deepcopy(dict(task.config))
    there = declared(config, name, layout(task)[0])
    if not config:
        config["schema_version"] = refused.SCHEMA_VERSIONS[-1]
    _write_limits(config, task.limits, there.limits)
    _write_environment(config, task, there)
    _write_phases(config, task, there)
    ours = is_ours_to_be(task)
    if ours and not is_ours(config):
        _set(config, OURS, "id", task.id)
        _drop(config, OURS, "layout")
    _write_ours(config, task, there)
    if not ours and is_ours(config):
        _set(config, OURS, "layout", "harbor")
    _write_workdir(config, task, name)
    return config


def _write_workdir(config: dict[str, Any], task: Task, name: str) -> None:
    """Where nothing is said of it, it follows from all else."""
    if declared(config, name, layout(task)[0]).workdir != task.workdir:
        _drop(config, "environment", "workdir")
        _drop(config, OURS, "workdir")
        _set(config, "environment" if task.workdir else OURS, "workdir", task.workdir)


def _write_limits(config: dict[str, Any], limits: Limits, there: Limits) -> None:
    if limits.wall_s != there.wall_s:
        # Harbor's way to set no limit is to say nothing.
        _set_or_drop(config, "agent", "timeout_sec", limits.wall_s)
    if limits.verifier_s != there.verifier_s:
        # Harbor always has a limit for the verifier, so that none is a word of ours.
        _drop(config, f"{OURS}.limits", "verifier_s")
        limitless = limits.verifier_s == 0
        _set(
            config,
            *((f"{OURS}.limits", "verifier_s") if limitless else ("verifier", "timeout_sec")),
            limits.verifier_s,
        )
    _set_changed(config, f"{OURS}.limits", ("turns", "command_s", "tokens"), limits, there)


def _write_environment(config: dict[str, Any], task: Task, there: Task) -> None:
    for key, legacy in (("memory_mb", "memory"), ("storage_mb", "storage")):
        if getattr(task.resources, key) != getattr(there.resources, key):
            _drop(config, "environment", legacy)
    _set_changed(config, "environment", ("cpus", "memory_mb", "storage_mb"), task.resources, there.resources)
    _set_changed(config, f"{OURS}.resources", ("inodes", "processes"), task.resources, there.resources)
    if task.image != there.image or (is_ours_to_be(task) and not is_ours(task.config)):
        _write_image(config, task)
    _set_changed(config, "environment", ("env",), task, there)


def _write_image(config: dict[str, Any], task: Task) -> None:
    """Say which image it is, in the place where a folder that is ours, or is not, has it."""
    _drop(config, "environment", "docker_image")
    _drop(config, OURS, "image")
    files, ours = layout(task)
    if ours and generated.has_dockerfile(task):
        # With a docker_image Harbor would not build the Dockerfile that adds the task's files to it.
        _set_or_drop(config, OURS, "image", task.image)
    elif task.image != ("" if ours else built(task.id, "environment/", files)):
        _set(config, *(("environment", "docker_image") if task.image else (OURS, "image")), task.image)


def _write_phases(config: dict[str, Any], task: Task, there: Task) -> None:
    if task.user != there.user:
        _set_or_drop(config, "agent", "user", task.user)
    if task.network != there.network:
        _write_network(config, task.network)
    if task.healthcheck != there.healthcheck:
        _set_or_drop(config, "environment", "healthcheck", phases.healthcheck_items(task.healthcheck))
    if replace(task.judge, image="") != replace(there.judge, image=""):
        items = phases.judge_items(task.judge)
        for key in ("env", "collect", "environment_mode", "environment"):
            _set_or_drop(config, "verifier", key, items.get(key))
    if task.artifacts != there.artifacts:
        _set_or_drop(config, "", "artifacts", phases.artifact_items(task.artifacts))
    if tuple(map(_bare, task.steps)) != there.steps:
        before = {step["name"]: step for step in config.get("steps", [])}
        items = [phases.step_items(step, before.get(step.name, {})) for step in task.steps]
        _set_or_drop(config, "", "steps", items)
    if task.combine != there.combine:
        _set(config, "", "multi_step_reward_strategy", task.combine)


def _write_network(config: dict[str, Any], network: str) -> None:
    """One word for all phases."""
    for name in ("environment", "agent", "verifier", "verifier.environment"):
        for key in ("network_mode", "allow_internet"):
            _drop(config, name, key)
    for step in config.get("steps", []):
        for phase in ("agent", "verifier"):
            step.get(phase, {}).pop("network_mode", None)
    _set(config, "environment", "network_mode", {"none": "no-network"}.get(network, network))


def _bare(step: Step) -> Step:
    return replace(step, instruction="", files={}, tests={}, solution={})


def _write_ours(config: dict[str, Any], task: Task, there: Task) -> None:
    _set_changed(config, OURS, PLAIN, task, there)
    if task.judge.image != there.judge.image:
        _set_or_drop(config, OURS, "verifier_image", task.judge.image)
    checks = tuple(Listed(check.name, check.weight, bool(check.run)) for check in task.checks)
    if checks != listed(config):
        items = [{"name": c.name, "weight": c.weight} | ({"run": True} if c.run else {}) for c in checks]
        _set_or_drop(config, OURS, "checks", items)
    if task.oracle != there.oracle:
        items = [{"keystrokes": c.keystrokes, "duration": c.duration_s} for c in task.oracle]
        _set_or_drop(config, OURS, "oracle", items)
    for key, values in attributes(task).items():
        _set_or_drop(config, OURS, key, values)


def _set_changed(config: dict[str, Any], name: str, keys: Sequence[str], new: object, old: object) -> None:
    for key in keys:
        value = getattr(new, key)
        if value != getattr(old, key):
            _set(config, name, key, value)


def _set_or_drop(config: dict[str, Any], name: str, key: str, value: Any) -> None:
    if value:
        _set(config, name, key, value)
    else:
        _drop(config, name, key)


def _set(config: dict[str, Any], name: str, key: str, value: Any) -> None:
    for part in name.split(".") if name else ():
        config = config.setdefault(part, {})
    config[key] = _plain(value)


def _plain(value: Any) -> Any:
    """The value in the types that TOML has."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value


def _drop(config: dict[str, Any], name: str, key: str) -> None:
    if key in table(config, name).items:
        for part in name.split(".") if name else ():
            config = config[part]
        del config[key]
