"""`Terminal-v0`: a terminal task as a Gymnasium environment. A thin, synchronous shell over a `Slot`."""

import copy
from collections.abc import Sequence
from typing import Any, Generic, Self, SupportsFloat, TypeVar

import gymnasium as gym

from termgym import aio, display
from termgym.episode import Episode
from termgym.errors import UnknownName
from termgym.interface import Interface, TextInterface
from termgym.setting import Setting
from termgym.slot import Slot
from termgym.snapshot import Carried, Snapshot
from termgym.source import Sampler, Wanted, sampler
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
        self._snapshots: list[Snapshot] = []
        self._loop = aio.loop()
        self.render_mode = render_mode
        self.observation_space, self.action_space = interface.observation_space, interface.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        """Begin an episode; `options={"task": ...}` says which task, for this one."""
        super().reset(seed=seed, options=options)
        source = sampler(options["task"]) if options and "task" in options else self._slot.setting.source
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

    def snapshot(self, *, replay: bool | None = None) -> Snapshot:
        """The episode as it stands, to `restore` any number of times, here or in a `fork`; `discard` frees it.

        Files come back exactly. A shell at its prompt comes back as a new one in the same state; where more runs, what
        was typed is typed again: `carried` tells which, afterwards. `replay=True` types again in any case, and
        `replay=False` in none: whatever runs beside the shell is then ended, here too.

        Raises:
            ResetNeeded: There is no episode, or it has ended.
        """
        snapshot = aio.run(self._slot.snapshot(replay), self._loop)
        self._snapshots.append(snapshot)
        return snapshot

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot: the next step is as if taken there."""
        aio.run(self._slot.restore(snapshot), self._loop)

    def discard(self, snapshot: Snapshot) -> None:
        """Let go of a snapshot; `close` lets go of all that this environment took."""
        self._snapshots.remove(snapshot)
        aio.run(snapshot.close(), self._loop)

    def fork(self, count: int, *, replay: bool | None = None) -> list[Self]:
        """`count` environments that go on from here, as this one does: see `snapshot` for what goes on in them.

        Each is to be closed by itself, has a copy of this one's random state, and is used in the same thread.
        """
        slots = aio.run(self._slot.fork(count, replay), self._loop)
        return [self._like(slot) for slot in slots]

    def _like(self, slot: Slot[Obs, Act]) -> Self:
        env = copy.copy(self)
        env._slot, env._snapshots = slot, []
        env._np_random = copy.deepcopy(self._np_random)
        env.observation_space = slot.interface.observation_space
        env.action_space = slot.interface.action_space
        return env

    @property
    def carried(self) -> Carried | None:
        """What of the terminal went on, in a fork or after `restore`; None in an episode from its beginning."""
        return self._slot.episode.carried if self._slot.episode else None

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

    def _repr_html_(self) -> str:
        """The task and the screen, for notebooks; of `env.unwrapped`, as Gymnasium's wrappers do not pass it on."""
        episode = self._slot.episode
        if episode is None:
            return display.element("p", f"{type(self).__name__}: not reset yet, or closed")
        ended = episode.reason.value if episode.reason else "under way"
        title = display.element("p", f"{episode.task.id}, after {episode.turns} turns: {ended}")
        return display.element("div", title, display.screen(episode.terminal.emulator.screen().text))

    def _drop(self) -> None:
        if self._slot.episode is not None:
            aio.run(self._slot.close(), self._loop)

    def close(self) -> None:
        """Drop the sandbox and the snapshots. Closing twice is allowed."""
        self._drop()
        while self._snapshots:
            self.discard(self._snapshots[-1])


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
        self,
        task: Sampler | Wanted | Sequence[Wanted] | None = None,
        *,
        render_mode: str | None = None,
        **options: Any,
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
