"""Our side of the comparison: an attached study of sleeping trials, in a process of its own.

python -m bench.ours ROOT PARALLEL
"""

import sys
import time
from pathlib import Path

from bench.durations import TRIALS
from difair_hpc.config import build_run
from difair_hpc.errors import ClusterUnreachable
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.plan import Limits
from difair_hpc.sweep.reconcile import Reconciler
from difair_hpc.sweep.slurm import SlurmCluster
from difair_hpc.sweep.spec import Axis, Profile, StageSpec, StudySpec

STUDY = StudySpec(
    name="makespan",
    stages=(
        StageSpec(
            name="search",
            search="optuna",
            sampler="random",
            trials=TRIALS,
            base={"benchmark": "digits", "method": "difair", "protocol": "short"},
            space=(Axis(key="method.alpha", low=1.0, high=20.0),),
        ),
    ),
)
_TICK_SECONDS = 0.5
"""As `difair sweep` waits between two ticks."""


def main() -> None:
    """Tick until all trials have ended."""
    root, parallel = Path(sys.argv[1]), int(sys.argv[2])
    profile = Profile(
        name="bench", executor="slurm", parallel=parallel, threads=1, gres="gpu:1", minutes=5, poll_seconds=1.0
    )
    execution = ExecutionSpec(device="cpu", threads=1)
    program = [sys.executable, str(Path(__file__).with_name("sleep_job.py"))]
    cluster = SlurmCluster(root, STUDY.name, profile, execution, program=program)
    limits = Limits(parallel=parallel, failures_allowed=0)
    reconciler = Reconciler(STUDY, root=root, build=build_run, cluster=cluster, limits=limits)
    while not _complete(reconciler):
        time.sleep(_TICK_SECONDS)


def _complete(reconciler: Reconciler) -> bool:
    try:
        return reconciler.tick()[-1].complete
    except ClusterUnreachable as error:
        sys.stderr.write(f"{error}\n")
        return False


if __name__ == "__main__":
    main()
