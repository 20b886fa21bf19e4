"""Closed-set accuracy, hypersphere occupancy, AUROC, OSCR, FPR95 and AUPR of one evaluation (DIFAIR sections 4, C).

Scores are larger for images that are more likely unknown. Metrics are shares from 0 to 1. Shape: B images.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from difair_hpc.osr.method import Assessment

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The metrics of one trained network on one split; the dictionaries have one entry per score name."""

    closed_set_accuracy: float
    """Share of known images whose class is predicted correctly (Table 2)."""
    occupancy: float | None
    """Share of known images inside the hypersphere of their true class (C); None for methods without hyperspheres."""
    auroc: dict[str, float]
    """Chance that an unknown image scores above a known one (Table 1); empty without unknown images."""
    oscr: dict[str, float]
    """The same, where only correctly classified known images earn credit; empty without unknown images."""
    fpr95: dict[str, float]
    """Share of unknown images accepted when 95 % of the known are; empty without unknown images."""
    aupr: dict[str, float]
    """Average precision of detecting the unknown; empty without unknown images."""
    known_images: int
    """Known images counted, misclassified ones included."""
    unknown_images: int
    """Unknown images counted."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return asdict(self)


def _checked(scores: ArrayLike, what: str) -> Floats:
    """Return float64 scores.

    Raises:
        ValueError: If there are none or one is not finite: NaN has no place in an order and would pass silently.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        raise ValueError(f"{what}: there is not a single score")
    if bad := int(np.count_nonzero(~np.isfinite(values))):
        raise ValueError(f"{what}: {bad} of {values.size} scores are not finite (NaN or infinite): training diverged?")
    return values


def oscr(known_scores: ArrayLike, known_correct: ArrayLike, unknown_scores: ArrayLike) -> float:
    """Area under correct classification rate over false positive rate, exactly (Dhamija et al. 2018).

    It is the mean over all pairs of a known and an unknown image of: 1 if the known is correctly classified and scores
    lower, 1/2 if it is correct and they tie, else 0. Sorting once makes that O(n log n); ties need no order.

    Args:
        known_scores: Scores of the known images.
        known_correct: Whether each of them is classified correctly.
        unknown_scores: Scores of the unknown images.

    Raises:
        ValueError: If a side is empty, a score is not finite or the lengths differ.
    """
    known = _checked(known_scores, "known images")
    unknown = np.sort(_checked(unknown_scores, "unknown images"))
    correct = np.asarray(known_correct, dtype=bool)
    if correct.shape != known.shape:
        raise ValueError(f"one flag per known score is needed, not {correct.shape} for {known.shape}")
    not_above = np.searchsorted(unknown, known[correct], side="right")
    below = np.searchsorted(unknown, known[correct], side="left")
    # In halves, as whole numbers, so that the sum is exact.
    halves = int(np.sum(2 * unknown.size - not_above - below))
    return halves / (2 * known.size * unknown.size)


def auroc(known: ArrayLike, unknown: ArrayLike) -> float:
    """Area under the ROC curve, unknown positive: the chance that an unknown scores above a known, ties one half.

    All known images count, misclassified ones included.

    Raises:
        ValueError: If a side is empty or a score is not finite.
    """
    return oscr(known, np.ones(np.shape(known), dtype=bool), unknown)


def fpr95(known: ArrayLike, unknown: ArrayLike) -> float:
    """Share of unknown images accepted at the least threshold that accepts at least 95 % of the known.

    Known is the positive class; an image is accepted when its score is at most the threshold.

    Raises:
        ValueError: If a side is empty or a score is not finite.
    """
    accepted = np.sort(_checked(known, "known images"))
    needed = -(-95 * accepted.size // 100)  # whole numbers: 0.95 * n may round above an integer
    return float(np.mean(_checked(unknown, "unknown images") <= accepted[needed - 1]))


def aupr(known: ArrayLike, unknown: ArrayLike) -> float:
    """Average precision with unknown as the positive class.

    Raises:
        ValueError: If a side is empty or a score is not finite.
    """
    from sklearn.metrics import average_precision_score  # seconds to import: not before a resumed run trains

    sides = (_checked(known, "known images"), _checked(unknown, "unknown images"))
    truth = np.repeat([0, 1], [side.size for side in sides])
    return float(average_precision_score(truth, np.concatenate(sides)))


def _numpy(values_B: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = values_B.detach().cpu().numpy()
    return array


def _named_scores(assessment: Assessment, side: str) -> dict[str, Floats]:
    return {
        name: _checked(_numpy(values_B), f"score {name} of the {side} images")
        for name, values_B in assessment.scores.items()
    }


def evaluate(known: Assessment, labels_B: Tensor, inside_B: Tensor | None, unknown: Assessment | None) -> Evaluation:
    """Compute all metrics.

    Args:
        known: Assessment of all known test images.
        labels_B: Their true classes.
        inside_B: Whether each lies in its own hypersphere, from `Method.inside`; None: no occupancy.
        unknown: Assessment of all unknown test images; None or without images: closed-set metrics only.

    Raises:
        ValueError: If there is no known image, or a score is NaN or infinite; the message names the score.
    """
    correct = _numpy(known.predictions_B) == _numpy(labels_B)
    known_scores = _named_scores(known, "known")
    unknown_images = 0 if unknown is None else len(unknown.predictions_B)
    unknown_scores = _named_scores(unknown, "unknown") if unknown is not None and unknown_images else {}

    def per_score(metric: Callable[[Floats, Floats], float]) -> dict[str, float]:
        return {name: metric(known_scores[name], values) for name, values in unknown_scores.items()}

    return Evaluation(
        closed_set_accuracy=float(correct.mean()),
        occupancy=None if inside_B is None else float(_numpy(inside_B).mean()),
        auroc=per_score(auroc),
        oscr=per_score(lambda known_values, unknown_values: oscr(known_values, correct, unknown_values)),
        fpr95=per_score(fpr95),
        aupr=per_score(aupr),
        known_images=len(correct),
        unknown_images=unknown_images,
    )
