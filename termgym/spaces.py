"""Gymnasium spaces of text: any string is in them, and sampling is cheap.

`gymnasium.spaces.Text` lists its characters: with all of Unicode it takes 6 s to build. Moreover AsyncVectorEnv hands
out stale text for it through shared memory (every Gymnasium up to 1.4); for a space of our own it says that it cannot,
and with `shared_memory=False` it works.
"""

from collections.abc import Sequence
from typing import Any

from gymnasium import Space

from termgym.keys import NAMES
from termgym.protocol import Action, Command

LINES = (
    "ls\n",
    "pwd\n",
    "cat *\n",
    "cd ..\n",
    "cd -\n",
    "echo $?\n",
    "find . -type f\n",
    "grep -rn a .\n",
    "wc -l *\n",
)
"""What a random action types at a shell: nothing whose output tells the time."""


KEYS = tuple(name for name in NAMES if name not in ("C-s", "C-q"))
"""And the keys it presses: not those that stop the terminal's output, after which every wait is to its end."""


class TextSpace(Space[str]):
    """All strings, the empty one among them."""

    def __init__(self, seed: int | None = None) -> None:
        """A space whose samples come from `seed`."""
        super().__init__(None, None, seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Text has no array form."""
        return False

    def sample(self, mask: None = None, probability: None = None) -> str:
        """A short string of printable characters and line feeds."""
        codes = self.np_random.integers(31, 127, int(self.np_random.integers(0, 80)))
        return "".join(chr(code) if code > 31 else "\n" for code in codes)

    def contains(self, x: Any) -> bool:
        """Whether `x` is a string."""
        return isinstance(x, str)

    def __repr__(self) -> str:
        """How it is made."""
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        """Spaces of the same kind are equal."""
        return type(other) is type(self)

    __hash__ = None  # type: ignore[assignment]  # as all spaces of Gymnasium: they hold a generator


class ActionSpace(TextSpace):
    """All strings; samples are keystroke batches that the protocol accepts."""

    def sample(self, mask: None = None, probability: None = None) -> str:
        """A batch of one or two commands: a harmless line, or a key."""
        keys = [self._keystrokes() for _ in range(int(self.np_random.integers(1, 3)))]
        commands = tuple(Command(key, 0.1) for key in keys)
        return Action("sampled", "none", commands, bool(self.np_random.random() < 0.05)).to_json()

    def _keystrokes(self) -> str:
        choices: Sequence[str] = LINES if self.np_random.random() < 0.8 else KEYS
        return choices[int(self.np_random.integers(len(choices)))]
