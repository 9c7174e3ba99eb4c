"""Reports from logs: a pipeline of text tools over what servers wrote, into a file of an exact form.

The log's format, the question and the report's form change with the seed. Level 1 is one file and one number per line;
level 2 adds rotated and gzipped parts, a day and a second number; level 3 adds several hosts, parts in an older format,
a range of days and a closing total. Broken lines lie about at every level.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import NamedTuple

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.task import Check, File, Limits


class Format(NamedTuple):
    """How a log writes a request, and how awk reads it back."""

    line: str
    options: str
    valid: str
    day: str
    client: str
    route: str
    size: str
    missing: str = "-"
    """Stands in place of the number of bytes."""


FORMATS = (
    Format('{client} - - [{at}+00:00] "GET {route} HTTP/1.1" {status} {size}',
           "", "NF==9 && $9~/^[0-9]+$/", "substr($4,2,10)", "$1", "$6", "$9"),
    Format("at={at}Z client={client} route={route} status={status} bytes={size}",
           "-F'[ =]' ", "NF==10 && $10~/^[0-9]+$/", "substr($2,1,10)", "$4", "$6", "$10"),
    Format("{at}|{client}|GET|{route}|{status}|{size}",
           "-F'|' ", "NF==6 && $6~/^[0-9]+$/", "substr($1,1,10)", "$2", "$4", "$6"),
    Format('{{"time":"{at}Z","client":"{client}","route":"{route}","status":{status},"bytes":{size}}}',
           "-F'\"' ", "NF==17 && $17~/^:[0-9]+[}]$/", "substr($4,1,10)", "$8", "$12", "substr($17,2)+0", "null"),
)  # fmt: skip
COLUMNS = {1: ("requests",), 2: ("requests", "bytes"), 3: ("requests", "bytes")}
SEPARATORS = {"\t": "a tab", ",": "a comma", ";": "a semicolon"}
CLIENTS = "anouk bela chidi dara emeka fenna goran hana imre jorn kavita liam mei noor otto pilar rosa".split()
ROUTES = "cart login search basket export avatar invite report token stock quote parcel label ledger feed map".split()
REMARKS = ("--- log rotated ---", "# logger restarted", "", "    at worker.handle (line 118)", "OutOfFiles: retrying")

PHRASINGS = (
    "{what}\n\n{where}\n\n{form}\n\n{out}\n",
    "We need a short report on the traffic of {{service}}. {where}\n\n{form}\n\n{what}\n\n{out}\n",
    "{where} Please make a report of that.\n\n{out}\n\nWhat it is about: {what}\n\n{form}\n",
    "A colleague asks which {{key}}s kept {{service}} busy. {where} {what}\n\n{out}\n\n{form}\n",
)
WHERE = {
    1: "The requests are logged in {log}.",
    2: "The log was rotated, so it is in three files, {log}, {log}.1 and, compressed, {log}.2.gz. All three count.",
    3: "The logs are those of the hosts {hosts}: {log} and {log}.1, and an older one, {log}.2.gz. All count.",
}
WHAT = {
    1: "Count the requests of each {key}.",
    2: "Find out how many requests each {key} has on {first:%F} (other days do not count), and their bytes' sum.",
    3: "Find out how many requests each {key} has from {first:%F} to {last:%F}, both included, and their bytes' sum.",
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


class Hit(NamedTuple):
    """One request."""

    at: datetime
    client: str
    route: str
    status: int
    size: int | None
    """Bytes sent; None makes a line that must not count."""


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

    def log(self, host: str) -> str:
        """The current log of a host."""
        return f"{self.root}/{host}/{self.service}.log".replace("//", "/")

    def wants(self, hit: Hit) -> bool:
        """Whether the request counts."""
        inside = self.first <= hit.at < self.last + timedelta(days=1)
        return inside or self.level == 1


Hits = list[tuple[str, Hit]]
"""Host and request."""


def generate(rng: Random, level: int) -> Draft:
    """One task."""
    spec = _spec(rng, level)
    hits = _hits(rng, spec)
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


def _spec(rng: Random, level: int) -> Spec:
    (new, old), key = rng.sample(FORMATS, 2), rng.choice(("client", "route"))
    first = datetime(2021, 1, 1) + timedelta(days=rng.randrange(4000))
    folder, name = rng.choice(("", "out/", "reports/")), rng.choice(("top", "busiest", "summary", "usage"))
    return Spec(
        level, new, old if level == 3 else new, key,
        top=rng.randrange(3, 6),
        first=first,
        last=first + timedelta(days=rng.randrange(1, 4) if level == 3 else 0),
        separator=rng.choice(tuple(SEPARATORS)),
        root=rng.choice(("/app/logs", "/app/var/log", "/app/incoming", "/app/data/www")),
        service=rng.choice(("gateway", "web", "api", "frontend", "edge")),
        hosts=tuple(rng.sample("ash birch cedar elm oak".split(), rng.randrange(2, 4))) if level == 3 else ("",),
        report=f"/app/{folder}{name}-{key}s.{rng.choice(('txt', 'report', 'dat'))}",
    )  # fmt: skip


def _hits(rng: Random, spec: Spec) -> Hits:
    """All requests that count or might; ranks `top` and the next are tied."""
    clients = [f"{name}{rng.randrange(10, 99)}" for name in rng.sample(CLIENTS, 10)]
    routes = [f"/{word}/{rng.choice(ROUTES)}" for word in rng.sample(ROUTES, 10)]
    seconds = ((spec.last - spec.first).days + 3) * 86_400 - 3600
    weights, hits = [rng.randrange(2, 9) for _ in clients], Hits()
    for _ in range((0, 90, 260, 600)[spec.level]):
        at = spec.first - timedelta(days=1) + timedelta(seconds=rng.randrange(seconds))
        (client,), (route,) = rng.choices(clients, weights), rng.choices(routes, weights)
        status = rng.choices((200, 204, 404, 500, 503), (8, 2, 2, 3, 1))[0]
        hits.append((rng.choice(spec.hosts), Hit(at, client, route, status, rng.randrange(200, 60_000))))
    table = _table(spec, hits)
    ranked = sorted(table, key=lambda key: -table[key][0])
    return [*hits, *_everywhere(rng, spec, hits, ranked[0]), *_tie(spec, hits, ranked[spec.top - 1 : spec.top + 1])]


def _everywhere(rng: Random, spec: Spec, hits: Hits, leader: str) -> Hits:
    """Something of the leader's, good and broken, for each part of each log, so that leaving one out shows."""
    like = next(hit for _, hit in hits if getattr(hit, spec.key) == leader)
    times = (spec.first + timedelta(hours=1), spec.first + timedelta(hours=13), spec.last + timedelta(hours=22))
    sizes = (rng.randrange(200, 9000), None)
    return [(host, like._replace(at=at, size=size)) for host in spec.hosts for at in times for size in sizes]


def _tie(spec: Spec, hits: Hits, ranked: list[str]) -> Hits:
    """What the key just below the cut lacks to draw level with the one just above."""
    table, (upper, lower) = _table(spec, hits), ranked
    like = next(one for one in hits if getattr(one[1], spec.key) == lower and spec.wants(one[1]))
    return [like] * (table[upper][0] - table[lower][0])


def _table(spec: Spec, hits: Hits) -> dict[str, tuple[int, int]]:
    """Key -> its number of requests and of bytes."""
    sizes: dict[str, list[int]] = {}
    for _, hit in hits:
        if hit.size is not None and spec.wants(hit):
            sizes.setdefault(getattr(hit, spec.key), []).append(hit.size)
    return {key: (len(all_), sum(all_)) for key, all_ in sizes.items()}


def _report(spec: Spec, hits: Hits) -> str:
    columns, table = COLUMNS[spec.level], _table(spec, hits)
    ranked = sorted(table, key=lambda key: (-table[key][0], key))[: spec.top]
    rows = [(spec.key, *columns), *((key, *table[key][: len(columns)]) for key in ranked)]
    if spec.level == 3:
        rows.append(("TOTAL", *(sum(column) for column in zip(*table.values(), strict=True))))
    return "".join(spec.separator.join(map(str, row)) + "\n" for row in rows)


def _files(rng: Random, spec: Spec, hits: Hits) -> dict[str, File]:
    """The logs, rotated within the days asked for, so that every part matters."""
    noon = timedelta(hours=12)
    cuts = [spec.first + noon, spec.last + noon + timedelta(hours=8)] if spec.level > 1 else []
    files: dict[str, File] = {}
    for host in spec.hosts:
        mine = sorted((hit for name, hit in hits if name == host), key=lambda hit: hit.at)
        for age, (start, end) in enumerate(reversed(list(pairwise([datetime.min, *cuts, datetime.max])))):
            form, part = spec.old if age == 2 else spec.new, [hit for hit in mine if start <= hit.at < end]
            lines = _disturbed(rng, [_line(form, hit) for hit in part])
            files[spec.log(host) + (f".{age}" if age else "")] = File.of("\n".join([*lines, ""]))
    return files


def _line(form: Format, hit: Hit) -> str:
    fields = {**hit._asdict(), "at": hit.at.isoformat(), "size": form.missing if hit.size is None else hit.size}
    return form.line.format(**fields)


def _disturbed(rng: Random, lines: list[str]) -> list[str]:
    """The lines, broken ones and remarks among them."""
    for _ in range(2 + len(lines) // 12):
        line = rng.choice([line for line in lines if len(line) > 40])
        lines.insert(rng.randrange(len(lines)), line[: rng.randrange(len(line) // 4, len(line) * 2 // 3)])
        lines.insert(rng.randrange(len(lines)), rng.choice(REMARKS))
    return lines


def _instruction(rng: Random, spec: Spec, hit: Hit) -> str:
    text = rng.choice(PHRASINGS).format(
        what=WHAT[spec.level],
        where=WHERE[spec.level],
        form=FORM + (OLD_FORM if spec.level == 3 else ""),
        out=OUT + (TOTAL if spec.level == 3 else ""),
    )
    facts = {"log": spec.log("HOST" if spec.level == 3 else ""), "header": ", ".join((spec.key, *COLUMNS[spec.level]))}
    facts |= {"example": _line(spec.new, hit), "old_example": _line(spec.old, hit)}
    facts |= {"hosts": ", ".join(spec.hosts), "separator": SEPARATORS[spec.separator]}
    return text.format(**{**asdict(spec), **facts})


def _oracle(spec: Spec) -> tuple[str, ...]:
    log = spec.log("*" if spec.level == 3 else "")
    tab = spec.separator.replace("\t", "\\t")
    values = f' "{tab}" '.join(("n[k]", "b[k]")[: spec.level])
    keys = [
        f"ls -lR {spec.root}; head -n 5 {spec.log(spec.hosts[0])}; mkdir -p {spec.report.rpartition('/')[0]}\n",
        f"cat {log}{f' {log}.1' if spec.level > 1 else ''} | {_extract(spec, spec.new)} > /tmp/hits\n",
        f"zcat {log}.2.gz | {_extract(spec, spec.old)} >> /tmp/hits\n",
        f"printf '{tab.join((spec.key, *COLUMNS[spec.level]))}\\n' > {spec.report}\n",
        f"awk '{{n[$1]++; b[$1]+=$2}} END {{for (k in n) print k \"{tab}\" {values}}}' /tmp/hits > /tmp/rows\n",
        f"LC_ALL=C sort -t $'{tab}' -k2,2nr -k1,1 /tmp/rows | head -n {spec.top} >> {spec.report}\n",
        f'awk \'{{b+=$2}} END {{OFS="{tab}"; print "TOTAL", NR, b}}\' /tmp/hits >> {spec.report}\n',
        f"cat {spec.report}\n",
    ]
    unneeded = {1: ("zcat", "TOTAL"), 2: ("TOTAL",), 3: ()}[spec.level]
    return tuple(key for key in keys if not any(word in key for word in unneeded))


def _extract(spec: Spec, form: Format) -> str:
    """An awk command that prints the key and the bytes of each request that counts."""
    days = f' && {form.day}>="{spec.first:%F}" && {form.day}<="{spec.last:%F}"' if spec.level > 1 else ""
    return f"awk {form.options}'{form.valid}{days} {{print {getattr(form, spec.key)}, {form.size}}}'"


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
    if spec.level > 1:
        wrong["archives-left-out"] = tuple(key for key in oracle if "zcat" not in key)
    return wrong


FAMILY = Family(
    name="text/log-report",
    summary="Rank who made the most requests in rotated, partly broken logs, in a report of an exact form.",
    domain="data_processing",
    skills=("awk", "sorting", "log-formats"),
    generate=generate,
    deeper={2: ("compression",), 3: ("file-trees",)},
    levels=3,
    requires=("awk", "gzip"),
)
