"""ARPL+CS: what a batch does to the three networks, what the two passes of an epoch are, and that all of it resumes."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from difair_hpc.data.batches import epoch_order, generator, normalise, training_batch
from difair_hpc.osr.losses import unevenness
from difair_hpc.osr.rivals import reciprocal
from difair_hpc.osr.spec import ArplCsSpec, ArplSpec, NetworkSpec
from difair_hpc.train.confusing import Confusing
from difair_hpc.train.trainer import Task, TrainState, fit, new_state
from tests.train.tiny import STEPS, Watcher, outcome, same_weights, task, through_a_file, tiny_data, trained

METHOD = ArplCsSpec()
PLAIN = NetworkSpec(dropout_rate=0.0)


def beside(state: TrainState) -> Confusing:
    assert state.confusing is not None
    return state.confusing


def flat(payload: object) -> list[object]:
    """Return all leaves of nested dicts and lists."""
    if isinstance(payload, dict):
        return [leaf for part in payload.values() for leaf in flat(part)]
    if isinstance(payload, list | tuple):
        return [leaf for part in payload for leaf in flat(part)]
    return [payload]


def same_beside(one: TrainState, other: TrainState) -> bool:
    """Whether generators, discriminators and their optimizers are equal to the bit."""
    mine, theirs = (flat(beside(state).payload()) for state in (one, other))
    return len(mine) == len(theirs) and all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b
        for a, b in zip(mine, theirs, strict=True)
    )


def test_unevenness_by_hand() -> None:
    distances = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]])
    # p = (1/4, 3/4) and (1/2, 1/2).
    first = 0.25 * math.log(0.25) + 0.75 * math.log(0.75)
    assert unevenness(distances).item() == pytest.approx(math.exp((first + math.log(0.5)) / 2))
    assert unevenness(torch.zeros(3, 4)).item() == pytest.approx(1 / 4)
    assert unevenness(torch.tensor([[0.0, 500.0]])).item() == 1.0


def by_the_book(state: TrainState, work: Task) -> None:
    """Take the first confusing step as the authors' code has it: no gradient is held back, all are cleared instead."""
    network, parts = state.network, beside(state)
    maker, judge = parts.generator, parts.discriminator
    rows = epoch_order(len(work.data.train), seed=work.seed, epoch=0)[:16]
    changes = {name: getattr(work.protocol, name) for name in ("augmentation", "flip", "crop_padding")}
    real, labels = training_batch(work.data, rows, **changes, generator=generator(work.seed, "augment", 0, 0))
    noise = generator(work.seed, "noise", 0, 0)
    one, zero = torch.ones(16), torch.zeros(16)

    def fake() -> Tensor:
        made: Tensor = maker(torch.randn(16, 100, generator=noise))
        return (made - work.data.mean_C[:, None, None]) / work.data.std_C[:, None, None]

    def confusion(images: Tensor) -> Tensor:
        features = network(images, generated=True).features_BD
        shares = reciprocal(features, network.head["points"])[1].softmax(dim=1)
        return 0.1 * (shares * shares.log()).sum(dim=1).mean().exp()

    def judged(images: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(judge(images).sigmoid(), target)

    first = fake()
    torch.autograd.backward(judged(real, one) + judged(first.detach(), zero))
    parts.discriminator_optimizer.step()
    maker.zero_grad()
    torch.autograd.backward(judged(first, one) + confusion(first))
    parts.generator_optimizer.step()
    network.zero_grad()
    torch.autograd.backward(work.method.loss(network(real), labels, network.head) + confusion(fake()))
    state.optimizer.step()


def test_a_confusing_step_is_that_of_the_authors_code() -> None:
    work = task(METHOD, weight_decay=0.0)
    ours, theirs = (new_state(work, PLAIN) for _ in range(2))
    fit(ours, work, Watcher(1))
    by_the_book(theirs, work)
    for mine, other in (
        (ours.network, theirs.network),
        (beside(ours).generator, beside(theirs).generator),
        (beside(ours).discriminator, beside(theirs).discriminator),
    ):
        for name, tensor in mine.state_dict().items():
            torch.testing.assert_close(tensor, other.state_dict()[name], rtol=1e-4, atol=2e-6, msg=name)


def test_generated_images_are_normalised_as_real_ones() -> None:
    data = tiny_data()
    parts = beside(new_state(task(METHOD), PLAIN))
    images = parts._generated(50, generator("test"))
    black, white = (
        float(normalise(torch.full((1, 1, 1, 1), value), data.mean_C, data.std_C)) for value in (0.0, 255.0)
    )
    assert black < images.min().item() < images.max().item() < white
    again = parts.generator(torch.randn(50, 100, generator=generator("test")))
    torch.testing.assert_close(images, (again - data.mean_C) / data.std_C)


def test_an_epoch_is_a_confusing_pass_and_then_an_ordinary_one() -> None:
    work = task(METHOD, epochs=1)
    assert (work.passes, work.steps) == (2, 2 * STEPS)
    changed: list[tuple[bool, bool]] = []
    rates: list[float] = []
    before = [beside(new_state(work, NetworkSpec())).payload()]

    def look(state: TrainState) -> None:
        now = through_a_file(state)["confusing"]
        changed.append(
            tuple(
                any(not torch.equal(now[part][name], before[-1][part][name]) for name in now[part])
                for part in ("generator", "discriminator")
            )  # type: ignore[arg-type]
        )
        before.append(now)
        rates.append(state.optimizer.param_groups[0]["lr"])

    state = new_state(work, NetworkSpec())
    fit(state, work, Watcher(on_batch=look))
    assert changed == [(True, True)] * STEPS + [(False, False)] * STEPS
    cosine = [(1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    assert rates == pytest.approx([0.1 * (1e-3 + (1 - 1e-3) * value) for value in cosine])
    points = state.history[0].metrics
    assert {"closed_set_accuracy", "auroc.arpl"} <= set(points)


def test_the_two_passes_visit_the_images_in_two_orders() -> None:
    work = task(METHOD, epochs=1, flip=False, crop_padding=0, batch_size=40)
    state = new_state(work, PLAIN)
    seen: list[Tensor] = []

    def note(network: nn.Module, inputs: tuple[Tensor], options: dict[str, bool]) -> None:
        if network.training and not options["generated"]:
            seen.append(inputs[0].clone())

    state.network.register_forward_pre_hook(note, with_kwargs=True)
    fit(state, work, Watcher(2))
    assert len(seen) == 2
    assert not torch.equal(seen[0], seen[1])
    first, second = (sorted(image.flatten().tolist() for image in images) for images in seen)
    assert first == second


@pytest.mark.slow
def test_stopping_before_any_batch_of_either_pass_and_going_on_changes_no_bit() -> None:
    work = task(METHOD, flip=True)
    whole, _ = trained(work)
    for batches in range(2 * 2 * STEPS):
        stopped, ending = trained(work, batches=batches)
        assert (ending, stopped.epoch, stopped.step) == ("stopped", *divmod(batches, 2 * STEPS))
        torch.manual_seed(batches)
        resumed = new_state(work, NetworkSpec())
        resumed.restore(through_a_file(stopped))
        assert fit(resumed, work, Watcher()) == "finished"
        assert same_weights(resumed, whole), f"after {batches} batches"
        assert same_beside(resumed, whole), f"after {batches} batches"
        assert outcome(resumed) == outcome(whole), f"after {batches} batches"


def test_another_noise_another_seed_or_no_weight_is_another_run() -> None:
    whole, _ = trained(task(METHOD, epochs=1))
    for other in (
        task(replace(METHOD, beta=0.0), epochs=1),
        task(replace(METHOD, noise=50), epochs=1),
        task(replace(METHOD, gan_learning_rate=1e-3), epochs=1),
        task(METHOD, epochs=1, seed=1),
    ):
        assert not same_weights(whole, trained(other)[0])


def test_bfloat16_resumes_to_the_bit_and_leaves_generator_and_discriminator_in_float32() -> None:
    work = replace(task(METHOD, epochs=1), precision="bfloat16")
    whole, _ = trained(work)
    half, _ = trained(work, batches=2)
    resumed = new_state(work, NetworkSpec())
    resumed.restore(through_a_file(half))
    fit(resumed, work, Watcher())
    assert same_weights(resumed, whole)
    assert same_beside(resumed, whole)
    assert not same_weights(whole, trained(task(METHOD, epochs=1))[0])
    networks = (beside(whole).generator, beside(whole).discriminator)
    assert {tensor.dtype for network in networks for tensor in network.parameters()} == {torch.float32}


def test_a_method_without_generated_images_has_the_payload_it_had() -> None:
    state = new_state(task(ArplSpec()), NetworkSpec())
    assert set(state.payload()) == {
        "network", "optimizer", "epoch", "step", "loss_sum", "history", "evaluation", "warnings",
    }  # fmt: skip
    assert not any("generated" in name for name in state.network.state_dict())


def test_a_confusing_loss_that_is_no_number_ends_the_run() -> None:
    work = task(METHOD)
    state = new_state(work, NetworkSpec())
    with torch.no_grad():
        next(beside(state).generator.parameters()).fill_(math.nan)
    assert fit(state, work, Watcher()) == "diverged"
    assert len(state.history) == 1
