"""Pages: films against the emulator, hostile text, what is embedded first; and what a browser makes of one."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from termgym.cli import app
from termgym.evaluation import cast_of
from termgym.outcome import Outcome
from termgym.page import Page, write
from termgym.page.account import details, thinking
from termgym.page.film import WIDE, filmed, line_of
from termgym.screen import BOLD, Emulator
from termgym.verifier import CheckResult
from tests.browser import browser
from tests.pages import EVIL, SET, Tags, embedded, episode, hostile, record, run_of, shown, turn


def played(shot: dict[str, Any], time_ms: float) -> list[str]:
    """What a page draws at a time, without colours."""
    shown = [0] * shot["rows"]
    for frame_ms, _, _, changed in shot["frames"]:
        if frame_ms <= time_ms:
            for row, line in zip(changed[::2], changed[1::2], strict=True):
                shown[row] = line
    lines = [shot["lines"][number] for number in shown]
    return [line if isinstance(line, str) else "".join(line[::2]) for line in lines]


# Films.


def test_a_film_shows_what_the_emulator_does_at_each_turn(tmp_path: Path) -> None:
    texts = [
        "\x1b[31mred\x1b[0m one\r\n",
        "two \u4f60\u597d \u2500\r\n" * 3,
        "\x1b[2J\x1b[Hthree\x1b[4;7Hend",
        "\x1b[?1049hedit",
    ]
    events = [event for at, text in enumerate(texts) for event in ((3.0 * at, "m", "turn"), (3.0 * at + 1, "o", text))]
    shot = filmed(record(tmp_path / "a.cast", *events))
    emulator = Emulator(5, 40)
    assert shot and len(shot["marks"]) == 4
    for text, end in zip(texts, [*shot["marks"][1:], shot["end"]], strict=True):
        emulator.feed(text.encode())
        assert played(shot, end) == emulator.screen().text.split("\n")


def test_a_line_is_runs_of_one_style() -> None:
    emulator = Emulator(1, 40)
    emulator.feed("a\x1b[1;31mb\x1b[0m \u4f60  c\x1b[44m  ".encode())
    (chars,), (attributes,) = emulator.cells()
    colored = ["  ", 7 | 4 << 4]
    assert line_of(chars, attributes) == ["a", 7, "b", BOLD | 1, " ", 7, "\u4f60", WIDE | 7, "  c", 7, *colored]


def test_a_line_that_comes_again_is_stored_once(tmp_path: Path) -> None:
    events = [(float(at), "o", f"\x1b[{at % 5 + 1};1Hthe same\x1b[2J") for at in range(20)]
    events += [(20.0 + at, "o", f"\x1b[{at % 5 + 1};1Hthe same") for at in range(20)]
    shot = filmed(record(tmp_path / "a.cast", *events))
    assert shot and shot["lines"] == ["", "the same"]


def test_frames_are_twenty_a_second_and_pauses_bounded(tmp_path: Path) -> None:
    burst = [(at / 1000, "o", f"{at}\r\n") for at in range(1000)]
    shot = filmed(record(tmp_path / "a.cast", *burst, (100.0, "o", "late"), (101.0, "m", "turn 1")))
    assert shot and 18 <= len(shot["frames"]) <= 24
    assert shot["frames"][-1][0] == 2999 and shot["marks"] == [3999] and shot["end"] == 4799
    assert played(shot, 3999)[-1] == "late"


def test_turns_that_took_no_time_can_be_watched(tmp_path: Path) -> None:
    shot = filmed(record(tmp_path / "a.cast", *((0.001 * at, "m", "turn") for at in range(1, 4))))
    assert shot and shot["marks"] == [800, 1600, 2400] and shot["end"] == 3200


def test_a_film_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("termgym.page.film.MAX_FRAMES", 5)
    shot = filmed(record(tmp_path / "a.cast", *((0.1 * at, "o", f"{at}\r\n") for at in range(50))))
    assert shot and shot["cut"] and len(shot["frames"]) <= 6


def test_a_program_that_prints_without_end_does_not_make_the_page_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("termgym.page.film.MAX_READ_BYTES", 1000)
    shot = filmed(record(tmp_path / "a.cast", *((0.1 * at, "o", "y\r\n") for at in range(500))))
    assert shot and shot["cut"] and 10 < len(shot["frames"]) < 100
    assert not (filmed(record(tmp_path / "b.cast", (0.0, "o", "y"))) or {})["cut"]


@pytest.mark.parametrize("text", ["", "{}\n", "not a recording", '{"width": "x", "height": 3}\n', "[1]\n"])
def test_what_is_no_recording_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.cast").write_text(text)
    assert filmed(tmp_path / "a.cast") is None and filmed(tmp_path / "missing.cast") is None


def test_a_recording_that_was_cut_off_ends_there(tmp_path: Path) -> None:
    path = record(tmp_path / "a.cast", (0.0, "o", "fine"))
    path.write_text(path.read_text() + '[1.0, "o", "cut of')
    shot = filmed(path)
    assert shot and played(shot, 1e9)[0] == "fine"


# Accounts.


def test_a_turn_tells_what_was_thought_typed_and_refused() -> None:
    told = details(episode("t", turns=(turn("x", warnings=("careful",)), turn("y", reply="no JSON", error="refused"))))
    first, second = told["turns"]
    assert (first["thinking"], first["analysis"], first["plan"]) == ("thought x", "analysis x", "plan x")
    assert (first["commands"], first["settled"]) == ([["keys x\n", 1.0], ["", 1.0]], ["prompt", "idle"])
    assert (second["reply"], second["error"]) == ("no JSON", "refused") and "commands" not in second


@pytest.mark.parametrize(
    ("reply", "thought"),
    [("<think>a\nb</think>{}", "a\nb"), (" <think> a", "a"), ("{}", ""), ("{} <think>a</think>", "")],
)
def test_thinking_is_what_comes_before_the_answer(reply: str, thought: str) -> None:
    assert thinking(reply) == thought


# Pages.


def written(run: Path, **options: Any) -> str:
    return write(run, **options).read_text()


def test_nothing_that_an_agent_wrote_becomes_an_element(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", hostile(), hostile())
    record(cast_of(run, EVIL, 0), (0.0, "o", EVIL), cols=100)
    page = written(run)
    tags = Tags(page).found
    assert {name for name, _ in tags} == {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "noscript",
        "main",
        "script",
    }
    assert page.count("</script") == sum(name == "script" for name, _ in tags) == 5  # index, 2 details, film, ours
    assert not any(key.startswith("on") for _, attributes in tags for key in attributes)
    data = embedded(page)
    assert data["details-0"]["turns"][1]["reply"] == EVIL and data["film-1"]["lines"][1] == EVIL


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    page = written(run_of(tmp_path / "run", episode("t")))
    assert re.findall(r"https?://\S+", page) == ['http://www.w3.org/2000/svg";']  # a name, not an address
    assert "default-src 'none'" in page and "unsafe" not in page
    assert not any({"src", "href", "style"} & set(attributes) for _, attributes in Tags(page).found)


def test_recordings_go_to_each_kind_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    kinds = [("f", Outcome.SOLVED), ("f", Outcome.SOLVED), ("f", Outcome.FAILED), ("g", Outcome.SOLVED)]
    episodes = [episode(f"t{n}", outcome, family=family) for n, (family, outcome) in enumerate(kinds)]
    run = run_of(tmp_path / "run", *episodes)
    for one in episodes:
        record(cast_of(run, one.task, 0), (0.0, "o", one.task))
    data = embedded(written(run, recordings=3))
    assert [name for name in data if name.startswith("film")] == ["film-2", "film-0", "film-3"]
    assert (data["index"]["films"], data["index"]["details"]) == (3, 4)


def test_a_page_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("termgym.page.episodes.MAX_BYTES", 1500)
    data = embedded(written(run_of(tmp_path / "run", *(episode(f"t{n}", turns=(turn("x"),)) for n in range(50)))))
    assert len(data["index"]["episodes"]) == 50 and 0 < data["index"]["details"] < 10


def test_an_attempt_that_was_tried_again_has_the_recording_of_the_last(tmp_path: Path) -> None:
    page = Page(tmp_path)
    record(cast_of(tmp_path, "t", 0), (0.0, "o", "last"))
    for outcome in (Outcome.INFRA_ERROR, Outcome.SOLVED):
        page.add(episode("t", outcome))
    assert [name for name in embedded(page.html()) if name.startswith("film")] == ["film-1"]


def test_report_by_the_command_line(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", episode("t"))
    done = CliRunner().invoke(app, ["report", str(run), "--out", str(tmp_path / "new" / "x.html")])
    assert done.exit_code == 0 and f"Written to {tmp_path / 'new' / 'x.html'}" in done.stdout
    assert (tmp_path / "new" / "x.html").read_text().startswith("<!doctype html>")
    wrong = CliRunner().invoke(app, ["report", str(tmp_path / "none")])
    assert wrong.exit_code == 2 and "termgym eval" in wrong.stderr


# In a browser.


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    turns = tuple(turn(str(number)) for number in range(1, 4))
    solved = episode("solved", Outcome.SOLVED, turns=turns, checks=(CheckResult("tidy", 1.0),), instruction="Do it.")
    run = run_of(tmp_path_factory.mktemp("page") / "run", solved, hostile(), episode("bare", turns=turns))
    events = [
        event for at in range(3) for event in ((at + 0.5, "m", f"turn {at + 1}"), (at + 1.0, "o", f"out{at + 1}\r\n"))
    ]
    record(cast_of(run, "solved", 0), (0.0, "o", "\x1b[32mprompt\x1b[0m\r\n"), *events)
    record(cast_of(run, EVIL, 0), (0.0, "o", EVIL), cols=100)
    return write(run)


@pytest.mark.slow
@pytest.mark.chromium
def test_a_browser_shows_the_run(page: Path, tmp_path: Path) -> None:
    text = shown(page, "", tmp_path).text
    assert all(part in text for part in ("pass@1 by family", "1/3", "Where the time went", "by level", "3 episodes"))
    assert EVIL in text and "1 of 3 episodes have no recording here." in text


@pytest.mark.slow
@pytest.mark.chromium
def test_a_browser_plays_a_recording_to_a_time(page: Path, tmp_path: Path) -> None:
    text = shown(page, "episode=0&time=2.7", tmp_path).text
    assert "Turn 2 of 3" in text and "analysis 2" in text and "thought 2" in text and "keys 2" in text
    assert "prompt" in text and "out2" in text and "out3" not in text
    assert "tidy" in text and "Do it." in text and "solved" in text


@pytest.mark.slow
@pytest.mark.chromium
def test_a_browser_shows_turns_where_there_is_no_recording(page: Path, tmp_path: Path) -> None:
    text = shown(page, "episode=2&turn=3", tmp_path).text
    assert "There is no recording" in text and "Turn 3 of 3" in text and "seen 3" in text and "seen 2" not in text


@pytest.mark.slow
@pytest.mark.chromium
@pytest.mark.parametrize("fragment", ["", "episode=1", "episode=1&turn=1", "episode=1&time=99"])
def test_hostile_text_is_only_text_in_a_browser(fragment: str, page: Path, tmp_path: Path) -> None:
    seen = shown(page, fragment, tmp_path)
    assert "img" not in seen.tags and EVIL in seen.text


TURN = "document.querySelector('.turn-title').textContent"
CLOCK = "document.querySelector('.clock').textContent"
COUNT = "document.querySelector('.filters .note').textContent"


@pytest.mark.slow
@pytest.mark.chromium
def test_the_keyboard_plays_and_goes_by_turns(page: Path, tmp_path: Path) -> None:
    with browser(tmp_path) as tab:
        tab.open(f"file://{page}#episode=0")
        tab.until("document.querySelector('.turn-title')")
        seen = [tab.run(TURN)]
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home"):
            tab.press(key)
            seen.append(tab.run(TURN))
        assert seen == ["Before turn 1", *(f"Turn {turn} of 3" for turn in (1, 2, 1, 3)), "Before turn 1"]
        tab.press(" ")
        tab.until(f"{TURN} === 'Turn 1 of 3'")
        tab.press(" ")
        paused = tab.run(CLOCK)
        assert tab.run(f"new Promise((done) => setTimeout(() => done({CLOCK}), 200))") == paused
        tab.run(SET.format("document.querySelector('.timeline input'), '2700', 'input'"))
        assert tab.run(TURN) == "Turn 2 of 3"
        tab.press("Escape")
        tab.until("document.querySelector('.episodes')")
        assert tab.problems == []


@pytest.mark.slow
@pytest.mark.chromium
def test_thousands_of_episodes_are_filtered_at_once(tmp_path: Path) -> None:
    outcomes = [Outcome.SOLVED, Outcome.FAILED, Outcome.INFRA_ERROR, Outcome.FAILED]
    episodes = [episode(f"f{n % 7}@{n}.1", outcomes[n % 4], family=f"f{n % 7}") for n in range(2000)]
    path = write(run_of(tmp_path / "run", *episodes))
    with browser(tmp_path / "profile") as tab:
        tab.open(f"file://{path}")
        tab.until("document.querySelector('.episodes')")
        assert tab.run("document.querySelectorAll('.episodes tbody tr').length") == 50
        found = []
        for control, value, event in (("[type=search]", "f3@", "input"), ("select", "invalid", "change")):
            begin = tab.run("performance.now()")
            tab.run(SET.format(f"document.querySelector('.filters {control}'), '{value}', '{event}'"))
            assert tab.run("performance.now()") - begin < 500
            found.append(tab.run(COUNT))
        assert found == [f"{len(range(3, 2000, 7))} episodes", f"{sum(n % 4 == 2 for n in range(3, 2000, 7))} episodes"]
        assert tab.problems == []
