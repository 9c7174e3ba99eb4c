"""The command line: what it prints, what it writes, its exit statuses; `play` on a real terminal."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import termgym
from termgym.cli import app
from termgym.family import families
from termgym.source import missing
from termgym.task import Check, Task
from termgym.trajectory import Trajectory

ROOT = Path(__file__).parents[1]
MAIN = [sys.executable, "-m", "termgym"]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
USABLE = [name for name, family in families().items() if not missing(family.requires)]
MENU = b"quit (q)?"


@pytest.fixture
def task(tmp_path: Path) -> str:
    """The folder of a task: write yes into /app/answer."""
    solve = "echo yes > answer\n"
    made = Task(
        "write-yes",
        "Write yes into /app/answer.",
        checks=(Check("answer", "grep -qx yes /app/answer"), Check("tidy", 'test "$(ls /app)" = answer')),
        oracle=(termgym.Command(solve, 5.0),),
    )
    return str(made.save(tmp_path / "write-yes"))


def call(*args: str) -> Result:
    return CliRunner().invoke(app, args)


def lines(path: Path) -> list[Trajectory]:
    return [Trajectory.from_json(line) for line in path.read_text().splitlines()]


# Looking.


def test_help_shows_every_command_and_each_one_an_example() -> None:
    shown = call("--help").output
    names = "list show play attach validate eval report compare calibrate replay doctor demo"
    for name in names.split():
        assert re.search(rf"\b{name}\b", shown)
        assert f"Example: termgym {name}" in call(name, "--help").output


def test_version() -> None:
    assert call("--version").output == f"termgym {termgym.__version__}\n"


def test_list_as_json_has_every_family() -> None:
    listed = json.loads(call("list", "--json").output)
    assert [family["name"] for family in listed] == list(families())
    assert all({"domain", "skills", "levels", "summary"} <= family.keys() for family in listed)


def test_list_by_domain() -> None:
    listed = json.loads(call("list", "--domain", "file_operations", "--json").output)
    assert {family["domain"] for family in listed} == {"file_operations"}
    assert "files/rename-by-date" in call("list", "--domain", "file_operations").output


def test_show_is_the_task_of_the_seed_and_level() -> None:
    task = families()["files/rename-by-date"].task(3, 2)
    shown = json.loads(call("show", task.id.partition("@")[0], "--seed", "3", "--level", "2", "--json").output)
    assert (shown["id"], shown["digest"], shown["instruction"]) == (task.id, task.digest, task.instruction)
    text = call("show", "files/rename-by-date", "--seed", "3", "--level", "2").output
    assert all(check.name in text for check in task.checks) and all(path in text for path in task.files)


def test_show_takes_a_task_folder(task: str) -> None:
    assert "Write yes into /app/answer." in call("show", task).output


# Wrong usage.


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ("list --domain debuging", "did you mean debugging"),
        ("show files/rename", "did you mean files/rename-by-date"),
        ("show ./no-such-folder", "no-such-folder"),
        ("show files/rename-by-date --level 9", "levels 1 to 5, not 9"),
        ("eval --policy orcale", "did you mean oracle"),
        ("eval --policy idle --task files/rename", "did you mean files/rename-by-date"),
        ("eval --policy idle --sandbox namespce --task files/rename-by-date --out OUT", "did you mean namespace"),
        ("eval --policy idle --wait setle", "did you mean settle"),
        ("eval --policy idle --option seed", "KEY=VALUE"),
        ("play files/rename-by-date", "play needs a terminal"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(args: str, says: str, tmp_path: Path) -> None:
    done = call(*args.replace("OUT", str(tmp_path / "out")).split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr and done.stderr.startswith("termgym: ") and done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_status_1_and_one_line(task: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = call("eval", "--policy", "idle", "--task", task, "--out", str(tmp_path / "file" / "out"))
    assert done.exit_code == 1 and done.stderr.startswith("termgym: ") and done.stderr.count("\n") == 1


# Running.


def test_collect_tells_what_the_texts_come_to_and_goes_on(task: str, tmp_path: Path) -> None:
    args = ("collect", "--task", task, "--option", "mistakes=0", "--out", str(tmp_path / "out"))
    done = call(*args, "--attempts", "2")
    assert done.exit_code == 0, done.output
    assert "2 of 2 episodes solved, 6 turns" in done.output and "0.0% of the turns" in done.output
    assert "3 of 3 episodes solved" in call(*args, "--attempts", "3").output
    assert [one.policy for one in lines(tmp_path / "out" / "episodes.jsonl")] == ["teacher"] * 3


def test_eval_writes_episodes_recordings_and_a_summary(task: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call("eval", "--policy", "oracle", "--task", task, "--attempts", "3", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert re.search(r"write-yes\s+3/3\s+100%", done.output)
    assert sorted(one.attempt for one in lines(out / "episodes.jsonl")) == [0, 1, 2]
    assert sorted(path.name for path in (out / "casts").iterdir()) == [f"write-yes-{n}.cast" for n in range(3)]
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["total"]["solved"], summary["total"]["pass_at"]) == (3, {"1": 1.0, "2": 1.0})
    assert (out / "report.html").read_text().count('id="film-') == 3
    more = call("eval", "--policy", "oracle", "--task", task, "--out", str(out), "--attempts", "4")
    assert more.exit_code == 0 and "4/4" in more.output
    assert sorted(one.attempt for one in lines(out / "episodes.jsonl")) == [0, 1, 2, 3]
    again = call("eval", "--policy", "idle", "--task", task, "--out", str(out))
    assert again.exit_code == 2 and "policy is 'oracle', and now 'idle'" in again.stderr
    assert len(lines(out / "episodes.jsonl")) == 4


@pytest.mark.tmux
def test_eval_in_tmux(task: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call("eval", "--policy", "oracle", "--task", task, "--terminal", "tmux", "--out", str(out))
    assert done.exit_code == 0 and lines(out / "episodes.jsonl")[0].solved, done.output
    wrong = call("eval", "--policy", "oracle", "--task", task, "--terminal", "tmx")
    assert wrong.exit_code == 2 and "did you mean tmux" in wrong.stderr


def test_eval_of_a_policy_that_fails_is_a_result(task: str, tmp_path: Path) -> None:
    done = call("eval", "--policy", "idle", "--task", task, "--json", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0
    assert json.loads(done.stdout)["total"]["outcomes"] == {"failed": 1}


def test_eval_hands_options_to_the_policy(task: str, tmp_path: Path) -> None:
    reply = termgym.Action("", "", (termgym.Command("echo yes > answer\n", 5.0),)).to_json()
    option = f"replies={json.dumps([reply])}"
    out = tmp_path / "out"
    done = call("eval", "--policy", "scripted", "--option", option, "--task", task, "--out", str(out))
    assert done.exit_code == 0 and lines(out / "episodes.jsonl")[0].solved


def test_an_oracle_that_fails_is_status_1_and_is_named(task: str, tmp_path: Path) -> None:
    wrong = Task("wrong", "x", checks=(Check("never", "false"),), oracle=(termgym.Command("true\n", 5.0),))
    folder = str(wrong.save(tmp_path / "wrong"))
    done = call("eval", "--policy", "oracle", "--task", task, "--task", folder, "--out", str(tmp_path / "out"))
    assert done.exit_code == 1
    assert "wrong attempt 0: the oracle did not solve it: failed, not passed: never" in done.stderr


def test_invalid_episodes_are_status_1_and_are_named(tmp_path: Path) -> None:
    folder = str(Task("broken", "x", checks=(Check("crash", "kill -9 $$"),)).save(tmp_path / "broken"))
    done = call("eval", "--policy", "idle", "--task", folder, "--out", str(tmp_path / "out"))
    assert done.exit_code == 1 and "broken attempt 0 is invalid: verifier_error" in done.stderr
    assert "0/0" in done.stdout


def test_a_person_can_be_the_policy(task: str, tmp_path: Path) -> None:
    args = ["eval", "--policy", "human", "--task", task, "--out", str(tmp_path / "out")]
    done = subprocess.run([*MAIN, *args], input="echo yes > answer\n:done\n", text=True, capture_output=True, env=ENV)
    assert done.returncode == 0, done.stderr
    assert "Write yes into /app/answer." in done.stdout and re.search(r"write-yes\s+1/1", done.stdout)


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/eval/*.toml")), ids=lambda path: path.stem)
def test_options_come_from_a_file(path: Path) -> None:
    asked = ("eval", "--config", str(path), "--task", "files/rename-by-date", "--dry-run")
    known, said = tomllib.loads(path.read_text()), " ".join(call(*asked).stdout.split())
    assert said.startswith(f"{known['n'] * known.get('attempts', 1)} episodes of {known['policy']}, ")
    assert known["option"]["endpoint"] in said
    assert call(*asked, "--n", "7", "--attempts", "1").stdout.startswith("7 episodes")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("polcy = 'oracle'", "no option named 'polcy'; did you mean policy"),
        ("policy = 'oracel'", "did you mean oracle"),
        ("policy = 'openai'\n[option]\nmodl = 'x'", "did you mean model"),
        ("policy = 'oracle'\noption = 3", r"as a table: [option]"),
        ("policy = ", "options.toml: Invalid value"),
        ("policy = 'oracle'\nn = 0", "greater than or equal to 1"),
    ],
)
def test_a_file_that_is_wrong_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "options.toml"
    path.write_text(text)
    done = call("eval", "--config", str(path), "--dry-run")
    assert done.exit_code == 2 and said in " ".join(done.output.replace("│", " ").split())


def test_an_interrupt_keeps_what_ended_and_leaves_nothing(task: str, tmp_path: Path) -> None:
    slow = termgym.Action("", "", (termgym.Command("sleep 50\n", 60.0),)).to_json()
    out = tmp_path / "out"
    args = [
        "eval",
        "--policy",
        "scripted",
        "--option",
        f"replies={json.dumps([slow])}",
        "--task",
        task,
        "--out",
        str(out),
    ]
    quick = Task("quick", "x", checks=(Check("fine", "true"),), limits=termgym.Limits(wall_s=0.2)).save(
        tmp_path / "quick"
    )
    process = subprocess.Popen([*MAIN, *args, "--task", str(quick)], stderr=subprocess.PIPE, text=True, env=ENV)
    wait_until(lambda: (out / "episodes.jsonl").exists() and lines(out / "episodes.jsonl") != [])
    (launcher,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (130, "termgym: interrupted\n")
    assert [one.task for one in lines(out / "episodes.jsonl")] == ["quick"]
    assert json.loads((out / "summary.json").read_text())["total"]["n"] == 1
    assert not Path(f"/proc/{launcher}").exists()


def wait_until(holds, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_host_without_namespaces_is_status_3_and_the_doctor_says_why(task: str, tmp_path: Path) -> None:
    deny = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    denied = ["unshare", "--user", "--map-root-user", "sh", "-c", deny, "sh"]
    if subprocess.run([*denied, "true"], capture_output=True).returncode:
        pytest.skip("needs unshare")
    args = ["eval", "--policy", "idle", "--task", task, "--attempts", "4", "--out", str(tmp_path / "out")]
    done = subprocess.run([*denied, *MAIN, *args], capture_output=True, text=True, env=ENV)
    assert (done.returncode, done.stdout) == (3, "")
    assert "sysctl user.max_user_namespaces" in done.stderr and done.stderr.count("\n") == 1
    env = {**ENV, "DOCKER_HOST": "unix:///none"}
    doctor = subprocess.run([*denied, *MAIN, "doctor", "--json"], capture_output=True, text=True, env=env)
    found = {one["name"]: one for one in json.loads(doctor.stdout)["findings"]}
    assert doctor.returncode == 1 and found["sandbox namespace"]["grade"] == "problem"
    assert "sysctl user.max_user_namespaces" in found["sandbox namespace"]["advice"]


def test_the_doctor_finds_this_host_fit() -> None:
    done = call("doctor", "--json")
    found = {one["name"]: one for one in json.loads(done.output)["findings"]}
    assert done.exit_code == 0 and found["sandbox namespace"]["grade"] == "ok"
    assert found["settling in namespace"]["what"].startswith('a step ended with "prompt"')
    assert {"kernel", "users", "limits", "tmpfs xattrs", "descriptors"} <= found.keys()


def test_the_demo_shows_that_the_oracle_solves_and_idle_does_not(tmp_path: Path) -> None:
    done = call("demo", "--no-training", "--n", "1", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    n = len({families()[name].domain for name in USABLE})
    assert re.search(rf"total\s+{n}/{n}\s+1\.00\s+0/{n}\s", done.output)
    assert len(lines(tmp_path / "out" / "oracle" / "episodes.jsonl")) == n


# Playing, on a terminal.


class Player:
    """A person with a terminal of 30 x 100 in which `termgym play` runs."""

    def __init__(self, *args: str) -> None:
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.master, (30, 100))
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [*MAIN, "play", *args],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            env=ENV,
        )
        self.seen = b""

    def sees(self, text: bytes, timeout_s: float = 20.0) -> None:
        """Wait for `text` to show, behind what was waited for before."""
        deadline = time.monotonic() + timeout_s
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 1 << 16)
        self.seen = self.seen.partition(text)[2]

    def types(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def leaves(self) -> int:
        """The exit status, when the terminal is found as it was."""
        status = self.process.wait(20)
        assert termios.tcgetattr(self.slave) == self.before
        return status

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def player(task: str) -> Iterator[Player]:
    made = Player(task)
    yield made
    made.close()


def test_play_to_the_end(player: Player) -> None:
    player.sees(b"Write yes into /app/answer.")
    player.sees(b"# ")
    player.types(b"stty size\r")
    player.sees(b"30 100")
    player.types(b"sh -c 'echo go''ing; exec sleep 60'\r")
    player.sees(b"going\r\n")  # the interrupt is for what runs, not for bash on its way to it
    player.types(b"\x03")
    player.sees(b"^C")
    player.sees(b"# ")
    player.types(b"echo yes > answer\r\x1d")
    player.sees(MENU)
    player.types(b"c")
    player.types(b"cat answer\r")
    player.sees(b"\ryes")
    player.types(b"\x1ds")
    player.sees(b"solved, reward 1")
    assert player.leaves() == 0


def test_play_submits_what_fails(player: Player) -> None:
    player.sees(b"# ")
    player.types(b"touch answer; echo do''ne\r")
    player.sees(b"\rdone")
    player.types(b"\x1d")
    player.sees(MENU)
    player.types(b"xs")
    player.sees(b"failed")
    player.sees(b"failed, reward 0, dense 0.50")
    assert player.leaves() == 1


def test_play_quits_when_the_shell_is_gone(player: Player) -> None:
    player.sees(b"# ")
    player.types(b"exit\r")
    player.sees(b"The shell has ended.")
    player.sees(MENU)
    player.types(b"q")
    player.sees(b"Nothing was submitted.")
    assert player.leaves() == 0


def test_play_follows_the_window(player: Player) -> None:
    player.sees(b"# ")
    termios.tcsetwinsize(player.master, (20, 70))
    player.process.send_signal(signal.SIGWINCH)  # the kernel's goes to a session's foreground; this one has no terminal
    player.types(b"sleep 0.2; stty size\r")
    player.sees(b"20 70")
    player.types(b"\x1dq")
    assert player.leaves() == 0


def test_play_puts_the_terminal_back_when_it_is_terminated(player: Player) -> None:
    player.sees(b"# ")
    player.types(b"printf '\\033[?1049h'; sleep 60\r")
    player.sees(b"\x1b[?1049h")
    player.process.send_signal(signal.SIGTERM)
    player.sees(b"\x1b[?1049l")
    assert player.leaves() == 130
