"""A task's health check: the agent does not begin before what it is to work with is ready."""

import asyncio
import time

from termgym.errors import NotReady
from termgym.sandbox import Sandbox
from termgym.task import Healthcheck


async def await_healthy(check: Healthcheck, sandbox: Sandbox) -> None:
    """Try until the command succeeds, by Harbor's rules: failures in the start period do not count.

    Raises:
        NotReady: It failed as often as it may: the episode is invalid, and no score of 0.
    """
    starting_until = time.monotonic() + check.start_period_s
    failures = 0
    while True:
        starting = time.monotonic() < starting_until
        result = await sandbox.exec(["/bin/bash", "-c", check.command], timeout_s=check.timeout_s)
        if result.returncode == 0:
            return
        failures += not starting
        if failures >= check.retries:
            said = (result.stdout + result.stderr)[-500:].decode(errors="replace")
            raise NotReady(
                f"not healthy after {failures} tries: {check.command!r} ended with {result.returncode}: {said}"
            )
        await asyncio.sleep(check.start_interval_s if starting else check.interval_s)  # the task's own times
