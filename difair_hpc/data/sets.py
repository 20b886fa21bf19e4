"""The images of one open-set task as they pass from data/ to training and evaluation: uint8 tensors and whole labels.

Shapes: B images, C channels, H, W; K known classes.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageSet:
    """Images and the class of each."""

    images_BCHW: torch.Tensor
    """uint8, 0 to 255."""
    labels_B: torch.Tensor
    """int64."""

    def __post_init__(self) -> None:
        """Hold the two tensors to their types: an ImageSet is only ever made by this package."""
        assert self.images_BCHW.dtype == torch.uint8
        assert self.images_BCHW.ndim == 4
        assert self.labels_B.dtype == torch.int64
        assert self.labels_B.shape == self.images_BCHW.shape[:1]

    def __len__(self) -> int:
        return len(self.labels_B)

    def to(self, device: torch.device | str) -> "ImageSet":
        """Return the same images and labels on `device`."""
        return ImageSet(images_BCHW=self.images_BCHW.to(device), labels_B=self.labels_B.to(device))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OpenSetData:
    """One split of one benchmark, ready for training and evaluation."""

    train: ImageSet
    """Training images of the known classes; labels 0 to K-1 in the order of the split's list of known classes."""
    known: ImageSet
    """Held-out images of the known classes, labelled as `train`."""
    unknown: ImageSet
    """Held-out images of the unknown classes; labels are the original class numbers (keys of `unknown_names`)."""
    class_names: tuple[str, ...]
    """Names of the K known classes by label."""
    unknown_names: dict[int, str]
    """Name of each unknown class by its original number."""
    mean_C: torch.Tensor
    """Mean of the training images' pixels per channel, on the scale 0 to 1 (A.2); float32. Taken before images are
    resized: the constants in the authors' public code are those of MNIST's 28 x 28 pixels."""
    std_C: torch.Tensor
    """Population standard deviation of the same pixels; float32."""
    held_out: Literal["test", "validation"]
    """Where `known` comes from: the test images, or a part of the training images (benchmarks on -all)."""
    fingerprint: str
    """SHA-256 over images and labels of the three sets: equal data, equal fingerprint, on every machine."""
    warnings: tuple[str, ...] = ()
    """What about the files was not as published; empty when all was."""

    @property
    def channels(self) -> int:
        """Channels C of an image."""
        return self.train.images_BCHW.shape[1]

    @property
    def classes(self) -> int:
        """Known classes K."""
        return len(self.class_names)

    @property
    def size(self) -> int:
        """Height and width of an image in pixels."""
        return self.train.images_BCHW.shape[-1]

    def to(self, device: torch.device | str) -> "OpenSetData":
        """Return the same data with every tensor on `device`."""
        return replace(
            self,
            train=self.train.to(device),
            known=self.known.to(device),
            unknown=self.unknown.to(device),
            mean_C=self.mean_C.to(device),
            std_C=self.std_C.to(device),
        )


def joined(sets: list[ImageSet]) -> ImageSet:
    """Return the images of several sets as one, in their order."""
    return ImageSet(
        images_BCHW=torch.cat([part.images_BCHW for part in sets]), labels_B=torch.cat([part.labels_B for part in sets])
    )


def chosen(images: ImageSet, where_B: torch.Tensor) -> ImageSet:
    """Return the images where `where_B` (bool) is true, in their order."""
    return ImageSet(images_BCHW=images.images_BCHW[where_B], labels_B=images.labels_B[where_B])


def of_classes(images: ImageSet, classes: tuple[int, ...]) -> ImageSet:
    """Return the images whose label is one of `classes`, in their order and with the labels they have."""
    return chosen(images, torch.isin(images.labels_B, torch.tensor(classes, dtype=torch.int64)))


def relabelled(images: ImageSet, known: tuple[int, ...]) -> ImageSet:
    """Return the images of the classes `known`, each labelled with the position of its class in that list."""
    kept = of_classes(images, known)
    positions = torch.full((max(known) + 1,), -1, dtype=torch.int64)
    positions[list(known)] = torch.arange(len(known))
    return ImageSet(images_BCHW=kept.images_BCHW, labels_B=positions[kept.labels_B])


def rank_in_class(labels_B: torch.Tensor) -> torch.Tensor:
    """Return for each image how many of its class come before it; int64 (B)."""
    ranks_B = torch.zeros_like(labels_B)
    for label in torch.unique(labels_B):
        mine_B = labels_B == label
        ranks_B[mine_B] = torch.arange(int(mine_B.sum()))
    return ranks_B


def spread_share(labels_B: torch.Tensor, share: float) -> torch.Tensor:
    """Return which images are held out when `share` of each class is, evenly spread in file order; bool (B).

    A rule without chance: the same images on every machine and for every seed. With a share of 0.2 it is every fifth
    image of each class; a class has n * share of them, rounded down.
    """
    ranks_B = rank_in_class(labels_B).double()
    steps_B = torch.stack([(ranks_B + after) * share + 1e-9 for after in (0, 1)]).floor()
    return steps_B[1] > steps_B[0]
