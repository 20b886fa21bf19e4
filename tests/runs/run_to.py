"""Runs executed to a point, in this process."""

import functools
import tempfile
from pathlib import Path
from typing import Any

from difair_hpc.osr.spec import MethodSpec
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.run import Events, execute
from tests.runs.made import created, execution, outcome, spec, stop_after


def executed(root: Path, method: MethodSpec | None = None, **changes: Any) -> RunFolder:
    """Return a run that was executed without an interruption."""
    place = created(root, spec(method, **changes))
    assert execute(place, execution(), Events()) == "completed"
    return place


@functools.cache
def uninterrupted(method: MethodSpec | None = None) -> dict[str, Any]:
    """Return the outcome of a run without an interruption; each is trained once for all tests."""
    with tempfile.TemporaryDirectory() as root:
        return outcome(executed(Path(root), method))


def interrupted(root: Path, batches: int, method: MethodSpec | None = None) -> RunFolder:
    """Return a run that was stopped after some batches."""
    place = created(root, spec(method))
    assert execute(place, execution(), Events(should_stop=stop_after(batches))) == "stopped"
    return place


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def resulting(place: RunFolder) -> dict[str, Any]:
    result = place.result()
    assert result is not None
    return dict(result)
