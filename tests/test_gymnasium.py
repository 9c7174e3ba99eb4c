"""Gymnasium's contract, on the oldest and the newest Gymnasium: environments, spaces, vectors, pictures, limits."""

import asyncio
import json
import os
import pickle
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import SyncVectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from termgym import Action, Check, Command, Draft, Family, File, Task, VerifierError, render
from termgym.env import TerminalEnv
from termgym.errors import TaskError, UnknownName
from termgym.grid import INSTRUCTION_BYTES, KEYS, SUBMIT, WAIT, encoded
from termgym.keys import encode
from termgym.protocol import parse
from termgym.screen import INVERSE, Emulator
from termgym.spaces import ActionSpace, TextSpace

IDS = ["Terminal-v0", "TerminalGrid-v0"]
TASK = Task(
    "tests/touch",
    "Make the files /app/small and /app/large.",
    files={"/app/note": File.of("naïve\n")},
    checks=(Check("small", "test -f /app/small", 1.0), Check("large", "test -f /app/large", 3.0)),
)
BROKEN = replace(TASK, id="tests/broken", checks=(Check("broken", "kill -9 $$"),))
FAMILY = Family(
    "tests/number",
    "Write a number.",
    "file_operations",
    (),
    lambda rng, level: Draft(f"Write {rng.random()} at level {level}.", (Check("never", "false"),), (), {}),
)
DONE = Action(task_complete=True).to_json()


def typed(*keys: str, wait_s: float = 5.0) -> str:
    return Action("", "", tuple(Command(one, wait_s) for one in keys)).to_json()


@contextmanager
def terminal(name: str = "Terminal-v0", **options: Any) -> Iterator[Any]:
    """An environment on TASK, unless another task is given."""
    env = gym.make(name, **{"task": TASK, **options})
    try:
        yield env
    finally:
        env.close()


def press(env: Any, *keys: str) -> tuple[Any, ...]:
    """The last step's result, of one step for each key."""
    return [env.step(KEYS.index(key)) for key in keys][-1]


def text(observation: dict[str, Any]) -> list[str]:
    return ["".join(map(chr, row)).rstrip() for row in observation["chars"]]


# The contract.


@pytest.mark.parametrize("name", IDS)
def test_check_env_has_nothing_to_say(name: str) -> None:
    check_env(gym.make(name, task=TASK).unwrapped)


@pytest.mark.parametrize("name", IDS)
def test_check_env_on_every_family(name: str) -> None:
    check_env(gym.make(name).unwrapped, skip_render_check=True)


def test_the_documented_ids_need_no_argument() -> None:
    for name in IDS:
        env = gym.make(name)
        assert env.spec is not None and env.spec.id == name
        env.close()  # before any reset


def test_a_spec_crosses_processes() -> None:
    env = gym.make("Terminal-v0", task="files/rename-by-date", level=2, limits={"turns": 3})
    assert env.spec is not None
    for spec in (EnvSpec.from_json(env.spec.to_json()), pickle.loads(pickle.dumps(env.spec))):
        again = gym.make(spec)
        assert again.reset(seed=5)[1] == env.reset(seed=5)[1]
        again.close()
    env.close()


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ({"task": "files/rename-by-dat"}, "files/rename-by-date"),
        ({"sandbox": "namespaces"}, "namespace"),
        ({"terminal": "ptty"}, "pty"),
        ({"wait": "settled"}, "settle"),
        ({"reward": "densely"}, "dense"),
        ({"limits": {"turn": 3}}, "turns"),
    ],
)
def test_unknown_names_are_answered_by_what_was_meant(options: dict[str, Any], meant: str) -> None:
    with pytest.raises(UnknownName, match=rf"did you mean .*{meant}"):
        gym.make("Terminal-v0", **options)


def test_an_unknown_render_mode_or_an_empty_list_of_tasks() -> None:
    with pytest.raises(UnknownName, match="rgb_array"):
        TerminalEnv(TASK, render_mode="rgb")
    with pytest.raises(TaskError, match="empty"):
        gym.make("Terminal-v0", task=[])


# Seeds and tasks.


@pytest.mark.parametrize("name", IDS)
def test_the_seed_decides_the_episode(name: str) -> None:
    with terminal(name, task=FAMILY) as one, terminal(name, task=FAMILY) as other:
        first, again, different = one.reset(seed=1), other.reset(seed=1), other.reset(seed=2)
        assert data_equivalence(first, again)
        assert first[1]["instruction"] != different[1]["instruction"]
        assert one.reset()[1] != first[1]  # another episode
        assert one.reset(seed=1)[1] == first[1]


def test_level_and_seed_of_the_family_can_be_fixed() -> None:
    with terminal(task=FAMILY, level=2, seed=17) as env:
        assert {env.reset(seed=seed)[1]["task"] for seed in range(3)} == {"tests/number@17.2"}


def test_a_list_of_tasks_is_drawn_from_and_options_overrule_it() -> None:
    other = replace(TASK, id="tests/other")
    with terminal(task=[TASK, other]) as env:
        assert {env.reset(seed=seed)[1]["task"] for seed in range(8)} == {"tests/touch", "tests/other"}
        assert env.reset(options={"task": FAMILY})[1]["task"].startswith("tests/number@")
        with pytest.raises(UnknownName):
            env.reset(options={"task": "no/such"})
        assert env.reset()[1]["task"] in ("tests/touch", "tests/other")


# An episode, and how it ends.


def test_an_episode_of_text() -> None:
    with terminal(reward="dense") as env:
        observation, info = env.reset(seed=1)
        assert TASK.instruction in observation and "root@termgym:/app#" in observation
        assert info == {"task": TASK.id, "instruction": TASK.instruction}
        observation, reward, terminated, truncated, info = env.step(typed("cat note; touch large\n"))
        assert "naïve" in observation and (reward, terminated, truncated) == (0.0, False, False)
        assert info == {"task": TASK.id, "settled": ["prompt"], "warnings": [], "error": ""}
        observation, reward, terminated, *_ = env.step("not JSON")
        assert "no JSON object" in observation and not terminated
        assert not env.step(DONE)[2]
        _, reward, terminated, truncated, info = env.step(DONE)
        assert (reward, terminated, truncated) == (0.75, True, False)
        assert info["outcome"] == "failed" and info["checks"] == {"small": 0.0, "large": 1.0}
        assert env.unwrapped.verdict.dense == 0.75


@pytest.mark.parametrize(
    ("command", "mode", "reward", "outcome"),
    [
        ("touch small large\n", "binary", 1.0, "solved"),
        ("touch large\n", "binary", 0.0, "failed"),
        ("touch small\n", "dense", 0.25, "failed"),
    ],
)
def test_rewards(command: str, mode: str, reward: float, outcome: str) -> None:
    with terminal(reward=mode, confirm=False) as env:
        env.reset()
        env.step(typed(command))
        _, given, terminated, _, info = env.step(DONE)
        assert (given, terminated, info["outcome"]) == (reward, True, outcome)


def test_two_claims_in_a_row_end_it() -> None:
    with terminal() as env:
        env.reset()
        assert "confirm" in env.step(DONE)[0]
        assert not env.step(typed(""))[2]  # taken back
        assert not env.step(DONE)[2]
        assert env.step(DONE)[2]


def test_the_end_of_the_shell_is_an_end() -> None:
    with terminal(render_mode="ansi") as env:
        env.reset()
        _, reward, terminated, truncated, info = env.step(typed("exit\n"))
        assert (reward, terminated, truncated) == (0.0, True, False)
        assert info["outcome"] == "agent_died" and info["settled"] == ["exited"]
        assert "exit" in env.render()


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        ({"turns": 1}, "out_of_turns"),
        ({"wall_s": 0.2}, "out_of_time"),
        ({"command_s": 0.2}, "out_of_time"),
        ({"tokens": 100}, "out_of_tokens"),
    ],
)
def test_limits_truncate(limits: dict[str, float], outcome: str) -> None:
    with terminal(limits=limits) as env:
        env.reset()
        env.unwrapped.spend(100)
        _, reward, terminated, truncated, info = env.step(typed("sleep 0.4\n"))
        assert (reward, terminated, truncated, info["outcome"]) == (0.0, False, True, outcome)


def test_work_that_is_done_counts_at_a_limit_too() -> None:
    with terminal(limits={"turns": 1}) as env:
        env.reset()
        _, reward, terminated, truncated, info = env.step(typed("touch small large\n"))
        assert (reward, terminated, truncated, info["outcome"]) == (1.0, False, True, "solved")


def test_a_broken_verifier_is_no_reward_of_0() -> None:
    with terminal(task=BROKEN, confirm=False) as env:
        env.reset()
        with pytest.raises(VerifierError, match="broken"):
            env.step(DONE)
        with pytest.raises(gym.error.ResetNeeded):
            env.step(DONE)
        env.reset(options={"task": TASK})
        assert env.step(DONE)[2]


# Use out of order, and from anywhere.


def test_steps_before_a_reset_and_after_an_end_say_what_is_needed() -> None:
    with terminal(disable_env_checker=True, confirm=False) as env:
        for act in (lambda: env.step(DONE), lambda: env.unwrapped.step(DONE), lambda: env.unwrapped.spend(1)):
            with pytest.raises(gym.error.ResetNeeded):
                act()
        env.reset()
        assert env.step(DONE)[2]
        with pytest.raises(gym.error.ResetNeeded, match="has ended"):
            env.step(DONE)
        env.reset()
        assert env.step(DONE)[2]
        env.close()
        with pytest.raises(gym.error.ResetNeeded):
            env.unwrapped.step(DONE)


def test_resetting_and_closing_twice_and_going_on_after_a_close() -> None:
    with terminal() as env:
        env.reset()
        env.reset()
        env.close()
        env.close()
        env.reset()
        assert "hi" in env.step(typed("echo hi\n"))[0]


def test_inside_a_running_event_loop_as_in_a_notebook() -> None:
    async def cell() -> str:
        with terminal() as env:
            env.reset(seed=1)
            return env.step(typed("echo $((6 * 7))\n"))[0]

    assert "42" in asyncio.run(cell())


def test_one_environment_in_each_of_two_threads() -> None:
    def work(number: int) -> list[str]:
        with terminal() as env:
            env.reset(seed=number)
            return [env.step(typed(f"echo {number}-$(({turn} + 1))\n"))[0] for turn in range(5)]

    with ThreadPoolExecutor(2) as threads:
        for number, seen in enumerate(threads.map(work, range(2))):
            assert all(f"{number}-{turn + 1}" in shown for turn, shown in enumerate(seen))


def test_two_environments_in_turns() -> None:
    with terminal() as one, terminal() as other:
        one.reset()
        other.reset()
        one.step(typed("A=one\n"))
        other.step(typed("A=other\n"))
        assert "one!" in one.step(typed("echo $A!\n"))[0]
        assert "other!" in other.step(typed("echo $A!\n"))[0]


# Spaces.


@pytest.mark.parametrize("space", [TextSpace(), ActionSpace()])
def test_every_string_is_in_the_space_and_nothing_else(space: TextSpace) -> None:
    for value in ("", "a\nb", "naïve 漢字 \U0001f600", "\ud800", "\0\x1b", "x" * 10**6):
        assert space.contains(value)
    for value in (b"", None, 3, ["a"], np.zeros(1)):
        assert not space.contains(value)
    assert not space.is_np_flattenable
    assert space == type(space)() and TextSpace() != ActionSpace()


@pytest.mark.parametrize("kind", [TextSpace, ActionSpace])
def test_samples_are_seeded_and_cheap(kind: type[TextSpace]) -> None:
    one, other = kind(seed=3), kind(seed=3)
    begin = time.process_time()
    samples = [one.sample() for _ in range(200)]
    assert (time.process_time() - begin) / 200 < 1e-3
    assert samples == [other.sample() for _ in range(200)]
    assert one.from_jsonable(json.loads(json.dumps(one.to_jsonable(samples)))) == samples
    assert all(sample in one for sample in samples) and len(set(samples)) > 100


def test_sampled_actions_are_what_the_protocol_reads() -> None:
    space = ActionSpace(seed=1)
    assert all(parse(space.sample()).action for _ in range(500))


@pytest.mark.parametrize("space", [TextSpace(), ActionSpace()])
def test_text_spaces_can_be_batched(space: TextSpace) -> None:
    batched = batch_space(space, 2)
    both = concatenate(space, ["a", "\ud800"], create_empty_array(space, 2))
    assert batched.contains(both) and list(iterate(batched, both)) == ["a", "\ud800"]


def test_grid_spaces_can_be_batched() -> None:
    space = gym.make("TerminalGrid-v0", task=TASK, rows=4, cols=10).observation_space
    samples = [space.sample(), space.sample()]
    both = concatenate(space, samples, create_empty_array(space, 2))
    assert batch_space(space, 2).contains(both) and both["chars"].shape == (2, 4, 10)  # type: ignore[index]


# The grid.


def test_an_episode_of_keys() -> None:
    with terminal("TerminalGrid-v0", rows=24, cols=80) as env:
        observation, info = env.reset(seed=1)
        assert observation["chars"].shape == observation["attributes"].shape == (24, 80)
        assert bytes(observation["instruction"]).rstrip(b"\0").decode() == info["instruction"]
        observation, reward, terminated, _, info = press(env, *"touch small large; cat note", "Enter")
        assert text(observation)[1:3] == ["naïve", "root@termgym:/app#"]
        assert tuple(observation["cursor"]) == (2, len("root@termgym:/app# "))
        assert (reward, terminated, info["settled"]) == (0.0, False, ["prompt"])
        _, reward, terminated, truncated, info = press(env, SUBMIT)
        assert (reward, terminated, truncated, info["outcome"]) == (1.0, True, False, "solved")


def test_control_keys_and_waiting() -> None:
    with terminal("TerminalGrid-v0", duration_s=0.1) as env:
        env.reset()
        info = press(env, *"sleep 0.3", "Enter")[4]
        assert info["settled"] == ["deadline"]
        assert press(env, WAIT, WAIT, WAIT)[4]["settled"] == ["prompt"]
        assert press(env, *"sleep 9", "Enter", "C-c")[4]["settled"] == ["prompt"]
        observation = press(env, *"echo b", "Left", "a", "C-e", "c", "Enter")[0]
        assert "abc" in text(observation)


def test_the_keys_are_each_a_key_of_its_own() -> None:
    assert len(set(KEYS)) == len(KEYS)
    sent = [encode(key) for key in KEYS if key not in (WAIT, SUBMIT)]
    assert len(set(sent)) == len(sent) and all(sent)
    assert sent[:95] == [bytes([code]) for code in range(32, 127)]  # characters go as they are
    assert all(len(data) < 5 for data in sent)  # names are none that is typed out


def test_no_action_beyond_the_keys() -> None:
    with terminal("TerminalGrid-v0", disable_env_checker=True) as env:
        env.reset()
        for action in (len(KEYS), -1, "a", 1.5):
            with pytest.raises(gym.error.InvalidAction):
                env.step(action)
        env.step(np.int64(3))


def test_keys_have_more_turns_than_batches() -> None:
    for options, turns in (({}, 1000), ({"limits": {"turns": 7}}, 7), ({"limits": {"wall_s": 9}}, 1000)):
        with terminal("TerminalGrid-v0", **options) as env:
            env.reset()
            assert env.unwrapped.episode.limits.turns == turns


def test_long_instructions_are_cut_at_a_character() -> None:
    data = encoded("x" + "é" * INSTRUCTION_BYTES)
    assert data.shape == (INSTRUCTION_BYTES,) and data[-1] == 0
    assert bytes(data[:-1]).decode() == "x" + "é" * ((INSTRUCTION_BYTES - 1) // 2)
    assert encoded("\ud800").tolist()[:2] == [ord("?"), 0]


# Vectors.


def test_sync_vectors() -> None:
    def make() -> Any:
        return gym.make("Terminal-v0", task=TASK)

    envs = SyncVectorEnv([make, make])
    envs.reset(seed=1)
    shown = envs.step((typed("echo A$((1 + 1))\n"), typed("echo B$((2 + 2))\n")))[0]
    assert "A2" in shown[0] and "B4" in shown[1]
    envs.close()


def test_sync_vectors_of_grids() -> None:
    envs = SyncVectorEnv([lambda: gym.make("TerminalGrid-v0", task=TASK) for _ in range(2)])
    envs.reset(seed=1)
    observation = envs.step(np.array([KEYS.index("x"), KEYS.index("y")]))[0]
    assert observation["chars"].shape == (2, 40, 160)
    assert [chr(grid[0, 19]) for grid in observation["chars"]] == ["x", "y"]
    envs.close()


ASYNC = """
import os, sys, time
from pathlib import Path
import gymnasium as gym, numpy as np
from gymnasium.vector import AsyncVectorEnv
from termgym import Action, Check, Command, Task
from termgym.grid import KEYS

TASK = Task("tests/none", "Nothing.", checks=(Check("true", "true"),))

def typed(keys):
    return Action("", "", (Command(keys, 5.0),)).to_json()

def make():
    return gym.make("Terminal-v0", task=TASK)

def make_grid():
    return gym.make("TerminalGrid-v0", task=TASK)

def descendants():
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}

if __name__ == "__main__":
    if "used" in sys.argv:  # the workers are forks of a process that has terminals of its own
        own = make()
        own.reset()
    before = descendants()
    try:
        AsyncVectorEnv([make, make])
    except ValueError as error:
        assert "shared_memory=False" in str(error)
    else:
        sys.exit("shared memory would give stale text")

    envs = AsyncVectorEnv([make, make], shared_memory=False)
    envs.reset(seed=1)
    for turn in range(3):
        shown = envs.step((typed(f"echo A$(({turn} + 1))\\n"), typed(f"echo B$(({turn} + 1))\\n")))[0]
        assert f"A{turn + 1}" in shown[0] and f"B{turn + 1}" in shown[1], shown
    grids = AsyncVectorEnv([make_grid, make_grid])
    grids.reset(seed=1)
    for column, pair in enumerate(("ab", "cd"), 19):
        chars = grids.step(np.array([KEYS.index(key) for key in pair]))[0]["chars"]
        assert "".join(chr(grid[0, column]) for grid in chars) == pair
    if "used" in sys.argv:
        assert "own2" in own.step(typed("echo own$((1 + 1))\\n"))[0]

    started = descendants() - before
    assert len(started) >= 8, started  # four workers, four launchers, and their boxes
    envs.close()
    grids.close()
    deadline = time.monotonic() + 5
    while (left := [pid for pid in started if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
"""


@pytest.mark.parametrize("state", [pytest.param("fresh", marks=pytest.mark.slow), "used"])
def test_async_vectors_work_or_say_that_they_cannot(state: str, tmp_path: Path) -> None:
    script = tmp_path / "vectors.py"
    script.write_text(ASYNC)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    subprocess.run([sys.executable, script, state], env=environment, check=True, timeout=30)


# Pictures.

COLORS = r"printf '\e[1;31mred\e[0m \e[7;42mgreen\e[0m \e[44m blue \e[0m 漢 ┌─┐ █ naïve\n'" + "\n"


def test_rendering_as_text() -> None:
    with terminal(render_mode="ansi", rows=10, cols=80) as env:
        env.reset()
        env.step(typed("echo hi\n"))
        assert env.render().splitlines()[:2] == ["root@termgym:/app# echo hi", "hi"]
        env.step(DONE)
        assert env.step(DONE)[2]
        assert env.render().splitlines()[1] == "hi"  # the last screen stays until the next reset


def test_rendering_as_a_picture() -> None:
    with terminal(render_mode="rgb_array") as env:
        env.reset()
        first = env.render()
        assert first.shape == (440, 960, 3) and first.dtype == np.uint8 and len(np.unique(first)) == 2
        env.step(typed(COLORS))
        begin = time.perf_counter()
        second = env.render()
        assert time.perf_counter() - begin < 0.5  # 0.02 on an idle machine
        assert second.shape == first.shape
        reddest, greenest, bluest = second.reshape(-1, 3).astype(int).T[[0, 1, 2]].max(1)
        assert min(reddest, greenest, bluest) > 180
        red, green, blue = second.astype(int).transpose(2, 0, 1)
        assert all((a > b + 80).sum() > 20 for a, b in ((red, green), (green, red), (blue, red)))


def test_glyphs() -> None:
    glyph = vars(render)["_glyph"]
    assert not glyph(ord(" ")).any() and not glyph(0).any() and glyph(ord("█")).all()
    assert (glyph(ord("─")) | glyph(ord("│")) == glyph(ord("┼"))).all()
    assert (glyph(0x2019) == glyph(ord("'"))).all() and (glyph(ord("ő")) == glyph(ord("o"))).all()
    assert (glyph(ord("é")) != glyph(ord("e"))).any()
    assert (glyph(ord("漢")) == glyph(0xD800)).all() and glyph(ord("漢")).any()
    inked = [glyph(code).sum() for code in range(0x2581, 0x2589)]
    assert inked == sorted(inked) and inked[0] > 0
    for code in range(0x20, 0x3000):
        assert glyph(code).shape == (11, 6)


def test_pictures_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(render_mode="rgb_array", disable_env_checker=True) as env:
        env.reset()
        monkeypatch.setitem(sys.modules, "PIL", None)
        vars(render)["_glyph"].cache_clear()
        with pytest.raises(gym.error.DependencyNotInstalled, match=r"pip install .*termgym\[render\]"):
            env.render()


def test_rendering_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal(render_mode="human") as env:
        env.reset()
        env.step(typed("echo hi\n"))
        assert env.render() is None
    printed = capsys.readouterr().out
    assert "root@termgym:/app# echo hi\nhi\n" in printed and "\x1b" not in printed


def test_rendering_for_a_person_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(rows=12, cols=60) as env, on_tty(monkeypatch, 14, 70) as master:
        env.reset()
        env.step(typed(COLORS))
        env.unwrapped.render_mode = "human"
        shown = Emulator(14, 70)
        shown.feed(b"what was there before\r\n" * 20)
        for _ in range(2):
            env.render()
            data = os.read(master, 1 << 16)
            assert b"\x1b[2J" not in data
            shown.feed(data)
        (chars, attributes), (expected, painted) = shown.cells(), env.unwrapped.episode.terminal.emulator.cells()
        painted[env.unwrapped.episode.terminal.emulator.cursor] ^= INVERSE
        assert (chars[:12, :60] == expected).all() and (attributes[:12, :60] == painted).all()
        assert (chars[12:] == 32).all() and (chars[:, 60:] == 32).all()


@contextmanager
def on_tty(monkeypatch: pytest.MonkeyPatch, rows: int, cols: int) -> Iterator[int]:
    """This process's standard output on a terminal: its master side."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (rows, cols))
    with open(slave, "w") as out, monkeypatch.context() as patch:  # noqa: PTH123 - a descriptor
        patch.setattr(sys, "stdout", out)
        yield master
    os.close(master)


def test_rendering_needs_a_mode_and_a_reset() -> None:
    with terminal(disable_env_checker=True) as env:
        env.reset()
        with pytest.warns(UserWarning, match="render_mode"):
            assert env.unwrapped.render() is None
    with terminal(render_mode="ansi", disable_env_checker=True) as env, pytest.raises(gym.error.ResetNeeded):
        env.unwrapped.render()
