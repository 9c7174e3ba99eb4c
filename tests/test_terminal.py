"""The terminal on real programs: what settles, what is shown, and that no output is ever missed."""

import asyncio
import multiprocessing
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from termgym import aio
from termgym.sandbox import SandboxSpec, new_sandbox
from termgym.source import missing
from termgym.terminal import Settled, Terminal

LATER_S = 0.06


@asynccontextmanager
async def terminal(kind: str = "pty") -> AsyncIterator[Terminal]:
    sandbox = new_sandbox("namespace", SandboxSpec())
    await sandbox.start()
    shell = await Terminal.open(sandbox, kind=kind)
    try:
        assert await shell.ready(10) is Settled.PROMPT
        yield shell
    finally:
        shell.close()
        await sandbox.close()


Body = Callable[[Terminal], Awaitable[None]]
Run = Callable[[Body], None]


def on_pty(body: Body, kind: str = "pty") -> None:
    async def main() -> None:
        async with terminal(kind) as shell:
            await body(shell)

    aio.run(main())


@pytest.fixture(params=["pty", pytest.param("tmux", marks=pytest.mark.tmux)])
def on_terminal(request: pytest.FixtureRequest) -> Run:
    """Runs a test's body on a terminal of each kind."""
    return partial(on_pty, kind=request.param)


async def say(shell: Terminal, keys: str, duration_s: float = 5.0) -> tuple[Settled, str]:
    await shell.mark()
    settled = await shell.type(keys, duration_s)
    return settled, await shell.view()


def need(*programs: str) -> None:
    assert not missing(programs), f"these tests need {', '.join(missing(programs))} on this host"


@pytest.mark.parametrize(
    ("keys", "settled", "shown"),
    [
        ("echo hi\n", "prompt", "hi"),
        ("/bin/echo hi\n", "prompt", "hi"),
        ("sleep 0.2; echo late\n", "prompt", "late"),
        ("echo $(sleep 0.2; echo inner)\n", "prompt", "inner"),
        ("(sleep 0.1; echo one) | (sleep 0.1; cat; echo two)\n", "prompt", "two"),
        ("sleep 0.3 & wait; echo after\n", "prompt", "after"),
        ("cat\n", "reading", "cat"),
        ("read x\n", "reading", "read x"),
        ("read -p 'name? ' x\n", "reading", "name?"),
        ("bash --norc\n", "reading", "bash-"),
        ("head -c 1 | wc -c\n", "reading", "head"),
        ("sleep 9\n", "deadline", "sleep 9"),
        ("while :; do :; done\n", "deadline", "while"),
        ("exit\n", "exited", "exit"),
        ("", "prompt", "#"),
        ("C-d", "exited", ""),
        ("kill -9 $$\n", "exited", ""),
        ("exec sleep 0.1\n", "exited", ""),
        ("exec 0<&- 1>&- 2>&-\n", "exited", ""),
    ],
)
def test_settles_for_the_right_reason(on_terminal: Run, keys: str, settled: str, shown: str) -> None:
    async def body(shell: Terminal) -> None:
        reason, view = await say(shell, keys, 1.0)
        assert (reason.value, shown in view) == (settled, True), view

    on_terminal(body)


def test_full_screen_programs_wait_for_keys(on_terminal: Run) -> None:
    need("vi", "less", "top")

    async def body(shell: Terminal) -> None:
        for keys, settled, shown in (
            ("vi new.txt\n", "reading", "~"),
            ("ihello", "reading", "hello"),
            ("Escape", "reading", "hello"),
            (":wq", "reading", ":wq"),
            ("Enter", "prompt", "#"),
            ("cat new.txt\n", "prompt", "hello"),
            ("less /etc/services\n", "reading", "/etc/services"),
            ("G", "reading", "(END)"),
            ("q", "prompt", "#"),
            ("seq 1000 | less\n", "reading", "1"),
            ("q", "prompt", "#"),
            ("top\n", "reading", "PID"),
            ("q", "prompt", "#"),
        ):
            reason, view = await say(shell, keys)
            assert (reason.value, shown in view) == (settled, True), (keys, view)

    on_terminal(body)


def test_duration_is_a_limit_not_a_sleep_and_can_be_made_one(on_terminal: Run) -> None:
    async def body(shell: Terminal) -> None:
        begin = time.monotonic()
        await shell.type("echo hi\n", 30.0)
        assert time.monotonic() - begin < 5
        begin = time.monotonic()
        assert await shell.type("echo hi\n", 0.3, settle=False) is Settled.DEADLINE
        assert 0.3 <= time.monotonic() - begin < 1

    on_terminal(body)


def test_view_shows_new_output_whole_and_long_output_cut() -> None:
    async def body(shell: Terminal) -> None:
        _, view = await say(shell, "seq 1 5000\n")
        lines = view.splitlines()
        assert lines[0] == "New terminal output:"
        assert lines[1].endswith("seq 1 5000") and "1" in lines
        assert "5000" in lines and "left out" in view
        assert len(view.encode()) < 10_200
        _, view = await say(shell, "clear; echo one; clear; echo two\n")
        assert "two" in view

    on_pty(body)


def test_control_c_goes_ahead_of_keys_nobody_took(on_terminal: Run) -> None:
    async def body(shell: Terminal) -> None:
        assert await shell.type("sleep 60\n", 0.2) is Settled.DEADLINE
        assert await shell.type("x" * 5_000_000, 1.0) is Settled.DEADLINE
        begin = time.monotonic()
        reason, _ = await say(shell, "C-c")
        assert reason is Settled.PROMPT and time.monotonic() - begin < 2
        await shell.type("C-u", 1.0)
        reason, view = await say(shell, "echo $((6*7))\n")
        assert reason is Settled.PROMPT and "42" in view

    on_terminal(body)


def test_a_flood_is_bounded_and_can_be_interrupted(on_terminal: Run) -> None:
    async def body(shell: Terminal) -> None:
        for command in ("yes", "cat /dev/urandom", "cat /dev/zero", "seq 1 100000000"):
            reason, view = await say(shell, command + "\n", 0.3)
            assert reason is Settled.DEADLINE
            assert len(view.encode()) < 10_200
            reason, _ = await say(shell, "C-c")
            assert reason is Settled.PROMPT, command
            await say(shell, "printf '\\033c'\n")
        _, view = await say(shell, "echo still $((1+1))\n")
        assert "still 2" in view

    on_terminal(body)


def test_stopped_output_ends_at_the_deadline_and_goes_on(on_terminal: Run) -> None:
    async def body(shell: Terminal) -> None:
        assert await shell.type("cat\n", 1.0) is Settled.READING
        await shell.type("C-s", 0.2)
        reason, _ = await say(shell, "held back\n", 0.3)
        assert reason is Settled.DEADLINE
        await shell.type("C-q", 0.5)
        assert "held back" in (await shell.screen()).text

    on_terminal(body)


def test_answers_queries_but_types_nothing_else(on_terminal: Run) -> None:
    async def body(shell: Terminal) -> None:
        ask = r"printf '\033[6n\033]0;touch /x\007\033[21t\033]52;c;?\007'; read -rsd R -t 1 a; echo \"${a#*[}\"" + "\n"
        _, view = await say(shell, ask.replace('\\"', '"'))
        assert any(re.search(r"[0-9]+;[0-9]+$", line) for line in view.splitlines()[2:]), view
        _, view = await say(shell, "ls /x\n")
        assert "No such file" in view

    on_terminal(body)


def test_a_forged_barrier_or_marker_hides_nothing(on_terminal: Run) -> None:
    async def body(shell: Terminal) -> None:
        _, view = await say(shell, r"printf '\033]7777;123\033\\'; sleep 0.2; echo shown" + "\n")
        assert "shown" in view

    on_terminal(body)


def test_resize_reaches_programs(on_terminal: Run) -> None:
    async def body(shell: Terminal) -> None:
        await shell.resize(20, 70)
        _, view = await say(shell, "stty size\n")
        assert "20 70" in view and (await shell.screen()).rows == 20

    on_terminal(body)


def _spin(until: float) -> None:
    while time.time() < until:
        pass


@pytest.mark.parametrize("spinners", [0, pytest.param(4, marks=pytest.mark.slow)])
def test_no_output_is_missed(on_terminal: Run, spinners: int) -> None:
    """A step that has settled has it all: nothing more is printed in the next moments."""
    steps = [
        "echo hi\n",
        "/bin/echo hi\n",
        "ls /usr/bin | head -50\n",
        "cat\n",
        "typed\n",
        "C-d",
        "seq 300\n",
        "a=1",
        "C-c",
    ]
    crowd = [
        multiprocessing.get_context("spawn").Process(target=_spin, args=(time.time() + 20,)) for _ in range(spinners)
    ]

    async def body(shell: Terminal) -> None:
        missed: list[str] = []
        for number in range(20 * len(steps)):
            keys = steps[number % len(steps)]
            reason, _ = await say(shell, keys, 10.0)
            assert reason in (Settled.PROMPT, Settled.READING)
            if number % 4 == 0:
                late: list[bytes] = []
                shell.on_output = late.append
                await asyncio.sleep(LATER_S)
                shell.on_output = None
                missed += [f"{keys!r}: {late!r}"] * bool(late)
        assert not missed

    for process in crowd:
        process.start()
    try:
        on_terminal(body)
    finally:
        for process in crowd:
            process.kill()
            process.join()


def test_closing_leaves_no_descriptor(on_terminal: Run) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def body(shell: Terminal) -> None:
        await shell.type("echo hi\n", 1.0)

    on_terminal(body)
    before = count()
    for _ in range(5):
        on_terminal(body)
    assert count() == before
