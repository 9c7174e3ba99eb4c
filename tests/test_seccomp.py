"""The seccomp filter: its program interpreted call by call, then the kernel's own answers."""

import errno
import json
import re
import struct
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from termgym.launcher import seccomp

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL = "allow", "kill"

# Derived apart from the module, by number: the kernel's tables minus moby's allow list.
NEW_EPERM = {*range(425, 434), 438, 440, 442, 443, 450, 459, 460, 461}
NEW_ENOSYS = {435, *range(467, 600)}  # 435 is clone3
OLD_EPERM = {
    "x86_64": """103 134 136 139 153 155 156 163 164 165 166 167 168 169 170 171 172 173 174 175 176 177 178
        179 180 181 182 183 184 185 212 227 236 237 238 239 246 248 249 250 256 272 279 298 300 304 308 312
        313 320 321 323""",
    "aarch64": """18 39 40 41 42 58 60 89 97 104 105 106 112 116 142 161 162 170 217 218 219 224 225
        235 236 237 238 239 241 262 265 268 272 273 280 282 294""",
}
EPERM = {machine: NEW_EPERM | set(map(int, numbers.split())) for machine, numbers in OLD_EPERM.items()}
ENOSYS = {
    "x86_64": NEW_ENOSYS | set(range(336, 424)),
    "aarch64": NEW_ENOSYS | set(range(244, 260)) | set(range(295, 424)),
}
# By arguments: clone, ioctl, personality, socket, socketpair.
CHECKED = {"x86_64": (56, 16, 135, 41, 53), "aarch64": (220, 29, 92, 198, 199)}
# read write openat execve mmap futex exit_group wait4 ptrace chroot prctl seccomp memfd_create rt_sigreturn
EVERYDAY = {
    "x86_64": (0, 1, 257, 59, 9, 202, 231, 61, 101, 161, 157, 317, 319, 15),
    "aarch64": (63, 64, 56, 221, 222, 98, 94, 260, 117, 51, 167, 277, 279, 139),
}
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}

both = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


def verdict(machine: str, number: int, arguments: Sequence[int] = (), arch: int | None = None) -> str:
    """What the filter says: `allow`, `kill` or the name of an errno."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, arch or ARCH[machine], 0, *padded)
    action = interpret(seccomp.program(machine), data)
    if action >> 16 == 5:
        return errno.errorcode[action & 0xFFFF]
    return {0x7FFF0000: ALLOW, 0x80000000: KILL}[action]


def interpret(code: bytes, data: bytes) -> int:
    """A classic-BPF machine, as small as the filter allows."""
    program, accumulator, at = list(struct.iter_unpack("=HBBI", code)), 0, 0
    while True:
        op, if_true, if_false, k = program[at]
        at += 1
        if op == 0x20:
            assert k % 4 == 0
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif op == 0x54:
            accumulator &= k
        elif op == 0x06:
            return k
        else:
            taken = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[op]
            at += if_true if taken else if_false


@both
def test_every_number_has_the_expected_verdict(machine: str) -> None:
    for number in set(range(600)) - set(CHECKED[machine]):
        expected = "EPERM" if number in EPERM[machine] else "ENOSYS" if number in ENOSYS[machine] else ALLOW
        for arguments in ((), (2**64 - 1,) * 6, (0x10000000, 0x5412, 3, 4, 5, 6)):
            assert verdict(machine, number, arguments) == expected, number


@both
def test_everyday_calls_are_allowed(machine: str) -> None:
    assert {verdict(machine, number) for number in EVERYDAY[machine]} == {ALLOW}


@both
def test_names_are_denied_by_the_numbers_of_the_kernel_header(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip(f"no {HEADERS[machine]}")
    pairs = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)$", HEADERS[machine].read_text(), re.MULTILINE)
    numbers = {name: int(number) for name, number in pairs if name in seccomp.DENIED}
    assert len(numbers) > 40
    for name, number in numbers.items():
        assert verdict(machine, number) == ("ENOSYS" if name == "clone3" else "EPERM"), name


@both
def test_every_jump_lands_inside(machine: str) -> None:
    code = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    assert len(code) < 4096
    for at, (op, if_true, if_false, _) in enumerate(code):
        assert op in {0x20, 0x54, 0x06, 0x15, 0x35, 0x45}
        assert at + 1 + max(if_true, if_false) < len(code) or op == 0x06


@both
@pytest.mark.parametrize("number", [0x40000000, 0x40000001, 0x40000000 + 272, 0x7FFFFFFF, 0xFFFFFFFF])
def test_x32_and_negative_numbers_do_not_exist(machine: str, number: int) -> None:
    assert verdict(machine, number) == "ENOSYS"


@both
@pytest.mark.parametrize("arch", [0x40000003, 0x40000028, 0xB7, 1])
def test_another_architecture_is_killed(machine: str, arch: int) -> None:
    assert {verdict(machine, number, arch=arch) for number in (0, 1, 60, 500)} == {KILL}


@both
def test_clone_makes_processes_but_no_namespace(machine: str) -> None:
    clone = CHECKED[machine][0]
    thread = 0x3D0F00
    for flags in (17, 0x4111, thread, thread | 0x80, 0x01000011):
        assert verdict(machine, clone, (flags,)) == ALLOW
    for bit in (0x20000, *(1 << n for n in range(25, 31))):
        assert verdict(machine, clone, (17 | bit,)) == "EPERM"
        assert verdict(machine, clone, (2**63 | 17 | bit,)) == "EPERM"


@both
def test_only_everyday_socket_families(machine: str) -> None:
    for call in CHECKED[machine][3:]:
        for family in range(64):
            expected = ALLOW if family in {1, 2, 10, 16} else "EAFNOSUPPORT"
            for kind in (1, 2, 3, 2 | 0o2000000):
                assert verdict(machine, call, (family, kind)) == expected
                assert verdict(machine, call, (family | 2**32, kind)) == expected
        assert verdict(machine, call, (2**32 - 1, 1)) == "EAFNOSUPPORT"
        for packet in (10, 10 | 0o2000000, 10 | 2**40):  # SOCK_PACKET turns AF_INET into AF_PACKET
            assert verdict(machine, call, (2, packet)) == "EAFNOSUPPORT"


@both
def test_no_typing_into_terminals_whatever_the_upper_half_says(machine: str) -> None:
    ioctl = CHECKED[machine][1]
    for request in (0x5412, 0x541C, 0x5423):
        assert verdict(machine, ioctl, (0, request)) == "EPERM"
        assert verdict(machine, ioctl, (0, 0xDEADBEEF00000000 | request)) == "EPERM"
    for request in (0x5401, 0x5413, 0x5414, 0x540E, 0x540F, 0x541B, 0x80045430):
        assert verdict(machine, ioctl, (0x5412, request, 0x5412)) == ALLOW


@both
def test_personalities(machine: str) -> None:
    personality = CHECKED[machine][2]
    for persona in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF, 2**64 - 1):
        assert verdict(machine, personality, (persona,)) == ALLOW
    for persona in (1, 0x40000, 0x400000, 0x20009, 0xFFFFFFFE, 2**32 + 1):
        assert verdict(machine, personality, (persona,)) == "EPERM"


def test_an_unknown_machine_is_an_error() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        seccomp.program("riscv64")


# --- the kernel's answers: each probe is a fresh interpreter, started as the launcher is ---

PREAMBLE = f"""
import ctypes, importlib.util, json, os, sys
spec = importlib.util.spec_from_file_location("seccomp", {seccomp.__file__!r})
seccomp = importlib.util.module_from_spec(spec)
spec.loader.exec_module(seccomp)
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(a) for a in arguments])
    return ctypes.get_errno() if result < 0 else 0

def protect():
    assert libc.prctl(38, *map(ctypes.c_ulong, (1, 0, 0, 0))) == 0
    seccomp.install()
"""

REFUSED = """
import pty
column = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
words = " ".join(seccomp._DENIED.values()).split()
numbers = dict(zip(words[::3], words[1 + column::3]))
master, slave = pty.openpty()
key = ctypes.addressof(ctypes.create_string_buffer(b"x"))

def clone(flags):
    pid = libc.syscall(ctypes.c_long((56, 220)[column]), *[ctypes.c_ulong(a) for a in (flags, 0, 0, 0, 0)])
    if pid == 0:
        os._exit(0)
    if pid > 0:
        os.waitpid(pid, 0)
    return ctypes.get_errno() if pid < 0 else 0

before = call(int(numbers["unshare"]), 0)
protect()
answers = {name: call(int(number)) for name, number in numbers.items() if number != "-"}
answers |= {
    "unshare before": before,
    "clone": clone(17),
    "clone NEWUSER": clone(17 | 0x10000000),
    "clone NEWNS, upper half set": clone(1 << 40 | 17 | 0x20000),
    "socket VSOCK": call((41, 198)[column], 40, 1, 0),
    "socket ALG": call((41, 198)[column], 38, 5, 0),
    "socket INET, SOCK_PACKET": call((41, 198)[column], 2, 10, 0),
    "socketpair VSOCK": call((53, 199)[column], 40, 1, 0, key),
    "ioctl TIOCSTI": call((16, 29)[column], slave, 0x5412, key),
    "ioctl TIOCSTI, upper half set": call((16, 29)[column], slave, 0xdeadbeef00005412, key),
    "personality ADDR_NO_RANDOMIZE": call((135, 92)[column], 0x40000),
    "600": call(600),
    "listns": call(470),
    "x32 getpid": call(0x40000000 + 39),
}
print(json.dumps(answers))
"""

WORKS = """
import pty, select, socket, subprocess, threading
protect()
pid = os.fork()
if pid == 0:
    os.execv("/bin/true", ["true"])
done = {"fork, exec": os.waitpid(pid, 0)[1] == 0}
seen = []
threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
done["threads"] = sorted(seen) == [0, 1, 2, 3]
left, right = socket.socketpair()
left.send(b"x")
done["socketpair"] = right.recv(1) == b"x"
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
done["inet"] = server.accept()[0].send(b"y") == 1 and client.recv(1) == b"y"
done["netlink"] = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).fileno() > 0
done["subprocess"] = subprocess.run(["sh", "-c", "echo a | cat"], stdout=subprocess.PIPE).stdout == b"a\\n"
pid, master = pty.fork()
if pid == 0:
    os.execv("/bin/sh", ["sh", "-c", "stty size; tty"])
done["pty"] = os.read(master, 100) != b"" and os.waitpid(pid, 0)[1] == 0
pid = os.fork()
if pid == 0:
    os._exit(0 if libc.ptrace(*map(ctypes.c_ulong, (0, 0, 0, 0))) == 0 else 1)
done["ptrace"] = os.waitpid(pid, 0)[1] == 0
seccomp.install()
done["a second filter"] = True
print(json.dumps(done))
"""

INT80 = """
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("b814000000" "cd80" "c3"))  # getpid by its 32-bit number
getpid = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
if PROTECT:
    protect()
getpid()
"""

UNPRIVILEGED = """
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    seccomp.install()
except OSError as error:
    print(json.dumps([error.errno, str(error)]))
"""

on_linux = pytest.mark.skipif(seccomp._MACHINE not in ARCH, reason="no table for this machine")


def probe(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a lean interpreter, out of reach of this one."""
    code = PREAMBLE + textwrap.dedent(script)
    lean = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(lean, capture_output=True, text=True, timeout=30)


@on_linux
def test_the_kernel_refuses_what_is_denied() -> None:
    result = probe(REFUSED)
    assert result.returncode == 0, result.stderr
    answers = {name: errno.errorcode.get(number, "ok") for name, number in json.loads(result.stdout).items()}
    for name in seccomp.DENIED & set(answers):
        assert answers.pop(name) == ("ENOSYS" if name == "clone3" else "EPERM"), name
    assert answers == {
        "unshare before": "ok",
        "clone": "ok",
        "clone NEWUSER": "EPERM",
        "clone NEWNS, upper half set": "EPERM",
        "socket VSOCK": "EAFNOSUPPORT",
        "socket ALG": "EAFNOSUPPORT",
        "socket INET, SOCK_PACKET": "EAFNOSUPPORT",
        "socketpair VSOCK": "EAFNOSUPPORT",
        "ioctl TIOCSTI": "EPERM",
        "ioctl TIOCSTI, upper half set": "EPERM",
        "personality ADDR_NO_RANDOMIZE": "EPERM",
        "600": "ENOSYS",
        "listns": "ENOSYS",
        "x32 getpid": "ENOSYS",
    }


@on_linux
def test_ordinary_work_goes_on() -> None:
    result = probe(WORKS)
    assert result.returncode == 0, result.stderr
    assert [name for name, worked in json.loads(result.stdout).items() if not worked] == []


@pytest.mark.skipif(seccomp._MACHINE != "x86_64", reason="32-bit entry by int 0x80 is x86's")
def test_a_32_bit_call_kills_the_process() -> None:
    if probe(f"PROTECT = False\n{INT80}").returncode != 0:
        pytest.skip("this kernel has no 32-bit calls")
    assert probe(f"PROTECT = True\n{INT80}").returncode == -31  # SIGSYS


@on_linux
def test_without_no_new_privs_the_error_says_so() -> None:
    result = probe(UNPRIVILEGED)
    assert result.returncode == 0, result.stderr
    number, message = json.loads(result.stdout)
    assert number == errno.EACCES
    assert "no_new_privs" in message
