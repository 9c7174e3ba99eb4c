"""A retention policy for a tree of logs: what is compressed, what goes, what stays, by dates in the names.

Level 2 has services with rules of their own and files that only look like logs, level 3 names with blanks and files
that a process still writes, level 4 links and folders on hold, level 5 a limit to how many logs a service may keep.
"""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from random import Random
from typing import Any

from termgym.checks import GONE, PLAIN, Entry, Link, Regular, entries, report
from termgym.family import Draft, Family
from termgym.lexicon import ADJECTIVES, SERVICES
from termgym.task import Check, File, Limits

ASKS = (
    "Clean up the logs below {root}. Today is {today}.\n\n{policy}\n{rules}\n\n{told}\n",
    "{root} holds the logs of our services, and is full. Take {today} for today.\n\n{policy}\n{rules}\n\n{told}\n",
    "{told}\n\nIt is to tell what you did to {root} by this policy, as of {today}:\n\n{policy}\n{rules}\n",
    "The disk with {root} needs room. This is our policy; count the days to {today}.\n\n{policy}\n{rules}\n\n{told}\n",
)
POLICY = (
    "- A log is a file below {root}/SERVICE called {form}, with or without .gz after it. Its age is the number of days"
    " from the day in its name to today."
)
RULES = {
    1: (
        "- Logs older than {zip} days are to be compressed, those older than {drop} days removed instead. Compressed"
        " means by gzip, as NAME.gz in place of NAME; what is .gz already stays as it is until it is removed."
    ),
    2: (
        "- {conf} has lines SERVICE ZIP DROP: for these services the ages are ZIP and DROP days. All that is not a log"
        " by its name is left alone."
    ),
    3: "- {opened} lists logs, one path per line, that are still written to. They stay as they are, at any age.",
    4: (
        "- So do the logs in a folder in which there is a file {hold} (its subfolders do not count). A symbolic link is"
        " no log; one that leads to a log which you compress or remove is to be removed, others stay."
    ),
    5: (
        "- If more than {most} logs of a service are left after that, the oldest of them are removed until it is"
        " {most}; of equal ages the first by its path (plain byte order). Those that stay as they are by the rules of"
        " {opened} and {hold} neither count nor go."
    ),
}
TOLD = (
    "Write {report}: a line ACTION PATH for each log that was compressed or removed, ACTION being zip or drop and PATH"
    " the path that it had, without {root}/, sorted by PATH (plain byte order)."
)
PROGRAM = """\
import gzip, os, re
from datetime import date
root, today, level = {root!r}, date.fromisoformat({today!r}), {level}
usual, rules = ({zip}, {drop}), {{}}
if level > 1:
    rules = {{s: (int(z), int(d)) for s, z, d in (line.split() for line in open({conf!r}) if line.strip())}}
opened = set(open({opened!r}).read().split("\\n")) if level > 2 else set()
pattern = re.compile({pattern!r})
actions, left, links = {{}}, {{}}, []
for folder, _, names in os.walk(root):
    held = level > 3 and {hold!r} in names
    for name in names:
        path, found = os.path.join(folder, name), pattern.fullmatch(name)
        if os.path.islink(path):
            links.append((path, os.path.realpath(path)))
        elif found and not held and path not in opened:
            service = path[len(root) + 1 :].split("/")[0]
            age = (today - date({year}, {month}, {day})).days
            zipped, dropped = rules.get(service, usual)
            if age > dropped:
                actions[path] = "drop"
                continue
            if age > zipped and not name.endswith(".gz"):
                actions[path] = "zip"
            left.setdefault(service, []).append((-age, path.encode(), path))
if level > 4:
    for service in left:
        for _, _, path in sorted(left[service])[: max(0, len(left[service]) - {most})]:
            actions[path] = "drop"
for path, action in actions.items():
    if action == "zip":
        with open(path, "rb") as old, gzip.open(path + ".gz", "wb") as new:
            new.write(old.read())
    os.remove(path)
for link, target in links:
    if target in actions:
        os.remove(link)
os.makedirs(os.path.dirname({report!r}), exist_ok=True)
with open({report!r}, "w") as file:
    for path in sorted(actions, key=str.encode):
        print(actions[path], path[len(root) + 1 :], file=file)
"""
PACKED = """\
packed() {
  plain "$2" 100000 && [ "$1" = "$(timeout 5 gzip -dc <"$2" 2>/dev/null | head -c 100000 | sha256sum | cut -c 1-64)" ]
}
"""
FORMS = (
    ("NAME-YYYY-MM-DD.log", "{name}-{day:%Y-%m-%d}.log", r"(.+)-(\d{4})-(\d\d)-(\d\d)\.log(\.gz)?", (2, 3, 4)),
    ("NAME.YYYYMMDD.log", "{name}.{day:%Y%m%d}.log", r"(.+)\.(\d{4})(\d\d)(\d\d)\.log(\.gz)?", (2, 3, 4)),
    ("DD.MM.YYYY NAME.log", "{day:%d.%m.%Y} {name}.log", r"(\d\d)\.(\d\d)\.(\d{4}) (.+)\.log(\.gz)?", (3, 2, 1)),
)
"""How it is told, as a template, as a pattern, and which groups of that are year, month and day."""


@dataclass(frozen=True, slots=True)
class Log:
    """A log, or what only looks like one (age None)."""

    path: str
    """Below the root."""
    age: int | None
    content: bytes
    kept: bool = False

    @property
    def service(self) -> str:
        """Whose it is."""
        return self.path.split("/")[0]


def generate(rng: Random, level: int) -> Draft:
    """A tree and its policy."""
    form, template, pattern, groups = rng.choice(FORMS[:2] if level < 3 else FORMS)
    today = date(rng.randint(2023, 2027), rng.randint(1, 12), rng.randint(1, 28))
    services = rng.sample(SERVICES, 3 + level // 2)
    first = rng.randint(5, 9)
    root = rng.choice(("/var/log/app", "/app/logs", "/srv/logs", "/app/archive"))
    folder = rng.choice(("/etc", "/app"))
    year, month, day = (f"int(found[{group}])" for group in groups)
    facts: dict[str, Any] = {
        "root": root, "form": form, "pattern": pattern, "year": year, "month": month, "day": day, "level": level,
        "today": today.isoformat(), "zip": first, "drop": first + rng.randint(20, 30), "most": rng.randint(4, 5),
        "conf": f"{folder}/retention.{rng.choice(('conf', 'txt'))}", "opened": f"{folder}/open-logs.txt",
        "hold": rng.choice((".hold", "HOLD", "KEEP")), "report": f"/app/{rng.choice(('cleanup', 'actions'))}.txt",
    }  # fmt: skip
    own = {service: (first + 8, first + 15) for service in services[1:3]} if level > 1 else {}
    ages = {service: own.get(service, (facts["zip"], facts["drop"])) for service in services}
    logs = list(_logs(rng, level, services, ages, today, template))
    actions = _actions(logs, ages, facts["most"] if level > 4 else 999)
    links = _links(logs, actions) if level > 3 else {}
    files = {f"{root}/{log.path}": File(log.content) for log in logs}
    files |= {f"{root}/{service}/old/{facts['hold']}": File(b"") for service in services[:1] if level > 3}
    files |= {facts["conf"]: File.of("".join(f"{name} {a} {b}\n" for name, (a, b) in own.items()))} if level > 1 else {}
    opened = [f"{root}/{log.path}" for log in logs if log.kept and "/old/" not in log.path]
    files |= {facts["opened"]: File.of("".join(f"{path}\n" for path in opened))} if level > 2 else {}
    program = PROGRAM.format(**facts)
    return Draft(
        instruction=rng.choice(ASKS).format(
            **facts,
            policy=POLICY.format(**facts),
            rules="\n".join(rule.format(**facts) for at, rule in RULES.items() if at <= level),
            told=TOLD.format(**facts),
        ),
        checks=tuple(_checks(root, logs, actions, links, facts["report"])),
        oracle=_oracle(program, facts, level),
        wrong={name: _oracle(text, facts, level) for name, text in _wrong(program, level).items()},
        files=files,
        setup="".join(f"ln -s '{target}' '{root}/{link}'\n" for link, target in links.items()),
        limits=Limits(turns=35),
    )


def _logs(
    rng: Random,
    level: int,
    services: Sequence[str],
    ages: Mapping[str, tuple[int, int]],
    today: date,
    template: str,
) -> Iterator[Log]:
    """Of every service some of each fate, at the very edge of it too."""
    for number, service in enumerate(services):
        zipped, dropped = ages[service]
        edges = [1, zipped, zipped + 1, dropped, dropped + 1, dropped + rng.randint(30, 900)]
        edges += [rng.randint(zipped + 1, dropped) for _ in range(level)]
        for at, age in enumerate(edges):
            packed = at in (3, 5) or (at, number) == (2, 2)
            name = rng.choice(("access", "error", "audit", *(["slow query", "job run"] if level > 2 else [])))
            below = "old/" if level > 3 and at in (4, 6) else ""
            path = f"{service}/{below}{template.format(name=f'{name}{at}', day=today - timedelta(days=age))}"
            text = f"{service} {name} {rng.choice(ADJECTIVES)} {age}\n".encode() * rng.randint(2, 9)
            kept = (level > 2 and number < 2 and at in (2, 5)) or (bool(below) and number == 0)
            yield Log(f"{path}.gz" if packed else path, age, gzip.compress(text, mtime=0) if packed else text, kept)
        if level > 1:
            day = template.format(name="x", day=today - timedelta(days=dropped + 40))
            yield Log(f"{service}/{day}.bak", None, b"a copy\n")
            yield Log(f"{service}/{service}.log", None, b"without a day\n")


def _actions(logs: Sequence[Log], ages: Mapping[str, tuple[int, int]], most: int) -> dict[str, str]:
    """Path -> what is done to it."""
    actions: dict[str, str] = {}
    left: dict[str, list[Log]] = {}
    for log in logs:
        if log.age is None or log.kept:
            continue
        zipped, dropped = ages[log.service]
        if log.age > dropped:
            actions[log.path] = "drop"
            continue
        left.setdefault(log.service, []).append(log)
        if log.age > zipped and not log.path.endswith(".gz"):
            actions[log.path] = "zip"
    for mine in left.values():
        mine.sort(key=lambda log: (-(log.age or 0), log.path.encode()))
        actions |= {log.path: "drop" for log in mine[: max(0, len(mine) - most)]}
    return actions


def _links(logs: Sequence[Log], actions: Mapping[str, str]) -> dict[str, str]:
    """A link to a log of each fate, beside it."""
    found: dict[str, str] = {}
    for fate in ("zip", "drop", None):
        log = next(log for log in logs if log.age is not None and actions.get(log.path) == fate)
        folder, _, name = log.path.rpartition("/")
        found[f"{folder}/{'latest' if fate is None else f'link-{fate}'}"] = name
    return found


def _checks(
    root: str, logs: Sequence[Log], actions: Mapping[str, str], links: Mapping[str, str], told: str
) -> Iterator[Check]:
    fates: dict[str, dict[str, Entry]] = {"removed": {}, "untouched": {}}
    packed = PLAIN + PACKED
    for log in logs:
        path, action = f"{root}/{log.path}", actions.get(log.path)
        if action is None:
            fates["untouched"][path] = Regular(log.content)
            continue
        fates["removed"][path] = GONE
        if action == "zip":
            packed += f"packed {sha256(log.content).hexdigest()} '{path}.gz' || exit 1\n"
        else:
            fates["removed"][f"{path}.gz" if not path.endswith(".gz") else path] = GONE
    yield entries("removed", fates["removed"], 2)
    # What nobody did anything to is as it should be: it counts only for who did something.
    done = f"[ ! -e '{next(path for path, entry in fates['removed'].items() if entry == GONE)}' ] || exit 1\n"
    stays = entries("untouched", fates["untouched"])
    yield Check("untouched", done + stays.script)
    yield Check("compressed", packed, 2)
    if links:
        paths = {name: f"{root}/{name}" for name in links}
        wanted = {paths[name]: Link(target) if name.endswith("latest") else GONE for name, target in links.items()}
        yield entries("links", wanted)
    lines = [f"{actions[path]} {path}" for path in sorted(actions, key=str.encode)]
    yield from report(told, "\n".join(lines))


def _wrong(program: str, level: int) -> dict[str, str]:
    mistakes = [
        (1, "one-day-early", "(today - date(", "1 + (today - date("),
        (1, "nothing-compressed", 'actions[path] = "zip"', "pass"),
        (1, "packed-twice", ' and not name.endswith(".gz")', ""),
        (1, "report-alone", "    os.remove(path)\n", "    pass\n"),
        (2, "same-rules-for-all", "rules.get(service, usual)", "usual"),
        (3, "open-ones-too", " and path not in opened", ""),
        (4, "holds-ignored", "not held and ", ""),
        (5, "no-limit", "if level > 4:", "if level > 5:"),
    ]
    return {name: program.replace(old, new) for at, name, old, new in mistakes if at <= level}


def _oracle(program: str, facts: Mapping[str, object], level: int) -> tuple[str, ...]:
    root = facts["root"]
    return (
        f"ls -R {root} | head -n 60\n",
        *((f"cat {facts['conf']}\n",) if level > 1 else ()),
        *((f"cat {facts['opened']}; find {root} -type l; find {root} -name '{facts['hold']}'\n",) if level > 2 else ()),
        f"cat > /tmp/cleanup.py <<'END'\n{program}END\n",
        "python3 /tmp/cleanup.py\n",
        f"find {root} -type f | sort | head -n 60\n",
        f"cat {facts['report']}\n",
    )


FAMILY = Family(
    name="admin/log-cleanup",
    summary="Apply a retention policy to a tree of logs: compress, remove, leave alone, and report.",
    domain="system_administration",
    skills=("log-rotation", "dates", "compression"),
    deeper={2: ("configuration-files",), 3: ("quoting",), 4: ("symlinks",), 5: ("disk-usage", "sorting")},
    generate=generate,
    requires=("python3", "gzip"),
)
