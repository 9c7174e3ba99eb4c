"""termgym: terminal tasks as Gymnasium environments.

Importing it registers `Terminal-v0` and `TerminalGrid-v0`, by name only, and does nothing else:

    import gymnasium as gym, termgym
    env = gym.make("Terminal-v0")
"""

import gymnasium as gym

from termgym.errors import SandboxError, TaskError, TermgymError, VerifierError
from termgym.family import Draft, Family, families
from termgym.outcome import Outcome
from termgym.protocol import Action, Command
from termgym.task import Check, File, Limits, Resources, Task

__all__ = [
    "Action",
    "Check",
    "Command",
    "Draft",
    "Family",
    "File",
    "Limits",
    "Outcome",
    "Resources",
    "SandboxError",
    "Task",
    "TaskError",
    "TermgymError",
    "VerifierError",
    "families",
]
__version__ = "0.1.0"

for name, single, many in (
    ("Terminal-v0", "env:TerminalEnv", "vector:TerminalVectorEnv"),
    ("TerminalGrid-v0", "grid:TerminalGridEnv", "vector:TerminalGridVectorEnv"),
):
    gym.register(name, f"termgym.{single}", vector_entry_point=f"termgym.{many}")  # pyright: ignore[reportUnknownMemberType]
del name, single, many
