"""What commands share of the screen: one console, and sizes of time."""

import sys
import time
from contextlib import suppress
from typing import IO, Any, TextIO, cast

from rich.console import Console
from rich.text import Text

from difair_hpc.cli.last_door import drop
from difair_hpc.words import visible


def console(*, lasting: bool = False) -> Console:
    """Return a console for standard output; wide and without colour where it is no terminal.

    What is printed is shown as it is: [brackets] and :colons: of a path or an error are no markup.

    Args:
        lasting: Go on when standard output cannot be written any more; else that ends the command, as with `| head`.
    """
    plain: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
    if lasting:
        plain["file"] = cast("IO[str]", Lasting(sys.stdout))
    found = _Screen(**plain, soft_wrap=False)
    if not found.is_terminal:
        return _Screen(**plain, width=max(found.width, 160), no_color=True)
    return found


class _Screen(Console):
    """A console that shows the control characters in what it is given: names, errors and logs are others' words."""

    def render_str(self, text: str, **how: Any) -> Text:
        """Return what stands for a text in a line, a table or a title."""
        return super().render_str(visible(text), **how)

    def out(self, *objects: Any, **how: Any) -> None:
        """Print texts without folding them."""
        super().out(*(visible(str(one)) for one in objects), **how)


class Lasting:
    """A stream whose reader may go while the work goes on: a closed terminal or pipe, a log on a full disk."""

    def __init__(self, stream: TextIO) -> None:
        """Write to the stream for as long as that is possible."""
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        """Answer as the stream does, whether it is a terminal for example."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the text, or leave it unwritten."""
        try:
            return self._stream.write(text)
        except OSError as error:
            return self._lost(error)

    def flush(self) -> None:
        """Pass on what was written."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lost(error)

    def _lost(self, error: OSError) -> int:
        drop(self._stream)
        complain(f"standard output cannot be written any more ({error.strerror}); the work goes on without it")
        return 0


def complain(text: str) -> None:
    """Say on standard error what went wrong beside the work; where nobody can read it, nobody is told."""
    with suppress(OSError):
        sys.stderr.write(visible(f"warning: {text}\n"))
        sys.stderr.flush()


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
