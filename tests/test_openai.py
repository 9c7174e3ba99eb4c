"""A model behind an endpoint as a policy: streams, cuts off, retries, and what a full context comes to."""

import asyncio
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import pytest

from termgym.agent import RESUMED, SUMMARIZE
from termgym.attempt import Attempt, run_episode
from termgym.errors import TaskError
from termgym.launcher_client import close_launcher
from termgym.outcome import Outcome
from termgym.policy import close_models
from termgym.protocol import Action, Command
from termgym.rollout import rollout
from termgym.task import Check, Limits, Task
from termgym.trajectory import Trajectory
from tests.endpoint import Answer, Messages, Model, serving

TASK = Task(id="family/name@17.2", instruction="Write yes.", checks=(Check("answer", "grep -qx yes /app/answer"),))
YES = Action("é", "p", (Command("echo yes > answer\n", 5.0),)).to_json()
DONE = Action("", "", (), task_complete=True).to_json()


def play(
    answer: Callable[[Messages, int], Answer], limits: Limits | None = None, **options: Any
) -> tuple[Trajectory, Model]:
    with serving(answer) as model:
        attempt = Attempt(TASK, "openai", options={"endpoint": model.url, "model": "m", **options}, limits=limits)

        async def main() -> Trajectory:
            try:
                return await run_episode(attempt)
            finally:
                await close_models()
                await close_launcher()

        return asyncio.run(main()), model


def test_it_plays_and_the_conversation_grows() -> None:
    done, model = play(lambda messages, number: YES if number == 0 else DONE)
    assert (done.outcome, done.model, len(done.turns)) == (Outcome.SOLVED, "m", 3)
    first, second, third = (request["messages"] for request in model.requests)
    assert second[: len(first)] == first and third[: len(second)] == second
    assert [message["role"] for message in third] == ["user", "assistant"] * 2 + ["user"]
    assert second[1]["content"] == YES and done.turns[0].finish == "stop"


def test_an_answer_is_cut_off_when_its_json_is_complete() -> None:
    rest = " and then I thought of something else" * 400
    done, model = play(lambda messages, number: (YES if number == 0 else DONE) + rest)
    assert done.outcome is Outcome.SOLVED and all(len(turn.reply) < 400 for turn in done.turns)
    assert model.streamed < 3 * len(rest) / 3  # the server noticed, a little later


def test_json_that_could_go_on_is_not_cut_off() -> None:
    long = (
        '{"analysis": "a}", "plan": "{", "commands": [{"keystrokes": "echo yes > answer\\n"}], "task_complete": true}'
    )
    done, _ = play(lambda messages, number: long)
    assert done.outcome is Outcome.SOLVED and done.turns[0].reply == long


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thinking_is_recorded_and_not_sent_back(name: str) -> None:
    def answer(messages: Messages, number: int) -> Answer:
        said = YES if number == 0 else DONE
        return [{name: "hm {"}, {name: "oh"}, {"content": said[:9]}, {"content": said[9:]}]

    done, model = play(answer)
    assert done.outcome is Outcome.SOLVED and done.turns[0].reply == f"<think>\nhm {{oh\n</think>\n\n{YES}"
    assert model.requests[1]["messages"][1]["content"] == YES


def test_errors_that_pass_are_tried_again_and_others_make_it_invalid() -> None:
    done, model = play(lambda messages, number: [429, 503, YES][number] if number < 3 else DONE)
    assert done.outcome is Outcome.SOLVED and len(model.requests) == 5
    failed, _ = play(lambda messages, number: 401)
    assert (failed.outcome, failed.dense) == (Outcome.INFRA_ERROR, None) and "AuthenticationError" in failed.error


def full(size: int) -> Callable[[Messages, int], Answer]:
    """A model that reads so many messages at most, as vLLM would say it."""

    def answer(messages: Messages, number: int) -> Answer:
        if messages[-1]["content"] == SUMMARIZE:
            return "I have written nothing yet."
        if len(messages) > size:
            return {"status": 400, "error": {"message": "This model's maximum context length is 9 tokens"}}
        return Action("", "", (Command("true\n", 5.0),)).to_json() if number < 12 else DONE

    return answer


def test_a_full_context_ends_the_episode_or_is_summarized() -> None:
    ended, _ = play(full(5), Limits(turns=8))
    assert (ended.outcome, len(ended.turns)) == (Outcome.OUT_OF_TOKENS, 3)
    went_on, model = play(full(5), Limits(turns=8), full="summarize")
    assert (went_on.outcome, len(went_on.turns)) == (Outcome.OUT_OF_TURNS, 8)
    resumed = [
        request["messages"][0]["content"] for request in model.requests if RESUMED in request["messages"][0]["content"]
    ]
    assert resumed and all("Write yes." in one and "written nothing yet" in one for one in resumed)


def test_requests_are_bounded() -> None:
    now, most, lock = 0, 0, Lock()

    def answer(messages: Messages, number: int) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return DONE

    with serving(answer) as model:
        options = {"endpoint": model.url, "model": "m", "concurrency": 2}

        async def main() -> list[Trajectory]:
            try:
                run = rollout("openai", [TASK], group_size=8, concurrency=8, options=options)
                return [one async for one in run]
            finally:
                await close_models()
                await close_launcher()

        assert len(asyncio.run(main())) == 8 and most == 2


def test_without_an_endpoint_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(TaskError, match="no endpoint: --option endpoint="):
        Attempt(TASK, "openai", options={"model": "m"}).new_policy()
