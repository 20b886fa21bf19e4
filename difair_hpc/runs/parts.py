"""The parts of one MLflow run, each shipped by itself: one that fails keeps no other back.

The failure of one part is not the outage of the store. So after a failure the store is asked for the run: does it
answer, the part alone is at fault. What was refused for good is put on record and left out; the rest is tried again by
the next pass, and counts as refused when it has failed MOST_TRIES times although the store was there.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from difair_hpc.errors import DifairError
from difair_hpc.files import read_bytes
from difair_hpc.runs.answers import NO_ANSWER, answer_of, in_words, phrase
from difair_hpc.runs.artifacts import log_file
from difair_hpc.runs.refused import Key, Refusals, digest_of
from difair_hpc.runs.suspects import diagnosis

if TYPE_CHECKING:
    from difair_hpc.runs.store import Store

MOST_TRIES = 3
_AGAIN = {401, 403, 404, 407, 408, 421, 425, 429}
"""Numbers from 400 to 499 that say nothing against what was sent."""
_OWN_TROUBLE = (OSError, DifairError, MemoryError)
"""What may be otherwise in a moment: a full disk, too little memory."""


class Target(NamedTuple):
    """The MLflow run that something is shipped to."""

    store: "Store"
    key: Key
    """What it stands for."""
    run_id: str


class Parts:
    """Ships parts of MLflow runs, and remembers which of them have failed."""

    def __init__(self, refusals: Refusals) -> None:
        """Keep the record of what was refused."""
        self.problems: dict[tuple[Key, str], str] = {}
        """What is missing in MLflow, and why, in one sentence each."""
        self._refusals = refusals
        self._tries: Counter[tuple[Key, str]] = Counter()

    def ship(self, target: "Target", item: str, content: str, act: Callable[[], object]) -> bool:
        """Do what ships a part; return whether that is settled: it is there, or was refused for good.

        Args:
            target: Where to.
            item: Name of the part.
            content: Digest of what is sent.
            act: Ships it.

        Raises:
            MlflowException, RequestException: The store is out of order, or the run is gone from it.
        """
        key = target.key
        if (refused := self._refusals.standing(key, item, content)) is not None:
            self.problems[key, item] = str(refused)
            return True
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this part alone
            if status_of(error) is not None:
                target.store.require_active(target.run_id, error)
            return self._failed(key, item, content, error)
        self.problems.pop((key, item), None)
        self._tries.pop((key, item), None)
        self._refusals.drop(key, item)
        return True

    def ship_file(self, target: Target, path: Path, folder: str | None = None) -> bool:
        """Ship a file to a folder of the MLflow run (None: its topmost), as `ship` does."""
        content = _content(path)

        def act() -> None:
            log_file(target.store.client, target.run_id, path, folder, served=target.store.served)

        return self.ship(target, f"{folder}/{path.name}" if folder else path.name, content, act)

    def _failed(self, key: Key, item: str, content: str, error: Exception) -> bool:
        self._tries[key, item] += 1
        reason, status = reason_of(error), status_of(error)
        own_mistake = status is None and not isinstance(error, _OWN_TROUBLE)
        definitive = own_mistake or (status is not None and 400 <= status < 500 and status not in _AGAIN)
        if not definitive and self._tries[key, item] < MOST_TRIES:
            self.problems[key, item] = f"{item} of {_whose(key)} is not in MLflow yet: {reason}; it is tried again"
            return False
        try:
            self.problems[key, item] = str(self._refusals.add(key, item, content, reason))
        except DifairError as full:
            self.problems[key, item] = f"{item} of {_whose(key)} is not in MLflow: {reason} ({full})"
        return True


def _content(path: Path) -> str:
    """Return the digest of a file, or nothing where it cannot be read: shipping it says why."""
    try:
        return digest_of(read_bytes(path))
    except OSError:
        return ""


def status_of(error: Exception) -> int | None:
    """Return the number of the answer that an exception stands for; None: it does not come from the store."""
    answer = answer_of(error)
    return None if answer is None else answer.status


def reason_of(error: Exception) -> str:
    """Return in one line why something could not be shipped."""
    answer = answer_of(error)
    if answer is None:
        first = f"{type(error).__name__}: {error}".splitlines()[0]
        return "; ".join([first, *diagnosis(error).certain])
    said = in_words(answer.text)
    if answer.status == NO_ANSWER:
        return said
    known = f"{answer.status} {phrase(answer.status)}"
    return known if said in known else f"{known}: {said}"


def _whose(key: Key) -> str:
    return f"run {key[2]}" if key[2] else f"the {key[0]}"
