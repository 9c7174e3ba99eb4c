"""Recordings in a binary format of their own; the strongest tones of each have to be found.

The format is described beside the recordings. Level 2 has several channels, level 3 big-endian files among the others,
level 4 samples in counts with a scale and an offset, level 5 a checksum, by which broken recordings are to be left out.
"""

import struct
import zlib
from dataclasses import dataclass
from math import cos, pi
from random import Random

from termgym.checks import report
from termgym.family import Draft, Family
from termgym.lexicon import HOSTS, PLACES
from termgym.task import File, Limits

ASKS = (
    (
        "{folder} holds recordings of vibrations ({ext} files); FORMAT.txt there says how they are written."
        " {want}\n\n{out}\n"
    ),
    "Which tones are in the recordings {folder}/*.{ext}? Their format is in {folder}/FORMAT.txt. {want}\n\n{out}\n",
    "{want} The recordings are {folder}/*.{ext}, described in {folder}/FORMAT.txt.\n\n{out}\n",
    "{out}\n\nIt is about the files {folder}/*.{ext}, whose format {folder}/FORMAT.txt tells. {want}\n",
)
WANT = (
    "By a discrete Fourier transform over all samples of a channel (no window), find its two strongest frequencies"
    " between 1 bin and half the rate, not counting bin 0."
)
OUT = (
    "Write {out}: a header file{sep}channel{sep}first{sep}second, then one line per channel, in the order of the file"
    " names (LC_ALL=C sort) and of the channels (from 0): file name without .{ext}, channel, and the two frequencies in"
    " Hz, the stronger first, as whole numbers.{broken}"
)
BROKEN = " A file whose checksum is wrong gets a single line with its name, a minus sign for the channel and for both."
FORMAT = """\
A recording begins with a header of {size} bytes:

    offset  bytes  what
    0       4      the letters {magic}{endian}
    4       4      unsigned: samples per second
    8       4      unsigned: N, samples per channel
    12      2      unsigned: C, number of channels
{more}
After it come the samples, {kind}: the C channels of moment 0, then those of moment 1,
and so on, N times. Numbers are {order}.
{crc}"""
SCALE = "    14      8      float: scale\n    22      8      float: offset; a value is count * scale + offset\n"
PROGRAM = """\
import struct, sys, zlib
from cmath import exp, pi
print({sep!r}.join(["file", "channel", "first", "second"]))
for path in sys.argv[1:]:
    name = path.rsplit("/", 1)[1][:-{cut}]
    data = open(path, "rb").read()
    if {crc}:
        data, told = data[:-4], data[-4:]
        order = ">" if data[:4] == {big!r} else "<"
        if struct.unpack(order + "I", told)[0] != zlib.crc32(data):
            print({sep!r}.join([name, "-", "-", "-"]))
            continue
    order = ">" if data[:4] == {big!r} else "<"
    rate, n, channels = struct.unpack_from(order + "IIH", data, 4)
    count = struct.unpack_from(order + str(n * channels) + {code!r}, data, {size})
    for c in range(channels):
        x = count[c::channels]
        power = {{}}
        for k in range(1, n // 2):
            w = exp(-2j * pi * k / n)
            power[k] = abs(sum(v * w ** (i % n) for i, v in enumerate(x)))
        top = sorted(power, key=power.get, reverse=True)[:2]
        print({sep!r}.join([name, str(c)] + [str(k * rate // n) for k in top]))
"""


@dataclass(frozen=True, slots=True)
class Recording:
    """Two tones for each channel, by their bins."""

    name: str
    rate: int
    n: int
    tones: tuple[tuple[int, int], ...]
    big: bool
    broken: bool


def generate(rng: Random, level: int) -> Draft:
    """Some recordings of 64 to 128 samples a channel."""
    folder, ext, magic = (
        f"/app/{rng.choice(PLACES)}",
        rng.choice(("rec", "vib", "raw", "wav2")),
        rng.choice(("VIBR", "TONE", "SAMP")),
    )
    out, sep = (
        f"/app/{rng.choice(('tones', 'peaks', 'spectrum'))}.{rng.choice(('csv', 'txt'))}",
        rng.choice((",", ";", " ")),
    )
    recordings = [
        _recording(rng, level, name, number)
        for number, name in enumerate(sorted(rng.sample(HOSTS, 2 + level // 2 + (level > 3))))
    ]
    code, size = ("h", 30) if level > 3 else ("f", 14)
    big = magic[::-1] if level > 2 else "none"
    files = {f"{folder}/{one.name}.{ext}": File(_bytes(rng, one, magic, level)) for one in recordings}
    files[f"{folder}/FORMAT.txt"] = File.of(_format(magic, level, size))
    lines = [
        sep.join(("file", "channel", "first", "second")),
        *(line for one in recordings for line in _lines(one, sep)),
    ]
    program = PROGRAM.format(sep=sep, cut=len(ext) + 1, crc=level > 4, big=big.encode(), code=code, size=size)
    told = OUT.format(out=out, sep=sep, ext=ext, broken=BROKEN if level > 4 else "")
    wrong = {
        "weaker-first": program.replace("[:2]", "[:2][::-1]"),
        "bins-for-hertz": program.replace("k * rate // n", "k"),
        "octave-too-low": program.replace("k * rate // n", "k * rate // (2 * n)"),
        "mean-for-tone": program.replace("range(1, n // 2)", "range(0, 2)"),
    }
    return Draft(
        instruction=rng.choice(ASKS).format(folder=folder, ext=ext, want=WANT, out=told),
        checks=report(out, "\n".join(lines)),
        oracle=_oracle(program, folder, ext, out),
        wrong={name: _oracle(text, folder, ext, out) for name, text in wrong.items()},
        files=files,
        limits=Limits(turns=30),
    )


def _recording(rng: Random, level: int, name: str, number: int) -> Recording:
    n = rng.choice((64, 80, 96, 100))
    rate = n * rng.choice((2, 4, 5, 8, 10))
    bins = [rng.sample(range(3, n // 2 - 2), 2) for _ in range(1 if level == 1 else rng.randint(2, 3))]
    tones = tuple((first, second) for first, second in bins)
    return Recording(name, rate, n, tones, big=level > 2 and number % 2 == 0, broken=level > 4 and number == 1)


def _bytes(rng: Random, one: Recording, magic: str, level: int) -> bytes:
    order, scale, offset = ">" if one.big else "<", round(rng.uniform(0.001, 0.01), 5), round(rng.uniform(-5, 5), 2)
    wave = [[_at(i, one.n, tone, rng) for tone in one.tones] for i in range(one.n)]
    data = (magic[::-1] if one.big else magic).encode() + struct.pack(order + "IIH", one.rate, one.n, len(one.tones))
    flat = [value for moment in wave for value in moment]
    if level > 3:
        data += struct.pack(order + "dd", scale, offset)
        data += struct.pack(f"{order}{len(flat)}h", *(round(2500 * value) for value in flat))
    else:
        data += struct.pack(f"{order}{len(flat)}f", *flat)
    if level > 4:
        data += struct.pack(order + "I", zlib.crc32(data) ^ (rng.randint(1, 9**6) if one.broken else 0))
    return data


def _at(i: int, n: int, tone: tuple[int, int], rng: Random) -> float:
    """Two tones, an offset and a little noise."""
    first, second = (2 * pi * k * i / n for k in tone)
    return 3 * cos(first + 0.3) + 1.6 * cos(second + 1.1) + 2.5 + rng.uniform(-0.2, 0.2)


def _lines(one: Recording, sep: str) -> list[str]:
    if one.broken:
        return [sep.join((one.name, "-", "-", "-"))]
    hertz = [[str(k * one.rate // one.n) for k in tone] for tone in one.tones]
    return [sep.join((one.name, str(number), *pair)) for number, pair in enumerate(hertz)]


def _format(magic: str, level: int, size: int) -> str:
    return FORMAT.format(
        size=size,
        magic=magic,
        endian=f"; {magic[::-1]} where numbers are big-endian" if level > 2 else "",
        more=SCALE if level > 3 else "",
        kind="16-bit signed counts" if level > 3 else "32-bit floats",
        order="little-endian, or big-endian where the first letters say so" if level > 2 else "little-endian",
        crc="At the very end are 4 bytes, unsigned: the CRC-32 (that of zip) of all before it.\n" if level > 4 else "",
    )


def _oracle(program: str, folder: str, ext: str, out: str) -> tuple[str, ...]:
    return (
        f"cd {folder}; ls -l; cat FORMAT.txt\n",
        f"head -c 32 *.{ext} | od -A d -t x1z | head -n 6\n",
        f"cat > /tmp/dft.py <<'END'\n{program}END\n",
        f"LC_ALL=C; python3 /tmp/dft.py {folder}/*.{ext} > {out}\n",
        f"cat {out}\n",
    )


FAMILY = Family(
    name="science/spectrum",
    summary="Decode recordings of a binary format and find the strongest tones of each channel.",
    domain="scientific_computing",
    skills=("binary-formats", "fourier-transform"),
    deeper={2: ("signal-processing",), 4: ("units",), 5: ("checksums",)},
    generate=generate,
    requires=("python3",),
)
