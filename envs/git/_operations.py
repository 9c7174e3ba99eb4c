"""What may be asked for in a repository, what should come of it, how to do it and how not to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

TOPICS = tuple("parser cache router loader mailer ledger widget planner indexer crawler balance invoice player".split())
PARTS = tuple("retries timeout colours headers locale paging limits tokens units quotas plugins aliases macros".split())
VERBS = ("Add", "Describe", "Extend", "Rework", "Test", "Measure")
PEOPLE = ("Ada Okafor", "Bo Lindqvist", "Cleo Marsh", "Dev Rao", "Edda Thorsen", "Finn Moreau")
SECRETS = ("deploy/id_rsa", "config/secrets.env", "assets/token.raw", "dump/customers.sql")


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit says, and the files that it adds."""

    author: str
    at: int
    message: str
    adds: Mapping[str, str]

    def stream(self, branch: str, begin: str) -> str:
        """This commit for git fast-import."""
        who = f"{self.author} <{address(self.author)}> {self.at} +0000"
        message = data(self.message + "\n")
        head = f"commit refs/heads/{branch}\nauthor {who}\ncommitter {who}\n{message}{begin}"
        return head + "".join(f"M 100644 inline {path}\n{data(text)}" for path, text in self.adds.items())


def address(author: str) -> str:
    """The e-mail address of somebody."""
    return f"{author.split()[0].lower()}@example.org"


def data(text: str) -> str:
    """Text for git fast-import."""
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


def commits_of(rng: Random, topic: str, count: int) -> list[Commit]:
    """Commits of various people that each add a file."""
    start, commits = rng.randrange(1_700_000_000, 1_750_000_000), list[Commit]()
    for number, part in enumerate(rng.sample(PARTS, count)):
        text = "".join(f"{part} {rng.choice(TOPICS)} {rng.randrange(1000)}\n" for _ in range(3))
        at, message = start + number * 7200 + rng.randrange(7200), f"{rng.choice(VERBS)} {topic} {part}"
        commits.append(Commit(rng.choice(PEOPLE), at, message, {f"{topic}/{part}.txt": text}))
    return commits


def recover(rng: Random, topic: str, count: int) -> Op:
    """Find a commit that a reset lost."""
    branch, rescue = f"release/{topic}", f"rescue/{topic}"
    commits, lost = commits_of(rng, topic, count), rng.randrange(2, 4)
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
        for number, commit in enumerate(commits_of(rng, topic, count))
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
    branch, commits = f"feature/{topic}", commits_of(rng, topic, count)
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
    commits = commits_of(rng, topic, count)
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


def reauthor(rng: Random, topic: str, count: int) -> Op:
    """Give a robot's commits to whom they are due."""
    branch, who = f"feature/{topic}", rng.choice(PEOPLE)
    robot = rng.choice(("Build Robot", "Import Script", "Deploy Job"))
    others = [one for one in PEOPLE if one != who]
    wanted = [replace(commit, author=rng.choice(others)) for commit in commits_of(rng, topic, count)]
    found = [*wanted]
    for number in rng.sample(range(count), count // 2):
        wanted[number] = replace(wanted[number], author=who)
        found[number] = replace(found[number], author=robot)
    ask = (
        f'Some commits on the branch {branch} have "{robot}" as author, but are the work of {who} '
        f"<{address(who)}>. Make that their author; author dates stay, and so do all other commits' authors."
    )
    amend = f'git commit -q --amend --no-edit --author="{who} <{address(who)}>"'
    rewrite = f"git rebase -q --exec '{{}}{amend}{{}}' main {branch}\n"
    guard = f'test "$(git log -1 --format=%an)" != "{robot}" || '
    wrong = {
        "all-commits": (rewrite.format("", ""),),
        "dates-lost": (rewrite.format(guard, " --date=2025-10-10T10:10:10Z"),),
    }
    return Op(ask, {branch: found}, {branch: wanted}, (rewrite.format(guard, ""),), wrong)


def backport(rng: Random, topic: str, count: int) -> Op:
    """Bring fixes, and nothing else, to an older branch."""
    old, new = f"stable/{topic}", f"devel/{topic}"
    commits, own = commits_of(rng, topic, count), commits_of(rng, f"{topic}-notes", 2)
    fixes = sorted(rng.sample(range(1, count), count // 2))
    for number, commit in enumerate(commits):
        body = "Not one of the Fixes: yet." if number == 0 else rng.choice(("No Fixes: line, on purpose.", ""))
        body = f"Fixes: #{rng.randrange(100, 999)}" if number in fixes else body
        commits[number] = replace(commit, message=f"{commit.message}\n\n{body}".rstrip())
    ask = (
        f'Apply to {old} the commits of {new} whose message has a line that begins with "Fixes: #", in their order, on '
        f"top of what {old} has. Messages, authors and author dates are the originals', and {new} does not change."
    )
    begin = f"git checkout -q {old}\n"
    pick = f"git cherry-pick {{}}$(git rev-list {{}}--grep='{{}}' main..{new}) | tail -n 3\n"
    wrong = {
        "too-many": (begin, pick.format("", "--reverse ", "Fixes:")),
        "backwards": (begin, pick.format("", "", "^Fixes: #").replace("rev-list", "rev-list --date-order")),
        "marked": (begin, pick.format("-x ", "--reverse ", "^Fixes: #")),
    }
    keys = (f"git --no-pager log --format='%h %an: %B' main..{new} | tail -n 30\n", begin)
    keys = (*keys, pick.format("", "--reverse ", "^Fixes: #"))
    wanted = {new: commits, old: [*own, *(commits[number] for number in fixes)]}
    return Op(ask, {new: commits, old: own}, wanted, keys, wrong)


OPS = (recover, move, squash, reauthor, backport, purge)
"""In the order that the oracle does them."""
