"""Systems of linear congruences in a file; the smallest solution of each goes into a report.

Level 2 has moduli that share factors, so that some systems have no solution; level 3 has coefficients before x, level 4
asks for the period of the solutions too, and level 5 for the number of solutions below a bound.
"""

from dataclasses import dataclass
from math import gcd, prod
from random import Random

from termgym.checks import report
from termgym.family import Draft, Family
from termgym.lexicon import HOSTS, ITEMS, PLACES
from termgym.task import File, Limits

PRIMES = (3, 4, 5, 7, 9, 11, 13, 16, 17, 19, 23, 25, 29, 31)
ASKS = (
    "Solve the systems of congruences in {given}. {form}\n\n{out}\n",
    "{given} lists systems of congruences in one unknown x. {form}\n\nFind the smallest solution of each. {out}\n",
    "A puzzle page needs its answers. {form} The puzzles are in {given}.\n\n{out}\n",
    "{out}\n\nThe systems are those of {given}. {form}\n",
)
FORM = (
    'A system begins with its name and a colon; each following line is one congruence, "{shape}", up to a blank line. '
    "All congruences of a system hold at once."
)
OUT = (
    "Write {report}: one line for each system, in the order of the file: its name{sep_words}the smallest x >= 0 that "
    'satisfies it, or the word none if there is no such x.{more} The fields are separated by "{sep}" and nothing else.'
)
PERIOD = " A third field is the smallest positive number that can be added to any solution to give another (- if none)."
BELOW = " A fourth is how many solutions x there are with 0 <= x < {bound} (0 if none)."
PROGRAM = """\
import re
from math import gcd
def solve(rows):
    x, step = 0, 1
    for a, b, m in rows:
        for k in range(m):
            if (a * (x + k * step) - b) % m == 0:
                break
        else:
            return None
        x += k * step
        n = m // gcd(a, m)
        step = step * n // gcd(step, n)
        x %= step
    return x, step
for block in open({given!r}).read().strip().split("\\n\\n"):
    name, *lines = block.split("\\n")
    rows = [re.match(r"(\\d*) ?x = (\\d+) .mod (\\d+)", one).groups() for one in lines]
    found = solve([(int(a or 1), int(b), int(m)) for a, b, m in rows])
    fields = ["none", "-", "0"] if found is None else [found[0], found[1], len(range(found[0], {bound}, found[1]))]
    fields.insert(0, name.strip(":"))
    print({sep!r}.join(map(str, fields[:{fields}])))
"""


@dataclass(frozen=True, slots=True)
class System:
    """Rows a x = b (mod m)."""

    name: str
    rows: tuple[tuple[int, int, int], ...]

    def solution(self) -> tuple[int, int] | None:
        """The smallest solution and the period, by the extended rule for pairs."""
        x, step = 0, 1
        for a, b, m in self.rows:
            g = gcd(a, m)
            if b % g:
                return None
            n = m // g
            residue = b // g * pow(a // g, -1, n) % n
            shared = gcd(step, n)
            if (residue - x) % shared:
                return None
            jump = (residue - x) // shared * pow(step // shared, -1, n // shared) % (n // shared)
            x, step = x + step * jump, step * n // shared
            x %= step
        return x, step

    def text(self) -> str:
        """As the file has it."""
        lines = [f"{a if a > 1 else ''}{' ' if a > 1 else ''}x = {b} (mod {m})" for a, b, m in self.rows]
        return "\n".join([f"{self.name}:", *lines, ""])


def generate(rng: Random, level: int) -> Draft:
    """Systems of which, from level 2, the second has no solution."""
    systems = [
        _system(rng, level, name, hopeless=level > 1 and number == 1)
        for number, name in enumerate(rng.sample([*ITEMS, *HOSTS], 3 + level))
    ]
    folder = f"/app/{rng.choice(PLACES)}"
    given, out = (
        f"{folder}/{rng.choice(('systems', 'puzzles', 'input'))}.txt",
        f"/app/{rng.choice(('answers', 'solved', 'out'))}.txt",
    )
    sep, bound, fields = (
        rng.choice((" ", ";", ",", ":")),
        rng.randint(20, 90) * 10**5,
        min(2 + (level > 3) + (level > 4), 4),
    )
    lines = [sep.join(_fields(system, bound)[:fields]) for system in systems]
    shape = "a x = b (mod m)" if level > 2 else "x = b (mod m)"
    more = (PERIOD if fields > 2 else "") + (BELOW.format(bound=bound) if fields > 3 else "")
    asked = rng.choice(ASKS).format(
        given=given,
        form=FORM.format(shape=shape),
        out=OUT.format(report=out, sep=sep, sep_words=" and ", more=more),
    )
    program = PROGRAM.format(given=given, bound=bound, sep=sep, fields=fields)
    oracle = _oracle(program, given, out)
    return Draft(
        instruction=asked,
        checks=report(out, "\n".join(lines)),
        oracle=oracle,
        wrong={
            "sum-of-moduli": _oracle(program.replace("step * n // gcd(step, n)", "step + n"), given, out),
            "first-system-only": _oracle(program + "    break\n", given, out),
            "below-zero": _oracle(program.replace("[found[0],", "[found[0] - found[1],"), given, out),
            "names-only": (f"grep : {given} | tr -d : > {out}\n",),
            "cheat": (f"ln -s /tests/expected {out}; echo none > /tmp/none\n",),
        },
        files={given: File.of("\n".join(system.text() for system in systems))},
        limits=Limits(turns=30),
    )


def _fields(system: System, bound: int) -> list[str]:
    found = system.solution()
    if found is None:
        return [system.name, "none", "-", "0"]
    return [system.name, str(found[0]), str(found[1]), str(len(range(found[0], bound, found[1])))]


def _system(rng: Random, level: int, name: str, hopeless: bool) -> System:
    moduli = rng.sample(PRIMES, 2 + level // 2)
    if level > 1:
        moduli = [m * rng.choice((1, 2, 6)) for m in moduli]
    x = rng.randrange(prod(moduli))
    rows = [
        (rng.choice([a for a in range(1, 9) if gcd(a, m) == 1 or level > 3]) if level > 2 else 1, m) for m in moduli
    ]
    found = [(a, a * x % m, m) for a, m in rows]
    if hopeless:
        m = found[0][2] * 2
        found.append((1, (x + 1) % m if found[0][0] == 1 else (x * 1 + 1) % m, m))
        found.append((1, x % m, m))
    return System(name, tuple(found))


def _oracle(program: str, given: str, out: str) -> tuple[str, ...]:
    return (
        f"head -n 12 {given}\n",
        f"cat > /tmp/crt.py <<'END'\n{program}END\n",
        f"python3 /tmp/crt.py > {out}\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="maths/congruences",
    summary="Solve systems of linear congruences, some of which have no solution.",
    domain="mathematics",
    skills=("number-theory", "modular-arithmetic"),
    deeper={2: ("validation",), 3: ("parsing",), 5: ("counting",)},
    generate=generate,
    requires=("python3",),
)
