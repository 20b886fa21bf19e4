"""New sizes, channel statistics and fingerprints, by hand."""

import pytest
import torch

from difair_hpc.data.pixels import channel_statistics, fingerprint, resized
from difair_hpc.data.sets import ImageSet, rank_in_class, relabelled, spread_share


def grey(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8)[None, None]


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = grey([[1, 2], [3, 4]])
    assert torch.equal(resized(image, 2), image)


def test_enlarging_is_bilinear_between_pixel_centres() -> None:
    # Centres of the new columns lie at -.25, .25, .75, 1.25 of the old: 0, 25, 75, 100 for a row 0 100.
    assert resized(grey([[0, 100], [0, 100]]), 4).tolist() == [[[[0, 25, 75, 100]] * 4]]


def test_shrinking_averages_over_all_pixels() -> None:
    # The antialiasing triangle of the left half weighs columns 0, 1, 2 with 3/7, 3/7, 1/7; column 3 does not count.
    row = [70, 140, 210, 0]
    left, right = (3 * 70 + 3 * 140 + 210) / 7, (140 + 3 * 210) / 7
    assert resized(grey([row] * 4), 2).tolist() == [[[[round(left), round(right)]] * 2]]


def test_an_empty_set_gets_the_new_size_too() -> None:
    assert resized(torch.empty((0, 3, 8, 8), dtype=torch.uint8), 16).shape == (0, 3, 16, 16)


def test_mean_and_deviation_per_channel() -> None:
    images = torch.tensor([[[[0, 255]], [[51, 51]]], [[[0, 255]], [[153, 153]]]], dtype=torch.uint8)
    mean, std = channel_statistics(images)
    # channel 0: 0 1 0 1 -> mean .5, deviation .5; channel 1: .2 .2 .6 .6 -> mean .4, deviation .2
    assert torch.allclose(mean, torch.tensor([0.5, 0.4]))
    assert torch.allclose(std, torch.tensor([0.5, 0.2]))


def test_a_channel_that_never_varies_can_still_be_divided_by_its_deviation() -> None:
    mean, std = channel_statistics(torch.full((3, 1, 2, 2), 255, dtype=torch.uint8))
    assert (mean.item(), std.item()) == (1.0, 1.0)


def images_of(labels: list[int]) -> ImageSet:
    values = torch.arange(len(labels), dtype=torch.uint8)
    return ImageSet(images_BCHW=values[:, None, None, None], labels_B=torch.tensor(labels))


def test_the_fingerprint_sees_pixels_labels_and_which_set_they_are_in() -> None:
    first, second = images_of([0, 1]), images_of([0, 1, 1])
    prints = [
        fingerprint(first, second),
        fingerprint(second, first),
        fingerprint(first, images_of([0, 1, 0])),
        fingerprint(first),
    ]
    assert len(set(prints)) == 4
    assert fingerprint(first, second) == fingerprint(images_of([0, 1]), images_of([0, 1, 1]))
    assert len(prints[0]) == 64


def test_new_labels_follow_the_list_of_known_classes() -> None:
    kept = relabelled(images_of([2, 4, 7, 2, 9, 4]), (9, 2, 4))
    assert kept.labels_B.tolist() == [1, 2, 1, 0, 2]
    assert kept.images_BCHW.flatten().tolist() == [0, 1, 3, 4, 5]  # the 7 is gone, the order is kept


def test_rank_in_class_counts_the_earlier_images_of_the_class() -> None:
    assert rank_in_class(torch.tensor([5, 5, 2, 5, 2])).tolist() == [0, 1, 0, 2, 1]


def test_a_share_is_spread_evenly_over_each_class() -> None:
    labels = torch.tensor([0] * 5 + [1] * 10 + [0] * 5 + [2, 2, 3])
    held = spread_share(labels, 0.2)
    # every fifth image of its class: the 5th and 10th of classes 0 and 1; classes of fewer than 5 give none
    assert held.nonzero().flatten().tolist() == [4, 9, 14, 19]


@pytest.mark.parametrize("share", [0.1, 0.25, 1 / 3, 0.5])
def test_a_share_takes_its_number_of_images_rounded_down(share: float) -> None:
    held = spread_share(torch.zeros(101, dtype=torch.int64), share)
    assert int(held.sum()) == int(101 * share)
