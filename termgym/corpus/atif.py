"""ATIF v1.8, the trajectory format of Harbor: one JSON document for each episode.

An agent's step has its answer verbatim as `message`, what it thought as `reasoning_content`, its commands as tool calls
by the names that Terminus 2 gives them, and the tokens where they were recorded. What ATIF has no field for is in
`extra`, so that what termgym wrote is read back whole.
"""

import json
import re
from dataclasses import asdict
from typing import Any, cast

import termgym
from termgym.corpus.record import Record, in_turn, text_of
from termgym.dataset import Row
from termgym.errors import TaskError
from termgym.policy import Message
from termgym.protocol import THINK, THOUGHT, Action, Command, answer, parse
from termgym.sample import contexts
from termgym.trajectory import FORMAT, Trajectory, TurnRecord

VERSION = "ATIF-v1.8"
COMMAND, COMPLETE = "bash_command", "mark_task_complete"
_STEP = ("settled", "warnings", "error", "step_s", "policy_s", "kept", "finish", "version")


def document(record: Record) -> dict[str, Any]:
    """A record as a document.

    Raises:
        TaskError: It is not known how the environment answered: a row of others, whose tokens and times are missing.
    """
    one = record.trajectory
    if one is None:
        raise TaskError(f"{record.task or 'a record'}: atif needs an episode of termgym, with all that was recorded")
    steps = [{"step_id": 1, "source": "user", "message": one.first, "timestamp": one.date or None}]
    prompts = [prompt for prompt, _ in contexts(one)]
    steps += [_step(one, number, prompt) for number, prompt in enumerate(prompts)]
    given = sum(map(len, prompts))
    counted = {"total_prompt_tokens": given, "total_completion_tokens": one.tokens} if one.tokens else {}
    said = {name: value for name, value in asdict(one).items() if name not in ("turns", "first")}
    said["outcome"] = one.outcome.value
    agent = {"name": one.policy, "version": termgym.__version__, "model_name": one.model or None}
    return _without_none(
        {
            "schema_version": VERSION,
            "session_id": f"{one.task}-{one.attempt}",
            "agent": agent,
            "steps": steps,
            "final_metrics": {**counted, "total_steps": len(steps)},
            "extra": {"termgym": said},
        }
    )


def _step(one: Trajectory, number: int, prompt: list[int]) -> dict[str, Any]:
    turn = one.turns[number]
    said = answer(turn.reply)
    thought = turn.reply[: len(turn.reply) - len(said)] if said != turn.reply else ""
    action = parse(said).action
    calls = _calls(action, number) if action else []
    commands = [call["tool_call_id"] for call in calls if call["function_name"] == COMMAND]
    seen = {"content": turn.observation, "source_call_id": commands[0] if len(commands) == 1 else None}
    extra = {name: value for name, value in asdict(turn).items() if name in _STEP}
    return {
        "step_id": number + 2,
        "source": "agent",
        "message": said,
        "model_name": one.model or None,
        "reasoning_content": thought.strip().removeprefix(THINK).removesuffix(THOUGHT).strip() or None,
        "tool_calls": calls or None,
        "observation": {"results": [seen]},
        "metrics": _metrics(turn, prompt),
        "extra": extra | ({"thought": thought} if thought else {}),
    }


def _calls(action: Action, number: int) -> list[dict[str, Any]]:
    made: list[tuple[str, dict[str, Any]]] = [
        (COMMAND, {"keystrokes": command.keystrokes, "duration": command.duration_s}) for command in action.commands
    ]
    made += [(COMPLETE, {})] if action.task_complete else []
    return [
        {"tool_call_id": f"call_{number}_{index}", "function_name": name, "arguments": arguments}
        for index, (name, arguments) in enumerate(made, 1)
    ]


def _metrics(turn: TurnRecord, prompt: list[int]) -> dict[str, Any] | None:
    if not turn.token_ids:
        return None
    emitted = list(turn.token_ids)
    counted = {"prompt_tokens": len(prompt), "completion_tokens": len(emitted)}
    return counted | {"prompt_token_ids": prompt, "completion_token_ids": emitted, "logprobs": list(turn.logprobs)}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {name: _without_none(one) for name, one in items if one is not None or name in ("binary", "dense")}
    return [_without_none(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value


def record(row: Row) -> Record:
    """A document as a record; one that termgym wrote, whole. Answers of Terminus 2 are made JSON again.

    Raises:
        TaskError: It is none.
    """
    steps = row.get("steps")
    if not isinstance(steps, list) or not steps:
        raise row.error("steps", f"is {steps!r:.60}; expected the steps of a document of {VERSION}")
    extra: Any = row.get("extra") or {}
    try:
        if "termgym" in extra:
            return _whole(cast("list[dict[str, Any]]", steps), extra["termgym"])
        said = [message for step in cast("list[Any]", steps) for message in _messages(step)]
        agent: Any = row.get("agent") or {}
        name, model = str(agent["name"]), str(agent.get("model_name") or "")
        return Record(in_turn(_joined(said), row.where), agent=name, model=model)
    except (TypeError, LookupError, AttributeError, ValueError) as error:
        raise TaskError(f"{row.where}: is no document of {VERSION}: {error!r}") from error


def _whole(steps: list[dict[str, Any]], said: dict[str, Any]) -> Record:
    first, *turns = steps
    records: list[dict[str, Any]] = []
    for step in turns:
        extra, metrics = dict(step["extra"]), step.get("metrics", {})
        prompt, emitted = metrics.get("prompt_token_ids", []), metrics.get("completion_token_ids", [])
        thought = extra.pop("thought", "")
        tokens = {"prompt_ids": prompt[extra["kept"] :], "token_ids": emitted, "logprobs": metrics.get("logprobs", [])}
        seen = step["observation"]["results"][0].get("content", "")
        records.append({"reply": thought + step["message"], "observation": seen, **extra, **tokens})
    return Record.of(
        Trajectory.from_json(json.dumps({"format": FORMAT, "first": first["message"], "turns": records, **said}))
    )


def _messages(step: dict[str, Any]) -> list[Message]:
    text = text_of(step["message"])
    if step["source"] != "agent":
        return [Message("user" if step["source"] == "user" else "system", text)]
    thought = f"{THINK}\n{step['reasoning_content']}\n{THOUGHT}\n\n" if step.get("reasoning_content") else ""
    observation = cast("dict[str, Any]", step.get("observation") or {})
    results: list[dict[str, Any]] = observation.get("results") or []
    seen = [Message("user", "\n".join(text_of(result.get("content")) for result in results))] if results else []
    return [Message("assistant", thought + _as_json(text, step.get("tool_calls") or [])), *seen]


def _as_json(text: str, calls: list[dict[str, Any]]) -> str:
    """An answer that was written as prose and tool calls, as Terminus 2 writes them, in the form of the protocol."""
    if parse(text).action or not (calls or text.startswith("Analysis:")):
        return text
    found = re.fullmatch(r"(?:Analysis: (.*?))?\n?(?:Plan: (.*))?", text, re.DOTALL)
    analysis, plan = (found[1] or "", found[2] or "") if found else (text, "")
    commands = tuple(
        Command(str(call["arguments"]["keystrokes"]), float(call["arguments"].get("duration", 1.0)))
        for call in calls
        if call["function_name"] == COMMAND
    )
    return Action(analysis, plan, commands, any(call["function_name"] == COMPLETE for call in calls)).to_json()


def _joined(messages: list[Message]) -> list[Message]:
    """Messages of the same side in a row as one."""
    found: list[Message] = []
    for message in messages:
        if found and found[-1].role == message.role:
            message = Message(message.role, f"{found.pop().content}\n\n{message.content}")
        found.append(message)
    return found
