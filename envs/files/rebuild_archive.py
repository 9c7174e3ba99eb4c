"""A set of archives, newer over older, is to be laid out as it was at a given day, and packed anew in a given form.

Level 2 has names with blanks and dashes, level 3 lists of files that were deleted, level 4 two kinds of archive, level
5 a damaged archive that is to be left out, and a list of checksums.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from termgym.checks import GONE, PLAIN, Entry, Regular, entries, report
from termgym.family import Draft, Family
from termgym.lexicon import ADJECTIVES, ITEMS, PLACES, SERVICES, token
from termgym.task import Check, File, Limits

ASKS = (
    "Restore what {service} had on {day} from the backups in {folder}, into {out}.\n\n{rules}\n",
    "{folder} has backups of {service}. Lay out its files as of {day} in {out}.\n\n{rules}\n",
    (
        "The files of {service} are lost; {folder} has the backups. They are wanted back as they were on {day}, in"
        " {out}.\n\n{rules}\n"
    ),
    "{out} is to hold the files of {service} as of {day}, from the backups in {folder}.\n\n{rules}\n",
)
RULES = {
    1: (
        "- The backups are called full-DATE.tar.gz (everything) and part-DATE.tar.gz (what was new or changed since the"
        " one before). What counts is the last full one up to that day, with all later parts up to and including that"
        " day over it, by date."
    ),
    3: (
        "- part-DATE.gone has the paths that were deleted by then, one per line; that holds before the part of that"
        " date is laid over."
    ),
    4: "- Some are part-DATE.tar.xz or full-DATE.tar.xz instead, which means the same.",
    5: (
        "- Archives that gzip or xz find damaged (-t) are left out, as if they did not exist; so is the .gone of such a"
        " part."
    ),
}
PACK = (
    "- Then pack {out} into {packed}: a gzip-compressed tar archive with the same paths, relative and without a leading"
    " ./ (folders need not be in it)."
)
SUMS = "- Write {sums}: a line of each file's SHA-256, two blanks and its path below {out}, sorted by path (LC_ALL=C)."
TAR = """\
plain {packed} 8000000 || exit 1
[ "$(timeout 10 tar -tzf {packed} 2>/dev/null | grep -v '/$' | LC_ALL=C sort)" = "$(cat expected-paths)" ] || exit 1
mkdir -p /tests/out
timeout 10 tar -xzf {packed} -C /tests/out --no-same-owner --no-same-permissions 2>/dev/null || exit 1
[ -z "$(find /tests/out ! -type f ! -type d -print -quit)" ] || exit 1
cd /tests/out && sha256sum --quiet --strict -c /tests/expected-sums >/dev/null 2>&1
"""


@dataclass(frozen=True, slots=True)
class Backup:
    """One archive: whether it is a full one, its files, what was deleted, and how it is packed."""

    day: str
    full: bool
    files: Mapping[str, str]
    gone: Sequence[str] = ()
    kind: str = "gz"
    damaged: bool = False

    @property
    def name(self) -> str:
        """Of the archive."""
        return f"{'full' if self.full else 'part'}-{self.day}.tar.{self.kind}"


def generate(rng: Random, level: int) -> Draft:
    """Two full backups and some parts; some are later than the day."""
    service = rng.choice(SERVICES)
    folder, out = (
        f"/var/{rng.choice(('backups', 'safe', 'vault'))}/{service}",
        f"/app/{rng.choice(('restored', 'tree', 'back'))}",
    )
    packed, sums = f"/app/{service}.tgz", f"/app/{service}.sums"
    backups, day = _backups(rng, level)
    state, ever = _state(backups, day), {path for backup in backups for path in backup.files}
    wanted: dict[str, Entry] = {f"{out}/{path}": Regular(text.encode()) for path, text in state.items()}
    stale: dict[str, Entry] = {f"{out}/{path}": GONE for path in sorted(ever - state.keys())}
    changed = [path for path, _ in state.items() if sum(path in backup.files for backup in backups) > 1]
    listed = sorted(state, key=str.encode)
    lines = [f"{sha256(state[path].encode()).hexdigest()}  {path}" for path in listed]
    rules = [RULES[one] for one in RULES if one <= level] + [PACK.format(out=out, packed=packed)]
    rules += [SUMS.format(sums=sums, out=out)] if level > 4 else []
    oracle = _oracle(folder, out, packed, sums, day, level)
    some = {f"{out}/{changed[0]}": wanted[f"{out}/{changed[0]}"]}
    return Draft(
        instruction=rng.choice(ASKS).format(service=service, day=day, folder=folder, out=out, rules="\n".join(rules)),
        checks=(
            entries("files", wanted, 2),
            entries("newest", {f"{out}/{path}": wanted[f"{out}/{path}"] for path in changed}, 1),
            entries("nothing-else", stale | some, 1),
            Check("packed", PLAIN + TAR.format(packed=packed), 2),
            *([Check("sums", report(sums, "\n".join(lines))[2].script)] if level > 4 else []),
        ),
        oracle=oracle,
        wrong=_wrong(oracle, folder, out, day, level),
        tests={"expected-paths": File.of("\n".join([*listed, ""])), "expected-sums": File.of("\n".join([*lines, ""]))},
        setup=_setup(backups, folder),
        limits=Limits(turns=40),
    )


def _backups(rng: Random, level: int) -> tuple[list[Backup], str]:
    month = f"20{rng.randint(19, 25)}-{rng.randint(1, 12):02}"
    days = [f"{month}-{day:02}" for day in sorted(rng.sample(range(2, 29), 6 + level // 2))]
    names = [_path(rng, level, number) for number in range(8 + 2 * level)]
    kinds = ["xz" if level > 3 and number % 2 else "gz" for number in range(len(days))]
    backups = [Backup(days[0], True, {path: _text(rng) for path in names[:-2]}, kind=kinds[0])]
    for number, day in enumerate(days[1:], 1):
        if number == 2:  # the full one that counts
            files = {path: _text(rng) for path in names[1:-1]}
            backups.append(Backup(day, True, files, kind=kinds[number]))
            continue
        files = {path: _text(rng) for path in rng.sample(names[2:], 3)} | (
            {names[3]: _text(rng)} if number == 3 else {}
        )
        gone = [names[1 + number]] if level > 2 and number in (3, 4) else []
        files = {path: text for path, text in files.items() if path not in gone or number == 4}
        backups.append(Backup(day, False, files, gone, kinds[number], damaged=level > 4 and number == 4))
    return backups, days[-2]


def _path(rng: Random, level: int, number: int) -> str:
    joint = rng.choice((" ", " - ", "'")) if level > 1 and number % 2 else "-"
    name = f"{rng.choice(ADJECTIVES)}{joint}{rng.choice(ITEMS)}{number}.{rng.choice(('txt', 'conf'))}"
    return f"{rng.choice(PLACES[:4])}/{name}" if number % 3 else name


def _text(rng: Random) -> str:
    return "".join(f"{token(rng, 10)}\n" for _ in range(rng.randint(2, 5)))


def _state(backups: Sequence[Backup], day: str) -> dict[str, str]:
    usable = [backup for backup in backups if backup.day <= day and not backup.damaged]
    start = max(number for number, backup in enumerate(usable) if backup.full)
    state = dict(usable[start].files)
    for backup in usable[start + 1 :]:
        state = {path: text for path, text in state.items() if path not in backup.gone} | dict(backup.files)
    return state


def _setup(backups: Sequence[Backup], folder: str) -> str:
    """Made in the sandbox, with fixed times, so that archives are the same in every episode."""
    lines = ["set -e", f"mkdir -p {folder}"]
    for backup in backups:
        lines.append("rm -rf /tmp/pack; mkdir /tmp/pack; cd /tmp/pack")
        for path, text in backup.files.items():
            quoted = "'" + path.replace("'", "'\\''") + "'"
            lines.append(f"mkdir -p \"$(dirname -- {quoted})\"; printf '%s' '{text}' > {quoted}")
        flag = "J" if backup.kind == "xz" else "z"
        lines.append(f"tar --sort=name --mtime=@1700000000 -c{flag}f {folder}/{backup.name} -- *")
        if backup.damaged:
            lines.append(f"truncate -s -20 {folder}/{backup.name}")
        if backup.gone:
            lines.append(
                f"cat > {folder}/part-{backup.day}.gone <<'END'\n"
                + "".join(f"{path}\n" for path in backup.gone)
                + "END"
            )
    return "\n".join([*lines, "rm -rf /tmp/pack", ""])


def _oracle(folder: str, out: str, packed: str, sums: str, day: str, level: int) -> tuple[str, ...]:
    sound = "case $a in *.xz) xz -t $a;; *) gzip -t $a;; esac 2>/dev/null || continue; " if level > 4 else ""
    gone = (
        "[ ! -e ${a%.tar.*}.gone ] || (cd " + out + " && xargs -d '\\n' rm -f -- < " + folder + "/${a%.tar.*}.gone); "
    )
    listing = (
        f"cd {folder}; for a in *.tar.*; do d=${{a#*-}}; d=${{d%%.*}}; [[ $d > {day} ]] && continue; {sound}echo $d $a;"
        " done | sort > /tmp/all\n"
    )
    return (
        f"ls {folder}; cat {folder}/*.gone\n",
        listing,
        (
            "n=$(grep -n full- /tmp/all | tail -n 1 | cut -d: -f1); tail -n +$n /tmp/all | cut -d' ' -f2 > /tmp/use;"
            " cat /tmp/use\n"
        ),
        (
            f"mkdir -p {out}; while read -r a; do {gone if level > 2 else ''}tar -xf {folder}/$a -C {out}; done <"
            " /tmp/use\n"
        ),
        f"cd {out} && find . -type f -printf '%P\\0' | LC_ALL=C sort -z | tar -czf {packed} --null -T -\n",
        *([f"find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum > {sums}\n"] if level > 4 else []),
        f"tar -tzf {packed} | head; find . -type f | wc -l\n",
    )


def _wrong(oracle: tuple[str, ...], folder: str, out: str, day: str, level: int) -> dict[str, tuple[str, ...]]:
    return {
        "all-days": tuple(keys.replace(f"[[ $d > {day} ]] && continue;", "") for keys in oracle),
        "first-full-one": tuple(keys.replace("tail -n 1 | cut -d:", "head -n 1 | cut -d:") for keys in oracle),
        "full-one-only": tuple(keys.replace("tail -n +$n /tmp/all", "sed -n ${n}p /tmp/all") for keys in oracle),
        "packed-with-dots": tuple(
            keys.replace("'%P\\0' | LC_ALL=C sort -z | tar", "'./%P\\0' | LC_ALL=C sort -z | tar") for keys in oracle
        ),
    }


FAMILY = Family(
    name="files/rebuild-archive",
    summary="Lay out files as of a day from full and partial backups, and pack them anew.",
    domain="file_operations",
    skills=("archives", "file-trees"),
    deeper={2: ("quoting",), 3: ("dates",), 4: ("compression",), 5: ("checksums", "integrity")},
    generate=generate,
    requires=("tar", "gzip", "xz"),
)
