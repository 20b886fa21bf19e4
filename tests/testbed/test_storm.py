"""A study that everything happens to, one thing after the other, ends with the bits of one that nothing happened to."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import short
from tests.testbed.study import LASTING, QUIET, Study, lying_sbatch, study_on

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.heavy("storm"), pytest.mark.timeout(2700)]

EPOCHS = 50
"""Two and a half minutes of each run, all but a few seconds of it pauses."""


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    yield from study_on(tmp_path)


def test_a_storm_of_everything_changes_no_bit(study: Study) -> None:
    study.write(short.study(EPOCHS, "[2, 6, 10]"), **LASTING, report=True)
    bed, root = study.bed, study.bed.folder / "loud"

    attached = study.start("sweep", "mini", "cluster=bed", "root=loud", path=lying_sbatch(bed.folder))
    study.wait("three runs at work", lambda: sum(epoch >= 1 for epoch in study.epochs("loud").values()) == 3)
    waves = sorted((root / "studies/mini/waves").glob("????.json"))
    assert len(waves) == 1, "the wave that sbatch denied was adopted"
    assert "is being worked on by process" in study.said("sweep", "mini", "cluster=bed", "root=loud", code=2)
    assert attached.works, "refused while the first works"

    study.fill_gpus()
    study.wait("preempted runs saved", lambda: study.kinds("loud")["preempted"] == 3)
    bed.open_gate()
    study.wait("all runs at work again", lambda: study.at_work("loud") == 3)

    bed.ask("scontrol", "requeue", next(iter(study.running())))
    study.wait("a requeued run", lambda: study.kinds("loud")["requeued"] >= 1)
    study.wait("all runs at work again", lambda: study.at_work("loud") == 3)

    bed.control("stop", "slurmctld")
    study.wait("the command has noticed", lambda: "nable to contact" in attached.text())
    bed.control("start", "slurmctld")

    killed = study.kill_training("loud")
    study.wait("the killed one is known", lambda: study.kinds("loud")["died"] == 1)
    study.wait("all runs at work again", lambda: study.at_work("loud") == 3)

    attached.kill()
    node = next(iter(study.running().values()))
    bed.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    study.wait("the node has lost its jobs", lambda: node not in study.running().values())
    bed.ask("scontrol", "update", f"nodename={node}", "state=resume", check=False)  # it may have come back by itself

    assert "Table 2" in study.said("sweep", "mini", "cluster=bed", "root=loud")
    study.said("sweep", "mini", "root=quiet", *QUIET)
    assert study.results("loud") == study.results("quiet")
    assert len(study.results("loud")) == 4
    study.check_projections("loud", EPOCHS)
    assert study.kinds("loud")["node_failed"] >= 1
    # A node that is back too soon may kill, late, what is by then the next attempt of the job that it had lost.
    after_lost = {path.with_name(f"{int(path.name) + 1:04d}") for path in ended(root, "node_failed")}
    dead = killed.with_suffix("")
    assert {dead} <= ended(root, "died") <= {dead} | after_lost


def ended(root: Path, kind: str) -> set[Path]:
    """Return the attempts that ended so: their files without the endings."""
    paths = root.glob("runs/*/attempts/*.kind.json")
    return {
        path.with_name(path.name.partition(".")[0]) for path in paths if json.loads(path.read_text())["kind"] == kind
    }
