"""What is copied into the store, or printed, comes from the root: names on record lead to nothing of the victim's."""

import json

import pytest

from tests.fuzz.cases import SCALE
from tests.security import plant
from tests.security.marks import ATTACK
from tests.security.scene import Scene

pytestmark = [*ATTACK]


@pytest.mark.parametrize("owner", ["colleague", "victim"])
def test_the_report_that_mlflow_gets_is_of_bare_names(scene: Scene, owner: str) -> None:
    study = scene.root / "studies/seek"
    names = [
        "../../../../homes/victim/secret.txt",
        str(scene.secret),
        "door/diary.err",
        "link.txt",
        "table1.csv/../../../../../homes/victim/diary.out",
        "../../../../homes/victim/prey",
        "../../../mlflow.db",
        "table1.csv",
    ]
    with scene.colleague():
        (study / "report/link.txt").symlink_to(scene.secret)
        (study / "report/door").symlink_to(scene.home)
        text = json.dumps({"time": 4e9, "files": names, "note": "new"})
        if owner == "colleague":
            plant.put(study / "shown.json", text)
        else:
            (study / "shown.json").write_text(text)
    said = scene.difair(("sync",))
    scene.assert_spared(said)
    assert not list((scene.root / "mlartifacts/seek").glob("*/artifacts/report/mlflow.db"))


@pytest.mark.parametrize("name", ["../../homes/victim/diary", "ABSOLUTE", "door/diary"])
def test_the_log_that_an_attempt_names_is_one_of_the_jobs(scene: Scene, name: str) -> None:
    log = str(scene.home / "diary") if name == "ABSOLUTE" else name.format(home=scene.home)
    attempt = scene.runs("mini")[2] / "attempts/0001.json"
    with scene.colleague():
        (scene.root / "jobs/door").symlink_to(scene.home)
        record = json.loads(attempt.read_text())
        plant.put(attempt, json.dumps({**record, "place": {**record["place"], "log": log}}))
        plant.away(attempt.with_name("0001.end.json"))
    scene.assert_spared(scene.difair(("status",), ("why", "3"), ("logs", "3"), ("resume", "mini")))


@pytest.mark.parametrize("job", ["../../homes/victim/diary*", "/../.."])
def test_the_job_that_an_attempt_names_is_no_pattern(scene: Scene, job: str) -> None:
    attempt = scene.runs("mini")[2] / "attempts/0001.json"
    with scene.colleague():
        record = json.loads(attempt.read_text())
        plant.put(attempt, json.dumps({**record, "place": {"job": job, "log": "none", "node": "n1"}}))
    said = scene.difair(("status",), ("logs", "3"), ("why", "3"))
    scene.assert_spared(said)
    assert not scene.named("diary.", said)


@pytest.mark.parametrize("name", ["../../../homes/victim/prey", "ABSOLUTE"])
def test_the_runs_of_a_study_lie_below_runs(scene: Scene, name: str) -> None:
    place = str(scene.prey) if name == "ABSOLUTE" else name
    study = scene.root / "studies/mini/study.json"
    (book,) = (scene.root / "studies/mini").glob("coarse-*.jsonl")
    with scene.colleague():
        content = json.loads(study.read_text())
        content["stages"][0]["trials"][1]["signature"] = place
        study.write_text(json.dumps(content))
        book.write_text("\n".join(json.dumps(trial) for trial in content["stages"][0]["trials"]) + "\n")
    verbs = (("status",), ("hold", "2"), ("why", "2"), ("sync",), ("report", "mini", "-f", "json"), ("resume", "mini"))
    scene.assert_spared(scene.difair(*verbs))


@pytest.mark.parametrize("name", ["../../homes/victim/prey", "x\ny"])
def test_the_stages_of_a_study_have_bare_names(scene: Scene, name: str) -> None:
    """A stage's book is the name of files in the folder of the study."""
    study = scene.root / "studies/seek/study.json"
    with scene.colleague():
        content = json.loads(study.read_text())
        content["stages"][0] |= {"book": f"{name}/3", "name": name}
        study.write_text(json.dumps(content))
    scene.assert_spared(scene.difair(("status",), ("sync",), ("report", "seek", "-f", "json")))


PLACES = (
    "file://{prey}",
    "{prey}",
    "file://{prey}/mlartifacts/x",
    "file://{root}/mlartifacts/../../homes/victim/prey",
    "file://{root}/mlartifacts/door",
)


@pytest.mark.parametrize("place", PLACES if SCALE > 1 else PLACES[:3])
def test_artifacts_lie_below_the_root_whatever_a_store_says(scene: Scene, place: str) -> None:
    """An older root's mlartifacts, which a store is adopted from, is another's as well."""
    where, single = place.format(prey=scene.prey, root=scene.root), scene.runs("train")[0].name
    with scene.colleague():
        (scene.root / "mlartifacts/door").symlink_to(scene.prey)
        plant.in_store(
            scene,
            plant.unshipped(single),
            f"UPDATE experiments SET artifact_location = '{where}'",
            f"UPDATE runs SET artifact_uri = '{where}/' || run_uuid || '/artifacts'",
        )
    scene.assert_spared(scene.difair(("sync",)))


def test_sqlite_deletes_nothing_that_a_journal_names(scene: Scene) -> None:
    """A rollback journal beside the store names a super-journal: whoever opens the store removes that file."""
    with scene.colleague():
        (scene.root / "mlflow.db").write_bytes(scene.store)
        plant.hot_journal(scene.root / "mlflow.db", scene.rc)
    scene.assert_spared(scene.difair(("sync",)))
