"""Snapshots, forks and restores at the environment: what goes on, and that branches are apart."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from termgym import Action, Check, Command, File, SandboxError, Task
from termgym.episode import Carried

TASK = Task(
    "tests/branch",
    "Nothing.",
    files={"/app/given": File.of("given\n")},
    checks=(Check("file", '[ "$(cat /app/file)" = right ]'), Check("given", '[ "$(cat /app/given)" = given ]')),
)
DONE = Action("", "", (), task_complete=True).to_json()


def typed(*keys: str) -> str:
    return Action("", "", tuple(Command(key, 10.0) for key in keys)).to_json()


@contextmanager
def terminal(**options: Any) -> Generator[Any]:
    env = gym.make("Terminal-v0", task=TASK, **options).unwrapped
    try:
        env.reset(seed=1)
        yield env
    finally:
        env.close()


def printed(env: Any, line: str) -> str:
    """What a command line prints."""
    text = env.step(typed(line + "\n"))[0]
    return "\n".join(text.split("\n")[2:-1])


@contextmanager
def forked(env: Any, count: int, **options: Any) -> Generator[list[Any]]:
    branches = env.fork(count, **options)
    try:
        yield branches
    finally:
        for branch in branches:
            branch.close()


STATE = (
    "mkdir -p 'a b'; cd 'a b'; x=\"it's\"; export Y=2; declare -A map=([k]=v); list=(1 2); f() { echo \"f:$x:$1\"; }\n",
    "alias e='echo aliased'; set -o noclobber; shopt -s nullglob; umask 077; trap 'echo usr' USR1\n",
    "echo here > file; echo memory > /dev/shm/note; printf '\\e[1;31mred\\e[0m 漢\\n'\n",
)
ASKS = (
    "pwd; f 1; echo $Y ${map[k]} ${list[1]}; env | grep ^Y=",
    "e; set -o | grep noclobber; shopt nullglob; umask; trap",
    "cat file /dev/shm/note; history",
)


def test_a_shell_goes_on_in_every_branch_and_here() -> None:
    with terminal() as env:
        env.step(typed(*STATE))
        shown, cells = env.episode.terminal.emulator.screen(), env.episode.terminal.emulator.cells()
        with forked(env, 3) as branches:
            for one in (env, *branches):
                assert one.carried is Carried.SHELL
                assert one.episode.terminal.emulator.screen() == shown
                assert all(map(np.array_equal, one.episode.terminal.emulator.cells(), cells))
            answers = [[printed(one, ask) for ask in ASKS] for one in (env, *branches)]
        assert answers[0][0] == "/app/a b\nf:it's:1\n2 v 2\nY=2"
        assert answers[0][1] == "aliased\nnoclobber       on\nnullglob        on\n0077\ntrap -- 'echo usr' SIGUSR1"
        assert answers[0][2].startswith("here\nmemory\n    1  mkdir -p 'a b'")
        assert all(answer == answers[0] for answer in answers)


def test_a_branch_shows_what_the_episode_would_have_shown() -> None:
    script = (
        "cd /usr; x=1\n",
        "ls | head -3\n",
        "echo $x; cd /root\n",
        "seq 50\n",
        "pwd; echo $OLDPWD\n",
        "nonsense\n",
    )
    with terminal() as straight, terminal() as env:
        expected = [straight.step(typed(keys)) for keys in script]
        seen = []
        for keys in script:
            (branch,) = env.fork(1)
            env.close()
            env = branch
            seen.append(env.step(typed(keys)))
        env.close()
        assert seen == expected


def test_branches_are_apart_and_each_is_judged_by_itself() -> None:
    with terminal(confirm=False) as env:
        env.step(typed("echo start > file\n"))
        with forked(env, 3) as branches:
            for word, branch in zip(("right", "wrong", "right"), branches, strict=True):
                branch.step(typed(f"echo {word} > file\n"))
            rewards = [branch.step(DONE)[1] for branch in branches]
            assert rewards == [1.0, 0.0, 1.0]
            assert printed(env, "cat file") == "start"
            assert env.step(DONE)[1] == 0.0


def test_branches_outlive_what_they_came_from() -> None:
    with terminal() as env:
        env.step(typed("echo kept > file\n"))
        branches = env.fork(2)
        env.close()
        deeper = branches[0].fork(2)
        branches[0].close()
        for one in (*deeper, branches[1]):
            assert printed(one, "cat file") == "kept"
            one.close()


def test_limits_and_the_rule_on_completion_go_on() -> None:
    with terminal(limits={"turns": 4}) as env:
        env.step(typed("echo\n"))
        env.step(DONE)  # asks whether it is sure
        with forked(env, 2) as (sure, busy):
            assert sure.step(DONE)[2]
            assert not busy.step(typed("echo\n"))[3]
            assert busy.step(typed("echo\n"))[3]


@pytest.mark.parametrize(
    ("keys", "then", "told"),
    [
        (("vim -u NONE file\n", "inew "), ("\x1b:wq\n", "cat file\n"), "new old"),
        (("python3 -q\n", "x = 41\n"), ("print(x + 1)\n",), "42"),
        (("cat > more\n", "first\n"), ("second\n", "C-d", "cat more\n"), "first\nsecond"),
        (("for i in 1 2; do\n",), ("echo n$i; done\n",), "n1\nn2"),
        (("echo not yet",), (" typed\n",), "not yet typed"),
        (("PS1='> '\n", "v=7\n"), ("echo $v\n",), "7"),
        (("sleep 1000 &\n",), ("kill %1 && echo had it\n",), "had it"),
        (("(exec 9>held; exec bash)\n", "w=5\n"), ("echo $w\n",), "5"),
        (('read -e -p "root@termgym:/app# " answer\n',), ("yes\n", "echo said $answer\n"), "said yes"),
    ],
)
def test_where_more_runs_it_is_typed_again(keys: tuple[str, ...], then: tuple[str, ...], told: str) -> None:
    with terminal() as env:
        env.step(typed("echo old > file\n"))
        env.step(typed(*keys))
        sandbox = env.episode.sandbox
        with forked(env, 2) as branches:
            assert env.episode.sandbox is sandbox or "read" in keys[0]  # it was left alone
            assert {branch.carried for branch in branches} <= {Carried.REPLAYED, Carried.DIVERGED}
            if "sleep" not in keys[0]:  # bash shows the process id of a job
                assert {branch.carried for branch in branches} == {Carried.REPLAYED}
            for one in (*branches, env):
                assert told in one.step(typed(*then))[0]


def test_only_what_came_since_the_last_snapshot_is_typed_again() -> None:
    with terminal() as env:
        env.step(typed("date +%N > stamp; echo x >> count\n"))
        with forked(env, 1) as (branch,):
            branch.step(typed("python3 -q\n"))
            with forked(branch, 1) as (deep,):
                branch.close()
                env.close()
                assert deep.carried is Carried.REPLAYED
                assert deep.step(typed("print(open('count').read())\n"))[0].count("x") == 1


def test_a_screen_that_time_changes_is_said_to_differ() -> None:
    with terminal() as env:
        env.step(typed("date +%N; cat\n"))
        with forked(env, 1) as (branch,):
            assert branch.carried is Carried.DIVERGED


def test_files_alone_go_on_by_request() -> None:
    with terminal() as env:
        env.step(typed("mkdir 'it''s'; cd 'it''s'; x=1; export Z=1; echo kept > file\n", "vim file\n"))
        with forked(env, 1, replay=False) as (branch,):
            for one in (env, branch):
                assert one.carried is Carried.FILES
                assert printed(one, 'cat file; pwd; echo "[$x$Z]"; ls -A /dev/shm; jobs') == "kept\n/app/its\n[]"


def test_a_shell_can_be_typed_again_by_request() -> None:
    with terminal() as env:
        env.step(typed("x=5; echo one >> file\n"))
        with forked(env, 1, replay=True) as (branch,):
            assert (env.carried, branch.carried) == (None, Carried.REPLAYED)
            assert printed(branch, "echo $x; cat file") == "5\none"


def test_snapshots_are_gone_back_to_any_number_of_times() -> None:
    with terminal() as env:
        env.step(typed("echo 1 > file\n"))
        first = env.snapshot()
        env.step(typed("echo 2 > file; rm given\n"))
        second = env.snapshot()
        for snapshot, text in ((first, "1\ngiven"), (second, "2"), (first, "1\ngiven"), (second, "2")):
            env.restore(snapshot)
            assert printed(env, "cat file given 2>/dev/null") == text
            env.step(typed("echo lost > file\n"))
        env.discard(first)
        with pytest.raises(SandboxError, match="closed"):
            env.restore(first)
        assert printed(env, "cat file") == "lost"


def test_an_ended_episode_has_no_snapshot() -> None:
    env: Any = gym.make("Terminal-v0", task=TASK, confirm=False).unwrapped
    for act in (env.snapshot, lambda: env.fork(2)):
        with pytest.raises(gym.error.ResetNeeded):
            act()
    env.reset()
    env.step(DONE)
    with pytest.raises(gym.error.ResetNeeded, match="ended"):
        env.fork(2)
    env.close()


def test_a_hostile_shell_gets_no_further_than_its_own_branches() -> None:
    with terminal() as env:
        env.step(typed("declare() { echo 'touch /app/owned; # all of it'; }; history() { exit 3; }\n", "clear\n"))
        with forked(env, 2) as branches:
            for branch in branches:
                assert "alive" in branch.step(typed("echo ali''ve\n"))[0]


def test_many_forks_in_a_row() -> None:
    with terminal() as env:
        for number in range(30):
            env.step(typed(f"echo {number} >> file\n"))
            env.discard(env.snapshot())
        assert printed(env, "wc -l < file; ls -A /dev/shm") == "30"


def test_nothing_is_left_of_forks() -> None:
    with terminal() as env:
        env.step(typed("echo 1 > file\n"))
        for branch in env.fork(2):
            branch.close()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(10):
            for branch in env.fork(3):
                branch.close()
        deadline = time.monotonic() + 5
        while len(list(Path("/proc/self/fd").iterdir())) > before + 2 and time.monotonic() < deadline:
            env.step(typed(""))
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
        assert os.getpid()


def test_vectors_branch_between_their_environments() -> None:
    envs: Any = gym.make_vec("Terminal-v0", num_envs=4, task=TASK, confirm=False).unwrapped
    envs.reset(seed=1)
    envs.step([typed(f"echo {number} > file\n") for number in range(4)])
    snapshot = envs.snapshot(2)
    envs.restore(snapshot, [0, 1])
    shown = envs.step([typed("cat file\n")] * 4)[0]
    assert [text.split("\n")[2] for text in shown] == ["2", "2", "2", "3"]
    envs.step([typed("echo right > file\n"), *[typed("echo wrong > file\n")] * 3])
    rewards = envs.step([DONE] * 4)[1]
    assert rewards.tolist() == [1, 0, 0, 0]
    envs.restore(snapshot, range(4))
    assert [text.split("\n")[2] for text in envs.step([typed("cat file\n")] * 4)[0]] == ["2"] * 4
    envs.discard(snapshot)
    envs.close()
