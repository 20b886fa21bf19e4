"""Anchors and distances: the paper's numbers, and what a matrix product would get wrong near 0."""

import pytest
import torch

from difair_hpc.osr.anchors import anchors, distances, radius
from difair_hpc.osr.spec import DifairSpec, anchor_distance


def test_anchors_are_those_of_equation_1() -> None:
    expected = [[10, 10, 0, 0, 0, 0], [0, 0, 10, 10, 0, 0], [0, 0, 0, 0, 10, 10]]
    assert anchors(classes=3, features_per_class=2, alpha=10).tolist() == expected


def test_anchors_of_cac_are_alpha_times_the_identity() -> None:
    assert anchors(classes=2, features_per_class=1, alpha=4.0).tolist() == [[4, 0], [0, 4]]


def test_radius_and_distance_are_the_papers() -> None:
    assert anchor_distance(features_per_class=5, alpha=10) == pytest.approx(31.6228, abs=1e-4)
    assert radius(DifairSpec()) == pytest.approx(12.649, abs=1e-3)


def test_any_two_anchors_are_anchor_distance_apart() -> None:
    points_KD = anchors(classes=4, features_per_class=3, alpha=2.0)
    apart = distances(points_KD, points_KD)
    expected = (1 - torch.eye(4)) * anchor_distance(features_per_class=3, alpha=2.0)
    torch.testing.assert_close(apart, expected)


def test_distances_of_appendix_b() -> None:
    z = torch.tensor([[10.0, 10, 4, 0, 0, 0], [7, 6, 0, 0, 0, 0]])
    found = distances(z, anchors(classes=3, features_per_class=2, alpha=10))
    # To the first anchor 4 (the paper's example) and sqrt(3^2 + 4^2) = 5; to the second sqrt(100 + 100 + 36 + 100).
    assert found[:, 0].tolist() == [4.0, 5.0]
    assert found[0, 1].item() == pytest.approx(336**0.5)


def test_distance_is_accurate_near_a_far_away_anchor() -> None:
    point = torch.full((1, 4), 1000.0)
    near = point + 2**-10
    assert distances(near, point).item() == 2 * 2**-10


def test_gradient_at_distance_0_is_0() -> None:
    points_KD = anchors(classes=2, features_per_class=2, alpha=10)
    z = points_KD.clone().requires_grad_()
    distances(z, points_KD).diagonal().sum().backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert z.grad.tolist() == [[0.0] * 4] * 2


@pytest.mark.parametrize(
    ("given", "found"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_precision_is_at_least_float32(given: torch.dtype, found: torch.dtype) -> None:
    assert distances(torch.ones(1, 2, dtype=given), torch.eye(2)).dtype == found
