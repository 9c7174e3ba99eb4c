"""A person, at the level of the protocol: one line of keys for each turn. `termgym play` is the live way."""

import asyncio
import sys
from collections.abc import Sequence

from termgym.keys import NAMES
from termgym.policy import Message, Reply
from termgym.protocol import Action, Command
from termgym.task import Task

_WAIT_S = 10.0
_HELP = "A line is typed with Enter; a key's name alone (C-c, Up) is that key; :done says that the task is done."
_turn = asyncio.Lock()  # many episodes, one keyboard


class Human:
    """Shows each observation and reads the answer from standard input; its end says that the task is done."""

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        async with _turn:
            print(f"\n{conversation[-1].content.rstrip()}\n\n{_HELP}\n> ", end="", flush=True)
            return Reply(_action(await _line()).to_json())


def new(task: Task, seed: int) -> Human:
    """The person at the terminal that this process runs in."""
    return Human()


async def _line() -> str:
    """The next line, without its line feed; waited for in the event loop, so that C-c ends the wait."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    stdin = sys.stdin.fileno()
    try:
        loop.add_reader(stdin, ready.set)
    except PermissionError:  # a regular file never makes one wait
        ready.set()
    try:
        await ready.wait()
    finally:
        loop.remove_reader(stdin)
    with open(stdin, "rb", buffering=0, closefd=False) as unbuffered:
        line = unbuffered.readline()
    return line.decode(errors="replace").removesuffix("\n") if line else ":done"


def _action(line: str) -> Action:
    if line == ":done":
        return Action("", "", (), task_complete=True)
    keys = line if line in NAMES else line + "\n"
    return Action("", "", (Command(keys, _WAIT_S),))
