"""docker-compose.yaml: what it says of the one container that an agent works in. All that goes beyond is refused."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from termgym.errors import TaskError
from termgym.harbor.table import ABSOLUTE, TABLE, TEXT, Table
from termgym.task import File

HONOURED = ("build", "command", "container_name", "environment", "image", "volumes", "working_dir")
_TEMPLATE = re.compile(r"\$\{?(\w+)")


@dataclass(frozen=True, slots=True)
class Service:
    """What a compose file says of a container."""

    image: str = ""
    """Empty where a Dockerfile is built."""
    workdir: str = ""
    env: Mapping[str, str] = field(default_factory=dict[str, str])


def service(file: File, path: str, name: str, harness: str = "") -> Service:
    """The service `name` of a compose file, which must be the only one.

    `harness` begins the names of variables that the harness sets, where values may refer to them.

    Raises:
        TaskError: It is malformed, or asks for what one container without privileges is not.
    """
    root = Table("", document(file, path), path)
    services = root.below("services")
    for other in services.items.keys() - {name}:
        raise TaskError(f"{path}: [services] {other}: other containers are not supported; expected {name} alone")
    if name not in services.items:
        raise TaskError(f"{path}: [services] {name}: missing; expected the agent's container")
    for key in root.items.keys() - {"services", "version", "name"}:
        raise TaskError(f"{path}: {key}: not supported; expected services alone")
    main = services.below(name)
    for key in main.items.keys() - set(HONOURED):
        raise TaskError(
            f"{path}: [services.{name}] {key} is {main.items[key]!r:.100}; expected {', '.join(HONOURED)} alone"
        )
    _check_volumes(main, harness)
    image = main.get("image", "", TEXT)
    return Service("" if "$" in image else image, main.get("working_dir", "", ABSOLUTE), _environment(main, harness))


def document(file: File, path: str) -> dict[str, Any]:
    """A YAML file that holds one table.

    Raises:
        TaskError: It does not.
    """
    value = parsed(file, path)
    if not TABLE.fits(value):
        raise TaskError(f"{path}: is {value!r:.100}; expected a table")
    return cast("dict[str, Any]", value)


def parsed(file: File, path: str) -> object:
    """What a YAML file holds; no tag in it makes anything but plain data.

    Raises:
        TaskError: It is not YAML.
    """
    try:
        return yaml.safe_load(file.content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise TaskError(f"{path}: not YAML: {' '.join(str(error).split())}") from error


def _check_volumes(main: Table, harness: str) -> None:
    """The harness's folders for logs are not needed; other volumes are the host's files."""
    for volume in cast("list[object]", main.items.get("volumes") or []):
        if not (harness and isinstance(volume, str) and volume.startswith(f"${{{harness}")):
            raise main.wrong("volumes", "none: folders of the host are not shown to an agent")


def _environment(main: Table, harness: str) -> dict[str, str]:
    given: object = main.items.get("environment") or {}
    if isinstance(given, list):
        pairs = [str(item).partition("=") for item in cast("list[object]", given)]
        given = {name: value for name, _, value in pairs}
    if not isinstance(given, dict):
        raise main.wrong("environment", "a table or a list of NAME=VALUE")
    env = {str(key): str(value) for key, value in cast("dict[object, object]", given).items()}
    return {key: value for key, value in env.items() if not (harness and _refers(value, harness))}


def _refers(value: str, harness: str) -> bool:
    return any(name.startswith(harness) for name in _TEMPLATE.findall(value))
