"""The launcher's loop: it makes boxes and closes them, on requests from one termgym process over one socket.

Start-up puts this process into a mount namespace of its own with a tiny root (the *stage*), so that a clone copies
few mounts and no path of the host can be reached by mistake. When the socket closes, because termgym closed it or
was killed, every box is killed and its cgroups are removed; nothing was ever written to the host's file systems.
"""

import gc
import json
import os
import signal
import socket
import sys

from . import init, linux, rootfs, seccomp
from .box import NAMESPACES, Plan, join, live
from .cgroup import Cgroups, Limits
from .rootfs import Base

OUTER_START, OUTER_COUNT = 100_000, 65_536
MAX_LAYERS = 100


class Users:
    """Who root inside is outside: the user map of the boxes.

    As root we map a range of ids that belong to nobody, and show the base through the same map (an idmapped mount),
    so that its files are root's inside. Without privileges there is one id, our own; the base's files are then
    nobody's inside: readable, and not to be changed below /usr but in /usr/local.
    """

    def __init__(self) -> None:
        self.privileged = os.geteuid() == 0
        if not self.privileged:
            uid, gid = os.geteuid(), os.getegid()
            linux.unshare(linux.CLONE_NEWUSER)
            _write_maps("self", f"0 {uid} 1", f"0 {gid} 1", deny_setgroups=True)
            self.start, self.count, self.owner = 0, 1, uid
        else:
            self.start, self.count = _spare_range()
            self.owner = self.start

    def map(self, pid: int) -> None:
        """Write the user map of a box's PID 1."""
        line = f"0 {self.start} {self.count}"
        _write_maps(str(pid), line, line, deny_setgroups=not self.privileged)

    def namespace(self) -> int:
        """A descriptor of a user namespace with this map, for idmapped mounts."""
        pid = linux.clone(linux.CLONE_NEWUSER)
        if pid == 0:
            signal.pause()
        try:
            self.map(pid)
            return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass  # once the launcher serves, the kernel reaps for it


class Box:
    """The launcher's handles of a box: enough to copy its files for a fork, and to forget it.

    `users` counts who may still need its files: itself, and the boxes that are layered on it.
    """

    def __init__(self, pid: int, mounts: int, tmpfs: int, layers: list["Box"], group: str, limits: Limits) -> None:
        self.pid, self.mounts, self.tmpfs, self.layers = pid, mounts, tmpfs, layers
        self.group, self.limits = group, limits
        self.users = 1
        for layer in layers:
            layer.users += 1


class Launcher:
    """All the boxes of one termgym process."""

    def __init__(self, sock: socket.socket, hidden: list[str]) -> None:
        self.sock, self.boxes = sock, dict[int, Box]()
        self.cgroups = Cgroups()
        self.users = Users()
        self.outside = _own_mounts()
        self.idmapped = False
        self.bases: dict[tuple[str, ...], Base] = {(): self._host_base(hidden)}
        self.init = init.write("/base")
        self.inside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def hello(self) -> dict[str, object]:
        """What this host allows, for `termgym doctor`."""
        users = "range" if self.idmapped else "nobody" if self.users.privileged else "single"
        return {"ready": True, "users": users, "cgroups": self.cgroups.controllers, "owner": self.users.owner}

    def run(self) -> None:
        """Serve until the socket closes."""
        while True:
            message, fds = linux.receive(self.sock, 1 << 18, 2)
            if not message:
                return
            request = json.loads(message)
            if request["op"] == "close":
                self.close(request["box"])
            else:
                self._answer(request, fds)

    def _answer(self, request: dict[str, object], fds: list[int]) -> None:
        reply: dict[str, object] = {"id": request["id"]}
        handed: list[int] = []
        try:
            if request["op"] == "enter":
                self.enter(request, *fds)
            else:
                reply["pid"] = pid = self.create(request, *fds)
                handed = [linux.pidfd_open(pid)]
        except (OSError, ValueError) as error:  # one box's; the others go on
            reply["error"] = str(error)
        socket.send_fds(self.sock, [json.dumps(reply).encode()], handed)
        for fd in (*fds, *handed):
            os.close(fd)

    def create(self, request: dict[str, object], control: int) -> int:
        """Clone a box's PID 1, map its users and put it into its cgroup; returns its PID here."""
        base = self._base(request["image"])  # type: ignore[arg-type]
        toolchain = self._base(request["toolchain"]) if request["toolchain"] else base  # type: ignore[arg-type]
        number: int = request["box"]  # type: ignore[assignment]
        limits = Limits(request["pids"], request["memory"], request["cpus"])  # type: ignore[arg-type]
        parent = self._open(request["parent"])  # type: ignore[arg-type]
        below = [parent, *parent.layers] if parent else []
        if len(below) > MAX_LAYERS:
            raise ValueError(f"it would be the {len(below)}th fork in a row; {MAX_LAYERS} at most lie on each other")
        group = self.cgroups.take(limits)
        doors, inside = self.cgroups.doors(group)
        tmpfs = linux.tmpfs(
            {"mode": "755", "uid": str(self.users.start), "gid": str(self.users.start), "size": str(request["disk"]),
             "nr_inodes": str(request["inodes"])}
        )  # fmt: skip
        layers: list[int] = []
        wait, go = os.pipe2(os.O_CLOEXEC)
        pid = -1
        try:
            layers += map(self._copy, below)
            plan = Plan(request, base, toolchain, layers, tmpfs, doors, self.init)
            pid = linux.clone(NAMESPACES, *inside)
            if pid == 0:
                _be_first(plan, control, wait)
            self.users.map(pid)
            mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            os.write(go, b"g")
        except OSError:
            if pid > 0:
                os.kill(pid, signal.SIGKILL)
            os.close(tmpfs)
            self.cgroups.give(group, limits)
            raise
        finally:
            for fd in (wait, go, *layers, *doors, *inside):
                os.close(fd)
        self.boxes[number] = Box(pid, mounts, tmpfs, below, group, limits)
        return pid

    def enter(self, request: dict[str, object], control: int, pidfd: int) -> None:
        """Start a process that serves `control` inside a box, whose PID 1 `pidfd` refers to."""
        box = self.boxes.get(request["box"])  # type: ignore[arg-type]
        if box is None:
            raise ValueError("the sandbox is closed")
        doors, inside = self.cgroups.doors(box.group)
        try:
            if linux.clone(0, *inside) == 0:
                _be_inside(pidfd, doors, request["rlimits"], control)  # type: ignore[arg-type]
        finally:
            for fd in (*doors, *inside):
                os.close(fd)

    def _open(self, number: int) -> Box | None:
        if number and number not in self.boxes:
            raise ValueError("the sandbox to fork is closed")
        return self.boxes.get(number)

    def close(self, number: int) -> None:
        """Forget a box whose processes are gone, once no box is layered on it: its files go with the descriptors."""
        if box := self.boxes.pop(number, None):
            self._release(box)

    def _release(self, box: Box) -> None:
        box.users -= 1
        if box.users == 0:
            os.close(box.mounts)
            os.close(box.tmpfs)
            self.cgroups.give(box.group, box.limits)  # not before: its files are charged to it
            for layer in box.layers:
                self._release(layer)

    def shut(self) -> None:
        """Kill every box, wait until it is gone, and remove the cgroups."""
        for box in self.boxes.values():
            try:
                os.kill(box.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while True:
                os.waitpid(-1, 0)  # SIGCHLD is ignored: this returns when the last child is gone
        except ChildProcessError:
            pass
        self.cgroups.remove()

    def _copy(self, box: Box) -> int:
        """A detached copy of the mount that holds a box's files; only inside its namespace may one be made."""
        linux.setns(box.mounts, linux.CLONE_NEWNS)
        try:
            return linux.open_tree(box.tmpfs)
        finally:
            linux.setns(self.inside, linux.CLONE_NEWNS)

    def _host_base(self, hidden: list[str]) -> Base:
        folder, links = "/base/host", rootfs.links()
        trees = {name: self._shown(f"/{name}") for name in rootfs.userland()}
        etc = os.open("/etc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        _enter_stage()
        self._attach(f"{folder}/lower", trees)
        base = rootfs.build_host_base(folder, hidden, links, f"/proc/self/fd/{etc}")
        rootfs.settle_owners(folder, self.users.start)
        os.close(etc)
        return base

    def _base(self, image: list[str]) -> Base:
        """The base of an image, made when it is first asked for; of none the host's."""
        key = tuple(image)
        if key not in self.bases:
            self.bases[key] = self._image_base(key)
        return self.bases[key]

    def _image_base(self, image: tuple[str, ...]) -> Base:
        """The base of an image: its layers' folders, the uppermost first."""
        folder = f"/base/{len(self.bases)}"
        trees: dict[str, int] = {}
        linux.setns(self.outside, linux.CLONE_NEWNS)
        try:
            for number, layer in enumerate(image):
                trees[str(number)] = self._shown(layer)
        except OSError:
            for tree in trees.values():
                os.close(tree)
            raise
        finally:
            linux.setns(self.inside, linux.CLONE_NEWNS)
        self._attach(folder, trees)
        base = rootfs.build_image_base(folder, [f"{folder}/{name}" for name in trees])
        rootfs.settle_owners(folder, self.users.start)
        return base

    def _attach(self, folder: str, trees: dict[str, int]) -> None:
        for name, tree in trees.items():
            os.makedirs(f"{folder}/{name}")
            linux.move_mount(tree, f"{folder}/{name}")
            os.close(tree)

    def _shown(self, path: str) -> int:
        """A detached read-only copy of the folder at `path`, its owners as the boxes are to see them."""
        tree = linux.open_tree(-1, path)
        linux.mount_setattr(tree, linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV)
        if self.users.privileged:
            namespace = self.users.namespace()
            try:
                linux.mount_setattr(tree, linux.MOUNT_ATTR_IDMAP, namespace)
                self.idmapped = True
            except OSError:
                self.idmapped = False  # this file system cannot: its files are nobody's inside
            finally:
                os.close(namespace)
        return tree


def _own_mounts() -> int:
    """Leave the host's mount namespace for a private copy of it; returns a descriptor of the copy."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    outside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    linux.unshare(linux.CLONE_NEWNS)
    return outside


def _enter_stage() -> None:
    """Make a small tmpfs the root: what every clone starts from."""
    linux.mount("termgym", "/tmp", "tmpfs", linux.MS_NOSUID, "mode=755,size=64m")
    for name in ("base", "box", "dev", "layer", "proc", "root", *(f"layer/{number}" for number in range(MAX_LAYERS))):
        os.mkdir(f"/tmp/{name}", 0o755)
    linux.mount("/proc", "/tmp/proc", None, linux.MS_BIND | linux.MS_REC)
    rootfs.build_devices("/tmp/dev")
    os.chdir("/tmp")
    linux.pivot_root(".", ".")
    linux.umount(".")
    os.chdir("/")


def _spare_range() -> tuple[int, int]:
    """Ids that root may map and nobody has: 65,536 from 100,000, or all above 0 in a smaller container."""
    with open("/proc/self/uid_map", encoding="utf-8") as file:
        start, _, count = (int(field) for field in file.readline().split())
    if start + count >= OUTER_START + OUTER_COUNT:
        return OUTER_START, OUTER_COUNT
    return start + 1, max(1, min(count - 1, OUTER_COUNT))


def _write_maps(pid: str, uids: str, gids: str, deny_setgroups: bool) -> None:
    files = [("uid_map", uids), ("gid_map", gids)]
    if deny_setgroups:
        files.insert(0, ("setgroups", "deny"))
    for name, text in files:
        with open(f"/proc/{pid}/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def _be_first(plan: Plan, control: int, go: int) -> None:
    """What the clone does: it must never come back as a second launcher."""
    try:
        os.dup2(0, 2)
        _close_all_but(control, go, plan.init, plan.tmpfs, *plan.layers, *plan.doors)
        live(plan, socket.socket(fileno=control), go)
    finally:
        os._exit(1)


def _be_inside(pidfd: int, doors: list[int], rlimits: dict[str, int], control: int) -> None:
    """What the clone that enters a box does: likewise."""
    try:
        os.dup2(0, 2)
        _close_all_but(control, pidfd, *doors)
        join(pidfd, doors, rlimits, socket.socket(fileno=control))
    finally:
        os._exit(1)


def _close_all_but(*kept: int) -> None:
    low = 3
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 1 << 20)


def main() -> None:
    """Serve the socket that is our standard input; the arguments are paths that must not show inside."""
    _close_all_but()
    sock = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    hidden = sys.argv[1:]
    linux.set_title("termgym-launcher")
    try:
        launcher = Launcher(sock, hidden)
    except OSError as error:
        sock.send(json.dumps({"error": str(error)}).encode())
        return
    seccomp.program()  # built once, here, and then inherited
    gc.disable()
    gc.freeze()  # a collection in a fork would copy every page that it touches
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sock.send(json.dumps(launcher.hello()).encode())
    try:
        launcher.run()
    except ConnectionError:  # our client ended without reading all that we sent
        pass
    finally:
        launcher.shut()
