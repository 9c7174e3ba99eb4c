"""The system calls that a namespace sandbox refuses: a seccomp filter in classic BPF.

At least as strict as Docker's default profile for a container with Docker's default capabilities. The facts
come from github.com/moby/profiles (seccomp v0.2.3, read at cd3bed8 of 2026-06-30) and from the kernel's own
tables (syscall_64.tbl, asm-generic/unistd.h); the table below is what the profile leaves out of them.

Covered: namespaces, mounts, keyrings, io_uring, bpf, perf, userfaultfd, modules, clocks, rare socket
families, typing into another's terminal, 32-bit and x32 entry. A refused call fails with EPERM; one that the
profile does not know fails with ENOSYS, so that libc falls back; a 32-bit call kills the process.
Not covered: ptrace, process_vm_readv and chroot stay allowed, as with Docker. A filter cannot follow
pointers: what a path or a socket address names is for the namespaces to settle. The kernel lets the traps of
its own user probes (335, 336 on x86_64) past every filter.
"""

import ctypes
import os
import struct

_DENIED = {  # name, number on x86_64, number on aarch64
    "namespaces and mounts": """
        unshare 272 97  setns 308 268  mount 165 40  umount2 166 39  pivot_root 155 41  open_tree 428 428
        move_mount 429 429  fsopen 430 430  fsconfig 431 431  fsmount 432 432  fspick 433 433
        mount_setattr 442 442  clone3 435 435  sethostname 170 161  setdomainname 171 162
        quotactl 179 60  quotactl_fd 443 443  fanotify_init 300 262  open_by_handle_at 304 265""",
    "a large kernel surface with no use at a terminal": """
        bpf 321 280  perf_event_open 298 241  userfaultfd 323 282  io_uring_setup 425 425
        io_uring_enter 426 426  io_uring_register 427 427""",
    "keyrings, which no namespace separates": "add_key 248 217  request_key 249 218  keyctl 250 219",
    "the machine itself": """
        init_module 175 105  finit_module 313 273  delete_module 176 106  create_module 174 -
        get_kernel_syms 177 -  query_module 178 -  kexec_load 246 104  kexec_file_load 320 294
        reboot 169 142  swapon 167 224  swapoff 168 225  acct 163 89  syslog 103 116
        settimeofday 164 170  clock_settime 227 112  iopl 172 -  ioperm 173 -  vhangup 153 58""",
    "other processes, past what ptrace gives": """
        kcmp 312 272  pidfd_getfd 438 438  process_madvise 440 440  move_pages 279 239
        migrate_pages 256 238  mbind 237 235  get_mempolicy 239 236  set_mempolicy 238 237
        set_mempolicy_home_node 450 450  lookup_dcookie 212 18
        lsm_get_self_attr 459 459  lsm_set_self_attr 460 460  lsm_list_modules 461 461""",
    "retired": """
        uselib 134 -  ustat 136 -  sysfs 139 -  _sysctl 156 -  nfsservctl 180 42  getpmsg 181 -  putpmsg 182 -
        afs_syscall 183 -  tuxcall 184 -  security 185 -  vserver 236 -""",
}
_WORDS = " ".join(_DENIED.values()).split()
_CHECKED = {  # name: number on x86_64, number on aarch64
    "clone": (56, 220),
    "ioctl": (16, 29),
    "personality": (135, 92),
    "socket": (41, 198),
    "socketpair": (53, 199),
}
_LAST = 466  # removexattrat, the newest call that the profile knows
_MACHINES = {  # column above, AUDIT_ARCH_* of linux/audit.h, numbers that exist
    "x86_64": (0, 0xC000003E, (range(336), range(424, _LAST + 1))),
    "aarch64": (1, 0xC00000B7, (range(244), range(260, 295), range(424, _LAST + 1))),
}
_MACHINE = os.uname().machine  # `platform` would import `re` into the launcher

DENIED = frozenset(_WORDS[::3])
"""Names of the system calls that fail whatever their arguments."""

# linux/bpf_common.h, linux/seccomp.h, linux/prctl.h
_LOAD, _AND, _RETURN, _EQUAL, _AT_LEAST, _ANY_BIT = 0x20, 0x54, 0x06, 0x15, 0x35, 0x45
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2

# Without NEWTIME: in clone(2) its bit belongs to the exit signal, so only unshare and clone3 can ask for it.
_CLONE_NEW = 0x7E020000
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
_SOCK_PACKET = 10
_IOCTLS = (0x5412, 0x541C, 0x5423)  # TIOCSTI, TIOCLINUX; TIOCSETD, which loads line-discipline modules
_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # as Docker: LINUX, LINUX32, UNAME26, both, "which?"

_libc = ctypes.CDLL(None, use_errno=True)  # here, so that a launcher that forks pays for it once
_built: dict[str, bytes] = {}


def program(machine: str = _MACHINE) -> bytes:
    """The filter for one machine, as a packed array of `struct sock_filter`.

    Args:
        machine: `x86_64` or `aarch64`, as `uname -m` says it.

    Raises:
        ValueError: There is no table for this machine.
    """
    if machine not in _built:
        if machine not in _MACHINES:
            raise ValueError(f"no seccomp table for {machine!r}; there is one for {', '.join(_MACHINES)}")
        _built[machine] = _build(*_MACHINES[machine])
    return _built[machine]


def install() -> None:
    """Put the filter on this thread and on all that it starts, for good.

    The caller has set no_new_privs, and has made its namespaces and mounts: those calls fail from here on.

    Raises:
        OSError: The kernel refused the filter; nothing has changed.
        ValueError: There is no table for this machine.
    """
    code = program()
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))  # struct sock_fprog
    # prctl is variadic and reads longs: a bare int would leave the upper half of its register undefined.
    if _libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), header):
        errno = ctypes.get_errno()
        hint = "EACCES: no_new_privs is not set; EINVAL: the kernel has no seccomp filters"
        raise OSError(errno, f"cannot install the seccomp filter: {os.strerror(errno)} ({hint})")


def _build(column: int, arch: int, known: tuple[range, ...]) -> bytes:
    allow, unknown, kill = _answer(0x7FFF0000), _error(38), _answer(0x80000000)
    blocks = {number: allow for numbers in known for number in numbers} | _refusals(column) | _checks(column)
    rules: list[tuple[int, bytes]] = []
    # One step past the last, so that everything above it (x32 numbers have bit 30 set) answers ENOSYS.
    for number in range(_LAST + 2):
        block = blocks.get(number, unknown)
        if not rules or rules[-1][1] != block:
            rules.append((number, block))
    return _op(_LOAD, _ARCH) + _when(_EQUAL, arch, _op(_LOAD, _NUMBER) + _tree(rules), kill)


def _refusals(column: int) -> dict[int, bytes]:
    """Number -> answer, for the calls that are denied whatever their arguments."""
    pairs = zip(_WORDS[::3], _WORDS[1 + column :: 3], strict=True)
    refuse, absent = _error(1), _error(38)
    # clone3's flags are behind a pointer; on ENOSYS libc falls back to clone, whose flags can be read.
    return {int(number): absent if name == "clone3" else refuse for name, number in pairs if number != "-"}


def _checks(column: int) -> dict[int, bytes]:
    """Number -> block, for the calls whose arguments decide."""
    allow, refuse, no_family = _answer(0x7FFF0000), _error(1), _error(97)
    family = _argument(0) + _any_of(_FAMILIES, allow, no_family)
    # socket(AF_INET, SOCK_PACKET) is an old spelling of AF_PACKET; the low four bits are the type.
    sockets = _argument(1) + _op(_AND, 0xF) + _when(_EQUAL, _SOCK_PACKET, no_family, family)
    blocks = {
        "clone": _argument(0) + _when(_ANY_BIT, _CLONE_NEW, refuse, allow),
        "ioctl": _argument(1) + _any_of(_IOCTLS, refuse, allow),
        "personality": _argument(0) + _any_of(_PERSONALITIES, allow, refuse),
        "socket": sockets,
        "socketpair": sockets,  # it creates both before it finds out that the family has no pairs
    }
    return {_CHECKED[name][column]: block for name, block in blocks.items()}


def _tree(rules: list[tuple[int, bytes]]) -> bytes:
    """A binary search of the number loaded, among blocks that each start at one.

    The kernel tries a new filter on every number, to learn which are always allowed: short paths help.
    """
    if len(rules) == 1:
        return rules[0][1]
    middle = len(rules) // 2
    return _when(_AT_LEAST, rules[middle][0], _tree(rules[middle:]), _tree(rules[:middle]))


def _any_of(values: tuple[int, ...], yes: bytes, no: bytes) -> bytes:
    for value in values:
        no = _when(_EQUAL, value, yes, no)
    return no


def _when(test: int, value: int, yes: bytes, no: bytes) -> bytes:
    # A jump spans 255 at most; struct refuses to pack a longer one.
    return _op(test, value, 0, len(yes) // 8) + yes + no


def _argument(index: int) -> bytes:
    """Load the low half of an argument.

    The kernel itself cuts each argument checked here to 32 bits, so the half that it ignores must not decide.
    Both machines are little-endian: the low half comes first.
    """
    return _op(_LOAD, _ARGUMENTS + 8 * index)


def _error(errno: int) -> bytes:
    return _answer(0x50000 | errno)


def _answer(action: int) -> bytes:
    return _op(_RETURN, action)


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
