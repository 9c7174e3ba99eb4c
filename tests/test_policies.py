"""Policies: the registry, and what each one does in a real terminal."""

import asyncio
from dataclasses import replace

import pytest

from termgym.attempt import Attempt, run_episode
from termgym.errors import TaskError, UnknownName
from termgym.launcher_client import close_launcher
from termgym.outcome import Outcome
from termgym.plan import Plan
from termgym.policy import Message, new_policy, policy_names
from termgym.protocol import Action, Command, parse
from termgym.task import Check, File, Task
from termgym.trajectory import Trajectory

MODELS = {"hf", "openai", "vllm"}
TASK = Task(
    id="write-yes",
    instruction="Write yes into /app/answer.",
    checks=(Check("answer", "grep -qx yes /app/answer"),),
    oracle=(Command("printf ye > answer\n", 5.0), Command("echo s >> answer\n", 5.0)),
)
START = [Message("user", "a task and a screen")]


def run(attempt: Attempt) -> Trajectory:
    async def main() -> Trajectory:
        try:
            return await run_episode(attempt)
        finally:
            await close_launcher()

    return asyncio.run(main())


def replies(name: str, count: int, seed: int = 0, **options: object) -> list[str]:
    policy = new_policy(name, TASK, seed, **options)

    async def main() -> list[str]:
        return [(await policy.act(START)).text for _ in range(count)]

    return asyncio.run(main())


def test_all_policies_are_found() -> None:
    assert {"human", "idle", "oracle", "random", "scripted"} <= set(policy_names())


@pytest.mark.parametrize("name", sorted(set(policy_names()) - MODELS))
def test_every_policy_is_made_from_a_task_and_a_seed(name: str) -> None:
    assert callable(new_policy(name, TASK, 3).act)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_is_to_be_named(name: str) -> None:
    with pytest.raises(TaskError, match=f"policy '{name}' needs an option 'model': --option model="):
        new_policy(name, TASK, 3)


def test_an_unknown_policy_or_option_suggests_another() -> None:
    with pytest.raises(UnknownName, match="did you mean oracle"):
        new_policy("orcale", TASK)
    with pytest.raises(UnknownName, match="option of policy 'scripted' named 'reply'; did you mean replies"):
        new_policy("scripted", TASK, reply=["x"])


def test_the_oracle_types_a_turn_for_each_command_and_claims_completion() -> None:
    done = run(Attempt(TASK, "oracle"))
    actions = [parse(turn.reply).action for turn in done.turns]
    assert [action.commands for action in actions if action] == [*[(command,) for command in TASK.oracle], (), ()]
    assert (done.outcome, done.dense, done.binary) == (Outcome.SOLVED, 1.0, 1.0)


def test_the_oracle_runs_a_script_where_there_are_no_keystrokes() -> None:
    script = "#!/bin/bash\nset -e\n# !! !$ \t 'quotes' \"and\" $HOME\n\tcat /solution/more/text > /app/answer\n"
    files = {"solve.sh": File.of(script), "more/text": File.of("yes\n")}
    done = run(Attempt(replace(TASK, oracle=(), solution=files), "oracle"))
    assert done.outcome is Outcome.SOLVED, done.turns[-1].observation


def test_the_oracle_waits_for_a_script_that_takes_long() -> None:
    oracle = new_policy("oracle", replace(TASK, oracle=(), solution={"solve.sh": File.of("sleep 99\n")}))
    shown = ["", "", "$ bash /solution/solve.sh; echo solution ended: $?", "", "solution ended: 0", "Are you sure?"]

    async def main() -> list[Action | None]:
        return [parse((await oracle.act([Message("user", text)])).text).action for text in shown]

    _, run_it, *waits, done, confirmed = asyncio.run(main())
    assert run_it and "bash /solution/solve.sh" in run_it.commands[0].keystrokes
    assert [wait and wait.commands for wait in waits] == [(Command("", 60.0),)] * 2
    assert done and done.task_complete and confirmed and confirmed.task_complete


def test_a_task_without_a_solution_has_no_oracle() -> None:
    with pytest.raises(TaskError, match="write-yes comes without a solution"):
        new_policy("oracle", replace(TASK, oracle=()))


def test_idle_types_nothing_and_fails() -> None:
    done = run(Attempt(TASK, "idle"))
    assert (done.outcome, done.dense, len(done.turns)) == (Outcome.FAILED, 0.0, 2)
    assert [turn.settled for turn in done.turns] == [(), ()]


def test_random_is_decided_by_its_seed_and_can_be_read() -> None:
    first, again, other = replies("random", 20, 7), replies("random", 20, 7), replies("random", 20, 8)
    assert first == again != other
    assert all(parse(reply).action for reply in first)


def test_random_types_differently_at_each_attempt_and_task() -> None:
    policies = [
        Attempt(task, "random", number).new_policy() for task in (TASK, replace(TASK, id="b")) for number in (0, 1)
    ]
    said = asyncio.run(_first_of(policies))
    assert len(set(said)) == 4


async def _first_of(policies: list) -> list[str]:
    return ["".join([(await policy.act(START)).text for _ in range(5)]) for policy in policies]


def test_scripted_says_its_replies_verbatim_then_claims_completion() -> None:
    assert replies("scripted", 2, replies=["{not json", ""]) == ["{not json", ""]
    last = parse(replies("scripted", 1)[0]).action
    assert last and last.task_complete


def test_a_plan_has_the_attempts_that_it_counts() -> None:
    plan = Plan("idle", [TASK], attempts=3, episodes=5)
    assert [attempt.number for attempt in plan] == [0, 1, 2] and len(plan) == 3


def test_a_plan_takes_each_level_in_turn_and_consecutive_seeds() -> None:
    plan = Plan.of("idle", ["files/rename-by-date"], episodes=6, seed=5)
    assert [attempt.task.id.rpartition("@")[2] for attempt in plan] == ["5.1", "6.2", "7.3", "8.4", "9.5", "10.1"]
    assert len(plan) == 6
    fixed = Plan.of("idle", ["files/rename-by-date"], episodes=2, level=2)
    assert [attempt.task.level for attempt in fixed] == [2, 2]
