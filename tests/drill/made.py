"""A drill as a command of its own, so that MLflow's warnings are no errors of a test."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def drilled(*words: str, cwd: Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run `difair drill` in a folder, and return its outcome and, as `code`, its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "difair_hpc", "drill", "-f", "json", *words],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stderr
    return {**json.loads(done.stdout), "code": done.returncode}
