"""What commands share of the screen: one console, and sizes of time."""

import time

from rich.console import Console


def console() -> Console:
    """Return a console for standard output; wide and without colour where it is no terminal."""
    found = Console(highlight=False, soft_wrap=False)
    if not found.is_terminal:
        return Console(highlight=False, width=max(found.width, 160), no_color=True)
    return found


def duration(seconds: float | None) -> str:
    """Return seconds as 5s, 3m20s or 2h05m; a dash where it is unknown."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def ago(moment: float | None) -> str:
    """Return how long ago a moment was."""
    return "–" if moment is None else f"{duration(max(0.0, time.time() - moment))} ago"
