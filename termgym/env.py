"""`Terminal-v0`: a terminal task as a Gymnasium environment. A thin, synchronous shell over `Episode`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic, SupportsFloat, TypeVar

import gymnasium as gym

from termgym import aio
from termgym.episode import Episode, EpisodeConfig, Turn
from termgym.errors import UnknownName
from termgym.outcome import Outcome
from termgym.protocol import Parsed, parse
from termgym.sandbox import sandbox_kinds
from termgym.source import TaskSource, Wanted
from termgym.spaces import ActionSpace, TextSpace
from termgym.task import Limits, Task
from termgym.terminal import COLS, ROWS
from termgym.verifier import Verdict

Obs = TypeVar("Obs")
Act = TypeVar("Act")
LIMITS = ("turns", "wall_s", "command_s", "tokens", "verifier_s")


class EpisodeEnv(gym.Env[Obs, Act], Generic[Obs, Act]):
    """What the terminal environments share: which task and limits, one episode at a time, its end and its picture."""

    metadata: dict[str, Any] = {  # noqa: RUF012 - as Gymnasium declares it
        "render_modes": ["ansi", "rgb_array", "human"],
        "render_fps": 4,
    }

    def __init__(
        self,
        task: Wanted | Sequence[Wanted] | None = None,
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
        render_mode: str | None = None,
    ) -> None:
        """Prepare an environment; nothing is started before `reset`.

        Args:
            task: A family's name, a task folder, a `Task`, or a list of these to draw from; None is every family.
            level: The families' difficulty, from 1; None draws one.
            seed: The families' seed, for the same task in every episode; None draws one, from `reset`'s seed.
            sandbox: The kind of sandbox: "namespace".
            terminal: The kind of terminal: "pty".
            rows: Lines of the terminal.
            cols: Columns of the terminal.
            wait: "settle", where a command's duration is the longest wait, or "duration", Terminus 2's timing.
            reward: "binary", 1 if every check passes, or "dense", the weighted share of those that do.
            confirm: Whether completion takes two `task_complete` turns in a row.
            limits: What stands in for the task's own limits: turns, wall_s, command_s, tokens, verifier_s; 0 is none.
            render_mode: "ansi", "rgb_array", "human", or None.

        Raises:
            UnknownName: Something is not known by the name given; the message suggests what was meant.
            TaskError: A task cannot be used.
        """
        for kind, name, known in (
            ("sandbox", sandbox, sandbox_kinds()),
            ("terminal", terminal, ["pty"]),
            ("wait", wait, ["settle", "duration"]),
            ("reward", reward, ["binary", "dense"]),
            ("render mode", render_mode, [None, *self.metadata["render_modes"]]),
            *(("limit", limit, LIMITS) for limit in limits or {}),
        ):
            if name not in known:
                raise UnknownName(kind, str(name), [str(one) for one in known])
        self._source = TaskSource(task, level, seed)
        self._config = EpisodeConfig(sandbox, rows, cols, wait, confirm)
        self._reward, self._limits, self.render_mode = reward, dict(limits or {}), render_mode
        self.episode: Episode | None = None
        """The episode under way, or the one that ended; None before a reset and after `close`."""
        self._loop = aio.loop()
        self.verdict: Verdict | None = None
        """The verdict of the last episode that ended."""

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
        """Start a new episode: its first observation as text, and info."""
        super().reset(seed=seed, options=options)
        chosen = TaskSource(options["task"]) if options and "task" in options else self._source
        self._drop()
        self._loop = aio.loop()  # this thread's, also where another takes the steps
        task = chosen.draw(self.np_random)
        episode = Episode(task, self._config, limits_of(task, self._limits))
        observation = aio.run(episode.reset(), self._loop)
        self.episode, self.verdict = episode, None
        if self.render_mode == "human":
            self.render()
        return observation, {"task": task.id, "instruction": task.instruction}

    def _take(self, parsed: Parsed) -> tuple[Turn, float, bool, bool, dict[str, Any]]:
        """Take an action: the turn, and what `step` returns beside the observation."""
        episode = self._current()
        if episode.reason is not None:
            raise gym.error.ResetNeeded("the episode has ended: reset the environment before the next step")
        turn = aio.run(episode.take(parsed), self._loop)
        info = {
            "task": episode.task.id,
            "settled": [settled.value for settled in turn.settled],
            "warnings": list(turn.parsed.warnings),
            "error": turn.parsed.error,
        }
        if self.render_mode == "human":
            self.render()
        reward, terminated, truncated = self._end(episode, info) if turn.ended else (0.0, False, False)
        return turn, reward, terminated, truncated, info

    def _end(self, episode: Episode, info: dict[str, Any]) -> tuple[float, bool, bool]:
        """Judge the files: (reward, terminated, truncated), and the outcome in `info`."""
        reason = episode.reason or Outcome.FAILED
        outcome, self.verdict = aio.run(episode.finish(), self._loop)
        info["outcome"] = outcome.value
        info["checks"] = {check.name: check.score for check in self.verdict.checks}
        reward = self.verdict.binary if self._reward == "binary" else self.verdict.dense
        return reward, not reason.truncated, reason.truncated

    def _current(self) -> Episode:
        if self.episode is None:
            raise gym.error.ResetNeeded("reset the environment before stepping or rendering it")
        return self.episode

    def spend(self, tokens: int) -> None:
        """Count tokens that the policy used, towards the limit on them."""
        self._current().tokens += tokens

    def render(self) -> Any:
        """The screen, by the render mode.

        "ansi" is its text, "rgb_array" an array of shape (height, width, 3), uint8 (needs Pillow), and "human" shows it
        on this process's terminal and returns None.
        """
        if self.render_mode is None:
            gym.logger.warn('nothing to render: make the environment with render_mode="ansi", "rgb_array" or "human"')
            return None
        from termgym import render

        return render.render(self._current().terminal, self.render_mode)

    def _drop(self) -> None:
        episode, self.episode = self.episode, None
        if episode is not None:
            aio.run(episode.close(), self._loop)

    def close(self) -> None:
        """Drop the sandbox. Closing twice is allowed."""
        self._drop()


class TerminalEnv(EpisodeEnv[str, str]):
    """A terminal task. Observations are text, actions are JSON text, the reward is the verifier's.

    - *Observation*: what a Terminus 2 policy would read this turn. First the protocol, the task and the screen; then
      new output or the screen, below warnings; or what was wrong with the last action.
    - *Action*: `{"analysis": ..., "plan": ..., "commands": [{"keystrokes": ..., "duration": ...}], "task_complete":
      ...}`. Any string is allowed: one that cannot be read costs a turn and is answered by the reason.
    - *Terminated* when the agent has said, twice in a row, that it is done, or its shell is gone; *truncated* by a
      limit. Either way the files are judged, and the reward comes with that step; it is 0 before.
    - *Info*: `task`, `outcome` and `checks` at the end, `settled` (why each wait ended), `warnings` and `error` of the
      parser. Nothing in it tells time, process ids or paths of the host.

    Verifier and sandbox failures raise `VerifierError` and `SandboxError`: they are no reward of 0.
    """

    def __init__(self, task: Wanted | Sequence[Wanted] | None = None, **options: Any) -> None:
        """See `EpisodeEnv`."""
        super().__init__(task, **options)
        self.observation_space = TextSpace()
        self.action_space = ActionSpace()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin an episode; `options={"task": ...}` says which task, for this one."""
        return self._begin(seed, options)

    def step(self, action: str) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take one action."""
        turn, reward, terminated, truncated, info = self._take(parse(action))
        return turn.observation, reward, terminated, truncated, info


def limits_of(task: Task, changed: dict[str, Any]) -> Limits:
    """The task's limits, with some of them changed."""
    return replace(task.limits, **changed)
