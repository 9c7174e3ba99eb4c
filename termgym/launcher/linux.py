"""The system calls that Python's os module lacks, as thin functions that raise OSError.

Constants are from the kernel's uapi headers (linux/mount.h, linux/sched.h, linux/prctl.h, linux/openat2.h).
"""

import array
import ctypes
import errno
import os
import platform
import signal
import socket
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long

_ARM = platform.machine() == "aarch64"
_CLONE, _PIVOT_ROOT = (220, 41) if _ARM else (56, 155)
_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_PIDFD_OPEN, _CLONE3, _OPENAT2, _MOUNT_SETATTR = 434, 435, 437, 442

CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 4096, 8192, 16384, 1 << 18
MNT_DETACH = 2

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_IDMAP = 0x1, 0x2, 0x4, 0x100000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_AT_EMPTY_PATH, _AT_RECURSIVE = 0x1000, 0x8000
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 1, 6

RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT = 0x01, 0x02, 0x04, 0x10
MAX_MOUNT_OPTIONS = 4095

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
PR_SET_NAME, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 15, 47, 4


def _call(what: str, number: int, *args: object) -> int:
    result = _syscall(ctypes.c_long(number), *args)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _check(what: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _long(value: int) -> ctypes.c_long:
    return ctypes.c_long(value)


def clone(flags: int, cgroup: int = 0) -> int:
    """Fork into new namespaces, and the version 2 cgroup of that descriptor; returns 0 in the child, else its PID."""
    if not cgroup:  # clone3 is forbidden in many containers, whose libc falls back to this
        return _call("clone", _CLONE, _long(flags | signal.SIGCHLD), _long(0), _long(0), _long(0), _long(0))
    args = struct.pack("11Q", flags | CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, cgroup)
    return _call("clone3", _CLONE3, args, _long(len(args)))


def unshare(flags: int) -> None:
    """Leave the shared namespaces named by `flags`."""
    _check("unshare", _libc.unshare(flags))


def setns(fd: int, kind: int) -> None:
    """Enter the namespace of `kind` that `fd` refers to; those of a process, if it is a pidfd."""
    _check("setns", _libc.setns(fd, kind))


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str = "") -> None:
    """Mount `source`, a file system of `kind` or a folder, at `target`."""
    if len(data) > MAX_MOUNT_OPTIONS:  # a page with a zero at its end; the kernel would cut it off there
        raise OSError(
            errno.E2BIG,
            f"mount {kind} on {target}: its options take {len(data)} bytes, and {MAX_MOUNT_OPTIONS} fit: "
            "fewer layers in the image, or fewer forks in a row, would do",
        )
    result = _libc.mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), data.encode())
    _check(f"mount {kind or source} on {target}", result)


def umount(target: str) -> None:
    """Detach the mount at `target` now; it goes when nobody uses it any more."""
    _check(f"umount {target}", _libc.umount2(target.encode(), MNT_DETACH))


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root of this mount namespace and put the former one at `old`."""
    _call("pivot_root", _PIVOT_ROOT, new.encode(), old.encode())


def open_tree(fd: int, path: str = "", recursive: bool = False) -> int:
    """Copy the mount at `path` (or `fd` itself) as a detached mount; returns its descriptor."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    return _call(f"open_tree {path}", _OPEN_TREE, _long(fd), path.encode(), _long(flags))


def move_mount(fd: int, target: str) -> None:
    """Attach the detached mount `fd` at `target`."""
    _call(
        f"move_mount to {target}",
        _MOVE_MOUNT,
        _long(fd),
        b"",
        _long(-100),
        target.encode(),
        _long(_MOVE_MOUNT_F_EMPTY_PATH),
    )


def mount_setattr(fd: int, attributes: int, userns_fd: int = 0, recursive: bool = False) -> None:
    """Set mount attributes on `fd`; with MOUNT_ATTR_IDMAP, the owners show through `userns_fd`'s map."""
    attr = struct.pack("QQQQ", attributes, 0, 0, userns_fd)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    _call("mount_setattr", _MOUNT_SETATTR, _long(fd), b"", _long(flags), attr, _long(len(attr)))


def tmpfs(options: dict[str, str], attributes: int = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) -> int:
    """A new tmpfs as a detached mount; returns its descriptor."""
    context = _call("fsopen tmpfs", _FSOPEN, b"tmpfs", _long(1))
    try:
        for key, value in options.items():
            _call(
                f"tmpfs option {key}={value}", _FSCONFIG, _long(context), _long(_FSCONFIG_SET_STRING),
                key.encode(), value.encode(), _long(0),
            )  # fmt: skip
        _call("tmpfs", _FSCONFIG, _long(context), _long(_FSCONFIG_CMD_CREATE), None, None, _long(0))
        return _call("fsmount tmpfs", _FSMOUNT, _long(context), _long(1), _long(attributes))
    finally:
        os.close(context)


def pidfd_open(pid: int) -> int:
    """A descriptor for the process `pid`: readable when it has ended."""
    return _call("pidfd_open", _PIDFD_OPEN, _long(pid), _long(0))


def openat2(
    root_fd: int, path: str | bytes, flags: int, mode: int = 0, *, cross: bool = False, links: bool = True
) -> int:
    """Open `path` as a process whose root is `root_fd` would: no `..` or symlink leads outside.

    Magic links (/proc/PID/root) are refused, and so are other file systems (/proc, /dev) unless `cross`, and symlinks
    unless `links`.
    """
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    resolve |= (0 if cross else RESOLVE_NO_XDEV) | (0 if links else RESOLVE_NO_SYMLINKS)
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    return _call(f"open {path!r}", _OPENAT2, _long(root_fd), os.fsencode(path), how, _long(len(how)))


def receive(sock: socket.socket, size: int, count: int) -> tuple[bytes, list[int]]:
    """A message and the descriptors that came with it, which no program started from here inherits.

    CPython's socket.recv_fds ignores its flags, MSG_CMSG_CLOEXEC too.
    """
    fds = array.array("i")
    message, parts, _, _ = sock.recvmsg(size, socket.CMSG_SPACE(count * fds.itemsize), socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in parts:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, list(fds)


def prctl(option: int, value: int = 0, third: int = 0) -> None:
    """Set one property of this process: `option` is a PR_ constant."""
    _check(f"prctl {option}", _libc.prctl(option, _long(value), _long(third), _long(0), _long(0)))


def sethostname(name: str) -> None:
    """Set the host name of this UTS namespace."""
    _check("sethostname", _libc.sethostname(name.encode(), len(name)))


def capset(mask: int) -> None:
    """Make `mask` the permitted and effective capabilities of this thread, with none inheritable."""
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("Ii", 0x20080522, 0)
    _check("capset", _libc.capset(header, struct.pack("6I", low, low, 0, high, high, 0)))


def set_fsid(uid: int, gid: int) -> tuple[int, int]:
    """Act on files as (`uid`, `gid`) in this thread from now on; returns the former pair.

    The kernel takes the capabilities that override file permissions away with a user id of non-zero, and gives them
    back with zero.
    """
    former_gid = _libc.setfsgid(gid)
    return _libc.setfsuid(uid), former_gid


def set_title(title: str) -> None:
    """Show `title` as this process's name and command line, here and in what it forks, instead of paths."""
    with open("/proc/self/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, title.encode(), min(len(title), end - start - 1))
    _check("prctl PR_SET_NAME", _libc.prctl(PR_SET_NAME, title.encode()[:15], _long(0), _long(0), _long(0)))
