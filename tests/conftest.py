"""What the tests share: a test that needs tmux is skipped where there is none, unless TERMGYM_REQUIRE asks for it."""

import os
import shutil

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("tmux") and not shutil.which("tmux"):
        if "tmux" in os.environ.get("TERMGYM_REQUIRE", "").split(","):
            pytest.fail("TERMGYM_REQUIRE asks for tmux, and there is none")
        pytest.skip("tmux is not installed")
