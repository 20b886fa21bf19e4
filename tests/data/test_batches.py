"""Batches are a function of (seed, epoch, step)."""

import torch

from difair_hpc.data.batches import batch_slices, derived_seed, epoch_order, generator, normalise, training_batch
from difair_hpc.data.sets import ImageSet, OpenSetData
from difair_hpc.data.spec import Augmentation

PLAIN = Augmentation()


def four_images() -> OpenSetData:
    """Image i is all 10 * i, of class i // 2."""
    values = torch.tensor([0, 10, 20, 30], dtype=torch.uint8)
    images = ImageSet(images_BCHW=values[:, None, None, None].expand(-1, 1, 2, 2), labels_B=torch.tensor([0, 0, 1, 1]))
    return OpenSetData(
        train=images,
        known=images,
        unknown=images,
        class_names=("a", "b"),
        unknown_names={},
        mean_C=torch.tensor([0.5]),
        std_C=torch.tensor([0.25]),
        held_out="test",
        fingerprint="",
    )


def test_a_seed_belongs_to_its_parts() -> None:
    seeds = [derived_seed(*parts) for parts in [(1, 2), (2, 1), (12,), ("1", 2), (1, "2"), ("1,2",), (1, 2, 0)]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    # sha256sum of the text ["order", 0, 3] begins with these 64 bits; the lowest one is dropped.
    assert derived_seed("order", 0, 3) == 0xF8AB6D81632EEF3A >> 1


def test_a_generator_depends_on_its_parts_only() -> None:
    torch.manual_seed(1)
    first = torch.rand(4, generator=generator("crop", 0, 1))
    torch.manual_seed(2)
    assert torch.equal(first, torch.rand(4, generator=generator("crop", 0, 1)))
    assert not torch.equal(first, torch.rand(4, generator=generator("crop", 0, 2)))


def test_an_epoch_visits_every_image_once_in_its_own_order() -> None:
    orders = [epoch_order(100, seed=0, epoch=epoch) for epoch in range(3)]
    assert all(sorted(order.tolist()) == list(range(100)) for order in orders)
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[2], epoch_order(100, seed=0, epoch=2))
    assert not torch.equal(orders[0], epoch_order(100, seed=1, epoch=0))


def test_the_last_batch_may_be_smaller() -> None:
    assert batch_slices(10, 4) == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert batch_slices(8, 4) == [slice(0, 4), slice(4, 8)]
    assert batch_slices(3, 128) == [slice(0, 3)]
    assert batch_slices(0, 4) == []


def test_normalise_by_hand() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    result = normalise(images, torch.tensor([0.5, 0.1, 0.0]), torch.tensor([0.25, 0.2, 0.5]))
    assert result.dtype == torch.float32
    # (0 - .5) / .25 = -2; (51/255 - .1) / .2 = .5; (1 - 0) / .5 = 2
    assert torch.allclose(result.flatten(), torch.tensor([-2.0, 0.5, 2.0]))


def test_a_training_batch_takes_the_images_asked_for_with_their_labels() -> None:
    data = four_images()
    indices = torch.tensor([3, 0])
    images, labels = training_batch(
        data, indices, augmentation=PLAIN, flip=False, crop_padding=0, generator=generator(0)
    )
    assert labels.tolist() == [1, 0]
    # (30/255 - .5) / .25 = -1.529412 and (0 - .5) / .25 = -2
    assert torch.allclose(images[:, 0, 0, 0], torch.tensor([-1.5294118, -2.0]))
    assert images.shape == (2, 1, 2, 2)


def test_padding_is_black_before_it_is_normalised() -> None:
    data = four_images()
    images, _ = training_batch(
        data, torch.full((64,), 3), augmentation=PLAIN, flip=True, crop_padding=1, generator=generator(0)
    )
    found = {round(value, 4) for value in images.flatten().tolist()}
    assert found == {-1.5294, -2.0}


def test_a_batch_is_augmented_before_it_is_cropped() -> None:
    """The black that the crop brings in is black still; the grey of the image is not."""
    data, indices = four_images(), torch.full((64,), 3)
    strong = Augmentation(name="contrast_brightness")
    images, _ = training_batch(data, indices, augmentation=strong, flip=False, crop_padding=1, generator=generator(0))
    pixels = torch.round((images * 0.25 + 0.5) * 255).reshape(64, 4)
    assert int((pixels == 0).sum()) > 40
    assert len({value for value in pixels.flatten().tolist() if value}) > 20
    assert all(len(set(pixel[pixel > 0].tolist())) <= 1 for pixel in pixels), "one shift for the whole image"


def test_a_training_batch_is_the_same_again_whatever_was_drawn_before() -> None:
    data = four_images()
    batches = [
        training_batch(
            data, torch.arange(4), augmentation=PLAIN, flip=True, crop_padding=1, generator=generator(0, epoch, step)
        )[0]
        for epoch, step in [(0, 0), (0, 1), (0, 0)]
    ]
    assert torch.equal(batches[0], batches[2])
    assert not torch.equal(batches[0], batches[1])
