"""Gates that a task has to pass before anybody trains on it, whoever wrote it.

    instruction   there is one, for every step
    offline       it asks for no network; a warning where its test.sh downloads, which fails below
    oracle        the known solution, typed key by key, scores 1; a task without one is said to have none
    twice         the verifier, run again on what the oracle left, says the same
    idle          doing nothing scores below 1
    wrong         wrong solutions score below 1: a family's own, or the scripts in solution/wrong/ of a task folder

A gate that cannot be tried is neither passed nor failed.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from termgym.episode import Episode, EpisodeConfig, outcome_of
from termgym.errors import SandboxUnavailable, TaskError, TermgymError
from termgym.family import Family
from termgym.image import bootstrap
from termgym.policy import Message, find_policy
from termgym.source import TaskSource
from termgym.sources import is_spec, open_source
from termgym.task import Task
from termgym.verifier import Verdict

GATES = ("instruction", "offline", "oracle", "twice", "idle", "wrong")
WRONG = "wrong"
SHOWN = 300
"""Characters of a reason in the table."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What trying one gate came to."""

    passed: bool | None
    """None where it could not be tried."""
    reason: str = ""
    """Why not, or why it could not be tried; of one that passed, a warning."""


@dataclass(frozen=True, slots=True)
class Validation:
    """All gates of one task."""

    task: str
    gates: Mapping[str, Gate]

    @property
    def passed(self) -> bool:
        """Whether none failed."""
        return all(gate.passed is not False for gate in self.gates.values())

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        gates = {name: {"passed": gate.passed, "reason": gate.reason} for name, gate in self.gates.items()}
        return {"task": self.task, "passed": self.passed, "gates": gates}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task to validate, read when its turn comes."""

    name: str
    load: Callable[[], Task]
    wrong: Callable[[Task], Mapping[str, Task]] = field(default=lambda task: scripts(task))
    """Name -> the task with a wrong solution in place of its own."""


def candidates(specs: Sequence[str], n: int = 1, seed: int = 0, level: int | None = None) -> list[Candidate]:
    """What there is to validate: `n` tasks of each family, of its levels in turn, and all tasks of a source.

    Raises:
        UnknownName: There is no such family.
        TaskError: There are no tasks at a path.
    """
    return [candidate for spec in specs for candidate in _candidates(spec, n, seed, level)]


def _candidates(spec: str, n: int, seed: int, level: int | None) -> Iterator[Candidate]:
    if is_spec(spec):
        shelf = open_source(spec)
        yield from (Candidate(name, lambda number=number: shelf[number]) for number, name in enumerate(shelf.names))
        return
    (choice,) = TaskSource(spec, level).choices
    if isinstance(choice, Task):
        yield Candidate(choice.id, lambda: choice)
    elif isinstance(choice, Family):
        for number in range(n):
            yield _of_family(choice, seed + number, level or 1 + number % choice.levels)


def _of_family(family: Family, seed: int, level: int) -> Candidate:
    def wrong(task: Task) -> dict[str, Task]:
        return {name: replace(task, oracle=keys) for name, keys in family.wrong(seed, level).items()}

    return Candidate(f"{family.name}@{seed}.{level}", lambda: family.task(seed, level), wrong)


def scripts(task: Task) -> dict[str, Task]:
    """Name -> the task with one of solution/wrong/*.sh as its solution."""
    found = {path: file for path, file in task.solution.items() if PurePosixPath(path).match(f"{WRONG}/*.sh")}
    return {
        PurePosixPath(path).stem: replace(task, oracle=(), solution={**task.solution, "solve.sh": file})
        for path, file in found.items()
    }


async def validate(candidate: Candidate, sandbox: str = "namespace") -> Validation:
    """Try all gates of one task. What goes wrong in it is a reason, and nothing that is raised.

    Raises:
        SandboxUnavailable: This host cannot run such sandboxes.
    """
    try:
        task = candidate.load()
    except TaskError as error:
        return Validation(candidate.name, {"instruction": Gate(False, str(error))})
    config = EpisodeConfig(sandbox, network="none")
    gates = {"instruction": _instruction(task), "offline": _offline(task)}
    gates |= await _oracle(task, config)
    gates["idle"] = await _below_one(task, "idle", config)
    gates[WRONG] = await _wrong(candidate.wrong(task), config)
    return Validation(task.id, gates)


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


def _instruction(task: Task) -> Gate:
    empty = [step.name for step in task.steps if not step.instruction.strip()]
    if empty or not (task.steps or task.instruction.strip()):
        return Gate(False, f"the instruction is empty{' of ' + ', '.join(empty) if empty else ''}")
    return Gate(True)


def _offline(task: Task) -> Gate:
    if task.network != "none":
        return Gate(False, f"asks for the network ({task.network})")
    tests = [task.tests, *(step.tests for step in task.steps)]
    scripts = [each["test.sh"].content.decode(errors="replace") for each in tests if "test.sh" in each]
    tools = sorted({tool for script in scripts for tool in bootstrap.downloads(script)})
    if task.checks or task.judge.image or not tools:
        return Gate(True)
    advice = "`termgym image verifier` makes an image that has what it gets, for ?verifier_image="
    return Gate(True, f"a warning: tests/test.sh downloads by {', '.join(tools)}; {advice}")


async def _oracle(task: Task, config: EpisodeConfig) -> dict[str, Gate]:
    try:
        verdicts = await _play(task, "oracle", config, verdicts=1 if task.steps else 2)
    except TermgymError as error:
        none = isinstance(error, TaskError) and "comes without a solution" in str(error)
        gate = Gate(None, "no oracle") if none else Gate(False, _why(error))
        return {"oracle": gate, "twice": Gate(None, "the oracle gave no verdict")}
    first, *again = verdicts
    oracle = Gate(bool(first.binary), "" if first.binary else f"scores {first.dense:g}: {_lost(first)}")
    if not again:
        return {"oracle": oracle, "twice": Gate(None, "a task of several steps")}
    same = _scores(first) == _scores(again[0])
    return {"oracle": oracle, "twice": Gate(same, "" if same else f"first {_scores(first)}, then {_scores(again[0])}")}


async def _below_one(task: Task, policy: str, config: EpisodeConfig) -> Gate:
    try:
        (verdict,) = await _play(task, policy, config)
    except TermgymError as error:
        return Gate(False, _why(error))
    return Gate(not verdict.binary, "scores 1" if verdict.binary else "")


async def _wrong(tasks: Mapping[str, Task], config: EpisodeConfig) -> Gate:
    if not tasks:
        return Gate(None, "no wrong solutions")
    gates = {name: await _below_one(task, "oracle", config) for name, task in tasks.items()}
    return Gate(
        all(gate.passed for gate in gates.values()), "; ".join(f"{n}: {g.reason}" for n, g in gates.items() if g.reason)
    )


async def _play(task: Task, policy: str, config: EpisodeConfig, verdicts: int = 1) -> list[Verdict]:
    """One episode, judged so many times."""
    episode = Episode(task, config)
    try:
        actor = find_policy(policy)(task, 0)
        conversation = [Message("user", await episode.reset())]
        while episode.reason is None:
            reply = await actor.act(conversation)
            turn = await episode.step(reply.text)
            conversation += [Message("assistant", reply.text), Message("user", turn.observation)]
        return [(await episode.finish())[1] for _ in range(verdicts)]
    finally:
        await episode.close()


def _why(error: TermgymError) -> str:
    if isinstance(error, SandboxUnavailable):
        raise error
    return str(error) if isinstance(error, TaskError) else f"{outcome_of(error).value}: {error}"


def _scores(verdict: Verdict) -> dict[str, float]:
    return {check.name: check.score for check in verdict.checks}


def _lost(verdict: Verdict) -> str:
    lost = [check for check in verdict.checks if check.score < 1]
    return "; ".join(f"{check.name} ({check.output.strip()[-SHOWN:]})" for check in lost)


def table(found: Sequence[Validation]) -> Group:
    """A row for each task, and below why gates failed; for people."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    shown.add_column("task", overflow="fold")
    for name in GATES:
        shown.add_column(name, no_wrap=True)
    for one in found:
        shown.add_row(Text(one.task), *(_mark(one.gates.get(name, Gate(None))) for name in GATES))
    return Group(shown, *(Text(f"{one.task}: {reason}") for one in found for reason in _reasons(one)))


def _reasons(one: Validation) -> Iterator[str]:
    """Why gates failed, warnings, and whether there was an oracle at all."""
    for name, gate in one.gates.items():
        if gate.reason and (gate.passed is not None or name == "oracle"):
            yield " ".join(f"{name}: {gate.reason}".split())[:SHOWN]


def _mark(gate: Gate) -> Text:
    return {True: Text("yes", "green"), False: Text("NO", "red"), None: Text("-", "dim")}[gate.passed]
