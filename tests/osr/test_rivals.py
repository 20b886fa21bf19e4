"""ARPL and DCHS against numbers worked by hand."""

import math

import pytest
import torch

from difair_hpc.osr.method import Centres
from difair_hpc.osr.methods import make_method
from difair_hpc.osr.rivals import reciprocal
from difair_hpc.osr.spec import ArplSpec, DchsSpec, NetworkSpec
from difair_hpc.osr.vgg32 import VGG32, NetworkOutput, PointSpec

FEATURES = torch.tensor([[1.0, 2.0], [0.0, 4.0]])
POINTS = torch.tensor([[1.0, 0.0], [0.0, 2.0]])


def test_arpls_logit_is_the_mean_squared_difference_minus_the_whole_dot_product() -> None:
    logits_BK, distances_BK = reciprocal(FEATURES, POINTS)
    # (0 + 4)/2 and (1 + 0)/2; (1 + 16)/2 and (0 + 4)/2. Dot products 1, 4, 0, 8.
    assert distances_BK.tolist() == [pytest.approx([2.0, 0.5]), pytest.approx([8.5, 2.0])]
    assert logits_BK.tolist() == [pytest.approx([1.0, -3.5]), pytest.approx([8.5, -6.0])]


def test_arpl_by_hand() -> None:
    method = make_method(ArplSpec(), 2)
    head = {"points": POINTS, "radius": torch.tensor(1.5)}
    loss = method.loss(NetworkOutput(FEATURES, None), torch.tensor([0, 1]), head)
    # Cross-entropies log(1 + e^-4.5) and log(1 + e^14.5); beyond the radius: 2 - 1.5 + 1 and 2 - 1.5 + 1.
    expected = (math.log1p(math.exp(-4.5)) + math.log1p(math.exp(14.5))) / 2 + 0.1 * 1.5
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    found = method.assess(NetworkOutput(FEATURES, None), Centres(points_KD=POINTS))
    assert found.predictions_B.tolist() == [0, 0]
    assert found.scores["arpl"].tolist() == pytest.approx([-1.0, -8.5])


def test_arpls_radius_grows_by_the_share_of_images_beyond_it() -> None:
    radius = torch.tensor(2.5, requires_grad=True)
    head = {"points": POINTS, "radius": radius}
    loss = make_method(ArplSpec(), 2).loss(NetworkOutput(FEATURES, None), torch.tensor([1, 0]), head)
    loss.backward()  # type: ignore[no-untyped-call]
    # Distances 0.5 and 8.5 against radius - 1 = 1.5: one of two.
    assert radius.grad is not None
    assert radius.grad.item() == pytest.approx(-0.05)


def test_dchs_by_hand() -> None:
    method = make_method(DchsSpec(margin=5.0), 2)
    loss = method.loss(NetworkOutput(FEATURES, None), torch.tensor([0, 1]), {"points": POINTS})
    # Squared distances [4, 1] and [17, 4]. Compactness (4 + 4) / (2 * 2 * 2); between max(0, 5 + 4 - 1) and
    # max(0, 5 + 4 - 17), over 2 * 2 * 2.
    assert loss.item() == pytest.approx(8 / 8 + 8 / 8)
    found = method.assess(NetworkOutput(FEATURES, None), Centres(points_KD=POINTS))
    assert found.predictions_B.tolist() == [1, 1]
    assert found.scores["dchs"].tolist() == pytest.approx([1.0, 2.0])


def test_the_point_head_averages_and_draws_its_points_from_the_generator() -> None:
    network = VGG32(
        channels=1,
        classes=50,
        features_per_class=None,
        points=PointSpec(scale=0.1, radius=True),
        spec=NetworkSpec(),
        generator=torch.Generator().manual_seed(0),
    )
    output = network(torch.zeros(2, 1, 8, 8))
    assert output.logits_BK is None
    assert output.features_BD.shape == (2, 128)
    assert {name: tuple(tensor.shape) for name, tensor in network.head.items()} == {"points": (50, 128), "radius": ()}
    assert network.head["points"].std().item() == pytest.approx(0.1, rel=0.05)
    assert network.head["radius"].item() == 0.0
