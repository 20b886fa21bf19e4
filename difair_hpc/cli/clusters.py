"""From a profile to a cluster and its limits; and what a study remembers of how it was asked for."""

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from difair_hpc import config
from difair_hpc.errors import UserError
from difair_hpc.files import parse_json, read_owned, write_atomically
from difair_hpc.runs.cpus import usable_cpus, usable_threads
from difair_hpc.runs.gpus import gpus_here
from difair_hpc.runs.spec import build
from difair_hpc.sweep.commands import run_command
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.nodes import NodeRule
from difair_hpc.sweep.plan import Limits
from difair_hpc.sweep.profile import Profile
from difair_hpc.user import name_of

if TYPE_CHECKING:
    from difair_hpc.sweep.cluster import Cluster
    from difair_hpc.sweep.slurm import SlurmCluster

_SLURM_PARALLEL = 32


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """The command that last asked for a study."""

    name: str
    """Of the sweep file."""
    words: tuple[str, ...]
    """Its key=value words."""
    folder: str
    """Where it was given."""
    profile: Profile
    owner: int = dataclasses.field(default_factory=os.geteuid, compare=False)
    """Number of the user who asked: of the file, not of what stands in it."""

    @property
    def asker(self) -> str:
        """Name of the other user who asked; nothing if it was this one, or root.

        The lines of set-up in a request, and the sweep files beside it, are executed by whoever repeats it.
        """
        return "" if self.owner in (0, os.geteuid()) else name_of(self.owner)


def keep_request(root: Path, study: str, request: Request) -> None:
    """Remember the request in the study's folder."""
    words = {key: value for key, value in dataclasses.asdict(request).items() if key != "owner"}
    content = json.dumps({"study": study, **words}, indent=1)
    write_atomically(ledger(root, study).path / "request.json", content, own=True)


def asked_by_another(root: Path, study: str) -> str:
    """Return the name of the other user who asked for a study; nothing if it was this one, or nobody knows."""
    request = request_of(root, study)
    return "" if request is None else request.asker


def request_of(root: Path, study: str) -> Request | None:
    """Return the request that `keep_request` kept, or None where there is none that this version understands."""
    form = {
        "study?": re.compile(re.escape(study)),
        "name": str,
        "words": [str],
        "folder": str,
        "profile": {"name": str},
    }
    text, owner = read_owned(ledger(root, study).path / "request.json")
    content = parse_json(text, form)
    if content is None:
        return None
    profile = {key: value for key, value in content["profile"].items() if key in Profile.__dataclass_fields__}
    try:
        kept = build(Profile, profile, key="cluster")
    except UserError:
        return None
    return Request(
        name=content["name"], words=tuple(content["words"]), folder=content["folder"], profile=kept, owner=owner
    )


def connect(
    study: str, profile: Profile, where: config.Settings, *, again: Sequence[str] = (), code: Path | None = None
) -> "Cluster":
    """Return what executes the runs of a study: SLURM jobs or local processes."""
    if profile.executor == "slurm":
        return slurm_cluster(study, profile, where, again=again, code=code)
    from difair_hpc.sweep.cluster import LocalCluster

    share = max(1, usable_cpus() // limits_of(profile).parallel)
    execution = profile.execution(where.data_root, threads=share)
    bounded = dataclasses.replace(execution, threads=usable_threads(execution.threads, cpus=share))
    return LocalCluster(where.root, bounded, gpus=_gpus(profile.device))


def slurm_cluster(
    study: str,
    profile: Profile,
    where: config.Settings,
    *,
    again: Sequence[str] = (),
    code: Path | None = None,
    record: bool = True,
) -> "SlurmCluster":
    """Return the SLURM jobs of a study; `record=False` for commands that only read."""
    from difair_hpc.runs.store import is_server
    from difair_hpc.runs.tracking import default_uri
    from difair_hpc.sweep.queue import Queue, shared_cache
    from difair_hpc.sweep.sbatch import THREADS
    from difair_hpc.sweep.site import submit_limits
    from difair_hpc.sweep.slurm import SlurmCluster

    uri = where.tracking_uri or default_uri(where.root)
    return SlurmCluster(
        where.root,
        study,
        profile,
        profile.execution(where.data_root, threads=THREADS),
        queue=Queue(run_command, max_age=profile.poll_seconds, cache=shared_cache()),
        limits=lambda: submit_limits(run_command, account=profile.account, qos=profile.qos),
        again=again,
        code=code,
        record=record,
        server=uri if is_server(uri) else "",
    )


def rules_of(profile: Profile) -> Limits:
    """Return what the profile says of failures; how many runs it allows at once is left at one."""
    return Limits(
        parallel=1, budgets=profile.budgets, alike=profile.halt_after_alike, memory_growth=profile.memory_growth
    )


def limits_of(profile: Profile) -> Limits:
    """Return all that the profile allows; where it leaves this machine open, torch is asked about GPUs."""
    rules = rules_of(profile)
    if profile.executor == "slurm":
        parallel, per_job = profile.parallel or _SLURM_PARALLEL, profile.runs_per_job or 1
        return dataclasses.replace(rules, parallel=parallel, runs_per_job=per_job, lanes=profile.runs_per_gpu)
    slots = len(_gpus(profile.device)) * profile.runs_per_gpu or min(usable_cpus(), 4)
    return dataclasses.replace(rules, parallel=profile.parallel or slots, runs_per_job=profile.runs_per_job)


def node_rule(profile: Profile) -> NodeRule:
    """Return when the profile leaves a node out."""
    return NodeRule(after=profile.exclude_after, minutes=profile.exclude_minutes)


def threads_asked(profile: Profile) -> int | None:
    """Return how many CPU threads each run is to have; None: its share of this machine."""
    from difair_hpc.sweep.sbatch import THREADS

    return profile.threads or (THREADS if profile.executor == "slurm" else None)


def _gpus(device: str) -> tuple[str, ...]:
    return () if device == "cpu" else gpus_here()
