"""A profile of the event loop's thread, as a few groups that say what the time was spent for."""

import cProfile
import pstats
from collections import defaultdict
from pathlib import Path
from typing import Any

import termgym

Function = tuple[str, int, str]
GROUPS = {
    "settle.look": ("termgym/settle.py",),
    "barrier": (),
    "emulator": ("termgym/screen.py", "pyghostty"),
    "output rendering": ("termgym/output.py", "termgym/interface.py", "termgym/grid.py"),
    "protocol": ("termgym/protocol.py", "termgym/keys.py", "/json/"),
    "terminal": ("termgym/terminal.py",),
    "waiting in epoll": (),
    "asyncio": ("/asyncio/", "/selectors.py", "termgym/aio.py"),
    "rest": (),
}
"""Groups, and the files whose functions are theirs. What they call of no group counts as theirs too."""
PACKAGE = str(Path(termgym.__file__).parent)
"""What else is in here is the rest."""
BARRIER = ("_pass_barrier", "_silent", "_without_barrier")
WAITS = ("'poll' of 'select.epoll'", "select.select")
DEEPEST = 8


def by_group(profiler: cProfile.Profile) -> dict[str, float]:
    """The seconds of each group."""
    stats: dict[Function, Any] = pstats.Stats(profiler).stats  # pyright: ignore[reportAttributeAccessIssue]
    seconds: defaultdict[str, float] = defaultdict(float)
    for function, (_, _, own_s, _, _) in stats.items():
        _share(stats, function, own_s, seconds, DEEPEST)
    return {group: seconds[group] for group in GROUPS}


def _share(
    stats: dict[Function, Any], function: Function, own_s: float, seconds: defaultdict[str, float], deep: int
) -> None:
    """Count a function's own time as its group's, or else as its callers', by what each call took."""
    group, callers = _group(function), stats[function][4]
    whole = sum(caller[3] for caller in callers.values())
    if group or not whole or not deep:
        seconds[group or "rest"] += own_s
        return
    for caller, (_, _, _, taken_s) in callers.items():
        _share(stats, caller, own_s * taken_s / whole, seconds, deep - 1)


def _group(function: Function) -> str:
    path, _, name = function
    if any(word in name for word in WAITS):
        return "waiting in epoll"
    if path.endswith("termgym/terminal.py") and name in BARRIER:
        return "barrier"
    found = next((group for group, parts in GROUPS.items() if any(part in path for part in parts)), "")
    return found or ("rest" if path.startswith(PACKAGE) else "")
