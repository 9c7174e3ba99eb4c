"""The verifier: judges the files that an agent left, when all its processes are gone, out of its reach.

Everything runs in a fresh sandbox (`Sandbox.verifier`): new processes, the base's own toolchain, /tests and /logs that
the agent never saw. Checks report by their exit status, which the sandbox's first process reads from the kernel, so
no file that an agent could have planted counts. What a check needs the agent's own programs for (`Check.run`) runs
before, in a fork of the agent's sandbox, and only what it printed comes over.

A task may name an image that the verifier's tools are of (`Judge.image`), as one that has what its tests would install:
then that is laid over the agent's files. What its shims did not find there (`termgym.image.shim`), and a score of 0
from a test script that could not download what it judges by (`termgym.image.bootstrap`), is the verifier's failure.

A task may say that the verifier has a place of its own (`Judge.place`): then that is a new sandbox, of an image that
the agent was never in, and of the agent's files nothing but the artifacts comes over (`termgym.artifacts`).
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from termgym import artifacts
from termgym.errors import SandboxDied, SandboxError, SandboxFileError, SandboxOverfull, VerifierError
from termgym.image import bootstrap, shim
from termgym.needs import expanded, place_spec
from termgym.sandbox import ExecResult, Sandbox, new_sandbox
from termgym.task import Check, File, Place, Task

RUN_TIMEOUT_S = 10.0
"""For a `Check.run`: the agent's program may hang, and then has failed."""
RUN_OUTPUT_BYTES = 1 << 20
REWARD_BYTES = 1 << 16
PYTEST_CONFIGS = ("pytest.ini", "pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg")
_SHELL = "#!/bin/bash\n"
_WHOLE = 'eval "$(cat)" </dev/null'
"""For a script that is longer than an argument may be."""
_IN_WORKDIR = 'mkdir -p -- "$0" 2>/dev/null; cd -- "$0" 2>/dev/null; exec /tests/test.sh'
_BROKEN = (126, 127)  # a shell's "not executable" and "not found"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found."""

    name: str
    score: float
    """1 if it passed, 0 if not; what a Harbor verifier wrote may lie between."""
    weight: float = 1.0
    output: str = ""
    """The end of what it printed: for the trainer, never for the agent."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one episode."""

    checks: tuple[CheckResult, ...]
    dense: float
    """The weighted share of the checks that passed; Harbor's number as it is."""

    @property
    def binary(self) -> float:
        """1 if everything passed, else 0."""
        return float(self.dense >= 1.0 - 1e-9)

    @classmethod
    def of(cls, checks: tuple[CheckResult, ...]) -> "Verdict":
        """The verdict that weighs these checks."""
        total = sum(check.weight for check in checks)
        return cls(checks, sum(check.score * check.weight for check in checks) / total)


async def verify(task: Task, sandbox: Sandbox, kind: str = "namespace") -> Verdict:
    """Seal the sandbox, which is of this kind, and judge its files by the task's verifier.

    Raises:
        VerifierError: The verifier crashed, ran out of its `limits.verifier_s`, or left no valid result.
        SandboxError: A sandbox failed.
    """
    try:
        return await _verify(task, sandbox, kind)
    except SandboxOverfull as error:
        names = {check.name: check.weight for check in task.checks} or {"reward": 1.0}
        return Verdict.of(tuple(CheckResult(name, 0.0, weight, str(error)) for name, weight in names.items()))


async def _verify(task: Task, sandbox: Sandbox, kind: str) -> Verdict:
    deadline = time.monotonic() + (task.limits.verifier_s or math.inf)
    await sandbox.seal()
    runs = await _run_all(task, sandbox)
    judge = await (
        _apart(task, task.judge.place, sandbox, kind) if task.judge.place else sandbox.verifier(task.judge.image)
    )
    try:
        await judge.put({f"/tests/{path}": file for path, file in {**_tests(task), **runs}.items()})
        if not task.checks:
            return await _harbor(task, judge, deadline)
        verdict = Verdict.of(tuple([await _check(check, judge, deadline) for check in task.checks]))
        await _check_nothing_missing(judge)
        return verdict
    finally:
        await judge.close()


async def _check_nothing_missing(judge: Sandbox) -> None:
    """Raise if the shims of the verifier's image were asked for what is not there."""
    try:
        lacking = (await judge.get(shim.MARK, REWARD_BYTES)).decode(errors="replace").split("\n")
    except SandboxFileError:
        return
    advice = "`termgym image verifier` makes an image that has it"
    raise VerifierError(f"the verifier's image lacks {', '.join(filter(None, lacking))}: {advice}")


async def _apart(task: Task, place: Place, sandbox: Sandbox, kind: str) -> Sandbox:
    """A new sandbox with the artifacts in it, and nothing else of the agent's."""
    files, folders = await artifacts.collect(task, place, sandbox)
    judge = new_sandbox(kind, place_spec(task, place))
    try:
        await judge.start()
        listed = "".join(f"{folder}\0" for folder in sorted(folders)).encode(errors="surrogateescape")
        await judge.exec(["/usr/bin/xargs", "-0", "-r", "mkdir", "-p", "--"], stdin=listed)
        await judge.put(files)
    except BaseException:
        await judge.close()
        raise
    return judge


def _tests(task: Task) -> Mapping[str, File]:
    """Path below /tests -> file, but for what the agent's programs have to print first."""
    if task.checks:
        return {**task.tests, **{f"checks/{check.name}": _script(check.script) for check in task.checks}}
    files = {**task.tests, "test.sh": File(task.tests["test.sh"].content, 0o755)}
    if not any(name in files for name in PYTEST_CONFIGS):
        files["pytest.ini"] = File(b"")  # or pytest would go up to / for one, and load the agent's conftest
    return files


def _script(text: str) -> File:
    return File.of(text if text.startswith("#!") else _SHELL + text, 0o755)


async def _check(check: Check, judge: Sandbox, deadline: float) -> CheckResult:
    result = await _exec(judge, [f"/tests/checks/{check.name}"], f"check {check.name!r}", "/tests", deadline)
    output = (result.stdout + result.stderr)[-2000:].decode(errors="replace")
    if result.returncode < 0 or result.returncode in _BROKEN:
        raise VerifierError(f"check {check.name!r} crashed with status {result.returncode}: {output}")
    return CheckResult(check.name, float(result.returncode == 0), check.weight, output)


async def _exec(
    judge: Sandbox,
    argv: Sequence[str],
    what: str,
    cwd: str | None,
    deadline: float,
    env: Mapping[str, str] | None = None,
) -> ExecResult:
    left_s = deadline - time.monotonic()
    result = await judge.exec(argv, cwd=cwd, env=env, timeout_s=min(max(left_s, 0.0), 1e6))
    if result.timed_out:
        raise VerifierError(f"{what} did not end within the verifier's time")
    return result


# What needs the agent's own programs.


async def _run_all(task: Task, sandbox: Sandbox) -> Mapping[str, File]:
    """The output of every `Check.run`, as files for the judge."""
    files: dict[str, File] = {}
    fork: Sandbox | None = None
    try:
        for check in task.checks:
            if check.run:
                fork = fork or (await sandbox.fork())[0]
                result = await _run(check, fork)
                folder = PurePosixPath("runs", check.name)
                for name, data in (("stdout", result.stdout), ("stderr", result.stderr)):
                    files[str(folder / name)] = File(data[:RUN_OUTPUT_BYTES])
                files[str(folder / "status")] = File.of(f"{result.returncode}\n")
                if result.returncode < 0:  # killed: what it left running must not meet the next
                    await fork.close()
                    fork = None
        return files
    finally:
        if fork is not None:
            await fork.close()


async def _run(check: Check, fork: Sandbox) -> ExecResult:
    try:
        return await fork.exec(["/bin/bash", "-c", _WHOLE], stdin=check.run.encode(), timeout_s=RUN_TIMEOUT_S)
    except (SandboxDied, SandboxError) as error:  # the agent's program brought the fork down, or filled it up
        return ExecResult(-1, b"", str(error).encode())


# Harbor's contract: tests/test.sh, whose exit status means nothing unless it could not run, and a reward file.


async def _harbor(task: Task, judge: Sandbox, deadline: float) -> Verdict:
    await judge.put({"/logs/verifier/.keep": File(b"")})
    # Its own place has its workdir; the agent may have removed the other, which is no failure of the verifier.
    argv = ["/tests/test.sh"] if task.judge.place else ["/bin/bash", "-c", _IN_WORKDIR, task.workdir]
    env = expanded(task.judge.env, f"{task.id}: [verifier] env")
    result = await _exec(judge, argv, "tests/test.sh", None, deadline, env)
    output = (result.stdout + result.stderr)[-2000:].decode(errors="replace")
    if result.returncode < 0 or result.returncode in _BROKEN:
        raise VerifierError(f"tests/test.sh could not run, it ended with {result.returncode}: {output}")
    await _check_nothing_missing(judge)
    verdict = await _reward(judge, output)
    if not verdict.dense:
        await _check_bootstrap(task, judge, result)
    return verdict


async def _reward(judge: Sandbox, output: str) -> Verdict:
    for name, read in (("reward.json", _read_json), ("reward.txt", _read_text)):
        try:
            text = (await judge.get(f"/logs/verifier/{name}", REWARD_BYTES)).decode()
        except (SandboxFileError, UnicodeDecodeError):
            continue
        if not text.strip():
            raise VerifierError(f"the verifier left an empty {name}; it printed: {output}")
        return _verdict(read(text), name, output)
    raise VerifierError(f"the verifier left neither reward.json nor reward.txt; it printed: {output}")


async def _check_bootstrap(task: Task, judge: Sandbox, result: ExecResult) -> None:
    """Raise if what says 0 may be that the script could not get its tools.

    Where the shims are, they vouch for what they stand for, and curl may fail: uv is there.
    """
    tools = bootstrap.downloads(task.tests["test.sh"].content.decode(errors="replace"))
    stdout, stderr = (printed.decode(errors="replace") for printed in (result.stdout, result.stderr))
    failure = bootstrap.failure(tools, stdout, stderr)
    if failure and (await judge.exec(["/bin/sh", "-c", f"[ -e /{shim.PATH} ]"])).returncode == 0:
        failure = bootstrap.failure(set(tools) & set(bootstrap.PACKAGES), stdout, stderr)
    if failure:
        raise VerifierError(
            f"tests/test.sh says 0, but it could not download what it judges by: {failure!r:.300}; `termgym image "
            "verifier` makes an image that has it, for ?verifier_image="
        )


def _read_json(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise VerifierError(f"reward.json is not JSON: {error}") from error
    return value if isinstance(value, dict) else {"reward": value}  # pyright: ignore[reportUnknownVariableType]


def _read_text(text: str) -> dict[str, object]:
    try:
        return {"reward": float(text)}
    except ValueError as error:
        raise VerifierError(f"reward.txt holds {text.strip()[:40]!r}, not a number") from error


def _verdict(rewards: dict[str, object], name: str, output: str) -> Verdict:
    """Harbor's rule: numbers, finite ones; the one called `reward` counts, else their mean."""
    scores: dict[str, float] = {}
    for key, value in rewards.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise VerifierError(f"{name}: {key} is {value!r}, not a finite number")
        scores[key] = float(value)
    if not scores:
        raise VerifierError(f"{name} holds no reward")
    checks = tuple(CheckResult(key, score, output=output) for key, score in scores.items())
    return Verdict(checks, scores.get("reward", sum(scores.values()) / len(scores)))
