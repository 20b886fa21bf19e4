"""How tests wait: for a state, polled, with a deadline that only what hangs comes to."""

import time
from collections.abc import Callable

HANG_SECONDS = 400.0
"""A test that passes may run on a machine that does much besides; so long waits only one that fails."""


def eventually(condition: Callable[[], object], *, poll_seconds: float = 0.02) -> bool:
    """Wait until a condition holds; return whether it ever did."""
    end = time.monotonic() + HANG_SECONDS
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(poll_seconds)
    return bool(condition())


def wait_for(
    what: str, condition: Callable[[], object], *, seen: Callable[[], object], poll_seconds: float = 0.3
) -> None:
    """Wait until a condition holds; fail with what was seen last when it never does."""
    assert eventually(condition, poll_seconds=poll_seconds), f"it hangs: {what}; seen last: {seen()}"
