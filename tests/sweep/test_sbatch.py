"""A job's script is carried to its end in whatever shell a profile has made of it."""

import os
import subprocess
from pathlib import Path

import pytest

from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.sbatch import sbatch_text


@pytest.mark.parametrize("line", ["true", "set -e", "set -euo pipefail", "false", "trap 'echo trapped' ERR", "cd /tmp"])
@pytest.mark.parametrize("code", [0, 85, 137])
def test_the_last_step_is_told_how_the_run_left(tmp_path: Path, line: str, code: int) -> None:
    srun = tmp_path / "srun"
    srun.write_text(f"#!/bin/sh\npwd\nexit {code}\n")
    srun.chmod(0o755)
    profile = Profile(name="x", executor="slurm", gres="gpu:1", setup=(line,))
    text = sbatch_text(profile, ["train"], name="x", logs=tmp_path, teardown=['echo "last step: $code"'])
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout.replace("trapped\n", "") == f"/\nlast step: {code}\n"
