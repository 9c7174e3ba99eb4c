"""What an environment is made with: which tasks it draws, and how their episodes are run and scored."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from termgym.episode import EpisodeConfig
from termgym.errors import UnknownName
from termgym.needs import NETWORKS, check
from termgym.sandbox import sandbox_kinds
from termgym.source import Sampler, Wanted, sampler
from termgym.task import Limits, Task
from termgym.terminal import COLS, ROWS
from termgym.terminal import KINDS as TERMINALS
from termgym.verifier import Verdict

LIMITS = ("turns", "wall_s", "command_s", "tokens", "verifier_s")


@dataclass(frozen=True, slots=True)
class Setting:
    """The options of an environment, read and checked; many environments may share one."""

    source: Sampler
    config: EpisodeConfig
    reward: str
    limits: dict[str, float]

    @classmethod
    def of(
        cls,
        task: Sampler | Wanted | Sequence[Wanted] | None = None,
        *,
        level: int | None = None,
        seed: int | None = None,
        sandbox: str = "namespace",
        terminal: str = "pty",
        rows: int = ROWS,
        cols: int = COLS,
        wait: str = "settle",
        reward: str = "binary",
        confirm: bool = True,
        limits: dict[str, float] | None = None,
        network: str = "task",
    ) -> "Setting":
        """Read the options.

        Args:
            task: A family's name, a query, a task folder, a `Task`, or a list of these to draw from; a `Curriculum` or
                another `Sampler`; None is every family for training.
            level: The families' difficulty, from 1; None draws one.
            seed: The families' seed, for the same task in every episode; None draws one, from `reset`'s seed.
            sandbox: The kind of sandbox: "namespace", or "docker".
            terminal: The kind of terminal: "pty", or "tmux" for a real tmux, as Terminus 2 has it.
            rows: Lines of the terminal.
            cols: Columns of the terminal.
            wait: "settle", where a command's duration is the longest wait, or "duration", Terminus 2's timing.
            reward: "binary", 1 if every check passes, or "dense", the weighted share of those that do.
            confirm: Whether completion takes two `task_complete` turns in a row.
            limits: What stands in for the task's own limits: turns, wall_s, command_s, tokens, verifier_s; 0 is none.
            network: "task", where a sandbox has the network that its task asks for, or "none", where none has any.

        Raises:
            UnknownName: Something is not known by the name given; the message suggests what was meant.
            TaskError: A task cannot be used.
        """
        for kind, name, known in (
            ("sandbox", sandbox, sandbox_kinds()),
            ("terminal", terminal, TERMINALS),
            ("wait", wait, ["settle", "duration"]),
            ("reward", reward, ["binary", "dense"]),
            ("network", network, NETWORKS),
            *(("limit", limit, LIMITS) for limit in limits or {}),
        ):
            if name not in known:
                raise UnknownName(kind, str(name), known)
        config = EpisodeConfig(sandbox, terminal, rows, cols, wait, confirm, network)
        source = sampler(task, level, seed)
        for choice in source.choices:
            if isinstance(choice, Task):
                check(choice, sandbox, network)
        return cls(source, config, reward, dict(limits or {}))

    def limits_of(self, task: Task) -> Limits:
        """The task's limits, with those changed that the options change."""
        changed: dict[str, Any] = self.limits
        return replace(task.limits, **changed)

    def reward_of(self, verdict: Verdict) -> float:
        """What a verdict is worth."""
        return verdict.binary if self.reward == "binary" else verdict.dense
