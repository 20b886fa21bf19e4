"""A study on the testbed for tests: its files, its commands in processes of their own, and what can be compared."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna import get_all_study_summaries, load_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from difair_hpc.sweep.ledger import ledger
from tests.testbed.cluster import CONF, Cluster, wait_for

SWEEP = """
study: mini
stages:
  coarse:
    search: grid
    base: {{benchmark: digits, method: difair, protocol: short, protocol.epochs: {epochs}}}
    space: {{method.alpha: {alphas}}}
  final:
    search: final
    chosen_in: coarse
    base: {{protocol: short, protocol.epochs: {epochs}}}
    benchmarks: [digits]
    methods: [cross_entropy, difair]
    splits: [0]
"""
PROFILE: dict[str, object] = {
    "executor": "slurm",
    "partition": "gpu",
    "gres": "gpu:1",
    "constraint": "v100|rtx6000",
    "threads": 1,
    "device": "cpu",
    "precision": "float32",
    "minutes": 10,
    "mem_gb": 4,
    "parallel": 4,
    "poll_seconds": 1,
    "checkpoint_epochs": 1,
}
QUIET = ["tracking_uri=none", "cluster.threads=1", "cluster.precision=float32"]
"""How the undisturbed study is executed, in local processes, where two executions shall be equal to the bit."""


@dataclass(kw_only=True)
class Study:
    """The sweep `mini` in the folder of a test."""

    bed: Cluster
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)

    def write(self, *, epochs: int = 12, alphas: str = "[2, 6]", **profile: object) -> None:
        """Write sweep and profile."""
        for name in ("sweeps", "slurm"):
            (self.bed.folder / name).mkdir(exist_ok=True)
        (self.bed.folder / "sweeps" / "mini.yaml").write_text(SWEEP.format(epochs=epochs, alphas=alphas))
        (self.bed.folder / "slurm" / "bed.yaml").write_text(json.dumps(PROFILE | profile))

    def start(self, *words: str, path: str = "") -> "subprocess.Popen[str]":
        """Start `difair` with the words; `path`: a folder before all others on PATH."""
        environment = {**os.environ, "SLURM_CONF": CONF, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        environment |= {"XDG_CACHE_HOME": str(self.bed.folder / "cache"), "DIFAIR_TESTBED": str(Path(CONF).parents[1])}
        if path:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        process = subprocess.Popen(
            [sys.executable, "-m", "difair_hpc", *words],
            cwd=self.bed.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def said(self, *words: str, code: int = 0) -> str:
        """Run `difair` to its end and return what it printed."""
        process = self.start(*words)
        out, _ = process.communicate()
        assert process.returncode == code, out
        return out

    def close(self) -> None:
        """End what still runs, and let no job be left."""
        for process in self.processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self.bed.ask("scancel", "--user=root", check=False)
        wait_for("no job left", lambda: not self.bed.ask("squeue", "-h"), seen=self.bed.describe)
        self.bed.restore()

    def wait(self, what: str, condition: Callable[[], object]) -> None:
        wait_for(what, lambda: bool(condition()), seen=self.describe)

    def describe(self) -> str:
        logs = [path.read_text()[-500:] for path in sorted(self.bed.folder.glob("*/jobs/*.err"))]
        return self.bed.ask("squeue", "-r", "--states=all", "-o", "%i %j %T %r %N", check=False) + "\n".join(logs)

    def epochs(self, root: str) -> dict[str, int]:
        """Return signature to epochs as last heard."""
        beats = sorted((self.bed.folder / root).glob("runs/*/attempts/*.beat.json"))
        return {path.parents[1].name: json.loads(path.read_text()).get("epoch", 0) for path in beats}

    def at_work(self, root: str) -> int:
        """Return how many attempts have begun and not ended."""
        begun = list((self.bed.folder / root).glob("runs/*/attempts/????.beat.json"))
        return sum(not path.with_name(path.name.replace(".beat.", ".end.")).exists() for path in begun)

    def running(self) -> dict[str, str]:
        """Return the study's running jobs by id, and their nodes."""
        lines = self.bed.ask("squeue", "-h", "-r", "-t", "running", "-o", "%j|%i|%N").splitlines()
        split = [line.split("|") for line in lines]
        return {job: node for name, job, node in split if name.startswith("difair-mini-")}

    def kinds(self, root: str) -> Counter[str]:
        """Return how often attempts ended in each way."""
        paths = (self.bed.folder / root).glob("runs/*/attempts/*.kind.json")
        return Counter(json.loads(path.read_text())["kind"] for path in paths)

    def results(self, root: str) -> dict[str, tuple[Any, ...]]:
        """Return what two executions of a run must share to the bit, by signature."""
        found = {}
        for path in sorted((self.bed.folder / root).glob("runs/*/result.json")):
            result = json.loads(path.read_text())
            lines = [json.loads(line) for line in (path.parent / "metrics.jsonl").read_text().splitlines()]
            metrics = {line["epoch"]: json.dumps(line["metrics"]) for line in reversed(lines)}
            found[result["signature"]] = (result["weights_sha256"], result["evaluation"], metrics)
        return found

    def check_projections(self, root: str, epochs: int) -> None:
        """Every trial stands once in Optuna, every epoch of every run once in MLflow."""
        folder = self.bed.folder / root
        journal = str(folder / "studies" / "mini" / "optuna.journal")
        storage = JournalStorage(JournalFileBackend(journal))
        (study,) = get_all_study_summaries(storage)
        trials = load_study(study_name=study.study_name, storage=storage).trials
        recorded = ledger(folder, "mini").trials(study.study_name.partition("/")[2])
        assert [trial.params for trial in trials] == [trial.parameters for trial in recorded]
        assert {trial.state.name for trial in trials} == {"COMPLETE"}
        with sqlite3.connect(folder / "mlflow.db") as store:
            rows = store.execute(
                "select t.value, m.step, count(*) from metrics m join tags t on t.run_uuid = m.run_uuid"
                " where t.key = 'difair.signature' and m.key = 'train_loss' group by 1, 2, m.run_uuid"
            ).fetchall()
        expected = {(signature, epoch): 1 for signature in self.results(root) for epoch in range(1, epochs + 1)}
        assert {(signature, step): count for signature, step, count in rows} == expected


def study_on(folder: Path) -> Iterator[Study]:
    """Yield a study in the folder, and clean up after it."""
    study = Study(bed=Cluster(folder=folder, name=f"difair-test-{time.time_ns()}"))
    study.write()
    yield study
    study.close()
