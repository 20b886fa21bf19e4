"""What our jobs execute in place of training: claim the run, sleep for the time of its trial, write the result.

Called as `python -m difair_hpc.runs.job` is, with ROOT and WAVE; torch is not imported.
"""

import json
import os
import sys
import time
from pathlib import Path

from difair_hpc.errors import RunBusy
from difair_hpc.files import write_atomically, write_once
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.ledger import ledger


def main() -> None:
    """Execute the runs of this task of a wave."""
    root, wave = map(Path, sys.argv[1:])
    task = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    numbers = _numbers(root, study=wave.parents[1].name)
    for signature in json.loads(wave.read_text("utf-8"))["jobs"][task]:
        _sleep(root, signature, numbers[signature])


def _numbers(root: Path, *, study: str) -> dict[str, int]:
    """Return signature to number of trial."""
    book = ledger(root, study)
    return {trial.signature: trial.number for path in book.path.glob("*.jsonl") for trial in book.trials(path.stem)}


def _sleep(root: Path, signature: str, number: int) -> None:
    folder = run_folder(root, signature)
    if folder.result() is not None:
        return
    try:
        attempt = Attempt(folder.path, {})
    except RunBusy:
        return
    with attempt:
        started = time.time()
        time.sleep(json.loads((root / "durations.json").read_text())[number])
        ended = time.time()
        spec = folder.spec().to_dict()
        result = {
            "schema": 1,
            "signature": signature,
            "outcome": "completed",
            "spec": spec,
            "evaluation": {"closed_set_accuracy": 1.0 - abs(spec["method"]["alpha"] - 6.0) / 20.0, "occupancy": None},
            "epochs": spec["protocol"]["epochs"],
            "attempts": attempt.number,
            "seconds": ended - started,
            "finished": ended,
        }
        write_once(folder.path / "result.json", json.dumps(result))
        attempt.end("finished")
    slot = f"{os.environ['SLURMD_NODENAME']} {os.environ['CUDA_VISIBLE_DEVICES']}"
    torch = "torch" in sys.modules
    content = {"number": number, "started": started, "ended": ended, "slot": slot, "torch": torch}
    write_atomically(root / "trials" / f"{number}.json", json.dumps(content))


if __name__ == "__main__":
    main()
