"""The last step of a job's script: ask for another turn where the time was up, else let the study go on.

It runs in the batch script, not in the training process, so that a run that was killed still leads to a tick. Its words
are STUDY_FOLDER WAVE EXIT_CODE.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from difair_hpc.errors import DifairError, Failure
from difair_hpc.files import read_owned, write_atomically
from difair_hpc.folders import remove
from difair_hpc.launch import python
from difair_hpc.nofollow import root_at
from difair_hpc.runs.attempts import falls_silent, newest
from difair_hpc.runs.place import AGAIN
from difair_hpc.runs.stop import stop_on_signal
from difair_hpc.sweep.commands import run_command
from difair_hpc.sweep.lease import Wishes

REFUSED = "ticks.json"
"""Where in the study's folder it stands that its jobs could not tick it, and why."""


def main() -> int:
    """Requeue this job or tick the study; what does not succeed is on record for `difair status`."""
    study, wave, code = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    root_at(study.parents[1])
    text, owner = read_owned(wave)
    if owner != os.geteuid():
        sys.stderr.write(f"difair: {wave} is not yours any more; nothing was done\n")
        return 1
    content = json.loads(text)
    if code == AGAIN:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
        try:
            run_command(["scontrol", "requeue", job])
        except Failure as error:
            sys.stderr.write(f"not requeued ({error}); a tick submits what is left\n")
        else:
            return 0
    if content["again"]:
        with stop_on_signal():  # the tick stops, and that goes on record
            try:
                _tick(study, content)
            except (DifairError, OSError) as error:  # a full disk: nothing can be put on record
                sys.stderr.write(f"difair: no tick: {error}\n")
    return 0


def _tick(study: Path, content: dict[str, object]) -> None:
    Wishes(study).wish()
    driver = newest(study)
    if driver is not None and driver.alive and not falls_silent(study):
        return  # it sees the wish
    command = [*python(), "-m", "difair_hpc", *content["again"]]  # type: ignore[misc]
    done = subprocess.run(
        command,
        cwd=str(content["folder"]),
        env={**os.environ, "DIFAIR_LEAVING": "1"},
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    sys.stderr.write(done.stderr)
    complaint = _complaint(done.returncode, done.stderr.splitlines())
    if complaint:
        words = {"node": os.environ.get("SLURMD_NODENAME", ""), "message": complaint}
        write_atomically(study / REFUSED, json.dumps(words))
    else:
        remove(study / REFUSED)


def _complaint(code: int, lines: list[str]) -> str:
    """Return what kept a tick from its end; nothing: it came there, whatever it found."""
    said = next((line.removeprefix("difair: ") for line in lines if line.startswith("difair: ")), "")
    if said or code == 0 or (code == 1 and "Traceback (most recent call last):" not in lines):
        return said
    last = lines[-1] if lines else "it said nothing"
    return f"its last step was stopped or broke off (exit code {code}): {last}"


if __name__ == "__main__":
    sys.exit(main())
