"""A tree with many copies of the same files; each set of copies is to be kept once, the rest linked or removed.

Level 2 has names that a shell splits, level 3 links instead of removal, level 4 files of the same size and start that
differ at the end, level 5 a report of what was saved, and folders that are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import GONE, Entry, Link, Regular, answer, entries
from termgym.family import Draft, Family
from termgym.lexicon import ADJECTIVES, ITEMS, PLACES, TOPICS
from termgym.task import File, Limits

ASKS = (
    "The tree {top} has files that are copies of each other. {which}\n\n{rules}\n",
    "Please free some space in {top}: files of the same content are there several times.\n\n{which}\n\n{rules}\n",
    "Remove what is there twice in {top}, by these rules.\n\n{rules}\n\n{which}\n",
    "{top} was copied together from several disks. Keep each content once.\n\n{which}\n\n{rules}\n",
)
WHICH = (
    "Two files are copies if their content is the same, byte for byte; names and times do not matter. Empty files do"
    " not count."
)
KEEP = {
    "first": "Of a set of copies the one is kept whose path comes first in byte order (LC_ALL=C sort).",
    "last": "Of a set of copies the one is kept whose path comes last in byte order (LC_ALL=C sort).",
    "deep": (
        "Of a set of copies the one is kept whose path has the fewest slashes; of these the first in byte order"
        " (LC_ALL=C sort)."
    ),
}
REMOVE = "The others are removed. Folders stay, even if nothing is left in them."
LINK = "Each of the others becomes a symbolic link whose target is the absolute path of the one that is kept."
LEAVE_OUT = (
    "Whatever is in a folder called {skip}, at any depth, takes no part: it is neither kept nor touched nor compared."
)
REPORT = (
    "Write {report} with lines NAME = NUMBER: sets, how many sets of copies there were; removed, how many files were"
    " {done}; bytes, how many bytes these had together."
)
PROGRAM = """\
import hashlib, os
sets = {{}}
for folder, folders, names in os.walk({top!r}):
    if {skip!r} in folders:
        folders.remove({skip!r})
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path):
            sets.setdefault(hashlib.sha256(open(path, "rb").read()).digest(), []).append(os.fsencode(path))
count = removed = saved = 0
for paths in sets.values():
    if len(paths) > 1:
        paths.sort(key=lambda p: {key})
        count += 1
        for path in paths[1:]:
            removed += 1
            saved += os.path.getsize(path)
            os.remove(path)
            {link}
print("sets = %d\\nremoved = %d\\nbytes = %d" % (count, removed, saved))
"""
KEYS = {"first": "p", "last": "[-b for b in p] + [1]", "deep": '(p.count(b"/"), p)'}


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done to a tree."""

    top: str
    keep: str
    link: bool
    skip: str

    def kept(self, paths: Sequence[str]) -> str:
        """Which of a set of copies."""
        if self.keep == "last":
            return max(paths, key=str.encode)
        return min(paths, key=lambda path: (path.count("/") * (self.keep == "deep"), path.encode()))

    def takes(self, path: str) -> bool:
        """Whether a file takes part."""
        return not self.skip or f"/{self.skip}/" not in path


def generate(rng: Random, level: int) -> Draft:
    """One tree."""
    keep = rng.choice(("first", "last")) if level < 3 else rng.choice(tuple(KEEP))
    top = f"/app/{rng.choice(PLACES)}"
    rule = Rule(top, keep, link=level > 2, skip=rng.choice(("keep", "vendor", "originals")) if level > 4 else "")
    files = _files(rng, rule, level)
    sets = _sets(rule, files)
    report = f"/app/{rng.choice(('saved', 'report', 'summary'))}.txt"
    gone = {path: paths for paths in sets for path in paths if path != rule.kept(paths)}
    numbers = {"sets": len(sets), "removed": len(gone), "bytes": sum(len(files[path]) for path in gone)}
    after: dict[str, Entry] = {path: Link(rule.kept(paths)) if rule.link else GONE for path, paths in gone.items()}
    copies: dict[str, Entry] = {rule.kept(paths): Regular(files[rule.kept(paths)]) for paths in sets}
    some = dict(list(after.items())[:1])
    others: dict[str, Entry] = {
        path: Regular(data) for path, data in files.items() if path not in after and path not in copies
    }
    program = PROGRAM.format(
        top=top, skip=rule.skip, key=KEYS[keep], link="os.symlink(paths[0], path)" if rule.link else "pass"
    )
    rules = [KEEP[keep], LINK if rule.link else REMOVE]
    rules += [LEAVE_OUT.format(skip=rule.skip)] if rule.skip else []
    rules += [REPORT.format(report=report, done="replaced by links" if rule.link else "removed")] if level > 4 else []
    tail = f" > {report}" if level > 4 else ""
    return Draft(
        instruction=rng.choice(ASKS).format(top=top, which=WHICH, rules=" ".join(rules)),
        checks=(
            entries("copies", after, 2),
            entries("kept", copies | some, 2),
            entries("others-untouched", others | some),
            *(answer(report, name, str(number), weight=0.5) for name, number in numbers.items() if level > 4),
        ),
        oracle=_oracle(program, top, tail),
        wrong={
            "by-size": _oracle(
                program.replace('open(path, "rb").read()', "str(os.path.getsize(path)).encode()"), top, tail
            ),
            "by-the-first-bytes": _oracle(program.replace(".read())", ".read(8))"), top, tail),
            "another-kept": _oracle(
                program.replace("paths.sort(key=lambda p: ", "paths.sort(reverse=True, key=lambda p: "), top, tail
            ),
            "one-of-each-set": _oracle(program.replace("paths[1:]:", "paths[1:2]:"), top, tail),
            "empty-too": _oracle(program.replace(" and os.path.getsize(path):", ":"), top, tail),
        },
        files={path: File(data) for path, data in files.items()},
        limits=Limits(turns=40),
    )


def _files(rng: Random, rule: Rule, level: int) -> dict[str, bytes]:
    """Sets of two to four copies, files that only look like copies, and two empty ones."""
    folders = [rule.top] + [f"{rule.top}/{name}" for name in rng.sample(TOPICS, 2 + level)]
    folders += [f"{folders[1]}/{rng.choice(ADJECTIVES)}"] + ([f"{folders[2]}/{rule.skip}"] if rule.skip else [])
    names = iter(rng.sample([f"{a}{_joint(rng, level)}{b}" for a in ADJECTIVES for b in ITEMS[:12]], 70))
    files: dict[str, bytes] = {}

    def put(data: bytes, folder: str) -> None:
        files[f"{folder}/{next(names)}.{rng.choice(('jpg', 'txt', 'dat'))}"] = data

    for number in range(3 + level):
        data = b"%05d head " % number + rng.randbytes(30 + number)
        for folder in rng.sample(folders[:-1], rng.randint(2, 4) if number else 4):
            put(data, folder)
        if rule.skip and number < 2:
            put(data, folders[-1])
        put(data[:-1] + bytes([data[-1] ^ 1]), rng.choice(folders))
    for _ in range(2):
        put(b"", rng.choice(folders[:2]))
    return files


def _joint(rng: Random, level: int) -> str:
    return rng.choice((" ", "-", "_", "'s ", " & ", "  ")) if level > 1 else rng.choice("-_.")


def _sets(rule: Rule, files: Mapping[str, bytes]) -> list[list[str]]:
    found: dict[bytes, list[str]] = {}
    for path, data in files.items():
        if data and rule.takes(path):
            found.setdefault(data, []).append(path)
    return [paths for paths in found.values() if len(paths) > 1]


def _oracle(program: str, top: str, tail: str) -> tuple[str, ...]:
    return (
        f"find {top} -type f -printf '%s %p\\n' | sort -n | head -n 20\n",
        f"find {top} -type f -exec sha256sum {{}} + | cut -c1-64 | sort | uniq -d | wc -l\n",
        f"cat > /tmp/once.py <<'END'\n{program}END\n",
        f"python3 /tmp/once.py{tail}\n",
        f"find {top} -printf '%y %8s %p %l\\n' | tail -n 20\n",
    )


FAMILY = Family(
    name="files/deduplicate",
    summary="Keep each of a tree's contents once, by a rule, and link or remove the copies.",
    domain="file_operations",
    skills=("hashing", "file-trees"),
    deeper={2: ("quoting",), 3: ("symlinks",), 5: ("disk-usage",)},
    generate=generate,
    requires=("python3",),
)
