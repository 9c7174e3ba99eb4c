"""Types the known solution and says what it sees and why it types: what supervised training data is made of.

Its words are honest: an analysis tells what the screen shows, a plan what the keys do, and neither what only the
solution knows. Now and then it makes a mistake that changes nothing, notices it on the screen, and goes on.
"""

import re
import shutil
from collections.abc import Sequence
from random import Random

from termgym import phrases
from termgym.policy import Message, Policy, Reply, new_policy
from termgym.protocol import Action, Command, parse
from termgym.task import Task

SPARE = 4
"""Turns that are left over when a mistake is made, beyond twice those that the solution still takes."""
WAIT_S = 5.0
_FRAGILE = re.compile(r"^\s*(set -\w*e|set -o errexit|trap|exec)\b", re.MULTILINE)
_SENTENCE = re.compile(r"(.+?[.!?:])(\s|$)", re.DOTALL)


class Teacher:
    """An oracle with words of its own."""

    def __init__(self, task: Task, oracle: Policy, seed: int, mistakes: float) -> None:
        """`mistakes` is how probable one is at each turn."""
        # A shell that ends at the first command that fails is no place for mistakes.
        fragile = any(_FRAGILE.search(command.keystrokes) for command in task.oracle)
        self._oracle, self._chance, self._mistakes = oracle, Random(seed), 0.0 if fragile else mistakes
        self._left, self._turns = len(task.oracle), task.limits.turns or 10**9
        self._task = _opening(task.opening)
        self._typed = ""
        self._held: tuple[Action, str] | None = None
        """What was to be typed when a mistake was made instead, and what the mistake was, in words."""
        self._open = False
        """Whether a quote that was left open is to be left."""

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        self._turns -= 1
        screen = conversation[-1].content
        if self._open:
            self._open = False
            return self._say("The prompt is '> ' now: I left a quote open.", "Leave it by C-c.", Command("C-c", WAIT_S))
        if self._held is not None:
            (action, said), self._held = self._held, None
            return self._carry_out(action, f"{said} {self._noticed(screen)}".strip(), shell=True)
        wanted = parse((await self._oracle.act(conversation)).text).action or Action(task_complete=True)
        analysis = self._analysis(conversation)
        if self._may_err(screen, wanted) and (mistake := self._mistake(wanted, analysis)):
            return mistake
        return self._carry_out(wanted, analysis, shell=phrases.at_prompt(screen))

    def _analysis(self, conversation: Sequence[Message]) -> str:
        if len(conversation) == 1:
            return self._chance.choice(phrases.BEGIN).format(task=self._task)
        return phrases.seen(conversation[-1].content, self._typed, self._chance)

    def _carry_out(self, action: Action, analysis: str, shell: bool) -> Reply:
        self._left -= 1
        if action.task_complete:
            return self._say(f"{analysis} {self._chance.choice(phrases.DONE)}", self._chance.choice(phrases.DECLARE))
        keys = action.commands[0].keystrokes if action.commands else ""
        plan = phrases.intent(keys, self._chance, shell)
        return self._say(analysis, plan, *action.commands)

    def _say(self, analysis: str, plan: str, *commands: Command) -> Reply:
        self._typed = commands[-1].keystrokes if commands else ""
        return Reply(Action(analysis, plan, commands, task_complete=not commands).to_json())

    # Mistakes.

    def _may_err(self, screen: str, wanted: Action) -> bool:
        """Only at the shell's prompt, and where there are turns enough."""
        return (
            not wanted.task_complete
            and self._turns > 2 * max(1, self._left) + SPARE
            and phrases.at_prompt(screen)
            and self._chance.random() < self._mistakes
        )

    def _mistake(self, wanted: Action, analysis: str) -> Reply | None:
        """A reply that errs, where what is wanted allows it."""
        keys = wanted.commands[0].keystrokes if wanted.commands else ""
        kinds = (self._misspelt, self._misspelt, self._misspelt, self._wrong_path, self._wrong_path, self._left_open,
                 self._unreadable)  # fmt: skip
        mistake = self._chance.choice(kinds)(keys, analysis)
        if mistake is None:
            return None
        reply, said = mistake
        self._held = wanted, said
        return reply

    def _misspelt(self, keys: str, analysis: str) -> tuple[Reply, str] | None:
        found = re.match(r"[a-z][a-z0-9]+(?=\s)", keys)
        if found is None:
            return None
        at = self._chance.randrange(1, len(found[0]) + 1)
        wrong = found[0][:at] + found[0][at - 1] + found[0][at:]
        if shutil.which(wrong):
            return None
        reply = self._say(analysis, phrases.intent(keys, self._chance), Command(f"{wrong}\n", WAIT_S))
        return reply, f"I typed {wrong} for {found[0]}."

    def _wrong_path(self, keys: str, analysis: str) -> tuple[Reply, str] | None:
        paths: list[str] = re.findall(r"(?<![\w$])/?[\w.-]+(?:/[\w.-]+)+", keys)
        if not paths:
            return None
        path = self._chance.choice(paths)
        wrong = f"{path}{path[-1]}x"
        reply = self._say(analysis, f"A look at {path} first.", Command(f"ls -d {wrong}\n", WAIT_S))
        return reply, f"{wrong} was a slip for {path}."

    def _left_open(self, keys: str, analysis: str) -> tuple[Reply, str]:
        self._open = True
        plan = "I print a line to see that the shell answers."
        return self._say(analysis, plan, Command('echo "ready\n', WAIT_S)), "The quote is gone, and the prompt is back."

    def _unreadable(self, keys: str, analysis: str) -> tuple[Reply, str]:
        said = f"{analysis} {phrases.intent(keys, self._chance)}"
        self._typed = ""
        reply = Reply(said.replace("{", "(").replace("}", ")"))
        return reply, "My last reply was not in the form that is asked for; here it is."

    def _noticed(self, screen: str) -> str:
        lines = [line for line in screen.splitlines() if phrases.ERRORS.search(line)]
        return f"The screen says {phrases.quote(lines[-1])}." if lines else ""


def _opening(instruction: str) -> str:
    """The first sentence of a task, on one line, shortened."""
    words = " ".join(instruction.split())
    found = _SENTENCE.match(words)
    said = found[1] if found else words
    return said if len(said) <= 200 else f"{said[:200]}..."


def new(task: Task, seed: int, mistakes: float = 0.15) -> Teacher:
    """The same seed says the same. `mistakes` is how probable one is at each turn, 0 to 1.

    Raises:
        TaskError: The task comes without a solution.
    """
    return Teacher(task, new_policy("oracle", task, seed), seed, mistakes)
