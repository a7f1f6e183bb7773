"""The script `headrace` of a checkout."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

PYTHON = """#!/bin/sh
# A Python that makes environments whose installer fails.
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *pip*) exit 7 ;;
esac
"""


def test_an_environment_that_could_not_be_made_is_made_anew(tmp_path: Path) -> None:
    """An installer that fails leaves nothing that looks like an environment, and its status."""
    for name in ("headrace", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    env = {**os.environ, "HEADRACE_PYTHON": str(python), "PATH": "/usr/bin:/bin"}

    for _ in range(2):
        ended = subprocess.run(
            [tmp_path / "headrace", "--version"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode != 0
        assert "making the environment" in ended.stderr
        assert "the environment could not be made; see above" in ended.stderr
        assert not list((tmp_path / ".venv").glob(".headrace-*"))
        assert not os.path.lexists(tmp_path / ".venv.lock")
