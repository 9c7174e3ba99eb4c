"""A bigram model of words: learn it from a corpus by stated rules, and say what it makes of other sentences.

Level 2 has words too rare to be known, level 3 a mixture with single words, level 4 a weight to be chosen on sentences
held out, level 5 a corpus with repeated lines, of which each counts once, and the likeliest way to go on.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import exp, log
from random import Random
from typing import Any

from termgym.checks import answer
from termgym.family import Draft, Family
from termgym.lexicon import COLOURS, ITEMS, PLACES
from termgym.task import Check, File, Limits

ASKS = (
    "Learn a bigram model of words from {corpus}, and tell what it makes of {lines}. {form}\n\n{rules}\n\n{told}\n",
    "{told}\n\nThe model is learned from {corpus}; the sentences are in {lines}. {form}\n\n{rules}\n",
    "How likely are the sentences in {lines}, by a model of {corpus}? {form}\n\n{rules}\n\n{told}\n",
    "A small language model is to be made of {corpus} and tried on {lines}. {form}\n\n{told}\n\n{rules}\n",
)
FORM = "Both have a sentence a line, words apart by blanks; capitals do not matter.{held}"
HELD = " {held} has more of them."
RULES = {
    1: (
        "Each sentence is read with {begin} put before its first word and {end} after its last. With c(v w) the number"
        " of times that w comes right after v in the corpus, c(v) the number of times that anything comes after v, and"
        " V the number of different words of the corpus, {end} counted and {begin} not, the model is"
        " p(w|v) = (c(v w) + {add}) / (c(v) + {add} V)."
    ),
    2: (
        "Words that occur fewer than {rare} times in the corpus, and words that do not occur there, are read as"
        " {unknown}, everywhere; V counts {unknown} once."
    ),
    3: (
        "In place of p(w|v) the model is the mixture m p(w|v) + (1 - m) q(w), where q(w) is the share of w among all"
        " that p predicts in the corpus ({end} included).{weight}"
    ),
    5: "Lines of the corpus that are there more than once, by their words in small letters, count once.",
}
GIVEN = " m is {m}."
CHOSEN = " m is the one of {choices} for which the sentences of {held} are likeliest (the largest sum of log p)."
OUT = (
    "Write {out} with a line NAME = VALUE for: logN, the natural logarithm of the probability of the Nth sentence of"
    " {lines} (the sum over its words and {end}), N from 1; perplexity, exp of minus the mean of log p over all that is"
    " predicted in these sentences{more}. Numbers may be off by 0.001 of their size."
)
MORE = {
    4: "; m, the weight",
    5: "; next, the {ahead} words that follow {start} if each time the likeliest word follows",
}
TIES = " (of equally likely ones the alphabetically first; {end} and {unknown} do not count), apart by blanks"
PROGRAM = """\
import math
from collections import Counter
BEGIN, END, UNKNOWN = {begin!r}, {end!r}, {unknown!r}
def sentences(path):
    return [line.lower().split() for line in open(path) if line.strip()]
corpus = sentences({corpus!r})
if {once}:
    corpus = [list(one) for one in dict.fromkeys(map(tuple, corpus))]
counts = Counter(w for s in corpus for w in s)
known = {{w for w in counts if counts[w] >= {rare}}}
def read(s):
    return [BEGIN] + [w if w in known else UNKNOWN for w in s] + [END]
corpus = [read(s) for s in corpus]
pairs = Counter(p for s in corpus for p in zip(s, s[1:]))
after = Counter(v for s in corpus for v in s[:-1])
single = Counter(w for s in corpus for w in s[1:])
V, total = len(single | Counter([UNKNOWN] * ({rare} > 1))), sum(single.values())
def p(w, v, m):
    return m * (pairs[v, w] + {add}) / (after[v] + {add} * V) + (1 - m) * single[w] / total
def log_p(s, m):
    return sum(math.log(p(w, v, m)) for v, w in zip(s, s[1:]))
m = {m}
if {choices}:
    held = [read(s) for s in sentences({held!r})]
    m = max({choices}, key=lambda m: sum(log_p(s, m) for s in held))
tried = [read(s) for s in sentences({lines!r})]
out = open({out!r}, "w")
for n, s in enumerate(tried, 1):
    print("log%d = %.6f" % (n, log_p(s, m)), file=out)
size = sum(len(s) - 1 for s in tried)
print("perplexity = %.6f" % math.exp(-sum(log_p(s, m) for s in tried) / size), file=out)
if {choices}:
    print("m =", m, file=out)
if {once}:
    words = [{start!r}]
    for _ in range({ahead}):
        words.append(min(known, key=lambda w: (-round(p(w, words[-1], m), 12), w)))
    print("next =", *words[1:], file=out)
"""
Texts = Sequence[Sequence[str]]
VERBS = "carries finds paints hides mends keeps sells lends washes counts".split()
WHO = "baker sailor teacher miller nurse painter farmer clerk driver weaver".split()
FILLS = "today again slowly at home in spring by night for a friend with care".split()


@dataclass(frozen=True)
class Model:
    """The counts of a corpus, and the rules."""

    corpus: Texts
    known: frozenset[str]
    add: float
    marks: tuple[str, str, str]
    """For the beginning, the end, and a word that is not known."""
    rare: bool
    """Whether there may be such words."""

    def read(self, words: Sequence[str]) -> list[str]:
        """A sentence as the model sees it."""
        begin, end, unknown = self.marks
        return [begin, *(word if word in self.known else unknown for word in words), end]

    @cached_property
    def pairs(self) -> Counter[tuple[str, str]]:
        """How often which word comes after which."""
        return Counter(pair for words in map(self.read, self.corpus) for pair in pairwise(words))

    @cached_property
    def totals(self) -> tuple[Counter[str], Counter[str], int]:
        """How often words are followed, how often they follow, and how many different ones do."""
        before, after = Counter[str](), Counter[str]()
        for (one, other), count in self.pairs.items():
            before[one] += count
            after[other] += count
        return before, after, len({*after, *([self.marks[2]] if self.rare else [])})

    def p(self, word: str, before: str, m: float) -> float:
        """The mixture's probability of a word."""
        followed, follow, size = self.totals
        bigram = (self.pairs[before, word] + self.add) / (followed[before] + self.add * size)
        return m * bigram + (1 - m) * follow[word] / follow.total()

    def logs(self, words: Sequence[str], m: float) -> list[float]:
        """Of all that is predicted in a sentence."""
        return [log(self.p(word, before, m)) for before, word in pairwise(self.read(words))]

    def ahead(self, word: str, count: int, m: float) -> list[str]:
        """The likeliest words after a word, one after the other."""
        found = [word]
        for _ in range(count):
            found.append(min(self.known, key=lambda one: (-round(self.p(one, found[-1], m), 12), one)))
        return found[1:]


def generate(rng: Random, level: int) -> Draft:
    """A corpus, sentences to judge, and the rules of one model."""
    folder = f"/app/{rng.choice(PLACES)}"
    words = _words(rng)
    corpus = list(_sentences(rng, words, 25 + 15 * level))
    held, tried = list(_sentences(rng, words, 8)), list(_sentences(rng, words, 3 + level // 2))
    if level > 1:  # a word that nobody knows, and one that is too rare
        corpus[3] = [*corpus[3], "seldom"]
        tried[0] = [*tried[0], "seldom"]
        tried[1] = ["never", *tried[1]]
        held[0] = [*held[0], "hardly"]
    corpus += [corpus[0]] * 6 + [corpus[1]] * 4 if level > 4 else []
    rng.shuffle(corpus)
    choices = rng.choice(([0.2, 0.5, 0.9], [0.1, 0.4, 0.8], [0.3, 0.6, 0.95])) if level > 3 else []
    facts: dict[str, Any] = {
        "corpus": f"{folder}/{rng.choice(('corpus', 'texts', 'sentences'))}.txt",
        "lines": f"{folder}/{rng.choice(('new', 'asked', 'other'))}.txt",
        "held": f"{folder}/{rng.choice(('held-out', 'tuning'))}.txt",
        "out": f"/app/{rng.choice(('model', 'likely', 'bigrams'))}.txt",
        "begin": rng.choice(("<s>", "BOS")),
        "end": rng.choice(("</s>", "EOS")),
        "unknown": rng.choice(("<unk>", "UNK")),
        "add": rng.choice((0.5, 0.1, 0.25)),
        "rare": 2 if level > 1 else 1,
        "m": rng.choice((0.6, 0.7, 0.75)) if level > 2 else 1,
        "choices": choices,
        "once": level > 4,
        "start": words[0][0],
        "ahead": rng.randint(3, 4),
    }
    program = PROGRAM.format(**facts)
    files: dict[str, Texts] = {facts["corpus"]: corpus, facts["lines"]: tried}
    files |= {facts["held"]: held} if level > 3 else {}
    return Draft(
        instruction=_instruction(rng, level, facts, choices),
        checks=_checks(level, facts, corpus, held, tried),
        oracle=_oracle(program, facts, level),
        wrong={name: _oracle(text, facts, level) for name, text in _wrong(program, level, facts).items()},
        files={path: File.of("".join(f"{_spoken(rng, one)}\n" for one in lines)) for path, lines in files.items()},
        limits=Limits(turns=35),
    )


def _words(rng: Random) -> tuple[list[str], list[str], list[str], list[str]]:
    return rng.sample(WHO, 5), rng.sample(VERBS, 4), rng.sample(ITEMS, 6), rng.sample(COLOURS, 3)


def _sentences(rng: Random, words: Texts, count: int) -> Iterator[list[str]]:
    """Of a grammar in which some words go together more than others."""
    who, verbs, items, colours = words
    for _ in range(count):
        at = min(rng.randrange(5), rng.randrange(5))
        verb = verbs[at % 4] if rng.random() < 0.6 else rng.choice(verbs)
        item = rng.choice(items[at : at + 2]) if rng.random() < 0.7 else rng.choice(items)
        yield ["the", who[at], verb, "the", *([rng.choice(colours)] if rng.random() < 0.4 else []), item] + (
            rng.choice(FILLS).split() if rng.random() < 0.4 else []
        )


def _spoken(rng: Random, words: Sequence[str]) -> str:
    text = " ".join(words)
    return text.capitalize() if rng.random() < 0.5 else text.upper() if rng.random() < 0.05 else text


def _instruction(rng: Random, level: int, facts: Mapping[str, object], choices: Sequence[float]) -> str:
    weight = (CHOSEN if level > 3 else GIVEN).format(**{**facts, "choices": ", ".join(map(str, choices))})
    rules = [text.format(**facts, weight=weight) for at, text in RULES.items() if at <= level]
    more = "".join(text.format(**facts) for at, text in MORE.items() if at <= level)
    return rng.choice(ASKS).format(
        **facts,
        form=FORM.format(held=HELD.format(**facts) if level > 3 else ""),
        rules=" ".join(rules),
        told=OUT.format(**facts, more=more + (TIES.format(**facts) if level > 4 else "")),
    )


def _checks(level: int, facts: Mapping[str, Any], corpus: Texts, held: Texts, tried: Texts) -> tuple[Check, ...]:
    once = [list(one) for one in dict.fromkeys(map(tuple, corpus))] if level > 4 else corpus
    counts = Counter(word for words in once for word in words)
    known = frozenset(word for word in counts if counts[word] >= facts["rare"])
    model = Model(once, known, facts["add"], (facts["begin"], facts["end"], facts["unknown"]), level > 1)
    m = max(facts["choices"], key=lambda one: sum(sum(model.logs(words, one)) for words in held), default=facts["m"])
    logs = [model.logs(words, m) for words in tried]
    every = [one for mine in logs for one in mine]
    values = {f"log{number}": sum(mine) for number, mine in enumerate(logs, 1)}
    values["perplexity"] = exp(-sum(every) / len(every))
    out = facts["out"]
    checks = [answer(out, name, round(value, 6), tolerance=abs(value) / 1000) for name, value in values.items()]
    checks += [answer(out, "m", m, tolerance=1e-6)] if level > 3 else []
    checks += (
        [answer(out, "next", " ".join(model.ahead(facts["start"], facts["ahead"], m)), weight=2)] if level > 4 else []
    )
    return tuple(checks)


def _wrong(program: str, level: int, facts: Mapping[str, Any]) -> dict[str, str]:
    mistakes = [
        (1, "add-one", f"+ {facts['add']}", "+ 1"),
        (1, "capitals-kept", "line.lower().split()", "line.split()"),
        (1, "end-forgotten", "for w in s] + [END]", "for w in s]"),
        (
            1,
            "first-sentence-only",
            "sentences({lines!r})]".format(**facts),
            "sentences({lines!r})][:1]".format(**facts),
        ),
        (2, "rare-words-kept", f">= {facts['rare']}}}", ">= 1}"),
        (3, "not-mixed", "+ (1 - m) * single[w] / total", "+ (1 - m) / V"),
        (4, "last-weight", f"m = max({facts['choices']}, key=", f"m = min({facts['choices']}, key="),
        (5, "lines-counted-often", "if True:\n    corpus = [list", "if False:\n    corpus = [list"),
    ]
    return {name: program.replace(old, new) for at, name, old, new in mistakes if at <= level}


def _oracle(program: str, facts: Mapping[str, object], level: int) -> tuple[str, ...]:
    shown = [facts["corpus"], facts["lines"], *([facts["held"]] if level > 3 else [])]
    return (
        f"wc {' '.join(map(str, shown))}; head -n 4 {facts['corpus']}\n",
        f"cat {facts['lines']}\n",
        f"cat > /tmp/bigrams.py <<'STOP'\n{program}STOP\n",
        "python3 /tmp/bigrams.py\n",
        *((f"sort {facts['corpus']} | uniq -ci | sort -n | tail -n 3\n",) if level > 4 else ()),
        f"cat {facts['out']}\n",
    )


FAMILY = Family(
    name="learning/bigram-model",
    summary="Learn a bigram model of words by stated rules, and judge sentences and continuations by it.",
    domain="model_training",
    skills=("language-models", "probability", "counting"),
    deeper={2: ("normalization",), 3: ("interpolation",), 4: ("cross-validation",), 5: ("deduplication", "greedy")},
    generate=generate,
    requires=("python3",),
)
