"""A workspace of packages whose interfaces have changed, and what a release makes of their versions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from termgym.lexicon import ADJECTIVES, ITEMS

BUMPS = ("none", "patch", "minor", "major")
VERBS = "open close load save find list sort join split merge count parse render check fetch store".split()
PARAMETERS = "path name limit mode depth width level colour format".split()


class Function(NamedTuple):
    """A function of an interface."""

    name: str
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()


@dataclass(slots=True)
class Package:
    """A package as it is found."""

    name: str
    version: tuple[int, int, int]
    old: list[Function]
    new: list[Function]
    needs: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    passes: str = ""
    private: bool = False
    noted: bool = False
    own: int = 0
    """The bump that its own changes make."""


def dotted(version: tuple[int, ...]) -> str:
    """As it is written."""
    return ".".join(map(str, version))


def make_packages(rng: Random, level: int) -> list[Package]:
    """Packages, each of which may need those before it."""
    packages: list[Package] = []
    names = [f"{a}-{b}" for a, b in zip(rng.sample(ADJECTIVES, 14), rng.sample(ITEMS, 14), strict=True)]
    for number, name in enumerate(names[: (0, 5, 7, 9, 11, 14)[level]]):
        version = (rng.randint(0 if level > 1 else 1, 3), rng.randint(1, 11), rng.randint(0, 9))
        package = Package(name, version, *_interfaces(rng, level, number))
        package.own = own_bump(package)
        for other in rng.sample(packages, min(len(packages), rng.randint(1, 3) if level > 2 else rng.randint(0, 2))):
            major, minor, _ = other.version
            package.needs[other.name] = (major, minor if major == 0 else rng.randint(0, minor))
        package.passes = rng.choice([*package.needs]) if level > 3 and package.needs and rng.random() < 0.5 else ""
        package.noted = level > 1 and rng.random() < 0.5
        package.private = level > 4 and number in (5, 9)
        packages.append(package)
    return packages


def _interfaces(rng: Random, level: int, number: int) -> tuple[list[Function], list[Function]]:
    """The interface of the last release, and that of now, in another order."""
    names = [f"{a}_{b}" for a, b in zip(rng.sample(VERBS, 7), rng.choices(ITEMS, k=7), strict=True)]
    old = [Function(name, tuple(rng.sample(PARAMETERS[:5], rng.randint(1, 3)))) for name in names[:5]]
    new, kind = (
        list(old),
        ("same", "lost", "gained", "changed", "same", "optional", "internal")[number % (3 + min(level, 4))],
    )
    if kind == "lost":
        new.pop()
    elif kind == "gained":
        new.append(Function(names[5], ("path",)))
    elif kind == "changed":
        new[0] = Function(new[0].name, (*new[0].needed[1:], rng.choice(PARAMETERS[5:])))
    elif kind == "optional" and level > 3:
        new[0] = new[0]._replace(optional=(rng.choice(PARAMETERS[5:]),))
    elif kind == "internal" and level > 4:
        old, new = [*old, Function("_" + names[6], ("path",))], [*new, Function("_" + names[5], ("name",))]
    while (mixed := rng.sample(new, len(new))) == old:
        pass
    return old, mixed


def own_bump(package: Package) -> int:
    old, new = ({one for one in side if one.name[0] != "_"} for side in (package.old, package.new))
    grown = {one._replace(optional=()) for one in new if one.optional}
    return 3 if old - new - grown else 2 if new - old else 0


def release(
    packages: Sequence[Package], level: int, needs: bool = True, zero: bool = True
) -> tuple[list[tuple[str, ...]], list[Package]]:
    """The plan's rows, and the packages as they are after it; two rules can be left out."""
    bumps: dict[str, int] = {}
    versions: dict[str, tuple[int, int, int]] = {}
    after: list[Package] = []
    for package in packages:  # in the order of their needs
        bump = package.own or int(package.noted)
        new_needs = dict(package.needs)
        for other, need in package.needs.items():
            if needs and level > 2 and not _fits(versions[other], need):
                new_needs[other], bump = versions[other][:2], max(bump, 1)
            if other == package.passes:
                bump = max(bump, bumps[other])
        bumps[package.name] = bump
        version = package.version if package.private else _raised(package.version, bump, zero)
        versions[package.name] = version
        after.append(Package(package.name, version, [], [], new_needs, package.passes, package.private))
    rows = sorted(
        (package.name, dotted(package.version), dotted(versions[package.name]), BUMPS[bumps[package.name]])
        for package in packages
        if versions[package.name] != package.version
    )
    return [*rows], after


def _raised(version: tuple[int, int, int], bump: int, zero: bool) -> tuple[int, int, int]:
    first, second, third = version
    if zero and first == 0 and bump > 1:
        bump -= 1
    return [version, (first, second, third + 1), (first, second + 1, 0), (first + 1, 0, 0)][bump]


def _fits(version: tuple[int, int, int], need: tuple[int, int]) -> bool:
    return version[0] == need[0] and (version[1] >= need[1] if need[0] else version[1] == need[1])
