"""An account of one episode for the page: a row of the list, and what opens when it is chosen."""

from typing import Any

from termgym.episode import PHASES
from termgym.protocol import THINK, THOUGHT, answer, parse
from termgym.trajectory import Trajectory, TurnRecord

MAX_CHARS = 50_000
"""Of one text: a model may think without end."""


def row(trajectory: Trajectory) -> dict[str, Any]:
    """What the list shows, sorts and filters by."""
    return {
        "task": trajectory.task,
        "family": trajectory.family or trajectory.task,
        "domain": trajectory.domain,
        "level": trajectory.level,
        "attempt": trajectory.attempt,
        "retry": trajectory.retry,
        "outcome": trajectory.outcome.value,
        "dense": trajectory.dense,
        "turns": len(trajectory.turns),
        "tokens": trajectory.tokens,
        "seconds": round(sum(seconds(trajectory).values()), 3),
    }


def seconds(trajectory: Trajectory) -> dict[str, float]:
    """Where its time went: the policy, and each phase of the environment."""
    spent = {"policy": sum(turn.policy_s for turn in trajectory.turns)}
    return spent | {phase: float(trajectory.timings.get(phase, 0.0)) for phase in PHASES}


def details(trajectory: Trajectory) -> dict[str, Any]:
    """What the player shows beside the recording, and in its place where there is none."""
    return {
        "policy": trajectory.policy,
        "model": trajectory.model,
        "instruction": _clipped(trajectory.instruction),
        "error": _clipped(trajectory.error),
        "first": _clipped(trajectory.first),
        "turns": [_turn(turn) for turn in trajectory.turns],
        "checks": [[one.name, one.weight, one.score, _clipped(one.output)] for one in trajectory.checks],
    }


def thinking(reply: str) -> str:
    """What a model thought aloud before it answered; nothing where it did not."""
    ahead = reply[: len(reply) - len(answer(reply))]
    return ahead.strip().removeprefix(THINK).removesuffix(THOUGHT).strip()


def _turn(turn: TurnRecord) -> dict[str, Any]:
    """The reply as it came is told only where it could not be used."""
    action = parse(answer(turn.reply)).action
    told: dict[str, Any] = {
        "thinking": _clipped(thinking(turn.reply)),
        "settled": list(turn.settled),
        "warnings": [_clipped(warning) for warning in turn.warnings],
        "error": _clipped(turn.error),
        "seconds": [round(turn.policy_s, 3), round(turn.step_s, 3)],
        "tokens": len(turn.token_ids),
        "observation": _clipped(turn.observation),
    }
    if action is None:
        return told | {"reply": _clipped(answer(turn.reply))}
    keys = [[_clipped(command.keystrokes), command.duration_s] for command in action.commands]
    return told | {
        "analysis": _clipped(action.analysis),
        "plan": _clipped(action.plan),
        "commands": keys,
        "complete": action.task_complete,
    }


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}\n... and {len(text) - MAX_CHARS} characters more"
