"""What a task needs of a sandbox: its `SandboxSpec`, or a refusal by name where the kind of sandbox has it not."""

import re
from collections.abc import Mapping

from termgym.errors import TaskError
from termgym.image.store import image_of
from termgym.sandbox import SandboxSpec
from termgym.task import Place, Task

NETWORKS = ("task", "none")
"""The option `network`: as the task asks, or none in any case."""
OFFLINE = ("namespace",)
"""Kinds of sandboxes that have no network but loopback."""
STORED = ("namespace",)
"""Kinds of sandboxes whose images are those of the store."""
_VARIABLE = re.compile(r"\$\{(\w+)(:-([^}]*))?\}")


def spec_of(task: Task, kind: str, network: str = "task") -> SandboxSpec:
    """What a sandbox of this kind is started with for a task.

    Raises:
        TaskError: The kind cannot give what the task asks for; says the field, and what to do.
    """
    check(task, kind, network)
    wanted = task.network if network == "task" else "none"
    env = expanded(task.env, f"{task.id}: [environment] env")
    return SandboxSpec(task.image, task.workdir, env, wanted, task.resources, task.user)


def place_spec(task: Task, place: Place) -> SandboxSpec:
    """The same for the verifier's own place; it never has a network."""
    env = expanded(place.env, f"{task.id}: [verifier.environment] env")
    return SandboxSpec(place.image, place.workdir, env, resources=place.resources)


def check(task: Task, kind: str, network: str = "task") -> None:
    """Refuse a task that this kind of sandbox cannot run as it asks.

    Raises:
        TaskError: It asks for a network, a variable of the host or an image to judge by that there is not.
    """
    if kind in STORED:
        image_of(task.judge.image)  # to be told now, and not when the first episode is over
    if task.network != "none" and network == "task" and kind in OFFLINE:
        raise TaskError(
            f"{task.id}: [environment] network_mode asks for the network ({task.network}), which the {kind} sandbox "
            'has not; use sandbox="docker", or network="none" to run it offline'
        )
    expanded(task.env, f"{task.id}: [environment] env")
    expanded(task.judge.env, f"{task.id}: [verifier] env")


def expanded(env: Mapping[str, str], where: str) -> dict[str, str]:
    """Environment variables with `${NAME:-default}` replaced by its default.

    Harbor takes NAME from the host. Here nothing of the host's environment gets in: an episode must not depend on it,
    nor could it be kept from whoever wrote the task.

    Raises:
        TaskError: There is no default.
    """

    def default(found: re.Match[str]) -> str:
        if found[2] is None:
            raise TaskError(f"{where}: {found[0]} is the host's; write a value, or a default: ${{{found[1]}:-VALUE}}")
        return found[3]

    return {name: _VARIABLE.sub(default, value) for name, value in env.items()}
