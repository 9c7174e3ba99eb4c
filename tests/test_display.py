"""What notebooks show: tables, screens and episodes, in which nothing that an agent wrote becomes HTML."""

import re
from xml.etree import ElementTree

import pytest

from termgym.outcome import Outcome
from termgym.protocol import Action, Command
from termgym.report import Report
from termgym.screen import Emulator
from termgym.trajectory import Trajectory, TurnRecord
from termgym.verifier import CheckResult

EVIL = '</pre></details><script>alert(1)</script><img src=x onerror="alert(1)">&amp;'


def episode(text: str) -> Trajectory:
    action = Action(text, text, (Command(text),)).to_json()
    turns = (TurnRecord(action, text), TurnRecord(text, text, error=text))
    checks = (CheckResult(text, 1.0, output=text),)
    fields = {"instruction": text, "turns": turns, "checks": checks, "timings": dict.fromkeys(PHASES, 0.0)}
    return Trajectory(task=text, digest="d", policy="p", outcome=Outcome.FAILED, dense=0.5, **fields)


PHASES = ("create", "reset", "verify", "close")


def screen(text: str):
    emulator = Emulator(5, 200)
    emulator.feed(text.encode())
    return emulator.screen()


@pytest.mark.parametrize(
    "shown", [episode(EVIL), screen(EVIL), Report.of([episode(EVIL)])], ids=["trajectory", "screen", "report"]
)
def test_text_stays_text(shown) -> None:
    html = shown._repr_html_()
    root = ElementTree.fromstring(html)
    assert {one.tag for one in root.iter()} & {"script", "img"} == set()
    assert EVIL in "".join(root.itertext())
    assert not re.search(r"<[^>]*onerror", html)


def test_an_episode_shows_its_task_its_turns_and_its_verdict() -> None:
    words = "".join(ElementTree.fromstring(episode("hello")._repr_html_()).itertext())
    assert "hello: failed, 0.50 of the checks, 2 turns" in words
    assert "turn 1: 'hello'" in words and "turn 2" in words and "hello: 1" in words


def test_a_report_shows_its_table() -> None:
    root = ElementTree.fromstring(Report.of([episode("t")])._repr_html_())
    rows = [[cell.text for cell in row] for row in root.iter("tr")]
    assert rows == [["family", "solved", "pass@1", "95%", "dense"], ["t", "0/1", "0%", "0-79", "0.50"]]
