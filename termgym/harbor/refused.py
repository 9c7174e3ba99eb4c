"""What a task folder may ask for and does not get here, each refused by its name rather than left out in silence."""

import difflib
from collections.abc import Mapping
from typing import Any

from termgym.harbor.table import COUNT, TABLE, TABLES, TEXT, TEXTS, Table, one_of, table

SCHEMA_VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4")
STRATEGIES = ("mean", "final")
KNOWN = {
    "": "schema_version version source multi_step_reward_strategy artifacts task metadata verifier agent environment "
    "solution steps",
    "agent": "timeout_sec user network_mode allowed_hosts",
    "environment": "build_timeout_sec docker_image os cpus memory_mb storage_mb memory storage gpus gpu_types tpu "
    "mcp_servers env skills_dir healthcheck workdir network_mode allowed_hosts allow_internet",
}
"""Table -> the keys that Harbor knows in it; others are passed over, unless they are nearly one of these."""
NEARLY = 0.85


def check(config: Mapping[str, Any]) -> None:
    """Refuse what is not supported.

    Raises:
        TaskError: The task asks for it.
    """
    root = table(config)
    _check_version(root)
    for name, known in KNOWN.items():
        _check_spelling(table(config, name), known.split())
    root.get("multi_step_reward_strategy", "mean", one_of(*STRATEGIES))
    for name in ("environment", "verifier.environment"):
        _check_environment(table(config, name))
    ours = table(config, "metadata.termgym")
    if ours.get("layout", "harbor", TEXT) != "harbor":
        raise ours.wrong("layout", '"harbor", or none')


def _check_version(root: Table) -> None:
    key = "schema_version" if "schema_version" in root.items else "version"
    version = root.get(key, SCHEMA_VERSIONS[0], TEXT)
    if version not in SCHEMA_VERSIONS:
        raise root.wrong(key, f"one of {', '.join(SCHEMA_VERSIONS)}; a newer schema needs a newer termgym")


def _check_spelling(part: Table, known: list[str]) -> None:
    for key in part.items.keys() - set(known):
        if close := difflib.get_close_matches(key, known, n=1, cutoff=NEARLY):
            raise part.wrong(key, f"another name: did you mean {close[0]}?")


def _check_environment(environment: Table) -> None:
    if environment.get("os", "linux", TEXT).lower() != "linux":
        raise environment.wrong("os", '"linux"; other systems are not supported')
    if environment.get("gpus", 0, COUNT) > 0:
        raise environment.wrong("gpus", "0; GPUs are not supported yet")
    for key, kind, what in (
        ("gpu_types", TEXTS, "GPUs"),
        ("tpu", TABLE, "TPUs"),
        ("mcp_servers", TABLES, "MCP servers; an agent here types keys and has no other tools"),
        ("skills_dir", TEXT, "skills; an agent here types keys and has no folder of them"),
    ):
        if environment.get(key, None, kind):
            raise environment.wrong(key, f"none: no {what}")
