"""Folders of a corpus: a file for each record.

    NAME/agent/trajectory.json   a document of ATIF, where Harbor has it in the trials of its jobs
    NAME/result.json             what Harbor says of the trial: its task, and its score; read, and not written
    NAME.cast                    a recording in asciicast v2

Trials are read and written, recordings only written: of those each file is read by itself.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from termgym import dataset
from termgym.corpus import atif, recording
from termgym.corpus.nemotron import number
from termgym.corpus.record import Record
from termgym.dataset import Row
from termgym.errors import TaskError

TRAJECTORY = "trajectory.json"


def trial(path: Path) -> Record:
    """The record of a trial, by its trajectory.json.

    Raises:
        TaskError: It is no document of ATIF.
    """
    record, said = atif.record(_row(path)), path.parent.parent / "result.json"
    if record.trajectory is not None or not said.is_file():
        return record
    row = _row(said)
    return replace(
        record,
        task=str(row.get("task_name") or ""),
        trial=str(row.get("trial_name") or ""),
        source=str(row.get("source") or ""),
        date=str(row.get("started_at") or ""),
        reward=number(row, "verifier_result.rewards.reward"),
    )


def _row(path: Path) -> Row:
    """A JSON document. All of a job have the same names, so that errors say which folder it is of."""
    try:
        return Row(str(path), 0, dataset.read(path, {})[0], {})
    except TaskError as error:
        raise TaskError(f"{path.parent}: {error}") from error


def write(folder: Path, records: Iterable[Record], form: str) -> int:
    """Write records as a new folder, whole or not at all; how many.

    Raises:
        TaskError: There is something in the folder, or a record cannot be in this form.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TaskError(f"{folder}: is there already; name a folder that is not")
    unfinished, count = folder.with_name(f".{folder.name}.part"), 0
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        for count, record in enumerate(records, 1):
            _write(unfinished, f"{count - 1:05}-{record.task.replace('/', '_')[:100]}", record, form)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return count


def _write(folder: Path, name: str, record: Record, form: str) -> None:
    if form == "atif":
        (folder / name / "agent").mkdir(parents=True)
        (folder / name / "agent" / TRAJECTORY).write_text(json.dumps(atif.document(record), indent=2) + "\n")
    elif record.recording:
        shutil.copyfile(record.recording, folder / f"{name}.cast")
    else:
        (folder / f"{name}.cast").write_text(recording.text(record), encoding="utf-8")
