"""Which scores a method has, and that they follow from outputs alone."""

import pytest
import torch

from difair_hpc.osr.evaluation import Assessed, assess
from difair_hpc.osr.evaluation import evaluate as measured
from difair_hpc.osr.method import Method
from difair_hpc.osr.methods import make_method
from difair_hpc.osr.metrics import Evaluation
from difair_hpc.osr.outputs import Outputs, Part
from difair_hpc.osr.spec import ArplSpec, CacSpec, CrossEntropySpec, DchsSpec, DifairSpec, MethodSpec

CLASSES = 3


def _part(method: str, images: int, seed: int) -> Part:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % CLASSES
    if method == "difair":
        own = torch.eye(CLASSES).repeat_interleave(5, dim=1)[labels]
        return Part(features_BD=8 * own + torch.randn(images, 15, generator=generator), logits_BK=None, labels_B=labels)
    features = torch.rand(images, 128, generator=generator)
    logits = 5 * torch.eye(CLASSES)[labels] + torch.randn(images, CLASSES, generator=generator)
    linear = method in ("cross_entropy", "cac")
    return Part(features_BD=features, logits_BK=logits if linear else None, labels_B=labels)


def _outputs(method: str, *, unknown: int = 12) -> Outputs:
    head = {"points": torch.randn(CLASSES, 128, generator=torch.Generator().manual_seed(9)), "radius": torch.ones(())}
    return Outputs(train=_part(method, 90, 0), known=_part(method, 30, 1), unknown=_part(method, unknown, 2), head=head)


def evaluate(method: Method, outputs: Outputs) -> tuple[Evaluation, Assessed]:
    found = assess(method, outputs)
    return measured(method, outputs, found, range(CLASSES)), found


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (CrossEntropySpec(), ["msp", "mos", "celr", "energy", "gen", "knn", "rmds", "vim", "openmax"]),
        (CacSpec(), ["cac", "mos", "energy", "gen", "knn", "rmds", "knn_z", "rmds_z", "vim"]),
        (DifairSpec(), ["distance", "mos", "knn", "rmds", "knn_z"]),
        (ArplSpec(), ["arpl", "energy", "gen", "knn", "rmds"]),
        (DchsSpec(), ["dchs", "knn", "rmds", "knn_z"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_score_that_fits_is_measured_in_every_way(spec: MethodSpec, names: list[str]) -> None:
    evaluation, found = evaluate(make_method(spec, CLASSES), _outputs(spec.name))
    for metric in (evaluation.auroc, evaluation.oscr, evaluation.fpr95, evaluation.aupr, found.known.scores):
        assert list(metric) == names
    assert (evaluation.known_images, evaluation.unknown_images) == (30, 12)
    assert all(values.dtype == torch.float64 for values in found.unknown.scores.values())


def test_without_unknown_images_there_is_accuracy_alone() -> None:
    evaluation, found = evaluate(make_method(CrossEntropySpec(), CLASSES), _outputs("cross_entropy", unknown=0))
    assert evaluation.auroc == {}
    assert evaluation.closed_set_accuracy > 0.9
    assert len(found.unknown.predictions_B) == 0


def test_scores_do_not_look_at_the_unknown() -> None:
    method, outputs = make_method(CacSpec(), CLASSES), _outputs("cac")
    alone = evaluate(method, _outputs("cac", unknown=0))[1]
    both = evaluate(method, outputs)[1]
    assert all(torch.equal(alone.known.scores[name], values) for name, values in both.known.scores.items())


def test_only_the_unknown_classes_that_are_asked_for_count() -> None:
    method, outputs = make_method(DifairSpec(), CLASSES), _outputs("difair")
    found = assess(method, outputs)
    some = measured(method, outputs, found, [0, 2])
    rest = measured(method, outputs, found, [1])
    whole = measured(method, outputs, found, [0, 1, 2])
    assert (some.unknown_images, rest.unknown_images, whole.unknown_images) == (8, 4, 12)
    # AUROC is a mean over pairs.
    assert whole.auroc["mos"] == pytest.approx((8 * some.auroc["mos"] + 4 * rest.auroc["mos"]) / 12)
