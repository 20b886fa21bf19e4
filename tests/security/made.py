"""The shared root of a team, as its owner's own commands and jobs have filled it."""

import dataclasses
import json
import os
from pathlib import Path

from difair_hpc import config
from difair_hpc.cli import main
from difair_hpc.files import write_atomically
from difair_hpc.runs.attempts import Attempt, set_kind
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.marks import Mark, write_mark
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.spec import StudySpec
from tests import short
from tests.security.commands import Command
from tests.sweep.made import die, fail
from tests.sweep.studies import SEARCH, Bench

SWEEP = short.search(2, "[2, 6, 10]")
"""The owner's sweep file `mini`: three runs, of which one is done, one failed, and one was stopped."""
MINI = ("cluster=v100", "cluster.retries={failed: 5, died: 5}", "cluster.setup=[true]")
"""Words of his command."""
SITE = {
    "squeue": 'cat "$FAKE_SITE/squeue" 2>/dev/null; true',
    "sacct": "true",
    "sacctmgr": "true",
    "sinfo": "true",
    "scancel": 'printf "scancel %s\\n" "$*" >>"$FAKE_SITE/commands"',
    "scontrol": 'printf "scontrol %s\\n" "$*" >>"$FAKE_SITE/commands"',
    # What a node would execute of a script, but for the runs and the last step, which are not there to be attacked.
    "sbatch": """for script; do :; done
cat "$script" >>"$FAKE_SITE/scripts"
grep -v launch.py "$script" | bash >>"$FAKE_SITE/printed" 2>&1
echo 4711""",
}  # fmt: skip
"""SLURM's commands, which answer and run what the lines of set-up in a script say."""


def put_site(folder: Path) -> None:
    """Make the commands of SLURM."""
    folder.mkdir()
    for name, body in SITE.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n", "utf-8")
        (folder / name).chmod(0o755)


def filling(root: Path, work: Path) -> Command:
    """Return the command by which the owner of a root fills it from his own folder."""
    return Command(code="tests.security.made:fill", words=(str(root), str(work)), limit=600.0)


def fill(words: list[str]) -> int:
    """Fill a root: a study of jobs, a search with a report, a run executed in earnest, one that is still to be done."""
    root, work = map(Path, words)
    os.umask(0o007)
    os.chdir(work)
    codes = [main(["sweep", "mini", "--detach", *MINI, f"root={root}"])]
    _runs_of_mini(root)
    bench = Bench(root)
    bench.how = lambda signature: _execute(root, signature)
    bench.drive(_seek())
    _single(root)
    codes += [main([*verb, f"root={root}"]) for verb in (("report", "seek"), ("sync",))]
    return max(codes)


def _runs_of_mini(root: Path) -> None:
    study = ledger(root, "mini")
    stages = (study.description() or {"stages": []})["stages"]
    done, failed, stopped = (trial["signature"] for trial in stages[0]["trials"])
    _execute(root, done)
    fail(root, failed, "ValueError: made up", 'File "/x/trainer.py", line 7, in fit')
    set_kind(run_folder(root, failed).path, 1, "failed", "it said so")
    place = {"place": {"job": "4711_2", "log": "4711_2_0_log", "node": "n1", "offset": 0}}
    with Attempt(run_folder(root, stopped).path, place) as attempt:
        attempt.at(epoch=1, step=2, steps=4)
        attempt.end("stopped", signal="SIGTERM")
    write_mark(run_folder(root, stopped).path, Mark(by="difair release", jobs=("4711_2",)))
    (root / "jobs").mkdir(exist_ok=True)
    said = "slurmstepd: CANCELLED AT now DUE TO PREEMPTION ***\n"
    write_atomically(root / "jobs/4711_2_0_log.err", said)
    write_atomically(root / "jobs/4711_2_0_log.out", "epoch 1\n")
    ends = {task: {"id": f"4711_{task}", "state": "COMPLETED", "node": "n1", "time": 1.7e9} for task in range(3)}
    write_atomically(study.path / "waves/0001.ends.json", json.dumps(ends))
    write_atomically(study.path / "nodes.json", '{"n7": {"until": 4e9, "why": "2 runs failed on it"}}')
    write_atomically(study.path / "ticks.json", '{"node": "n1", "message": "no module", "time": 1.7e9}')


def _execute(root: Path, signature: str) -> None:
    execute(run_folder(root, signature), ExecutionSpec(device="cpu", threads=1), Events())


def _seek() -> StudySpec:
    search = dataclasses.replace(SEARCH, base=short.short(1, method="difair"), trials=2)
    return StudySpec(name="seek", stages=(search,))


def _single(root: Path) -> None:
    run = config.build_run(short.short(1, method="difair"), {})
    run_folder(root, run.signature).create(run)
    _execute(root, run.signature)
    other = dataclasses.replace(run, seed=1)
    run_folder(root, other.signature).create(other)
    die(root, other.signature)
