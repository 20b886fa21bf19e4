"""The one door to SLURM's commands: run one, and tell the user's mistake from a site that does not answer now.

A command that only reads can fail for one reason that waiting does not mend: a mistake of the user. So all that is not
known to be one is asked again later, whatever its words and in whatever language. sbatch can be refused for more
reasons; what it says of its connection is no refusal, and a job may have come of it all the same.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence

from difair_hpc.errors import ClusterUnreachable, Failure, JobRefused, LimitReached

Command = Callable[[Sequence[str]], str]
"""Runs a command, given as words, and returns what it printed."""

_LIMIT = re.compile(r"SubmitJob|MaxSubmit|submit limit|Job violates accounting/QOS policy")
_LATER = re.compile(
    r"unable to (contact|connect|resolve)|could not (connect|resolve|establish)|timed out|connection (refused|reset|cl)"
    r"|connect failure|temporar|slurm_persist_conn|standby|zero bytes|unexpected message|munge|authenticat|credential"
    r"|socket (error|closed)|send/recv|communicat|i/o error|endpoint is not|no route to|network is|unreachable"
    r"|not responding|host name lookup|name or service|try again|too many open files|cannot allocate memory",
    re.IGNORECASE,
)
"""What commands say of controllers that change or do not answer, of munge, and of the network."""
_REFUSAL = re.compile(
    r"invalid|not available|permission denied|not permitted|than permitted|(unrecognized|unknown|ambiguous) option",
    re.IGNORECASE,
)
_MISTAKE = re.compile(
    r"(unrecognized|unknown|invalid) option|requires an argument|permission denied|not permitted"
    r"|invalid (user|account|partition|qos|cluster|entity|field|job format)",
    re.IGNORECASE,
)
"""Mistakes of the user in a command that only reads."""
_TIMEOUT_SECONDS = 60.0
_SHOWN = 200
"""Most characters that are shown of what is no answer."""
_FIRST_PAUSE_SECONDS = 5.0


def run_command(words: Sequence[str]) -> str:
    """Run a SLURM command and return what it printed; bytes that are no UTF-8 become a sign each.

    Raises:
        Failure: it failed; its message is passed on.
        LimitReached, ClusterUnreachable: it may succeed later.
        JobRefused: it never will, or is not on this machine.
    """
    reads = _only_reads(words)
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=_TIMEOUT_SECONDS,
            env=_environment(reads=reads),
            process_group=0,  # Ctrl-C is for this process, which finishes what it has begun
        )
    except FileNotFoundError as error:
        message = f"{words[0]} is not on this machine: submit from a login node, or use cluster=local."
        raise JobRefused(message) from error
    except PermissionError as error:
        raise JobRefused(f"{words[0]} may not be executed by you ({error.strerror}).") from error
    except OSError as error:
        raise ClusterUnreachable(f"{words[0]} could not be started: {error.strerror}.") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterUnreachable(f"{words[0]} did not answer within {error.timeout:.0f} s.") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip() or error.stdout.strip()[-_SHOWN:] or _exit(error.returncode)
        raise _kind(reason, reads=reads, killed=error.returncode < 0)(f"{words[0]} failed: {reason}") from error
    return done.stdout


def submitted(answer: str) -> str:
    """Return the number of the job in what `sbatch --parsable` printed, whatever a site's wrapper prints beside it.

    Raises:
        ClusterUnreachable: there is none, so nobody knows whether a job came of it.
    """
    numbers = re.findall(r"^(?:Submitted batch job )?(\d+)(?:;[\w.-]*)?\s*$", answer, re.MULTILINE)
    if not numbers:
        said = " / ".join(answer.split("\n")).strip() or "nothing"
        raise ClusterUnreachable(f"sbatch printed no number of a job, but: {said[:_SHOWN]}")
    return str(numbers[-1])


class Pauses:
    """Keeps whoever was not answered from asking again at once: for 5 s, then for twice as long each time."""

    def __init__(self, *, longest: float) -> None:
        """Start without a pause; none is longer than `longest`, seconds."""
        self._longest = longest
        self._failures = 0
        self._until = 0.0
        self._error = ""

    def check(self) -> None:
        """Return where it may be asked.

        Raises:
            ClusterUnreachable: it was asked a moment ago; the message is that of then.
        """
        if time.monotonic() < self._until:
            raise ClusterUnreachable(self._error)

    def failed(self, error: Failure) -> None:
        """Begin a pause after what was said."""
        pause = _FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 10)  # an outage may last for days
        self._failures += 1
        self._until, self._error = time.monotonic() + min(pause, self._longest), str(error)

    def answered(self) -> None:
        """Forget what failed before."""
        self._failures = 0


def _only_reads(words: Sequence[str]) -> bool:
    first, second = [*words[:2], ""][:2]
    return first in ("squeue", "sinfo", "sacct", "sacctmgr") or (first == "scontrol" and second in ("show", "ping"))


def _kind(reason: str, *, reads: bool, killed: bool) -> type[Failure]:
    """Return what a command's complaint means."""
    if not reads and _LIMIT.search(reason):
        return LimitReached
    if killed or _LATER.search(reason):
        return ClusterUnreachable
    if reads:
        return JobRefused if _MISTAKE.search(reason) else ClusterUnreachable
    return JobRefused if _REFUSAL.search(reason) else Failure


def _exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code} ended it"


def _environment(*, reads: bool) -> dict[str, str]:
    """Leave out what a job around this command would pass on, and what changes the answer of a command that reads."""
    kept = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")
    foreign = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SINFO_", "DIFAIR_LEAVING")
    found = {name: value for name, value in os.environ.items() if name in kept or not name.startswith(foreign)}
    return {**found, "LC_ALL": "C"} if reads else found
