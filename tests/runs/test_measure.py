"""A training is measured on every task that it serves, from one pass over the images."""

from pathlib import Path

import pytest

from difair_hpc.data.benchmarks import load
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.data.splits import class_split
from difair_hpc.osr.methods import make_method
from difair_hpc.osr.spec import DifairSpec, NetworkSpec
from difair_hpc.runs.measure import measure
from difair_hpc.runs.outputs import load as load_outputs
from difair_hpc.runs.spec import RunSpec, trained_for
from difair_hpc.train.trainer import Task, new_state
from tests.data.fakes import write_cifar10, write_cifar100
from tests.train.tiny import protocol


@pytest.fixture
def cifar_root(tmp_path: Path) -> Path:
    write_cifar10(tmp_path, list(range(10)) * 2)
    write_cifar100(tmp_path, list(range(100)))
    return tmp_path


def test_all_tasks_of_cifar_plus_are_measured_from_one_training(cifar_root: Path) -> None:
    spec = BenchmarkSpec(name="cifar+10", split=2, image_size=8, verify=False)
    data = load(spec, cifar_root)
    task = Task(method=make_method(DifairSpec(), data.classes), protocol=protocol(), data=data, seed=0)
    evaluation, _ = measure(cifar_root, spec, task, new_state(task, NetworkSpec()), cifar_root)
    served = {(entry["benchmark"], entry["split"]): entry for entry in evaluation["served"]}
    assert list(served) == [(name, split) for name in ("cifar+10", "cifar+50") for split in range(5)]
    assert {key: entry["unknown_images"] for key, entry in served.items()} == {
        key: 10 if key[0] == "cifar+10" else 50 for key in served
    }
    own = served["cifar+10", 2]
    assert {key: evaluation[key] for key in ("auroc", "oscr", "unknown_images")} == {
        key: own[key] for key in ("auroc", "oscr", "unknown_images")
    }
    saved = load_outputs(cifar_root)
    assert saved is not None
    needed = {label for name, split in served for label in class_split(name, split).unknown}
    assert set(saved.outputs.unknown.labels_B.tolist()) == needed == set(saved.unknown_names)


@pytest.mark.parametrize(
    ("name", "split", "first"),
    [
        ("cifar10", 1, ("cifar10", 0)),
        ("cifar+50", 4, ("cifar+10", 0)),
        ("mnist", 3, ("mnist", 3)),
        ("svhn", 2, ("svhn", 2)),
    ],
)
def test_tasks_that_share_a_training_are_one_run(name: str, split: int, first: tuple[str, int]) -> None:
    trained = trained_for(RunSpec(benchmark=BenchmarkSpec(name=name, split=split)))
    assert (trained.benchmark.name, trained.benchmark.split) == first
