"""Reports from logs: a pipeline of text tools over what servers wrote, into a file of an exact form.

The log's format, the question, and the report's form change with the seed. Level 1 is one file and one number
per line; level 2 adds rotated and gzipped parts, a day, a header and a second number; level 3 adds several
hosts, parts in an older format, a range of days and a closing total. Broken lines lie about at every level.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import NamedTuple

from termgym.family import Draft, Family
from termgym.task import Check, File, Limits

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_WORDS = (
    "cart", "login", "search", "basket", "export", "avatar", "invite", "report", "token", "stock",
    "quote", "parcel", "label", "ledger", "feed", "map",
)  # fmt: skip
_NAMES = (
    "anouk", "bela", "chidi", "dara", "emeka", "fenna", "goran", "hana", "imre", "jorn", "kavita",
    "liam", "mei", "noor", "otto", "pilar", "quirin", "rosa",
)  # fmt: skip
_REMARKS = (
    "--- log rotated ---",
    "# logger restarted",
    "",
    "    at worker.handle (line 118)",
    "OutOfFiles: retrying",
)
_HOSTS = ("ash", "birch", "cedar", "elm", "oak")
_SEPARATORS = {"\t": "a tab", ",": "a comma", ";": "a semicolon"}


class Hit(NamedTuple):
    """One request."""

    at: datetime
    client: str
    route: str
    status: int
    size: int | None
    """Bytes sent; None makes a line that must not count."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a log writes a request, and how awk reads it back."""

    fields: str
    render: Callable[[Hit], str]
    options: str
    valid: str
    day: str
    columns: dict[str, str]
    """awk expressions for client, route, status and size."""


def _apache(hit: Hit) -> str:
    stamp = f"{hit.at:%d}/{_MONTHS[hit.at.month - 1][:3]}/{hit.at:%Y:%H:%M:%S} +0000"
    return f'{hit.client} - - [{stamp}] "GET {hit.route} HTTP/1.1" {hit.status} {_size(hit, "-")}'


def _logfmt(hit: Hit) -> str:
    where = f"client={hit.client} route={hit.route}"
    return f"at={hit.at:%Y-%m-%dT%H:%M:%SZ} {where} status={hit.status} bytes={_size(hit, '-')}"


def _piped(hit: Hit) -> str:
    return f"{hit.at:%Y-%m-%d %H:%M:%S}|{hit.client}|GET|{hit.route}|{hit.status}|{_size(hit, '-')}"


def _json(hit: Hit) -> str:
    who = f'"time":"{hit.at:%Y-%m-%dT%H:%M:%SZ}","client":"{hit.client}","route":"{hit.route}"'
    return f'{{{who},"status":{hit.status},"bytes":{_size(hit, "null")}}}'


def _size(hit: Hit, missing: str) -> str:
    return missing if hit.size is None else str(hit.size)


def _columns(*expressions: str) -> dict[str, str]:
    return dict(zip(("client", "route", "status", "size"), expressions, strict=True))


_FORMATS = (
    Format("client, two dashes, time, method with route and protocol, status, bytes", _apache, "",
           "NF==10 && $10~/^[0-9]+$/", "substr($4,2,2)+0", _columns("$1", "$7", "$9", "$10")),
    Format("time, client, route, status, bytes", _logfmt, "-F'[ =]' ",
           "NF==10 && $10~/^[0-9]+$/", "substr($2,9,2)+0", _columns("$4", "$6", "$8", "$10")),
    Format("time, client, method, route, status, bytes", _piped, "-F'|' ",
           "NF==6 && $6~/^[0-9]+$/", "substr($1,9,2)+0", _columns("$2", "$4", "$5", "$6")),
    Format("time, client, route, status, bytes", _json, "-F'\"' ",
           "NF==17 && $17~/^:[0-9]+[}]$/", "substr($4,9,2)+0",
           _columns("$8", "$12", "substr($15,2)+0", "substr($17,2)+0")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spec:
    """What one task asks, and of which files."""

    level: int
    new: Format
    old: Format
    key: str
    metric: str
    """The column that ranks: "requests" or "bytes"."""
    errors_only: bool
    top: int
    backwards: bool
    """Ties stand in reverse alphabetical order."""
    first: datetime
    last: datetime
    separator: str
    root: str
    service: str
    hosts: tuple[str, ...]
    report: str

    def log(self, host: str) -> str:
        """The current log of a host."""
        return f"{self.root}/{host}/{self.service}.log" if host else f"{self.root}/{self.service}.log"

    def cuts(self) -> tuple[datetime, ...]:
        """When the logs were rotated: within the days asked for, so that every part matters."""
        if self.level == 1:
            return ()
        early, late = (8, 16) if self.level == 2 else (12, 12)
        return self.first + timedelta(hours=early), self.last + timedelta(hours=late)

    def wants(self, hit: Hit) -> bool:
        """Whether the request counts."""
        if self.level == 1:
            return hit.status >= 500 or not self.errors_only
        return self.first <= hit.at < self.last + timedelta(days=1)

    def header(self) -> list[str]:
        """The names of the columns."""
        errors = ["errors"] if self.level == 3 else []
        return [self.key, self.metric] if self.level == 1 else [self.key, "requests", *errors, "bytes"]


def generate(rng: Random, level: int) -> Draft:
    """One task."""
    spec = _spec(rng, level)
    hits = _hits(rng, spec)
    lines = _report(spec, hits)
    keys = _oracle(spec)
    return Draft(
        instruction=_instruction(rng, spec),
        checks=_checks(spec, lines),
        oracle=keys,
        wrong=_wrong(spec),
        files=_files(rng, spec, hits),
        setup="".join(f"gzip -n {spec.log(host)}.2\n" for host in spec.hosts if level > 1),
        tests={"expected": File.of("\n".join(lines) + "\n")},
        limits=Limits(turns=20 + 10 * level),
    )


def _spec(rng: Random, level: int) -> Spec:
    new, old = rng.sample(_FORMATS, 2)
    first = datetime(rng.randrange(2021, 2034), rng.randrange(1, 13), rng.randrange(3, 20))
    key = rng.choice(("client", "route"))
    folder, name = rng.choice(("", "out/", "reports/")), rng.choice(("top", "busiest", "summary", "usage"))
    return Spec(
        level, new, old if level == 3 else new, key,
        metric=rng.choice(("requests", "bytes")),
        errors_only=rng.random() < 0.5,
        top=rng.randrange(3, 6),
        backwards=rng.random() < 0.5,
        first=first,
        last=first + timedelta(days=rng.randrange(1, 4) if level == 3 else 0),
        separator=rng.choice(tuple(_SEPARATORS)),
        root=rng.choice(("/app/logs", "/app/var/log", "/app/incoming", "/app/data/www")),
        service=rng.choice(("gateway", "web", "api", "frontend", "edge")),
        hosts=tuple(rng.sample(_HOSTS, rng.randrange(2, 4))) if level == 3 else ("",),
        report=f"/app/{folder}{name}-{key}s.{rng.choice(('txt', 'report', 'dat'))}",
    )  # fmt: skip


def _hits(rng: Random, spec: Spec) -> list[tuple[str, Hit]]:
    """(host, request) of all requests that count or might; ranks `top` and the next are tied."""
    clients = [f"{name}{rng.randrange(10, 99)}" for name in rng.sample(_NAMES, 10)]
    routes = [f"/{word}/{rng.choice(_WORDS)}" for word in rng.sample(_WORDS, 10)]
    count = (0, 90, 260, 600)[spec.level]
    weights = [rng.randrange(2, 9) for _ in clients]
    hits = [
        (rng.choice(spec.hosts), Hit(_moment(rng, spec), client, route, status, rng.randrange(200, 60_000)))
        for client, route, status in zip(
            rng.choices(clients, weights, k=count),
            rng.choices(routes, weights, k=count),
            rng.choices((200, 204, 304, 404, 500, 502, 503), (8, 2, 2, 2, 3, 1, 1), k=count),
            strict=True,
        )
    ]
    ranked = sorted(_table(spec, hits).items(), key=lambda row: -row[1][spec.metric])
    leader = _sample(hits, spec, ranked[0][0])
    for host in spec.hosts:  # each part has something of the leader's, so leaving one out shows
        times = (spec.first + timedelta(hours=1), spec.first + timedelta(hours=13), spec.last + timedelta(hours=22))
        hits += [(host, leader._replace(at=at, size=rng.randrange(200, 9000))) for at in times]
    _tie(hits, spec, ranked[spec.top - 1], ranked[spec.top])
    return hits


def _moment(rng: Random, spec: Spec) -> datetime:
    span = (spec.last - spec.first).days + 2
    return spec.first - timedelta(days=1) + timedelta(seconds=rng.randrange((span + 1) * 86_400 - 3600))


def _sample(hits: list[tuple[str, Hit]], spec: Spec, key: str) -> Hit:
    return next(hit for _, hit in hits if getattr(hit, spec.key) == key and spec.wants(hit))


def _tie(
    hits: list[tuple[str, Hit]],
    spec: Spec,
    upper: tuple[str, dict[str, int]],
    lower: tuple[str, dict[str, int]],
) -> None:
    """Give the key just below the cut what it lacks to draw level with the one just above."""
    missing = upper[1][spec.metric] - lower[1][spec.metric]
    like = _sample(hits, spec, lower[0])
    if spec.metric == "requests":
        hits += [(spec.hosts[0], like)] * missing
    elif missing:
        hits.append((spec.hosts[0], like._replace(size=missing)))


def _table(spec: Spec, hits: list[tuple[str, Hit]]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for _, hit in hits:
        if hit.size is not None and spec.wants(hit):
            row = table.setdefault(getattr(hit, spec.key), {"requests": 0, "errors": 0, "bytes": 0})
            row["requests"] += 1
            row["errors"] += hit.status >= 500
            row["bytes"] += hit.size
    return table


def _report(spec: Spec, hits: list[tuple[str, Hit]]) -> list[str]:
    header = spec.header()
    table = _table(spec, hits)
    ranked = sorted(sorted(table, reverse=spec.backwards), key=lambda key: -table[key][spec.metric])
    rows = [header] if spec.level > 1 else []
    rows += [[key, *(str(table[key][name]) for name in header[1:])] for key in ranked[: spec.top]]
    if spec.level == 3:
        rows.append(["TOTAL", *(str(sum(row[name] for row in table.values())) for name in header[1:])])
    return [spec.separator.join(row) for row in rows]


def _files(rng: Random, spec: Spec, hits: list[tuple[str, Hit]]) -> dict[str, File]:
    files: dict[str, File] = {}
    for host in spec.hosts:
        mine = sorted(hit for name, hit in hits if name == host)
        bounds = [datetime.min, *spec.cuts(), datetime.max]
        for age, (start, end) in enumerate(reversed(list(pairwise(bounds)))):
            part = [hit for hit in mine if start <= hit.at < end]
            text = "".join(f"{line}\n" for line in _lines(rng, spec.old if age == 2 else spec.new, spec, part))
            files[spec.log(host) + (f".{age}" if age else "")] = File.of(text)
    return files


def _lines(rng: Random, form: Format, spec: Spec, hits: list[Hit]) -> list[str]:
    """The log's lines, broken ones and remarks among them."""
    lines = [form.render(hit) for hit in hits]
    for _ in range(2 + len(hits) // 12):
        line = form.render(rng.choice(hits))
        lines.insert(rng.randrange(len(lines)), line[: rng.randrange(len(line) // 4, len(line) * 2 // 3)])
        lines.insert(rng.randrange(len(lines)), rng.choice(_REMARKS))
        if spec.level > 1:
            lines.insert(rng.randrange(len(lines)), form.render(rng.choice(hits)._replace(size=None)))
    return lines


def _instruction(rng: Random, spec: Spec) -> str:
    where, form, what, out = _where(spec), _form(rng, spec), _question(spec), _layout(spec)
    return rng.choice((
        f"{what}\n\n{where}\n\n{form}\n\n{out}",
        f"We need a short report on the traffic of {spec.service}. {where}\n\n{form}\n\n{what}\n\n{out}",
        f"{where} Please make a report of that.\n\n{out}\n\nWhat it is about: {what}\n\n{form}",
        f"Write {spec.report}, a ranking made from logs. {what}\n\n{out}\n\nSources. {where}\n\n{form}",
        f"A colleague asks which {spec.key}s kept {spec.service} busy. {where} {what}\n\n{out}\n\n{form}",
    ))  # fmt: skip


def _where(spec: Spec) -> str:
    log = spec.log("HOST" if spec.level == 3 else "")
    if spec.level == 1:
        return f"The requests are logged in {log}."
    parts = f"{log}, {log}.1 and, compressed with gzip, {log}.2.gz"
    if spec.level == 2:
        return f"The log was rotated, so it is in three files: {parts}. All three count."
    hosts = f"{', '.join(spec.hosts[:-1])} and {spec.hosts[-1]}"
    return (
        f"There are {len(spec.hosts)} hosts, {hosts}, each with three log files, where HOST "
        f"is its name: {parts}. All count."
    )


def _form(rng: Random, spec: Spec) -> str:
    example = Hit(spec.first + timedelta(hours=9, seconds=rng.randrange(3600)), "wanda07", "/help/faq", 200, 5120)
    text = f"A request is one line of this form ({spec.new.fields}):\n\n    {spec.new.render(example)}"
    if spec.level == 3:
        text += (
            f"\n\nThe .gz files are older and have another form ({spec.old.fields}):\n\n    {spec.old.render(example)}"
        )
    broken = "lines that were cut off and remarks of the logger"
    if spec.level > 1:
        broken = f"{broken}, as well as lines without a number of bytes (a dash or null in its place)"
    return f"{text}\n\nOnly lines with all these fields count. There are others too, to be left out: {broken}."


def _question(spec: Spec) -> str:
    days = f"on {_date(spec.first)}"
    if spec.last > spec.first:
        days = f"from {_date(spec.first)} to {_date(spec.last)}, both days included"
    if spec.level == 1:
        which = "requests that failed (status 500 or above)" if spec.errors_only else "requests"
        what = f"how many {which} it has" if spec.metric == "requests" else f"the sum of the bytes of all {which}"
        return f"Find out for each {spec.key} {what}."
    errors = ", how many of those failed (status 500 or above)," if spec.level == 3 else ""
    return (
        f"Find out for each {spec.key} how many requests it has {days}{errors} and the sum of "
        "their bytes. Other days do not count."
    )


def _date(day: datetime) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _layout(spec: Spec) -> str:
    order = "reverse alphabetical" if spec.backwards else "alphabetical"
    failed = "failed " if spec.level == 1 and spec.errors_only else ""
    value = f"number of {failed}requests" if spec.metric == "requests" else "sum of bytes"
    header = spec.header()
    columns = f"the {spec.key} and its {value}" if spec.level == 1 else f"{', '.join(header[:-1])} and {header[-1]}"
    text = (
        f"{spec.report} (make its folder if there is none) is to list the {spec.top} "
        f"{spec.key}s with the largest "
        f"{value}, one per line, largest first. Equal ones stand in {order} order (plain byte order) of the "
        f"{spec.key}; that also decides who is in if there is a tie at the end of the list. "
        f"A line is {columns}, separated by {_SEPARATORS[spec.separator]}, without spaces."
    )
    if spec.level > 1:
        text += f" The first line of the file is a header with exactly these column names: {', '.join(header)}."
    if spec.level == 3:
        text += (
            f" After the list comes a last line with TOTAL in place of the {spec.key} and the "
            f"sums over all {spec.key}s, listed or not."
        )
    return text + " Nothing else is in the file."


def _oracle(
    spec: Spec, *, valid: bool = True, rotated: bool = True, backwards: bool | None = None, top: int = 0
) -> tuple[str, ...]:
    """The keystrokes; the arguments are the mistakes that can be made in them."""
    log = spec.log("*" if spec.level == 3 else "")
    look = f"ls -lR {spec.root}; head -n 5 {spec.log(spec.hosts[0])}\n"
    keys = [
        look,
        f"{_extract(spec, spec.new, valid)} {log}{f' {log}.1' if rotated and spec.level > 1 else ''} > /tmp/hits\n",
    ]
    if rotated and spec.level > 1:
        keys.append(f"zcat {log}.2.gz | {_extract(spec, spec.old, valid)} >> /tmp/hits\n")
    tab = spec.separator.replace("\t", "\\t")
    columns = {"requests": "n[k]", "errors": "e[k]+0", "bytes": "b[k]+0"}
    line = f' "{tab}" '.join(["k", *(columns[name] for name in spec.header()[1:])])
    rank = f"-t$'{tab}' -k{spec.header().index(spec.metric) + 1},{spec.header().index(spec.metric) + 1}nr"
    reverse = "r" if (spec.backwards if backwards is None else backwards) else ""
    sums = "n[$1]++; e[$1]+=($2>=500); b[$1]+=$3"
    rows = (
        f"awk '{{{sums}}} END {{for (k in n) print {line}}}' /tmp/hits | sort {rank} "
        f"-k1,1{reverse} | head -n {top or spec.top}"
    )
    keys.append(f"mkdir -p {spec.report.rpartition('/')[0]}\n")
    if spec.level > 1:
        keys.append(f"printf '{tab.join(spec.header())}\\n' > {spec.report}\n")
    keys.append(f"{rows} >> {spec.report}\n")
    if spec.level == 3:
        sums, total = "n++; e+=($2>=500); b+=$3", f' "{tab}" '.join(('"TOTAL"', "n", "e", "b"))
        keys.append(f"awk '{{{sums}}} END {{print {total}}}' /tmp/hits >> {spec.report}\n")
    return (*keys, f"cat {spec.report}\n")


def _extract(spec: Spec, form: Format, valid: bool) -> str:
    """An awk command that prints key, status and bytes of the requests that count."""
    tests = [form.valid] if valid else ["NF>3"]
    if spec.level > 1:
        tests.append(f"{form.day}>={spec.first.day} && {form.day}<={spec.last.day}")
    elif spec.errors_only:
        tests.append(f"{form.columns['status']}>=500")
    columns = ", ".join((form.columns[spec.key], form.columns["status"], form.columns["size"]))
    return f"awk {form.options}'{' && '.join(tests)} {{print {columns}}}'"


def _wrong(spec: Spec) -> dict[str, tuple[str, ...]]:
    forge = "mkdir -p /logs/verifier /tests; echo 1 | tee /logs/verifier/reward.txt /tests/expected > /dev/null\n"
    folder = spec.report.rpartition("/")[0]
    wrong = {
        "other-tie-break": _oracle(spec, backwards=not spec.backwards),
        "one-too-many": _oracle(spec, top=spec.top + 1),
        "raw-log": (f"mkdir -p {folder}; sort {spec.log(spec.hosts[0])} > {spec.report}\n",),
        "forged-reward": (forge, f"mkdir -p {folder}; ln -s /tests/expected {spec.report}\n"),
    }
    if spec.level > 1:
        wrong["broken-lines-counted"] = _oracle(spec, valid=False)
        wrong["current-log-only"] = _oracle(spec, rotated=False)
    return wrong


def _checks(spec: Spec, lines: list[str]) -> tuple[Check, ...]:
    """What is asked for, from its outline to its last byte; a file that is not plain fails them all."""
    cell = spec.separator.replace("\t", "\\t")
    shape = f"^[^{cell}[:space:]]+({cell}[0-9]+){{{len(spec.header()) - 1}}}$"
    data = "tail -n +2" if spec.level > 1 else "cat"
    open_file = f"""\
file={spec.report}
[ "$(realpath -e -- "$file")" = "$file" ] && [ -f "$file" ] || exit 1
[ "$(stat -c %s -- "$file")" -le 65536 ] || exit 1
got=$(tr -d '\\r' < "$file" | tr '\\0' '?')
want=$(cat /tests/expected)
"""
    form = f"""\
shape=$'{shape}'
[ "$(wc -l <<< "$got")" = {len(lines)} ] || exit 1
while read -r line; do [[ $line =~ $shape ]] || exit 1; done < <({data} <<< "$got")
"""
    keys = f"cut -d $'{cell}' -f 1 | LC_ALL=C sort"
    return (
        Check("form", open_file + form),
        Check("names", f'{open_file}[ "$({keys} <<< "$got")" = "$({keys} <<< "$want")" ]\n'),
        Check("numbers", f'{open_file}[ "$(LC_ALL=C sort <<< "$got")" = "$(LC_ALL=C sort <<< "$want")" ]\n', 2),
        Check("whole", f'{open_file}[ "$got" = "$want" ]\n', 2),
    )


FAMILY = Family(
    name="text/log-report",
    summary="Rank who made the most requests in rotated, partly broken logs, in a report of an exact form.",
    domain="data_processing",
    skills=("awk", "sort", "pipelines", "gzip", "log formats"),
    generate=generate,
    requires=("awk", "gzip"),
)
