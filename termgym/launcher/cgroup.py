"""Control groups for boxes: a bound on processes, memory and CPU, where this host lets us set one.

Version 1, version 2 and hybrid hosts are served alike, one controller at a time; a controller that cannot be written
is left out, and the box then has only its rlimits for that resource (box.py).
"""

import os
import re

CPU_PERIOD_US = 100_000


class Limits:
    """What one box may use: `pids` processes and threads, `memory` in bytes, `cpus` in cores."""

    def __init__(self, pids: int, memory: int, cpus: float) -> None:
        self.pids, self.memory, self.cpus = pids, memory, cpus

    def files(self, controller: str, version: int) -> dict[str, str]:
        """The files to write for `controller`, and their values."""
        quota = str(int(self.cpus * CPU_PERIOD_US))
        return {
            ("pids", 1): {"pids.max": str(self.pids)},
            ("pids", 2): {"pids.max": str(self.pids)},
            ("memory", 1): {"memory.limit_in_bytes": str(self.memory)},
            ("memory", 2): {"memory.max": str(self.memory), "memory.swap.max": "0"},
            ("cpu", 1): {"cpu.cfs_period_us": str(CPU_PERIOD_US), "cpu.cfs_quota_us": quota},
            ("cpu", 2): {"cpu.max": f"{quota} {CPU_PERIOD_US}"},
        }[controller, version]

    def key(self) -> str:
        """The same for limits that are the same."""
        return f"{self.pids}-{self.memory}-{self.cpus}"


class Hierarchy:
    """One mounted cgroup tree that we may write: its version, its controllers, and our folder in it."""

    def __init__(self, version: int, controllers: list[str], folder: int) -> None:
        self.version, self.controllers, self.folder = version, controllers, folder

    def make(self, name: str, limits: Limits) -> None:
        """Make the group `name` with `limits`."""
        os.mkdir(name, dir_fd=self.folder)
        for controller in self.controllers:
            for file, value in limits.files(controller, self.version).items():
                self._write(f"{name}/{file}", value, optional=file == "memory.swap.max")

    def door(self, name: str) -> int:
        """A descriptor through which a new process enters the group `name`: see `Cgroups.doors`."""
        if self.version == 2:
            return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.folder)
        return os.open(f"{name}/tasks", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.folder)

    def _write(self, path: str, value: str, optional: bool = False) -> None:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.folder)
        except FileNotFoundError:
            if optional:
                return
            raise
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)


class Cgroups:
    """The groups of one launcher; a group that a box has left is used again for the next box of the same limits."""

    def __init__(self) -> None:
        self.hierarchies = _writable_hierarchies(f"termgym-{os.getpid()}")
        self._free: dict[str, list[str]] = {}
        self._made: list[str] = []

    @property
    def controllers(self) -> list[str]:
        """The controllers that limit boxes here, such as ["pids", "memory", "cpu"]."""
        return [name for hierarchy in self.hierarchies for name in hierarchy.controllers]

    def take(self, limits: Limits) -> str:
        """An empty group with `limits`; give it back with `give`."""
        if free := self._free.get(limits.key()):
            return free.pop()
        name = str(len(self._made))
        self._made.append(name)
        for hierarchy in self.hierarchies:
            hierarchy.make(name, limits)
        return name

    def doors(self, name: str) -> tuple[list[int], list[int]]:
        """Descriptors of the group `name`: those to write "0" to, by the process that enters, and those to clone into.

        To move another process, or all threads of one, would wait until every CPU has been through the scheduler: 10 ms
        on a quiet host. One thread that moves itself (version 1) and a process born inside (version 2) need not.
        """
        old, new = ([one.door(name) for one in self.hierarchies if one.version == version] for version in (1, 2))
        return old, new

    def give(self, name: str, limits: Limits) -> None:
        """Take back a group whose processes are gone."""
        self._free.setdefault(limits.key(), []).append(name)

    def remove(self) -> None:
        """Remove all groups of this launcher, and those that others left whose boxes had not ended as it began."""
        for hierarchy in self.hierarchies:
            for name in self._made:
                _rmdir(name, hierarchy.folder)
            _reap("..", hierarchy.folder)
            _rmdir(f"../termgym-{os.getpid()}", hierarchy.folder)


def _rmdir(name: str, folder: int) -> None:
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError:
        pass  # a zombie not yet reaped, or gone already: the next launcher's reaper takes it


def _writable_hierarchies(name: str) -> list[Hierarchy]:
    found: list[Hierarchy] = []
    for version, controllers, parent in _mounted():
        try:
            if version == 2:
                _enable(parent, controllers)
            _reap(parent)
            os.mkdir(f"{parent}/{name}")
            if version == 2:
                _enable(f"{parent}/{name}", controllers)
        except OSError:
            continue
        found.append(Hierarchy(version, controllers, os.open(f"{parent}/{name}", os.O_RDONLY | os.O_CLOEXEC)))
    return found


def _mounted() -> list[tuple[int, list[str], str]]:
    """(version, controllers of ours, folder to make groups in) of each mounted cgroup tree."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        own = {names: path for _, names, path in (line.rstrip("\n").split(":", 2) for line in file)}
    trees: list[tuple[int, list[str], str]] = []
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, after = line.split(" - ")
            point, (kind, _, options) = before.split()[4], after.split()[:3]
            if kind == "cgroup":
                wanted = [c for c in ("pids", "memory", "cpu") if c in options.split(",")]
                names = next((names for names in own if set(wanted) & set(names.split(","))), "")
                parent = point + own.get(names, "/").rstrip("/")
            elif kind == "cgroup2":
                wanted = [c for c in ("pids", "memory", "cpu") if c in _read(f"{point}/cgroup.controllers").split()]
                parent = point
            else:
                continue
            if wanted:
                trees.append((int(kind == "cgroup2") + 1, wanted, parent))
    return trees


def _enable(folder: str, controllers: list[str]) -> None:
    """Version 2: let the children of `folder` have `controllers`."""
    missing = set(controllers) - set(_read(f"{folder}/cgroup.subtree_control").split())
    if missing:
        with open(f"{folder}/cgroup.subtree_control", "w", encoding="utf-8") as file:
            file.write(" ".join(f"+{name}" for name in sorted(missing)))


def _reap(path: str, folder: int | None = None) -> None:
    """Remove the groups of launchers that were killed before they could. Other launchers may be at it, too."""
    parent = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        for entry in os.listdir(parent):
            match = re.fullmatch(r"termgym-(\d+)", entry)
            if match and not os.path.exists(f"/proc/{match[1]}"):
                _remove_all(entry, parent)
    finally:
        os.close(parent)


def _remove_all(name: str, parent: int) -> None:
    try:
        folder = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return  # another was faster
    try:
        for group in filter(str.isdigit, os.listdir(folder)):
            _rmdir(group, folder)
    except FileNotFoundError:
        pass
    finally:
        os.close(folder)
    _rmdir(name, parent)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
