"""How far a difference between two methods may be chance: bootstrap, signed ranks, average ranks (pure).

Shapes: U units (class splits), R resamples, B images, P places (benchmark and split), M methods.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 2000
"""Resamples behind an interval."""

SEED = 0
"""Of the resampling: the same results give the same intervals."""

FEWEST = 6
"""Least number of differences that a signed-rank test can call unequal at 5 %: 2 / 2**6 = 0.031."""

_AT_ONCE = 400_000
"""Image counts held in memory at a time."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Verdicts:
    """What one network says about the held-out images of a split."""

    known: Floats
    """Score of each known image, larger = more likely unknown."""
    correct: NDArray[np.bool_]
    """Whether each of them is given its class."""
    unknown: Floats
    """Score of each unknown image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedRanks:
    """A Wilcoxon signed-rank test, exact, of both sides."""

    differences: int
    """Those that are not zero."""
    p: float | None
    """Chance of ranks at least as uneven where neither method is better; None: too few differences."""
    least_p: float
    """Smallest p that so few differences can have."""


def weighted_auroc(known: Floats, unknown: Floats, known_BR: Floats, unknown_BR: Floats) -> Floats:
    """AUROC of resamples without making them: each image counts as often as it was drawn.

    Args:
        known: Scores of the known images, (B,).
        unknown: Scores of the unknown images, (B',).
        known_BR: How often each known image was drawn, whole numbers.
        unknown_BR: The same of the unknown, (B', R).

    Returns:
        (R,); per resample the chance that an unknown image scores above a known one, ties one half.
    """
    order, unknown_order = np.argsort(known), np.argsort(unknown)
    below_BR = np.zeros((len(known) + 1, known_BR.shape[1]))
    np.cumsum(known_BR[order], axis=0, out=below_BR[1:])
    drawn_BR = unknown_BR[unknown_order]
    places = [np.searchsorted(known[order], unknown[unknown_order], side=side) for side in ("left", "right")]
    # In halves, as whole numbers far below 2**53, so that the sum is exact.
    halves = sum(np.einsum("br,br->r", below_BR[place], drawn_BR) for place in places)
    return np.asarray(halves / (2 * known_BR.sum(axis=0) * unknown_BR.sum(axis=0)))


def image_resamples(
    methods: Mapping[str, Sequence[Verdicts]], place: Sequence[int], resamples: int = RESAMPLES
) -> dict[str, Floats]:
    """Resample the images of one split, with the same draw for every run.

    Args:
        methods: The runs of each method on this split; all are about the same images in the same order.
        place: Names the split in numbers: its draws depend on this and on the number of images alone.
        resamples: How many.

    Returns:
        By method AUROC and closed-set accuracy of every resample, (2, R), mean over the method's runs.
    """
    first = next(iter(methods.values()))[0]
    sizes = (len(first.known), len(first.unknown))
    parts: dict[str, list[Floats]] = {name: [] for name in methods}
    for known_BR, unknown_BR in _draws(sizes, resamples, np.random.default_rng([SEED, *place])):
        for name, runs in methods.items():
            auroc = [weighted_auroc(run.known, run.unknown, known_BR, unknown_BR) for run in runs]
            accuracy = [run.correct @ known_BR / sizes[0] for run in runs]
            parts[name].append(np.stack([np.mean(auroc, axis=0), np.mean(accuracy, axis=0)]))
    return {name: np.concatenate(values, axis=1) for name, values in parts.items()}


def interval(differences_UR: Floats, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean over units, which are drawn with replacement.

    Args:
        differences_UR: Per unit the difference in each resample of its images; one column where images stand still.
        resamples: How many; every draw of a unit takes images of its own.
    """
    units, columns = differences_UR.shape
    rng = np.random.default_rng(SEED)
    chosen = rng.integers(units, size=(resamples, units))
    means = differences_UR[chosen, rng.integers(columns, size=chosen.shape)].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def signed_ranks(differences: Sequence[float]) -> SignedRanks:
    """Test whether paired differences lie evenly around zero.

    Zeros are left out. Differences of equal size share their rank, for which the distribution without them is taken.
    """
    from scipy.stats import wilcoxon

    uneven = [value for value in differences if value]
    least = min(1.0, 2.0 ** (1 - len(uneven)))
    p = float(wilcoxon(uneven, method="exact").pvalue) if len(uneven) >= FEWEST else None
    return SignedRanks(differences=len(uneven), p=p, least_p=least)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979), in the given order."""
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.tolist()


def mean_ranks(values_PM: Floats) -> Floats:
    """Return the average rank of each method over places, (M,): 1 = largest value, ties share the mean of theirs."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(-values_PM, axis=1).mean(axis=0), dtype=np.float64)


def _draws(sizes: tuple[int, int], resamples: int, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
    """Yield how often each known and each unknown image is drawn, some resamples at a time."""
    step = max(1, _AT_ONCE // sum(sizes))
    for start in range(0, resamples, step):
        columns = min(step, resamples - start)
        yield _counts(sizes[0], columns, rng), _counts(sizes[1], columns, rng)


def _counts(size: int, columns: int, rng: np.random.Generator) -> Floats:
    drawn = rng.integers(size, size=(size, columns)) * columns + np.arange(columns)
    return np.bincount(drawn.ravel(), minlength=size * columns).reshape(size, columns).astype(np.float64)
