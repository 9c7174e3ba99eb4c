"""Pages of training: what is thinned and embedded first; and what a browser makes of the curves."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from termgym.cli import app
from termgym.errors import TaskError
from termgym.evaluation import cast_of
from termgym.outcome import Outcome
from termgym.page import write_training
from termgym.page.sampling import before_and_after
from termgym.page.series import series
from termgym.training_log import TrainingLog, TrainingStep, stages
from termgym.trajectory import Trajectory
from tests.browser import browser
from tests.pages import EVIL, SET, Tags, embedded, episode, hostile, record, run_of, shown, turn

SOLVED, FAILED = Outcome.SOLVED, Outcome.FAILED
SECONDS = {"generate": 3.0, "environment": 0.1, "verify": 0.05, "learn": 1.85}


def sft(step: int, **numbers: float) -> TrainingStep:
    return TrainingStep("sft", step, {"loss": 2 / step, "grad_norm": 0.9, "lr": 2e-5} | numbers, {"learn": 1.2})


def grpo(step: int, **numbers: float) -> TrainingStep:
    numbers = {"loss": 0.01, "reward": 0.4, "solved": 0.3, "entropy": 0.8, "grad_norm": 0.5} | numbers
    return TrainingStep("grpo", step, numbers, SECONDS)


def trained(folder: Path, steps: Iterable[TrainingStep], **evaluated: list[Trajectory]) -> Path:
    """A run; its evaluations are named e.g. `after_12`."""
    with TrainingLog(folder, 0) as log:
        for step in steps:
            log.add(step)
    for name, episodes in evaluated.items():
        run = run_of(folder / "evaluations" / f"{int(name.removeprefix('after_')):05}", *episodes)
        for one in episodes:
            text = f"{folder.name} {name} {one.task}"
            record(cast_of(run, one.task, 0), (0.0, "o", text), (0.5, "m", "turn 1"), cols=100)
    return folder


def tasks(*outcomes: Outcome) -> list[Trajectory]:
    return [episode(f"t{number}", outcome, turns=(turn("x"),)) for number, outcome in enumerate(outcomes)]


def page_of(folder: Path, **options: Any) -> Path:
    return write_training(stages(folder), folder / "page.html", **options)


# Series.


def test_as_many_points_as_steps_or_means_of_several() -> None:
    few = series(grpo(step, reward=step / 10) for step in (3, 1, 2))
    assert few["points"] == [[1, 1], [2, 2], [3, 3]] and few["curves"]["reward"]["mean"] == [0.1, 0.2, 0.3]
    many = series(grpo(step, reward=float(step)) for step in range(1, 2001))
    assert many["steps"] == 2000 and len(many["points"]) == 400 and many["points"][-1] == [1996, 2000]
    reward = many["curves"]["reward"]
    assert (reward["low"][0], reward["mean"][0], reward["high"][0]) == (1, 3, 5)
    assert many["totals"]["learn"] == pytest.approx(3700) and many["seconds"]["learn"][7] == 1.85


def test_a_number_that_is_not_finite_is_told_and_in_no_mean() -> None:
    steps = [sft(step) for step in range(1, 802)]
    for step, value in ((4, math.nan), (5, math.inf), (700, 1e300)):
        steps[step - 1] = sft(step, loss=value)
    loss = series(steps)["curves"]["loss"]
    assert loss["odd"] == [3, 4] and loss["mean"][1] == pytest.approx(2 / 6, rel=1e-5)
    assert "NaN" not in (text := json.dumps(series(steps))) and "Infinity" not in text and "1e+300" not in text


def test_nothing_is_nothing() -> None:
    assert series([]) == {"steps": 0, "points": [], "curves": {}, "seconds": {}, "totals": {}}
    bare = series([TrainingStep("grpo", 1), sft(2)])
    assert bare["curves"]["loss"]["mean"] == [None, 1] and bare["seconds"] == {"learn": [0, 1.2]}
    assert set(bare["curves"]) == {"loss", "grad_norm"}


def test_of_a_step_that_is_there_twice_the_last_counts() -> None:
    assert series([sft(1), sft(2), sft(1, loss=7.0)])["curves"]["loss"]["mean"] == [7, 1]


# What is embedded.


def test_before_and_after_of_a_task_are_embedded_first() -> None:
    rows = [
        {"task": one.task, "attempt": 0, "family": "f", "outcome": one.outcome.value, "when": when}
        for when, outcomes in enumerate(([FAILED, FAILED, FAILED], [SOLVED] * 3, [FAILED, FAILED, SOLVED]))
        for one in tasks(*outcomes)
    ]
    # The task that is solved now, one of those that are not, the other; then what was between.
    assert before_and_after(rows) == [2, 8, 0, 6, 1, 7, 3, 4, 5]


def test_recordings_of_a_training_are_of_its_ends(tmp_path: Path) -> None:
    trained(tmp_path / "sft", [sft(1)], after_0=tasks(FAILED), after_1=tasks(FAILED))
    trained(tmp_path / "grpo", [grpo(1)], after_0=tasks(FAILED), after_1=tasks(SOLVED))
    data = embedded(page_of(tmp_path, recordings=2).read_text())
    assert {name for name in data if name.startswith("film")} == {"film-0", "film-3"}
    lines = [data[name]["lines"][1] for name in ("film-0", "film-3")]
    assert lines == ["sft after_0 t0", "grpo after_1 t0"]
    assert [one["when"] for one in data["index"]["episodes"]] == [0, 1, 2, 3]
    found = [(one["stage"], one["step"], one["solved"], one["n"]) for one in data["index"]["training"]["evaluations"]]
    assert found == [(0, 0, 0, 1), (0, 1, 0, 1), (1, 0, 0, 1), (1, 1, 1, 1)]


def test_an_evaluation_that_has_only_begun_is_left_out(tmp_path: Path) -> None:
    trained(tmp_path / "run", [grpo(1)], after_0=tasks(FAILED), after_1=[], after_2=tasks(SOLVED))
    index = embedded(page_of(tmp_path / "run").read_text())["index"]
    assert [one["step"] for one in index["training"]["evaluations"]] == [0, 2]
    assert [one["when"] for one in index["episodes"]] == [0, 1]


def test_nothing_of_a_training_becomes_an_element(tmp_path: Path) -> None:
    steps = [TrainingStep(EVIL, 1, {EVIL: 1.0}, {EVIL: 1.0, "environment": 1.0})]
    page = write_training([(EVIL, trained(tmp_path / "run", steps, after_0=[hostile()]))], tmp_path / "page.html")
    text = page.read_text()
    assert text.count("</script") == sum(name == "script" for name, _ in Tags(text).found) == 4
    assert embedded(text)["index"]["training"]["stages"][0]["label"] == EVIL


def test_report_of_a_training_by_the_command_line(tmp_path: Path) -> None:
    trained(tmp_path / "demo" / "sft", [sft(1)])
    trained(tmp_path / "demo" / "grpo", [grpo(1)], after_0=tasks(SOLVED))
    for run, labels in (("demo", ["SFT", "GRPO"]), ("demo/grpo", ["GRPO"])):
        done = CliRunner().invoke(app, ["report", str(tmp_path / run)])
        assert done.exit_code == 0 and f"Written to {tmp_path / run / 'report.html'}" in done.stdout
        index = embedded((tmp_path / run / "report.html").read_text())["index"]
        assert [stage["label"] for stage in index["training"]["stages"]] == labels and index["run"] == Path(run).name
    with pytest.raises(TaskError, match="no training run"):
        write_training([], tmp_path / "x.html")


# In a browser.


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    demo = tmp_path_factory.mktemp("page") / "demo"
    before, after = tasks(FAILED, FAILED, FAILED, FAILED), tasks(SOLVED, SOLVED, FAILED, SOLVED)
    trained(demo / "sft", map(sft, range(1, 2001)), after_0=before, after_2000=tasks(FAILED, SOLVED))
    trained(demo / "grpo", map(grpo, range(1, 41)), after_0=tasks(SOLVED, FAILED), after_40=after)
    return page_of(demo)


@pytest.mark.slow
@pytest.mark.chromium
def test_a_browser_shows_the_training(page: Path, tmp_path: Path) -> None:
    text = shown(page, "", tmp_path).text
    before = "pass@1 before0%95%: 0\u201349%; SFT, step 0"
    for part in (before, "pass@1 after75%", "SFT 2,000, GRPO 40", "Loss, SFT", "Entropy", "norm of the gradient"):
        assert part in text
    assert "The environment took 2.0% of the time of GRPO, and judging the work 1.0%." in text
    assert "A point is the mean of up to 5 steps" in text and "reward0.4 → 0.4" in text
    assert "GRPO, step 40: 75%, 95%: 30\u201395%, n = 4" in text and "GRPO4075%30\u201395%4\u2013" in text


ROWS = """[...document.querySelectorAll('.episodes tbody tr')]
  .map(({ cells }) => [cells[1].textContent, cells[2].textContent])"""
TIMES = "[...document.querySelectorAll('.times a')].map((one) => one.textContent)"


@pytest.mark.slow
@pytest.mark.chromium
def test_before_and_after_of_a_task_are_played(page: Path, tmp_path: Path) -> None:
    with browser(tmp_path) as tab:
        tab.open(f"file://{page}")
        tab.until("document.querySelector('.episodes')")
        tab.run(SET.format("document.querySelector('.filters select'), 'GRPO, step 40', 'change'"))
        assert tab.run(ROWS) == [[f"t{number}", "GRPO, step 40"] for number in range(4)]
        tab.run("document.querySelectorAll('.episodes tbody tr')[2].click()")
        tab.until("document.querySelector('.times')")
        assert tab.run(TIMES) == ["SFT, step 0", "GRPO, step 40"]
        assert "grpo after_40 t2" in tab.run("document.querySelector('.terminal').textContent")
        tab.run("document.querySelector('.times a').click()")
        tab.until("document.querySelector('.terminal').textContent.includes('sft after_0 t2')")
        assert tab.problems == []


# Letters of one plot that lie on each other, and what is wider than the page.
OVERLAPS = """[...document.querySelectorAll('.plot')].flatMap((plot) => {
  const letters = [...plot.querySelectorAll('p, .marks span, .step, .stage-name')].map((one) => {
    const range = document.createRange();
    range.selectNodeContents(one);
    return [one.textContent, range.getBoundingClientRect()];
  });
  const touch = (a, b) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom;
  return letters.flatMap(([name, place], number) => letters.slice(number + 1)
    .filter(([, other]) => touch(place, other)).map(([other]) => `${name} and ${other}`));
}).concat(document.documentElement.scrollWidth > innerWidth ? ['too wide'] : [])"""


@pytest.mark.slow
@pytest.mark.chromium
def test_no_letters_lie_on_others(page: Path, tmp_path: Path) -> None:
    with browser(tmp_path) as tab:
        for width in (1280, 700, 400):
            tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            tab.open(f"file://{page}")
            tab.until("document.querySelectorAll('.plot').length === 7")
            assert tab.run(OVERLAPS) == [], width


@pytest.mark.slow
@pytest.mark.chromium
def test_thousands_of_steps_are_drawn_at_once(tmp_path: Path) -> None:
    numbers = {"reward": 0.4, "solved": 0.3, "loss": 0.1}
    page = page_of(trained(tmp_path / "run", (grpo(step, **numbers) for step in range(1, 2001))))
    assert page.stat().st_size < 400_000
    with browser(tmp_path / "profile") as tab:
        tab.open(f"file://{page}")
        tab.until("document.querySelector('.plot')")
        took = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        tab.until(f"{took} > 0")
        assert tab.run(took) < 3000 and tab.problems == []


@pytest.mark.slow
@pytest.mark.chromium
@pytest.mark.parametrize(
    ("steps", "parts"),
    [
        ([], ["steps0", "There was none yet."]),
        ([grpo(1)], ["steps1", "GRPO, step 1: reward 0.4, solved 0.3", "There was none yet.", "loss0.01"]),
        ([sft(1), sft(2, loss=math.nan), sft(3, loss=math.inf), sft(4)],
         ["SFT: loss is not a finite number at 2 steps, first at step 2.", "SFT, step 2: loss \u2013", "loss2 → 0.5"]),
        ([sft(1, loss=math.nan)], ["SFT: loss is not a finite number at 1 step, first at step 1.", "loss\u2013"]),
        ([sft(1, loss=-1e29), sft(2, loss=1e29), sft(3, loss=1e-30)], ["loss-1e29 → 1e-30"]),
    ],
)  # fmt: skip
def test_little_or_bad_steps_are_shown(steps: list[TrainingStep], parts: list[str], tmp_path: Path) -> None:
    run = trained(tmp_path / "run", steps)
    with (run / "steps.jsonl").open("a") as file:
        file.write('{"stage": "sft", "step": 9, "lo')
    with browser(tmp_path / "profile") as tab:
        tab.open(f"file://{page_of(run)}")
        tab.until("document.body.dataset.shown")
        text = tab.run("document.getElementById('page').textContent")
        assert [part for part in parts if part not in text] == [] and tab.problems == []
        drawn = tab.run("[...document.querySelectorAll('.plot svg *')].map((one) => one.outerHTML).join('')")
        assert "NaN" not in drawn and "Infinity" not in drawn


@pytest.mark.slow
@pytest.mark.chromium
def test_hostile_names_of_a_training_are_only_text_in_a_browser(tmp_path: Path) -> None:
    steps = [TrainingStep(EVIL, 1, {"loss": 1.0}, {EVIL: 1.0, "environment": 1.0})]
    run = trained(tmp_path / "run", steps, after_0=[hostile()], after_1=[hostile()])
    page = write_training([(EVIL, run)], tmp_path / "page.html")
    for fragment in ("", "episode=1"):
        seen = shown(page, fragment, tmp_path / "profile")
        assert "img" not in seen.tags and EVIL in seen.text
