"""Tries the gates (`termgym.gates`) on many tasks, and says what came of them: a table, a proof of each family."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import median
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from termgym.candidate import Candidate
from termgym.episode import EpisodeConfig
from termgym.errors import TaskError
from termgym.family import Family
from termgym.gates import GENERATE_S, SHOWN, VERIFY_S, Gate, Record, try_gates
from termgym.proof import Proof, source_digest

SCORES = ("oracle", "idle", "wrong", "tamper")


@dataclass(frozen=True, slots=True)
class Validation:
    """All gates of one task."""

    task: str
    gates: Mapping[str, Gate]
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    """Dense: of the oracle, of idle, the best of the wrong ones, of tampering."""
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    """To generate it (processor time) and to verify the oracle's work."""
    candidate: Candidate | None = None
    checks: int = 0
    """How many the task has."""

    @property
    def passed(self) -> bool:
        """Whether none failed."""
        return all(gate.passed is not False for gate in self.gates.values())

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        gates = {name: {"passed": gate.passed, "reason": gate.reason} for name, gate in self.gates.items()}
        return {
            "task": self.task,
            "passed": self.passed,
            "gates": gates,
            "scores": dict(self.scores),
            "seconds": dict(self.seconds),
        }


async def validate(candidate: Candidate, sandbox: str = "namespace") -> Validation:
    """Try all gates of one task. What goes wrong in it is a reason, and nothing that is raised.

    Raises:
        SandboxUnavailable: This host cannot run such sandboxes.
    """
    try:
        task = candidate.load()
    except Exception as error:  # a family's generator is somebody's code, too
        reason = str(error) if isinstance(error, TaskError) else f"the generator raises {error!r}"
        return Validation(candidate.name, {"instruction": Gate(False, reason)}, candidate=candidate)
    record = Record()
    gates = await try_gates(candidate, task, EpisodeConfig(sandbox, network="none"), record)
    return Validation(task.id, gates, record.scores, record.seconds, candidate, len(task.checks))


async def validations(
    wanted: Iterable[Candidate], *, concurrency: int = 4, sandbox: str = "namespace"
) -> AsyncGenerator[Validation, None]:
    """Validate many, at most `concurrency` at a time, each handed out when it is done."""
    places = asyncio.Semaphore(concurrency)

    async def one(candidate: Candidate) -> Validation:
        async with places:
            return await validate(candidate, sandbox)

    running = [asyncio.create_task(one(candidate)) for candidate in wanted]
    try:
        for done in asyncio.as_completed(running):
            yield await done
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def proofs_of(found: Iterable[Validation]) -> list[Proof]:
    """What validations came to for each family among them."""
    of = [(one.candidate.of[0], one) for one in found if one.candidate and one.candidate.of]
    of.sort(key=lambda pair: (pair[0].name, pair[1].task))
    return [_proof([one for _, one in group], family) for family, group in groupby(of, key=lambda pair: pair[0])]


def _proof(found: Sequence[Validation], family: Family) -> Proof:
    def scores(name: str) -> list[float]:
        return [one.scores[name] for one in found if name in one.scores] or [0.0]

    def milliseconds(name: str) -> float:
        return round(1000 * median([one.seconds[name] for one in found if name in one.seconds] or [0.0]), 1)

    generate_ms, verify_ms = milliseconds("generate"), milliseconds("verify")
    held = all(gate.passed is not False for one in found for name, gate in one.gates.items() if name != "quick")
    return Proof(
        family=family.name,
        source=source_digest(family),
        passed=held and generate_ms <= 1000 * GENERATE_S and verify_ms <= 1000 * VERIFY_S,
        tasks=len(found),
        checks=(min(one.checks for one in found), max(one.checks for one in found)),
        oracle=min(scores("oracle")),
        idle=round(max(scores("idle")), 3),
        wrong=round(max(scores("wrong")), 3),
        tamper=round(max(scores("tamper")), 3),
        generate_ms=generate_ms,
        verify_ms=verify_ms,
    )


def table(found: Sequence[Validation]) -> Group:
    """A row for each task, and below why gates failed; for people."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    shown.add_column("task", overflow="fold")
    for name in ("gates", "oracle", "idle", "wrong", "tamper", "verify ms"):
        shown.add_column(name, justify="right", no_wrap=True)
    for one in found:
        shown.add_row(
            Text(one.task),
            _gates(one),
            *(_score(one, name) for name in ("oracle", "idle", "wrong", "tamper")),
            _verify(one),
        )
    return Group(shown, *(Text(f"{one.task}: {reason}") for one in found for reason in _reasons(one)))


def _gates(one: Validation) -> Text:
    tried = [gate.passed for gate in one.gates.values() if gate.passed is not None]
    return Text(f"{sum(tried)}/{len(tried)}", "green" if one.passed else "red")


def _score(one: Validation, name: str) -> str:
    return f"{one.scores[name]:.2f}" if name in one.scores else "-"


def _verify(one: Validation) -> str:
    return f"{1000 * one.seconds['verify']:.0f}" if "verify" in one.seconds else "-"


def _reasons(one: Validation) -> Iterator[str]:
    """Why gates failed, warnings, and whether there was an oracle at all."""
    for name, gate in one.gates.items():
        if gate.reason and (gate.passed is not None or name == "oracle"):
            yield " ".join(f"{name}: {gate.reason}".split())[:SHOWN]
