"""Runs made up for the tests of the engine: their folders hold what real ones hold, in milliseconds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from difair_hpc.files import write_once
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.spec import RunSpec


def accuracy_of(spec: RunSpec) -> float:
    """A landscape whose best point is alpha 6, radius coefficient 0.4."""
    method = spec.to_dict()["method"]
    off = abs(method.get("radius_coefficient", 0.4) - 0.4)
    return float(round(0.95 - abs(method.get("alpha", 0) - 6) / 100 - off, 6))


def finish(root: Path, signature: str, *, diverged: bool = False, **changes: Any) -> None:
    """Write the result that a run would have; a second one is refused as in the product."""
    folder = run_folder(root, signature)
    spec = folder.spec()
    attempt = Attempt(folder.path, {})
    evaluation = {
        "closed_set_accuracy": accuracy_of(spec),
        "occupancy": 0.8 if "difair" in spec.method.name else None,
        "auroc": {"distance": 0.75, "mos": 0.7},
        "held_out": "test",
    }
    content: dict[str, Any] = {
        "schema": 1,
        "signature": signature,
        "outcome": "diverged" if diverged else "completed",
        "spec": spec.to_dict(),
        "evaluation": None if diverged else evaluation,
        "epochs": spec.protocol.epochs,
        "attempts": attempt.number,
        "seconds": 1.5,
        "finished": 1.7e9,
        "hardware": {"device": "cpu"},
        "versions": {"commit": "none"},
        "warnings": [],
        **changes,
    }
    written = write_once(folder.path / "result.json", json.dumps(content))
    assert written, f"run {signature} was executed twice to its end"
    attempt.end("finished")


def fail(root: Path, signature: str, message: str = "ValueError: made up", trace: str = "") -> None:
    """Let an attempt at the run fail."""
    Attempt(run_folder(root, signature).path, {}).end("failed", message=message, trace=trace)


def die(root: Path, signature: str) -> None:
    """Let an attempt at the run disappear: its record names a process that is gone."""
    path = run_folder(root, signature).path
    number = Attempt(path, {}).number
    record = path / "attempts" / f"{number:04d}.json"
    content: Mapping[str, Any] = json.loads(record.read_text("utf-8"))
    record.write_text(json.dumps({**content, "pid_started": "another process"}), "utf-8")


def results(root: Path) -> dict[str, int]:
    """Return signature to the moment at which its result was written, in nanoseconds."""
    return {path.parent.name: path.stat().st_mtime_ns for path in (root / "runs").glob("*/result.json")}
