"""Scores against numbers worked by hand, and where float32 would lose the order."""

import math

import pytest
import torch

from difair_hpc.osr import scores


def test_msp_is_one_minus_the_largest_probability() -> None:
    # softmax(log 3, 0) = (3/4, 1/4)
    assert scores.msp(torch.tensor([[math.log(3.0), 0.0]])).item() == pytest.approx(0.25)


def test_msp_orders_images_whose_softmax_saturates() -> None:
    found = scores.msp(torch.tensor([[60.0, 0.0, 0.0], [80.0, 0.0, 0.0], [0.0, 300.0, 0.0]]))
    assert found[0].item() == pytest.approx(2 * math.exp(-60), rel=1e-12)
    assert found[0] > found[1] > found[2] > 0


def test_msp_does_not_change_with_a_shift_and_is_worst_for_equal_logits() -> None:
    found = scores.msp(torch.tensor([[1.0, 2.0, 3.0], [1001.0, 1002.0, 1003.0], [5.0, 5.0, 5.0]]))
    assert found[0].item() == pytest.approx(found[1].item())
    assert found[2].item() == pytest.approx(2 / 3)


def test_mos_is_minus_the_largest_single_output() -> None:
    assert scores.mos(torch.tensor([[1.0, 5.0, -2.0], [-3.0, -1.0, -2.0]])).tolist() == [-5.0, 1.0]


def test_distance_is_the_least() -> None:
    assert scores.distance(torch.tensor([[3.0, 1.0], [2.0, 4.0]])).tolist() == [1.0, 2.0]


def test_gamma_by_hand() -> None:
    # softmin(1, 1 + log 3) = (3/4, 1/4): gamma = (1 * 1/4, 2.0986123 * 3/4).
    gamma = scores.cac_gamma(torch.tensor([[1.0, 1.0 + math.log(3.0)]], dtype=torch.float64))
    assert gamma[0].tolist() == pytest.approx([0.25, 1.5739592])
    assert scores.cac(gamma).tolist() == pytest.approx([0.25])


def test_gamma_keeps_its_digits_where_the_softmin_saturates() -> None:
    gamma = scores.cac_gamma(torch.tensor([[1.0, 61.0, 61.0]]))
    assert gamma[0, 0].item() == pytest.approx(2 * math.exp(-60), rel=1e-12)
    assert gamma[0, 1].item() == pytest.approx(61.0)


def test_gamma_of_an_image_does_not_depend_on_its_batch() -> None:
    # The public code of DIFAIR's authors normalises over the whole array.
    distances = torch.rand(6, 4, generator=torch.Generator().manual_seed(1)) * 14
    alone = torch.cat([scores.cac_gamma(row[None]) for row in distances])
    assert torch.equal(scores.cac_gamma(distances), alone)


@pytest.mark.parametrize("score", [scores.msp, scores.mos, scores.distance, scores.cac])
def test_every_score_is_one_float64_per_image(score: object) -> None:
    assert callable(score)
    found = score(torch.rand(5, 3))
    assert found.shape == (5,)
    assert found.dtype == torch.float64
