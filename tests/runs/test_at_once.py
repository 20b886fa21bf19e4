"""Processes that ship the same run to a store of MLflow at once: all succeed, and nothing stands there twice."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.errors import Failure
from tests import forked
from tests.marks import USES_MLFLOW
from tests.runs.made import created
from tests.runs.shown import history, put_dead, put_points, ship, shown, the_run, tracker

pytestmark = [
    pytest.mark.slow,
    *USES_MLFLOW,
]

OPENER = """
import sys
from pathlib import Path
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.store import FINAL
from difair_hpc.runs.tracking import Tracker, default_uri

root = Path(sys.argv[1])
tracker = Tracker(default_uri(root), root=root, study="digits")
tracker.ship(run_folder(root, sys.argv[2]), stage="coarse", label="one")
"""


def test_six_processes_that_open_a_new_store_at_once_all_survive(tmp_path: Path) -> None:
    place = created(tmp_path)
    put_dead(place)
    put_points(place, [1, 2, 3])
    with (tmp_path / "said.txt").open("wb") as said:
        words = [str(tmp_path), place.signature]
        processes = [forked.started(words, cwd=tmp_path, out=said, code=OPENER) for _ in range(6)]
        assert [process.wait() for process in processes] == [0] * 6, (tmp_path / "said.txt").read_text()
    kinds = Counter(run.data.tags["difair.kind"] for kind in ("study", "stage", "run") for run in shown(tmp_path, kind))
    assert kinds == {"study": 1, "stage": 1, "run": 1}
    assert [epoch for epoch, _, _ in history(tmp_path, "train_loss")] == [1, 2, 3]


@pytest.mark.parametrize("first", [True, False])
def test_parameters_that_another_process_has_logged_meanwhile_are_no_failure(
    migrated: Path, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    root = migrated.parent
    place, by, really = created(root), tracker(root), MlflowClient.log_batch
    put_dead(place)

    def refuse(client: MlflowClient, run: str, *given: Any, params: Sequence[Any] = (), **named: Any) -> None:
        if params and first:
            really(client, run, params=params)
        if params:
            raise MlflowException("UNIQUE constraint failed: params.key, params.run_uuid")
        really(client, run, *given, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    if first:
        ship(root, place, by=by)
        assert the_run(root).data.params["method.name"] == "difair"
    else:
        with pytest.raises(Failure, match="UNIQUE constraint"):
            ship(root, place, by=by)
