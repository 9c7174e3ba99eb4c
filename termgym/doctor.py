"""The doctor: what this host allows termgym to do, found out by doing it."""

import os
import platform
import re
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from termgym.errors import SandboxUnavailable, TermgymError
from termgym.launcher_client import launcher
from termgym.proof import proven
from termgym.sandbox import SandboxSpec, close_shared, new_sandbox, sandbox_kinds
from termgym.source import missing
from termgym.terminal import Settled, Terminal
from termgym.tmux.server import check

OLDEST_KERNEL = (5, 12)
DESCRIPTORS_EACH = 7
"""That a sandbox with its terminal takes."""
PROMPT_TIMEOUT_S = 10.0
DEFAULT_KIND = "namespace"
"""Of the others a host can do without."""
COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}
USERS = {
    "range": "root inside has the full range of users, and owns the system's files",
    "nobody": "root inside has the full range of users; the system's files show as nobody's, readable and replaceable",
    "single": "root is the only user inside; the system's files show as nobody's, readable and replaceable",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the doctor looked at."""

    name: str
    grade: str
    """ "ok"; "note", where termgym works with less; "problem", where something does not work."""
    what: str
    advice: str = ""
    """What to do about it."""


async def examine() -> list[Finding]:
    """Look at everything; takes about a second."""
    try:
        found = [_kernel()]
        for kind in sandbox_kinds():
            found += await _sandbox(kind)
        found += [*await _launcher(), _tmux(), _xattrs(), _descriptors(), *_programs()]
        return found
    finally:
        with suppress(SandboxUnavailable):  # one that never started
            await close_shared()


def healthy(findings: list[Finding]) -> bool:
    """Whether termgym can run episodes: whether a kind of sandbox works."""
    return any(one.name.startswith("sandbox ") and one.grade == "ok" for one in findings)


def table(findings: Sequence[Finding]) -> Table:
    """Findings, for people."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    shown.add_column(no_wrap=True)
    shown.add_column()
    for one in findings:
        advice = f"\n[bold]{escape(one.advice)}[/]" if one.advice else ""
        shown.add_row(f"[{COLOURS[one.grade]}]{one.grade}[/]", one.name, escape(one.what) + advice)
    return shown


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])


def _kernel() -> Finding:
    what = f"Linux {platform.release()} on {platform.machine()}"
    if _version() >= OLDEST_KERNEL:
        return Finding("kernel", "ok", what)
    return Finding("kernel", "problem", what, "Linux 5.12 or newer is needed for mounts with mapped owners.")


async def _sandbox(kind: str) -> list[Finding]:
    """Start two of a kind and open a terminal: the first start brings up what all share."""
    try:
        begin = time.perf_counter()
        first = new_sandbox(kind, SandboxSpec())
        await first.start()
        between = time.perf_counter()
        second = new_sandbox(kind, SandboxSpec())
        await second.start()
        end = time.perf_counter()
    except TermgymError as error:
        grade = "problem" if kind == DEFAULT_KIND else "note"
        return [Finding(f"sandbox {kind}", grade, "does not start", str(error))]
    try:
        took = [f"{1000 * seconds:.0f} ms" for seconds in (between - begin, end - between)]
        what = f"works: the first start took {took[0]}, the next {took[1]}"
        terminal = await Terminal.open(second)
        settled, took_s = await _settles(terminal)
        terminal.close()
        return [Finding(f"sandbox {kind}", "ok", what), _settling(kind, settled, took_s)]
    finally:
        await first.close()
        await second.close()


async def _settles(terminal: Terminal) -> tuple[Settled, float]:
    await terminal.ready(PROMPT_TIMEOUT_S)
    begin = time.perf_counter()
    settled = await terminal.type("true\n", PROMPT_TIMEOUT_S)
    return settled, time.perf_counter() - begin


def _settling(kind: str, settled: Settled, took_s: float) -> Finding:
    what = f'a step ended with "{settled.value}" after {1000 * took_s:.1f} ms'
    if settled is Settled.PROMPT:
        return Finding(f"settling in {kind}", "ok", what)
    advice = (
        "The kernel does not tell what programs wait for, so each step waits for silence instead: allow this user to "
        "trace its sandboxes (kernel.yama.ptrace_scope 0 or 1, no hidepid on /proc, a seccomp profile with ptrace)."
    )
    return Finding(f"settling in {kind}", "note", what, advice)


async def _launcher() -> list[Finding]:
    """What namespaces come to here; nothing where there are none, as their sandbox has said so already."""
    try:
        found = await launcher()
    except SandboxUnavailable:
        return []
    users = Finding("users", "ok" if found.users == "range" else "note", f"{found.users}: {USERS[found.users]}")
    bare = [name for name in ("pids", "memory", "cpu") if name not in found.cgroups]
    if not bare:
        return [users, Finding("limits", "ok", f"cgroups bound {', '.join(found.cgroups)}")]
    held = f"cgroups bound {', '.join(found.cgroups) or 'nothing'}; {', '.join(bare)}: per-process limits or none"
    advice = "To bound whole sandboxes, run where a cgroup may be written: as root, or with Delegate=yes under systemd."
    return [users, Finding("limits", "note", held, advice)]


def _tmux() -> Finding:
    """Whether there can be a terminal of that kind."""
    try:
        return Finding("terminal tmux", "ok", f'{check()}: terminal="tmux" works')
    except SandboxUnavailable as error:
        return Finding("terminal tmux", "note", "missing, or too old", str(error))


def _xattrs() -> Finding:
    """Whether a tmpfs holds the marks by which an overlay hides a folder of its lower layers."""
    fd = os.memfd_create("termgym-doctor")
    try:
        os.setxattr(fd, "user.overlay.opaque", b"y")
    except OSError as error:
        advice = "Linux 6.6 has them; before, folders of the system cannot be replaced whole inside."
        return Finding("tmpfs xattrs", "note", str(error.strerror), advice)
    finally:
        os.close(fd)
    return Finding("tmpfs xattrs", "ok", "user attributes work: folders of the system can be replaced inside")


def _descriptors() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = hard // DESCRIPTORS_EACH
    what = f"soft limit {soft:,}, raised to the hard one, {hard:,}: room for about {room:,} sandboxes"
    advice = "" if room >= 200 else "Raise it to run more at a time: ulimit -Hn, or LimitNOFILE under systemd."
    return Finding("descriptors", "note" if advice else "ok", what, advice)


def _programs() -> Iterator[Finding]:
    lacking = {name: gone for name, family in proven().items() if (gone := missing(family.requires))}
    for name, gone in lacking.items():
        yield Finding(f"family {name}", "note", f"left out: {', '.join(gone)} missing", f"Install {' '.join(gone)}.")
    if not lacking:
        yield Finding("families", "ok", f"all {len(proven())} have the programs that they require")
