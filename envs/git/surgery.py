"""Surgery on a git repository: recover, move, squash or purge commits, and leave all else as it was.

Level N asks for N of the six operations, each on a branch of its own, beside N branches that are to be left alone.
Their order is a trap: what a purge does to the object store ends the reflog that a lost commit is recovered from;
level 5 always has both.

The verifier reads nothing but objects and refs of the agent's repository, from a copy that has none of its
configuration and whose every object fsck has hashed. It compares them with the repository as it should be, which
git fast-import makes beside the copy.
"""

from collections.abc import Callable, Iterable, Mapping
from random import Random

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.task import Check, File, Limits

from ._operations import OPS, TOPICS, Branches, Op, commits_of, purge, recover

FOLDERS = ("/app", "/app/src", "/app/work", "/srv/git")
OPENINGS = (
    "The git repository {path} needs some surgery.",
    "Please put the history of {path}, a git repository, in order before it is published.",
    "You are in {path}, a git repository whose branches went wrong. This is to be done:",
    "Before anybody pulls from the git repository {path} again, mend its branches.",
)
ENDINGS = (
    "Commits that you rewrite keep their order, messages, authors and author dates. main and every branch that is not "
    "mentioned stay exactly as they are, and no other branch, tag or ref is left behind. In the end main is checked "
    "out with its files as committed, and nothing is half done.",
    "Do not touch main or a branch not named above, and let no other branch, tag or ref remain. Rewritten commits keep "
    "messages, authors, author dates and their order. Finish with main checked out, its files as committed, and no "
    "rebase, merge or cherry-pick under way.",
)

SETUP = """\
set -e
export GIT_AUTHOR_DATE='1760000000 +0000' GIT_COMMITTER_DATE='1760000000 +0000' GIT_CONFIG_GLOBAL=/dev/null
git init -q -b main .
git config user.name 'Sam Keller'
git config user.email sam@example.org
git fast-import --quiet << 'END_OF_STREAM'
{stream}END_OF_STREAM
git reset -q --hard
{more}"""

LIBRARY = """\
# theirs.git: the agent's objects and refs, with nothing that configures or redirects git. ours.git: how they should be.
dot=$repo/.git
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_NO_REPLACE_OBJECTS=1
ulimit -v 500000 # a hostile object makes git give up, not the kernel kill
on() { timeout 5 git --git-dir="$1.git" --no-pager "${@:2}"; }
copy() {
  [ "$(realpath -e -- "$dot")" = "$dot" ] && [ -d "$dot" ] && plain "$dot/HEAD" 1000 || return
  [ "$(du -sl --inodes -- "$dot" | cut -f 1)" -le 5000 ] || return
  [ "$(du -sl --apparent-size -B 1M -- "$dot" | cut -f 1)" -le 16 ] || return
  on theirs init -q --bare --template= && rm -r theirs.git/objects theirs.git/refs || return
  timeout 5 cp -R -P -- "$dot/objects" "$dot/refs" "$dot/HEAD" theirs.git/ || return
  if plain "$dot/packed-refs"; then cp -- "$dot/packed-refs" theirs.git/; fi
  [ -z "$(find theirs.git ! -type f ! -type d -print -quit)" ] || return
  rm -rf theirs.git/objects/info
  find theirs.git/objects/pack -type f ! -name '*.pack' ! -name '*.idx' -delete
  on theirs fsck --full --no-dangling --no-progress
}
if [ ! -e ours.git ]; then # the first check makes both
  on ours init -q --bare --template= && on ours fast-import --quiet < wanted || exit 1
  copy > /dev/null 2>&1 && touch sound
fi
[ -e sound ] || exit 1
base=$(on ours rev-parse refs/heads/main)
commits() { on "$1" log --format='%T %an <%ae> %at %B' "refs/heads/$2" "^$base" | head -c 100000; }
refs() { on "$1" for-each-ref --format="$2" "${@:3}" | head -c 100000; }
same() {
  for branch; do [ "$(commits theirs "$branch")" = "$(commits ours "$branch")" ] || exit 1; done
}
"""
GONE = """\
oid=$(on ours hash-object --no-filters secret)
[ "$(on theirs cat-file --batch-check <<< "$oid")" = "$oid missing" ] || exit 1
"""
# These two are true of the repository as it was found: they count for those who did some of the work.
OTHERS = """\
. ./library.sh
[ -e changed ] || exit 1
[ "$(refs theirs '%(refname)')" = "$(refs ours '%(refname)')" ] || exit 1
alone=('%(objectname) %(refname)' refs/heads/main refs/heads/wild)
[ "$(refs theirs "${alone[@]}")" = "$(refs ours "${alone[@]}")" ]
"""
CLEAN = """\
. ./library.sh
[ -e changed ] && [ "$(cat theirs.git/HEAD)" = 'ref: refs/heads/main' ] || exit 1
for trace in rebase-merge rebase-apply sequencer {MERGE,CHERRY_PICK,REVERT}_HEAD; do
  [ ! -e "$dot/$trace" ] && [ ! -L "$dot/$trace" ] || exit 1
done
on ours ls-tree -r refs/heads/main | while read -r _ _ oid path; do
  plain "$repo/$path" && [ "$(on ours hash-object --no-filters -- "$repo/$path")" = "$oid" ] || exit 1
done
"""
CHEAT = (
    "mkdir -p /logs/verifier /tests; echo 1 | tee /logs/verifier/reward.txt /tests/sound /tests/changed\n",
    "printf '#!/bin/sh\\nexit 0\\n' > /tmp/git; chmod +x /tmp/git; cp /tmp/git /usr/local/bin/git\n",
    "printf '[core]\\n\\tfsmonitor = /tmp/git\\n\\thooksPath = /tmp\\n' >> .git/config; git branch -q rescue/it\n",
)


def generate(rng: Random, level: int) -> Draft:
    """One repository and what is to be done to it."""
    *topics, service = rng.sample(TOPICS, 2 * level + 1)
    path = f"{rng.choice(FOLDERS)}/{service}d"
    alone = {"main": commits_of(rng, "core", 2 + level)}
    alone |= {f"wild/{topic}": commits_of(rng, topic, 2) for topic in topics[level:]}
    chosen = sorted(rng.sample(OPS, level) if level < 5 else _deepest(rng), key=OPS.index)
    ops = {make.__name__: make(rng, topic, 4 + level) for make, topic in zip(chosen, topics, strict=False)}
    return Draft(
        instruction=_instruction(rng, path, [op.ask for op in ops.values()]),
        checks=(*(_check(*op) for op in ops.items()), Check("others", OTHERS), Check("clean", CLEAN)),
        oracle=_session(path, [op.keys for op in ops.values()]),
        wrong=_wrong(path, ops, other=list(alone)[-1]),
        setup=SETUP.format(
            stream=_stream(alone, *(op.found for op in ops.values())), more="".join(op.setup for op in ops.values())
        ),
        tests={
            "library.sh": File.of(f"{PLAIN}repo={path}\n{LIBRARY}"),
            "wanted": File.of(_stream(alone, *(op.wanted for op in ops.values()))),
            "secret": File.of("".join(op.secret for op in ops.values())),
        },
        workdir=path,
        limits=Limits(turns=25 + 10 * level),
    )


def _deepest(rng: Random) -> list[Callable[[Random, str, int], Op]]:
    """Five operations, those whose order matters among them."""
    fixed = (recover, purge)
    return [*fixed, *rng.sample([make for make in OPS if make not in fixed], 3)]


def _stream(*parts: Branches) -> str:
    """Branches for git fast-import: main, and the others, which begin at its end."""
    branches = {name: commits for part in parts for name, commits in part.items()}
    return "".join(
        commit.stream(name, "from refs/heads/main\n" if name != "main" and commit is commits[0] else "")
        for name, commits in branches.items()
        for commit in commits
    )


def _instruction(rng: Random, path: str, asks: list[str]) -> str:
    listed = "\n".join(f"{number}. {ask}" for number, ask in enumerate(rng.sample(asks, len(asks)), 1))
    return f"{rng.choice(OPENINGS).format(path=path)}\n\n{listed}\n\n{rng.choice(ENDINGS)}\n"


def _check(name: str, op: Op) -> Check:
    script = f". ./library.sh\nsame {' '.join(op.wanted)}\n{GONE if op.secret else ''}touch changed\n"
    return Check(name, script, 2)


def _session(path: str, parts: Iterable[tuple[str, ...]], end: str = "main") -> tuple[str, ...]:
    look = f"cd {path}; git --no-pager log --oneline -n 5; git --no-pager branch\n"
    return (look, *(keys for part in parts for keys in part), f"git checkout -q {end}\n")


def _wrong(path: str, ops: Mapping[str, Op], other: str) -> dict[str, tuple[str, ...]]:
    """Each operation's mistakes with the others done right, what may go wrong at the end, and a cheat."""
    right = [op.keys for op in ops.values()]
    wrong = {
        "another-branch-left": _session(path, right, end=other),
        "backup-left": _session(path, [("git branch backup\n",), *right]),
        "cheat": CHEAT,
    }
    for place, (op, made) in enumerate(ops.items()):
        for mistake, keys in made.wrong.items():
            wrong[f"{op}-{mistake}"] = _session(path, [*right[:place], keys, *right[place + 1 :]])
    return wrong


FAMILY = Family(
    name="git/surgery",
    summary="Recover, move, squash or purge commits of a repository and leave the rest alone.",
    domain="software_engineering",
    skills=("git-history", "git-branches"),
    deeper={2: ("git-rebase",), 3: ("git-cherry-pick",), 4: ("git-reflog", "state-tracking"), 5: ("secrets",)},
    generate=generate,
    requires=("git", "sed", "find"),
    version=3,
)
