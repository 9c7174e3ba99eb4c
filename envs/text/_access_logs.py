"""What servers log of requests, in several forms, and how awk reads it back."""

from datetime import datetime
from random import Random
from typing import NamedTuple


class Format(NamedTuple):
    """How a log writes a request, and how awk reads it back."""

    line: str
    options: str
    valid: str
    day: str
    client: str
    route: str
    status: str
    size: str
    missing: str = "-"
    """Stands in place of the number of bytes."""


FORMATS = (
    Format('{client} - - [{at}+00:00] "GET {route} HTTP/1.1" {status} {size}',
           "", "NF==9 && $9~/^[0-9]+$/", "substr($4,2,10)", "$1", "$6", "$8", "$9"),
    Format("at={at}Z client={client} route={route} status={status} bytes={size}",
           "-F'[ =]' ", "NF==10 && $10~/^[0-9]+$/", "substr($2,1,10)", "$4", "$6", "$8", "$10"),
    Format("{at}|{client}|GET|{route}|{status}|{size}",
           "-F'|' ", "NF==6 && $6~/^[0-9]+$/", "substr($1,1,10)", "$2", "$4", "$5", "$6"),
    Format('{{"time":"{at}Z","client":"{client}","route":"{route}","status":{status},"bytes":{size}}}',
           "-F'\"' ", "NF==17 && $17~/^:[0-9]+[}]$/", "substr($4,1,10)", "$8", "$12", "substr($15,2)+0",
           "substr($17,2)+0", "null"),
)  # fmt: skip
REMARKS = ("--- log rotated ---", "# logger restarted", "", "    at worker.handle (line 118)", "OutOfFiles: retrying")


class Hit(NamedTuple):
    """One request."""

    at: datetime
    client: str
    route: str
    status: int
    size: int | None
    """Bytes sent; None makes a line that must not count."""


def line_of(form: Format, hit: Hit) -> str:
    fields = {**hit._asdict(), "at": hit.at.isoformat(), "size": form.missing if hit.size is None else hit.size}
    return form.line.format(**fields)


def disturbed(rng: Random, lines: list[str]) -> list[str]:
    """The lines, broken ones and remarks among them."""
    for _ in range(2 + len(lines) // 12):
        line = rng.choice([line for line in lines if len(line) > 40])
        lines.insert(rng.randrange(len(lines)), line[: rng.randrange(len(line) // 4, len(line) * 2 // 3)])
        lines.insert(rng.randrange(len(lines)), rng.choice(REMARKS))
    return lines
