"""The last step of a job's script: ask for another turn where the time was up, else let the study go on.

It runs in the batch script, not in the training process, so that a run that was killed still leads to a tick. Its words
are STUDY_FOLDER WAVE EXIT_CODE.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from difair_hpc.files import write_atomically
from difair_hpc.launch import python
from difair_hpc.runs.attempts import falls_silent, newest
from difair_hpc.runs.place import AGAIN
from difair_hpc.sweep.lease import Wishes

REFUSED = "ticks.json"
"""Where in the study's folder it stands that its jobs could not tick it, and why."""


def main() -> int:
    """Requeue this job or tick the study; what does not succeed is on record for `difair status`."""
    study, wave, code = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    content = json.loads(wave.read_text("utf-8"))
    if code == AGAIN:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
        asked = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return 0
        sys.stderr.write(f"not requeued ({asked.stderr.strip()}); a tick submits what is left\n")
    if content["again"]:
        _tick(study, content)
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
        text=True,
        check=False,
    )
    sys.stderr.write(done.stderr)
    complaint = next((line for line in done.stderr.splitlines() if line.startswith("difair: ")), "")
    if complaint:
        words = {"node": os.environ.get("SLURMD_NODENAME", ""), "message": complaint.removeprefix("difair: ")}
        write_atomically(study / REFUSED, json.dumps(words))
    else:
        (study / REFUSED).unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
