"""A text adventure: find the way, carry the things and open the doors, until the task is done; then save.

The house changes with the seed. Level 2 has locked doors with keys elsewhere, level 3 a limit to what one can carry,
level 4 one-way passages, level 5 a limit of moves. The verifier plays the saved moves again in a house of its own.
"""

import json
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from termgym.family import Draft, Family
from termgym.lexicon import COLOURS, ITEMS, PLACES, SERVICES
from termgym.task import Check, File, Limits

ASKS = (
    "Play {game} (python3 {game}). {goal} The game tells its commands; save to {save} when it is done.\n",
    "{goal} That is to be done in the game python3 {game}, which explains itself. Save it as {save} in the end.\n",
    (
        "There is a small text adventure, {game}, to be started by python3. {goal} When all is done, use its command to"
        " save, to {save}.\n"
    ),
    "A game is waiting: python3 {game}. {goal} Then save to {save}.\n",
)
GOAL = "Bring {things} to the {place}, and be there at the end.{limit} The doors, keys and ways have to be found out."
LIMIT = (
    " It has to be done in at most {most} commands (those that change nothing count too, looking and saving do not)."
)
GAME = """\
import json, random, sys, zlib
house = json.loads(zlib.decompress(bytes.fromhex({data!r})))
here, held, moves = house["start"], [], []
places = {{thing: place for thing, place in house["things"].items()}}
def look():
    ways = sorted(house["ways"][here])
    shut = lambda key: " (locked)" if key and key not in held else ""
    shown = [w + shut(house["ways"][here][w][1]) for w in ways]
    print("You are in the", here + ". Ways:", ", ".join(shown) + ".")
    things = sorted(t for t, p in places.items() if p == here)
    if things:
        print("Here:", ", ".join(things) + ".")
    if held:
        print("You carry:", ", ".join(held) + ".")
print("Commands: go WAY, take THING, drop THING, look, save FILE, quit. A door opens to who carries its key.")
look()
while True:
    sys.stdout.write("> ")
    sys.stdout.flush()
    line = sys.stdin.readline()
    word, _, rest = line.strip().partition(" ")
    if not line or word == "quit":
        break
    if word == "save":
        open(rest, "w").write("".join(m + "\\n" for m in moves))
        print("Saved", len(moves), "moves.")
        continue
    if word == "look":
        look()
        continue
    moves.append(line.strip())
    way = house["ways"][here].get(rest) if word == "go" else None
    if way and (not way[1] or way[1] in held):
        here = way[0]
        look()
    elif way:
        print("It is locked: you need the", way[1] + ".")
    elif word == "take" and places.get(rest) == here and len(held) < house["carry"]:
        held.append(rest)
        del places[rest]
        print("Taken.")
    elif word == "take" and places.get(rest) == here:
        print("Your hands are full.")
    elif word == "drop" and rest in held:
        held.remove(rest)
        places[rest] = here
        print("Dropped.")
    else:
        print("That does nothing.")
"""
JUDGE = """\
#!/usr/bin/python3 -I
import json, os, stat, sys
path, house, want = {path!r}, json.loads({house!r}), {want!r}
try:
    if os.path.realpath(path) != path or not stat.S_ISREG(os.lstat(path).st_mode) or os.path.getsize(path) > 65536:
        sys.exit(1)
    moves = open(path, encoding="utf-8").read().splitlines()
except (OSError, ValueError):
    sys.exit(1)
here, held, places = house["start"], [], dict(house["things"])
for move in moves:
    word, _, rest = move.strip().partition(" ")
    way = house["ways"][here].get(rest) if word == "go" else None
    if way and (not way[1] or way[1] in held):
        here = way[0]
    elif word == "take" and places.get(rest) == here and len(held) < house["carry"]:
        held.append(rest)
        del places[rest]
    elif word == "drop" and rest in held:
        held.remove(rest)
        places[rest] = here
inside = {{"things": lambda t: places.get(t) == want["place"], "end": lambda _: here == want["place"],
          "moves": lambda n: 0 < len(moves) <= n}}
sys.exit(not all(inside[{kind!r}](one) for one in {ones!r}))
"""
BACK = {"north": "south", "south": "north", "east": "west", "west": "east", "up": "down", "down": "up"}


@dataclass(frozen=True, slots=True)
class House:
    """Room -> way -> (room, key or nothing), and where things are."""

    start: str
    ways: Mapping[str, Mapping[str, tuple[str, str]]]
    things: Mapping[str, str]
    carry: int

    def path(self, start: str, end: str, keys: frozenset[str]) -> list[str] | None:
        """The shortest way with these keys."""
        seen, todo = {start}, deque([(start, list[str]())])
        while todo:
            room, path = todo.popleft()
            if room == end:
                return path
            for way, (to, key) in sorted(self.ways[room].items()):
                if to not in seen and (not key or key in keys):
                    seen.add(to)
                    todo.append((to, [*path, f"go {way}"]))
        return None

    def text(self) -> str:
        """As JSON."""
        return json.dumps({"start": self.start, "ways": self.ways, "things": self.things, "carry": self.carry})


def generate(rng: Random, level: int) -> Draft:
    """One house that can be done."""
    while True:
        house, wanted, place = _house(rng, level)
        moves = _solution(house, wanted, place)
        if moves and 5 <= len(moves) <= 30 + 8 * level:
            break
    game, save = f"/app/{rng.choice(SERVICES)}.py", f"/app/{rng.choice(('game', 'house', 'played'))}.sav"
    most = len(moves) + 6
    goal = GOAL.format(things=_joined(wanted), place=place, limit=LIMIT.format(most=most) if level > 4 else "")
    checks = [
        _check(f"thing-{number}", house, save, place, "things", [thing]) for number, thing in enumerate(wanted, 1)
    ]
    checks += [
        _check("at-the-end", house, save, place, "end", [""], wanted),
        _check("all", house, save, place, "things", wanted),
    ]
    checks += [_check("moves", house, save, place, "moves", [most])] if level > 4 else []
    last = max(
        number for number, move in enumerate(moves) if move.removeprefix("drop ") in wanted and move.startswith("drop")
    )
    return Draft(
        instruction=rng.choice(ASKS).format(game=game, goal=goal, save=save),
        checks=tuple(Check(check.name, check.script, 2 if check.name == "all" else 1) for check in checks),
        oracle=_keys(game, moves, save),
        wrong={
            "one-thing-left": _keys(game, moves[:last] + moves[last + 1 :], save),
            "not-saved": _keys(game, moves, "/tmp/other.sav"),
            "half-way": _keys(game, moves[: len(moves) // 2], save),
            "made-up": (f"printf 'win\\ntake all\\n' > {save}\n",),
        },
        solve="\n".join([f"python3 {game} <<'END'", *moves, f"save {save}", "quit", "END", ""]),
        files={game: File.of(GAME.format(data=_packed(house)))},
        limits=Limits(turns=90 + 30 * level),
    )


def _packed(house: House) -> str:
    return zlib.compress(house.text().encode()).hex()


def _joined(things: Sequence[str]) -> str:
    named = [f"the {thing}" for thing in things]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def _check(
    name: str, house: House, save: str, place: str, kind: str, ones: Sequence[object], also: Sequence[str] = ()
) -> Check:
    judge = JUDGE.format(path=save, house=house.text(), want={"place": place}, kind=kind, ones=list(ones))
    if also:  # being there at once is no merit: something has to have been brought
        judge = judge.replace(
            "sys.exit(not all", f"sys.exit(not any(places.get(t) == want['place'] for t in {list(also)!r}) or not all"
        )
    return Check(name, judge)


def _house(rng: Random, level: int) -> tuple[House, list[str], str]:
    """Rooms joined to a tree, and some ways beside it; keys lie before their doors, things behind."""
    rooms = rng.sample(PLACES, 5 + 2 * level)
    ways: dict[str, dict[str, tuple[str, str]]] = {room: {} for room in rooms}
    keys: list[str] = []
    for number, room in enumerate(rooms[1:], 1):
        before = rng.choice([one for one in rooms[max(0, number - 4) : number] if len(ways[one]) < 5])
        way = rng.choice([way for way in BACK if way not in ways[before]])
        locked = level > 1 and number in (3, 6)
        keys += [f"{rng.choice(COLOURS)} key"] if locked else []
        ways[before][way] = (room, keys[-1] if locked else "")
        if BACK[way] not in ways[room] and not (level > 3 and number == len(rooms) - 2):
            ways[room][BACK[way]] = (before, "")
    if level > 3:  # out of where one cannot go back, by another way round
        odd = rooms[-2]
        ways[odd][next(way for way in BACK if way not in ways[odd])] = (rooms[0], "")
    wanted: list[str] = rng.sample(ITEMS, 1 + (level + 1) // 2)
    things = {thing: rng.choice(rooms[2:]) for thing in wanted}
    things |= {key: rng.choice(rooms[:3]) for key in keys}
    others = [item for item in ITEMS if item not in wanted]
    things |= {thing: rng.choice(rooms) for thing in rng.sample(others, level)}
    place: str = rooms[1]
    things = {thing: room if room != place or thing not in wanted else rooms[-1] for thing, room in things.items()}
    return House(rooms[0], ways, things, 2 if level > 2 else 9), wanted, place


def _solution(house: House, wanted: Sequence[str], place: str) -> list[str] | None:
    """Keys first, each kept while it is needed; then one thing after the other."""
    moves: list[str] = []
    here = house.start
    for thing in wanted:
        keys = [key for key in house.things if key.endswith(" key")]
        best: tuple[list[str], str] | None = None
        for held in ([], *[[key] for key in keys], *([keys] if house.carry > 2 else [])):
            if (found := _fetch(house, here, thing, place, held)) and (best is None or len(found[0]) < len(best[0])):
                best = found
        if best is None:
            return None
        moves += best[0]
        here = best[1]
    return moves


def _fetch(house: House, here: str, thing: str, place: str, keys: Sequence[str]) -> tuple[list[str], str] | None:
    """Take the keys, fetch the thing, bring it and put the keys back where they were, if hands are few."""
    moves: list[str] = []
    held: list[str] = []
    stops = [(house.things[key], f"take {key}", key) for key in keys] + [
        (house.things[thing], f"take {thing}", ""),
        (place, f"drop {thing}", ""),
    ]
    stops += [(house.things[key], f"drop {key}", "") for key in keys] + ([(place, "", "")] if keys else [])
    for room, command, key in stops:
        path = house.path(here, room, frozenset(held))
        if path is None:
            return None
        moves += [*path, *([command] if command else [])]
        held += [key] if key else []
        here = room
    return moves, here


def _keys(game: str, moves: Sequence[str], save: str) -> tuple[str, ...]:
    return (f"python3 {game}\n", "look\n", *(f"{move}\n" for move in moves), f"save {save}\n", "quit\n")


FAMILY = Family(
    name="interactive/adventure",
    summary="Play a text adventure: bring things through locked doors to a place, and save.",
    domain="interactive",
    skills=("prompts", "state-tracking"),
    deeper={2: ("graph-search",), 3: ("scheduling",), 5: ("optimization",)},
    generate=generate,
    requires=("python3",),
)
