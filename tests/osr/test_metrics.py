"""Metrics against numbers worked by hand, brute force over pairs, and scikit-learn."""

import itertools
import json

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from difair_hpc.osr.method import Assessment
from difair_hpc.osr.metrics import aupr, auroc, evaluate, fpr95, oscr


def test_auroc_by_hand() -> None:
    # Pairs known < unknown: (1,2) (1,4) (2,4) (3,4) are right, (2,2) is a tie, (3,2) is wrong: 4.5 of 6.
    assert auroc([1, 2, 3], [2, 4]) == 0.75


def test_oscr_by_hand() -> None:
    # Without credit for the known image 2, which is misclassified: (1,2) (1,4) (3,4) of 6.
    assert oscr([1, 2, 3], [True, False, True], [2, 4]) == 0.5


def test_aupr_by_hand() -> None:
    # From the top: 4 unknown (precision 1, recall 1/2), 3 known, then known 2 and unknown 2 together (2 of 4).
    assert aupr([1, 2, 3], [2, 4]) == pytest.approx(0.5 * 1 + 0.5 * 0.5)


def test_fpr95_by_hand() -> None:
    # 19 of 20 known images are 95 %: the threshold is 18, which accepts the first two unknown images of four.
    assert fpr95(range(20), [3, 18, 18.5, 30]) == 0.5
    # Of 3 known images, 2 are too few: the threshold is the largest.
    assert fpr95([1, 2, 3], [2, 3, 4, 5]) == 0.5


@pytest.mark.parametrize("known", [20, 60, 100, 140, 1000, 6000])
def test_fpr95_threshold_accepts_exactly_95_percent(known: int) -> None:
    last_accepted = known * 95 // 100 - 1
    assert fpr95(np.arange(known), [last_accepted, last_accepted + 0.5]) == 0.5


def _sides(seed: int, *, levels: int) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, levels, 37), rng.random(37) < 0.7, rng.integers(levels // 3, levels + 2, 23)


@pytest.mark.parametrize(("seed", "levels"), [(0, 3), (1, 10), (2, 1000), (3, 1)])
def test_oscr_is_the_mean_over_all_pairs(seed: int, levels: int) -> None:
    known, correct, unknown = _sides(seed, levels=levels)
    pairs = itertools.product(zip(known, correct, strict=True), unknown)
    credit = sum(c * (float(k < u) + 0.5 * float(k == u)) for (k, c), u in pairs)
    assert oscr(known, correct, unknown) == pytest.approx(credit / (known.size * unknown.size), abs=1e-15)


@pytest.mark.parametrize(("seed", "levels"), [(0, 3), (1, 10), (2, 1000)])
def test_auroc_is_that_of_scikit_learn(seed: int, levels: int) -> None:
    known, _, unknown = _sides(seed, levels=levels)
    truth = np.repeat([0, 1], [known.size, unknown.size])
    assert auroc(known, unknown) == pytest.approx(roc_auc_score(truth, np.concatenate([known, unknown])))


def test_scores_that_float32_would_merge_are_told_apart() -> None:
    assert auroc([1e-40, 2e-40], [3e-40]) == 1.0


def test_all_ties_are_one_half_and_perfect_separation_is_one() -> None:
    assert auroc([1, 1], [1, 1, 1]) == 0.5
    assert (auroc([1, 2], [3, 4]), fpr95([1, 2], [3, 4]), aupr([1, 2], [3, 4])) == (1.0, 0.0, 1.0)
    assert (auroc([3, 4], [1, 2]), fpr95([3, 4], [1, 2])) == (0.0, 1.0)


def test_order_of_images_does_not_matter() -> None:
    known, correct, unknown = _sides(5, levels=8)
    order = np.random.default_rng(6).permutation(known.size)
    assert oscr(known[order], correct[order], unknown[::-1]) == oscr(known, correct, unknown)


@pytest.mark.parametrize("metric", [auroc, fpr95, aupr])
def test_an_empty_side_is_refused(metric: object) -> None:
    assert callable(metric)
    with pytest.raises(ValueError, match="unknown images: there is not a single score"):
        metric([1.0], [])


def test_oscr_wants_one_flag_per_image() -> None:
    with pytest.raises(ValueError, match="one flag per known score"):
        oscr([1, 2], [True], [3])


def _assessment(predictions: list[int], **values: list[float]) -> Assessment:
    named = {name: torch.tensor(column, dtype=torch.float64) for name, column in values.items()}
    return Assessment(predictions_B=torch.tensor(predictions), scores=named, distances_BK=None)


def test_evaluate_computes_every_metric_for_every_score() -> None:
    known = _assessment([0, 1, 1], distance=[1.0, 2.0, 3.0], mos=[-9.0, -8.0, -7.0])
    unknown = _assessment([0, 0], distance=[2.0, 4.0], mos=[-1.0, -2.0])
    found = evaluate(known, torch.tensor([0, 0, 1]), torch.tensor([True, False, False]), unknown)
    assert found.closed_set_accuracy == pytest.approx(2 / 3)
    assert found.occupancy == pytest.approx(1 / 3)
    assert found.auroc == {"distance": 0.75, "mos": 1.0}
    assert found.oscr == {"distance": 0.5, "mos": pytest.approx(2 / 3)}
    assert found.fpr95 == {"distance": 0.5, "mos": 0.0}
    assert found.aupr == {"distance": pytest.approx(0.75), "mos": 1.0}
    assert (found.known_images, found.unknown_images) == (3, 2)
    assert json.loads(json.dumps(found.to_dict()))["auroc"] == {"distance": 0.75, "mos": 1.0}


@pytest.mark.parametrize("unknown", [None, _assessment([], mos=[])])
def test_without_unknown_images_the_open_set_metrics_are_empty(unknown: Assessment | None) -> None:
    found = evaluate(_assessment([0, 1], mos=[1.0, 2.0]), torch.tensor([0, 1]), None, unknown)
    assert (found.closed_set_accuracy, found.occupancy, found.unknown_images) == (1.0, None, 0)
    assert (found.auroc, found.oscr, found.fpr95, found.aupr) == ({}, {}, {}, {})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_that_is_not_a_number_is_refused_by_name(bad: float) -> None:
    labels = torch.tensor([0, 1])
    fine = _assessment([0, 1], mos=[1.0, 2.0], celr=[1.0, 2.0])
    broken = _assessment([0, 1], mos=[1.0, 2.0], celr=[1.0, bad])
    with pytest.raises(ValueError, match="score celr of the unknown images: 1 of 2 scores"):
        evaluate(fine, labels, None, broken)
    with pytest.raises(ValueError, match="score celr of the known images"):
        evaluate(broken, labels, None, None)
