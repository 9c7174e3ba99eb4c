"""The rules of the layout: which module may import which, what `import termgym` does, and what is public."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import termgym

ROOT = Path(__file__).parents[1]
# Data flow, from the left to the right: a module imports only from its own place or the left of it.
DATASETS = ("parquet", "dataset", "problem", "equivalence", "heredoc", "repository", "suite", "mutation")
ORDER = (
    ("errors", "aio", "launcher"),
    ("image",),
    ("protocol", "keys", "outcome", "statistics", "display"),
    ("task",),
    ("skill", "lexicon", "tamper", "harbor", "family", "checks", "archive", "sources", "envs", *DATASETS),
    ("proof", "split"),
    ("query",),
    ("source",),
    ("channel",),
    ("launcher_client",),
    ("service",),
    ("root", "engine"),
    ("sandbox",),
    ("settle", "screen", "output", "metrics", "outbox", "barrier"),
    ("console",),
    ("tmux",),
    ("terminal",),
    ("pool",),
    ("needs", "health", "artifacts"),
    ("verifier",),
    ("steps",),
    ("episode", "spaces", "render", "cast"),
    ("interface", "setting", "snapshot"),
    ("slot",),
    ("env", "grid", "mailbox", "seat"),
    ("crew",),
    ("vector",),
    ("policy", "policies", "teaching", "chat", "agent"),
    ("trajectory", "advantages", "places", "breaker", "resumption"),
    ("store", "sample"),
    ("packing",),
    ("loss",),
    ("attempt",),
    ("plan",),
    ("rollout", "play"),
    ("report", "texts"),
    ("calibration", "comparison", "training_log"),
    ("catalog", "evaluation", "replay", "progress", "doctor", "attach", "candidate", "curriculum"),
    ("page",),
    ("duplicates",),
    ("corpus",),
    ("export", "gates"),
    ("validate",),
    ("rllib", "trl"),
    ("generate", "bugs"),
    ("demo",),
    ("cli", "__main__"),
)
PLACE = {name: place for place, names in enumerate(ORDER) for name in names}
HEAVY = {"torch", "ray", "docker", "vllm", "transformers", "trl", "datasets"}
MAY = {"loss": {"torch"}, "rllib": {"torch", "ray", "transformers"}}
"""What is for training, and imported only there."""


def modules() -> list[tuple[str, Path]]:
    files = [path for folder in ("termgym", "envs", "policies") for path in (ROOT / folder).rglob("*.py")]
    parts = [path.relative_to(ROOT).parts for path in files]
    ours = [part[0] if part[0] in ("envs", "policies") else part[1] for part in parts]
    return list(zip(ours, files, strict=True))


def imported(path: Path) -> set[str]:
    """The modules that a file imports when it is itself imported."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


@pytest.mark.parametrize(
    ("name", "path"), modules(), ids=lambda value: value.name if isinstance(value, Path) else value
)
def test_imports_go_one_way(name: str, path: Path) -> None:
    name = name.removesuffix(".py")
    if name in ("__init__", "py.typed"):
        return
    for module in imported(path):
        top, _, rest = module.partition(".")
        assert top not in HEAVY or top in MAY.get(name, ()), f"{path.name} imports {top} for everyone"
        below = rest.partition(".")[0]
        if top == "termgym" and below in PLACE:
            assert PLACE[below] <= PLACE[name], f"{path.name} imports termgym.{below}, which stands to the right of it"


def test_every_module_has_its_place() -> None:
    here = {
        path.stem for path in (ROOT / "termgym").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert here - {"__init__"} == set(PLACE)


def test_the_launcher_imports_nothing_of_termgym() -> None:
    for path in (ROOT / "termgym" / "launcher").glob("*.py"):
        assert not any(module.startswith("termgym") for module in imported(path)), path


def test_importing_termgym_is_light_and_does_nothing() -> None:
    code = (
        "import sys, threading, os, warnings; import gymnasium; before = set(sys.modules); import termgym;"
        "new = set(sys.modules) - before;"
        "assert not new & {'torch', 'ray', 'docker', 'pyghostty', 'typer', 'rich', 'PIL'}, new;"
        "assert threading.active_count() == 1 and not os.listdir('.');"
        "assert {'Terminal-v0', 'TerminalGrid-v0'} <= set(gymnasium.registry)"
    )
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    folder = ROOT / "tests" / "empty"
    folder.mkdir(exist_ok=True)
    try:
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True)
    finally:
        folder.rmdir()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_public_names_are_there_and_sorted() -> None:
    assert termgym.__all__ == sorted(termgym.__all__)
    assert all(hasattr(termgym, name) for name in termgym.__all__)
