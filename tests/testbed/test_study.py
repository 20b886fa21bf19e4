"""A study on a real SLURM: preempted, requeued and left alone, it ends with the bits of an undisturbed one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.testbed.cluster import CONF, Cluster, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1500)]

SWEEP = """
study: mini
stages:
  coarse:
    search: grid
    base: {benchmark: digits-all, method: difair, protocol: short, protocol.epochs: 12}
    space: {method.alpha: [2, 6]}
  final:
    search: final
    chosen_in: coarse
    base: {protocol: short, protocol.epochs: 12}
    benchmarks: [digits]
    methods: [difair]
    splits: [0]
"""
PROFILE = """
executor: slurm
partition: gpu
gres: gpu:1
constraint: v100|rtx6000
threads: 1
device: cpu
minutes: 10
parallel: 4
poll_seconds: 1
checkpoint_epochs: 1
"""


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(bed: Cluster) -> Iterator[Start]:
    """Start `difair sweep mini` in the test's folder; what still runs at the end of the test is ended."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "SLURM_CONF": CONF, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "difair_hpc", "sweep", "mini", *words]
        process = subprocess.Popen(
            command, cwd=bed.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(folder=tmp_path, name="difair-test")
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "slurm").mkdir()
    (tmp_path / "sweeps" / "mini.yaml").write_text(SWEEP)
    (tmp_path / "slurm" / "bed.yaml").write_text(PROFILE)
    yield cluster
    cluster.ask("scancel", "--user=root", check=False)
    wait_for("no job left", lambda: not cluster.ask("squeue", "-h"), seconds=60, seen=cluster.describe)


def results(root: Path) -> dict[str, tuple[str, object]]:
    found = [json.loads(path.read_text()) for path in sorted(root.glob("runs/*/result.json"))]
    return {result["signature"]: (result["weights_sha256"], result["evaluation"]) for result in found}


def running_jobs(bed: Cluster) -> list[str]:
    lines = bed.ask("squeue", "-h", "-r", "-t", "running", "-o", "%j %i").splitlines()
    return [line.split()[1] for line in lines if line.startswith("difair-mini-")]


def test_a_disturbed_study_ends_with_the_bits_of_an_undisturbed_one(bed: Cluster, start: Start) -> None:
    local = start("root=quiet", "tracking_uri=none")
    out, _ = local.communicate(timeout=400)
    assert local.returncode == 0, out

    attached = start("cluster=bed", "root=loud", "tracking_uri=none")
    loud = bed.folder / "loud"

    def begun() -> bool:
        epochs = [json.loads(path.read_text()).get("epoch", 0) for path in loud.glob("runs/*/attempts/*.beat.json")]
        return max(epochs, default=0) >= 2

    wait_for("training on nodes", begun, seconds=300, seen=bed.describe)
    for job in running_jobs(bed):
        bed.ask("scontrol", "requeue", job, check=False)  # one that has just ended cannot be sent back
    attached.kill()
    attached.communicate()

    again = start("cluster=bed", "root=loud", "tracking_uri=none")
    out, _ = again.communicate(timeout=600)
    assert again.returncode == 0, out
    assert results(loud) == results(bed.folder / "quiet")
    attempts = [json.loads(path.read_text())["attempts"] for path in loud.glob("runs/*/result.json")]
    assert max(attempts) >= 2, "it was disturbed"
    waves = list((loud / "studies" / "mini" / "waves").glob("????.json"))
    submitted = [run for wave in waves for job in json.loads(wave.read_text())["jobs"] for run in job]
    assert len(submitted) == len(set(submitted)) == 3, "no run was submitted twice"


def test_a_detached_study_reaches_its_report_without_a_command(bed: Cluster, start: Start) -> None:
    first = start("cluster=bed", "root=alone", "tracking_uri=none", "--detach")
    out, _ = first.communicate(timeout=200)
    assert first.returncode == 0, out
    assert "jobs carry the study on" in out
    report = bed.folder / "alone" / "studies" / "mini" / "report" / "report.md"
    wait_for("the report", report.exists, seconds=700, seen=bed.describe)
    assert len(results(bed.folder / "alone")) == 3
