"""The loop repeats to the bit, also across an interruption at any batch, and its arithmetic is right."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from difair_hpc.data.batches import epoch_order, normalise
from difair_hpc.osr.method import Head
from difair_hpc.osr.methods import Difair
from difair_hpc.osr.spec import CacSpec, CrossEntropySpec, DchsSpec, DifairSpec, DifairStdSpec, MethodSpec, NetworkSpec
from difair_hpc.osr.vgg32 import NetworkOutput
from difair_hpc.train.trainer import Task, TrainState, fit, new_state
from tests.train.tiny import STEPS, Watcher, outcome, protocol, same_weights, task, through_a_file, tiny_data, trained


def test_a_run_repeats_to_the_bit_whatever_was_drawn_before() -> None:
    torch.manual_seed(1)
    first, ending = trained(task())
    torch.manual_seed(2)
    second, _ = trained(task())
    assert ending == "finished"
    assert same_weights(first, second)
    assert outcome(first) == outcome(second)


def test_another_seed_is_another_run() -> None:
    start, other_start = (new_state(task(seed=seed), NetworkSpec()) for seed in (0, 1))
    assert not same_weights(start, other_start)
    assert trained(task(seed=0))[0].history[0].metrics != trained(task(seed=1))[0].history[0].metrics


@pytest.mark.parametrize("method", [DifairSpec(), CrossEntropySpec()], ids=["difair", "cross_entropy"])
def test_stopping_before_any_batch_and_going_on_changes_no_bit(method: MethodSpec) -> None:
    work = task(method, flip=True)
    whole, _ = trained(work)
    for batches in range(2 * STEPS):
        stopped, ending = trained(work, batches=batches)
        assert (ending, stopped.epoch, stopped.step) == ("stopped", *divmod(batches, STEPS))
        torch.manual_seed(batches)
        resumed = new_state(work, NetworkSpec())
        resumed.restore(through_a_file(stopped))
        assert fit(resumed, work, Watcher()) == "finished"
        assert same_weights(resumed, whole), f"after {batches} batches"
        assert outcome(resumed) == outcome(whole), f"after {batches} batches"


def test_a_restored_state_keeps_the_moments_of_its_points() -> None:
    stopped, _ = trained(task(), batches=STEPS)
    resumed = new_state(task(), NetworkSpec())
    resumed.restore(through_a_file(stopped))
    assert resumed.history == stopped.history
    assert len(resumed.history) == 1


class Flat(Difair):
    """A loss that is 0 everywhere: what moves the weights is weight decay alone."""

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
        return output.features_BD.sum() * 0


class Slope(Difair):
    """A loss whose gradient is 1 in each weight of the last convolution, and absent elsewhere."""

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
        return head["weight"].sum()


class Undefined(Difair):
    """A loss that is no number."""

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
        return output.features_BD.sum() * math.nan


class Cliff(Difair):
    """A loss of 0 whose gradient is no number."""

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
        return (output.features_BD.sum() * 0).sqrt()


def made(method: type[Difair], **changes: object) -> Task:
    data = tiny_data()
    spec = protocol(**changes)
    return Task(method=method(DifairSpec(), data.classes), protocol=spec, data=data, seed=0)


def after(work: Task, batches: int) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Return the parameters before and after some batches."""
    state = new_state(work, NetworkSpec())
    before = [parameter.detach().clone() for parameter in state.network.parameters()]
    fit(state, work, Watcher(batches))
    return before, [parameter.detach() for parameter in state.network.parameters()]


@pytest.fixture
def constant_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difair_hpc.train.trainer.learning_rate", lambda *_, **__: 0.1)


@pytest.mark.usefixtures("constant_rate")
@pytest.mark.parametrize(
    ("form", "share"),
    [
        # 1 - lr wd = 1 - 0.1 * 0.5, twice; momentum has no part in it.
        ("decoupled", 0.95 * 0.95),
        # v1 = 0.5, w1 = 0.95; v2 = 0.9 * 0.5 + 0.5 * 0.95 = 0.925, w2 = 0.95 - 0.0925.
        ("coupled", 0.8575),
    ],
)
def test_weight_decay_by_hand_reaches_every_parameter(form: str, share: float) -> None:
    before, now = after(made(Flat, weight_decay=0.5, weight_decay_form=form), 2)
    assert len(now) == 9 * 3 + 1  # nine convolutions with two parameters of batch norm each, and the head
    for old, new in zip(before, now, strict=True):
        torch.testing.assert_close(new, old * share, rtol=1e-5, atol=1e-8)


@pytest.mark.usefixtures("constant_rate")
def test_momentum_by_hand() -> None:
    # v1 = 1, v2 = 0.9 + 1: the weight falls by 0.1 (1 + 1.9); no Nesterov, which would make it 0.1 (1.9 + 2.71).
    before, now = after(made(Slope, weight_decay=0.0), 2)
    torch.testing.assert_close(now[-1], before[-1] - 0.29, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(old, new) for old, new in zip(before[:-1], now[:-1], strict=True))


def test_each_step_takes_the_rate_of_the_schedule() -> None:
    # One cosine over 2 epochs of 3 steps: after the first step, moment 1/3 of 2, 1e-4 + 0.0999 (1 + cos(pi/6)) / 2.
    rates: list[float] = []
    watcher = Watcher(2, on_batch=lambda state: rates.append(state.optimizer.param_groups[0]["lr"]))
    work = task()
    fit(new_state(work, NetworkSpec()), work, watcher)
    assert rates == pytest.approx([0.1, 0.0933079], rel=1e-5)


def test_the_training_loss_is_the_mean_over_images_not_over_batches() -> None:
    losses: list[float] = []

    class Counted(Difair):
        def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
            losses.append(float(len(losses) + 1))
            return output.features_BD.sum() * 0 + losses[-1]

    work = made(Counted, epochs=1)
    state = new_state(work, NetworkSpec())
    fit(state, work, Watcher())
    assert losses == [1, 2, 3]
    assert state.history[0].metrics["train_loss"] == pytest.approx((16 * 1 + 16 * 2 + 8 * 3) / 40)


@pytest.mark.parametrize("batch_size", [16, 64])
@pytest.mark.parametrize("method", [Undefined, Cliff])
def test_a_loss_or_weights_that_are_no_number_end_the_run(method: type[Difair], batch_size: int) -> None:
    work = made(method, batch_size=batch_size)
    state = new_state(work, NetworkSpec())
    watcher = Watcher()
    assert fit(state, work, watcher) == "diverged"
    (point,) = watcher.points
    assert math.isnan(point.metrics["train_loss"])
    assert "closed_set_accuracy" not in point.metrics
    assert state.evaluation is None


def first_batch(**changes: object) -> tuple[Tensor, Tensor]:
    """Return the first batch of un-augmented pixels (B, 1, 8, 8) and what the network was given of it."""
    work = task(**changes)  # type: ignore[arg-type]
    state = new_state(work, NetworkSpec())
    seen: list[Tensor] = []
    state.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    fit(state, work, Watcher(1))
    rows = epoch_order(len(work.data.train), seed=0, epoch=0)[:16]
    plain = normalise(work.data.train.images_BCHW[rows], work.data.mean_C, work.data.std_C)
    return plain, seen[0]


def test_without_flip_and_crop_the_network_sees_the_images() -> None:
    plain, seen = first_batch(flip=False, crop_padding=0)
    assert torch.equal(plain, seen)


def test_flip_mirrors_some_images() -> None:
    plain, seen = first_batch(flip=True, crop_padding=0)
    mirrored = [torch.equal(given, image.flip(-1)) for image, given in zip(plain, seen, strict=True)]
    untouched = [torch.equal(given, image) for image, given in zip(plain, seen, strict=True)]
    assert all(one or other for one, other in zip(mirrored, untouched, strict=True))
    assert 0 < sum(mirrored) < 16


def test_crop_moves_images_by_at_most_its_padding() -> None:
    plain, seen = first_batch(flip=False, crop_padding=1)
    black = float(normalise(torch.zeros(1, 1, 1, 1, dtype=torch.uint8), tiny_data().mean_C, tiny_data().std_C))
    padded = torch.nn.functional.pad(plain, (1, 1, 1, 1), value=black)
    offsets = [
        {(y, x) for y in range(3) for x in range(3) if torch.equal(whole[:, y : y + 8, x : x + 8], given)}
        for whole, given in zip(padded, seen, strict=True)
    ]
    assert all(offsets)
    assert len(set.union(*offsets)) > 3


@pytest.mark.parametrize(
    ("epochs", "every", "due"),
    [(5, 2, [2, 4, 5]), (3, 9, [3]), (3, None, [1, 2, 3]), (21, None, [*range(2, 21, 2), 21])],
)
def test_evaluation_when_due_and_in_the_last_epoch(epochs: int, every: int | None, due: list[int]) -> None:
    state, _ = trained(task(epochs=epochs, evaluate_every=every, batch_size=64))
    assert [point.epoch for point in state.history if "closed_set_accuracy" in point.metrics] == due
    assert [point.epoch for point in state.history] == list(range(1, epochs + 1))


def test_evaluation_does_not_change_the_training() -> None:
    often, rarely = (trained(task(epochs=5, evaluate_every=every, batch_size=20))[0] for every in (1, 5))
    assert same_weights(often, rarely)
    assert often.evaluation == rarely.evaluation


@pytest.mark.parametrize(
    ("method", "scores", "spheres"),
    [
        (CrossEntropySpec(), {"msp", "mos", "celr"}, False),
        (CacSpec(), {"cac", "mos"}, False),
        (DifairSpec(), {"distance", "mos"}, True),
        (DifairStdSpec(), {"distance", "mos"}, True),
    ],
)
def test_each_method_reports_its_metrics(method: MethodSpec, scores: set[str], *, spheres: bool) -> None:
    state, _ = trained(task(method, epochs=1))
    names = set(state.history[-1].metrics)
    assert {"train_loss", "learning_rate", "closed_set_accuracy"} <= names
    assert {name.removeprefix("auroc.") for name in names if name.startswith("auroc.")} == scores
    assert ("occupancy" in names) == spheres
    spreads = {f"weight_spread.{name}" for name in tiny_data().class_names}
    assert {name for name in names if name.startswith("weight_spread.")} == (spreads if spheres else set())


def test_the_initial_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = new_state(task(), NetworkSpec())
    torch.manual_seed(2)
    second = new_state(task(), NetworkSpec())
    assert isinstance(first, TrainState)
    assert same_weights(first, second)


def test_learned_points_may_have_a_learning_rate_of_their_own_and_no_decay() -> None:
    method = DchsSpec(margin=1.0, centre_learning_rate=0.5)
    state = new_state(task(method, learning_rate=0.1, weight_decay=0.5), NetworkSpec())
    network, points = state.optimizer.param_groups
    assert [tensor is state.network.points for tensor in points["params"]] == [True]
    assert (points["momentum"], points["shrink"], network["momentum"], network["shrink"]) == (0.0, 0.0, 0.9, 0.5)
    fit(state, task(method, learning_rate=0.1, weight_decay=0.5, schedule_unit="batch"), Watcher(1))
    assert points["lr"] == pytest.approx(5 * network["lr"])


def test_adam_resumes_to_the_bit() -> None:
    whole, _ = trained(task(optimizer="adam", learning_rate=0.01))
    half, _ = trained(task(optimizer="adam", learning_rate=0.01), batches=STEPS + 1)
    assert isinstance(half.optimizer, torch.optim.Adam)
    resumed = new_state(task(optimizer="adam", learning_rate=0.01), NetworkSpec())
    resumed.restore(through_a_file(half))
    fit(resumed, task(optimizer="adam", learning_rate=0.01), Watcher())
    assert same_weights(resumed, whole)


def test_bfloat16_trains_other_weights_than_float32_and_resumes_to_the_bit() -> None:
    work = replace(task(), precision="bfloat16")
    whole, _ = trained(work)
    half, _ = trained(work, batches=STEPS + 1)
    resumed = new_state(work, NetworkSpec())
    resumed.restore(through_a_file(half))
    fit(resumed, work, Watcher())
    assert same_weights(resumed, whole)
    assert not same_weights(whole, trained(task())[0])
    assert all(tensor.dtype == torch.float32 for tensor in whole.network.parameters())


def test_a_checkpoint_without_the_groups_own_values_can_be_resumed() -> None:
    half, _ = trained(task(), batches=STEPS)
    payload = through_a_file(half)
    for group in payload["optimizer"]["param_groups"]:
        del group["scale"], group["shrink"]
    resumed = new_state(task(), NetworkSpec())
    resumed.restore(payload)
    fit(resumed, task(), Watcher())
    assert same_weights(resumed, trained(task())[0])
