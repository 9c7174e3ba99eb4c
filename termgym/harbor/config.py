"""task.toml -> the fields of a task; `document` is the way back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from termgym.harbor import generated, phases, refused
from termgym.harbor.compose import Service, service
from termgym.harbor.image import built, verifier_of
from termgym.harbor.layout import is_ours
from termgym.harbor.table import (
    ABOVE_ZERO,
    ABSOLUTE,
    COUNT,
    ENV,
    FLAG,
    FOLDER,
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
from termgym.task import DOMAINS, File, Limits, Place, Resources, Task

HARBOR_VERIFIER_S = 600.0
COMPOSE = "environment/docker-compose.yaml"
_DIFFICULTIES = {"easy": 1, "medium": 3, "hard": 5}
_DOMAIN = Kind(f"one of {', '.join(DOMAINS)}", (str,), lambda value: value in (*DOMAINS, ""))
OURS = "metadata.termgym"
PLAIN = ("id", "domain", "skills", "level", "requires", "licence", "provenance")


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
    ours, metadata = table(config, OURS), table(config, "metadata")
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
        judge=replace(
            phases.judge(config, built(verifier_of(identity), "tests/", files), place),
            image=ours.get("verifier_image", "", TEXT),
        ),
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
    ours, environment = table(config, OURS), table(config, "environment")
    main = service(files[COMPOSE], COMPOSE, "main") if COMPOSE in files else Service()
    image = main.image or built(identity, "environment/", files)
    image = ours.get("image", environment.get("docker_image", image, TEXT), TEXT)
    # An image of others knows best where its agent is to be; where there is none, and in ours, it is /app.
    workdir = main.workdir or ("" if image and not is_ours(config) else "/app")
    env = {**main.env, **environment.get("env", dict[str, str](), ENV)}
    resources = _resources(config, environment)
    return Place(image, ours.get("workdir", environment.get("workdir", workdir, ABSOLUTE), FOLDER), env, resources)


def _guesses(metadata: Table) -> tuple[str, Sequence[str], int]:
    """Domain, skills and level by the free words of others, which are never wrong."""
    category = str(metadata.items.get("category", "")).lower().replace("-", "_")
    tags: Any = metadata.items.get("tags")
    difficulty = str(metadata.items.get("difficulty", "")).lower()
    domain = category if category in DOMAINS else ""
    return domain, tags if TEXTS.fits(tags) else (), _DIFFICULTIES.get(difficulty, 0)


def _limits(config: Mapping[str, Any]) -> Limits:
    ours, usual = table(config, f"{OURS}.limits"), Limits()
    verifier_s = table(config, "verifier").get("timeout_sec", HARBOR_VERIFIER_S, ABOVE_ZERO)
    return Limits(
        turns=ours.get("turns", usual.turns, COUNT),
        wall_s=table(config, "agent").get("timeout_sec", 0.0, ABOVE_ZERO),
        command_s=ours.get("command_s", usual.command_s, FROM_ZERO),
        tokens=ours.get("tokens", usual.tokens, COUNT),
        verifier_s=ours.get("verifier_s", verifier_s, FROM_ZERO),
    )


def _resources(config: Mapping[str, Any], environment: Table) -> Resources:
    ours, usual = table(config, f"{OURS}.resources"), Resources()
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
    for item in table(config, OURS).each("checks"):
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
