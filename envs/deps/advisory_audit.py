"""A lock file against a folder of advisories: which packages are affected, and the least upgrade that mends each.

The notations of lock and advisories, the form of the report and all names change with the seed; minor versions always
pass from one digit to two. Level 2 brings ranges in several parts and versions that were withdrawn; level 3 bounds set
by packages that need the affected one, and advisories that were withdrawn; level 4 a threshold of severity and
pre-releases; level 5 versions for other runtimes, and several advisories about one matter.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, SERVICES, root
from termgym.task import Check, File, Limits

from ._advisories import KINDS, Advisory, Package, Rules, dotted, make_package

OPENINGS = (
    "Audit {lock}: the advisories in {advisories} may concern what is locked there.",
    "Security asks which packages of {lock} are affected by the advisories in {advisories}, and for the least upgrade.",
    "We have to answer for every advisory in {advisories} by tonight. The versions we ship are those of {lock}.",
    "Please check the versions in {lock} against the advisories in {advisories}, and raise those that must be raised.",
)
VERSIONS = (
    "{index}/PACKAGE.txt lists the versions that there are of each package, one on a line, in no order. Versions "
    "compare number by number, so that 1.10.0 is newer than 1.9.3."
)
AFFECTED = (
    "A version is affected by an advisory if it lies in one of its ranges: not older than the first version of the "
    "range, and older than the second. A range without a second version has no end."
)
FIX = (
    "The fix for a package whose locked version is affected is the oldest version that is newer than the locked one"
    "{conditions}. If there is none, the fix is the word none, and the lock keeps its version."
)
CONDITIONS = {
    1: "is affected by no advisory",
    2: "is not marked yanked",
    3: "satisfies every bound that a package in the lock sets for it (the lock as it is)",
    4: "is not a pre-release (has no hyphen)",
    5: "runs on our runtime, {runtime} (a line may end with the oldest runtime that will do, such as runtime>=3.9)",
}
WITHDRAWN = "Advisories that are marked as withdrawn are as if they were not there."
SEVERITY = "So are those with a severity below {threshold}."
ALIASES = (
    "An advisory with an alias is about the same matter as the advisory of that name, and ranges of both count; in the "
    "report only the other one's name stands for it."
)
REPORT = (
    "Write {report}: the line {header}, then a line for each affected package in alphabetical order: its name, the "
    "locked version, the fix, and the names of the advisories that affect the locked version, each once, in "
    "alphabetical order with single spaces between them."
)
LOCK = "Write {new}: the text of {lock}, in which every affected package that has a fix is at that version. {keep}"
KEEP = ("Do not change the lock itself.", "The lock itself stays as it is.")
READ = "plain {path} 100000 || exit 1\ngot=$(tr -d '\\r' < {path}) want=$(cat expected/{name})\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """Where things are and how they are written."""

    level: int
    folder: str
    lock: str
    json: bool
    indented: bool
    separator: str
    report: str
    new: str
    rules: Rules


def generate(rng: Random, level: int) -> Draft:
    """One lock and its advisories."""
    plan = _plan(rng, level)
    packages = _packages(rng, plan)
    rows = [*_rows(plan, packages)]
    fixes = {name: fix for name, _, fix, _ in rows if fix != "none"}
    report = [("package", "locked", "fix", "advisories"), *rows]
    advisories = [advisory for package in packages for advisory in package.advisories]
    files = {f"{plan.folder}/index/{package.name}.txt": _index(rng, package) for package in packages}
    files |= {
        f"{plan.folder}/advisories/{one.name}.{'json' if plan.json else 'txt'}": _text(plan, one) for one in advisories
    }
    new = _lock(plan, packages, fixes)
    return Draft(
        instruction=_instruction(rng, plan),
        checks=tuple(_checks(plan)),
        oracle=_oracle(plan, packages, advisories),
        wrong=_wrong(plan, packages, advisories),
        files={path: File.of(text) for path, text in {plan.lock: _lock(plan, packages, {}), **files}.items()},
        tests={
            "expected/report": File.of("".join(plan.separator.join(row) + "\n" for row in report)),
            "expected/lock": File.of(new),
        },
        limits=Limits(turns=40),
    )


def _plan(rng: Random, level: int) -> Plan:
    folder, out = root(rng, rng.choice(SERVICES)), rng.choice(("/app/audit", "/app/out", "/app/review"))
    return Plan(
        level=level,
        folder=folder,
        lock=f"{folder}/{rng.choice(('packages', 'deps', 'versions'))}.lock",
        json=rng.random() < 0.5,
        indented=rng.random() < 0.5,
        separator=rng.choice(",;|"),
        report=f"{out}/{rng.choice(('report', 'findings', 'affected'))}.csv",
        new=f"{out}/{rng.choice(('new', 'mended', 'raised'))}.lock",
        rules=Rules(threshold=rng.choice((4.0, 5.0, 6.0)), runtime=(3, rng.randint(9, 10))),
    )


def _packages(rng: Random, plan: Plan) -> list[Package]:
    """Packages by name, each with the advisories of one kind; no two advisories have the same name."""
    while True:
        packages = [make_package(rng, name) for name in rng.sample(ITEMS, (0, 5, 8, 12, 16, 20)[plan.level])]
        kinds = KINDS[: (0, 2, 4, 7, 9, 11)[plan.level]]
        for number, package in enumerate(packages):
            kinds[number % len(kinds)](rng, plan.rules, package, packages[number - 1])
        names = [advisory.name for package in packages for advisory in package.advisories]
        if len({*names}) == len(names):
            return sorted(packages, key=lambda package: package.name)


def _rows(plan: Plan, packages: Sequence[Package]) -> Iterator[tuple[str, str, str, str]]:
    """The report: package, locked version, fix, advisories."""
    for package in packages:
        counting = [
            a for a in package.advisories if not a.withdrawn and (plan.level < 4 or a.severity >= plan.rules.threshold)
        ]
        found = {one.alias or one.name for one in counting if one.affects(package.locked.version)}
        bounds = [other.bounds[package.name] for other in packages if package.name in other.bounds]
        fixes = [
            str(release)
            for release in package.releases[package.at + 1 :]
            if not any(one.affects(release.version) for one in counting)
            and not (release.yanked or release.pre)
            and all(release.version < bound for bound in bounds)
            and release.runtime <= plan.rules.runtime
        ]
        if found:
            yield package.name, str(package.locked), [*fixes, "none"][0], " ".join(sorted(found))


def _index(rng: Random, package: Package) -> str:
    lines = [release.line for release in package.releases]
    return "".join(f"{line}\n" for line in rng.sample(lines, len(lines)))


def _lock(plan: Plan, packages: Sequence[Package], fixes: dict[str, str]) -> str:
    """The lock, with these packages at other versions."""
    blocks: list[str] = []
    for package in packages:
        version = fixes.get(package.name, str(package.locked))
        needs = [f"{name} <{dotted(bound)}" for name, bound in sorted(package.bounds.items())]
        if plan.indented:
            blocks.append("".join(f"{line}\n" for line in [f"{package.name} {version}", *(f"    {n}" for n in needs)]))
        else:
            blocks.append(f"[{package.name}]\nversion = {version}\nneeds = {', '.join(needs)}".rstrip() + "\n\n")
    return "".join(blocks).rstrip("\n") + "\n"


def _text(plan: Plan, one: Advisory) -> str:
    """An advisory as a file."""
    ranges = [[dotted(first), *([dotted(end)] if end else [])] for first, end in one.ranges]
    fields = {"id": one.name, "package": one.package, "severity": one.severity}
    fields |= {"withdrawn": True} if one.withdrawn else {}
    fields |= {"alias": one.alias} if one.alias else {}
    if plan.json:
        return json.dumps({**fields, "ranges": ranges}, indent=1) + "\n"
    lines = [f"{key.title()}: {'yes' if value is True else value}" for key, value in fields.items()]
    return "".join(f"{line}\n" for line in [*lines, *(f"Range: {' '.join(pair)}" for pair in ranges)])


def _instruction(rng: Random, plan: Plan) -> str:
    level = plan.level
    conditions = [text for start, text in CONDITIONS.items() if start <= level]
    extra = [*([WITHDRAWN] * (level > 2)), *([SEVERITY] * (level > 3)), *([ALIASES] * (level > 4))]
    joined = " and ".join([", ".join(conditions[:-1]), conditions[-1]] if level > 1 else conditions)
    parts = [
        rng.choice(OPENINGS),
        VERSIONS,
        " ".join([AFFECTED, *extra]),
        FIX.replace("{conditions}", f" and {joined}" if level < 2 else f", {joined}"),
        REPORT,
        LOCK,
    ]
    return "\n\n".join(parts).format(
        lock=plan.lock, advisories=f"{plan.folder}/advisories", index=f"{plan.folder}/index", report=plan.report,
        new=plan.new, header=plan.separator.join(("package", "locked", "fix", "advisories")), keep=rng.choice(KEEP),
        threshold=plan.rules.threshold, runtime=dotted(plan.rules.runtime),
    ) + "\n"  # fmt: skip


def _checks(plan: Plan) -> Iterator[Check]:
    read = PLAIN + READ.format(path=plan.report, name="report")
    for name, columns, weight in (("affected", "1,2", 1), ("advisories", "1,4", 1), ("fixes", "1-", 2)):
        cut = f"cut -d '{plan.separator}' -f {columns} <<<"
        yield Check(name, f'{read}[ "$({cut}"$got")" = "$({cut}"$want")" ]\n', weight)
    yield Check("lock", f'{PLAIN}{READ.format(path=plan.new, name="lock")}[ "$got" = "$want" ]\n', 2)


SCRIPT = """\
cat > /tmp/audit.py << 'EOF'
import glob, json, re
def key(text):
    return [int(n) for n in text.split('-')[0].split('.')]
def affects(a, v):
    return any(key(r[0]) <= key(v) and (len(r) < 2 or key(v) < key(r[1])) for r in a['ranges'])
lock = open('{lock}').read()
locked = dict(re.findall(r'{entry}', lock, re.M))
bounds = re.findall(r'([a-z]+) <([0-9.]+)', lock)
found = []
for path in sorted(glob.glob('{folder}/advisories/*')):
    {read}
    if not a.get('withdrawn') and float(a['severity']) >= {threshold}:
        found.append(a)
EOF
"""
JSON_READ = "a = json.load(open(path))"
TEXT_READ = """\
pairs = [line.strip().split(': ', 1) for line in open(path)]
    a = {k.lower(): v for k, v in pairs}
    a['ranges'] = [v.split() for k, v in pairs if k == 'Range']"""
FIXES = """\
cat > /tmp/fix.py << 'EOF'
from audit import *
with open('{report}', 'w') as out:
    print('package', 'locked', 'fix', 'advisories', sep='{sep}', file=out)
    for name, now in sorted(locked.items()):
        mine = [a for a in found if a['package'] == name]
        names = sorted({{a.get('alias') or a['id'] for a in mine if affects(a, now)}})
        if not names:
            continue
        fixes = []
        for line in open('{folder}/index/' + name + '.txt'):
            v, *flags = line.split()
            needs = [f[9:] for f in flags if f[:9] == 'runtime>=']
            if key(v) > key(now) and not any(affects(a, v) for a in mine) and '-' not in v and 'yanked' not in flags:
                if all(key(v) < key(b) for n, b in bounds if n == name) and all(key(n) <= {runtime} for n in needs):
                    fixes.append(v)
        fix = min(fixes, key=key, default='none')
        print(name, now, fix, ' '.join(names), sep='{sep}', file=out)
        if fix != 'none':
            lock = re.sub(rf'{old}', lambda m: m[1] + fix, lock, flags=re.M)
open('{new}', 'w').write(lock)
EOF
"""


def _oracle(plan: Plan, packages: Sequence[Package], advisories: Sequence[Advisory]) -> tuple[str, ...]:
    """A look at each kind of file, a reader, and the rule."""
    folder, out, end = plan.folder, plan.report.rpartition("/")[0], "json" if plan.json else "txt"
    entry, old = (r"^([a-z]+) (\S+)$", r"^({name} )\S+$") if plan.indented else (
        r"^\[([a-z]+)\]\nversion = (\S+)$", r"^(\[{name}\]\nversion = )\S+$")  # fmt: skip
    return (
        f"cd {folder} && ls -R . | head -n 60; head -n 12 {plan.lock}\n",
        *(f"cat advisories/{one.name}.{end}\n" for one in advisories[: plan.level]),
        f"cat index/{packages[0].name}.txt\n",
        *(["grep -l withdrawn -i advisories/*; grep -c yanked index/* | grep -v :0\n"] if plan.level > 2 else []),
        SCRIPT.format(
            lock=plan.lock, entry=entry, folder=folder, read=JSON_READ if plan.json else TEXT_READ,
            threshold=plan.rules.threshold if plan.level > 3 else 0,
        ),
        FIXES.format(
            report=plan.report, sep=plan.separator, folder=folder, runtime=[*plan.rules.runtime], old=old, new=plan.new
        ),
        f"mkdir -p {out} && python3 /tmp/fix.py\n",
        f"cat {plan.report}; diff {plan.lock} {plan.new} | head -n 40\n",
    )  # fmt: skip


def _wrong(plan: Plan, packages: Sequence[Package], advisories: Sequence[Advisory]) -> dict[str, tuple[str, ...]]:
    oracle, out = _oracle(plan, packages, advisories), plan.report.rpartition("/")[0]
    mistakes = {
        "compared-as-text": ("[int(n) for n in text.split('-')[0].split('.')]", "text"),
        "newest-instead-of-oldest": ("min(fixes", "max(fixes"),
        "lock-not-raised": ("m[1] + fix", "m[0]"),
        "yanked-taken": (" and 'yanked' not in flags", ""),
        "bounds-ignored": ("if n == name)", "if 0)"),
        "withdrawn-counted": ("not a.get('withdrawn') and ", ""),
        "severity-ignored": (f">= {plan.rules.threshold}", ">= 0"),
        "runtimes-ignored": ("for n in needs)", "for n in ())"),
    }
    names = [*mistakes][: (0, 3, 4, 6, 7, 8)[plan.level]]
    wrong = {name: tuple(keys.replace(*mistakes[name]) for keys in oracle) for name in names}
    return {
        **wrong,
        "cheat": (f"mkdir -p {out}; ln -s /tests/expected/report {plan.report}; cp {plan.lock} {plan.new}\n",),
    }


FAMILY = Family(
    name="deps/advisory-audit",
    summary="Find the locked packages that advisories affect, and the least upgrade of each.",
    domain="dependency_management",
    skills=("semantic-versions", "lock-files", "vulnerability-analysis"),
    deeper={2: ("interval-arithmetic",), 3: ("dependency-resolution",), 4: ("validation",), 5: ("deduplication",)},
    generate=generate,
    requires=("python3", "grep", "diff"),
)
