"""Types the known solution: what proves that a task can be solved."""

import re
from base64 import encodebytes
from collections.abc import Sequence
from shlex import quote

from termgym.errors import TaskError
from termgym.harbor.table import ENV, table
from termgym.policy import Message, Policy, Reply
from termgym.protocol import MAX_DURATION_S, Action, Command
from termgym.task import File, Task

_FOLDER = "/solution"  # Harbor's place, which solve.sh may rely on
_WAIT = Command("", MAX_DURATION_S)


class Oracle:
    """The task's keystrokes, one turn for each command; then its word that the task is done."""

    def __init__(self, commands: Sequence[Command], ending: re.Pattern[str] | None = None) -> None:
        """`ending` is what must show after the last command before the task counts as done."""
        self._commands, self._ending = commands, ending
        self._typed = 0

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        if self._typed < len(self._commands):
            self._typed += 1
            says = f"Step {self._typed} of {len(self._commands)} of the known solution."
            return _say(says, "To type it.", self._commands[self._typed - 1])
        if self._ending and not self._ending.search(conversation[-1].content):
            return _say("The known solution is still running.", "To wait for it.", _WAIT)
        self._ending = None  # the question whether it is done shows another screen
        return _say("The known solution has been typed.", "To say that the task is done.")


def new(task: Task, seed: int) -> Policy:
    """The task's own keystrokes, or else its solve.sh, typed into the terminal and run there.

    Raises:
        TaskError: The task comes without a solution.
    """
    return Steps([(step.instruction, _one(task.at(step))) for step in task.steps]) if task.steps else _one(task)


class Steps:
    """One oracle after the other, for a task that has several steps; each begins when its instruction shows."""

    def __init__(self, oracles: Sequence[tuple[str, Oracle]]) -> None:
        self._oracles = list(oracles)

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        if len(self._oracles) > 1 and conversation[1:] and self._oracles[1][0] in conversation[-1].content:
            del self._oracles[0]
        return await self._oracles[0][1].act(conversation)


def _one(task: Task) -> Oracle:
    if task.oracle:
        return Oracle(task.oracle)
    if "solve.sh" not in task.solution:
        raise TaskError(f"{task.id} comes without a solution: no oracle keystrokes and no solution/solve.sh")
    copies = [_copy(f"{_FOLDER}/{path}", file) for path, file in task.solution.items()]
    run = Command(f"{_env(task)}bash {_FOLDER}/solve.sh; echo solution ended: $?\n", MAX_DURATION_S)
    return Oracle([*copies, run], re.compile(r"solution ended: \d"))


def _env(task: Task) -> str:
    """What task.toml's [solution] gives solve.sh as its environment."""
    env = table(task.config, "solution").get("env", dict[str, str](), ENV)
    return "".join(f"{name}={quote(value)} " for name, value in env.items())


def _copy(path: str, file: File) -> Command:
    """Lays a file out through a here-document; in base64, as the shell would complete at a tab and expand a "!"."""
    content = encodebytes(file.content).decode()
    folder = path.rpartition("/")[0]
    keys = f"mkdir -p '{folder}' && base64 -d > '{path}' <<'TERMGYM_EOF'\n{content}TERMGYM_EOF\n"
    return Command(keys, MAX_DURATION_S)


def _say(analysis: str, plan: str, *commands: Command) -> Reply:
    return Reply(Action(analysis, plan, commands, task_complete=not commands).to_json())
