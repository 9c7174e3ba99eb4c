"""Episodes by chance, with all that a trajectory may have: what the tests of corpora write and read."""

import random
from dataclasses import replace
from typing import Any

from termgym.outcome import Outcome
from termgym.protocol import Action, Command, parse
from termgym.trajectory import Trajectory, TurnRecord
from termgym.verifier import CheckResult

YES = Action("é\u2028", "p", (Command("echo yes > answer\n", 5.0), Command("C-c"))).to_json()
DONE = Action("", "", (), task_complete=True).to_json()


def text(chance: random.Random) -> str:
    return "".join(chance.choices(["ls\n", "é世界🙂", "\u2028", '"', "\\", "</s>", "\x1b[31m", "a b", "", "\t"], k=6))


def one(seed: int, surrogates: bool = False, **changed: Any) -> Trajectory:
    """An episode by chance, with or without tokens."""
    chance, tokens, known = random.Random(seed), seed % 2 == 0, 0
    turns: list[TurnRecord] = []
    for number in range(chance.randrange(1, 5)):
        reply = chance.choice([YES, "<think>\nhm\n</think>\n\n" + YES, "{oops", text(chance) + "\ud800" * surrogates])
        prompt, emitted = (tuple(chance.choices(range(99), k=3)), (number, 7)) if tokens else ((), ())
        logprobs = (-0.5, -1.25) if tokens else ()
        parsed = parse(reply)
        read = (("prompt",), parsed.warnings, parsed.error, 0.25, 1.5)
        finish = "stop" if tokens else ""
        turns.append(TurnRecord(reply, text(chance), *read, emitted, logprobs, known, prompt, finish, number))
        known += len(prompt) + len(emitted)
    turns.append(TurnRecord(DONE, "done", kept=known))
    solved = seed % 3 == 0
    checks = (CheckResult("a", float(solved), 1.0, text(chance)), CheckResult("b", 0.5, 3.0))
    outcome, share = (Outcome.SOLVED, 1.0) if solved else (Outcome.FAILED, 0.25)
    made = Trajectory(
        f"family/name@{seed}.2", "d" * 64, "p", outcome, share, float(solved), checks, "", text(chance), tuple(turns),
        {"create": 0.5, "step": 1.0}, seed, "family/name", seed, 2, seed, 0, "m", text(chance), "security", "CC-BY-4.0",
        "here", "2026-11-26T00:00:00Z",
    )  # fmt: skip
    return replace(made, **changed)
