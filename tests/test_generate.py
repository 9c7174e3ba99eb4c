import json
import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from termgym.cli import app
from termgym.duplicates import Index
from termgym.errors import TaskError, UnknownName
from termgym.generate.brief import Brief, from_seeds, from_skills
from termgym.generate.draft import Draft, DraftError, read_parts
from termgym.generate.endpoint import Endpoint, EndpointError
from termgym.generate.run import TASK, TESTS, BudgetSpent, Generation, Settings
from termgym.generate.store import Store
from termgym.lexicon import GIVEN, ITEMS, PLACES, TOPICS
from termgym.task import DOMAINS, Task
from tests.endpoint import Answer, Messages, completion, serving

TASK_PARTS = """\
<instruction>
{about}

Add up the amounts of /app/{name}.txt and write the sum to /app/sum.txt, a whole number on one line.
</instruction>
<file path="/app/{name}.txt">
{lines}
</file>
"""
TEST_PARTS = """\
<check name="there" weight="1">[ -f /app/sum.txt ] && [ ! -L /app/sum.txt ]</check>
<check name="right" weight="3">
```bash
[ -f /app/sum.txt ] && [ ! -L /app/sum.txt ] && [ "$(head -c 100 /app/sum.txt)" = {sum} ]
```
</check>
<solution>awk '{{s += $2}} END {{print s}}' /app/{name}.txt > /app/sum.txt</solution>
<wrong name="counted">wc -l < /app/{name}.txt > /app/sum.txt</wrong>
"""
NUMBERS = count()


def written(number: int, **changed: str) -> dict[str, str]:
    """The two halves of a task that holds; `changed` replaces text in either."""
    rng = Random(number)
    rows = [(rng.choice(ITEMS), rng.randint(2, 999)) for _ in range(30)]
    about = " ".join(rng.sample([*GIVEN, *PLACES, *TOPICS], 60))
    fields = {"name": f"amounts{number}", "about": about, "lines": "\n".join(f"{item} {n}" for item, n in rows)}
    fields["sum"] = str(sum(n for _, n in rows))
    parts = {"task": TASK_PARTS.format(**fields), "tests": TEST_PARTS.format(**fields)}
    for old, new in changed.items():
        parts = {name: text.replace(old, new) for name, text in parts.items()}
    return parts


def good(messages: Messages, number: int) -> str:
    return "<think>a <check> of sorts</think>\n" + "".join(written(next(NUMBERS)).values())


def run(model_url: str, folder: Path, briefs: list[Brief], **settings: Any) -> Generation:
    endpoint = Endpoint(model_url, "scripted")
    generation = Generation(endpoint, Store(folder, {"n": 1}), briefs, Settings(**settings))
    generation.run()
    return generation


def test_a_task_by_skills_is_proven_and_saved(tmp_path: Path) -> None:
    with serving(good) as model:
        generation = run(model.url, tmp_path, from_skills(3, domain="security", skills=("awk",)), concurrency=2)
    assert [entry.accepted for entry in generation.store.entries.values()] == [True] * 3
    assert model.most <= 2
    asked = model.requests[0]["messages"][-1]["content"]
    assert "domain security" in asked and "awk" in asked and "python3" in asked
    task = Task.load(tmp_path / "tasks" / "skills-00000")
    assert task.domain == "security" and "awk" in task.skills and 1 <= task.level <= 5
    assert [check.weight for check in task.checks] == [1, 3]
    assert "scripted" in task.provenance and "wrong/counted.sh" in task.solution
    assert generation.store.tokens == 300


def test_none_but_the_writer_of_the_tests_sees_the_reference(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.jsonl"
    row = {"problem": "Add up what things cost.", "domain": "mathematics", "solution": "SECRET SUM", "licence": "MIT"}
    seeds.write_text(json.dumps(row) + "\n\n" + json.dumps({"problem": "Another.", "id": "a/b"}) + "\n")
    half = {"<instruction>": "task", "<check": "tests"}

    def answer(messages: Messages, number: int) -> str:
        asked = messages[-1]["content"]
        which = next(
            part
            for tag, part in half.items()
            if asked.rindex("Answer with") < asked.find(tag, asked.rindex("Answer with"))
        )
        return written(7 if "amounts7" in asked or "Add up what" in asked else 8)[which]

    with serving(answer) as model:
        generation = run(model.url, tmp_path / "out", from_seeds(seeds), concurrency=1)
    assert [entry.accepted for entry in generation.store.entries.values()] == [True, True]
    shown = ["SECRET SUM" in json.dumps(request) for request in model.requests]
    assert shown == [False, True, False, False]
    task = Task.load(tmp_path / "out/tasks/seed-00001")
    assert (task.domain, task.licence) == ("mathematics", "MIT")
    assert (tmp_path / "out/tasks/seed-a-b").is_dir()


SUM = "awk '{s += $2} END {print s}' /app/amounts1.txt"
SETUP = "<setup>exit 3</setup>"
BAD: dict[str, tuple[Answer | dict[str, str], str]] = {
    "nonsense": ("I would be glad to help you with that!", "<instruction> is missing"),
    "nothing": ("", "<instruction> is missing"),
    "only thoughts": ("<think><instruction>x</instruction> and so on", "<instruction> is missing"),
    "cut off": (completion("<instruction>Do", "length"), "cut off by the limit"),
    "two instructions": (written(1)["task"] * 2 + written(1)["tests"], "<instruction> is there 2 times"),
    "a path above": (written(1, **{'/app/amounts1.txt"': '/app/../usr/bin/env"'}), "expected an absolute path"),
    "one check": (written(1, **{'<check name="there" weight="1">[ -f': "["}), "1 <check> parts"),
    "a weight in words": (written(1, **{'weight="3"': 'weight="most"'}), 'weight="most"'),
    "a check's name": (written(1, **{'name="right"': 'name="../right"'}), "expected a name"),
    "a solution that fails": (written(1, **{"print s": "print s + 1"}), "oracle: scores 0.25: right"),
    "a check that crashes": (written(1, **{"```bash\n": "```bash\nnosuchprogram || exit\n"}), "verifier_error"),
    "a check that idle passes": (written(1, **{"[ -f /app/sum.txt ] &&": "exit 0;"}), "idle: scores 1"),
    "a wrong solution that is right": (written(1, **{"wc -l < /app/amounts1.txt": SUM}), "wrong: counted"),
    "no wrong solutions": (written(1, **{"<wrong": "<other", "</wrong": "</other"}), "there are no wrong solutions"),
    "paths untold": (written(1, **{"/app/sum.txt, a": "the sum's file, a"}), "of which the instruction says nothing"),
    "a set-up that fails": (written(1, **{"<solution>": f"{SETUP}<solution>"}), "set-up script"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_answers_are_rejected_with_the_reason_and_kept(name: str, tmp_path: Path) -> None:
    answer, reason = BAD[name]
    bad = "".join(answer.values()) if isinstance(answer, dict) and "tests" in answer else answer
    with serving(lambda messages, number: bad) as model:
        generation = run(model.url, tmp_path, from_skills(1), repairs=0)
    (entry,) = generation.store.entries.values()
    assert not entry.accepted and reason in entry.reason, entry
    assert reason in (tmp_path / "rejected/skills-00000/why.txt").read_text()
    assert list(tmp_path.glob("replies/*.json")) and not list(tmp_path.glob("tasks/*"))
    drafted = "<instruction>" in str(answer) and "expected" not in entry.reason and "cut off" not in entry.reason
    assert (tmp_path / "rejected/skills-00000/task").is_dir() == (drafted and "times" not in entry.reason)


def test_a_model_may_mend_what_was_rejected(tmp_path: Path) -> None:
    def answer(messages: Messages, number: int) -> str:
        return "".join(written(3, **({} if number else {"print s": "print s + 1"})).values())

    with serving(answer) as model:
        generation = run(model.url, tmp_path, from_skills(1), repairs=1)
    (entry,) = generation.store.entries.values()
    assert entry.accepted and entry.attempts == 2 and entry.tokens == 200
    assert "oracle: scores 0.25" in model.requests[1]["messages"][-1]["content"]


def test_near_duplicates_and_what_is_not_to_be_met_are_rejected(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "instruction.md").write_text(read_parts(written(5)["task"])[0].text.partition("\n\n")[0])
    answers = [written(4), written(4), written(5)]
    with serving(lambda messages, number: "".join(answers[number].values())) as model:
        settings: dict[str, Any] = {"repairs": 0, "concurrency": 1, "against": Index([other])}
        generation = run(model.url, tmp_path / "out", from_skills(3), **settings)
    first, second, third = generation.store.entries.values()
    assert first.accepted
    assert second.reason == "it is nearly skills-00000"
    assert "too much like another" in third.reason and "instruction.md" in third.reason


def test_errors_that_pass_are_retried_and_others_leave_the_brief_for_the_next_run(tmp_path: Path) -> None:
    with serving(lambda messages, number: [429, 503, 429][number] if number < 3 else good(messages, number)) as model:
        generation = run(model.url, tmp_path, from_skills(1))
    assert generation.store.entries["skills-00000"].accepted and len(model.requests) == 4
    with serving(lambda messages, number: 400 if number == 0 else {"choices": []}) as model:
        generation = run(model.url, tmp_path, from_skills(3), concurrency=1)
    assert len(generation.store.entries) == 1 and len(generation.unanswered) == 2
    assert "as told" in generation.unanswered["skills-00001"]
    with serving(lambda messages, number: 401) as model, pytest.raises(EndpointError, match="401"):
        run(model.url, tmp_path, from_skills(30), concurrency=1)
    assert len(model.requests) == 4
    with serving(good) as model:
        generation = run(model.url, tmp_path, from_skills(3))
    assert len(generation.store.entries) == 3 and len(model.requests) == 2


def test_a_budget_ends_a_run_and_another_goes_on(tmp_path: Path) -> None:
    with serving(good) as model, pytest.raises(BudgetSpent, match="give more"):
        run(model.url, tmp_path, from_skills(4), budget=200, concurrency=1)
    with serving(good) as again:
        generation = run(again.url, tmp_path, from_skills(4), budget=400)
    assert (len(model.requests), len(again.requests), len(generation.store.entries)) == (2, 2, 4)


def test_a_killed_run_asks_for_nothing_twice(tmp_path: Path) -> None:
    """Killed at any moment, by a signal that nobody catches: answers that came are used by the next run."""
    command = [sys.executable, "-m", "termgym", "generate", "skills", "--n", "6", "--model", "scripted"]

    def slow(messages: Messages, number: int) -> str:
        time.sleep(0.3)
        return good(messages, number)

    with serving(slow) as model:
        killed = subprocess.Popen([*command, "--endpoint", model.url, "--out", str(tmp_path), "--concurrency", "2"])
        while len(list(tmp_path.glob("replies/*.json"))) < 3:
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    there = {path.name for path in tmp_path.glob("replies/*.json")}
    if (tmp_path / "journal.jsonl").exists():
        os.truncate(tmp_path / "journal.jsonl", max(0, (tmp_path / "journal.jsonl").stat().st_size - 5))
    with serving(good) as model:
        done = CliRunner().invoke(app, [*command[3:], "--endpoint", model.url, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "6 accepted, 0 rejected, 0 not done, 600 tokens" in done.output
    assert len(model.requests) == 6 - len(there)


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    Store(tmp_path, {"seed": 1})
    with pytest.raises(TaskError, match="seed is 1, and now 2"):
        Store(tmp_path, {"seed": 2})
    (tmp_path / "journal.jsonl").write_text("{}\n")
    with pytest.raises(TaskError, match="no journal"):
        Store(tmp_path, {"seed": 1})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "holds no problems"),
        ("{", ":1: not JSON"),
        ("[1]", ":1: expected a JSON object"),
        ('{"problem": ""}', ":1: problem is missing"),
        ('{"problem": 3}', ":1: problem is 3; expected text"),
        ('{"problem": "x"}\n{"problm": "x"}', ":2: no field named 'problm'; did you mean problem?"),
        ('{"problem": "x", "domain": "securty"}', "did you mean security?"),
        ('{"problem": "x", "id": "a"}\n{"problem": "y", "id": "a"}', ":2: id is that of line 1 too"),
    ],
)
def test_bad_seeds_are_told_before_anything_is_asked(text: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_text(text)
    with pytest.raises(TaskError) as caught:
        from_seeds(tmp_path / "seeds.jsonl")
    assert error in str(caught.value)


def test_briefs_vary_and_are_the_same_again() -> None:
    briefs = from_skills(60, seed=4)
    assert briefs == from_skills(60, seed=4) != from_skills(60, seed=5)
    assert {brief.domain for brief in briefs} == set(DOMAINS)
    assert all(3 <= len(set(brief.skills)) <= 5 for brief in briefs)
    with pytest.raises(UnknownName, match="did you mean"):
        from_skills(1, skills=("checksms",))


def test_replies_are_read_leniently() -> None:
    reply = "Sure.\n" + "".join(written(2).values()).replace("<file ", "<file  mode = '0755' ") + "\nThat is all."
    draft = Draft().with_reply(reply, TASK + TESTS)
    assert draft.files["/app/amounts2.txt"].mode == 0o755
    assert "```" not in draft.checks[1].script
    with pytest.raises(DraftError, match="three octal digits"):
        Draft().with_reply(reply.replace("0755", "rwx"), TASK + TESTS)
