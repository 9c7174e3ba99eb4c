"""Rows of data sets: where they are read from, by which names, and what is said of those that are wrong."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import pyarrow
import pyarrow.parquet
import pytest

from termgym.dataset import read
from termgym.errors import TaskError
from termgym.sources import open_source
from termgym.task import Task

ROWS = [
    {"problem": "What is 1 + 1?", "answer": "2", "id": "one", "level": "Level 3", "license": "CC0-1.0"},
    {"problem": "What is 2 + 2?", "answer": "4", "id": "two", "level": "Level 1", "license": "CC0-1.0"},
    {"problem": "What is 3 + 3?", "answer": "6", "id": "three", "level": "", "license": ""},
]


def lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def first(spec: str) -> Task:
    return open_source(spec)[0]


def test_every_form_of_file_gives_the_same_tasks(tmp_path: Path) -> None:
    plain = lines(tmp_path / "set.jsonl", ROWS)
    (tmp_path / "set.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "set.parquet", row_group_size=2)
    (tmp_path / "set").mkdir()
    for number in range(3):
        table = pyarrow.Table.from_pylist(ROWS[number : number + 1])
        pyarrow.parquet.write_table(table, tmp_path / f"set/part-{number}.parquet")
    wanted = [task.digest for task in open_source(f"math:{plain}")]
    assert len(set(wanted)) == 3
    for name in ("set.jsonl.gz", "set.parquet", "set"):
        assert [task.digest for task in open_source(f"math:{tmp_path / name}")] == wanted, name


def test_a_task_says_where_it_comes_from(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine.jsonl", ROWS)
    tasks = open_source(f"math:{path}?licence=MIT")
    assert [task.id for task in tasks] == ["math/mine@one", "math/mine@two", "math/mine@three"]
    assert [(task.level, task.licence, task.provenance) for task in tasks] == [
        (3, "CC0-1.0", "mine"),
        (1, "CC0-1.0", "mine"),
        (0, "MIT", "mine"),
    ]


def test_the_hub_is_read_by_its_own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is to it what a name of the hub is."""
    (tmp_path / "org").mkdir()
    lines(tmp_path / "org/train.jsonl", ROWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    assert len(open_source("math:hf://org?split=train")) == 3
    with pytest.raises(TaskError, match="hf://org: cannot be loaded: Unknown split"):
        open_source("math:hf://org?split=tests")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{broken", "mine.jsonl, line 2: not JSON"),
        ("[1]", "line 2: is [1]; expected an object"),
        ({"problme": "x", "answer": "1"}, "did you mean columns=problem:problme? There are problme, answer"),
        ({"problem": "x", "id": 7}, "line 2: answer: expected one of the columns answer, expected_answer"),
        ({"problem": {"a": 1}, "answer": "1"}, "problem: is {'a': 1}; expected text"),
        ({"problem": "x", "answer": None}, "answer: expected one of"),
        ({"problem": "x", "answer": True}, "answer: is True; expected text"),
        ({"problem": "x", "answer": "y" * 600}, "answer: has 600 characters; expected 1 to 500"),
        ({"problem": "x", "solution": "so it is \\boxed{"}, "has no \\boxed{} in it"),
    ],
)
def test_a_bad_row_spoils_itself_alone(row: Any, words: str, tmp_path: Path) -> None:
    shelf = open_source(f"math:{lines(tmp_path / 'mine.jsonl', [ROWS[0], row, ROWS[1]])}")
    assert [shelf[0].id, shelf[2].id] == ["math/mine@one", "math/mine@two"]
    with pytest.raises(TaskError) as caught:
        shelf[1]
    assert words in str(caught.value)
    with pytest.raises(TaskError):
        open_source(f"math:{lines(tmp_path / 'mine.jsonl', [row])}")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("math:/no/such.jsonl", "there is no such file"),
        ("math:{here}/empty.jsonl", "holds no rows"),
        ("math:{here}/bad.parquet", "cannot be read as parquet"),
        ("math:{here}/bad.jsonl.gz", "cannot be read"),
        ("math:{here}/a.txt", "expected a file .jsonl, .jsonl.gz or .parquet"),
        ("math:{here}/nothing", "holds no rows"),
        ("math:{here}/good.jsonl?columns=problem", "columns: 'problem': expected NAME:COLUMN"),
        ("math:{here}/good.jsonl?colums=x", "no option named 'colums'; did you mean columns"),
        ("math:{here}/good.jsonl?index=3", "index is '3'; expected a number from 0 to 2"),
    ],
)
def test_what_is_no_data_set_is_refused_at_once(spec: str, words: str, tmp_path: Path) -> None:
    lines(tmp_path / "good.jsonl", ROWS)
    for name in ("empty.jsonl", "bad.parquet", "a.txt"):
        (tmp_path / name).write_text("\n")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "bad.jsonl.gz").write_bytes(b"\x1f\x8bnothing")
    with pytest.raises(TaskError) as caught:
        open_source(spec.format(here=tmp_path))
    assert words in str(caught.value)


def test_columns_go_by_the_names_of_the_public_sets(tmp_path: Path) -> None:
    rows = [
        {"question": "q", "answer": "First 3 * 4 = 12.\n#### 12"},
        {"problem": "q", "solution": r"We get $\frac{a}{b}$, so \boxed{\frac{1}{\sqrt{2}}}."},
        {"Problem": "q", "Answer": 73},
        {"prompt": [{"role": "user", "content": "q"}], "reward_model": {"ground_truth": "34"}},
        {"ask": {"text": "q"}, "gold": "5"},
    ]
    options = "?columns=problem:ask.text,answer:gold"
    shelf = open_source(f"math:{lines(tmp_path / 'x.jsonl', rows)}{options}")
    typed = [task.oracle[0].keystrokes.split("\n")[1] for task in shelf]
    assert typed == ["12", r"\frac{1}{\sqrt{2}}", "73", "34", "5"]
    assert all("q" in task.instruction.split() for task in shelf)


def test_a_large_set_is_read_as_it_is_asked_for(tmp_path: Path) -> None:
    rows = read(lines(tmp_path / "x.jsonl", [f'{{"problem": "{n}", "answer": "{n}"}}' for n in range(20_000)]), {})
    assert len(rows) == 20_000 and rows[19_999] == {"problem": "19999", "answer": "19999"}
    with gym.make("Terminal-v0", task=f"math:{tmp_path / 'x.jsonl'}") as env:
        assert env.reset(seed=1)[1]["task"].startswith("math/x@")


@pytest.mark.parametrize("spec", ["math:?index=8", "code:?index=0", "code:?index=7", "swe:?index=0", "swe:?index=7"])
def test_a_task_is_the_same_as_a_harbor_folder(spec: str, tmp_path: Path) -> None:
    task = first(spec)
    again = Task.load(task.save(tmp_path / "task"))
    assert again.digest == task.digest and again.oracle == task.oracle and again.licence == "Apache-2.0"
    assert again.solution == task.solution and again.domain == task.domain and again.level == task.level
