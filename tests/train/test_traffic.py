"""The host never waits for the device inside an epoch, and once at its end."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from difair_hpc.osr.spec import (
    ArplCsSpec,
    ArplSpec,
    CacSpec,
    CrossEntropySpec,
    DchsSpec,
    DifairSpec,
    DifairStdSpec,
    MethodSpec,
    NetworkSpec,
)
from difair_hpc.train.optimizer import Precision
from difair_hpc.train.trainer import Task, TrainState, fit, new_state
from tests.train.pretended import DEVICE, Pretence, There
from tests.train.tiny import STEPS, Watcher, first, task, trained

METHODS = (
    CrossEntropySpec(), CacSpec(), DifairSpec(), DifairStdSpec(), ArplSpec(), ArplCsSpec(),
    DchsSpec(margin=1.0, centre_learning_rate=0.5),
)  # fmt: skip


@pytest.fixture
def pretence() -> Iterator[Pretence]:
    with Pretence() as pretence:
        yield pretence


def there(work: Task) -> Task:
    return replace(work, data=work.data.to(DEVICE))


def unevaluated(method: MethodSpec | None = None, precision: Precision = "float32", **changes: Any) -> Task:
    """Return a training whose first epoch of two ends without an evaluation."""
    work = task(method, epochs=2, evaluate_every=2, **{"batch_size": 2, **changes})
    few = first(
        work.data.train, min(len(work.data.train), work.protocol.batch_size * STEPS)
    )  # float16 is slow on a CPU
    return replace(work, precision=precision, data=replace(work.data, train=few))


class OneEpoch(Watcher):
    """Notes the traffic of the first epoch, its end included, and then stops."""

    def __init__(self, pretence: Pretence) -> None:
        super().__init__()
        self.traffic = pretence.traffic
        self.steps: list[list[str]] = []
        self.end: list[str] | None = None
        self.sent: list[list[int]] = []

    def should_stop(self) -> bool:
        return self.end is not None

    def progress(self, state: TrainState) -> None:
        self.steps.append(list(self.traffic.reads))
        self.sent.append(list(self.traffic.sent))
        self.traffic.clear()

    def epoch_done(self, state: TrainState, point: Any) -> Any:
        self.end = list(self.traffic.reads)
        return super().epoch_done(state, point)


def one_epoch(pretence: Pretence, work: Task) -> OneEpoch:
    work = there(work)
    state = new_state(work, NetworkSpec())
    assert isinstance(next(state.network.parameters()), There)
    watcher = OneEpoch(pretence)
    pretence.traffic.clear()
    assert fit(state, work, watcher) == "stopped"
    return watcher


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("method", METHODS, ids=lambda spec: type(spec).__name__)
def test_no_step_reads_the_device_and_an_epoch_does_once(
    pretence: Pretence, method: MethodSpec, precision: Precision
) -> None:
    watcher = one_epoch(pretence, unevaluated(method, precision, flip=True))
    assert watcher.steps == [[]] * STEPS * (2 if isinstance(method, ArplCsSpec) else 1)
    assert watcher.end is not None
    assert len(watcher.end) == 1


AUGMENTATIONS: tuple[tuple[dict[str, Any], int], ...] = (
    ({"augment": "none", "flip": False, "crop_padding": 0}, 1),
    ({"augment": "none", "flip": True, "crop_padding": 2}, 1),
    ({"augment": "contrast_brightness"}, 2),
    # A layer's draw, and the places of its cutouts.
    ({"augment": "randaugment", "augment_operations": 2, "augment_magnitude": 9.0}, 5),
    ({"augment": "randaugment_vaze", "augment_operations": 2, "augment_magnitude": 9.0}, 5),
)


@pytest.mark.parametrize(("changes", "copies"), AUGMENTATIONS, ids=str)
def test_no_augmentation_reads_the_device_and_little_is_sent(
    pretence: Pretence, changes: dict[str, Any], copies: int
) -> None:
    work = unevaluated(batch_size=40, **changes)
    one_epoch(pretence, work)  # what is the same for every batch is sent once
    watcher = one_epoch(pretence, work)
    assert watcher.steps == [[]]
    order = 8 * 40
    assert 0 < len(watcher.sent[0]) - 1 <= copies
    assert sum(watcher.sent[0]) - order < 6000


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_neither_optimizer_reads_the_device(pretence: Pretence, optimizer: str) -> None:
    for precision in ("float32", "float16"):
        work = unevaluated(None, precision, optimizer=optimizer, learning_rate=0.01)
        assert one_epoch(pretence, work).steps == [[]] * STEPS


def test_what_the_pretended_device_computes_is_what_the_cpu_does() -> None:
    here, _ = trained(task(DifairStdSpec(), epochs=1))
    with Pretence():
        state = new_state(there(task(DifairStdSpec(), epochs=1)), NetworkSpec())
        fit(state, there(task(DifairStdSpec(), epochs=1)), Watcher(STEPS))
        weights = {name: tensor.cpu() for name, tensor in state.network.state_dict().items()}
    same, _ = trained(task(DifairStdSpec(), epochs=1), batches=STEPS)
    assert all(torch.equal(weights[name], tensor) for name, tensor in same.network.state_dict().items())


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: float(x[0, 0]),
        lambda x: x.cpu(),
        lambda x: x.to("cpu", non_blocking=True),
        lambda x: x[x > 0],
        lambda x: torch.zeros(2, 3).copy_(x),
        lambda x: torch.equal(x, x),
    ],
)
def test_the_pretended_device_sees_every_kind_of_read(pretence: Pretence, read: Any) -> None:
    given = torch.ones(2, 3).to(DEVICE)
    pretence.traffic.clear()
    read(given)
    assert len(pretence.traffic.reads) == 1
