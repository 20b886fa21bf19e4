"""Run folders made for the tests, and what can be compared of them."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.osr.spec import DifairSpec, MethodSpec
from difair_hpc.runs.folder import RunFolder, run_folder
from difair_hpc.runs.spec import ExecutionSpec, RunSpec
from difair_hpc.train import checkpoint
from difair_hpc.train.spec import ProtocolSpec

STEPS = 3
"""Steps per epoch on the tiny data."""


def spec(method: MethodSpec | None = None, *, seed: int = 0, **changes: Any) -> RunSpec:
    """Return a run of three epochs on digits; `changes` are fields of the protocol."""
    values = {"epochs": 3, "cycles": 1, "warmup_epochs": 0.0, "batch_size": 16, "schedule_unit": "batch"}
    protocol = ProtocolSpec(**{**values, "flip": False, "crop_padding": 1, **changes})
    return RunSpec(
        benchmark=BenchmarkSpec(name="digits", image_size=8),
        method=method or DifairSpec(),
        protocol=protocol,
        seed=seed,
    )


def created(root: Path, run: RunSpec | None = None) -> RunFolder:
    """Return the folder of a run that waits to be executed."""
    run = run or spec()
    place = run_folder(root, run.signature)
    place.create(run)
    return place


def execution(**changes: Any) -> ExecutionSpec:
    """Return one thread, and a checkpoint every epoch."""
    return ExecutionSpec(**{"device": "cpu", "threads": 1, "checkpoint_epochs": 1, **changes})


def stop_after(batches: int) -> Callable[[], bool]:
    """Return a request to stop once so many batches were trained."""
    left = batches

    def asked() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    return asked


def outcome(folder: RunFolder) -> dict[str, Any]:
    """Return what two executions of one run must share to the bit: weights, evaluation and recorded metrics."""
    result = folder.result()
    assert result is not None
    metrics = {epoch: point["metrics"] for epoch, point in folder.points().items()}
    return {"weights": result["weights_sha256"], "evaluation": result["evaluation"], "metrics": metrics}


def spooled_epochs(folder: RunFolder) -> list[int]:
    """Return the epoch of each line of the spool that is one."""
    lines = (folder.path / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["epoch"] for line in lines if line.endswith("}")]


def saves(folder: RunFolder) -> list[str]:
    """Return epoch and step of the checkpoints, the newest first."""
    return [path.stem[len("checkpoint-0001-") :] for path in checkpoint.newest_first(folder.path)]


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return file to moment of change and content, of the folder and all below."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def put_attempt(folder: Path, number: int, **changes: Any) -> None:
    """Write the record of an attempt on another machine, just begun; `changes` are its fields."""
    record = {"number": number, "host": "elsewhere", "machine": "another boot", "pid": 4711, "pid_started": "1"}
    (folder / "attempts").mkdir(exist_ok=True)
    record |= {"started": time.time(), **changes}
    (folder / "attempts" / f"{number:04d}.json").write_text(json.dumps(record))


def put_beat(folder: Path, number: int, content: Mapping[str, Any]) -> None:
    """Write the heartbeat of an attempt."""
    (folder / "attempts" / f"{number:04d}.beat.json").write_text(json.dumps(content))


HOLDER = """
import sys
from pathlib import Path
from difair_hpc.runs.attempts import Attempt

with Attempt(Path(sys.argv[1]), {}) as attempt:
    attempt.at(epoch=4, step=2, steps=7)
    print(attempt.number, flush=True)
    sys.stdin.read()
"""


class Holder:
    """A real second process that holds an attempt at a run until it is killed."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.number = int(self.process.stdout.readline())

    def __enter__(self) -> "Holder":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()

    def kill(self) -> None:
        """End it by SIGKILL and do not collect it: it stays in the process table as a zombie."""
        self.process.kill()

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"process {self.process.pid} on {socket.gethostname()} (attempt {self.number})"
