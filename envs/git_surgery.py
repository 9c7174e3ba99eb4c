"""Surgery on a git repository: recover, move, squash or purge commits, and leave all else as it was.

Level N asks for N of the four operations, each on a branch of its own, beside N branches that are to be left alone.
Their order is a trap: what a purge does to the object store ends the reflog that a lost commit is recovered from.

The verifier reads nothing but objects and refs of the agent's repository, from a copy that has none of its
configuration and whose every object fsck has hashed. It compares them with the repository as it should be, which
git fast-import makes beside the copy.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.task import Check, File, Limits

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
    "Task: repair the history of the git repository {path}.",
    "Before anybody pulls from the git repository {path} again, mend its branches.",
)
KEEP = (
    "Commits that you rewrite keep their order, messages, authors and author dates.",
    "Where commits are rewritten, messages, authors, author dates and their order stay as they are.",
)
REST = (
    "main and every branch that is not mentioned stay exactly as they are, and you leave no other branch, tag or ref "
    "behind. In the end main is checked out with its files as committed, and nothing is half done.",
    "Do not touch main or any branch that is not named above, and let no branch, tag or other ref of your own remain. "
    "Finish with main checked out, its files as committed, and no rebase, merge or cherry-pick under way.",
)

SETUP = """\
set -e
export GIT_AUTHOR_DATE='1800000000 +0000' GIT_COMMITTER_DATE='1800000000 +0000' GIT_CONFIG_GLOBAL=/dev/null
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
  git init -q --bare --template= theirs.git && rm -r theirs.git/objects theirs.git/refs || return
  timeout 5 cp -R -P -- "$dot/objects" "$dot/refs" "$dot/HEAD" theirs.git/ || return
  if plain "$dot/packed-refs"; then cp -- "$dot/packed-refs" theirs.git/; fi
  [ -z "$(find theirs.git ! -type f ! -type d -print -quit)" ] || return
  rm -rf theirs.git/objects/info
  find theirs.git/objects/pack -type f ! -name '*.pack' ! -name '*.idx' -delete
  on theirs fsck --full --no-dangling --no-progress
}
if [ ! -e ours.git ]; then # the first check makes both
  git init -q --bare --template= ours.git && on ours fast-import --quiet < wanted || exit 1
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
BRANCHES = """\
. ./library.sh
same {branches}
{more}touch changed
"""
GONE = """\
oid=$(git hash-object --no-filters secret)
[ "$(on theirs cat-file --batch-check <<< "$oid")" = "$oid missing" ] || exit 1
"""
# What follows is true of the repository as it was found: it counts for those who did some of the work.
OTHERS = """\
. ./library.sh
[ -e changed ] || exit 1
[ "$(refs theirs '%(refname)')" = "$(refs ours '%(refname)')" ] || exit 1
format='%(objectname) %(refname)'
[ "$(refs theirs "$format" refs/heads/main refs/heads/wild)" = "$(refs ours "$format" refs/heads/main refs/heads/wild)" ]
"""
CLEAN = """\
. ./library.sh
[ -e changed ] && [ "$(cat theirs.git/HEAD)" = 'ref: refs/heads/main' ] || exit 1
for trace in rebase-merge rebase-apply sequencer {MERGE,CHERRY_PICK,REVERT}_HEAD; do
  [ ! -e "$dot/$trace" ] && [ ! -L "$dot/$trace" ] || exit 1
done
on ours ls-tree -r refs/heads/main | while read -r _ _ oid path; do
  plain "$repo/$path" && [ "$(git hash-object --no-filters -- "$repo/$path")" = "$oid" ] || exit 1
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
        head = f"commit refs/heads/{branch}\nauthor {who}\ncommitter {who}\n{_data(self.message)}{begin}"
        return head + "".join(f"M 100644 inline {path}\n{_data(text)}" for path, text in self.adds.items())


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


@dataclass(slots=True)
class Writer:
    """Writes the commits of a repository."""

    rng: Random
    level: int
    topics: list[str]
    """Names that no branch has yet."""
    clock: int = 1_700_000_000

    def commits(self, topic: str, count: int) -> list[Commit]:
        """Commits of various people that each add a file."""
        return [self._commit(topic, part) for part in self.rng.sample(PARTS, count)]

    def _commit(self, topic: str, part: str) -> Commit:
        self.clock += self.rng.randrange(600, 90_000)
        text = "".join(f"{part} {self.rng.choice(TOPICS)} {self.rng.randrange(1000)}\n" for _ in range(3))
        message = f"{self.rng.choice(VERBS)} {topic} {part}"
        return Commit(self.rng.choice(PEOPLE), self.clock, message, {f"{topic}/{part}.txt": text})


def generate(rng: Random, level: int) -> Draft:
    """One repository and what is to be done to it."""
    path = f"{rng.choice(FOLDERS)}/{rng.choice(TOPICS)}d"
    writer = Writer(rng, level, rng.sample(TOPICS, len(TOPICS)))
    alone = {"main": writer.commits("core", 2 + level)}
    alone |= {f"wild/{topic}": writer.commits(topic, 2) for topic in (writer.topics.pop() for _ in range(level))}
    names = sorted(rng.sample(list(OPS), level), key=list(OPS).index)
    ops = {name: OPS[name](writer) for name in names}
    return Draft(
        instruction=_instruction(rng, path, [op.ask for op in ops.values()]),
        checks=_checks(ops),
        oracle=_session(path, [op.keys for op in ops.values()]),
        wrong=_wrong(path, ops, other=list(alone)[-1]),
        setup=_setup(alone, ops.values()),
        tests=_tests(path, alone, ops.values()),
        limits=Limits(turns=20 + 10 * level),
        workdir=path,
    )


def recover(writer: Writer) -> Op:
    """Find a commit that a reset lost."""
    topic = writer.topics.pop()
    branch, rescue = f"release/{topic}", f"rescue/{topic}"
    commits, lost = writer.commits(topic, 3 + writer.level), writer.rng.randrange(2, 4)
    subject = commits[-1].message
    ask = (
        f'Somebody ran git reset --hard on the branch {branch}, and the commit "{subject}" was lost, together with work '
        f"before it. Make a branch {rescue} that points at that commit; {branch} stays where it is now."
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


def move(writer: Writer) -> Op:
    """Give one author's commits a branch of their own."""
    rng, topic = writer.rng, writer.topics.pop()
    old, new = f"develop/{topic}", f"topic/{topic}"
    hers, others = rng.sample(PEOPLE, 2)
    commits = [
        replace(commit, author=others if number == 1 else hers if number in (0, 2) else rng.choice((hers, others)))
        for number, commit in enumerate(writer.commits(topic, 3 + writer.level))
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


def squash(writer: Writer) -> Op:
    """Fold work in progress into the commits that it belongs to."""
    rng, topic = writer.rng, writer.topics.pop()
    branch, commits = f"feature/{topic}", writer.commits(topic, 4 + writer.level)
    for number in rng.sample(range(1, len(commits)), 1 + writer.level):
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


def purge(writer: Writer) -> Op:
    """Take a file that should never have been committed out of the history and of the object store."""
    rng, topic = writer.rng, writer.topics.pop()
    branch, path = f"feature/{topic}", rng.choice(SECRETS)
    commits = writer.commits(topic, 3 + writer.level)
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


OPS: Mapping[str, Callable[[Writer], Op]] = {"recover": recover, "move": move, "squash": squash, "purge": purge}
"""In the order that the oracle does them."""


def _instruction(rng: Random, path: str, asks: list[str]) -> str:
    rng.shuffle(asks)
    listed = "\n".join(f"{number}. {ask}" for number, ask in enumerate(asks, 1)) if len(asks) > 1 else asks[0]
    order = " The order in which you do these is yours to choose." if len(asks) > 1 else ""
    opening = rng.choice(OPENINGS).format(path=path)
    return f"{opening}\n\n{listed}\n\n{rng.choice(KEEP)}{order}\n\n{rng.choice(REST)}\n"


def _checks(ops: Mapping[str, Op]) -> tuple[Check, ...]:
    right = [
        Check(name, BRANCHES.format(branches=" ".join(op.wanted), more=GONE if op.secret else ""), 2)
        for name, op in ops.items()
    ]
    return (*right, Check("others", OTHERS), Check("clean", CLEAN))


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


def _setup(alone: Branches, ops: Iterable[Op]) -> str:
    found = {**alone, **{branch: commits for op in ops for branch, commits in op.found.items()}}
    return SETUP.format(stream=_stream(found), more="".join(op.setup for op in ops))


def _tests(path: str, alone: Branches, ops: Iterable[Op]) -> dict[str, File]:
    wanted = {**alone, **{branch: commits for op in ops for branch, commits in op.wanted.items()}}
    texts = {
        "library.sh": f"{PLAIN}repo={path}\n{LIBRARY}",
        "wanted": _stream(wanted),
        "secret": "".join(op.secret for op in ops),
    }
    return {name: File.of(text) for name, text in texts.items()}


def _stream(branches: Branches) -> str:
    """The branches for git fast-import: main, and the others, which begin at its end."""
    return "".join(
        commit.stream(name, "from refs/heads/main^0\n" if name != "main" and commit is commits[0] else "")
        for name, commits in branches.items()
        for commit in commits
    )


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"


FAMILY = Family(
    name="git/surgery",
    summary="Recover, move, squash or purge commits of a repository and leave the rest alone.",
    domain="software_engineering",
    skills=("git-rebase", "git-reflog", "git-cherry-pick", "history-rewriting"),
    generate=generate,
    requires=("git", "sed", "find"),
    version=2,
)
