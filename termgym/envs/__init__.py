"""In a checkout this package's modules live in the top-level `envs/` folder; in a wheel they are here."""

from pathlib import Path

_root = Path(__file__).parents[2]
if (_root / "pyproject.toml").is_file():
    __path__.append(str(_root / "envs"))
