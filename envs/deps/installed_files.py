"""A folder of installed Python packages against what their RECORD files say: report what is wrong, and put it right.

Names, damage, the folder and the form of the report change with the seed; a changed file keeps its size. Level 2 brings
requirements, whose names are written in several ways; level 3 the repair from a folder of wheels, in which there are
other versions as well; level 4 scripts outside the folder, names with commas and a second hash; level 5 requirements of
versions.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import ADJECTIVES, SERVICES, root
from termgym.task import Check, File, Limits

from ._wheels import Package, code, make_packages, wheels

OPENINGS = (
    "{site} holds Python packages that were installed from wheels, and somebody has been at it. Check it against the "
    "RECORD file in each *.dist-info folder.",
    "Please audit the installed packages in {site}: do the files agree with the RECORD of each .dist-info folder?",
    "Ticket: imports from {site} fail or do odd things since last night. Compare what is there with the RECORD files "
    "of its .dist-info folders.",
    "We do not trust {site} any more, a folder of installed Python packages. RECORD (in each *.dist-info) is right.",
)
REPORT = """\
Write {report}, a line for each thing that is wrong, in byte order (LC_ALL=C), its parts joined by {separator}:
{lines}"""
LINES = {
    "changed": "changed NAME PATH - PATH is in the RECORD of the package NAME with a hash that its file does not have",
    "missing": "missing NAME PATH - PATH is in the RECORD of the package NAME, and there is no such file",
    "stray": "stray PATH - the file is in {site} or a folder below it, and in no RECORD",
    "unmet": "unmet NAME OTHER - the METADATA of the package NAME has a Requires-Dist for the package OTHER, which is "
    "not installed{version}",
}
VERSION = ", or not in a version that it allows (versions compare number by number)"
NAMES = (
    "NAME is the package's name as METADATA has it; PATH is as RECORD has it, that is, relative to {site} (but without "
    "quotes of CSV), and for a stray file likewise."
)
UNMET = (
    "Names of packages are the same if they differ only in capitals and in runs of . - and _, which all count as one "
    "hyphen; write OTHER in small letters with hyphens. A Requires-Dist with a marker (after a semicolon) does not "
    "count."
)
REPAIR = (
    "Then put the files right: the changed and the missing ones as they are in the wheels (zip archives) in {wheels}, "
    "each from the wheel of just the installed version; the stray ones removed. All other files stay as they are."
)
SCRIPTS = "What RECORD has as ../../../bin/SCRIPT is in a wheel as NAME-VERSION.data/scripts/SCRIPT."
KEEP = "Change nothing in {site}."

READ = """\
plain {report} 100000 || exit 1
got=$(tr -d '\\r' < {report}) want=$(cat expected/report)
"""
FILES = """\
same() { while read -r sum path; do plain "$path" && [ "$(sha256sum < "$path")" = "$sum  -" ] || return 1; done; }
"""


@dataclass(slots=True)
class Scene:
    """What is there and what is wrong with it."""

    level: int
    site: str
    wheels: str
    report: str
    separator: str
    packages: list[Package]
    there: dict[str, bytes] = field(default_factory=dict[str, bytes])
    wrong: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])


def generate(rng: Random, level: int) -> Draft:
    """One folder, with its damage."""
    base, out = root(rng, rng.choice(SERVICES)), rng.choice(("/app/audit", "/app/out", "/app/check"))
    packages = [*make_packages(rng, level)]
    scene = Scene(
        level,
        site=f"{base}/{rng.choice(('venv', 'env', 'runtime'))}/lib/python3.{rng.randint(9, 13)}/site-packages",
        wheels=f"{base}/{rng.choice(('wheels', 'wheelhouse', 'dist'))}",
        report=f"{out}/{rng.choice(('report', 'findings', 'integrity'))}.txt",
        separator=rng.choice(" ;|"),
        packages=packages,
    )
    for package in packages:
        scene.there |= {**package.files, f"{package.info}/RECORD": package.record}
    _require(rng, scene)
    right = dict(scene.there)
    _damage(rng, scene)
    files = {f"{scene.site}/{path}": content for path, content in scene.there.items()}
    if level > 2:
        files |= {f"{scene.wheels}/{name}.whl": content for name, content in wheels(rng, packages)}
    report = sorted(scene.separator.join(line) for line in scene.wrong)
    stay = right if level > 2 else scene.there
    sums = {f"{hashlib.sha256(content).hexdigest()} {_resolved(scene, path)}\n" for path, content in stay.items()}
    return Draft(
        instruction=_instruction(rng, scene),
        checks=tuple(_checks(scene, len(stay) - sum(path.startswith("..") for path in stay))),
        oracle=_oracle(scene),
        wrong=_wrong(scene),
        files={_resolved(scene, path): File(content) for path, content in files.items()},
        tests={
            "expected/report": File.of("".join(f"{line}\n" for line in report)),
            "expected/files": File.of("".join(sorted(sums))),
        },
        limits=Limits(turns=45),
    )


def _resolved(scene: Scene, path: str) -> str:
    """An absolute path without dots."""
    path = path if path.startswith("/") else f"{scene.site}/{path}"
    return path.replace("/".join(scene.site.split("/")[-3:]) + "/../../../", "")


def _damage(rng: Random, scene: Scene) -> None:
    """Files changed, removed and added."""
    count = (0, 1, 2, 2, 3, 4)[scene.level]
    owner = {path: package for package in scene.packages for path in package.files if ".dist-info/" not in path}
    odd = [path for path in owner if not path.endswith(".py")]
    chosen = dict.fromkeys([*rng.sample(odd, 3 if odd else 0), *rng.sample([*owner], 2 * count)])
    for number, path in enumerate(chosen):
        package = owner[path]
        if number % 2:
            del scene.there[path]
            scene.wrong.append(("missing", package.name, path))
        else:
            content = scene.there[path]
            scene.there[path] = content[:-3] + str((int(content[-3:-1]) + 1) % 90 + 10).encode()[-2:] + content[-1:]
            scene.wrong.append(("changed", package.name, path))
    folders = sorted({path.rpartition("/")[0] for path in scene.there if path[0] != "."})
    for number in range(count):
        path = (
            f"{rng.choice(folders)}/{rng.choice(('debug', 'patch', 'old', '.tmp'))}{number}.{rng.choice(('py', 'bak'))}"
        )
        scene.there[path] = code(rng, "stray")
        scene.wrong.append(("stray", path))


def _require(rng: Random, scene: Scene) -> None:
    """METADATA, with requirements from level 2: met, not met, and such as do not count."""
    for package in scene.packages:
        others = [other for other in scene.packages if other is not package]
        lines = [f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {package.version}\n"]
        if scene.level > 1:
            other = rng.choice(others)
            lines.append(f"Requires-Dist: {_respelt(rng, other.name)}{_clause(rng, scene, package, other)}\n")
            lines.append(f"Requires-Dist: {rng.choice(('pytest', 'sphinx', 'black'))}; extra == 'dev'\n")
        if scene.level > 1 and package in scene.packages[:2]:
            lost = f"{rng.choice(ADJECTIVES)}_{rng.choice(('Engine', 'Codec', 'Store'))}"
            lines.append(f"Requires-Dist: {lost}\n")
            scene.wrong.append(("unmet", package.name, lost.lower().replace("_", "-")))
        package.files[f"{package.info}/METADATA"] = "".join(lines).encode()
        scene.there |= {f"{package.info}/METADATA": package.files[f"{package.info}/METADATA"]}
        scene.there[f"{package.info}/RECORD"] = package.record


def _respelt(rng: Random, name: str) -> str:
    return re.sub("[-_.]", rng.choice("-_."), name.swapcase() if rng.random() < 0.3 else name.lower())


def _clause(rng: Random, scene: Scene, package: Package, other: Package) -> str:
    """A bound on another package's version, from level 5, which may not be met."""
    if scene.level < 5:
        return rng.choice(("", " >=0.1"))
    major, minor, patch = other.version.split(".")
    met = [f">={major}.9", f"<{int(major) + 1}", f"!={major}.{minor}.{int(patch) + 10}", f">={major}.8,<{major}.14"]
    unmet = [
        f">={major}.{int(minor) + 1}",
        f"<{major}.{minor}.{patch}",
        f"!={other.version}",
        f">={major}.2,<{major}.9",
    ]
    if rng.random() < 0.6:
        return rng.choice(met)
    scene.wrong.append(("unmet", package.name, re.sub("[-_.]", "-", other.name).lower()))
    return rng.choice(unmet)


def _instruction(rng: Random, scene: Scene) -> str:
    level = scene.level
    kinds = [*LINES][: 3 if level < 2 else 4]
    lines = "\n".join(LINES[kind] for kind in kinds)
    shown = {" ": "single spaces", ";": "semicolons", "|": "vertical bars"}[scene.separator]
    parts = [
        rng.choice(OPENINGS),
        REPORT.replace("{lines}", lines),
        NAMES + (f"\n{UNMET}" if level > 1 else ""),
        REPAIR + (f" {SCRIPTS}" if level > 3 else "") if level > 2 else KEEP,
    ]
    return "\n\n".join(parts).format(
        site=scene.site, wheels=scene.wheels, report=scene.report, separator=shown, version=VERSION if level > 4 else ""
    ) + "\n"  # fmt: skip


def _checks(scene: Scene, count: int) -> Iterator[Check]:
    read = PLAIN + READ.format(report=scene.report)
    for kind in [*LINES][: 3 if scene.level < 2 else 4]:
        yield Check(kind, f'{read}[ "$(grep ^{kind} <<<"$got" | sort)" = "$(grep ^{kind} <<<"$want" | sort)" ]\n')
    counted = f'[ "$(timeout 5 find {scene.site} ! -type d -printf . | head -c 10000 | wc -c)" = {count} ]'
    right = f"{FILES}same < expected/files && {counted}"
    if scene.level > 2:
        yield Check("report", f'{read}[ "$got" = "$want" ]\n')
        yield Check("repaired", f"{PLAIN}{right}\n", 3)
    else:
        yield Check("report", f'{read}[ "$got" = "$want" ] || exit 1\n{right}\n', 2)


SCRIPT = """\
cat > /tmp/audit.py << 'EOF'
import base64, csv, glob, hashlib, os, re, sys
def norm(name):
    return re.sub('[-_.]+', '-', name).lower()
def read(path):
    return open(path, newline='').read()
os.chdir('{site}')
names, listed, wrong = {{}}, {{}}, []
for meta in glob.glob('*.dist-info/METADATA'):
    text = read(meta)
    name, version = (re.search(f'^{{k}}: (.*)', text, re.M)[1] for k in ('Name', 'Version'))
    names[norm(name)] = [int(n) for n in version.split('.')]
    for path, digest, size in csv.reader(open(os.path.dirname(meta) + '/RECORD', newline='')):
        listed[path] = (name, os.path.dirname(meta))
        if not os.path.isfile(path):
            wrong.append(('missing', name, path))
        elif digest:
            kind, value = digest.split('=')
            found = base64.urlsafe_b64encode(hashlib.new(kind, open(path, 'rb').read()).digest()).decode().rstrip('=')
            if found != value:
                wrong.append(('changed', name, path))
for folder, _, files in os.walk('.'):
    for path in (os.path.join(folder, f)[2:] for f in files):
        if path not in listed:
            wrong.append(('stray', path))
EOF
"""
UNMET_SCRIPT = """\
cat >> /tmp/audit.py << 'EOF'
import operator
OPS = {'>=': operator.ge, '<': operator.lt, '!=': operator.ne, '==': operator.eq}
def allows(have, clause):
    op, v = re.match(r'(>=|<|!=|==)(.*)', clause.strip()).groups()
    return OPS[op](have, [int(n) for n in v.split('.')])
for meta in glob.glob('*.dist-info/METADATA'):
    text = read(meta)
    name = re.search('^Name: (.*)', text, re.M)[1]
    for need in re.findall('^Requires-Dist: ([^;\\n]*)$', text, re.M):
        other, clauses = re.match(r'([\\w.-]+)(.*)', need).groups()
        have = names.get(norm(other))
        if have is None or not all(allows(have, c) for c in clauses.split(',') if c.strip()):
            wrong.append(('unmet', name, norm(other)))
EOF
"""
REPAIR_SCRIPT = """\
cat > /tmp/repair.py << 'EOF'
import zipfile
from audit import *
for kind, *rest in wrong:
    if kind == 'stray':
        os.remove(rest[0])
    elif kind in ('changed', 'missing'):
        path = rest[1]
        stem = listed[path][1][:-10]
        inside = path.replace('../../../bin/', stem + '.data/scripts/')
        data = zipfile.ZipFile('{wheels}/' + stem + '-py3-none-any.whl').read(inside)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, 'wb').write(data)
EOF
"""


def _oracle(scene: Scene) -> tuple[str, ...]:
    """A look, the audit, and the repair."""
    out, info = scene.report.rpartition("/")[0], scene.packages[0].info
    output = f"print('\\n'.join(sorted('{scene.separator}'.join(w) for w in wrong)))"
    return (
        f"cd {scene.site} && ls\n",
        f"cat {info}/RECORD {info}/METADATA\n",
        *([f"ls -l {scene.wheels} | head -n 30\n"] if scene.level > 2 else []),
        SCRIPT.format(site=scene.site),
        *([UNMET_SCRIPT] if scene.level > 1 else []),
        f"mkdir -p {out}; cd /tmp; python3 -c \"from audit import *; {output}\" > {scene.report}\n",
        f"cat {scene.report}\n",
        *([REPAIR_SCRIPT.format(wheels=scene.wheels), "python3 /tmp/repair.py\n",
           "python3 -c 'from audit import *; print(wrong)'\n"] if scene.level > 2 else []),
    )  # fmt: skip


def _wrong(scene: Scene) -> dict[str, tuple[str, ...]]:
    oracle, out = _oracle(scene), scene.report.rpartition("/")[0]
    mistakes = {
        "sizes-compared": ("if found != value:", "if os.path.getsize(path) != int(size):"),
        "strays-forgotten": ("if path not in listed:", "if 0:"),
    }
    if scene.level > 1:
        mistakes["names-as-written"] = ("return re.sub('[-_.]+', '-', name).lower()", "return name")
        mistakes["markers-counted"] = ("([^;\\n]*)$", "([^;\\n]*)")
    if scene.level > 2:
        mistakes["not-repaired"] = ("python3 /tmp/repair.py", "true")
    wrong: dict[str, Sequence[str]] = {n: [keys.replace(*m) for keys in oracle] for n, m in mistakes.items()}
    wrong["cheat"] = [f"mkdir -p {out}; ln -s /tests/expected/report {scene.report}; rm -r {scene.site}\n"]
    return {name: tuple(keys) for name, keys in wrong.items()}


FAMILY = Family(
    name="deps/installed-files",
    summary="Check installed Python packages against their RECORD files, and repair them from wheels.",
    domain="dependency_management",
    skills=("package-metadata", "checksums", "file-trees"),
    deeper={2: ("normalization",), 3: ("archives",), 4: ("csv",), 5: ("semantic-versions",)},
    generate=generate,
    requires=("python3", "grep", "find"),
)
