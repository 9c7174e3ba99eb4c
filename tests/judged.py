"""What a verifier says of a task whose files a script has worked on: no terminal, one sandbox."""

from termgym import aio
from termgym.needs import spec_of
from termgym.sandbox import new_sandbox
from termgym.task import Task
from termgym.verifier import Verdict, verify


def judged(task: Task, *scripts: str) -> list[Verdict]:
    """The verdict on what each script alone left; a script may fail."""
    return aio.run(_judged(task, scripts))


async def _judged(task: Task, scripts: tuple[str, ...]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for script in scripts:
        box = new_sandbox("namespace", spec_of(task, "namespace"))
        try:
            await box.start()
            await box.exec(["/bin/mkdir", "-p", task.workdir])
            await box.put(task.files)
            await box.exec(["/bin/bash", "-c", task.setup], cwd=task.workdir)
            await box.exec(["/bin/bash", "-c", script], cwd=task.workdir, timeout_s=20)
            verdicts.append(await verify(task, box))
        finally:
            await box.close()
    return verdicts


def solved(task: Task) -> str:
    """The script of the task's own solution: its keystrokes, which are lines for a shell, or solve.sh."""
    if task.oracle:
        return "".join(command.keystrokes for command in task.oracle)
    return task.solution["solve.sh"].content.decode()
