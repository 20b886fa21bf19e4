"""`difair doctor` on a real SLURM: from the login side, and through a job on one of its nodes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed.cluster import CONF, Cluster
from tests.waiting import HANG_SECONDS, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

PROFILE = "{executor: slurm, partition: gpu, gres: 'gpu:1', constraint: v100|rtx6000, threads: 1, device: cpu}"
WRONG = "{executor: slurm, partition: nosuch, gres: 'gpu:h100:1', constraint: v100|a100, device: cpu}"
LATE = "{executor: slurm, device: cpu, sbatch: {begin: now+1hour}}"


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "slurm").mkdir()
    for name, text in (("right", PROFILE), ("wrong", WRONG), ("late", LATE)):
        (tmp_path / "slurm" / f"{name}.yaml").write_text(text)
    (tmp_path / "outputs").mkdir()
    cluster = Cluster(folder=tmp_path, name="difair-test")
    yield cluster
    assert jobs(cluster) == [], "doctor leaves no job behind"
    assert [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()] == [], "nor a file"


def jobs(bed: Cluster) -> list[str]:
    return [line for line in bed.ask("squeue", "-h", "-o", "%j").splitlines() if line.startswith("difair-doctor-")]


def start(bed: Cluster, *words: str) -> "subprocess.Popen[str]":
    command = [*words[: words.index("doctor")], sys.executable, "-m", "difair_hpc", *words[words.index("doctor") :]]
    environment = {**os.environ, "SLURM_CONF": CONF, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=bed.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def told(bed: Cluster, *words: str, code: int) -> dict[str, str]:
    """Return the mark of each check, and `WHAT found` for its words."""
    process = start(bed, *words, "-f", "json")
    out, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == code, out + err
    checks = json.loads(out)
    return {check["what"]: check["mark"] for check in checks} | {
        f"{check['what']} found": check["found"] for check in checks
    }


def test_a_profile_that_fits(bed: Cluster) -> None:
    found = told(bed, "doctor", "cluster=right", code=0)
    for what in ("site", "partition gpu", "gres gpu:1", "feature v100", "feature rtx6000", "account", "qos", "sbatch"):
        assert found[what] == "ok", found
    assert found["site found"].startswith("SLURM 22.05.8, cluster testbed")
    assert "at most 101" in found["limits found"]
    assert found["accounting"] == "ok"


def test_a_profile_that_names_what_does_not_exist(bed: Cluster) -> None:
    found = told(bed, "doctor", "cluster=wrong", code=1)
    for what in ("partition nosuch", "gres gpu:h100:1", "feature a100", "sbatch"):
        assert found[what] == "FAIL", found
    assert found["feature v100"] == "ok"


def test_a_look_at_a_node(bed: Cluster) -> None:
    found = told(bed, "doctor", "cluster=right", "--on-node", code=0)
    for what in ("output root", "Optuna", "MLflow", "machine", "torch", "GPU", "SLURM"):
        assert found[f"node: {what}"] == "ok", found
    assert found["node: data sets"] == found["data sets"]
    assert "digits" in found["node: data sets found"]
    assert re.search(r" (v100|rtx)-[12]:", found["node: machine found"])


def test_a_node_without_the_gpu_that_the_profile_needs(bed: Cluster) -> None:
    found = told(bed, "doctor", "cluster=right", "cluster.device=cuda", "--on-node", code=1)
    assert found["node: GPU"] == "FAIL"
    assert found["node: GPU found"].startswith("torch sees no CUDA GPU")
    assert found["node: output root"] == "ok"


def test_a_root_that_nodes_do_not_see(bed: Cluster) -> None:
    """The command sees a file system of its own there, as a login node does with its /tmp."""
    alone = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs -o mode=700 none outputs && exec "$@"', "sh")
    found = told(bed, *alone, "doctor", "cluster=right", "--on-node", code=1)
    assert found["compute node"] == "FAIL"
    assert "does the node see the output root" in found["compute node found"]


def test_ctrl_c_takes_the_job_along(bed: Cluster) -> None:
    process = start(bed, "doctor", "cluster=late", "--on-node")
    wait_for("a job that waits", lambda: len(jobs(bed)) == 1, seen=bed.describe)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 130
    assert "PENDING" in err
