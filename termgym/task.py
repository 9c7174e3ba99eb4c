"""A task: what an agent is asked to do, the files it finds, and how its work is judged. Frozen data.

On disk a task *is* a Harbor task folder (schema 1.4; termgym.harbor reads and writes it):

    instruction.md   what the agent is told
    task.toml        limits, resources, metadata
    environment/     the initial files and how to build an image of them
    tests/           the verifier: test.sh, or named checks with weights
    solution/        the oracle's
    steps/NAME/      the same for each step of a task that has several
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from termgym.protocol import Command

DOMAINS = (
    "data_processing",
    "data_querying",
    "data_science",
    "debugging",
    "dependency_management",
    "file_operations",
    "games",
    "interactive",
    "mathematics",
    "model_training",
    "scientific_computing",
    "security",
    "software_engineering",
    "system_administration",
)
"""Nemotron-Terminal's eleven domains (the union of its paper's two lists and its archives) and three of ours."""


@dataclass(frozen=True, slots=True)
class File:
    """A regular file."""

    content: bytes
    mode: int = 0o644
    mtime: int = 1_735_689_600
    """Seconds since the epoch; fixed by default, so that listings are the same in every episode."""

    @classmethod
    def of(cls, text: str, mode: int = 0o644) -> "File":
        """A file of UTF-8 text."""
        return cls(text.encode(), mode)


@dataclass(frozen=True, slots=True)
class Check:
    """One named thing that the verifier looks at; it passes if `script` exits with status 0."""

    name: str
    script: str
    """A program with a `#!` line, or a bash script. It runs as root in the verifier's sandbox with the agent's files in
    place, the base's own tools, and /tests its working directory. It must not run what the agent wrote, nor let a tool
    do so: git runs the hooks and filters of the repository that it is in. Status 126 and 127 are a broken verifier."""
    weight: float = 1.0
    """Its share of a dense reward, relative to the other checks."""
    run: str = ""
    """A bash script to run first, in a fork of the agent's sandbox, where it may run what the agent wrote. `script`
    finds what it printed and its exit status in /tests/runs/NAME/stdout, stderr and status."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a task's sandbox may use."""

    cpus: float = 1.0
    """Cores."""
    memory_mb: int = 1024
    """MiB of memory, its files included."""
    storage_mb: int = 256
    """MiB of files written."""
    inodes: int = 100_000
    """Number of files written."""
    processes: int = 256
    """Processes and threads at a time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When an episode ends without the agent's say. 0 is no limit."""

    turns: int = 50
    """Actions taken."""
    wall_s: float = 900.0
    """Seconds since reset returned, the policy's own thinking included (Harbor's [agent] timeout_sec)."""
    command_s: float = 0.0
    """Seconds spent waiting for the terminal, the policy's thinking left out."""
    tokens: int = 0
    """Tokens that the policy reports to have used."""
    verifier_s: float = 60.0
    """Seconds for the verifier; running over is its failure, not the agent's."""


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """A bash command that has to succeed before the agent begins; the rules and defaults are Harbor's."""

    command: str
    interval_s: float = 5.0
    """Seconds from a failure to the next try."""
    timeout_s: float = 30.0
    """Seconds that one try may take."""
    start_period_s: float = 0.0
    """Seconds from the beginning in which failures do not count."""
    start_interval_s: float = 5.0
    """Seconds from a failure to the next try, in that period."""
    retries: int = 3
    """Failures in a row after which it is not going to be healthy: the episode is invalid."""

    @property
    def longest_s(self) -> float:
        """Seconds that it can take, at most."""
        return self.start_period_s + self.start_interval_s + (self.retries + 1) * (self.interval_s + self.timeout_s)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or folder of the agent's that goes over to a separate verifier, at the same path."""

    source: str
    """An absolute path."""
    destination: str = ""
    """Where Harbor keeps it among a trial's results; of no use here."""
    exclude: tuple[str, ...] = ()
    """Patterns of what is left out, as for `tar --exclude`."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A bash command among the agent's files, before artifacts are taken. What it leaves counts, not how it ends."""

    command: str
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """A sandbox of the verifier's own."""

    image: str = ""
    """As `Task.image`."""
    workdir: str = ""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True)
class Judge:
    """How tests/test.sh runs, beyond what it is."""

    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment variables of the verifier alone."""
    place: Place | None = None
    """Where it runs with nothing but the artifacts; None is over all of the agent's files."""
    collect: tuple[Hook, ...] = ()
    image: str = ""
    """The image whose programs judge, laid over the agent's files; empty for the task's own. A place has its own."""


@dataclass(frozen=True, slots=True)
class Step:
    """One of several things to do, one after the other on the same files; each is judged before the next begins."""

    name: str
    """The folder's, below steps/."""
    instruction: str
    files: Mapping[str, File] = field(default_factory=dict[str, File])
    """Path below the task's workdir -> file, laid out as the step begins; then setup.sh among them is run."""
    tests: Mapping[str, File] = field(default_factory=dict[str, File])
    """Path below /tests -> file, on top of the task's."""
    solution: Mapping[str, File] = field(default_factory=dict[str, File])
    min_reward: Mapping[str, float] = field(default_factory=dict[str, float])
    """Name of a reward -> what it must come to, or this step is the last; "reward" is the step's own."""
    wall_s: float | None = None
    """Seconds for the agent; None is the task's limit."""
    verifier_s: float | None = None
    """Seconds for the verifier; None is the task's limit."""
    healthcheck: Healthcheck | None = None
    """One more, when the files are laid out."""
    artifacts: tuple[Artifact, ...] = ()
    """On top of the task's."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task, whole."""

    id: str
    """Family, seed and level (`files/rename-by-date@17.2`), or the folder's name."""
    instruction: str
    files: Mapping[str, File] = field(default_factory=dict[str, File])
    """Absolute path -> file, there when the episode begins."""
    setup: str = ""
    """A bash script run as root in `workdir`, before the agent's terminal opens."""
    checks: tuple[Check, ...] = ()
    """The verifier. Without checks it is Harbor's: tests/test.sh, which leaves a reward file in /logs/verifier."""
    tests: Mapping[str, File] = field(default_factory=dict[str, File])
    """Path below /tests -> file, there only for the verifier."""
    judge: Judge = field(default_factory=Judge)
    artifacts: tuple[Artifact, ...] = ()
    """What a separate verifier gets, beside /logs/artifacts."""
    steps: tuple[Step, ...] = ()
    """If any, they stand in for `instruction`, `checks` and `oracle`: see termgym.steps."""
    combine: str = "mean"
    """What becomes of the steps' rewards: "mean", or "final", that of the last."""
    oracle: tuple[Command, ...] = ()
    """The keystrokes that solve it, one turn each; empty if only `solution` is known."""
    solution: Mapping[str, File] = field(default_factory=dict[str, File])
    """Path below /solution -> file; solve.sh is the script that solves it."""
    image: str = ""
    """The path of a root folder, or the name or digest of a stored image; empty for the host's own userland."""
    workdir: str = "/app"
    """The folder that the agent starts in; empty for the image's own."""
    user: str = ""
    """The agent's user, by name or number; empty for the image's own."""
    network: str = "none"
    """What it asks for: "none", or "public"."""
    healthcheck: Healthcheck | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    resources: Resources = field(default_factory=Resources)
    limits: Limits = field(default_factory=Limits)
    domain: str = ""
    """One of `DOMAINS`, or empty where nobody said."""
    skills: tuple[str, ...] = ()
    level: int = 0
    """Difficulty, 1 (easiest) to 5; 0 where nobody said."""
    requires: tuple[str, ...] = ()
    """Programs that its sandbox must have beyond bash and coreutils."""
    licence: str = ""
    provenance: str = ""
    """Where it comes from: the generator's name and version, or a dataset."""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """task.toml as it was read, so that fields unknown to us are written back."""
    extra: Mapping[str, File] = field(default_factory=dict[str, File])
    """Path below the task folder -> file, for the files of it that are none of the above."""

    @property
    def digest(self) -> str:
        """SHA-256, in hex, over all that decides what the agent meets and how it is judged, but for defaults."""
        plain = replace(self, steps=tuple(replace(step, solution={}) for step in self.steps))
        usual, parts = Task("", ""), asdict(plain)
        for name in (each.name for each in fields(self)):
            if name in _UNDIGESTED or getattr(plain, name) == getattr(usual, name):
                del parts[name]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=_hash).encode()).hexdigest()

    @property
    def opening(self) -> str:
        """The instruction that the agent begins with."""
        return self.steps[0].instruction if self.steps else self.instruction

    def at(self, step: Step) -> "Task":
        """The task that a step is, taken by itself."""
        wall_s = self.limits.wall_s if step.wall_s is None else step.wall_s
        verifier_s = self.limits.verifier_s if step.verifier_s is None else step.verifier_s
        return replace(
            self,
            instruction=step.instruction,
            tests={**self.tests, **step.tests},
            solution=step.solution,
            limits=replace(self.limits, wall_s=wall_s, verifier_s=verifier_s),
            healthcheck=step.healthcheck,
            artifacts=(*self.artifacts, *step.artifacts),
            steps=(),
        )

    @classmethod
    def load(cls, folder: str | Path) -> "Task":
        """Read a Harbor task folder.

        Raises:
            TaskError: It is malformed; the message names the file, the field and what was expected.
        """
        from termgym.harbor import load

        return load(Path(folder))

    def save(self, folder: str | Path) -> Path:
        """Write this task as a Harbor task folder, new or empty, and return its path.

        Raises:
            TaskError: The folder is there and not empty.
        """
        from termgym.harbor import save

        return save(self, Path(folder))


_UNDIGESTED = ("id", "oracle", "solution", "domain", "skills", "level", "licence", "provenance", "config")


def _hash(content: object) -> str:
    assert isinstance(content, bytes)
    return hashlib.sha256(content).hexdigest()
