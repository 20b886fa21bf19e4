"""The spool of a run, `metrics.jsonl`: one line per epoch, appended once a checkpoint covers it.

The first line of an epoch counts; torn and foreign lines are passed over. So an epoch that is trained again, because
the newest checkpoint was damaged, keeps the moment at which it was first recorded, and MLflow sees one point.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from difair_hpc.files import append_line

NAME = "metrics.jsonl"


def append(folder: Path, points: Iterable[Mapping[str, Any]], *, attempt: int) -> None:
    """Append points, mappings of epoch, time (seconds since 1970) and metrics, in one write."""
    lines = [json.dumps({"attempt": attempt, **point}) for point in points]
    if lines:
        append_line(folder / NAME, "\n".join(lines))


def read(folder: Path) -> dict[int, dict[str, Any]]:
    """Return epoch to point, in the order of the epochs; empty where nothing was recorded yet."""
    try:
        text = (folder / NAME).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    points: dict[int, dict[str, Any]] = {}
    for line in text.splitlines():
        point = _parsed(line)
        if point is not None:
            points.setdefault(point["epoch"], point)
    return dict(sorted(points.items()))


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        point = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(point, dict) and isinstance(point.get("epoch"), int) and isinstance(point.get("metrics"), dict)
    if not whole or not _is_time(point.get("time")):
        return None
    metrics = {name: value for name, value in point["metrics"].items() if isinstance(value, int | float)}
    return {"epoch": point["epoch"], "time": float(point["time"]), "metrics": metrics}


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
