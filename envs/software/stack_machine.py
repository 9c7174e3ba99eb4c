"""An interpreter of a small stack language, which is there in part, has to be completed to its specification.

Which words the language has, and what they are called, changes with the seed. Level 2 adds stack words, level 3
conditionals, level 4 definitions, level 5 loops and errors with line numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import Case, cases
from termgym.family import Draft, Family
from termgym.lexicon import ADJECTIVES, ITEMS, SERVICES
from termgym.task import File, Limits

ASKS = (
    (
        "{path} is the beginning of an interpreter (Python 3). Complete it: the language is described in"
        " {folder}/SPEC.txt. {more}\n"
    ),
    "Finish the interpreter {path} by the specification {folder}/SPEC.txt. {more}\n",
    (
        "The language of {folder}/SPEC.txt needs an interpreter; somebody began one in {path}, in Python 3. Make it do"
        " all that the specification says. {more}\n"
    ),
    (
        "{folder}/SPEC.txt says what programs of our stack language do. {path}, in Python 3, knows only a few words so"
        " far: add the rest. {more}\n"
    ),
)
MORE = "It is run as python3 {path} < PROGRAM. {folder}/hello.prog is a program that works already."
SPEC = """\
A program is words separated by white space. There is a stack of whole numbers of any size.
{comment} and all that follows on the line is a comment.

A whole number, maybe with a minus sign, is pushed.
{words}
If a word is unknown or the stack has too few numbers, the interpreter prints {oops}{where}
on a line of its own and ends with status {status}; what was printed before stays.
"""
WORDS: dict[int, tuple[tuple[str, str], ...]] = {
    1: (
        ("add", "take b, then a; push a + b"),
        ("sub", "take b, then a; push a - b"),
        ("mul", "take b, then a; push a * b"),
        ("show", "take a number and print it on a line"),
    ),
    2: (("dup", "push the top number once more"), ("swap", "exchange the two top numbers"), ("drop", "take a number")),
    3: (
        ("less", "take b, then a; push 1 if a < b, else 0"),
        ("if", "take a number; if it is 0, go on after the matching {else} or, where there is none, {then}"),
        ("else", "go on after the matching {then}"),
        ("then", "does nothing; ends the matching {if}; these may be nested"),
    ),
    4: (
        ("define", "the next word becomes a name for the words up to {end}, which are not run now"),
        (
            "end",
            "ends a definition; a defined word runs its words; a later definition of a name replaces an earlier one",
        ),
    ),
    5: (
        ("while", "marks the beginning of a loop"),
        ("loop", "take a number; if it is not 0, go on after the matching {while}"),
        ("depth", "push how many numbers there are"),
    ),
}
PROGRAM = """\
import sys
KNOWN = {known}
class Oops(Exception):
    pass
def words(text):
    for number, line in enumerate(text.split("\\n"), 1):
        for word in line.split({comment!r})[0].split():
            yield word, number
def partner(code, at, opens, stops, closes):
    depth = 0
    for i in range(at + 1, len(code)):
        word = KNOWN.get(code[i][0])
        if word == opens:
            depth += 1
        elif depth == 0 and word in stops:
            return i
        elif word == closes:
            depth -= 1
    raise Oops(code[at][1])
def run(code, stack, defined):
    i, starts = 0, []
    while i < len(code):
        text, line = code[i]
        word = KNOWN.get(text)
        def take():
            if not stack:
                raise Oops(line)
            return stack.pop()
        if text.lstrip("-").isdigit() and text.count("-") <= 1:
            stack.append(int(text))
        elif text in defined:
            run(defined[text], stack, defined)
        elif word in ("add", "sub", "mul", "less", "swap"):
            b, a = take(), take()
            if word == "swap":
                stack += [b, a]
            else:
                stack.append({{"add": a + b, "sub": a - b, "mul": a * b, "less": int(a < b)}}[word])
        elif word == "show":
            print(take())
        elif word == "dup":
            stack += [take()] * 2
        elif word == "drop":
            take()
        elif word == "depth":
            stack.append(len(stack))
        elif word == "if":
            if take() == 0:
                i = partner(code, i, "if", ("else", "then"), "then")
        elif word == "else":
            i = partner(code, i, "if", ("then",), "then")
        elif word == "define":
            end = next(k for k in range(i, len(code)) if KNOWN.get(code[k][0]) == "end")
            defined[code[i + 1][0]] = code[i + 2:end]
            i = end
        elif word == "while":
            starts.append(i)
        elif word == "loop":
            if take():
                i = starts[-1]
            else:
                starts.pop()
        elif word != "then":
            raise Oops(line)
        i += 1
try:
    run(list(words(sys.stdin.read())), [], {{}})
except Oops as error:
    print({oops!r} + (" %s" % error if {numbered} else ""))
    sys.exit({status})
"""
STUB = """\
import sys

stack = []
for line in sys.stdin:
    for word in line.split():
        if word == {show!r}:
            print(stack.pop())
        elif word == {add!r}:
            stack.append(stack.pop() + stack.pop())
        else:
            stack.append(int(word))
"""


@dataclass(frozen=True, slots=True)
class Language:
    """What the words are called, and the rest of the seed's choice."""

    names: dict[str, str]
    comment: str
    oops: str
    status: int

    def text(self, program: str) -> str:
        """A program that is written in our own words."""
        return " ".join(self.names.get(word, word) for word in program.split(" ")).replace(" \n ", "\n")


SAMPLES: dict[int, Sequence[tuple[str, str]]] = {
    1: (
        ("{a} {b} sub show", "{a-b}"),
        ("{a} {b} mul {c} add show", "{a*b+c}"),
        ("2 {a} {b} {c} sub mul add show", "{2+a*(b-c)}"),
    ),
    2: (
        ("{a} dup mul show", "{a*a}"),
        ("{a} {b} swap sub show", "{b-a}"),
        ("{a} {b} drop {c} swap show show", "{a}\n{c}"),
    ),
    3: (
        ("{a} {b} less if {c} show else {a} show then 1 show", "{c if a < b else a}\n1"),
        ("0 if 1 if 5 show then else 0 if 6 else 7 then show then", "7"),
        ("1 0 less if 1 show then {b} show", "{b}"),
    ),
    4: (
        ("define square dup mul end {a} square {b} square add show", "{a*a+b*b}"),
        ("define x {a} end define y x x add end y show define x {b} end y show", "{2*a}\n{2*b}"),
    ),
    5: (
        ("{n} while dup show 1 sub dup loop depth show", "{countdown}\n1"),
        ("0 {n} while swap {a} add swap 1 sub dup loop drop show", "{n*a}"),
        ("1 show \n 2 \n add", "1\n{oops} 3"),
    ),
}


def generate(rng: Random, level: int) -> Draft:
    """One language."""
    keys = [key for one in range(1, level + 1) for key, _ in WORDS[one]]
    pool = rng.sample([*ADJECTIVES, *ITEMS], len(keys))
    plain = rng.random() < 0.3
    names = {key: key.upper() if plain else name for key, name in zip(keys, pool, strict=True)}
    language = Language(
        names, rng.choice(("#", ";", "\\", "//")), rng.choice(("ERROR", "oops", "?", "failed")), rng.choice((1, 4, 9))
    )
    folder = f"/app/{rng.choice(SERVICES)}"
    path = f"{folder}/{rng.choice(('run', 'stack', 'interpreter', 'machine'))}.py"
    told = [
        f"{names[key]}: {text.format(**{one: names[one] for one in keys})}"
        for one in range(1, level + 1)
        for key, text in WORDS[one]
    ]
    rng.shuffle(told)
    spec = SPEC.format(
        comment=language.comment,
        words="\n".join(f"{line}." for line in told),
        oops=language.oops,
        where=", a blank and the word's line number (from 1)" if level > 4 else "",
        status=language.status,
    )
    fields = {"known": {name: key for key, name in names.items()}, "comment": language.comment, "oops": language.oops}
    program = PROGRAM.format(**fields, status=language.status, numbered=level > 4)
    wrong = {
        "operands-swapped": program.replace("b, a = take(), take()", "a, b = take(), take()"),
        "comments-run": program.replace(f".split({language.comment!r})[0]", ""),
        "no-errors": program.replace("raise Oops(line)", "return 0"),
        "stub": STUB.format(show=names["show"], add=names["add"]),
    }
    return Draft(
        instruction=rng.choice(ASKS).format(path=path, folder=folder, more=MORE.format(path=path, folder=folder)),
        checks=(
            *(
                cases(f"level-{one}", f"python3 {path}", _cases(rng, language, one), 1 + (one == level), folder)
                for one in range(1, level + 1)
            ),
            cases("comments-and-errors", f"python3 {path}", _errors(rng, language, level), 1, folder),
        ),
        oracle=_oracle(program, path, folder),
        wrong={name: _oracle(text, path, folder) for name, text in wrong.items()},
        files={
            f"{folder}/SPEC.txt": File.of(spec),
            path: File.of(STUB.format(show=names["show"], add=names["add"])),
            f"{folder}/hello.prog": File.of(f"1 2 {names['add']}\n{names['show']}\n"),
        },
        limits=Limits(turns=40),
    )


def _cases(rng: Random, language: Language, level: int) -> list[Case]:
    found: list[Case] = []
    for program, wanted in SAMPLES[level]:
        a, b, c = (rng.randint(2, 99) for _ in range(3))
        n = rng.randint(2, 6)
        values = {"a": a, "b": b, "c": c, "n": n}
        program = program.format(**values)
        printed = _printed(wanted, values, language.oops)
        failed = language.oops in printed
        found.append(
            Case(
                (language.text(program) + "\n").encode(),
                (printed + "\n").encode(),
                status=language.status if failed else 0,
            )
        )
    return found


def _printed(wanted: str, values: dict[str, int], oops: str) -> str:
    """The sample's output; what stands in braces is worked out."""
    a, b, c, n = values["a"], values["b"], values["c"], values["n"]
    known = {
        "{a-b}": a - b,
        "{a*b+c}": a * b + c,
        "{2+a*(b-c)}": 2 + a * (b - c),
        "{a*a}": a * a,
        "{b-a}": b - a,
        "{c if a < b else a}": c if a < b else a,
        "{a*a+b*b}": a * a + b * b,
        "{2*a}": 2 * a,
        "{2*b}": 2 * b,
        "{n*a}": n * a,
        "{a}": a,
        "{b}": b,
        "{c}": c,
        "{countdown}": "\n".join(str(k) for k in range(n, 0, -1)),
        "{oops}": oops,
    }
    for text, value in known.items():
        wanted = wanted.replace(text, str(value))
    return wanted


def _errors(rng: Random, language: Language, level: int) -> list[Case]:
    show, add = language.names["show"], language.names["add"]
    where = " 2" if level > 4 else ""
    number = rng.randint(3, 99)
    return [
        Case(f"{number} {show} {language.comment} 5 {show}\n-7 {show}\n".encode(), f"{number}\n-7\n".encode()),
        Case(
            f"{number} {show}\n1 {add}\n".encode(),
            f"{number}\n{language.oops}{where}\n".encode(),
            status=language.status,
        ),
        Case(
            f"{number} {show}\nnosuchword {number}\n".encode(),
            f"{number}\n{language.oops}{where}\n".encode(),
            status=language.status,
        ),
    ]


def _oracle(program: str, path: str, folder: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; cat SPEC.txt; cat {path}\n",
        f"cat > {path} <<'END'\n{program}END\n",
        f"python3 {path} < hello.prog\n",
    )


FAMILY = Family(
    name="software/stack-machine",
    summary="Complete an interpreter of a small stack language to its specification, judged on hidden programs.",
    domain="software_engineering",
    skills=("interpreters", "python"),
    deeper={3: ("parsing",), 4: ("recursion",), 5: ("exit-codes",)},
    generate=generate,
    requires=("python3",),
)
