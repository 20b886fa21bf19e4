"""A job's script is carried to its end in whatever shell a profile has made of it."""

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.errors import InvalidValue
from difair_hpc.sweep.ends import Accident
from difair_hpc.sweep.nodes import BadNodes, NodeRule
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


HOSTILE = "n1\nid > FILE; :"


@pytest.mark.parametrize("key", ["partition", "account", "qos", "gres", "constraint"])
def test_no_value_of_a_profile_becomes_a_line_of_the_script(tmp_path: Path, key: str) -> None:
    words: dict[str, Any] = {"name": "x", "executor": "slurm", "gres": "gpu:1", key: HOSTILE}
    profile = Profile(**words)
    with pytest.raises(InvalidValue, match=rf"cluster\.{key}='n1\\nid.*without line breaks"):
        sbatch_text(profile, ["train"], name="x", logs=tmp_path)


def test_nor_does_an_option_of_sbatch_or_the_name_of_a_node(tmp_path: Path) -> None:
    profile = Profile(name="x", executor="slurm", gres="gpu:1", sbatch={"comment": HOSTILE})
    with pytest.raises(InvalidValue, match=r"cluster\.comment="):
        sbatch_text(profile, ["train"], name="x", logs=tmp_path)
    with pytest.raises(InvalidValue, match=r"cluster\.exclude="):
        sbatch_text(replace(profile, sbatch={}), ["train"], name="x", logs=tmp_path, exclude=[HOSTILE])


def test_a_node_is_left_out_by_a_name_that_a_node_can_have(tmp_path: Path) -> None:
    """What stands in nodes.json, and in the attempts of runs, is whatever somebody wrote there."""
    path = tmp_path / "nodes.json"
    later = {"until": time.time() + 60, "why": "two runs failed"}
    path.write_text(json.dumps({HOSTILE: later, "n2": later, "n3 --wrap=id": later, "": later}))
    accidents = [Accident(run=run, node="$(id)", time=time.time(), alike="") for run in ("a", "b")]
    assert BadNodes(path, NodeRule()).now(accidents) == ["n2"]
