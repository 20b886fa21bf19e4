"""A job as SLURM or this machine tells of it, and what SLURM's words mean. Pure.

States and reasons: squeue's and sacct's manuals of SLURM 22.05 to 25.05. A word that is not listed here stays as it is.
"""

from dataclasses import dataclass

ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT",
}  # fmt: skip
"""States of a job that never runs again; a state that is not listed, a new one too, counts as alive."""

_HELD = {"JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "launch_failed_requeued_held", "REQUEUE_HOLD"}

MEANINGS = {
    "AssocGrpGRES": "your account uses all the GPUs it may",
    "AssocGrpGRESMinutes": "your account has spent its GPU time",
    "AssocMaxJobsLimit": "you run as many jobs as your account allows",
    "BadConstraints": "no node has these features: correct constraint in the profile",
    "BeginTime": "SLURM holds a requeued job back for about two minutes",
    "Dependency": "it waits for another job",
    "JobArrayTaskLimit": "its array runs as many tasks at once as it may",
    "JobHeldAdmin": "an administrator holds it: ask there",
    "JobHeldUser": "it is held: difair release lets it go",
    "JobHoldMaxRequeue": "SLURM requeued it too often: difair release lets it go",
    "NodeDown": "a node that it needs is down",
    "PartitionDown": "the partition is down",
    "PartitionNodeLimit": "the partition has no such node: see difair doctor",
    "PartitionTimeLimit": "minutes in the profile is more than the partition allows",
    "Priority": "jobs of higher priority are before it",
    "QOSMaxGRESPerUser": "you use as many GPUs as your QOS allows",
    "QOSMaxJobsPerUserLimit": "you run as many jobs as your QOS allows",
    "QOSGrpGRES": "the QOS uses all the GPUs it may",
    "ReqNodeNotAvail": "the nodes that it could use are down or reserved",
    "Reservation": "its reservation has not begun",
    "Resources": "it is next, and waits for a free GPU",
    "launch_failed_requeued_held": "its node could not start it: ticks release it three times, then difair release",
}
"""Why a job waits, by squeue's word for the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One job, or one task of an array, that has not ended."""

    runs: tuple[str, ...]
    """Signatures of the runs that it executes, the first one first."""
    id: str = ""
    """4711_3 (array and task) on SLURM; local-3f2a91 on this machine; empty where nobody knows it yet."""
    state: str = ""
    """SLURM's word, such as PENDING; empty where nobody knows it yet."""
    reason: str = ""
    """SLURM's word for why it waits."""
    node: str = ""

    @property
    def held(self) -> bool:
        """Whether it waits for somebody to release it, so that it takes nobody's place."""
        return self.state in _HELD or (self.state == "PENDING" and self.reason.replace(" ", "_") in _HELD)

    @property
    def failed_to_launch(self) -> bool:
        """Whether it is held because a node could not start it."""
        return self.state == "PENDING" and self.reason.replace(" ", "_") == "launch_failed_requeued_held"

    @property
    def why(self) -> str:
        """SLURM's reason in plain words, or nothing where it runs."""
        if self.state != "PENDING" or self.reason in ("", "None"):
            return ""
        word = self.reason.partition(",")[0].replace(" ", "_")
        return MEANINGS.get(word, f"SLURM says {self.reason}")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobEnd:
    """How a job left the queue."""

    id: str = ""
    state: str = ""
    """SLURM's word; empty: nobody can tell any more (no accounting)."""
    node: str = ""
    time: float = 0.0
    """When that was noticed, seconds since 1970."""
    begun: int = 0
    """Attempts at the job's first run when it was submitted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A job to be submitted."""

    runs: tuple[str, ...]
    """Signatures of its runs, in order."""
    begun: int = 0
    """Attempts at the first run so far: a job that ends and leaves them as many has never begun."""
    memory_factor: float = 1.0
    """Times the profile's memory: more after a run was out of memory."""
