"""The action protocol against Harbor's rules, one row per rule."""

import json
import random
import time

import pytest

from termgym.protocol import Action, Command, Parsed, first_prompt, next_prompt, parse

LS = {"keystrokes": "ls\n", "duration": 0.1}
ONE = Action("a", "p", (Command("ls\n", 0.1),))
NONE = Action("a", "p")
DONE = Action("a", "p", task_complete=True)


def reply(*commands: object, **fields: object) -> str:
    return json.dumps({"analysis": "a", "plan": "p", "commands": list(commands), **fields})


def timed(duration: str) -> str:
    return f'{{"analysis": "a", "plan": "p", "commands": [{{"keystrokes": "", "duration": {duration}}}]}}'


def waits(duration_s: float) -> Action:
    return Action("a", "p", (Command("", duration_s),))


GOOD = reply(LS)
BRACES = {"keystrokes": "awk '{print}'\n", "duration": 0.1}

# name, reply, action, part of each warning
ACCEPTED: list[tuple[str, str, Action, tuple[str, ...]]] = [
    ("plain", GOOD, ONE, ()),
    ("no commands", reply(), NONE, ()),
    ("unknown top-level field", reply(LS, mood=1), ONE, ()),
    ("analysis not a string", reply(LS, analysis=3), Action("", "p", ONE.commands), ("'analysis'",)),
    ("plan not a string", reply(LS, plan=["x"]), Action("a", "", ONE.commands), ("'plan'",)),
    ("complete true", reply(task_complete=True), DONE, ()),
    ("complete 'true'", reply(task_complete="true"), DONE, ()),
    ("complete 'YES'", reply(task_complete="YES"), DONE, ()),
    ("complete '1'", reply(task_complete="1"), DONE, ()),
    ("complete 'no'", reply(task_complete="no"), NONE, ()),
    ("complete null", reply(task_complete=None), NONE, ()),
    ("complete 1 (departure)", reply(task_complete=1), NONE, ("'task_complete'",)),
    ("complete [0] (departure)", reply(task_complete=[0]), NONE, ("'task_complete'",)),
    ("duration missing", reply({"keystrokes": ""}), waits(1.0), ("no 'duration'",)),
    ("duration of text", timed('"2"'), waits(1.0), ("not a usable time",)),
    ("duration null", timed("null"), waits(1.0), ("not a usable time",)),
    ("duration true (departure)", timed("true"), waits(1.0), ("not a usable time",)),
    ("duration NaN (departure)", timed("NaN"), waits(1.0), ("not a usable time",)),
    ("duration 1e999 (departure)", timed("1e999"), waits(1.0), ("not a usable time",)),
    ("duration -Infinity (departure)", timed("-Infinity"), waits(1.0), ("not a usable time",)),
    ("duration negative (departure)", timed("-0.5"), waits(1.0), ("not a usable time",)),
    ("duration zero", timed("0"), waits(0.0), ()),
    ("duration at the cap", timed("60"), waits(60.0), ()),
    ("duration above the cap", timed("60.5"), waits(60.0), ()),
    ("duration beyond a float", timed("9" * 400), waits(60.0), ()),
    ("unknown command field", reply({**LS, "why": 1}), ONE, ("command 1 has unknown fields: 'why'",)),
    (
        "keystrokes run together",
        reply({"keystrokes": "cd x", "duration": 0.1}, LS),
        Action("a", "p", (Command("cd x", 0.1), *ONE.commands)),
        ("command 1 does not end in a newline",),
    ),
    (
        "a wait needs no newline",
        reply({"keystrokes": "", "duration": 5}, LS),
        Action("a", "p", (Command("", 5.0), *ONE.commands)),
        (),
    ),
    (
        "nor does the last command",
        reply(LS, {"keystrokes": "C-c", "duration": 0.1}),
        Action("a", "p", (*ONE.commands, Command("C-c", 0.1))),
        (),
    ),
    (
        "wrong order",
        json.dumps({"plan": "p", "commands": [LS], "analysis": "a"}),
        ONE,
        ("fields came in the order plan, commands, analysis",),
    ),
    (
        "a nested field is not out of order (departure)",
        '{"task_complete": {"plan": 1}, ' + GOOD[1:],
        ONE,
        ("'task_complete'",),
    ),
    ("text before", "Sure: " + GOOD, ONE, ("text before",)),
    ("text after", GOOD + " done", ONE, ("text after",)),
    ("space around", f"\n {GOOD}\n", ONE, ()),
    ("a code fence", f"```json\n{GOOD}\n```", ONE, ("text before", "text after")),
    ("a second object", GOOD + reply(), ONE, ("text after",)),
    ("a quoted brace before", 'say "{" ' + GOOD, ONE, ("text before",)),
    ("an escaped quote before", '\\" ' + GOOD, ONE, ("text before",)),
    ("a stray brace before (departure)", "} " + GOOD, ONE, ("text before",)),
    ("missing last brace", GOOD[:-1], ONE, ("AUTO-CORRECTED: closing",)),
    ("missing brace and text before", "Sure: " + GOOD[:-1], ONE, ("AUTO-CORRECTED: closing", "text before")),
    ("braces in the thinking", f"<think>use {{foo}}</think>{GOOD}", ONE, ("AUTO-CORRECTED: the JSON",)),
    ("an odd quote before", '5" disk ' + GOOD, ONE, ("AUTO-CORRECTED: the JSON",)),
    ("bad command, complete", reply(LS, 1, task_complete=True), DONE, ("command 2 must be an object",)),
    ("no keystrokes, complete", reply({}, task_complete="1"), DONE, ("command 1 has no 'keystrokes'",)),
    ("lone surrogate", reply({"keystrokes": "\ud800\n", "duration": 1}, analysis="\udfff", plan="é😀"),
     Action("?", "é😀", (Command("?\n", 1.0),)), ()),
]  # fmt: skip

# name, reply, part of the error
REFUSED: list[tuple[str, str, str]] = [
    ("empty", "", "no JSON object"),
    ("prose", "I would list the files.", "no JSON object"),
    ("an array", "[1, 2]", "no JSON object"),
    ("only a quoted brace", '"{}', "no JSON object"),
    ("analysis missing", '{"plan": "p", "commands": []}', "missing required fields: analysis"),
    ("two missing", '{"analysis": "a"}', "missing required fields: plan, commands"),
    ("missing though complete", '{"analysis": "a", "commands": [], "task_complete": true}', "fields: plan"),
    ("the first object counts", "{} " + GOOD, "missing required fields"),
    ("commands an object", reply(commands=LS), "'commands' must be an array"),
    ("commands an object, complete", reply(commands=LS, task_complete=True), "'commands' must be an array"),
    ("command of text", reply("ls"), "command 1 must be an object"),
    ("keystrokes missing", reply(LS, {"duration": 1}), "command 2 has no 'keystrokes'"),
    ("keystrokes a number", reply({"keystrokes": 1}), "command 1: 'keystrokes' must be a string"),
    ("raw newline in a string", GOOD.replace("\\n", "\n"), "invalid JSON: Invalid control character"),
    ("raw tab in a string", GOOD.replace("\\n", "\t"), "invalid JSON: Invalid control character"),
    ("bad escape", GOOD.replace("\\n", "\\d"), "invalid JSON: Invalid \\escape"),
    ("trailing comma", GOOD[:-2] + ",]}", "invalid JSON"),
    ("missing bracket and brace", GOOD[:-2], "invalid JSON"),
    ("an odd quote and braces in keys", '5" disk ' + reply(BRACES), "invalid JSON"),
    ("thinking and braces in keys", "{foo} " + reply(BRACES), "invalid JSON"),
    ("nested too deeply", reply(x=1)[:-2] + "[" * 100_000, "invalid JSON"),
    ("a buried object nested too deeply", '" {"a": ' + "[" * 100_000 + "}", "no JSON object"),
    ("a number too long", timed("9" * 5000), "invalid JSON"),
]


@pytest.mark.parametrize(
    ("text", "action", "warnings"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED]
)
def test_accepts(text: str, action: Action, warnings: tuple[str, ...]) -> None:
    parsed = parse(text)
    assert (parsed.action, parsed.error) == (action, "")
    assert len(parsed.warnings) == len(warnings), parsed.warnings
    for part, warning in zip(warnings, parsed.warnings, strict=True):
        assert part in warning


@pytest.mark.parametrize(("text", "error"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refuses(text: str, error: str) -> None:
    parsed = parse(text)
    assert parsed.action is None
    assert error in parsed.error


def test_a_repair_looks_at_a_bounded_number_of_groups() -> None:
    assert parse("{x}" * 999 + GOOD).action == ONE
    assert parse("{x}" * 1000 + GOOD).action is None


@pytest.mark.parametrize(
    "action",
    [
        Action(),
        Action('q"\\', "日本 😀", (Command("\x1b[A\x03\t{}\n", 0.25), Command("", 60.0)), True),
        Action("", "", (Command("a"), Command("b"))),
    ],
)
def test_json_round_trip(action: Action) -> None:
    assert parse(action.to_json()).action == action


def test_json_is_canonical() -> None:
    expected = (
        '{"analysis": "é", "plan": "", "commands": [{"keystrokes": "x", "duration": 1.0}], "task_complete": false}'
    )
    assert Action("é", "", (Command("x"),)).to_json() == expected


def test_random_text_never_raises() -> None:
    rng = random.Random(7)
    pieces = [*'{}[]":,\\x \n0', "\ud800", "\x00", "é", "1e999", '"analysis":', '"plan":""', '"commands":[']
    pieces += [GOOD, GOOD[:-1], '{"keystrokes":"a"}', "NaN", "-", '"duration":', "true", "\\u", "\\ud83d"]
    outcomes: set[bool] = set()
    for _ in range(20_000):
        parsed = parse("".join(rng.choices(pieces, k=rng.randrange(30))))
        assert (parsed.action is None) == bool(parsed.error)
        next_prompt(parsed, "", confirm=False).encode()
        outcomes.add(parsed.action is None)
    assert outcomes == {True, False}


def test_random_damage_never_raises() -> None:
    rng = random.Random(8)
    for _ in range(5000):
        chars = list(reply(LS, BRACES, {"keystrokes": "x"}, task_complete=True))
        for _ in range(rng.randrange(1, 6)):
            chars[rng.randrange(len(chars))] = rng.choice('{}[]":,\\ \n\ud800')
        parsed = parse("".join(chars))
        assert (parsed.action is None) == bool(parsed.error)


OPEN = '{"analysis": "", "plan": "", "commands": ['
HOSTILE = [
    *[("", unit) for unit in ("{", "}", '"', "\\", "[", "{ ", "{a}", '{"a":', '{"a":{}', '"{', '\\"', "\ud800")],
    *[
        ("{", "{b}"),
        ('{"a": "', '\\"'),
        ('{"plan"', " "),
        ('" {', '"'),
        (OPEN, "1,"),
        (OPEN, "["),
        (OPEN, "9"),
    ],
]


@pytest.mark.parametrize(("prefix", "unit"), HOSTILE)
def test_five_megabytes_are_read_in_linear_time(prefix: str, unit: str) -> None:
    text = prefix + unit * (5_000_000 // len(unit))
    started = time.process_time()
    parsed = parse(text)
    assert time.process_time() - started < 2.0
    assert parsed.action is None
    assert len(parsed.error) < 2000


def test_the_feedback_on_a_huge_reply_is_bounded() -> None:
    parsed = parse(reply(*[{"keystrokes": "x", "k" * 1000: 1}] * 2000))
    assert len(parsed.warnings) == 2000 * 3 - 1
    prompt = next_prompt(parsed, "$", confirm=False)
    assert len(prompt) < 5000
    assert f"and {2000 * 3 - 1 - 20} more" in prompt


def test_first_prompt_holds_everything() -> None:
    prompt = first_prompt("Rename {all} files.", "root@box:/# ")
    assert "Task:\nRename {all} files.\n" in prompt
    assert "Current terminal state:\nroot@box:/# " in prompt
    for word in ("analysis", "plan", "commands", "task_complete", "keystrokes", "duration", "C-c", "60"):
        assert word in prompt


def test_the_prompt_shows_an_example_that_is_right() -> None:
    example = next(line for line in first_prompt("", "").splitlines() if line.startswith("{"))
    parsed = parse(example)
    assert parsed.action is not None
    assert parsed.action.commands
    assert parsed.warnings == ()


def test_next_prompt_after_an_error_has_no_screen() -> None:
    prompt = next_prompt(parse("Sure: {x"), "SCREEN", confirm=False)
    assert "ERROR: invalid JSON" in prompt
    assert "WARNINGS:\n- text before" in prompt
    assert "SCREEN" not in prompt


def test_next_prompt_puts_warnings_above_the_screen() -> None:
    prompt = next_prompt(parse("Sure: " + GOOD), "SCREEN", confirm=False)
    assert "WARNINGS:\n- text before" in prompt
    assert prompt.endswith("\n\nSCREEN")


def test_next_prompt_is_the_screen_alone_when_all_is_well() -> None:
    assert next_prompt(parse(GOOD), "SCREEN", confirm=False) == "SCREEN"


def test_next_prompt_asks_to_confirm_without_warnings() -> None:
    parsed = parse("Sure: " + reply(task_complete=True))
    assert parsed.warnings
    prompt = next_prompt(parsed, "SCREEN", confirm=True)
    assert prompt.startswith("Current terminal state:\nSCREEN\n")
    assert '"task_complete": true' in prompt
    assert "WARNINGS" not in prompt
    assert next_prompt(parsed, "SCREEN", confirm=False) == "SCREEN"


def test_a_parsed_value_can_be_compared() -> None:
    assert parse(GOOD) == Parsed(ONE, "", ())
