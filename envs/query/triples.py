"""Facts as subject, relation and object, with rules that give more facts; a question is asked of all that follows.

Level 2 has relations that carry over (transitive), level 3 such that hold both ways, level 4 relations that are the
inverse of others, level 5 questions over two relations with an exception. Facts lie in several files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import Check, answer, report
from termgym.family import Draft, Family
from termgym.lexicon import GIVEN, PLACES, TOWNS
from termgym.task import File, Limits

ASKS = (
    "{folder} holds facts (*.facts), one per line: SUBJECT RELATION OBJECT. {rules}\n\n{questions}\n",
    (
        "From the facts in {folder}/*.facts (SUBJECT RELATION OBJECT on each line) some questions are to be answered."
        " {rules}\n\n{questions}\n"
    ),
    "{questions}\n\nThe facts are in {folder}/*.facts, a line each: SUBJECT RELATION OBJECT. {rules}\n",
    (
        "What follows from the facts in {folder}/*.facts? Each line there is SUBJECT RELATION OBJECT."
        " {rules}\n\n{questions}\n"
    ),
)
RULES = {
    1: "Facts may stand in several files, and count once.",
    2: "{part} carries over: from A {part} B and B {part} C follows A {part} C.",
    3: "{near} holds both ways: from A {near} B follows B {near} A (but it does not carry over).",
    4: "A {has} B says the same as B {part} A.",
}
ALL = " All that follows counts as if it were written."
QUESTIONS = {
    "things": "- {out}/things.txt: below a line things, all A for which A {part} {whole} holds, sorted.",
    "count": "- {out}/numbers.txt: lines NAME = VALUE. count: how many different facts with {part} hold.",
    "neighbours": "  neighbours: how many B there are with {one} {near} B.",
    "top": (
        "- {out}/top.txt: below a line top, the A that stand for nothing larger: A has a fact B {part} A, but no fact A"
        " {part} B; sorted."
    ),
    "answer": (
        "- {out}/answer.txt: below a line answer, all A with A {near} B for some B of which B {part} {whole} holds, but"
        " A {part} {whole} does not hold; sorted."
    ),
}
PROGRAM = """\
import glob, os
level, part, near, has = {level}, {part!r}, {near!r}, {has!r}
facts = set()
for path in glob.glob({folder!r} + "/*.facts"):
    for line in open(path):
        if line.strip():
            facts.add(tuple(line.split()))
if level > 3:
    facts |= {{(b, part, a) for a, r, b in facts if r == has}}
if level > 2:
    facts |= {{(b, r, a) for a, r, b in facts if r == near}}
while level > 1:
    up = {{(a, b) for a, r, b in facts if r == part}}
    new = {{(a, part, d) for a, b in up for c, d in up if b == c}} - facts
    if not new:
        break
    facts |= new
up = {{(a, b) for a, r, b in facts if r == part}}
side = {{(a, b) for a, r, b in facts if r == near}}
os.makedirs({out!r}, exist_ok=True)
def write(name, found):
    open({out!r} + "/" + name + ".txt", "w").write("".join(x + "\\n" for x in [name] + sorted(found)))
inside = {{a for a, b in up if b == {whole!r}}}
write("things", inside)
numbers = ["count = %d" % len(up)]
if level > 2:
    numbers.append("neighbours = %d" % len({{b for a, b in side if a == {one!r}}}))
open({out!r} + "/numbers.txt", "w").write("\\n".join(numbers) + "\\n")
if level > 3:
    write("top", {{b for _, b in up}} - {{a for a, _ in up}})
if level > 4:
    write("answer", {{a for a, b in side if b in inside}} - inside)
"""
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is written, by relation; `inverse` are parts written the other way round."""

    part: Sequence[Pair]
    near: Sequence[Pair]
    inverse: Sequence[Pair]

    def above(self, level: int) -> dict[str, set[str]]:
        """Subject -> all that it is a part of."""
        direct: dict[str, set[str]] = {}
        for a, b in (*self.part, *self.inverse[: None if level > 3 else 0]):
            direct.setdefault(a, set()).add(b)
        if level < 2:
            return direct
        return {a: self._reach(direct, a) for a in direct}

    def _reach(self, direct: dict[str, set[str]], start: str) -> set[str]:
        found, todo = set[str](), [start]
        while todo:
            new = direct.get(todo.pop(), set[str]()) - found
            found |= new
            todo += sorted(new)
        return found

    def beside(self, level: int) -> dict[str, set[str]]:
        """Subject -> its neighbours."""
        found: dict[str, set[str]] = {}
        for a, b in self.near:
            found.setdefault(a, set()).add(b)
            if level > 2:
                found.setdefault(b, set()).add(a)
        return found


def generate(rng: Random, level: int) -> Draft:
    """One set of facts."""
    part, has = rng.choice(
        (("lies-in", "contains"), ("part-of", "comprises"), ("reports-to", "leads"), ("belongs-to", "owns"))
    )
    near = rng.choice(("borders", "knows", "meets", "touches"))
    names = rng.sample([*TOWNS, *GIVEN], 14 + 4 * level)
    facts = _facts(rng, names, level)
    above, beside = facts.above(level), facts.beside(level)
    whole = max(sorted({b for bs in above.values() for b in bs}), key=lambda b: sum(b in bs for bs in above.values()))
    one = next(b for a, b in facts.near if (b, a) not in facts.near) if level > 2 else sorted(beside)[0]
    folder, out = f"/app/{rng.choice(PLACES)}", f"/app/{rng.choice(('answers', 'result', 'out'))}"
    inside = {a for a, bs in above.items() if whole in bs}
    wholes = {b for bs in above.values() for b in bs}
    lists = {
        "things": inside,
        "top": wholes - above.keys(),
        "answer": {a for a, bs in beside.items() if bs & inside} - inside,
    }
    numbers = {"count": sum(map(len, above.values())), "neighbours": len(beside[one])}
    asked = [
        "things",
        "count",
        *(["neighbours"] if level > 2 else []),
        *(["top"] if level > 3 else []),
        *(["answer"] if level > 4 else []),
    ]
    fields = {
        "part": part,
        "has": has,
        "near": near,
        "whole": whole,
        "one": one,
        "out": out,
        "folder": folder,
        "level": level,
    }
    checks = [
        Check(f"{name}-{check.name}", check.script, check.weight)
        for name in asked
        if name in lists
        for check in report(f"{out}/{name}.txt", "\n".join([name, *sorted(lists[name])]))
    ]
    checks += [answer(f"{out}/numbers.txt", name, str(numbers[name]), weight=2) for name in asked if name in numbers]
    program = PROGRAM.format(**fields)
    wrong = {
        "one-file": program.replace('"/*.facts")', '"/*.facts")[:1]'),
        "as-written": program.replace("while level > 1:", "while False:"),
        "one-way": program.replace("if level > 2:\n    facts", "if False:\n    facts"),
        "backwards": program.replace("{a for a, b in up if b ==", "{b for a, b in up if a =="),
        "lines-counted": program.replace('"count = %d" % len(up)', '"count = %d" % (len(up) + 1)'),
    }
    for name, needed in {"as-written": 2, "one-way": 3}.items():
        if level < needed:
            del wrong[name]
    return Draft(
        instruction=rng.choice(ASKS).format(
            folder=folder,
            rules=" ".join(RULES[n].format(**fields) for n in RULES if n <= level) + (ALL if level > 1 else ""),
            questions="\n".join(QUESTIONS[name].format(**fields) for name in asked),
        ),
        checks=tuple(checks),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items()},
        files={
            f"{folder}/{name}.facts": File.of(text) for name, text in _files(rng, facts, part, near, has, level).items()
        },
        limits=Limits(turns=30),
    )


def _facts(rng: Random, names: Sequence[str], level: int) -> Facts:
    """A forest of parts, a few of them twice above, and neighbours at random."""
    part: list[Pair] = []
    for number, name in enumerate(names[2:], 2):
        part.append((name, names[rng.randrange(max(0, number // 2 - 2), number // 2 + 1)]))
    near = [(a, b) for a, b in (rng.sample(list(names), 2) for _ in range(8 + 4 * level))]
    cut = len(part) // 4 if level > 3 else 0
    return Facts(part[cut:], near, part[:cut])


def _files(rng: Random, facts: Facts, part: str, near: str, has: str, level: int) -> dict[str, str]:
    lines = (
        [f"{a} {part} {b}" for a, b in facts.part]
        + [f"{a} {near} {b}" for a, b in facts.near]
        + [f"{b} {has} {a}" for a, b in facts.inverse]
    )
    lines += rng.sample(lines, 5)
    rng.shuffle(lines)
    third = len(lines) // 3
    return {
        name: "\n".join([*lines[start : start + third + 3], ""])
        for name, start in (("base", 0), ("more", third), ("new", 2 * third))
    }


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; wc -l *; head -n 4 *; cut -d' ' -f2 * | sort | uniq -c\n",
        f"cat > /tmp/infer.py <<'END'\n{program}END\n",
        "python3 /tmp/infer.py\n",
        f"head -n 5 {out}/*\n",
    )


FAMILY = Family(
    name="query/triples",
    summary="Answer questions over facts as triples, with rules that give more facts.",
    domain="data_querying",
    skills=("joins", "parsing"),
    deeper={2: ("recursive-queries",), 4: ("normalization",), 5: ("subqueries",)},
    generate=generate,
    requires=("python3",),
)
