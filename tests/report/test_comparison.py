"""Bootstrap, signed ranks and ranks: numbers worked by hand, and brute force on small samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difair_hpc.osr.metrics import auroc
from difair_hpc.report.comparison import (
    Floats,
    Verdicts,
    holm,
    image_resamples,
    interval,
    mean_ranks,
    signed_ranks,
    weighted_auroc,
)

few = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=12).filter(
    lambda pairs: any(count for _, count in pairs)
)


@given(few, few)
def test_the_weighted_auroc_is_that_of_the_sample_it_stands_for(
    known: list[tuple[int, int]], unknown: list[tuple[int, int]]
) -> None:
    sides = [np.array(side, dtype=np.float64).T for side in (known, unknown)]
    spelled_out = [np.repeat(scores, counts.astype(int)) for scores, counts in sides]
    (known_scores, known_counts), (unknown_scores, unknown_counts) = sides
    # a second column with every image once, to see that columns do not mix
    columns = [np.stack([counts, np.ones_like(counts)], axis=1) for counts in (known_counts, unknown_counts)]
    found = weighted_auroc(known_scores, unknown_scores, *columns)
    assert found.tolist() == [auroc(*spelled_out), auroc(known_scores, unknown_scores)]


def verdicts(shift: float, seed: int = 0) -> Verdicts:
    rng = np.random.default_rng(seed)
    return Verdicts(
        known=rng.normal(size=60).round(1),
        correct=rng.random(60) < 0.8,
        unknown=(rng.normal(size=40) + shift).round(1),
    )


def test_resampling_by_counts_spreads_as_resampling_by_hand() -> None:
    one, other = verdicts(1.0), verdicts(0.5, seed=1)
    found = image_resamples({"one": [one], "other": [other]}, [7], resamples=4000)
    rng = np.random.default_rng(99)
    by_hand = []
    for _ in range(4000):
        known, unknown = rng.integers(60, size=60), rng.integers(40, size=40)
        both = [auroc(run.known[known], run.unknown[unknown]) for run in (one, other)]
        by_hand.append((both[0] - both[1], one.correct[known].mean() - other.correct[known].mean()))
    for column, made in enumerate(found["one"] - found["other"]):
        expected = np.array(by_hand)[:, column]
        # the standard error of a mean of 4000 is 0.016 deviations
        assert made.mean() == pytest.approx(expected.mean(), abs=0.1 * expected.std())
        assert made.std() == pytest.approx(expected.std(), rel=0.06)


def test_methods_share_every_draw_and_seeds_are_averaged() -> None:
    one, other = verdicts(1.0), verdicts(0.5, seed=1)
    found = image_resamples({"one": [one], "same": [one], "both": [one, other], "other": [other]}, [1], resamples=50)
    assert np.array_equal(found["one"], found["same"])
    assert np.allclose(found["both"], (found["one"] + found["other"]) / 2)
    assert found["one"].shape == (2, 50)
    assert len(set(found["one"][0])) > 10, "draws differ"


def test_draws_depend_on_the_place_and_not_on_the_other_methods() -> None:
    one, other = verdicts(1.0), verdicts(0.5, seed=1)
    alone = image_resamples({"one": [one]}, [3], resamples=20)["one"]
    assert np.array_equal(alone, image_resamples({"other": [other], "one": [one]}, [3], resamples=20)["one"])
    assert not np.array_equal(alone, image_resamples({"one": [one]}, [4], resamples=20)["one"])


def test_many_images_are_drawn_in_parts_of_equal_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difair_hpc.report.comparison._AT_ONCE", 700)
    found = image_resamples({"one": [verdicts(1.0)]}, [3], resamples=20)["one"]
    # seven resamples at a time: 20 are no whole number of parts
    assert found.shape == (2, 20)
    assert ((found > 0.3) & (found <= 1)).all()


def test_units_alone_give_the_quantiles_of_their_means() -> None:
    # Two units, 0 and 1: the mean is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4.
    assert interval(np.array([[0.0], [1.0]])) == (0.0, 1.0)
    # Of 0, 0, 0, 0, 1 the mean is k/5 with k from Binomial(5, 1/5): P(k = 0) = 0.33, P(k > 3) = 0.007, P(k > 2) = 0.06.
    assert interval(np.array([[0.0]] * 4 + [[1.0]])) == pytest.approx((0.0, 0.6))
    assert interval(np.array([[2.5], [2.5], [2.5]])) == (2.5, 2.5)


def test_a_single_unit_leaves_the_quantiles_of_its_images() -> None:
    low, high = interval(np.arange(1001.0)[None, :])
    # 2.5 % of a uniform 0 to 1000 are 25; 2,000 draws leave an error of about 3.5
    assert low == pytest.approx(25, abs=15)
    assert high == pytest.approx(975, abs=15)


def test_units_and_images_spread_together() -> None:
    rng = np.random.default_rng(5)
    images: Floats = rng.normal(size=(40, 2000))
    units: Floats = rng.normal(size=(40, 1)) * 2
    low, high = interval(units + images)
    # Variance of a mean of 40 draws: (spread of the 40 units + 1 of the images) / 40
    deviation = np.sqrt((units.var() + 1) / 40)
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.08)


def test_splits_and_images_by_brute_force() -> None:
    splits = [(verdicts(1.0, seed), verdicts(0.7, seed + 10)) for seed in range(3)]
    draws = [image_resamples({"one": [one], "other": [other]}, [n]) for n, (one, other) in enumerate(splits)]
    found = interval(np.array([drawn["one"][0] - drawn["other"][0] for drawn in draws]))
    rng = np.random.default_rng(99)
    means = []
    for _ in range(3000):
        differences = []
        for split in rng.integers(3, size=3):
            known, unknown = rng.integers(60, size=60), rng.integers(40, size=40)
            one, other = (auroc(run.known[known], run.unknown[unknown]) for run in splits[split])
            differences.append(one - other)
        means.append(np.mean(differences))
    by_hand = np.quantile(means, [0.025, 0.975])
    assert found == pytest.approx(by_hand, abs=0.12 * (by_hand[1] - by_hand[0]))


def test_signed_ranks_by_hand() -> None:
    # All six of one sign: 2 of the 2**6 sign patterns are as uneven.
    assert signed_ranks([1, 2, 3, 4, 5, 6]).p == pytest.approx(2 / 64)
    # Rank sum of the negative is 1 (the smallest): patterns with a sum of 0 or 1 on either side, 4 of 64.
    assert signed_ranks([-1, 2, 3, 4, 5, 6]).p == pytest.approx(4 / 64)


@pytest.mark.parametrize(("count", "least"), [(0, 1.0), (1, 1.0), (4, 0.125), (5, 0.0625)])
def test_too_few_differences_give_no_p_but_the_least_they_could(count: int, least: float) -> None:
    made = signed_ranks([*range(1, count + 1), 0, 0, 0])
    assert (made.differences, made.p, made.least_p) == (count, None, least)


def test_holm_by_hand() -> None:
    # sorted: 0.01 * 3, 0.02 * 2, 0.9 * 1
    assert holm([0.9, 0.01, 0.02]) == pytest.approx([0.9, 0.03, 0.04])
    # 0.03 * 2 = 0.06, and 0.04 must not be below it
    assert holm([0.04, 0.03]) == pytest.approx([0.06, 0.06])
    assert holm([0.8, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_ranks_by_hand() -> None:
    # places: 3 1 2, then 1 2.5 2.5
    assert mean_ranks(np.array([[70.0, 90.0, 80.0], [95.0, 60.0, 60.0]])).tolist() == [2.0, 1.75, 2.25]


@given(st.integers(1, 6).flatmap(lambda m: st.lists(st.lists(st.integers(0, 4), min_size=m, max_size=m), min_size=1)))
def test_ranks_sum_to_what_they_must(values: list[list[int]]) -> None:
    ranks = mean_ranks(np.array(values, dtype=np.float64))
    assert ranks.sum() == pytest.approx(len(ranks) * (len(ranks) + 1) / 2)
