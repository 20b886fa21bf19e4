"""Every operation against the bytes of the published code, against Pillow, and against numbers worked out by hand."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from difair_hpc.data.spec import OPERATIONS
from tests.data.drawn import Family, images, one

GOLDEN = Path(__file__).parent / "golden"
MOVING = {"Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"}


def golden(name: str) -> list[dict[str, Any]]:
    entries = json.loads((GOLDEN / f"{name}.json").read_text())["entries"]
    return [{**entry, "file": name} for entry in entries]


ENTRIES = golden("randaugment_tf_m6") + golden("randaugment_vaze_m6")


def centre(entry: dict[str, Any]) -> tuple[float, float]:
    """Return row and column of the cutout as shares of 32 pixels; TensorFlow's are whole numbers."""
    if "centre_row_col" in entry:
        return (entry["centre_row_col"][0] + 0.5) / 32, (entry["centre_row_col"][1] + 0.5) / 32
    x, y = entry.get("draw_x_y", (0, 0))
    return y / 32, x / 32


@pytest.mark.parametrize("entry", ENTRIES, ids=[f"{e['file']}-{e['op']}-{e['row']}" for e in ENTRIES])
def test_an_operation_gives_the_bytes_of_the_published_code(entry: dict[str, Any]) -> None:
    with np.load(GOLDEN / f"{entry['file']}.npz") as file:
        given, expected = (torch.from_numpy(file[key]) for key in ("images", "out"))
    operation = str(entry["op"]).removesuffix("Abs").removesuffix("abs")
    family: Family = "randaugment" if "tf" in str(entry["file"]) else "randaugment_vaze"
    negative = entry["sign"] == "neg"
    result = one(operation, given.permute(0, 3, 1, 2), family, 6, negative=negative, position=centre(entry))
    difference = (result.permute(0, 2, 3, 1).int() - expected[entry["row"]].int()).abs()
    if operation == "Sharpness" and family == "randaugment":  # depends on the processor: see `sharpened`
        assert float((difference > 0).float().mean()) < 0.01
        assert int(difference.max()) <= 1
    else:
        assert not difference.any()


def test_the_published_outputs_cover_every_operation() -> None:
    for name in ("randaugment_tf_m6", "randaugment_vaze_m6"):
        assert {str(entry["op"]).removesuffix("Abs").removesuffix("abs") for entry in golden(name)} == set(OPERATIONS)


def digest(pixels_BCHW: torch.Tensor) -> str:
    pixels = pixels_BCHW.permute(0, 2, 3, 1).contiguous().numpy()
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("size", [8, 32, 64])
def test_tensorflows_bytes_at_other_sizes_and_magnitudes(size: int) -> None:
    file = json.loads((GOLDEN / "randaugment_tf_digests.json").read_text())
    pixels = images(8, size, seed=5)
    assert digest(pixels) == file["inputs"][str(size)], "these are not the images that TensorFlow was given"
    found = {}
    for key in file["outputs"]:
        given, magnitude, operation, sign = key.split()
        if int(given) == size:
            found[key] = digest(one(operation, pixels, "randaugment", float(magnitude), negative=sign == "-1"))
    assert len(found) == 6 * 19
    assert found == {key: value for key, value in file["outputs"].items() if key in found}


def solarize_added(image: Image.Image, amount: float) -> Image.Image:
    brighter = np.clip(np.asarray(image).astype(float) + amount, 0, 255).astype(np.uint8)
    return ImageOps.solarize(Image.fromarray(brighter), 128)


def pillow(operation: str, image: Image.Image, magnitude: float, sign: int) -> Image.Image:
    """Return what Vaze's family does, written with Pillow."""
    level = magnitude / 30
    factor, shear, shift = level * 1.8 + 0.1, sign * 0.3 * level, sign * 100 * level
    affine = {
        "ShearX": (1, shear, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, shear, 1, 0),
        "TranslateX": (1, 0, shift, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, shift),
    }
    if operation in affine:
        return image.transform(image.size, Image.Transform.AFFINE, affine[operation])
    if operation in ("Color", "Contrast", "Brightness", "Sharpness"):
        return getattr(ImageEnhance, operation)(image).enhance(factor)  # type: ignore[no-any-return]
    return {
        "AutoContrast": lambda: ImageOps.autocontrast(image),
        "Equalize": lambda: ImageOps.equalize(image),
        "Invert": lambda: ImageOps.invert(image),
        "Rotate": lambda: image.rotate(sign * 30 * level),
        "Posterize": lambda: ImageOps.posterize(image, max(1, int(4 * level))),
        "Solarize": lambda: ImageOps.solarize(image, 256 * level),  # type: ignore[arg-type]
        "SolarizeAdd": lambda: solarize_added(image, 110 * level),
    }[operation]()


@pytest.mark.parametrize("size", [8, 32, 64])
@pytest.mark.parametrize("magnitude", [0, 0.7, 6, 8, 9, 15, 18, 30])
@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - {"Cutout"}))
def test_vazes_operations_are_pillows(operation: str, magnitude: float, size: int) -> None:
    pixels = images(8, size, seed=1)
    for negative in (False, True) if operation in MOVING else (False,):
        result = one(operation, pixels, "randaugment_vaze", magnitude, negative=negative)
        for image, found in zip(pixels, result, strict=True):
            expected = pillow(
                operation, Image.fromarray(image.permute(1, 2, 0).numpy()), magnitude, -1 if negative else 1
            )
            assert np.array_equal(found.permute(1, 2, 0).numpy(), np.asarray(expected))


@pytest.mark.parametrize("magnitude", [0, 6, 8, 9, 18, 30])
def test_vazes_cutout_is_a_rectangle_of_pillow(magnitude: float) -> None:
    pixels = images(4, 32)
    side = 40 * magnitude / 30
    for row, column in [(0.0, 0.0), (0.1, 0.63), (0.5, 0.5), (0.99, 0.999)]:
        x, y = int(max(0, column * 32 - side / 2)), int(max(0, row * 32 - side / 2))
        result = one("Cutout", pixels, "randaugment_vaze", magnitude, position=(row, column))
        for image, found in zip(pixels, result, strict=True):
            expected = Image.fromarray(image.permute(1, 2, 0).numpy())
            corner = (min(32, x + side), min(32, y + side))
            ImageDraw.Draw(expected).rectangle(((x, y), corner), (125, 123, 114))
            assert np.array_equal(found.permute(1, 2, 0).numpy(), np.asarray(expected))


def row_of(values: list[int]) -> torch.Tensor:
    """Return an image of three equal channels whose rows are all these values."""
    return torch.tensor(values, dtype=torch.uint8).expand(1, 3, len(values), len(values))


@pytest.mark.parametrize(
    ("operation", "magnitude", "expected"),
    [
        ("Invert", 6, [255, 155, 128, 127, 126, 51, 50, 0]),
        ("Posterize", 6, [0, 64, 64, 128, 128, 192, 192, 192]),  # two bits
        ("Posterize", 18, [0, 100, 126, 128, 128, 204, 204, 254]),  # seven bits
        ("Posterize", 1, [0, 0, 0, 128, 128, 128, 128, 128]),  # one bit is the least
        ("Posterize", 20, [0, 100, 127, 128, 129, 204, 205, 255]),  # eight bits
        ("Solarize", 5, [0, 100, 127, 127, 126, 51, 50, 0]),  # from 128 on
        ("Solarize", 18, [0, 100, 127, 128, 129, 51, 50, 0]),  # 460 is 204 modulo 256
        ("Solarize", 10, [255, 155, 128, 127, 126, 51, 50, 0]),  # 256 is 0 modulo 256
        ("SolarizeAdd", 6, [66, 166, 193, 128, 129, 204, 205, 255]),  # add 66 below 128
        ("SolarizeAdd", 18, [198, 255, 255, 128, 129, 204, 205, 255]),  # add 198, clipped
        ("Brightness", 0, [0, 10, 12, 12, 12, 20, 20, 25]),  # a tenth, truncated
        ("Brightness", 5, [0, 100, 127, 128, 129, 204, 205, 255]),  # a factor of 1
        ("Brightness", 9, [0, 172, 218, 220, 221, 255, 255, 255]),  # 1.72, clipped
        # 8x8 pixels / 256 = 0 with whole numbers: contrast is brightness
        ("Contrast", 9, [0, 172, 218, 220, 221, 255, 255, 255]),
        ("TranslateX", 0.3, [128, 129, 204, 205, 255, 255, 205, 204]),  # from 3 to the right, and back at the edge
    ],
)
def test_tensorflows_operations_by_hand(operation: str, magnitude: float, expected: list[int]) -> None:
    given = row_of([0, 100, 127, 128, 129, 204, 205, 255])
    assert torch.equal(one(operation, given, "randaugment", magnitude), row_of(expected))


def test_tensorflows_contrast_is_about_the_number_of_pixels() -> None:
    # 32 * 32 / 256 = 4 and 64 * 64 / 256 = 16; the factor is .1 + 1.8 * .2 = .46:
    # 4 + .46 * (200 - 4) = 94.16 and 16 + .46 * (200 - 16) = 100.64
    for size, expected in ((32, 94), (64, 100)):
        grey = torch.full((1, 3, size, size), 200, dtype=torch.uint8)
        assert one("Contrast", grey, "randaugment", 2).flatten().tolist() == [expected] * (3 * size * size)


def test_tensorflows_moves_by_hand() -> None:
    pixels = images(1, 32)
    # M=6: 60 to the right modulo 64 is 4 to the left; x = 0 takes -4, which is 3 in the mirror.
    mirrored = torch.tensor([3, 2, 1, 0, *range(28)])
    assert torch.equal(one("TranslateX", pixels, "randaugment", 6), pixels[..., mirrored])
    assert torch.equal(one("TranslateY", pixels, "randaugment", 6), pixels[:, :, mirrored])
    # M=6: row y takes x + .18 y
    sheared = one("ShearX", pixels, "randaugment", 6)
    for y in (0, 10, 31):
        sources = [math.floor(x + 0.18 * y + 0.5) for x in range(32)]
        sources = [x if x < 32 else 63 - x for x in sources]
        assert torch.equal(sheared[:, :, y], pixels[:, :, y, sources])


@pytest.mark.parametrize("magnitude", [6, 9, 18])
def test_tensorflows_rotation_is_about_the_middle(magnitude: float) -> None:
    """Wherever the source is clearly inside of one pixel of the image."""
    pixels = images(2, 32)
    angle = math.radians(3 * magnitude)
    for sign in (1, -1):
        result = one("Rotate", pixels, "randaugment", magnitude, negative=sign < 0)
        seen = 0
        for y in range(32):
            for x in range(32):
                across = math.cos(angle) * (x - 15.5) - sign * math.sin(angle) * (y - 15.5) + 15.5
                down = sign * math.sin(angle) * (x - 15.5) + math.cos(angle) * (y - 15.5) + 15.5
                if 0 <= across <= 31 and 0 <= down <= 31 and max(abs(across % 1 - 0.5), abs(down % 1 - 0.5)) > 0.01:
                    seen += 1
                    source = (int(math.floor(down + 0.5)), int(math.floor(across + 0.5)))
                    assert torch.equal(result[:, :, y, x], pixels[:, :, *source]), (y, x)
        assert seen > 500


def test_tensorflows_cutout_by_hand() -> None:
    pixels = images(2, 32, seed=3)
    # M=2: int(40 * .2) = 8 to each side of pixel (4, 20): rows 0 to 11, columns 12 to 27
    result = one("Cutout", pixels, "randaugment", 2, position=(4.2 / 32, 20.9 / 32))
    expected = pixels.clone()
    expected[:, :, 0:12, 12:28] = 128
    assert torch.equal(result, expected)
    assert torch.equal(one("Cutout", pixels, "randaugment", 0, position=(0.5, 0.5)), pixels)
    assert one("Cutout", pixels, "randaugment", 18, position=(0.0, 0.99)).eq(128).all()


def test_tensorflows_colour_by_hand() -> None:
    # Red alone: floor(255.5 * .2989) = 76; with the factor .46: 76 + .46 * 179 = 158.34 and 76 - .46 * 76 = 41.04
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 8, 8)
    assert one("Color", red, "randaugment", 2)[0, :, 4, 4].tolist() == [158, 41, 41]


def test_tensorflows_sharpness_by_hand() -> None:
    # One bright pixel of 142: its mean is 142 * 5 / 13 = 54.6, its neighbours' 10.9, both truncated.
    spot = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    spot[:, :, 3, 3] = 142
    result = one("Sharpness", spot, "randaugment", 0)[0, 0]  # factor .1: mean + .1 * (image - mean)
    assert int(result[3, 3]) == 62  # 54 + .1 * 88 = 62.8
    assert {int(result[y, x]) for y, x in [(2, 2), (2, 3), (4, 4), (3, 2)]} == {9}  # 10 - .1 * 10
    assert int(result[2, 5]) == 0
    edge = images(1, 8)
    assert torch.equal(one("Sharpness", edge, "randaugment", 18)[:, :, 0], edge[:, :, 0]), "the border stays"


@pytest.mark.parametrize("family", ["randaugment", "randaugment_vaze"])
def test_one_value_cannot_be_stretched(family: Family) -> None:
    flat = torch.full((1, 3, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(one("AutoContrast", flat, family, 6), flat)
    assert torch.equal(one("Equalize", flat, family, 6), flat)
