"""Records of a code-breaking game: find the codes that agree with all answers so far, and the best next guess.

Level 1 has one code that agrees, level 2 asks how many agree, level 3 has lies in the records, level 4 larger games,
level 5 asks for the guess that leaves the fewest codes in the worst case.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from random import Random

from termgym.checks import answer
from termgym.family import Draft, Family
from termgym.lexicon import GIVEN, PLACES
from termgym.task import Check, File, Limits

ASKS = (
    "{folder} has the records of some games. {rules}\n\n{questions}\n\n{out}\n",
    "{rules} Such games are recorded in {folder}.\n\n{questions}\n\n{out}\n",
    "Look at the games in {folder}. {rules}\n\n{out}\n\n{questions}\n",
    "{questions}\n\nThis is asked of each game in {folder}. {rules}\n\n{out}\n",
)
RULES = (
    "A code is {size} of the letters {letters}, which may be repeated. Each line of a game is a guess and the answer to"
    " it, two numbers: how many letters are right and in the right place, and how many more are right but in another"
    " place (each letter of the code and of the guess counting once).{lies}"
)
LIES = " In each game exactly one answer is wrong: the numbers that it has are not those of the code."
QUESTIONS = {
    "first": "first: the alphabetically first code that agrees with all answers{but}.",
    "agree": "agree: how many codes agree{but}.",
    "sum": "sum: in how many of these codes the letter {letter} occurs.",
    "worst": (
        "worst: for each code taken as the next guess, count how many of the codes that agree would give the same"
        " answer, at the most common answer; this is the smallest such count."
    ),
    "next": "next: the alphabetically first guess, of all codes, that has this smallest count.",
}
OUT = "Write {out} with lines GAME.QUESTION = ANSWER, GAME being the name of the file without .{ext}."
PROGRAM = """\
import sys
from collections import Counter
from functools import lru_cache
from itertools import product
codes = ["".join(c) for c in product(sorted({letters!r}), repeat={size})]
def answer(code, guess):
    black = sum(a == b for a, b in zip(code, guess))
    return black, sum((Counter(code) & Counter(guess)).values()) - black
for path in sys.argv[1:]:
    game = path.rsplit("/", 1)[1].rsplit(".", 1)[0]
    tried = [(g, (int(b), int(w))) for g, b, w in (line.split() for line in open(path))]
    agree = [c for c in codes if sum(answer(c, g) != told for g, told in tried) == {lies}]
    found = {{"first": agree[0], "agree": len(agree), "sum": sum({letter!r} in c for c in agree)}}
    if "worst" in {names}:
        most = {{g: max(Counter(answer(c, g) for c in agree).values()) for g in codes}}
        found["worst"] = min(most.values())
        found["next"] = min(g for g in codes if most[g] == found["worst"])
    for name in {names}:
        print("%s.%s = %s" % (game, name, found[name]))
"""


@dataclass(frozen=True, slots=True)
class Game:
    """Guesses with their answers."""

    tried: Sequence[tuple[str, tuple[int, int]]]

    def agree(self, codes: Sequence[str], lies: int) -> list[str]:
        """The codes with which all but so many answers agree."""
        return [code for code in codes if self._off(code, lies) == lies]

    def _off(self, code: str, most: int) -> int:
        off = 0
        for guess, told in self.tried:
            off += _answer(code, guess) != told
            if off > most:
                break
        return off


@lru_cache(maxsize=1 << 14)
def _answer(code: str, guess: str) -> tuple[int, int]:
    black = sum(map(str.__eq__, code, guess))
    return black, sum(min(code.count(letter), guess.count(letter)) for letter in set(guess)) - black


def generate(rng: Random, level: int) -> Draft:
    """A few games of one kind."""
    size, many = 3, (4, 4, 4, 5, 5)[level - 1]
    letters, lies = "".join(sorted(rng.sample("ABCDEFGHKLMNPRST", many))), int(level > 2)
    codes = ["".join(code) for code in product(letters, repeat=size)]
    folder, ext = f"/app/{rng.choice(PLACES)}", rng.choice(("game", "log", "txt"))
    out, names = f"/app/{rng.choice(('codes', 'answers', 'broken'))}.txt", list(QUESTIONS)[: max(2, level)]
    games = {name.lower(): _game(rng, codes, lies, level) for name in rng.sample(GIVEN, 2 + (level > 1))}
    letter, but = rng.choice(letters), ", but for the one that is wrong" if lies else ""
    program = PROGRAM.format(letters=letters, size=size, lies=lies, letter=letter, names=names)
    wrong = {
        "blacks-counted-twice": program.replace(".values()) - black", ".values())"),
        "all-truthful": program.replace("== 1]", "== 0] or codes") if lies else program.replace("== 0]", "<= 1]"),
        "first-game-only": program + "    break\n",
        "any-code": program.replace("agree[0]", "codes[0]"),
    }
    asked = "\n".join(f"- {QUESTIONS[name].format(letter=letter, but=but)}" for name in names)
    return Draft(
        instruction=rng.choice(ASKS).format(
            folder=folder,
            rules=RULES.format(size=size, letters=", ".join(letters), lies=LIES if lies else ""),
            questions=asked,
            out=OUT.format(out=out, ext=ext),
        ),
        checks=tuple(_checks(out, games, codes, lies, letter, names)),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items()},
        files={f"{folder}/{name}.{ext}": File.of(_text(game)) for name, game in games.items()},
        limits=Limits(turns=30),
    )


def _text(game: Game) -> str:
    return "".join(f"{guess} {black} {white}\n" for guess, (black, white) in game.tried)


def _checks(
    out: str, games: dict[str, Game], codes: Sequence[str], lies: int, letter: str, names: Sequence[str]
) -> list[Check]:
    checks: list[Check] = []
    for name, game in games.items():
        agree = game.agree(codes, lies)
        found: dict[str, object] = {
            "first": agree[0],
            "agree": len(agree),
            "sum": sum(letter in code for code in agree),
        }
        if "worst" in names:
            most = {guess: max(Counter(_answer(code, guess) for code in agree).values()) for guess in codes}
            found["worst"] = min(most.values())
            found["next"] = min(guess for guess in codes if most[guess] == found["worst"])
        checks += [answer(out, f"{name}.{question}", str(found[question])) for question in names]
    return checks


def _game(rng: Random, codes: Sequence[str], lies: int, level: int) -> Game:
    """Guesses until few codes are left, though more than one from level 2, and the first in the alphabet is not."""
    while True:
        code = rng.choice(codes[len(codes) // 3 :])
        tried = [(guess, _answer(code, guess)) for guess in rng.sample(codes, 3 + level // 2 + 2 * lies)]
        if lies:
            at = rng.randrange(len(tried))
            guess, told = tried[at]
            tried[at] = (guess, next(other for other in ((1, 1), (0, 1), (2, 0)) if other != told))
        game = Game(tried)
        agree = game.agree(codes, lies)
        if agree and agree[0] != codes[0] and (1 < len(agree) < 12 or level == 1):
            return game


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; head -n 20 *\n",
        f"cat > /tmp/codes.py <<'END'\n{program}END\n",
        f"python3 /tmp/codes.py {folder}/* > {out}\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="games/mastermind",
    summary="From records of a code-breaking game, find the codes that agree, and the best next guess.",
    domain="games",
    skills=("constraint-solving", "counting"),
    deeper={3: ("backtracking",), 5: ("game-trees", "optimization")},
    generate=generate,
    requires=("python3",),
)
