"""Training in float16: what overflows is passed over, what underflows is scaled, and all of it resumes to the bit."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from difair_hpc.osr.method import Head
from difair_hpc.osr.methods import Difair
from difair_hpc.osr.spec import ArplCsSpec, DchsSpec, DifairSpec, MethodSpec, NetworkSpec
from difair_hpc.osr.vgg32 import NetworkOutput
from difair_hpc.runs import facts
from difair_hpc.train.trainer import Task, TrainState, fit, new_state
from tests.train.test_confusing import PLAIN, beside, by_the_book, same_beside
from tests.train.tiny import STEPS, Watcher, first, outcome, same_weights, task, through_a_file, trained


def half(work: Task) -> Task:
    return replace(work, precision="float16")


def small(method: MethodSpec | None = None, **changes: Any) -> Task:
    """Return three steps of two images: many CPUs have no fast kernels for float16."""
    work = task(method, batch_size=2, **changes)
    return replace(work, data=replace(work.data, train=first(work.data.train, 2 * STEPS)))


def made(method: type[Difair], **changes: Any) -> Task:
    work = small(**changes)
    return half(replace(work, method=method(DifairSpec(), work.data.classes)))


class Steep(Difair):
    """A loss of 0 whose gradient in the last convolution is 2 ** 112: times a scale of 2 ** 16 it is infinite."""

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
        return (head["weight"].sum() - head["weight"].sum().detach()) * 2.0**112


class Cliff(Difair):
    """A loss of 0 whose gradient is no number."""

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
        return (output.features_BD.sum() * 0).sqrt()


class Undefined(Difair):
    """A loss that is no number."""

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
        return output.features_BD.sum() * math.nan


def weights(state: TrainState) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in state.network.parameters()]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_step_that_overflows_changes_neither_weights_nor_momentum(optimizer: str) -> None:
    work = made(Steep, weight_decay=0.5, optimizer=optimizer)
    state = new_state(work, NetworkSpec())
    before = weights(state)
    fit(state, work, Watcher(1))
    assert all(torch.equal(old, new) for old, new in zip(before, weights(state), strict=True))
    assert state.scaler.get_scale() == 2.0**15
    for moments in state.optimizer.state.values():
        assert all(not moment.any() for moment in moments.values())
    fit(state, work, Watcher(1))  # 2 ** 127 is a float32: this one counts, with its decay
    assert not torch.equal(before[-1], weights(state)[-1])
    assert not torch.equal(before[0], weights(state)[0])


def test_momentum_by_hand_after_a_first_step_that_was_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slope(Difair):
        steps = 0

        def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
            Slope.steps += 1
            return head["weight"].sum() * (math.inf if Slope.steps == 1 else 1.0)

    monkeypatch.setattr("difair_hpc.train.trainer.learning_rate", lambda *_, **__: 0.1)
    work = made(Slope, weight_decay=0.0)
    state = new_state(work, NetworkSpec())
    before = weights(state)[-1]
    fit(state, work, Watcher(3))
    # v = 0, 1, 1.9: the weight falls by 0.1 (1 + 1.9).
    torch.testing.assert_close(weights(state)[-1], before - 0.29, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [DifairSpec(), DchsSpec(margin=1.0, centre_learning_rate=0.5)])
def test_float16_trains_nearly_the_weights_of_float32(method: MethodSpec) -> None:
    work = task(method, learning_rate=1e-3, weight_decay=0.5, batch_size=8)
    exact, near = new_state(work, PLAIN), new_state(half(work), PLAIN)
    start = weights(exact)
    for state, which in ((exact, work), (near, half(work))):
        state.scaler.load_state_dict(state.scaler.state_dict() | {"scale": 1024.0} if state.scaler.is_enabled() else {})
        fit(state, which, Watcher(1))
    for begin, one, other in zip(start, weights(exact), weights(near), strict=True):
        assert (other - one).norm() <= 0.2 * (one - begin).norm()
    assert not same_weights(exact, near)
    assert {tensor.dtype for tensor in near.network.parameters()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [DifairSpec(), DchsSpec(margin=1.0, centre_learning_rate=0.5), ArplCsSpec()], ids=["difair", "dchs", "cs"]
)
def test_float16_resumes_to_the_bit_scale_included(method: MethodSpec) -> None:
    work = half(small(method, flip=True, weight_decay=0.1))
    whole, _ = trained(work)
    for batches in (1, STEPS + 1):
        stopped, _ = trained(work, batches=batches)
        resumed = new_state(work, NetworkSpec())
        resumed.restore(through_a_file(stopped))
        assert resumed.scaler.state_dict() == stopped.scaler.state_dict()
        fit(resumed, work, Watcher())
        assert same_weights(resumed, whole)
        assert outcome(resumed) == outcome(whole)
        assert resumed.scaler.state_dict() == whole.scaler.state_dict()
        assert whole.confusing is None or same_beside(resumed, whole)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_goes_on_in_float16_after_another_precision_and_back(precision: str) -> None:
    work = replace(small(), precision=precision)  # type: ignore[arg-type]
    stopped, _ = trained(work, batches=STEPS)
    assert "scaler" not in stopped.payload()
    for one, other in ((work, half(work)), (half(work), work)):
        stopped, _ = trained(one, batches=STEPS)
        resumed = new_state(other, NetworkSpec())
        resumed.restore(through_a_file(stopped))
        assert fit(resumed, other, Watcher()) == "finished"


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    work = made(Undefined)
    assert fit(new_state(work, NetworkSpec()), work, Watcher()) == "diverged"


def test_gradients_that_are_no_number_for_good_end_the_run_though_no_weight_is_spoilt() -> None:
    work = made(Cliff, epochs=20)
    state = new_state(work, NetworkSpec())
    assert fit(state, work, Watcher()) == "diverged"
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.network.parameters())
    # 17 steps of 3 per epoch take a scale of 2 ** 16 below 1.
    assert [math.isfinite(point.metrics["train_loss"]) for point in state.history] == [True] * 5 + [False]


def test_a_confusing_step_in_float16_is_nearly_that_of_float32() -> None:
    work = task(ArplCsSpec(), weight_decay=0.0)
    ours, theirs = new_state(half(work), PLAIN), new_state(work, PLAIN)
    ours.scaler.load_state_dict(ours.scaler.state_dict() | {"scale": 1024.0})
    start = new_state(work, PLAIN)
    fit(ours, half(work), Watcher(1))
    by_the_book(theirs, work)
    parts = ((ours.network, theirs.network, start.network),) + tuple(
        tuple(getattr(beside(state), name) for state in (ours, theirs, start))
        for name in ("generator", "discriminator")
    )
    for mine, other, begin in parts:
        near, exact = (
            torch.cat([(a - b).flatten() for a, b in zip(x.parameters(), begin.parameters(), strict=True)])
            for x in (mine, other)
        )
        assert torch.cosine_similarity(near, exact, dim=0) > 0.95
        assert 0.95 < near.norm() / exact.norm() < 1.05


@pytest.mark.parametrize(
    ("capability", "found"),
    [((6, 1), "float32"), ((7, 0), "float16"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")],
)
def test_auto_takes_what_the_gpu_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], found: str
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
    assert facts.precision("auto", torch.device("cuda", 0)) == found
    assert facts.precision("float32", torch.device("cuda", 0)) == "float32"
