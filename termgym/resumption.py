"""What a run that can be gone on with was begun with: going on with anything else would mix two runs."""

import json
from collections.abc import Mapping
from pathlib import Path

from termgym.errors import TaskError


def go_on(path: Path, settings: Mapping[str, object]) -> None:
    """Write the settings of a run that begins, or compare them with those that it began with.

    Raises:
        TaskError: They are others; the message names one that is.
    """
    if not path.exists():
        path.write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TaskError(f"{path}: cannot be read: {error}; remove it, or name another folder") from error
    now = json.loads(json.dumps(settings))
    for name in sorted(now.keys() | there.keys()):
        if now.get(name) != there.get(name):
            raise TaskError(
                f"{path}: {name} is {there.get(name)!r:.80}, and now {now.get(name)!r:.80}; go on with the same, or "
                "name another folder"
            )
