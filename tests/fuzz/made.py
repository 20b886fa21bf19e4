"""An output root with everything that a root may hold, small enough to be copied for each case."""

import dataclasses
from pathlib import Path

from difair_hpc.cli.clusters import Request, keep_request
from difair_hpc.config import profile
from difair_hpc.files import write_atomically
from difair_hpc.runs import spool
from difair_hpc.runs.attempts import Attempt, set_kind
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.marks import Mark, write_mark
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.jobs import JobEnd
from difair_hpc.sweep.lease import lease
from difair_hpc.sweep.ledger import Trial, ledger
from difair_hpc.sweep.spec import StudySpec
from difair_hpc.sweep.waves import Waves
from tests.cli.made import TINY
from tests.sweep.made import die, fail, finish
from tests.sweep.studies import COARSE, SEARCH, Bench

STUDY = StudySpec(name="mini", stages=(dataclasses.replace(COARSE, base=TINY),))
"""Three runs: one done, one that failed, one that died."""
SEEK = StudySpec(name="seek", stages=(dataclasses.replace(SEARCH, trials=2),))
"""A search that is done."""


def make_root(root: Path) -> Path:
    """Fill a root: a study of three runs with jobs and logs, a search, and a single run executed in earnest."""
    bench = Bench(root, parallel=3)
    bench.reconciler(STUDY).tick()
    done, failed, died = signatures = [trial.signature for trial in _trials(root)]
    spool.append(run_folder(root, done).path, [_point(epoch) for epoch in (1, 2)], attempt=1)
    finish(root, done)
    fail(root, failed, "ValueError: made up", 'File "/x/trainer.py", line 7, in fit')
    set_kind(run_folder(root, failed).path, 1, "failed", "it said so")
    die(root, died)
    place = {"place": {"job": "4711_2", "log": "4711_2_0_log", "node": "n1", "offset": 0}}
    with Attempt(run_folder(root, died).path, place) as attempt:
        attempt.at(epoch=1, step=2, steps=7)
        attempt.end("stopped", signal="SIGTERM")
    write_mark(run_folder(root, died).path, Mark(hold="held", by="difair hold", jobs=("4711_2",)))
    write_atomically(
        _folder(root / "jobs") / "4711_2_0_log.err", "slurmstepd: CANCELLED AT now DUE TO PREEMPTION ***\n"
    )
    bench.reconciler(STUDY).tick(submit=False)
    _as_slurm_has_it(root, signatures)
    Bench(root).drive(SEEK)
    _executed(root)
    return root


def _as_slurm_has_it(root: Path, signatures: list[str]) -> None:
    study = ledger(root, "mini").path
    waves = Waves(study / "waves")
    wave = waves.add({"jobs": [[signature] for signature in signatures], "begun": [0, 0, 1]})
    waves.answer(wave, job="4711")
    waves.end(wave, {0: JobEnd(id="4711_0", state="COMPLETED", node="n1", time=1.7e9)})
    write_atomically(study / "nodes.json", '{"n7": {"until": 4e9, "why": "2 runs failed on it"}}')
    write_atomically(study / "ticks.json", '{"node": "n1", "message": "no module", "time": 1.7e9}')
    words = ("cluster=v100",)
    keep_request(root, "mini", Request(name="digits", words=words, folder="/", profile=profile("v100")))
    with lease(study) as held:
        held.end("finished")


def _executed(root: Path) -> None:
    from tests.runs.made import spec

    run = dataclasses.replace(spec(), protocol=dataclasses.replace(spec().protocol, epochs=1, batch_size=256))
    folder = run_folder(root, run.signature)
    folder.create(run)
    execute(folder, ExecutionSpec(device="cpu", threads=1), Events())


def _trials(root: Path) -> list[Trial]:
    (book,) = ledger(root, "mini").path.glob("coarse-*.jsonl")
    return ledger(root, "mini").trials(book.stem)


def _folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def _point(epoch: int) -> dict[str, object]:
    return {"epoch": epoch, "time": 1.7e9 + epoch, "metrics": {"train_loss": 1.0 / epoch, "lr": 0.1}}
