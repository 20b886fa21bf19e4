"""What a method is: head, loss, class points, prediction rule and scores; and what methods share.

Shapes: B batch, K known classes, D features.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from difair_hpc.osr.vgg32 import NetworkOutput, PointSpec

Head = Mapping[str, Tensor]
"""Trained tensors of the network's head by name, as in `VGG32.head`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Centres:
    """The points that distances are measured to after training."""

    points_KD: Tensor | None = None
    """One point per class, float64 where it is a mean; None: not computed."""
    warnings: tuple[str, ...] = ()
    """Classes whose point could not be the mean of correctly classified images, one sentence each."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Assessment:
    """What a method says about a batch of images."""

    predictions_B: Tensor
    """Predicted known class, int64."""
    scores: dict[str, Tensor]
    """Per name in `Method.score_names`: (B,) float64, larger = more likely unknown."""
    distances_BK: Tensor | None
    """Distance to the anchor or centre of each class, float64."""

    def only(self, where_B: Tensor) -> "Assessment":
        """Return the same of those images where `where_B` (bool) is true."""
        return Assessment(
            predictions_B=self.predictions_B[where_B],
            scores={name: values_B[where_B] for name, values_B in self.scores.items()},
            distances_BK=None if self.distances_BK is None else self.distances_BK[where_B],
        )


class Method(ABC):
    """A way to train and to score; holds plain values only, so tensors are made on the device of what it is given."""

    features_per_class: int | None = None
    """What VGG32 gets: filters per class of the feature head; None: another head."""
    points: PointSpec | None = None
    """What VGG32 gets: the point that it learns for each class in feature space; None: another head."""
    points_learning_rate: float | None = None
    """Peak learning rate of learned points that have one of their own, and then neither momentum nor decay."""
    space: Literal["features", "logits"] = "features"
    """What the class points lie among."""
    anchored = False
    """Whether training pulls images to the class points, so that distances in that space mean something."""
    generated_images = False
    """Whether training shows generated images too: each epoch then begins with a pass of its own for them, and VGG32
    gets batch norms of their own for them."""
    score_names: tuple[str, ...]
    """Names of the scores that `assess` returns, the method's own first."""
    needs_centres: bool = True
    """Whether `centres` needs the outputs for the training images."""

    @abstractmethod
    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
        """Training loss of a batch, a scalar."""

    @abstractmethod
    def centres(self, train_output: NetworkOutput, labels_B: Tensor, head: Head) -> Centres:
        """Find the class points from the outputs for all training images, not augmented, after training."""

    @abstractmethod
    def assess(self, output: NetworkOutput, centres: Centres) -> Assessment:
        """Predict classes and compute all scores, without gradient.

        Raises:
            ValueError: If the method needs centres and `centres` has none.
        """

    def inside(self, output: NetworkOutput, labels_B: Tensor) -> Tensor | None:  # noqa: ARG002
        """Whether each image lies in the hypersphere of its true class, (B,) bool; None where there are none."""
        return None

    def class_logits(self, output: NetworkOutput, centres: Centres) -> Tensor | None:  # noqa: ARG002
        """Values whose softmax is this method's belief in each class, (B, K) float64; None where it has none."""
        return None if output.logits_BK is None else exact(output.logits_BK)


def logits(output: NetworkOutput) -> Tensor:
    """Return the output of the linear head."""
    assert output.logits_BK is not None, "this method needs the linear head"
    return output.logits_BK


def exact(values: Tensor) -> Tensor:
    """Return the values as float64, without gradient."""
    return values.detach().double()


def points_of(centres: Centres, method: str) -> Tensor:
    """Return the class points.

    Raises:
        ValueError: There are none.
    """
    if centres.points_KD is None:
        raise ValueError(f"{method} needs class centres: pass the result of centres() on the training images")
    return centres.points_KD


def correct_means(values_BD: Tensor, logits_BK: Tensor, labels_B: Tensor) -> list[Tensor | None]:
    """Mean of `values_BD` per class over the images whose largest logit is their label; None where there is none."""
    exact_BD = exact(values_BD)
    labels_B = labels_B.to(exact_BD.device)
    correct_B = logits_BK.argmax(dim=1) == labels_B
    own = [exact_BD[correct_B & (labels_B == c)] for c in range(logits_BK.shape[1])]
    return [rows.mean(dim=0) if len(rows) else None for rows in own]


def filled(means: list[Tensor | None], substitutes: dict[int, Tensor], substitute: str) -> Centres:
    """Return the means as class points; a class without one gets its substitute, and a warning that names it."""
    points = [substitutes[c] if mean is None else mean for c, mean in enumerate(means)]
    warnings = [
        f"class {c} has no correctly classified training image: its centre is {substitute}"
        for c, mean in enumerate(means)
        if mean is None
    ]
    return Centres(points_KD=torch.stack(points), warnings=tuple(warnings))
