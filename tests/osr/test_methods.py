"""The methods: what each predicts, scores and keeps, with numbers worked by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from difair_hpc.osr.anchors import radius
from difair_hpc.osr.method import Assessment, Centres, Method
from difair_hpc.osr.methods import make_method
from difair_hpc.osr.spec import (
    METHOD_SPECS,
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
from difair_hpc.osr.vgg32 import VGG32, NetworkOutput

GOLDEN = Path(__file__).parent / "golden" / "cac_k4.npz"
SPECS: list[MethodSpec] = [
    CrossEntropySpec(),
    CacSpec(),
    DifairSpec(),
    DifairStdSpec(),
    ArplSpec(),
    DchsSpec(margin=1.0),
]
HEAD = {"points": torch.randn(3, 128, generator=torch.Generator().manual_seed(3)), "radius": torch.zeros(())}
NAMES = [spec.name for spec in SPECS]
TINY = DifairSpec(alpha=10.0, features_per_class=2)  # anchors 20 apart, radius 8 (appendix B's numbers)


def _output(method: Method, *, classes: int = 3, images: int = 9, seed: int = 0) -> NetworkOutput:
    generator = torch.Generator().manual_seed(seed)
    if method.features_per_class is None:
        return NetworkOutput(
            torch.rand(images, 128, generator=generator), 8 * torch.randn(images, classes, generator=generator)
        )
    return NetworkOutput(8 * torch.randn(images, classes * method.features_per_class, generator=generator), None)


def _linear(features: list[list[float]], logits: list[list[float]]) -> NetworkOutput:
    return NetworkOutput(torch.tensor(features), torch.tensor(logits))


@pytest.mark.parametrize(
    ("spec", "head", "names", "needs_centres"),
    [
        (CrossEntropySpec(), None, ("msp", "mos", "celr"), True),
        (CacSpec(), None, ("cac", "mos"), True),
        (DifairSpec(features_per_class=7), 7, ("distance", "mos"), False),
        (DifairStdSpec(), 5, ("distance", "mos"), False),
        (ArplSpec(), None, ("arpl",), False),
        (ArplCsSpec(), None, ("arpl",), False),
        (DchsSpec(), None, ("dchs",), False),
    ],
)
def test_a_method_says_what_it_needs_and_gives(
    spec: MethodSpec, head: int | None, names: tuple[str, ...], needs_centres: bool
) -> None:
    method = make_method(spec, 3)
    assert (method.features_per_class, method.score_names, method.needs_centres) == (head, names, needs_centres)


def test_every_spec_has_a_method() -> None:
    assert {type(make_method(kind(), 3)).__name__ for kind in METHOD_SPECS.values()} == {
        "CrossEntropy",
        "Cac",
        "Difair",
        "DifairStd",
        "Arpl",
        "ArplCs",
        "Dchs",
    }


def _assess(method: Method, output: NetworkOutput) -> Assessment:
    labels = torch.arange(9) % 3
    return method.assess(output, method.centres(_output(method, seed=1), labels, HEAD))


@pytest.mark.parametrize("spec", SPECS, ids=NAMES)
def test_assessment_is_float64_and_detached_and_follows_a_permutation(spec: MethodSpec) -> None:
    method = make_method(spec, 3)
    output = _output(method)
    output.features_BD.requires_grad_()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    permuted = NetworkOutput(output.features_BD[order], None if output.logits_BK is None else output.logits_BK[order])
    plain, moved = _assess(method, output), _assess(method, permuted)
    assert tuple(plain.scores) == method.score_names
    assert plain.predictions_B.dtype == torch.int64
    assert torch.equal(moved.predictions_B, plain.predictions_B[order])
    assert plain.distances_BK is not None
    assert plain.distances_BK.shape == (9, 3)
    for name, values in plain.scores.items():
        assert (values.shape, values.dtype, values.requires_grad) == ((9,), torch.float64, False)
        assert torch.equal(moved.scores[name], values[order])


@pytest.mark.parametrize("spec", SPECS, ids=NAMES)
def test_a_step_of_the_network_has_finite_gradients_everywhere(spec: MethodSpec) -> None:
    method = make_method(spec, 3)
    network = VGG32(
        channels=1,
        classes=3,
        features_per_class=method.features_per_class,
        points=method.points,
        spec=NetworkSpec(dropout_rate=0.0),
        generator=torch.Generator().manual_seed(0),
    )
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    loss = method.loss(network(images), torch.tensor([0, 1, 2, 0]), network.head)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.shape == ()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_cross_entropy_by_hand() -> None:
    method = make_method(CrossEntropySpec(), 2)
    output = _linear([[0.0, 3.0], [4.0, 0.0]], [[math.log(3), 0.0], [0.0, 5.0]])
    # -log(3/4) and -log(1 / (1 + e^5)) = 5.0067153, mean of the two.
    loss = method.loss(output, torch.tensor([0, 0]), {})
    assert loss.item() == pytest.approx((0.2876821 + 5.0067153) / 2, abs=1e-6)
    found = method.assess(output, Centres(points_KD=torch.tensor([[0.0, 0.0], [4.0, 3.0]])))
    assert found.predictions_B.tolist() == [0, 1]
    assert found.scores["msp"].tolist() == pytest.approx([0.25, 1 / (1 + math.e**5)], abs=1e-7)
    assert found.scores["mos"].tolist() == pytest.approx([-1.0986123, -5.0])
    assert found.scores["celr"].tolist() == [3.0, 3.0]
    assert found.distances_BK is not None
    assert found.distances_BK.tolist() == [[3.0, 4.0], [4.0, 3.0]]


def test_celr_centres_are_means_of_correctly_classified_images() -> None:
    method = make_method(CrossEntropySpec(), 2)
    features = [[1.0, 1.0], [3.0, 5.0], [100.0, 100.0], [7.0, 8.0]]
    logits = [[2.0, 1.0], [2.0, 1.0], [1.0, 2.0], [1.0, 2.0]]
    centres = method.centres(_linear(features, logits), torch.tensor([0, 0, 0, 1]), {})
    assert centres.points_KD is not None
    assert centres.points_KD.tolist() == [[2.0, 3.0], [7.0, 8.0]]
    assert centres.warnings == ()


def test_celr_centre_of_a_class_that_is_never_right_is_the_mean_of_all_its_images() -> None:
    method = make_method(CrossEntropySpec(), 2)
    output = _linear([[1.0, 0.0], [2.0, 4.0], [4.0, 8.0]], [[1.0, 0.0]] * 3)
    centres = method.centres(output, torch.tensor([0, 1, 1]), {})
    assert centres.points_KD is not None
    assert centres.points_KD.tolist() == [[1.0, 0.0], [3.0, 6.0]]
    assert centres.warnings == (
        "class 1 has no correctly classified training image: its centre is the mean of all its images",
    )


def test_celr_refuses_a_class_without_images() -> None:
    method = make_method(CrossEntropySpec(), 2)
    with pytest.raises(ValueError, match="none has the label 1"):
        method.centres(_linear([[1.0, 0.0]], [[1.0, 0.0]]), torch.tensor([0]), {})


@pytest.mark.parametrize("spec", [CrossEntropySpec(), CacSpec()], ids=["cross_entropy", "cac"])
def test_missing_centres_are_refused(spec: MethodSpec) -> None:
    method = make_method(spec, 3)
    with pytest.raises(ValueError, match=f"{spec.name} needs class centres"):
        method.assess(_output(method), Centres())


def test_cac_loss_is_that_of_its_authors() -> None:
    golden = np.load(GOLDEN)
    logits = torch.from_numpy(golden["logits"])
    loss = make_method(CacSpec(), 4).loss(
        NetworkOutput(torch.zeros(16, 128), logits), torch.from_numpy(golden["labels"]), {}
    )
    assert loss.item() == pytest.approx(golden["total_anchor_tuplet"][0], rel=1e-6)


def test_cac_centres_are_mean_logits_of_the_correct_and_else_the_anchor() -> None:
    method = make_method(CacSpec(alpha=10.0), 3)
    logits = [[8.0, 0.0, 0.0], [6.0, 2.0, 0.0], [0.0, 9.0, 0.0], [0.0, 4.0, 2.0]]
    centres = method.centres(_linear([[0.0]] * 4, logits), torch.tensor([0, 0, 0, 1]), {})
    assert centres.points_KD is not None
    # The third image is of class 0 but its largest logit is 1; class 1 has one correct image, class 2 none.
    assert centres.points_KD.tolist() == [[7.0, 1.0, 0.0], [0.0, 4.0, 2.0], [0.0, 0.0, 10.0]]
    assert centres.warnings == ("class 2 has no correctly classified training image: its centre is its anchor",)


def test_cac_predicts_the_least_gamma_to_its_centres_not_the_largest_logit() -> None:
    method = make_method(CacSpec(), 2)
    centres = Centres(points_KD=torch.tensor([[0.0, 0.0], [9.0, 0.0]]))
    found = method.assess(_linear([[0.0]], [[8.0, 0.0]]), centres)
    # Distances 8 and 1; softmin of the nearer one is 1 / (1 + e^-7), so its gamma is 1 / (1 + e^7).
    assert found.predictions_B.tolist() == [1]
    assert found.scores["cac"].item() == pytest.approx(1 / (1 + math.e**7))
    assert found.scores["mos"].item() == -8.0


def _four_images() -> Tensor:
    # At the anchor of class 0; 4 beside it; 8 beside it, which is on the sphere; at the origin.
    return torch.tensor([[10.0, 10, 0, 0], [10, 10, 4, 0], [10, 10, 0, 8], [0, 0, 0, 0]])


def test_difair_by_hand() -> None:
    method = make_method(TINY, 2)
    output = NetworkOutput(_four_images(), None)
    labels = torch.tensor([0, 0, 0, 0])
    inside = method.inside(output, labels)
    assert inside is not None
    assert radius(TINY) == pytest.approx(8.0)
    assert inside.tolist() == [True, True, True, False]
    # Only the origin is outside: sqrt(200) - 8, over 4 images.
    assert method.loss(output, labels, {}).item() == pytest.approx((200**0.5 - 8) / 4)
    found = method.assess(output, Centres())
    assert found.predictions_B[:3].tolist() == [0, 0, 0]
    assert found.scores["distance"].tolist() == pytest.approx([0, 4, 8, 200**0.5])
    assert found.scores["mos"].tolist() == [-10, -10, -10, 0]


def test_inside_asks_for_the_hypersphere_of_the_true_class() -> None:
    inside = make_method(TINY, 2).inside(NetworkOutput(_four_images(), None), torch.tensor([1, 0, 1, 1]))
    assert inside is not None
    assert inside.tolist() == [False, True, False, False]


@pytest.mark.parametrize("spec", [CrossEntropySpec(), CacSpec()], ids=["cross_entropy", "cac"])
def test_methods_without_hyperspheres_have_no_inside(spec: MethodSpec) -> None:
    method = make_method(spec, 3)
    assert method.inside(_output(method), torch.zeros(9, dtype=torch.int64)) is None


def test_difair_keeps_its_anchors_after_training() -> None:
    method = make_method(TINY, 2)
    centres = method.centres(NetworkOutput(_four_images(), None), torch.tensor([0, 0, 0, 1]), {})
    assert centres.points_KD is not None
    assert centres.points_KD.tolist() == [[10, 10, 0, 0], [0, 0, 10, 10]]


def test_difair_std_adds_the_loss_on_the_spread_of_weights() -> None:
    output, labels = NetworkOutput(_four_images(), None), torch.tensor([0, 0, 0, 0])
    head = {"weight": torch.tensor([1.0, 3.0, 0.0, 0.5])[:, None, None, None].expand(-1, 128, 3, 3)}
    spec = DifairStdSpec(alpha=10.0, features_per_class=2)
    # Spreads 1 and 0.25: 2 e^-3 + 2 e^-0.75 = 1.0443073.
    difference = make_method(spec, 2).loss(output, labels, head) - make_method(TINY, 2).loss(output, labels, head)
    assert difference.item() == pytest.approx(1.0443073, abs=1e-5)


def test_smoothing_gives_the_others_an_equal_share_and_the_true_class_the_rest() -> None:
    output = _linear([[0.0]], [[math.log(2), 0.0, 0.0]])
    loss = make_method(CrossEntropySpec(label_smoothing=0.9), 3).loss(output, torch.tensor([0]), {})
    # Softmax 1/2, 1/4, 1/4 against a target of 0.1, 0.45, 0.45.
    assert loss.item() == pytest.approx(0.1 * math.log(2) + 0.9 * math.log(4), abs=1e-6)


def test_cac_as_in_difairs_code_counts_the_true_class_and_takes_one_softmin_over_all_images() -> None:
    logits = torch.tensor([[10.0, 0.0], [0.0, 0.0]])
    labels = torch.tensor([0, 0])
    spec = CacSpec(variant="difair_code")
    loss = make_method(spec, 2).loss(NetworkOutput(torch.zeros(2, 1), logits), labels, {})
    # Distances (0, sqrt 200) and (10, 10): anchor terms 0 and 10, tuplet log(2 + e^-14.142) and log(2 + 1).
    tuplet = (math.log(2 + math.exp(-(200**0.5))) + math.log(3)) / 2
    assert loss.item() == pytest.approx(0.1 * 5 + tuplet, abs=1e-5)
    centres = Centres(points_KD=10 * torch.eye(2))
    gamma = make_method(spec, 2).assess(NetworkOutput(torch.zeros(2, 1), logits), centres).scores["cac"]
    # The nearest of all takes the whole softmin; the second image keeps its distance.
    assert gamma.tolist() == pytest.approx([0.0, 10.0], abs=1e-3)
