"""PID 1 of our containers: reads its standard input until that ends, and reaps by ignoring how children end.

The input is a connection that this process holds: when it is killed, the engine closes the input, PID 1 ends, and the
kernel kills the rest. The kernel shields it from signals of the agent, and being not dumpable does from ptrace.
Docker's own init would end with its child, which the agent may kill, and a program of the image would be the agent's
to replace in a fork.
"""

import io
import struct
import tarfile

from termgym.launcher.init import program

FOLDER = "/.termgym"
PATH = f"{FOLDER}/init"
VERSION = 1
"""Raised with every change of the program: a volume keeps each."""
# prctl(PR_SET_DUMPABLE, 0); sigaction(SIGCHLD, SIG_IGN); while (read(0, sp, 1) > 0 || EINTR); exit(0)
_CODE = {
    "x86_64": (
        62,
        bytes.fromhex(
            "6a04 5f 31f6 b89d000000 0f05 31d2 52 52 52 6a01 6a11 5f 4889e6 6a08 415a 6a0d 58 0f05"
            "31c0 31ff 4889e6 6a01 5a 0f05 85c0 7ff0 83f8fc 74eb 31ff 6a3c 58 0f05"
        ),
    ),
    "aarch64": (
        183,
        struct.pack(
            "<26I",
            *(0xD2800080, 0xD2800001, 0xD28014E8, 0xD4000001),
            *(0xD10083FF, 0xD2800024, 0xA9007FE4, 0xA9017FFF, 0xD2800220, 0x910003E1, 0xD2800002, 0xD2800103),
            *(0xD28010C8, 0xD4000001, 0xD2800000, 0x910003E1, 0xD2800022, 0xD28007E8, 0xD4000001, 0xF100001F),
            *(0x54FFFF4C, 0xB100101F, 0x54FFFF00, 0xD2800000, 0xD2800BA8, 0xD4000001),
        ),
    ),
}


def archive(machine: str) -> bytes:
    """A tar with the program for a machine, as the engine names it ("x86_64", "aarch64")."""
    content = program(_CODE, machine)
    entry = tarfile.TarInfo("init")
    entry.size, entry.mode = len(content), 0o555
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
