"""The vector environments: what they give is what single ones give; failures and interrupts; send and recv."""

import gc
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from termgym import Action, Check, Command, Draft, Family, File, SandboxError, Task
from termgym.errors import TaskError, UnknownName
from termgym.family import families, find_family
from termgym.grid import KEYS, SUBMIT, WAIT
from termgym.spaces import ActionSpace
from termgym.task import Resources

IDS = ["Terminal-v0", "TerminalGrid-v0"]
MODES = list(AutoresetMode)
FAMILIES = ["files/rename-by-date", "text/log-report", "config/edit-in-editor"]
TASK = Task("tests/touch", "Make the file /app/a.", checks=(Check("a", "test -f /app/a"),))
OTHER = replace(TASK, id="tests/other", files={"/app/note": File.of("of the other\n")})
TOO_LARGE = [
    replace(
        TASK, id=f"tests/too-large-{i}", files={"/app/x": File(b"x" * (9 << 20))}, resources=Resources(storage_mb=8)
    )
    for i in range(8)
]  # 9 MiB do not fit
UNJUDGED = Family(
    "tests/unjudged",
    "No verifier.",
    "file_operations",
    (),
    lambda rng, level: Draft(f"Number {rng.random()}.", (Check("missing", "exit 127"),), (), {}),
)
SLOW_CHECK = replace(TASK, id="tests/slow-check", checks=(Check("slow", "sleep 20"),))
DONE = Action(task_complete=True).to_json()
CLOCK = re.compile(r"\b[0-9]{2}:[0-9]{2}\b")
"""As `ls -l` shows it of a folder."""


def typed(*keys: str, wait_s: float = 30.0) -> str:
    return Action("", "", tuple(Command(one, wait_s) for one in keys)).to_json()


@contextmanager
def vector(num_envs: int = 2, name: str = "Terminal-v0", **options: Any) -> Iterator[Any]:
    """A vector environment on TASK, unless other tasks are given; nothing is left of it after the test."""
    env = gym.make_vec(name, num_envs=num_envs, **{"task": TASK, **options})
    try:
        yield env.unwrapped
    finally:
        env.close()


def children() -> set[int]:
    """The processes that this one has started, the ended ones left out."""
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.add(int(stat.parent.name))
    return found


def boxes_of(launcher: int) -> set[int]:
    return set(map(int, Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def episode(env: Any, number: int) -> Any:
    return env._seats[number].slot.episode


def launcher_of(env: Any) -> int:
    return episode(env, 0).sandbox._launcher.pid


def counts(env: Any) -> dict[str, int]:
    return env.metrics["counts"]


# It gives what single environments give.


def same(one: Any, other: Any, where: str = "") -> None:
    """Equal to the last type, in nested infos and observations too."""
    assert type(one) is type(other), f"{where}: {type(one)} is not {type(other)}"
    if isinstance(one, dict):
        assert one.keys() == other.keys(), f"{where}: {one.keys() ^ other.keys()}"
        for key in one:
            same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), where
        if one.dtype == object:
            same(one.tolist(), other.tolist(), where)
        else:
            np.testing.assert_array_equal(one, other, where)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for position, (left, right) in enumerate(zip(one, other, strict=True)):
            same(left, right, f"{where}/{position}")
    elif isinstance(one, str):
        assert CLOCK.sub("", one) == CLOCK.sub("", other), where
    else:
        assert one == other, where


class TextAgent:
    """Known solutions, with harmless lines, unreadable replies and claims in between."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._left: list[Command] = []
        self._claiming = False

    def begin(self, task: str) -> None:
        self._claiming = False
        found = re.fullmatch(r"(.*)@(\d+)\.(\d+)", task)
        self._left = list(find_family(found[1]).task(int(found[2]), int(found[3])).oracle) if found else []

    def act(self) -> str:
        draw = self._random.random()
        if draw < 0.1:
            return "this is no JSON"
        if draw < 0.2:
            return typed("pwd\n", "ls\n")
        if draw < 0.3 or self._claiming or not self._left:
            self._claiming = not self._claiming
            return DONE
        command = self._left.pop(0)
        return typed(command.keystrokes)


class GridAgent:
    """Types a line, key by key, and submits."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._left: list[str] = []

    def begin(self, task: str) -> None:
        lines = ("pwd", "touch a", "ls", "echo é")
        line = lines[int(self._random.integers(len(lines)))].replace("é", "e")
        self._left = [*line, "Enter", WAIT, "Up", SUBMIT]

    def act(self) -> np.int64:
        return np.int64(KEYS.index(self._left.pop(0) if self._left else SUBMIT))


AGENTS: dict[str, Any] = {"Terminal-v0": TextAgent, "TerminalGrid-v0": GridAgent}


def tell(agents: Sequence[Any], infos: dict[str, Any]) -> None:
    """Episodes began where there is an instruction."""
    for number, began in enumerate(infos.get("_instruction", [])):
        if began:
            agents[number].begin(infos["task"][number])


def compare(name: str, mode: AutoresetMode, seed: Any, steps: int, num_envs: int = 3, **options: Any) -> set[str]:
    """Take the same steps in a vector and in single environments; returns the outcomes met."""
    singles = SyncVectorEnv([lambda: gym.make(name, **options)] * num_envs, autoreset_mode=mode)
    agents = [AGENTS[name](number) for number in range(num_envs)]
    outcomes: set[str] = set()
    with vector(num_envs, name, autoreset_mode=mode, **options) as env:
        try:
            begun = singles.reset(seed=seed)
            same(env.reset(seed=seed), begun, "reset")
            tell(agents, begun[1])
            for turn in range(steps):
                actions = [agent.act() for agent in agents]
                actions = np.array(actions) if name == "TerminalGrid-v0" else tuple(actions)
                expected = singles.step(actions)
                same(env.step(actions), expected, f"step {turn}")
                _, _, terminations, truncations, infos = expected
                ended = infos.get("final_info", infos).get("outcome", [])
                outcomes.update(outcome for outcome in ended if outcome)
                over = terminations | truncations
                if mode is AutoresetMode.DISABLED and over.any():
                    begun = singles.reset(options={"reset_mask": over})
                    same(env.reset(options={"reset_mask": over}), begun, f"reset after step {turn}")
                    infos = begun[1]
                tell(agents, infos)
        finally:
            singles.close()
    return outcomes


@pytest.mark.parametrize("mode", MODES)
def test_text_is_as_of_single_environments(mode: AutoresetMode) -> None:
    met = compare("Terminal-v0", mode, 7, 15, task=FAMILIES, limits={"turns": 5, "wall_s": 0})
    assert len(met) > 1


@pytest.mark.parametrize("mode", MODES)
def test_grids_are_as_of_single_environments(mode: AutoresetMode) -> None:
    met = compare("TerminalGrid-v0", mode, 3, 24, task=[TASK, OTHER], limits={"turns": 9}, duration_s=20.0)
    assert len(met) > 1


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", [11, [5, 6, 5, 900]])
def test_every_family_is_as_in_single_environments(mode: AutoresetMode, seed: Any) -> None:
    timeless = [name for name in families() if name != "git/surgery"]  # the hash of a commit tells the time
    limits = {"turns": 7, "wall_s": 0}
    met = compare("Terminal-v0", mode, seed, 40, num_envs=4, task=timeless, limits=limits, reward="dense")
    assert {"solved", "out_of_turns"} <= met or {"solved", "failed"} <= met


def test_seeds_may_be_a_number_a_list_or_missing_for_some() -> None:
    singles = SyncVectorEnv([lambda: gym.make("Terminal-v0", task=FAMILIES)] * 3)
    with vector(3, task=FAMILIES) as env:
        seeds: list[Any] = [4, [1, 4, 1], [None, 9, None], [2, None, 2]]  # None goes on drawing by the seed before
        for seed in seeds:
            same(env.reset(seed=seed), singles.reset(seed=seed), str(seed))
        with pytest.raises(ValueError, match="2 seeds were given for 3"):
            env.reset(seed=[1, 2])
        assert env.reset()[1]["_task"].all()
    singles.close()


def test_a_masked_reset_leaves_the_others_alone() -> None:
    with vector(3, autoreset_mode="Disabled") as env:
        env.reset(seed=1)
        before = env.step([typed(f"x={i}\n") for i in range(3)])[0]
        mask = np.array([False, True, False])
        options = {"reset_mask": mask, "task": OTHER}
        observations, infos = env.reset(options=options)
        assert options == {"reset_mask": mask, "task": OTHER}  # the caller's own
        assert observations[0] == before[0] and observations[2] == before[2]
        assert infos["task"].tolist() == [None, OTHER.id, None] and infos["_task"].tolist() == mask.tolist()
        after = env.step([typed("echo $x; cat note\n")] * 3)[0]
        assert "\n0\n" in after[0] and "of the other" in after[1] and "\n2\n" in after[2]
        for wrong in ([True] * 3, np.array([True]), np.ones(3), np.zeros(3, bool)):
            with pytest.raises(ValueError, match="reset_mask"):
                env.reset(options={"reset_mask": wrong})


def test_without_autoreset_a_step_after_the_end_says_what_is_needed() -> None:
    with vector(2, autoreset_mode="Disabled") as env:
        env.reset()
        env.step([DONE, typed("true\n")])
        assert env.step([DONE, typed("true\n")])[2].tolist() == [True, False]
        with pytest.raises(gym.error.ResetNeeded, match="reset_mask"):
            env.step([DONE, typed("true\n")])
        env.reset(options={"reset_mask": np.array([True, False])})
        env.recv()  # what the other came to
        assert env.step([typed("true\n")] * 2)[2].tolist() == [False, False]


# Spaces, and what Gymnasium asks for.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", IDS)
def test_spaces_specs_and_metadata(name: str, mode: AutoresetMode) -> None:
    env = gym.make_vec(name, num_envs=2, task="files/rename-by-date", autoreset_mode=mode)
    assert env.spec is not None and env.spec.id == name
    assert env.metadata["autoreset_mode"] is mode and env.unwrapped.num_envs == 2
    env.action_space.seed(1)
    observations, infos = env.reset(seed=1)
    assert env.observation_space.contains(observations) and infos["_task"].all()
    results = env.step(env.action_space.sample())
    assert env.observation_space.contains(results[0])
    assert [(one.dtype, one.shape) for one in results[1:4]] == [(np.float64, (2,)), (np.bool_, (2,)), (np.bool_, (2,))]
    env.close()
    env.close()


def test_a_batch_of_grids_is_one_array_each() -> None:
    with vector(3, "TerminalGrid-v0", rows=20, cols=60) as env:
        batch = env.reset()[0]
        assert {name: (one.shape, one.dtype) for name, one in batch.items()} == {
            "chars": ((3, 20, 60), np.int32),
            "attributes": ((3, 20, 60), np.uint16),
            "cursor": ((3, 2), np.int32),
            "instruction": ((3, 2048), np.uint8),
        }


def test_what_was_returned_is_never_changed() -> None:
    with vector(2, "TerminalGrid-v0") as env:
        first = env.reset()[0]
        kept = pickle.loads(pickle.dumps(first))
        env.step(np.array([KEYS.index("a"), KEYS.index("b")]))
        same(first, kept)


@pytest.mark.parametrize("name", IDS)
def test_episode_statistics_are_recorded(name: str) -> None:
    submit = [DONE] * 2 if name == "Terminal-v0" else np.array([KEYS.index(SUBMIT)] * 2)
    env = RecordEpisodeStatistics(gym.make_vec(name, num_envs=2, task=TASK))
    env.reset(seed=1)
    while not (result := env.step(submit))[2].all():
        pass
    assert result[4]["episode"]["l"].tolist() == ([2, 2] if name == "Terminal-v0" else [1, 1])
    env.close()


def test_rendering_shows_every_screen() -> None:
    with vector(2, render_mode="ansi") as env:
        env.reset()
        env.step([typed("echo one\n"), typed("echo two\n")])
        first, second = env.render()
        assert "\none\n" in first and "\ntwo\n" in second


def test_tokens_count_towards_each_ones_limit() -> None:
    with vector(2, limits={"tokens": 10}) as env:
        env.reset()
        env.spend([3, 10])
        *_, truncations, infos = env.step([typed("true\n")] * 2)
        assert truncations.tolist() == [False, True] and infos["outcome"].tolist() == [None, "out_of_tokens"]


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ({"task": "files/rename-by-dat"}, "files/rename-by-date"),
        ({"tasks": ["sql/query", "sql/queri"]}, "sql/query"),
        ({"sandbox": "namespaces"}, "namespace"),
        ({"render_mode": "rgb-array"}, "rgb_array"),
        ({"limits": {"turn": 3}}, "turns"),
    ],
)
@pytest.mark.parametrize("name", IDS)
def test_unknown_names_are_answered_by_what_was_meant(name: str, options: dict[str, Any], meant: str) -> None:
    with pytest.raises(UnknownName, match=rf"did you mean .*{meant}"):
        gym.make_vec(name, num_envs=2, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_envs": 0}, "num_envs"),
        ({"batch_size": 3}, "batch_size"),
        ({"batch_size": -1}, "batch_size"),
        ({"autoreset_mode": "NextStop"}, "NextStop"),
        ({"tasks": [TASK]}, "tasks of 1 environments; there are 2"),
    ],
)
def test_numbers_that_cannot_be_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        gym.make_vec("Terminal-v0", **{"num_envs": 2, **options})


def test_no_thread_is_left_of_what_could_not_be_made() -> None:
    before = threading.active_count()
    wrong: list[dict[str, Any]] = [{"task": []}, {"tasks": [TASK, []]}, {"wait": "settled"}, {"pool_size": "many"}]
    for options in wrong:
        with pytest.raises((TaskError, TypeError)):
            gym.make_vec("Terminal-v0", num_envs=2, **options)
    gc.collect()
    assert threading.active_count() == before


def test_each_environment_may_have_tasks_of_its_own() -> None:
    with vector(3, task=None, tasks=[TASK, [OTHER], "files/rename-by-date"]) as env:
        tasks = env.reset(seed=2)[1]["task"]
        assert tasks[:2].tolist() == [TASK.id, OTHER.id] and tasks[2].startswith("files/rename-by-date@")


# Whichever are ready.


def test_one_at_work_holds_up_nobody() -> None:
    with vector(4, batch_size=1) as env:
        env.reset()
        env.send([typed("sleep 3\n"), *[typed("true\n")] * 3], range(4))
        begin, taken = time.monotonic(), [0] * 4
        while not taken[0]:
            (number,) = env.recv()[4]["env_id"]
            taken[number] += 1
            if number:
                env.send([typed("true\n")])
        assert 2.9 < time.monotonic() - begin < 10
        assert min(taken[1:]) > 20, taken


def test_results_are_of_the_environment_they_name() -> None:
    with vector(6, batch_size=2) as env:
        env.async_reset(seed=1)
        sent = np.zeros(6, int)
        for _ in range(120):
            observations, rewards, *_, infos = env.recv()
            assert len(observations) == len(rewards) == 2
            for position, number in enumerate(infos["env_id"]):
                if sent[number]:
                    assert f"\nslot {number} turn {sent[number]}\n" in observations[position]
            sent[infos["env_id"]] += 1
            env.send([typed(f"echo slot {i} turn $(({sent[i]}))\n") for i in infos["env_id"]])
            if sent.max() > 40:
                env.reset()
                env.async_reset()
                sent[:] = 0


def test_first_observations_come_by_recv() -> None:
    with vector(3, batch_size=2, task=FAMILIES) as env:
        env.async_reset(seed=5)
        first, second = env.recv(), env.recv()  # 2, then the last one
        ids = [*first[4]["env_id"], *second[4]["env_id"]]
        assert sorted(ids) == [0, 1, 2] and len(first[0]) == 2 and len(second[0]) == 1
        shown = dict(zip(ids, [*first[0], *second[0]], strict=True))
        assert [shown[i] for i in range(3)] == list(env.reset(seed=5)[0])


def test_misuse_is_answered_and_changes_nothing() -> None:
    with vector(2) as env:
        with pytest.raises(gym.error.ResetNeeded, match="nothing is at work"):
            env.recv()
        with pytest.raises(gym.error.ResetNeeded):
            env.spend([1, 1])
        env.reset()
        for actions, ids, error, says in (
            ([DONE], [0, 1], ValueError, "1 actions were given for 2 environments"),
            ([DONE, DONE], [1, 1], ValueError, "twice"),
            ([DONE, 3], [0, 1], gym.error.InvalidAction, "environment 1: 3 is not in"),
            ([DONE], [2], ValueError, r"no environments \[2\]: they are 0 to 1"),
            ([DONE], [-1], ValueError, r"no environments \[-1\]"),
        ):
            with pytest.raises(error, match=says):
                env.send(actions, ids)
        with pytest.raises(gym.error.ResetNeeded, match="nothing is at work"):
            env.recv()
        env.send([typed("echo a$((1))\n")], [1])
        with pytest.raises(ValueError, match=r"\[1\] are at work already"):
            env.send([DONE, DONE], [0, 1])
        with pytest.raises(ValueError, match=r"\[1\] are at work already"):
            env.step([DONE, DONE])
        observations, *_, infos = env.recv()
        assert infos["env_id"].tolist() == [1] and "a1" in observations[0]
        assert env.step([typed("true\n")] * 2)[2].tolist() == [False, False]


def test_an_invalid_key_starts_nothing() -> None:
    with vector(2, "TerminalGrid-v0") as env:
        env.reset()
        with pytest.raises(gym.error.InvalidAction, match="environment 1"):
            env.step(np.array([KEYS.index("a"), len(KEYS)]))
        chars = env.step(np.array([KEYS.index("b")] * 2))[0]["chars"]
        assert [chr(chars[0, 0, 19]), chr(chars[1, 0, 19])] == ["b", "b"]


def test_a_reset_gives_up_steps_in_flight() -> None:
    with vector(3, batch_size=1) as env:
        env.reset()
        env.send([typed("sleep 20\n")] * 2 + [typed("echo c$((1))\n")], range(3))
        begin = time.monotonic()
        env.reset(options={"reset_mask": np.array([True, False, False])})
        observations, *_, infos = env.recv()
        assert infos["env_id"].tolist() == [2] and "c1" in observations[0]  # what others came to is not lost
        env.reset()
        assert time.monotonic() - begin < 10
        assert ["b1" in shown for shown in env.step([typed("echo b$((1))\n")] * 3)[0]] == [True] * 3


# Failures are one's own.


def echoes(env: Any, turn: int) -> tuple[Any, ...]:
    """A step in which each shows its number and the turn; the result."""
    return env.step([typed(f"echo slot {i} turn $(({turn}))\n") for i in range(env.num_envs)])


def _wait_for_end(pid: int) -> None:
    """Until a first process, and so all others of its sandbox, are gone."""
    deadline = time.monotonic() + 10
    with suppress(OSError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
            assert time.monotonic() < deadline
            time.sleep(0.001)


def undisturbed(result: tuple[Any, ...], turn: int, *lost: int) -> None:
    """Nothing but the `lost` ones shows that something happened."""
    observations, rewards, terminations, truncations, infos = result
    for i in set(range(len(observations))) - set(lost):
        assert f"\nslot {i} turn {turn}\n" in observations[i]
        assert not (rewards[i] or terminations[i] or truncations[i])
        assert "_failure" not in infos or not infos["_failure"][i]


def test_the_death_of_an_agents_shell_is_its_own() -> None:
    with vector(3) as env:
        env.reset()
        undisturbed(echoes(env, 1), 1)
        os.kill(episode(env, 1).terminal._shell, signal.SIGKILL)
        result = echoes(env, 2)
        undisturbed(result, 2, 1)
        assert result[2][1] and result[4]["outcome"][1] == "agent_died" and "failure" not in result[4]
        undisturbed(echoes(env, 3), 3, 1)
        undisturbed(echoes(env, 4), 4)
        assert "invalid" not in counts(env)


@pytest.mark.parametrize("in_the_middle", [True, False])
def test_the_death_of_a_sandbox_invalidates_its_episode_only(in_the_middle: bool) -> None:
    with vector(3) as env:
        env.reset()
        undisturbed(echoes(env, 1), 1)
        first_process = episode(env, 1).sandbox._pid
        if in_the_middle:  # its shell is at work: nothing inside could have ended the first process
            threading.Timer(0.2, os.kill, (first_process, signal.SIGKILL)).start()
            result = env.step([typed(f"sleep {0.5 * (i == 1)}; echo slot {i} turn $((2))\n") for i in range(3)])
        else:
            os.kill(first_process, signal.SIGKILL)
            _wait_for_end(first_process)  # its shell could be quicker than the kernel
            result = echoes(env, 2)
        undisturbed(result, 2, 1)
        assert (result[1][1], result[2][1], result[3][1]) == (0.0, False, True)
        assert result[4]["outcome"][1] == "infra_error" and "ended" in result[4]["failure"][1]
        undisturbed(echoes(env, 3), 3, 1)
        undisturbed(echoes(env, 4), 4)
        assert (counts(env)["invalid"], counts(env)["retried"]) == (1, 1)


def test_a_stopped_shell_ends_its_step_in_time() -> None:
    with vector(2) as env:
        env.reset()
        shell = episode(env, 1).terminal._shell
        os.kill(shell, signal.SIGSTOP)
        begin = time.monotonic()
        result = env.step([typed("echo a$((1))\n", wait_s=1.0)] * 2)
        assert time.monotonic() - begin < 5
        assert "\na1\n" in result[0][0] and "\na1\n" not in result[0][1] and not result[3].any()
        os.kill(shell, signal.SIGCONT)
        env.step([typed("\n")] * 2)
        assert "\na1\n" in episode(env, 1).terminal.emulator.screen().text


@pytest.mark.parametrize("mode", MODES)
def test_a_judge_that_dies_invalidates_its_episode_only(mode: AutoresetMode) -> None:
    with vector(3, tasks=[TASK, [SLOW_CHECK, TASK], TASK], autoreset_mode=mode, pool_size=0, batch_size=1) as env:
        env.reset(seed=1)
        env.reset(options={"reset_mask": np.array([False, True, False]), "task": SLOW_CHECK})
        env.step([typed("true\n"), DONE, typed("true\n")])
        launcher = launcher_of(env)
        before = boxes_of(launcher)
        env.send([DONE], [1])
        eventually(lambda: len(boxes_of(launcher) - before) == 1 and len(boxes_of(launcher)) == 3)
        os.kill((boxes_of(launcher) - before).pop(), signal.SIGKILL)
        _, rewards, terminations, truncations, infos = env.recv()
        ended = infos.get("final_info", infos)
        assert (rewards[0], terminations[0], truncations[0]) == (0.0, False, True)
        assert ended["outcome"].tolist() == ["infra_error"] and ended["failure"][0]
        if mode is AutoresetMode.DISABLED:
            infos = env.reset(options={"reset_mask": np.array([False, True, False])})[1]
        elif mode is AutoresetMode.NEXT_STEP:
            infos = env.step([typed("true\n")] * 3)[4]
        assert infos["task"][infos["_instruction"]].tolist() == [SLOW_CHECK.id]  # the same again
        undisturbed(echoes(env, 2), 2)
        assert (counts(env)["invalid"], counts(env)["retried"]) == (1, 1)


@pytest.mark.parametrize("retries", [0, 2])
def test_a_task_that_cannot_be_judged_is_tried_again_so_often(retries: int) -> None:
    with vector(2, tasks=[TASK, UNJUDGED], retries=retries, autoreset_mode="SameStep") as env:
        env.reset(seed=4)
        ended: list[str] = []
        while len(ended) < 2 * (retries + 1):
            result = env.step([typed("echo slot 0 turn $((7))\n"), DONE])
            undisturbed(result, 7, 1)
            if result[3][1]:
                final = result[4]["final_info"]
                assert result[1][1] == 0 and not result[2][1]
                assert final["outcome"][1] == "verifier_error" and "127" in final["failure"][1]
                ended.append(final["task"][1])
        assert [ended.count(task) for task in dict.fromkeys(ended)] == [retries + 1] * 2
        expected = {"invalid": len(ended), "retried": 2 * retries, "given up": 2}
        assert {name: counts(env).get(name, 0) for name in expected} == expected


def test_a_task_that_cannot_start_is_given_up_in_the_end() -> None:
    with vector(2, tasks=[TASK, TOO_LARGE], retries=1) as env:
        with pytest.raises(SandboxError, match="cannot put /app/x"):
            env.reset(seed=2)
        env.reset(seed=2, options={"task": TASK})
        env.step([typed("true\n"), DONE])
        assert env.step([typed("true\n"), DONE])[2].tolist() == [False, True]
        tried: list[str] = []
        for _ in range(4):
            result = env.step([typed("echo slot 0 turn $((7))\n"), DONE])
            undisturbed(result, 7, 1)
            assert result[3][1] and result[4]["outcome"][1] == "infra_error"
            assert "cannot put /app/x" in result[4]["failure"][1]
            tried.append(result[4]["task"][1])
        assert tried[0] == tried[1] and tried[2] == tried[3]
        assert (counts(env)["retried"], counts(env)["given up"]) == (2, 2)


def test_a_killed_launcher_is_replaced_and_all_tasks_tried_again() -> None:
    before = children()
    with vector(3, task=FAMILIES) as env:
        tasks = env.reset(seed=3)[1]["task"].tolist()
        boxes = [episode(env, i).sandbox for i in range(3)]
        os.kill(launcher_of(env), signal.SIGKILL)
        eventually(lambda: not any(box.alive for box in boxes))
        _, rewards, terminations, truncations, infos = echoes(env, 1)
        assert truncations.all() and not terminations.any() and not rewards.any()
        assert infos["outcome"].tolist() == ["infra_error"] * 3 and all(infos["failure"])
        assert echoes(env, 2)[4]["task"].tolist() == tasks
        undisturbed(echoes(env, 3), 3)
        assert (counts(env)["invalid"], counts(env)["retried"]) == (3, 3)
        assert len(children() - before) == 1


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_nothing_but_invalid_episodes_is_an_error(mode: AutoresetMode) -> None:
    with vector(2, task=UNJUDGED, autoreset_mode=mode) as env:
        env.reset()
        with pytest.raises(SandboxError, match=r"the last 7 episodes were all invalid.*127"):
            for _ in range(30):
                env.step([DONE] * 2)
        assert env.metrics["counts"]["invalid"] >= 7


# Interrupts, ends, and what is left.


@contextmanager
def interrupted(seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        timer.join()


def test_an_interrupted_step_leaves_the_environment_fit_for_a_reset() -> None:
    before = descriptors(), threading.active_count(), children()
    with vector(3) as env:
        env.reset()
        for _ in range(2):
            begin = time.monotonic()
            with interrupted(0.3):
                env.step([typed("sleep 20\n"), *[typed("true\n")] * 2])
            env.reset()
            assert time.monotonic() - begin < 10
            undisturbed(echoes(env, 1), 1)
        with interrupted(0.3):
            env.step([typed("sleep 20\n")] * 3)
    assert (descriptors(), threading.active_count(), children()) == before


def test_interrupts_at_any_moment_of_a_reset_leave_nothing() -> None:
    before = descriptors(), threading.active_count(), children()
    with vector(4, task=SLOW_CHECK, autoreset_mode="SameStep") as env:
        for moment in np.linspace(0.002, 0.12, 12):
            timer = threading.Timer(moment, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            try:
                while True:
                    env.reset()
            except KeyboardInterrupt:
                timer.join()
        env.reset()
        undisturbed(echoes(env, 1), 1)
    assert (descriptors(), threading.active_count(), children()) == before


@pytest.mark.parametrize("state", ["idle", "at work", "ended"])
def test_closing_leaves_nothing(state: str) -> None:
    before = descriptors(), threading.active_count(), children()
    with vector(4) as env:
        env.reset()
        if state == "at work":
            env.send([typed("sleep 20\n")] * 4, range(4))
        if state == "ended":
            env.step([DONE] * 4)
            env.step([DONE] * 4)
    assert (descriptors(), threading.active_count(), children()) == before


@pytest.mark.parametrize("where", ["here", "in its thread"])
def test_garbage_collection_is_as_good_as_closing(where: str) -> None:
    """Any thread may be the one to find out that nobody refers to an environment any more, its own too."""

    def use() -> Any:
        env: Any = gym.make_vec("Terminal-v0", num_envs=4, task=TASK).unwrapped
        env.reset()
        echoes(env, 1)
        env.myself = env
        return env._crew.thread._loop

    before = descriptors(), threading.active_count(), children()
    gc.disable()
    try:
        loop = use()
        gc.collect() if where == "here" else loop.call_soon_threadsafe(gc.collect)
        del loop
        eventually(lambda: (threading.active_count(), children()) == before[1:])
        gc.collect()
        assert descriptors() == before[0]
    finally:
        gc.enable()


def test_a_fork_says_that_it_cannot_and_harms_nobody() -> None:
    with vector(2) as env, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forks and threads: what this is about
        env.reset()
        echoes(env, 1)
        reader, writer = os.pipe()
        if not (child := os.fork()):
            try:
                for use in (env.reset, lambda: echoes(env, 2), env.async_reset):
                    with pytest.raises(RuntimeError, match="another process"):
                        use()
                env.close()
                del env
                gc.collect()
                os.write(writer, b"fine")
            except BaseException as error:
                os.write(writer, repr(error).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        assert os.read(reader, 1000) == b"fine"
        os.close(reader)
        undisturbed(echoes(env, 2), 2)
        env.reset()
        undisturbed(echoes(env, 3), 3)


def test_the_end_of_the_process_is_silent_and_takes_all_along(tmp_path: Path) -> None:
    script = tmp_path / "end.py"
    script.write_text(
        "import gymnasium, termgym\n"
        "env = gymnasium.make_vec('Terminal-v0', num_envs=3, task='files/rename-by-date')\n"
        "env.reset()\n"
        "print(env.unwrapped._seats[0].slot.episode.sandbox._launcher.pid)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    eventually(lambda: not Path(f"/proc/{done.stdout.strip()}").exists())


def test_sixteen_terminals_take_one_thread_and_one_process() -> None:
    threads, processes = threading.active_count(), children()
    with vector(16) as env:
        env.reset()
        undisturbed(echoes(env, 1), 1)
        assert threading.active_count() <= threads + 1
        assert len(children() - processes) == 1


def test_two_vectors_at_once_are_strangers() -> None:
    with vector(2) as one, vector(2) as other:
        one.reset()
        other.reset()
        one.step([typed("touch a\n"), DONE])
        assert "a" not in other.step([typed("ls\n")] * 2)[0][0].split()
        os.kill(launcher_of(one), signal.SIGKILL)
        undisturbed(echoes(other, 1), 1)


def test_samples_are_harmless() -> None:
    space = ActionSpace(3)
    with vector(2, limits={"turns": 4}) as env:
        env.reset(seed=1)
        for _ in range(8):
            assert env.observation_space.contains(env.step([space.sample(), space.sample()])[0])
