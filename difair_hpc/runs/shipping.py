"""Shipping beside the work: a thread that brings MLflow up to date, at which nothing waits and of which nothing raises.

A store that does not answer is asked less and less often, up to every five minutes, and said to be out once per outage.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from difair_hpc.errors import DifairError
from difair_hpc.files import read_json
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.shown import placed
from difair_hpc.runs.tracking import Tracker

_EVERY_SECONDS = 5.0
_RAREST_SECONDS = 300.0
DRAIN_SECONDS = 5.0
"""Time for which a job waits at its end until what it did last is shipped: a tick can do it as well."""


class Shipping:
    """Calls what ships, and keeps to itself that it failed, but for one line."""

    def __init__(self, tell: Callable[[str], object], *, patience: float | None = None) -> None:
        """Keep what says a line to the user, and how long the end may wait, seconds; None: until the store gives up."""
        self.out = False
        """Whether the last attempt failed."""
        self._tell = tell
        self._patience = patience

    def attempt(self, ship: Callable[[], object]) -> None:
        """Call what ships; the first failure of an outage is told, whatever it is."""
        try:
            ship()
            self.out = False
        except Exception as error:  # noqa: BLE001 - it would end the thread, and with it the shipping of the study
            if not self.out:
                self._tell(_in_words(error))
            self.out = True

    @contextmanager
    def beside(self, ship: Callable[[], object]) -> Iterator[None]:
        """Ship from a thread until the block ends, and once more then; in an outage, only if the end may wait.

        Ctrl-C in the block waits for nothing: difair sync makes up for it.
        """
        done = threading.Event()

        def work() -> None:
            pause = _EVERY_SECONDS
            while not (last := done.wait(pause)) or not self.out or self._patience is None:
                self.attempt(ship)
                pause = min(2 * pause, _RAREST_SECONDS) if self.out else _EVERY_SECONDS
                if last:
                    return

        thread = threading.Thread(target=work, name="shipping", daemon=True)
        thread.start()
        patience = self._patience
        try:
            yield
        except KeyboardInterrupt:
            patience = 0.0
            raise
        finally:
            done.set()
            thread.join(patience)


def _in_words(error: Exception) -> str:
    if isinstance(error, DifairError):
        return str(error)
    later = "training goes on and nothing is lost: it is tried again, and difair sync ships it later"
    return f"MLflow could not be brought up to date ({type(error).__name__}: {error}); {later}."


def of_job(
    study: Path, uri: str, begun: Sequence[RunFolder], tell: Callable[[str], object] = lambda _: None
) -> Callable[[], None]:
    """Return what ships the runs of a job: points, metrics and status; the files of a done one are left to a tick.

    Args:
        study: The study's folder, whose study.json says under which names MLflow shows a run.
        uri: Of MLflow's server.
        begun: The runs that the job has begun, which grow in number.
        tell: Told what the server refuses.
    """
    root = study.parents[1]
    tracker = Tracker(uri, root=root, study=study.name, live_only=True, tell=tell)
    places: dict[str, list[tuple[str, str]]] = {}

    def ship() -> None:
        if any(folder.signature not in places for folder in begun):
            places.update(placed(read_json(study / "study.json")))
        for folder in [*begun]:
            for stage, label in places.get(folder.signature, ()):
                tracker.ship(folder, stage=stage, label=label)
        if any(folder.state().status == "running" for folder in begun):
            tracker.settle(live=True)

    return ship
