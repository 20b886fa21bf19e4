"""The services as a SLURM job: submitted once, found by its name, sent back to the queue when its time is up."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from difair_hpc.errors import ClusterUnreachable, UserError
from difair_hpc.files import write_atomically

HERE = Path(__file__).parent


def name(folder: Path) -> str:
    """Return the name of the job, which SLURM starts only one of at a time."""
    return "difair-services-" + hashlib.sha256(str(folder).encode()).hexdigest()[:8]


def found(folder: Path) -> str:
    """Return the job of the services and its state as SLURM tells them, such as "12 RUNNING on node-3", or nothing."""
    if not (folder / "job").exists():
        return ""
    lines = _answer(["squeue", "--noheader", "--me", f"--name={name(folder)}", "--format=%i %T on %N"]).splitlines()
    return lines[0].strip().removesuffix(" on") if lines else ""


def submit(folder: Path, words: Sequence[str], options: Sequence[str]) -> str:
    """Submit the job and return its number.

    Args:
        folder: Of the services; the job's log goes there.
        words: Options of `run`.
        options: Options of sbatch, as the user gave them.
    """
    if "MLFLOW_AUTH_ADMIN_PASSWORD" in os.environ:
        raise UserError(
            "MLFLOW_AUTH_ADMIN_PASSWORD would go to SLURM with the job; unset it, the folder has a password."
        )
    own = [f"--job-name={name(folder)}", f"--output={folder}/job.log"]
    command = [sys.executable, str(HERE / "control.py"), "run", *words]
    number = _answer(["sbatch", "--parsable", *own, *options, str(HERE / "service.sbatch"), *command]).strip()
    write_atomically(folder / "job", number)
    return number


def cancel(number: str) -> None:
    """End the job: while it runs its own process is asked to, which leaves nothing half done."""
    _answer(["scancel", "--batch", "--signal=TERM", number])
    _answer(["scancel", "--state=PENDING", number])


def requeue() -> None:
    """Send the job around this process back to the queue."""
    _answer(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]])


def _answer(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UserError(
            f"{command[0]} is not here: a job needs SLURM's commands; start runs on this machine."
        ) from error
    if done.returncode:
        raise ClusterUnreachable(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout
