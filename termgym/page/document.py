"""The document: style, script and data in one file, whose policy (CSP) lets nothing else in."""

import base64
import hashlib
import html
import json
import zlib
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

_SCRIPTS = "dom charts plot curves steptime training scores episodes screen turn player main".split()


def document(title: str, index: dict[str, Any], packed_values: dict[str, str]) -> str:
    """The page of an index, which the script reads at once, and of values that it unpacks when they are asked for."""
    parts = files("termgym.page")
    style = parts.joinpath("page.css").read_text(encoding="utf-8")
    script = "\n".join(parts.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    data = {"index": index, **packed_values}
    blocks = [f'<script type="application/json" id="{name}">{_json(value)}</script>' for name, value in data.items()]
    return Template(parts.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data="\n".join(blocks),
    )


def packed(value: Any) -> str:
    """A value, compressed."""
    return base64.b64encode(zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 6)).decode()


def save(text: str, path: Path) -> Path:
    """Write a page, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _json(value: Any) -> str:
    """ASCII in which nothing can end the element or begin another."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
