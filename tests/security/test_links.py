"""Links in a shared root that lead out of it: no command reads, changes, makes or deletes what is behind them."""

from typing import NamedTuple

import pytest

from tests.security import plant
from tests.security.made import MINI
from tests.security.marks import ATTACK
from tests.security.scene import Scene

pytestmark = [*ATTACK]

Verb = tuple[str, ...]
STATUS, WHY, LOGS, SYNC = ("status",), ("why", "3"), ("logs", "3"), ("sync",)
REPORT, RESUME, TICK = ("report", "seek"), ("resume", "mini"), ("sweep", "mini", "--tick", *MINI)
HOLD, TRAIN = ("hold", "3"), ("resume", "BEGUN", "tracking_uri=none")
TABLES = ("report", "mini", "-f", "json")


class Case(NamedTuple):
    """Links, and the commands that come upon them."""

    paths: tuple[str, ...]
    """Below the root; names in braces stand for runs and the like."""
    verbs: tuple[Verb, ...]
    target: str = "file"
    """What of the victim's each leads to: a file of its own, nothing yet (fresh), or a folder (prey)."""
    named: tuple[str, ...] = ()
    """Paths without which something is missing, so that a line has to say so."""


SPEC, RESULT = "runs/{stopped}/spec.json", "runs/{done}/result.json"
FILES = {
    "small records": Case(
        (
            "mlflow-server.json", "mlflow.refused/0123456789abcdef.json", "studies/mini/nodes.json",
            "studies/mini/ticks.json", "studies/mini/{book}.rungs.jsonl", "studies/mini/waves/0001.answer.json",
            "studies/mini/waves/0001.ends.json", "studies/mini/attempts/0002.json", "runs/{stopped}/mark.json",
            "runs/{stopped}/attempts/0001.end.json", "runs/{stopped}/attempts/0001.beat.json",
            "runs/{failed}/attempts/0001.kind.json", "runs/{failed}/result.json", "runs/{done}/metrics.jsonl",
            "studies/seek/mark.json", "studies/seek/request.json",
        ),
        (STATUS, WHY, ("why", "1"), TABLES),
    ),
    "logs": Case(("jobs/4711_2_0_log.err", "jobs/4711_2_0_log.out"), (WHY, LOGS)),
    "runs": Case((SPEC, RESULT), (WHY, TABLES, SYNC), named=(SPEC, RESULT)),
    "study": Case(("studies/mini/study.json",), (SYNC, TABLES), named=("studies/mini/study.json",)),
    "request": Case(("studies/mini/request.json",), (STATUS, RESUME), named=("studies/mini/request.json",)),
    "wave": Case(("studies/mini/waves/0001.json",), (STATUS, TICK), named=("studies/mini/waves/0001.json",)),
    "ledger": Case(("studies/mini/{book}.jsonl",), (STATUS, TICK), named=("studies/mini/{book}.jsonl",)),
    "ledger made": Case(("studies/mini/{book}.jsonl",), (TICK,), "fresh"),
    "lock": Case((".mlflow.lock",), (SYNC,)),
    "lock made": Case((".mlflow.lock",), (SYNC,), "fresh"),
    "name of the root": Case(("mlflow.root",), (SYNC,)),
    "store": Case(("mlflow.db",), (SYNC, ("doctor",))),
    "store made": Case(("mlflow.db",), (SYNC,), "fresh"),
    "beside the store": Case(("mlflow.db-journal", "mlflow.db-wal", "mlflow.db-shm"), (SYNC,)),
    "what MLflow is shown": Case(("studies/seek/shown.json",), (SYNC,)),
    "tick": Case(
        (
            "studies/mini/attempts/0003.beat.json", "studies/mini/waves/0002.sbatch", "studies/mini/tick.wanted",
            "studies/mini/nodes.json", "runs/{stopped}/attempts/0001.kind.json", "studies/mini/request.json",
        ),
        (TICK, ("sweep", "mini", "--detach", *MINI)),
    ),
    "tick made": Case(("studies/mini/waves/0002.json", "studies/mini/tick.wanted"), (TICK,), "fresh"),
    "lease made": Case(("studies/mini/attempts/0003.json",), (TICK,), "fresh"),
    "journal": Case(("studies/mini/optuna.journal", "studies/mini/optuna.journal.lock"), (SYNC,)),
    "seal of the journal": Case(("studies/mini/optuna.journal.sha256",), (SYNC,)),
    "report": Case(
        (
            "studies/seek/shown.json", "studies/seek/report/report.html", "studies/seek/report/table1.csv",
            "studies/seek/report/accuracy_search.png",
        ),
        (REPORT,),
    ),
    "report made": Case(("studies/seek/report/report.md", "studies/seek/report/.report.md.tmp"), (REPORT,), "fresh"),
    "training": Case(("runs/{begun}/metrics.jsonl", "runs/{begun}/model.pt"), (TRAIN,)),
    "training made": Case(("runs/{begun}/metrics.jsonl", "runs/{begun}/result.json"), (TRAIN,), "fresh"),
    "checkpoint": Case(("runs/{begun}/checkpoint-0001-000001-000000.pt",), (TRAIN, ("why", "6"))),
    "marks": Case(("runs/{stopped}/mark.json", "studies/mini/mark.json"), (HOLD, ("hold", "mini"))),
}  # fmt: skip
FOLDERS = [
    Case(("studies",), (STATUS, SYNC), "prey", ("studies",)),
    Case(("studies/mini",), (STATUS, ("hold", "mini"), SYNC), "prey"),
    Case(("studies/mini/attempts",), (STATUS, TICK), "prey"),
    Case(("studies/mini/waves",), (STATUS, TICK), "prey"),
    Case(("studies/seek/report",), (SYNC, REPORT), "prey"),
    Case(("runs",), (STATUS, RESUME), "prey", ("runs",)),
    Case(("runs/{stopped}",), (STATUS, HOLD, RESUME), "prey"),
    Case(("runs/{stopped}/attempts", "runs/{done}/attempts"), (STATUS, WHY), "prey"),
    Case(("runs/{begun}",), (TRAIN,), "prey"),
    Case(("runs/{begun}/attempts",), (TRAIN,), "prey"),
    Case(("jobs",), (LOGS, RESUME), "prey"),
    Case(("code",), (RESUME,), "prey"),
    Case(("mlflow.refused",), (STATUS, SYNC), "prey"),
    Case(("mlartifacts",), (SYNC,), "prey"),
    Case(("mlartifacts/train",), (SYNC,), "prey"),
    Case(("runs/{single}/figures",), (SYNC,), "prey"),
    Case(("doctor",), (("doctor", "--on-node", "cluster=v100"),), "prey"),
]


@pytest.mark.parametrize("case", FILES.values(), ids=FILES)
def test_a_link_in_place_of_a_file_leads_nowhere(scene: Scene, case: Case) -> None:
    _followed_by_nobody(scene, case)


@pytest.mark.parametrize("case", FOLDERS, ids=lambda case: "+".join(case.paths))
def test_a_link_in_place_of_a_folder_leads_nowhere(scene: Scene, case: Case) -> None:
    _followed_by_nobody(scene, case)


def _followed_by_nobody(scene: Scene, case: Case) -> None:
    paths = [scene.path(path) for path in case.paths]
    targets = [scene.prey if case.target == "prey" else scene.bait(path, made=case.target == "file") for path in paths]
    single, begun = scene.runs("train")
    with scene.colleague():
        if any("mlartifacts" in path or "figures" in path for path in case.paths):
            plant.in_store(scene, plant.unshipped(single.name))
        if any("/waves/" in path for path in case.paths):
            plant.taken_over(scene.root / "studies/mini/waves")
        for path, target in zip(paths, targets, strict=True):
            plant.link(path, target)
    said = scene.difair(*(tuple(begun.name if word == "BEGUN" else word for word in verb) for verb in case.verbs))
    scene.assert_spared(said)
    for one in case.named:
        assert scene.named(scene.path(one).name, said), (one, said)
