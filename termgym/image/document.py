"""JSON by strangers: values that are to be of some shape, or else an error that says which and where."""

import re
from dataclasses import dataclass
from typing import Any, TypeVar

from termgym.errors import ImageError

T = TypeVar("T")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Part:
    """A value in a JSON document, which is to be of some shape; `where` says where it is.

    Raises:
        ImageError: It is not of that shape; from all methods.
    """

    where: str
    value: Any

    def has(self, key: str) -> bool:
        """Whether it is an object with that field."""
        return isinstance(self.value, dict) and self.value.get(key) is not None  # pyright: ignore[reportUnknownMemberType]

    def field(self, key: str, otherwise: Any = None) -> "Part":
        """A field of an object; one that is missing or null is `otherwise`, if that is given."""
        value = self.mapping().get(key)
        if value is None and otherwise is None:
            raise ImageError(f"{self.where} has no {key!r}")
        return Part(f"{self.where}, {key}", otherwise if value is None else value)

    def items(self) -> list["Part"]:
        """The elements of a list."""
        return [Part(f"{self.where}[{i}]", value) for i, value in enumerate(self._of(list[Any], list, "a list"))]

    def mapping(self) -> dict[str, Any]:
        """An object."""
        return self._of(dict[str, Any], dict, "an object")

    def text(self) -> str:
        """A string."""
        return self._of(str, str, "a string")

    def digest(self) -> str:
        """A digest, as hex."""
        if match := _DIGEST.fullmatch(self.text()):
            return match[1]
        raise ImageError(f"{self.where} is no sha256 digest: {self.text()[:80]!r}")

    def blob(self) -> str:
        """The member of an OCI layout that a descriptor is of."""
        return f"blobs/sha256/{self.field('digest').digest()}"

    def _of(self, shape: type[T], kind: type, name: str) -> T:
        if not isinstance(self.value, kind):
            raise ImageError(f"{self.where} is not {name}: {repr(self.value)[:80]}")
        return self.value
