"""How varied the families are: over 1,000 seeds, what is distinct, and what is nearly the same as an earlier one.

A family's solutions are its oracle's keystrokes. Vocabulary is the number of different words of the instructions and
files. A near-duplicate has a Jaccard similarity of 0.8 or more with an earlier task, by words (`termgym.duplicates`):
of the instruction alone, and of all that the agent reads.

    python benchmarks/diversity.py            # a minute or two on two cores; writes results/diversity.json
"""

import json
import multiprocessing
import sys
import time
from pathlib import Path

from termgym.duplicates import share, text_of, words
from termgym.family import find_family
from termgym.proof import proven

SEEDS = 1000
OUT = Path(__file__).parent / "results" / "diversity.json"


def measure(name: str) -> dict[str, object]:
    """One family's figures."""
    family = find_family(name)
    begin = time.process_time()
    tasks = [family.task(seed, 1 + seed % family.levels) for seed in range(SEEDS)]
    seconds = time.process_time() - begin
    texts = [text_of(task) for task in tasks]
    return {
        "family": name,
        "instructions": len({task.instruction for task in tasks}),
        "solutions": len({"".join(command.keystrokes for command in task.oracle) for task in tasks}),
        "vocabulary": len({word for text in texts for word in words(text)}),
        "near_instructions": share(task.instruction for task in tasks),
        "near_tasks": share(texts),
        "generate_ms": 1000 * seconds / SEEDS,
    }


def main() -> None:
    """Measure all families."""
    names = sorted(proven())
    with multiprocessing.get_context("spawn").Pool() as pool:
        rows = []
        for row in pool.imap(measure, names):
            rows.append(row)
            print(f"{row['family']:28} {row}", file=sys.stderr)
    OUT.write_text(json.dumps({"seeds": SEEDS, "families": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
