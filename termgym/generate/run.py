"""A run: asks for each brief, reads the replies, tries the gates, and keeps or rejects; many at a time, until done."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from termgym.aio import Loop
from termgym.candidate import Candidate
from termgym.duplicates import Index, NearDuplicates, text_of
from termgym.errors import TermgymError
from termgym.generate import prompts
from termgym.generate.brief import Brief
from termgym.generate.draft import Draft, DraftError
from termgym.generate.endpoint import Connection, Endpoint, EndpointError
from termgym.generate.prompts import message
from termgym.generate.store import Entry, Store
from termgym.sandbox import close_shared
from termgym.task import Task
from termgym.validate import Validation, validate

TASK, TESTS = ("instruction", "file", "setup"), ("check", "solution", "wrong")
GIVE_UP = 4
"""Briefs in a row for which the endpoint gives no answer, retries included: then it is not there."""
Messages = list[Mapping[str, str]]


class BudgetSpent(TermgymError):
    """Raised when as many tokens were used as may be."""


@dataclass(slots=True)
class Settings:
    """How a run goes about it."""

    concurrency: int = 8
    """Requests at a time."""
    repairs: int = 1
    """Times that a model is told why its draft was rejected, and asked again."""
    budget: int | None = None
    """Tokens in all, those of earlier runs in the same folder included."""
    image: str = ""
    """Of the tasks."""
    context: str = ""
    """What the image has, in words; empty for what the host's userland has."""
    against: Index | None = None
    """What tasks must not be too much like."""
    sandbox: str = "namespace"


@dataclass(slots=True)
class Generation:
    """A run over briefs, into a store."""

    endpoint: Endpoint
    store: Store
    briefs: Sequence[Brief]
    settings: Settings = field(default_factory=Settings)
    unanswered: dict[str, str] = field(default_factory=dict[str, str])
    """Key -> why the endpoint gave no answer; these are tried again by the next run."""

    def run(self, on_end: Callable[[Entry], object] | None = None) -> None:
        """Do what is not done yet; called back after each brief.

        Raises:
            BudgetSpent: There is more to do than the budget allows. What was asked for is kept.
            EndpointError: The endpoint is not there.
            SandboxUnavailable: This host cannot run sandboxes.
        """
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(self._run(on_end))

    async def _run(self, on_end: Callable[[Entry], object] | None) -> None:
        work = _Work(self.endpoint.connect(), self)
        todo = iter([brief for brief in self.briefs if brief.key not in self.store.entries])

        async def worker() -> None:
            for brief in todo:
                entry = await work.do(brief)
                if entry and on_end:
                    on_end(entry)

        try:
            workers = [asyncio.create_task(worker()) for _ in range(self.settings.concurrency)]
            # Who cannot go on ends alone: what the others have asked for is paid for, and is waited for.
            ended = await asyncio.gather(*workers, return_exceptions=True)
        finally:
            await work.close()
        for error in ended:
            if error is not None:
                raise error


class _Work:
    """What the workers of a run share."""

    def __init__(self, connection: Connection, run: Generation) -> None:
        self._connection, self._run, self._store, self._settings = connection, run, run.store, run.settings
        self._context = prompts.environment(run.settings.context)
        self._gates = asyncio.Semaphore(os.cpu_count() or 1)
        self._seen, self._failures = NearDuplicates(), 0
        self._spent = self._store.tokens
        self._keys: list[str] = []
        for key, entry in self._store.entries.items():
            if entry.accepted:
                self._add(key, Task.load(self._store.folder / "tasks" / key))

    async def do(self, brief: Brief) -> Entry | None:
        """One brief, from the asking to the note of what became of it; None if there was no answer."""
        writing = Writing(brief, self._ask)
        try:
            entry, task = await self._written(writing, brief)
        except EndpointError as error:
            self._run.unanswered[brief.key] = str(error)
            self._failures += 1
            if self._failures >= GIVE_UP:
                raise
            return None
        if entry.accepted and task:
            self._store.accept(entry, task)
        else:
            self._store.reject(entry, task)
        return entry

    async def _written(self, writing: "Writing", brief: Brief) -> tuple[Entry, Task | None]:
        task: Task | None = None
        reason = ""
        for attempt in range(1, self._settings.repairs + 2):
            try:
                draft = await writing.draft(self._context, reason)
                provenance = f"termgym generate v{prompts.VERSION}, {self._run.endpoint.model}"
                task = draft.task(brief, provenance, self._settings.image)
                reason = await self._judged(task)
            except DraftError as error:
                reason = str(error)
            if not reason:
                return Entry(brief.key, True, "", writing.tokens, attempt), task
        return Entry(brief.key, False, reason, writing.tokens, self._settings.repairs + 1), task

    async def _judged(self, task: Task) -> str:
        """Why the task is rejected, or nothing."""
        if self._settings.against and (overlap := self._settings.against.overlap(task)):
            return f"it is too much like another: {overlap}"
        async with self._gates:
            validation = await validate(Candidate(task.id, lambda: task), self._settings.sandbox)
        return _why_not(validation) or self._add(task.id, task)

    def _add(self, key: str, task: Task) -> str:
        near = self._seen.add(text_of(task))
        self._keys.append(key)
        return "" if near is None else f"it is nearly {self._keys[near]}"

    async def _ask(self, key: str, number: int, messages: Messages) -> tuple[str, int]:
        """The text of an answer and its tokens; one that was given before is not asked for again."""
        answer = self._store.answer(key, number)
        if answer is None:
            if self._settings.budget is not None and self._spent >= self._settings.budget:
                raise BudgetSpent(f"{self._spent} tokens were used, of {self._settings.budget}; give more to go on")
            answer = await self._connection.ask(messages)
            self._store.keep(key, number, answer)
            self._spent, self._failures = self._spent + answer.tokens, 0
        if not answer.finished:
            raise CutOff(answer.text, answer.tokens)
        return answer.text, answer.tokens

    async def close(self) -> None:
        await self._connection.close()
        await close_shared()


class CutOff(DraftError):
    """Raised when an answer ended at the limit on tokens."""

    def __init__(self, text: str, tokens: int) -> None:
        super().__init__("the answer was cut off by the limit on its tokens; be shorter")
        self.text, self.tokens = text, tokens


class Writing:
    """The conversations that make one task, and what they cost."""

    def __init__(self, brief: Brief, ask: Callable[[str, int, Messages], Awaitable[tuple[str, int]]]) -> None:
        """`ask` takes the brief's key, the number of the answer, and a conversation."""
        self._brief, self._ask = brief, ask
        self._draft = Draft()
        self._messages: Messages = []
        self._tags = TASK
        self._number = 0
        self.tokens = 0

    async def draft(self, context: str, reason: str = "") -> Draft:
        """The next draft; `reason` is why the last one was rejected.

        Raises:
            DraftError: The reply is none.
        """
        if not reason:
            first = prompts.for_seed if self._brief.problem else prompts.for_skills
            self._begin(first(self._brief, context), TASK if self._brief.problem else TASK + TESTS)
        else:
            self._messages.append(message("user", prompts.REPAIR.format(reason=reason)))
        await self._read()
        if self._tags == TASK:  # the writer of the tests begins anew, and alone is told the reference solution
            self._begin(prompts.for_tests(self._brief, self._draft, context), TESTS)
            await self._read()
        return self._draft

    def _begin(self, request: str, tags: tuple[str, ...]) -> None:
        self._messages = [message("system", prompts.SYSTEM), message("user", request)]
        self._tags = tags

    async def _read(self) -> None:
        self._number += 1
        try:
            text, tokens = await self._ask(self._brief.key, self._number, self._messages)
        except CutOff as error:
            text, tokens = error.text, error.tokens
            self._told(text, tokens)
            raise
        self._told(text, tokens)
        self._draft = self._draft.with_reply(text, self._tags)

    def _told(self, text: str, tokens: int) -> None:
        self._messages.append(message("assistant", text))
        self.tokens += tokens


def _why_not(validation: Validation) -> str:
    failed = [f"{name}: {gate.reason}" for name, gate in validation.gates.items() if gate.passed is False]
    if not failed and validation.gates["wrong"].passed is None:
        failed = ["wrong: there are no wrong solutions to tell that the checks can fail"]
    return "; ".join(failed)
