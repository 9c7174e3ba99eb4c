"""Python packages as wheels have them, and as they are installed: modules, METADATA and RECORD."""

import hashlib
import io
import re
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from termgym.lexicon import ADJECTIVES, ITEMS

VERBS = "count fold merge order parse render split trim".split()


@dataclass(slots=True)
class Package:
    """An installed package."""

    name: str
    version: str
    hash: str
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Path from the folder -> content, as it should be."""
    requires: list[str] = field(default_factory=list[str])

    @property
    def info(self) -> str:
        """Its .dist-info folder."""
        return f"{re.sub('[-_.]+', '_', self.name)}-{self.version}.dist-info"

    @property
    def record(self) -> bytes:
        """Its RECORD."""
        lines: list[str] = []
        for path, content in self.files.items():
            digest = urlsafe_b64encode(hashlib.new(self.hash, content).digest()).decode().rstrip("=")
            quoted = f'"{path}"' if "," in path else path
            lines.append(f"{quoted},{self.hash}={digest},{len(content)}\n")
        return "".join([*lines, f"{self.info}/RECORD,,\n"]).encode()

    @property
    def wheel(self) -> bytes:
        """The archive that it was installed from."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path, content in {**self.files, f"{self.info}/RECORD": self.record}.items():
                inside = path.replace("../../../bin/", f"{self.info[:-10]}.data/scripts/")
                archive.writestr(zipfile.ZipInfo(inside, (2024, 5, 1, 12, 0, 0)), content)
        return buffer.getvalue()


def make_packages(rng: Random, level: int) -> Iterator[Package]:
    """So many as a level has, without METADATA yet."""
    count = (0, 3, 5, 6, 8, 10)[level]
    joints = rng.choices("-_.", k=count)
    words = [
        f"{a}{j}{b}" for a, j, b in zip(rng.sample(ADJECTIVES, count), joints, rng.sample(ITEMS, count), strict=True)
    ]
    names = [word.title() if rng.random() < 0.4 else word for word in words]
    for name in names:
        yield _package(rng, level, name, f"{rng.randint(0, 4)}.{rng.randint(9, 13)}.{rng.randint(0, 9)}")


def _package(rng: Random, level: int, name: str, version: str) -> Package:
    package = Package(name, version, rng.choice(("sha256", "sha512")) if level > 3 else "sha256")
    folder = re.sub("[-_.]+", "_", name).lower()
    modules = ["__init__", *rng.sample(VERBS, rng.randint(2, 3))]
    for module in modules:
        package.files[f"{folder}/{module}.py"] = code(rng, module)
    if level > 3:
        package.files[f"{folder}/data/{rng.choice(VERBS)}, {rng.choice(VERBS)}.txt"] = code(rng, "table")
        package.files[f"../../../bin/{folder.replace('_', '-')}"] = b"#!/usr/bin/python3\n" + code(rng, "main")
    package.files[f"{package.info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return package


def code(rng: Random, name: str) -> bytes:
    """A small module."""
    lines = [f"LIMIT_{n} = {rng.randint(1000, 9999)}" for n in range(rng.randint(2, 5))]
    return "\n".join([*lines, "", "", f"def {name}(value):", f"    return value * {rng.randint(10, 99)}", ""]).encode()


def wheels(rng: Random, packages: Sequence[Package]) -> Iterator[tuple[str, bytes]]:
    """Name and content: the wheel of each package, and of some another version."""
    for number, package in enumerate(packages):
        yield f"{package.info[:-10]}-py3-none-any", package.wheel
        if number % 2:
            newer = Package(package.name, f"{int(package.version[0]) + 1}.0.0", package.hash)
            newer.files = {path: code(rng, "newer") for path in package.files if ".dist-info" not in path}
            yield f"{newer.info[:-10]}-py3-none-any", newer.wheel
