"""A Makefile and three scripts turn a folder of data into a report, and go wrong in several ways: repair them.

Names, columns, separators and the faults change with the seed: names that break in two, a failure that nobody notices,
steps in the wrong order, output that piles up, a sum that is lost in a subshell, numbers read as octal. A higher level
has more of them at once; from level 3 the data at hand shows none, and from level 4 products of earlier runs lie about.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from shlex import quote
from typing import NamedTuple

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, TOWNS
from termgym.task import Check, File, Limits


class Fault(NamedTuple):
    """What is wrong in one line of a file, which is right otherwise."""

    name: str
    file: str
    good: str
    bad: str


MAKEFILE = """\
.PHONY: report sums check collect

report: sums check
	bin/{format} {work}/sums.txt > {out}/report.txt

sums: check
	bin/{sum} {work}/all.txt > {work}/sums.txt

check: collect
	bin/{check} {work}/all.txt > {work}/check.log

collect:
	mkdir -p {work} {out}
	bin/{collect} > {work}/all.txt
"""
COLLECT = """\
#!/bin/bash
# All rows of all files.
for file in {data}/*.{ext}; do
    grep -v '^#' "$file"
done
"""
CHECK = """\
#!/bin/bash
# Fails if a row has not three fields.
awk -F '{sep}' 'NF != 3 {{ print "bad row: " $0; bad = 1 }} END {{ exit bad }}' "$1"
"""
SUM = """\
#!/bin/bash
# Sums by {key}.
declare -A sums
while IFS='{sep}' read -r {fields}; do
    sums[${key}]=$(( ${{sums[${key}]:-0}} + 10#$amount ))
done < "$1"
for {key} in "${{!sums[@]}}"; do
    echo "${key} ${{sums[${key}]}}"
done | LC_ALL=C sort
"""
FORMAT = """\
#!/bin/bash
# The report, with a total.
total=0
while read -r {key} sum; do
    printf '%-12s %8d\\n' "${key}" "$sum"
    total=$(( total + sum ))
done < "$1"
printf '%-12s %8d\\n' total "$total"
"""
FAULTS = (
    Fault("names", "collect", 'for file in {data}/*.{ext}; do', 'for file in $(ls {data}/*.{ext}); do'),
    Fault("status", "make", "{work}/all.txt > {work}/check.log", "{work}/all.txt | tee {work}/check.log"),
    Fault("order", "make", "sums: check", "sums:"),
    Fault("again", "make", "{work}/all.txt > {work}/sums.txt", "{work}/all.txt >> {work}/sums.txt"),
    Fault("octal", "sum", "+ 10#$amount", "+ amount"),
    Fault("subshell", "format", 'done < "$1"', 'done < <(cat "$1") | cat'),
    Fault("last", "collect", "grep -v '^#' \"$file\"", "grep -v '#' \"$file\""),
)  # fmt: skip

OPENINGS = (
    "`make` in {folder} is to turn what is in {folder}/{data} into a report, and cannot be trusted. Please repair it.",
    "The build in {folder} (a Makefile and scripts in bin) gives wrong reports now and then. Find out why and mend it.",
    "Ticket: the report that `make` writes in {folder} was wrong again. Its Makefile or the scripts in bin are faulty.",
    "We inherited {folder}, a Makefile with some scripts in bin. What it should do is written below; make it do that.",
)
RULES = """\
Run in {folder}, `make` must do this, whatever was built there before:
- It reads all files {data}/*.{ext}, whatever their names are. Lines that begin with # are remarks; all others are \
rows of three fields, {columns}, separated by "{sep}". The amount is a decimal number of up to eight digits, which \
may begin with zeros.
- It writes {out}/report.txt: for each {key}, in byte order, a line with the {key} (padded to 12 characters), a \
space, and the sum of its amounts (padded to 8, right-aligned); then such a line for "total". The lines' form is right \
as it is.
- If any row does not have three fields, make ends with a status that is not 0 and leaves {out}/report.txt as it was, \
or makes none."""
ENDINGS = (
    "It will be tried with other data. Change the Makefile and the files in bin, and nothing in {data}.",
    "We shall run it on data that you have not seen. Only the Makefile and what is in bin may be changed.",
)
RUN = """\
cd {folder} || exit 9
rm -rf {data} && mkdir -p {data} {out}
{writing}
"""
BUILD = """\
timeout -k 1 4 make -s > /dev/null 2>&1 < /dev/null
s=$?; echo "status $(( s != 0 ))"
head -c 20000 {out}/report.txt 2> /dev/null
"""
BAD = """\
echo nonsense >> {data}/second.{ext}
rm -f {out}/report.txt
"""
PRINTED = '[ "$(sha256sum < runs/{name}/stdout)" = "$(sha256sum < expected/{name})" ]\n'


@dataclass(frozen=True, slots=True)
class Layout:
    """What is called how."""

    level: int
    folder: str
    names: Mapping[str, str]
    columns: tuple[str, ...]
    """The names of the three fields, in their order."""
    faults: tuple[Fault, ...]

    @property
    def sources(self) -> dict[str, str]:
        """File -> text, as it should be."""
        texts = {"collect": COLLECT, "check": CHECK, "sum": SUM, "format": FORMAT}
        scripts = {key: text.format(**self.names) for key, text in texts.items()}
        return {"make": MAKEFILE.format(**self.names), **scripts}

    def path(self, file: str) -> str:
        """Where a file is."""
        return f"{self.folder}/Makefile" if file == "make" else f"{self.folder}/bin/{self.names[file]}"


Data = dict[str, list[tuple[str, str, str]]]
"""Name of a file -> rows: key, another field, amount."""


def generate(rng: Random, level: int) -> Draft:
    """One build with its faults."""
    layout = _layout(rng, level)
    broken = layout.sources
    for fault in layout.faults:
        good, bad = fault.good.format(**layout.names), fault.bad.format(**layout.names)
        broken[fault.file] = broken[fault.file].replace(good, bad)
    shown = {fault.name for fault in layout.faults} if level < 3 else set[str]()
    runs = dict(_runs(rng, layout))
    files = {layout.path(file): File.of(text, 0o644 if file == "make" else 0o755) for file, text in broken.items()}
    for name, rows in _data(rng, shown).items():
        files[f"{layout.folder}/{layout.names['data']}/{name}.{layout.names['ext']}"] = File.of(_text(layout, rows))
    if level > 3:
        files[f"{layout.folder}/{layout.names['work']}/all.txt"] = File.of(_text(layout, _data(rng, set())["first"]))
    return Draft(
        instruction=_instruction(rng, layout),
        checks=tuple(Check(name, PLAIN + PRINTED.format(name=name), 2, run) for name, (run, _) in runs.items()),
        oracle=_oracle(layout),
        wrong=_wrong(layout),
        files=files,
        tests={f"expected/{name}": File.of(due) for name, (_, due) in runs.items()},
        limits=Limits(turns=30 + 8 * level),
    )


def _layout(rng: Random, level: int) -> Layout:
    key, other = rng.choice(("town", "branch", "depot")), rng.choice(("day", "code", "clerk"))
    columns = rng.sample([key, other, "amount"], 3)
    names = {
        "data": rng.choice(("data", "input", "incoming")),
        "work": rng.choice(("build", "work", "tmp")),
        "out": rng.choice(("out", "public", "result")),
        "ext": rng.choice(("csv", "txt", "dat")),
        "sep": rng.choice(";,:"),
        "key": key,
        "fields": " ".join(columns),
        "collect": rng.choice(("collect", "gather", "merge")) + ".sh",
        "check": rng.choice(("check", "verify", "lint")) + ".sh",
        "sum": rng.choice(("sum", "add-up", "totals")) + ".sh",
        "format": rng.choice(("format", "render", "print")) + ".sh",
    }
    folder = f"/app/{rng.choice(('', 'src/', 'jobs/'))}{rng.choice(('sales', 'ledger', 'monthly', 'figures'))}"
    return Layout(level, folder, names, tuple(columns), tuple(rng.sample(FAULTS, (0, 1, 2, 3, 5, 7)[level])))


def _data(rng: Random, faults: set[str]) -> Data:
    """Rows in files, so that these faults show."""
    towns = rng.sample(TOWNS, 6)
    files = ["first", "second", "third part" if "names" in faults else "third"]
    data: Data = {name: [] for name in files}
    for number in range(18):
        amount = f"0{rng.choice((8, 9))}{rng.randint(1, 9)}" if "octal" in faults and number % 5 == 2 else ""
        row = (towns[number % 6], f"{rng.choice(ITEMS)}{rng.randint(1, 9)}", amount or str(rng.randint(100, 9999)))
        if "last" in faults and number % 6 == 3:
            row = (row[0], f"no#{number}", row[2])
        data[files[number % 3]].append(row)
    return data


def _text(layout: Layout, rows: Sequence[tuple[str, str, str]]) -> str:
    key = layout.names["key"]
    lines = ["# remarks are left out"]
    for town, other, amount in rows:
        cells = {key: town, "amount": amount}
        lines.append(layout.names["sep"].join(cells.get(column, other) for column in layout.columns))
    return "".join(f"{line}\n" for line in lines)


def _report(data: Data) -> str:
    sums: dict[str, int] = {}
    for town, _, amount in (row for rows in data.values() for row in rows):
        sums[town] = sums.get(town, 0) + int(amount)
    lines = [*sorted(sums.items()), ("total", sum(sums.values()))]
    return "".join(f"{town:<12} {number:>8}\n" for town, number in lines)


def _runs(rng: Random, layout: Layout) -> Iterator[tuple[str, tuple[str, str]]]:
    """What is tried, under names that say nothing, and what is to be printed: data for each fault, and for all."""
    names, build = [fault.name for fault in layout.faults], BUILD.format(**layout.names)
    for number, shown in enumerate([*([name] for name in names if name != "status"), names, names]):
        data = _data(rng, {*shown})
        run, due = RUN.format(folder=layout.folder, writing=_writing(layout, data), **layout.names), _report(data)
        due = f"status 0\n{due}"
        if "again" in shown:
            run, due = run + build, due + due
        if number > len(names) - ("status" in names):  # the last one: a good run, and then a bad one
            run, due = run + build + BAD.format(**layout.names), due + "status 1\n"
        yield f"run-{number}", (run + build, due)


def _writing(layout: Layout, data: Data) -> str:
    texts = {
        "{data}/{file}.{ext}".format(file=file, **layout.names): _text(layout, rows) for file, rows in data.items()
    }
    return "\n".join(f"printf %s {quote(text)} > {quote(path)}" for path, text in texts.items())


def _instruction(rng: Random, layout: Layout) -> str:
    facts = {**layout.names, "folder": layout.folder, "columns": ", ".join(layout.columns)}
    return "\n\n".join([rng.choice(OPENINGS), RULES, rng.choice(ENDINGS)]).format(**facts) + "\n"


def _oracle(layout: Layout) -> tuple[str, ...]:
    data, out = layout.names["data"], layout.names["out"]
    show = [f"cat bin/{layout.names[file]}\n" for file in ("collect", "check", "sum", "format")]
    return (
        f"cd {layout.folder} && ls -R; cat Makefile\n",
        *show,
        f"head -n 3 {data}/*; make; echo $?; cat {out}/report.txt\n",
        *_fixes(layout),
        f"make && make; echo $?; cat {out}/report.txt\n",
    )


def _fixes(layout: Layout) -> Iterator[str]:
    """A substitution for each fault."""
    for fault in layout.faults:
        good, bad = fault.good.format(**layout.names), fault.bad.format(**layout.names)
        old, new = re.sub(r"([\\\[\].*^$])", r"\\\1", bad), re.sub(r"([\\&])", r"\\\1", good)
        yield f"sed -i {quote(f's~{old}~{new}~')} {layout.path(fault.file)}\n"


def _wrong(layout: Layout) -> dict[str, tuple[str, ...]]:
    fixes, out = tuple(_fixes(layout)), layout.names["out"]
    silent = f"sed -i {quote('s/^.bin/' + chr(92) + 't-bin/')} {layout.folder}/Makefile\n"
    rule = f"printf 'report:\\n\\tcp r {out}/report.txt\\n' > Makefile"
    by_hand = f"cd {layout.folder}; make; cp {out}/report.txt r; {rule}\n"
    return {
        **({"one-fault-left": fixes[:-1], "another-left": fixes[1:]} if fixes[1:] else {}),
        "failures-ignored": (*fixes, silent),
        "report-by-hand": (by_hand,),
        "cheat": (f"cd {layout.folder}; rm -rf {out}; ln -s /tests/expected {out}\n",),
    }


FAMILY = Family(
    name="debug/broken-build",
    summary="Repair a Makefile and its scripts, which are right only for tame data.",
    domain="debugging",
    skills=("make", "quoting", "debugging"),
    deeper={2: ("exit-codes",), 3: ("reproduction",), 4: ("redirection",), 5: ("root-cause-analysis",)},
    generate=generate,
    requires=("make", "awk", "grep", "sed"),
)
