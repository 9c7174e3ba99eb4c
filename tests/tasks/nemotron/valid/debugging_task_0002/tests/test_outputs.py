import subprocess
from pathlib import Path


def test_prints():
    assert subprocess.run(["bash", "/app/run.sh"], capture_output=True, text=True).stdout == "ok\n"


def test_kept():
    assert Path("/app/tool/readme").read_text() == "none\n"
