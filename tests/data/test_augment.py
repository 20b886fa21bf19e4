"""Contrast, brightness, crop and mirror: pixels worked out by hand, and draws that depend on the generator alone."""

import torch

from difair_hpc.data.augment import augmented, contrast_brightness, crop_and_flip
from difair_hpc.data.spec import Augmentation

SQUARE = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)

# The nine 2x2 windows of 0000 / 0120 / 0340 / 0000, by rows.
WINDOWS = {
    (0, 0, 0, 1),
    (0, 0, 1, 2),
    (0, 0, 2, 0),
    (0, 1, 0, 3),
    (1, 2, 3, 4),
    (2, 0, 4, 0),
    (0, 3, 0, 0),
    (3, 4, 0, 0),
    (4, 0, 0, 0),
}
MIRRORED = {(b, a, d, c) for a, b, c, d in WINDOWS}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def outcomes(*, flip: bool) -> list[tuple[int, ...]]:
    batch = crop_and_flip(SQUARE.expand(2000, -1, -1, -1), padding=1, flip=flip, generator=seeded(0))
    return [tuple(image.flatten().tolist()) for image in batch]


def test_every_window_of_the_padded_image_occurs_and_nothing_else() -> None:
    seen = outcomes(flip=False)
    assert set(seen) == WINDOWS
    assert all(150 < seen.count(window) < 300 for window in WINDOWS)  # 2000 / 9 = 222, standard deviation 14


def test_flips_mirror_half_of_the_images_left_to_right() -> None:
    seen = outcomes(flip=True)
    assert set(seen) == WINDOWS | MIRRORED
    assert 65 < seen.count((1, 2, 3, 4)) < 160  # 2000 / 18 = 111, standard deviation 10
    assert 65 < seen.count((2, 1, 4, 3)) < 160


def test_a_known_draw() -> None:
    generator = seeded(3)
    (top, left), mirror = (
        torch.randint(0, 3, (1, 2), generator=generator)[0].tolist(),
        torch.rand(1, generator=generator),
    )
    padded = [[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 4, 0], [0, 0, 0, 0]]
    rows = [row[left : left + 2][:: -1 if mirror < 0.5 else 1] for row in padded[top : top + 2]]
    assert crop_and_flip(SQUARE, padding=1, flip=True, generator=seeded(3)).tolist() == [[rows]]


def test_without_padding_and_flip_nothing_changes() -> None:
    images = torch.randint(0, 256, (7, 3, 8, 8), generator=seeded(1)).to(torch.uint8)
    assert torch.equal(crop_and_flip(images, padding=0, flip=False, generator=seeded(2)), images)


def test_all_channels_of_an_image_move_together_and_images_apart() -> None:
    plane = torch.arange(1, 65, dtype=torch.uint8).reshape(1, 1, 8, 8)
    images = torch.cat([plane, plane + 64, plane + 128], dim=1).expand(32, -1, -1, -1)
    moved = crop_and_flip(images, padding=2, flip=True, generator=seeded(5))
    inside = moved[:, 0] > 0
    assert torch.equal(moved[:, 1][inside], moved[:, 0][inside] + 64)
    assert torch.equal(moved[:, 2][inside], moved[:, 0][inside] + 128)
    assert len({tuple(image.flatten().tolist()) for image in moved}) > 10


def test_the_same_generator_state_gives_the_same_images() -> None:
    images = torch.randint(0, 256, (16, 3, 8, 8), generator=seeded(1)).to(torch.uint8)
    first, again, other = (crop_and_flip(images, padding=4, flip=True, generator=seeded(s)) for s in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == torch.uint8
    assert first.shape == images.shape


def test_contrast_and_brightness_by_hand() -> None:
    """Two channels with means of 100 and 50; every pixel worked out with the drawn factor and shift."""
    image = torch.tensor([[[60, 140], [100, 100]], [[0, 100], [50, 50]]], dtype=torch.uint8)
    images = image.expand(200, -1, -1, -1)
    generator = seeded(4)
    factors, shifts = torch.rand(200, generator=generator) + 0.5, (torch.rand(200, generator=generator) - 0.5) * 255
    result = contrast_brightness(images, generator=seeded(4))
    for given, factor, shift in zip(result, factors.tolist(), shifts.tolist(), strict=True):
        for mean, pixels, channel in zip((100, 50), image.tolist(), given.tolist(), strict=True):
            for value, found in zip(sum(pixels, []), sum(channel, []), strict=True):
                contrasted = min(255.0, max(0.0, mean + factor * (value - mean)))
                assert abs(min(255.0, max(0.0, contrasted + shift)) - found) < 0.501


def test_contrast_and_brightness_cover_their_ranges_evenly() -> None:
    images = torch.tensor([118, 138], dtype=torch.uint8).reshape(1, 1, 1, 2).expand(4000, -1, -1, -1)
    low_B, high_B = contrast_brightness(images, generator=seeded(0)).double()[:, 0, 0].T
    inside_B = (low_B > 0) & (high_B < 255)
    factors_B, shifts_B = (high_B - low_B)[inside_B] / 20, ((high_B + low_B) / 2 - 128)[inside_B]
    assert 0.45 <= float(factors_B.min()) < 0.55
    assert 1.45 < float(factors_B.max()) <= 1.55
    assert abs(float(factors_B.mean()) - 1) < 0.02  # a spread of 0.29 over 3,600 images is 0.005
    assert abs(float(factors_B.std()) - 12**-0.5) < 0.02
    assert -120 < float(shifts_B.min()) + 10 < -100
    assert 100 < float(shifts_B.max()) - 10 < 120
    assert abs(float(shifts_B.mean())) < 5
    assert abs(float(torch.corrcoef(torch.stack([factors_B, shifts_B]))[0, 1])) < 0.06, "drawn apart"


def test_contrast_and_brightness_depend_on_the_generator_alone() -> None:
    images = torch.randint(0, 256, (16, 3, 8, 8), generator=seeded(1)).to(torch.uint8)
    kind = Augmentation(name="contrast_brightness")
    results = []
    for seed, elsewhere in ((7, 0), (7, 1), (8, 0)):
        torch.manual_seed(elsewhere)
        results.append(augmented(images, kind, generator=seeded(seed)))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert results[0].dtype == torch.uint8
    assert torch.equal(augmented(images, Augmentation(), generator=seeded(1)), images)
