"""The learning rate against the published code (golden/README.md) and against numbers worked by hand."""

from pathlib import Path

import numpy as np
import pytest

from difair_hpc.train.schedule import learning_rate
from difair_hpc.train.spec import ProtocolSpec

GOLDEN = Path(__file__).parent / "golden" / "lr_schedule.npz"
BY_BATCH = ProtocolSpec(epochs=30, cycles=3, warmup_epochs=1, schedule_unit="batch")


@pytest.mark.parametrize("peak", [0.1, 0.01])
def test_every_epoch_has_the_rate_of_the_published_code(peak: float) -> None:
    golden = np.load(GOLDEN)[f"lr{peak}"]
    rates = [learning_rate(ProtocolSpec(learning_rate=peak), epoch=epoch) for epoch in range(600)]
    assert len(golden) == 600
    np.testing.assert_allclose(rates, golden, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [
        (0, 1e-4),  # 1e-3 of the peak
        (101, 0.05005),  # half of a cycle: 1e-4 + 0.0999 / 2
        (200, 1.061622e-4),  # 199/200 of a cycle: 1e-4 + 0.0999 (1 - cos(pi/200)) / 2, and 1 - cos = 1.233675e-4
        (201, 0.1),  # the restart, one epoch late as in the published code
        (401, 0.1),
    ],
)
def test_rates_by_hand(epoch: int, rate: float) -> None:
    assert learning_rate(ProtocolSpec(), epoch=epoch) == pytest.approx(rate, rel=1e-6)


def test_by_epoch_all_batches_of_an_epoch_share_a_rate() -> None:
    assert learning_rate(ProtocolSpec(), epoch=5, step=3, steps=7) == learning_rate(ProtocolSpec(), epoch=5)


def test_by_batch_the_rate_jumps_at_restarts_only() -> None:
    steps = 200
    rates = np.array([learning_rate(BY_BATCH, epoch=e, step=s, steps=steps) for e in range(30) for s in range(steps)])
    jumps = np.flatnonzero(np.abs(np.diff(rates)) > 1e-3) + 1
    assert jumps.tolist() == [10 * steps, 20 * steps]
    assert rates[jumps] == pytest.approx([0.1, 0.1])
    assert rates[-1] < 1.001e-4


def test_by_batch_the_warm_up_is_linear_and_meets_the_cosine() -> None:
    # The cosine after 1 of 10 epochs: 1e-4 + 0.0999 (1 + cos(pi / 10)) / 2 = 0.09755527, and half-way up from 1e-4.
    assert learning_rate(BY_BATCH, epoch=0) == pytest.approx(1e-4)
    assert learning_rate(BY_BATCH, epoch=0, step=4, steps=8) == pytest.approx((1e-4 + 0.09755527) / 2, rel=1e-6)
    assert learning_rate(BY_BATCH, epoch=1) == pytest.approx(0.09755527, rel=1e-6)


def test_the_end_of_an_epoch_is_the_beginning_of_the_next() -> None:
    assert learning_rate(BY_BATCH, epoch=3, step=7, steps=7) == learning_rate(BY_BATCH, epoch=4)


def test_the_squared_floor_is_lower_and_the_warm_up_starts_where_it_did() -> None:
    squared = ProtocolSpec(schedule_floor="squared")
    # Half of a cycle: floor 1e-3 * 0.1^2 = 1e-5, so 1e-5 + 0.09999 / 2.
    assert learning_rate(squared, epoch=101) == pytest.approx(0.050005)
    assert learning_rate(squared, epoch=0) == pytest.approx(1e-4)


def test_without_warm_up_the_cosine_starts_at_once() -> None:
    by_batch = ProtocolSpec(epochs=4, cycles=1, warmup_epochs=0, schedule_unit="batch")
    assert learning_rate(by_batch, epoch=0) == pytest.approx(0.1)
    assert learning_rate(by_batch, epoch=2) == pytest.approx(0.05005)
    assert learning_rate(ProtocolSpec(warmup_epochs=0), epoch=1) == pytest.approx(0.1)


def test_a_warm_up_may_end_within_an_epoch_and_is_a_sixtieth_if_left_open() -> None:
    # 30 epochs: half an epoch from 1e-4 to the cosine at 0.5 of 10, 1e-4 + 0.0999 (1 + cos(pi / 20)) / 2 = 0.09938508.
    left_open = ProtocolSpec(epochs=30, cycles=3, warmup_epochs=None, schedule_unit="batch")
    assert learning_rate(left_open, epoch=0, step=2, steps=8) == pytest.approx((1e-4 + 0.09938508) / 2, rel=1e-6)
    assert learning_rate(left_open, epoch=0, step=4, steps=8) == pytest.approx(0.09938508, rel=1e-6)
    paper = [learning_rate(ProtocolSpec(warmup_epochs=None), epoch=epoch) for epoch in range(20)]
    assert paper == [learning_rate(ProtocolSpec(warmup_epochs=10), epoch=epoch) for epoch in range(20)]
