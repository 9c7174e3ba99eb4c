"""How long it takes to write tasks by the thousand, and whether the same command writes the same bytes.

10,000 tasks of the training split are written twice in each format, by as many processes as there are processors, and
all files of the two are compared.
"""

import hashlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import report

from termgym.export import FORMATS, Writer, export, selection

TASKS, QUICK = 10_000, 500
COLUMNS = ["tasks", "seconds", "tasks a minute", "again, seconds", "MB", "files that differ"]


def write(out: Path, form: str, n: int) -> float:
    """Seconds that it takes."""
    begin = time.perf_counter()
    written = sum(part.count for part in export(selection(None, "train", n), Writer(out, form)))
    assert written == n, written
    return time.perf_counter() - begin


def digests(folder: Path) -> dict[str, str]:
    """File -> hash."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def measure(form: str, n: int) -> dict[str, Any]:
    """One format's row."""
    with tempfile.TemporaryDirectory() as scratch:
        first, second = Path(scratch, "a"), Path(scratch, "b")
        seconds, again = write(first, form, n), write(second, form, n)
        one, other = digests(first), digests(second)
        size = sum(path.stat().st_size for path in first.rglob("*") if path.is_file())
    return {
        "what": form,
        "tasks": n,
        "seconds": seconds,
        "tasks a minute": round(60 * n / seconds),
        "again, seconds": again,
        "MB": size / 1e6,
        "files that differ": len(one.items() ^ other.items()),
    }


def main() -> int:
    """Measure all formats."""
    args = report.parser("export", __doc__).parse_args()
    n, machine = QUICK if args.quick else TASKS, report.machine()
    rows = [measure(form, n) for form in FORMATS]
    result = {"title": "Exports", "unit": "format", "machine": machine, "command": report.command("export", args)}
    report.save(args.json, {**result, "columns": COLUMNS, "rows": rows})
    for row in rows:
        print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
