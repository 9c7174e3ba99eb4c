"""`TerminalGrid-v0`: a terminal task for ordinary networks: the screen as arrays, one key a step."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from termgym.env import EpisodeEnv
from termgym.episode import Episode
from termgym.protocol import Action, Command, Parsed
from termgym.setting import Setting
from termgym.source import Wanted

Grid = dict[str, Any]  # of NDArray; Gymnasium types the values of a Dict space no further

INSTRUCTION_BYTES = 2048
TURNS = 1000
WAIT, SUBMIT = "wait", "submit"
_CONTROL = tuple(f"C-{letter}" for letter in "abcdefghklnoprtuvwxyz")
KEYS: tuple[str, ...] = (
    *map(chr, range(ord(" "), ord("~") + 1)),
    *("Enter", "Tab", "Escape", "BSpace", "Up", "Down", "Left", "Right"),
    *("Home", "End", "PPage", "NPage", "DC", *_CONTROL),
    *(WAIT, SUBMIT),
)
"""What each action types: a character, or the tmux name of a key. `KEYS.index("C-c")` is the action Ctrl-C.

C-s and C-q are left out: the one stops all output until the other comes, so every step in between would take its
whole `duration_s`. `WAIT` types nothing, and gives a program that is at work `duration_s` more; `SUBMIT` ends the
episode.
"""


class GridInterface:
    """Arrays out, keys in: see `TerminalGridEnv`."""

    def __init__(self, rows: int, cols: int, duration_s: float) -> None:
        """`duration_s` is for how many seconds a key's effect is waited for, at the most."""
        self.rows, self.cols, self.duration_s = rows, cols, duration_s

    @property
    def observation_space(self) -> spaces.Dict:
        """Characters, attributes, the cursor, and the instruction."""
        last = np.array([self.rows - 1, self.cols - 1], np.int32)
        return spaces.Dict(
            {
                "chars": spaces.Box(0, 0x10FFFF, (self.rows, self.cols), np.int32),
                "attributes": spaces.Box(0, 0xFFFF, (self.rows, self.cols), np.uint16),
                "cursor": spaces.Box(np.zeros_like(last), last, dtype=np.int32),
                "instruction": spaces.Box(0, 255, (INSTRUCTION_BYTES,), np.uint8),
            }
        )

    @property
    def action_space(self) -> "spaces.Discrete[np.int64]":
        """Indices into `KEYS`."""
        return spaces.Discrete(len(KEYS))

    def parse(self, action: int | np.int64) -> Parsed:
        """See `Interface`.

        Raises:
            InvalidAction: `action` is no index into `KEYS`.
        """
        if not self.action_space.contains(action):
            raise gym.error.InvalidAction(f"{action!r} is not an action: they are 0 to {len(KEYS) - 1}")
        return Parsed(self._batch(KEYS[action]), "", ())

    def _batch(self, key: str) -> Action:
        if key == SUBMIT:
            return Action(task_complete=True)
        return Action(commands=(Command("" if key == WAIT else key, self.duration_s),))

    def observe(self, episode: Episode, text: str) -> Grid:
        """See `Interface`."""
        emulator = episode.terminal.emulator
        chars, attributes = emulator.cells()
        return {
            "chars": chars,
            "attributes": attributes,
            "cursor": np.array(emulator.cursor, np.int32),
            "instruction": encoded(episode.at.instruction),
        }

    def nothing(self) -> Grid:
        """See `Interface`."""
        return {name: np.zeros(space.shape or (), space.dtype) for name, space in self.observation_space.items()}

    @classmethod
    def of(cls, duration_s: float, options: dict[str, Any]) -> tuple["GridInterface", Setting]:
        """The interface and the setting by an environment's options, with the defaults of this one."""
        limits: dict[str, float] = {"turns": TURNS, **(options.pop("limits", None) or {})}
        setting = Setting.of(**options, limits=limits, confirm=False)
        return cls(setting.config.rows, setting.config.cols, duration_s), setting


class TerminalGridEnv(EpisodeEnv[Grid, int | np.int64]):
    """A terminal task, a key at a time. Observations are arrays, the reward is the verifier's.

    - *Observation*, a dict:
        - `chars`, (rows, cols), int32: the screen's code points; 32 a blank, 0 a wide one's second half;
        - `attributes`, (rows, cols), uint16: colours and styles, as in `termgym.screen.Emulator.cells`;
        - `cursor`, (2,), int32: row and column, from 0;
        - `instruction`, (2048,), uint8: the task in UTF-8, then zeros; a longer one is cut at a character.
    - *Action*: an index into `KEYS`. The key is typed, and the screen read once the terminal has settled.
    - *Terminated* by `SUBMIT`, or when the shell is gone; *truncated* by a limit. Either way the files are
      judged, and the reward comes with that step; it is 0 before.
    - *Info*: as in `TerminalEnv`.
    """

    def __init__(
        self,
        task: Wanted | Sequence[Wanted] | None = None,
        *,
        duration_s: float = 0.5,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        """See `TerminalEnv`, save for `confirm`: one `SUBMIT` is enough.

        Args:
            task: As there.
            duration_s: Seconds that a key's effect is waited for, at the most.
            render_mode: As there.
            options: As there; the limit on turns, each of which is one key here, is 1000 unless it is given.
        """
        interface, setting = GridInterface.of(duration_s, {"task": task, **options})
        super().__init__(setting, interface, render_mode)


def encoded(text: str, size: int = INSTRUCTION_BYTES) -> NDArray[np.uint8]:
    """Text as UTF-8, (size,), with zeros at the end; what does not fit is cut at a character."""
    data = text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore").encode()
    return np.frombuffer(data.ljust(size, b"\0"), np.uint8).copy()
