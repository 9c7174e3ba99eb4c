"""Train a classifier of short texts on labelled lines, and label the lines of another file; judged by hidden labels.

Level 2 has more classes, level 3 unequal ones, level 4 wrong labels among those to learn from, level 5 lines whose
words hint at several classes. What method is used does not matter.
"""

from collections.abc import Mapping, Sequence
from random import Random

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import ADJECTIVES, COLOURS, HOSTS, ITEMS, PLACES, SERVICES, TOPICS
from termgym.task import Check, File, Limits

ASKS = (
    "{folder}/train.{ext} has labelled lines. {form} Label the lines of {folder}/new.{ext}.\n\n{out}\n",
    (
        "Tickets of {service} should be sorted by a model. {form} Learn from {folder}/train.{ext}; the new ones are in"
        " {folder}/new.{ext}.\n\n{out}\n"
    ),
    "Train a text classifier on {folder}/train.{ext} and apply it to {folder}/new.{ext}. {form}\n\n{out}\n",
    "{out}\n\nThe lines are those of {folder}/new.{ext}; {folder}/train.{ext} is there to learn from. {form}\n",
)
FORM = "A line to learn from is LABEL{sep}TEXT; a new one is ID{sep}TEXT.{noise}"
NOISE = " Some of the labels are known to be wrong."
OUT = (
    "Write {out}: a line ID LABEL, with one blank, for every new line, in any order. It is judged by the share of right"
    " labels; {low} %, {middle} % and {high} % are the marks to reach, each of which counts."
)
JUDGE = """\
plain {out} 200000 || exit 1
tr -d '\\0\\r' <{out} | LC_ALL=C sort -u >got
cut -d ' ' -f 1 got | uniq -d | grep -q . && exit 1
right=$(LC_ALL=C sort labels | LC_ALL=C comm -12 - got | wc -l)
[ "$(wc -l <got)" -le {count} ] && [ $((100 * right)) -ge $(({percent} * {count})) ]
"""
PROGRAM = """\
import math
from collections import Counter
words, count = {{}}, Counter()
for line in open({folder!r} + "/train.{ext}"):
    label, text = line.rstrip("\\n").split({sep!r}, 1)
    count[label] += 1
    words.setdefault(label, Counter()).update(text.split())
vocabulary = set().union(*words.values())
def score(label, text):
    mine = words[label]
    total = sum(mine.values()) + len(vocabulary)
    return math.log(count[label]) + sum(math.log((mine[w] + 1) / total) for w in text.split() if w in vocabulary)
for line in open({folder!r} + "/new.{ext}"):
    key, text = line.rstrip("\\n").split({sep!r}, 1)
    print(key, max(count, key=lambda label: score(label, text)))
"""
WORDS = [*(word.lower() for word in [*ITEMS, *ADJECTIVES, *COLOURS, *HOSTS]), *PLACES]
MARKS = {1: (50, 75, 90), 2: (45, 70, 86), 3: (50, 68, 82), 4: (45, 64, 78), 5: (40, 58, 72)}
"""Percent of right labels; below what naive Bayes reaches by a margin, above what the largest class gives."""


def generate(rng: Random, level: int) -> Draft:
    """Texts whose words are drawn from their class's, and from all."""
    labels = rng.sample(TOPICS, 2 + (level + 1) // 2 + (level > 1))
    folder, ext, sep = f"/app/{rng.choice(PLACES)}", rng.choice(("txt", "tsv", "lines")), rng.choice(("\t", "|", ";"))
    out = f"/app/{rng.choice(('labels', 'predicted', 'sorted'))}.txt"
    own = _vocabularies(rng, labels)
    sizes = {label: 1 + (level > 2) * (number == 0) for number, label in enumerate(labels)}
    train = [(label, _text(rng, own, label, level)) for label in labels for _ in range(40 * sizes[label])]
    new = [(label, _text(rng, own, label, level)) for label in labels for _ in range(20 * sizes[label])]
    shown = [(rng.choice(labels) if level > 3 and rng.random() < 0.12 else label, text) for label, text in train]
    rng.shuffle(shown)
    rng.shuffle(new)
    ids = [f"n{number:03}" for number in rng.sample(range(1000), len(new))]
    known = [(key, label, text) for key, (label, text) in zip(ids, new, strict=True)]
    low, middle, high = MARKS[level]
    program = PROGRAM.format(folder=folder, ext=ext, sep=sep)
    told = OUT.format(out=out, low=low, middle=middle, high=high)
    judge = {percent: JUDGE.format(out=out, count=len(new), percent=percent) for percent in MARKS[level]}
    most = max(labels, key=lambda label: sizes[label])
    checks = [Check(f"right-{mark}", PLAIN + judge[mark], 2 if mark == high else 1) for mark in MARKS[level]]
    cut = f"cut -d $'{sep}' -f 1".replace("\t", "\\t")
    wrong = {
        "largest-class": (f"{cut} {folder}/new.{ext} | sed 's/$/ {most}/' > {out}\n",),
        "first-word-only": _oracle(
            program.replace("for w in text.split()", "for w in text.split()[:1]"), folder, ext, out
        ),
        "half-of-the-lines": (*_oracle(program, folder, ext, out), f"sed -i '1~2d' {out}\n"),
        "every-label-for-every-line": (
            f'for l in {" ".join(labels)}; do cut -c1-4 {folder}/new.{ext} | sed "s/$/ $l/"; done > {out}\n',
        ),
    }
    return Draft(
        instruction=rng.choice(ASKS).format(
            folder=folder,
            ext=ext,
            service=rng.choice(SERVICES),
            out=told,
            form=FORM.format(sep={"\t": "<tab>"}.get(sep, sep), noise=NOISE if level > 3 else ""),
        ),
        checks=tuple(checks),
        oracle=_oracle(program, folder, ext, out),
        wrong=wrong,
        files={
            f"{folder}/train.{ext}": File.of("".join(f"{label}{sep}{text}\n" for label, text in shown)),
            f"{folder}/new.{ext}": File.of("".join(f"{key}{sep}{text}\n" for key, _, text in known)),
        },
        tests={"labels": File.of("".join(f"{key} {label}\n" for key, label, _ in known))},
        limits=Limits(turns=30),
    )


def _vocabularies(rng: Random, labels: Sequence[str]) -> Mapping[str, list[str]]:
    words = rng.sample(sorted(set(WORDS)), 12 * len(labels))
    return {label: words[12 * number : 12 * number + 12] for number, label in enumerate(labels)}


def _text(rng: Random, own: Mapping[str, list[str]], label: str, level: int) -> str:
    """Words of the class, of another, and of no class at all."""
    other = rng.choice(sorted(own))
    words = rng.choices(own[label], k=4) + rng.choices(WORDS, k=3) + rng.choices(own[other], k=1 + (level == 5))
    rng.shuffle(words)
    return " ".join(words)


def _oracle(program: str, folder: str, ext: str, out: str) -> tuple[str, ...]:
    return (
        f"head -n 3 {folder}/*; cut -c1-9 {folder}/train.{ext} | sort | uniq -c | sort -rn | head -n 3\n",
        f"cat > /tmp/bayes.py <<'END'\n{program}END\n",
        f"python3 /tmp/bayes.py > {out}\n",
        f"wc -l {folder}/new.{ext} {out}\n",
    )


FAMILY = Family(
    name="learning/text-classifier",
    summary="Train a classifier on labelled lines, and label new ones; judged by hidden labels.",
    domain="model_training",
    skills=("classification", "naive-bayes"),
    deeper={3: ("probability",), 4: ("data-cleaning",)},
    generate=generate,
    requires=("python3",),
)
