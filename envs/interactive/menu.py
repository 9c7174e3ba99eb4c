"""Numbered menus, one key each: who gets which room.

The program runs when the terminal opens. Level 2 has a longer menu, level 3 two of them, of the same rooms; at level 5
the instruction tells of them in another order than they come. Eight other keys in a row end the program: what is typed
for a shell does not choose by chance.
"""

from collections.abc import Mapping, Sequence
from random import Random

from termgym.checks import PLAIN, answer
from termgym.family import Draft, Family
from termgym.lexicon import GIVEN, PLACES, SERVICES
from termgym.task import Check, File, Limits

ASKS = (
    "{program} asks who gets which room; a digit is the answer. {wish} If you left it, run it again.\n",
    "Choose from the menu of {program} by a digit. {wish} To begin anew, run it again.\n",
    "{wish} {program} is asking for it; press the number of the room. It can be run again.\n",
    "The menu of {program} waits for a number. {wish} Once left, it has to be run again from the start.\n",
)
WISHES = ("{name} gets the {room}", "{name} has booked the {room}", "the {room} is for {name}")
MENUS = ((3,), (5,), (5, 5), (6, 6, 6), (9, 7, 9, 8))
"""Level -> how many entries each menu has."""
PROGRAM = """\
#!/bin/bash
# Asks for rooms, one key each, and keeps the choices beside itself.
choose() {{
  local name=$1 number=0 room key
  shift
  echo "Room for $name:"
  for room; do echo "$((++number))) $room"; done
  for _ in {{1..8}}; do
    printf 'Number: '
    read -rsn1 key || exit
    if [[ $key == [1-9] && $key -le $# ]]; then
      echo "$key"
      echo "$name=${{!key}}" >>choices
      return
    fi
    printf '\nPlease press a number from 1 to %s.\n' $#
  done
  echo Too many other keys.
  exit 1
}}
cd "${{0%/*}}" || exit
: >choices
{menus}
echo All is chosen.
"""
COMPLETE = 'plain {path} 65536 || exit 1\n[ "$(grep -c = {path})" -ge {count} ]\n'


def generate(rng: Random, level: int) -> Draft:
    """Menus, each with a name and the room that is wanted."""
    folder, sizes = f"/app/{rng.choice(SERVICES)}", MENUS[level - 1]
    names, rooms = rng.sample(GIVEN, len(sizes)), rng.sample(PLACES, max(sizes))
    menus = dict[str, Sequence[str]](zip(names, [rng.sample(rooms[:size], size) for size in sizes], strict=True))
    wanted = dict[str, str](zip(names, rng.sample(rooms[: min(sizes)], len(sizes)), strict=True))
    program = PROGRAM.format(menus="\n".join(f"choose {name} {' '.join(menus[name])}" for name in names))
    return Draft(
        instruction=_instruction(rng, f"{folder}/rooms", wanted, level),
        checks=_checks(f"{folder}/choices", wanted),
        oracle=_keys(menus, wanted),
        wrong=_wrong(menus, wanted),
        files={f"{folder}/rooms": File.of(program, 0o755), "/root/.bash_profile": File.of(f"{folder}/rooms\n")},
        solve=f"printf '%s\\n' {' '.join(f'{name}={room}' for name, room in wanted.items())} >{folder}/choices\n",
        limits=Limits(turns=4 * len(sizes) + 12),
    )


def _instruction(rng: Random, program: str, wanted: Mapping[str, str], level: int) -> str:
    pairs, form = list(wanted.items()), rng.choice(WISHES)
    while level == 5 and pairs == list(wanted.items()):
        rng.shuffle(pairs)
    wish = ", ".join(form.format(name=name, room=room) for name, room in pairs) + "."
    return rng.choice(ASKS).format(program=program, wish=wish[0].upper() + wish[1:])


def _checks(choices: str, wanted: Mapping[str, str]) -> tuple[Check, ...]:
    """Each menu, and that all of them were gone through, which counts half."""
    complete = Check("complete", PLAIN + COMPLETE.format(path=choices, count=len(wanted)), 0.5)
    return complete, *(answer(choices, name, room) for name, room in wanted.items())


def _keys(menus: Mapping[str, Sequence[str]], wanted: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(str(menus[name].index(room) + 1) for name, room in wanted.items())


def _wrong(menus: Mapping[str, Sequence[str]], wanted: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    keys = _keys(menus, wanted)
    sizes = [len(menus[name]) for name in wanted]
    nexts = tuple(str(int(key) % size + 1) for key, size in zip(keys, sizes, strict=True))
    return {
        "all-next": nexts,
        "last-next": (*keys[:-1], nexts[-1]),
        "left": (*keys[:-1], "C-c"),
        "no-number": (*keys[:-1], "0", "x", "Enter"),
    }


FAMILY = Family(
    name="interactive/menu",
    summary="Choose from menus the rooms that the instruction names, a digit each.",
    domain="interactive",
    skills=("menus",),
    deeper={3: ("state-tracking",)},
    generate=generate,
)
