"""The sbatch script of a job, as submitit renders it from a profile."""

import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from difair_hpc.errors import InvalidValue
from difair_hpc.sweep.profile import Profile

THREADS = 4
"""CPUs of a run where the profile leaves them open."""


NOWHERE = Path("/")
"""Nobody can put a file there. A node that cannot enter the folder of the submission would begin in /tmp, and an empty
part of PYTHONPATH means the working folder."""
_LOGS = Path("/@logs@")
"""Stands for the folder of logs while submitit renders the script: it puts numbers for a %j in the folder's name too.
"""


def sbatch_text(
    profile: Profile,
    words: Sequence[str],
    *,
    name: str,
    logs: Path,
    tasks: int | None = None,
    memory_factor: float = 1.0,
    exclude: Collection[str] = (),
    folder: Path = NOWHERE,
    setup: Sequence[str] = (),
    teardown: Sequence[str] = (),
) -> str:
    """Return the script of a job that executes a command.

    Args:
        profile: What the job asks for.
        words: The command.
        name: Of the job.
        logs: Folder of its logs.
        tasks: Of an array; None: no array.
        memory_factor: Times the profile's memory.
        exclude: Nodes that are left out.
        folder: Where the command runs, if the node can enter it.
        setup: Lines of shell before the command, after those of the profile.
        teardown: Lines of shell after it, with its exit code in $code.
    """
    from submitit.slurm.slurm import _make_sbatch_string

    options: dict[str, Any] = {"requeue": True}
    go = "cd /" if folder == NOWHERE else f"cd {shlex.quote(str(folder))} || cd /"
    if profile.gpus is not None:
        options["gpus"] = profile.gpus
    asked: dict[str, Any] = {
        "job_name": name,
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "gres": profile.gres,
        "constraint": profile.constraint,
        "exclude": ",".join(sorted(exclude)) or None,
        "time": profile.minutes,
        "mem": None if profile.mem_gb is None else f"{round(profile.mem_gb * memory_factor * 1024)}M",
        "cpus_per_task": profile.threads or THREADS,
        "ntasks_per_node": profile.runs_per_gpu if profile.runs_per_gpu > 1 else None,
        "signal_delay_s": profile.notice_seconds,
        "srun_args": ["--export=ALL"],  # what the lines of setup have set reaches the run, whatever the site enforces
        "array_parallelism": tasks,
        "map_count": tasks,
        "setup": [*profile.setup, *setup, go, "code=0"],
        "teardown": [*teardown, "exit $code"],
        "additional_parameters": {**options, **profile.sbatch},
    }
    for key, value in {**asked, **profile.sbatch}.items():
        if key not in ("setup", "teardown") and not str(value).isprintable():
            raise InvalidValue(f"cluster.{key}", ascii(value), "text without line breaks and other control characters")
    command = f"{shlex.join(words)} || code=$?"  # a profile's set -e does not end the script here
    text: str = _make_sbatch_string(command=command, folder=_LOGS, **asked)
    return re.sub(rf"{_LOGS}/(\S+)", lambda name: shlex.quote(f"{_literal(logs)}/{name[1]}"), text)


def only_own(path: Path) -> str:
    """Return the line of shell that ends a job whose file is not this user's alone: somebody may have changed it."""
    name = shlex.quote(str(path))
    kept = f'[ -O {name} ] && [ -z "$(find {name} -prune -perm /022)" ]'
    return f"{kept} || {{ echo {name}' is not yours any more; nothing was executed' >&2; exit 1; }}"


def _literal(folder: Path) -> str:
    """Return a folder for SLURM's names of logs, in which %j and the like stand for numbers."""
    return str(folder).replace("%", "%%")
