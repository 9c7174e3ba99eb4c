"""An episode: one attempt at one task, from a fresh sandbox to the verdict.

Async throughout: hundreds of episodes share one event loop. The Gymnasium classes are thin shells over it, and the
rollout engine uses it as it is.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from math import inf
from typing import NamedTuple, Protocol

from termgym.errors import NotReady, SandboxDied, SandboxError, SandboxOverfull, TaskError, VerifierError
from termgym.health import await_healthy
from termgym.metrics import Metrics
from termgym.needs import check, spec_of
from termgym.outcome import Outcome
from termgym.pool import Order, SandboxPool, Warm, dispose, make, open_shell
from termgym.protocol import Command, Parsed, first_prompt, next_prompt, parse
from termgym.sandbox import Sandbox
from termgym.steps import combined, good_enough, lay_out
from termgym.task import Limits, Task
from termgym.terminal import COLS, ROWS, Settled, Terminal
from termgym.verifier import RUN_TIMEOUT_S, CheckResult, Verdict, verify

SETUP_TIMEOUT_S = 120.0
READ_BY_SHELLS = ("/root/", "/etc/", "/usr/", "/bin/", "/lib")
"""Where a login shell looks as it starts: its profiles, readline's settings, terminfo, programs, libraries."""
GRACE_S = 60.0
"""Seconds beyond what a phase may take, after which the sandbox hangs: one that is stopped, say."""
PHASES = ("create", "reset", "step", "verify", "close")


@dataclass(frozen=True, slots=True)
class EpisodeConfig:
    """How episodes are run: what does not belong to the task."""

    sandbox: str = "namespace"
    terminal: str = "pty"
    rows: int = ROWS
    cols: int = COLS
    wait: str = "settle"
    """"settle": a command's duration is the longest wait; "duration": it is the wait, as in Terminus 2."""
    confirm: bool = True
    """Whether completion takes two `task_complete` turns in a row, as in Terminus 2."""
    network: str = "task"
    """ "task": as the task asks; "none": none in any case."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one step came to."""

    observation: str
    parsed: Parsed
    settled: tuple[Settled, ...]
    """Why the wait after each command ended."""
    ended: bool


@dataclass(slots=True)
class Timings:
    """Seconds spent in each phase, in total."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    metrics: Metrics | None = None
    """Where each duration is noted, too."""

    @contextmanager
    def phase(self, name: str) -> Generator[None]:
        """Add the time of the body to phase `name`."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - begin
            self.seconds[name] += elapsed
            if self.metrics:
                self.metrics.time(name, elapsed)


class Carried(Enum):
    """What of a terminal goes on in a branch, from a snapshot (`termgym.snapshot`)."""

    SHELL = "shell"
    """A new shell has the state of the old one; nothing else ran."""
    FILES = "files"
    """Nothing but the files, by request: a new login shell is in the old one's folder."""
    REPLAYED = "replayed"
    """All: what was typed was typed again, and the screen came out the same."""
    DIVERGED = "diverged"
    """What was typed was typed again, and the screen is another: time, chance or a process id shows in it."""


class Progress(NamedTuple):
    """How far an episode has come: what its limits count, and its rule on completion."""

    turns: int
    tokens: int
    command_s: float
    claimed: bool
    left_s: float


class Origin(Protocol):
    """What an episode goes on from, instead of from its task: a `termgym.snapshot.Snapshot`."""

    async def close(self) -> None:
        """Say that it is not needed any more."""
        ...


class Episode:
    """One attempt at one task: `reset` once, `step` until a turn ended, `finish` for the verdict, `close` always."""

    def __init__(
        self,
        task: Task,
        config: EpisodeConfig | None = None,
        limits: Limits | None = None,
        pool: SandboxPool | None = None,
    ) -> None:
        """`limits` stand in for the task's own; `pool` is where the sandbox comes from, else a new one is made.

        Raises:
            TaskError: This kind of sandbox cannot run the task as it asks.
        """
        self.task, self.config, self._limits = task, config or EpisodeConfig(), limits or task.limits
        check(task, self.config.sandbox, self.config.network)
        self.pool = pool
        self.verdicts: list[Verdict] = []
        """On the steps that were judged, of a task that has several."""
        self._workdir = task.workdir
        self._before = Progress(0, 0, 0.0, False, inf)
        self.timings = Timings(metrics=pool.metrics if pool else None)
        self.turns = self.tokens = 0
        self.command_s = 0.0
        """Seconds spent waiting for the terminal."""
        self.reason: Outcome | None = None
        """Why it ended, before the verdict: FAILED stands for the agent's own word that it is done."""
        self.typed: list[Command] = []
        """What was typed, since the beginning or since the snapshot that this goes on from."""
        self.origin: Origin | None = None
        """That snapshot."""
        self.carried: Carried | None = None
        """What of the terminal went on from there."""
        self._warm: Warm | None = None
        self._deadline = float("inf")
        self._claimed = False

    @property
    def at(self) -> Task:
        """The task, or of one with several steps the one that is to be done now."""
        steps = self.task.steps
        return self.task.at(steps[min(len(self.verdicts), len(steps) - 1)]) if steps else self.task

    @property
    def limits(self) -> Limits:
        """What ends the episode, or the step that is to be done now."""
        if not self.task.steps:
            return self._limits
        given, usual = asdict(self._limits), asdict(self.task.limits)
        return replace(self.at.limits, **{name: value for name, value in given.items() if value != usual[name]})

    async def reset(self) -> str:
        """Start the sandbox, lay out the task, open the terminal; returns the first observation.

        Raises:
            SandboxError: The sandbox could not be brought up; nothing is left of it.
            TaskError: The task's set-up script failed.
        """
        try:
            async with self._phase("create"):
                await self._create()
            async with self._phase("reset", SETUP_TIMEOUT_S + self._healthy_s):
                return await self._lay_out()
        except BaseException:
            await self.close()
            raise

    @asynccontextmanager
    async def _phase(self, name: str, allowed_s: float = 0.0) -> AsyncGenerator[None]:
        """Time the body as phase `name`; what takes longer than it may hangs, and is no doing of the agent's."""
        try:
            with self.timings.phase(name):
                async with asyncio.timeout(allowed_s + GRACE_S if allowed_s < inf else None):
                    yield
        except TimeoutError as error:
            raise SandboxError(
                f"the sandbox hangs: it took longer than {allowed_s + GRACE_S:.0f} s to {name}"
            ) from error

    async def _create(self) -> None:
        self._warm = await (self.pool.acquire(self._order) if self.pool else make(self._order))

    @property
    def _order(self) -> Order:
        task, config = self.task, self.config
        spec = spec_of(task, config.sandbox, config.network)
        return Order(spec, config.sandbox, not _shapes_shell(task), config.rows, config.cols, config.terminal)

    async def _lay_out(self) -> str:
        await self.sandbox.put(self.task.files)
        if self.task.setup:
            argv = ["/bin/bash", "-c", self.task.setup]
            result = await self.sandbox.exec(argv, timeout_s=SETUP_TIMEOUT_S, user="root")
            if result.returncode != 0:
                shown = (result.stdout + result.stderr)[-2000:].decode(errors="replace")
                raise TaskError(f"the set-up script of {self.task.id} failed with {result.returncode}: {shown}")
        if not self._workdir:
            where = await self.sandbox.exec(["/bin/bash", "-c", "pwd"])
            self._workdir = where.stdout.decode(errors="replace").strip()
        if self.task.healthcheck:
            await await_healthy(self.task.healthcheck, self.sandbox)
        if self.task.steps:
            await lay_out(self.task.steps[0], self.sandbox, self._workdir)
        return await self._open()

    async def _open(self) -> str:
        """Open the terminal, begin to count, and say what is to be done."""
        if self._warm and not self._warm.terminal:
            config = self.config
            terminal = await open_shell(self.sandbox, config.rows, config.cols, kind=config.terminal)
            self._warm = Warm(self.sandbox, terminal)
        self.start_clock()
        await self.terminal.name(self.task.id)
        await self.terminal.mark()
        return first_prompt(self.at.instruction, (await self.terminal.screen()).text)

    def start_clock(self) -> None:
        """Let the limit on wall seconds count from now: from the first turn, where that had to wait."""
        self._deadline = time.monotonic() + (self.limits.wall_s or inf)

    @property
    def _healthy_s(self) -> float:
        """Seconds that health checks may take before the agent's work."""
        checks = (self.task.healthcheck, *(step.healthcheck for step in self.task.steps))
        return sum(check.longest_s for check in checks if check)

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox of this episode; there is one from `reset` to `close`."""
        if self._warm is None:
            raise SandboxDied("the episode has no sandbox: it is not reset yet, or closed")
        return self._warm.sandbox

    @property
    def terminal(self) -> Terminal:
        """The terminal of this episode; there is one from `reset` to `close`."""
        if self._warm is None or self._warm.terminal is None:
            raise SandboxDied("the episode has no terminal: it is not reset yet, or closed")
        return self._warm.terminal

    async def step(self, text: str) -> Turn:
        """Take one action, as the JSON text that a policy wrote. Never raises for what the text says."""
        return await self.take(parse(text))

    async def take(self, parsed: Parsed) -> Turn:
        """Take one parsed action: type its commands, each until it has settled, and look."""
        with self.timings.phase("step"):
            self.turns += 1
            await self.terminal.mark()
            settled = await self.type(_commands(parsed))
            if self.terminal.exited and not self.sandbox.alive:
                raise SandboxDied("the sandbox ended in the middle of the episode, and not by what ran inside")
            claims = parsed.action is not None and parsed.action.task_complete
            asks = claims and self.config.confirm and not self._claimed
            if parsed.action is not None:  # a reply that could not be read takes nothing back
                self._claimed = claims
            self.reason = self._ending(done=claims and not asks)
            turn = Turn(await self._observe(parsed, asks), parsed, settled, self.reason is not None)
        return await self._next_step(turn) if turn.ended and self.task.steps else turn

    async def _next_step(self, turn: Turn) -> Turn:
        """Judge the step that a turn ended, and begin the next, if it may."""
        step = self.task.steps[len(self.verdicts)]
        verdict = await self._judge(self.at)
        self.verdicts.append(verdict)
        if len(self.verdicts) == len(self.task.steps) or not good_enough(step, verdict):
            return turn
        try:
            async with self._phase("reset", SETUP_TIMEOUT_S + self._healthy_s):
                observation = await self._begin_step()
        except (NotReady, SandboxOverfull) as error:  # on what the agent left: else it could get out of a step
            self.verdicts.append(Verdict.of((CheckResult("setup", 0.0, output=str(error)),)))
            return turn
        self.reason = None
        return replace(turn, observation=observation, ended=False)

    async def _begin_step(self) -> str:
        (fork,) = await self.sandbox.fork()
        before, on_output = self._warm, self.terminal.on_output
        self._warm = Warm(fork, None)
        try:
            await lay_out(self.task.steps[len(self.verdicts)], fork, self._workdir)
            self._claimed, self._before = False, self.progress
            observation = await self._open()
        except BaseException:
            before, self._warm = self._warm, before
            raise
        finally:
            await self._drop(before)
        self.terminal.on_output = on_output
        return observation

    async def type(self, commands: Iterable[Command]) -> tuple[Settled, ...]:
        """Type commands, each until it has settled or its time is up: why each wait ended. Part of `take`."""
        settled: list[Settled] = []
        for command in commands:
            begin = time.monotonic()
            wait_s = max(0.0, min(command.duration_s, self._deadline - begin, self._command_left_s()))
            wait_for_rest = self.config.wait == "settle"
            self.typed.append(command)
            settled.append(await self.terminal.type(command.keystrokes, wait_s, settle=wait_for_rest))
            self.command_s += time.monotonic() - begin
            if settled[-1] is Settled.EXITED:
                break
        return tuple(settled)

    def _command_left_s(self) -> float:
        spent_s = self.command_s - self._before.command_s
        return self.limits.command_s - spent_s if self.limits.command_s else float("inf")

    def _ending(self, done: bool) -> Outcome | None:
        if done:
            return Outcome.FAILED
        if self.terminal.exited:
            return Outcome.AGENT_DIED
        if time.monotonic() >= self._deadline or self._command_left_s() <= 0:
            return Outcome.OUT_OF_TIME
        if self.limits.tokens and self.tokens - self._before.tokens >= self.limits.tokens:
            return Outcome.OUT_OF_TOKENS
        if self.limits.turns and self.turns - self._before.turns >= self.limits.turns:
            return Outcome.OUT_OF_TURNS
        return None

    async def _observe(self, parsed: Parsed, asks: bool) -> str:
        """Terminus 2 shows the whole screen, not the new output, when it asks whether the task is done."""
        shown = await self.terminal.view()
        if asks:
            shown = (await self.terminal.screen()).text
        return next_prompt(parsed, shown, confirm=asks)

    async def finish(self) -> tuple[Outcome, Verdict]:
        """Seal the sandbox and judge: how the episode ended, and the verdict.

        Raises:
            VerifierError: The verifier gave no result.
            SandboxError: The sandbox failed.
        """
        verdict = combined(self.task, self.verdicts) if self.task.steps else await self._judge(self.task)
        return Outcome.SOLVED if verdict.binary else self.reason or Outcome.FAILED, verdict

    async def _judge(self, task: Task) -> Verdict:
        limits = replace(task.limits, verifier_s=self.limits.verifier_s)
        task = replace(task, workdir=self._workdir, limits=limits)
        longest_s = (self.limits.verifier_s or inf) + RUN_TIMEOUT_S * len(task.checks)
        longest_s += sum(hook.timeout_s for hook in task.judge.collect)
        async with self._phase("verify", longest_s):
            return await verify(task, self.sandbox, self.config.sandbox)

    @property
    def progress(self) -> "Progress":
        """How far it has come."""
        left_s = self._deadline - time.monotonic()
        return Progress(self.turns, self.tokens, self.command_s, self._claimed, left_s)

    def go_on(self, progress: "Progress", warm: Warm | None = None) -> None:
        """Go on from where another had come, in a sandbox and a terminal that are as that one's were."""
        self._warm = warm or self._warm
        self.turns, self.tokens, self.command_s, self._claimed, left_s = progress
        self._deadline = time.monotonic() + left_s

    def give_up(self) -> Warm:
        """Hand over the sandbox and the terminal; this episode is left without."""
        warm, self._warm = Warm(self.sandbox, self.terminal), None
        return warm

    async def close(self) -> None:
        """Drop the terminal and the sandbox, by the pool in the background if there is one. Twice is allowed."""
        if self.origin is not None:
            await self.origin.close()
            self.origin = None
        with self.timings.phase("close"):
            warm, self._warm = self._warm, None
            await self._drop(warm)

    async def _drop(self, warm: Warm | None) -> None:
        if warm and self.pool:
            self.pool.release(warm)
        elif warm:
            await dispose(warm)


def _commands(parsed: Parsed) -> tuple[Command, ...]:
    return parsed.action.commands if parsed.action else ()


def _shapes_shell(task: Task) -> bool:
    """Whether a shell that was there before the task's files could differ from one that starts among them."""
    return bool(task.setup or task.env or task.healthcheck or task.steps) or any(
        path.startswith(READ_BY_SHELLS) for path in task.files
    )


def outcome_of(error: Exception) -> Outcome:
    """The outcome of an episode that an error ended: an invalid one.

    Raises:
        Exception: `error` itself, if it is no failure of a sandbox or a verifier.
    """
    if isinstance(error, VerifierError):
        return Outcome.VERIFIER_ERROR
    if isinstance(error, SandboxError):
        return Outcome.INFRA_ERROR
    raise error
