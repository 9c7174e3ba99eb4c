"""In which order to build the packages of a tree, as their manifests have it, and which of them cannot be built.

The manifests' format, the form of the plan (a list or waves) and all names change with the seed. What tests need does
not count, and would give another plan. Level 2 brings folders with other names than their packages; level 3 names that
another package provides, a cycle and what is stuck behind it; level 4 packages that are switched off and names that
nobody has; level 5 needs of other systems and a second cycle.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import ADJECTIVES, ITEMS, SERVICES, root
from termgym.task import Check, File, Limits

from ._manifests import FORMATS, Format, Graph, Package, graph_of, manifest

SYSTEMS = ("linux", "windows", "darwin", "freebsd", "solaris")
OPENINGS = (
    "{root} holds the sources of {count} packages, each in a folder with a file {file}. Work out how to build them.",
    "Our build server wants a plan for the packages below {root} (one {file} each). Please write it.",
    "Ticket: nobody knows any more in which order the packages in {root} have to be built. Their needs are in the files"
    " called {file}.",
    "Specification of a build plan. Input: the manifests, all files named {file} somewhere below {root}.",
)
NEEDS = (
    "A package can be built once all packages that it needs are built. What it needs is in {words}{commas}; what its "
    "tests need does not count.",
    "Before a package, all that it needs has to be built: see {words}{commas}. Needs of tests are of no interest.",
)
LIST = (
    "Write the plan to {plan}: the names of packages, one on each line, in the order in which they are built. Whenever "
    "several could be built next, take the one whose name comes first in byte order (LC_ALL=C)."
)
WAVES = (
    "Write the plan to {plan}, one wave on each line: names of packages, in byte order (LC_ALL=C), with single spaces "
    "between them. A package is in the first wave that is possible: after the waves of all that it needs, and in the "
    "first one if it needs nothing."
)
FOLDERS = "A package's name is the one in its manifest, whatever its folder is called. Versions do not matter here."
PROVIDES = "A need may also be a name that another package provides; then that package is meant."
OFF = "Packages that are not enabled ({enabled}) are as if they were not there at all, with what they provide."
SYSTEM = "A need followed by a system in square brackets counts only on that system; we build on {system}."
PROBLEMS = """\
What cannot be built is left out of the plan. It goes to {problems}, lines in byte order (LC_ALL=C), of these kinds:
cycle A B C - packages that all need one another, directly or through others, on one line, names in byte order;
{missing}blocked A - every other package that cannot be built, because of what it needs directly or through others."""
MISSING = "missing A N - package A needs N, which is no package's name{provided};\n"

READ = "plain {path} 100000 || exit 1\ngot=$(cat {path}) want=$(cat expected/{name})\n"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are and what is asked."""

    level: int
    root: str
    format: Format
    waves: bool
    plan: str
    problems: str
    system: str


def generate(rng: Random, level: int) -> Draft:
    """One tree of packages, drawn again until every trap makes a difference."""
    layout = _layout(rng, level)
    while True:
        packages = _packages(rng, layout)
        graph = graph_of(packages, layout.system)
        if _telling(layout, packages, graph):
            break
    return Draft(
        instruction=_instruction(rng, layout, packages),
        checks=tuple(_checks(layout)),
        oracle=_oracle(layout, packages),
        wrong=_wrong(layout, packages),
        files={f"{layout.root}/{p.folder}/{layout.format.file}": File.of(manifest(layout.format, p)) for p in packages}
        | {f"{layout.root}/{p.folder}/README": File.of(f"{p.name} {p.version}\n") for p in packages[::3]},
        tests={"expected/plan": File.of(_plan(layout, graph)), "expected/problems": File.of(_problems(graph))},
        limits=Limits(turns=40),
    )


def _layout(rng: Random, level: int) -> Layout:
    place = root(rng, rng.choice(SERVICES)) + rng.choice(("/packages", "/src", "/ports", "/tree"))
    out = rng.choice(("/app/out", "/app/plan", "/app/build", "/app/result"))
    plan = f"{out}/{rng.choice(('order', 'plan', 'sequence', 'todo'))}.txt"
    problems = f"{out}/{rng.choice(('problems', 'left-out', 'stuck', 'trouble'))}.txt"
    return Layout(level, place, rng.choice(FORMATS), rng.random() < 0.5, plan, problems, rng.choice(SYSTEMS))


def _packages(rng: Random, layout: Layout) -> list[Package]:
    level, shape = layout.level, rng.choice(("{}", "lib{}", "{}-core", "py-{}"))
    names = [shape.format(item) for item in rng.sample(ITEMS, (0, 6, 10, 14, 20, 28)[level])]
    folders = rng.sample([f"{word}{end}" for word in ADJECTIVES for end in ("", "-src")], len(names))
    needs = {name: rng.sample(names[:at], min(at, rng.randint(0, 3))) for at, name in enumerate(names)}
    for cycle in range((0, 0, 0, 1, 1, 2)[level]):
        members = sorted(rng.sample(range(len(names) // 2, len(names) - 2), 2 + cycle))
        for member, other in zip(members, members[1:] + members[:1], strict=True):
            needs[names[member]] = list(dict.fromkeys([*needs[names[member]], names[other]]))
    packages = [
        Package(name, name if level == 1 else folder, f"{rng.randint(0, 4)}.{rng.randint(0, 12)}", tuple(needs[name]),
                tuple(rng.sample(sorted({*names} - {name}), 1)))
        for name, folder in zip(names, folders, strict=True)
    ]  # fmt: skip
    packages = [*_virtual(rng, layout, packages)] if level > 2 else packages
    packages = [replace(p, needs=tuple(_decorated(rng, layout, need) for need in p.needs)) for p in packages]
    packages = _spoilt(rng, packages) if level > 3 else packages
    return rng.sample(packages, len(packages))


def _virtual(rng: Random, layout: Layout, packages: list[Package]) -> Iterator[Package]:
    """Some packages are needed under names that they provide."""
    chosen = rng.sample([p.name for p in packages[: len(packages) // 2]], layout.level - 1)
    words = rng.sample(["engine", "codec", "mailer", "store", "shell", "font", "driver", "parser"], len(chosen))
    virtual = dict(zip(chosen, words, strict=True))
    for package in packages:
        needs = tuple(virtual[need] if need in virtual and rng.random() < 0.7 else need for need in package.needs)
        yield replace(package, needs=needs, provides=(virtual[package.name],) if package.name in virtual else ())


def _decorated(rng: Random, layout: Layout, need: str) -> str:
    version = f" >= {rng.randint(0, 3)}.{rng.randint(0, 9)}" if layout.level > 1 and rng.random() < 0.4 else ""
    return need + version + (f" [{layout.system}]" if layout.level > 4 and rng.random() < 0.2 else "")


def _spoilt(rng: Random, packages: list[Package]) -> list[Package]:
    """One package is switched off, others need a name that is nobody's or, to no effect, on another system."""
    early, late = len(packages) // 4, 3 * len(packages) // 4
    off, lost, cursed = rng.randrange(early, late), *rng.sample(range(late, len(packages)), 2)
    spoilt = list(packages)
    spoilt[off] = replace(spoilt[off], off=True)
    spoilt[lost] = replace(spoilt[lost], needs=(*spoilt[lost].needs, "ghost-" + rng.choice(ADJECTIVES)))
    spoilt[cursed] = replace(spoilt[cursed], needs=(*spoilt[cursed].needs, spoilt[off].name))
    return spoilt


def _plan(layout: Layout, graph: Graph) -> str:
    built: set[str] = set()
    lines: list[str] = []
    while ready := sorted(name for name in graph if name not in built and graph[name] <= built):
        lines.append(" ".join(ready) if layout.waves else ready[0])
        built.update(ready if layout.waves else ready[:1])
    return "\n".join([*lines, ""])


def _problems(graph: Graph) -> str:
    reach = {name: _reach(graph, name) for name in graph}
    lines: set[str] = set()
    stuck: set[str] = set()
    for name in graph:
        if name in reach[name]:
            lines.add("cycle " + " ".join(sorted(other for other in reach[name] if name in reach.get(other, ()))))
            stuck.add(name)
        for need in graph[name]:
            if need.startswith("?"):
                lines.add(f"missing {name} {need[1:]}")
                stuck.add(name)
    lines |= {f"blocked {name}" for name in graph if name not in stuck and reach[name] & stuck}
    return "".join(f"{line}\n" for line in sorted(lines))


def _reach(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    todo = [*graph[start]]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += graph.get(name, ())
    return seen


def _telling(layout: Layout, packages: list[Package], graph: Graph) -> bool:
    """Whether mistakes show: the order, what tests need, each kind of problem."""
    plan, problems = _plan(layout, graph), _problems(graph)
    nameless = [replace(package, provides=()) for package in packages]
    kinds = {1: "", 2: "", 3: "cycle blocked", 4: "cycle blocked missing", 5: "cycle blocked missing"}[layout.level]
    return (
        plan.count("\n") >= 3
        and len(plan.split()) >= len(packages) // 2
        and plan.split() != sorted(plan.split())
        and plan != _plan(layout, graph_of(packages, layout.system, tests=True))
        and (layout.level < 3 or plan != _plan(layout, graph_of(nameless, layout.system)))
        and all(f"{kind} " in problems for kind in kinds.split())
        and problems.count("cycle") >= layout.level - 3
    )


def _instruction(rng: Random, layout: Layout, packages: list[Package]) -> str:
    form, level = layout.format, layout.level
    enabled = {"package.json": '"enabled": "no"', "manifest": "enabled no", "CONTROL": "Enabled: no"}
    rules = [
        rng.choice(NEEDS),
        *(FOLDERS, PROVIDES, OFF, SYSTEM)[: level - 1],
    ]
    rng.shuffle(rules)
    out = [WAVES if layout.waves else LIST, *([PROBLEMS] if level > 2 else [])]
    end = rng.choice(("Folders are to be made as needed; leave the tree as it is.", "Change nothing below {root}."))
    parts = [rng.choice(OPENINGS), "\n".join(rules), *out, end]
    missing = MISSING.format(provided=" and provided by none") if level > 3 else ""
    return "\n\n".join(parts).format(
        root=layout.root, count=len(packages), file=form.file, words=form.words, plan=layout.plan,
        problems=layout.problems, system=layout.system, missing=missing, commas=form.commas,
        enabled=enabled.get(form.file, "enabled = no"),
    ) + "\n"  # fmt: skip


def _checks(layout: Layout) -> Iterator[Check]:
    read = PLAIN + READ.format(path=layout.plan, name="plan")
    words = "words() { tr -s ' ' '\\n' <<<\"$1\" | sort; }\n"
    yield Check("members", f'{read}{words}[ "$(words "$got")" = "$(words "$want")" ]\n')
    yield Check("beginning", f'{read}[ "$(head -n 3 <<<"$got")" = "$(head -n 3 <<<"$want")" ]\n')
    yield Check("plan", f'{read}[ "$got" = "$want" ]\n', 2)
    if layout.level > 2:
        read = PLAIN + READ.format(path=layout.problems, name="problems")
        yield Check("cycles", f'{read}[ "$(grep ^cycle <<<"$got")" = "$(grep ^cycle <<<"$want")" ]\n')
        yield Check("problems", f'{read}[ "$got" = "$want" ]\n', 2)


SCRIPT = """\
cat > /tmp/tree.py << 'EOF'
import configparser, glob, json
KEYS = 'name enabled provides build test'.split()
NAMES = 'Package Enabled Provides Build-Needs Test-Needs'.split()
LISTS = KEYS[2:]
{read}
found = [read(open(p).read()) for p in glob.glob('{root}/*/{file}')]
found = [f for f in found if f['enabled'] != 'no']
owner = {{n: f['name'] for f in found for n in [f['name'], *f['provides']]}}
needs = {{}}
for f in found:
    entries = [e for e in f['build'] if e and ('[' not in e or '[{system}]' in e)]
    needs[f['name']] = {{owner.get(e.split()[0], '?' + e.split()[0]) for e in entries}}
EOF
"""
PLAN = """\
cat > /tmp/plan.py << 'EOF'
from tree import needs
left = dict(needs)
with open('{plan}', 'w') as out:
    while ready := sorted(n for n in left if not any(m in left or m[0] == '?' for m in left[n])):
        {take}
        print(*ready, file=out)
        for n in ready:
            del left[n]
EOF
"""
STUCK = """\
cat > /tmp/stuck.py << 'EOF'
from plan import left
def reach(n, seen):
    for m in left.get(n, ()):
        if m not in seen:
            seen.add(m)
            reach(m, seen)
    return seen
far = {{n: reach(n, set()) for n in left}}
lines = {{f'missing {{n}} {{m[1:]}}' for n in left for m in left[n] if m[0] == '?'}}
named = {{line.split()[1] for line in lines}}
for n in left:
    ring = sorted(m for m in far[n] if n in far.get(m, ()))
    if ring:
        lines.add('cycle ' + ' '.join(ring))
        named.add(n)
lines |= {{'blocked ' + n for n in left if n not in named}}
open('{problems}', 'w').write(''.join(line + '\\n' for line in sorted(lines)))
EOF
"""


def _oracle(layout: Layout, packages: list[Package]) -> tuple[str, ...]:
    """A look around, a reader of manifests, and one program for each file that is asked for."""
    file, folder = layout.format.file, layout.plan.rpartition("/")[0]
    facts = {"root": layout.root, "file": file, "read": layout.format.read, "system": layout.system}
    take = "pass" if layout.waves else "ready = ready[:1]"
    return (
        f"cd {layout.root} && ls -R . | head -n 60\n",
        *(f"cat {package.folder}/{file}\n" for package in packages[: layout.level]),
        SCRIPT.format(**facts),
        PLAN.format(plan=layout.plan, take=take),
        *((STUCK.format(problems=layout.problems),) if layout.level > 2 else ()),
        f"mkdir -p {folder} && python3 /tmp/{'stuck' if layout.level > 2 else 'plan'}.py\n",
        f"head -n 50 {folder}/*\n",
    )


def _wrong(layout: Layout, packages: list[Package]) -> dict[str, tuple[str, ...]]:
    oracle, folder = _oracle(layout, packages), layout.plan.rpartition("/")[0]
    mistakes = {
        "needs-of-tests-counted": ("f['build'] if", "[*f['build'], *f['test']] if"),
        "alphabetical": ("m[0] == '?' for m in left[n]", "m[0] == '?' and 0 for m in ()"),
        "unsorted": (":= sorted(n for", ":= list(n for"),
        "provided-names-unknown": ("[f['name'], *f['provides']]", "[f['name']]"),
    }
    for name in ["provided-names-unknown"] * (layout.level < 3) + ["unsorted"]:
        del mistakes[name]
    wrong = {name: tuple(keys.replace(*mistake) for keys in oracle) for name, mistake in mistakes.items()}
    if layout.level > 2:
        wrong["problems-left-out"] = (*(keys for keys in oracle if "stuck" not in keys), f"mkdir -p {folder}\n",
                                      "python3 /tmp/plan.py\n")  # fmt: skip
    cheat = f"mkdir -p {folder}; ln -s /tests/expected/plan {layout.plan}; ln -s /tests/expected/problems {folder}/\n"
    return {**wrong, "cheat": (cheat,)}


FAMILY = Family(
    name="deps/source-tree",
    summary="Plan in which order to build a tree of packages, and report cycles and what is stuck.",
    domain="dependency_management",
    skills=("topological-order", "parsing", "package-metadata"),
    deeper={3: ("graph-search",), 4: ("validation",), 5: ("recursion",)},
    generate=generate,
    requires=("python3", "grep", "find"),
)
