"""Before a release: which packages of a workspace get which new version, from what changed in their interfaces.

The notations of manifests and interfaces, the form of the plan and all names change with the seed; an interface is
always listed in another order than before. Level 2 brings versions below 1.0 and changes without trace in an interface;
level 3 needs that no longer fit, which go on from package to package; level 4 packages that pass others' interfaces on
and parameters that may be left out; level 5 internal functions and packages that are not published.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import SERVICES, root
from termgym.task import Check, File, Limits

from ._workspace import VERBS, Function, Package, dotted, make_packages, release

OPENINGS = (
    "We are about to release the packages in {root}. Work out which of them get a new version, and which.",
    "Please prepare the release of the workspace {root}: new versions by the rules below.",
    "Ticket: version numbers for the release of {root}. Nobody may guess; here is what we go by.",
    "{root} is a workspace of packages, one in each folder. Decide on their next versions.",
)
FILES = (
    "A package has its version and its needs in {manifest}, the functions of its interface in api.txt, one on a line, "
    "and those of its last release in api-released.txt."
)
LEVELS = (
    "The bump of a package is major if its interface lost a function or changed one, else minor if it gained one, "
    "{else_}else none. The order of functions does not matter."
)
NOTES = "else patch if there is a file in its folder changes, "
ZERO = (
    "A major bump raises the first number of the version, a minor one the second, a patch the third; the numbers after "
    "it become 0. While the first number is 0, a major bump raises the second instead, and a minor one the third."
)
PLAIN_RULE = (
    "A major bump raises the first number of the version, a minor one the second; the numbers after it become 0."
)
NEEDS = (
    "Needs are written ^A.B, which fits versions from A.B.0 to below (A+1).0.0, or to below 0.(B+1).0 if A is 0. If a "
    "package gets a new version that does not fit a need of another one, the other's need becomes ^A.B with the first "
    "two numbers of the new version, and its bump is at least patch, with all that follows from that."
)
PASSED = "A package gets at least the bump of every package that it re-exports."
OPTIONAL = "A function that only gained parameters with {optional} at its end counts as gained and not as changed."
INTERNAL = "Functions whose names begin with _ do not count."
PRIVATE = (
    "Packages with {private} get no new version and do not stand in the plan, whatever their bump, but their needs are "
    "kept up to date."
)
PLAN = (
    "Write {plan}: the line {header}, then a line for each package that gets a new version, by name from A to Z: name, "
    "version so far, new version, bump (the word)."
)
EDIT = "Put the new versions{and_needs} into the manifests, and change nothing else in the workspace."

READ = "plain {path} 100000 || exit 1\ngot=$(tr -d '\\r' < {path}) want=$(cat expected/plan)\n"
SAME = """\
while read -r sum path; do plain "$path" && [ "$(sha256sum < "$path")" = "$sum  -" ] || exit 1; done < {name}
"""


@dataclass(frozen=True, slots=True)
class Style:
    """Where things are and how they are written."""

    level: int
    root: str
    toml: bool
    calls: bool
    plan: str
    separator: str

    @property
    def manifest(self) -> str:
        """The name of manifests."""
        return "package.toml" if self.toml else "package.ini"

    def function(self, one: Function) -> str:
        """A line of an interface."""
        if self.calls:
            return f"{one.name}({', '.join([*one.needed, *(f'{name}=None' for name in one.optional)])})"
        return " ".join([one.name, *map(str.upper, one.needed), *(f"[{name.upper()}]" for name in one.optional)])

    def text(self, package: Package) -> str:
        """A manifest."""
        quote = '"' if self.toml else ""
        lines = [
            "[package]",
            f"name = {quote}{package.name}{quote}",
            f"version = {quote}{dotted(package.version)}{quote}",
        ]
        lines += ["private = true"] if package.private else []
        lines += [f"reexports = {quote}{package.passes}{quote}"] if package.passes else []
        lines += ["", "[needs]", *(f"{name} = {quote}^{a}.{b}{quote}" for name, (a, b) in package.needs.items())]
        return "".join(f"{line}\n" for line in lines)


def generate(rng: Random, level: int) -> Draft:
    """One workspace, drawn again until every rule makes a difference."""
    style = _style(rng, level)
    while True:
        packages = make_packages(rng, level)
        rows, after = release(packages, level)
        kinds = {row[3] for row in rows}
        others = (release(packages, level, needs=False)[0], release(packages, level, zero=False)[0])
        if len(kinds) >= min(level + 1, 3) and (level < 3 or others[0] != rows) and (level < 2 or others[1] != rows):
            break
    rows.insert(0, ("package", "old", "new", "bump"))
    files = {f"{style.root}/{path}": text for package in packages for path, text in _files(rng, style, package)}
    manifests = {f"{style.root}/{package.name}/{style.manifest}": style.text(package) for package in after}
    return Draft(
        instruction=_instruction(rng, style),
        checks=tuple(_checks(style)),
        oracle=_oracle(style, packages),
        wrong=_wrong(style, packages),
        files={path: File.of(text) for path, text in files.items()},
        tests={
            "expected/plan": File.of("".join(style.separator.join(row) + "\n" for row in rows)),
            "manifests": File.of(_sums(manifests)),
            "others": File.of(_sums({path: text for path, text in files.items() if path not in manifests})),
        },
        limits=Limits(turns=40),
    )


def _sums(texts: dict[str, str]) -> str:
    return "".join(f"{sha256(text.encode()).hexdigest()} {path}\n" for path, text in texts.items())


def _style(rng: Random, level: int) -> Style:
    place = root(rng, rng.choice(SERVICES)) + rng.choice(("/packages", "/workspace", "/libs"))
    out = rng.choice(("/app/release", "/app/out", "/app/plan"))
    plan = f"{out}/{rng.choice(('versions', 'plan', 'bumps'))}.csv"
    return Style(level, place, rng.random() < 0.5, rng.random() < 0.5, plan, rng.choice(",;|"))


def _files(rng: Random, style: Style, package: Package) -> Iterator[tuple[str, str]]:
    folder = package.name
    yield f"{folder}/{style.manifest}", style.text(package)
    yield f"{folder}/api-released.txt", "".join(f"{style.function(one)}\n" for one in package.old)
    yield f"{folder}/api.txt", "".join(f"{style.function(one)}\n" for one in package.new)
    if package.noted:
        yield f"{folder}/changes/{rng.randint(100, 999)}.md", f"Mended {rng.choice(VERBS)}.\n"


def _instruction(rng: Random, style: Style) -> str:
    level = style.level
    rules = [
        FILES,
        LEVELS,
        ZERO if level > 1 else PLAIN_RULE,
        *([NEEDS] * (level > 2)),
        *([PASSED, OPTIONAL] * (level > 3)),
        *([INTERNAL, PRIVATE] * (level > 4)),
    ]
    bullet = rng.choice(("", "- ", "* "))
    return "\n\n".join([rng.choice(OPENINGS), "\n".join(bullet + rule for rule in rules), PLAN, EDIT]).format(
        root=style.root, manifest=style.manifest, plan=style.plan, else_=NOTES if level > 1 else "",
        optional="a default (=None)" if style.calls else "brackets around them", private="private = true",
        header=style.separator.join(("package", "old", "new", "bump")), and_needs=" and needs" if level > 2 else "",
    ) + "\n"  # fmt: skip


def _checks(style: Style) -> Iterator[Check]:
    read = PLAIN + READ.format(path=style.plan)
    for name, columns in (("released", "1"), ("bumps", "1,4"), ("versions", "1-")):
        cut = f"cut -d '{style.separator}' -f {columns} <<<"
        yield Check(name, f'{read}[ "$({cut}"$got")" = "$({cut}"$want")" ]\n')
    places = f"# manifests below {style.root}\n"
    yield Check("manifests", PLAIN + places + SAME.format(name="manifests") + SAME.format(name="others"), 2)


SCRIPT = """\
cat > /tmp/bumps.py << 'EOF'
import configparser, os, re
ROOT = '{root}/'
def api(name, file):
    return {{l for l in open(ROOT + name + '/' + file).read().splitlines() if l[0] != '_'}}
def own(name):
    old, new = api(name, 'api-released.txt'), api(name, 'api.txt')
    grown = {{re.sub({optional!r}, '', l) for l in new}}
    return 3 if old - new - grown else 2 if new - old else 1 if os.path.isdir(ROOT + name + '/changes') else 0
def up(version, bump):
    a, b, c = version
    if a == 0 and bump > 1:
        bump -= 1
    return [version, [a, b, c + 1], [a, b + 1, 0], [a + 1, 0, 0]][bump]
info = {{}}
for name in os.listdir(ROOT):
    c = configparser.ConfigParser()
    c.read(ROOT + name + '/{manifest}')
    p = {{k: v.strip('"') for k, v in c['package'].items()}}
    n = {{k: v.strip('"^') for k, v in c['needs'].items()}}
    info[name] = p, n, [int(x) for x in p['version'].split('.')]
bump = {{name: own(name) for name in info}}
EOF
"""
RAISE = """\
cat > /tmp/raise.py << 'EOF'
from bumps import *
def now(name):
    p, n, v = info[name]
    return v if 'private' in p else up(v, bump[name])
def fits(v, need):
    a, b = map(int, need.split('.'))
    return v[0] == a and (v[1] >= b if a else v[1] == b)
while True:
    before = dict(bump)
    for name, (p, needs, v) in info.items():
        if any(not fits(now(o), need) for o, need in needs.items()):
            bump[name] = max(bump[name], {least})
        if p.get('reexports'):
            bump[name] = max(bump[name], bump[p['reexports']])
    if bump == before:
        break
with open('{plan}', 'w') as out:
    print('package', 'old', 'new', 'bump', sep='{sep}', file=out)
    for name, (p, needs, v) in sorted(info.items()):
        path = ROOT + name + '/{manifest}'
        text = open(path).read()
        new = '.'.join(map(str, now(name)))
        text = text.replace(p['version'], new, 1)
        for o, need in needs.items():
            if {least} and not fits(now(o), need):
                text = re.sub(rf'^({{o}} = "?)\\^[0-9.]+', rf'\\g<1>^{{now(o)[0]}}.{{now(o)[1]}}', text, flags=re.M)
        open(path, 'w').write(text)
        if now(name) != v:
            print(name, p['version'], new, ['none', 'patch', 'minor', 'major'][bump[name]], sep='{sep}', file=out)
EOF
"""


def _oracle(style: Style, packages: Sequence[Package]) -> tuple[str, ...]:
    """A look at some packages, what each one's interface says, and what follows."""
    optional = r"(, )?\w+=None" if style.calls else r" \[\w+\]"
    look = [
        f"cat {one.name}/{style.manifest}; diff {one.name}/api-released.txt {one.name}/api.txt\n" for one in packages
    ]
    return (
        f"cd {style.root} && ls -R . | head -n 50\n",
        *look[: style.level + 1],
        SCRIPT.format(root=style.root, manifest=style.manifest, optional=optional),
        *(["cd /tmp; python3 -c 'from bumps import *; print(bump)'\n"] if style.level > 2 else []),
        RAISE.format(plan=style.plan, sep=style.separator, manifest=style.manifest, least=int(style.level > 2)),
        f"mkdir -p {style.plan.rpartition('/')[0]} && python3 /tmp/raise.py\n",
        f"cat {style.plan}; head -n 20 {style.root}/*/{style.manifest} | head -n 60\n",
    )


def _wrong(style: Style, packages: Sequence[Package]) -> dict[str, tuple[str, ...]]:
    oracle, out = _oracle(style, packages), style.plan.rpartition("/")[0]
    mistakes = {
        "manifests-left": ("open(path, 'w').write(text)", "pass"),
        "gains-as-patches": ("else 2 if new - old", "else 1 if new - old"),
        "versions-below-1-too": ("if a == 0 and bump > 1:", "if 0:"),
        "needs-forgotten": ("if any(not fits", "if 0 and any(not fits"),
    }
    names = [*mistakes][: 2 if style.level < 2 else 3 if style.level < 3 else 4]
    wrong = {name: tuple(keys.replace(*mistakes[name]) for keys in oracle) for name in names}
    return {**wrong, "cheat": (f"mkdir -p {out}; ln -s /tests/expected/plan {style.plan}\n",)}


FAMILY = Family(
    name="deps/release-bumps",
    summary="Decide on the next versions of a workspace's packages from what changed in their interfaces.",
    domain="dependency_management",
    skills=("semantic-versions", "diff", "api-design"),
    deeper={2: ("validation",), 3: ("graph-search",), 4: ("package-metadata",), 5: ("release-notes",)},
    generate=generate,
    requires=("python3", "diff"),
)
