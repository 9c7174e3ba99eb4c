"""Surgery on a git repository: recover, move, squash or purge commits, and leave all else as it was.

Level N asks for N of the four operations, each on a branch of its own, beside N branches that are to be left alone.
Their order is a trap: what a purge does to the object store ends the reflog that a lost commit is recovered from.

The verifier reads nothing but objects and refs of the agent's repository, from a copy that has none of its
configuration and whose every object fsck has hashed. It compares them with the repository as it should be, which
git fast-import makes beside the copy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.task import Check, File

TOPICS = tuple("parser cache router loader mailer ledger widget planner indexer crawler balance invoice player".split())
PARTS = tuple("retries timeout colours headers locale paging limits tokens units quotas plugins aliases macros".split())
VERBS = ("Add", "Describe", "Extend", "Rework", "Test", "Measure")
PEOPLE = ("Ada Okafor", "Bo Lindqvist", "Cleo Marsh", "Dev Rao", "Edda Thorsen", "Finn Moreau")
FOLDERS = ("/app", "/app/src", "/app/work", "/srv/git")
SECRETS = ("deploy/id_rsa", "config/secrets.env", "assets/token.raw", "dump/customers.sql")

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


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit says, and the files that it adds."""

    author: str
    at: int
    message: str
    adds: Mapping[str, str]

    def stream(self, branch: str, begin: str) -> str:
        """This commit for git fast-import."""
        who = f"{self.author} <{self.author.split()[0].lower()}@example.org> {self.at} +0000"
        message = _data(self.message + "\n")
        head = f"commit refs/heads/{branch}\nauthor {who}\ncommitter {who}\n{message}{begin}"
        return head + "".join(f"M 100644 inline {path}\n{_data(text)}" for path, text in self.adds.items())


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"


Branches = Mapping[str, Sequence[Commit]]
"""Name -> commits since main, oldest first; those of main since the beginning."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: what is asked, what should come of it, how to do it and how not to."""

    ask: str
    found: Branches
    wanted: Branches
    keys: tuple[str, ...]
    wrong: Mapping[str, tuple[str, ...]]
    setup: str = ""
    """What happens to the branches that were found, in bash."""
    secret: str = ""
    """A file's text that has to leave the object store."""


def generate(rng: Random, level: int) -> Draft:
    """One repository and what is to be done to it."""
    *topics, service = rng.sample(TOPICS, 2 * level + 1)
    path = f"{rng.choice(FOLDERS)}/{service}d"
    alone = {"main": _commits(rng, "core", 2 + level)}
    alone |= {f"wild/{topic}": _commits(rng, topic, 2) for topic in topics[level:]}
    chosen = sorted(rng.sample(OPS, level), key=OPS.index)
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
    )


def _commits(rng: Random, topic: str, count: int) -> list[Commit]:
    """Commits of various people that each add a file."""
    start, commits = rng.randrange(1_700_000_000, 1_750_000_000), list[Commit]()
    for number, part in enumerate(rng.sample(PARTS, count)):
        text = "".join(f"{part} {rng.choice(TOPICS)} {rng.randrange(1000)}\n" for _ in range(3))
        at, message = start + number * 7200 + rng.randrange(7200), f"{rng.choice(VERBS)} {topic} {part}"
        commits.append(Commit(rng.choice(PEOPLE), at, message, {f"{topic}/{part}.txt": text}))
    return commits


def _stream(*parts: Branches) -> str:
    """Branches for git fast-import: main, and the others, which begin at its end."""
    branches = {name: commits for part in parts for name, commits in part.items()}
    return "".join(
        commit.stream(name, "from refs/heads/main\n" if name != "main" and commit is commits[0] else "")
        for name, commits in branches.items()
        for commit in commits
    )


def recover(rng: Random, topic: str, count: int) -> Op:
    """Find a commit that a reset lost."""
    branch, rescue = f"release/{topic}", f"rescue/{topic}"
    commits, lost = _commits(rng, topic, count), rng.randrange(2, 4)
    subject = commits[-1].message
    ask = (
        f'Somebody ran git reset --hard on the branch {branch}, and the commit "{subject}" was lost, and work before '
        f"it. Make a branch {rescue} that points at that commit; {branch} stays where it is now."
    )
    found = f"$(git log -g -1 --format=%H --grep='^{subject}$' {branch})"
    keys = (f"git --no-pager reflog {branch}\n", f"git branch {rescue} {found}\n")
    wrong = {
        "one-too-early": (f"git branch {rescue} {found}~1\n",),
        "latest-in-the-reflog": (f"git branch {rescue} {branch}@{{1}}\n",),
    }
    setup = (
        f"git checkout -q {branch} && git reset -q --hard HEAD~{lost}\n"
        "git commit -q --allow-empty -m 'Start over' && git reset -q --hard HEAD~1\ngit checkout -q main\n"
    )
    return Op(ask, {branch: commits}, {branch: commits[:-lost], rescue: commits}, keys, wrong, setup)


def move(rng: Random, topic: str, count: int) -> Op:
    """Give one author's commits a branch of their own."""
    old, new = f"develop/{topic}", f"topic/{topic}"
    hers, others = rng.sample(PEOPLE, 2)
    commits = [
        replace(commit, author=others if number == 1 else hers if number in (0, 2) else rng.choice((hers, others)))
        for number, commit in enumerate(_commits(rng, topic, count))
    ]
    ask = (
        f"On the branch {old} the commits of {hers} and {others} got mixed. Put those of {hers} on a new branch {new} "
        f"that starts from main, and leave only the others on {old}, which also starts from main."
    )
    wanted = {name: [c for c in commits if c.author == who] for name, who in ((new, hers), (old, others))}
    pick = "git cherry-pick $(git rev-list --reverse --author='{}' main..$OLD)\n"
    begin = f"OLD=$(git rev-parse {old}); git checkout -q -b {new} main\n"
    again = f"git checkout -q {old} && git reset -q --hard main\n"
    wrong = {
        "only-copied": (begin, pick.format(hers)),
        "swapped": (begin, pick.format(others), again, pick.format(hers)),
    }
    return Op(ask, {old: commits}, wanted, (begin, pick.format(hers), again, pick.format(others)), wrong)


def squash(rng: Random, topic: str, count: int) -> Op:
    """Fold work in progress into the commits that it belongs to."""
    branch, commits = f"feature/{topic}", _commits(rng, topic, count)
    for number in rng.sample(range(1, len(commits)), count // 2):
        commits[number] = replace(commits[number], message=rng.choice(("wip", "wip: more", "wip: again")))
    wanted: list[Commit] = []
    for commit in commits:
        if commit.message.startswith("wip"):
            last = wanted.pop()
            wanted.append(replace(last, adds={**last.adds, **commit.adds}))
        else:
            wanted.append(commit)
    ask = (
        f"On the branch {branch}, fold every commit whose message starts with wip into the nearest earlier one whose "
        "message does not. The earlier one keeps its message, author and author date."
    )
    rebase = f"GIT_SEQUENCE_EDITOR=\"sed -i '/^pick [0-9a-f]* wip/s/pick/{{}}/'\" git rebase -q -i main {branch}\n"
    wrong = {
        "dropped": (rebase.format("drop"),),
        "messages-joined": ("export GIT_EDITOR=true\n", rebase.format("squash")),
    }
    return Op(ask, {branch: commits}, {branch: wanted}, (rebase.format("fixup"),), wrong)


def purge(rng: Random, topic: str, count: int) -> Op:
    """Take a file that should never have been committed out of the history and of the object store."""
    branch, path = f"feature/{topic}", rng.choice(SECRETS)
    commits = _commits(rng, topic, count)
    secret = "".join(f"{rng.getrandbits(200):050x}\n" for _ in range(8))
    at = rng.randrange(1, len(commits) - 1)
    found = [*commits[:at], replace(commits[at], adds={**commits[at].adds, path: secret}), *commits[at + 1 :]]
    ask = (
        f"One commit on the branch {branch} brought in {path} among other things. Rewrite the branch so that no commit "
        "has that file, and see that its content is gone from .git/objects too. The commit's other changes stay."
    )
    amend = f"git rm -q --ignore-unmatch {path} && git commit -q --amend --no-edit"
    rewrite = f"git rebase -q --exec '{amend}' main {branch}\n"
    empty = "git reflog expire --expire=now --expire-unreachable=now --all; git gc -q --prune=now\n"
    wrong = {
        "still-in-the-store": (rewrite,),
        "deleted-at-the-end": (f"git checkout -q {branch} && git rm -q {path} && git commit -qm 'Remove it'\n", empty),
    }
    return Op(ask, {branch: found}, {branch: commits}, (rewrite, empty), wrong, secret=secret)


OPS = (recover, move, squash, purge)
"""In the order that the oracle does them."""


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
    generate=generate,
    deeper={2: ("git-rebase",), 3: ("git-reflog",)},
    levels=3,
    requires=("git", "sed", "find"),
    version=2,
)
