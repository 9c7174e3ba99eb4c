"""Log-in records of several machines: who tried passwords, where it worked, and where the intruder went from there.

Level 2 has slow attempts that no short window shows, level 3 addresses that may, level 4 steps from machine to
machine, level 5 two intruders, and accounts that were made. Failures of people who mistyped stand beside all that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from termgym.checks import Check, report
from termgym.family import Draft, Family
from termgym.lexicon import GIVEN, HOSTS, PLACES
from termgym.task import File, Limits

ASKS = (
    "Somebody broke into our machines. {form}\n\n{questions}\n",
    "{form} Find the break-in in the logs below {folder}.\n\n{questions}\n",
    "The log-in records in {folder} have to be examined. {form}\n\n{questions}\n",
    "Examine {folder} for break-ins. {form}\n\n{questions}\n",
)
FORM = (
    "{folder}/HOST.log has the log-ins of HOST, in order of time: TIME fail|ok USER from ADDRESS, TIME as"
    " YYYY-MM-DDTHH:MM:SS; other lines do not matter{made}.{known}"
)
MADE = ", but for TIME new-account NAME by USER"
KNOWN = " Addresses in {folder}/trusted.txt are our own: what comes from there is no attack."
QUESTIONS = {
    "attackers": (
        "- {out}/attackers.txt: below a line attackers, the addresses with {n} or more failures within {window} minutes"
        " (from a failure up to and including that many minutes later), all machines together; sorted as text."
    ),
    "total": " Also those with {total} or more failures in all.",
    "breaches": (
        "- {out}/breaches.txt: below a line breaches, a line TIME HOST USER ADDRESS for the first log-in that worked of"
        " each attacker on each machine, sorted by time; only log-ins after the attacker's first failure count."
    ),
    "moves": (
        "- {out}/moves.txt: below a line moves, a line TIME FROM TO USER for each log-in that worked on TO from the"
        " address of another of our machines ({folder}/hosts.txt: HOST ADDRESS), FROM, after an attacker or such a move"
        " had come to FROM; sorted by time."
    ),
    "accounts": (
        "- {out}/accounts.txt: below a line accounts, the accounts that were made on a machine after an attacker or"
        " such a move had come to it, each as HOST NAME, sorted as text."
    ),
}
PROGRAM = """\
import os
from datetime import datetime, timedelta
level, folder = {level}, {folder!r}
events = []
for file in os.listdir(folder):
    if file.endswith(".log"):
        for line in open(folder + "/" + file):
            p = line.split()
            if len(p) == 5 and p[1] in ("ok", "fail") and p[3] == "from":
                events.append((p[0], file[:-4], p[1], p[2], p[4]))
            elif len(p) == 5 and p[1] == "new-account":
                events.append((p[0], file[:-4], "new", p[2], ""))
events.sort()
trusted = open(folder + "/trusted.txt").read().split() if level > 2 else []
hosts = {{a: h for h, a in (line.split() for line in open(folder + "/hosts.txt"))}} if level > 3 else {{}}
fails = {{}}
for t, host, kind, user, addr in events:
    if kind == "fail" and addr not in trusted:
        fails.setdefault(addr, []).append(datetime.fromisoformat(t))
attackers = set()
for addr, times in fails.items():
    for i, t in enumerate(times):
        if sum(t <= u <= t + timedelta(minutes={window}) for u in times) >= {n}:
            attackers.add(addr)
    if level > 1 and len(times) >= {total}:
        attackers.add(addr)
os.makedirs({out!r}, exist_ok=True)
def write(name, lines):
    open({out!r} + "/" + name + ".txt", "w").write("".join(l + "\\n" for l in [name] + lines))
write("attackers", sorted(attackers))
breaches, seen, fallen, moves, accounts = [], set(), set(), [], set()
for t, host, kind, user, addr in events:
    if kind == "ok" and addr in attackers and datetime.fromisoformat(t) > fails[addr][0]:
        fallen.add(host)
        if (addr, host) not in seen:
            seen.add((addr, host))
            breaches.append(" ".join([t, host, user, addr]))
    elif kind == "ok" and hosts.get(addr) in fallen and hosts[addr] != host:
        moves.append(" ".join([t, hosts[addr], host, user]))
        fallen.add(host)
    elif kind == "new" and host in fallen:
        accounts.add(host + " " + user)
write("breaches", breaches)
if level > 3:
    write("moves", moves)
if level > 4:
    write("accounts", sorted(accounts))
"""


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a log."""

    at: datetime
    host: str
    kind: str
    user: str
    address: str = ""

    def text(self) -> str:
        """As the log has it."""
        time = f"{self.at:%Y-%m-%dT%H:%M:%S}"
        if self.kind == "new-account":
            return f"{time} new-account {self.user} by root"
        return (
            f"{time} {self.kind} {self.user} from {self.address}" if self.address else f"{time} {self.kind} {self.user}"
        )


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, and the answers, each below its heading."""

    events: Sequence[Event]
    answers: Mapping[str, Sequence[str]]
    trusted: Sequence[str]
    hosts: Mapping[str, str]


def generate(rng: Random, level: int) -> Draft:
    """One break-in."""
    folder, out = f"/app/{rng.choice(PLACES)}", f"/app/{rng.choice(('findings', 'report', 'break-in'))}"
    n, window, total = rng.randint(5, 7), rng.randint(5, 10), rng.randint(12, 15)
    story = _story(rng, level, n, window, total)
    fields = {"folder": folder, "out": out, "n": n, "window": window, "total": total, "level": level}
    asked = [QUESTIONS["attackers"] + (QUESTIONS["total"] if level > 1 else ""), QUESTIONS["breaches"]]
    asked += [QUESTIONS["moves"]] * (level > 3) + [QUESTIONS["accounts"]] * (level > 4)
    form = FORM.format(
        folder=folder, made=MADE if level > 4 else "", known=KNOWN.format(folder=folder) if level > 2 else ""
    )
    names = ["attackers", "breaches", *(["moves"] if level > 3 else []), *(["accounts"] if level > 4 else [])]
    program = PROGRAM.format(**fields)
    wrong = {
        "all-failures": program.replace(f">= {n}:", ">= 1:"),
        "every-log-in": program.replace("if (addr, host) not in seen:", "if True:"),
        "no-window": program.replace(f"minutes={window}", "minutes=99999"),
        "trusted-too": program.replace("level > 2", "level > 9"),
        "fast-only": program.replace("level > 1 and", "level > 9 and"),
        "breaches-only": program.replace("hosts.get(addr) in fallen", "False"),
    }
    for name, needed in {"fast-only": 2, "trusted-too": 3, "breaches-only": 4}.items():
        if level < needed:
            del wrong[name]
    files = {f"{host}.log": "" for host in story.hosts}
    for event in sorted(story.events, key=lambda event: event.at):
        files[f"{event.host}.log"] += event.text() + "\n"
    files |= {"trusted.txt": "".join(f"{one}\n" for one in story.trusted)} if level > 2 else {}
    files |= {"hosts.txt": "".join(f"{host} {address}\n" for host, address in story.hosts.items())} if level > 3 else {}
    checks = [
        Check(f"{name}-{check.name}", check.script, check.weight)
        for name in names
        for check in report(f"{out}/{name}.txt", "\n".join([name, *story.answers[name]]))
    ]
    return Draft(
        instruction=rng.choice(ASKS).format(
            folder=folder, form=form, questions="\n".join(one.format(**fields) for one in asked)
        ),
        checks=tuple(checks),
        oracle=_oracle(program, folder, out),
        wrong={name: _oracle(text, folder, out) for name, text in wrong.items()},
        files={f"{folder}/{name}": File.of(text) for name, text in files.items()},
        limits=Limits(turns=30),
    )


def _address(rng: Random, first: int) -> str:
    return f"{first}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"


def _story(rng: Random, level: int, n: int, window: int, total: int) -> Story:
    """Every time is one second of its own, so that no order is left open."""
    start = datetime(rng.randint(2019, 2025), rng.randint(1, 12), rng.randint(1, 26), 6)
    hosts = {
        host: f"10.0.{number}.{rng.randint(2, 250)}" for number, host in enumerate(rng.sample(HOSTS, 3 + level // 2))
    }
    names, users = list(hosts), [name.lower() for name in rng.sample(GIVEN, 8)]
    events: list[Event] = []
    answers: dict[str, list[str]] = {name: [] for name in QUESTIONS if name != "total"}
    trusted = [_address(rng, 192) for _ in range(2)]
    fast = [_address(rng, 45) for _ in range(1 + (level > 4))]
    slow = _address(rng, 103)
    t = start

    def at(minutes: float) -> datetime:
        nonlocal t
        t += timedelta(seconds=max(1, round(60 * minutes)))
        return t

    for number, attacker in enumerate(fast):
        victim = names[number]
        events += [
            Event(at(window / (n + 3)), rng.choice(names), "fail", rng.choice(users), attacker) for _ in range(n + 2)
        ]
        user = users[number]
        events.append(Event(at(0.5), victim, "ok", user, attacker))
        answers["breaches"].append(_line(events[-1], victim, user, attacker))
        events.append(Event(at(3), victim, "ok", user, attacker))
        answers["attackers"].append(attacker)
        if level > 3:
            _spread(rng, events, answers, hosts, victim, names[-1 - number], user, at, level)
    # one too few for the window
    events += [Event(at(0.2), names[0], "fail", users[5], _fixed(users[5])) for _ in range(n - 1)]
    events.append(Event(at(0.3), names[0], "ok", users[5], _fixed(users[5])))
    # enough, but too far apart
    events += [Event(at(window * 0.9), names[1], "fail", users[6], _fixed(users[6])) for _ in range(n + 1)]
    events += [Event(at(window * 0.8), names[2], "fail", users[7], slow) for _ in range(total if level > 1 else 0)]
    if level > 1:
        events.append(Event(at(window), names[2], "ok", users[7], slow))
        answers["breaches"].append(_line(events[-1], names[2], users[7], slow))
        answers["attackers"].append(slow)
    events += [Event(at(0.1), names[0], "fail", "scanner", trusted[0]) for _ in range(n + 3 if level > 2 else 0)]
    events += [Event(at(2), rng.choice(names), "ok", rng.choice(users), _address(rng, 172)) for _ in range(10)]
    events += [Event(at(1), rng.choice(names), word, rng.choice(users)) for word in ("disconnect", "session", "reload")]
    early = Event(start - timedelta(hours=1), names[1], "ok", users[2], fast[0])  # before it attacked
    return Story(
        [*events, early],
        {name: sorted(found) if name in ("attackers", "accounts") else found for name, found in answers.items()},
        trusted,
        hosts,
    )


def _line(event: Event, *words: str) -> str:
    return " ".join([f"{event.at:%Y-%m-%dT%H:%M:%S}", *words])


def _fixed(user: str) -> str:
    """The address of a person."""
    return f"172.16.{len(user)}.{ord(user[0])}"


def _spread(
    rng: Random,
    events: list[Event],
    answers: dict[str, list[str]],
    hosts: Mapping[str, str],
    victim: str,
    other: str,
    user: str,
    at: Callable[[float], datetime],
    level: int,
) -> None:
    """From the victim to another machine; before, somebody went there from a machine that was still sound."""
    if other == victim:
        return
    events.append(Event(at(1), other, "ok", user, hosts[victim]))
    answers["moves"].append(_line(events[-1], victim, other, user))
    if level > 4:
        name = f"svc{rng.randint(10, 99)}"
        events.append(Event(at(1), other, "new-account", name))
        answers["accounts"].append(f"{other} {name}")


def _oracle(program: str, folder: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; wc -l *; head -n 4 *\n",
        "cat *.log | grep ' fail ' | sed 's/.* from //' | sort | uniq -c | sort -rn | head -n 5\n",
        f"cat > /tmp/trace.py <<'END'\n{program}END\n",
        "python3 /tmp/trace.py\n",
        f"head -n 6 {out}/*\n",
    )


FAMILY = Family(
    name="security/auth-log",
    summary="Find in the log-ins of several machines who broke in, where, and where they went from there.",
    domain="security",
    skills=("forensics", "log-analysis", "intrusion-detection"),
    deeper={3: ("networking",), 4: ("graph-search",), 5: ("access-control",)},
    generate=generate,
    requires=("python3",),
)
