"""A release is to be cut from commit messages: the next version by the rules of their kinds, and the notes.

Level 2 has scopes that are told, level 3 breaking changes in footers, level 4 reverted commits that cancel out, level 5
a project before its version 1. The repository is a real one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from shlex import quote

from termgym.checks import answer, report
from termgym.family import Draft, Family
from termgym.lexicon import ADJECTIVES, ITEMS, SERVICES
from termgym.task import Limits

ASKS = (
    "Prepare the next release of {repo}, a git repository, from its commits since the tag {tag}.\n\n{rules}\n\n{out}\n",
    "{repo} has commits since its tag {tag} that should be released.\n\n{rules}\n\n{out}\n",
    "{out}\n\nThis is for the git repository {repo}; the last release is the tag {tag}.\n\n{rules}\n",
    "What is new in {repo} since {tag}? Write it up for the next release.\n\n{rules}\n\n{out}\n",
)
RULES = {
    1: (
        "- The first line of a message is KIND: TEXT. A feat raises the minor number and sets the patch number to 0, a"
        " fix or perf raises the patch number; the largest raise of all commits counts, once. Other kinds raise nothing"
        " and are not in the notes. There is at least one that raises."
    ),
    2: "- KIND may be followed by (SCOPE).",
    3: (
        "- A KIND or scope with ! behind it, or a line of the message that begins with BREAKING CHANGE: , raises the"
        " major number, and sets the others to 0. Such a commit is in the notes whatever its kind, in the section"
        " Breaking (and only there)."
    ),
    4: (
        '- A commit "revert: TEXT" whose message has a line "Reverts HASH." cancels the commit with that full hash, and'
        " both do not count at all."
    ),
    5: (
        "- While the major number is 0, what would raise it raises the minor number instead, and what would raise the"
        " minor number raises the patch number."
    ),
}
OUT = (
    "Write {folder}/next.txt with the lines version = X.Y.Z and commits = N, how many commits are in the notes; and"
    " {folder}/notes.md: the line # X.Y.Z; then for each of the sections {sections} that has any, in this order, an"
    ' empty line, the line ## SECTION, and a line "- TEXT{scope}" for each commit, sorted by that line (byte order).'
    " feat is in Features, fix in Fixes, perf in Speed."
)
PROGRAM = """\
import re, subprocess
def git(*words):
    return subprocess.run(["git", "-C", {repo!r}, *words], capture_output=True, text=True, check=True).stdout
level = {level}
log = git("log", "--format=%H%x1f%B%x1e", {tag!r} + "..HEAD")
commits = [c.split("\\x1f") for c in log.split("\\x1e") if c.strip()]
commits = [(h.strip(), m) for h, m in commits]
gone = set()
if level > 3:
    for h, m in commits:
        r = re.search(r"^Reverts ([0-9a-f]{{40}})\\.$", m, re.M)
        if m.startswith("revert: ") and r:
            gone |= {{h, r[1]}}
names = {{"feat": "Features", "fix": "Fixes", "perf": "Speed"}}
sections, rank = {{}}, 0
for h, m in commits:
    if h in gone:
        continue
    first = re.match(r"(\\w+)(?:\\((.*?)\\))?(!?): (.*)", m)
    if not first:
        continue
    kind, scope, bang, text = first.groups()
    breaking = level > 2 and (bang or re.search(r"^BREAKING CHANGE: ", m, re.M))
    section = "Breaking" if breaking else names.get(kind)
    if not section:
        continue
    rank = max(rank, 3 if breaking else 2 if kind == "feat" else 1)
    sections.setdefault(section, []).append("- " + text + (" (%s)" % scope if scope and level > 1 else ""))
x, y, z = map(int, {tag!r}.lstrip("v").split("."))
if level > 4 and x == 0:
    rank = max(1, rank - 1)
new = "%d.%d.%d" % ((x + 1, 0, 0) if rank == 3 else (x, y + 1, 0) if rank == 2 else (x, y, z + 1))
open({folder!r} + "/next.txt", "w").write("version = %s\\ncommits = %d\\n" % (new, sum(map(len, sections.values()))))
lines = ["# " + new]
for section in ("Breaking", "Features", "Fixes", "Speed"):
    if section in sections:
        lines += ["", "## " + section] + sorted(sections[section])
open({folder!r} + "/notes.md", "w").write("\\n".join(lines) + "\\n")
"""
SECTIONS = {"feat": "Features", "fix": "Fixes", "perf": "Speed"}


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit since the last release; `cancels` is the place of the one that it reverts."""

    kind: str
    text: str
    scope: str = ""
    bang: bool = False
    footer: bool = False
    cancels: int = -1

    def message(self, level: int) -> str:
        """Without the line that names a hash."""
        head = self.kind + (f"({self.scope})" if self.scope else "") + "!" * self.bang
        body = (
            "\n\nBREAKING CHANGE: see the manual"
            if self.footer
            else "\n\nMore about it."
            if len(self.text) % 3 == 0
            else ""
        )
        return f"{head}: {self.text}{body}"


def generate(rng: Random, level: int) -> Draft:
    """One repository."""
    service = rng.choice(SERVICES)
    repo, folder = f"/app/{service}", f"/app/{rng.choice(('release', 'out', 'notes'))}"
    major = 0 if level == 5 and rng.random() < 0.6 else rng.randint(1, 4)
    version = (major, rng.randint(0, 9), rng.randint(1, 9))
    tag = f"{rng.choice(('v', ''))}{'.'.join(map(str, version))}"
    commits = _commits(rng, level)
    new, notes, count = _release(commits, version, level)
    fields = {"repo": repo, "tag": tag, "folder": folder, "level": level}
    program = PROGRAM.format(**fields)
    told = OUT.format(
        folder=folder,
        sections="Breaking, Features, Fixes, Speed" if level > 2 else "Features, Fixes, Speed",
        scope=', with " (SCOPE)" behind it where there is one' if level > 1 else "",
    )
    checks = report(f"{folder}/notes.md", notes, head=3)
    wrong = {
        "all-since-ever": program.replace(f'{tag!r} + "..HEAD"', '"HEAD"'),
        "patch-only": program.replace("rank = max(rank,", "rank = min(1,"),
        "other-headings": program.replace('"## " + section', '"### " + section'),
        "reverts-stay": program.replace("if h in gone:", "if False:"),
        "bang-overlooked": program.replace("level > 2 and (bang or", "level > 2 and (False or"),
    }
    for name, needed in {"reverts-stay": 4, "bang-overlooked": 3}.items():
        if level < needed:
            del wrong[name]
    return Draft(
        instruction=rng.choice(ASKS).format(
            repo=repo, tag=tag, rules="\n".join(RULES[one] for one in range(1, level + 1)), out=told
        ),
        checks=(
            *checks,
            answer(f"{folder}/next.txt", "version", ".".join(map(str, new)), weight=2),
            answer(f"{folder}/next.txt", "commits", str(count)),
        ),
        oracle=_oracle(program, repo, folder),
        wrong={name: _oracle(text, repo, folder) for name, text in wrong.items()},
        setup=_setup(rng, repo, tag, commits, level),
        limits=Limits(turns=30),
        workdir=repo,
    )


def _commits(rng: Random, level: int) -> list[Commit]:
    """Every kind, and from level 4 a breaking change that is reverted."""
    kinds = (
        ["fix", "docs", "feat", "chore", "perf", "fix", "feat", "test", "fix"]
        if level > 1
        else ["fix", "docs", "fix", "perf", "chore", "feat"]
    )
    texts = rng.sample(
        [
            f"{verb} the {a} {b}"
            for verb in ("make", "mend", "drop", "keep", "show")
            for a in ADJECTIVES[:20]
            for b in ITEMS[:20]
        ],
        20,
    )
    scopes = [*rng.sample(ITEMS, 3), ""]
    found = [
        Commit(kind, text, rng.choice(scopes) if level > 1 else "") for kind, text in zip(kinds, texts, strict=False)
    ]
    rng.shuffle(found)
    if level > 2:
        found.insert(3, Commit("chore", texts[12], bang=True))
        if rng.random() < 0.5:
            found.insert(5, Commit("fix", texts[13], footer=True))
    if level > 3:
        at = next(number for number, commit in enumerate(found) if commit.kind == "feat")
        found.append(Commit("revert", found[at].text, cancels=at))
        found.append(Commit("revert", "something of old"))
    return found


def _release(
    commits: Sequence[Commit], version: tuple[int, int, int], level: int
) -> tuple[tuple[int, int, int], str, int]:
    gone = {commit.cancels for commit in commits} | {
        number for number, commit in enumerate(commits) if commit.cancels >= 0
    }
    sections: dict[str, list[str]] = {}
    raises = [0]
    for commit in (commit for number, commit in enumerate(commits) if number not in gone):
        breaking = commit.bang or commit.footer
        section = "Breaking" if breaking else SECTIONS.get(commit.kind, "")
        if section:
            raises.append(3 if breaking else 2 if commit.kind == "feat" else 1)
            sections.setdefault(section, []).append(f"- {commit.text}" + (f" ({commit.scope})" if commit.scope else ""))
    x, y, z = version
    most = max(raises) if level < 5 or x else max(1, max(raises) - 1)
    new = {1: (x, y, z + 1), 2: (x, y + 1, 0), 3: (x + 1, 0, 0)}[most]
    lines = [f"# {'.'.join(map(str, new))}"]
    for section in ("Breaking", "Features", "Fixes", "Speed"):
        lines += ["", f"## {section}", *sorted(sections[section], key=str.encode)] if section in sections else []
    return new, "\n".join(lines), sum(map(len, sections.values()))


def _setup(rng: Random, repo: str, tag: str, commits: Sequence[Commit], level: int) -> str:
    """Made by git itself, so that hashes are right."""
    lines = [
        "set -e",
        "export GIT_AUTHOR_DATE='1760000000 +0000' GIT_COMMITTER_DATE='1760000000 +0000' GIT_CONFIG_GLOBAL=/dev/null",
        f"cd {repo}",
        "git init -q -b main .",
        "git config user.name 'Kim Voss'; git config user.email kim@example.org",
    ]
    old = ("feat: begin", "fix!: an old one", "feat: another old one")
    lines += [f"git commit -q --allow-empty -m {quote(text)}" for text in old]
    lines += [f"git tag {tag}", "hashes=()"]
    for commit in commits:
        message = quote(commit.message(level))
        extra = f' -m "Reverts ${{hashes[{commit.cancels}]}}."' if commit.cancels >= 0 else ""
        lines += [f"git commit -q --allow-empty -m {message}{extra}", "hashes+=($(git rev-parse HEAD))"]
    return "\n".join([*lines, ""])


def _oracle(program: str, repo: str, folder: str) -> tuple[str, ...]:
    return (
        f"cd {repo}; git --no-pager tag; git --no-pager log --format='%h %s' | head -n 20\n",
        f"cat > /tmp/release.py <<'END'\n{program}END\n",
        f"mkdir -p {folder}; python3 /tmp/release.py\n",
        f"cat {folder}/*\n",
    )


FAMILY = Family(
    name="software/release-notes",
    summary="Cut a release from commit messages: the next version by their kinds, and the notes.",
    domain="software_engineering",
    skills=("git-history", "semantic-versions", "release-notes"),
    deeper={2: ("templating",), 3: ("parsing",), 4: ("validation",)},
    generate=generate,
    requires=("python3", "git"),
)
