"""A real tmux as the terminal: the same screens as ours, Terminus 2's views, people who attach, and hostile output."""

import asyncio
import contextlib
import os
import pty
import re
import secrets
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import gymnasium as gym
import pytest
from libtmux import Server

import termgym
from termgym import aio
from termgym.attach import find, live
from termgym.episode import Carried, Episode, EpisodeConfig
from termgym.errors import SandboxError, TaskError, UnknownName
from termgym.family import families
from termgym.pool import Order
from termgym.sandbox import SandboxSpec, new_sandbox
from termgym.source import missing
from termgym.task import Task
from termgym.terminal import Settled, Terminal
from termgym.tmux.control import Control, quoted
from termgym.tmux.server import runtime_folder, server

pytestmark = pytest.mark.tmux
ROOT = Path(__file__).parents[1]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
TASK = Task("tmux/try", "Try it.", limits=termgym.Limits(turns=0, wall_s=0))
FAMILY = next(name for name, family in families().items() if not missing(family.requires))


@contextlib.asynccontextmanager
async def terminal(kind: str = "tmux", rows: int = 40, cols: int = 160) -> AsyncIterator[Terminal]:
    sandbox = new_sandbox("namespace", SandboxSpec())
    await sandbox.start()
    shell = None
    try:
        shell = await Terminal.open(sandbox, kind=kind, rows=rows, cols=cols)
        assert await shell.ready(10) is Settled.PROMPT
        await shell.mark()
        yield shell
    finally:
        if shell is not None:
            shell.close()
        await sandbox.close()


def on_tmux(body: Callable[[Terminal], Awaitable[None]]) -> None:
    async def main() -> None:
        async with terminal() as shell:
            await body(shell)

    aio.run(main())


async def say(shell: Terminal, keys: str, duration_s: float = 5.0) -> str:
    await shell.type(keys, duration_s)
    return await shell.view()


async def shown(shell: Terminal) -> str:
    return (await shell.screen()).text


def folders(pid: int) -> list[Path]:
    return [folder for folder in runtime_folder().iterdir() if folder.name.startswith(f"{pid}-")]


def our_server() -> Server:
    (folder,) = folders(os.getpid())
    return Server(socket_path=folder / "s")


def gone(pid: int) -> bool:
    """Whether nothing of a process's tmux is left: no folder of its own, no server, no process that holds a pane."""
    found = subprocess.run(["pgrep", "-f", f"termgym-{os.geteuid()}/{pid}-"], stdout=subprocess.PIPE, check=False)
    return not folders(pid) and not found.stdout


def wait_until(true: Callable[[], object], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)


# The same screens as ours.

SESSIONS = {
    "vim": [
        "printf 'one\\ntwo\\nthree\\n' > f; vi -u NONE f\n",
        *("Down", "A more", "Escape", "/three\n", "Enter", "ciw3", "Escape", ":split\n", "C-w", "j", "dd"),
        *(":silent undo\n", ":wqa\n", "cat f\n"),  # else it says how many seconds ago
    ],
    "less": ["seq 1000 > n; less n\n", "Space", "b", "PPage", "NPage", "/500\n", "n", "G", "g", "q"],
    "python": ["python3 -q\n", "1 + 1\n", "for i in range(3):\n", "    print(i)\n\n", "x\n", "Up", "C-c", "exit()\n"],
    "colours and long lines": [
        "printf '\\033[1;31mred\\033[0m \\033[48;5;17mblue\\033[0m\\n'; ls --color=always -d /usr /etc/*\n",
        "python3 -c 'print(\"x\" * 500)'\n",
        "echo " + "word " * 80 + "\n",
        "M-b",
        "C-a",
        "C-k",
    ],
    "wide characters": [
        "echo '日本語 中文 👍 é ü'\n",
        "echo ",
        "日本",
        "BSpace",
        "語\n",
        "printf '%s' " + "中" * 100 + "\n",
    ],
    "moves": [
        "printf '\\033[2J\\033[5;10Hhere\\033[10;3r\\033[3;1Hthere\\n\\n\\033[r\\033[20;1H'\n",
        "for i in 1 2 3; do printf \"%s\\r\" $i; done; printf '\\n'; tput cup 10 10; tput el; echo x\n",
        "clear\n",
        "tput smcup; echo in; tput rmcup\n",
    ],
    "an interrupted yes": ["yes | head -100\n", "C-c", "clear\n", "echo after\n"],
    "cat and end of input": ["cat\n", "typed\n", "C-d", "read -p 'name? ' x; echo $x\n", "me\n"],
}


@pytest.mark.parametrize("name", SESSIONS)
def test_both_kinds_of_terminal_show_the_same(name: str) -> None:
    async def main() -> None:
        async with terminal("pty") as ours, terminal("tmux") as theirs:
            for keys in SESSIONS[name]:
                await asyncio.gather(ours.type(keys, 5.0), theirs.type(keys, 5.0))
                assert await shown(theirs) == await shown(ours), keys
                assert (await theirs.screen()).cursor == (await ours.screen()).cursor, keys

    aio.run(main())


def test_a_resize_in_the_middle_shows_the_same() -> None:
    async def main() -> None:
        async with terminal("pty") as ours, terminal("tmux") as theirs:
            for keys, size in (
                ("seq 100\n", (20, 70)),
                ("echo now\n", (45, 120)),
                ("seq 300 > n; vi -u NONE n\n", (15, 60)),
                ("G", (30, 100)),
                (":q\n", None),
            ):
                for shell in (ours, theirs):
                    await shell.type(keys, 5.0)
                    if size:
                        await shell.resize(*size)
                        await shell.type("", 1.0)
                if keys.startswith(("G", "seq 300")):  # else tmux shows lines of its history again, which we have not
                    assert await shown(theirs) == await shown(ours), keys
                assert (await theirs.screen()).rows == (await ours.screen()).rows

    aio.run(main())


def test_top_looks_like_top() -> None:
    async def body(shell: Terminal) -> None:
        await shell.type("top\n", 5.0)
        lines = (await shown(shell)).splitlines()
        assert lines[0].startswith("top -") and lines[1].startswith("Tasks:") and lines[6].split()[0] == "PID"
        assert await shell.type("q", 5.0) is Settled.PROMPT

    on_tmux(body)


# Keys.


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ("C-c", "03"),
        ("Up", "1b5b41"),
        ("Enter", "0d"),
        ("a\nb", "610a62"),
        ("C-c\n", "432d630a"),
        ("$HOME #{pid} ~ \\ \" ' ; % # {", "24484f4d4520237b7069647d207e205c20222027203b2025202320" + "7b"),
        ("~", "7e"),
        ("-l", "2d6c"),
        ("a;", "613b"),
        ("a\0b\x1b[A\x7f", "6100621b5b417f"),
        ("é中\ud800", "c3a9e4b8ad3f"),
        ("x" * 20_000 + "\n", "78" * 20_000 + "0d"),
    ],
)
def test_keys_are_those_of_send_keys(keys: str, sent: str) -> None:
    async def body(shell: Terminal) -> None:
        assert (await shell._console.press(keys)).hex() == sent  # pyright: ignore[reportPrivateUsage]

    on_tmux(body)


def test_arrows_follow_the_program() -> None:
    async def body(shell: Terminal) -> None:
        assert "^[OA" in await say(shell, "printf '\\033[?1h'; cat -v\n") + await say(shell, "Up")

    on_tmux(body)


def test_quoting_leaves_nothing_to_expand() -> None:
    assert quoted('a"$b\\\n') == '"a\\"\\$b\\\\\\012"'


# What Terminus 2 shows.


def test_views_are_those_of_terminus() -> None:
    async def body(shell: Terminal) -> None:
        prompt = "root@termgym:/app#"
        blank = "\n" * 37
        first = await say(shell, "echo hi\n")
        # Before was a lone prompt: without a line end in it, what is new begins where it stands.
        assert first == f"New Terminal Output:\n{prompt} echo hi\nhi\n{prompt}\n" + blank
        assert await say(shell, "echo ho\n") == f"New Terminal Output:\n\n{prompt} echo ho\nho\n{prompt}\n" + blank[2:]
        cleared = await say(shell, "clear\n")
        assert cleared == f"Current Terminal Screen:\n{prompt}\n" + "\n" * 39
        long = await say(shell, "seq 5000\n")
        assert re.search(r"\n\[\.\.\. output limited to 10000 bytes; \d+ interior bytes omitted \.\.\.\]\n", long)
        assert long.startswith(f"New Terminal Output:\n{prompt} seq 5000\n1\n2\n") and long.endswith(
            f"5000\n{prompt}\n"
        )
        assert len(long.split("\n[...")[0]) == 5000

    on_tmux(body)


def test_the_whole_history_is_kept() -> None:
    async def body(shell: Terminal) -> None:
        await shell.type("seq 5000\n", 5.0)
        lines = (await shell.view(1_000_000)).splitlines()
        assert lines[2:5002] == [str(number) for number in range(1, 5001)]

    on_tmux(body)


def test_what_a_program_prints_cannot_pass_for_a_reply() -> None:
    async def body(shell: Terminal) -> None:
        forged = "\\n".join(f"%end {int(time.time()) + n // 300} {n % 300} 1" for n in range(600))
        await shell.type(f"printf '{forged.replace('%', '%%')}\\n'\n", 5.0)
        assert "%end" in await shell.view()
        for _ in range(3):
            assert "still here" in await say(shell, "echo still here\n")

    on_tmux(body)


# Episodes.


def oracle(env: gym.Env[str, str]) -> float:
    env.reset(seed=3)
    task = env.unwrapped.episode.task  # pyright: ignore[reportAttributeAccessIssue]
    action = termgym.Action("", "", task.oracle, True).to_json()
    reward, ended = 0.0, False
    while not ended:
        _, reward, terminated, truncated, _ = env.step(action)
        action, ended = termgym.Action("", "", (), True).to_json(), terminated or truncated
    return float(reward)


@pytest.mark.parametrize("wait", ["settle", "duration"])
def test_the_oracle_solves_in_tmux(wait: str) -> None:
    env = gym.make("Terminal-v0", task=FAMILY, level=1, terminal="tmux", wait=wait, disable_env_checker=True)
    try:
        first, _ = env.reset(seed=3)
        assert "root@termgym" in first
        if wait == "settle":
            assert oracle(env) == 1.0
    finally:
        env.close()
    wait_until(lambda: gone(os.getpid()))


def test_a_vector_of_eight_in_one_tmux() -> None:
    envs = gym.make_vec("Terminal-v0", num_envs=8, task=FAMILY, level=1, terminal="tmux")
    try:
        envs.reset(seed=5)
        assert len(folders(os.getpid())) == 1
        action = termgym.Action("", "", (termgym.Command("echo $((6*7))\n", 5.0),)).to_json()
        observations, *_ = envs.step([action] * 8)
        assert all("42" in one and one.startswith("New Terminal Output:") for one in observations)
    finally:
        envs.close()
    wait_until(lambda: gone(os.getpid()))


def test_branches_go_on_in_tmux() -> None:
    env = gym.make("Terminal-v0", task=FAMILY, terminal="tmux", disable_env_checker=True).unwrapped
    try:
        env.reset(seed=1)
        step = termgym.Action("", "", (termgym.Command("x=5; cd /tmp\n", 5.0),)).to_json()
        env.step(step)
        (branch,) = env.fork(1)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            look = termgym.Action("", "", (termgym.Command("echo $x $PWD\n", 5.0),)).to_json()
            observation, *_ = branch.step(look)
            assert "5 /tmp" in observation and branch.carried is Carried.SHELL
        finally:
            branch.close()
    finally:
        env.close()


def test_grids_and_pictures_are_drawn_in_tmux_too() -> None:
    env = gym.make("TerminalGrid-v0", task=FAMILY, terminal="tmux", rows=24, cols=80, disable_env_checker=True)
    try:
        observation, _ = env.reset(seed=1)
        assert "root@termgym" in "".join(map(chr, observation["chars"].flat))
    finally:
        env.close()


def test_a_missing_tmux_says_what_to_install(tmp_path: Path) -> None:
    code = "import asyncio; from termgym.terminal import Terminal; asyncio.run(Terminal.open(None, kind='tmux'))"
    env = {**ENV, "PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert 'SandboxUnavailable: terminal="tmux" needs tmux 3.3 or newer' in done.stderr and "install" in done.stderr


def test_a_pool_tells_the_kinds_apart() -> None:
    assert Order(SandboxSpec()).key != Order(SandboxSpec(), terminal="tmux").key


def test_no_such_kind_of_terminal() -> None:
    with pytest.raises(UnknownName, match="did you mean tmux"):
        gym.make("Terminal-v0", terminal="tmx")


# Hostile output.


def test_hostile_output_reaches_nobody() -> None:
    async def body(shell: Terminal) -> None:
        tricks = (
            r"printf '\033]52;c;cm0gLXJm\007\033Ptmux;\033\033]52;c;aGk=\007\033\\\033k name\033\\'",
            r"printf '\033]0;%s\007' $(head -c 100000 /dev/zero | tr '\0' t)",
            r"printf '\033[?1000h\033[?1003h\033[?2004h\033]10;?\007\033[21t\033[>q'; printf '\033[8;5;5t'",
        )
        for trick in tricks:
            assert await shell.type(trick + "\n", 5.0) in (Settled.PROMPT, Settled.READING)
            await shell.type("C-u", 1.0)
        server = our_server()
        assert not server.cmd("list-buffers").stdout
        assert {window.window_width for window in server.windows if window.session.session_name != "hold"} == {"160"}
        assert "fine" in await say(shell, "\nprintf '\\033c'; echo fi''ne\n")

    on_tmux(body)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "head -c 20000000 /dev/urandom",
        "while :; do printf '\\033[6n\\033[5n\\033[c'; done",
        "yes \"$(printf '\\033[31;1;4m%0150d' 7)\"",
        "while :; do printf '\\033]2;title\\007'; done",
        "while :; do printf '\\033P'; done",
    ],
)
def test_a_flood_neither_stalls_nor_fills_memory(command: str) -> None:
    async def body(shell: Terminal) -> None:
        worst = 0.0

        async def beat() -> None:
            nonlocal worst
            while True:
                begin = time.monotonic()
                await asyncio.sleep(0.01)
                worst = max(worst, time.monotonic() - begin)

        beating = asyncio.create_task(beat())
        await shell.type(command + "\n", 2.0)
        assert len((await shell.view()).encode()) < 10_200
        await shell.type("C-c", 5.0)
        await shell.type("C-c", 5.0)
        beating.cancel()
        assert worst < 1.0
        await shell.type("printf '\\033\\\\\\033c'\n", 5.0)
        await shell.type("C-u", 5.0)
        assert "fine" in await say(shell, "echo fi''ne\n")

    on_tmux(body)


@pytest.mark.slow
def test_a_history_that_grows_too_large_is_dropped() -> None:
    async def body(shell: Terminal) -> None:
        await shell.type("seq 3000000\n", 30.0)
        server = our_server()
        pid = int(server.cmd("display", "-p", "#{pid}").stdout[0])
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        assert resident < 256 << 20
        assert "fine" in await say(shell, "echo fi''ne\n")

    on_tmux(body)


# The server.


def test_a_server_that_dies_is_no_fault_of_the_agent() -> None:
    async def main() -> None:
        async with terminal() as shell:
            our_server().kill()
            with pytest.raises(SandboxError):
                await shell.type("echo hi\n", 1.0)
        async with terminal() as shell:
            assert "hi" in await say(shell, "echo hi\n")

    aio.run(main())


def test_a_dead_run_is_swept() -> None:
    folder = runtime_folder() / "1-dead"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / "s"))

    async def body(shell: Terminal) -> None:
        assert not folder.exists()

    on_tmux(body)


def test_replies_are_matched_and_errors_told() -> None:
    async def body(shell: Terminal) -> None:
        control: Control = shell._console._tmux.control  # pyright: ignore
        asked = [control.ask(f"display -p {number}") for number in range(50)]
        assert await asyncio.gather(*asked) == [[[str(number)]] for number in range(50)]
        with pytest.raises(SandboxError, match="unknown command"):
            await control.ask("bogus", "display -p 1")
        assert await control.ask("display -p 1", "display -p 2") == [["1"], ["2"]]

    on_tmux(body)


# People.


OWNER = """
import asyncio, sys
from termgym import aio, Limits
from termgym.episode import Carried, Episode, EpisodeConfig
from termgym.task import Task
async def main():
    task = Task(sys.argv[1], "Try it.", limits=Limits(turns=0, wall_s=0))
    episode = Episode(task, EpisodeConfig(terminal="tmux"))
    await episode.reset()
    await episode.terminal.type("echo from the agent\\n", 5.0)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        await episode.terminal.type(line, 1.0)
        screen = await episode.terminal.screen()
        print(repr((screen.rows, screen.cols, screen.text)), flush=True)
    await episode.close()
aio.run(main())
"""


class Owner:
    """A process with a live episode: each line that it gets is typed, and answered by the screen."""

    def __init__(self) -> None:
        self.task = f"tmux/try-{secrets.token_hex(4)}"
        argv = [sys.executable, "-c", OWNER, self.task]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENV)
        assert self.process.stdout and self.process.stdout.readline() == "ready\n"

    def type(self, line: str) -> str:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


@pytest.fixture
def owner() -> Iterator[Owner]:
    made = Owner()
    yield made
    made.process.kill()
    made.process.communicate()
    wait_until(lambda: gone(made.process.pid))


class Person:
    """Somebody at a terminal of 24 x 80 in which `termgym attach` runs."""

    def __init__(self, *args: str) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(self.master, (24, 80))
        argv = [sys.executable, "-m", "termgym", "attach", *args]
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=ENV)
        os.close(slave)
        self.seen = self.all = b""

    def sees(self, text: bytes) -> None:
        deadline = time.monotonic() + 20
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                data = os.read(self.master, 1 << 16)
                self.seen, self.all = self.seen + data, self.all + data
        self.seen = self.seen.partition(text)[2]

    def types(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def test_a_person_attaches_types_and_leaves(owner: Owner) -> None:
    person = Person(owner.task)
    try:
        person.sees(b"from the agent")
        person.types(b"echo from a per''son\r")
        person.sees(b"from a person")
        shown = owner.type("echo agent again")
        assert "from a person" in shown and "agent again" in shown
        assert shown.startswith("(40, 160,")  # not as small as the person's
        person.sees(b"agent again")
        person.types(b"\x02c\x02:kill-server\r")  # tmux's own keys, elsewhere
        person.types(b"\x1d")
        assert person.process.wait(10) == 0
        assert "still" in owner.type("echo still")
    finally:
        person.close()


def test_a_watcher_cannot_type(owner: Owner) -> None:
    person = Person("--read-only", owner.task)
    try:
        person.sees(b"from the agent")
        person.types(b"echo from a per''son\r")
        time.sleep(0.3)
        assert "from a person" not in owner.type("echo agent again")
        person.sees(b"agent again")
        person.types(b"\x1d")
        assert person.process.wait(10) == 0
    finally:
        person.close()


def test_what_is_printed_reaches_a_watcher_as_cells_only(owner: Owner) -> None:
    person = Person("-r", owner.task)
    try:
        person.sees(b"from the agent")
        clipboard, end = r"]52;c;aGk=\007", r"\033\\"
        for trick in (clipboard, r"]0;title\007", rf"k name{end}", rf"Ptmux;\033\033{clipboard}{end}", rf"P+q{end}"):
            owner.type(rf"printf '\033{trick}'")
        owner.type("printf '\\a'; clear; echo fi''ne")
        person.sees(b"fine")
        assert not re.search(rb"\x1b\](?:52|0|2);|\x1bk|\x1bP(?:tmux|\+q)[^\x1b]|\x07", person.all)
    finally:
        person.close()


def test_live_episodes_are_listed(owner: Owner) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "termgym", "attach", "--list"], env=ENV, capture_output=True, text=True, check=True
    )
    assert owner.task in done.stdout and f"{owner.process.pid}-1" in done.stdout
    assert find(owner.task).name == f"{owner.process.pid}-1"
    assert find(f"{owner.process.pid}-1").task == owner.task
    with pytest.raises(UnknownName, match=rf"no live episode named '{owner.task}x'; did you mean .*{owner.task}"):
        find(f"{owner.task}x")


def test_nothing_is_live() -> None:
    assert not [one for one in live() if one.name.startswith(f"{os.getpid()}-")]
    if not live():
        with pytest.raises(TaskError, match="no episode is live"):
            find(None)


@pytest.mark.parametrize("watched", [False, True])
def test_a_killed_owner_leaves_nothing_behind(owner: Owner, watched: bool) -> None:
    person = Person(f"{owner.process.pid}-1") if watched else None
    if person:
        person.sees(b"from the agent")
    owner.process.send_signal(signal.SIGKILL)
    begin = time.monotonic()
    wait_until(lambda: gone(owner.process.pid), 1.0)
    assert time.monotonic() - begin < 1.0
    if person:
        person.process.wait(5)
        person.close()


def test_what_starts_is_not_swept_away_and_what_is_gone_is() -> None:
    """Between its bind and its listen, the socket of another process's server refuses."""
    folder = runtime_folder() / f"{os.getpid()}-other"
    folder.mkdir()
    os.mkfifo(folder / "alive")
    pipe = os.open(folder / "alive", os.O_RDWR)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "s"))

    async def start() -> None:
        (await server()).release()

    aio.run(start())
    assert folder.exists()
    os.close(pipe)
    aio.run(start())
    assert not folder.exists()


def test_closing_an_episode_ends_its_server() -> None:
    async def main() -> None:
        episode = Episode(TASK, EpisodeConfig(terminal="tmux"))
        await episode.reset()
        assert not gone(os.getpid())
        await episode.close()
        await episode.close()

    aio.run(main())
    wait_until(lambda: gone(os.getpid()), 1.0)
