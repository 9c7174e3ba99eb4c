"""Surgery on a git repository: rewrite, move, recover or merge commits, and leave all else as it was.

A task is one to three operations, each on a branch of its own of a generated repository; at level 2 the
operations take their harder form, at level 3 a purged file must leave the object store as well, which ends
the reflog that a lost commit is recovered from. Every object id is computed here, so the expected history is
known without running git.

The verifier reads the agent's repository without its configuration: it copies objects and refs into a
repository of its own, drops what may redirect or shadow objects, and lets fsck hash every one of them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from random import Random

from termgym.family import Draft, Family
from termgym.task import Check, File, Limits

_NOUNS = (
    "parser", "cache", "router", "loader", "mailer", "ledger", "widget", "planner", "indexer",
    "crawler", "balance", "invoice", "archive", "player",
)  # fmt: skip
_PARTS = (
    "retries", "timeout", "colours", "headers", "locale", "paging", "limits", "tokens", "units",
    "quotas", "plugins", "aliases", "macros", "themes",
)  # fmt: skip
_VERBS = ("Add", "Describe", "Extend", "Rework", "Test", "Measure")
_PEOPLE = ("Ada Okafor", "Bo Lindqvist", "Cleo Marsh", "Dev Rao", "Edda Thorsen", "Finn Moreau")
_CLOCK = 1_700_000_000
_HISTORY = "%T %an %at %s"

_COPY = """\
# Makes $GIT_DIR a copy of the repository's objects and refs, with nothing that configures or redirects git.
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_NO_REPLACE_OBJECTS=1 GIT_TERMINAL_PROMPT=0
dot=$repo/.git
[ "$(realpath -e -- "$dot")" = "$dot" ] && [ -d "$dot" ] || exit 1
for part in objects refs HEAD; do [ ! -L "$dot/$part" ] && [ -e "$dot/$part" ] || exit 1; done
[ -d "$dot/objects" ] && [ -d "$dot/refs" ] && [ -f "$dot/HEAD" ] || exit 1
for trace in rebase-merge rebase-apply MERGE_HEAD CHERRY_PICK_HEAD REVERT_HEAD objects/info/alternates; do
  [ ! -e "$dot/$trace" ] && [ ! -L "$dot/$trace" ] || exit 1
done
[ "$(du -s --inodes -- "$dot" | cut -f 1)" -le 20000 ] || exit 1
[ "$(du -s --apparent-size -B 1M -- "$dot" | cut -f 1)" -le 64 ] || exit 1
GIT_DIR=$(mktemp -d /tests/repo.XXXXXX)/git
git init -q --bare --template= -b main "$GIT_DIR" || exit 1
export GIT_DIR
rm -rf "$GIT_DIR/objects" "$GIT_DIR/refs" "$GIT_DIR/HEAD"
cp -R -P -- "$dot/objects" "$dot/refs" "$dot/HEAD" "$GIT_DIR/" || exit 1
if [ -f "$dot/packed-refs" ] && [ ! -L "$dot/packed-refs" ]; then cp -P -- "$dot/packed-refs" "$GIT_DIR/"; fi
rm -rf "$GIT_DIR/objects/info"
shopt -s globstar dotglob nullglob
for item in "$GIT_DIR"/objects/pack/*; do case $item in *.pack | *.idx) ;; *) rm -rf -- "$item" ;; esac; done
for item in "$GIT_DIR"/{objects,refs}/** "$GIT_DIR/HEAD"; do
  [ ! -L "$item" ] && { [ -f "$item" ] || [ -d "$item" ]; } || exit 1
done
git fsck --full --no-dangling --no-progress > /dev/null 2>&1 || exit 1
# Nobody is rewarded for what the repository was before.
[ "$(git for-each-ref --format='%(objectname) %(refname)')" != "$(cat /tests/before)" ] || exit 1
history() { git --no-pager log --no-color --reverse --format="$1" "$2"; }
"""


def _oid(kind: str, body: bytes) -> str:
    return sha1(f"{kind} {len(body)}\0".encode() + body).hexdigest()


def _tree(files: Mapping[str, str]) -> str:
    """The id of the tree with these files (path -> text)."""
    folders: dict[str, dict[str, str]] = {}
    entries: dict[str, tuple[str, str]] = {}
    for path, text in files.items():
        top, _, rest = path.partition("/")
        if rest:
            folders.setdefault(top, {})[rest] = text
        else:
            entries[top] = ("100644", _oid("blob", text.encode()))
    entries |= {f"{name}/": ("40000", _tree(inner)) for name, inner in folders.items()}
    rows = (
        f"{mode} {name.rstrip('/')}\0".encode() + bytes.fromhex(oid) for name, (mode, oid) in sorted(entries.items())
    )
    return _oid("tree", b"".join(rows))


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit, with all files as of it."""

    files: Mapping[str, str]
    author: str
    at: int
    subject: str
    parent: "Commit | None" = None
    tree: str = ""
    oid: str = ""

    @classmethod
    def make(cls, files: Mapping[str, str], author: str, at: int, subject: str, parent: "Commit | None") -> "Commit":
        """A commit with its ids worked out."""
        tree = _tree(files)
        who = _signature(author, at)
        above = f"parent {parent.oid}\n" if parent else ""
        body = f"tree {tree}\n{above}author {who}\ncommitter {who}\n\n{subject}\n"
        return cls(files, author, at, subject, parent, tree, _oid("commit", body.encode()))

    def row(self, files: Mapping[str, str] | None = None, subject: str = "") -> str:
        """This commit in the form of `_HISTORY`, perhaps with other files or another subject."""
        tree = self.tree if files is None else _tree(files)
        return f"{tree} {self.author} {self.at} {subject or self.subject}"

    def stream(self, branch: str) -> str:
        """This commit for git fast-import; its time, which no other of a stream has, is its mark."""
        who = _signature(self.author, self.at)
        above = f"from :{self.parent.at}\n" if self.parent else ""
        head = (
            f"commit refs/heads/{branch}\nmark :{self.at}\nauthor {who}\ncommitter "
            f"{who}\n{_data(self.subject + chr(10))}{above}deleteall\n"
        )
        return head + "".join(f"M 100644 inline {path}\n{_data(text)}" for path, text in self.files.items())


def _signature(author: str, at: int) -> str:
    return f"{author} <{author.split()[0].lower()}@example.org> {at} +0000"


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"


@dataclass(slots=True)
class Repo:
    """The repository in the making."""

    rng: Random
    level: int
    path: str
    branches: dict[str, list[Commit]] = field(default_factory=dict[str, list[Commit]])
    """Branch -> its commits since main, oldest first."""
    names: list[str] = field(default_factory=list[str])
    setup: list[str] = field(default_factory=list[str])
    heads: dict[str, str] = field(default_factory=dict[str, str])
    """Branch -> the commit id it points at in the end, where that is not its last commit's."""
    extra: str = ""
    """More commits for git fast-import, after all branches."""
    clock: int = _CLOCK

    @property
    def main(self) -> Commit:
        """The tip of main, where all branches begin."""
        return self.branches["main"][-1]

    def commit(self, parent: Commit | None, subject: str, files: Mapping[str, str], author: str = "") -> Commit:
        """A commit that adds files to its parent's."""
        self.clock += self.rng.randrange(600, 90_000)
        everything = {**(parent.files if parent else dict[str, str]()), **files}
        return Commit.make(everything, author or self.rng.choice(_PEOPLE), self.clock, subject, parent)

    def branch(self, kind: str, count: int) -> tuple[str, list[Commit]]:
        """A new branch of commits that each add a file of their own."""
        noun = self.names.pop()
        name, commits, parent = f"{kind}/{noun}", list[Commit](), self.main
        for part in self.rng.sample(_PARTS, count):
            subject = f"{self.rng.choice(_VERBS)} {noun} {part}"
            parent = self.commit(parent, subject, {f"{noun}/{part}.txt": self.text(part)})
            commits.append(parent)
        self.branches[name] = commits
        return name, commits

    def since_main(self, branch: str) -> str:
        """The range of a branch's own commits; full names, as a tag could shadow a short one."""
        return f"{self.main.oid}..refs/heads/{branch}"

    def text(self, topic: str) -> str:
        """A few lines about something."""
        return "".join(
            f"{topic} {self.rng.choice(_NOUNS)} {self.rng.randrange(1000)}\n" for _ in range(self.rng.randrange(2, 6))
        )


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: what is asked, what should come of it, how to do it and how not to."""

    ask: str
    expect: Mapping[str, tuple[str, str, str]]
    """Name -> range of commits, format of git log, the log wanted."""
    keys: tuple[str, ...]
    wrong: Mapping[str, tuple[str, ...]]
    new: tuple[str, ...] = ()
    """Branches that it makes."""
    gone: str = ""
    """A blob that nothing may reach afterwards."""
    last: bool = False
    """Comes after the others, as it ends the reflogs."""


def _log(commits: Iterable[str]) -> str:
    return "\n".join(commits) + "\n"


def _tip(branch: str) -> str:
    return f"refs/heads/{branch}^!"


def _rebase(script: str, *arguments: str) -> str:
    return f"GIT_SEQUENCE_EDITOR=\"sed -i '{script}'\" git rebase -q -i {' '.join(arguments)}\n"


def purge(repo: Repo) -> Op:
    """Take a file that should never have been committed out of a branch's history."""
    branch, commits = repo.branch("feature", 3 + repo.level)
    path = repo.rng.choice(("deploy/id_rsa", "config/secrets.env", "assets/intro.raw", "dump/customers.sql"))
    at = repo.rng.randrange(1, len(commits) - 1)
    hard, secret = (
        repo.level > 1,
        "".join(f"{repo.rng.getrandbits(200):050x}\n" for _ in range(repo.level * 30)),
    )
    culprit = commits[at] if hard else repo.commit(commits[at - 1], f"Add {path.rpartition('/')[2]}", {})
    tail = commits[at + 1 :] if hard else commits[at:]
    rebuilt = [
        *commits[:at],
        Commit.make({**culprit.files, path: secret}, culprit.author, culprit.at, culprit.subject, commits[at - 1]),
    ]
    for commit in tail:
        rebuilt.append(
            Commit.make({**commit.files, path: secret}, commit.author, commit.at, commit.subject, rebuilt[-1])
        )
    repo.branches[branch] = rebuilt
    wanted = [commit.row() for commit in commits]
    find = f"git checkout -q {branch}; C=$(git log --format=%h -- {path}); git show --stat $C\n"
    if hard:
        ask = (
            f"One commit on the branch {branch} brought in {path} along with other things. "
            "Rewrite the branch so that the file is in no commit; the commit's other changes "
            "stay."
        )
        take = (
            _rebase("1s/^pick/edit/", "$C~1"),
            f"git rm -q {path} && git commit -q --amend --no-edit\n",
            "git rebase --continue\n",
        )
    else:
        ask = (
            f"One commit on the branch {branch} does nothing but add {path}. Drop that commit "
            "from the branch; all others stay."
        )
        take = ("git rebase -q --onto $C~1 $C\n",)
    ask += (
        " Subjects, order, authors and author dates of the commits stay as they are. No "
        "branch or tag may reach the file's content any more."
    )
    prune: tuple[str, ...] = ()
    if repo.level == 3:
        ask += " Its content must also be gone from the object store, so that nobody finds it in .git/objects."
        prune = ("git reflog expire --expire=now --expire-unreachable=now --all; git gc -q --prune=now\n",)
    wrong = {
        "deleted-at-the-end": (find, f"git rm -q {path} && git commit -qm 'Remove it'\n"),
        "reverted": (find, "git revert --no-edit $C\n")
        if not hard
        else (find, *take[:1], f"git rm -q {path} && git commit -qm Drop\n", *take[2:]),
    }
    if repo.level == 3:
        wrong["still-in-the-store"] = (find, *take)
    expect = {"history": (repo.since_main(branch), _HISTORY, _log(wanted))}
    return Op(ask, expect, (find, *take, *prune), wrong, gone=_oid("blob", secret.encode()), last=True)


def move(repo: Repo) -> Op:
    """Move commits to a branch of their own: the last ones, or at higher levels those of one author."""
    branch, commits = repo.branch("develop", 3 + repo.level)
    new = f"topic/{branch.rpartition('/')[2]}-{repo.rng.randrange(10, 99)}"
    if repo.level == 1:
        count = repo.rng.randrange(2, 4)
        ask = (
            f"The last {count} commits of the branch {branch} were meant for another branch. Make "
            f"a branch {new} that has them, on top of those before, and take them off {branch}: "
            "the commit before them becomes its last."
        )
        expect = {
            "new": (_tip(new), "%H", commits[-1].oid + "\n"),
            "old": (_tip(branch), "%H", commits[-count - 1].oid + "\n"),
        }
        keys = (
            f"git branch {new} {branch}\n",
            f"git checkout -q {branch} && git reset -q --hard HEAD~{count}\n",
        )
        wrong = {
            "only-copied": keys[:1],
            "one-too-few": (keys[0], f"git checkout -q {branch} && git reset -q --hard HEAD~{count - 1}\n"),
        }
        return Op(ask, expect, keys, wrong, (new,))
    hers, others = repo.rng.sample(_PEOPLE, 2)
    owners = [hers, others, hers, *repo.rng.choices((hers, others), k=len(commits) - 3)]
    split: dict[str, list[tuple[Commit, Mapping[str, str]]]] = {hers: [], others: []}
    parent, mixed = repo.main, list[Commit]()
    for commit, owner in zip(commits, owners, strict=True):
        added = {path: text for path, text in commit.files.items() if path not in (commit.parent or repo.main).files}
        parent = repo.commit(parent, commit.subject, added, owner)
        before = split[owner][-1][1] if split[owner] else repo.main.files
        split[owner].append((parent, {**before, **added}))
        mixed.append(parent)
    repo.branches[branch] = mixed
    ask = (
        f"On the branch {branch} the commits of {hers} and {others} got mixed. Those of "
        f"{hers} belong on a new branch {new} that starts from main; {branch} is to keep only "
        "the others. On both, the commits keep their order, subjects, authors and author "
        "dates."
    )
    expect = {
        who.partition(" ")[0].lower(): (
            repo.since_main(name),
            _HISTORY,
            _log(commit.row(files) for commit, files in split[who]),
        )
        for name, who in ((new, hers), (branch, others))
    }
    pick = "git cherry-pick $(git rev-list --reverse --author='{}' main..$OLD)\n"
    keys = (
        f"OLD=$(git rev-parse {branch}); git checkout -q -b {new} main\n", pick.format(hers),
        f"git checkout -q {branch} && git reset -q --hard main\n", pick.format(others),
    )  # fmt: skip
    wrong = {
        "only-copied": keys[:2],
        "names-swapped": (keys[0], pick.format(others), keys[2], pick.format(hers)),
    }
    return Op(ask, expect, keys, wrong, (new,))


def recover(repo: Repo) -> Op:
    """Find a commit that a reset lost."""
    branch, commits = repo.branch("release", 3 + repo.level)
    left = len(commits) - repo.rng.randrange(2, 4)
    rescue = f"rescue/{branch.rpartition('/')[2]}-{repo.rng.randrange(10, 99)}"
    repo.setup.append(f"git checkout -q {branch}")
    if repo.level > 1:
        decoy = repo.commit(commits[left - 1], f"Undo {commits[-1].subject}", {"notes.txt": repo.text("undo")})
        repo.extra += decoy.stream("decoy")
        repo.setup.append(
            f"git reset -q --hard {decoy.oid}; git branch -qD decoy; git reset -q --hard {commits[-1].oid}"
        )
    repo.setup.append(f"git reset -q --hard {commits[left - 1].oid}; git checkout -q main")
    repo.heads[branch] = commits[left - 1].oid
    lost = commits[-1].subject
    ask = (
        f"On the branch {branch} somebody ran git reset --hard too far back, and the commit "
        f'with the subject "{lost}" was lost, with the work before it. Make a branch '
        f"{rescue} that points at exactly that commit (the same commit id). {branch} itself "
        "stays where it is now."
    )
    expect = {
        "rescued": (_tip(rescue), "%H", commits[-1].oid + "\n"),
        "stays": (_tip(branch), "%H", commits[left - 1].oid + "\n"),
    }
    keys = (
        f"git --no-pager reflog {branch}\n",
        f"git branch {rescue} $(git log -g -1 --format=%H --grep='^{lost}$' {branch})\n",
    )
    wrong = {
        "branch-of-the-present": (f"git branch {rescue} {branch}\n",),
        "parent-of-the-lost": (f"git branch {rescue} $(git log -g -1 --format=%H --grep='^{lost}$' {branch})~1\n",),
        "reset-instead": (
            f"git checkout -q {branch}; git reset -q --hard $(git log -g -1 --format=%H --grep='^{lost}$')\n",
        ),
    }
    return Op(ask, expect, keys, wrong, (rescue,))


def squash(repo: Repo) -> Op:
    """Fold work-in-progress commits into the commits that they belong to, or into one."""
    branch, commits = repo.branch("feature", 4 + repo.level)
    easy = repo.level == 1
    first = 2 if easy else 1
    loose = range(first, len(commits)) if easy else sorted(repo.rng.sample(range(1, len(commits)), 1 + repo.level))
    rebuilt: list[Commit] = []
    for number, commit in enumerate(commits):
        subject = repo.rng.choice(("wip", "wip: more", "wip: again")) if number in loose else commit.subject
        rebuilt.append(
            Commit.make(commit.files, commit.author, commit.at, subject, rebuilt[-1] if rebuilt else repo.main)
        )
    repo.branches[branch] = rebuilt
    start = f"git checkout -q {branch}; git --no-pager log --oneline main..\n"
    if easy:
        count, subject = len(loose), f"Finish {branch.rpartition('/')[2]} in one go"
        ask = (
            f"The last {count} commits of the branch {branch} are unfinished work (their subjects "
            f'start with wip). Squash them into one commit whose whole message is "{subject}". '
            "The commits before stay as they are, and so do the files on the branch."
        )
        wanted = [f"{c.tree} {c.subject}" for c in commits[:first]] + [f"{commits[-1].tree} {subject}"]
        keys = (start, f"git reset -q --soft HEAD~{count}\n", f"git commit -qm '{subject}'\n")
        wrong = {
            "one-too-many": (start, f"git reset -q --soft HEAD~{count + 1}\n", keys[2]),
            "wrong-message": (*keys[:2], "git commit -qm 'Squash'\n"),
        }
        expect = {
            "before": (f"refs/heads/{branch}~1^!", "%H", rebuilt[first - 1].oid + "\n"),
            "squashed": (repo.since_main(branch), "%T %s", _log(wanted)),
        }
        return Op(ask, expect, keys, wrong)
    ask = (
        f"On the branch {branch}, fold every commit whose subject starts with wip into the "
        "commit before it (the nearest earlier one that is not wip). That one keeps its "
        "message, author and author date; the subjects of wip commits disappear. The files "
        "at the end of the branch stay the same."
    )
    kept = [number for number in range(len(commits)) if number not in loose]
    ends = [number - 1 for number in kept[1:]] + [len(commits) - 1]
    wanted = [commits[number].row(commits[end].files) for number, end in zip(kept, ends, strict=True)]
    keys = (start, _rebase("/^pick [0-9a-f]* wip/s/^pick/fixup/", "main"))
    dropped = _rebase("/^pick [0-9a-f]* wip/s/^pick/drop/", "main")
    whole = (start, "git reset -q --soft main\n", f"git commit -qm '{commits[0].subject}'\n")
    expect = {"history": (repo.since_main(branch), _HISTORY, _log(wanted))}
    return Op(ask, expect, keys, {"dropped": (start, dropped), "all-in-one": whole})


def reword(repo: Repo) -> Op:
    """Correct a misspelt word in the subjects of commits."""
    branch, commits = repo.branch("fix", 3 + repo.level)
    word, typo = repo.rng.choice((("received", "recieved"), ("separate", "seperate"), ("existing", "exisiting")))
    spots = repo.rng.sample(range(len(commits) - 1), repo.level)
    rebuilt: list[Commit] = []
    wanted: list[str] = []
    for number, commit in enumerate(commits):
        ending = f" for {typo} {repo.rng.choice(_NOUNS)}s" if number in spots else ""
        subject = commit.subject + ending
        rebuilt.append(
            Commit.make(commit.files, commit.author, commit.at, subject, rebuilt[-1] if rebuilt else repo.main)
        )
        wanted.append(commit.row(subject=subject.replace(typo, word)))
    repo.branches[branch] = rebuilt
    which = "One commit" if len(spots) == 1 else f"{len(spots)} commits"
    ask = (
        f'{which} on the branch {branch} say{"s" if len(spots) == 1 else ""} "{typo}" in '
        f'the subject; it has to be "{word}". Correct the spelling there. Authors, author '
        "dates, order and files of all commits on the branch stay as they are."
    )
    start = f"git checkout -q {branch}; git --no-pager log --oneline main..\n"
    edit = f"GIT_EDITOR=\"sed -i 's/{typo}/{word}/'\" " + _rebase(f"/{typo}/s/^pick/reword/", "main")
    wrong = {
        "extra-commit": (start, f"git commit -q --allow-empty -m 'Correct {word}'\n"),
        "last-commit-amended": (start, f"git commit -q --amend -m '{commits[-1].subject} {word}'\n"),
    }
    subjects = _log(row.split(" ", 4)[4] for row in wanted)
    expect = {
        "subjects": (repo.since_main(branch), "%s", subjects),
        "history": (repo.since_main(branch), _HISTORY, _log(wanted)),
    }
    return Op(ask, expect, (start, edit), wrong)


def merge(repo: Repo) -> Op:
    """Merge two branches that changed the same settings, by a rule."""
    rng, file = repo.rng, "settings/limits.conf"
    into, ours = repo.branch("release", 1 + repo.level)
    other, theirs = repo.branch("hotfix", 1 + repo.level)
    base = dict(line.split(" = ") for line in repo.main.files[file].splitlines())
    changed = rng.sample(sorted(base), 2 + repo.level)
    low = {key: int(base[key]) + rng.randrange(1, 50) for key in changed}
    mine, yours = (
        {key: low[key] + (60 if (number + side) % 2 else 0) for number, key in enumerate(changed)} for side in (0, 1)
    )
    if repo.level > 1:
        first, second = rng.sample(sorted(set(_PARTS) - base.keys()), 2)
        mine[first], yours[second] = rng.randrange(100), rng.randrange(100)
    for name, commits, values in ((into, ours, mine), (other, theirs, yours)):
        text = _settings({**base, **values})
        repo.branches[name] = [*commits, repo.commit(commits[-1], f"Tune limits for {name}", {file: text})]
    larger = rng.random() < 0.5
    rule = "larger" if larger else "smaller"
    both = {
        key: (max if larger else min)(mine.get(key, yours.get(key, 0)), yours.get(key, mine.get(key, 0)))
        for key in {**mine, **yours}
    }
    text, subject = _settings({**base, **both}), f"Merge {other} into {into}"
    tree = _tree({**repo.branches[into][-1].files, **repo.branches[other][-1].files, file: text})
    expect = {
        "parents": (_tip(into), "%P", f"{repo.branches[into][-1].oid} {repo.branches[other][-1].oid}\n"),
        "content": (_tip(into), "%T", f"{tree}\n"),
        "message": (_tip(into), "%s", f"{subject}\n"),
    }
    ask = (
        f"Merge the branch {other} into {into}, as a merge commit on {into} whose whole "
        f'message is "{subject}". Both changed {file}. There, of two different numbers for '
        f"the same key the {rule} one wins, a key that only one side has is kept, and the "
        f"lines (key = number) are sorted by key. All other files merge as usual; {other} "
        "stays as it is."
    )
    sort = (
        f"git show {into}:{file} {other}:{file} | sort -k1,1 -k3,3n{'r' if larger else ''} | "
        f"sort -s -u -k1,1 > {file}\n"
    )
    keys = (
        f"git checkout -q {into}; git merge {other}\n",
        sort,
        f"git add {file} && git commit -qm '{subject}'\n",
    )
    wrong: dict[str, tuple[str, ...]] = {
        side: (f"git checkout -q {into}; git merge -q -X {side} -m '{subject}' {other}\n",)
        for side in ("ours", "theirs")
    }
    wrong["squashed"] = (keys[0].replace("git merge", "git merge --squash"), *keys[1:])
    return Op(ask, expect, keys, wrong)


def _settings(values: Mapping[str, object]) -> str:
    return "".join(f"{key} = {values[key]}\n" for key in sorted(values))


_OPS: tuple[Callable[[Repo], Op], ...] = (purge, move, recover, squash, reword, merge)


def generate(rng: Random, level: int) -> Draft:
    """One task."""
    repo = Repo(
        rng,
        level,
        f"/app/{rng.choice(('', 'src/', 'work/'))}{rng.choice(_NOUNS)}d",
        names=rng.sample(_NOUNS, len(_NOUNS)),
    )
    start = _settings({part: rng.randrange(10, 900) for part in rng.sample(_PARTS, 9)})
    trunk = [repo.commit(None, "Begin", {"README.md": repo.text("about"), "settings/limits.conf": start})]
    for part in rng.sample(_PARTS, 2 + level):
        trunk.append(repo.commit(trunk[-1], f"{rng.choice(_VERBS)} core {part}", {f"core/{part}.txt": repo.text(part)}))
    repo.branches["main"] = trunk
    chosen = [purge, *rng.sample(_OPS[1:], 2)] if level == 3 else rng.sample(_OPS, level)
    makers = {maker.__name__: maker for maker in chosen}
    ops = {name: maker(repo) for name, maker in makers.items()}
    bystander, _ = repo.branch("wild", 2)
    ordered = sorted(ops, key=lambda name: ops[name].last)
    return Draft(
        instruction=_instruction(repo, list(ops.values())),
        checks=_checks(repo, ops),
        oracle=_keys(repo, [ops[name].keys for name in ordered]),
        wrong=_wrong(repo, ops, ordered),
        setup=_setup(repo),
        tests=_tests(repo, ops, bystander),
        limits=Limits(turns=20 + 10 * level),
        workdir=repo.path,
    )


def _instruction(repo: Repo, ops: list[Op]) -> str:
    asks = ops[0].ask if len(ops) == 1 else "\n".join(f"{number}. {op.ask}" for number, op in enumerate(ops, 1))
    end = repo.rng.choice((
        "In the end main is checked out, with its files as committed and no rebase or merge left half done.",
        "Leave the repository with main checked out, its files as committed, and no rebase "
"or merge unfinished.",
    ))  # fmt: skip
    rest = "main and all branches that are not mentioned stay exactly as they are."
    order = " The order in which you do these is yours to choose." if len(ops) > 1 else ""
    return repo.rng.choice((
        f"The git repository {repo.path} needs some surgery.\n\n{asks}\n\n{rest}{order} {end}",
        f"Please put the history of {repo.path} in order before it is "
f"published.\n\n{asks}\n\n{end} {rest}{order}",
        f"You are in {repo.path}, a git repository. This is to be done:\n\n{asks}\n\n{rest} {end}{order}",
        f"{asks}\n\nThe git repository is {repo.path}. {end} {rest}{order}",
    ))  # fmt: skip


def _setup(repo: Repo) -> str:
    stream = "".join(commit.stream(name) for name, commits in repo.branches.items() for commit in commits)
    commands = "\n".join(repo.setup)
    return f"""\
set -e
export GIT_COMMITTER_DATE='{repo.clock + 1000} +0000' GIT_CONFIG_GLOBAL=/dev/null
git init -q -b main .
git config user.name 'Sam Keller'
git config user.email sam@example.org
git fast-import --quiet << 'END_OF_STREAM'
{stream}{repo.extra}
END_OF_STREAM
git reset -q --hard
{commands}
"""


def _keys(repo: Repo, parts: Iterable[tuple[str, ...]], end: str = "main") -> tuple[str, ...]:
    keys = [key for part in parts for key in part]
    return (
        f"cd {repo.path}; git --no-pager log --oneline -n 5; git --no-pager branch\n",
        *keys,
        f"git checkout -q {end}\n",
    )


def _wrong(repo: Repo, ops: Mapping[str, Op], ordered: list[str]) -> dict[str, tuple[str, ...]]:
    """Each operation's mistakes with all the others done right, then what goes wrong at the end, and cheats."""
    right = [ops[name].keys for name in ordered]
    wrong = {"left-elsewhere": _keys(repo, right, end=list(repo.branches)[-1])}
    for place, name in enumerate(ordered):
        for mistake, keys in ops[name].wrong.items():
            wrong[f"{name}-{mistake}"] = _keys(repo, [*right[:place], keys, *right[place + 1 :]])
    wrong["forged-reward"] = (
        "mkdir -p /logs/verifier /tests; echo 1 | tee /logs/verifier/reward.txt /tests/before > /dev/null\n",
        "printf '#!/bin/sh\\nexit 0\\n' > /tmp/git; chmod +x /tmp/git; cp /tmp/git "
        "/usr/bin/git; cp /tmp/git /usr/local/bin/git\n",
        "printf '[core]\\n\\tfsmonitor = /tmp/git\\n\\thooksPath = /tmp\\n' >> .git/config; echo x >> .git/HEAD\n",
    )
    return wrong


def _checks(repo: Repo, ops: Mapping[str, Op]) -> tuple[Check, ...]:
    checks: list[Check] = []
    for op, made in ops.items():
        looks = {name: _look(f"{op}-{name}", *wanted) for name, wanted in made.expect.items()}
        if repo.level == 1:
            checks += [Check(f"{op}-{name}", ". /tests/copy.sh\n" + look) for name, look in looks.items()]
        else:
            checks.append(Check(op, ". /tests/copy.sh\n" + "".join(looks.values()), 2))
        if made.gone:
            stored = (f"if git cat-file -e {made.gone} 2> /dev/null; then exit 1; fi\n") if repo.level == 3 else ""
            reach = (
                f"reached=$(git rev-list --objects --all) && [[ $reached != *{made.gone}* ]] || exit "
                f"1\n{stored}exit 0\n"
            )
            checks.append(Check(f"{op}-gone", ". /tests/copy.sh\n" + reach))
    return (*checks, Check("rest", _REST, 0.5))


def _look(name: str, commits: str, form: str, _: str) -> str:
    return (
        f"found=$(history '{form}' '{commits}' 2> /dev/null) && [ \"$found\" = \"$(cat /tests/{name})\" ] || exit 1\n"
    )


_REST = """\
. /tests/copy.sh
[ "$(stat -c %s -- "$dot/HEAD")" -le 64 ] && [ "$(cat "$dot/HEAD")" = 'ref: refs/heads/main' ] || exit 1
while read -r name oid; do
  [ "$(git rev-parse -q --verify "refs/heads/$name^{commit}")" = "$oid" ] || exit 1
done < /tests/rest
while read -r sum path; do
  file=$repo/$path
  [ "$(realpath -e -- "$file")" = "$file" ] && [ -f "$file" ] && [ "$(stat -c %s -- "$file")" -le 65536 ] || exit 1
  [ "$(sha1sum < "$file")" = "$sum  -" ] || exit 1
done < /tests/worktree
"""


def _tests(repo: Repo, ops: Mapping[str, Op], bystander: str) -> dict[str, File]:
    heads = {name: repo.heads.get(name, commits[-1].oid) for name, commits in repo.branches.items()}
    texts = {f"{op}-{name}": wanted[2] for op, made in ops.items() for name, wanted in made.expect.items()}
    texts["copy.sh"] = f"repo={repo.path}\n{_COPY}"
    texts["before"] = "".join(f"{oid} refs/heads/{name}\n" for name, oid in sorted(heads.items()))
    texts["rest"] = "".join(f"{name} {heads[name]}\n" for name in ("main", bystander))
    texts["worktree"] = "".join(f"{sha1(text.encode()).hexdigest()} {path}\n" for path, text in repo.main.files.items())
    return {name: File.of(text) for name, text in texts.items()}


FAMILY = Family(
    name="git/surgery",
    summary="Purge, move, recover, squash, reword or merge commits of a repository and leave the rest alone.",
    domain="software_engineering",
    skills=("git rebase", "git reflog", "git merge", "history rewriting"),
    generate=generate,
    requires=("git", "sed"),
)
