import hashlib
import multiprocessing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from termgym.cli import app
from termgym.duplicates import Index, NearDuplicates, ngrams, share
from termgym.errors import TaskError
from termgym.export import Made, Writer, export, selection
from termgym.proof import proven
from termgym.sources import open_source
from termgym.split import SPLITS
from termgym.task import Task

FAMILIES = ["files/rename-by-date", "maths/congruences"]


def tree(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() + oct(path.stat().st_mode)
        for path in files
    }


def written(out: Path, form: str, n: int = 30, split: str = "train", processes: int = 2) -> int:
    selected = selection(FAMILIES, split, n)
    return sum(part.count for part in export(selected, Writer(out, form), processes))


@pytest.mark.parametrize("form", ["harbor", "parquet"])
def test_the_same_selection_gives_the_same_bytes(form: str, tmp_path: Path) -> None:
    assert written(tmp_path / "a", form) == written(tmp_path / "b", form, processes=1) == 30
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize("form", ["harbor", "parquet"])
def test_what_is_exported_is_read_back_equal(form: str, tmp_path: Path) -> None:
    written(tmp_path, form, 10)
    shelf = open_source(f"{form}:{tmp_path}")
    by_id = {made.id: made.task() for made in selection(FAMILIES, "train", 10)}
    assert len(shelf) == 10
    for task in shelf:
        assert task == by_id[task.id]


@pytest.mark.parametrize("form", ["harbor", "parquet"])
def test_an_export_that_was_stopped_goes_on(form: str, tmp_path: Path) -> None:
    written(tmp_path / "whole", form)
    worker = multiprocessing.get_context("spawn").Process(
        target=written, args=(tmp_path / "part", form, 30, "train", 1)
    )
    worker.start()
    while worker.is_alive() and len(list((tmp_path / "part").glob("*"))) < 3 - 2 * (form == "parquet"):
        worker.join(0.005)
    worker.kill()
    worker.join()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "part").iterdir() if path.suffix != ".part"}
    assert written(tmp_path / "part", form) == 30
    assert tree(tmp_path / "part") == tree(tmp_path / "whole")
    whole = [path for path in before if not path.name.startswith(".")]
    assert all(path.stat().st_mtime_ns == before[path] for path in whole)


def test_two_exports_do_not_write_to_one_folder(tmp_path: Path) -> None:
    selected = selection(FAMILIES, "train", 45)
    running = export(selected, Writer(tmp_path, "harbor"), 1)
    next(running)
    with pytest.raises(TaskError, match="another export is writing there"):
        written(tmp_path, "harbor")
    assert sum(part.count for part in running) == 25 and not list(tmp_path.glob(".*"))
    assert written(tmp_path, "harbor") == 30


def test_a_selection_takes_families_levels_and_seeds_in_turn() -> None:
    names = [made.id for made in selection(FAMILIES, "test", 6)]
    first = SPLITS["test"].seeds.start
    assert names == [f"{family}@{first + number}.{1 + number}" for number in range(3) for family in FAMILIES]
    assert len(selection(["maths/congruences"], "train")) == 5
    assert {made.seed for made in selection(FAMILIES, "train", 4, seed=7, level=2) if isinstance(made, Made)} == {7, 8}
    held = {made.id.partition("@")[0] for made in selection(None, "test", 500)}
    assert held >= SPLITS["test"].families and not held & SPLITS["validation"].families
    assert not SPLITS["test"].families & {made.id.partition("@")[0] for made in selection(None, "train", 500)}


def test_commands(tmp_path: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["tasks", "export", *FAMILIES, "--n", "4", "--out", str(tmp_path / "a")])
    assert done.exit_code == 0 and "4 tasks in" in done.output
    other = Task.load(next((tmp_path / "a").iterdir()))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.md").write_text(other.instruction)
    against = ["--against", str(tmp_path / "other")]
    done = run(app, ["tasks", "overlap", FAMILIES[0], "--n", "2", *against])
    assert done.exit_code == 1 and "notes.md has '" in done.output and "of 2 tasks overlap" in done.output
    done = run(app, ["tasks", "export", *FAMILIES, "--n", "4", "--out", str(tmp_path / "b"), *against])
    assert done.exit_code == 0 and "left out" in done.output
    assert len(list((tmp_path / "b").iterdir())) < 4
    for arguments, said in (
        (["--split", "tran"], "did you mean train?"),
        (["--format", "parket"], "did you mean parquet?"),
        (["--against", "/no/such"], "there is no such folder"),
    ):
        done = run(app, ["tasks", "export", "--out", str(tmp_path / "c"), *arguments])
        assert done.exit_code == 2 and said in done.output, done.output
    done = run(app, ["tasks", "export", "harbor:tests/tasks/none", "--out", str(tmp_path / "c")])
    assert done.exit_code == 2


def test_broken_parquet_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(TaskError, match=r"a\.parquet: cannot be read as parquet"):
        open_source(f"parquet:{tmp_path}")
    with pytest.raises(TaskError, match="holds no parquet files"):
        open_source(f"parquet:{tmp_path / 'none'}")


def test_ngrams_and_near_duplicates() -> None:
    assert list(ngrams("The cat, sat; ON it", 3)) == ["the cat sat", "cat sat on", "sat on it"]
    text = " ".join(f"word{number}" for number in range(100))
    seen = NearDuplicates()
    assert [seen.add(text), seen.add(text + " more"), seen.add(text.replace("word", "other"))] == [None, 0, None]
    assert share([text, text, "something else entirely it is", text]) == 0.5
    assert share([]) == 0


def test_an_index_finds_what_is_shared(tmp_path: Path) -> None:
    task = proven()["maths/congruences"].task(5)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text(task.instruction.upper())
    (tmp_path / "binary").write_bytes(b"\0" + task.instruction.encode())
    overlap = Index([tmp_path]).overlap(task)
    assert overlap and overlap.path.endswith("deep/a.txt") and len(overlap.ngram.split()) == 14
    (tmp_path / "deep" / "a.txt").write_text(f"One more word. {task.instruction}")
    near = Index([tmp_path], n=10_000).overlap(task)
    assert near and not near.ngram and "deep/a.txt is nearly the same" in str(near)
    (tmp_path / "deep" / "a.txt").write_text("nothing of the kind " * 9)
    assert Index([tmp_path]).overlap(task) is None
    with pytest.raises(TaskError, match="there is no such folder"):
        Index([tmp_path / "none"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_tasks_take_less_than_five_minutes(tmp_path: Path) -> None:
    import time

    begin = time.monotonic()
    selected = selection(None, "train", 10_000)
    assert sum(part.count for part in export(selected, Writer(tmp_path, "parquet"))) == 10_000
    assert time.monotonic() - begin < 290
