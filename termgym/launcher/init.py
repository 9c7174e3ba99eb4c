"""What a box's PID 1 becomes once it has no more to do: a program of a few instructions that sleeps for good.

A Python process that waits holds more than 1.5 MiB of its own, this one a stack. It may be executed and not read, so
that the kernel makes the process that runs it not dumpable from its first instruction on: `would_dump` in fs/exec.c.
"""

import os
import struct

NAME = "termgym-init"
_ADDRESS = 0x400000
_HEADERS = 64 + 56
CODE = {  # again: ppoll(NULL, 0, NULL, NULL); goto again
    "x86_64": (62, bytes.fromhex("31ff 31f6 31d2 4531d2 b80f010000 0f05 ebee")),
    "aarch64": (183, struct.pack("<7I", *range(0xD2800000, 0xD2800004), 0xD2800928, 0xD4000001, 0x17FFFFFA)),
}


def program(codes: dict[str, tuple[int, bytes]] = CODE, machine: str = os.uname().machine) -> bytes:
    """The executable of a machine's code: elf(5)'s header, one segment to load, the code."""
    number, code = codes[machine]
    size = _HEADERS + len(code)
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header = struct.pack("<16sHHIQQQI6H", ident, 2, number, 1, _ADDRESS + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<2I6Q", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 0x10000) + code


def write(folder: str) -> int:
    """Write the program into `folder`; returns a descriptor that is good for executing it only."""
    path = f"{folder}/{NAME}"
    with open(path, "xb") as file:
        file.write(program())
        os.fchmod(file.fileno(), 0o111)
    return os.open(path, os.O_PATH | os.O_CLOEXEC)
