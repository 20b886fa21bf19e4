"""How many images RandAugment takes per second and core: ours on batches, torchvision's and Kornia's on images.

    python -m bench.augment                            # a minute or two; Kornia takes part where it is installed
    python -m bench.augment --write docs/benchmarks.md

All sides run in this process on one thread, in turns; each counts with its fastest turn, in seconds of processor time.
"""

import argparse
import importlib.metadata
import importlib.util
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torchvision.transforms import v2
from torchvision.transforms.functional import to_pil_image

from bench.tables import Table, machine_and_date, text, write
from difair_hpc.data.randaugment import randaugmented
from difair_hpc.data.spec import Augmentation, AugmentName

SHAPES = tuple((batch, size) for size in (8, 32, 64) for batch in (128, 512))
"""Images of a batch, and their height and width in pixels."""
OURS: tuple[AugmentName, ...] = ("randaugment", "randaugment_vaze")
TORCHVISION = ("torchvision, tensors", "torchvision, PIL images")
KORNIA, PER_BATCH = "Kornia", "Kornia, one operation per batch"
ABSENT = "kornia is not installed: pip install kornia"

Side = Callable[[], object]


def sides(images_BCHW: torch.Tensor) -> dict[str, Side]:
    """Return what takes part by name: each augments the uint8 images with one operation per image."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)  # the others draw from the global generator
    peer = v2.RandAugment(num_ops=1, magnitude=9)
    pictures = [to_pil_image(image) for image in images_BCHW]
    how = {name: Augmentation(name=name, magnitude=9) for name in OURS}
    found: dict[str, Side] = {
        OURS[0]: lambda: randaugmented(images_BCHW, how[OURS[0]], generator=generator),
        OURS[1]: lambda: randaugmented(images_BCHW, how[OURS[1]], generator=generator),
        TORCHVISION[0]: lambda: [peer(image) for image in images_BCHW],
        TORCHVISION[1]: lambda: [peer(picture) for picture in pictures],
    }
    if importlib.util.find_spec("kornia") is not None:
        from kornia.augmentation.auto import RandAugment

        other, fractions_BCHW = RandAugment(n=1, m=9), images_BCHW.float() / 255
        found[KORNIA] = lambda: [other(image[None]) for image in fractions_BCHW]
        found[PER_BATCH] = lambda: other(fractions_BCHW)
    return found


def measure(batch: int, size: int, turns: int) -> dict[str, float]:
    """Return images per second of processor time by side; each side takes its turns between those of the others."""
    images = torch.randint(0, 256, (batch, 3, size, size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    taking_part = sides(images)
    fastest = dict.fromkeys(taking_part, float("inf"))
    for turn in range(turns + 1):
        for name, augment in taking_part.items():
            calls = 20 if name in OURS else 1
            begun = time.process_time()
            for _ in range(calls):
                augment()
            if turn:  # the first is to warm up
                fastest[name] = min(fastest[name], (time.process_time() - begun) / calls)
    return {name: batch / seconds for name, seconds in fastest.items()}


def table(found: Mapping[tuple[int, int], Mapping[str, float]]) -> Table:
    """Return the table of images per second, and of how many times the faster torchvision's each side takes."""
    names = [f"ours, {name}" if name in OURS else name for name in next(iter(found.values()))]
    packages = [name for name in ("torch", "torchvision", "kornia") if importlib.util.find_spec(name) is not None]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    rows = []
    for (batch, size), speeds in found.items():
        peer = max(speeds[name] for name in TORCHVISION)
        cells = [f"{speed:,.0f} ({speed / peer:.1f})" for speed in speeds.values()]
        rows.append((f"{batch} of {size}x{size}", *cells))
    return Table(
        name="augment",
        title="RandAugment: images per second and core",
        header=("", *names),
        rows=tuple(rows),
        notes=(
            "In brackets: times torchvision's v2.RandAugment on tensors or on PIL images, whichever is faster. One "
            "operation per image at magnitude 9, uint8 images of noise on the CPU, one thread, processor time. "
            "torchvision and Kornia are called for each image, since a call draws one operation: with one call per "
            "batch all its images get the same, which is another augmentation. Kornia takes float32. The operations "
            "differ: torchvision's are 14, without cutout, with other ranges.",
            *(() if "kornia" in packages else (ABSENT,)),
            f"{versions}; {machine_and_date()}.",
            "`python -m bench.augment`",
        ),
    )


def main() -> None:
    """Measure all shapes, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.augment", description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=7, help="times that each side is measured")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace this table in a Markdown file")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if importlib.util.find_spec("kornia") is None:
        sys.stderr.write(f"{ABSENT}; going on without it\n")
    found = table({shape: measure(*shape, asked.turns) for shape in SHAPES})
    sys.stdout.write(text(found))
    if asked.write is not None:
        write(asked.write, found)


if __name__ == "__main__":
    main()
