"""Every error a user can meet, in one tree; the exit code says whose turn it is.

`UserError` (exit 2) is something to correct in the command, a file or the environment; `Failure` (exit 1) is
something that went wrong although all of that was right.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class DifairError(Exception):
    """Base of all errors that are shown to a user as one message without a traceback."""

    exit_code = 1


class UserError(DifairError):
    """The user can correct it: a command, a file, a setting or the environment."""

    exit_code = 2


class Failure(DifairError):
    """Something failed although the request was right (full disk, failed run, server down)."""


class UnknownKey(UserError):
    """A key that nobody reads: names it, the valid ones and the nearest."""

    def __init__(self, key: str, valid: Iterable[str], *, where: str = "") -> None:
        """Say which key is unknown in `where` and which keys are valid there."""
        choices = sorted(valid)
        parent, _, leaf = key.rpartition(".")
        near = get_close_matches(leaf, choices, n=1)
        guess = f" Did you mean {parent + '.' if parent else ''}{near[0]}?" if near else ""
        super().__init__(
            f"unknown key {key}{' in ' + where if where else ''}; valid here: {', '.join(choices)}.{guess}"
        )


class InvalidValue(UserError):
    """A value that is not allowed: names key, value, what is allowed and what to do."""

    def __init__(self, key: str, value: object, allowed: str, *, advice: str = "") -> None:
        """Say that `key` has `value` where only `allowed` (a phrase) is possible, and what to do instead."""
        super().__init__(f"{key}={value} is not possible: allowed is {allowed}.{' ' + advice if advice else ''}")


class DataMissing(UserError):
    """A data set is not where it is expected."""


class DataDamaged(UserError):
    """A data file is there but not what it should be."""


class RunBusy(UserError):
    """Another live process already works on this run."""


class NewerSchema(UserError):
    """A run folder or file was written by a newer version of this package."""


class RootUnusable(UserError):
    """The output root cannot be created or written."""


class DiskFull(Failure):
    """No space is left where the run folders are."""


class Unreadable(Failure):
    """A file or folder that this user cannot read, or that must not be read: a link, a pipe, one that is too large."""


class ClusterUnreachable(Failure):
    """SLURM does not answer, or takes no more jobs at the moment; later it may."""


class StorageUnreachable(Failure):
    """Optuna's storage cannot be used at the moment; runs go on without it."""


class LimitReached(ClusterUnreachable):
    """The site lets this user have no more jobs at the moment; none came of what was submitted."""


class JobRefused(Failure):
    """SLURM, or its command here, will never take such a job; none came of it."""


class RunFailed(Failure):
    """A run ended with an exception; its folder holds the traceback."""
