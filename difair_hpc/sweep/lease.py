"""One reconciler at a time: the lease on a study, and how a tick that comes too early for it is not lost.

A job that ends says that it wants a tick, and then tries to take the lease. If another holds it, that one sees the
wish, after its own tick or after it has let go, and looks again: nobody has to wait.
"""

from collections.abc import Callable
from pathlib import Path

from difair_hpc.errors import RunBusy
from difair_hpc.files import write_once
from difair_hpc.folders import exists, names_in, remove
from difair_hpc.runs.attempts import Attempt, newest

_KEPT = 5
"""Newest claims that stay on record; cron makes one a minute."""


class Wishes:
    """The wish for another tick, a file in the study's folder."""

    def __init__(self, study: Path) -> None:
        """Look in the folder of a study."""
        self._path = study / "tick.wanted"

    def wish(self) -> None:
        """Ask for a tick that begins after this moment."""
        write_once(self._path, "")

    def take(self) -> bool:
        """Take the wish away before a tick begins; return whether there was one."""
        return remove(self._path)

    def stands(self) -> bool:
        """Whether somebody asked since the last `take`."""
        return exists(self._path)


def lease(study: Path, *, attended: bool = False) -> Attempt:
    """Claim a study; hold it as a context manager, so that it beats. `attended`: for as long as the study takes.

    Raises:
        RunBusy: a live process drives it.
    """
    claim = Attempt(study, {"attended": attended}, what="study")
    for name in names_in(study / "attempts"):
        number = name.partition(".")[0]
        if number.isdecimal() and int(number) <= claim.number - _KEPT:
            remove(study / "attempts" / name)
    return claim


def is_attended(study: Path) -> bool:
    """Whether the newest claim was made for as long as the study takes, so that there is no use in waiting."""
    last = newest(study)
    return last is not None and bool(last.record.get("attended"))


def tick_in_turn(study: Path, tick: Callable[[Attempt], None]) -> bool:
    """Tick a study until no wish is left, unless another process drives it and will see ours.

    Args:
        study: The study's folder.
        tick: One whole pass under the lease.

    Returns:
        Whether this process ticked.
    """
    wishes, ticked = Wishes(study), False
    wishes.wish()
    while wishes.stands():
        try:
            held = lease(study)
        except RunBusy:
            return ticked
        with held:
            while wishes.take():
                tick(held)
                ticked = True
            held.end("finished")
    return ticked
