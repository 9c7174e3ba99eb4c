"""Account files are to be changed by a list of requests: people come, go and change groups, by rules for numbers.

The files are copies in the form of passwd and group. Level 2 has leavers whose number stays taken, level 3 groups,
level 4 requests that cannot be granted and are reported, level 5 home folders that have to be made, moved or locked.
"""

from dataclasses import dataclass, field
from random import Random

from termgym.checks import GONE, Check, Entry, Folder, Regular, entries, report
from termgym.family import Draft, Family
from termgym.lexicon import FAMILY_NAMES, GIVEN, PLACES, TOPICS
from termgym.task import File, Limits

ASKS = (
    (
        "Apply the requests in {folder}/requests.txt to the account files {folder}/passwd and {folder}/group, in their"
        " order.\n\n{rules}\n"
    ),
    (
        "{folder}/passwd and {folder}/group are the accounts of a machine that is set up elsewhere. Work"
        " {folder}/requests.txt into them, line by line.\n\n{rules}\n"
    ),
    (
        "The account files in {folder} need some changes; they are listed in {folder}/requests.txt and come one after"
        " the other.\n\n{rules}\n"
    ),
    "Please work off {folder}/requests.txt on {folder}/passwd and {folder}/group.\n\n{rules}\n",
)
RULES = {
    1: (
        "- add NAME FULL NAME: a line at the end of passwd, NAME:x:UID:GID:FULL NAME:/users/NAME:/bin/bash. UID is the"
        " lowest number from {low} on that no line of passwd has; GID is the same, and group gets a line NAME:x:GID: at"
        " its end.\n- shell NAME SHELL: the last field becomes SHELL. Nothing else in the files changes, also not the"
        " order of lines."
    ),
    2: (
        "- remove NAME: the lines of NAME go from passwd and group, and NAME from all groups; the number counts as"
        " taken as long as {folder}/retired.txt lists it, and is added there, a number per line, at its end."
    ),
    3: (
        "- join NAME GROUP: NAME comes to the end of the members of GROUP (apart by commas), unless it is one. leave"
        " NAME GROUP: it goes from there."
    ),
    4: (
        "- A request about a NAME or a GROUP that is not there, or an add of a NAME that is, changes nothing;"
        " {folder}/refused.txt gets its line, as it is, in order. Lines that begin with # are no requests."
    ),
    5: (
        "- Below {folder}/home, add makes a folder NAME of mode 700 with an empty file .profile in it (mode 644), and"
        " remove renames that of NAME to NAME.gone, mode 0."
    ),
}
PROGRAM = """\
import os
folder, level = {folder!r}, {level}
def read(name):
    path = folder + "/" + name
    return open(path).read().splitlines() if os.path.exists(path) else []
passwd = [l.split(":") for l in read("passwd")]
group = [l.split(":") for l in read("group")]
retired, refused = read("retired.txt"), []
def find(rows, name):
    return next((r for r in rows if r[0] == name), None)
for line in read("requests.txt"):
    if not line.strip() or line.startswith("#"):
        continue
    what, name, *rest = line.split(" ", 2)
    rest = rest[0] if rest else ""
    row = find(passwd, name)
    target = find(group, rest) if what in ("join", "leave") else True
    if (row is None) != (what == "add") or not target:
        refused.append(line)
        continue
    if what == "add":
        taken = {{int(r[2]) for r in passwd}} | {{int(n) for n in retired}}
        uid = next(str(n) for n in range({low}, 99999) if n not in taken)
        passwd.append([name, "x", uid, uid, rest, "/users/" + name, "/bin/bash"])
        group.append([name, "x", uid, ""])
        if level > 4:
            os.mkdir(folder + "/home/" + name)
            open(folder + "/home/" + name + "/.profile", "w").close()
            os.chmod(folder + "/home/" + name + "/.profile", 0o644)
            os.chmod(folder + "/home/" + name, 0o700)
    if what == "shell":
        row[6] = rest
    if what == "remove":
        passwd.remove(row)
        group = [g for g in group if g[0] != name]
        retired.append(row[2])
        for g in group:
            g[3] = ",".join(m for m in g[3].split(",") if m != name)
        if level > 4:
            os.chmod(folder + "/home/" + name, 0)
            os.rename(folder + "/home/" + name, folder + "/home/" + name + ".gone")
    if what in ("join", "leave"):
        members = [m for m in target[3].split(",") if m and not (what == "leave" and m == name)]
        if what == "join" and name not in members:
            members.append(name)
        target[3] = ",".join(members)
def write(name, lines):
    open(folder + "/" + name, "w").write("".join(l + "\\n" for l in lines))
write("passwd", [":".join(r) for r in passwd])
write("group", [":".join(r) for r in group])
if level > 1:
    write("retired.txt", retired)
if level > 3:
    write("refused.txt", refused)
"""


@dataclass(slots=True)
class State:
    """The files as they become."""

    passwd: dict[str, list[str]]
    """Name -> number, full name, shell."""
    groups: dict[str, tuple[str, list[str]]]
    """Name -> number and members."""
    retired: list[str]
    refused: list[str] = field(default_factory=list[str])
    made: list[str] = field(default_factory=list[str])
    moved: list[str] = field(default_factory=list[str])

    def apply(self, line: str, low: int) -> None:
        """One request."""
        if line.startswith("#"):
            return
        what, name, rest = [*line.split(" ", 2), ""][:3]
        known = name in self.passwd
        if known == (what == "add") or (what in ("join", "leave") and rest not in self.groups):
            self.refused.append(line)
        elif what == "add":
            taken = {row[0] for row in self.passwd.values()} | set(self.retired)
            number = low
            while str(number) in taken:
                number += 1
            self.passwd[name] = [str(number), rest, "/bin/bash"]
            self.groups[name] = (str(number), [])
            self.made.append(name)
        elif what == "shell":
            self.passwd[name][2] = rest
        elif what == "remove":
            self.retired.append(self.passwd.pop(name)[0])
            self.groups.pop(name, None)
            for _, members in self.groups.values():
                if name in members:
                    members.remove(name)
            self.moved.append(name)
        elif what == "join" and name not in self.groups[rest][1]:
            self.groups[rest][1].append(name)
        elif what == "leave" and name in self.groups[rest][1]:
            self.groups[rest][1].remove(name)

    def files(self) -> dict[str, str]:
        """Passwd and group."""
        passwd = [f"{n}:x:{row[0]}:{row[0]}:{row[1]}:/users/{n}:{row[2]}\n" for n, row in self.passwd.items()]
        groups = [f"{n}:x:{number}:{','.join(members)}\n" for n, (number, members) in self.groups.items()]
        return {"passwd": "".join(passwd), "group": "".join(groups)}


def generate(rng: Random, level: int) -> Draft:
    """One machine's accounts."""
    folder, low = f"/app/{rng.choice(PLACES)}", rng.choice((1000, 2000, 5000, 10000))
    state, requests = _begin(rng, level, low)
    before = state.files() | {"requests.txt": "".join(f"{line}\n" for line in requests)}
    before |= {"retired.txt": "".join(f"{one}\n" for one in state.retired)} if level > 1 else {}
    people = list(state.passwd)
    for line in requests:
        state.apply(line, low)
    after = state.files()
    checks = [_named("passwd", check) for check in report(f"{folder}/passwd", after["passwd"])]
    checks += [_named("group", check) for check in report(f"{folder}/group", after["group"])]
    checks += (
        [_named("retired", report(f"{folder}/retired.txt", "".join(f"{one}\n" for one in state.retired))[2])]
        if level > 1
        else []
    )
    checks += (
        [_named("refused", report(f"{folder}/refused.txt", "".join(f"{one}\n" for one in state.refused))[2])]
        if level > 3
        else []
    )
    homes: dict[str, Entry] = {}
    for name in state.made if level > 4 else ():
        homes |= {f"{folder}/home/{name}": Folder("700"), f"{folder}/home/{name}/.profile": Regular(b"", "644")}
    for name in state.moved if level > 4 else ():
        homes[f"{folder}/home/{name}.gone"] = Folder("0")
        homes |= {f"{folder}/home/{name}": GONE} if name not in state.passwd else {}
    checks += [entries("homes", homes, 3)] if homes else []
    program = PROGRAM.format(folder=folder, level=level, low=low)
    wrong = {
        "highest-number": program.replace(
            f"for n in range({low}, 99999) if n not in taken)", "for n in [max(t for t in taken if t < 60000) + 1])"
        ),
        "retired-taken-again": program.replace(" | {int(n) for n in retired}", ""),
        "group-forgotten": program.replace('group.append([name, "x", uid, ""])', "pass"),
        "last-request-lost": program.replace('read("requests.txt")', 'read("requests.txt")[:-1]'),
        "refused-done": (
            program.replace("or not target:", "and not target:").replace('(row is None) != (what == "add")', "False")
        ),
    }
    for name, needed in {"retired-taken-again": 2, "refused-done": 4}.items():
        if level < needed:
            del wrong[name]
    wrong.pop("refused-done", None)
    homes_before = "".join(f"mkdir -p {folder}/home/{name}\n" for name in people if level > 4)
    return Draft(
        instruction=rng.choice(ASKS).format(
            folder=folder, rules="\n".join(RULES[one] for one in range(1, level + 1)).format(low=low, folder=folder)
        ),
        checks=tuple(checks),
        oracle=_oracle(program, folder),
        wrong={name: _oracle(text, folder) for name, text in wrong.items()},
        files={f"{folder}/{name}": File.of(text) for name, text in before.items()},
        setup=homes_before,
        limits=Limits(turns=40),
    )


def _named(prefix: str, check: Check) -> Check:
    return Check(f"{prefix}-{check.name}", check.script, check.weight)


def _begin(rng: Random, level: int, low: int) -> tuple[State, list[str]]:
    """Numbers with holes, of which a retired one fills the first; requests of every kind."""
    names = [
        f"{given[:1]}{family}".lower()
        for given, family in zip(rng.sample(GIVEN, 16), rng.sample(FAMILY_NAMES, 16), strict=True)
    ]
    known, new = names[: 5 + level], names[5 + level :]
    numbers = sorted(rng.sample(range(low + 2, low + 30), len(known)))
    passwd = {"root": ["0", "root", "/bin/bash"], "daemon": ["1", "daemon", "/usr/sbin/nologin"]}
    passwd |= {name: [str(number), _full(rng), "/bin/sh"] for name, number in zip(known, numbers, strict=True)}
    groups: dict[str, tuple[str, list[str]]] = {name: (row[0], list[str]()) for name, row in passwd.items()}
    teams = rng.sample(TOPICS, 2 + level // 2)
    groups |= {team: (str(low * 2 + 500 + number), sorted(rng.sample(known, 3))) for number, team in enumerate(teams)}
    state = State(passwd, groups, [str(low)] if level > 1 else [])
    requests = [f"add {name} {_full(rng)}" for name in new[:3]] + [f"shell {known[0]} /bin/zsh"]
    requests += [f"remove {known[1]}", f"add {new[3]} {_full(rng)}"] if level > 1 else []
    if level > 2:
        requests += [
            f"join {known[2]} {teams[0]}",
            f"join {new[0]} {teams[1]}",
            f"leave {groups[teams[0]][1][0]} {teams[0]}",
            f"join {new[1]} {teams[0]}",
        ]
        requests = [line for line in requests if line != f"leave {known[1]} {teams[0]}"]
    if level > 3:
        requests[2:2] = [f"# add {new[4]} Nobody", f"add {known[3]} Once Again", f"shell {new[5]} /bin/sh"]
        requests += [
            f"join {known[2]} nosuchteam",
            f"remove {known[3]}",
            f"shell {known[3]} /bin/zsh",
            f"add {known[3]} Back Again",
        ][: 2 + level - 2]
    return state, [*requests, f"shell {new[0]} /bin/dash"]


def _full(rng: Random) -> str:
    return f"{rng.choice(GIVEN)} {rng.choice(FAMILY_NAMES)}"


def _oracle(program: str, folder: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; head -n 20 *\n",
        f"cat > /tmp/accounts.py <<'END'\n{program}END\n",
        "python3 /tmp/accounts.py\n",
        "tail -n 5 passwd group; ls\n",
    )


FAMILY = Family(
    name="admin/accounts",
    summary="Work a list of requests into account files: people, numbers, groups and home folders.",
    domain="system_administration",
    skills=("users", "configuration-files"),
    deeper={2: ("state-tracking",), 4: ("validation",), 5: ("permissions",)},
    generate=generate,
    requires=("python3",),
)
