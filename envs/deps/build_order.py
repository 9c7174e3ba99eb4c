"""Components that need each other: the order in which to build them, and the cycles that stand in the way.

Level 2 asks for stages that can be built side by side, level 3 has cycles to be reported, level 4 what has to be built
again after a change, level 5 the shortest time with any number of builders. Manifests come in several notations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import answer, report
from termgym.family import Draft, Family
from termgym.lexicon import PLACES, SERVICES
from termgym.task import Check, File, Limits

ASKS = (
    "In which order can the components in {folder} be built? {form}\n\n{questions}\n",
    "{folder} has a manifest for each component. {form}\n\n{questions}\n",
    "{form} The manifests are in {folder}. A build plan is needed:\n\n{questions}\n",
    "Plan the build of the components in {folder}. {form}\n\n{questions}\n",
)
FORM = (
    "NAME.dep lists, a line each, what NAME needs (# begins a comment).{json} NAME.sec has the seconds that its build"
    " takes."
)
JSON = ' NAME.json is the same as an object with "needs", a list of names.'
ORDER = (
    "- {out}/order.txt: a name per line. Each is the alphabetically first of those that are not built yet and of which"
    " all needs are built.{but}"
)
BUT = " Components in a cycle, and those that need them, directly or not, are left out."
STAGES = (
    "- {out}/stages.txt: a line per stage, names separated by blanks, in alphabetical order. A stage has all whose"
    " needs are all in earlier stages.{but}"
)
CYCLES = (
    "- {out}/cycles.txt: a line for each group of components that all need each other, directly or not (a component"
    " that needs itself is one too): the names in alphabetical order, separated by blanks; the lines sorted."
)
NUMBERS = "- {out}/numbers.txt: lines NAME = VALUE for "
AGAIN = (
    "again: how many of the components that can be built have to be built after a change of {changed}, that one"
    " included"
)
TIME = "; time: the seconds that building all that can be built takes if any number can be built side by side"
PROGRAM = """\
import json, os
needs, sec = {{}}, {{}}
for file in os.listdir({folder!r}):
    name, kind = file.rsplit(".", 1)
    text = open(os.path.join({folder!r}, file)).read()
    if kind == "dep":
        needs[name] = [w for w in (line.split("#")[0].strip() for line in text.split("\\n")) if w]
    if kind == "json":
        needs[name] = json.loads(text)["needs"]
    if kind == "sec":
        sec[name] = int(text)
os.makedirs({out!r}, exist_ok=True)
def write(name, lines):
    open(os.path.join({out!r}, name), "w").write("".join(line + "\\n" for line in lines))
order = []
while True:
    ready = sorted(n for n in needs if n not in order and all(m in order for m in needs[n]))
    if not ready:
        break
    order.append(ready[0])
write("order.txt", order)
stages, done = [], set()
while True:
    ready = sorted(n for n in needs if n not in done and done.issuperset(needs[n]))
    if not ready:
        break
    stages.append(" ".join(ready))
    done.update(ready)
reach = {{n: set(needs[n]) for n in needs}}
for _ in needs:
    for n in needs:
        for m in list(reach[n]):
            reach[n] |= reach[m]
both = lambda n: sorted(m for m in needs if m == n or (m in reach[n] and n in reach[m]))
cycles = {{" ".join(both(n)) for n in needs if n in reach[n]}}
time = {{}}
for n in order:
    time[n] = sec[n] + max([time[m] for m in needs[n]], default=0)
if {level} > 1:
    write("stages.txt", stages)
if {level} > 2:
    write("cycles.txt", sorted(cycles))
if {level} > 3:
    lines = ["again = %d" % sum(n == {changed!r} or {changed!r} in reach[n] for n in order)]
    write("numbers.txt", lines + (["time = %d" % max(time.values())] if {level} > 4 else []))
"""


@dataclass(frozen=True, slots=True)
class Graph:
    """Component -> what it needs, in layers but for the cycles."""

    needs: Mapping[str, Sequence[str]]
    seconds: Mapping[str, int]
    cycles: Sequence[Sequence[str]]

    def order(self) -> list[str]:
        """All that can be built, the alphabetically first of those that are ready each time."""
        left = {name: set(needs) for name, needs in self.needs.items()}
        found: list[str] = []
        while ready := [name for name, needs in left.items() if not needs]:
            first = min(ready)
            del left[first]
            found.append(first)
            for needs in left.values():
                needs.discard(first)
        return found

    def depth(self) -> dict[str, int]:
        """The stage of each that can be built, from 0."""
        depth: dict[str, int] = {}
        for name in self.order():
            depth[name] = 1 + max((depth[one] for one in self.needs[name]), default=-1)
        return depth

    def again(self, changed: str) -> int:
        """How many that can be built need `changed`, or are it."""
        stale = {changed}
        order = self.order()
        for name in order:
            if stale & set(self.needs[name]):
                stale.add(name)
        return len(stale & set(order))

    def time(self) -> int:
        """The longest way."""
        end: dict[str, int] = {}
        for name in self.order():
            end[name] = self.seconds[name] + max((end[one] for one in self.needs[name]), default=0)
        return max(end.values())


def generate(rng: Random, level: int) -> Draft:
    """One graph."""
    folder, out = f"/app/{rng.choice(PLACES)}", f"/app/{rng.choice(('plan', 'out', 'build'))}"
    graph = _graph(rng, level)
    order, depth = graph.order(), graph.depth()
    changed = rng.choice([name for name in order if depth[name] == 0])
    but = BUT if level > 2 else ""
    stages = [
        " ".join(sorted(name for name in order if depth[name] == stage)) for stage in range(max(depth.values()) + 1)
    ]
    asked = [ORDER.format(out=out, but=but)] + ([STAGES.format(out=out, but=but)] if level > 1 else [])
    asked += [CYCLES.format(out=out)] if level > 2 else []
    numbers = NUMBERS.format(out=out) + AGAIN.format(changed=changed) + (TIME if level > 4 else "") + "."
    asked += [numbers] if level > 3 else []
    program = PROGRAM.format(folder=folder, out=out, level=level, changed=changed)
    wrong = {
        "comments-read": program.replace('line.split("#")[0].strip()', 'line.replace("#", "").strip().split(" ")[0]'),
        "turned-round": (
            program.replace("order.append(ready[0])", "order.append(ready[-1])").replace("sorted(ready)", "ready")
        ),
        "stage-by-stage": (
            program.replace("order.append(ready[0])", "order += ready").replace("order.txt", "stages.txt", 1)
        ),
        "json-left-out": program.replace('kind == "json"', 'kind == "yaml"'),
        "alphabetical": (
            f"import os\nos.makedirs({out!r}, exist_ok=True)\n"
            f"names = sorted({{f.rsplit('.')[0] for f in os.listdir({folder!r})}})\n"
            f"open({out!r} + '/order.txt', 'w').write('\\n'.join(names))\n"
        ),
    }
    if level < 2:
        del wrong["json-left-out"]
        wrong["stage-by-stage"] = program.replace("order.append(ready[0])", "order += reversed(ready)")
    return Draft(
        instruction=rng.choice(ASKS).format(
            folder=folder, form=FORM.format(json=JSON if level > 1 else ""), questions="\n".join(asked)
        ),
        checks=tuple(_checks(graph, out, order, stages, changed, level)),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items()},
        files={f"{folder}/{name}": File.of(text) for name, text in _files(rng, graph, level).items()},
        limits=Limits(turns=30),
    )


def _checks(graph: Graph, out: str, order: list[str], stages: list[str], changed: str, level: int) -> list[Check]:
    checks = _named("order", report(f"{out}/order.txt", "\n".join(order)))
    checks += _named("stages", report(f"{out}/stages.txt", "\n".join(stages))) if level > 1 else []
    cycles = sorted(" ".join(sorted(cycle)) for cycle in graph.cycles)
    checks += _named("cycles", report(f"{out}/cycles.txt", "\n".join(cycles))) if level > 2 else []
    checks += [answer(f"{out}/numbers.txt", "again", str(graph.again(changed)), weight=2)] if level > 3 else []
    checks += [answer(f"{out}/numbers.txt", "time", str(graph.time()), weight=2)] if level > 4 else []
    return checks


def _named(prefix: str, checks: Sequence[Check]) -> list[Check]:
    return [Check(f"{prefix}-{check.name}", check.script, check.weight) for check in checks]


def _graph(rng: Random, level: int) -> Graph:
    """Layers, each of which needs the one before and some of any; cycles among further components."""
    names = rng.sample([*SERVICES, *(f"lib{place}" for place in PLACES)], 7 + 4 * level)
    cycles: list[list[str]] = []
    if level > 2:
        cycles = [names[-3:], *([names[-5:-3]] if level > 3 else []), *([[names[-6]]] if level > 4 else [])]
    looped = {name for cycle in cycles for name in cycle}
    plain = [name for name in names if name not in looped]
    needs: dict[str, list[str]] = {}
    for number, name in enumerate(plain):
        needs[name] = sorted(rng.sample(plain[:number], min(number, rng.randint(1, 3)))) if number > 1 else []
    for cycle in cycles:
        for number, name in enumerate(cycle):
            needs[name] = [cycle[(number + 1) % len(cycle)], rng.choice(plain[:-1])]
    if cycles:
        needs[plain[-1]] = [*needs[plain[-1]], cycles[0][0]]
    return Graph(needs, {name: rng.randint(3, 90) for name in names}, cycles)


def _files(rng: Random, graph: Graph, level: int) -> dict[str, str]:
    files: dict[str, str] = {}
    for number, (name, needs) in enumerate(graph.needs.items()):
        files[f"{name}.sec"] = f"{graph.seconds[name]}\n"
        if level > 1 and number % 3 == 2:
            listed = ", ".join(f'"{one}"' for one in needs)
            files[f"{name}.json"] = f'{{"name": "{name}", "needs": [{listed}], "note": "none"}}\n'
            continue
        other = rng.choice([one for one in graph.needs if one not in needs and one != name])
        lines = [f"# {other}", *(one + rng.choice(("", "  # since 2.1")) for one in needs)]
        files[f"{name}.dep"] = "\n".join([*lines, ""])
    return files


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; ls; head -n 5 *.dep | head -n 30\n",
        f"cat > /tmp/plan.py <<'END'\n{program}END\n",
        "python3 /tmp/plan.py\n",
        f"head -n 20 {out}/*\n",
    )


FAMILY = Family(
    name="deps/build-order",
    summary="Find the order in which components can be built, the stages, the cycles and the time.",
    domain="dependency_management",
    skills=("topological-order", "parsing"),
    deeper={2: ("json",), 3: ("graph-search",), 5: ("scheduling",)},
    generate=generate,
    requires=("python3",),
)
