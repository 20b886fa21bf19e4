"""The last door: an exception that nobody has foreseen, in one message with what around the process it comes from."""

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

GONE = "the current folder is gone; go to another one, and repeat the command there"


def last_word(error: BaseException, environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Return what is said of an unforeseen exception, and the exit code: 2 where something around us is at fault."""
    if said := _of_files(error):
        return said
    first, _, more = str(error).strip().partition("\n")
    what = f"{type(error).__name__}: {first}{' …' if more else ''}" if first else type(error).__name__
    try:
        from difair_hpc.runs.suspects import diagnosis

        found = diagnosis(error, environment)
    except (ImportError, MemoryError, OSError):  # what is behind the exception is behind this one as well
        return f"{what} (--debug shows where)", 1
    if found.certain:
        return f"{found} ({what}; --debug shows where)", 2
    hint = f"; {found}" if found.possible else ""
    return f"internal error: {what}{hint} (--debug shows where)", 1


def _of_files(error: BaseException) -> tuple[str, int] | None:
    """Return what is said where a file, the working folder or standard output is the reason; None: none of them is."""
    if not isinstance(error, OSError):
        return None
    if isinstance(error, PermissionError) and error.filename:
        return f"{error.filename}: {error.strerror}; check who owns it (--debug shows where)", 1
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename:
        return f"what is printed cannot be written ({error.strerror})", 1
    return (GONE, 2) if folder_is_gone() else None


def write_out() -> None:
    """Write what standard output holds back.

    Raises:
        OSError: it cannot be written; then that is dropped, or Python would complain once more at its end.
    """
    if sys.stdout is not None:  # it was closed before the start
        try:
            sys.stdout.flush()
        except OSError:
            drop(sys.stdout)
            raise


def drop(stream: TextIO) -> None:
    """Let all that follows, and what the stream holds back, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def folder_is_gone() -> bool:
    """Whether somebody has removed the current folder; torch ends its process where it is imported in one."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False
