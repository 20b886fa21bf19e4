"""One process at a time, where several would do harm."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from difair_hpc.disk import locked
from difair_hpc.files import read_text, write_atomically, write_once
from difair_hpc.folders import entry, remove

_LOOK_SECONDS = 0.2
_LONGEST_USE_SECONDS = 300.0


@contextmanager
def one_at_a_time(path: Path | None) -> Iterator[None]:
    """Let one process into the block: several that make one SQLite store at once destroy it.

    It holds a lock of the operating system or, where there is none, a file that only one process can create.
    """
    if path is None:
        yield
        return
    with locked(path) as held:
        if held:
            yield
            return
        claim, own = path.with_suffix(".claim"), uuid.uuid4().hex
        while not write_once(claim, own):
            if _is_left_over(claim):
                write_atomically(claim, own)  # whoever made it has been killed
                break
            time.sleep(_LOOK_SECONDS)
        try:
            yield
        finally:
            if read_text(claim) == own:
                remove(claim)


def _is_left_over(claim: Path) -> bool:
    """Whether a claim is older than any use of it."""
    kept = entry(claim)
    return kept is not None and time.time() - kept.st_mtime > _LONGEST_USE_SECONDS
