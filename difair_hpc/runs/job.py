"""What a job executes: runs one after another, in a process of its own.

SLURM's jobs come in by `python -m difair_hpc.runs.job ROOT WAVE`: the wave's file lists the runs of each array task.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from difair_hpc.errors import DifairError, RunBusy
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.spec import ExecutionSpec, build
from difair_hpc.runs.stop import stop_on_signal


def run_job(root: str, signatures: Sequence[str], execution: Mapping[str, Any]) -> str:
    """Execute runs until the last one or a stop; their folders say how they left.

    Args:
        root: Output root.
        signatures: Created runs. One that another process works on, or has finished, is passed over.
        execution: Fields of `ExecutionSpec`, as plain values.

    Returns:
        The name of the signal that stopped the job, or nothing.
    """
    spec = build(ExecutionSpec, execution, key="execution")
    with stop_on_signal() as flag:
        for signature in signatures:
            if flag:
                break
            try:
                execute(run_folder(Path(root), signature), spec, Events(should_stop=flag.__bool__))
            except RunBusy:
                continue
            except DifairError as error:
                sys.stderr.write(f"{error}\n")
    return flag.reason


def main() -> None:
    """Execute the runs of this task of a wave; before the time limit, ask SLURM for another turn."""
    root, wave = sys.argv[1:]
    content = json.loads(Path(wave).read_text("utf-8"))
    task = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    stopped = run_job(root, content["jobs"][task], content["execution"])
    if not stopped and content["again"] is not None:
        command = [sys.executable, "-m", "difair_hpc", *content["again"]]
        subprocess.run(command, cwd=content["folder"], env={**os.environ, "DIFAIR_LEAVING": "1"}, check=False)
    if stopped == "SIGUSR2":
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{task}"
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stderr.write(f"not requeued ({done.stderr.strip()}); the next tick submits what is left\n")


if __name__ == "__main__":
    main()
