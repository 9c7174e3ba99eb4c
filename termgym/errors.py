"""What can go wrong, as a tree.

TermgymError
├── TaskError           a task folder, family or dataset that cannot be used; says the file, the field, what to do
│   ├── ImageError      an image, or an archive or a folder of one, that cannot be used; says which, where, and why
│   └── UnknownName     no task, family, policy, sandbox or image of that name; says which were meant
├── SandboxError        the sandbox itself failed: not the agent's doing, never a reward of 0
│   ├── SandboxUnavailable   this host cannot run that kind of sandbox; says what to change
│   ├── NotReady        a set-up script, a health check or the shell failed: between steps it is the agent's doing
│   ├── SandboxDied     the sandbox ended under us
│   ├── SandboxOverfull      more was left in it than it may store: of this one a verifier makes a score of 0
│   └── SandboxFileError     a file that was to be put or got is not there, not a regular file, or too large
├── ModelError          a model could not be asked, retries included: never a reward of 0
└── VerifierError       the verifier crashed, timed out or left no result: never a reward of 0

A command that fails inside a sandbox is none of these: it is data (`ExecResult`). A rollout that fails is a record.
"""

import difflib
from collections.abc import Iterable


class TermgymError(Exception):
    """The root of all errors that termgym raises on purpose."""


class TaskError(TermgymError):
    """Raised when a task folder, family or dataset cannot be used."""


class ImageError(TaskError):
    """Raised when an image, or what it is to be imported from, cannot be used."""


class UnknownName(TaskError, KeyError):
    """Raised when nothing is known by the name that was given; `advice` says what to do besides spelling it right."""

    def __init__(self, kind: str, name: str, known: Iterable[str], advice: str = "") -> None:
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are: {', '.join(known) or 'none'}"
        super().__init__(f"no {kind} named {name!r}; {hint}{advice and f'; {advice}'}")

    def __str__(self) -> str:
        """The message, without the quotes that KeyError puts around it."""
        return str(self.args[0])


class SandboxError(TermgymError):
    """Raised when a sandbox fails for reasons that are not the agent's."""


class SandboxUnavailable(SandboxError):
    """Raised when this host cannot run the kind of sandbox that was asked for."""


class NotReady(SandboxError):
    """Raised when what an agent is to work with does not come about: a set-up script, a health check or a shell fails.

    With nothing but the task's files that is an invalid episode; on those of an agent it is its own doing.
    """


class SandboxDied(SandboxError):
    """Raised when a request finds that the sandbox's processes are gone."""


class SandboxOverfull(SandboxError):
    """Raised when the files of a sandbox are not kept, as they are more than it may store."""


class SandboxFileError(SandboxError):
    """Raised when a file cannot be put into a sandbox or read from it."""


class ModelError(TermgymError):
    """Raised when a policy's model cannot be asked, or does not answer."""


class VerifierError(TermgymError):
    """Raised when a verifier crashed, ran out of time or left no result."""
