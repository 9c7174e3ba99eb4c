"""task.toml <-> the fields of a task.

One rule writes it: begin with task.toml as it was read, and set what would otherwise read back differently.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple, cast

from termgym.harbor import generated, phases, refused
from termgym.harbor.compose import Service, service
from termgym.harbor.image import built
from termgym.harbor.layout import attributes, is_ours, is_ours_to_be, layout
from termgym.harbor.table import (
    ABOVE_ZERO,
    ABSOLUTE,
    COUNT,
    ENV,
    FLAG,
    FROM_ZERO,
    LEVEL,
    SIZE,
    TEXT,
    TEXTS,
    Kind,
    Table,
    table,
)
from termgym.protocol import DEFAULT_DURATION_S, Command
from termgym.task import DOMAINS, File, Limits, Place, Resources, Step, Task

HARBOR_VERIFIER_S = 600.0
COMPOSE = "environment/docker-compose.yaml"
_DIFFICULTIES = {"easy": 1, "medium": 3, "hard": 5}
_DOMAIN = Kind(f"one of {', '.join(DOMAINS)}", (str,), lambda value: value in (*DOMAINS, ""))
_OURS = "metadata.termgym"
_PLAIN = ("id", "domain", "skills", "level", "requires", "licence", "provenance")


class Listed(NamedTuple):
    """A check, as task.toml lists it."""

    name: str
    weight: float
    run: bool


def declared(config: Mapping[str, Any], name: str, files: Mapping[str, File] | None = None) -> Task:
    """A task with all that task.toml says, in a folder called `name`.

    `files` are path below the folder -> file: of a folder of others, a Dockerfile says which image there is to be, and
    a compose file what is in its container's environment.

    Raises:
        TaskError: A value is wrong, or asks for what is not supported.
    """
    refused.check(config)
    files = {} if files is None or is_ours(config) else files
    ours, metadata = table(config, _OURS), table(config, "metadata")
    environment, agent = table(config, "environment"), table(config, "agent")
    domain, skills, level = _guesses(metadata)
    listed(config)
    identity = ours.get("id", table(config, "task").get("name", name, TEXT), TEXT)
    place = _place(config, identity, files)
    user = phases.user_of(agent)
    return Task(
        id=identity,
        instruction="",
        oracle=_oracle(ours),
        image=place.image,
        workdir=place.workdir,
        user=user,
        network=phases.network(config),
        healthcheck=phases.healthcheck(environment),
        env=place.env,
        resources=place.resources,
        limits=_limits(config),
        judge=phases.judge(config, built(f"{identity}-verifier", "tests/", files), place),
        artifacts=phases.artifacts(table(config)),
        steps=phases.steps(config, user),
        combine=table(config).get("multi_step_reward_strategy", "mean", TEXT),
        domain=ours.get("domain", domain, _DOMAIN),
        skills=tuple(ours.get("skills", skills, TEXTS)),
        level=ours.get("level", level, LEVEL),
        requires=tuple(ours.get("requires", (), TEXTS)),
        licence=ours.get("licence", "", TEXT),
        provenance=ours.get("provenance", "", TEXT),
    )


def _place(config: Mapping[str, Any], identity: str, files: Mapping[str, File]) -> Place:
    """The agent's own place."""
    ours, environment = table(config, _OURS), table(config, "environment")
    main = service(files[COMPOSE], COMPOSE, "main") if COMPOSE in files else Service()
    image = main.image or built(identity, "environment/", files)
    image = ours.get("image", environment.get("docker_image", image, TEXT), TEXT)
    # An image of others knows best where its agent is to be; where there is none, and in ours, it is /app.
    workdir = main.workdir or ("" if image and not is_ours(config) else "/app")
    env = {**main.env, **environment.get("env", dict[str, str](), ENV)}
    resources = _resources(config, environment)
    return Place(image, ours.get("workdir", environment.get("workdir", workdir, ABSOLUTE), TEXT), env, resources)


def _guesses(metadata: Table) -> tuple[str, Sequence[str], int]:
    """Domain, skills and level by the free words of others, which are never wrong."""
    category = str(metadata.items.get("category", "")).lower().replace("-", "_")
    tags: Any = metadata.items.get("tags")
    difficulty = str(metadata.items.get("difficulty", "")).lower()
    domain = category if category in DOMAINS else ""
    return domain, tags if TEXTS.fits(tags) else (), _DIFFICULTIES.get(difficulty, 0)


def _limits(config: Mapping[str, Any]) -> Limits:
    ours, usual = table(config, f"{_OURS}.limits"), Limits()
    verifier_s = table(config, "verifier").get("timeout_sec", HARBOR_VERIFIER_S, ABOVE_ZERO)
    return Limits(
        turns=ours.get("turns", usual.turns, COUNT),
        wall_s=table(config, "agent").get("timeout_sec", 0.0, ABOVE_ZERO),
        command_s=ours.get("command_s", usual.command_s, FROM_ZERO),
        tokens=ours.get("tokens", usual.tokens, COUNT),
        verifier_s=ours.get("verifier_s", verifier_s, FROM_ZERO),
    )


def _resources(config: Mapping[str, Any], environment: Table) -> Resources:
    ours, usual = table(config, f"{_OURS}.resources"), Resources()
    return replace(
        phases.sizes(environment),
        inodes=ours.get("inodes", usual.inodes, SIZE),
        processes=ours.get("processes", usual.processes, SIZE),
    )


def _oracle(ours: Table) -> tuple[Command, ...]:
    return tuple(
        Command(item.need("keystrokes", TEXT), item.get("duration", DEFAULT_DURATION_S, FROM_ZERO))
        for item in ours.each("oracle")
    )


def listed(config: Mapping[str, Any]) -> tuple[Listed, ...]:
    """The checks that task.toml lists.

    Raises:
        TaskError: A check's name, weight or `run` cannot be, or two have one name.
    """
    checks: dict[str, Listed] = {}
    for item in table(config, _OURS).each("checks"):
        name = item.need("name", TEXT)
        if not _is_check_name(name):
            raise item.wrong("name", "a file name, not reward, binary, or one that ends in .run")
        if name in checks:
            raise item.wrong("name", "a name that no other check has")
        checks[name] = Listed(name, item.get("weight", 1.0, ABOVE_ZERO), item.get("run", False, FLAG))
    return tuple(checks.values())


def _is_check_name(name: str) -> bool:
    plain = name.isprintable() and "/" not in name and name[:1] not in ("", ".", "-")
    return plain and name not in generated.REWARD_KEYS and not name.endswith(".run")


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
        _set(config, _OURS, "id", task.id)
        _drop(config, _OURS, "layout")
    _write_ours(config, task, there)
    if not ours and is_ours(config):
        _set(config, _OURS, "layout", "harbor")
    _write_workdir(config, task, name)
    return config


def _write_workdir(config: dict[str, Any], task: Task, name: str) -> None:
    """Where nothing is said of it, it follows from all else."""
    if declared(config, name, layout(task)[0]).workdir != task.workdir:
        _drop(config, "environment", "workdir")
        _drop(config, _OURS, "workdir")
        _set(config, "environment" if task.workdir else _OURS, "workdir", task.workdir)


def _write_limits(config: dict[str, Any], limits: Limits, there: Limits) -> None:
    if limits.wall_s != there.wall_s:
        # Harbor's way to set no limit is to say nothing.
        _set_or_drop(config, "agent", "timeout_sec", limits.wall_s)
    if limits.verifier_s != there.verifier_s:
        # Harbor always has a limit for the verifier, so that none is a word of ours.
        _drop(config, f"{_OURS}.limits", "verifier_s")
        limitless = limits.verifier_s == 0
        _set(
            config,
            *((f"{_OURS}.limits", "verifier_s") if limitless else ("verifier", "timeout_sec")),
            limits.verifier_s,
        )
    _set_changed(config, f"{_OURS}.limits", ("turns", "command_s", "tokens"), limits, there)


def _write_environment(config: dict[str, Any], task: Task, there: Task) -> None:
    for key, legacy in (("memory_mb", "memory"), ("storage_mb", "storage")):
        if getattr(task.resources, key) != getattr(there.resources, key):
            _drop(config, "environment", legacy)
    _set_changed(config, "environment", ("cpus", "memory_mb", "storage_mb"), task.resources, there.resources)
    _set_changed(config, f"{_OURS}.resources", ("inodes", "processes"), task.resources, there.resources)
    if task.image != there.image or (is_ours_to_be(task) and not is_ours(task.config)):
        _write_image(config, task)
    _set_changed(config, "environment", ("env",), task, there)


def _write_image(config: dict[str, Any], task: Task) -> None:
    """Say which image it is, in the place where a folder that is ours, or is not, has it."""
    _drop(config, "environment", "docker_image")
    _drop(config, _OURS, "image")
    files, ours = layout(task)
    if ours and generated.has_dockerfile(task):
        # With a docker_image Harbor would not build the Dockerfile that adds the task's files to it.
        _set_or_drop(config, _OURS, "image", task.image)
    elif task.image != ("" if ours else built(task.id, "environment/", files)):
        _set(config, *(("environment", "docker_image") if task.image else (_OURS, "image")), task.image)


def _write_phases(config: dict[str, Any], task: Task, there: Task) -> None:
    if task.user != there.user:
        _set_or_drop(config, "agent", "user", task.user)
    if task.network != there.network:
        _write_network(config, task.network)
    if task.healthcheck != there.healthcheck:
        _set_or_drop(config, "environment", "healthcheck", phases.healthcheck_items(task.healthcheck))
    if task.judge != there.judge:
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
    _set_changed(config, _OURS, _PLAIN, task, there)
    checks = tuple(Listed(check.name, check.weight, bool(check.run)) for check in task.checks)
    if checks != listed(config):
        items = [{"name": c.name, "weight": c.weight} | ({"run": True} if c.run else {}) for c in checks]
        _set_or_drop(config, _OURS, "checks", items)
    if task.oracle != there.oracle:
        items = [{"keystrokes": c.keystrokes, "duration": c.duration_s} for c in task.oracle]
        _set_or_drop(config, _OURS, "oracle", items)
    for key, values in attributes(task).items():
        _set_or_drop(config, _OURS, key, values)


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
