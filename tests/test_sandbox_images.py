# ruff: noqa: E501 - scripts read better on one line
"""The namespace sandbox over stored images: what they say of their programs, and how their layers lie on each other."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from termgym import aio
from termgym.errors import ImageError, SandboxError, SandboxFileError, SandboxUnavailable, UnknownName
from termgym.image.store import Store
from termgym.launcher import linux
from termgym.sandbox import ExecResult, Sandbox, SandboxSpec, namespace, new_sandbox
from termgym.task import File
from tests import images
from tests.boxes import (
    ROOT,
    Boxes,
    case,
    out,
    python,
    read_until,
    sh,
    split,
    there,
)

# What an image says of its programs.

PASSWD = "root:x:0:0::/root:/bin/bash\napp:x:1000:1001::/home/app:/bin/bash\n"
GROUP = "root:x:0:\napp:x:1001:\nstaff:x:50:app\n"
ACCOUNTS = (
    images.entry("etc/passwd", PASSWD),
    images.entry("etc/group", GROUP),
    images.folder("home/app", 0o700, uid=1000, gid=1001),
)
Stock = Callable[..., SandboxSpec]


@pytest.fixture
def stock(image: Path, stored: str, tmp_path: Path) -> Stock:
    """Imports an image of the tools and more layers, and gives what to start of it."""
    links, files = split(image)

    def put_in(*layers: list[images.Entry], tools: bool = True, **config: Any) -> SandboxSpec:
        base = [[*links, *files], list(ACCOUNTS)] if tools else []
        made = Store().import_archive(images.made(tmp_path / "stock.tar", *base, *layers, **config), "stock")
        return SandboxSpec(made.digest, "")

    return put_in


@pytest.fixture
def other() -> Iterator[Boxes]:
    """For sandboxes of any specification."""
    made = Boxes("other")
    yield made
    aio.run(made.close())


async def started(boxes: Boxes, spec: SandboxSpec) -> Sandbox:
    box = boxes.keep(new_sandbox("namespace", spec))
    await box.start()
    return box


as_root = pytest.mark.skipif(not ROOT, reason="without root there is only root inside")


@case
async def test_env_and_workdir_are_the_images_unless_the_spec_has_its_own(stock: Stock, other: Boxes) -> None:
    spec = stock(Env=["PATH=/opt:/usr/bin", "A=image", "B=image", "C=image"], WorkingDir="/made/for/it")
    box = await started(other, replace(spec, env={"B": "spec", "C": "spec"}))
    shown = "echo $A $B $C $PATH $HOME; pwd; stat -c %u ."
    assert await out(box, shown, env={"C": "call"}) == "image spec call /opt:/usr/bin /root\n/made/for/it\n0\n"
    assert (await box.exec(["ls", "/made"])).stdout == b"for\n", "a bare name is found in PATH"
    assert (await box.exec(["nothing"])).returncode == 127
    judge = await other.verifier(box)
    assert await out(judge, shown) == f"spec spec {namespace.ENV['PATH']} /tests\n/tests\n0\n", "no PATH of the agent's"
    assert await out(await started(other, replace(spec, workdir="/else")), "pwd") == "/else\n"
    assert await out(judge, "pwd", cwd="") == "/made/for/it\n"
    assert await out(await started(other, stock()), "pwd") == "/\n"
    assert await out(await started(other, SandboxSpec(workdir="")), "pwd") == "/app\n"


@as_root
@case
async def test_programs_run_as_the_images_user(stock: Stock, other: Boxes) -> None:
    box = await started(other, stock(User="app", WorkingDir="/home/app"))
    who = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME; pwd"
    assert await out(box, who) == "1000\n1001\n1001 50\n/home/app app app\n/home/app\n"
    assert await out(box, who, user="root") == "0\n0\n0\n/root root root\n/home/app\n"
    assert await out(box, who, user="7:staff") == "7\n50\n50\n/ 7 7\n/home/app\n"
    caps = "while read -r k v; do case $k in Cap[IPEA]*|Uid:|Gid:|NoNew*) echo $v;; esac; done < /proc/self/status"
    ids = ["1000 1000 1000 1000", "1001 1001 1001 1001"]
    assert (await out(box, caps)).splitlines() == [*ids, *["0" * 16] * 4, "1"]
    await box.put({"/home/app/its": File(b"x", 0o600), "/srv/roots": File(b"x", 0o600)})
    assert (await sh(box, "cat /srv/roots")).returncode == 1 and await box.get("/srv/roots") == b"x"
    assert await out(box, "stat -c %u its; cat its") == "1000\nx" and await box.get("/home/app/its") == b"x"
    assert await out(box, "echo mine > mine; stat -c '%u %g' mine; cat < mine") == "1000 1001\nmine\n"
    assert (await sh(box, "echo x > /etc/passwd || echo x > /usr/bin/ls")).returncode == 1
    assert (await sh(box, "chown 0 mine || kill -9 1 || ls /root")).returncode
    result = await sh(box, "cat /dev/stdin > /dev/stdout; echo err > /dev/stderr", stdin=b"in")
    assert result == ExecResult(0, b"in", b"err\n")
    assert (await box.exec(["/none"])).returncode == 127
    with pytest.raises(SandboxError):
        await box.exec(["/bin/ls", "a\0b"])
    assert (await sh(box, "sleep 82", timeout_s=0.1)).timed_out
    fork = (await other.fork(box))[0]
    assert await out(fork, "cat mine; id -u") == "mine\n1000\n"
    assert await out(await other.verifier(fork), "id -u; cat /home/app/mine") == "0\nmine\n"


@as_root
@case
async def test_a_user_owns_its_terminal(stock: Stock, other: Boxes) -> None:
    box = await started(other, replace(stock(), user="app"))
    pty = await box.open_pty(["/bin/bash", "--norc", "-i"], env={"PS1": "ready> "})
    try:
        await read_until(pty.stream, b"ready> ")
        os.write(
            pty.stream, b"stat -Lc '%u %a' /dev/fd/0; echo to-tty > /dev/tty; echo re > /dev/stdout; cat /dev/stdin\n"
        )
        await read_until(pty.stream, b"1000 620\r\nto-tty\r\nre\r\n")
        os.write(pty.stream, b"line\n")
        await read_until(pty.stream, b"line\r\nline\r\n")
        os.write(pty.stream, b"\x03")
        await read_until(pty.stream, b"^C")
        os.write(pty.stream, b"sleep 83 &\n id -u; kill -9 $PPID; echo still $?\n")
        await read_until(pty.stream, b"still 1")
    finally:
        pty.close()
    assert await out(box, "id -u") == "1000\n"


@as_root
@case
async def test_a_user_gets_at_nothing_of_roots(other: Boxes) -> None:
    """Neither by what a program keeps of root, nor by what it may do to the process that starts programs."""
    box = await started(other, SandboxSpec(user="www-data"))
    assert await python(
        box,
        """
        import ctypes, os, errno
        for name, args in (("setuid", (0,)), ("seteuid", (0,)), ("setreuid", (0, 0)), ("setresuid", (0, 0, 0)), ("setresuid", (-1, 0, -1)),
                           ("setgid", (0,)), ("setresgid", (0, 0, 0)), ("setgroups", ([0],)), ("setgroups", ([],))):
            try: getattr(os, name)(*args); print("got", name, args)
            except PermissionError: pass
        libc = ctypes.CDLL(None, use_errno=True)
        print(libc.prctl(47, 2, 7, 0, 0), ctypes.get_errno() == errno.EPERM, sorted(os.listdir("/proc/self/fd")))
        """,
    ) == "-1 True ['0', '1', '2', '3']\n"  # fmt: skip
    await box.put({"/app/attack.py": File.of(ATTACK)})
    for _ in range(2):
        attack = asyncio.create_task(box.exec(["/usr/bin/python3", "-I", "-S", "/app/attack.py"]))
        for number in range(30):
            assert (await sh(box, f"echo {number}")).stdout == b"%d\n" % number
        result = await attack
        assert (result.returncode, result.stdout) == (0, b"tried\n"), result
        pty = await box.open_pty(["/bin/bash", "--norc", "-i"])  # and then again, served by a process that enters
        pty.close()
        await asyncio.sleep(2 * namespace.REST_S)


ATTACK = """
import ctypes, os, time
libc, server = ctypes.CDLL(None, use_errno=True), os.getppid()
end = time.monotonic() + 1
while time.monotonic() < end:
    for pid in {server, 1}:
        for signum in (0, 9):
            try: os.kill(pid, signum); print("signalled", pid)
            except PermissionError: pass
        if libc.ptrace(0x4206, pid, 0, 0) == 0: print("traced", pid)
        for path in ("mem", "fd/3", "environ", "root/etc"):
            try: os.close(os.open(f"/proc/{pid}/{path}", os.O_RDONLY)); print("opened", pid, path)
            except (PermissionError, FileNotFoundError): pass
print("tried")
"""


@pytest.mark.skipif(ROOT, reason="as root there are all users inside")
@case
async def test_without_root_another_user_is_refused(stock: Stock, other: Boxes) -> None:
    spec = stock(User="app")
    with pytest.raises(SandboxUnavailable, match=r"user 'app'.*run termgym as root, or give user='root'"):
        await started(other, spec)
    assert await out(await started(other, replace(spec, user="root")), "id -u") == "0\n"


@case
async def test_names_that_nobody_has(stock: Stock, other: Boxes) -> None:
    with pytest.raises(ImageError, match="has no user 'none'"):
        await started(other, stock(User="none"))
    with pytest.raises(UnknownName, match="image import"):
        await started(other, SandboxSpec("none:1"))
    with pytest.raises(SandboxError, match="No such file"):
        await started(other, SandboxSpec("/no/such/root"))


@case
async def test_an_entry_point_runs_beside(stock: Stock, other: Boxes) -> None:
    user, uid = ("app", "1000") if ROOT else ("", "0")
    script = "echo $0 $* > ran; id -u >> ran; [ $A = 1 ] && sleep 84"
    home = images.folder("home/app", 0o777, uid=1000 if ROOT else 0)
    config = {"User": user, "WorkingDir": "/home/app", "Env": ["A=1"]}
    box = await started(other, stock([home], Entrypoint=["bash", "-c", script, "zero"], **config))
    await there(box, "/home/app/ran", uid)
    assert await box.get("/home/app/ran") == f"zero sleep infinity\n{uid}\n".encode()
    running = "for p in /proc/[0-9]*; do read -r n < $p/comm && [ $n = sleep ] && echo $n; done 2>/dev/null; exit 0"
    assert await out(box, running) == "sleep\n"
    await out(box, "rm ran")
    fork = (await other.fork(box))[0]
    assert await out(fork, running) == ""
    with pytest.raises(SandboxFileError):
        await fork.get("/home/app/ran")
    assert await out(await other.verifier(fork), running) == ""
    with pytest.raises(SandboxError, match=r"ENTRYPOINT of the image .*, gone: No such file"):
        await started(other, stock(Entrypoint=["gone"]))


# Layers.


@pytest.mark.parametrize(
    "target",
    [
        "/base/host/skeleton/etc",
        "../base/host/skeleton/etc",
        "/proc/self/root/base/host/skeleton/etc",
        "/proc/1/root/etc",
        "etc",
    ],
)
@case
async def test_no_link_of_an_image_leads_the_launcher(stock: Stock, other: Boxes, target: str) -> None:
    """What is pinned for a verifier is the image's own, never what the same path is where the launcher runs."""
    spec = stock([images.entry(".wh.etc"), images.link("etc", target)])
    inner = stock(
        [
            images.folder("etc"),
            *(images.link(f"etc/{name}", f"{target}/{name}") for name in ("ssl", "pki", "nsswitch.conf")),
        ]
    )
    for each in (spec, inner):
        judge = await other.verifier(await started(other, each))
        assert (
            await out(
                judge,
                "for f in nsswitch.conf ssl/openssl.cnf login.defs alternatives; do cat /etc/$f; ls /etc/$f/; done 2>/dev/null; exit 0",
            )
            == ""
        )
    for name in ("usr", "lib", "bin"):
        bare = await started(other, stock([images.link(name, target), images.entry("x")], tools=False))
        assert (await (await other.verifier(bare)).exec(["/usr/bin/ls"])).returncode == 127


@case
async def test_what_is_pinned_is_what_the_layers_show(stock: Stock, other: Boxes) -> None:
    spec = stock(
        [images.entry(f"etc/{name}", "old\n") for name in ("profile", "alternatives/a", "alternatives/b", "perl/x", "vim/x", "magic")],
        [images.entry("etc/.wh.profile"), images.entry("etc/alternatives/.wh.a"), images.entry("etc/perl", "file\n"),
         images.entry("etc/vim/.wh..wh..opq"), images.entry("etc/vim/y"), images.entry("etc/magic", "new\n")],
    )  # fmt: skip
    box = await started(other, spec)
    shown = "cd /etc; cat profile 2>/dev/null; ls alternatives vim; cat perl magic"
    assert await out(box, shown) == "alternatives:\nb\n\nvim:\ny\nfile\nnew\n"
    await out(
        box,
        "cd /etc; for f in profile alternatives/a magic vim/x; do echo evil > $f; done; rm perl; mkdir perl; echo evil > perl/x",
    )
    judge = await other.verifier(box)
    assert await out(judge, shown) == "alternatives:\nb\n\nvim:\ny\nfile\nnew\n"


@case
async def test_as_many_layers_as_docker_has_and_forks_on_them(stock: Stock, other: Boxes) -> None:
    box = await started(other, stock(*([images.entry(f"layers/{number}", "x")] for number in range(125))))
    assert len((await out(box, "ls /layers")).split()) == 125
    for _ in range(3):
        await out(box, "rm /layers/$(ls /layers | head -n 1)")
        box = (await other.fork(box))[0]
    assert len((await out(await other.verifier(box), "ls /layers")).split()) == 122
    with pytest.raises(ImageError, match="has 128 layers, not 1 to 127"):
        stock(*([images.entry(f"layers/{number}")] for number in range(126)))
    with pytest.raises(OSError, match="fewer layers"):
        linux.mount("x", "/", "overlay", 0, "x" * 4096)
