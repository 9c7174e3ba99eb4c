"""`Terminal-v0`: a terminal task as a Gymnasium environment. A thin, synchronous shell over a `Slot`."""

from collections.abc import Sequence
from typing import Any, Generic, SupportsFloat, TypeVar

import gymnasium as gym

from termgym import aio
from termgym.episode import Episode
from termgym.errors import UnknownName
from termgym.interface import Interface, TextInterface
from termgym.setting import Setting
from termgym.slot import Slot
from termgym.source import TaskSource, Wanted
from termgym.verifier import Verdict

Obs = TypeVar("Obs")
Act = TypeVar("Act")
METADATA: dict[str, Any] = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 4}


class EpisodeEnv(gym.Env[Obs, Act], Generic[Obs, Act]):
    """What the terminal environments share: all but what an agent sees and does."""

    metadata: dict[str, Any] = METADATA

    def __init__(self, setting: Setting, interface: Interface[Obs, Act], render_mode: str | None = None) -> None:
        """Prepare an environment; nothing is started before `reset`."""
        check_render_mode(render_mode)
        self._slot = Slot(setting, interface)
        self._loop = aio.loop()
        self.render_mode = render_mode
        self.observation_space, self.action_space = interface.observation_space, interface.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        """Begin an episode; `options={"task": ...}` says which task, for this one."""
        super().reset(seed=seed, options=options)
        source = TaskSource(options["task"]) if options and "task" in options else self._slot.setting.source
        self._drop()
        self._loop = aio.loop()  # this thread's, also where another takes the steps
        result = aio.run(self._slot.reset(source.draw(self.np_random)), self._loop)
        if self.render_mode == "human":
            self.render()
        return result

    def step(self, action: Act) -> tuple[Obs, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take one action."""
        result = aio.run(self._slot.step(action), self._loop)
        if self.render_mode == "human":
            self.render()
        return result

    @property
    def episode(self) -> Episode | None:
        """The episode under way, or the one that ended; None before a reset and after `close`."""
        return self._slot.episode

    @property
    def verdict(self) -> Verdict | None:
        """The verdict of the last episode that ended."""
        return self._slot.verdict

    def spend(self, tokens: int) -> None:
        """Count tokens that the policy used, towards the limit on them."""
        self._slot.current.tokens += tokens

    def render(self) -> Any:
        """The screen, by the render mode.

        "ansi" is its text, "rgb_array" an array of shape (height, width, 3), uint8 (needs Pillow), and "human" shows it
        on this process's terminal and returns None.
        """
        if self.render_mode is None:
            gym.logger.warn('nothing to render: make the environment with render_mode="ansi", "rgb_array" or "human"')
            return None
        from termgym import render

        return render.render(self._slot.current.terminal, self.render_mode)

    def _drop(self) -> None:
        if self._slot.episode is not None:
            aio.run(self._slot.close(), self._loop)

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

    def __init__(
        self, task: Wanted | Sequence[Wanted] | None = None, *, render_mode: str | None = None, **options: Any
    ) -> None:
        """`render_mode` is "ansi", "rgb_array", "human" or None; `task` and the other options are `Setting.of`'s."""
        super().__init__(Setting.of(task, **options), TextInterface(), render_mode)


def check_render_mode(mode: str | None) -> None:
    """Refuse an unknown render mode.

    Raises:
        UnknownName: There is no such mode.
    """
    if mode not in (None, *METADATA["render_modes"]):
        raise UnknownName("render mode", str(mode), METADATA["render_modes"])
