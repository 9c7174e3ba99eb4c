"""Corpora: what comes back of what was written, and rows of others."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from termgym.cli import app
from termgym.corpus import recording
from termgym.corpus.file import FORMS, read, write
from termgym.corpus.record import Record
from termgym.errors import TaskError, UnknownName
from termgym.evaluation import cast_of
from termgym.policy import Message
from termgym.protocol import Action, Command, parse
from termgym.store import Store, stream
from termgym.trajectory import TurnRecord
from tests.records import DONE, YES, one


def back(path: Path) -> list[Record]:
    wrong: list[TaskError] = []
    found = list(read(path, wrong.append))
    assert not wrong, wrong
    return found


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_nemotron_rows_come_back_whole(suffix: str, tmp_path: Path) -> None:
    episodes = [one(seed, surrogates=suffix != ".parquet") for seed in range(40)]
    path = tmp_path / f"x{suffix}"
    assert write(path, map(Record.of, episodes), "nemotron") == 40
    assert [record.trajectory for record in back(path)] == episodes
    before = path.read_bytes()
    write(path, map(Record.of, episodes), "nemotron")
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == [path.name]


def test_atif_documents_come_back_whole(tmp_path: Path) -> None:
    episodes = [one(seed, surrogates=True) for seed in range(40)]
    write(tmp_path / "x.jsonl", map(Record.of, episodes), "atif")
    assert [record.trajectory for record in back(tmp_path / "x.jsonl")] == episodes


@pytest.mark.parametrize("form", ["sharegpt", "messages"])
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_conversations_come_back(form: str, suffix: str, tmp_path: Path) -> None:
    episodes = [Record.of(one(seed)) for seed in range(20)]
    write(tmp_path / f"x{suffix}", episodes, form)
    for record, wanted in zip(back(tmp_path / f"x{suffix}"), episodes, strict=True):
        assert (record.messages, record.task, record.reward, record.outcome) == (
            wanted.messages, wanted.task, wanted.reward, wanted.outcome)  # fmt: skip
        assert record.trajectory is None


def test_parquet_holds_half_a_surrogate_as_a_question(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [Record.of(one(1, first="a\ud800b"))], "nemotron")
    assert back(tmp_path / "x.parquet")[0].messages[0].content == "a\ufffdb"


def test_the_columns_are_those_of_the_corpus(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [Record.of(one(2))], "nemotron")
    (row,) = pq.read_table(tmp_path / "x.parquet").to_pylist()
    theirs = "conversations agent model model_provider date task episode run_id trial_name enable_thinking".split()
    assert list(row)[: len(theirs)] == theirs
    assert [message["role"] for message in row["conversations"][:2]] == ["user", "assistant"]
    assert row["conversations"][-1]["role"] == "assistant" and row["episode"] == f"episode-{len(one(2).turns) - 1}"
    assert row["reward"] == 0.0 and row["outcome"] == "failed" and row["turns"][0]["token_ids"] == [0, 7]


# ATIF, by its own words: harbor's models refuse fields that they do not know.

STEP = set(
    "step_id timestamp source message model_name reasoning_effort reasoning_content tool_calls metrics observation "
    "is_copied_context llm_call_count extra".split()
)
ROOT = {"schema_version", "session_id", "trajectory_id", "agent", "steps", "notes", "final_metrics",
        "continued_trajectory_ref", "extra", "subagent_trajectories"}  # fmt: skip
METRICS = set(
    "prompt_tokens completion_tokens cached_tokens cost_usd prompt_token_ids completion_token_ids logprobs "
    "extra".split()
)
TOTALS = set("total_prompt_tokens total_completion_tokens total_cached_tokens total_cost_usd total_steps extra".split())


def test_atif_has_no_field_that_it_does_not_know() -> None:
    for seed in range(20):
        document = json.loads(json.dumps(FORMS["atif"].write(Record.of(one(seed)))))
        assert set(document) <= ROOT and document["schema_version"] == "ATIF-v1.8"
        assert set(document["agent"]) <= {"name", "version", "model_name", "tool_definitions", "extra"}
        assert set(document["final_metrics"]) <= TOTALS
        assert [step["step_id"] for step in document["steps"]] == list(range(1, len(document["steps"]) + 1))
        first, *steps = document["steps"]
        assert first["source"] == "user" and set(first) <= {"step_id", "timestamp", "source", "message"}
        for step in steps:
            assert set(step) <= STEP and step["source"] == "agent" and set(step.get("metrics", {})) <= METRICS
            calls = {call["tool_call_id"] for call in step.get("tool_calls", [])}
            for call in step.get("tool_calls", []):
                assert set(call) <= {"tool_call_id", "function_name", "arguments", "extra"}
            for result in step["observation"]["results"]:
                assert set(result) <= {"source_call_id", "content", "extra"}
                assert result.get("source_call_id") in {*calls, None}


# Rows of others.


def rows(path: Path, *values: Any) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def said(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[number % 2], "content": words} for number, words in enumerate(texts)]


def test_rows_of_others_have_no_result(tmp_path: Path) -> None:
    row = {"conversations": said("task", YES, "screen", DONE, "screen"), "agent": "terminus-2", "model": "m/x",
           "model_provider": "p", "task": "t_1", "episode": "episode-1", "enable_thinking": True}  # fmt: skip
    (record,) = back(rows(tmp_path / "x.jsonl", row))
    assert (record.solved, record.outcome, record.trajectory, record.complete) == (None, "", None, True)
    assert (record.task, record.agent, record.provider, len(record.messages)) == ("t_1", "terminus-2", "p", 4)
    assert FORMS["nemotron"].write(record)["model_provider"] == "p"
    with pytest.raises(TaskError, match="atif needs an episode"):
        FORMS["atif"].write(record)


def test_terminus_2_writes_prose_into_atif_and_json_comes_out(tmp_path: Path) -> None:
    typed = {"keystrokes": "ls\n", "duration": 0.1}
    calls = [
        {"tool_call_id": "call_0_1", "function_name": "bash_command", "arguments": typed},
        {"tool_call_id": "call_0_2", "function_name": "mark_task_complete", "arguments": {}},
    ]
    steps = [
        {"step_id": 1, "source": "user", "message": "do it"},
        {"step_id": 2, "source": "agent", "message": "Analysis: it is\nthere\nPlan: list", "tool_calls": calls,
         "reasoning_content": "hm", "observation": {"results": [{"content": "a b"}]}},
        {"step_id": 3, "source": "agent", "message": [{"type": "text", "text": DONE}]},
    ]  # fmt: skip
    document = {"schema_version": "ATIF-v1.6", "agent": {"name": "terminus-2", "version": "2"}, "steps": steps}
    (record,) = back(rows(tmp_path / "x.jsonl", document))
    first, last = record.parsed
    assert first.action == Action("it is\nthere", "list", (Command("ls\n", 0.1),), True)
    assert record.thinking and record.messages[2] == Message("user", "a b") and last.action == parse(DONE).action


def test_content_may_be_in_parts_and_columns_of_others_are_kept(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image", "source": "x"}, {"type": "text", "text": "b"}]
    row = {"conversations": [{"role": "user", "content": parts}, {"role": "assistant", "content": DONE}],
           "run_id": "r", "trial_name": "t", "source": "s", "turns": 1, "result": "0.5"}  # fmt: skip
    (record,) = back(rows(tmp_path / "x.jsonl", row))
    assert record.messages[0].content == "ab" and record.trajectory is None and record.reward == 0.5
    written = FORMS["nemotron"].write(record)
    assert {name: written[name] for name in ("run_id", "trial_name", "source")} == {
        "run_id": "r", "trial_name": "t", "source": "s"}  # fmt: skip
    for result, more in (("AgentTimeoutError", {}), ("nan", {}), ("0.5", {"trial_name": ""})):
        (unknown,) = back(rows(tmp_path / "x.jsonl", row | {"result": result} | more))
        assert unknown.reward is None


def test_a_file_may_be_one_json_document(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": DONE}]
    (tmp_path / "x.json").write_text(json.dumps([{"conversations": turns}] * 2, indent=1))
    assert [record.replies for record in back(tmp_path / "x.json")] == [[DONE]] * 2
    (tmp_path / "x.json").write_text(f"{json.dumps({'conversations': turns})}\n" * 2)
    assert [record.replies for record in back(tmp_path / "x.json")] == [[DONE]] * 2
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(TaskError, match="holds no rows"):
        back(tmp_path / "x.json")


def test_harbors_trials_are_read_with_their_scores(tmp_path: Path) -> None:
    steps = [{"step_id": 1, "source": "user", "message": "do it"},
             {"step_id": 2, "source": "agent", "message": DONE, "observation": {"results": None}}]  # fmt: skip
    document = {"schema_version": "ATIF-v1.7", "agent": {"name": "terminus-2", "version": "2"}, "steps": steps}
    for name, result in (("a__1", {"task_name": "a", "verifier_result": {"rewards": {"reward": 1.0}}}), ("b__2", {})):
        (tmp_path / name / "agent").mkdir(parents=True)
        (tmp_path / name / "agent" / "trajectory.json").write_text(json.dumps(document, indent=2))
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    first, second = back(tmp_path)
    assert (first.task, first.solved, first.agent) == ("a", True, "terminus-2") and second.solved is None
    (tmp_path / "b__2" / "agent" / "trajectory.json").write_text("{oops")
    wrong: list[TaskError] = []
    assert len(list(read(tmp_path, wrong.append))) == 1
    assert "b__2/agent: trajectory.json, line 1: not JSON" in str(wrong[0])


OURS: dict[str, Any] = FORMS["nemotron"].write(Record.of(one(2)))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"conversations": "x"}, "line 2: conversations: is 'x'; expected a list of messages"),
        ({"conversations": [{"role": "user"}]}, "message 0 is .*; expected role and content"),
        ({"conversations": said("only a task")}, "has no answer"),
        ({"messages": [*said("a"), *said("b", "c")]}, "message 1 is of 'user'"),
        ({"nothing": 1}, "expected a column conversations, messages or steps; there are nothing"),
        ({"steps": []}, "expected the steps"),
        ({"steps": [{"step_id": 1}]}, "is no document of ATIF"),
        ({"conversations": said("a", "b"), "reward": "much"}, "reward: is 'much'; expected a number"),
        ({"conversations": said("a", "b"), "level": float("nan")}, "level: is nan; expected a number"),
        ({"conversations": said("a", "b"), "dense": float("inf")}, "dense: is inf; expected a number"),
        ({"conversations": [{"role": "user", "content": 5}]}, "message 0 is .*; expected role and content"),
        ({"steps": [{"step_id": 1}], "extra": {"termgym": {}}}, "is no document of ATIF"),
        (5, "is 5; expected an object"),
        (OURS | {"turns": [{}] * 9}, "there are 9 turns, and"),
        (OURS | {"timings": "{oops"}, "is no episode of termgym"),
        (OURS | {"turns": [5]}, "is no episode of termgym"),
        (OURS | {"checks": 5}, "is no episode of termgym"),
    ],
)
def test_a_bad_row_spoils_itself_alone(row: Any, why: str, tmp_path: Path) -> None:
    fine, wrong = {"conversations": said("a", YES)}, list[TaskError]()
    found = list(read(rows(tmp_path / "x.jsonl", fine, row, fine), wrong.append))
    assert len(found) == 2 and len(wrong) == 1
    with pytest.raises(TaskError, match=why):
        raise wrong[0]


# Recordings.


def test_a_recording_shows_what_was_seen_and_typed(tmp_path: Path) -> None:
    turns = (TurnRecord(YES, "New terminal output:\nroot# ls"), TurnRecord(DONE, "bye"))
    path = tmp_path / "x.cast"
    path.write_text(recording.text(Record.of(one(0, turns=turns, first="task\n\nCurrent terminal state:\nroot#"))))
    header, *events = map(json.loads, path.read_text().splitlines())
    assert header["version"] == 2
    assert [said for _, code, said in events if code == "i"] == ["echo yes > answer\n", "\x03"]
    shown = [said for _, code, said in events if code == "o"]
    assert shown[0].endswith("root#") and "root# ls" in shown[1] and "bye" in shown[2]


def test_a_persons_recording_becomes_a_conversation(tmp_path: Path) -> None:
    events = [[0.1, "o", "$ "], [1.0, "i", "l"], [1.1, "o", "l"], [1.2, "i", "s\r"], [1.3, "o", "s\r\na b\r\n$ "],
              [5.0, "i", "exit\r"], [5.1, "o", "exit\r\n"]]  # fmt: skip
    header = {"version": 2, "width": 40, "height": 5, "title": "list it"}
    path = tmp_path / "x.cast"
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *events)))
    (record,) = back(path)
    assert [parsed.action.commands[0].keystrokes for parsed in record.parsed if parsed.action] == ["ls\r", "exit\r"]
    assert "list it" in record.messages[0].content and "$ ls\na b" in record.messages[2].content
    assert record.solved is None and record.agent == "human"
    path.write_text(json.dumps(header) + "\n" + json.dumps(events[0]) + "\n")
    with pytest.raises(TaskError, match="nothing that was typed"):
        back(path)


# The commands.


def call(*words: str) -> Any:
    return CliRunner().invoke(app, ["corpus", *words])


def test_the_commands_go_round(tmp_path: Path) -> None:
    with Store(tmp_path / "run") as store:
        for seed in range(6):
            store.add(one(seed))
    done = call("export", str(tmp_path / "run"), "--solved", "--out", str(tmp_path / "x.jsonl.gz"))
    assert done.exit_code == 0, done.output
    assert "2 records in" in done.output and "not solved" in done.output
    assert len(gzip.decompress((tmp_path / "x.jsonl.gz").read_bytes()).splitlines()) == 2
    again = call("import", str(tmp_path / "x.jsonl.gz"), "--out", str(tmp_path / "again"))
    assert again.exit_code == 0 and "2 episodes" in again.output
    assert list(stream(tmp_path / "again")) == [one(0), one(3)]
    turned = call("export", str(tmp_path / "x.jsonl.gz"), "--format", "messages", "--out", str(tmp_path / "y.parquet"))
    assert turned.exit_code == 0, turned.output
    stats = call("stats", str(tmp_path / "y.parquet"))
    assert stats.exit_code == 0 and "outcome: solved 2" in stats.output, stats.output
    casts = call("export", str(tmp_path / "run"), "--format", "asciicast", "--out", str(tmp_path / "casts"))
    assert casts.exit_code == 0 and len(list((tmp_path / "casts").iterdir())) == 6
    again = call("export", str(tmp_path / "run"), "--format", "asciicast", "--out", str(tmp_path / "casts"))
    assert again.exit_code == 2 and "is there already" in again.stderr
    folder = call("export", str(tmp_path / "run"), "--format", "atif", "--out", str(tmp_path / "trials"))
    assert folder.exit_code == 0, folder.output
    assert [record.trajectory for record in back(tmp_path / "trials")] == [one(seed) for seed in range(6)]


def test_an_episodes_own_recording_is_taken(tmp_path: Path) -> None:
    episode = one(0)
    with Store(tmp_path / "run") as store:
        store.add(episode)
    own = cast_of(tmp_path / "run", episode.task, episode.attempt)
    own.parent.mkdir()
    own.write_text("its own")
    write(tmp_path / "casts", read(tmp_path / "run", print), "asciicast")
    (copied,) = (tmp_path / "casts").iterdir()
    assert copied.read_text() == "its own"


def test_wrong_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean nemotron"):
        write(tmp_path / "x.jsonl", [], "nemotrn")
    with pytest.raises(TaskError, match=r"expected a name that ends in .jsonl"):
        write(tmp_path / "x.txt", [], "nemotron")
    done = call("stats", str(tmp_path / "nothing.jsonl"))
    assert done.exit_code == 2 and "no such file" in done.stderr
