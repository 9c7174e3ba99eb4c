"""What a crashed program left: modules with their functions, and stacks with frames on them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from termgym.lexicon import ITEMS

VERBS = "open close load save find sort join split merge count parse render check fetch store".split()


class Symbol(NamedTuple):
    """A function of a module."""

    at: int
    size: int
    name: str


@dataclass(frozen=True, slots=True)
class Module:
    """A program or library as it was loaded."""

    name: str
    base: int
    size: int
    symbols: tuple[Symbol, ...]


@dataclass(frozen=True, slots=True)
class Thread:
    """What the report says of a thread."""

    number: int
    pc: int
    fp: int
    low: int
    stack: bytes


@dataclass(frozen=True, slots=True)
class Machine:
    """What one task is about."""

    level: int
    width: int
    order: str
    service: str
    folder: str
    trace: str
    kind: str
    modules: tuple[Module, ...]

    def word(self, value: int) -> bytes:
        """A word as it is in memory."""
        return struct.pack(self.order + "IQ"[self.width // 8], value)

    def at(self, data: bytes, place: int) -> int:
        """The word at a place."""
        return struct.unpack_from(self.order + "IQ"[self.width // 8], data, place)[0]


def make_symbols(rng: Random, level: int) -> Iterator[Symbol]:
    """Functions one after the other, from level 4 with room between them."""
    at, names = (
        0x1000,
        [f"{verb}_{item}" for verb, item in zip(rng.sample(VERBS, 12), rng.sample(ITEMS, 12), strict=True)],
    )
    for name in names:
        size = rng.randrange(4, 40) * 8
        yield Symbol(at, size, name)
        at += size + (rng.choice((0, 0, 48)) if level > 3 else 0)


def make_thread(rng: Random, machine: Machine, number: int) -> Thread:
    """Frames on a stack, and what calls before have left there."""
    level, width, low = machine.level, machine.width, (0x7F00 - number * 16 << 16) + rng.randrange(1, 200) * 16
    count = (0, 4, 6, 8, 10, 11)[level]
    stack = bytearray(b"".join(machine.word(rng.choice((0, rng.randrange(4096), _inside(rng, machine, 0)[0])))
                               for _ in range(count * 8 + 16)))  # fmt: skip
    places = [width * (2 + 8 * frame + rng.randrange(4)) for frame in range(count)]
    kinds = [1] * (count - 1) if level < 4 else rng.sample([1, 2, 3, 2, 4, *[1] * (count - 6)], count - 1)
    for frame, (place, after) in enumerate(zip(places, [*places[1:], -1], strict=True)):
        following = low + after if after >= 0 else 0
        if level > 4 and frame == count - 2:
            following = rng.choice((low + places[2], 0x41414141, low + len(stack) - width))
        address = rng.choice(_inside(rng, machine, kinds[min(frame, count - 2)]))
        stack[place : place + 2 * width] = machine.word(following) + machine.word(address)
    return Thread(number, rng.choice(_inside(rng, machine, 1)), low + places[0], low, bytes(stack))


def _inside(rng: Random, machine: Machine, kind: int) -> list[int]:
    """An address in a function; of kind 2 right behind one, of kind 3 between functions, of kind 4 in no module."""
    module = rng.choice(machine.modules)
    symbol = rng.choice(module.symbols)
    if kind == 2:
        return [module.base + symbol.at + symbol.size]
    if kind == 3:
        return [module.base + module.symbols[-1].at + module.symbols[-1].size + rng.randrange(8, 0x70)]
    if kind == 4:
        return [machine.modules[-1].base + machine.modules[-1].size + rng.randrange(0x100, 0x900)]
    return [module.base + symbol.at + rng.randrange(3, symbol.size - 2)]


def chain(machine: Machine, thread: Thread) -> list[int]:
    """The addresses of all frames."""
    found, fp, last = [thread.pc], thread.fp, 0
    end = len(thread.stack) - 2 * machine.width
    while fp and last < fp and 0 <= fp - thread.low <= end:
        found.append(machine.at(thread.stack, fp - thread.low + machine.width))
        last, fp = fp, machine.at(thread.stack, fp - thread.low)
    return found


def place_of(machine: Machine, address: int, frame: int) -> str:
    """How a backtrace names an address."""
    look = address - 1 if machine.level > 3 and frame else address
    for module in machine.modules:
        if module.base <= look < module.base + module.size:
            for symbol in module.symbols:
                begin = module.base + symbol.at
                if begin <= look < begin + symbol.size:
                    return f"{module.name + '!' if machine.level > 1 else ''}{symbol.name}+{address - begin:#x}"
            return f"{module.name}+{address - module.base:#x}"
    return f"{address:#x}"
