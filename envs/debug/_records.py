"""A binary record format, accidents that befall files of it, and the rule by which one reads what is left."""

import struct
import zlib
from binascii import crc_hqx
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple


class Sum(NamedTuple):
    """A checksum, in words and in Python."""

    words: str
    size: str
    compute: Callable[[bytes], int]
    python: str


def _crc16(data: bytes) -> int:
    return crc_hqx(data, 0)


SUMS = (
    Sum("CRC-32, as zlib and gzip have it", "I", zlib.crc32, "zlib.crc32(x)"),
    Sum("Adler-32, as zlib has it", "I", zlib.adler32, "zlib.adler32(x)"),
    Sum("CRC-16/XMODEM (polynomial 0x1021, initial value 0, not reflected)", "H", _crc16,
        "binascii.crc_hqx(x, 0)"),
    Sum("the sum of all bytes", "I", sum, "sum(x)"),
)  # fmt: skip
MARKS = (b"RC", b"%%", b"~r", b"#R", b"@T")


@dataclass(frozen=True, slots=True)
class Form:
    """How a record is written."""

    order: str
    mark: bytes
    number_first: bool
    length: str
    sum: Sum
    all_covered: bool

    def write(self, record: "Record") -> bytes:
        """The record's bytes."""
        payload = struct.pack(f"{self.order}HIi", record.station, record.time, record.value) + record.text.encode()
        head = struct.pack(self.head, *((record.number, len(payload))[:: 1 if self.number_first else -1]))
        checked = head + payload if self.all_covered else payload
        return self.mark + head + payload + struct.pack(self.order + self.sum.size, self.sum.compute(checked))

    @property
    def head(self) -> str:
        """What lies between mark and payload."""
        return self.order + ("I" + self.length if self.number_first else self.length + "I")


class Record(NamedTuple):
    """What a record says."""

    number: int
    station: int
    time: int
    value: int
    text: str


def damaged(rng: Random, level: int, form: Form, records: list[Record]) -> tuple[bytes, list[Record]]:
    """The file after some accidents, and the records that are still right."""
    kinds = ["changed", "length", "cut", "extra", "mark"]
    kinds = kinds[: (0, 1, 2, 5, 5, 5)[level]] * (3 if level == 1 else 2)
    places = rng.sample(range(2, len(records) - 3), len(kinds))
    damage = dict(zip(places, kinds, strict=True))
    parts: list[bytes] = []
    kept: list[Record] = []
    for place, record in enumerate(records):
        data, kind = form.write(record), damage.get(place, "")
        if kind == "extra":
            parts.append(rng.randbytes(rng.randint(3, 9)) + form.mark + rng.randbytes(rng.randint(1, 4)))
        elif kind:
            data = _spoilt(rng, form, kind, data)
        parts.append(data)
        kept += [record] if kind in ("", "extra") else []
    if level > 1:
        parts[-1] = parts[-1][: -rng.randint(1, 9)]
        kept.pop()
    return b"".join(parts), kept


def _spoilt(rng: Random, form: Form, kind: str, data: bytes) -> bytes:
    head = len(form.mark) + struct.calcsize(form.head)
    at = {"changed": rng.randrange(head, head + 10), "cut": rng.randrange(head + 2, head + 8), "mark": 1}.get(kind, 0)
    if kind == "length":
        size = struct.calcsize(form.length)
        place = len(form.mark) + (4 if form.number_first else 0)
        value = struct.unpack_from(form.order + form.length, data, place)[0] + rng.randint(4, 30)
        return data[:place] + struct.pack(form.order + form.length, value) + data[place + size :]
    if kind == "cut":
        return data[:at] + data[at + rng.randint(1, 5) :]
    return data[:at] + bytes([data[at] ^ rng.randint(1, 255)]) + data[at + 1 :]


def scan(form: Form, data: bytes) -> list[Record]:
    """The rule of the task, taken literally."""
    found: list[Record] = []
    at, head, tail = 0, struct.calcsize(form.head), struct.calcsize(form.order + form.sum.size)
    while (at := data.find(form.mark, at)) >= 0:
        begin = at + len(form.mark)
        at += 1
        if begin + head > len(data):
            continue
        number, length = struct.unpack_from(form.head, data, begin)[:: 1 if form.number_first else -1]
        end = begin + head + length
        if end + tail > len(data):
            continue
        checked = data[begin if form.all_covered else begin + head : end]
        if form.sum.compute(checked) == struct.unpack_from(form.order + form.sum.size, data, end)[0]:
            if length < 10:
                return []  # a record by chance that has no meaning
            fields = struct.unpack_from(f"{form.order}HIi", data, begin + head)
            found.append(Record._make((number, *fields, data[begin + head + 10 : end].decode(errors="replace"))))
            at = end + tail
    return found
