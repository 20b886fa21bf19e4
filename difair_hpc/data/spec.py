"""What a benchmark is made of and how its images are augmented, as plain values (no torch)."""

from dataclasses import dataclass
from typing import Literal

from difair_hpc.errors import InvalidValue

SPLITS = 5
"""Class splits per open-set benchmark (section 4)."""

AugmentName = Literal["none", "contrast_brightness", "randaugment", "randaugment_vaze"]

MAGNITUDES: dict[AugmentName, float] = {"randaugment": 20.0, "randaugment_vaze": 30.0}
"""Largest magnitude of each RandAugment: from there on TensorFlow's posterize would keep more than 8 bits; Vaze's scale
ends at 30."""

OPERATIONS = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Cutout",
    "SolarizeAdd",
)
"""RandAugment's, in TensorFlow's order; Vaze's CutoutAbs, TranslateXabs and TranslateYabs go by the same names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """What is done to the pixels of a training image before it is cropped and mirrored (section A.2)."""

    name: AugmentName = "none"
    operations: int = 1
    """RandAugment's N: operations on every image, one after another."""
    magnitude: float = 0.0
    """RandAugment's M, on the scale of the family."""
    exclude: tuple[str, ...] = ()
    """Names of OPERATIONS that are never drawn."""

    def __post_init__(self) -> None:
        """Refuse values outside of their range; the keys in the messages are those of the protocol."""
        if self.operations < 1:
            raise InvalidValue("protocol.augment_operations", self.operations, "a whole number of at least 1")
        largest = MAGNITUDES.get(self.name, max(MAGNITUDES.values()))
        if not 0 <= self.magnitude <= largest:
            raise InvalidValue(
                "protocol.augment_magnitude", self.magnitude, f"0 to {largest:g} with augment={self.name}"
            )
        for operation in self.exclude:
            if operation not in OPERATIONS:
                raise InvalidValue("protocol.augment_exclude", operation, "a list of " + ", ".join(OPERATIONS))
        if len(set(self.exclude)) == len(OPERATIONS):
            raise InvalidValue("protocol.augment_exclude", "all operations", "a list that leaves at least one")


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkSpec:
    """A data set pairing, one of its class splits, and how its images are read."""

    name: str = "digits"
    """One of data.benchmarks.BENCHMARKS."""
    split: int = 0
    """Class split, 0 to 4, in the order of Vaze et al.; the paper's third split is 2. 0 where all classes are known."""
    image_size: int = 32
    """Height and width in pixels that images are resized to; divisible by 8 (the network halves it three times)."""
    cifar_plus_known: Literal["vehicles", "vaze"] = "vehicles"
    """Known classes of CIFAR+N: the four vehicles (the paper's text) or those of Vaze's file, per split."""
    tinyimagenet_order: Literal["sorted", "wnids"] = "sorted"
    """What a Tiny ImageNet class number counts: sorted folder names (Vaze) or lines of wnids.txt (likely the paper)."""
    validation_share: float = 0.2
    """Share of the training images held out by the search benchmarks (*-all); the others hold out none (appendix C)."""
    train_per_class: int | None = None
    """Train on the first so many images of each known class only; None: on all. For trials, never for the tables."""
    verify: bool = True
    """Check data files against their published checksums and counts; false admits partial copies, with a warning."""

    def __post_init__(self) -> None:
        """Refuse values outside of their range."""
        if not 0 <= self.split < SPLITS:
            raise InvalidValue("split", self.split, f"a whole number from 0 to {SPLITS - 1}")
        if self.image_size < 8 or self.image_size % 8:
            raise InvalidValue("benchmark.image_size", self.image_size, "a multiple of 8, from 8 on")
        if self.train_per_class is not None and self.train_per_class < 1:
            raise InvalidValue(
                "benchmark.train_per_class", self.train_per_class, "null or a whole number of at least 1"
            )
        if not 0 < self.validation_share < 1:
            raise InvalidValue("benchmark.validation_share", self.validation_share, "a number between 0 and 1")
