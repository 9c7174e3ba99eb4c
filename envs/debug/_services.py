"""What services log about a request that passes through them, in the notations that they have for it."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import NamedTuple


class Event(NamedTuple):
    """A line of a log."""

    at: int
    """Milliseconds since 1970."""
    service: str
    failed: bool
    """Whether it is an error."""
    request: str
    text: str


class Form(NamedTuple):
    """How a service writes a line, and Python that reads it into milliseconds, level, request and text."""

    write: Callable[[Event], str]
    read: str


def stamp(at: int) -> str:
    """A time in UTC, with milliseconds."""
    return f"{datetime.fromtimestamp(at // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at % 1000:03}Z"


def _plain(event: Event) -> str:
    return f"{stamp(event.at)} {'ERROR' if event.failed else 'INFO '} [{event.request}] {event.text}"


def _pairs(event: Event) -> str:
    level = "error" if event.failed else "info"
    return f'ts={stamp(event.at)} level={level} msg="{event.text}" req={event.request}'


def _json(event: Event) -> str:
    level = "ERROR" if event.failed else "INFO"
    return json.dumps({"ms": event.at, "severity": level, "request": event.request, "text": event.text})


def _local(event: Event) -> str:
    local = datetime.fromtimestamp(event.at // 1000, timezone(timedelta(hours=2)))
    return (
        f"[{local:%Y-%m-%d %H:%M:%S}.{event.at % 1000:03} +0200] {'EI'[not event.failed]} {event.request} {event.text}"
    )


FORMS = (
    Form(_plain, r"""
    t, level, rid, text = re.match(r'(\S+) (\w+) +\[(\S+)\] (.*)', line).groups()
    return ms(t), level, rid, text"""),
    Form(_pairs, r"""
    t, level, text, rid = re.match(r'ts=(\S+) level=(\w+) msg="(.*)" req=(\S+)', line).groups()
    return ms(t), level.upper(), rid, text"""),
    Form(_json, r"""
    d = json.loads(line)
    return d['ms'], d['severity'], d['request'], d['text']"""),
    Form(_local, r"""
    t, level, rid, text = re.match(r'\[(.*)\] (\w) (\S+) (.*)', line).groups()
    return ms(t), {'E': 'ERROR', 'I': 'INFO'}[level], rid, text"""),
)  # fmt: skip
CAUSES = (
    "no free connection in the pool", "certificate is not trusted", "disk quota exceeded", "table is read-only",
    "timed out after 250 ms", "cannot parse reply", "address already in use", "key not found in keyring",
)  # fmt: skip


def lines_about(
    rng: Random, route: Sequence[str], at: int, request: str, broken: int, again: bool, user: str
) -> Iterator[Event]:
    """The lines about a request, which breaks at a service of its route unless that is 0, or is tried again."""
    for depth, service in enumerate(route[1:], 1):
        yield Event(at + depth * 7, service, False, request, f"accepted from {route[depth - 1]}")
    at += 100 + rng.randrange(200)
    if again:
        yield Event(at - 90, route[1], True, request, f"first try: {rng.choice(CAUSES)}")
    for depth in range(len(route) - 1, 0, -1):
        at += rng.randint(3, 20)
        if depth == broken:
            yield Event(at, route[depth], True, request, rng.choice(CAUSES))
        elif depth < broken:
            yield Event(at, route[depth], True, request, f"call to {route[depth + 1]} failed")
        else:
            yield Event(at, route[depth], False, request, f"answered in {rng.randint(1, 99)} ms")
    status = rng.choice((500, 502, 503)) if broken else rng.choice((200, 200, 201, 404))
    yield Event(at + 5, route[0], bool(broken), request, f"user={user} status={status}")
