"""An index of packages with versions and what these need: choose the versions that a stated rule wants, as a lock file.

The rule makes the choice unique. Level 2 has packages that are needed by several, level 3 versions that were withdrawn,
level 4 optional groups of a request, level 5 the choice of the lowest versions that do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import report
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, PLACES, SERVICES
from termgym.task import File, Limits

ASKS = (
    "Resolve the dependencies of {app}. {index}\n\n{rules}\n\n{out}\n",
    "{app} needs a lock file. {index}\n\n{out}\n\n{rules}\n",
    "{index} Which versions does {app} get?\n\n{rules}\n\n{out}\n",
    "Write the lock file of {app} by the rules below. {index}\n\n{rules}\n\n{out}\n",
)
INDEX = (
    "{folder}/index.txt has a line for each version of a package: NAME VERSION, then what it needs, each as NAME and"
    " bounds without a blank, such as {example}. {folder}/request.txt has what {app} needs, a line each, in the same"
    " way."
)
RULES = {
    1: (
        "- Versions are three numbers, compared number by number. Bounds are >=, <=, <, > or == and a version; several,"
        " joined by commas, all hold."
    ),
    2: "- A package gets one version, within the bounds of all that need it.",
    3: "- A version with the word withdrawn at the end of its line is not chosen.",
    4: "- Lines of the request that begin with [GROUP] count only if {folder}/groups.txt lists GROUP.",
}
HIGHEST = (
    "- Go through the packages in this way: start with the request's, then again and again take the alphabetically"
    " first package that is needed and not chosen yet, and give it the {most} version that is within the bounds known"
    " so far. If no version is, or bounds that come later exclude what was chosen, go back to the last choice that had"
    " another version, and take the next {lower} one there. The first complete choice is the one."
)
OUT = (
    "Write {out}: a line NAME==VERSION for each package that is chosen, sorted by name, {app} itself left"
    " out. Only packages that are needed by the request or by a chosen version are in it."
)
PROGRAM = """\
import re, sys
def version(text):
    return tuple(map(int, text.split(".")))
def need(text):
    name = re.match(r"[a-z-]+", text)[0]
    return name, [(op, version(v)) for op, v in re.findall(r"(>=|<=|==|<|>)([0-9.]+)", text[len(name):])]
def fits(v, bounds):
    return all({{">=": v >= w, "<=": v <= w, "==": v == w, "<": v < w, ">": v > w}}[op] for op, w in bounds)
index = {{}}
for line in open("{folder}/index.txt"):
    name, v, *needs = line.split()
    if needs[-1:] == ["withdrawn"]:
        continue
    index.setdefault(name, {{}})[version(v)] = [need(n) for n in needs]
groups = open("{folder}/groups.txt").read().split() if {groups} else []
request = []
for line in open("{folder}/request.txt"):
    group = re.match(r"\\[(.*?)\\] *", line)
    if group and group[1] not in groups:
        continue
    request.append(need(line[group.end():].strip() if group else line.strip()))
def solve(chosen, needs):
    if any(n in chosen and not fits(chosen[n], b) for n, b in needs):
        return None
    open_ = sorted({{n for n, _ in needs}} - set(chosen))
    if not open_:
        return chosen
    name = open_[0]
    for v in sorted(index.get(name, {{}}), reverse={reverse}):
        if all(fits(v, b) for n, b in needs if n == name):
            found = solve({{**chosen, name: v}}, needs + index[name][v])
            if found:
                return found
    return None
found = solve({{}}, request)
for name in sorted(found or {{}}):
    print(name + "==" + ".".join(map(str, found[name])))
if not found:
    print("unsatisfiable")
"""
Version = tuple[int, int, int]
Bounds = Sequence[tuple[str, Version]]
Need = tuple[str, Bounds]


@dataclass(frozen=True, slots=True)
class Index:
    """Package -> version -> needs; the request; and which versions were withdrawn."""

    versions: Mapping[str, Mapping[Version, Sequence[Need]]]
    request: Sequence[Need]
    withdrawn: frozenset[tuple[str, Version]]
    groups: Mapping[int, str]
    """Line of the request -> its group."""
    wanted: Sequence[str]
    """Groups that count."""

    def resolve(self, lowest: bool) -> dict[str, Version] | None:
        """By an explicit stack of choices."""
        start = [need for number, need in enumerate(self.request) if self.groups.get(number, "") in ("", *self.wanted)]
        stack: list[tuple[dict[str, Version], list[Need]]] = [({}, start)]
        while stack:
            chosen, needs = stack.pop()
            if any(name in chosen and not _fits(chosen[name], bounds) for name, bounds in needs):
                continue
            left = sorted({name for name, _ in needs} - chosen.keys())
            if not left:
                return chosen
            name, mine = left[0], [bounds for one, bounds in needs if one == left[0]]
            found = [v for v in self.versions.get(name, {}) if (name, v) not in self.withdrawn]
            found = [v for v in sorted(found, reverse=lowest) if all(_fits(v, bounds) for bounds in mine)]
            stack += [({**chosen, name: v}, [*needs, *self.versions[name][v]]) for v in found]
        return None


def _fits(v: Version, bounds: Bounds) -> bool:
    tests = {">=": v.__ge__, "<=": v.__le__, "==": v.__eq__, "<": v.__lt__, ">": v.__gt__}
    return all(tests[op](w) for op, w in bounds)


def generate(rng: Random, level: int) -> Draft:
    """One index, in which the plain choice of the newest fails, from level 2."""
    app, folder = rng.choice(SERVICES), f"/app/{rng.choice(PLACES)}"
    lowest = level == 5
    for _ in range(200):
        index = _index(rng, level)
        found, other = index.resolve(lowest), index.resolve(not lowest)
        bare = Index(index.versions, index.request, frozenset(), index.groups, index.wanted).resolve(lowest)
        if found and found != other and (level < 3 or bare != found):
            break
    else:
        return generate(rng, level)
    out = f"/app/{app}.lock"
    lines = [f"{name}=={_text(v)}" for name, v in sorted(found.items())]
    order = {"most": "lowest", "lower": "higher"} if lowest else {"most": "highest", "lower": "lower"}
    rules = [RULES[one].format(folder=folder) for one in range(1, min(level, 4) + 1)] + [HIGHEST.format(**order)]
    program = PROGRAM.format(folder=folder, groups=level > 3, reverse=not lowest)
    wrong = {
        "other-end": program.replace(f"reverse={not lowest}", f"reverse={lowest}"),
        "backwards": program.replace("in sorted(found or {})", "in sorted(found or {}, reverse=True)"),
        "request-only": program.replace("needs + index[name][v]", "needs"),
        "withdrawn-chosen": (
            program.replace("        continue\nindex", "        needs.pop()\nindex").replace(
                '== ["withdrawn"]:\n        continue', '== ["withdrawn"]:\n        needs.pop()'
            )
        ),
    }
    if level < 3:
        del wrong["withdrawn-chosen"]
    found_wrong = {name: _oracle(text, folder, out) for name, text in wrong.items()}
    found_wrong["half"] = (
        *_oracle(program, folder, out),
        f"head -n 1 {out} > /tmp/x; echo nothing==1.0.0 >> /tmp/x; mv /tmp/x {out}\n",
    )
    return Draft(
        instruction=rng.choice(ASKS).format(
            app=app,
            index=INDEX.format(folder=folder, app=app, example="gasket>=1.2.0,<2.0.0"),
            rules="\n".join(rules),
            out=OUT.format(out=out, app=app),
        ),
        checks=report(out, "\n".join(lines)),
        oracle=_oracle(program, folder, out),
        wrong=found_wrong,
        files={path: File.of(text) for path, text in _files(rng, index, folder, level).items()},
        limits=Limits(turns=30),
    )


def _text(v: Version) -> str:
    return ".".join(map(str, v))


def _index(rng: Random, level: int) -> Index:
    """Packages in layers; those of a layer need some of the next, the newest versions with narrow bounds."""
    names = rng.sample(ITEMS, 4 + 2 * level)
    half = len(names) // 2
    versions: dict[str, dict[Version, Sequence[Need]]] = {}
    for number, name in enumerate(names):
        found = sorted(
            {(rng.randint(0, 2), rng.choice((1, 2, 9, 10, 11)), rng.randint(0, 3)) for _ in range(4 + level // 2)}
        )
        later = names[max(half, number + 1) :] if number < half else []
        versions[name] = {v: [] for v in found}
        for v in found:
            others = rng.sample(later, min(len(later), 1 + (level > 1)))
            versions[name][v] = [(other, ()) for other in others]
    for name in names[:half]:
        for v, needs in versions[name].items():
            versions[name][v] = [(other, _bounds(rng, sorted(versions[other]))) for other, _ in needs]
    request: list[Need] = [(name, _bounds(rng, sorted(versions[name]))) for name in names[: 2 + level // 2]]
    drawn = rng.sample(sorted((n, v) for n in names for v in versions[n]), 2 * level) if level > 2 else []
    groups = {len(request): "dev", len(request) + 1: "docs"} if level > 3 else {}
    request += [(names[-1 - number], ()) for number in range(len(groups))]
    return Index(versions, request, frozenset(drawn), groups, ["docs"])


def _bounds(rng: Random, found: Sequence[Version]) -> Bounds:
    """Bounds that leave two or more."""
    low = rng.randrange(max(1, len(found) - 2))
    high = rng.randrange(low + 1, len(found))
    return (((">=", found[low]), ("<=", found[high])), ((">=", found[low]),), (("<=", found[high]),), ())[
        rng.randrange(4)
    ]


def _files(rng: Random, index: Index, folder: str, level: int) -> dict[str, str]:
    lines: list[str] = []
    for name, versions in index.versions.items():
        for v, needs in versions.items():
            words = [name, _text(v), *map(_need, needs)]
            lines.append(" ".join([*words, *(["withdrawn"] if (name, v) in index.withdrawn else [])]))
    rng.shuffle(lines)
    request = [
        (f"[{index.groups[i]}] " if i in index.groups else "") + _need(need) for i, need in enumerate(index.request)
    ]
    files = {f"{folder}/index.txt": "\n".join([*lines, ""]), f"{folder}/request.txt": "\n".join([*request, ""])}
    return files | ({f"{folder}/groups.txt": "\n".join([*index.wanted, ""])} if level > 3 else {})


def _need(need: Need) -> str:
    return need[0] + ",".join(f"{op}{_text(v)}" for op, v in need[1])


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; head -n 8 *\n",
        f"cat > /tmp/resolve.py <<'END'\n{program}END\n",
        f"python3 /tmp/resolve.py > {out}\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="deps/resolve",
    summary="Choose the versions of an application's dependencies by a stated rule, as a lock file.",
    domain="dependency_management",
    skills=("dependency-resolution", "semantic-versions"),
    deeper={2: ("constraint-solving",), 3: ("validation",), 5: ("backtracking",)},
    generate=generate,
    requires=("python3",),
)
