"""Losses against numbers worked by hand and against the code of CAC's authors (golden/README.md)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from difair_hpc.osr.anchors import anchors, distances
from difair_hpc.osr.losses import cac_loss, difair_loss, last_conv_spread, own_distances, spread_loss

GOLDEN = Path(__file__).parent / "golden" / "cac_k4.npz"


def test_difair_loss_is_the_mean_distance_beyond_the_radius() -> None:
    # max(3 - 2, 0) = 1 and max(1 - 2, 0) = 0, mean 0.5.
    loss = difair_loss(torch.tensor([[3.0, 5.0], [4.0, 1.0]]), torch.tensor([0, 1]), radius=2.0)
    assert loss.item() == 0.5


def test_difair_gradient_is_0_at_the_anchor_and_inside_and_a_unit_vector_outside() -> None:
    points_KD = anchors(classes=2, features_per_class=1, alpha=10)
    z = torch.tensor([[10.0, 0.0], [10.0, 1.0], [10.0, 3.0]], requires_grad=True)
    difair_loss(distances(z, points_KD), torch.tensor([0, 0, 0]), radius=2.0).backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    torch.testing.assert_close(z.grad, torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 1 / 3]]))


def test_difair_gradient_at_the_anchor_is_finite_even_without_a_radius() -> None:
    points_KD = anchors(classes=2, features_per_class=2, alpha=10)
    z = points_KD.clone().requires_grad_()
    difair_loss(distances(z, points_KD), torch.tensor([0, 1]), radius=0.0).backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert not z.grad.any()


def test_cac_loss_by_hand() -> None:
    # Anchor term (1 + 3) / 2 = 2; tuplet term (log(1 + e^-1) + log(1 + e^2)) / 2 = (0.3132617 + 2.1269280) / 2.
    loss = cac_loss(torch.tensor([[1.0, 2.0], [3.0, 1.0]]), torch.tensor([0, 0]), anchor_weight=0.1)
    assert loss.item() == pytest.approx(0.2 + 1.2200948, abs=1e-6)


def test_cac_loss_and_gradient_are_those_of_its_authors() -> None:
    golden = np.load(GOLDEN)
    logits = torch.from_numpy(golden["logits"]).double().requires_grad_()
    labels = torch.from_numpy(golden["labels"])
    found = distances(logits, anchors(classes=4, features_per_class=1, alpha=10))
    loss = cac_loss(found, labels, anchor_weight=0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    total, anchor_term, tuplet = golden["total_anchor_tuplet"]
    assert logits.grad is not None
    np.testing.assert_allclose(found.detach().numpy(), golden["distances"], rtol=1e-7)
    np.testing.assert_allclose(logits.grad.numpy(), golden["grad_total_wrt_logits"], atol=1e-7)
    assert loss.item() == pytest.approx(total, rel=1e-9)
    assert own_distances(found, labels).mean().item() == pytest.approx(anchor_term, rel=1e-7)
    assert cac_loss(found, labels, anchor_weight=0.0).item() == pytest.approx(tuplet, rel=1e-9)
    assert abs(loss.item() - 0.1 * anchor_term - golden["tuplet_with_true_class_kept_NOT_the_published_loss"]) > 0.1


def _filters(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None].expand(-1, 128, 3, 3).clone()


def test_spread_is_the_population_std_over_the_filters_of_each_class() -> None:
    # Class 0: filters 1 and 3, std 1 (a sample std would be 1.414). Class 1: 0 and 0.5, std 0.25.
    weight = _filters(1.0, 3.0, 0.0, 0.5)
    torch.testing.assert_close(last_conv_spread(weight, 2), torch.tensor([1.0, 0.25]))


def test_spread_over_the_whole_set_is_that_of_one_class() -> None:
    # Values 1, 3, 0, 0 have mean 1 and variance (0 + 4 + 1 + 1) / 4 = 1.5.
    assert last_conv_spread(_filters(1.0, 3.0, 0.0, 0.0), 1).item() == pytest.approx(1.5**0.5)


def test_spread_ignores_what_differs_between_positions_only() -> None:
    one_filter = torch.randn(1, 128, 3, 3, generator=torch.Generator().manual_seed(0))
    assert last_conv_spread(one_filter.repeat(3, 1, 1, 1), 1).item() == pytest.approx(0.0, abs=1e-6)


def test_spread_is_the_mean_over_positions() -> None:
    weight = _filters(0.0, 0.0)
    weight[1, :64] = 4.0  # std 2 at half of the positions, 0 at the others
    assert last_conv_spread(weight, 1).item() == pytest.approx(1.0)


def test_spread_loss_by_hand() -> None:
    # 2 e^-3 + 2 e^-0.75 = 2 (0.0497871 + 0.4723666)
    loss = spread_loss(torch.tensor([1.0, 0.25]), weight=2.0, rate=3.0)
    assert loss.item() == pytest.approx(1.0443073, abs=1e-6)


def test_spread_loss_pushes_filters_apart_and_is_finite_where_they_are_equal() -> None:
    weight = _filters(1.0, 3.0, 5.0, 5.0).requires_grad_()
    spread_loss(last_conv_spread(weight, 2), weight=2.0, rate=3.0).backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert (weight.grad[0] > 0).all()  # descent makes the smaller filter smaller
    assert (weight.grad[1] < 0).all()
    assert not weight.grad[2:].any()
