"""Pages for the tests: runs as files, what a page embeds, and what a browser makes of it."""

import base64
import json
import re
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from termgym.outcome import Outcome
from termgym.protocol import Action, Command
from termgym.trajectory import Trajectory, TurnRecord
from termgym.verifier import CheckResult
from tests.browser import FLAGS

CHROMIUM = ["chromium", *FLAGS, "--virtual-time-budget=5000", "--dump-dom"]
SET = "((element, value, event) => {{ element.value = value; element.dispatchEvent(new Event(event)); }})({})"
EVIL = '</script><img src=x onerror="document.title=1"><!--<script>'
PHASES = {"create": 0.1, "reset": 0.2, "step": 0.3, "verify": 0.4, "close": 0.5}


def turn(text: str, **fields: Any) -> TurnRecord:
    action = Action(f"analysis {text}", f"plan {text}", (Command(f"keys {text}\n"), Command("")))
    fields = {"reply": f"<think>thought {text}</think>{action.to_json()}", "settled": ("prompt", "idle")} | fields
    return TurnRecord(observation=f"seen {text}", **fields)


def episode(task: str, outcome: Outcome = Outcome.FAILED, **fields: Any) -> Trajectory:
    dense = (1.0 if outcome is Outcome.SOLVED else 0.5) if outcome.valid else None
    fields = {"timings": PHASES, "family": "f", "first": "first of all"} | fields
    return Trajectory(task=task, digest="d", policy="p", outcome=outcome, dense=dense, **fields)


def record(path: Path, *events: tuple[float, str, str], rows: int = 5, cols: int = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [{"version": 2, "width": cols, "height": rows}, *events]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


class Tags(HTMLParser):
    """The elements of a page, as browsers see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def hostile() -> Trajectory:
    checks = (CheckResult(EVIL, 0.5, 2.0, EVIL),)
    turns = (turn(EVIL, warnings=(EVIL,)), turn(EVIL, reply=EVIL, error=EVIL, warnings=(EVIL,)))
    fields = {"instruction": EVIL, "checks": checks, "turns": turns, "domain": EVIL, "family": EVIL, "model": EVIL}
    return episode(EVIL, **fields, error=EVIL)


def run_of(folder: Path, *episodes: Trajectory) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "episodes.jsonl").write_text("".join(one.to_json() + "\n" for one in episodes))
    return folder


def embedded(page: str) -> dict[str, Any]:
    found = re.findall(r'<script type="application/json" id="([^"]*)">(.*?)</script>', page)
    values = {name: json.loads(text) for name, text in found}
    packed = {name: text for name, text in values.items() if name != "index"}
    return values | {name: json.loads(zlib.decompress(base64.b64decode(text))) for name, text in packed.items()}


class Shown(HTMLParser):
    """The text of a document that a browser shows, and what it is made of; scripts left out."""

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self._silent = ""
        self.feed(dom)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._silent = tag if tag in ("script", "style", "noscript") else ""

    def handle_endtag(self, tag: str) -> None:
        self._silent = ""

    def handle_data(self, data: str) -> None:
        self.text += "" if self._silent else data


def shown(page: Path, fragment: str, profile: Path) -> Shown:
    command = [*CHROMIUM, f"--user-data-dir={profile}", f"file://{page}#{fragment}"]
    return Shown(subprocess.run(command, capture_output=True, text=True, timeout=50, check=True).stdout)
