"""The store of trajectories, killed at every moment."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from termgym.errors import TaskError
from termgym.outcome import Outcome
from termgym.store import Store, read, stream
from termgym.trajectory import Trajectory, TurnRecord


def one(number: int) -> Trajectory:
    turn = TurnRecord("\ud800\u2028 reply", "seen", token_ids=(number,), logprobs=(-0.5,), prompt_ids=(1, 2))
    return Trajectory(f"t{number}", "d", "p", Outcome.SOLVED, 1.0, 1.0, turns=(turn,), domain="security")


def test_what_was_added_is_there_in_order(tmp_path: Path) -> None:
    for first in (0, 7):
        with Store(tmp_path / "run", part=5) as store:
            for number in range(first, first + 7):
                store.add(one(number))
            assert list(store) == [one(number) for number in range(first + 7)]
    parts = sorted((tmp_path / "run").glob("*.parquet"))
    assert [pq.read_table(part).num_rows for part in parts] == [5, 5]
    assert pq.read_table(parts[0], columns=["task", "outcome", "domain"]).to_pylist()[4] == {
        "task": "t4", "outcome": "solved", "domain": "security"}  # fmt: skip
    assert read(tmp_path / "run") == ([one(number) for number in range(14)], [])
    assert list(stream(parts[1])) == [one(number) for number in range(5, 10)]


def test_a_line_that_is_cut_off_is_dropped(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.add(one(0))
    path = tmp_path / "episodes.jsonl"
    path.write_text(path.read_text() + one(1).to_json()[:-40])
    assert list(stream(tmp_path)) == [one(0)]
    assert "cut off" in read(tmp_path)[1][0]
    with Store(tmp_path) as store:
        store.add(one(2))
    assert list(stream(tmp_path)) == [one(0), one(2)]


def test_lines_that_a_part_holds_already_are_dropped(tmp_path: Path) -> None:
    with Store(tmp_path, part=3) as store:
        store.add(one(0))
        store.add(one(1))
        before = (tmp_path / "episodes.jsonl").read_bytes()
        store.add(one(2))
    lines = before + (one(2).to_json() + "\n").encode()
    (tmp_path / "episodes.jsonl").write_bytes(lines + b'{"cut')  # as if it had been killed right after the rename
    with Store(tmp_path, part=3) as store:
        assert list(store) == [one(0), one(1), one(2)]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(TaskError, match="another process is writing"):
        Store(tmp_path)


def test_what_is_no_record_is_told(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"nothing.jsonl: No such file.*termgym eval"):
        list(stream(tmp_path / "nothing.jsonl"))
    path = tmp_path / "x.jsonl"
    path.write_text(one(0).to_json() + "\n{}\n")
    with pytest.raises(TaskError, match=r"x.jsonl:2: this line is no trajectory"):
        read(path)


def test_format_1_is_still_read() -> None:
    fields = json.loads(one(3).to_json())
    for name in ("group", "retry", "model", "instruction", "domain", "licence", "provenance", "date"):
        del fields[name]
    for name in ("kept", "prompt_ids", "finish", "version"):
        del fields["turns"][0][name]
    old = Trajectory.from_json(json.dumps(fields | {"format": 1}))
    assert (old.task, old.turns[0].token_ids, old.turns[0].prompt_ids) == ("t3", (3,), ())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_kills_lose_nothing_that_was_added(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from termgym.store import Store; from tests.test_store import one\n"
        "with Store(Path(sys.argv[1]), part=7) as store:\n"
        "    begin = len(list(store))\n"
        "    for number in range(begin, begin + 100000):\n"
        "        store.add(one(number))\n"
        "        print(number, flush=True)\n"
    )
    chance, seen = random.Random(3), -1
    for _ in range(12):
        command = [sys.executable, "-c", program, str(tmp_path / "run")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "."}) as run:
            assert run.stdout
            for _ in range(chance.randrange(1, 60)):
                seen = int(run.stdout.readline())
            run.send_signal(signal.SIGKILL)
        there = [trajectory.task for trajectory in stream(tmp_path / "run")]
        # What is in a part and still in the lines is there twice until the store is opened again.
        with Store(tmp_path / "run", part=7) as store:
            there = [trajectory.task for trajectory in store]
        assert there == [f"t{number}" for number in range(len(there))] and len(there) > seen
