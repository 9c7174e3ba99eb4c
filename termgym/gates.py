"""Gates that a task has to pass before anybody trains on it, whoever wrote it.

    instruction   there is one, for every step, and it names each path that the checks look at
    offline       it asks for no network; a warning where its test.sh downloads, which fails below
    seeds         of a family: the same seed gives the same task, and other seeds give others
    leak          nothing that the verifier expects is among the files that the agent is given
    oracle        the known solution, typed key by key, scores 1; a task without one is said to have none
    twice         the verifier, run again on what the oracle left, says the same
    idle          doing nothing scores below 1
    wrong         wrong solutions score below 1: at least three of a family's own, or the scripts in solution/wrong/
    partial       of a family: some wrong solution scores more than 0, so that progress is visible
    tamper        planting files, editing whatever can be reached and leaving daemons scores below 1 (termgym.tamper)
    quick         of a family: made in 20 ms of processor time; judged in a second (a family: at the median)

A gate that cannot be tried is neither passed nor failed.
"""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from timeit import timeit

from termgym.candidate import WRONG, Candidate
from termgym.episode import Episode, EpisodeConfig, outcome_of
from termgym.errors import SandboxUnavailable, TaskError, TermgymError
from termgym.family import Family
from termgym.image import bootstrap
from termgym.policy import Message, find_policy
from termgym.tamper import looked_at, tampering
from termgym.task import Task
from termgym.verifier import Verdict

GATES = tuple("instruction offline seeds leak oracle twice idle wrong partial tamper quick".split())
WRONG_SOLUTIONS = 3
"""That a family has, at least."""
GENERATE_S = 0.02
VERIFY_S = 1.0
LEAK_BYTES = 40
"""Shorter answers may stand among the files by chance."""
SHOWN = 300
"""Characters of a reason."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What trying one gate came to."""

    passed: bool | None
    """None where it could not be tried."""
    reason: str = ""
    """Why not, or why it could not be tried; of one that passed, a warning."""


@dataclass(slots=True)
class Record:
    """What trying the gates of a task measures."""

    scores: dict[str, float] = field(default_factory=dict[str, float])
    seconds: dict[str, float] = field(default_factory=dict[str, float])


async def try_gates(candidate: Candidate, task: Task, config: EpisodeConfig, record: Record) -> Mapping[str, Gate]:
    """Gate -> what trying it came to. What goes wrong in the task is a reason, and nothing that is raised.

    Raises:
        SandboxUnavailable: This host cannot run such sandboxes.
    """
    gates = {"instruction": _instruction(task), "offline": _offline(task), "leak": _leak(task)}
    gates |= await _oracle(task, config, record)
    gates["idle"] = await _below_one(task, "idle", config, record, "idle")
    gates |= await _wrong(candidate, task, config, record)
    gates["tamper"] = await _tamper(task, config, record)
    if candidate.of:
        gates |= _of_family(task, *candidate.of, record)
    return {name: gates[name] for name in GATES if name in gates}


def _instruction(task: Task) -> Gate:
    empty = [step.name for step in task.steps if not step.instruction.strip()]
    if empty or not (task.steps or task.instruction.strip()):
        return Gate(False, f"the instruction is empty{' of ' + ', '.join(empty) if empty else ''}")
    for check in task.checks:
        for path in looked_at(check):
            if not _named(path, task.instruction):
                return Gate(False, f"check {check.name!r} looks at {path}, of which the instruction says nothing")
    return Gate(True)


def _named(path: str, instruction: str) -> bool:
    """Whether a path, or a folder above it, stands in the instruction."""
    parts = path.split("/")
    return any("/".join(parts[:end]) in instruction for end in range(len(parts), 2, -1))


def _leak(task: Task) -> Gate:
    """Files that are to stay as they are may be expected under the name that they have, and examples are shown."""
    given = {path: file.content for path, file in task.files.items()} | {"the set-up script": task.setup.encode()}
    for name, expected in task.tests.items():
        content = expected.content.strip()
        if not name.startswith("expected") or "example" in name or len(content) <= LEAK_BYTES:
            continue
        for path, text in given.items():
            stays = text.strip() == content and PurePosixPath(path).name == PurePosixPath(name).name
            if not stays and any(form in text for form in (content, base64.b64encode(content), content.hex().encode())):
                return Gate(False, f"{path} holds what the verifier expects, tests/{name}")
    return Gate(True)


def _of_family(task: Task, family: Family, seed: int, level: int, record: Record) -> dict[str, Gate]:
    """The gates that need a generator."""
    again, other = family.task(seed, level), family.task(seed + 1, level)
    seeds = Gate(False, "the same seed gives another task") if again.digest != task.digest else Gate(True)
    if other.digest == task.digest:
        seeds = Gate(False, f"seed {seed + 1} gives the same task")
    record.seconds["generate"] = _generation_s(family, seed, level)
    quick = [
        f"{what} takes {record.seconds.get(what, 0):.3f} s"
        for what, at_most in (("generate", GENERATE_S), ("verify", VERIFY_S))
        if record.seconds.get(what, 0) > at_most
    ]
    return {"seeds": seeds, "quick": Gate(not quick, "; ".join(quick))}


def _generation_s(family: Family, seed: int, level: int) -> float:
    """The median of five, in processor time; like timeit without the garbage collector, which is not the family's."""
    taken = [
        timeit(partial(family.task, seed + number, level), timer=time.thread_time, number=1) for number in range(5)
    ]
    return sorted(taken)[2]


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


async def _oracle(task: Task, config: EpisodeConfig, record: Record) -> dict[str, Gate]:
    try:
        verdicts = await _play(task, "oracle", config, record, verdicts=1 if task.steps else 2)
    except TermgymError as error:
        none = isinstance(error, TaskError) and "comes without a solution" in str(error)
        gate = Gate(None, "no oracle") if none else Gate(False, _why(error))
        return {"oracle": gate, "twice": Gate(None, "the oracle gave no verdict")}
    first, *again = verdicts
    record.scores["oracle"] = first.dense
    oracle = Gate(bool(first.binary), "" if first.binary else f"scores {first.dense:g}: {_lost(first)}")
    if not again:
        return {"oracle": oracle, "twice": Gate(None, "a task of several steps")}
    same = _scores(first) == _scores(again[0])
    return {"oracle": oracle, "twice": Gate(same, "" if same else f"first {_scores(first)}, then {_scores(again[0])}")}


async def _below_one(task: Task, policy: str, config: EpisodeConfig, record: Record, name: str) -> Gate:
    try:
        (verdict,) = await _play(task, policy, config, Record())
    except TermgymError as error:
        return Gate(False, _why(error))
    record.scores[name] = verdict.dense
    return Gate(verdict.dense < 1, "scores 1" if verdict.dense >= 1 else "")


async def _tamper(task: Task, config: EpisodeConfig, record: Record) -> Gate:
    if task.steps:
        return Gate(None, "a task of several steps")
    cheating = replace(task, oracle=tampering(task), solution={})
    return await _below_one(cheating, "oracle", config, record, "tamper")


async def _wrong(candidate: Candidate, task: Task, config: EpisodeConfig, record: Record) -> dict[str, Gate]:
    tasks, one = candidate.wrong(task), Record()
    gates = {name: await _below_one(wrong, "oracle", config, one, name) for name, wrong in tasks.items()}
    record.scores |= {WRONG: max(one.scores.values())} if one.scores else {}
    reasons = [f"{name}: {gate.reason}" for name, gate in gates.items() if gate.reason]
    if not candidate.of:
        return {WRONG: Gate(not reasons, "; ".join(reasons)) if gates else Gate(None, "no wrong solutions")}
    if len(gates) < WRONG_SOLUTIONS:
        reasons.append(f"{len(gates)} wrong solutions; expected {WRONG_SOLUTIONS} or more")
    partial = any(0 < score < 1 for score in one.scores.values())
    return {
        WRONG: Gate(not reasons, "; ".join(reasons)),
        "partial": Gate(partial, "" if partial else "every wrong solution scores 0 or 1"),
    }


async def _play(task: Task, policy: str, config: EpisodeConfig, record: Record, verdicts: int = 1) -> list[Verdict]:
    """One episode, judged so many times."""
    episode = Episode(task, config)
    try:
        actor = find_policy(policy)(task, 0)
        conversation = [Message("user", await episode.reset())]
        while episode.reason is None:
            reply = await actor.act(conversation)
            turn = await episode.step(reply.text)
            conversation += [Message("assistant", reply.text), Message("user", turn.observation)]
        return [await _judged(episode, record) for _ in range(verdicts)]
    finally:
        await episode.close()


async def _judged(episode: Episode, record: Record) -> Verdict:
    begin = time.monotonic()
    _, verdict = await episode.finish()
    taken = time.monotonic() - begin
    record.seconds["verify"] = min(taken, record.seconds.get("verify", taken))  # others may have run beside it
    return verdict


def _why(error: TermgymError) -> str:
    if isinstance(error, SandboxUnavailable):
        raise error
    return str(error) if isinstance(error, TaskError) else f"{outcome_of(error).value}: {error}"


def _scores(verdict: Verdict) -> dict[str, float]:
    return {check.name: check.score for check in verdict.checks}


def _lost(verdict: Verdict) -> str:
    lost = [check for check in verdict.checks if check.score < 1]
    return "; ".join(f"{check.name} ({check.output.strip()[-SHOWN:]})" for check in lost)
