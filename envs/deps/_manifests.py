"""How packages of a source tree say what they are: four notations, and how a person would read each by Python."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Format(NamedTuple):
    """How manifests are written, and Python that reads the lists of one, as a person would type it."""

    file: str
    words: str
    write: Callable[[Mapping[str, str]], str]
    read: str
    commas: str = " (commas separate several)"


def _ini(fields: Mapping[str, str]) -> str:
    first = "".join(f"{key} = {value}\n" for key, value in fields.items() if key not in ("build", "test"))
    return f"[package]\n{first}\n[needs]\nbuild = {fields['build']}\ntest = {fields['test']}\n"


def _json(fields: Mapping[str, str]) -> str:
    lists = {key: value.split(", ") if value else [] for key, value in fields.items() if key in LISTS}
    return json.dumps({**fields, **lists}, indent=2) + "\n"


def _control(fields: Mapping[str, str]) -> str:
    return "".join(f"{NAMES[key]}: {value}".rstrip() + "\n" for key, value in fields.items())


def _lines(fields: Mapping[str, str]) -> str:
    pairs = [(key, one) for key, value in fields.items() for one in (value.split(", ") if key in LISTS else [value])]
    return "".join(f"{key} {value}\n" for key, value in pairs if value)


LISTS = ("provides", "build", "test")
NAMES = {
    "name": "Package", "version": "Version", "enabled": "Enabled", "provides": "Provides",
    "build": "Build-Needs", "test": "Test-Needs",
}  # fmt: skip
FORMATS = (
    Format("package.ini", "the line build of the section [needs]", _ini, """\
def read(text):
    c = configparser.ConfigParser()
    c.read_string(text)
    f = {**c['package'], **c['needs']}
    return {k: f.get(k, '').split(', ') if k in LISTS else f.get(k, '') for k in KEYS}
"""),
    Format("package.json", 'the list "build"', _json, """\
def read(text):
    f = json.loads(text)
    return {k: f.get(k, [] if k in LISTS else '') for k in KEYS}
""", ""),
    Format("CONTROL", "the field Build-Needs", _control, """\
def read(text):
    f = dict(line.split(':', 1) for line in text.splitlines())
    f = {k: f.get(n, '').strip() for k, n in zip(KEYS, NAMES)}
    return {k: v.split(', ') if k in LISTS else v for k, v in f.items()}
"""),
    Format("manifest", "the lines that begin with build", _lines, """\
def read(text):
    rows = [line.split(' ', 1) for line in text.splitlines()]
    return {k: [v for n, v in rows if n == k] if k in LISTS else dict(rows).get(k, '') for k in KEYS}
""", ""),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Package:
    """What a manifest says."""

    name: str
    folder: str
    version: str
    needs: tuple[str, ...]
    """As they are written: names, with versions and systems after them."""
    tests: tuple[str, ...]
    provides: tuple[str, ...] = ()
    off: bool = False


Graph = Mapping[str, frozenset[str]]
"""Name -> names that it needs; "?N" for a name N that is nobody's."""


def graph_of(packages: list[Package], system: str, tests: bool = False) -> Graph:
    """What needs what on a system, without the packages that are off."""
    there = [p for p in packages if not p.off]
    owner = {name: p.name for p in there for name in (p.name, *p.provides)}
    graph: dict[str, frozenset[str]] = {}
    for package in there:
        entries = [*package.needs, *(package.tests if tests else ())]
        names = [entry.split()[0] for entry in entries if "[" not in entry or f"[{system}]" in entry]
        graph[package.name] = frozenset(owner.get(name, f"?{name}") for name in names)
    return graph


def manifest(form: Format, package: Package) -> str:
    """All fields of a package that has them."""
    fields = {"name": package.name, "version": package.version}
    fields |= {"provides": ", ".join(package.provides)} if package.provides else {}
    fields |= {"enabled": "no"} if package.off else {}
    return form.write({**fields, "build": ", ".join(package.needs), "test": ", ".join(package.tests)})
