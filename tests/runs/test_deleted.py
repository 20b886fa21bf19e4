"""What is deleted in MLflow's pages comes back with the next command, whole: a projection cannot lose anything."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc.errors import Failure
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.store import FINAL, PARENT
from difair_hpc.runs.tracking import Tracker
from tests.marks import USES_MLFLOW
from tests.runs.made import created
from tests.runs.shown import client, put_dead, put_points, ship, shown, tracker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    *USES_MLFLOW,
]


@pytest.fixture
def root(migrated: Path) -> Path:
    return migrated.parent


@pytest.fixture
def place(root: Path) -> RunFolder:
    """Return a run that was shipped in part."""
    place = created(root)
    put_dead(place)
    put_points(place, [1])
    return place


def delete_experiment(root: Path) -> None:
    seen = client(root)
    found = seen.get_experiment_by_name("digits")
    assert found is not None
    seen.delete_experiment(found.experiment_id)


def delete(kind: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        for run in shown(root, kind):
            client(root).delete_run(run.info.run_id)

    return act


def remove(kind: str) -> Callable[[Path], None]:
    """Return what removes runs for ever, as `mlflow gc` does."""

    def act(root: Path) -> None:
        names = [run.info.run_id for run in shown(root, kind)]
        with sqlite3.connect(root / "mlflow.db") as connection:
            for name in names:
                for table in ("tags", "params", "metrics", "latest_metrics", "runs"):
                    connection.execute(f"delete from {table} where run_uuid = ?", (name,))

    return act


def whole(root: Path, epochs: int) -> None:
    """Check the tree of study, stage and one run, with all its points."""
    (study,), (stage,), (run,) = (shown(root, kind) for kind in ("study", "stage", "run"))
    assert (stage.data.tags[PARENT], run.data.tags[PARENT]) == (study.info.run_id, stage.info.run_id)
    points = client(root).get_metric_history(run.info.run_id, "train_loss")
    assert [point.step for point in points] == list(range(1, epochs + 1))


EVENTS = {
    "experiment": delete_experiment,
    **{f"{kind} deleted": delete(kind) for kind in ("study", "stage", "run")},
    **{f"{kind} removed": remove(kind) for kind in ("study", "stage", "run")},
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
@pytest.mark.parametrize("final", [False, True], ids=["at work", "final"])
def test_the_next_command_brings_it_back(
    root: Path, place: RunFolder, event: Callable[[Path], None], final: bool
) -> None:
    before = ship(root, place)
    if final:
        client(root).set_tag(shown(root)[0].info.run_id, FINAL, "true")
        before = tracker(root)
        ship(root, place, by=before)
    event(root)
    put_points(place, [] if final else [2])
    ship(root, place)
    if not (final and event is EVENTS["run removed"]):
        whole(root, 1 if final else 2)
    by = tracker(root)
    by.settle(live=True)
    by.finish_study()
    assert [run.info.status for run in shown(root, "study") + shown(root, "stage")] == ["FINISHED", "FINISHED"]


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_a_command_at_work_goes_on(root: Path, place: RunFolder, event: Callable[[Path], None]) -> None:
    by = ship(root, place)
    event(root)
    for later in ([2], [3]):
        put_points(place, later)
        _once_more(lambda: ship(root, place, by=by))
    _once_more(by.finish_study)
    ship(root, place)  # what only the next command sees
    whole(root, 3)


def _once_more(act: Callable[[], object]) -> None:
    """Act, and once more where the store has said that something was deleted: the next pass of a study does that."""
    try:
        act()
    except Failure as error:
        if "deleted in MLflow's pages" not in str(error):
            raise
        act()


def test_an_empty_store_stays_empty_for_a_rebuild(root: Path, place: RunFolder) -> None:
    ship(root, place)
    for kind in ("run", "stage", "study"):
        delete(kind)(root)
    assert Tracker(f"sqlite:///{root}/mlflow.db", root=root, study="digits").is_empty()
