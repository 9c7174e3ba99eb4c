"""A proof: what came of a family's gates, and from which source. Families without one are neither listed nor drawn.

The proofs lie beside the families, in envs/proven.json. A family whose file has changed since is unproven again, until
`termgym validate --all --record` has tried its gates.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import termgym.envs
from termgym.family import Family, families
from termgym.task import DOMAINS

FILE = "proven.json"


@dataclass(frozen=True, slots=True)
class Proof:
    """What the gates of several of a family's tasks came to; scores are dense."""

    family: str
    source: str
    """Of the code that was tried, as `source_digest` gives it."""
    passed: bool
    """Whether no gate failed."""
    tasks: int
    """How many were tried, of all levels."""
    checks: tuple[int, int]
    """The least and the most that one of them has."""
    oracle: float
    """The lowest score of the known solution."""
    idle: float
    """The highest score of doing nothing."""
    wrong: float
    """The highest score of a wrong solution."""
    tamper: float
    """The highest score of tampering."""
    generate_ms: float
    """Median processor time to make a task."""
    verify_ms: float
    """Median time to judge the oracle's work, with others running beside it."""


def path() -> Path:
    """Where the proofs are: with the families, in a checkout as in a wheel."""
    return Path(termgym.envs.__path__[-1]) / FILE


def source_digest(family: Family) -> str:
    """The hash of a family's file, and of those of its area with an underscore first that it names; 16 hex digits."""
    file = Path(str(sys.modules[family.generate.__module__].__file__))
    found = [file.read_bytes()]
    for path in sorted(file.parent.glob("_[!_]*.py")):
        if path.stem.encode() in found[0]:
            found.append(path.read_bytes())
    return sha256(b"\0".join(found)).hexdigest()[:16]


@cache
def proofs() -> Mapping[str, Proof]:
    """Family -> its proof, of this source or an earlier one."""
    try:
        rows = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {row["family"]: _read(row) for row in rows}


def _read(row: dict[str, Any]) -> Proof:
    row["checks"] = tuple(row["checks"])
    return Proof(**row)


@cache
def proven() -> Mapping[str, Family]:
    """Name -> family, of all whose source has passed its gates."""
    return {name: family for name, family in families().items() if not reason(family)}


def reason(family: Family) -> str:
    """Why a family counts as unproven, or nothing."""
    proof = proofs().get(family.name)
    if proof is None:
        return "its gates were never tried"
    if proof.source != source_digest(family):
        return "it has changed since its gates were tried"
    return "" if proof.passed else "it failed a gate"


def record(found: Iterable[Proof]) -> None:
    """Write these proofs, in place of earlier ones of the same families; families that are gone lose theirs."""
    merged = {name: proof for name, proof in proofs().items() if name in families()}
    merged |= {proof.family: proof for proof in found}
    rows = [json.dumps(asdict(merged[name])) for name in sorted(merged)]
    path().write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")
    proofs.cache_clear()
    proven.cache_clear()


HEAD = """\
# The task families

Made by `termgym validate --all --n 10 --record docs/TASKS.md`, which tried the gates of each family on tasks of all its
levels. Skills after a number are those that a level adds. Scores are dense: the lowest of the known solution, the
highest of doing nothing, of the wrong solutions, and of tampering with all that can be reached. To generate a task is
processor time, to verify one is time with others running beside it; both are medians, in milliseconds.

{families} families, {tasks} tasks tried.
"""
COLUMNS = "family skills checks oracle idle wrong tamper generate verify".split()


def page() -> str:
    """All proofs as a page of Markdown, by domain."""
    known = {name: proof for name, proof in proofs().items() if name in families()}
    parts = [HEAD.format(families=len(known), tasks=sum(proof.tasks for proof in known.values()))]
    for domain in DOMAINS:
        mine = [name for name in known if families()[name].domain == domain]
        parts += [f"## {domain}\n", *(_about(families()[name]) for name in mine), ""] if mine else []
        rows = [COLUMNS, ["---"] * 2 + ["---:"] * 7, *(_row(families()[name], known[name]) for name in mine)]
        parts += ["".join(f"| {' | '.join(row)} |\n" for row in rows)] if mine else []
    return "\n".join(parts)


def _about(family: Family) -> str:
    return f"- `{family.name}`: {family.summary}"


def _row(family: Family, proof: Proof) -> list[str]:
    deeper = [f"{level}: {', '.join(skills)}" for level, skills in sorted(family.deeper.items())]
    low, high = proof.checks
    scores = (proof.oracle, proof.idle, proof.wrong, proof.tamper)
    return [
        f"`{family.name}`" + ("" if proof.passed else " **failed**"),
        "; ".join([", ".join(family.skills), *deeper]),
        f"{low}" if low == high else f"{low}-{high}",
        *(f"{score:.2f}" for score in scores),
        f"{proof.generate_ms:.1f}",
        f"{proof.verify_ms:.0f}",
    ]
