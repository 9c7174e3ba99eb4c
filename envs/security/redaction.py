"""Logs and configurations are to be passed on; secrets in them have to be made unreadable, and nothing else.

Level 1 has one kind of secret, each level one more: e-mail addresses, IPv4 addresses, card numbers that pass the Luhn
test, bearer tokens, key blocks over several lines. Beside each kind stands what only looks like it, and stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import Regular, count, entries
from termgym.family import Draft, Family
from termgym.lexicon import FAMILY_NAMES, GIVEN, ITEMS, PLACES, SERVICES, TOWNS, token
from termgym.task import File, Limits

ASKS = (
    "Make the files in {folder} fit to be sent out: replace what is secret in them.\n\n{rules}\n\n{keep}\n",
    "{folder} goes to a contractor tomorrow. Redact it first, in place.\n\n{rules}\n\n{keep}\n",
    "{keep}\n\nThat said, redact all files in {folder}:\n\n{rules}\n",
    "Our logs in {folder} tell too much. In every file there:\n\n{rules}\n\n{keep}\n",
)
KEEP = (
    "All else stays byte for byte, also what merely looks like a secret by these rules, and the same files lie there in"
    " the end, no others. Rules hold within a line, but for key blocks. A rule takes the longest piece that fits."
)
WORD = "(a piece counts only where neither a letter, a digit nor any of _ - . comes right before or after it)"
RULES = {
    "mail": (
        "- An e-mail address (letters, digits, dots, dashes or plus signs, then @, then two or more words of lower-case"
        " letters joined by dots) becomes {mark}MAIL{end}. It is one wherever it stands."
    ),
    "ip": (
        "- Four decimal numbers from 0 to 255, without leading zeros and joined by dots, become {mark}IP{end} {word}."
    ),
    "card": (
        "- 16 digits, in one run or in four groups of four joined all by blanks or all by dashes, become"
        " {mark}CARD{end} if they pass the Luhn test (double every second digit from the right, beginning with the last"
        " but one; subtract 9 from what is above 9; the sum of all is divisible by 10) {word}."
    ),
    "token": '- What follows "Bearer " up to the next blank, quote (") or end of line becomes {mark}TOKEN{end}.',
    "key": (
        '- The lines between a line "-----BEGIN ... KEY-----" and the next "-----END ... KEY-----" (any words for the'
        " dots) become the one line {mark}KEY{end}; those two lines stay. A block that does not end stays as it is."
    ),
}
PROGRAM = """\
import re, sys
kinds = {kinds}
def ip(m):
    parts = m[0].split(".")
    return {ip!r} if all(int(p) < 256 and str(int(p)) == p for p in parts) else m[0]
def card(m):
    digits = [int(d) for d in re.sub("[ -]", "", m[0])]
    total = sum(d if i % 2 else d * 2 - 9 * (d > 4) for i, d in enumerate(digits))
    return {card!r} if total % 10 == 0 else m[0]
edge, far = r"(?<![\\w.-])", r"(?![\\w.-])"
for path in sys.argv[1:]:
    text = open(path, newline="").read()
    if "mail" in kinds:
        text = re.sub(r"[A-Za-z0-9.+-]+@[a-z]+(\\.[a-z]+)+", {mail!r}, text)
    if "ip" in kinds:
        text = re.sub(edge + r"\\d+\\.\\d+\\.\\d+\\.\\d+" + far, ip, text, flags=re.A)
    if "card" in kinds:
        digits = r"(\\d{{16}}|\\d{{4}}( \\d{{4}}){{3}}|\\d{{4}}(-\\d{{4}}){{3}})"
        text = re.sub(edge + digits + far, card, text, flags=re.A)
    if "token" in kinds:
        text = re.sub(r'Bearer [^ "\\n]+', "Bearer " + {token!r}, text)
    if "key" in kinds:
        block = r"(-----BEGIN [^\\n]*KEY-----\\n)((?!-----)[^\\n]*\\n)*?(-----END [^\\n]*KEY-----)"
        text = re.sub(block, r"\\1" + {key!r} + r"\\n\\3", text)
    open(path, "w", newline="").write(text)
"""
KINDS = tuple(RULES)


@dataclass(frozen=True, slots=True)
class Line:
    """A line before and after."""

    before: str
    after: str


def generate(rng: Random, level: int) -> Draft:
    """Some files, each of which has every kind of secret, and what looks like them."""
    mark, end = rng.choice((("[", "]"), ("<", ">"), ("{{", "}}"), ("**", "**")))
    kinds, folder = KINDS[:level], f"/app/{rng.choice(PLACES)}"
    names = [
        f"{name}.{ext}"
        for name, ext in zip(rng.sample(SERVICES, 1 + level), "log conf txt json out env".split(), strict=False)
    ]
    files = {name: _file(rng, kinds, mark, end) for name in names}
    rules = "\n".join(RULES[kind].format(mark=mark, end=end, word=WORD) for kind in kinds)
    marks = {kind: f"{mark}{kind.upper()}{end}" for kind in KINDS}
    program = PROGRAM.format(kinds=kinds, **marks)
    return Draft(
        instruction=rng.choice(ASKS).format(folder=folder, rules=rules, keep=KEEP),
        checks=(
            *(
                entries(
                    f"file-{number}", {f"{folder}/{name}": Regular("".join(line.after for line in lines).encode())}, 2
                )
                for number, (name, lines) in enumerate(files.items(), 1)
            ),
            count("no-others", folder, len(names), 0.5),
        ),
        oracle=_oracle(program, folder),
        wrong={
            "all-mail-but-no-luhn": _oracle(
                program.replace("total % 10 == 0", "True").replace("(\\.[a-z]+)+", "\\.[a-z]+"), folder
            ),
            "any-four-numbers": _oracle(program.replace("int(p) < 256 and", "").replace("+-]+@", "]+@"), folder),
            "first-of-each-line": _oracle(
                program.replace(f"{marks['mail']!r}, text)", f"{marks['mail']!r}, text, 1)"), folder
            ),
            "copies-left": (f"cp -r {folder} {folder}/before\n", *_oracle(program, folder + "/*.*; ls")),
            "emptied": (f"for f in {folder}/*; do : > $f; done\n",),
        },
        files={f"{folder}/{name}": File.of("".join(line.before for line in lines)) for name, lines in files.items()},
        limits=Limits(turns=40),
    )


def _file(rng: Random, kinds: Sequence[str], mark: str, end: str) -> list[Line]:
    makers: dict[str, Callable[[Random, str], Sequence[Line]]] = {
        "mail": _mails,
        "ip": _ips,
        "card": _cards,
        "token": _tokens,
        "key": _keys,
    }
    blocks = [[line] for kind in kinds if kind != "key" for line in makers[kind](rng, f"{mark}{kind.upper()}{end}")]
    blocks += [[_same(f"{rng.choice(TOWNS)} {rng.choice(ITEMS)} {rng.randint(1, 99999)}\n")] for _ in range(6)]
    blocks += [list(_keys(rng, f"{mark}KEY{end}"))] if "key" in kinds else []
    rng.shuffle(blocks)
    lines = [line for block in blocks for line in block]
    return [*lines, _same("-----BEGIN OPEN KEY-----\n"), _same("never ends\n")] if "key" in kinds else lines


def _same(text: str) -> Line:
    return Line(text, text)


def _swapped(text: str, secret: str, mark: str) -> Line:
    return Line(text.format(secret), text.format(mark))


def _mails(rng: Random, mark: str) -> list[Line]:
    name, other = rng.choice(GIVEN).lower(), rng.choice(FAMILY_NAMES).lower()
    found = [
        f"{name}.{other}@example.org",
        f"{other}+{token(rng, 4)}@mail.{rng.choice(TOWNS).lower()}.example.net",
        f"{name}-{other}@a.bc",
    ]
    texts = ("login by {} failed\n", "to=<{}>,from=({}), queued\n".replace("{}", "{0}"), 'contact: "{}"\n')
    return [
        *(_swapped(text, mail, mark) for text, mail in zip(texts, found, strict=True)),
        _same(f"{name}@localhost is no address, nor is {name}@ or @{other}.example.org\n"),
    ]


def _ips(rng: Random, mark: str) -> list[Line]:
    ip = ".".join(str(rng.randint(0, 255)) for _ in range(4))
    return [
        _swapped("connect from {} port 22\n", ip, mark),
        _swapped("peer={};proto=tcp\n", f"10.{rng.randint(0, 9)}.0.255", mark),
        _same(f"version {rng.randint(1, 9)}.{rng.randint(256, 999)}.0.1 of 1.2.3.4.5\n"),
        _same(f"host-{ip} and v{ip} and 10.0.0.01\n"),
    ]


def _luhn(digits: str) -> str:
    """With the digit that makes it pass."""
    total = sum(int(d) if i % 2 else int(d) * 2 - 9 * (int(d) > 4) for i, d in enumerate(digits))
    return digits + str(-total % 10)


def _cards(rng: Random, mark: str) -> list[Line]:
    first, second = (_luhn("".join(rng.choices("0123456789", k=15))) for _ in range(2))
    groups = [second[i : i + 4] for i in range(0, 16, 4)]
    bad = first[:-1] + str((int(first[-1]) + 1) % 10)
    return [
        _swapped("charged {} today\n", first, mark),
        _swapped("card {}, expired\n", "-".join(groups), mark),
        _swapped("card ({})\n", " ".join(groups), mark),
        _same(f"order {bad} of batch {first}0 and id_{second}\n"),
        _same(f"mixed {groups[0]}-{groups[1]} {groups[2]}-{groups[3]}\n"),
    ]


def _tokens(rng: Random, mark: str) -> list[Line]:
    return [
        _swapped("Authorization: Bearer {}\n", token(rng, 24) + "==", mark),
        _swapped('curl -H "Authorization: Bearer {}" http://localhost\n', f"{token(rng, 8)}.{token(rng, 8)}/x", mark),
        _same("the Bearer\nof bad news, bearer abc\n"),
    ]


def _keys(rng: Random, mark: str) -> list[Line]:
    body = "".join(token(rng, 40) + "\n" for _ in range(rng.randint(2, 4)))
    kind = rng.choice(("RSA PRIVATE", "EC PRIVATE", "OPENSSH PRIVATE"))
    return [
        Line(
            f"-----BEGIN {kind} KEY-----\n{body}-----END {kind} KEY-----\n",
            f"-----BEGIN {kind} KEY-----\n{mark}\n-----END {kind} KEY-----\n",
        )
    ]


def _oracle(program: str, folder: str) -> tuple[str, ...]:
    return (
        f"cd {folder.partition('/*')[0]}; wc -l *; head -n 5 *\n",
        f"cat > /tmp/redact.py <<'END'\n{program}END\n",
        f"python3 /tmp/redact.py {folder if '*' in folder else folder + '/*'}\n",
        "head -n 6 *\n",
    )


FAMILY = Family(
    name="security/redaction",
    summary="Redact addresses, cards, tokens and keys in a folder of files, and nothing that only looks like them.",
    domain="security",
    skills=("redaction", "regular-expressions"),
    deeper={2: ("networking",), 3: ("validation",), 4: ("secrets",), 5: ("key-management",)},
    generate=generate,
    requires=("python3",),
)
