"""A report of a crash, with registers, a stack in hexadecimal and maps of symbols: write down the chain of calls.

Width and order of words, modules, maps and names change with the seed, and old return addresses lie about on the stack.
Level 2 brings modules that were loaded somewhere; level 3 a stack as bytes; level 4 functions with ends, calls at the
very end of one, and addresses that belong to nothing; level 5 several threads and a chain that was overwritten.
"""

from collections.abc import Iterator, Sequence
from random import Random

from termgym.checks import PLAIN
from termgym.family import Draft, Family
from termgym.lexicon import ITEMS, SERVICES, root
from termgym.task import Check, File, Limits

from ._crash import Machine, Module, Thread, chain, make_symbols, make_thread, place_of

SIGNALS = {6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}

OPENINGS = (
    "The service {service} crashed; all that is left is {crash}. Find out where it was.",
    "Please read the crash report {crash} and write down the calls that led to the crash.",
    "Ticket: {service} died in the night, see {crash}. We need a backtrace with names of functions.",
    "There is no debugger on this machine. Make a backtrace by hand from {crash}.",
)
MAPS = "The functions of each module are in {maps}/MODULE.map: {columns}, in hexadecimal, {relative}."
COLUMNS = ("where a function begins and its name", "where a function begins, how many bytes it has, and its name")
RELATIVE = "counted from where the module is loaded (the report says where that is)"
STACK = (
    "Words have {width} bytes{order}. A frame pointer is the address of a word that holds the frame pointer of the "
    "caller; the word right after it holds the return address into the caller. Frame 0 is at the address pc; frame 1 "
    "is at the return address that the register fp leads to, frame 2 at the one that the caller's frame pointer leads "
    "to, and so on. {end}"
)
END = "The chain ends where a frame pointer is 0."
CORRUPT = (
    "The chain ends where a frame pointer is 0, does not lie in the dump of the thread's stack with both words, or is "
    "not greater than the one before it; nothing is read from such a frame pointer."
)
TRACE = (
    "Write {trace}, one line for each frame from 0 on: #, the number of the frame, a space, and {place}, offsets and "
    "addresses in small hexadecimal digits with 0x and no leading zeros."
)
PLACE = "FUNCTION+OFFSET, the function that the frame is in and how far its address is from the function's beginning"
PLACES = "MODULE!" + PLACE
ENDS = (
    "A module goes from where it is loaded for as many bytes as the report says. If an address is in a module but in "
    "none of its functions, write MODULE+OFFSET, counted from where the module is loaded; if it is in no module, the "
    "address alone. For frames from 1 on, the module and the function are those of the byte before the return address, "
    "for that is where the call was; offsets are still those of the return address."
)
NO_ENDS = "A function goes up to where the next one begins."
THREADS = "The thread in question is the one that got the signal."
KIND = (
    "Write {kind}, one word: null if the address of the fault is below 0x1000, stack if it is below the first address "
    "of the {whose} stack dump by 0x10000 or less, else wild."
)
READ = "plain {path} 100000 || exit 1\ngot=$(tr -d '\\r' < {path}) want=$(cat expected/{name})\n"


def generate(rng: Random, level: int) -> Draft:
    """One crash."""
    machine = _machine(rng, level)
    count = 4 if level > 4 else 1
    threads = [make_thread(rng, machine, number + 1) for number in range(count)]
    crashed, signal = rng.choice(threads[1:] or threads), rng.choice([*SIGNALS])
    kind, fault = _fault(rng, crashed)
    trace = "".join(f"#{n} {place_of(machine, at, n)}\n" for n, at in enumerate(chain(machine, crashed)))
    files = {f"{machine.folder}/maps/{one.name}.map": _map(rng, machine, one) for one in machine.modules}
    files[f"{machine.folder}/crash.txt"] = _report(rng, machine, threads, crashed, signal, fault)
    return Draft(
        instruction=_instruction(rng, machine),
        checks=tuple(_checks(machine)),
        oracle=_oracle(machine, crashed, fault),
        wrong=_wrong(machine, crashed, fault),
        files={path: File.of(text) for path, text in files.items()},
        tests={"expected/trace": File.of(trace), "expected/kind": File.of(f"{kind}\n")},
        limits=Limits(turns=40),
    )


def _machine(rng: Random, level: int) -> Machine:
    service, width = rng.choice(SERVICES), rng.choice((4, 8))
    folder, out = (
        f"{root(rng, service)}/{rng.choice(('crash', 'dump', 'core'))}",
        rng.choice(("/app/out", "/app/report")),
    )
    names = [service, *(f"lib{item}.so" for item in rng.sample(ITEMS, (0, 0, 1, 2, 3, 4)[level]))]
    base = rng.randrange(0x10, 0x50) << 20
    modules: list[Module] = []
    for name in names:
        symbols = [*make_symbols(rng, level)]
        modules.append(Module(name, 0 if level < 2 else base, symbols[-1].at + symbols[-1].size + 0x80, tuple(symbols)))
        base += rng.randrange(0x10, 0x80) << 16
    place = f"{out}/{rng.choice(('trace', 'backtrace', 'calls'))}.txt"
    order = rng.choice("<>") if level > 2 else ">"
    return Machine(level, width, order, service, folder, place, f"{out}/kind.txt", tuple(modules))


def _fault(rng: Random, crashed: Thread) -> tuple[str, int]:
    kind = rng.choice(("null", "stack", "wild"))
    below = crashed.low - rng.randrange(8, 0x8000)
    return kind, {"null": rng.randrange(0, 0x800, 8), "stack": below, "wild": 0x6000_0000 + rng.getrandbits(24)}[kind]


def _map(rng: Random, machine: Machine, module: Module) -> str:
    rows = [f"{one.at:08x} " + (f"{one.size:x} " if machine.level > 3 else "") + one.name for one in module.symbols]
    return "".join(f"{row}\n" for row in (rng.sample(rows, len(rows)) if machine.level > 2 else rows))


def _report(rng: Random, machine: Machine, threads: Sequence[Thread], crashed: Thread, signal: int, fault: int) -> str:
    lines = [f"process {machine.service} pid {rng.randrange(300, 30_000)}"]
    lines += [f"signal {signal} ({SIGNALS[signal]}) in thread {crashed.number}, address of the fault {fault:#x}"]
    if machine.level > 1:
        lines += ["", "modules: loaded at, bytes, name"]
        lines += [
            f"  {one.base:#x} {one.size:#x} {one.name}" for one in rng.sample(machine.modules, len(machine.modules))
        ]
    for thread in threads:
        lines += [
            "",
            f"thread {thread.number}",
            f"  pc={thread.pc:#x} fp={thread.fp:#x} sp={thread.low:#x}",
            "  stack:",
        ]
        lines += [f"    {thread.low + at:08x}: {_dump(machine, thread.stack[at : at + 16])}"
                  for at in range(0, len(thread.stack), 16)]  # fmt: skip
    return "".join(f"{line}\n" for line in lines)


def _dump(machine: Machine, data: bytes) -> str:
    if machine.level > 2:
        return data.hex(" ")
    return " ".join(data[at : at + machine.width].hex() for at in range(0, 16, machine.width))


def _instruction(rng: Random, machine: Machine) -> str:
    level, order = machine.level, {"<": "little-endian", ">": "big-endian"}[machine.order]
    parts = [
        rng.choice(OPENINGS),
        MAPS + (f" {NO_ENDS}" if level < 4 else ""),
        STACK + (f" {THREADS}" if level > 4 else ""),
        TRACE,
        *([ENDS] if level > 3 else []),
        KIND,
    ]
    return "\n\n".join(parts).format(
        service=machine.service, crash=f"{machine.folder}/crash.txt", maps=f"{machine.folder}/maps",
        columns=COLUMNS[level > 3], relative=RELATIVE if level > 1 else "as absolute addresses", width=machine.width,
        order=f" and are {order}; the dump shows single bytes" if level > 2 else "; the dump shows words",
        end=CORRUPT if level > 4 else END, trace=machine.trace, kind=machine.kind,
        place=PLACES if level > 1 else PLACE, whose="same thread's" if level > 4 else "thread's",
    ) + "\n"  # fmt: skip


def _checks(machine: Machine) -> Iterator[Check]:
    read = PLAIN + READ.format(path=machine.trace, name="trace")
    yield Check("top", f'{read}[ "$(head -n 2 <<<"$got")" = "$(head -n 2 <<<"$want")" ]\n')
    yield Check("frames", f'{read}[ "$(grep -c "^#" <<<"$got")" = "$(grep -c "^#" <<<"$want")" ]\n')
    yield Check("trace", f'{read}[ "$got" = "$want" ]\n', 3)
    yield Check("kind", f'{PLAIN}{READ.format(path=machine.kind, name="kind")}[ "$got" = "$want" ]\n')


SCRIPT = """\
cat > /tmp/unwind.py << 'EOF'
import re
text = open('{crash}').read()
part = re.search(r'^thread {number}$.*?(?=^thread|\\Z)', text, re.M | re.S)[0]
pc, fp = (int(re.search(r + '=(0x[0-9a-f]+)', part)[1], 16) for r in ('pc', 'fp'))
rows = re.findall(r'^ +([0-9a-f]+): (.*)$', part, re.M)
low, data = int(rows[0][0], 16), bytes.fromhex(''.join(r[1] for r in rows))
def word(at):
    return int.from_bytes(data[at - low:at - low + {width}], '{order}')
frames, last = [pc], 0
while fp > last and low <= fp <= low + len(data) - 2 * {width}:
    frames.append(word(fp + {width}))
    last, fp = fp, word(fp)
EOF
"""
NAMES = """\
cat > /tmp/names.py << 'EOF'
from unwind import *
mods = [(int(b, 16), int(s, 16), n) for b, s, n in re.findall(r'^  (0x\\w+) (0x\\w+) (\\S+)$', text, re.M)]
mods = mods or [(0, 1 << 40, '{service}')]
def name(a, n):
    look = a - 1 if n and {back} else a
    for base, size, mod in mods:
        if base <= look < base + size:
            syms = sorted((base + int(l.split()[0], 16), l.split()) for l in open('{maps}/' + mod + '.map'))
            syms = [(at, f) for at, f in syms if at <= look and (len(f) < 3 or look < at + int(f[1], 16))]
            if not syms:
                return f'{{mod}}+{{a - base:#x}}'
            return {prefix} + f'{{syms[-1][1][-1]}}+{{a - syms[-1][0]:#x}}'
    return f'{{a:#x}}'
with open('{trace}', 'w') as out:
    for n, a in enumerate(frames):
        print(f'#{{n}} {{name(a, n)}}', file=out)
EOF
"""


def _oracle(machine: Machine, crashed: Thread, fault: int) -> tuple[str, ...]:
    """A look at the report and a map, the chain, the names, and what kind of fault it is."""
    crash, low = f"{machine.folder}/crash.txt", crashed.low
    kind = "null" if fault < 0x1000 else "stack" if low - 0x10000 <= fault < low else "wild"
    return (
        f"cd {machine.folder} && ls -R; head -n 24 crash.txt\n",
        *([f"grep -A 6 '^thread {crashed.number}$' crash.txt\n"] if machine.level > 4 else []),
        f"cat maps/{machine.service}.map\n",
        SCRIPT.format(crash=crash, number=crashed.number, width=machine.width,
                      order={"<": "little", ">": "big"}[machine.order]),
        *(["cd /tmp && python3 -c 'from unwind import *; print(*map(hex, frames))'\n"] if machine.level > 1 else []),
        NAMES.format(service=machine.service, back=int(machine.level > 3), maps=f"{machine.folder}/maps",
                     prefix="mod + '!'" if machine.level > 1 else "''", trace=machine.trace),
        f"mkdir -p {machine.trace.rpartition('/')[0]} && python3 /tmp/names.py && cat {machine.trace}\n",
        f"echo {kind} > {machine.kind}\n",
    )  # fmt: skip


def _wrong(machine: Machine, crashed: Thread, fault: int) -> dict[str, tuple[str, ...]]:
    oracle, folder = _oracle(machine, crashed, fault), machine.trace.rpartition("/")[0]
    mistakes = {
        "stopped-at-the-caller": ("while fp > last", "if fp > last"),
        "words-backwards": (f"+ {machine.width}], '", f"+ {machine.width}][::-1], '"),
        "decimal-offsets": ("[0]:#x}", "[0]}"),
    }
    if machine.level > 3:
        mistakes["return-address-itself"] = ("if n and 1", "if 0")
    wrong = {name: tuple(keys.replace(*mistake) for keys in oracle) for name, mistake in mistakes.items()}
    return {
        **wrong,
        "cheat": (f"mkdir -p {folder}; ln -s /tests/expected/trace {machine.trace}; echo wild > /app/kind\n",),
    }


FAMILY = Family(
    name="debug/crash-report",
    summary="Make a backtrace by hand from a crash report, a stack in hexadecimal and maps of symbols.",
    domain="debugging",
    skills=("tracing", "parsing"),
    deeper={2: ("linking",), 3: ("binary-formats",), 4: ("interval-arithmetic",), 5: ("root-cause-analysis",)},
    generate=generate,
    requires=("python3", "grep"),
)
