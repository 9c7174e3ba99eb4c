"""Linear systems with fractions, to be solved exactly; some have no solution, and some have many.

Level 2 brings systems without a solution, level 3 such with many, level 4 the determinant, level 5 systems modulo a
prime. Any exact method will do; floating point will not, for the entries are chosen so that rounding shows.
"""

from collections.abc import Sequence
from fractions import Fraction
from random import Random

from termgym.checks import report
from termgym.family import Draft, Family
from termgym.lexicon import GIVEN, PLACES, TOPICS
from termgym.task import File, Limits

ASKS = (
    "Solve the linear systems in {folder}, exactly. {form}\n\n{out}\n",
    "{folder} holds linear systems, one in each .{ext} file. {form}\n\n{out}\n",
    "We need exact solutions, no decimals. {form} The systems are the .{ext} files in {folder}.\n\n{out}\n",
    "{out}\n\nThe systems are in {folder}. {form}\n",
)
FORM = (
    "Each .{ext} file is one system: each line has the coefficients of the unknowns and, last, the right-hand side, "
    "separated by blanks; they are whole numbers or fractions such as -7/3.{modular}"
)
MODULAR = ' A file whose first line is "mod P" is a system modulo the prime P, whose numbers are whole.'
OUT = (
    'Write {out}, one line per system, in the order of the file names (LC_ALL=C sort), fields separated by "{sep}": the'
    " file's name without .{ext}, then the unknowns in order, as whole numbers or fractions in lowest terms with a"
    " positive denominator (5, -7/3){none}{many}{determinant}."
)
NONE = "; or the word none in their place where the system has no solution"
MANY = ", or the word many where it has more than one"
DETERMINANT = (
    "; and at the end, in any case, det(the determinant of the coefficients) such as det(-3/4) where they are as many"
    " as the unknowns"
)
MODULO = " (modulo P it and the unknowns are from 0 to P-1)"
PROGRAM = """\
import sys
from fractions import Fraction
for path in sys.argv[1:]:
    lines = [line.split() for line in open(path) if line.strip()]
    p = 0
    if lines[0][0] == "mod":
        p = int(lines.pop(0)[1])
    one = (lambda t: int(t) % p) if p else Fraction
    a = [[one(t) for t in line] for line in lines]
    n, rank, det, pivots = len(a[0]) - 1, 0, 1, []
    for col in range(n):
        at = next((r for r in range(rank, len(a)) if a[r][col] != 0), None)
        if at is None:
            continue
        if at != rank:
            a[rank], a[at] = a[at], a[rank]
            det = -det
        det = det * a[rank][col]
        inverse = pow(a[rank][col], -1, p) if p else 1 / a[rank][col]
        a[rank] = [x * inverse % p if p else x * inverse for x in a[rank]]
        for r in range(len(a)):
            if r != rank and a[r][col] != 0:
                f = a[r][col]
                a[r] = [(x - f * y) % p if p else x - f * y for x, y in zip(a[r], a[rank])]
        rank += 1
    if rank < n:
        det = 0
    none = any(row[-1] != 0 and not any(row[:-1]) for row in a)
    found = ["none"] if none else ["many"] if rank < n else [str(row[-1]) for row in a[:n]]
    if {determinant} and len(a) == n:
        found.append("det(%s)" % (det % p if p else det))
    print({sep!r}.join([path.rsplit("/", 1)[1][:-{cut}], *found]))
"""
Matrix = list[list[Fraction]]


def generate(rng: Random, level: int) -> Draft:
    """Several systems, each in its file."""
    folder, ext = f"/app/{rng.choice(PLACES)}", rng.choice(("sys", "eq", "mat", "lin"))
    out, sep = f"/app/{rng.choice(TOPICS)}.{rng.choice(('txt', 'out'))}", rng.choice((" ", ";", "|"))
    kinds = ["one"] * (level + 1) + ["none"] * (level > 1) + ["many"] * (level > 2) + ["mod"] * (2 * (level > 4))
    names = sorted(rng.sample([name.lower() for name in GIVEN], len(kinds)))
    rng.shuffle(kinds)
    files: dict[str, str] = {}
    lines: list[str] = []
    for name, kind in zip(names, kinds, strict=True):
        text, found = _modular(rng) if kind == "mod" else _system(rng, kind, 2 + (level > 1) + (level > 3))
        files[f"{folder}/{name}.{ext}"] = text
        lines.append(sep.join([name, *(found if level > 3 else found[:-1])]))
    form = FORM.format(ext=ext, modular=MODULAR if level > 4 else "")
    told = OUT.format(
        out=out,
        sep=sep,
        ext=ext,
        none=NONE if level > 1 else "",
        many=MANY if level > 2 else "",
        determinant=(DETERMINANT if level > 3 else "") + (MODULO if level > 4 else ""),
    )
    program = PROGRAM.format(sep=sep, cut=len(ext) + 1, determinant=level > 3)
    return Draft(
        instruction=rng.choice(ASKS).format(folder=folder, ext=ext, form=form, out=told),
        checks=report(out, "\n".join(lines)),
        oracle=_oracle(program, folder, ext, out),
        wrong={
            "floating-point": _oracle(program.replace("else Fraction", "else (lambda t: eval(t))"), folder, ext, out),
            "signs-lost": _oracle(program.replace("str(row[-1])", "str(abs(row[-1])) + '/1'"), folder, ext, out),
            "one-file-only": _oracle(program + "    break\n", folder, ext, out),
        },
        files={path: File.of(text) for path, text in files.items()},
        limits=Limits(turns=30),
    )


def _system(rng: Random, kind: str, n: int) -> tuple[str, list[str]]:
    """A system made from its solution, as text, and the fields that are wanted of it."""
    while True:
        a = [[Fraction(rng.randint(-9, 9), rng.choice((1, 1, 2, 3, 7))) for _ in range(n)] for _ in range(n)]
        det = _determinant(a)
        if det:
            break
    x = [Fraction(rng.randint(-30, 30), rng.choice((1, 2, 3, 5, 7))) for _ in range(n)]
    b = [sum((c * value for c, value in zip(row, x, strict=True)), Fraction(0)) for row in a]
    if kind == "one":
        return _text(a, b), [*map(str, x), f"det({det})"]
    weights = [Fraction(rng.choice((-2, -1, 1, 2))) for _ in range(n - 1)]
    a[-1] = [sum((w * row[col] for w, row in zip(weights, a, strict=False)), Fraction(0)) for col in range(n)]
    b[-1] = sum((w * value for w, value in zip(weights, b, strict=False)), Fraction(kind == "none"))
    order = rng.sample(range(n), n)
    return _text([a[i] for i in order], [b[i] for i in order]), [kind, "det(0)"]


def _modular(rng: Random) -> tuple[str, list[str]]:
    p, n = rng.choice((101, 127, 211, 499)), 3
    while True:
        a = [[Fraction(rng.randrange(p)) for _ in range(n)] for _ in range(n)]
        det = int(_determinant(a)) % p
        if det:
            break
    x = [rng.randrange(p) for _ in range(n)]
    b = [Fraction(int(sum(c * value for c, value in zip(row, x, strict=True))) % p) for row in a]
    return f"mod {p}\n{_text(a, b)}", [*map(str, x), f"det({det})"]


def _determinant(a: Sequence[Sequence[Fraction]]) -> Fraction:
    """By the first row; at most four rows there are."""
    if len(a) == 1:
        return a[0][0]
    minors = ([[*row[:col], *row[col + 1 :]] for row in a[1:]] for col in range(len(a)))
    return sum(((-1) ** col * a[0][col] * _determinant(minor) for col, minor in enumerate(minors)), Fraction(0))


def _text(a: Matrix, b: list[Fraction]) -> str:
    return "".join(" ".join(map(str, [*row, right])) + "\n" for row, right in zip(a, b, strict=True))


def _oracle(program: str, folder: str, ext: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder} && head -n 4 *.{ext}\n",
        f"cat > /tmp/gauss.py <<'END'\n{program}END\n",
        f"LC_ALL=C; python3 /tmp/gauss.py {folder}/*.{ext} > {out}\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="maths/exact-linear",
    summary="Solve linear systems over the fractions, exactly, and tell those without a single solution.",
    domain="mathematics",
    skills=("linear-algebra", "numerical-stability"),
    deeper={2: ("validation",), 4: ("recursion",), 5: ("modular-arithmetic",)},
    generate=generate,
    requires=("python3",),
)
