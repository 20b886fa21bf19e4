"""The one door to SLURM's commands: run one, and tell a refusal from a site that is busy."""

import os
import subprocess
from collections.abc import Callable, Sequence

from difair_hpc.errors import ClusterUnreachable, Failure, JobRefused, LimitReached

Command = Callable[[Sequence[str]], str]
"""Runs a command, given as words, and returns what it printed."""

_KINDS: tuple[tuple[type[Failure], tuple[str, ...]], ...] = (
    (LimitReached, ("SubmitJob", "MaxSubmit", "submit limit", "Job violates accounting/QOS policy")),
    (ClusterUnreachable, ("Unable to contact", "imed out", "Connection refused", "temporarily", "slurm_persist_conn")),
    (JobRefused, ("nvalid", "not available", "ermission denied", "not permitted", "nrecognized option")),
)
"""What parts of a command's complaint mean; the first that fits counts."""


def run_command(words: Sequence[str]) -> str:
    """Run a SLURM command and return what it printed.

    Raises:
        Failure: it is not there, or failed; its message is passed on.
        LimitReached, ClusterUnreachable: it may succeed later.
        JobRefused: it never will.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60, env=_environment())
    except FileNotFoundError as error:
        message = f"{words[0]} is not on this machine: submit from a login node, or use cluster=local."
        raise Failure(message) from error
    except subprocess.TimeoutExpired as error:
        raise ClusterUnreachable(f"{words[0]} did not answer within {error.timeout:.0f} s.") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip() or f"exit code {error.returncode}"
        kind = next((kind for kind, parts in _KINDS if any(part in reason for part in parts)), Failure)
        raise kind(f"{words[0]} failed: {reason}") from error
    return done.stdout


def _environment() -> dict[str, str]:
    """Leave out what a job around this command would pass on to the jobs that it submits."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", "SBATCH_")) or name == "SLURM_CONF"
    }
