"""One box: a process tree in namespaces of its own over a root of its own, and the PID 1 that serves it.

The first half runs in the launcher (clone, the user map, the cgroup), the second half as PID 1 inside: it mounts the
root, gives up all that it does not need, and then serves requests from termgym's socket: start a program on a pipe or
on a terminal, kill one, report how it ended. When that socket closes, PID 1 ends and the kernel kills all the rest.
PID 1 cannot be traced or read from inside (not dumpable), nor killed (the kernel shields a namespace's first process).
Told to rest, it becomes a program that only sleeps (init.py); requests after that are for a process that joins the box.
"""

import errno
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
from fcntl import ioctl

from . import init, linux, seccomp
from .program import Program, open_pty
from .rootfs import Base

NAMESPACES = (
    linux.CLONE_NEWUSER
    | linux.CLONE_NEWNS
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWCGROUP
)

# Docker's default set (moby, daemon/pkg/oci/caps): chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
# net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
CAPABILITIES = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))
LAST_CAPABILITY = 40

NOT_A_PROGRAM = (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP)

READ_ONLY = linux.MS_RDONLY | linux.MS_NODEV | linux.MS_NOSUID
# `max`, since all boxes share the host's 4,096 terminals.
DEVPTS = "newinstance,ptmxmode=0666,mode=620,max=64"
INOTIFY_INSTANCES = "32"
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1


class Plan:
    """What one box is to be: the launcher's reading of a `create` request.

    `toolchain` is the base whose programs a verifier runs, over what an agent left of `base`.
    """

    def __init__(
        self,
        request: dict[str, object],
        base: Base,
        toolchain: Base,
        layers: list[int],
        tmpfs: int,
        doors: list[int],
        init: int,
    ) -> None:
        self.base, self.toolchain = base, toolchain
        self.layers, self.tmpfs, self.doors, self.init = layers, tmpfs, doors, init
        self.verify = bool(request.get("verify"))
        self.rlimits: dict[str, int] = request["rlimits"]  # type: ignore[assignment]


def live(plan: Plan, control: socket.socket, go: int) -> None:
    """Be PID 1 of a new box: build it, say so, serve until the socket closes. Never returns."""
    status = 1
    try:
        sys.path.clear()  # from here on its folders are the agent's to fill
        walk_through(plan.doors)
        if os.read(go, 1):  # the user map is written
            become_root()
            root = enter(plan)
            harden(plan.rlimits)
            socket.send_fds(control, [b'{"ready": true}'], [root])
            os.close(root)
            serve(control, plan.init)
            status = 0
    except OSError as error:
        control.send(json.dumps({"error": str(error)}).encode())
    finally:
        os._exit(status)


def join(pidfd: int, doors: list[int], rlimits: dict[str, int], control: socket.socket) -> None:
    """Serve in the box whose PID 1 rests, beside it, until the socket closes. Never returns.

    No process of the box sees this one before it is hardened: only its child is born into their PID namespace, and
    is the launcher's child, so that nobody has to wait for it.
    """
    status = 1
    try:
        sys.path.clear()
        walk_through(doors)
        linux.setns(pidfd, NAMESPACES)
        os.close(pidfd)
        become_root()
        harden(rlimits)
        if linux.clone(linux.CLONE_PARENT) == 0:
            control.send(b'{"ready": true}')
            serve(control)
        status = 0
    except OSError as error:
        control.send(json.dumps({"error": str(error)}).encode())
    finally:
        os._exit(status)


def walk_through(doors: list[int]) -> None:
    """Enter the box's cgroups: see `Cgroups.doors`."""
    for door in doors:
        os.write(door, b"0")
        os.close(door)


def become_root() -> None:
    """Take the ids that root inside has outside: until then this process is the launcher's user."""
    try:
        os.setgroups([])
    except PermissionError:
        pass  # without privileges the kernel forbids it, and the groups stay: they show as nogroup
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def enter(plan: Plan) -> int:
    """Mount the box's root and make it ours; returns a descriptor of it."""
    linux.unshare(linux.CLONE_NEWCGROUP)
    linux.move_mount(plan.tmpfs, "/box")
    for name, mode in (("upper", 0o755), ("work", 0o755), ("shm", 0o1777), ("tests", 0o700), ("logs", 0o755)):
        os.mkdir(f"/box/{name}", mode)
        os.chmod(f"/box/{name}", mode)
    for number, fd in enumerate(plan.layers):
        linux.move_mount(fd, f"/layer/{number}")
    for part, layers in plan.base.parts.items():
        if not (plan.verify and part):
            mount_part(part, layers, plan)
    if plan.verify:
        trust(plan.toolchain)
    linux.move_mount(linux.open_tree(-1, "/dev", recursive=True), "/root/dev")
    linux.mount("devpts", "/root/dev/pts", "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, DEVPTS)
    mount_shm(plan)
    # The tmpfs stays mounted, under /proc where no path leads, so that the launcher can copy it for a fork.
    linux.mount("/box", "/root/proc", None, linux.MS_MOVE)
    linux.mount("proc", "/root/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    os.chdir("/root")
    linux.pivot_root(".", ".")
    linux.umount(".")
    os.chdir("/")
    linux.sethostname("termgym")
    bound_inotify()
    loopback_up()
    return os.open("/", os.O_PATH | os.O_DIRECTORY)


def mount_part(part: str, layers: list[str], plan: Plan) -> None:
    """Mount one overlay of the root: our upper, the uppers of those that we are a fork of, the base's layers."""
    name = part or "root"
    for folder in (f"/box/upper/{name}", f"/box/work/{name}"):
        os.mkdir(folder, 0o755)
    below = [f"/layer/{number}/upper/{name}" for number in range(len(plan.layers))]
    if plan.verify:
        below.insert(0, plan.toolchain.pins)
    options = f"userxattr,lowerdir={':'.join(below + layers)},upperdir=/box/upper/{name},workdir=/box/work/{name}"
    linux.mount("termgym", f"/root/{part}", "overlay", linux.MS_NODEV | linux.MS_NOSUID, options)


def mount_shm(plan: Plan) -> None:
    """Mount /dev/shm, with the files of those that we are a fork of; for a verifier with none."""
    if plan.verify or not plan.layers:
        linux.mount("/box/shm", "/root/dev/shm", None, linux.MS_BIND)
        return
    os.mkdir("/box/work/shm", 0o755)
    below = ":".join(f"/layer/{number}/shm" for number in range(len(plan.layers)))
    options = f"userxattr,lowerdir={below},upperdir=/box/shm,workdir=/box/work/shm"
    linux.mount("termgym", "/root/dev/shm", "overlay", linux.MS_NODEV | linux.MS_NOSUID, options)


def trust(base: Base) -> None:
    """Lay a base's toolchain over the agent's, and fresh /tests and /logs over whatever it put there."""
    for name, layers in base.trusted.items():
        target = make_folder(f"/root/{name}")
        linux.mount("termgym", target, "overlay", READ_ONLY, f"userxattr,lowerdir={':'.join(layers)}")
    for name in ("tests", "logs"):
        linux.mount(f"/box/{name}", make_folder(f"/root/{name}"), None, linux.MS_BIND)


def make_folder(path: str) -> str:
    """Have a real folder at `path`, whatever the agent left there; returns `path`."""
    if os.path.islink(path) or not os.path.isdir(path):
        if os.path.lexists(path):
            os.unlink(path)
        os.mkdir(path)
    return path


def bound_inotify() -> None:
    """Leave some of inotify to the others: what boxes hold counts against the user who made them, 128 as a rule."""
    try:
        with open("/proc/sys/user/max_inotify_instances", "w", encoding="utf-8") as file:
            file.write(INOTIFY_INSTANCES)
    except OSError:
        pass  # a kernel without


def loopback_up() -> None:
    """Bring up `lo`, the only network there is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def harden(rlimits: dict[str, int]) -> None:
    """Give up, for this process and all that it starts, what an agent has no use for."""
    for name, value in rlimits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(LAST_CAPABILITY + 1):
        if not CAPABILITIES >> number & 1:
            linux.prctl(linux.PR_CAPBSET_DROP, number)
    linux.capset(CAPABILITIES)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    seccomp.install()


def serve(control: socket.socket, program: int = -1) -> None:
    """The loop inside: requests from `control`, and the ends of processes. PID 1 has a `program` to rest as."""
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    started: set[int] = set()
    wakeup, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _note)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == wakeup:
                os.read(wakeup, 4096)
                report(control, started)
                continue
            message, fds = linux.receive(control, 1 << 18, 4)
            if not message:
                return
            request = json.loads(message)
            if request["op"] == "rest":
                rest(control, program, started)
            answer(control, request, fds, started)


def rest(control: socket.socket, program: int, started: set[int]) -> None:
    """Become a program that does nothing; all descriptors but the standard three close by that. Never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # first: who ends from here on is the kernel's to reap
    report(control, started)
    linux.capset(0)  # with these, a file that we own would count as one that we may read
    os.execve(program, [init.NAME], {})


def _note(*_: object) -> None:
    """A handler that does nothing: with none, no SIGCHLD would come through the wake-up descriptor."""


def report(control: socket.socket, started: set[int]) -> None:
    """Reap all that has ended, ours and orphans; tell how ours did."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in started:
            started.discard(pid)
            control.send(json.dumps({"exit": pid, "status": os.waitstatus_to_exitcode(status)}).encode())


def answer(control: socket.socket, request: dict[str, object], fds: list[int], started: set[int]) -> None:
    """Do one request; an error of the system is an answer, not the end of the box."""
    reply: dict[str, object] = {"id": request["id"]}
    handed: list[int] = []
    try:
        if request["op"] == "kill":
            kill_session(request["pid"])  # type: ignore[arg-type]
        else:
            if request["op"] == "pty":
                handed = open_pty(request["rows"], request["cols"])  # type: ignore[arg-type]
                fds = [handed[1]] * 3
            reply["pid"] = pid = Program(request, fds).start()
            started.add(pid)
    except OSError as error:
        reply |= {"error": error.strerror, "program": error.errno in NOT_A_PROGRAM}
    except (IndexError, ValueError) as error:  # no argument at all, a NUL in one, a name with "=" in the environment
        reply["error"] = str(error)
    socket.send_fds(control, [json.dumps(reply).encode()], handed[:1] if "error" not in reply else [])
    for fd in {*fds, *handed}:
        os.close(fd)


def kill_session(leader: int) -> None:
    """Kill all of a session, in whatever groups its shell put them; what a kill has reached can fork no more."""
    killed: set[int] = set()
    while (
        left := {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if session(pid) == leader} - killed
    ):
        for pid in sorted(left, key=lambda pid: pid != leader):  # it first, or it might end by itself, with success
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        killed |= left


def session(pid: int) -> int:
    """The session of a process; 0 if it has ended."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0
