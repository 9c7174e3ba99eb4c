"""A program that asks before each thing that it does, one key each: to agree, to decline, or to take what it suggests.

The program runs when the terminal opens. Each question suggests an answer, which the key = takes. More questions with
the level; from level 3 on one of them is to be answered the other way. Eight other keys in a row end it: what is typed
for a shell does not answer by chance.
"""

from collections.abc import Mapping
from random import Random

from termgym.checks import answer
from termgym.family import Draft, Family
from termgym.lexicon import SERVICES, TOPICS
from termgym.task import File, Limits

ASKS = (
    "{program} asks before each thing that it does. {wish} If you left it, run it again.\n",
    "{wish} {program} is asking for it; one key is an answer. It can be run again.\n",
    "Go through the questions of {program}. {wish} To begin anew, run it again.\n",
)
MANNERS = {
    "y": (
        "Agree to everything{but}.",
        "Accept all of it{but}.",
        "Approve whatever it wants{but}.",
        "Confirm every question{but}.",
    ),
    "n": (
        "Decline everything{but}.",
        "Refuse all of it{but}.",
        "Reject whatever it wants{but}.",
        "Turn every question down{but}.",
    ),
    "=": (
        "Take what it suggests{but}.",
        "Keep its defaults{but}.",
        "Press = each time{but}.",
        "Stay with its suggestions{but}.",
    ),
}
"""Key -> how it is asked for."""
VERBS = ("Archive", "Compress", "Delete", "Export", "Merge", "Move", "Rebuild", "Upgrade")
QUESTIONS = (2, 3, 4, 5, 6)
PROGRAM = """\
#!/bin/bash
# Asks before each thing, one key each, and keeps the answers beside itself.
ask() {{
  local key
  for _ in {{1..8}}; do
    printf '%s the %s? [y/n, = is %s] ' "$1" "$2" "$3"
    read -rsn1 key || exit
    [[ $key != = ]] || key=$3
    if [[ $key == [yn] ]]; then
      echo "$key"
      echo "$2=$key" >>answers
      return
    fi
    printf '\\nPlease answer y, n or =.\\n'
  done
  echo Too many other keys.
  exit 1
}}
cd "${{0%/*}}" || exit
: >answers
{asked}
echo All is asked.
"""


def generate(rng: Random, level: int) -> Draft:
    """One program, with as many questions as the level says."""
    folder, topics = f"/app/{rng.choice(SERVICES)}", rng.sample(TOPICS, QUESTIONS[level - 1])
    suggested = dict[str, str](zip(topics, _mixed(rng, len(topics)), strict=True))
    manner = rng.choice(tuple(MANNERS))
    but = rng.choice(topics) if level >= 3 else ""
    answers = {topic: key if manner == "=" else manner for topic, key in suggested.items()}
    answers |= {but: _other(answers[but])} if but else {}
    return Draft(
        instruction=_instruction(rng, f"{folder}/ask", manner, but),
        checks=tuple(answer(f"{folder}/answers", topic, key) for topic, key in answers.items()),
        oracle=tuple(key if topic == but else manner for topic, key in answers.items()),
        wrong=_wrong(answers),
        files={
            f"{folder}/ask": File.of(_program(rng, suggested), 0o755),
            "/root/.bash_profile": File.of(f"{folder}/ask\n"),
        },
        solve=f"printf '%s\\n' {' '.join(f'{topic}={key}' for topic, key in answers.items())} >{folder}/answers\n",
        limits=Limits(turns=4 * len(topics) + 12),
    )


def _program(rng: Random, suggested: Mapping[str, str]) -> str:
    asked = [f"ask {rng.choice(VERBS)} {topic} {key}" for topic, key in suggested.items()]
    return PROGRAM.format(asked="\n".join(asked))


def _mixed(rng: Random, count: int) -> list[str]:
    """Suggestions of either kind, in any order: no manner answers like another."""
    keys = list("yn" * count)[:count]
    rng.shuffle(keys)
    return keys


def _other(key: str) -> str:
    return "n" if key == "y" else "y"


def _instruction(rng: Random, program: str, manner: str, but: str) -> str:
    exception = f", but the other way where it is about the {but}" if but else ""
    wish = rng.choice(MANNERS[manner]).format(but=exception)
    return rng.choice(ASKS).format(program=program, wish=wish)


def _wrong(answers: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    keys = list(answers.values())
    return {
        "all-other": tuple(map(_other, keys)),
        "all-but-last": (*keys[:-1], _other(keys[-1])),
        "all-but-first": (_other(keys[0]), *keys[1:]),
        "left": (*keys[:-1], "C-c"),
    }


FAMILY = Family(
    name="interactive/confirm",
    summary="Answer all that a program asks for in one manner: agree, decline, or take what it suggests.",
    domain="interactive",
    skills=("prompts",),
    deeper={3: ("state-tracking",)},
    generate=generate,
)
