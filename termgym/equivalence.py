r"""Whether a mathematical answer is the one that is expected, whatever its form: 3/4, 0.75, \frac{3}{4}.

math-verify (Hugging Face, Apache-2.0) judges, and what cannot be said exactly without it. An agent's text is never read
in this process: its parser hands names and calls to Python's `eval`, so that `__import__("os")` is no number but a
program. So judging takes place in the verifier's sandbox, where the library comes as an archive among the tests, and
there only by its grammar of LaTeX, which evaluates nothing; what is written as on a keyboard is put into LaTeX first.
A tower of powers may take all time and memory, so both are bounded, and who runs over them is wrong.
"""

import os
import subprocess
import sys
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

from termgym.checks import PLAIN
from termgym.errors import TaskError
from termgym.task import Check, File

LIBRARY = "math_verify.zip"
PACKAGES = ("math_verify", "latex2sympy2_extended", "sympy", "mpmath", "antlr4")
ASKED_BY_NAME = "antlr4-python3-runtime"
"""Whose version is looked up when it is imported."""
ANSWER_BYTES = 4096
CPU_S, MEMORY_MB = 5, 2048
_MTIME = (2025, 1, 1, 0, 0, 0)
_PROGRAM = r'''
import re, resource, sys
from fractions import Fraction

def bare(text):
    """Without what frames an answer."""
    text = text.strip().strip("$").strip()
    text = re.sub(r"^\\\((.*)\\\)$|^\\\[(.*)\\\]$", lambda m: m[1] or m[2] or "", text, flags=re.S).strip()
    boxed = re.fullmatch(r"\\boxed\{(.*)\}", text, re.S)
    return re.sub(r"\s+", " ", boxed[1] if boxed else text).strip().rstrip(".").strip()

def number(text):
    """Exactly, or None."""
    text = re.sub(r"(?<=\d),(?=\d{3}(\D|$))", "", text.replace("\u2212", "-"))
    text = re.sub(r"^(-?)\\d?frac\{?(\d+)\}?\{?(\d+)\}?$", r"\1\2/\3", text)
    text = re.sub(r"\s*/\s*", "/", re.sub(r"^([-+])\s+", r"\1", text))
    plain = re.fullmatch(r"[-+]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})(/\d{1,400})?", text)
    if not plain or plain[2] and plain[3]:
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None

def choice(text):
    """The letter of a choice, or None."""
    found = re.fullmatch(r"(?:\\text(?:bf)?\{)?\(?([A-Za-z])\)?\}?[.)]?", text)
    return found and found[1].upper()

def latex(text):
    """As LaTeX, of what may be written as on a keyboard."""
    for old, new in (("**", "^"), ("\u2212", "-"), ("\u03c0", r"\pi "), ("\u221e", r"\infty "), ("\u222a", r"\cup ")):
        text = text.replace(old, new)
    text = re.sub(r"(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"\^\s*\(([^()]*)\)", r"^{\1}", text)
    text = re.sub(r"\^\s*(-?\d+)", r"^{\1}", text)
    names = "pi|infty|cup|cap|sin|cos|tan|log|ln|alpha|beta|theta|pm"
    text = re.sub(rf"(?<![\\a-zA-Z])({names})(?![a-zA-Z])", r"\\\1 ", text)
    text = re.sub(r"(?<![\\a-zA-Z])(oo|inf|infinity)(?![a-zA-Z])", r"\\infty ", text)
    text = re.sub(r"(?<!\\)\{(?=[^{}]*,)([^{}]*)(?<!\\)\}", r"\\{\1\\}", text) if text.startswith("{") else text
    return re.sub(r"(?<=[\w)}])\s*\*\s*(?=[\w(\\])", r" \\cdot ", text)

def same(want, got):
    """Whether the answers are equivalent, by the library."""
    try:
        from math_verify import LatexExtractionConfig, parse, verify
    except Exception as error:
        print("math-verify cannot be imported:", error)
        sys.exit(126)
    used = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + {cpu}, used + {cpu}))
    resource.setrlimit(resource.RLIMIT_AS, ({memory} << 20, {memory} << 20))
    def read(text):
        return parse("$" + latex(text) + "$", extraction_config=[LatexExtractionConfig()], fallback_mode="no_fallback")
    wanted = read(want)
    return bool(wanted) and verify(wanted, read(got), float_rounding=9, numeric_precision=30)

def judge(want, got):
    want, got = bare(want), bare(got)
    if not got:
        return False
    if got == want:
        return True
    if None not in (number(want), number(got)):
        return number(want) == number(got)
    if choice(want):
        return choice(want) == choice(got)
    return same(want, got)

want, path = sys.argv[1], sys.argv[2]
sys.path.insert(0, "/tests/{library}")
try:
    right = judge(want, open(path, encoding="utf-8").read())
except Exception:
    right = False
sys.exit(0 if right else 1)
'''
_CHECK = """\
python3 -I judge.py {want} {path} 2>/dev/null
case $? in 0) exit 0 ;; 126) exit 126 ;; *) exit 1 ;; esac
"""


def checks(path: str, want: str) -> tuple[Check, ...]:
    """That the file has one short line, and that it is this answer in some form. `tests` has what they need."""
    there = PLAIN + (
        f"plain {quote(path)} {ANSWER_BYTES} || exit 1\n"
        f"[ \"$(tr -d '\\0' <{quote(path)} | grep -c '[^[:space:]]')\" = 1 ]\n"
    )
    right = there + "[ $? = 0 ] || exit 1\n" + _CHECK.format(want=quote(want), path=quote(path))
    return Check("answered", there, 0.25), Check("right", right)


def tests() -> dict[str, File]:
    """Path below /tests -> file.

    Raises:
        TaskError: The library is not installed here, or the cache cannot be written.
    """
    program = _PROGRAM.replace("{cpu}", str(CPU_S)).replace("{memory}", str(MEMORY_MB)).replace("{library}", LIBRARY)
    return {"judge.py": File.of(program), LIBRARY: File(_library())}


@cache
def _library() -> bytes:
    """The library and what it needs, as an archive that Python imports from; made once, in some seconds."""
    try:
        name = f"math-verify-{version('math-verify')}-sympy-{version('sympy')}"
    except PackageNotFoundError as error:
        raise TaskError("math needs math-verify: pip install 'termgym[math]'") from error
    python = _python()
    kept = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "termgym" / f"{name}-{python[1]}.zip"
    try:
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=kept.parent) as folder:
                _compile(Path(folder, "tree"), python[0])
                _pack(Path(folder, "tree"), made := Path(folder, "made.zip"))
                made.replace(kept)
        return kept.read_bytes()
    except OSError as error:
        raise TaskError(f"{kept}: cannot be kept: {error}; XDG_CACHE_HOME says where else") from error


def _python() -> tuple[str, str]:
    """The Python that sandboxes of the host's userland have, or else this one, and what its byte code is called."""
    program = next((path for path in ("/usr/bin/python3", "/bin/python3") if os.access(path, os.X_OK)), sys.executable)
    tag = "import sys; print(sys.implementation.cache_tag)"
    return program, subprocess.run(
        [program, "-I", "-c", tag], capture_output=True, text=True, check=True
    ).stdout.strip()


def _compile(tree: Path, python: str) -> None:
    """The packages, with byte code beside the sources: another Python falls back to these, slowly."""
    for name in PACKAGES:
        spec = find_spec(name)
        assert spec and spec.origin, name
        unused = ignore_patterns("tests", "benchmarks", "__pycache__", "*.so", "*.pyi", "*.g4", "*.tex")
        copytree(Path(spec.origin).parent, tree / name, ignore=unused)
    metadata = distribution(ASKED_BY_NAME).read_text("METADATA") or ""
    folder = tree / f"{ASKED_BY_NAME.replace('-', '_')}-{version(ASKED_BY_NAME)}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(metadata)
    # -b: where an archive's importer looks; unchecked: by what the archive holds, not by times.
    options = ["-q", "-b", "-o", "2", "-j", "2", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([python, "-I", "-m", "compileall", *options, "."], cwd=tree, check=True)


def _pack(tree: Path, made: Path) -> None:
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(tree.rglob("*.py*")):
            info = zipfile.ZipInfo(str(path.relative_to(tree)), _MTIME)
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
        for path in tree.rglob("METADATA"):
            archive.write(path, str(path.relative_to(tree)))
