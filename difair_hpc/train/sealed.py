"""The digest at the end of a checkpoint file: a magic word, then the SHA-256 of all that stands before it. No torch."""

import hashlib
from pathlib import Path

from difair_hpc.files import read_bytes, read_end

_MAGIC = b"difair-sha256\0\0\0"
_FOOTER = len(_MAGIC) + hashlib.sha256().digest_size


def footer(body: bytes | memoryview) -> bytes:
    """Return what follows the content of a file."""
    return _MAGIC + hashlib.sha256(body).digest()


def body(path: Path) -> bytes:
    """Return the content of a file without its footer.

    Raises:
        ValueError: its digest does not hold.
        OSError: it cannot be read.
    """
    content = read_bytes(path)
    own, given = content[:-_FOOTER], content[-_FOOTER:]
    if given != footer(own):
        raise ValueError(f"its content ({len(content)} bytes) does not match its digest")
    return own


def is_sound(path: Path) -> bool:
    """Whether a file is whole."""
    try:
        return read_end(path, _FOOTER).startswith(_MAGIC) and bool(body(path))
    except (OSError, ValueError):
        return False
