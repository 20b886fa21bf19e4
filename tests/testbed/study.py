"""A study on the testbed for tests: its files, its commands in processes of their own, and what can be compared."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna import get_all_study_summaries, load_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.ledger import ledger
from tests import short
from tests.testbed.cluster import CONF, Cluster
from tests.waiting import wait_for

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
    "report": False,
}
QUIET = ["tracking_uri=none", "cluster.threads=1", "cluster.precision=float32"]
"""How an undisturbed study is executed, in local processes, where two executions shall be equal to the bit."""
LASTING = {"pause_seconds": 0.6}
"""Of a training that something is to happen to: an epoch takes 2.4 s, nearly all of them waiting."""

Outcome = tuple[Any, ...]
_undisturbed: dict[str, Outcome] = {}
"""Signature -> outcome of the run without any fault: each is executed once for all tests of this process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """`difair` in a process of its own, and what it has printed."""

    process: "subprocess.Popen[bytes]"
    out: Path

    def text(self) -> str:
        return self.out.read_text("utf-8", errors="replace")

    def said(self, code: int = 0) -> str:
        """Wait for its end and return what it printed."""
        assert self.process.wait() == code, self.text()
        return self.text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def works(self) -> bool:
        return self.process.poll() is None


@dataclass(kw_only=True)
class Study:
    """The sweep `mini` in the folder of a test."""

    bed: Cluster
    commands: list["Command"] = field(default_factory=list)

    def write(self, sweep: str = "", **profile: object) -> None:
        """Write sweep and profile."""
        for name in ("sweeps", "slurm"):
            (self.bed.folder / name).mkdir(exist_ok=True)
        (self.bed.folder / "sweeps" / "mini.yaml").write_text(sweep or short.search(6))
        (self.bed.folder / "slurm" / "bed.yaml").write_text(json.dumps(PROFILE | profile))

    def start(self, *words: str, path: str = "") -> "Command":
        """Start `difair` with the words; `path`: a folder before all others on PATH."""
        environment = {**os.environ, "SLURM_CONF": CONF, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        environment |= {"XDG_CACHE_HOME": str(self.bed.folder / "cache"), "DIFAIR_TESTBED": str(Path(CONF).parents[1])}
        if path:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        out = self.bed.folder / f"said-{len(self.commands)}.txt"
        with out.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "difair_hpc", *words],
                cwd=self.bed.folder,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.commands.append(Command(process=process, out=out))
        return self.commands[-1]

    def said(self, *words: str, code: int = 0) -> str:
        """Run `difair` to its end and return what it printed."""
        return self.start(*words).said(code)

    def close(self) -> None:
        """End what still runs, and let no job be left."""
        for command in self.commands:
            command.kill()
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

    def alive(self, root: str) -> list[Path]:
        """Return the records of attempts that have begun and not ended, newest run first."""
        records = sorted((self.bed.folder / root).glob("runs/*/attempts/????.json"), reverse=True)
        return [path for path in records if not path.with_suffix(".end.json").exists()]

    def kill_training(self, root: str) -> Path:
        """Kill the process of a live attempt, and return its record; on the testbed all nodes are this machine."""
        record = self.alive(root)[0]
        os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
        return record

    def fill_gpus(self) -> None:
        """Submit urgent jobs for all GPUs, which run until `bed.open_gate`."""
        for _ in range(8):
            self.bed.submit_gated("--gres=gpu:1", "--partition=urgent")

    def running(self) -> dict[str, str]:
        """Return the study's running jobs by id, and their nodes."""
        lines = self.bed.ask("squeue", "-h", "-r", "-t", "running", "-o", "%j|%i|%N").splitlines()
        split = [line.split("|") for line in lines]
        return {job: node for name, job, node in split if name.startswith("difair-mini-")}

    def kinds(self, root: str) -> Counter[str]:
        """Return how often attempts ended in each way."""
        paths = (self.bed.folder / root).glob("runs/*/attempts/*.kind.json")
        return Counter(json.loads(path.read_text())["kind"] for path in paths)

    def results(self, root: str) -> dict[str, Outcome]:
        """Return what two executions of a run must share to the bit, by signature."""
        paths = sorted((self.bed.folder / root).glob("runs/*/result.json"))
        return {path.parent.name: outcome(path.parent) for path in paths}

    def check_results(self, root: str, runs: int) -> None:
        """So many runs are done, each with the bits of one that nothing happened to."""
        found = self.results(root)
        assert len(found) == runs
        assert found == {signature: undisturbed(self.bed.folder / root / "runs" / signature) for signature in found}

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


def outcome(folder: Path) -> Outcome:
    """Return weights, evaluation and metrics by epoch of a finished run."""
    result = json.loads((folder / "result.json").read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    metrics = {line["epoch"]: json.dumps(line["metrics"]) for line in reversed(lines)}
    return result["weights_sha256"], result["evaluation"], metrics


def undisturbed(folder: Path) -> Outcome:
    """Return what the run of a folder comes to in this process, where nothing happens to it and nothing pauses."""
    if folder.name not in _undisturbed:
        with tempfile.TemporaryDirectory() as root:
            again = run_folder(Path(root), folder.name)
            again.create(run_folder(folder.parents[1], folder.name).spec())
            assert execute(again, ExecutionSpec(device="cpu", threads=1, precision="float32"), Events()) == "completed"
            _undisturbed[folder.name] = outcome(again.path)
    return _undisturbed[folder.name]


def study_on(folder: Path) -> Iterator[Study]:
    """Yield a study in the folder, and clean up after it."""
    study = Study(bed=Cluster(folder=folder, name=f"difair-test-{time.time_ns()}"))
    study.write()
    yield study
    study.close()


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
    """Return a folder for PATH whose sbatch submits and denies it, once."""
    place = folder / "bin"
    place.mkdir()
    (place / "sbatch").write_text(SBATCH.replace("{folder}", str(place)))
    (place / "sbatch").chmod(0o755)
    return str(place)
