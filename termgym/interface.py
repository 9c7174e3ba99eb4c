"""What an agent sees and does: how an action becomes keystrokes, and a terminal an observation."""

from typing import Any, Protocol, TypeVar

from gymnasium import Space

from termgym.episode import Episode
from termgym.protocol import Parsed, parse
from termgym.spaces import ActionSpace, TextSpace

Obs = TypeVar("Obs")
Act = TypeVar("Act")
Obs_co = TypeVar("Obs_co", covariant=True)
Act_contra = TypeVar("Act_contra", contravariant=True)


class Interface(Protocol[Obs_co, Act_contra]):
    """One way to use a terminal, without a state of its own: any number of environments share it."""

    @property
    def observation_space(self) -> Space[Any]:
        """The space of one observation, new at each call."""
        ...

    @property
    def action_space(self) -> Space[Any]:
        """The space of one action, new at each call."""
        ...

    def parse(self, action: Act_contra) -> Parsed:
        """What an action types."""
        ...

    def observe(self, episode: Episode, text: str) -> Obs_co:
        """What is seen of an episode whose newest observation, as text, is `text`."""
        ...

    def nothing(self) -> Obs_co:
        """What stands in for an observation where there is no terminal."""
        ...


class TextInterface:
    """Text in and out, as Terminus 2: see `TerminalEnv`."""

    @property
    def observation_space(self) -> TextSpace:
        """All text."""
        return TextSpace()

    @property
    def action_space(self) -> ActionSpace:
        """All text, too; samples are keystroke batches."""
        return ActionSpace()

    def parse(self, action: str) -> Parsed:
        """See `Interface`."""
        return parse(action)

    def observe(self, episode: Episode, text: str) -> str:
        """See `Interface`."""
        return text

    def nothing(self) -> str:
        """See `Interface`."""
        return ""
