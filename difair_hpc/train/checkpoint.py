"""Checkpoints that cannot be half written and cannot be believed when damaged.

A file is the bytes of `torch.save`, then a magic word and the SHA-256 of those bytes. Its name carries the attempt and
the position, `checkpoint-<attempt>-<epoch>-<step>.pt`: the newest is that of the highest attempt, so that a process
that was given up and comes back writes nothing that counts. Read with `weights_only=True`: no code runs.
"""

import hashlib
import io
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from difair_hpc.files import write_atomically

_MAGIC = b"difair-sha256\0\0\0"
_FOOTER = len(_MAGIC) + hashlib.sha256().digest_size
_NAME = re.compile(r"checkpoint-(\d{4,})-(\d{6,})-(\d{6,})\.pt")
KEPT = 2
"""Newest checkpoints that stay on disk: the last one and the one to fall back to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What was read from the newest valid checkpoint, and what had to be passed over on the way."""

    payload: dict[str, Any]
    """As it was given to `save`, tensors on the CPU."""
    path: Path
    """The file that it came from."""
    skipped: tuple[str, ...]
    """One sentence for each newer file that was damaged."""


def save(folder: Path, payload: Mapping[str, Any], *, attempt: int, epoch: int, step: int) -> Path:
    """Write one checkpoint, then delete all but the two newest, and what a killed attempt left half written.

    Args:
        folder: The run folder.
        payload: Tensors and plain values only.
        attempt: Number of the attempt that writes.
        epoch: Finished epochs.
        step: Finished steps of the current epoch.

    Raises:
        DiskFull: no space is left; the older checkpoints are untouched.
    """
    buffer = io.BytesIO()
    torch.save(dict(payload), buffer)
    body = buffer.getvalue()
    path = folder / f"checkpoint-{attempt:04d}-{epoch:06d}-{step:06d}.pt"
    write_atomically(path, body + _MAGIC + hashlib.sha256(body).digest())
    for old in [*newest_first(folder)[KEPT:], *folder.glob(".checkpoint-*.tmp")]:
        old.unlink(missing_ok=True)
    return path


def load_newest(folder: Path) -> Loaded | None:
    """Return the newest checkpoint whose digest holds, or None if the folder has none."""
    skipped: list[str] = []
    for path in newest_first(folder):
        try:
            payload = _read(path)
        except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            skipped.append(f"{path.name} was passed over: {error}")
            continue
        return Loaded(payload=payload, path=path, skipped=tuple(skipped))
    return None


def newest_first(folder: Path) -> list[Path]:
    """Return the checkpoint files of a run folder by attempt, epoch and step, the newest first."""
    named = [(match, path) for path in folder.glob("checkpoint-*.pt") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(named, key=lambda item: [int(part) for part in item[0].groups()], reverse=True)]


def _read(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    body, footer = content[:-_FOOTER], content[-_FOOTER:]
    if footer != _MAGIC + hashlib.sha256(body).digest():
        raise ValueError(f"its {len(content)} bytes do not match its digest")
    payload = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    if not isinstance(payload, dict):
        raise ValueError("it holds no mapping")
    return payload
