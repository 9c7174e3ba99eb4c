"""Somewhere in the history of a repository a table stopped to pass its test: find the commit, and repair what it broke.

The table, what the test demands of it, the form of the report and where the repair goes change with the seed. Level 2
asks for a repair on top; level 3 brings commits that cannot be tested, an older break that was mended before a tag, and
a culprit of whose changes only one is wrong; level 4 side branches and a row that was edited since; level 5 a second
culprit, which the first one masks.

The generator computes all object names itself. The verifier reads nothing but names out of a copy of the repository's
objects and refs.
"""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import SERVICES, TOPICS, people, root
from termgym.task import Check, File, Limits

from ._history import tree_name
from ._story import Step, Story, tell


class Kind(NamedTuple):
    """What the second column of the table holds, and what has to be true of it."""

    words: str
    test: str
    """The awk program that ends with status 1 if it is not true."""


KINDS = {
    "codes": Kind("no two rows have the same {column}", "seen[$2]++ { bad = 1 } END { exit bad }"),
    "parents": Kind(
        "each {column} is the name of a row", "{ row[$1]; up[$2] } END { for (u in up) if (!(u in row)) exit 1 }"
    ),
    "sums": Kind("the numbers in {column} add up to zero", "{ sum += $2 } END { exit sum != 0 }"),
}
COLUMNS = {"codes": ("code", "badge", "slot"), "parents": ("parent", "superior", "owner"), "sums": ("units", "delta")}
TEST = """\
#!/bin/bash
# Run in the repository: status 0 if {words}, 125 if {table} cannot be read.
! grep -q '^<<<' {table} || exit 125
awk -F '{sep}' '{awk}' {table}
"""
SETUP = """\
set -e
git init -q -b main {repo}
cd {repo}
git config user.name Tester
git config user.email tester@example.org
git fast-import --quiet < /var/tmp/history
git reset -q --hard
rm /var/tmp/history
"""

OPENINGS = (
    "In the git repository {repo}, the test {test} (run it there: `bash {test}`) passes at {good} and fails on main.",
    "{table} in the git repository {repo} was fine at {good}. Now `bash {test}`, run in the repository, fails on main.",
    "Our nightly run of `bash {test}` in {repo} (a git repository, branch main) is red. It was green at {good}.",
    "Regression: at {good} of the git repository {repo} the test {test}, run from within it, succeeded; at the tip of "
    "main it does not.",
)
FIND = (
    "Find the commit that broke it: the test fails at it, passes at each of its parents, and it is later than {since}."
)
FIND_TWO = (
    "Two commits later than {since} broke it, each by a wrong {column} in one row of {table}; the second did so when "
    "the test was failing already. Find both: the one at which the test fails though it passes at each of its parents, "
    "and the one of which that would be true if the first had left its row's {column} alone."
)
SKIP = "A commit at which the test ends with status 125 cannot be judged, and is none that is looked for."
REPORT = "Write {report}, {count} in this order{each}:\n{lines}"
KEYS = {
    "commit": "the commit's full name, 40 hex digits",
    "author": "the name of its author, without address",
    "row": "the first field of the row of {table} whose {column} it spoilt",
    "was": "the {column} that this row had just before",
}
ON_MAIN = 'Then repair it by one commit on top of main, with the message "{message}".'
ON_BRANCH = (
    'Then repair it by one commit with the message "{message}" on a new branch {branch} that starts at main; main '
    "itself stays where it is."
)
REPAIR = (
    "The repair gives {whose} the {column} back that the culprit took away, and changes nothing else: whatever else "
    "that commit or later ones did to the files stays."
)
KEEP = "Leave {test} and all other branches and tags as they are."

READ = """\
plain {report} 10000 || exit 1
[ "$(grep '^{key}{colon}' {report} | sed 's/ *$//')" = "$(grep '^{key}{colon}' expected/report)" ]
"""
GIT = """\
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_NO_REPLACE_OBJECTS=1
ulimit -v 500000 # a hostile object makes git give up, not the kernel kill
dot={repo}/.git
copy() {{ # theirs.git: the agent's objects and refs, with nothing that configures or redirects git
  [ "$(realpath -e -- "$dot")" = "$dot" ] && [ -d "$dot" ] || return
  [ "$(du -sl --inodes -- "$dot" | cut -f 1)" -le 5000 ] || return
  [ "$(du -sl --apparent-size -B 1M -- "$dot" | cut -f 1)" -le 16 ] || return
  git init -q --bare --template= theirs.git && rm -r theirs.git/objects theirs.git/refs || return
  timeout 5 cp -R -P -- "$dot/objects" "$dot/refs" theirs.git/ || return
  if plain "$dot/packed-refs"; then cp -- "$dot/packed-refs" theirs.git/; fi
  [ -z "$(find theirs.git ! -type f ! -type d -print -quit)" ] && rm -rf theirs.git/objects/info
}}
[ -e theirs.git ] || copy >/dev/null 2>&1 || {{ rm -rf theirs.git; exit 1; }}
message() {{ timeout 5 git --git-dir=theirs.git log -1 --format=%B "refs/heads/$1" 2>/dev/null | head -c 1000; }}
name() {{ timeout 5 git --git-dir=theirs.git rev-parse -q --verify "refs/heads/$1" 2>/dev/null; }}
"""


def generate(rng: Random, level: int) -> Draft:
    """One repository, and what is the matter with it."""
    kind, repo = rng.choice([*KINDS]), f"{root(rng, rng.choice(SERVICES))}/{rng.choice(('repo', 'data', 'tables'))}"
    table = f"{rng.choice(TOPICS)}.{rng.choice(('tbl', 'txt', 'lst'))}"
    story = Story(rng, level, kind, rng.choice(";|:,"), table, people(rng, 5))
    tip = tell(story)
    facts = _facts(story, repo, rng.choice(COLUMNS[kind]))
    words, awk = KINDS[kind].words.format(**facts), KINDS[kind].test
    return Draft(
        instruction=_instruction(story, facts),
        checks=tuple(_checks(story, facts, tip)),
        oracle=_oracle(story, facts),
        wrong=_wrong(story, facts),
        files={
            facts["test"]: File.of(TEST.format(words=words, awk=awk, table=table, sep=story.sep)),
            "/var/tmp/history": File.of(story.history.stream("main", {_tag(story): story.good[0]})),
        },
        setup=SETUP.format(repo=repo),
        tests={"expected/report": File.of(_report(story, facts))},
        limits=Limits(turns=35 + 7 * level),
    )


def _facts(story: Story, repo: str, column: str) -> dict[str, str]:
    """What the texts of the task have in common."""
    rng = story.rng
    keys = rng.sample(["commit", "author", "row"], 3) + ["was"] * (story.level > 1)
    good, branch = story.good[0], f"{rng.choice(('repair', 'fix', 'mend'))}/{rng.choice(TOPICS)}"
    return {
        "repo": repo,
        "table": story.table,
        "column": column,
        "sep": story.sep,
        "test": f"/app/{rng.choice(('bin', 'ci', 'tools'))}/{rng.choice(('check', 'test', 'verify'))}-table.sh",
        "good": f"the tag {_tag(story)}" if story.level > 1 else f"its first commit, {good.name[:10]},",
        "since": _tag(story) if story.level > 1 else good.name[:10],
        "report": f"/app/{rng.choice(('report', 'finding', 'answer', 'culprit'))}.txt",
        "colon": rng.choice((":", "=", ": ", " = ")),
        "keys": " ".join(keys),
        "branch": "" if story.level < 2 else rng.choice(("main", branch)),
        "message": f"{rng.choice(('Mend', 'Repair', 'Correct'))} {story.table}",
        "whose": "the spoilt row" if story.level < 5 else "either spoilt row",
    }


def _tag(story: Story) -> str:
    return f"v1.{story.good[0].number}"


def _report(story: Story, facts: dict[str, str]) -> str:
    lines: list[str] = []
    for one in story.culprits:
        values = {"commit": one.commit.name, "author": one.commit.who, "row": one.row, "was": one.was}
        lines += [f"{key}{facts['colon']}{values[key]}\n" for key in facts["keys"].split()]
    return "".join(lines)


def _instruction(story: Story, facts: dict[str, str]) -> str:
    level, keys = story.level, facts["keys"].split()
    lines = "\n".join(f"{key}{facts['colon']}<{KEYS[key]}>" for key in keys)
    report = REPORT.format(
        report=facts["report"], count=f"{len(keys)} lines", lines=lines,
        each=" for each of the two, the earlier one first" if level > 4 else "",
    )  # fmt: skip
    parts = [
        story.rng.choice(OPENINGS),
        (FIND_TWO if level > 4 else FIND) + (f" {SKIP}" if level > 2 else ""),
        report,
        *([(ON_MAIN if facts["branch"] == "main" else ON_BRANCH) + " " + REPAIR] if level > 1 else []),
        KEEP,
    ]
    return "\n\n".join(parts).format(**facts) + "\n"


def _checks(story: Story, facts: dict[str, str], tip: Step) -> Iterator[Check]:
    for key in facts["keys"].split():
        yield Check(key, PLAIN + READ.format(key=key, **facts), 2 if key == "commit" else 1)
    if story.level > 1:
        mended = {**tip.rows, **{one.row: (one.was, tip.rows[one.row][1]) for one in story.culprits}}
        tree = tree_name({**tip.commit.files, story.table: story.text(mended)})
        git, branch = PLAIN + GIT.format(**facts), facts["branch"]
        yield Check("repaired", f'{git}[ "$(name {branch}^{{tree}})" = {tree} ]\n', 2)
        others = "" if branch == "main" else f' && [ "$(name main)" = {tip.commit.name} ]'
        one = f'[ "$(name {branch}^{{tree}})" != {tree_name(tip.commit.files)} ]'
        message = f'[ "$(message {branch})" = "{facts["message"]}" ]'
        yield Check("on-top", f'{git}{one} && [ "$(name {branch}^)" = {tip.commit.name} ] && {message}{others}\n')


def _oracle(story: Story, facts: dict[str, str]) -> tuple[str, ...]:
    """A bisection for each culprit, the second with the first one's row mended; what to mend is read off the screen."""
    table, test, branch, sep = story.table, facts["test"], facts["branch"], story.sep
    keys = [f"cd {facts['repo']} && git status | head -n 5; git --no-pager log --oneline | head -n 5\n"]
    keys += [f"cat {test}; head -n 6 {table}; bash {test}; echo $?\n"]
    mend, since, mends = ":", facts["since"], list[str]()
    for number, one in enumerate(story.culprits):
        run = f"{mend}; bash {test}; s=$?; git checkout -q {table}; exit $s"
        keys += [
            f"git bisect start main {since}\n",
            f"git bisect run bash -c '{run}' > /tmp/log; grep -a 'first bad' /tmp/log\n",
            f"bad{number}=$(git rev-parse refs/bisect/bad); git bisect reset\n",
            f"git --no-pager show --format='%H %an%n%s' $bad{number} -- {table}\n",
        ]
        mend, since = f'sed -i "s/^{one.row}{sep}{one.now}{sep}/{one.row}{sep}{one.was}{sep}/" {table}', "$bad0"
        mends.append(f"{mend}\n")
    if story.level > 1:
        start = f"-b {branch}" if branch != "main" else branch
        keys += [f"git checkout -q {start}\n", *mends, "git --no-pager diff\n"]
        keys += [f"git commit -qam '{facts['message']}'; bash {test}; echo $?\n"]
    return (*keys, *_writing(story, facts), f"cat {facts['report']}\n")


def _writing(story: Story, facts: dict[str, str]) -> Iterator[str]:
    for number, one in enumerate(story.culprits):
        values = {"commit": f"$bad{number}", "author": f"$(git log -1 --format=%an $bad{number})"}
        values |= {"row": one.row, "was": one.was}
        lines = " ".join(f'"{key}{facts["colon"]}{values[key]}"' for key in facts["keys"].split())
        yield f"printf '%s\\n' {lines} >{'>' if number else ''} {facts['report']}\n"


def _wrong(story: Story, facts: dict[str, str]) -> dict[str, tuple[str, ...]]:
    oracle, report, table = _oracle(story, facts), facts["report"], story.table
    author = story.culprits[0].commit.who
    other = next(name for name in story.authors if name != author)
    wrong = {
        "the-last-good-one": tuple(
            keys.replace('$bad0"', '$bad0~1"').replace("$bad0 -- ", "$bad0~1 -- ") for keys in oracle
        ),
        "somebody-else": tuple(keys.replace("$(git log -1 --format=%an $bad0)", other) for keys in oracle),
        "the-tip": tuple(keys.replace("$(git rev-parse refs/bisect/bad)", "$(git rev-parse main)") for keys in oracle),
        "cheat": (f"cd {facts['repo']}; ln -s /tests/expected/report {report}; git commit -q --allow-empty -m x\n",),
    }
    if story.level > 1:
        wrong["repair-not-committed"] = tuple(keys.replace("git commit", "true git commit") for keys in oracle)
        wrong["went-back"] = tuple(
            keys.replace("git commit", f"git checkout $bad0~1 -- {table}; git commit") for keys in oracle
        )
    if story.level > 2:
        wrong["all-of-it-reverted"] = tuple(
            keys.replace("git commit", f"git checkout -q {table}; git revert --no-commit $bad0; git commit")
            for keys in oracle
        )
    return wrong


FAMILY = Family(
    name="debug/bisect-history",
    summary="Find the commit that broke a table, report it, and repair what it broke on top.",
    domain="debugging",
    skills=("bisection", "git-history"),
    deeper={2: ("sed", "git-branches"), 3: ("exit-codes",), 4: ("diff",), 5: ("root-cause-analysis",)},
    generate=generate,
    requires=("git", "awk", "grep", "sed", "find"),
)
