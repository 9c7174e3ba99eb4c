"""task.toml <-> the fields of a task.

One rule writes it: begin with task.toml as it was read, and set what would otherwise read back differently.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, cast

from termgym.errors import TaskError
from termgym.harbor import generated
from termgym.harbor.layout import attributes, is_ours, is_ours_to_be
from termgym.harbor.table import (
    ABOVE_ZERO,
    COUNT,
    ENV,
    FLAG,
    FOLDER,
    FROM_ZERO,
    LEVEL,
    SIZE,
    TABLES,
    TEXT,
    TEXTS,
    Kind,
    Table,
    table,
)
from termgym.protocol import DEFAULT_DURATION_S, Command
from termgym.task import DOMAINS, Limits, Resources, Task

SCHEMA_VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4")
HARBOR_VERIFIER_S = 600.0
_DIFFICULTIES = {"easy": 1, "medium": 3, "hard": 5}
_DOMAIN = Kind(f"one of {', '.join(DOMAINS)}", (str,), lambda value: value in (*DOMAINS, ""))
_OURS = "metadata.termgym"
_PLAIN = ("id", "domain", "skills", "level", "requires", "licence", "provenance")


class Listed(NamedTuple):
    """A check, as task.toml lists it."""

    name: str
    weight: float
    run: bool


def declared(config: Mapping[str, Any], name: str) -> Task:
    """A task with all that task.toml says, in a folder called `name`.

    Raises:
        TaskError: A value is wrong, or asks for what is not supported.
    """
    _refuse_unsupported(config)
    ours, metadata = table(config, _OURS), table(config, "metadata")
    environment = table(config, "environment")
    domain, skills, level = _guesses(metadata)
    listed(config)
    return Task(
        id=ours.get("id", table(config, "task").get("name", name, TEXT), TEXT),
        instruction="",
        oracle=_oracle(ours),
        image=ours.get("image", environment.get("docker_image", "", TEXT), TEXT),
        workdir=environment.get("workdir", "/app", FOLDER),
        env=environment.get("env", dict[str, str](), ENV),
        resources=_resources(config, environment),
        limits=_limits(config),
        domain=ours.get("domain", domain, _DOMAIN),
        skills=tuple(ours.get("skills", skills, TEXTS)),
        level=ours.get("level", level, LEVEL),
        requires=tuple(ours.get("requires", (), TEXTS)),
        licence=ours.get("licence", "", TEXT),
        provenance=ours.get("provenance", "", TEXT),
    )


def _refuse_unsupported(config: Mapping[str, Any]) -> None:
    root, environment = table(config), table(config, "environment")
    _check_version(root)
    if root.get("steps", [], TABLES):
        raise TaskError("task.toml: [[steps]]: multi-step tasks are not supported yet")
    if environment.get("os", "linux", TEXT) != "linux":
        raise environment.wrong("os", '"linux"; other systems are not supported')
    if environment.get("gpus", 0, COUNT) > 0:
        raise environment.wrong("gpus", "0; GPUs are not supported yet")
    if table(config, _OURS).get("layout", "harbor", TEXT) != "harbor":
        raise table(config, _OURS).wrong("layout", '"harbor", or none')


def _check_version(root: Table) -> None:
    key = "schema_version" if "schema_version" in root.items else "version"
    version = root.get(key, SCHEMA_VERSIONS[0], TEXT)
    if version not in SCHEMA_VERSIONS:
        raise root.wrong(key, f"one of {', '.join(SCHEMA_VERSIONS)}; a newer schema needs a newer termgym")


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
    return Resources(
        cpus=environment.get("cpus", usual.cpus, ABOVE_ZERO),
        memory_mb=environment.mib("memory_mb", "memory", usual.memory_mb),
        storage_mb=environment.mib("storage_mb", "storage", usual.storage_mb),
        inodes=ours.get("inodes", usual.inodes, SIZE),
        processes=ours.get("processes", usual.processes, SIZE),
    )


def _oracle(ours: Table) -> tuple[Command, ...]:
    items = [Table(f"{_OURS}.oracle.{number}", item) for number, item in enumerate(_tables(ours, "oracle"))]
    return tuple(
        Command(_required(item, "keystrokes"), item.get("duration", DEFAULT_DURATION_S, FROM_ZERO)) for item in items
    )


def listed(config: Mapping[str, Any]) -> tuple[Listed, ...]:
    """The checks that task.toml lists.

    Raises:
        TaskError: A check's name, weight or `run` cannot be, or two have one name.
    """
    checks: dict[str, Listed] = {}
    for number, items in enumerate(_tables(table(config, _OURS), "checks")):
        item = Table(f"{_OURS}.checks.{number}", items)
        name = _required(item, "name")
        if not _is_check_name(name):
            raise item.wrong("name", "a file name, not reward, binary, or one that ends in .run")
        if name in checks:
            raise item.wrong("name", "a name that no other check has")
        checks[name] = Listed(name, item.get("weight", 1.0, ABOVE_ZERO), item.get("run", False, FLAG))
    return tuple(checks.values())


def _tables(ours: Table, key: str) -> list[dict[str, Any]]:
    return ours.get(key, list[dict[str, Any]](), TABLES)


def _required(item: Table, key: str) -> str:
    if key not in item.items:
        raise TaskError(f"task.toml: [{item.name}] {key}: missing; expected a string")
    return item.get(key, "", TEXT)


def _is_check_name(name: str) -> bool:
    plain = name.isprintable() and "/" not in name and name[:1] not in ("", ".", "-")
    return plain and name not in generated.REWARD_KEYS and not name.endswith(".run")


def document(task: Task, name: str) -> dict[str, Any]:
    """What task.toml is to say of a task in a folder called `name`, with all that it said before.

    Raises:
        TaskError: The task has files that have no place in a folder.
    """
    config = deepcopy(dict(task.config))
    there = declared(config, name)
    if not config:
        config["schema_version"] = SCHEMA_VERSIONS[-1]
    _write_limits(config, task.limits, there.limits)
    _write_environment(config, task, there)
    ours = is_ours_to_be(task)
    if ours and not is_ours(config):
        _set(config, _OURS, "id", task.id)
        _drop(config, _OURS, "layout")
    _write_ours(config, task, there)
    if not ours and is_ours(config):
        _set(config, _OURS, "layout", "harbor")
    return config


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
    _set_changed(config, "environment", ("workdir", "env"), task, there)
    _set_changed(config, f"{_OURS}.resources", ("inodes", "processes"), task.resources, there.resources)
    built = is_ours_to_be(task) and generated.has_dockerfile(task)
    if task.image != there.image or (built and not is_ours(task.config)):
        # With a docker_image Harbor would not build the Dockerfile that adds the task's files to it.
        _drop(config, "environment", "docker_image")
        _drop(config, _OURS, "image")
        _set_or_drop(config, *((_OURS, "image") if built else ("environment", "docker_image")), task.image)


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
    for part in name.split("."):
        config = config.setdefault(part, {})
    config[key] = _plain(value)


def _plain(value: Any) -> Any:
    """The value in the types that TOML has."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value


def _drop(config: dict[str, Any], name: str, key: str) -> None:
    if key in table(config, name).items:
        for part in name.split("."):
            config = config[part]
        del config[key]
