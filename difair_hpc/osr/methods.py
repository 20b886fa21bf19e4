"""The four methods of the paper: network head, loss, prediction rule and scores (DIFAIR sections 2.2, 3.2, 4, E.1).

Shapes: B batch, K known classes, N features per class, D features.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from difair_hpc.osr import scores
from difair_hpc.osr.anchors import anchors, distances, radius
from difair_hpc.osr.losses import cac_loss, difair_loss, last_conv_spread, own_distances, spread_loss
from difair_hpc.osr.spec import CacSpec, CrossEntropySpec, DifairSpec, DifairStdSpec, MethodSpec
from difair_hpc.osr.vgg32 import NetworkOutput


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


class Method(ABC):
    """A way to train and to score; holds plain values only, so tensors are made on the device of what it is given."""

    features_per_class: int | None = None
    """What VGG32 gets: filters per class of the feature head, None for the linear head."""
    score_names: tuple[str, ...]
    """Names of the scores that `assess` returns, the method's own first."""
    needs_centres: bool = True
    """Whether `assess` needs the result of `centres`, and so a pass over the training images."""

    @abstractmethod
    def loss(self, output: NetworkOutput, labels_B: Tensor, last_conv_weight: Tensor | None) -> Tensor:
        """Training loss of a batch, a scalar; `last_conv_weight` is that of the network (None: linear head)."""

    @abstractmethod
    def centres(self, train_output: NetworkOutput, labels_B: Tensor) -> Centres:
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


def _logits(output: NetworkOutput) -> Tensor:
    assert output.logits_BK is not None, "this method needs the linear head"
    return output.logits_BK


def _exact(values: Tensor) -> Tensor:
    return values.detach().double()


def _points(centres: Centres, method: str) -> Tensor:
    if centres.points_KD is None:
        raise ValueError(f"{method} needs class centres: pass the result of centres() on the training images")
    return centres.points_KD


def _correct_means(values_BD: Tensor, logits_BK: Tensor, labels_B: Tensor) -> list[Tensor | None]:
    """Mean of `values_BD` per class over the images whose largest logit is their label; None where there is none."""
    exact_BD = _exact(values_BD)
    labels_B = labels_B.to(exact_BD.device)
    correct_B = logits_BK.argmax(dim=1) == labels_B
    own = [exact_BD[correct_B & (labels_B == c)] for c in range(logits_BK.shape[1])]
    return [rows.mean(dim=0) if len(rows) else None for rows in own]


def _filled(means: list[Tensor | None], substitutes: dict[int, Tensor], substitute: str) -> Centres:
    points = [substitutes[c] if mean is None else mean for c, mean in enumerate(means)]
    warnings = [
        f"class {c} has no correctly classified training image: its centre is {substitute}"
        for c, mean in enumerate(means)
        if mean is None
    ]
    return Centres(points_KD=torch.stack(points), warnings=tuple(warnings))


class CrossEntropy(Method):
    """Cross-entropy on logits; scores msp, mos (the paper's MLS) and celr (distance to class means of features)."""

    score_names = ("msp", "mos", "celr")

    def loss(self, output: NetworkOutput, labels_B: Tensor, last_conv_weight: Tensor | None) -> Tensor:  # noqa: ARG002
        """Mean softmax cross-entropy."""
        logits_BK = _logits(output)
        return F.cross_entropy(logits_BK, labels_B.to(logits_BK.device))

    def centres(self, train_output: NetworkOutput, labels_B: Tensor) -> Centres:
        """Mean feature vector of the correctly classified images per class; of all its images where none is correct.

        Raises:
            ValueError: If a class has no training image at all.
        """
        features_BD = _exact(train_output.features_BD)
        labels_B = labels_B.to(features_BD.device)
        means = _correct_means(features_BD, _logits(train_output), labels_B)
        missing = [c for c, mean in enumerate(means) if mean is None]
        if empty := [c for c in missing if not (labels_B == c).any()]:
            raise ValueError(f"no class centre without a training image: none has the label {empty[0]}")
        return _filled(
            means, {c: features_BD[labels_B == c].mean(dim=0) for c in missing}, "the mean of all its images"
        )

    def assess(self, output: NetworkOutput, centres: Centres) -> Assessment:
        """Predict the largest logit."""
        logits_BK = _exact(_logits(output))
        distances_BK = distances(_exact(output.features_BD), _points(centres, "cross_entropy"))
        found = {"msp": scores.msp(logits_BK), "mos": scores.mos(logits_BK), "celr": scores.distance(distances_BK)}
        return Assessment(predictions_B=logits_BK.argmax(dim=1), scores=found, distances_BK=distances_BK)


class Cac(Method):
    """Class Anchor Clustering on logits; scores cac (least gamma) and mos (largest logit)."""

    score_names = ("cac", "mos")

    def __init__(self, spec: CacSpec, classes: int) -> None:
        """Keep the settings; `classes` is K."""
        self.spec = spec
        self.classes = classes

    def _anchors(self, device: torch.device) -> Tensor:
        return anchors(classes=self.classes, features_per_class=1, alpha=self.spec.alpha, device=device)

    def loss(self, output: NetworkOutput, labels_B: Tensor, last_conv_weight: Tensor | None) -> Tensor:  # noqa: ARG002
        """Anchor term and tuplet term; the anchors are fixed while training."""
        logits_BK = _logits(output)
        distances_BK = distances(logits_BK, self._anchors(logits_BK.device))
        return cac_loss(distances_BK, labels_B.to(logits_BK.device), anchor_weight=self.spec.anchor_weight)

    def centres(self, train_output: NetworkOutput, labels_B: Tensor) -> Centres:
        """Mean logit vector of the images per class whose largest logit is right; the anchor where none is."""
        logits_BK = _logits(train_output)
        means = _correct_means(logits_BK, logits_BK, labels_B)
        return _filled(means, dict(enumerate(self._anchors(logits_BK.device).double())), "its anchor")

    def assess(self, output: NetworkOutput, centres: Centres) -> Assessment:
        """Predict the class with the least gamma."""
        logits_BK = _exact(_logits(output))
        distances_BK = distances(logits_BK, _points(centres, "cac"))
        gamma_BK = scores.cac_gamma(distances_BK)
        found = {"cac": scores.cac(gamma_BK), "mos": scores.mos(logits_BK)}
        return Assessment(predictions_B=gamma_BK.argmin(dim=1), scores=found, distances_BK=distances_BK)


class Difair(Method):
    """Hyperspheres around fixed anchors in feature space; scores distance (to the nearest anchor) and mos."""

    score_names = ("distance", "mos")
    needs_centres = False

    def __init__(self, spec: DifairSpec, classes: int) -> None:
        """Keep the settings; `classes` is K."""
        self.spec = spec
        self.classes = classes
        self.features_per_class = spec.features_per_class
        self.radius = radius(spec)

    def _anchors(self, device: torch.device) -> Tensor:
        return anchors(
            classes=self.classes,
            features_per_class=self.spec.features_per_class,
            alpha=self.spec.alpha,
            device=device,
        )

    def _distances(self, features_BD: Tensor) -> Tensor:
        return distances(features_BD, self._anchors(features_BD.device))

    def loss(self, output: NetworkOutput, labels_B: Tensor, last_conv_weight: Tensor | None) -> Tensor:  # noqa: ARG002
        """Distance beyond the hypersphere of the true class (Eq. 2)."""
        distances_BK = self._distances(output.features_BD)
        return difair_loss(distances_BK, labels_B.to(distances_BK.device), radius=self.radius)

    def centres(self, train_output: NetworkOutput, labels_B: Tensor) -> Centres:  # noqa: ARG002
        """Return the anchors: they are not adjusted after training (section 3.2)."""
        return Centres(points_KD=self._anchors(train_output.features_BD.device))

    def assess(self, output: NetworkOutput, centres: Centres) -> Assessment:  # noqa: ARG002
        """Predict the nearest anchor; `centres` may be empty."""
        features_BD = _exact(output.features_BD)
        distances_BK = self._distances(features_BD)
        found = {"distance": scores.distance(distances_BK), "mos": scores.mos(features_BD)}
        return Assessment(predictions_B=distances_BK.argmin(dim=1), scores=found, distances_BK=distances_BK)

    def inside(self, output: NetworkOutput, labels_B: Tensor) -> Tensor:
        """Whether ||z - A^y|| <= r, (B,) bool: its mean is the hypersphere occupancy (appendix C)."""
        distances_BK = self._distances(_exact(output.features_BD))
        return own_distances(distances_BK, labels_B.to(distances_BK.device)) <= self.radius


class DifairStd(Difair):
    """DIFAIR with the loss on the spread of the last convolution's weights (appendix E.1)."""

    def __init__(self, spec: DifairStdSpec, classes: int) -> None:
        """Keep the settings; `classes` is K."""
        super().__init__(spec, classes)
        self.spread_weight = spec.spread_weight
        self.spread_rate = spec.spread_rate

    def loss(self, output: NetworkOutput, labels_B: Tensor, last_conv_weight: Tensor | None) -> Tensor:
        """Eq. 2 plus Eq. 4."""
        assert last_conv_weight is not None, "difair_std needs the weight of the feature head"
        spread_K = last_conv_spread(last_conv_weight, self.classes)
        return super().loss(output, labels_B, last_conv_weight) + spread_loss(
            spread_K, weight=self.spread_weight, rate=self.spread_rate
        )


def make_method(spec: MethodSpec, classes: int) -> Method:
    """Build the method that `spec` describes for `classes` (K) known classes."""
    match spec:
        case CrossEntropySpec():
            return CrossEntropy()
        case CacSpec():
            return Cac(spec, classes)
        case DifairStdSpec():
            return DifairStd(spec, classes)
        case DifairSpec():
            return Difair(spec, classes)
