"""Reports from logs: a pipeline of text tools over what servers wrote, into a file of an exact form.

The log's format, the question and the report's form change with the seed. Level 1 is one file and one number per line;
level 2 adds rotated and gzipped parts, a day and a second number; level 3 adds several hosts, parts in an older format,
a range of days and a closing total; level 4 counts by teams that another file tells, without clients that yet another
one lists; at level 5 the hosts' clocks were wrong. Broken lines lie about at every level.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import GIVEN, HOSTS, SERVICES, TOPICS
from termgym.task import Check, File, Limits

from ._access_logs import FORMATS, Format, Hit, disturbed, line_of

COUNTS = ("requests", "bytes", "errors", "clients")
COLUMNS = {level: COUNTS[:width] for level, width in enumerate((1, 2, 2, 3, 4), 1)}
SEPARATORS = {"\t": "a tab", ",": "a comma", ";": "a semicolon"}
ROUTES = "cart login search basket export avatar invite report token stock quote parcel label ledger feed map".split()

PHRASINGS = (
    "{what}\n\n{where}\n\n{form}\n\n{out}\n",
    "We need a short report on the traffic of {{service}}. {where}\n\n{form}\n\n{what}\n\n{out}\n",
    "{where} Please make a report of that.\n\n{out}\n\nWhat it is about: {what}\n\n{form}\n",
    "A colleague asks which {{key}}s kept {{service}} busy. {where} {what}\n\n{out}\n\n{form}\n",
)
SEVERAL = "The logs are those of the hosts {hosts}: {log} and {log}.1, and an older one, {log}.2.gz. All count."
WHERE = {
    1: "The requests are logged in {log}.",
    2: "The log was rotated, so it is in three files, {log}, {log}.1 and, compressed, {log}.2.gz. All three count.",
    3: SEVERAL,
    4: SEVERAL,
    5: SEVERAL + " The hosts' clocks were wrong: the times in all logs of {clocks}. What counts are the right times.",
}
TEAMS = """
Which team a client belongs to is in {teams_file} (client, then team); all clients that it lacks make up the team other.
Requests of the clients in {bots_file} count nowhere. An error is a request with a status of 500 or more."""
WHAT = {
    1: "Count the requests of each {key}.",
    2: "Find out how many requests each {key} has on {first:%F} (other days do not count), and their bytes' sum.",
    3: "Find out how many requests each {key} has from {first:%F} to {last:%F}, both included, and their bytes' sum.",
    4: """\
Find out how many requests each {key} has from {first:%F} to {last:%F}, both included, their bytes' sum, and how many of
them are errors."""
    + TEAMS,
    5: """\
Find out how many requests each {key} has from {first:%F} to {last:%F}, both included, their bytes' sum, how many of
them are errors, and how many different clients they come from."""
    + TEAMS,
}
FORM = """\
A request is one line like this, with its time, client, route, status and, last, number of bytes:

    {example}

Only lines with all of these count. There are others too, to be left out: lines that were cut off, remarks of the
logger, and lines without a number of bytes (a dash or null in its place)."""
OLD_FORM = """ The .gz files have another form:

    {old_example}"""
OUT = """\
{report} (make its folder if there is none) is to list the {top} {key}s with the most requests, one per line, the most
first. Equal ones stand in alphabetical order (plain byte order) of the {key}; that also decides who is in if there is
a tie at the end of the list. The columns are separated by {separator}, without spaces, and the first line is a header
with exactly these names: {header}. Nothing else is in the file."""
TOTAL = """
After the list comes one more line, with TOTAL in place of the {key} and the sums over all {key}s, listed or not."""

READ = """\
plain {report} 65536 || exit 1
got=$(tr '\\0' '?' <{report}) want=$(cat expected)
shape() {{ head -n 1 <<<"$1"; tr -dc '{cell}\\n' <<<"$1"; }}
"""


@dataclass(frozen=True, slots=True)
class Spec:
    """What one task asks, and of which files."""

    level: int
    new: Format
    old: Format
    key: str
    top: int
    first: datetime
    last: datetime
    separator: str
    root: str
    service: str
    hosts: tuple[str, ...]
    report: str
    teams: Mapping[str, str]
    """Client -> team; none below level 4."""
    bots: tuple[str, ...]
    clocks: Mapping[str, int]
    """Host -> hours that its clock is ahead."""
    teams_file: str
    bots_file: str

    def log(self, host: str) -> str:
        """The current log of a host."""
        return f"{self.root}/{host}/{self.service}.log".replace("//", "/")

    def wants(self, hit: Hit) -> bool:
        """Whether the request counts."""
        inside = self.first <= hit.at < self.last + timedelta(days=1)
        return hit.size is not None and (inside or self.level == 1) and hit.client not in self.bots

    def group(self, hit: Hit) -> str:
        """What the request is counted under."""
        by_team = self.teams.get(hit.client, "other")
        return {"client": hit.client, "route": hit.route, "team": by_team}[self.key]


Hits = list[tuple[str, Hit]]
"""Host and request."""


def generate(rng: Random, level: int) -> Draft:
    """One task."""
    clients = [f"{name.lower()}{rng.randrange(10, 99)}" for name in rng.sample(GIVEN, 10 if level < 4 else 18)]
    spec = _spec(rng, level, clients)
    hits = _hits(rng, spec, clients)
    read = PLAIN + READ.format(report=spec.report, cell=spec.separator.replace("\t", "\\t"))
    return Draft(
        instruction=_instruction(rng, spec, hits[0][1]),
        checks=(
            Check("form", f'{read}[ "$(shape "$got")" = "$(shape "$want")" ]\n'),
            Check("leader", f'{read}[ "$(head -n 2 <<<"$got")" = "$(head -n 2 <<<"$want")" ]\n'),
            Check("rows", f'{read}[ "$(sort <<<"$got")" = "$(sort <<<"$want")" ]\n', 2),
            Check("whole", f'{read}[ "$got" = "$want" ]\n', 2),
        ),
        oracle=_oracle(spec),
        wrong=_wrong(spec),
        files=_files(rng, spec, hits),
        setup="".join(f"gzip -n {spec.log(host)}.2\n" for host in spec.hosts if level > 1),
        tests={"expected": File.of(_report(spec, hits))},
        limits=Limits(turns=20 + 10 * level),
    )


def _spec(rng: Random, level: int, clients: list[str]) -> Spec:
    (new, old), key = rng.sample(FORMATS, 2), rng.choice(("client", "route")) if level < 4 else "team"
    first = datetime(2021, 1, 1) + timedelta(days=rng.randrange(4000))
    folder, name = rng.choice(("", "out/", "reports/")), rng.choice(("top", "busiest", "summary", "usage"))
    hosts = tuple(sorted(rng.sample(HOSTS, rng.randrange(2, 4)))) if level > 2 else ("",)
    teams, listed, ending = rng.sample(TOPICS, 6), clients[2:] if level > 3 else [], rng.choice(("csv", "txt"))
    return Spec(
        level, new, old if level > 2 else new, key,
        top=rng.randrange(3, 6),
        first=first,
        last=first + timedelta(days=rng.randrange(1, 4) if level > 2 else 0),
        separator=rng.choice(tuple(SEPARATORS)),
        root=rng.choice(("/app/logs", "/app/var/log", "/app/incoming", "/app/data/www")),
        service=rng.choice(SERVICES),
        hosts=hosts,
        report=f"/app/{folder}{name}-{key}s.{rng.choice(('txt', 'report', 'dat'))}",
        teams={client: teams[number % 6] for number, client in enumerate(listed)},
        bots=tuple(clients[1:3]) if level > 3 else (),
        clocks={host: rng.choice((-5, -4, -3, 3, 4, 5)) if level > 4 else 0 for host in hosts},
        teams_file=f"/app/{rng.choice(('teams', 'members', 'who-is-who'))}.{ending}",
        bots_file=f"/app/{rng.choice(('ignore', 'robots', 'internal'))}.{rng.choice(('txt', 'list'))}",
    )  # fmt: skip


def _hits(rng: Random, spec: Spec, clients: list[str]) -> Hits:
    """All requests that count or might; ranks `top` and the next are tied."""
    routes = [f"/{word}/{rng.choice(ROUTES)}" for word in rng.sample(ROUTES, 10)]
    seconds = ((spec.last - spec.first).days + 3) * 86_400 - 3600
    weights, hits = [rng.randrange(2, 9) for _ in clients], Hits()
    for _ in range((0, 90, 260, 500, 500, 600)[spec.level]):
        at = spec.first - timedelta(days=1) + timedelta(seconds=rng.randrange(seconds))
        (client,), route = rng.choices(clients, weights), rng.choices(routes, weights[:10])[0]
        status = rng.choices((200, 204, 404, 500, 503), (8, 2, 2, 3, 1))[0]
        hits.append((rng.choice(spec.hosts), Hit(at, client, route, status, rng.randrange(200, 60_000))))
    table = _table(spec, hits)
    ranked = sorted(table, key=lambda key: -table[key][0])
    return [*hits, *_everywhere(rng, spec, hits, ranked[0]), *_tie(spec, hits, ranked[spec.top - 1 : spec.top + 1])]


def _everywhere(rng: Random, spec: Spec, hits: Hits, leader: str) -> Hits:
    """Something of the leader's, good and broken, for each part of each log, so that leaving one out shows."""
    like = next(hit for _, hit in hits if spec.group(hit) == leader and spec.wants(hit))
    times = (spec.first + timedelta(hours=1), spec.first + timedelta(hours=13), spec.last + timedelta(hours=22))
    sizes = (rng.randrange(200, 9000), None)
    return [(host, like._replace(at=at, size=size)) for host in spec.hosts for at in times for size in sizes]


def _tie(spec: Spec, hits: Hits, ranked: list[str]) -> Hits:
    """What the key just below the cut lacks to draw level with the one just above."""
    table, (upper, lower) = _table(spec, hits), ranked
    like = next(one for one in hits if spec.group(one[1]) == lower and spec.wants(one[1]))
    return [like] * (table[upper][0] - table[lower][0])


def _table(spec: Spec, hits: Hits) -> dict[str, tuple[int, ...]]:
    """Key -> its numbers of requests, bytes, errors and clients."""
    found: dict[str, list[Hit]] = {}
    for _, hit in hits:
        if spec.wants(hit):
            found.setdefault(spec.group(hit), []).append(hit)
    return {
        key: (
            len(all_),
            sum(hit.size or 0 for hit in all_),
            sum(hit.status >= 500 for hit in all_),
            len({hit.client for hit in all_}),
        )
        for key, all_ in found.items()
    }


def _report(spec: Spec, hits: Hits) -> str:
    columns, table = COLUMNS[spec.level], _table(spec, hits)
    ranked = sorted(table, key=lambda key: (-table[key][0], key))[: spec.top]
    rows = [(spec.key, *columns), *((key, *table[key][: len(columns)]) for key in ranked)]
    if spec.level > 2:
        rows.append(("TOTAL", *[sum(column) for column in zip(*table.values(), strict=True)][: len(columns)]))
    return "".join(spec.separator.join(map(str, row)) + "\n" for row in rows)


def _files(rng: Random, spec: Spec, hits: Hits) -> dict[str, File]:
    """The logs, rotated within the days asked for, so that every part matters."""
    noon = timedelta(hours=12)
    cuts = [spec.first + noon, spec.last + noon + timedelta(hours=8)] if spec.level > 1 else []
    files = _lists(rng, spec)
    for host in spec.hosts:
        ahead = timedelta(hours=spec.clocks[host])
        mine = sorted((hit for name, hit in hits if name == host), key=lambda hit: hit.at)
        for age, (start, end) in enumerate(reversed(list(pairwise([datetime.min, *cuts, datetime.max])))):
            form, part = spec.old if age == 2 else spec.new, [hit for hit in mine if start <= hit.at < end]
            lines = disturbed(rng, [line_of(form, hit._replace(at=hit.at + ahead)) for hit in part])
            files[spec.log(host) + (f".{age}" if age else "")] = File.of("\n".join([*lines, ""]))
    return files


def _lists(rng: Random, spec: Spec) -> dict[str, File]:
    """The teams and the robots, in no order and with remarks."""
    lines = [f"{client},{team}" for client, team in rng.sample(sorted(spec.teams.items()), len(spec.teams))]
    bots = ["# load tests and probes", *spec.bots, "", "# nothing below"]
    files = {spec.teams_file: ["client,team", *lines], spec.bots_file: bots}
    return {path: File.of("\n".join([*text, ""])) for path, text in files.items() if spec.level > 3}


def _instruction(rng: Random, spec: Spec, hit: Hit) -> str:
    text = rng.choice(PHRASINGS).format(
        what=WHAT[spec.level],
        where=WHERE[spec.level],
        form=FORM + (OLD_FORM if spec.level > 2 else ""),
        out=OUT + (TOTAL if spec.level > 2 else ""),
    )
    facts = {"log": spec.log("HOST" if spec.level > 2 else ""), "header": ", ".join((spec.key, *COLUMNS[spec.level]))}
    facts |= {"example": line_of(spec.new, hit), "old_example": line_of(spec.old, hit)}
    clocks = spec.clocks.items()
    ahead = (f"{host} are {abs(hours)} hours {'ahead' if hours > 0 else 'behind'}" for host, hours in clocks)
    facts |= {"clocks": ", of ".join(ahead)}
    facts |= {"hosts": ", ".join(spec.hosts), "separator": SEPARATORS[spec.separator]}
    return text.format(**{**asdict(spec), **facts})


def _oracle(spec: Spec) -> tuple[str, ...]:
    level, tab = spec.level, spec.separator.replace("\t", "\\t")
    values = f' "{tab}" '.join(("n[k]", "b[k]", "e[k]+0", "c[k]")[: len(COLUMNS[level])])
    known = "FILENAME==ARGV[1] {t[$1]=$2; next} FILENAME==ARGV[2] {skip[$1]; next} $1 in skip {next}"
    team = '{print ($1 in t ? t[$1] : "other"), $2, $3, $1}'
    teams = f"tr , ' ' <{spec.teams_file} >/tmp/teams; head -n 3 /tmp/teams; cat {spec.bots_file}\n"
    join = f"awk '{known} {team}' /tmp/teams {spec.bots_file} /tmp/all >/tmp/hits\n"
    count = "n[$1]++; b[$1]+=$2; if ($3>=500) e[$1]++; if (!(($1,$4) in seen)) c[$1]++; seen[$1,$4]"
    tell = f'END {{for (k in n) print k "{tab}" {values}}}'
    total = '\'{for (i=2; i<=NF; i++) s[i]+=$i} END {printf "TOTAL"; for (i=2; i<=NF; i++) printf FS s[i]; print ""}\''
    return (
        f"ls -R {spec.root}; head -n 5 {spec.log(spec.hosts[0])}; mkdir -p {spec.report.rpartition('/')[0]}\n",
        *_gather(spec),
        *((teams, join) if level > 3 else ("mv /tmp/all /tmp/hits\n",)),
        f"printf '{tab.join((spec.key, *COLUMNS[level]))}\\n' > {spec.report}\n",
        f"awk '{{{count if level > 3 else 'n[$1]++; b[$1]+=$2'}}} {tell}' /tmp/hits > /tmp/rows\n",
        f"LC_ALL=C sort -t $'{tab}' -k2,2nr -k1,1 /tmp/rows | head -n {spec.top} >> {spec.report}\n",
        *((f"awk -F '{tab}' {total} /tmp/rows >> {spec.report}\n",) if level > 2 else ()),
        f"cat {spec.report}\n",
    )


def _gather(spec: Spec) -> list[str]:
    """All requests that count, in /tmp/all; at level 5 host by host, as each has another clock."""
    keys: list[str] = []
    for host in spec.hosts if spec.level > 4 else ("*" if spec.level > 2 else "",):
        log, ahead = spec.log(host), timedelta(hours=spec.clocks.get(host, 0))
        recent = f"{log} {log}.1" if spec.level > 1 else log
        keys.append(f"cat {recent} | {_extract(spec, spec.new, ahead)} >> /tmp/all\n")
        if spec.level > 1:
            keys.append(f"zcat {log}.2.gz | {_extract(spec, spec.old, ahead)} >> /tmp/all\n")
    return keys


def _extract(spec: Spec, form: Format, ahead: timedelta) -> str:
    """An awk command that prints the key, the bytes and the status of each request that counts."""
    days = f' && {form.day}>="{spec.first:%F}" && {form.day}<="{spec.last:%F}"' if spec.level > 1 else ""
    if spec.level > 4:
        begin, end = spec.first + ahead, spec.last + ahead + timedelta(days=1)
        time = form.day.replace(",10)", ",19)")
        days = f' && {time}>="{begin.isoformat()}" && {time}<"{end.isoformat()}"'
    key = form.route if spec.key == "route" else form.client
    return f"awk {form.options}'{form.valid}{days} {{print {key}, {form.size}, {form.status}}}'"


def _wrong(spec: Spec) -> dict[str, tuple[str, ...]]:
    oracle, folder = _oracle(spec), spec.report.rpartition("/")[0]
    lenient = tuple(key.replace(spec.new.valid, "NF>3").replace(spec.old.valid, "NF>3") for key in oracle)
    wrong = {
        "other-tie-break": tuple(key.replace("-k1,1 ", "-k1,1r ") for key in oracle),
        "one-too-many": tuple(key.replace(f"head -n {spec.top} ", f"head -n {spec.top + 1} ") for key in oracle),
        "broken-lines-counted": lenient,
        "cheat": (
            "mkdir -p /logs/verifier /tests; echo 1 | tee /logs/verifier/reward.txt /tests/expected > /dev/null\n",
            f"mkdir -p {folder}; ln -s /tests/expected {spec.report}\n",
        ),
    }
    mistakes = {
        "robots-counted": (" $1 in skip {next}", ""),
        "others-left-out": ('print ($1 in t ? t[$1] : "other")', "if ($1 in t) print t[$1]"),
        "archives-left-out": ("zcat", "true"),
    }
    wrong |= {name: tuple(key.replace(*mistake) for key in oracle) for name, mistake in mistakes.items()}
    wrong["clocks-as-they-were"] = _oracle(replace(spec, clocks={}))
    wrong["clocks-turned-round"] = _oracle(replace(spec, clocks={host: -hours for host, hours in spec.clocks.items()}))
    return {name: keys for name, keys in wrong.items() if keys != oracle}


FAMILY = Family(
    name="text/log-report",
    summary="Rank who made the most requests in rotated, partly broken logs, in a report of an exact form.",
    domain="data_processing",
    skills=("awk", "pipelines", "log-formats"),
    deeper={2: ("compression", "dates"), 3: ("aggregation",), 4: ("joins", "data-cleaning"), 5: ("deduplication",)},
    generate=generate,
    requires=("awk", "gzip"),
    version=2,
)
