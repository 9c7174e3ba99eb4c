"""Graphs to be coloured with few colours: any proper colouring counts, judged by the rule and not by an answer sheet.

Level 2 has vertices whose colour is given, level 3 a bound on how often a colour may be used, level 4 graphs that
cannot be coloured (which have to be told), level 5 larger graphs, where trying one after the other takes too long.
"""

from dataclasses import dataclass
from random import Random

from termgym.family import Draft, Family
from termgym.lexicon import COLOURS, GIVEN, PLACES, TOPICS
from termgym.task import Check, File, Limits

ASKS = (
    "{folder} holds graphs, one in each .{ext} file. Colour each with its colours. {form}\n\n{out}\n",
    "Timetables without clashes are colourings of graphs; ours are in {folder}, as .{ext} files. {form}\n\n{out}\n",
    "{out}\n\nThe graphs are the .{ext} files in {folder}. {form}\n",
    "Find a proper colouring of every graph in {folder} (*.{ext}). {form}\n\n{out}\n",
)
FORM = (
    'The line "colours" lists the colours that there are. A line "edge U V" joins the vertices U and V, which must not'
    " have the same colour.{given}{bound}"
)
GIVEN_TEXT = ' A line "given U C" says that U has the colour C.'
BOUND_TEXT = ' A line "most C N" allows the colour C on at most N vertices.'
OUT = (
    "Write for each FILE.{ext} a file {out}/FILE.txt with a line for each vertex: its name, a blank and its colour, in"
    " any order.{hopeless} Any colouring that keeps the rules is right."
)
HOPELESS = " If there is no such colouring, the file has the one word impossible instead."
JUDGE = """\
#!/usr/bin/python3 -I
import os, stat, sys
path = {path!r}
try:
    if os.path.realpath(path) != path or not stat.S_ISREG(os.lstat(path).st_mode) or os.path.getsize(path) > 65536:
        sys.exit(1)
    words = open(path, encoding="utf-8").read().split()
except (OSError, ValueError):
    sys.exit(1)
lines = [line.split() for line in open("/tests/graphs/{name}")]
if {hopeless}:
    sys.exit(words != ["impossible"])
edges = [line[1:] for line in lines if line[0] == "edge"]
vertices = sorted({{v for edge in edges for v in edge}})
colour = dict(zip(words[::2], words[1::2]))
fine = len(words) == 2 * len(vertices) and sorted(colour) == vertices
fine = fine and set(colour.values()) <= set(lines[0][1:]) and all(colour[u] != colour[v] for u, v in edges)
fine = fine and all(colour[line[1]] == line[2] for line in lines if line[0] == "given")
fine = fine and all(list(colour.values()).count(line[1]) <= int(line[2]) for line in lines if line[0] == "most")
sys.exit(not fine)
"""
PROGRAM = """\
import sys
sys.setrecursionlimit(10000)
for path in sys.argv[2:]:
    lines = [line.split() for line in open(path)]
    colours, near, given, most = lines[0][1:], {}, {}, {}
    for line in lines[1:]:
        if line[0] == "edge":
            near.setdefault(line[1], set()).add(line[2])
            near.setdefault(line[2], set()).add(line[1])
        if line[0] == "given":
            given[line[1]] = line[2]
        if line[0] == "most":
            most[line[1]] = int(line[2])
    colour = dict(given)
    def free(v):
        used = list(colour.values())
        return [c for c in colours if all(colour.get(u) != c for u in near[v]) and used.count(c) < most.get(c, 10**6)]
    def solve():
        left = [v for v in near if v not in colour]
        if not left:
            return True
        v = min(left, key=lambda v: (len(free(v)), -len(near[v])))
        for c in free(v):
            colour[v] = c
            if solve():
                return True
            del colour[v]
        return False
    sound = all(colour.get(u) != c for v, c in given.items() for u in near[v])
    text = "".join(v + " " + colour[v] + "\\n" for v in near) if sound and solve() else "impossible\\n"
    open(sys.argv[1] + "/" + path.rsplit("/", 1)[1].rsplit(".", 1)[0] + ".txt", "w").write(text)
"""


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph with its rules, and whether it cannot be coloured."""

    text: str
    hopeless: bool


def generate(rng: Random, level: int) -> Draft:
    """Several graphs, each with a colouring that it was made from, or none."""
    folder, ext = f"/app/{rng.choice(PLACES)}", rng.choice(("graph", "col", "net", "txt"))
    out = f"/app/{rng.choice(TOPICS)}-colours"
    hopeless = [False] * (level + 1) + [True] * (2 * (level > 3))
    rng.shuffle(hopeless)
    names = rng.sample([name.lower() for name in GIVEN], len(hopeless))
    graphs = {name: _graph(rng, level, no) for name, no in zip(names, hopeless, strict=True)}
    form = FORM.format(given=GIVEN_TEXT if level > 1 else "", bound=BOUND_TEXT if level > 2 else "")
    told = OUT.format(ext=ext, out=out, hopeless=HOPELESS if level > 3 else "")
    return Draft(
        instruction=rng.choice(ASKS).format(folder=folder, ext=ext, form=form, out=told),
        checks=tuple(_check(name, graph, f"{out}/{name}.txt") for name, graph in graphs.items()),
        oracle=_oracle(PROGRAM, folder, ext, out),
        wrong={
            "first-only": _oracle(PROGRAM + "    break\n", folder, ext, out),
            "one-colour": (
                f"mkdir {out}; cd {folder}\n",
                f"for f in *.{ext}; do c=$(awk '{{print $2; exit}}' $f); grep ^edge $f | tr ' ' '\\n' | grep -v edge |"
                f' sort -u | sed "s/$/ $c/" > {out}/${{f%.*}}.txt; done\n',
            ),
            "impossible": (
                f"mkdir {out}; for f in {folder}/*; do f=${{f##*/}}; echo impossible > {out}/${{f%.*}}.txt; done\n",
            ),
            "rules-of-edges-dropped": (f"sed -i /edge/d {folder}/*; mkdir -p {out}; touch {out}/{names[0]}.txt\n",),
        },
        files={f"{folder}/{name}.{ext}": File.of(graph.text) for name, graph in graphs.items()},
        tests={f"graphs/{name}": File.of(graph.text) for name, graph in graphs.items()},
        limits=Limits(turns=30),
    )


def _check(name: str, graph: Graph, path: str) -> Check:
    return Check(name, JUDGE.format(path=path, name=name, hopeless=graph.hopeless))


def _graph(rng: Random, level: int, hopeless: bool) -> Graph:
    """Edges between the classes of a hidden colouring; too large a clique among them where there is to be none."""
    k = 3 + (level > 2)
    colours, n = rng.sample(COLOURS, k), 7 + 3 * level
    vertices = rng.sample([f"{letter}{number}" for letter in "abcdefgh" for number in range(1, 9)], n)
    hidden = {v: colours[i % k] for i, v in enumerate(vertices)}
    pairs = [(u, v) for i, u in enumerate(vertices) for v in vertices[i + 1 :] if hidden[u] != hidden[v]]
    edges = rng.sample(pairs, min(len(pairs), 2 * n + n // 2))
    touched = {v for edge in edges for v in edge}
    edges += [(v, next(u for u in vertices if hidden[u] != hidden[v])) for v in vertices if v not in touched]
    if hopeless:
        clique = vertices[: k + 1]
        edges += [(u, v) for i, u in enumerate(clique) for v in clique[i + 1 :] if (u, v) not in edges]
    lines = [f"edge {' '.join(rng.sample(edge, 2))}" for edge in edges]
    lines += [f"given {v} {hidden[v]}" for v in rng.sample(vertices[k + 1 :], 2)] if level > 1 else []
    lines += [f"most {c} {list(hidden.values()).count(c)}" for c in colours[:2]] if level > 2 else []
    rng.shuffle(lines)
    return Graph("\n".join([f"colours {' '.join(colours)}", *lines, ""]), hopeless)


def _oracle(program: str, folder: str, ext: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder} && ls && head -n 5 *.{ext}\n",
        f"cat > /tmp/colour.py <<'END'\n{program}END\n",
        f"mkdir -p {out}; python3 /tmp/colour.py {out} {folder}/*.{ext}\n",
        f"head -n 3 {out}/*\n",
    )


FAMILY = Family(
    name="maths/graph-colouring",
    summary="Colour graphs by their rules, or tell that it cannot be done.",
    domain="mathematics",
    skills=("constraint-solving", "parsing"),
    deeper={3: ("backtracking",), 4: ("validation",)},
    generate=generate,
    requires=("python3",),
)
