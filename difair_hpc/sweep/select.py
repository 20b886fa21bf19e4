"""Which runs a user means: by index, signature, job, or what is true of them. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from difair_hpc.errors import UnknownKey, UserError

_FIELDS = ("study", "stage", "state", "node", "job")
"""What can be asked of a run beside its parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """One run of a stage as `difair status` shows it."""

    index: int = 0
    """Position in the list, from 1."""
    study: str = ""
    stage: str = ""
    signature: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What differs from its neighbours."""
    state: str
    """done, diverged, pruned, running, queued, held, cancelled, given up, stopped, failed, dead, new or unreadable."""
    note: str = ""
    """Why it waits, or what failed, in words."""
    job: str = ""
    """SLURM's name of the job that executes or executed it."""
    node: str = ""
    epoch: int = 0
    epochs: int | None = None
    """Finished ones, and all; None: not known yet."""
    closed_set_accuracy: float | None = None
    occupancy: float | None = None
    attempts: int = 0
    heard: float | None = None
    """Last heartbeat, seconds since 1970."""
    seconds: float = 0.0
    """Time worked by all attempts."""
    seconds_left: float | None = None
    """Estimated from the epochs so far; None: nothing to estimate from."""
    next: str = ""
    """What happens next."""


def select(words: Sequence[str], rows: Sequence[RunRow], *, others: Collection[str] = ()) -> list[RunRow]:
    """Return the rows that the words mean, each run once.

    Args:
        words: `key=value` words, which all have to be true of a run (state=failed, alpha=10, stage=final), and names,
            of which one has to fit: an index, a signature's beginning, a job id with or without its task, a study.
        rows: The runs to choose from.
        others: Further keys that a command takes, to be named where a key is unknown.

    Raises:
        UnknownKey: no run has such a key; the ones they have are named.
        UserError: a word fits no run; it is named.
    """
    conditions = [word for word in words if "=" in word]
    names = [word for word in words if "=" not in word]
    chosen = list(rows)
    for word in conditions:
        _check_key(word.partition("=")[0], rows, others)
        chosen = [row for row in chosen if _is_true(word, row)]
        if not chosen:
            raise UserError(f"no run has {word}: difair status lists the runs and what differs.")
    if names:
        named = [row for name in names for row in _named(name, rows)]
        chosen = [row for row in chosen if row in named]
    return list({row.signature: row for row in chosen}.values())


def _named(name: str, rows: Sequence[RunRow]) -> list[RunRow]:
    """Return the rows of the first meaning of a name that fits any."""
    for fits in (
        [row for row in rows if row.study == name],
        [row for row in rows if str(row.index) == name],
        [row for row in rows if row.job and name in (row.job, row.job.partition("_")[0])],
        [row for row in rows if row.signature.startswith(name)],
    ):
        if fits:
            return fits
    raise UserError(
        f"{name} is no study, index, job or beginning of a signature of a run here: difair status lists the runs."
    )


def _check_key(key: str, rows: Sequence[RunRow], others: Collection[str]) -> None:
    known = {*_FIELDS, *others, *(name.rpartition(".")[2] for row in rows for name in row.parameters)}
    if key.rpartition(".")[2] not in known:
        raise UnknownKey(key, known)


def _is_true(word: str, row: RunRow) -> bool:
    key, _, wanted = word.partition("=")
    for name, value in {**row.parameters, **{name: getattr(row, name) for name in _FIELDS}}.items():
        if key in (name, name.rpartition(".")[2]):
            return _equal(value, wanted)
    return False


def _equal(value: Any, wanted: str) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value) == float(wanted)
        except ValueError:
            return False
    return str(value).lower() == wanted.lower()
