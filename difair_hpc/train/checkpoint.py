"""Checkpoints that cannot be half written and cannot be believed when damaged.

A file is the bytes of `torch.save`, then a magic word and the SHA-256 of those bytes. Its name carries the attempt and
the position, `checkpoint-<attempt>-<epoch>-<step>.pt`: the newest is that of the highest attempt, so that a process
that was given up and comes back writes nothing that counts. Read with `weights_only=True`: no code runs.

A training saves without stopping: it copies its state between two steps (`copied`), and a `Writer` does the rest.
"""

import io
import os
import pickle
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from difair_hpc.errors import Failure
from difair_hpc.files import write_atomically
from difair_hpc.folders import names_in, remove
from difair_hpc.train.sealed import body, footer, is_sound

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


class Writer:
    """A thread that finishes saves in the order in which they are begun; it ends with the block, and nothing is left.

    One save at a time: the next waits, so that what is on the disk does not depend on how fast the disk is.
    """

    def __init__(self) -> None:
        """Have nothing to do; the thread comes with the first save."""
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._save: Future[None] | None = None

    def __enter__(self) -> Self:
        """Begin the block."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Wait for the save under way; if it fails, that is how the block ends, or a note on how it ended."""
        self._pool.shutdown()
        failure = None if self._save is None else self._save.exception()
        if failure is None or failure is error:
            return
        if error is None:
            raise failure
        error.add_note(f"The last checkpoint failed as well: {type(failure).__name__}: {failure}")

    def begin(self, save: Callable[[], None]) -> None:
        """Have `save` called in the thread, once the one before is done; raise what that failed with."""
        self.wait()
        self._save = self._pool.submit(save)

    def wait(self) -> None:
        """Wait until the save under way is done, and raise what it failed with."""
        if self._save is not None:
            self._save.result()

    def check(self) -> None:
        """Raise what a save has failed with, without waiting for one that is under way."""
        if self._save is not None and self._save.done():
            self._save.result()


def copied(payload: Mapping[str, Any], device: torch.device) -> Callable[[], dict[str, Any]]:
    """Copy the tensors in nested dicts and lists to the CPU, as they are now; later steps do not change the copy.

    Args:
        payload: Tensors and plain values.
        device: Where the tensors are. Of CUDA nobody waits here: the copies to pinned memory have their place between
            two steps of its stream.

    Returns:
        What gives the copy, once it is complete; to be called in any thread.
    """
    copy: dict[str, Any] = _copied(dict(payload))
    if device.type != "cuda":
        return lambda: copy
    ready = torch.Event(device)
    ready.record(torch.cuda.current_stream(device))

    def complete() -> dict[str, Any]:
        ready.synchronize()
        return copy

    return complete


def save(
    folder: Path,
    payload: Mapping[str, Any],
    *,
    attempt: int,
    epoch: int,
    step: int,
    check: Callable[[], object] = lambda: None,
) -> Path:
    """Write one checkpoint, then delete those before the two newest sound ones, and what was left half written.

    Args:
        folder: The run folder.
        payload: Tensors and plain values only.
        attempt: Number of the attempt that writes.
        epoch: Finished epochs.
        step: Finished steps of the current epoch.
        check: Called right before the file counts; if it raises, there is no new file.

    Raises:
        DiskFull: no space is left; the older checkpoints are untouched.
    """
    buffer = io.BytesIO()
    torch.save(dict(payload), buffer)
    content = buffer.getbuffer()
    path = folder / f"checkpoint-{attempt:04d}-{epoch:06d}-{step:06d}.pt"
    write_atomically(path, content, footer(content), check=check)
    keep(folder, KEPT, sound=path)
    return path


def keep(folder: Path, count: int, *, sound: Path | None = None) -> None:
    """Delete the checkpoints before the newest `count` whose digests hold, and what a killed attempt left half written.

    A damaged one does not count: it would be no help to whoever finds the next one damaged as well.

    Args:
        folder: The run folder.
        count: How many sound ones stay.
        sound: One that need not be looked at.
    """
    found = 0
    for path in newest_first(folder):
        if found == count:
            remove(path)
        elif path == sound or is_sound(path):
            found += 1
    for name in names_in(folder):
        if name.startswith(".checkpoint-") and name.endswith(".tmp"):
            remove(folder / name)


def load_newest(folder: Path) -> Loaded | None:
    """Return the newest checkpoint whose digest holds, or None if the folder has none.

    Raises:
        Failure: one is whole, but cannot be loaded here: to pass it over would throw away what it holds.
    """
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
    named = [(match, folder / name) for name in names_in(folder) if (match := _NAME.fullmatch(name))]
    return [path for _, path in sorted(named, key=lambda item: [int(part) for part in item[0].groups()], reverse=True)]


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True, non_blocking=True)
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value


def _read(path: Path) -> dict[str, Any]:
    content = body(path)
    try:
        payload = unpacked(io.BytesIO(content))
    except (RuntimeError, MemoryError) as error:
        raise Failure(
            f"{path} is whole, but torch cannot load it here ({type(error).__name__}: {error}). Nothing was changed; "
            "repeat the command with what it lacks, such as memory, or move the file away to go on from the one before."
        ) from error
    if not isinstance(payload, dict):
        raise ValueError("it holds no mapping")
    return payload


def unpacked(source: io.BytesIO) -> Any:
    """Return what torch has saved, on the CPU; no code in it is executed, whatever variables say."""
    # It asks for the opposite, and beside TORCH_FORCE_WEIGHTS_ONLY_LOAD torch refuses to load anything.
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    return torch.load(source, map_location="cpu", weights_only=True)
