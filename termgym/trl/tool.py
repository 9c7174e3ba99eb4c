"""A terminal as a tool, for models that call tools."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from termgym.episode import Episode
from termgym.errors import SandboxUnavailable, TaskError, TermgymError
from termgym.protocol import DEFAULT_DURATION_S, Action, Command, parse
from termgym.task import Task
from termgym.trl.home import Home

ENDED = "The episode has ended: nothing was typed."


class Play:
    """One episode after the other, each made ready while others are. Used in its home's thread."""

    def __init__(self, home: Home) -> None:
        """There is no episode before `begin`."""
        self._home = home
        self._ready: asyncio.Task[Episode] | None = None

    def begin(self, task: Task) -> None:
        """Drop the episode before, if it was not judged, and make one at this task; not waited for."""
        self._ready = asyncio.get_running_loop().create_task(self._reset(task, self._ready))

    async def type(self, command: Command) -> str:
        """What the agent is shown after a command, which is a turn."""
        episode = await self._episode()
        if episode.reason is not None:
            return ENDED
        return (await episode.take(parse(Action(commands=(command,)).to_json()))).observation

    async def judge(self) -> float | None:
        """What the episode is worth, which ends with it; None where our side failed it.

        Raises:
            SandboxUnavailable: This host cannot run such sandboxes.
        """
        try:
            _, verdict = await (await self._episode()).finish()
            return self._home.setting.reward_of(verdict)
        except SandboxUnavailable:
            raise
        except (TermgymError, OSError):
            return None
        finally:
            ready, self._ready = self._ready, None
            await _dropped(ready)

    async def _reset(self, task: Task, before: asyncio.Task[Episode] | None) -> Episode:
        await _dropped(before)
        episode = self._home.episode(task)
        await episode.reset()
        return episode

    async def _episode(self) -> Episode:
        if self._ready is None:
            raise TaskError("this terminal has no episode: reset it")
        return await asyncio.shield(self._ready)


class TerminalTool:
    """What TRL resets for each rollout, and whose other public methods the model may call.

    `reset` only begins to make the terminal ready: TRL resets one after the other, and then has the model write.
    """

    def __init__(self, home: Home, find: Callable[[str], Task]) -> None:
        """`find` knows the task of a digest."""
        self._home, self._find, self.play = home, find, Play(home)

    def reset(self, digest: str, **row: Any) -> None:
        """Begin an episode at a row's task. The model is told of it by the row's prompt alone."""
        self._home.thread.post(self.play.begin, self._find(digest))

    def send_keys(self, keystrokes: str, duration: float = DEFAULT_DURATION_S) -> str:
        """Type into the terminal, and see what it shows then.

        Args:
            keystrokes: Typed exactly as given; a shell line ends with a newline. For a special key its tmux name alone:
                C-c, C-d, Enter, Escape, Tab, Up. Nothing at all only waits and looks.
            duration: Seconds to wait at most for what the keystrokes cause.

        Returns:
            The terminal's screen.
        """
        return self._home.thread.run(self.play.type(Command(keystrokes, duration)))


async def judged(tools: Sequence[TerminalTool]) -> list[float | None]:
    """What the tools' episodes are worth, all judged at once: see `Play.judge`."""
    return await asyncio.gather(*(tool.play.judge() for tool in tools))


async def _dropped(ready: asyncio.Task[Episode] | None) -> None:
    """Close an episode, if one began."""
    for episode in await asyncio.gather(*[ready] if ready else [], return_exceptions=True):
        if isinstance(episode, Episode):
            await episode.close()
