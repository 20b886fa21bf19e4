"""RandAugment of a batch: what is drawn, that images do not mix, and that the generator alone decides."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from difair_hpc.data.augment import augmented
from difair_hpc.data.randaugment import IDENTITY, SEQUENCE, applied, draw, randaugmented
from difair_hpc.data.spec import MAGNITUDES, OPERATIONS, Augmentation, AugmentName
from tests.data.drawn import Family, images, one, seeded

FAMILIES: tuple[Family, ...] = ("randaugment", "randaugment_vaze")
NO_TURN = ("Rotate", "TranslateX", "TranslateY")
MOVED = {"Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"}


def drawn_names(how: Augmentation, count: int, seed: int = 0) -> list[str]:
    return [SEQUENCE[place] for place in draw(count, how, generator=seeded(seed)).outcome_B.tolist()]


@pytest.mark.parametrize(
    ("family", "exclude", "outcomes"),
    [
        ("randaugment", (), 17),
        ("randaugment", NO_TURN, 14),
        ("randaugment_vaze", (), 16),
        ("randaugment_vaze", NO_TURN, 13),
        ("randaugment_vaze", tuple(OPERATIONS[1:]), 1),
    ],
)
def test_every_outcome_is_equally_likely(family: Family, exclude: tuple[str, ...], outcomes: int) -> None:
    how = Augmentation(name=family, magnitude=6, exclude=exclude)
    counts = Counter(drawn_names(how, 20_000))
    expected = {*OPERATIONS, *([IDENTITY] if family == "randaugment" else [])} - set(exclude)
    assert set(counts) == expected
    assert len(counts) == outcomes
    assert outcomes == 1 or chisquare(list(counts.values())).pvalue > 0.001


def test_signs_and_positions_are_drawn_evenly_and_apart_from_the_outcome() -> None:
    drawn = draw(20_000, Augmentation(name="randaugment", magnitude=6), generator=seeded(1))
    signs = drawn.negative_B.long()
    assert chisquare(torch.bincount(signs).tolist()).pvalue > 0.001
    for operation in MOVED:
        of_one = signs[drawn.outcome_B == SEQUENCE.index(operation)]
        assert chisquare(torch.bincount(of_one).tolist()).pvalue > 0.0001
    rows, columns = (drawn.position_B2 * 16).long().T
    assert chisquare(torch.bincount(16 * rows + columns, minlength=256).tolist()).pvalue > 0.001


def test_a_sign_turns_a_move_around_and_nothing_else() -> None:
    pixels = images(4, 32)
    for family in FAMILIES:
        for operation in OPERATIONS:
            same = torch.equal(*(one(operation, pixels, family, 5, negative=sign) for sign in (False, True)))
            assert same == (operation not in MOVED), operation


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_is_its_images_one_by_one(family: Family) -> None:
    how = Augmentation(name=family, magnitude=9)
    pixels = images(100, 32)
    drawn = draw(100, how, generator=seeded(2))
    assert set(drawn.outcome_B.tolist()) == set(range(len(SEQUENCE) - (family != "randaugment")))
    together = applied(pixels, drawn, how)
    for place in range(100):
        part = slice(place, place + 1)
        assert torch.equal(together[part], applied(pixels[part], drawn.of(torch.tensor([place])), how))


@pytest.mark.parametrize("family", FAMILIES)
def test_two_operations_come_one_after_another(family: Family) -> None:
    twice = Augmentation(name=family, magnitude=9, operations=2)
    pixels, generator = images(40, 32), seeded(3)
    expected = pixels
    for _ in range(2):
        expected = applied(expected, draw(40, twice, generator=generator), twice)
    assert torch.equal(randaugmented(pixels, twice, generator=seeded(3)), expected)
    once = randaugmented(pixels, Augmentation(name=family, magnitude=9), generator=seeded(3))
    assert not torch.equal(once, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_generator_alone_decides(family: Family) -> None:
    how = Augmentation(name=family, magnitude=9)
    pixels = images(64, 32)
    before = pixels.clone()
    results = []
    for seed, elsewhere in ((7, 0), (7, 1), (8, 0)):
        torch.manual_seed(elsewhere)
        state = torch.get_rng_state()
        results.append(augmented(pixels, how, generator=seeded(seed)))
        assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.equal(pixels, before), "the data set itself stays as it is"


@pytest.mark.parametrize("name", ["none", "contrast_brightness", *FAMILIES])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_device_is_never_asked_for_a_value(name: AugmentName, channels: int) -> None:
    """A GPU would be waited for. The meta device has no values: asking for one is an error."""
    how = Augmentation(name=name, magnitude=9, operations=2)
    pixels = images(200, 32, channels=channels).to("meta")
    result = augmented(pixels, how, generator=seeded(0))
    assert (result.device.type, result.dtype, result.shape) == ("meta", torch.uint8, pixels.shape)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_grey_image_is_one_of_three_equal_channels(family: Family) -> None:
    how = Augmentation(name=family, magnitude=6, exclude=("Cutout",))
    grey = images(64, 32, channels=1)
    result = augmented(grey, how, generator=seeded(1))
    assert torch.equal(result.expand(-1, 3, -1, -1), augmented(grey.expand(-1, 3, -1, -1), how, generator=seeded(1)))
    assert result.shape == grey.shape


def test_a_grey_image_gets_the_brightness_of_vazes_cutout_colour() -> None:
    how = Augmentation(name="randaugment_vaze", magnitude=30, exclude=tuple(set(OPERATIONS) - {"Cutout"}))
    black = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    assert augmented(black, how, generator=seeded(0)).max().item() == 123


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_drawn_that_is_excluded(family: Family) -> None:
    left = {"Invert", IDENTITY} if family == "randaugment" else {"Invert"}
    how = Augmentation(name=family, exclude=tuple(set(OPERATIONS) - {"Invert"}))
    pixels = images(50, 8)
    result = augmented(pixels, how, generator=seeded(0))
    assert set(drawn_names(how, 50)) == left
    for image, found in zip(pixels, result, strict=True):
        assert torch.equal(found, 255 - image) or (family == "randaugment" and torch.equal(found, image))


@settings(max_examples=60, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    size=st.sampled_from([8, 32, 64]),
    channels=st.sampled_from([1, 3]),
    count=st.integers(0, 20),
    operations=st.integers(1, 3),
    share=st.floats(0, 1),
    exclude=st.sets(st.sampled_from(OPERATIONS), max_size=15),
    seed=st.integers(0, 2**32),
)
def test_any_magnitude_gives_images_of_the_same_form(  # noqa: PLR0917
    family: Family, size: int, channels: int, count: int, operations: int, share: float, exclude: set[str], seed: int
) -> None:
    how = Augmentation(
        name=family, magnitude=share * MAGNITUDES[family], operations=operations, exclude=tuple(sorted(exclude))
    )
    pixels = torch.randint(0, 256, (count, channels, size, size), generator=seeded(seed)).to(torch.uint8)
    result = augmented(pixels, how, generator=seeded(seed))
    assert result.dtype == torch.uint8
    assert result.shape == pixels.shape
    assert torch.equal(result, augmented(pixels, how, generator=seeded(seed)))
