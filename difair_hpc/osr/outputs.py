"""What a trained network says about every image of a split: all that a score or a figure needs (pure).

Shapes: B images, K known classes, D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from difair_hpc.osr.vgg32 import NetworkOutput


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    """One set of images as the network sees it, none of them augmented, in the order of the data."""

    features_BD: Tensor
    """Representations z after global average pooling, float32."""
    logits_BK: Tensor | None
    """Output of the linear head, float32; None where the network has no such head."""
    labels_B: Tensor
    """Known classes 0 to K-1; the original class numbers for unknown images. int64."""

    def __len__(self) -> int:
        return len(self.labels_B)

    @property
    def output(self) -> NetworkOutput:
        """The same as a method takes it."""
        return NetworkOutput(self.features_BD, self.logits_BK)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outputs:
    """One forward pass over a split."""

    train: Part
    """All training images."""
    known: Part
    """Held-out images of the known classes."""
    unknown: Part
    """Held-out images of the unknown classes; none where all classes are known."""
    head: Mapping[str, Tensor]
    """Trained tensors of the head by name: weight (K, 128) of the linear head, weight (D, 128, 3, 3) of the feature
    head, points (K, 128) and radius () where a method learns them."""
