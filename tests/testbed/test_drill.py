"""A drill on a real SLURM: nodes are lost and jobs sent back, and the study ends as if nothing had happened."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import short
from tests.drill.made import drilled
from tests.testbed.study import Study, study_on

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.heavy("drill"), pytest.mark.timeout(2700)]


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    yield from study_on(tmp_path)


def test_lost_nodes_and_requeued_jobs_change_no_bit(study: Study) -> None:
    epochs = 24  # of a second
    tiny = short.overrides(epochs, protocol__evaluate_every=epochs)
    words = ["cluster=bed", f"root={study.bed.folder / 'out'}", "cluster.pause_seconds=0.25", *tiny]
    environment = {"XDG_CACHE_HOME": str(study.bed.folder / "cache")}
    outcome = drilled(
        "--faults", "4", "--kinds", "node,requeue,kill,command", *words, cwd=study.bed.folder, environment=environment
    )
    assert outcome["differences"] == []
    assert outcome["code"] == 0, outcome
    assert Counter(record["kind"] for record in outcome["records"]) == {
        "node": 1,
        "requeue": 1,
        "kill": 1,
        "command": 1,
    }
    kinds = study.kinds("out/drill-0/loud")
    assert kinds["node_failed"] >= 1
    assert kinds["requeued"] >= 1
    assert set(study.kinds("out/drill-0/quiet")) <= {"stopped"}
