"""Scores that need no training of their own, against numbers worked by hand and direct formulas."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import weibull_min

from difair_hpc.osr import posthoc, scores
from difair_hpc.osr.openmax import openmax


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_energy_and_gen_by_hand() -> None:
    logits = torch.tensor([[math.log(3), 0.0]])
    assert scores.energy(logits).item() == pytest.approx(-math.log(4), abs=1e-6)
    assert scores.gen(logits).item() == pytest.approx(2 * (0.75 * 0.25) ** 0.1, abs=1e-6)


def test_gen_still_orders_images_where_a_float32_softmax_is_1() -> None:
    found = scores.gen(torch.tensor([[60.0, 0.0], [50.0, 0.0], [40.0, 0.0]])).tolist()
    # (e^-60)^0.1 (1)^0.1, twice.
    assert found == pytest.approx([2 * math.exp(-6), 2 * math.exp(-5), 2 * math.exp(-4)], rel=1e-9)


def test_knn_is_the_distance_to_the_50th_neighbour() -> None:
    bank = torch.arange(60, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    found = posthoc.knn(bank, torch.tensor([[0.0, 0.0], [59.0, 1.0]]), normalised=False)
    assert found.tolist() == pytest.approx([49.0, math.hypot(49.0, 1.0)])


def test_normalised_knn_sees_directions_only_and_takes_the_farthest_of_few() -> None:
    bank = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    found = posthoc.knn(bank, torch.tensor([[0.1, 0.0], [7.0, 7.0]]), normalised=True)
    assert found.tolist() == pytest.approx([math.sqrt(2), math.sqrt(2 - math.sqrt(2))])


def test_rmds_is_the_difference_of_two_mahalanobis_distances() -> None:
    train, labels, values = _draw(40, 3), torch.arange(40) % 2, _draw(5, 3, seed=1)
    means = torch.stack([train[labels == label].mean(0) for label in (0, 1)])
    within = (train - means[labels]).T @ (train - means[labels]) / 40
    whole = (train - train.mean(0)).T @ (train - train.mean(0)) / 40

    def squared(offsets: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = (offsets @ torch.linalg.inv(covariance) * offsets).sum(-1)
        return found

    to_class = torch.stack([squared(values - mean, within) for mean in means]).amin(0)
    expected = to_class - squared(values - train.mean(0), whole)
    assert torch.allclose(posthoc.rmds(train, labels, values), expected, rtol=1e-4)


def test_rmds_bears_features_that_never_vary() -> None:
    train = torch.cat([_draw(30, 2), torch.zeros(30, 2, dtype=torch.float64)], dim=1)
    found = posthoc.rmds(train, torch.arange(30) % 3, _draw(4, 4, seed=2))
    assert torch.isfinite(found).all()


def test_vim_by_hand() -> None:
    # Training features vary along the first 64 axes by much and along the 65th by 0.1: that axis is left outside.
    train = torch.diag(torch.tensor([10.0] * 64 + [0.1], dtype=torch.float64)).repeat(2, 1)
    logits = torch.full((130, 2), 0.5)
    found = posthoc.vim(train, logits, torch.eye(65)[[0, 64]] * 2, torch.tensor([[1.0, 1.0], [1.0, 1.0]]))
    # Mean length outside is 2 * 0.1 / 130; the scale 0.5 / that = 325. Energies log(2 e).
    energy = 1 + math.log(2)
    assert found.tolist() == pytest.approx([-energy, 325 * 2 - energy], rel=1e-6, abs=1e-6)


def test_openmax_by_hand() -> None:
    # Class 0: 30 correct images at distances 0.1 to 3.0 either side of their mean; class 1 has no spread.
    offsets = torch.cat([torch.arange(1, 16), -torch.arange(1, 16)]).double() / 5
    first = torch.stack([8 + offsets, torch.zeros(30, dtype=torch.float64)], dim=1)
    second = torch.tensor([[0.0, 6.0]], dtype=torch.float64).repeat(4, 1)
    labels = torch.tensor([0] * 30 + [1] * 4)
    found = openmax(torch.cat([first, second]), labels, torch.tensor([[4.0, 1.0], [8.0, 1.0]]))
    tail = np.sort(np.abs(offsets.numpy()))[-20:]
    shape, _, scale = weibull_min.fit(tail - tail[0] + 1, floc=0)
    # Both classes are revised by rank (shares 1 and 1/2); class 1 has no distribution, so it keeps its logit.
    for score, value, distance in zip(found.tolist(), (4.0, 8.0), (math.hypot(4, 1), 1.0), strict=True):
        taken = value * float(weibull_min.cdf(max(distance - tail[0] + 1, 0), shape, scale=scale))
        assert score == pytest.approx(taken - math.log(math.exp(value - taken) + math.e))


def test_openmax_calls_a_far_image_more_unknown_than_a_near_one() -> None:
    train = _draw(200, 3) + 10 * torch.eye(3, dtype=torch.float64)[torch.arange(200) % 3]
    found = openmax(train, torch.arange(200) % 3, torch.tensor([[10.0, 0.0, 0.0], [10.0, 9.0, 8.0]]))
    assert found[1] > found[0]
