"""The random crop and mirror: pixels worked out by hand, and draws that depend on the generator alone."""

import torch

from difair_hpc.data.augment import crop_and_flip

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
