"""A study that everything happens to ends with the bits of one that nothing happened to."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pace import epochs_lasting
from tests.testbed.cluster import TESTBED
from tests.testbed.study import QUIET, Study, study_on

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(2700)]


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    yield from study_on(tmp_path)


SBATCH = """#!/bin/bash
# Submits, and then says that it failed: once.
real=$(PATH=${PATH#*:} command -v sbatch)
$real "$@" >{folder}/answer 2>&1
[ -e {folder}/lied ] && exec cat {folder}/answer
touch {folder}/lied
echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
exit 1
"""


def lying_sbatch(folder: Path) -> str:
    place = folder / "bin"
    place.mkdir()
    (place / "sbatch").write_text(SBATCH.replace("{folder}", str(place)))
    (place / "sbatch").chmod(0o755)
    return str(place)


def test_a_storm_of_everything_changes_no_bit(study: Study) -> None:
    epochs = epochs_lasting(60)  # of which three at a time train for 25 to 40 until the last thing has happened
    study.write(epochs=epochs, alphas="[2, 6, 10]")
    bed, root = study.bed, study.bed.folder / "loud"

    attached = study.start("sweep", "mini", "cluster=bed", "root=loud", path=lying_sbatch(bed.folder))
    study.wait("three runs at work", lambda: sum(epoch >= 1 for epoch in study.epochs("loud").values()) == 3)
    waves = sorted((root / "studies/mini/waves").glob("????.json"))
    assert len(waves) == 1, "the wave that sbatch denied was adopted"
    second = study.said("sweep", "mini", "cluster=bed", "root=loud", code=2)
    assert "is being worked on by process" in second
    assert attached.poll() is None, "refused while the first works"

    urgent = [bed.submit("sleep 15", "--gres=gpu:1", "--partition=urgent") for _ in range(8)]  # all GPUs: preemption
    study.wait("preempted runs saved", lambda: study.kinds("loud")["preempted"] >= 2)
    bed.ask("scancel", *urgent)
    study.wait("all runs at work again", lambda: study.at_work("loud") == 3)

    bed.ask("scontrol", "requeue", next(iter(study.running())))
    study.wait("a requeued run", lambda: study.kinds("loud")["requeued"] >= 1)

    bed.control("stop", "slurmctld")
    time.sleep(20)
    bed.control("start", "slurmctld")
    study.wait("runs at work", lambda: study.at_work("loud") >= 2)

    killed = kill_one_training_process(root)
    study.wait("the killed one is known", lambda: study.kinds("loud")["died"] == 1)
    study.wait("runs at work", lambda: study.at_work("loud") >= 1)

    attached.kill()
    attached.communicate()
    node = next(iter(study.running().values()))
    bed.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    time.sleep(5)
    bed.ask("scontrol", "update", f"nodename={node}", "state=resume", check=False)  # it may have come back by itself

    out = study.said("sweep", "mini", "cluster=bed", "root=loud")
    assert "Table 2" in out
    study.said("sweep", "mini", "root=quiet", *QUIET)
    assert study.results("loud") == study.results("quiet")
    assert len(study.results("loud")) == 4
    study.check_projections("loud", epochs)
    kinds = study.kinds("loud")
    assert kinds["preempted"] >= 2
    assert kinds["requeued"] >= 1
    # A node that is back too soon may kill, late, what is by then the next attempt of the job that it had lost.
    after_lost = {path.with_name(f"{int(path.name) + 1:04d}") for path in ended(root, "node_failed")}
    assert {killed} <= ended(root, "died") <= {killed} | after_lost


def ended(root: Path, kind: str) -> set[Path]:
    """Return the attempts that ended so: their files without the endings."""
    paths = root.glob("runs/*/attempts/*.kind.json")
    return {
        path.with_name(path.name.partition(".")[0]) for path in paths if json.loads(path.read_text())["kind"] == kind
    }


def kill_one_training_process(root: Path) -> Path:
    """End the process of a live attempt without a word, and return which; on the testbed all nodes are this machine."""
    for path in sorted(root.glob("runs/*/attempts/????.json"), reverse=True):
        if path.with_suffix(".end.json").exists():
            continue
        try:
            os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)
        except ProcessLookupError:
            continue
        return path.with_suffix("")
    raise AssertionError("no attempt was alive")


def test_a_time_limit_shorter_than_the_run_is_no_obstacle(study: Study) -> None:
    study.write(epochs=epochs_lasting(50), alphas="[6]", minutes=1, notice_seconds=10)
    study.said("sweep", "mini", "cluster=bed", "root=short", "tracking_uri=none")
    study.said("sweep", "mini", "root=quiet", *QUIET)
    assert study.results("short") == study.results("quiet")
    assert study.kinds("short")["timed_out"] >= 1
    assert set(study.kinds("short")) == {"timed_out"}


def test_a_detached_study_reaches_its_report_although_its_last_run_is_killed(study: Study) -> None:
    out = study.said("sweep", "mini", "cluster=bed", "root=alone", "tracking_uri=none", "--detach")
    assert "jobs carry the study on" in out
    root = study.bed.folder / "alone"
    report = root / "studies/mini/report/report.md"
    (study.bed.folder / "sweeps/mini.yaml").write_text("an edit that running studies must not see")
    study.wait("the last stage", lambda: len(study.epochs("alone")) == 3)
    kill_one_training_process(root)
    study.wait("the report", report.exists)
    assert len(study.results("alone")) == 3
    assert study.kinds("alone")["died"] == 1
    assert TESTBED.exists()
