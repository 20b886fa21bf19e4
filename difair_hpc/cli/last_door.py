"""The last door: an exception that nobody has foreseen, in one message with what around the process it comes from."""

import os
from collections.abc import Mapping


def last_word(error: BaseException, environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Return what is said of an unforeseen exception, and the exit code: 2 where something around us is at fault."""
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
