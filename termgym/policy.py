"""A policy: who acts. It reads a conversation and answers with the text of one action.

Each module of termgym.policies is one, by its function `new(task, seed, **options) -> Policy`; putting a file there is
all that adding a policy takes.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import termgym.policies
from termgym.errors import TaskError, TermgymError, UnknownName
from termgym.task import Task


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation: what the environment showed, or what the policy answered."""

    role: str
    """ "user" for the environment, "assistant" for the policy."""
    content: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a policy answers, exactly as it came."""

    text: str
    """With whatever the model thought aloud before; `protocol.answer` is what follows."""
    token_ids: tuple[int, ...] = ()
    """The tokens that the model emitted, where the policy is one."""
    logprobs: tuple[float, ...] = ()
    """The natural logarithm of each token's probability when it was drawn."""
    prompt_ids: tuple[int, ...] = ()
    """All tokens that the model was given, where they are known."""
    finish: str = ""
    """Why the model stopped: "stop", or "length" for a limit on its tokens."""
    version: int = 0
    """Of the model's weights: how often they had been updated."""
    model: str = ""
    """Which model it was."""


class ContextFull(TermgymError):
    """Raised by a policy when the conversation is longer than its model can read: the episode is `out_of_tokens`."""


class Policy(Protocol):
    """Acts in one episode."""

    async def act(self, conversation: Sequence[Message]) -> Reply:
        """The next action: an `Action` as JSON text, though any text is allowed.

        `conversation` begins with the protocol, the task and the first screen, and ends with the newest observation.
        It only ever grows between two calls.

        Raises:
            ContextFull: It does not fit into what the policy can read.
            OSError: What the policy asks cannot be reached: the episode is invalid.
        """
        ...


class Closable(Protocol):
    """What episodes share: a model, or a connection to one."""

    async def close(self) -> None:
        """Let go of what belongs to this event loop; whoever needs it then starts it again."""
        ...


_Shared = TypeVar("_Shared", bound=Closable)
_shared: dict[Hashable, Any] = {}


def shared(key: Hashable, load: Callable[[], _Shared]) -> _Shared:
    """What all episodes share whose policy has the same key; loaded for the first of them."""
    if key not in _shared:
        _shared[key] = load()
    return _shared[key]


async def close_models() -> None:
    """Close what is shared, before the event loop ends."""
    for one in _shared.values():
        await one.close()


PolicyMaker = Callable[[Task, int], Policy]
"""Makes the policy of one episode, from its task and a seed."""


def policy_names() -> list[str]:
    """The names of the policies that there are."""
    return sorted(module.name for module in pkgutil.iter_modules(termgym.policies.__path__))


def find_policy(name: str, **options: Any) -> PolicyMaker:
    """What makes policies of this name, with these options.

    Raises:
        UnknownName: There is no such policy, or it has no such option; the message suggests what was meant.
        TaskError: It needs an option that is not given.
    """
    if name not in policy_names():
        raise UnknownName("policy", name, policy_names())
    new = importlib.import_module(f"termgym.policies.{name}").new
    known = dict(list(inspect.signature(new).parameters.items())[2:])
    for option in options:
        if option not in known:
            raise UnknownName(f"option of policy {name!r}", option, known)
    for option, parameter in known.items():
        if parameter.default is parameter.empty and option not in options:
            raise TaskError(f"policy {name!r} needs an option {option!r}: --option {option}=...")
    return lambda task, seed: new(task, seed, **options)


def new_policy(name: str, task: Task, seed: int = 0, **options: Any) -> Policy:
    """The policy called `name`, for one episode.

    Raises:
        UnknownName: There is no such policy, or it has no such option; the message suggests what was meant.
        TaskError: This policy cannot act in this task.
    """
    return find_policy(name, **options)(task, seed)
