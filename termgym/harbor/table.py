"""A table of task.toml, read with suspicion: every value is checked, and every error says where it stands."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from termgym.errors import TaskError, UnknownName

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value may be."""

    expected: str
    types: tuple[type, ...]
    holds: Callable[[Any], bool] = lambda _: True

    def fits(self, value: object) -> bool:
        """Whether this value may be. A boolean, though an `int` to Python, is no number."""
        right = isinstance(value, self.types) and (bool in self.types or not isinstance(value, bool))
        return right and self.holds(value)


def list_of(kind: Kind) -> Kind:
    """A list of values of a kind."""
    return Kind(f"a list, each item {kind.expected}", (list,), lambda items: all(map(kind.fits, items)))


def one_of(*names: str) -> Kind:
    """One of some words."""
    return Kind(f"one of {', '.join(names)}", (str,), lambda value: value in names)


def table_of(kind: Kind) -> Kind:
    """A table of values of a kind."""
    return Kind(f"a table, each value {kind.expected}", (dict,), lambda items: all(map(kind.fits, items.values())))


TEXT = Kind("a string", (str,))
FLAG = Kind("true or false", (bool,))
ABOVE_ZERO = Kind("a finite number above 0", (int, float), lambda value: 0 < value < math.inf)
FROM_ZERO = Kind("a finite number, 0 or more", (int, float), lambda value: 0 <= value < math.inf)
NUMBER = Kind("a finite number", (int, float), math.isfinite)
COUNT = Kind("a whole number, 0 or more", (int,), lambda value: value >= 0)
SIZE = Kind("a whole number, 1 or more", (int,), lambda value: value >= 1)
LEVEL = Kind("a whole number from 0 to 5", (int,), lambda value: 0 <= value <= 5)
ABSOLUTE = Kind("an absolute path", (str,), lambda value: value.startswith("/") and value.isprintable())
FOLDER = Kind("an absolute path, or empty", (str,), lambda value: not value or ABSOLUTE.fits(value))
TEXTS = list_of(TEXT)
ENV = table_of(TEXT)
TABLE = Kind("a table", (dict,))
USER = Kind("a user's name or number", (str, int), lambda value: value != "" and str(value).isprintable())
TABLES = list_of(TABLE)
MODES = table_of(
    Kind('octal permission bits such as "0600"', (str,), lambda value: bool(re.fullmatch("[0-7]{3,4}", value)))
)
MTIMES = table_of(Kind("whole seconds since 1970", (int,)))
_BYTES = re.compile(r"(\d+(?:\.\d+)?)([KMGT])(?:i?B)?")
_MIB = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}


@dataclass(frozen=True, slots=True)
class Table:
    """A table and its name, as in an error message."""

    name: str
    items: Mapping[str, Any]
    file: str = "task.toml"

    def get(self, key: str, default: T, kind: Kind) -> T:
        """The value of a key, or the default where there is none.

        Raises:
            TaskError: The value is not of the kind.
        """
        if key not in self.items:
            return default
        if not kind.fits(self.items[key]):
            raise self.wrong(key, kind.expected)
        return self.items[key]

    def mib(self, key: str, legacy: str, default: int) -> int:
        """MiB of a whole number, or of a legacy key's text such as "2G"."""
        if key in self.items or legacy not in self.items:
            return self.get(key, default, SIZE)
        match = _BYTES.fullmatch(self.get(legacy, "", TEXT))
        size = int(float(match[1]) * _MIB[match[2]]) if match else 0
        if size < 1:
            raise self.wrong(legacy, 'a size such as "512M" or "2G"')
        return size

    def need(self, key: str, kind: Kind) -> Any:
        """The value of a key that must be there.

        Raises:
            TaskError: It is missing, or not of the kind.
        """
        if key not in self.items:
            raise TaskError(f"{self.file}: {self._where(key)}: missing; expected {kind.expected}")
        return self.get(key, None, kind)

    def below(self, key: str) -> "Table":
        """The table of a key, empty where there is none.

        Raises:
            TaskError: It is no table.
        """
        name = f"{self.name}.{key}" if self.name else key
        return Table(name, self.get(key, dict[str, Any](), TABLE), self.file)

    def each(self, key: str) -> "list[Table]":
        """The tables that a key lists.

        Raises:
            TaskError: It is no list of tables.
        """
        name = f"{self.name}.{key}" if self.name else key
        items = self.get(key, list[dict[str, Any]](), TABLES)
        return [Table(f"{name}.{number}", item, self.file) for number, item in enumerate(items)]

    def only(self, known: Iterable[str]) -> None:
        """Refuse keys that are not `known`, where a slip of the pen would change what is run or how it is judged.

        Raises:
            TaskError: There is another; the message suggests what was meant.
        """
        for key in self.items.keys() - set(known):
            raise TaskError(f"{self.file}: {self._where(key)}: {UnknownName('key', key, known)}")

    def wrong(self, key: str, expected: str) -> TaskError:
        """The error for a key's value."""
        return TaskError(f"{self.file}: {self._where(key)} is {self.items[key]!r:.100}; expected {expected}")

    def _where(self, key: str) -> str:
        return f"[{self.name}] {key}" if self.name else key


def table(config: Mapping[str, Any], name: str = "") -> Table:
    """The table of a dotted name, empty where there is none; the root for no name.

    Raises:
        TaskError: Something else than a table has that name.
    """
    at: Any = config
    walked: list[str] = []
    for part in name.split(".") if name else ():
        at = cast("Mapping[str, Any]", at).get(part, {})
        walked.append(part)
        if not isinstance(at, Mapping):
            raise TaskError(f"task.toml: [{'.'.join(walked)}] is {at!r:.100}; expected a table")
    return Table(name, cast("Mapping[str, Any]", at))
