"""Results of a league: the table by written-out rules, ratings after each game, and who meets whom next.

Level 2 breaks ties by the games between those tied, level 3 has games that were struck out or given, level 4 has Elo
ratings, level 5 the pairings of the next round. Results are in no order, and some stand there twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from termgym.checks import Check, answer, report
from termgym.family import Draft, Family
from termgym.lexicon import PLACES, TOWNS
from termgym.task import File, Limits

ASKS = (
    "{given} has the results of a league. {form}\n\n{rules}\n\n{out}\n",
    "Make the table of the league in {given}. {form}\n\n{rules}\n\n{out}\n",
    "{form} That is {given}, the results so far. How does the league stand?\n\n{rules}\n\n{out}\n",
    "{out}\n\nThe results are in {given}. {form}\n\n{rules}\n",
)
FORM = (
    "A line is ROUND HOME GOALS:GOALS AWAY; lines are in no order, and a line that is there twice counts once.{marks}"
)
MARKS = (
    " A line that ends in void does not count at all; one that ends in forfeit counts as 3:0 for HOME, whatever its"
    " goals."
)
RULES = {
    1: (
        "- A win has {win} points, a draw 1 for both. The table goes by points, then goals scored less goals conceded,"
        " then goals scored, then the name (byte order)."
    ),
    2: (
        "- Before the goal difference, of teams with equal points the one with more points from games among just these"
        " teams comes first (of all with the same points together, worked out once)."
    ),
    4: (
        "- Ratings begin at {start}. Game by game, by round and within a round by the name of HOME, both ratings"
        " change: HOME's by K (S - E), AWAY's by the opposite; S is 1, 1/2 or 0 for HOME's win, draw or loss, E = 1 /"
        " (1 + 10^((AWAY's - HOME's) / 400)), K = {k}. Nothing is rounded on the way."
    ),
    5: (
        "- Next round: go down the table; the highest team not paired yet meets the next lower one that it has not met"
        " (in a game that counts), HOME being the one with fewer home games so far, of equal ones the higher. If none"
        " is left for a team it is free."
    ),
}
OUT = {
    1: (
        "Write {out}/table.txt: a header place{sep}team{sep}games{sep}points{sep}goals, then a line for each team,"
        " goals as SCORED:CONCEDED."
    ),
    4: " Write {out}/ratings.txt: lines TEAM = RATING (compared to within 0.01).",
    5: (
        " Write {out}/next.txt: below a line next, a line HOME AWAY for each pair in the order in which they were made,"
        " and last, if there is one, TEAM free."
    ),
}
PROGRAM = """\
import os
level = {level}
games = []
for line in sorted(set(open({given!r}))):
    p = line.split()
    if p[-1] == "void" and level > 2:
        continue
    a, b = map(int, p[2].split(":"))
    if p[-1] == "forfeit" and level > 2:
        a, b = 3, 0
    games.append((int(p[0]), p[1], a, b, p[3]))
teams = sorted({{g[1] for g in games}} | {{g[4] for g in games}})
def points(games, team):
    total = 0
    for _, h, a, b, w in games:
        if team in (h, w):
            mine, other = (a, b) if team == h else (b, a)
            total += {win} if mine > other else mine == other
    return total
def goals(team):
    f = sum(a if h == team else b for _, h, a, b, w in games if team in (h, w))
    c = sum(b if h == team else a for _, h, a, b, w in games if team in (h, w))
    return f, c
pts = {{t: points(games, t) for t in teams}}
def among(team):
    tied = [t for t in teams if pts[t] == pts[team]]
    return points([g for g in games if g[1] in tied and g[4] in tied], team) if level > 1 else 0
def key(t):
    f, c = goals(t)
    return (-pts[t], -among(t), c - f, -f, t)
table = sorted(teams, key=key)
os.makedirs({out!r}, exist_ok=True)
with open({out!r} + "/table.txt", "w") as file:
    print({sep!r}.join(["place", "team", "games", "points", "goals"]), file=file)
    for n, t in enumerate(table, 1):
        played = sum(t in (g[1], g[4]) for g in games)
        print({sep!r}.join([str(n), t, str(played), str(pts[t]), "%d:%d" % goals(t)]), file=file)
if level > 3:
    rating = dict.fromkeys(teams, float({start}))
    for _, h, a, b, w in sorted(games, key=lambda g: (g[0], g[1])):
        e = 1 / (1 + 10 ** ((rating[w] - rating[h]) / 400))
        change = {k} * ((1 if a > b else 0.5 if a == b else 0) - e)
        rating[h] += change
        rating[w] -= change
    with open({out!r} + "/ratings.txt", "w") as file:
        for t in teams:
            print(t, "=", round(rating[t], 4), file=file)
if level > 4:
    met = {{frozenset((g[1], g[4])) for g in games}}
    home = {{t: sum(g[1] == t for g in games) for t in teams}}
    left, lines, free = table[:], ["next"], []
    while left:
        t = left.pop(0)
        other = next((o for o in left if frozenset((t, o)) not in met), None)
        if other is None:
            free.append(t + " free")
            continue
        left.remove(other)
        lines.append(" ".join((t, other) if home[t] <= home[other] else (other, t)))
    open({out!r} + "/next.txt", "w").write("\\n".join(lines + free) + "\\n")
"""


@dataclass(frozen=True, slots=True)
class Game:
    """A game, and whether it counts as it was."""

    round: int
    home: str
    away: str
    goals: tuple[int, int]
    mark: str = ""

    @property
    def result(self) -> tuple[int, int]:
        """The goals that count."""
        return (3, 0) if self.mark == "forfeit" else self.goals


@dataclass(frozen=True, slots=True)
class League:
    """The games that count, and the points of a win."""

    games: Sequence[Game]
    win: int

    def points(self, team: str, among: Sequence[str] | None = None) -> int:
        """Of a team, in all games or in those among some."""
        total = 0
        for game in self.games:
            if team in (game.home, game.away) and (among is None or {game.home, game.away} <= set(among)):
                mine, other = game.result if team == game.home else game.result[::-1]
                total += self.win if mine > other else int(mine == other)
        return total

    def goals(self, team: str) -> tuple[int, int]:
        """Scored and conceded."""
        pairs = [
            game.result if team == game.home else game.result[::-1]
            for game in self.games
            if team in (game.home, game.away)
        ]
        return sum(mine for mine, _ in pairs), sum(other for _, other in pairs)

    def table(self, teams: Sequence[str], level: int) -> list[str]:
        """The teams in their order."""
        points = {team: self.points(team) for team in teams}

        def key(team: str) -> tuple[int, int, int, int, str]:
            tied = [other for other in teams if points[other] == points[team]]
            mine, other = self.goals(team)
            return -points[team], -self.points(team, tied) if level > 1 else 0, other - mine, -mine, team

        return sorted(teams, key=key)

    def ratings(self, teams: Sequence[str], start: int, k: int) -> Mapping[str, float]:
        """After all games."""
        found = dict.fromkeys(teams, float(start))
        for game in sorted(self.games, key=lambda game: (game.round, game.home)):
            mine, other = game.result
            expected = 1 / (1 + 10 ** ((found[game.away] - found[game.home]) / 400))
            change = k * ((mine > other) + 0.5 * (mine == other) - expected)
            found[game.home] += change
            found[game.away] -= change
        return found

    def pairs(self, table: Sequence[str]) -> list[str]:
        """The next round."""
        met = {frozenset((game.home, game.away)) for game in self.games}
        homes = {team: sum(game.home == team for game in self.games) for team in table}
        left, lines, free = list(table), list[str](), list[str]()
        while left:
            team, *left = left
            other = next((one for one in left if frozenset((team, one)) not in met), "")
            if not other:
                free.append(f"{team} free")
                continue
            left.remove(other)
            lines.append(f"{team} {other}" if homes[team] <= homes[other] else f"{other} {team}")
        return lines + free


def generate(rng: Random, level: int) -> Draft:
    """One league, in the middle of its season."""
    win, start, k, sep = (
        rng.choice((2, 3)),
        rng.choice((1000, 1200, 1500)),
        rng.choice((16, 20, 32)),
        rng.choice((" ", ";", ",")),
    )
    given, out = (
        f"/app/{rng.choice(PLACES)}/{rng.choice(('results', 'games', 'season'))}.txt",
        f"/app/{rng.choice(('standing', 'league', 'report'))}",
    )
    while True:
        teams = sorted(rng.sample(TOWNS, 5 + level))
        games = _games(rng, teams, level)
        league = League([game for game in games if game.mark != "void"], win)
        table = league.table(teams, level)
        if level < 2 or (
            table != league.table(teams, 1) and all(any(t in (g.home, g.away) for g in league.games) for t in teams)
        ):
            break
    lines = [sep.join(("place", "team", "games", "points", "goals"))]
    for place, team in enumerate(table, 1):
        played, (mine, other) = sum(team in (game.home, game.away) for game in league.games), league.goals(team)
        lines.append(sep.join((str(place), team, str(played), str(league.points(team)), f"{mine}:{other}")))
    checks = list(report(f"{out}/table.txt", "\n".join(lines)))
    checks += [
        answer(f"{out}/ratings.txt", team, rating, tolerance=0.01, weight=0.5)
        for team, rating in league.ratings(teams, start, k).items()
        if level > 3
    ]
    checks += [
        Check(f"next-{check.name}", check.script, check.weight)
        for check in report(f"{out}/next.txt", "\n".join(["next", *league.pairs(table)]))
        if level > 4
    ]
    fields = {"given": given, "out": out, "win": win, "start": start, "k": k, "sep": sep}
    rules = [RULES[one].format(**fields) for one in RULES if one <= level]
    program = PROGRAM.format(**fields, level=level)
    wrong = {
        "other-points": program.replace(f"total += {win} if", f"total += {5 - win} if"),
        "doubles-counted": program.replace("sorted(set(open", "list((open"),
        "goals-before-games": program.replace(
            "(-pts[t], -among(t), c - f, -f, t)", "(-pts[t], c - f, -among(t), -f, t)"
        ),
        "void-counts": program.replace('"void" and level > 2', '"void" and level > 9'),
        "by-name": program.replace("sorted(teams, key=key)", "sorted(teams)"),
    }
    for name, needed in {"goals-before-games": 9, "void-counts": 3}.items():
        if level < needed:
            del wrong[name]
    text = [_line(game) for game in games]
    text += rng.sample(text, 3)
    rng.shuffle(text)
    return Draft(
        instruction=rng.choice(ASKS).format(
            given=given,
            form=FORM.format(marks=MARKS if level > 2 else ""),
            rules="\n".join(rules),
            out="".join(OUT[one].format(**fields) for one in OUT if one <= level),
        ),
        checks=tuple(checks),
        oracle=_oracle(program, given, out),
        wrong={name: _oracle(code, given, out) for name, code in wrong.items()},
        files={given: File.of("".join(text))},
        limits=Limits(turns=30),
    )


def _line(game: Game) -> str:
    words = [
        str(game.round),
        game.home,
        f"{game.goals[0]}:{game.goals[1]}",
        game.away,
        *([game.mark] if game.mark else []),
    ]
    return " ".join(words) + "\n"


def _games(rng: Random, teams: Sequence[str], level: int) -> list[Game]:
    """Some rounds of random pairs that have not met."""
    games: list[Game] = []
    met: set[frozenset[str]] = set()
    for number in range(1, 4 + level // 2):
        left = rng.sample(list(teams), len(teams))
        while len(left) > 1:
            home = left.pop()
            away = next((team for team in left if frozenset((home, team)) not in met), "")
            if away:
                left.remove(away)
                met.add(frozenset((home, away)))
                games.append(Game(number, home, away, (rng.randint(0, 3), rng.randint(0, 3))))
    if level > 2:
        marks = ["void", "forfeit", "void"]
        for place, mark in zip(rng.sample(range(len(games)), 3), marks, strict=True):
            game = games[place]
            games[place] = Game(game.round, game.home, game.away, (0, 2) if mark == "forfeit" else (4, 1), mark)
    return games


def _oracle(program: str, given: str, out: str) -> tuple[str, ...]:
    return (
        f"sort -n {given} | head -n 12\n",
        f"cat > /tmp/league.py <<'END'\n{program}END\n",
        "python3 /tmp/league.py\n",
        f"head -n 12 {out}/*\n",
    )


FAMILY = Family(
    name="games/tournament",
    summary="Make the table of a league by written-out rules, with ratings and the pairings of the next round.",
    domain="games",
    skills=("sorting", "aggregation"),
    deeper={2: ("validation",), 4: ("statistics",), 5: ("greedy",)},
    generate=generate,
    requires=("python3",),
)
