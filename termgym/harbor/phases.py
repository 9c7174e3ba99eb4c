"""task.toml <-> what happens around the agent's work: health checks, steps, artifacts and where the verifier runs.

Harbor itself passes over keys that it does not know. Here they are refused where a slip of the pen would silently
change the score: in [verifier], [[steps]], artifacts, hooks and health checks, all of them; elsewhere those that are
nearly one of Harbor's (`refused.check`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from termgym.harbor.table import (
    ABOVE_ZERO,
    ABSOLUTE,
    ENV,
    FROM_ZERO,
    NUMBER,
    SIZE,
    TEXT,
    TEXTS,
    USER,
    Table,
    one_of,
    table,
)
from termgym.task import Artifact, Healthcheck, Hook, Judge, Place, Resources, Step

MAIN = "main"
VERIFIERS_OWN = ("/tests", "/logs/verifier")
_HEALTH = ("interval", "timeout", "start_period", "start_interval")
_PHASE = ("network_mode", "allowed_hosts")
_NETWORKS = one_of("no-network", "public", "allowlist")


def healthcheck(parent: Table) -> Healthcheck | None:
    """What a table says of its health check, if it has one."""
    if "healthcheck" not in parent.items:
        return None
    check, usual = parent.below("healthcheck"), Healthcheck("")
    check.only(("command", "retries", *(f"{name}_sec" for name in _HEALTH)))
    seconds = {f"{name}_s": check.get(f"{name}_sec", getattr(usual, f"{name}_s"), FROM_ZERO) for name in _HEALTH}
    return Healthcheck(check.need("command", TEXT), retries=check.get("retries", usual.retries, SIZE), **seconds)


def healthcheck_items(check: Healthcheck | None) -> dict[str, Any]:
    """The same for task.toml."""
    if check is None:
        return {}
    seconds = {f"{name}_sec": getattr(check, f"{name}_s") for name in _HEALTH}
    return {"command": check.command, "retries": check.retries} | seconds


def artifacts(parent: Table) -> tuple[Artifact, ...]:
    """What a table says of artifacts."""
    items = parent.items.get("artifacts", [])
    if not isinstance(items, list):
        raise parent.wrong("artifacts", "a list of paths and tables")
    plain = [{"source": item} if isinstance(item, str) else item for item in items]  # pyright: ignore[reportUnknownVariableType]
    return tuple(map(_artifact, Table(parent.name, {"artifacts": plain}, parent.file).each("artifacts")))


def _artifact(item: Table) -> Artifact:
    item.only(("source", "destination", "exclude", "service"))
    if item.get("service", MAIN, TEXT) != MAIN:
        raise item.wrong("service", f'"{MAIN}"; other containers are not supported')
    source = item.need("source", ABSOLUTE).rstrip("/")
    if not source or ".." in source.split("/") or f"{source}/".startswith(tuple(f"{own}/" for own in VERIFIERS_OWN)):
        raise item.wrong("source", f"an absolute path without '..', not / and not in {' or '.join(VERIFIERS_OWN)}")
    return Artifact(item.need("source", TEXT), item.get("destination", "", TEXT), tuple(item.get("exclude", (), TEXTS)))


def artifact_items(listed: Iterable[Artifact]) -> list[Any]:
    """The same for task.toml."""
    return [
        {"source": one.source}
        | ({"destination": one.destination} if one.destination else {})
        | ({"exclude": list(one.exclude)} if one.exclude else {})
        if one.destination or one.exclude
        else one.source
        for one in listed
    ]


def sizes(environment: Table) -> Resources:
    """What [environment], or the verifier's, says of resources."""
    usual = Resources()
    return Resources(
        cpus=environment.get("cpus", usual.cpus, ABOVE_ZERO),
        memory_mb=environment.mib("memory_mb", "memory", usual.memory_mb),
        storage_mb=environment.mib("storage_mb", "storage", usual.storage_mb),
    )


def judge(config: Mapping[str, Any], image: str, like: Place) -> Judge:
    """What [verifier] says of how the tests run; `image` is what tests/Dockerfile builds, `like` the agent's place."""
    verifier = table(config, "verifier")
    verifier.only(("timeout_sec", "env", "user", "environment_mode", "environment", "collect", *_PHASE))
    if verifier.get("user", "root", USER) not in ("root", "0", 0):
        raise verifier.wrong("user", '"root"; tests run as root, in a sandbox that the agent is not in')
    mode = verifier.get("environment_mode", "", one_of("shared", "separate"))
    own = verifier.below("environment")
    if mode == "shared" and own.items:
        raise verifier.wrong("environment_mode", '"separate", as there is a [verifier.environment]')
    env = verifier.get("env", dict[str, str](), ENV)
    collect = tuple(_hook(item) for item in verifier.each("collect"))
    apart = mode == "separate" or "environment" in verifier.items
    return Judge(env, _place(own, image, like) if apart else None, collect)


def _place(own: Table, image: str, like: Place) -> Place:
    if not own.items and not image:
        return like
    image = own.get("docker_image", image or like.image, TEXT)
    env = own.get("env", dict[str, str](), ENV)
    return Place(image, own.get("workdir", "" if image else "/app", ABSOLUTE), env, sizes(own))


def _hook(item: Table) -> Hook:
    item.only(("command", "service", "timeout_sec", "user"))
    if item.get("service", MAIN, TEXT) != MAIN:
        raise item.wrong("service", f'"{MAIN}"; other containers are not supported')
    if item.get("user", "root", USER) not in ("root", "0", 0):
        raise item.wrong("user", '"root", or none')
    return Hook(item.need("command", TEXT), item.get("timeout_sec", Hook("").timeout_s, ABOVE_ZERO))


def judge_items(judge: Judge) -> dict[str, Any]:
    """The same for task.toml's [verifier]."""
    place, usual = judge.place, Place()
    collect = [{"command": hook.command, "timeout_sec": hook.timeout_s} for hook in judge.collect]
    items: dict[str, Any] = {"env": dict(judge.env), "collect": collect}
    if place is not None:
        own = {"docker_image": place.image, "env": dict(place.env), "workdir": place.workdir}
        size = {
            key: value
            for key in ("cpus", "memory_mb", "storage_mb")
            if (value := getattr(place.resources, key)) != getattr(usual.resources, key)
        }
        items |= {"environment_mode": "separate", "environment": {k: v for k, v in own.items() if v} | size}
    return {key: value for key, value in items.items() if value}


def steps(config: Mapping[str, Any], user: str) -> tuple[Step, ...]:
    """The steps that task.toml lists, without their files."""
    found: dict[str, Step] = {}
    for item in table(config).each("steps"):
        step = _step(item, user)
        if step.name.casefold() in found:
            raise item.wrong("name", "a name that no other step has")
        found[step.name.casefold()] = step
    return tuple(found.values())


def _step(item: Table, user: str) -> Step:
    item.only(("name", "agent", "verifier", "min_reward", "healthcheck", "artifacts"))
    name, agent, verifier = item.need("name", TEXT), item.below("agent"), item.below("verifier")
    if not name.strip() or "/" in name or name[0] == "." or not name.isprintable():
        raise item.wrong("name", "the name of a folder below steps/")
    agent.only(("timeout_sec", "user", *_PHASE))
    if user_of(agent, user) != user:
        raise agent.wrong("user", "none: all steps have the user of [agent]")
    for key in verifier.items.keys() - {"timeout_sec", *_PHASE}:
        raise verifier.wrong(key, "none: all steps are judged in the way that [verifier] says")
    return Step(
        name,
        "",
        min_reward=_min_reward(item),
        wall_s=_timeout(agent),
        verifier_s=_timeout(verifier),
        healthcheck=healthcheck(item),
        artifacts=artifacts(item),
    )


def _timeout(phase: Table) -> float | None:
    return phase.need("timeout_sec", ABOVE_ZERO) if "timeout_sec" in phase.items else None


def _min_reward(item: Table) -> dict[str, float]:
    if isinstance(item.items.get("min_reward"), dict):
        thresholds = item.below("min_reward")
        return {key: thresholds.get(key, 0.0, NUMBER) for key in thresholds.items}
    return {"reward": item.get("min_reward", 0.0, NUMBER)} if "min_reward" in item.items else {}


def step_items(step: Step, before: Mapping[str, Any]) -> dict[str, Any]:
    """The same for task.toml, on top of what it said of the step."""
    items = {key: value for key, value in before.items() if key not in ("min_reward", "healthcheck", "artifacts")}
    items["name"] = step.name
    for key, seconds in (("agent", step.wall_s), ("verifier", step.verifier_s)):
        kept = {name: value for name, value in before.get(key, {}).items() if name != "timeout_sec"}
        items[key] = kept | ({} if seconds is None else {"timeout_sec": seconds})
    single = set(step.min_reward) == {"reward"}
    items["min_reward"] = step.min_reward["reward"] if single else dict(step.min_reward)
    items["healthcheck"] = healthcheck_items(step.healthcheck)
    items["artifacts"] = artifact_items(step.artifacts)
    return {key: value for key, value in items.items() if value not in ({}, [])}


def network(config: Mapping[str, Any]) -> str:
    """What the task asks for: "public" if any of its phases does, else "none", also where it does not say."""
    root = table(config)
    environment, agent, verifier = (root.below(name) for name in ("environment", "agent", "verifier"))
    modes = [_mode(part) for part in (agent, verifier, verifier.below("environment"))]
    modes += [_mode(step.below(phase)) for step in root.each("steps") for phase in ("agent", "verifier")]
    if not _mode(agent):
        modes.append(_mode(environment))
    return "public" if "public" in modes else "none"


def _mode(part: Table) -> str:
    if part.get("network_mode", "", _NETWORKS) == "allowlist":
        raise part.wrong("network_mode", '"public" or "no-network"; a list of hosts cannot be kept to')
    if part.get("allowed_hosts", (), TEXTS):
        raise part.wrong("allowed_hosts", "none; a list of hosts cannot be kept to")
    legacy = part.items.get("allow_internet")
    if legacy is not None and not isinstance(legacy, bool):
        raise part.wrong("allow_internet", "true or false")
    return part.get("network_mode", {True: "public", False: "no-network", None: ""}[legacy], _NETWORKS)


def user_of(agent: Table, otherwise: str = "") -> str:
    """The agent's user; empty for root, which is what an image says where it says nothing."""
    if "user" not in agent.items:
        return otherwise
    return str(agent.need("user", USER))
