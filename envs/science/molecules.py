"""Molecules as lists of atoms with coordinates: distances, angles, bonds and centres of mass of them.

Level 2 asks for bonds by a rule of radii, level 3 for an angle, level 4 for fragments that no bond joins, level 5 for
the distance of the fragments' centres of mass. Files come in two notations and two units of length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import acos, degrees, dist
from random import Random

from termgym.checks import answer
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, PLACES
from termgym.task import Check, File, Limits

ASKS = (
    "{folder} holds the geometry of some molecules. {form}\n\n{questions}\n\n{out}\n",
    "{form} Such files lie in {folder}.\n\n{out}\n\n{questions}\n",
    "Work out some numbers on the molecules in {folder}. {form}\n\n{questions}\n\n{out}\n",
    "{questions}\n\nThis is asked of each molecule in {folder}. {form}\n\n{out}\n",
)
FORM = (
    "A .xyz file has the number of atoms, a line with its title and its unit (A or nm), then for each atom its element"
    " and x, y, z.{csv} Elements: {masses} (symbol, mass, radius in A). Atoms are numbered from 1 in the order of the"
    " file."
)
CSV = " A .csv file has the header element,x,y,z and the unit A."
QUESTIONS = {
    "far": "far: the greatest distance of two of its atoms.",
    "mass": "mass: the distance of its centre of mass from the origin.",
    "bonds": (
        "bonds: how many pairs of atoms are bonded, that is not farther apart than 1.2 times the sum of their radii."
    ),
    "angle": "angle: the angle, in degrees, at atom 2 between the lines to atoms 1 and 3.",
    "fragments": (
        "fragments: into how many fragments it falls, atoms of one being joined by bonds, directly or over others."
    ),
    "apart": "apart: the distance of the centres of mass of the fragment of atom 1 and of that of the last atom.",
}
OUT = (
    "Write {out} with a line NAME.QUESTION = VALUE for each molecule and question, where NAME is the file's without its"
    " ending. Lengths are in A. Values are compared to within 0.002 (counts are whole numbers)."
)
ELEMENTS = {"H": (1.008, 0.31), "C": (12.011, 0.76), "N": (14.007, 0.71), "O": (15.999, 0.66), "S": (32.06, 1.05)}
PROGRAM = """\
import sys
from math import acos, degrees, dist
elements = {elements}
def read(path):
    lines = open(path).read().split("\\n")
    if path.endswith(".csv"):
        return [(e, [float(v) for v in p]) for e, *p in (line.split(",") for line in lines[1:] if line)]
    scale = 10 if lines[1].split()[-1] == "nm" else 1
    return [(e, [scale * float(v) for v in p]) for e, *p in (line.split() for line in lines[2:] if line)]
def centre(atoms):
    total = sum(elements[e][0] for e, _ in atoms)
    return [sum(elements[e][0] * p[k] for e, p in atoms) / total for k in range(3)]
for path in sys.argv[1:]:
    atoms, name = read(path), path.rsplit("/", 1)[1].rsplit(".", 1)[0]
    n = len(atoms)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    radius = [elements[e][1] for e, _ in atoms]
    bonds = [(i, j) for i, j in pairs if dist(atoms[i][1], atoms[j][1]) <= 1.2 * (radius[i] + radius[j])]
    label = list(range(n))
    for _ in range(n):
        for i, j in bonds:
            label[i] = label[j] = min(label[i], label[j])
    a, b, c = (p for _, p in atoms[:3])
    u, v = [x - y for x, y in zip(a, b)], [x - y for x, y in zip(c, b)]
    part = lambda at: centre([atom for atom, l in zip(atoms, label) if l == label[at]])
    found = {{"far": max(dist(atoms[i][1], atoms[j][1]) for i, j in pairs), "mass": dist(centre(atoms), (0, 0, 0))}}
    found["angle"] = degrees(acos(sum(x * y for x, y in zip(u, v)) / dist(a, b) / dist(c, b)))
    found.update(bonds=len(bonds), fragments=len(set(label)), apart=dist(part(0), part(-1)))
    for question in {names}:
        print("%s.%s = %s" % (name, question, found[question]))
"""
Atom = tuple[str, tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Molecule:
    """Chains of atoms, each a fragment, all of them far from the others."""

    name: str
    chains: Sequence[Sequence[Atom]]

    @property
    def atoms(self) -> list[Atom]:
        """All of them."""
        return [atom for chain in self.chains for atom in chain]

    def wanted(self) -> dict[str, float | int]:
        """The answer to each question."""
        atoms = self.atoms
        (_, a), (_, b), (_, c) = atoms[:3]
        near = [
            (p, q)
            for i, p in enumerate(atoms)
            for q in atoms[:i]
            if dist(p[1], q[1]) <= 1.2 * (_radius(p) + _radius(q))
        ]
        cosine = (dist(a, b) ** 2 + dist(c, b) ** 2 - dist(a, c) ** 2) / (2 * dist(a, b) * dist(c, b))
        return {
            "far": max(dist(p, q) for _, p in atoms for _, q in atoms),
            "mass": dist(_centre(atoms), (0, 0, 0)),
            "bonds": len(near),
            "angle": degrees(acos(cosine)),
            "fragments": len(self.chains),
            "apart": dist(_centre(self.chains[0]), _centre(self.chains[-1])),
        }


def generate(rng: Random, level: int) -> Draft:
    """A few molecules."""
    folder, out = f"/app/{rng.choice(PLACES)}", f"/app/{rng.choice(('geometry', 'answers', 'values'))}.txt"
    names = sorted(rng.sample(ITEMS, 1 + level))
    questions = list(QUESTIONS)[: level + 1]
    molecules = [_molecule(rng, name, level) for name in names]
    asked = "\n".join(f"- {QUESTIONS[question]}" for question in questions)
    masses = ", ".join(f"{symbol} {mass} {radius}" for symbol, (mass, radius) in ELEMENTS.items())
    form = FORM.format(masses=masses, csv=CSV if level > 1 else "")
    files = dict(_file(molecule, folder, number, level) for number, molecule in enumerate(molecules))
    program = PROGRAM.format(elements=ELEMENTS, names=questions)
    wrong = {
        "masses-ignored": program.replace("elements[e][0]", "1"),
        "units-ignored": program.replace("scale = 10", "scale = 1"),
        "first-molecule-only": program + "    break\n",
        "squared-distances": program.replace('"far": max(', '"far": 2 * max('),
    }
    return Draft(
        instruction=rng.choice(ASKS).format(folder=folder, form=form, questions=asked, out=OUT.format(out=out)),
        checks=tuple(_check(out, molecule, question) for molecule in molecules for question in questions),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items()},
        files={path: File.of(text) for path, text in files.items()},
        limits=Limits(turns=30),
    )


def _check(out: str, molecule: Molecule, question: str) -> Check:
    value, weight = molecule.wanted()[question], 1 + list(QUESTIONS).index(question) // 2
    if isinstance(value, int):
        return answer(out, f"{molecule.name}.{question}", str(value), weight=weight)
    return answer(out, f"{molecule.name}.{question}", value, tolerance=0.002, weight=weight)


def _molecule(rng: Random, name: str, level: int) -> Molecule:
    """Chains along x, each on its own height, so that bonds are those of neighbours and no others."""
    chains: list[list[Atom]] = []
    for number in range(1 if level < 4 else rng.randint(2, 3)):
        x, chain = rng.uniform(-3, 3), list[Atom]()
        for _ in range(rng.randint(3, 4 + level)):
            element = rng.choice("HCNOS")
            gap = 0.98 * (ELEMENTS[element][1] + (_radius(chain[-1]) if chain else 0.4))
            x += gap * rng.uniform(0.93, 1.0)
            at = (round(x, 4), round(4 * number + rng.uniform(-0.12, 0.12), 4), round(rng.uniform(-0.12, 0.12), 4))
            chain.append((element, at))
        chains.append(chain)
    return Molecule(name, chains)


def _file(molecule: Molecule, folder: str, number: int, level: int) -> tuple[str, str]:
    if level > 1 and number % 3 == 2:
        rows = [",".join((element, *(f"{v:.4f}" for v in at))) for element, at in molecule.atoms]
        return f"{folder}/{molecule.name}.csv", "\n".join(["element,x,y,z", *rows, ""])
    scale = 0.1 if number % 3 == 0 else 1
    rows = [f"{element} {' '.join(f'{v * scale:.5f}' for v in at)}" for element, at in molecule.atoms]
    title = f"{molecule.name} {'nm' if scale < 1 else 'A'}"
    return f"{folder}/{molecule.name}.xyz", "\n".join([str(len(rows)), title, *rows, ""])


def _radius(atom: Atom) -> float:
    return ELEMENTS[atom[0]][1]


def _centre(atoms: Sequence[Atom]) -> tuple[float, float, float]:
    total = sum(ELEMENTS[element][0] for element, _ in atoms)
    x, y, z = (sum(ELEMENTS[element][0] * at[k] for element, at in atoms) / total for k in range(3))
    return x, y, z


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; head -n 4 *\n",
        f"cat > /tmp/mol.py <<'END'\n{program}END\n",
        f"python3 /tmp/mol.py {folder}/* > {out}\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="science/molecules",
    summary="Work out distances, bonds, angles and fragments of molecules from their coordinates.",
    domain="scientific_computing",
    skills=("geometry", "units"),
    deeper={2: ("csv", "parsing"), 4: ("graph-search",)},
    generate=generate,
    requires=("python3",),
)
