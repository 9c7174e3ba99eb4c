"""Small Python programs, each a pipe of functions from lines to lines, and what may be wrong with them.

Their constants are drawn; a generator runs them, right or wrong, to know what they print.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

Constants = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """Something that went wrong, and lines of input that show it."""

    name: str
    good: str
    bad: str
    shown_by: Callable[[Random, Constants], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Program:
    """The functions in their order, and what is known of them."""

    names: tuple[str, ...]
    rules: tuple[str, ...]
    stages: Mapping[str, str]
    bugs: tuple[Bug, ...]
    constants: Callable[[Random], Constants]
    ordinary: Callable[[Random, Constants, str], Sequence[str]]
    """Lines of input about a name that show no bug."""

    def output(self, constants: Constants, text: str, bugs: Sequence[Bug] = ()) -> str:
        """What it prints for an input, with these bugs in it."""
        scope = _scope(tuple(self.stages.items()), tuple((bug.good, bug.bad) for bug in bugs))
        scope.update(constants)
        value: Iterable[Any] = text.splitlines(keepends=True)
        try:
            for stage in self.stages:
                value = scope[stage](value)
            return "".join(f"{line}\n" for line in value)
        except Exception as error:
            return f"{error}"


@cache
def _scope(stages: tuple[tuple[str, str], ...], changes: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    for _, text in stages:
        for good, bad in changes:
            text = text.replace(good, bad)
        exec(compile(text, "program", "exec"), scope)
    return scope


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


def _stay(rng: Random, plate: str, length: int, start: int | None = None) -> str:
    start = rng.randint(300, 420) if start is None else start
    return f"{plate} {_clock(start)} {_clock(start + length)}"


FEES = Program(
    names=("parking", "garage", "moorings", "carpark"),
    rules=(
        "A line is a name, when a stay began and when it ended (HH:MM); an end before the beginning is on the next "
        "day. Lines that do not have three fields do not count.",
        "A stay of {FREE} minutes or less is free. Any other costs {PRICE} for each {BLOCK} minutes begun, from its "
        "first minute, but never more than {CAP}.",
        "For each name it prints: the name, the number of its stays, free ones included, and what they cost together.",
        "The largest sum comes first; names with equal sums come in alphabetical order.",
    ),
    stages={
        "read": '''\
def minutes(clock):
    hours, rest = clock.split(":")
    return int(hours) * 60 + int(rest)


def read(lines):
    stays = []
    for line in lines:
        fields = line.split()
        if len(fields) != 3:
            continue
        stays.append((fields[0], minutes(fields[1]), minutes(fields[2])))
    return stays
''',
        "charge": '''\
def charge(stays):
    fees = []
    for name, start, end in stays:
        length = end - start
        if length < 0:
            length += 24 * 60
        if length <= FREE:
            fees.append((name, 0))
        else:
            blocks = -(-length // BLOCK)
            fees.append((name, min(blocks * PRICE, CAP)))
    return fees
''',
        "table": '''\
def table(fees):
    sums = {}
    for name, fee in fees:
        sums.setdefault(name, []).append(fee)
    order = sorted(sums, key=lambda name: (-sum(sums[name]), name))
    return [f"{name} {len(sums[name])} {sum(sums[name])}" for name in order]
''',
    },
    bugs=(
        Bug("free", "length <= FREE", "length < FREE", lambda rng, c: [_stay(rng, "free1", c["FREE"])]),
        Bug("blocks", "-(-length // BLOCK)", "length // BLOCK + 1",
            lambda rng, c: [_stay(rng, "even1", c["BLOCK"] * rng.randint(2, 3))]),
        Bug("midnight", "24 * 60", "12 * 60", lambda rng, c: [_stay(rng, "late1", c["BLOCK"] * 2 + 7, 1430)]),
        Bug("cap", "min(blocks * PRICE, CAP)", "min(blocks, CAP) * PRICE",
            lambda rng, c: [_stay(rng, "long1", c["BLOCK"] * 9 + 1)]),
        Bug("ties", "(-sum(sums[name]), name)", "-sum(sums[name])",
            lambda rng, c: [_stay(rng, name, c["BLOCK"] * 2 + rng.randint(3, 8)) for name in ("tie2", "tie1")]),
    ),
    constants=lambda rng: {"FREE": rng.choice((10, 15, 20)), "PRICE": rng.choice((3, 4, 5, 7)),
                           "BLOCK": rng.choice((30, 40, 45, 60)), "CAP": rng.choice((24, 25, 26))},
    ordinary=lambda rng, c, name: [_stay(rng, name, c["BLOCK"] * rng.randint(1, 2) + rng.randint(3, 9))
                                   for _ in range(rng.randint(1, 2))],
)  # fmt: skip
STOCK = Program(
    names=("stock", "stores", "shelf", "depot"),
    rules=(
        'A line is ITEM{SEP}in{SEP}AMOUNT or ITEM{SEP}out{SEP}AMOUNT; empty lines and those that begin with "#" do not '
        "count.",
        "Every item starts at 0. What comes in is added. What goes out is taken off, down to 0 if need be; a line "
        "that would take off more than there is is refused and changes nothing.",
        "For each item of any line it prints ITEM{SEP}STOCK{SEP}REFUSED, the last being the number of its refused "
        'lines, and after that " LOW" if less than {LOW} are left.',
        "The smallest stock comes first; items with equal stocks come in alphabetical order.",
    ),
    stages={
        "read": '''\
def read(lines):
    moves = []
    for line in lines:
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        item, kind, amount = line.split(SEP)
        moves.append((item, kind, int(amount)))
    return moves
''',
        "apply": '''\
def apply(moves):
    stock, refused = {}, {}
    for item, kind, amount in moves:
        have = stock.setdefault(item, 0)
        if kind == "in":
            stock[item] = have + amount
        elif amount <= have:
            stock[item] = have - amount
        else:
            refused[item] = refused.get(item, 0) + 1
    return stock, refused
''',
        "table": '''\
def table(result):
    stock, refused = result
    lines = []
    for item in sorted(stock, key=lambda item: (stock[item], item)):
        mark = " LOW" if stock[item] < LOW else ""
        lines.append(f"{item}{SEP}{stock[item]}{SEP}{refused.get(item, 0)}{mark}")
    return lines
''',
    },
    bugs=(
        Bug("all", "amount <= have", "amount < have",
            lambda rng, c: [f"gone{c['SEP']}{kind}{c['SEP']}{c['LOW']}" for kind in ("in", "out")]),
        Bug("low", "stock[item] < LOW", "stock[item] <= LOW", lambda rng, c: [f"just{c['SEP']}in{c['SEP']}{c['LOW']}"]),
        Bug("numbers", "(stock[item], item)", "(str(stock[item]), item)",
            lambda rng, c: [f"many{c['SEP']}in{c['SEP']}{rng.randint(1000, 1999)}"]),
        Bug("refused", "refused.get(item, 0) + 1", "refused.get(kind, 0) + 1",
            lambda rng, c: [f"none{c['SEP']}out{c['SEP']}{rng.randint(5, 9)}"] * 2),
        Bug("remarks", "if not line or line.startswith(\"#\"):\n            continue",
            "if not line or line.startswith(\"#\"):\n            break", lambda rng, c: ["# counted again", ""]),
    ),
    constants=lambda rng: {"SEP": rng.choice(";,|:"), "LOW": rng.randint(12, 30)},
    ordinary=lambda rng, c, name: [f"{name}{c['SEP']}in{c['SEP']}{rng.randint(300, 480)}",
                                   f"{name}{c['SEP']}out{c['SEP']}{rng.randint(50, 190)}"],
)  # fmt: skip
BURSTS = Program(
    names=("bursts", "alarms", "lockouts", "throttle"),
    rules=(
        "A line is a time in seconds, a user and a word. Lines whose word is not exactly {WHAT}, or which do not have "
        "three fields, do not count. They come in any order.",
        "A user has a burst if {COUNT} of their lines lie so close together that the last is no more than {SPAN} "
        "seconds after the first. It is complete at the time of the last of the {COUNT}.",
        "For each user who has a burst it prints the time at which their first one is complete, and the user.",
        "The earliest time comes first; users with equal times come in alphabetical order.",
    ),
    stages={
        "read": '''\
def read(lines):
    events = []
    for line in lines:
        fields = line.split()
        if len(fields) == 3 and fields[2] == WHAT:
            events.append((int(fields[0]), fields[1]))
    return sorted(events)
''',
        "find": '''\
def find(events):
    bursts = {}
    for user in {user for _, user in events}:
        times = [when for when, who in events if who == user]
        for last in range(COUNT - 1, len(times)):
            if times[last] - times[last - COUNT + 1] <= SPAN:
                bursts[user] = times[last]
                break
    return bursts
''',
        "table": '''\
def table(bursts):
    order = sorted(bursts, key=lambda user: (bursts[user], user))
    return [f"{bursts[user]} {user}" for user in order]
''',
    },
    bugs=(
        Bug("exact", "<= SPAN", "< SPAN", lambda rng, c: _burst(rng, c, "brim", c["SPAN"])),
        Bug("word", "fields[2] == WHAT", "WHAT in fields[2]",
            lambda rng, c: [*_burst(rng, c, "true", 9), *(f"{line}-not" for line in _burst(rng, c, "other", 5))]),
        Bug("order", "return sorted(events)", "return events",
            lambda rng, c: _burst(rng, c, "back", c["SPAN"] - 3)[::-1]),
        Bug("ranked", "(bursts[user], user)", "(user, bursts[user])",
            lambda rng, c: [*_burst(rng, c, "zed", 9, rng.randint(1000, 1999)),
                            *_burst(rng, c, "abe", 9, rng.randint(3000, 3999))]),
        Bug("first", "                break\n", "", lambda rng, c: [
            line for at in (2000, 5000) for line in _burst(rng, c, "twice", c["SPAN"] - 4, at + rng.randrange(999))]),
    ),
    constants=lambda rng: {"WHAT": rng.choice(("failed", "denied", "retry", "timeout")), "COUNT": rng.randint(3, 4),
                           "SPAN": rng.randint(20, 90)},
    ordinary=lambda rng, c, name: [f"{at * c['SPAN'] * 2 + rng.randint(1, 9)} {name} {word}"
                                   for at, word in enumerate([c["WHAT"], "accepted", c["WHAT"]], rng.randint(1, 99))],
)  # fmt: skip


def _burst(rng: Random, c: Constants, user: str, span: int, at: int = 0) -> list[str]:
    """Lines of a user that lie so many seconds apart, in order."""
    at, between = at or rng.randint(10_000, 90_000), rng.sample(range(1, span), c["COUNT"] - 2)
    return [f"{at + after} {user} {c['WHAT']}" for after in sorted([0, span, *between])]


LEAGUE = Program(
    names=("league", "standings", "cup", "tournament"),
    rules=(
        'A line is HOME OWN:OTHER AWAY, the goals of either team; "-:-" instead of goals is a match not played yet, '
        "which does not count.",
        "A team gets {WIN} points for a match won and 1 for a draw.",
        "It prints for each team: its place and a full stop, its name, the matches it played, its goals as OWN:OTHER, "
        "the mean of its own goals per match with two decimals, and its points.",
        "Places go by points, then by the difference of own and other goals, then by own goals (more is better in all "
        "three), then by name.",
    ),
    stages={
        "read": '''\
def read(lines):
    games = []
    for line in lines:
        home, score, away = line.split()
        if score == "-:-":
            continue
        own, other = score.split(":")
        games.append((home, int(own), away, int(other)))
    return games
''',
        "count": '''\
def count(games):
    teams = {}
    for home, first, away, second in games:
        for team, own, other in ((home, first, second), (away, second, first)):
            row = teams.setdefault(team, [0, 0, 0, 0])
            row[0] += 1
            row[1] += WIN if own > other else 1 if own == other else 0
            row[2] += own
            row[3] += other
    return teams
''',
        "table": '''\
def rank(item):
    team, (_, points, own, other) = item
    return -points, other - own, -own, team


def table(teams):
    lines = []
    for place, (team, row) in enumerate(sorted(teams.items(), key=rank), 1):
        played, points, own, other = row
        lines.append(f"{place}. {team} {played} {own}:{other} {own / played:.2f} {points}")
    return lines
''',
    },
    bugs=(
        Bug("unplayed", "            continue\n        own,", "            break\n        own,",
            lambda rng, c: ["ants -:- rest", "ants 7:0 rest"]),
        Bug("draws", "1 if own == other else 0", "1 if own == other == 0 else 0",
            lambda rng, c: [f"crows {goals}:{goals} doves" for goals in (rng.randint(1, 3),)]),
        Bug("difference", "-points, other - own", "-points, own - other",
            lambda rng, c: [f"elks {rng.randint(5, 9)}:0 rest", "foxes 1:0 rest"]),
        Bug("mean", "{own / played:.2f}", "{own // played:.2f}", lambda rng, c: ["hens 2:0 rest", "hens 3:0 rest"]),
        Bug("more", "-own, team", "own, team",
            lambda rng, c: [*["jays 2:0 rest"] * 2, *["lynxes 3:1 moles"] * 2, "moles 1:0 rest"]),
    ),
    constants=lambda rng: {"WIN": rng.choice((2, 3, 4))},
    ordinary=lambda rng, c, name: [f"{name} {rng.randint(2, 4)}:0 rest"] * rng.randint(3, 9),
)  # fmt: skip
PROGRAMS = (FEES, STOCK, BURSTS, LEAGUE)
