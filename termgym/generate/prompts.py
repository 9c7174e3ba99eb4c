"""The words that a model is asked with. VERSION is part of each task's provenance, and rises when they change."""

import os
from collections.abc import Mapping

from termgym.generate.brief import Brief
from termgym.generate.draft import Draft
from termgym.source import HOST_PATH

VERSION = 1
PROGRAMS = """
    awk base64 bash bc bzip2 cmp curl diff ed file find gawk gcc git grep gzip jq less make nano openssl perl python3
    sed sqlite3 tar tmux unzip vi xxd xz zip
""".split()
"""Which of them are there is told of the host's userland."""
FOCUS = {
    "data_processing": "records in awkward formats; cleaning, merging and normalising them into an exact form",
    "data_querying": "questions over databases, JSON, graphs or tables, with joins, groups and ranks that mislead",
    "data_science": "estimates, tests and models of small data sets, with a protocol that makes the numbers unique",
    "debugging": "a program, history or pipeline that does wrong for a reason that takes several looks to find",
    "dependency_management": "versions, constraints, lock files, registries and archives that have to fit together",
    "file_operations": "trees, names, links, archives and attributes, where what stays matters as much as what changes",
    "games": "a game or puzzle to be played, solved or judged by rules that are written out",
    "interactive": "programs that are driven by keys: editors, pagers, prompts, menus",
    "mathematics": "a problem with an exact answer, or with an object whose properties can be checked",
    "model_training": "something really trained with the standard library, judged on data that is kept back",
    "scientific_computing": "simulation, integration, fitting or signals, with stated methods and tolerances",
    "security": "audits, evidence, keys, checksums and permissions: find what is wrong and put it right",
    "software_engineering": "a program to be written, extended, refactored or released to a precise specification",
    "system_administration": "configuration, schedules, users, logs and services of a machine, changed by a policy",
}
"""Domain -> what its tasks are about."""
TURNS = {1: "3 to 5", 2: "5 to 8", 3: "8 to 12", 4: "12 to 20", 5: "20 to 30"}
"""Level -> commands that a skilled person needs."""

SYSTEM = """\
You write tasks for an agent that works in a Linux terminal. Each task comes with the files that it starts from, with
checks that judge the files that are left, and with a solution that proves that it can be done. Your tasks are read by
machines: keep to the form exactly, and write nothing outside the tags but your thoughts before the first of them.
"""
ENVIRONMENT = """\
The machine: a minimal Debian, root, no network at all, the working directory /app. {programs}
Nothing can be installed.
"""
PARTS = {
    "task": """\
<instruction>what the agent is told: what is there, what is wanted, with every path, format, order, rounding and rule
that a check looks at; nothing about how to do it, nor about the checks</instruction>
<file path="/app/..." mode="644">a file that is there from the start; any number of these, inputs above all</file>
<setup>a bash script run as root in /app before the agent comes, if files alone do not do (databases, archives,
repositories); leave it out otherwise</setup>
""",
    "tests": """\
<check name="lower-case-name" weight="2">a bash script (or one with its own #! line, such as #!/usr/bin/python3 -I) that
exits with 0 if this part of the work is right and with 1 if it is not. Three to eight of them, the weights by
importance</check>
<solution>a bash script, run in /app, that does the work as a skilled person would, from the given files: no answers
written out</solution>
<wrong name="lower-case-name">a bash script with a mistake that an agent would plausibly make: it must fail at least one
check. Two or three of these</wrong>
""",
}
RULES = """\
Rules:
- The checks run when all processes of the agent have ended, in a fresh place over its files, in the folder /tests. They
  must not run, source or import anything that the agent may have written; a script that has to be tried is named by an
  attribute run="bash /app/it.sh < /dev/null", which runs first and elsewhere, and whose output the check finds in
  /tests/runs/NAME/stdout and its exit status in /tests/runs/NAME/status.
- What a check expects is in its script, computed by you with care or recomputed from trusted constants; never in a file
  that the agent can see or change.
- A missing file, a folder in its place or rubbish in it fails a check; it must not break it.
- Doing nothing must fail. Two runs of the checks must say the same. No clock, no randomness, no network.
- Whoever follows the instruction to the letter must pass, whatever tools were used.
"""
SKILLS = """\
Write one task of the domain {domain}: {focus}.
It combines these skills in a way that is not an exercise in each: {skills}.
Set it among the {setting}. A skilled person needs {turns} commands for it. It is hard to do and easy to judge.

{environment}
Answer with these parts:

{parts}
{rules}"""
SEEDS = """\
Make a terminal task of this problem. Keep what is hard about it; say in which files its inputs are, with inputs that
cover the edge cases, and where and in which form the results go, numbers with their precision. Write no solution and no
hint of one.

The problem:

{problem}

{environment}
Answer with these parts:

{parts}"""
TESTS = """\
Write the checks of this terminal task, and a solution.

The instruction:

{instruction}
{files}
{reference}
{environment}
Answer with these parts:

{parts}
{rules}"""
REPAIR = """\
The task was rejected: {reason}

Find out why, and write all of the parts that you were asked for again, in full.
"""


def environment(context: str = "") -> str:
    """What there is to work with: `context`, or what the host's userland has."""
    has = [name for name in PROGRAMS if any(os.access(f"{folder}/{name}", os.X_OK) for folder in HOST_PATH)]
    return ENVIRONMENT.format(programs=context or f"Beside bash and coreutils it has {', '.join(has)}.")


def for_skills(brief: Brief, context: str) -> str:
    """Asks for all of a task."""
    return SKILLS.format(
        domain=brief.domain.replace("_", " "),
        focus=FOCUS[brief.domain],
        skills=", ".join(brief.skills),
        setting=brief.setting,
        turns=TURNS[brief.level],
        environment=context,
        parts=PARTS["task"] + PARTS["tests"],
        rules=RULES,
    )


def for_seed(brief: Brief, context: str) -> str:
    """Asks for a task of a problem, without its solution."""
    return SEEDS.format(problem=brief.problem.strip(), environment=context, parts=PARTS["task"])


def for_tests(brief: Brief, draft: Draft, context: str) -> str:
    """Asks for the tests of a task, with the reference solution if there is one."""
    reference = f"\nA reference solution, which the agent never sees:\n\n{brief.reference.strip()}\n"
    return TESTS.format(
        instruction=draft.instruction,
        files=_files(draft),
        reference=reference if brief.reference else "",
        environment=context,
        parts=PARTS["tests"],
        rules=RULES,
    )


def _files(draft: Draft) -> str:
    shown = [f'<file path="{path}">\n{file.content.decode()}</file>' for path, file in draft.files.items()]
    shown += [f"<setup>\n{draft.setup}</setup>"] if draft.setup else []
    return "\n".join(["\nIts files:\n", *shown]) if shown else ""


def message(role: str, content: str) -> Mapping[str, str]:
    """One of a conversation."""
    return {"role": role, "content": content}
