"""Where and how many runs execute at once, as plain values: one file of slurm/."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from difair_hpc.errors import InvalidValue, UnknownKey
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.ends import BUDGETS, EndKind

BREAKING = {
    "array": "nothing: the engine makes the arrays (parallel says how many jobs run at once)",
    "job-name": "nothing: jobs are found again by their name",
    "output": "nothing: logs go to jobs/ under the output root",
    "error": "nothing: logs go to jobs/ under the output root",
    "signal": "nothing: notice_seconds says when SLURM warns a run",
    "wait": "nothing: the engine never waits for sbatch",
    "parsable": "nothing: the engine reads what sbatch prints",
    "open-mode": "nothing: logs of a requeued job are appended",
    "requeue": "nothing: jobs are always requeued",
    "no-requeue": "nothing: jobs are always requeued",
    "ntasks": "nothing: runs_per_gpu says how many processes a job has",
    "ntasks-per-node": "nothing: runs_per_gpu says how many processes a job has",
    "nodes": "nothing: a run uses one node",
    "time": "nothing: minutes says how long a job may take",
    "chdir": "nothing: a job ticks the study from where it was submitted",
    "wrap": "nothing: the engine writes the script",
    "hold": "nothing: difair hold and difair release do that",
}
"""Options of sbatch that a profile may not set, and what is possible instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """Where and how many runs execute at once: one file of slurm/."""

    name: str
    executor: Literal["local", "slurm"] = "local"
    """local: processes on this machine; slurm: jobs."""
    parallel: int | None = None
    """Jobs at once; None: locally one per GPU, or without a GPU one per CPU, at most 4; 32 on SLURM."""
    threads: int | None = None
    """CPU threads of each run; None: the CPUs of this machine shared equally, 4 on SLURM. A run has no more of them
    than CPUs that it may use (affinity, cgroup)."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of training arithmetic; auto: bfloat16 where the device has it natively, float16 on a V100 or RTX 6000; float32
    is the reference."""
    device: str = "auto"
    """auto, cpu or cuda: each run sees one GPU alone, the first one of its process."""
    checkpoint_epochs: int = 10
    checkpoint_seconds: float = 300.0
    """A run saves at least this often."""
    pause_seconds: float = 0.0
    """A run waits so long before every step: for rehearsals and tests of faults."""
    report: bool = True
    """Write the report as the study ends; false leaves that to difair report, which computes for a while."""
    runs_per_job: int | None = None
    """Runs that one process executes one after another; None: locally all that wait (it saves starts), 1 on SLURM."""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gres: str | None = None
    """GPU of a job, such as gpu:v100:1; shard:1 or mps:50 where the site shares GPUs."""
    gpus: str | None = None
    """GPU of a job in the style of --gpus, such as v100:1, where the site wants that instead of gres."""
    runs_per_gpu: int = 1
    """Runs side by side on each GPU: processes of one job, or locally so many per GPU."""
    constraint: str | None = None
    """Features of the node, such as v100|rtx6000."""
    minutes: int = 240
    """Time limit of a job; a run that needs longer goes on in another one."""
    mem_gb: float | None = None
    """Memory of a job; None: the site's default."""
    notice_seconds: int = 120
    """SLURM sends SIGUSR2 this long before the time limit; the run saves and leaves."""
    setup: tuple[str, ...] = ()
    """Lines of shell before the run, such as module load cuda."""
    sbatch: Mapping[str, Any] = field(default_factory=dict)
    """Any other option of sbatch; those that would break the engine are refused by name."""
    poll_seconds: float = 60.0
    """Seconds between two squeue calls."""
    retries: Mapping[str, int | None] = field(default_factory=dict)
    """How often a run is started again, by the type of its end (sweep/ends.py); null: any number of times."""
    memory_growth: float = 1.5
    """Factor on mem_gb each time a run was out of memory."""
    exclude_after: int = 2
    """Different runs that may fail on a node before it is left out for exclude_minutes."""
    exclude_minutes: float = 60.0
    halt_after_alike: int = 3
    """Runs that may fail with the same traceback before the study submits nothing more."""
    gpu_hours_per_600_epochs: float = 2.0
    """What a run may take, until runs of the study have been timed; the paper (A.2): up to 2 hours on a V100."""
    ask_above_gpu_hours: float = 100.0
    """Studies that may need more are begun after a yes."""

    def __post_init__(self) -> None:
        """Refuse values outside of their range."""
        for key in ("parallel", "threads", "runs_per_job"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise InvalidValue(f"cluster.{key}", value, "null or a whole number of at least 1")
        for key in ("runs_per_gpu", "minutes", "notice_seconds", "exclude_after", "halt_after_alike"):
            if getattr(self, key) < 1:
                raise InvalidValue(f"cluster.{key}", getattr(self, key), "a whole number of at least 1")
        if self.pause_seconds < 0:
            raise InvalidValue("cluster.pause_seconds", self.pause_seconds, "0 or more")
        if self.memory_growth < 1:
            raise InvalidValue("cluster.memory_growth", self.memory_growth, "1 or more")
        if self.gres is not None and self.gpus is not None:
            raise InvalidValue(
                "cluster.gpus", self.gpus, f"null beside gres={self.gres}; a site wants one or the other"
            )
        _check_device(self.device)
        _check_retries(self.retries)
        for option in self.sbatch:
            if option.replace("_", "-") in BREAKING:
                raise InvalidValue(f"cluster.sbatch.{option}", self.sbatch[option], BREAKING[option.replace("_", "-")])

    @property
    def budgets(self) -> dict[EndKind, int | None]:
        """How often a run is started again, by the type of its end, for every type."""
        return {kind: self.retries.get(kind, limit) for kind, limit in BUDGETS.items()}

    def execution(self, data_root: Path, *, threads: int | None = None) -> ExecutionSpec:
        """Return how each run is executed; `threads`: what stands for null."""
        return ExecutionSpec(
            data_root=str(data_root),
            device=self.device,
            precision=self.precision,
            threads=self.threads or threads,
            checkpoint_epochs=self.checkpoint_epochs,
            checkpoint_seconds=self.checkpoint_seconds,
            pause_seconds=self.pause_seconds,
        )

    @property
    def has_gpus(self) -> bool:
        """Whether its jobs ask for a GPU."""
        return self.executor == "slurm" and self.device != "cpu" and bool(self.gres or self.gpus)


def _check_device(device: str) -> None:
    if device not in ("auto", "cpu", "cuda", "cuda:0"):
        advice = (
            "Each run is given one GPU and sees no other. Locally, CUDA_VISIBLE_DEVICES=1,2 difair sweep … says which; "
            "on SLURM, gres or gpus do."
        )
        raise InvalidValue("cluster.device", device, "auto, cpu or cuda", advice=advice)


def _check_retries(retries: Mapping[str, int | None]) -> None:
    for kind, count in retries.items():
        if kind not in BUDGETS:
            raise UnknownKey(f"cluster.retries.{kind}", BUDGETS)
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
            raise InvalidValue(f"cluster.retries.{kind}", count, "null or a whole number of at least 0")
