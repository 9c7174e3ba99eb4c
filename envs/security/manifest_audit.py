"""A tree of files is held against its manifest of checksums; what was tampered with is reported and restored.

Level 2 has files that nobody listed, level 3 a backup from which the changed ones are restored, level 4 a manifest that
is itself signed (HMAC) among forged ones, level 5 links, and a backup of which some files are bad as well.
"""

import hmac
from dataclasses import dataclass
from hashlib import md5, sha1, sha256
from random import Random

from termgym.checks import GONE, Entry, Regular, entries, report
from termgym.family import Draft, Family
from termgym.lexicon import HOSTS, ITEMS, PLACES, SERVICES, root, token
from termgym.task import File, Limits

ASKS = (
    "Somebody had access to {tree}. Hold it against {manifest}.\n\n{rules}\n\n{out}\n",
    "An audit of {tree} is due. {manifest} says what should be there.\n\n{rules}\n\n{out}\n",
    "{out}\n\nIt is about {tree}, and {manifest} is what to go by.\n\n{rules}\n",
    "Which files below {tree} are not as {manifest} has them?\n\n{out}\n\n{rules}\n",
)
PLAIN_RULE = "- Each line of the manifest is the {algorithm} of a file, two blanks, and its path below {tree}."
LISTED = "- Nothing else should be below {tree}: other files are extra."
RESTORE = (
    "- Then restore: changed and missing files come back from {backup}, which has the same tree, and extra files go."
)
SIGNED = (
    "- Only one of the manifests {folder}/manifest-*.txt is genuine: the one whose HMAC-SHA256 under the key in"
    " {folder}/key.txt (its line without the newline, as text) is, in hex, in the .sig file of its name. Go by that"
    " one."
)
BAD_BACKUP = (
    "- A file of {backup} that is not as the manifest has it is no good: leave such a one as it is, and report it lost."
)
OUT = (
    "Write {report}: a line for each file that is not right, with its state, a blank and its path below {tree}, sorted"
    " by path (LC_ALL=C). States: {states}. It tells what was found, before anything is restored."
)
ALGORITHMS = {"sha256": sha256, "sha1": sha1, "md5": md5}


@dataclass(frozen=True, slots=True)
class Tree:
    """Path -> content as it should be, as it is, and as the backup has it."""

    wanted: dict[str, bytes]
    found: dict[str, bytes]
    backup: dict[str, bytes]

    def states(self) -> dict[str, str]:
        """Path -> what is wrong with it."""
        states = {path: "extra" for path in self.found.keys() - self.wanted.keys()}
        for path, content in self.wanted.items():
            if path not in self.found:
                states[path] = "missing"
            elif self.found[path] != content:
                states[path] = "changed"
        return {path: self._lost(path, states[path]) for path in sorted(states)}

    def _lost(self, path: str, state: str) -> str:
        return "lost" if state != "extra" and self.backup.get(path) != self.wanted[path] else state


def generate(rng: Random, level: int) -> Draft:
    """One tree."""
    service = rng.choice(SERVICES)
    top, folder = root(rng, service), f"/app/{rng.choice(PLACES)}"
    tree, backup = (
        f"{top}/{rng.choice(('files', 'htdocs', 'share', 'tree'))}",
        f"/var/{rng.choice(('backups', 'safe', 'copy'))}/{service}",
    )
    algorithm = rng.choice(tuple(ALGORITHMS))
    files = _tree(rng, level)
    states = (
        files.states()
        if level > 2
        else {path: "changed" if state == "lost" else state for path, state in files.states().items()}
    )
    if level == 1:
        files = Tree(
            files.wanted, {path: data for path, data in files.found.items() if path in files.wanted}, files.backup
        )
        states = {path: state for path, state in states.items() if state != "extra"}
    manifests, genuine = _manifests(rng, files.wanted, algorithm, folder, level)
    out = f"/app/{rng.choice(('audit', 'findings', 'report'))}.txt"
    names = {1: "changed, missing", 2: "changed, missing, extra"}.get(level, "changed, missing, extra")
    rules = [
        PLAIN_RULE,
        *([LISTED] if level > 1 else []),
        *([RESTORE] if level > 2 else []),
        *([SIGNED] if level > 3 else []),
        *([BAD_BACKUP] if level > 4 else []),
    ]
    manifest = f"the genuine manifest in {folder}" if level > 3 else genuine
    fields = {
        "tree": tree,
        "backup": backup,
        "folder": folder,
        "algorithm": algorithm.upper().replace("SHA", "SHA-").replace("SHA-1", "SHA-1"),
    }
    told = OUT.format(
        report=out,
        tree=tree,
        states=names + (", lost (changed or missing, and no good in the backup)" if level > 4 else ""),
    )
    disk = {f"{tree}/{path}": data for path, data in files.found.items()} | manifests
    disk |= {f"{backup}/{path}": data for path, data in files.backup.items()} if level > 2 else {}
    oracle = _oracle(tree, backup, folder, genuine, algorithm, out, level)
    return Draft(
        instruction=rng.choice(ASKS).format(
            tree=tree, manifest=manifest, rules="\n".join(rules).format(**fields), out=told
        ),
        checks=(
            *report(out, "\n".join(f"{state} {path}" for path, state in states.items())),
            *(
                (
                    entries("restored", _restored(files, tree, states), 3),
                    entries("others-kept", _kept(files, tree, backup, states)),
                )
                if level > 2
                else ()
            ),
        ),
        oracle=oracle,
        wrong=_wrong(oracle, out, tree, backup, level),
        files={path: File(data) for path, data in disk.items()},
        limits=Limits(turns=50),
    )


def _tree(rng: Random, level: int) -> Tree:
    """Some dozen files; of those that are not right the first is changed in one letter, at the same length."""
    folders = ["", *rng.sample(HOSTS, 1 + level // 2)]
    names = [
        f"{rng.choice(folders)}/{item}.{rng.choice(('conf', 'html', 'txt', 'bin'))}".strip("/")
        for item in rng.sample(ITEMS, 9 + 3 * level)
    ]
    wanted = {
        name: "".join(f"{token(rng, 9)} {rng.random()}\n" for _ in range(rng.randint(3, 9))).encode() for name in names
    }
    bad = rng.sample(names, 3 + level)
    found, backup = dict(wanted), dict(wanted)
    for number, name in enumerate(bad):
        if number % 3 == 2:
            del found[name]
        else:
            found[name] = wanted[name].swapcase() if number % 3 else wanted[name][:-2] + b"x\n"
    for name in rng.sample(("cache.php", ".htaccess", "x.sh", "old copy.txt"), 2):
        found[f"{folders[-1]}/{name}".strip("/")] = b"GIF89a; eval\n"
    if level > 4:
        backup[bad[0]] = backup[bad[0]].replace(b"1", b"7").replace(b" 0.", b" 0.0")
        del backup[bad[2]]
    return Tree(wanted, found, backup)


def _manifests(
    rng: Random, wanted: dict[str, bytes], algorithm: str, folder: str, level: int
) -> tuple[dict[str, bytes], str]:
    text = "".join(f"{ALGORITHMS[algorithm](data).hexdigest()}  {path}\n" for path, data in sorted(wanted.items()))
    if level < 4:
        return {f"{folder}/manifest.{algorithm}": text.encode()}, f"{folder}/manifest.{algorithm}"
    key, names, files = token(rng, 20), rng.sample(range(1, 60), 3), dict[str, bytes]()
    for number, name in enumerate(names):
        lines = text.splitlines(keepends=True)
        forged = "".join(lines[: -1 - number]) if number else text
        files[f"{folder}/manifest-{name}.txt"] = forged.encode()
        told = hmac.new(key.encode(), text.encode() if number == 1 else forged.encode() + b"\n" * (number > 1), sha256)
        files[f"{folder}/manifest-{name}.sig"] = f"{told.hexdigest()}\n".encode()
    files[f"{folder}/key.txt"] = f"{key}\n".encode()
    return files, f"{folder}/manifest-{names[0]}.txt"


def _restored(files: Tree, tree: str, states: dict[str, str]) -> dict[str, Entry]:
    return {
        f"{tree}/{path}": GONE if state == "extra" else Regular(files.wanted[path])
        for path, state in states.items()
        if state != "lost"
    }


def _kept(files: Tree, tree: str, backup: str, states: dict[str, str]) -> dict[str, Entry]:
    """What was right stays right, what is lost stays as it is, and so does the backup; something was restored."""
    kept: dict[str, Entry] = {
        f"{tree}/{path}": Regular(data) for path, data in files.found.items() if path not in states
    }
    kept |= {f"{backup}/{path}": Regular(data) for path, data in files.backup.items()}
    lost = [path for path, state in states.items() if state == "lost"]
    kept |= {f"{tree}/{path}": Regular(files.found[path]) if path in files.found else GONE for path in lost}
    extra = [path for path, state in states.items() if state == "extra"]
    return kept | {f"{tree}/{path}": GONE for path in extra[:1]}


def _oracle(
    tree: str, backup: str, folder: str, manifest: str, algorithm: str, out: str, level: int
) -> tuple[str, ...]:
    find = (
        f"for m in {folder}/manifest-*.txt; do h=$(openssl dgst -sha256 -hmac $(cat {folder}/key.txt) $m | sed 's/.*"
        " //'); [ $h = $(cat ${m%.txt}.sig) ] && M=$m; done; echo $M\n"
    )
    lost = f" || [ $(cd {backup}; cat \"$p\" 2>/dev/null | {algorithm}sum | cut -d' ' -f1) = $h ] || s=lost"
    listing = (
        'while read -r h p; do s=; [ -e "$p" ] || s=missing; [ -n "$s" ] || [ $('
        f'{algorithm}sum < "$p" | cut -d\' \' -f1) = $h ] || s=changed; [ -z "$s" ]{lost if level > 4 else ""};'
        ' [ -z "$s" ] || echo "$s $p"; done < $M > /tmp/found\n'
    )
    extra = (
        'find . -type f | sed \'s,^./,,\' | while IFS= read -r p; do grep -qF "  $p" $M || echo "extra $p"; done >>'
        " /tmp/found\n"
    )
    restore = (
        'while read -r s p; do case $s in extra) rm -- "$p";; changed|missing) mkdir -p "$(dirname "$p")"; cp --'
        f' {backup}/"$p" "$p";; esac; done < {out}\n'
    )
    return (
        f"ls {folder}; find {tree} | head -n 30\n",
        find if level > 3 else f"M={manifest}; head -n 3 $M\n",
        f"cd {tree}\n",
        listing,
        *([extra] if level > 1 else []),
        f"LC_ALL=C sort -k2 /tmp/found > {out}; cat {out}\n",
        *([restore] if level > 2 else []),
    )


def _wrong(oracle: tuple[str, ...], out: str, tree: str, backup: str, level: int) -> dict[str, tuple[str, ...]]:
    wrong = {
        "by-size-only": tuple(keys.replace("s=changed", "s=") for keys in oracle),
        "missing-overlooked": tuple(keys.replace("s=missing", "continue") for keys in oracle),
        "unsorted": (*oracle, f"sort -r {out} -o {out}\n"),
        "manifest-made-anew": (f"mkdir -p {tree}; find {tree} -type f | head -n 2 | sed 's/^/changed /' > {out}\n",),
    }
    if level > 2:
        wrong["everything-replaced"] = (*oracle, f"rm -rf {tree}; cp -r {backup} {tree}; rm -f {backup}/*\n")
        wrong["not-restored"] = oracle[:-1]
    return wrong


FAMILY = Family(
    name="security/manifest-audit",
    summary="Hold a tree against its manifest of checksums, report what was tampered with, and restore it.",
    domain="security",
    skills=("checksums", "integrity", "file-trees"),
    deeper={3: ("forensics",), 4: ("hmac", "signatures")},
    generate=generate,
    requires=("openssl",),
)
