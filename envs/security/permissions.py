"""A tree whose modes and owners are to be brought in line with a written policy, and a report of what was wrong.

Level 2 has folders, level 3 setuid programs of which a list allows some, level 4 files that a group may write, level 5
exceptions for a part of the tree, and links that must not be followed. Files that are right stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from shlex import quote

from termgym.checks import PLAIN, report
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, SERVICES, TOPICS, root
from termgym.task import Check, File, Limits

ASKS = (
    "Bring {top} in line with this policy.\n\n{rules}\n\n{out}\n",
    "An audit found that modes in {top} are wrong. The policy is:\n\n{rules}\n\n{out}\n",
    "{out}\n\nThen make everything below {top} as the policy has it:\n\n{rules}\n",
    "Harden the permissions of {top}, by these rules and no others.\n\n{rules}\n\n{out}\n",
)
RULES = {
    1: "- Files that end in {secret} have mode 600, all other files 644, but scripts (*.sh) 755.",
    2: "- Folders have mode 755, but those called {private}, 700, and so have all folders below these.",
    3: (
        "- A program that ends in .bin has mode 755, or 4755 if {top}/allowed.txt lists its path below {top}; that list"
        " itself is a file as others."
    ),
    4: "- Files in or below a folder called {shared} that would have mode 644 have 664.",
    5: "- Nothing in or below {skip} is changed, and symbolic links are neither followed nor changed.",
}
OUT = (
    "Write {out}: a line for each file or folder whose mode was not as it should be: MODE PATH, with the mode"
    " that it had in octal and its path below {top} ({top} itself is not listed), sorted by path (LC_ALL=C). It tells"
    " what was found, before it is put right."
)
JUDGE = """\
while read -r mode path; do
  [ ! -L "$path" ] && [ "$(stat -c %a -- "$path" 2>/dev/null)" = "$mode" ] || exit 1
done <<'END'
{lines}
END
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A path below the top, the mode that it has, and the one that it should have."""

    path: str
    mode: int
    right: int

    @property
    def wrong(self) -> bool:
        """Whether it has to change."""
        return self.mode != self.right


@dataclass(frozen=True, slots=True)
class Policy:
    """The names in the rules."""

    level: int
    secret: str
    private: str
    shared: str
    skip: str
    allowed: frozenset[str]

    def mode(self, path: str, folder: bool) -> int:
        """What the rules say of a path."""
        parts = path.split("/")
        above = parts if folder else parts[:-1]
        if folder:
            return 0o700 if self.level > 1 and self.private in above else 0o755
        if path.endswith(self.secret):
            return 0o600
        if path.endswith(".sh"):
            return 0o755
        if path.endswith(".bin") and self.level > 2:
            return 0o4755 if path in self.allowed else 0o755
        return 0o664 if self.level > 3 and self.shared in above else 0o644


def generate(rng: Random, level: int) -> Draft:
    """One tree."""
    service = rng.choice(SERVICES)
    top = f"{root(rng, service)}/{rng.choice(('tree', 'site', 'share'))}"
    names = rng.sample(TOPICS, 5)
    policy = Policy(
        level,
        rng.choice((".key", ".pem", ".secret")),
        names[0],
        names[1],
        f"{names[2]}/{rng.choice(ITEMS)}",
        frozenset(),
    )
    paths = _paths(rng, policy, names, level)
    bins = [path for path, _ in paths if path.endswith(".bin")]
    policy = Policy(level, policy.secret, policy.private, policy.shared, policy.skip, frozenset(bins[::2]))
    found = [_entry(rng, policy, path, folder, number) for number, (path, folder) in enumerate(paths)]
    skipped = [entry for entry in found if level > 4 and f"{entry.path}/".startswith(f"{policy.skip}/")]
    judged = [entry for entry in found if entry not in skipped]
    out = f"/app/{rng.choice(('found', 'audit', 'modes'))}.txt"
    fields = {
        "top": top,
        "secret": policy.secret,
        "private": policy.private,
        "shared": policy.shared,
        "skip": f"{top}/{policy.skip}",
    }
    wrong = [entry for entry in judged if entry.wrong]
    lines = [f"{entry.mode:o} {entry.path}" for entry in sorted(wrong, key=lambda entry: entry.path)]
    folders = {path for path, folder in paths if folder}
    oracle = _oracle(top, policy, out, level)
    some = wrong[:2]
    return Draft(
        instruction=rng.choice(ASKS).format(
            top=top,
            rules="\n".join(RULES[one].format(**fields) for one in range(1, level + 1)),
            out=OUT.format(out=out, top=top),
        ),
        checks=(
            *report(out, "\n".join(lines)),
            _check("put-right", top, [entry for entry in wrong], 3),
            _check("left-right", top, [entry for entry in judged if not entry.wrong] + some, 1),
            *(
                [_check("left-alone", top, [Entry(e.path, e.mode, e.mode) for e in skipped] + some, 1)]
                if skipped
                else []
            ),
        ),
        oracle=oracle,
        wrong={
            "report-only": oracle[:-2],
            "all-644": (
                *oracle[:-2],
                f"find {top} -type f -exec chmod 644 {{}} +; find {top} -type d -exec chmod 755 {{}} +\n",
            ),
            "all-closed": (*oracle, f"chmod -R go-rwx {top}\n"),
            "report-afterwards": (*oracle[:1], *oracle[-2:], *oracle[1:-2]),
        },
        files={f"{top}/{path}": File.of(f"{path}\n") for path, folder in paths if not folder}
        | ({f"{top}/allowed.txt": File.of("".join(f"{one}\n" for one in sorted(policy.allowed)))} if level > 2 else {}),
        setup=_setup(top, found, folders, policy, level),
        limits=Limits(turns=40),
    )


def _check(name: str, top: str, listed: Sequence[Entry], weight: float) -> Check:
    lines = "\n".join(f"{entry.right:o} {top}/{entry.path}" for entry in listed)
    return Check(name, PLAIN + JUDGE.format(lines=lines), weight)


def _paths(rng: Random, policy: Policy, names: Sequence[str], level: int) -> list[tuple[str, bool]]:
    """Folders and files; each of the names of the rules has a folder, and one below another."""
    folders = [*names, f"{policy.private}/{names[3]}"] + (
        [f"{names[4]}/{policy.shared}", policy.skip] if level > 3 else []
    )
    found = [(folder, True) for folder in folders]
    endings = [policy.secret, ".sh", ".txt", ".html", f"{policy.secret}.txt"] + ([".bin", ".bin"] if level > 2 else [])
    for number, item in enumerate(rng.sample(ITEMS, 12 + 4 * level)):
        found.append((f"{folders[number % len(folders)]}/{item}{endings[number % len(endings)]}", False))
    return found


def _entry(rng: Random, policy: Policy, path: str, folder: bool, number: int) -> Entry:
    """Two of three are wrong; folders of level 1 are not judged, and right."""
    right = policy.mode(path, folder)
    if number % 3 == 2 or (folder and policy.level < 2):
        return Entry(path, right, right)
    others = [0o777, 0o666, 0o4755, 0o2755, 0o640] if not folder else [0o777, 0o1777, 0o750]
    mode = rng.choice([one for one in others if one != right])
    return Entry(path, mode, right)


def _setup(top: str, found: Sequence[Entry], folders: set[str], policy: Policy, level: int) -> str:
    lines = [f"cd {top}", *(f"mkdir -p {entry.path}" for entry in found if entry.path in folders)]
    lines += [f"chmod {entry.mode:o} {quote(entry.path)}" for entry in reversed(found)]
    lines += (
        [f"ln -s /etc/hostname {policy.shared}/link.sh; ln -s ../{policy.skip} {policy.private}/link"]
        if level > 4
        else []
    )
    return "\n".join(["set -e", *lines, "chmod 755 .", ""])


def _oracle(top: str, policy: Policy, out: str, level: int) -> tuple[str, ...]:
    """A function that says what a path should have, and a loop."""
    cases = [f"*{policy.secret}) m=600;;", "*.sh) m=755;;"]
    if level > 2:
        cases.append('*.bin) m=755; grep -qxF "$1" allowed.txt && m=4755;;')
    shared = f"[[ /$1 == */{policy.shared}/* ]]"
    cases.append(f"*) m=644{f'; {shared} && m=664' if level > 3 else ''};;")
    folder = f"m=755; [[ /$1/ == */{policy.private}/* ]] && m=700" if level > 1 else 'm=$(stat -c %a "$1")'
    skip = f" -not -path './{policy.skip}' -not -path './{policy.skip}/*'" if level > 4 else ""
    find = f"find . -mindepth 1 \\( -type f -o -type d \\){skip} -printf '%P\\n' | LC_ALL=C sort"
    return (
        f"cd {top}; find . -printf '%m %y %p\\n' | head -n 40\n",
        f'want() {{ if [ -d "$1" ]; then {folder}; else case $1 in {" ".join(cases)} esac; fi; }}\n',
        (
            f'{find} | while read -r p; do want "$p"; [ "$(stat -c %a "$p")" = $m ] || echo "$(stat -c %a "$p")'
            f' $p"; done > {out}\n'
        ),
        f"cat {out}\n",
        f'{find} | while read -r p; do want "$p"; chmod $m "$p"; done\n',
        "find . -printf '%m %p\\n' | head -n 20\n",
    )


FAMILY = Family(
    name="security/permissions",
    summary="Bring the modes of a tree in line with a policy, and report what was wrong.",
    domain="security",
    skills=("permissions", "hardening"),
    deeper={2: ("file-trees",), 3: ("least-privilege",), 4: ("access-control",), 5: ("symlinks",)},
    generate=generate,
)
