"""One process that ticks a study twice and prints how long each tick took: `python -m bench.tick ROOT SEARCH RUNS`.

Standard input holds, as JSON, the jobs that the cluster is to know already; they are printed back with those added.
"""

import json
import sys
import time
from pathlib import Path

import difair_hpc.sweep.study  # noqa: F401 - start-up, not part of the first tick, which would import it
from difair_hpc.config import build_run
from difair_hpc.sweep.cluster import MemoryCluster
from difair_hpc.sweep.plan import Limits
from difair_hpc.sweep.reconcile import Reconciler
from difair_hpc.sweep.spec import Axis, StageSpec, StudySpec

AXES = (
    Axis(key="method.alpha", values=tuple(range(1, 11))),
    Axis(key="method.radius_coefficient", values=tuple(number / 25 for number in range(1, 11))),
    Axis(key="method.features_per_class", values=tuple(range(1, 11))),
    Axis(key="seed", values=tuple(range(10))),
)
PARALLEL = 8


def study(search: str, runs: int) -> StudySpec:
    """Return a study of one stage with so many runs, a power of ten: a grid (Optuna keeps count) or a final stage."""
    base = {"protocol": "short"}
    if search == "grid":
        axes = AXES[: len(str(runs)) - 1]
        base |= {"benchmark": "digits", "method": "difair"}
        stage = StageSpec(name="only", search="grid", base=base, space=axes)
    else:
        methods, seeds = ("cross_entropy", "difair"), tuple(range(runs // 10))
        stage = StageSpec(name="only", search="final", base=base, benchmarks=("digits",), methods=methods, seeds=seeds)
    return StudySpec(name="ticks", stages=(stage,))


def main() -> None:
    """Tick twice."""
    root, search, runs = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    cluster = MemoryCluster(lambda _signature: None)
    cluster.submit(json.load(sys.stdin))
    limits = Limits(parallel=PARALLEL, failures_allowed=0)
    reconciler = Reconciler(study(search, runs), root=root, build=build_run, cluster=cluster, limits=limits)
    build_run({}, {})  # start-up as well: imports Hydra
    seconds = []
    for _ in range(2):
        begun = time.perf_counter()
        reconciler.tick()
        seconds.append(time.perf_counter() - begun)
    sys.stdout.write(json.dumps({"seconds": seconds, "jobs": list(cluster.jobs())}))


if __name__ == "__main__":
    main()
