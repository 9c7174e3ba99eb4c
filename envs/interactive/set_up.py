"""Questions of an installer, one key each: which parts of a thing are wanted, and which are not.

The installer runs when the terminal opens. More parts with the level; level 4 names those that are not wanted, and
level 5 names either. Eight other keys in a row end the installer: what is typed for a shell does not answer by chance.
"""

from collections.abc import Mapping
from random import Random

from termgym.checks import answer
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, SERVICES
from termgym.task import File, Limits

ASKS = (
    "{program} asks about one part after the other; answer by y or n. {wish} If you left it, run it again.\n",
    "Answer {program} by y or n. {wish} To begin anew, run it again.\n",
    "{wish} {program} is asking for it; press y or n at each question. It can be run again.\n",
    "The set-up {program} waits for y or n. {wish} Once left, it has to be run again from the start.\n",
)
WANTED = ("{verb} {named} and nothing else.", "Of the parts, {verb} only {named}.", "Only {verb} {named}.")
UNWANTED = ("{verb} all but {named}.", "Of the parts, {verb} each but {named}.", "Leave out {named}; {verb} the rest.")
VERBS = ("keep", "install", "add", "enable")
PARTS = (2, 3, 4, 5, 7)
PROGRAM = """\
#!/bin/bash
# Asks which parts to {verb}, one key each, and keeps the answers beside itself.
ask() {{
  local key
  for _ in {{1..8}}; do
    printf '{Verb} %s? [y/n] ' "$1"
    read -rsn1 key || exit
    if [[ $key == [yn] ]]; then
      echo "$key"
      echo "$1=$key" >>answers
      return
    fi
    printf '\nPlease answer y or n.\n'
  done
  echo Too many other keys.
  exit 1
}}
cd "${{0%/*}}" || exit
: >answers
for part in {parts}; do ask "$part"; done
echo All is set.
"""


def generate(rng: Random, level: int) -> Draft:
    """One installer, with as many parts as the level says."""
    folder, verb = f"/app/{rng.choice(SERVICES)}", rng.choice(VERBS)
    answers = _answers(rng, PARTS[level - 1])
    named = "n" if level == 4 else rng.choice("yn") if level == 5 else "y"
    program = PROGRAM.format(verb=verb, Verb=verb.capitalize(), parts=" ".join(answers))
    return Draft(
        instruction=_instruction(rng, f"{folder}/setup", verb, answers, named),
        checks=tuple(answer(f"{folder}/answers", part, key) for part, key in answers.items()),
        oracle=tuple(answers.values()),
        wrong=_wrong(answers),
        files={f"{folder}/setup": File.of(program, 0o755), "/root/.bash_profile": File.of(f"{folder}/setup\n")},
        solve=f"printf '%s\\n' {' '.join(f'{part}={key}' for part, key in answers.items())} >{folder}/answers\n",
        limits=Limits(turns=4 * len(answers) + 12),
    )


def _answers(rng: Random, count: int) -> dict[str, str]:
    """Part -> the key; half of them each, or one more of either."""
    keys = list(rng.choice(("yn", "ny")) * count)[:count]
    rng.shuffle(keys)
    return dict(zip(rng.sample(ITEMS, count), keys, strict=True))


def _instruction(rng: Random, program: str, verb: str, answers: Mapping[str, str], named: str) -> str:
    parts = [part for part, key in answers.items() if key == named]
    rng.shuffle(parts)
    wish = rng.choice(WANTED if named == "y" else UNWANTED).format(verb=verb, named=_listed(parts))
    return rng.choice(ASKS).format(program=program, wish=wish[0].upper() + wish[1:])


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def _wrong(answers: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    keys = list(answers.values())
    return {
        "all-yes": ("y",) * len(keys),
        "all-no": ("n",) * len(keys),
        "left": (*keys[:-1], "C-c"),
        "last-wrong": (*keys[:-1], "n" if keys[-1] == "y" else "y"),
    }


FAMILY = Family(
    name="interactive/set-up",
    summary="Answer the questions of an installer, a key each, as the instruction wants it set up.",
    domain="interactive",
    skills=("prompts",),
    deeper={2: ("state-tracking",)},
    generate=generate,
)
