"""One short job with a profile's options in which `difair doctor` looks at its compute node from inside."""

import json
import re
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from difair_hpc.errors import ClusterUnreachable, Failure
from difair_hpc.files import read_text, write_atomically
from difair_hpc.folders import names_in, own_place, remove_folder, usable_folder
from difair_hpc.launch import python
from difair_hpc.sweep.checks import Check
from difair_hpc.sweep.commands import Command, submitted
from difair_hpc.sweep.jobs import ENDED
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.sbatch import sbatch_text

MINUTES = 5
"""Time limit: the first import of torch from a network file system alone may take more than one."""

POLL_SECONDS = 3.0
SIGHT_SECONDS = 20.0
"""Time after which a file that was written on a node shows here: NFS remembers for a while that it was not there."""

_ANSWER = re.compile(r"^\[\n \{.*?^\]$", re.DOTALL | re.MULTILINE)


def ask_node(root: Path, profile: Profile, words: Sequence[str], command: Command) -> list[Check]:
    """Submit the job, wait for its end and return its checks; its files are removed, and on Ctrl-C it is cancelled.

    Since its log comes back, the node sees what is made in the root here, and what it writes is seen. What is waited
    for is said on standard error.

    Args:
        root: Output root; the files of the job are below `doctor/` there for as long as it takes.
        profile: What the job asks for, but for its time limit.
        words: Of the command `difair doctor`.
        command: Runs a SLURM command and returns what it printed.

    Raises:
        Failure: sbatch refused, or the job ended without an answer.
        RootUnusable, DiskFull: the folder cannot be written.
    """
    folder = usable_folder(own_place(root) / "doctor" / uuid.uuid4().hex, key="root")
    asked = replace(profile, minutes=min(profile.minutes, MINUTES), notice_seconds=1)
    program = [*python(), "-m", "difair_hpc", "doctor", "--inside", "-f", "json", *words]
    name, job = f"difair-doctor-{folder.name}", ""
    try:
        script = write_atomically(
            folder / "job.sbatch", sbatch_text(asked, program, name=name, logs=folder, folder=Path.cwd()), own=True
        )
        job = submitted(command(["sbatch", "--parsable", str(script)]))
        state = _await_end(job, name, command)
        until = time.monotonic() + SIGHT_SECONDS
        while (answer := _ANSWER.search(_log(folder, "out"))) is None:
            if time.monotonic() > until:
                lines = _log(folder, "err").strip().splitlines()[-3:] or ["no log: does the node see the output root?"]
                raise Failure(f"job {job} ended ({state or 'unknown how'}) without an answer; {' / '.join(lines)}")
            time.sleep(1.0)
        return [Check(**check) for check in json.loads(answer[0])]
    except KeyboardInterrupt:
        if job:
            command(["scancel", job])
        raise
    finally:
        remove_folder(folder)


def _await_end(job: str, name: str, command: Command) -> str:
    """Return the state in which the job ended; empty if the queue has forgotten it."""
    said = ""
    while True:
        try:
            text = command(["squeue", "--me", "-h", "-t", "all", "-n", name, "-o", "%T|%r|%N"]).strip()
        except ClusterUnreachable as error:
            text = f"{error}|trying again|"
        state, reason, node = (text or "||").rsplit("|", 2)
        if state in ENDED or not state:
            return state
        why = f" on {node}" if node else f" ({reason})" if reason != "None" else ""
        seen = f"job {job}: {state}{why}; Ctrl-C cancels it\n"
        if seen != said:
            sys.stderr.write(seen)
        said = seen
        time.sleep(POLL_SECONDS)


def _log(folder: Path, kind: str) -> str:
    return "".join(read_text(folder / name) for name in names_in(folder) if name.endswith(f"_log.{kind}"))
