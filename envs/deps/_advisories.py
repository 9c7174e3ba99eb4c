"""Packages with their versions and advisories about them, so arranged that each rule of an audit makes a difference."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

Version = tuple[int, ...]


def dotted(version: Version) -> str:
    """As it is written."""
    return ".".join(map(str, version))


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a package, and what is said of it."""

    version: Version
    yanked: bool = False
    pre: bool = False
    runtime: Version = ()

    def __str__(self) -> str:
        """As it is written."""
        return dotted(self.version) + ("-rc1" if self.pre else "")

    @property
    def line(self) -> str:
        """What the index has."""
        return f"{self}{' yanked' * self.yanked}" + (f" runtime>={dotted(self.runtime)}" if self.runtime else "")


@dataclass(frozen=True, slots=True)
class Advisory:
    """What is affected."""

    name: str
    package: str
    ranges: tuple[tuple[Version, Version | None], ...]
    severity: float = 7.5
    withdrawn: bool = False
    alias: str = ""

    def affects(self, version: Version) -> bool:
        """Whether a version lies in a range."""
        return any(first <= version and (end is None or version < end) for first, end in self.ranges)


@dataclass(slots=True)
class Package:
    """A package of the lock."""

    name: str
    releases: list[Release]
    at: int
    """The number of the locked release."""
    bounds: dict[str, Version] = field(default_factory=dict[str, Version])
    """Other package -> the version that it has to be older than."""
    advisories: list[Advisory] = field(default_factory=list[Advisory])

    @property
    def locked(self) -> Release:
        """The release in the lock."""
        return self.releases[self.at]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the audit goes by."""

    threshold: float
    runtime: Version


def make_package(rng: Random, name: str) -> Package:
    """Eight to ten versions, the first ones with a minor number of one digit, the last ones with two."""
    major, minors = rng.randint(0, 4), [7, 8, 9, 10, 11, *rng.sample([7, 8, 9, 9, 10, 10, 11, 12], rng.randint(3, 5))]
    versions: list[Version] = []
    for minor in sorted(minors):
        again = bool(versions) and versions[-1][1] == minor
        versions.append((major, minor, versions[-1][2] + rng.randint(1, 12) if again else rng.randint(0, 3)))
    straddling = [at for at in range(1, 4) if versions[at][1] < 10]
    return Package(name, [Release(version) for version in versions], rng.choice(straddling))


def _report(rng: Random, package: Package, first: int, end: int | None) -> Advisory:
    """An advisory about the versions from one number to before another."""
    v = [release.version for release in package.releases]
    name = f"{rng.choice(('ADV', 'SEC', 'VUL'))}-{rng.randint(2019, 2025)}-{rng.randint(1000, 9999)}"
    advisory = Advisory(name, package.name, ((v[first], None if end is None else v[end]),))
    package.advisories.append(advisory)
    return advisory


def _double_digits(package: Package) -> int:
    """The number of the first version with a minor number of two digits, past the locked one."""
    minors = [at for at, release in enumerate(package.releases) if release.version[1] > 9 and at > package.at]
    return minors[0] if minors else package.at + 1


def _affected(rng: Random, rules: Rules, package: Package, other: Package) -> None:
    """The locked version is affected, up to one whose minor number has two digits."""
    _report(rng, package, rng.randint(0, package.at), min(_double_digits(package), len(package.releases) - 2))


def _safe(rng: Random, rules: Rules, package: Package, other: Package) -> None:
    """Only later versions are affected."""
    _report(rng, package, package.at + 1, None)


def _yanked(rng: Random, rules: Rules, package: Package, other: Package) -> None:
    end = rng.randint(package.at + 1, len(package.releases) - 3)
    _report(rng, package, 0, end)
    package.releases[end] = replace(package.releases[end], yanked=True)


def _twice(rng: Random, rules: Rules, package: Package, other: Package) -> None:
    """One advisory has two ranges, and another one begins where the second ends."""
    at, v = package.at, [release.version for release in package.releases]
    advisory = _report(rng, package, at, at + 1)
    package.advisories[-1] = replace(advisory, ranges=((v[at], v[at + 1]), (v[at + 2], v[at + 3])))
    _report(rng, package, at + 1, at + 2)


def _bounded(rng: Random, rules: Rules, package: Package, other: Package) -> None:
    """The version that would do is too new for a package that needs this one."""
    _report(rng, package, package.at, package.at + 2)
    other.bounds[package.name] = package.releases[package.at + 2].version


def _loose(rng: Random, rules: Rules, package: Package, other: Package) -> None:
    """A bound that does no harm."""
    _report(rng, package, package.at, package.at + 1)
    other.bounds[package.name] = package.releases[package.at + 3].version


def _withdrawn(rng: Random, rules: Rules, package: Package, other: Package) -> None:
    package.advisories[:] = [replace(_report(rng, package, package.at, package.at + 1), withdrawn=True)]


def _low(rng: Random, rules: Rules, package: Package, other: Package) -> None:
    """One advisory is below the threshold, one right at it."""
    low = replace(_report(rng, package, 0, package.at + 4), severity=rules.threshold - 0.1)
    just = replace(_report(rng, package, 0, package.at + 1), severity=rules.threshold)
    package.advisories[:] = [low, just]


def _pre(rng: Random, rules: Rules, package: Package, other: Package) -> None:
    _report(rng, package, package.at, package.at + 1)
    package.releases[package.at + 1] = replace(package.releases[package.at + 1], pre=True)


def _runtime(rng: Random, rules: Rules, package: Package, other: Package) -> None:
    """The next version needs a newer runtime than ours, the one after it an older one."""
    at, (major, minor) = package.at, rules.runtime
    _report(rng, package, at, at + 1)
    package.releases[at + 1] = replace(package.releases[at + 1], runtime=(major, minor + 1))
    package.releases[at + 2] = replace(package.releases[at + 2], runtime=(major, minor - 1))


def _alias(rng: Random, rules: Rules, package: Package, other: Package) -> None:
    first = _report(rng, package, package.at, package.at + 1)
    second = _report(rng, package, package.at, package.at + 3)
    package.advisories[:] = [first, replace(second, alias=first.name)]


KINDS: tuple[Callable[[Random, Rules, Package, Package], None], ...] = (
    _affected, _safe, _yanked, _twice, _bounded, _withdrawn, _loose, _low, _pre, _runtime, _alias
)  # fmt: skip
