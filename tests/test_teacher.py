"""The teacher: what it says is true, its mistakes change nothing, and it recovers."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from termgym import phrases
from termgym.attempt import Attempt
from termgym.cli import app
from termgym.family import Family
from termgym.launcher_client import close_launcher
from termgym.outcome import Outcome
from termgym.proof import proven
from termgym.protocol import parse
from termgym.rollout import Rollout
from termgym.source import missing
from termgym.store import read
from termgym.trajectory import Trajectory

SOME = ("files/rename-by-date", "config/edit-in-editor", "git/surgery", "sql/query", "interactive/pager-hunt")
USABLE = [family for family in proven().values() if not missing(family.requires)]


def played(families: list[Family], seed: int = 0, **options: float) -> list[Trajectory]:
    attempts = [Attempt(family.task(3, 1), "teacher", seed=seed, options=options) for family in families]

    async def main() -> list[Trajectory]:
        try:
            done = [one async for one in Rollout(attempts, concurrency=4)]
        finally:
            await close_launcher()
        return sorted(done, key=lambda one: one.task)

    return asyncio.run(main())


def some() -> list[Family]:
    return [family for family in USABLE if family.name in SOME]


def test_it_solves_with_mistakes_at_every_chance() -> None:
    for one in played(some(), mistakes=1.0):
        assert one.outcome is Outcome.SOLVED, (one.task, one.outcome)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_solves_every_family_with_mistakes_at_every_chance() -> None:
    lost = [one.task for one in played(USABLE, mistakes=1.0) if not one.solved]
    assert not lost


def test_mistakes_show_on_the_screen_and_are_noticed() -> None:
    kinds = {"slip": 0, "typed": 0, "quote": 0, "form": 0}
    for one in played(some(), mistakes=1.0):
        for turn, following in zip(one.turns, one.turns[1:], strict=False):
            action, after = parse(turn.reply).action, parse(following.reply).action
            if action is None:
                assert after and after.analysis.startswith("My last reply was not in the form")
                kinds["form"] += 1
            elif action.commands and action.commands[0].keystrokes == 'echo "ready\n':
                assert turn.observation.rstrip().endswith(">") and after and after.commands[0].keystrokes == "C-c"
                assert phrases.at_prompt(following.observation), following.observation
                kinds["quote"] += 1
            elif after and (found := re.match(r"I typed (\w+) for (\w+)\.", after.analysis)):
                assert f"{found[1]}: command not found" in turn.observation
                assert after.commands[0].keystrokes.startswith(found[2])
                kinds["typed"] += 1
            elif after and " was a slip for " in after.analysis:
                assert "No such file" in turn.observation
                kinds["slip"] += 1
    assert all(kinds.values()), kinds


def test_it_errs_at_no_program_but_the_shell() -> None:
    for one in played(some(), mistakes=1.0):
        for before, turn in zip([one.first, *(turn.observation for turn in one.turns)], one.turns, strict=False):
            action = parse(turn.reply).action
            if action is None or (action.commands and "ready" in action.commands[0].keystrokes):
                assert phrases.at_prompt(before), before[-200:]


def test_the_same_seed_says_the_same_and_others_do_not() -> None:
    def said(seed: int) -> list[str]:
        return [turn.reply for one in played(some()[:2], seed, mistakes=0.5) for turn in one.turns]

    assert said(1) == said(1) != said(2)


def test_no_turns_no_mistakes() -> None:
    family = next(family for family in USABLE if family.name == SOME[0])
    known = family.task(3, 1)
    task = replace(known, limits=replace(known.limits, turns=len(known.oracle) + 2))

    async def main() -> Trajectory:
        try:
            (one,) = [one async for one in Rollout([Attempt(task, "teacher", options={"mistakes": 1.0})])]
            return one
        finally:
            await close_launcher()

    one = asyncio.run(main())
    assert len(one.turns) == len(task.oracle) + 2 and one.solved


def test_what_is_quoted_is_on_the_screen() -> None:
    for one in played(some(), mistakes=0.0):
        shown = [one.first, *(turn.observation for turn in one.turns)]
        for before, turn in zip(shown, one.turns, strict=False):
            action = parse(turn.reply).action
            assert action and action.analysis and action.plan
            words = " ".join(before.split())
            for quoted in re.findall(r"'(.{12,60}?)(?:\.\.\.)?'(?=[.,;:]|$)", action.analysis):
                assert quoted in words, (quoted, before)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("ls -la /app\n", ("list /app", "see what is in /app", "look what /app holds")),
        ("cat > /app/x.py <<'END'\na\nb\nEND\n", ("write 2 lines to /app/x.py",)),
        ("", ("wait and look again",)),
        ("C-c", ("interrupt what runs",)),
        ("/app/tool.sh data.csv\n", ("run tool.sh on data.csv",)),
        ("want() { true; }\n", ("define the function want",)),
        ("iiabc", ("type 'iiabc'",)),
        ("echo 'a\n", ("write a line", "print a line")),
    ],
)
def test_plans_tell_what_is_typed(keys: str, says: tuple[str, ...]) -> None:
    for seed in range(8):
        plan = phrases.intent(keys, Random(seed))
        assert any(words in plan for words in says), plan


def test_collect_makes_a_corpus(tmp_path: Path) -> None:
    words = ["collect", "--task", SOME[0], "--n", "2", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and "outcome: solved 2" in done.output, done.output
    assert [one.policy for one in read(tmp_path / "run")[0]] == ["teacher"] * 2
    out = tmp_path / "sft.jsonl"
    made = CliRunner().invoke(
        app, ["corpus", "export", str(tmp_path / "run"), "--format", "messages", "--out", str(out)]
    )
    assert made.exit_code == 0 and len(out.read_text().splitlines()) == 2
