"""How varied the families are: over 1,000 seeds, what is distinct, and what is nearly the same as an earlier one.

A family's solutions are its oracle's keystrokes. Words are the different ones of all instructions and files. Two texts
are nearly the same if their sets of 5 words in a row have a Jaccard similarity of 0.8 or more (`termgym.duplicates`):
asked of the instructions alone, which share a family's phrasings, and of all that the agent reads.
"""

import multiprocessing
import sys
import time
from typing import Any

import report

from termgym.duplicates import share, text_of, words
from termgym.family import find_family
from termgym.proof import proven

SEEDS, QUICK = 1000, 100
COLUMNS = ["instructions", "solutions", "words", "near instructions %", "near tasks %", "ms to generate"]
NOTES = [
    "Of so many seeds, levels in turn: different instructions, solutions and words; the share whose instruction, or"
    " whose instruction and files, is nearly that of an earlier one; and the mean processor time to make a task.",
]


def measure(job: tuple[str, int]) -> dict[str, Any]:
    """One family's row."""
    name, seeds = job
    family = find_family(name)
    begin = time.process_time()
    tasks = [family.task(seed, 1 + seed % family.levels) for seed in range(seeds)]
    seconds = time.process_time() - begin
    texts = [text_of(task) for task in tasks]
    return {
        "what": name,
        "instructions": len({task.instruction for task in tasks}),
        "solutions": len({"".join(command.keystrokes for command in task.oracle) for task in tasks}),
        "words": len({word for text in texts for word in words(text)}),
        "near instructions %": 100 * share(task.instruction for task in tasks),
        "near tasks %": 100 * share(texts),
        "ms to generate": 1000 * seconds / seeds,
    }


def main() -> int:
    """Measure all families."""
    args = report.parser("diversity", __doc__).parse_args()
    seeds, machine = QUICK if args.quick else SEEDS, report.machine()
    with multiprocessing.get_context("spawn").Pool() as pool:
        rows = pool.map(measure, [(name, seeds) for name in sorted(proven())], chunksize=1)
    result = {"title": "How varied the families are", "unit": f"{seeds} seeds each", "machine": machine}
    result |= {"command": report.command("diversity", args), "notes": NOTES, "columns": COLUMNS, "rows": rows}
    report.save(args.json, result)
    for row in rows:
        print(" ".join([f"{row['what']:28}", *(f"{row[name]:>10.5g}" for name in COLUMNS)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
