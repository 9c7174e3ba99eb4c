"""A verifier with a sandbox of its own: nothing but the artifacts comes over, and what is hostile in them does not."""

import pytest

from termgym import aio
from termgym.artifacts import MAX_BYTES
from termgym.episode import Episode
from termgym.protocol import Action, Command
from termgym.sandbox import MIB
from termgym.task import Artifact, File, Hook, Judge, Place, Resources, Task
from termgym.verifier import Verdict

DONE = Action("done", "none", (), True).to_json()
SHOW = """#!/bin/bash
find /app/out /app/x /logs/artifacts /app/lost -printf '%y %m %s %p\\n' 2>/dev/null | LC_ALL=C sort -k4
pwd
echo 1 >/logs/verifier/reward.txt
"""
LIST = (Artifact("/app/out", exclude=("*.tmp", "cache")), Artifact("/app/x"), Artifact("/app/lost"))


def task(*hooks: str) -> Task:
    judge = Judge({"A": "b"}, Place(workdir="/srv/judge"), tuple(Hook(hook, 2.0) for hook in hooks))
    return Task(
        "apart", "x", tests={"test.sh": File.of(SHOW)}, judge=judge, artifacts=LIST, resources=Resources(storage_mb=512)
    )


async def judged(made: Task, keys: str) -> Verdict:
    episode = Episode(made)
    try:
        await episode.reset()
        await episode.step(Action("a", "p", (Command(keys, 30.0),)).to_json())
        for _ in range(2):
            await episode.step(DONE)
        return (await episode.finish())[1]
    finally:
        await episode.close()


def seen(keys: str, *hooks: str) -> list[str]:
    """What the verifier finds, but for where it is."""
    *lines, where = aio.run(judged(task(*hooks), keys)).checks[0].output.splitlines()
    assert where == "/srv/judge"
    return lines


def test_files_and_folders_come_over_and_nothing_else() -> None:
    keys = (
        "mkdir -p out/empty out/cache other; echo a >out/f; chmod 4755 out/f; touch out/b.tmp out/cache/c other/o x\n"
    )
    found = [line.split() for line in seen(keys)]
    assert [(kind, path) for kind, _, _, path in found] == [
        ("d", "/app/out"),
        ("d", "/app/out/empty"),
        ("f", "/app/out/f"),
        ("f", "/app/x"),
    ]
    assert found[2][1:3] == ["755", "2"]


def test_hooks_run_before_and_what_they_publish_comes_over() -> None:
    found = seen(
        "mkdir /run/state; echo 7 >/run/state/n\n",
        "mkdir -p /logs/artifacts; cp /run/state/n /logs/artifacts",
        "exit 3",
    )
    assert [line.split()[-1] for line in found] == ["/logs/artifacts", "/logs/artifacts/n"]


def test_what_is_too_large_together_is_left_out_from_there_on() -> None:
    found = seen(f"mkdir out; head -c {MAX_BYTES - 4 * MIB} /dev/zero >out/full; head -c {8 * MIB} /dev/zero >x\n")
    assert [line.split()[-1] for line in found] == ["/app/out", "/app/out/full"]


def test_a_thousand_folders_come_over_at_once() -> None:
    found = aio.run(judged(task(), "mkdir out; cd out; mkdir $(seq 1000); cd ..\n"))
    assert found.checks[0].output.count("/app/out/") > 50  # the end of what it printed


HOSTILE = {
    "links": "mkdir out; ln -s /etc/shadow out/a; ln -s / out/root; ln -s /tests x\n",
    "linked folder": "ln -s /etc out; ln -s /logs x\n",
    "devices": "mkdir out; mkfifo out/pipe x; mknod out/null c 1 3; true\n",
    "huge": f"mkdir out; truncate -s {MAX_BYTES + MIB} out/hole; truncate -s 300M x\n",
    "large": f"mkdir out; head -c {MAX_BYTES + MIB} /dev/zero >out/full\n",
    "broken tools": "mkdir out; cp /bin/true /usr/bin/tar; cp /bin/true /usr/bin/find; cp /bin/true /usr/bin/cp\n",
    "no tools": "mkdir out; rm -rf /usr/bin/* /bin\n",
    "tests": "mkdir -p out /tests /logs/verifier; echo 1 >/tests/test.sh; echo 1 >/logs/verifier/reward.txt\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_artifacts_are_left_out(name: str) -> None:
    found = seen(HOSTILE[name], "sleep 60" if name == "tests" else "true")
    assert [line for line in found if not line.startswith("d ")] == [], found


def test_odd_names_and_shared_files_come_over() -> None:
    found = seen("mkdir out; printf 1 >$'out/a\\nb'; printf 22 >'out/ü -n'; ln 'out/ü -n' out/again\n")
    assert sum("f 644 2" in line for line in found) == 2 and any(line.startswith("f 644 1") for line in found)


def test_a_name_that_is_no_utf_8_harms_nothing() -> None:
    assert aio.run(judged(task(), "mkdir out; touch $'out/\\xff' out/fine\n")).binary == 1


def test_a_missing_test_sh_interpreter_is_no_score() -> None:
    from termgym.errors import VerifierError

    for script in ("#!/no/such/shell\n", "#!/bin/bash\necho 1 >/logs/verifier/reward.txt\nno-such-program\n"):
        made = Task("broken", "x", tests={"test.sh": File.of(script)})
        with pytest.raises(VerifierError, match="could not run, it ended with 127"):
            aio.run(judged(made, "true\n"))


@pytest.mark.parametrize("keys", ["cd /; rm -rf /app\n", "cd /; rm -rf /app; touch /app\n"])
def test_an_agent_without_a_workdir_has_failed_and_not_the_verifier(keys: str) -> None:
    script = File.of(
        "#!/bin/bash\n[ -f /app/x ] && echo 1 >/logs/verifier/reward.txt || echo 0 >/logs/verifier/reward.txt\n"
    )
    assert aio.run(judged(Task("gone", "x", tests={"test.sh": script}), keys)).dense == 0
