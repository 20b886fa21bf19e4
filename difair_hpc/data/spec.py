"""What a benchmark is made of, as plain values (no torch): the part of a run that data/ reads."""

from dataclasses import dataclass
from typing import Literal

from difair_hpc.errors import InvalidValue

SPLITS = 5
"""Class splits per open-set benchmark (section 4)."""


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
    verify: bool = True
    """Check data files against their published checksums and counts; false admits partial copies, with a warning."""

    def __post_init__(self) -> None:
        """Refuse values outside of their range."""
        if not 0 <= self.split < SPLITS:
            raise InvalidValue("split", self.split, f"a whole number from 0 to {SPLITS - 1}")
        if self.image_size < 8 or self.image_size % 8:
            raise InvalidValue("benchmark.image_size", self.image_size, "a multiple of 8, from 8 on")
        if not 0 < self.validation_share < 1:
            raise InvalidValue("benchmark.validation_share", self.validation_share, "a number between 0 and 1")
