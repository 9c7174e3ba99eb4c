"""Types the known solution as the oracle does, and says why: demonstrations for supervised training.

Analyses are read from the screen, plans from the keystrokes. Now and then it makes a harmless mistake at the shell's
prompt, sees it, and corrects it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from termgym.policy import Message, Reply, new_policy
from termgym.protocol import Action, Command, parse
from termgym.task import Task
from termgym.teaching import phrases, slips, telling
from termgym.teaching.intent import Intent, at_shell, in_program
from termgym.teaching.mistake import Mistake, allowed, choose, noticed, unusable
from termgym.teaching.reading import Reading
from termgym.teaching.voice import Voice

_FRAGILE = re.compile(r"^\s*(?:set -\w*[eT]|set -o|trap|exec)\b")
"""Where a command that fails would do more than that."""


class Teacher:
    """The oracle's turns, in the words of somebody who sees the screen."""

    def __init__(self, task: Task, seed: int, mistakes: float) -> None:
        self._task, self._oracle, self._voice = task, new_policy("oracle", task, seed), Voice(seed)
        fragile = any(_FRAGILE.search(command.keystrokes) for command in task.oracle)
        self._mistakes = 0.0 if fragile else mistakes
        self._turns, self._left = 0, _turns_of(task)
        self._typed, self._program = "", ""
        self._intents: list[Intent] = []
        self._instructions = [step.instruction for step in task.steps[1:]]
        self._made: Mistake | None = None
        self._held = Action()
        """What the mistake came before."""

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """See `Policy`."""
        shown = conversation[-1].content
        reading = Reading.of(shown, self._typed)
        self._turns += 1
        if self._made:
            return self._correct(self._made, reading)
        action = parse((await self._oracle.act(conversation)).text).action or Action()
        analysis = self._analysis(reading, action, shown)
        if made := self._mistake(reading, action):
            return self._err(made, action, analysis)
        self._left -= 1
        return self._say(action, analysis, self._plan(reading, action))

    # What is said.

    def _analysis(self, reading: Reading, action: Action, shown: str) -> str:
        if self._instructions and self._instructions[0] in shown:
            return telling.next_step(self._instructions.pop(0), self._voice)
        if reading.kind == "first":
            return telling.first(self._task.opening, reading, self._voice)
        if reading.kind == "confirm":
            return telling.confirmed(reading, self._voice)
        if action.task_complete:
            return telling.done(self._intents, reading, self._typed, self._voice)
        return telling.seen(reading, self._typed, self._voice)

    def _plan(self, reading: Reading, action: Action) -> str:
        if action.task_complete:
            return self._voice.pick(phrases.CONFIRM_PLANS if reading.kind == "confirm" else phrases.DONE_PLANS)
        if not action.commands[0].keystrokes:
            return self._voice.pick(phrases.WAIT_PLANS)
        intent = self._understood(action.commands[0].keystrokes, shell=reading.at_prompt)
        closings = phrases.LOOKING if intent.looks else phrases.CHANGING
        return self._planned(intent, closings if reading.at_prompt else phrases.IN_PROGRAM)

    def _planned(self, intent: Intent, closings: tuple[str, ...]) -> str:
        words = self._voice.pick(phrases.PLAN_OPENINGS).format(intent.words)
        return f"{words} {self._voice.pick(closings)}." if self._voice.likely(0.6) else f"{words}."

    def _understood(self, keystrokes: str, *, shell: bool) -> Intent:
        """What the solution's next keystrokes are for; remembered."""
        if shell:
            intent = at_shell(keystrokes, self._voice)
            self._program = next(iter(keystrokes.rpartition("&& ")[2].split()), "")
        else:
            intent = in_program(keystrokes, self._program, self._voice)
        self._intents.append(intent)
        return intent

    def _say(self, action: Action, analysis: str, plan: str) -> Reply:
        self._typed = "".join(command.keystrokes for command in action.commands)
        return Reply(replace(action, analysis=analysis, plan=plan).to_json())

    # Mistakes.

    def _mistake(self, reading: Reading, action: Action) -> Mistake | None:
        """One that may be made now."""
        limit = self._task.limits.turns
        room = not limit or limit - self._turns + 1 > 2 * self._left
        if not (room and action.commands and reading.at_root_prompt and self._voice.likely(self._mistakes)):
            return None
        keystrokes = action.commands[0].keystrokes
        return choose(keystrokes, self._voice) if allowed(keystrokes) else None

    def _err(self, made: Mistake, action: Action, analysis: str) -> Reply:
        self._made, self._held = made, action
        meant = at_shell(made.meant or action.commands[0].keystrokes, self._voice)
        plan = self._planned(meant, phrases.LOOKING if meant.looks else phrases.CHANGING)
        if made.kind == "reply":
            return Reply(unusable(replace(action, analysis=analysis, plan=plan), meant.words, self._voice))
        slip = replace(action, commands=(Command(made.keystrokes, action.commands[0].duration_s),))
        return self._say(slip, analysis, plan)

    def _correct(self, made: Mistake, reading: Reading) -> Reply:
        analysis = noticed(made, reading, self._voice) or telling.seen(reading, self._typed, self._voice)
        if made.kind == "quote" and not reading.at_root_prompt:
            self._made = replace(made, kind="interrupted")
            interrupt = replace(self._held, commands=(Command("C-c", self._held.commands[0].duration_s),))
            return self._say(interrupt, analysis, self._voice.pick(slips.OPEN_QUOTE_PLANS))
        self._made = None
        self._left -= 1
        intent = self._understood(self._held.commands[0].keystrokes, shell=True)
        ways = slips.UNUSABLE_PLANS if made.kind == "reply" else slips.AGAIN
        return self._say(self._held, analysis, self._voice.pick(ways).format(intent.words))


def _turns_of(task: Task) -> int:
    """How many turns the oracle needs, at most."""
    parts = [task.at(step) for step in task.steps] or [task]
    return sum(max(len(part.oracle), len(part.solution) + 1) + 2 for part in parts)


def new(task: Task, seed: int, mistakes: float = 0.15) -> Teacher:
    """`mistakes` is how likely one is at each turn at the shell's prompt.

    Raises:
        TaskError: The task comes without a solution.
    """
    return Teacher(task, seed, mistakes)
