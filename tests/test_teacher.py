"""The teacher: what it says is what the screen shows, and its mistakes do no harm."""

import asyncio
import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from termgym.attempt import Attempt, run_episode
from termgym.errors import TaskError
from termgym.family import families
from termgym.launcher_client import close_launcher
from termgym.outcome import Outcome
from termgym.plan import Plan
from termgym.policy import Message, new_policy
from termgym.protocol import Action, Command, first_prompt, parse
from termgym.task import Check, File, Limits, Step, Task
from termgym.teaching import mistake
from termgym.teaching.intent import at_shell, files_of, in_program
from termgym.teaching.reading import Reading
from termgym.teaching.shell_line import ShellLine
from termgym.teaching.voice import Voice
from termgym.texts import Texts
from termgym.trajectory import Trajectory, TurnRecord

TASK = Task(
    id="write-yes",
    instruction="Write yes into /app/answer. Then stop.",
    checks=(Check("answer", "test $(cat /app/answer) = yes && test $(ls /app | wc -l) = 1"),),
    oracle=(
        Command("printf yes > /app/answer\n", 5.0),
        Command("cat /app/answer\n", 5.0),
        Command("ls /app\n", 5.0),
        Command("head -n 1 /app/answer\n", 5.0),
    ),
    limits=Limits(turns=60),
)
PROMPT = "root@termgym:/app#"
SOME = ("files/rename-by-date", "debug/broken-build", "config/edit-in-editor", "interactive/line-editor")


def run(*attempts: Attempt) -> list[Trajectory]:
    async def main() -> list[Trajectory]:
        try:
            return [await run_episode(attempt) for attempt in attempts]
        finally:
            await close_launcher()

    return asyncio.run(main())


def actions(trajectory: Trajectory) -> list[Action]:
    found = [parse(turn.reply).action for turn in trajectory.turns]
    return [action for action in found if action]


def keys(trajectory: Trajectory) -> list[str]:
    return ["".join(command.keystrokes for command in action.commands) for action in actions(trajectory)]


def attempt(mistakes: float, number: int = 0, task: Task = TASK) -> Attempt:
    return Attempt(task, "teacher", number, options={"mistakes": mistakes})


def replies(task: Task, screens: list[str], mistakes: float, seed: int = 0) -> list[str]:
    policy = new_policy("teacher", task, seed, mistakes=mistakes)

    async def main() -> list[str]:
        return [(await policy.act([Message("user", screen)])).text for screen in screens]

    return asyncio.run(main())


def output(*lines: str, prompt: str = PROMPT) -> str:
    return "\n".join(("New terminal output:", *lines, prompt))


# In real sandboxes.


def test_without_mistakes_it_types_what_the_oracle_types() -> None:
    (done,) = run(attempt(0.0))
    assert done.outcome is Outcome.SOLVED
    assert keys(done) == [*(command.keystrokes for command in TASK.oracle), "", ""]
    assert "Write yes into /app/answer." in actions(done)[0].analysis
    assert all(action.analysis and action.plan for action in actions(done))


@pytest.mark.parametrize("family", SOME)
def test_families_are_solved_in_spite_of_mistakes(family: str) -> None:
    plan = Plan.of("teacher", [family], episodes=2, options={"mistakes": 1.0})
    more = 0
    for done in run(*plan):
        assert done.outcome is Outcome.SOLVED
        solution = [command.keystrokes for command in families()[family].task(done.seed or 0, done.level or 1).oracle]
        typed = keys(done)
        assert [key for key in typed if key in solution] == solution
        more += len(done.turns) - len(solution) - 2
    assert more > 0


def test_every_kind_of_mistake_is_seen_and_corrected() -> None:
    seen: set[str] = set()
    for done in run(*(attempt(1.0, number) for number in range(12))):
        assert done.outcome is Outcome.SOLVED, done.checks
        for turn, after in pairwise(done.turns):
            said = parse(after.reply).action
            for sign, words in SIGNS.items():
                if sign in turn.observation.partition("\n\n")[0] and not re.search(r"\^C|You marked", turn.observation):
                    seen.add(sign)
                    assert said and any(word in said.analysis for word in words), said
    assert seen == set(SIGNS)


SIGNS = {
    "command not found": ("`cat`", "`ls`", "`head`", "`printf`"),
    "No such file": ("`/app",),
    "Your last reply was unusable": ("reply",),
    "\n>": ("> ", "quote", "continuation"),
}


def test_the_same_seed_says_the_same_and_others_do_not() -> None:
    first, again, other = run(attempt(0.5), attempt(0.5), attempt(0.5, 1))
    texts = [[turn.reply for turn in one.turns] for one in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]


def test_a_script_is_typed_out_run_and_told_of() -> None:
    task = replace(TASK, oracle=(), solution={"solve.sh": File.of("#!/bin/bash\nprintf yes > /app/answer\n")})
    for done in run(attempt(0.0, task=task), attempt(1.0, task=task)):
        assert done.outcome is Outcome.SOLVED
        assert all(action.analysis and action.plan for action in actions(done))


def test_each_step_of_a_task_is_told_of() -> None:
    script = {"solve.sh": File.of("#!/bin/bash\necho done >> /app/log\n")}
    tests = {"test.sh": File.of("#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n")}
    steps = tuple(Step(f"s{n}", f"Write line {n} of the log.", tests=tests, solution=script) for n in (1, 2))
    (done,) = run(attempt(0.0, task=Task("steps", "", steps=steps)))
    assert done.outcome is Outcome.SOLVED
    told = " ".join(action.analysis for action in actions(done))
    assert "Write line 1 of the log." in told and "Write line 2 of the log." in told


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mistakes", [0.15, 1.0])
def test_every_family_is_solved(mistakes: float) -> None:
    texts = Texts()
    for one in Plan.of("teacher", sorted(families()), options={"mistakes": mistakes}):
        (done,) = run(one)
        assert done.outcome is Outcome.SOLVED, done.task
        texts.add(done)
    assert texts.to_dict()["distinct_analyses_per_1000_turns"] > 700


# Where no mistake is made.


def first(screen: str = PROMPT, task: Task = TASK) -> str:
    return first_prompt(task.instruction, screen)


@pytest.mark.parametrize(
    "screen",
    [
        output("root@termgym:/app# python3", prompt=">>>"),
        output("root@termgym:/app# python3 edit.py", prompt="line editor:"),
        output("root@termgym:/app# sleep 9", prompt=""),
        "Current terminal screen:\nsome text\n~\n~\n-- INSERT --     1,1   All",
        "Current terminal screen:\nsome text\n(END)",
        output("root@termgym:/app# cat > x <<'END'", prompt=">"),
        output("root@termgym:/app# su nobody", prompt="nobody@termgym:/app$"),
    ],
)
def test_no_mistake_is_made_in_an_editor_a_repl_or_while_something_runs(screen: str) -> None:
    for seed in range(5):
        typed = replies(TASK, [screen] * 4, 1.0, seed)
        assert [parse(text).action.commands for text in typed] == [(command,) for command in TASK.oracle]  # type: ignore


def test_no_mistake_is_made_where_the_next_command_is_about_the_last() -> None:
    for line in ("echo $?", "!!", "fc -l", "history | tail", 'cat "$_"', "echo ${PIPESTATUS[0]}"):
        task = replace(TASK, oracle=(Command(f"{line}\n"),))
        assert parse(replies(task, [first()], 1.0)[0]).action == parse(replies(task, [first()], 0.0)[0]).action


def test_no_mistake_is_made_where_a_failure_would_end_the_shell() -> None:
    task = replace(TASK, oracle=(Command("set -e\n"), *TASK.oracle))
    typed = [parse(text).action for text in replies(task, [first()] * 5, 1.0)]
    assert [action and action.commands[0].keystrokes for action in typed] == [c.keystrokes for c in task.oracle]


@pytest.mark.parametrize("turns", [6, 8, 10, 12, 14, 20])
def test_mistakes_leave_the_turns_that_the_solution_needs(turns: int) -> None:
    for done in run(*(attempt(1.0, number, replace(TASK, limits=Limits(turns=turns))) for number in range(3))):
        assert done.outcome is Outcome.SOLVED
        assert len(done.turns) <= turns and (turns > 6 or len(done.turns) == 6)


def test_a_task_without_a_solution_has_no_teacher() -> None:
    with pytest.raises(TaskError, match="comes without a solution"):
        new_policy("teacher", replace(TASK, oracle=()))


# What is said.


def test_a_misspelt_program_runs_nothing_else() -> None:
    for seed in range(200):
        made = mistake.choose("rm -rf /app/x; mkdir -p /app/y | cat /app/a > /app/b\n", Voice(seed))
        assert not made or not set(made.keystrokes[:-1]) & set(";|>&") or made.kind == "reply"
        made = mistake.choose("cat /app/a | tee /app/b > /app/c; rm /app/a\n", Voice(seed))
        assert made is None or made.keystrokes.count("\n") <= 1
        assert made is None or not set(made.keystrokes) & set(";|&")


def test_a_reply_that_is_meant_to_be_unusable_is() -> None:
    action = Action('It says "so" {here}.', "To list.", (Command("ls '{}'\n"),))
    for seed in range(50):
        assert parse(mistake.unusable(action, "list {x}", Voice(seed))).action is None


def test_a_reading_tells_the_echo_from_the_output() -> None:
    shown = output(f"{PROMPT} cat a.txt", "one", "two")
    reading = Reading.of(shown, "cat a.txt\n")
    assert (reading.lines, reading.at_root_prompt, reading.folder, reading.cut) == (("one", "two"), True, "/app", False)
    wrapped = output(f"{PROMPT} printf 'a long li", "ne' > x; cat x", "a long line")
    assert Reading.of(wrapped, "printf 'a long line' > x; cat x\n").lines == ("a long line",)
    unended = "\n".join(("New terminal output:", f"{PROMPT} printf yes", f"yes{PROMPT}"))
    reading = Reading.of(unended, "printf yes\n")
    assert (reading.lines, reading.folder, reading.at_prompt) == (("yes",), "/app", True)
    asked = output("sqlite> .mode list", "sqlite> SELECT 1;", "1", prompt="sqlite>")
    assert Reading.of(asked, ".mode list\nSELECT 1;\n").lines == ("1",)
    document = output(f"{PROMPT} cat > x <<'END'", "> a", ">", "> \tb", "> END")
    assert Reading.of(document, "cat > x <<'END'\na\n\n\tb\nEND\n").lines == ()


def test_a_reading_sees_errors_and_what_fills_the_screen() -> None:
    shown = output(f"{PROMPT} cat x", "cat: x: No such file or directory")
    assert Reading.of(shown, "cat x\n").error == "cat: x: No such file or directory"
    assert not Reading.of(output(f"{PROMPT} ls", "error4-2023.log"), "ls\n").error
    assert Reading.of("Current terminal screen:\ntext\n~\n(END)\n\n", "less x\n").full_screen
    assert not Reading.of(f"Current terminal screen:\n{PROMPT} sleep 99\n\n", "").full_screen
    assert Reading.of(f"Current terminal screen:\n{PROMPT} less x\n{PROMPT}\n\n", "q").at_root_prompt


def test_a_shell_line_is_taken_apart() -> None:
    line = ShellLine.of("cd /app && grep -c 'a;b' x.txt | sort > out 2>/dev/null\n")
    (cd,), (grep, sort) = line.pipelines
    assert (cd.program, files_of(cd)) == ("cd", ["/app"])
    assert (grep.program, files_of(grep), sort.program, sort.into) == ("grep", ["x.txt"], "sort", "out")
    assert ShellLine.of("cat > /tmp/a.py <<'END'\nimport os\nEND\n").document == "import os\n"
    assert ShellLine.of("echo 'open\n").pipelines == ()


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("cat /app/notes.txt\n", "/app/notes.txt"),
        ("head -n 3 a.csv b.csv\n", "a.csv and b.csv"),
        ("cat > /tmp/x.py <<'END'\ndef f():\n    pass\nEND\n", "/tmp/x.py (2 lines with f)"),
        ("sort a | uniq -c | head\n", "head"),
        ("python3 x.py > /app/out\n", "/app/out"),
        ("frobnicate --now\n", "`frobnicate --now`"),
        ("for f in *; do echo $f; done\n", "loop"),
        ("git --no-pager log --oneline\n", ""),
    ],
)
def test_an_intent_names_what_the_command_names(typed: str, named: str) -> None:
    words = at_shell(typed, Voice(0)).words
    assert named in words and words


def test_keys_are_told_by_the_program_that_gets_them() -> None:
    assert in_program(":wq\n", "vi", Voice(0)).words in ("save the file and leave the editor", "write and quit")
    assert "wq" in in_program(":wq\n", "python3", Voice(0)).words
    assert in_program("C-c", "", Voice(0)).words in ("interrupt what is running", "press Ctrl-C")


def test_nothing_of_the_solution_is_said_before_it_is_typed_or_shown() -> None:
    secret = replace(TASK, oracle=(Command("ls /app\n"), Command("echo zebra77 > /app/answer\n")))
    for seed in range(10):
        assert "zebra77" not in replies(secret, [first()], 0.0, seed)[0]


def test_texts_are_counted() -> None:
    replied = [Action("a", "b").to_json(), Action("a", "c").to_json(), "prose"]
    turns = tuple(TurnRecord(text, "shown", error=parse(text).error) for text in replied)
    texts = Texts()
    texts.add(Trajectory("t", "d", "teacher", Outcome.SOLVED, 1.0, 1.0, first="begin", turns=turns))
    texts.add(Trajectory("t", "d", "teacher", Outcome.INFRA_ERROR))
    told = json.loads(json.dumps(texts.to_dict()))
    assert (told["episodes"], told["solved"], told["turns"]) == (1, 1, 3)
    assert told["distinct_analyses_per_1000_turns"] == pytest.approx(1000 / 3)
    assert told["refused_share"] == pytest.approx(1 / 3)
    assert "1 of 1 episodes solved, 3 turns" in texts.text() and Texts().text() == "No episodes."
