"""Studies for the tests of the reconciler, and a bench on which they run in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc.config import build_run
from difair_hpc.sweep.cluster import MemoryCluster
from difair_hpc.sweep.describe import StageView
from difair_hpc.sweep.plan import Limits
from difair_hpc.sweep.reconcile import Reconciler
from difair_hpc.sweep.spec import Axis, ChoiceRule, StageSpec, StudySpec
from tests.sweep.made import finish

BASE = {"benchmark": "digits", "method": "difair", "protocol": "short", "protocol.epochs": 2}
COARSE = StageSpec(
    name="coarse",
    search="grid",
    base=BASE,
    space=(Axis(key="method.alpha", values=(2, 6, 10)),),
    choose=ChoiceRule(tolerance=0.05, prefer=("largest method.alpha",), of="method.alpha", keep=2),
)
FINE = StageSpec(
    name="fine",
    search="grid",
    base=BASE,
    space=(
        Axis(key="method.alpha", chosen_in="coarse"),
        Axis(key="method.radius_coefficient", values=(0.3, 0.4)),
    ),
)
FINAL = StageSpec(
    name="final",
    search="final",
    chosen_in="fine",
    base={"protocol": "short", "protocol.epochs": 2},
    benchmarks=("digits",),
    methods=("cross_entropy", "difair"),
    splits=(0, 1),
)
STUDY = StudySpec(name="mini", stages=(COARSE, FINE, FINAL))
SEARCH = StageSpec(
    name="search",
    search="optuna",
    sampler="random",
    trials=5,
    base=BASE,
    space=(Axis(key="method.alpha", low=1.0, high=20.0),),
)

Execute = Callable[[str], object]


class Bench:
    """A root folder, a cluster over it, and reconcilers that are made anew on demand."""

    def __init__(self, root: Path, *, parallel: int = 2, failures_allowed: int = 1) -> None:
        self.root = root
        self.limits = Limits(parallel=parallel, budgets={"failed": failures_allowed, "died": failures_allowed})
        self.executed: list[str] = []
        self.cluster = MemoryCluster(self.execute)
        self.how: Execute = lambda signature: finish(root, signature)

    def execute(self, signature: str) -> None:
        self.executed.append(signature)
        self.how(signature)

    def reconciler(self, study: StudySpec = STUDY) -> Reconciler:
        return Reconciler(study, root=self.root, build=build_run, cluster=self.cluster, limits=self.limits)

    def drive(self, study: StudySpec = STUDY, *, restart: bool = False) -> list[StageView]:
        """Tick and work until all is complete; `restart`: with objects made anew before every tick."""
        reconciler = self.reconciler(study)
        for _ in range(100):
            seen = reconciler.tick()
            assert len(self.cluster.jobs()) <= self.limits.parallel
            if len(seen) == len(study.stages) and seen[-1].complete:
                return seen
            self.cluster.work()
            if restart:
                reconciler = self.reconciler(study)
        pytest.fail("the study never ended")


def signature_of(**parameters: object) -> str:
    return build_run(BASE, {key.replace("__", "."): value for key, value in parameters.items()}).signature
