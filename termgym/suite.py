"""A repository's tests, run where the agent's code may: in a sandbox, or a fork of one.

A test is named as its runner names it: `tests.test_sum.Sums.test_empty` or `test_empty (tests.test_sum.Sums)` for
unittest, `tests/test_sum.py::test_empty` for pytest. Each one that passes is told by a line with a word that only the
runner was given, so that a program which ends early or prints what it likes passes nothing. What no runner can tell
apart, SWE-bench's no more than this one, is code under test that rewrites the runner in its own process.
"""

import base64
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from shlex import quote

from termgym.task import File

_RUNNER = r"""
import os, sys, unittest  # before the repository's folder, which may have modules of these names
sys.dont_write_bytecode = True
word, wanted = sys.argv[1], sys.argv[2:]
out, null = os.dup(1), os.open(os.devnull, os.O_RDWR)
os.dup2(null, 0), os.dup2(null, 1), os.dup2(2 if word == "-" else null, 2)
sys.path.insert(0, os.getcwd())
def say(name, how="passed", why=""):
    os.write(out, f"{word} {how} {name}{why and chr(9) + ' '.join(why.split())[:200]}\n".encode(errors="replace"))
class Result(unittest.TestResult):
    def addSuccess(self, test):
        say(names.get(test.id(), test.id()))
    def failed(self, test, error):
        say(names.get(test.id(), test.id()), "failed", f"{error[0].__name__}: {error[1]}")
    addError = addFailure = failed
def tests_of(suite):
    for test in suite:
        yield from tests_of(test) if isinstance(test, unittest.TestSuite) else [test]
class Plugin:
    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.failed:
            say(report.nodeid, report.outcome)
names, loader = {}, unittest.TestLoader()
if any("::" in name for name in wanted):
    import pytest
    pytest.main(["-q", "-p", "no:cacheprovider", *wanted], plugins=[Plugin()])
    os._exit(0)
def dotted(name):
    head, _, rest = name.partition(" (")
    return f"{rest[:-1].removesuffix('.' + head)}.{head}" if rest else name
for name in wanted:
    names[dotted(name)] = name
for test in tests_of(loader.loadTestsFromNames(list(names)) if wanted else loader.discover(".")):
    test.run(Result())
os._exit(0)
"""


def command(word: str, tests: Iterable[str]) -> str:
    """A shell command, for the repository's folder, that tells which of these tests pass; of none, which of all do.

    It prints lines `WORD passed NAME` and `WORD failed NAME<tab>REASON`.
    """
    program = base64.b64encode(_RUNNER.encode()).decode()
    return f'python3 -I -c "$(base64 -d <<<{program})" {quote(word)} {" ".join(map(quote, tests))}\n'


def passed(output: str, word: str) -> dict[str, str]:
    """Test -> why it failed, or nothing, of what the command printed."""
    lines = [line.split(" ", 2) for line in output.split("\n") if line.startswith(f"{word} ")]
    return {name.partition("\t")[0]: name.partition("\t")[2] or "?" * (how != "passed") for _, how, name in lines}


def is_test(path: str) -> bool:
    """Whether a file is part of the tests, by its place or its name."""
    *folders, name = PurePosixPath(path).parts
    beside = name == "conftest.py" or name.startswith("test_") or name.removesuffix(".py").endswith("_test")
    return beside or bool({"test", "tests", "testing"} & set(folders))


def restored(files: Mapping[str, File]) -> str:
    """Shell commands that put the tests back as they were: all edits of them undone, and no other conftest.py."""
    tests = {path: file for path, file in files.items() if is_test(path)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        for path, file in sorted(tests.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode, member.mtime = len(file.content), file.mode, file.mtime
            tar.addfile(member, io.BytesIO(file.content))
    folders = sorted({path.split("/")[0] for path in tests if "/" in path and is_test(path.split("/")[0] + "/x")})
    gone = "".join(f"rm -rf -- {quote(folder)}\n" for folder in folders)
    gone += "find . -name conftest.py -delete -o -name sitecustomize.py -delete\n"
    return f"{gone}base64 -d <<<{base64.b64encode(packed.getvalue()).decode()} | tar -xJf -\n"
