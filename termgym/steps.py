"""Steps: several things to do, one after the other on the same files, each judged before the next begins.

A step ends as an episode does: the agent says that it is done, its shell is gone, or a limit is reached; each step has
the task's limits anew. Then every process is killed and the files are judged by the step's own tests. If its rewards
are what they have to be (`Step.min_reward`), the next step begins in a fork of the sandbox: on the same files, with a
new shell. What was running does not go on; a service that a step needs is for its setup.sh to start.

A step that cannot begin on the files that the agent left, as its set-up fails or there is no shell any more, counts 0;
only the first one's failure makes an episode invalid.

As with Harbor, /tests and /logs/verifier are removed between steps, and the reward is the mean of the steps' or that of
the last. Unlike there, a step that was not reached counts 0, so that an early end never pays.
"""

from collections.abc import Sequence
from dataclasses import replace
from posixpath import join

from termgym.errors import NotReady, SandboxFileError
from termgym.health import await_healthy
from termgym.sandbox import Sandbox
from termgym.task import Step, Task
from termgym.verifier import Verdict

SETUP = "setup.sh"
SETUP_TIMEOUT_S = 120.0


async def lay_out(step: Step, sandbox: Sandbox, workdir: str) -> None:
    """Make the files ready for a step.

    Raises:
        NotReady: Its files cannot be written, its setup.sh failed, or it is not healthy.
    """
    await sandbox.exec(["/bin/bash", "-c", "rm -rf /tests /logs/verifier"])
    try:
        await sandbox.put({join(workdir, path): file for path, file in step.files.items()})
    except SandboxFileError as error:
        raise NotReady(str(error)) from error
    if SETUP in step.files:
        result = await sandbox.exec(["/bin/bash", join(workdir, SETUP)], timeout_s=SETUP_TIMEOUT_S)
        if result.returncode != 0:
            said = (result.stdout + result.stderr)[-2000:].decode(errors="replace")
            raise NotReady(f"steps/{step.name}/workdir/{SETUP} failed with {result.returncode}: {said}")
    if step.healthcheck:
        await await_healthy(step.healthcheck, sandbox)


def good_enough(step: Step, verdict: Verdict) -> bool:
    """Whether the next step may begin."""
    scores = {check.name: check.score for check in verdict.checks} | {"reward": verdict.dense}
    return all(scores.get(name, float("-inf")) >= least for name, least in step.min_reward.items())


def combined(task: Task, verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on all steps, of those on the first ones; checks are named STEP/CHECK."""
    checks = tuple(
        replace(check, name=f"{step.name}/{check.name}")
        for step, verdict in zip(task.steps, verdicts, strict=False)
        for check in verdict.checks
    )
    scores = [verdict.dense for verdict in verdicts] + [0.0] * (len(task.steps) - len(verdicts))
    return Verdict(checks, scores[-1] if task.combine == "final" else sum(scores) / len(scores))
