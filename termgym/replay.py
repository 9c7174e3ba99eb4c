"""A replay: a recorded episode run again, its replies typed one by one, and where it came out otherwise.

What was seen is compared exactly, and so is the verdict; times are not. A wait that its deadline cut shows what
happened to be there by then, so a difference that comes behind one says so. A record does not tell how the episode was
run (`EpisodeConfig`): unless it is given, a replay is run as `termgym eval` does by default.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from difflib import unified_diff
from pathlib import Path
from typing import Any

from termgym.aio import run_apart
from termgym.attempt import Attempt, run_episode
from termgym.episode import EpisodeConfig
from termgym.errors import TaskError
from termgym.family import Family
from termgym.rollout import Rollout
from termgym.sandbox import close_shared
from termgym.source import TaskSource
from termgym.sources import Shelf
from termgym.store import read
from termgym.task import Task
from termgym.terminal import Settled
from termgym.trajectory import Trajectory

SHOWN_LINES = 60
"""Of one diff; a screen has 40 rows."""
SHOWN_OTHERS = 5
_CUT = "the wait was cut by its deadline then or now"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that came out otherwise."""

    turn: int
    """0 is before the first turn."""
    field: str
    """task, first observation, observation, verdict, outcome, or error: the replay failed."""
    recorded: str
    replayed: str
    settled: tuple[str, str] = ("", "")
    """Why the waits of this turn ended, then and now."""
    cut: bool = False
    """Whether a wait of this turn or of one before was cut by its deadline, then or now."""

    def text(self) -> str:
        """A line that says what differs, and at most `SHOWN_LINES` of a unified diff."""
        then, now = (text.encode(errors="backslashreplace").decode() for text in (self.recorded, self.replayed))
        diff = list(unified_diff(then.split("\n"), now.split("\n"), "recorded", "replayed", lineterm=""))
        more = [f"... and {len(diff) - SHOWN_LINES} lines more"] if len(diff) > SHOWN_LINES else []
        return "\n".join([self.title, *diff[:SHOWN_LINES], *more])

    @property
    def title(self) -> str:
        """What differs, in one line."""
        then, now = self.settled
        waits = f"; waits ended by {then} then, by {now} now" if then != now else ""
        return f"turn {self.turn}: {self.field}{waits}{'; ' + _CUT if self.cut else ''}"


@dataclass(frozen=True, slots=True)
class Replay:
    """One episode, then and now."""

    number: int
    """Which one of its record it is, from 0."""
    recorded: Trajectory
    replayed: Trajectory
    differences: tuple[Difference, ...]
    """In the order of the turns."""

    def text(self) -> str:
        """What differs, for people: the first difference whole, as the others mostly follow from it."""
        one = self.recorded
        first, *others = self.differences
        who = f"{one.task}, number {self.number}, policy {one.policy}, attempt {one.attempt}"
        also = [f"also turn {other.turn}: {other.field}" for other in others[:SHOWN_OTHERS]]
        more = [f"and {len(others) - SHOWN_OTHERS} differences more"] if len(others) > SHOWN_OTHERS else []
        return "\n".join([who, first.text(), *also, *more])

    def to_dict(self) -> dict[str, Any]:
        """What differs, for JSON."""
        one = self.recorded
        who = {"number": self.number, "task": one.task, "policy": one.policy, "attempt": one.attempt}
        return who | {"differences": [asdict(difference) for difference in self.differences]}


async def replay(recorded: Trajectory, task: Task | None = None, *, config: EpisodeConfig | None = None) -> Replay:
    """Run one episode again. `task` is needed for one that no family made.

    Raises:
        TaskError: The episode was invalid, or its task is not to be had.
        SandboxUnavailable: This host cannot run such sandboxes.
    """
    attempt = _attempt(recorded, task_of(recorded, {recorded.task: task} if task else {}))
    replayed = await run_episode(attempt, config=config)
    return Replay(0, recorded, replayed, differences(recorded, replayed))


async def replays(
    episodes: Mapping[int, tuple[Trajectory, Task]],
    *,
    concurrency: int = 8,
    config: EpisodeConfig | None = None,
    on_turn: Callable[[], object] | None = None,
) -> AsyncGenerator[Replay, None]:
    """Run numbered episodes again, at most `concurrency` at a time, and hand each one out when it ends: see `rollout`.

    Raises:
        SandboxUnavailable: This host cannot run such sandboxes.
    """
    attempts = (_attempt(recorded, task, number) for number, (recorded, task) in episodes.items())
    run = Rollout(attempts, concurrency=concurrency, config=config, retries=0, on_turn=on_turn)
    async with aclosing(run.trajectories()) as trajectories:
        async for replayed in trajectories:
            recorded, _ = episodes[replayed.attempt]
            yield Replay(replayed.attempt, recorded, replayed, differences(recorded, replayed))


def _attempt(recorded: Trajectory, task: Task, number: int = 0) -> Attempt:
    """Says what was said, and ends with it: the limit that ended the episode may have been another than the task's."""
    replies = tuple(turn.reply for turn in recorded.turns)
    limits = replace(task.limits, turns=len(replies))
    return Attempt(task, "scripted", number, options={"replies": replies}, limits=limits)


def task_of(recorded: Trajectory, given: Mapping[str, Task | Family]) -> Task:
    """The task of a recorded episode: of those that are `given` by a task's id or a family's name, or of a family.

    Raises:
        TaskError: The episode was invalid, or its task is not to be had.
    """
    if not recorded.valid:
        raise TaskError(f"the episode is invalid: {recorded.outcome.value}")
    choice = given.get(recorded.task) or given.get(recorded.family)
    if isinstance(choice, Task):
        if choice.steps:
            raise TaskError(f"{choice.id} has several steps ([[steps]]), which cannot be replayed yet")
        return choice
    if not recorded.family or recorded.seed is None or recorded.level is None:
        raise TaskError(f"no family made {recorded.task}, and its folder was not given by --task")
    (family,) = TaskSource(choice or recorded.family, recorded.level).choices
    assert isinstance(family, Family)
    return family.task(recorded.seed, recorded.level)


def differences(recorded: Trajectory, replayed: Trajectory) -> tuple[Difference, ...]:
    """Where a replay differs, in the order of the turns; of one that failed, the task and the failure alone."""
    found = [(0, "task", f"digest {recorded.digest}", f"digest {replayed.digest}")]
    if replayed.valid:
        found += _seen(recorded, replayed)
        found += [(len(recorded.turns), "verdict", _verdict(recorded), _verdict(replayed))]
        found += [(len(recorded.turns), "outcome", _ending(recorded), _ending(replayed))]
    else:
        found += [(len(replayed.turns), "error", "", f"{replayed.outcome.value}: {replayed.error}")]
    return tuple(
        Difference(turn, field, then, now, _settled(recorded, replayed, turn), _cut(recorded, replayed, turn))
        for turn, field, then, now in found
        if then != now
    )


def _seen(recorded: Trajectory, replayed: Trajectory) -> list[tuple[int, str, str, str]]:
    turns = enumerate(zip(recorded.turns, replayed.turns, strict=False), 1)
    first = (0, "first observation", recorded.first, replayed.first)
    return [first, *((number, "observation", then.observation, now.observation) for number, (then, now) in turns)]


def _verdict(trajectory: Trajectory) -> str:
    scores = [(check.name, check.score) for check in trajectory.checks]
    totals = [("dense", trajectory.dense), ("binary", trajectory.binary)]
    return "\n".join(f"{name}: {float(score or 0)}" for name, score in scores + totals)


def _ending(trajectory: Trajectory) -> str:
    """Limits are all one: the policy's time and tokens are not replayed, and a limit on turns stands in for theirs."""
    outcome = "ended by a limit" if trajectory.outcome.truncated else trajectory.outcome.value
    return f"{outcome} after turn {len(trajectory.turns)}"


def _settled(recorded: Trajectory, replayed: Trajectory, turn: int) -> tuple[str, str]:
    turns = [one.turns[turn - 1 : turn] if turn else () for one in (recorded, replayed)]
    then, now = (", ".join(name for record in one for name in record.settled) for one in turns)
    return then, now


def _cut(recorded: Trajectory, replayed: Trajectory, turn: int) -> bool:
    turns = recorded.turns[:turn] + replayed.turns[:turn]
    return any(Settled.DEADLINE.value in record.settled for record in turns)


class Replays:
    """The replays of a record: the file or folder that an evaluation wrote."""

    def __init__(self, record: Path, given: Sequence[str] = (), numbers: Sequence[int] = ()) -> None:
        """Read it. `given` are tasks as `TaskSource` takes them; `numbers` choose lines, from 0; none is all.

        Raises:
            TaskError: It is no record, or has not so many lines; a task that is given cannot be used.
        """
        trajectories, self.remarks = read(record)
        drawn = TaskSource(given).choices if given else []
        choices = [one for choice in drawn for one in (choice if isinstance(choice, Shelf) else [choice])]
        by_name = {choice.id if isinstance(choice, Task) else choice.name: choice for choice in choices}
        self.episodes: dict[int, tuple[Trajectory, Task]] = {}
        self.skipped: dict[int, str] = {}
        """Number -> why it is not replayed."""
        self.ended: dict[int, Replay] = {}
        for number in sorted(set(numbers)) or range(len(trajectories)):
            if not 0 <= number < len(trajectories):
                raise TaskError(f"{record} has no number {number}: it holds {len(trajectories)}, from number 0")
            try:
                self.episodes[number] = trajectories[number], task_of(trajectories[number], by_name)
            except TaskError as error:
                self.skipped[number] = str(error)
        self.remarks += [f"{count} skipped: {why}" for why, count in Counter(self.skipped.values()).items()]

    def run(
        self,
        *,
        concurrency: int = 8,
        on_turn: Callable[[], object] | None = None,
        on_end: Callable[[Trajectory], object] | None = None,
    ) -> None:
        """Run all on an event loop of their own; called back after each turn and each episode.

        Raises:
            KeyboardInterrupt: C-c. Every sandbox is closed.
            SandboxUnavailable: This host cannot run such sandboxes.
        """
        offline = EpisodeConfig(network="none")  # how it was recorded is not known; this runs them all

        async def gather() -> None:
            try:
                async with aclosing(
                    replays(self.episodes, concurrency=concurrency, config=offline, on_turn=on_turn)
                ) as ended:
                    async for one in ended:
                        self.ended[one.number] = one
                        if on_end:
                            on_end(one.replayed)
            finally:
                await close_shared()

        run_apart(gather())

    @property
    def differing(self) -> list[Replay]:
        """Those that differ, in the order of the record."""
        return [one for _, one in sorted(self.ended.items()) if one.differences]

    def text(self) -> str:
        """What differs, for people, and a line that sums up."""
        n, differ = len(self.ended), len(self.differing)
        summary = f"{n} replayed, {n - differ} the same, {differ} differ, {len(self.skipped)} skipped"
        return "\n\n".join([*(one.text() for one in self.differing), summary])

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON, with every difference whole."""
        n, differ = len(self.ended), [one.to_dict() for one in self.differing]
        counts = {"replayed": n, "same": n - len(differ), "differ": len(differ), "skipped": len(self.skipped)}
        return counts | {"episodes": differ, "reasons": self.skipped}
