"""The spool of a run, `metrics.jsonl`: one line per epoch, appended once a checkpoint covers it.

The first line of an epoch counts; torn and foreign lines are passed over, and so is one that does not match its own
checksum (one flipped bit makes another number of a digit). So an epoch that is trained again, because the newest
checkpoint was damaged, keeps the moment at which it was first recorded, and MLflow sees one point.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from difair_hpc.files import append_line, parse_json, read_text

NAME = "metrics.jsonl"


def append(folder: Path, points: Iterable[Mapping[str, Any]], *, attempt: int) -> None:
    """Append points, mappings of epoch, time (seconds since 1970) and metrics, in one write."""
    lines = [_checked({"attempt": attempt, **point}) for point in points]
    if lines:
        append_line(folder / NAME, "\n".join(lines))


def read(folder: Path) -> dict[int, dict[str, Any]]:
    """Return epoch to point, in the order of the epochs; empty where nothing was recorded yet."""
    return {
        epoch: {"epoch": epoch, "time": float(point["time"]), "metrics": _numbers(point["metrics"])}
        for epoch, point in _first(folder).items()
    }


def writers(folder: Path) -> dict[int, int]:
    """Return epoch to the number of the attempt whose line counts."""
    return {epoch: point.get("attempt", 0) for epoch, point in _first(folder).items()}


def damaged_lines(folder: Path) -> int:
    """Return how many lines are passed over because they are torn, or do not match their checksum."""
    return sum(_parsed(line) is None for line in read_text(folder / NAME).splitlines() if line)


def _first(folder: Path) -> dict[int, dict[str, Any]]:
    points: dict[int, dict[str, Any]] = {}
    for line in read_text(folder / NAME).splitlines():
        point = _parsed(line)
        if point is not None:
            points.setdefault(point["epoch"], point)
    return dict(sorted(points.items()))


def _checked(point: Mapping[str, Any]) -> str:
    """Return the line of a point, with a checksum of its text without one."""
    return json.dumps({**point, "crc32": zlib.crc32(json.dumps(point).encode())})


def _parsed(line: str) -> dict[str, Any] | None:
    point: dict[str, Any] | None = parse_json(line, {"attempt?": int, "epoch": int, "time": float, "metrics": dict})
    if point is None:
        return None
    known = point.pop("crc32", None)  # absent from lines of earlier versions
    if known is not None and known != zlib.crc32(json.dumps(point).encode()):
        return None
    return point


def _numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}
